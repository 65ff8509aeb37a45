//! The thread that reads: files to events to chunks, one after another.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::Sender;

use super::chunk::{Chunk, Gatherer};
use super::event::{checked_members, elements, enveloped, members};
use super::source::Source;
use super::split::{Piece, SplitError, lines};
use super::values::values;
use super::{Format, IngestError, IngestOptions, Progress};
use crate::TableDefinition;

/// How often progress is told, in bytes of the files.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What the reading thread sends.
pub(crate) enum Step {
    Progress(Progress),
    /// Events, and the definition that holds them.
    Chunk(Chunk, Arc<TableDefinition>),
}

/// What the reading thread counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) rejected: u64,
    pub(crate) without_time: u64,
    pub(crate) empty_files: Vec<String>,
}

/// Reads the files and sends what is in them; returns the counts and what was learned.
pub(crate) fn run(
    options: &IngestOptions,
    files: &[PathBuf],
    definition: TableDefinition,
    sender: &Sender<Step>,
) -> Result<(Counts, Gatherer), IngestError> {
    let mut reading = Reading {
        options,
        sender,
        gatherer: Gatherer::new(definition, options.chunk_bytes),
        rejects: options
            .rejects
            .as_deref()
            .map(Rejects::create)
            .transpose()?,
        counts: Counts::default(),
        read: Arc::default(),
        progress: Progress {
            files_total: files.len(),
            bytes_total: super::source::total_bytes(files),
            ..Progress::default()
        },
    };
    for (index, path) in (0u32..).zip(files) {
        reading.file(index, path)?;
        reading.progress.files += 1;
    }
    reading.flush()?;
    if let Some(rejects) = &mut reading.rejects {
        rejects.finish()?;
    }
    reading.tell()?;
    reading.counts.bytes = reading.read.load(Ordering::Relaxed);
    Ok((reading.counts, reading.gatherer))
}

struct Reading<'o> {
    options: &'o IngestOptions,
    sender: &'o Sender<Step>,
    gatherer: Gatherer,
    rejects: Option<Rejects>,
    counts: Counts,
    /// Bytes taken from the files.
    read: Arc<AtomicU64>,
    progress: Progress,
}

