//! How a state says that its disk is full: a small file whose room was taken before, so that writing it needs none.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The file's name in the directory of the state.
const FILE: &str = "no-room";

/// How large it is, always.
const BYTES: usize = 512;

/// The file, open; nothing where it could not be made.
#[derive(Debug)]
pub(super) struct Sign {
    file: Option<File>,
    is_put: bool,
}

impl Sign {
    /// Makes the file, or clears what stands in the one that is there.
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let mut options = File::options();
        let options = options.create(true).write(true).truncate(false);
        let mut sign = Self {
            file: options.open(path).ok(),
            is_put: true,
        };
        sign.clear();
        sign
    }

    /// Says why the state cannot be written. Where that fails, the log says it alone.
    pub(super) fn put(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_put, true) {
            self.write(reason);
        }
    }

    /// Says that the state can be written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_put) {
            self.write("");
        }
    }

    fn write(&mut self, text: &str) {
        let mut bytes = [b' '; BYTES];
        let text = &text.as_bytes()[..text.len().min(BYTES - 1)];
        bytes[..text.len()].copy_from_slice(text);
        bytes[BYTES - 1] = b'\n';
        if let Some(file) = &mut self.file {
            let start = file.seek(SeekFrom::Start(0));
            let written = start.and_then(|_| file.write_all(&bytes));
            if let Err(error) = written {
                tracing::debug!(%error, "cannot write {FILE}");
            }
        }
    }

    /// Returns what stands in the file of a directory, if anything does.
    pub(super) fn read(dir: &Path) -> Option<String> {
        let mut bytes = Vec::new();
        let file = File::open(dir.join(FILE)).ok()?;
        file.take(BYTES as u64).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_read_until_it_is_cleared_and_takes_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        let length = || std::fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert_eq!(Sign::read(dir.path()), None);
        let mut sign = Sign::open(dir.path());
        assert_eq!(Sign::read(dir.path()), None);
        let before = length();
        sign.put("database or disk is full");
        let told = Some("database or disk is full".to_owned());
        assert_eq!(Sign::read(dir.path()), told);
        assert_eq!(length(), before);
        sign.clear();
        assert_eq!(Sign::read(dir.path()), None);
        sign.put(&"x".repeat(5_000));
        assert_eq!(Sign::read(dir.path()).unwrap().len(), BYTES - 1);
        assert_eq!(length(), before);
        // One that a service left which was killed is cleared by the next.
        drop(sign);
        let _sign = Sign::open(dir.path());
        assert_eq!(Sign::read(dir.path()), None);
    }
}
