//! A bound for what is read at once.

use std::io::{self, BufRead, Read};

/// Reads up to a limit, so that no text or tag needs more memory.
pub(super) struct Bounded<R> {
    pub(super) inner: R,
    pub(super) left: usize,
    pub(super) limit: usize,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let (left, limit) = (self.left, self.limit);
        let available = self.inner.fill_buf()?;
        if left == 0 && !available.is_empty() {
            let reason = format!("a text or a tag of the XML is longer than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(&available[..available.len().min(left)])
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.inner.consume(count);
    }
}
