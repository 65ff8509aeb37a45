//! Bytes to events' source texts: the lines of NDJSON. For JSON that spans lines see [`super::values`].

use std::io::{self, BufRead, Read};

/// An event's source text and where it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    /// Offset in the decompressed bytes.
    pub(crate) offset: u64,
    /// Line, from 1.
    pub(crate) line: u64,
    /// Column in bytes, from 1.
    pub(crate) column: u64,
}

/// Why splitting stopped, besides an error of whom the pieces are given to.
#[derive(Debug)]
pub(crate) enum SplitError<E> {
    /// The bytes could not be had.
    Read { line: u64, source: io::Error },
    /// An event beyond the limit.
    TooLong { line: u64 },
    /// Not JSON, so that where the next event begins is unknown.
    Syntax {
        line: u64,
        column: u64,
        reason: String,
    },
    /// From the receiver.
    Receiver(E),
}

/// Gives each line that is not blank to `each`.
pub(crate) fn lines<E>(
    bytes: &mut dyn BufRead,
    limit: usize,
    mut each: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<(), SplitError<E>> {
    let mut buffer = Vec::new();
    let (mut line, mut offset) = (0, 0);
    loop {
        buffer.clear();
        // One byte more than allowed, and a line end.
        let mut limited = bytes.take(limit as u64 + 2);
        let read = limited
            .read_until(b'\n', &mut buffer)
            .map_err(|source| SplitError::Read { line, source })?;
        if read == 0 {
            return Ok(());
        }
        line += 1;
        let blank = buffer
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        let text = buffer.trim_ascii();
        if text.len() > limit || (read as u64 == limit as u64 + 2 && !buffer.ends_with(b"\n")) {
            return Err(SplitError::TooLong { line });
        }
        if !text.is_empty() {
            each(Piece {
                bytes: text,
                offset: offset + blank as u64,
                line,
                column: blank as u64 + 1,
            })
            .map_err(SplitError::Receiver)?;
        }
        offset += read as u64;
        if buffer.capacity() > KEPT_CAPACITY {
            buffer = Vec::new();
        }
    }
}

/// A buffer that one long event blew up is given back.
pub(crate) const KEPT_CAPACITY: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_places_and_a_limit() {
        let mut seen = Vec::new();
        let mut collect = |text: &str, limit| {
            seen.clear();
            let mut bytes = text.as_bytes();
            let result = lines::<()>(&mut bytes, limit, |piece| {
                seen.push((piece.bytes.len(), piece.offset, piece.line, piece.column));
                Ok(())
            });
            (result.map_err(|error| format!("{error:?}")), seen.clone())
        };
        let (result, pieces) = collect("12345\r\n\n  1234\n12345", 5);
        result.unwrap();
        assert_eq!(pieces, [(5, 0, 1, 1), (4, 10, 3, 3), (5, 15, 4, 1)]);
        let (result, pieces) = collect("1\n123456\n", 5);
        assert!(result.unwrap_err().contains("TooLong { line: 2 }"));
        assert_eq!(pieces.len(), 1);
        assert!(collect("12345678", 5).0.is_err());
    }
}
