//! Windows event logs (EVTX): their records as lines of XML.
//!
//! ```text
//! file   = header, 4,096 bytes: "ElfFile" NUL … flags; *chunk
//! chunk  = 65,536 bytes: "ElfChnk" NUL first-number last-number first-id last-id header-size last-record free-space checksum …;
//!          at byte 512 *record
//! record = %x2A2A0000 size id time event size       event: see binxml.rs
//! ```
//!
//! Chunks and their records come in the order of the file. The file's header is not used, so that a copy of a log in use is read too.
//! A chunk of zeros is room for later records. What cannot be read becomes a line `<?damaged …?>` with its place and the reason, and what
//! stands behind it is read. A wrong checksum is such a line as well, but the chunk's records are read.
//!
//! Source: "Windows XML Event Log (EVTX) format" of the project libevtx, <https://github.com/libyal/libevtx>.

use std::io::{self, Read};

use crate::binxml;
use crate::windows_xml::DAMAGED;

const MAGIC: &[u8] = b"ElfFile\0";
const CHUNK_MAGIC: &[u8] = b"ElfChnk\0";
const RECORD_MAGIC: &[u8] = b"\x2a\x2a\0\0";
const HEADER: usize = 4_096;
const CHUNK: usize = 65_536;
/// Where the records of a chunk begin.
const FIRST_RECORD: usize = 512;
/// Magic, size, number and time before the event, and the size behind it.
const AROUND_EVENT: usize = 28;

/// Reads an EVTX file and gives the events out as XML, each on a line. It keeps one chunk in memory, and the text of one record,
/// which has at most 512 KiB.
#[derive(Debug)]
pub struct Evtx<R> {
    inner: R,
    /// Where the chunk begins in the file.
    offset: u64,
    chunk: Vec<u8>,
    /// The next record of the chunk, and where its records end.
    at: usize,
    end: usize,
    /// Whether the file says that it was not closed. The checksums of its last chunk are then those of an earlier state.
    is_dirty: bool,
    state: State,
    /// Whether the file ends within the chunk.
    is_cut: bool,
    line: String,
    used: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    Records,
    End,
}

impl<R: Read> Evtx<R> {
    /// Reads a file from its first byte.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            offset: 0,
            chunk: Vec::new(),
            at: 0,
            end: 0,
            is_dirty: false,
            state: State::Begin,
            is_cut: false,
            line: String::new(),
            used: 0,
        }
    }

    /// Says whether a file begins as an EVTX file does.
    pub fn is_start(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Makes the next line.
    fn fill(&mut self) -> io::Result<()> {
        self.line.clear();
        self.used = 0;
        while self.line.is_empty() {
            match self.state {
                State::Begin => {
                    let mut header = Vec::new();
                    (&mut self.inner)
                        .take(HEADER as u64)
                        .read_to_end(&mut header)?;
                    self.is_cut = header.len() < HEADER;
                    self.is_dirty = header.get(120).is_some_and(|flags| flags & 1 != 0);
                    self.offset = HEADER as u64;
                    self.state = State::Records;
                }
                State::Records if self.at < self.end => self.record(),
                State::Records if self.is_cut => {
                    self.state = State::End;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                State::Records => self.next_chunk()?,
                State::End => return Ok(()),
            }
        }
        self.line.push('\n');
        Ok(())
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.offset += self.chunk.len() as u64;
        self.chunk.clear();
        (self.at, self.end) = (0, 0);
        (&mut self.inner)
            .take(CHUNK as u64)
            .read_to_end(&mut self.chunk)?;
        if self.chunk.is_empty() {
            self.state = State::End;
        }
        self.is_cut = !self.chunk.is_empty() && self.chunk.len() < CHUNK;
        if self.chunk.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if !self.chunk.starts_with(CHUNK_MAGIC) {
            if self.is_cut && self.chunk.len() < CHUNK_MAGIC.len() {
                return Ok(());
            }
            self.damaged(None, 0, "it does not begin with `ElfChnk`");
            return Ok(());
        }
        let free = u32_at(&self.chunk, 48).unwrap_or_default();
        self.at = FIRST_RECORD;
        self.end = match usize::try_from(free) {
            Ok(free) if (FIRST_RECORD..=CHUNK).contains(&free) => free.min(self.chunk.len()),
            _ => self.chunk.len(),
        };
        if !self.is_dirty && !self.is_cut && !has_right_checksums(&self.chunk) {
            self.damaged(
                None,
                0,
                "its checksum is wrong; its records are read nevertheless",
            );
        }
        Ok(())
    }

    /// Writes the next record as a line.
    fn record(&mut self) {
        let at = self.at;
        let chunk = &self.chunk;
        let number = u64_at(chunk, at + 8);
        let Some(size) = size_of_record(chunk, at, self.end) else {
            // Where records go on after damage.
            let next = (at + 4..self.end)
                .step_by(4)
                .find(|at| size_of_record(chunk, *at, self.end).is_some());
            self.at = next.unwrap_or(self.end);
            // The end of the file is reported by itself, and the rest may be written later.
            if next.is_none() && self.is_cut {
                return;
            }
            let bytes = self.at - at;
            let reason = format!("{bytes} bytes are not a record");
            self.damaged(None, at, &reason);
            return;
        };
        self.at = at + size;
        match binxml::text(chunk, at + AROUND_EVENT - 4, at + size - 4) {
            Ok(text) if !text.is_empty() => self.line.push_str(&text),
            Ok(_) => self.damaged(number, at, "it holds no event"),
            Err(reason) => self.damaged(number, at, reason),
        }
    }

    fn damaged(&mut self, record: Option<u64>, at: usize, reason: &str) {
        let offset = self.offset + at as u64;
        let what = match record {
            Some(record) => format!("record {record}"),
            None if at == 0 => "chunk".to_owned(),
            None => "a record".to_owned(),
        };
        self.line
            .push_str(&format!("{DAMAGED}{what} at byte {offset}: {reason}?>"));
    }
}

impl<R: Read> Read for Evtx<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.line.len() {
            self.fill()?;
        }
        let rest = self.line.as_bytes().get(self.used..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.used += count;
        Ok(count)
    }
}

/// Returns the size of the record at a place, if one that is whole stands there.
fn size_of_record(chunk: &[u8], at: usize, end: usize) -> Option<usize> {
    if !chunk.get(at..)?.starts_with(RECORD_MAGIC) {
        return None;
    }
    let size = usize::try_from(u32_at(chunk, at + 4)?).ok()?;
    let is_whole = size >= AROUND_EVENT && at.checked_add(size)? <= end;
    let again = u32_at(chunk, (at + size).checked_sub(4)?)?;
    (is_whole && usize::try_from(again) == Ok(size)).then_some(size)
}

/// Compares the checksums of a chunk's header and of its records.
fn has_right_checksums(chunk: &[u8]) -> bool {
    let of_header = |chunk: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(chunk.get(..120)?);
        hasher.update(chunk.get(128..FIRST_RECORD)?);
        Some(hasher.finalize() == u32_at(chunk, 124)?)
    };
    let of_records = |chunk: &[u8]| {
        let free = usize::try_from(u32_at(chunk, 48)?).ok()?;
        let sum = crc32fast::hash(chunk.get(FIRST_RECORD..free)?);
        Some(sum == u32_at(chunk, 52)?)
    };
    of_header(chunk) == Some(true) && of_records(chunk) == Some(true)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
