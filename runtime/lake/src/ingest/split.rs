//! Bytes to events' source texts: the lines of NDJSON. For JSON that spans lines see [`super::values`].

use std::io::{self, BufRead, Read};

use sha2::{Digest, Sha256};

use super::kinds::{bare, is_blank};
use super::known::HEAD;

/// The bytes of a source that were read, from its start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefix {
    hash: Sha256,
    /// Its length in bytes, decompressed.
    pub(crate) end: u64,
    /// Start of the digest of its first [`HEAD`] bytes, once it has as many.
    head: Option<[u8; 8]>,
}

impl Prefix {
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if self.head.is_none() {
            let missing = HEAD - usize::try_from(self.end).unwrap_or(HEAD).min(HEAD);
            if bytes.len() >= missing {
                let (first, rest) = bytes.split_at(missing);
                self.hash.update(first);
                self.end += first.len() as u64;
                self.head = Some(short(self.digest()));
                bytes = rest;
            }
        }
        self.hash.update(bytes);
        self.end += bytes.len() as u64;
    }

    /// Returns the start of the digest of the first [`HEAD`] bytes, or of all if they are fewer.
    pub(crate) fn head(&self) -> [u8; 8] {
        self.head.unwrap_or_else(|| short(self.digest()))
    }

    /// Returns the first half of the SHA-256 of the bytes.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.hash.clone().finalize()[..16]);
        digest
    }
}

fn short(digest: [u8; 16]) -> [u8; 8] {
    let mut start = [0; 8];
    start.copy_from_slice(&digest[..8]);
    start
}

/// An event's source text and where it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    /// Line, from 1.
    pub(crate) line: u64,
    /// Column in bytes, from 1.
    pub(crate) column: u64,
    /// What was read up to the end of the piece.
    pub(crate) prefix: &'a Prefix,
    /// The line that it stands in, if it is one of lines, and what was read before this line.
    pub(crate) within: Option<(&'a [u8], &'a Prefix)>,
    /// Whether the file ends here without the end of the line: more may be written.
    pub(crate) is_last: bool,
    /// Whether it is longer than an event may be; its bytes are then only its start.
    pub(crate) is_too_long: bool,
}

impl Piece<'_> {
    /// Returns the offset of its first byte.
    pub(crate) fn start(&self) -> u64 {
        match self.within {
            Some((line, before)) => before.end + self.place_in(line) as u64,
            None => self.prefix.end - self.bytes.len() as u64,
        }
    }

    /// Says whether an array goes on at its byte `at`, behind one of its elements.
    pub(crate) fn is_array_at(&self, at: usize) -> bool {
        let rest = bare(&self.bytes[at..]);
        let starts_with =
            |bytes: &[u8], any: &[u8]| bytes.first().is_some_and(|byte| any.contains(byte));
        at > 0 && starts_with(self.bytes, b"[{") && starts_with(rest, b",]")
    }

    /// Extends what was read up to a byte of the line to what was read before the piece's byte `at`; nothing unless it is one of lines.
    pub(crate) fn extend(&self, read: &mut (usize, Prefix), at: usize) -> Option<Prefix> {
        let (line, _) = self.within?;
        let end = self.place_in(line) + at;
        read.1.extend(line.get(read.0..end)?);
        read.0 = end;
        Some(read.1.clone())
    }

    /// Returns what was read before its byte `at`; nothing unless it is one of lines.
    pub(crate) fn up_to(&self, at: usize) -> Option<Prefix> {
        let (_, before) = self.within?;
        self.extend(&mut (0, before.clone()), at)
    }

    fn place_in(&self, line: &[u8]) -> usize {
        self.bytes.as_ptr() as usize - line.as_ptr() as usize
    }
}

/// Why splitting stopped, besides an error of whom the pieces are given to.
#[derive(Debug)]
pub(crate) enum SplitError<E> {
    /// The bytes could not be had.
    Read { line: u64, source: io::Error },
    /// Not JSON, so that where the next event begins is unknown.
    Syntax {
        line: u64,
        column: u64,
        reason: String,
    },
    /// The file ends within the event that begins here, outside of any array: more may be written.
    Torn { line: u64, column: u64 },
    /// From the receiver.
    Receiver(E),
}

/// Bytes that were passed over between events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Zeros: holes in a file that was cut to nothing while its writer went on.
    pub(crate) zeros: u64,
}

