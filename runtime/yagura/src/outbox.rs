//! Where alerts go: a file of JSON lines, each with its number, so that none is written twice.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A file of JSON lines.
#[derive(Debug)]
pub(crate) struct Outbox {
    file: File,
    path: PathBuf,
    last: i64,
}

/// Bytes that are read from the end at a time.
const CHUNK: u64 = 64 << 10;

impl Outbox {
    /// Opens the file, cuts off a line that was not written to its end, and finds the number of the last one.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot write alerts to {}", path.display()))?;
        let mut outbox = Self {
            file,
            path: path.to_owned(),
            last: 0,
        };
        outbox
            .mend()
            .with_context(|| format!("cannot read back {}", path.display()))?;
        Ok(outbox)
    }

    fn mend(&mut self) -> Result<()> {
        let length = self.file.metadata()?.len();
        let mut tail = Vec::new();
        let mut start = length;
        // Far enough back to hold a whole line and the end of the one before.
        while start > 0 && tail.iter().filter(|byte| **byte == b'\n').count() < 2 {
            let from = start.saturating_sub(CHUNK);
            let mut chunk = vec![0; usize::try_from(start - from)?];
            self.file.seek(SeekFrom::Start(from))?;
            self.file.read_exact(&mut chunk)?;
            chunk.extend(tail);
            tail = chunk;
            start = from;
        }
        let whole = tail
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole < tail.len() {
            self.file.set_len(start + whole as u64)?;
            self.file.sync_data()?;
        }
        let lines = tail[..whole].split(|byte| *byte == b'\n');
        let Some(line) = lines.rev().find(|line| !line.is_empty()) else {
            return Ok(());
        };
        #[derive(serde::Deserialize)]
        struct Numbered {
            seq: i64,
        }
        match serde_json::from_slice::<Numbered>(line) {
            Ok(numbered) => self.last = numbered.seq,
            Err(error) => bail!(
                "its last line is no alert of yagura ({error}); name another file, or move this one away"
            ),
        }
        Ok(())
    }

    /// Returns the number of the last line; nought for an empty file.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Appends the lines that are not there yet, and returns when they are on disk.
    pub(crate) fn append(&mut self, lines: &[(i64, String)]) -> Result<()> {
        let mut text = String::new();
        let mut last = self.last;
        for (seq, line) in lines.iter().filter(|(seq, _)| *seq > self.last) {
            text.push_str(line);
            text.push('\n');
            last = *seq;
        }
        let write = |file: &mut File| -> io::Result<()> {
            file.write_all(text.as_bytes())?;
            file.sync_data()
        };
        if !text.is_empty() {
            write(&mut self.file)
                .with_context(|| format!("cannot write alerts to {}", self.path.display()))?;
        }
        self.last = last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_cut_off_and_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/alerts.ndjson");
        let line = |seq: i64| {
            (
                seq,
                format!("{{\"seq\":{seq},\"text\":\"{}\"}}", "x".repeat(200)),
            )
        };
        let lines: Vec<_> = (1..=1_000).map(line).collect();
        let mut outbox = Outbox::open(&path).unwrap();
        assert_eq!(outbox.last(), 0);
        outbox.append(&lines[..500]).unwrap();
        drop(outbox);
        let whole = std::fs::read(&path).unwrap();
        let end = whole.len() as u64;
        for torn in [1, 100, 215, 216] {
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(end - torn)
                .unwrap();
            let mut outbox = Outbox::open(&path).unwrap();
            assert_eq!(outbox.last(), 499, "{torn} bytes torn off");
            outbox.append(&lines[..500]).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::write(&path, "something else\n").unwrap();
        let error = format!("{:#}", Outbox::open(&path).unwrap_err());
        assert!(error.contains("is no alert of yagura"), "{error}");
    }
}
