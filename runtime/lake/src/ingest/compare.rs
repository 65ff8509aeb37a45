//! A source is compared with what was ingested before.

use std::fs::File;
use std::io::{self, BufRead, Write};

use super::IngestError;
use super::kinds::is_blank;
use super::known::{Before, ContentId, Entry};
use super::source::Source;
use super::split::Prefix;

/// How a source compares with what is in the table.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) before: Before,
    /// The entries that are of it.
    pub(crate) ids: Vec<ContentId>,
    /// Whether nothing but blanks follows.
    pub(crate) is_whole: bool,
    /// Whether it could be an older copy of a source that has grown.
    pub(crate) is_shorter: bool,
}

/// Finds how far a source was read before. `like` are entries that may be of it, in the order of their ends.
pub(crate) fn compare(mut source: Source, like: Vec<Entry>) -> Compared {
    let mut prefix = Prefix::default();
    let mut certain = Vec::new();
    let (mut last, mut only_blanks_since) = (0, true);
    let mut is_shorter = false;
    for entry in like {
        match read_up_to(&mut source, entry.end, &mut prefix) {
            Ok(only_blanks) => only_blanks_since &= only_blanks,
            // What cannot be read is met again by who reads the events.
            Err(_) => {
                only_blanks_since = false;
                break;
            }
        }
        if prefix.end < entry.end {
            is_shorter = true;
            break;
        }
        if prefix.digest() == entry.digest {
            (last, only_blanks_since) = (entry.end, true);
            certain.push(entry);
        }
    }
    let ids = certain.iter().map(Entry::id).collect();
    let before = Before::of(certain);
    let is_known = before.end == last && last > 0 && only_blanks_since;
    Compared {
        is_whole: is_known && before.parts.is_empty() && has_only_blanks(&mut source),
        is_shorter: is_shorter && !is_known,
        before,
        ids,
    }
}

/// Reads on until `end` bytes were read, and says whether they were blanks.
fn read_up_to(source: &mut Source, end: u64, prefix: &mut Prefix) -> io::Result<bool> {
    let mut only_blanks = true;
    while prefix.end < end {
        let available = source.bytes.fill_buf()?;
        let missing = usize::try_from(end - prefix.end).unwrap_or(usize::MAX);
        let count = available.len().min(missing);
        if count == 0 {
            break;
        }
        let read = &available[..count];
        only_blanks = only_blanks && read.iter().all(|byte| is_blank(*byte));
        prefix.extend(read);
        source.bytes.consume(count);
    }
    Ok(only_blanks)
}

fn has_only_blanks(source: &mut Source) -> bool {
    loop {
        let Ok(available) = source.bytes.fill_buf() else {
            return false;
        };
        if available.is_empty() {
            return true;
        }
        if !available.iter().all(|byte| is_blank(*byte)) {
            return false;
        }
        let count = available.len();
        source.bytes.consume(count);
    }
}

/// Copies what can be read once only into a file that nobody else sees.
pub(crate) fn copied(source: &mut Source, name: &str) -> Result<File, IngestError> {
    let file = || name.to_owned();
    let not_written = |source| IngestError::Copy {
        file: file(),
        source,
    };
    let mut copy = tempfile::tempfile().map_err(not_written)?;
    loop {
        let available = match source.bytes.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(IngestError::Truncated {
                    file: file(),
                    line: 0,
                });
            }
            Err(source) => {
                return Err(IngestError::Read {
                    file: file(),
                    line: 0,
                    source,
                });
            }
        };
        if available.is_empty() {
            return Ok(copy);
        }
        let count = available.len();
        copy.write_all(available).map_err(not_written)?;
        source.bytes.consume(count);
    }
}