/// Gives each line that is not blank to `each`.
pub(crate) fn lines<E>(
    bytes: &mut dyn BufRead,
    limit: usize,
    mut each: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Passed, SplitError<E>> {
    let mut buffer = Vec::new();
    let mut prefix = Prefix::default();
    let mut passed = Passed::default();
    let mut line = 0;
    loop {
        let last = line;
        let unreadable = |source| SplitError::Read { line: last, source };
        // A hole may be longer than memory.
        let zeros = pass_zeros(bytes, &mut prefix).map_err(unreadable)?;
        passed.zeros += zeros;
        buffer.clear();
        // One byte more than allowed, and a line end.
        let most = limit as u64 + 2;
        let read = bytes.take(most).read_until(b'\n', &mut buffer);
        let read = read.map_err(unreadable)? as u64;
        if read == 0 {
            return Ok(passed);
        }
        line += 1;
        let before_line = prefix.clone();
        let text = bare(&buffer);
        let before = text.as_ptr() as usize - buffer.as_ptr() as usize;
        // The line's end does not belong to the prefix: a file may end without one, and get it later.
        let (read_now, rest) = buffer.split_at(before + text.len());
        prefix.extend(read_now);
        let is_cut = read == most && !buffer.ends_with(b"\n");
        let is_too_long = text.len() > limit || is_cut;
        if !text.is_empty() {
            passed.zeros += zeros_around(&buffer, text);
            if is_cut {
                prefix.extend(rest);
                pass_line(bytes, &mut prefix).map_err(unreadable)?;
            }
            each(Piece {
                bytes: if is_too_long {
                    &text[..text.len().min(SHOWN)]
                } else {
                    text
                },
                line,
                column: zeros + before as u64 + 1,
                prefix: &prefix,
                within: Some((&buffer, &before_line)),
                is_last: !is_cut && !buffer.ends_with(b"\n"),
                is_too_long,
            })
            .map_err(SplitError::Receiver)?;
        }
        if !is_cut || text.is_empty() {
            prefix.extend(rest);
        }
        if is_cut && text.is_empty() {
            // The line goes on.
            line -= 1;
        }
        if buffer.capacity() > KEPT_CAPACITY {
            buffer = Vec::new();
        }
    }
}

/// How much is shown of an event that is too long.
pub(crate) const SHOWN: usize = 1_024;

/// Passes over zeros and returns how many they were.
fn pass_zeros(bytes: &mut dyn BufRead, prefix: &mut Prefix) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let available = bytes.fill_buf()?;
        let count = available.iter().take_while(|byte| **byte == 0).count();
        if count == 0 {
            return Ok(passed);
        }
        prefix.extend(&available[..count]);
        bytes.consume(count);
        passed += count as u64;
    }
}

/// Passes over the rest of a line.
fn pass_line(bytes: &mut dyn BufRead, prefix: &mut Prefix) -> io::Result<()> {
    loop {
        let available = bytes.fill_buf()?;
        let end = available.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(available.len(), |end| end + 1);
        prefix.extend(&available[..count]);
        bytes.consume(count);
        if end.is_some() || count == 0 {
            return Ok(());
        }
    }
}

fn zeros_around(line: &[u8], text: &[u8]) -> u64 {
    let before = line.iter().take_while(|byte| is_blank(**byte));
    let after = line.iter().rev().take_while(|byte| is_blank(**byte));
    if text.len() == line.len() {
        return 0;
    }
    before.chain(after).filter(|byte| **byte == 0).count() as u64
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
                let end = piece.prefix.end;
                let start = usize::try_from(piece.start()).unwrap();
                assert_eq!(
                    &text.as_bytes()[start..start + piece.bytes.len()],
                    piece.bytes
                );
                assert_eq!(piece.up_to(1).unwrap().end, piece.start() + 1);
                assert_eq!(piece.prefix.digest(), {
                    let mut prefix = Prefix::default();
                    prefix.extend(&text.as_bytes()[..usize::try_from(end).unwrap()]);
                    prefix.digest()
                });
                let text = String::from_utf8_lossy(piece.bytes).into_owned();
                seen.push((text, end, piece.line, piece.column, piece.is_too_long));
                Ok(())
            });
            (result.unwrap().zeros, seen.clone())
        };
        let piece = |text: &str, end, line, column| (text.to_owned(), end, line, column, false);
        assert_eq!(
            collect("12345\r\n\n  1234\n12345", 5),
            (
                0,
                vec![
                    piece("12345", 5, 1, 1),
                    piece("1234", 14, 3, 3),
                    piece("12345", 20, 4, 1)
                ]
            )
        );
        let long = |text: &str, end, line| (text.to_owned(), end, line, 1, true);
        assert_eq!(
            collect("1\n123456\n1234567890\n2\n", 5).1,
            [
                piece("1", 1, 1, 1),
                long("123456", 8, 2),
                long("1234567", 20, 3),
                piece("2", 21, 4, 1)
            ]
        );
        let holes = "\0\0\0a\0\n\0\0\n\u{feff}b\n\0\0\0\0\0\0\0\0\u{1e}c\0\0";
        let (zeros, pieces) = collect(holes, 5);
        assert_eq!(zeros, 16);
        let texts: Vec<_> = pieces.iter().map(|piece| piece.0.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c"]);
    }
}
