//! Where alerts go: a file of JSON lines, each with its number, so that none is written twice.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use yagura_engine::live::{CommittedLine, Live};

/// A file of JSON lines.
#[derive(Debug)]
pub struct Outbox {
    file: File,
    path: PathBuf,
    last: i64,
    /// How long the file was when it was written to last.
    length: u64,
    /// When it is tried again, while it cannot be written.
    again: Option<Instant>,
}

/// How long the file is left alone that cannot be written.
const PAUSE: Duration = Duration::from_secs(2);

/// Lines that are written at once when it can be.
const AT_ONCE: usize = 5_000;

/// Bytes that are read from the end at a time.
const CHUNK: u64 = 64 << 10;

impl Outbox {
    /// Opens the file, cuts off a line that was not written to its end, and finds the number of the last one.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        let file = open(path)?;
        let mut outbox = Self {
            file,
            path: path.to_owned(),
            last: 0,
            length: 0,
            again: None,
        };
        outbox
            .mend()
            .with_context(|| format!("cannot read back {}", path.display()))?;
        Ok(outbox)
    }

    /// Looks at the file as [`Outbox::look`] does. One that cannot be looked at is tried again later.
    pub fn look_again(&mut self) -> Result<Option<String>> {
        if self.again.is_some() {
            // Done before it is written to.
            return Ok(None);
        }
        let looked = self.look();
        self.later(looked)
    }

    /// Appends lines that were committed. While the file cannot be written they stay in the state, and detection goes on. Returns
    /// a message for people.
    ///
    /// # Errors
    /// When another service writes to the file.
    pub fn hand(&mut self, live: &Live, lines: &[CommittedLine]) -> Result<Option<String>> {
        match self.again {
            Some(at) if Instant::now() < at => return Ok(None),
            Some(_) => {}
            None => {
                let written = self.append(texts(lines)).map(|()| None);
                return self.later(written);
            }
        }
        let caught_up = self.catch_up(live);
        match caught_up {
            Ok(()) => {
                self.again = None;
                let path = self.path.display();
                Ok(Some(format!("alerts are written to {path} again")))
            }
            failed => self.later(failed.map(|()| None)),
        }
    }

    fn catch_up(&mut self, live: &Live) -> Result<()> {
        if let Some(message) = self.look()? {
            tracing::warn!("{message}");
        }
        let read = self.mend();
        read.with_context(|| format!("cannot read back {}", self.path.display()))?;
        loop {
            let lines = live.lines_after(self.last, AT_ONCE)?;
            if lines.is_empty() {
                return Ok(());
            }
            self.append(texts(&lines))?;
        }
    }

    /// Takes note that the file cannot be used now. Returns a message for people, once.
    fn later(&mut self, outcome: Result<Option<String>>) -> Result<Option<String>> {
        let error = match outcome {
            Err(error) if error.chain().any(|cause| cause.is::<io::Error>()) => error,
            other => return other,
        };
        let before = self.again.replace(Instant::now() + PAUSE);
        Ok(before.is_none().then(|| {
            format!(
                "{error:#}; detection goes on, and alerts wait in the state until it can be written"
            )
        }))
    }

    /// Says that lines are missing in the file, if they are.
    pub fn must_be_whole(&self) -> Result<()> {
        if self.again.is_some() {
            bail!(
                "{} ends with line {}: the next start writes the others into it",
                self.path.display(),
                self.last
            );
        }
        Ok(())
    }

    /// Looks whether the file is still the one that was written to: one that was moved or deleted is begun anew, and that one
    /// was shortened is said. Returns what to tell.
    pub fn look(&mut self) -> Result<Option<String>> {
        let path = self.path.display();
        let length = match std::fs::metadata(&self.path) {
            Ok(found) if is_same(&found, &self.file.metadata()?) => found.len(),
            Ok(_) => {
                let last = self.last;
                *self = Self::open(&self.path)?;
                let theirs = std::mem::replace(&mut self.last, last);
                if theirs > last {
                    bail!(
                        "another file was put in place of {}, with lines up to number {theirs}, where {last} were written: two services may write to it",
                        self.path.display()
                    );
                }
                return Ok(Some(format!(
                    "another file is in place of {} now: it goes on with line {}",
                    self.path.display(),
                    last + 1
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.file = open(&self.path)?;
                self.length = 0;
                return Ok(Some(format!(
                    "{path} was moved or deleted: a new one begins with line {}",
                    self.last + 1
                )));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot look at {path}"));
            }
        };
        let before = std::mem::replace(&mut self.length, length);
        if length >= before {
            return Ok(None);
        }
        Ok(Some(format!(
            "{path} was shortened from {before} to {length} bytes: lines up to number {} may be missing in it; `yagura alerts list` has the alerts",
            self.last
        )))
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
        self.length = start + whole as u64;
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
                "its last line is not an alert of yagura ({error}); name another file, or move this one away"
            ),
        }
        Ok(())
    }

    /// Returns the number of the last line; nought for an empty file.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Appends the lines, with their numbers, that are not there yet, and returns when they are on disk.
    pub fn append<'a>(&mut self, lines: impl IntoIterator<Item = (i64, &'a str)>) -> Result<()> {
        let mut text = String::new();
        let mut last = self.last;
        for (seq, line) in lines.into_iter().filter(|(seq, _)| *seq > self.last) {
            text.push_str(line);
            text.push('\n');
            last = seq;
        }
        let write = |file: &mut File| -> io::Result<()> {
            file.write_all(text.as_bytes())?;
            file.sync_data()
        };
        if !text.is_empty() {
            let before = self.file.metadata().map(|of| of.len());
            let written = write(&mut self.file);
            if let (Err(_), Ok(before)) = (&written, before) {
                // A line that was written in part would be no line. Where that fails too, it is cut off later.
                let _ = self.file.set_len(before);
            }
            written.with_context(|| format!("cannot write alerts to {}", self.path.display()))?;
            self.length += text.len() as u64;
        }
        self.last = last;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    let file = options.open(path);
    file.with_context(|| format!("cannot write alerts to {}", path.display()))
}