impl Reading<'_> {
    fn file(&mut self, index: u32, path: &Path) -> Result<(), IngestError> {
        let name = path.display().to_string();
        let before = self.counts.events + self.counts.rejected;
        let mut source = Source::open(path, self.options.format, Arc::clone(&self.read))?;
        let limit = self.options.max_event_bytes;
        let by_lines = source.format != Format::Json;
        let each = |piece: Piece<'_>| self.piece(index, &name, by_lines, piece);
        let result = if by_lines {
            lines(&mut *source.bytes, limit, each)
        } else {
            values(&mut *source.bytes, limit, each)
        };
        result.map_err(|error| match error {
            SplitError::Receiver(error) => error,
            SplitError::Read { line, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
                IngestError::Truncated { file: name.clone(), line }
            }
            SplitError::Read { line, source } => IngestError::Read {
                file: name.clone(),
                line,
                source,
            },
            SplitError::TooLong { line } => IngestError::TooLong {
                file: name.clone(),
                line,
                limit,
            },
            SplitError::Syntax { line, column, reason } => IngestError::Malformed {
                file: name.clone(),
                line,
                column,
                reason,
                next: "; what follows cannot be told apart: correct the file, or give --format ndjson if it holds an event a line",
            },
        })?;
        if self.counts.events + self.counts.rejected == before {
            self.counts.empty_files.push(name);
        }
        Ok(())
    }

    /// Adds the event, or the events, of a piece; sets it aside if it is none.
    fn piece(
        &mut self,
        index: u32,
        name: &str,
        by_lines: bool,
        piece: Piece<'_>,
    ) -> Result<(), IngestError> {
        if let Err(error) = self.add(index, piece)? {
            let Some(rejects) = &mut self.rejects else {
                // Inside a piece, the parser counts lines and columns from its start.
                let column = error.column() as u64;
                let is_first_line = error.line() <= 1;
                let next = match by_lines {
                    true if error.is_eof() || piece.bytes.starts_with(b"[") => {
                        "; correct the line, set such lines aside with --rejects FILE, or give --format json if events are in an array or span lines"
                    }
                    true => "; correct the line, or set such lines aside with --rejects FILE",
                    false => "; correct the event, or set such events aside with --rejects FILE",
                };
                return Err(IngestError::Malformed {
                    file: name.to_owned(),
                    line: piece.line + error.line().saturating_sub(1) as u64,
                    column: if is_first_line {
                        piece.column + column.saturating_sub(1)
                    } else {
                        column
                    },
                    reason: without_place(&error),
                    next,
                });
            };
            rejects.write(piece.bytes)?;
            self.counts.rejected += 1;
        }
        Ok(())
    }

    fn add(
        &mut self,
        index: u32,
        piece: Piece<'_>,
    ) -> Result<Result<(), serde_json::Error>, IngestError> {
        let (text, outer) = match checked_members(piece.bytes) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let Some(array) = enveloped(&outer) else {
            self.event(index, piece.offset, text, &outer)?;
            return Ok(Ok(()));
        };
        // All or nothing: an element that is no event must not leave its neighbours behind in two places.
        let events: Result<Vec<_>, _> = elements(array).and_then(|elements| {
            elements
                .into_iter()
                .map(|event| members(event).map(|members| (event, members)))
                .collect()
        });
        match events {
            Err(error) => Ok(Err(error)),
            Ok(events) => {
                for (event, members) in events {
                    self.event(index, piece.offset, event, &members)?;
                }
                Ok(Ok(()))
            }
        }
    }

    fn event(
        &mut self,
        index: u32,
        offset: u64,
        text: &str,
        members: &[super::event::Member<'_>],
    ) -> Result<(), IngestError> {
        if self.gatherer.len() > 0
            && (self.gatherer.len() >= self.options.chunk_events
                || self.gatherer.bytes() + text.len() > self.options.chunk_bytes)
        {
            self.flush()?;
        }
        let has_time = self.gatherer.add(text, members, index, offset);
        self.counts.events += 1;
        self.counts.without_time += u64::from(!has_time);
        if self.read.load(Ordering::Relaxed) >= self.progress.bytes + PROGRESS_BYTES {
            self.tell()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        if self.gatherer.len() == 0 {
            return Ok(());
        }
        let chunk = self.gatherer.take();
        let definition = Arc::clone(self.gatherer.definition());
        self.send(Step::Chunk(chunk, definition))?;
        // The channel holds one step: this one waits until the chunk was taken, so that two chunks exist at most.
        self.tell()
    }

    fn tell(&mut self) -> Result<(), IngestError> {
        self.progress.bytes = self.read.load(Ordering::Relaxed);
        self.progress.events = self.counts.events;
        self.send(Step::Progress(self.progress))
    }

    fn send(&self, step: Step) -> Result<(), IngestError> {
        // Nobody receives any more once writing has failed, which is then what is reported.
        self.sender
            .blocking_send(step)
            .map_err(|_| IngestError::Worker(None))
    }
}

/// Returns the parser's message without the place, which it counts from the start of the event.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// The file for lines that are no events.
struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Rejects {
    fn create(path: &Path) -> Result<Self, IngestError> {
        let file = File::create(path).map_err(|source| IngestError::Rejects {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    fn write(&mut self, line: &[u8]) -> Result<(), IngestError> {
        let written = self
            .file
            .write_all(line)
            .and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| self.wrong(source))
    }

    fn finish(&mut self) -> Result<(), IngestError> {
        self.file.flush().map_err(|source| self.wrong(source))
    }

    fn wrong(&self, source: io::Error) -> IngestError {
        IngestError::Rejects {
            file: self.path.clone(),
            source,
        }
    }
}
