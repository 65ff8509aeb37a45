//! EVTX files, by the writer of the format's own tests.

use crate::malformed::{Record, Sample, mark};

const MAGIC: &[u8] = b"ElfFile\0";
const CHUNK_MAGIC: &[u8] = b"ElfChnk\0";
const RECORD_MAGIC: &[u8] = b"\x2a\x2a\0\0";
const HEADER: usize = 4_096;
const CHUNK: usize = 65_536;
const FIRST_RECORD: usize = 512;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[allow(dead_code, reason = "the corpus uses a part of what it writes")]
#[path = "../../../../runtime/formats/src/evtx/tests/writer.rs"]
mod writer;

/// A file of one chunk with three logons.
pub(super) fn sample(number: u32) -> Sample {
    let mut writer = writer::Writer::new(1);
    let marks: Vec<String> = (0..3).map(|record| mark(number, record)).collect();
    for mark in &marks {
        writer.logon(mark, 4624);
    }
    let bytes = writer::file(&[writer.chunk()]);
    let mut records = Vec::new();
    let mut at = HEADER + FIRST_RECORD;
    for mark in marks {
        let end = at + writer::record_of(&bytes, at);
        records.push(Record {
            mark,
            range: at..end,
        });
        at = end;
    }
    Sample { bytes, records }
}