/// Says whether two descriptions are of one file.
fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        true
    }
}

/// Returns the lines as they are written, with their numbers.
fn texts(lines: &[CommittedLine]) -> impl Iterator<Item = (i64, &str)> {
    lines.iter().map(|line| (line.seq(), line.text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(outbox: &mut Outbox, lines: &[(i64, String)]) {
        let lines = lines.iter().map(|(seq, line)| (*seq, line.as_str()));
        outbox.append(lines).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_was_moved_deleted_or_shortened_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.ndjson");
        let line = |seq: i64| (seq, format!("{{\"seq\":{seq}}}"));
        let read = || std::fs::read_to_string(&path).unwrap();
        let mut outbox = Outbox::open(&path).unwrap();
        append(&mut outbox, &[line(1), line(2)]);
        assert_eq!(outbox.look().unwrap(), None);
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        let message = outbox.look().unwrap().unwrap();
        assert!(
            message.contains("a new one begins with line 3"),
            "{message}"
        );
        append(&mut outbox, &[line(3)]);
        assert_eq!(outbox.look().unwrap(), None);
        assert_eq!(read(), "{\"seq\":3}\n");
        std::fs::write(&path, "").unwrap();
        let message = outbox.look().unwrap().unwrap();
        assert!(
            message.contains("shortened from 10 to 0 bytes"),
            "{message}"
        );
        assert_eq!(outbox.look().unwrap(), None, "said once");
        append(&mut outbox, &[line(4)]);
        assert_eq!(read(), "{\"seq\":4}\n");
        // Another file in its place, as logrotate's `create` makes one.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let message = outbox.look().unwrap().unwrap();
        assert!(message.contains("goes on with line 5"), "{message}");
        append(&mut outbox, &[line(5)]);
        assert_eq!(read(), "{\"seq\":5}\n");
        // One of another service is not written to.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "{\"seq\":70}\n").unwrap();
        assert!(
            outbox
                .look()
                .unwrap_err()
                .to_string()
                .contains("two services")
        );
    }

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
        append(&mut outbox, &lines[..500]);
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
            append(&mut outbox, &lines[..500]);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::write(&path, "something else\n").unwrap();
        let error = format!("{:#}", Outbox::open(&path).unwrap_err());
        assert!(error.contains("is not an alert of yagura"), "{error}");
    }
}
