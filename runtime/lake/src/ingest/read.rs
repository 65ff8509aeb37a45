//! The thread that reads: files to events to chunks, one after another.
//!
//! ```text
//! file ─archives─▶ members ─┐
//!   └───────────────────────┴─▶ pieces ─┬─records─▶ events ─rows─▶ gathered ─▶ batches
//!                                       └─parsed, many at once─▶ ┘
//! ```

mod archives;
mod parsed;
mod parts;
mod records;
mod rows;
mod wrong;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::mpsc::Sender;
use yagura_core::Timestamp;
use yagura_core::shown::one_line;
use yagura_formats::{Decode, Gather, LineFormat, received};

use self::parsed::WaitingRecords;
use self::rows::Waiting;
use self::wrong::{OPEN_LINE, failure};
use super::chunk::{Chunk, Gatherer};
use super::compare::{compare, copied};
use super::each::Each;
use super::elements::elements;
use super::kinds::{archive as archive_kind, may_hold_events};
use super::known::{Before, HEAD, Known};
use super::ledger::Part;
use super::line::{Found, Wrong, scan};
use super::normalize::Normalized;
use super::repeats::RepeatRows;
use super::replace::Claim;
use super::report::{Counts, Example, IngestReport};
use super::source::{Input, Listed, Shape, Source};
use super::split::{Passed, Piece, Prefix, SplitError, lines};
use super::values::values;
use super::{Format, IngestError, IngestOptions, Progress};
use crate::{TableDefinition, TimeBounds};

/// How often progress is reported, in bytes of the files.
const PROGRESS_BYTES: u64 = 1 << 20;
/// How deep archives are opened: an archive, and one in it.
const DEEPEST_ARCHIVE: usize = 2;
/// The longest value that an example shows.
const LONGEST_VALUE: usize = 80;

/// What the reading thread sends.
pub(crate) enum Step {
    Progress(Progress),
    /// Events that are written together.
    Batch(Box<Batch>),
}

/// Events, where they come from, and the counts and examples of the report.
pub(crate) struct Batch {
    pub(crate) chunk: Chunk,
    /// Holds all the events.
    pub(crate) definition: Arc<TableDefinition>,
    pub(crate) parts: Vec<Part>,
    /// Lines that are not events.
    pub(crate) rejects: Vec<u8>,
    pub(crate) counts: Counts,
    /// Whether all of its sources can be read again.
    pub(crate) fleeting: Option<String>,
}

/// What the reading thread is given.
pub(crate) struct Task {
    pub(crate) files: Vec<Listed>,
    pub(crate) definition: TableDefinition,
    /// What is in the table.
    pub(crate) known: Arc<Known>,
    /// What of it this very ingest wrote.
    pub(crate) own: Known,
    /// Times behind this are in the future.
    pub(crate) future: Timestamp,
}

/// What the reading thread returns.
pub(crate) struct Read {
    /// On the files.
    pub(crate) report: IngestReport,
    /// The learned columns.
    pub(crate) gatherer: Gatherer,
    /// What each file holds, where rewritten files replace their rows.
    pub(crate) claims: Vec<Claim>,
}

/// Reads the files and sends what is in them.
pub(crate) fn run(
    options: &IngestOptions,
    task: Task,
    sender: &Sender<Step>,
) -> Result<Read, IngestError> {
    let declared = options.time_field.clone();
    let mut reading = Reading {
        options,
        sender,
        gatherer: Gatherer::new(
            task.definition,
            declared,
            Arc::clone(&options.known_keys),
            options.chunk_bytes,
        ),
        batch: Gathered::default(),
        report: IngestReport::default(),
        events: 0,
        known: task.known,
        own: task.own,
        in_run: Known::default(),
        future: task.future,
        early: TimeBounds::default().from,
        until: Timestamp::default(),
        file: Current::default(),
        read: Arc::default(),
        archives: 0,
        claims: Vec::new(),
        part: 0,
        progress: Progress {
            files_total: task.files.len(),
            bytes_total: super::source::total_bytes(&task.files),
            ..Progress::default()
        },
    };
    reading.gatherer.set_zone(options.timezone);
    if let Some(source) = &options.source {
        let columns = source.columns.iter().map(|column| column.name.clone());
        reading.gatherer.keep_for_source(columns);
    }
    for file in &task.files {
        reading.file(file)?;
        reading.progress.files += 1;
    }
    reading.flush()?;
    reading.gatherer.learn_time_keys();
    reading.send_progress()?;
    reading.report.bytes = reading.read.load(Ordering::Relaxed);
    Ok(Read {
        report: reading.report,
        gatherer: reading.gatherer,
        claims: reading.claims,
    })
}

/// What is written with the events that are gathered.
#[derive(Default)]
struct Gathered {
    parts: Vec<Part>,
    rejects: Vec<u8>,
    counts: Counts,
    fleeting: Option<String>,
}

/// The file that is being read.
#[derive(Default)]
struct Current {
    name: String,
    /// Its first bytes.
    start: Vec<u8>,
    /// What of it is in the table.
    before: Before,
    /// Where the part begins that is being gathered.
    from: u64,
    /// How far it is gathered.
    done: Option<Prefix>,
    /// Whether it can be read again.
    is_lasting: bool,
    /// Whether anything new was found in it.
    has_news: bool,
    /// Whether what is read is behind what is in the table.
    is_behind: bool,
    /// Zeros between events of a line.
    zeros: u64,
    /// Whether its events are lines that are not JSON.
    is_of_lines: bool,
    /// What makes events of its lines, where they are not JSON.
    decoder: Option<Box<dyn Decode>>,
    /// What puts its lines together, where an event may have several.
    gather: Option<Box<dyn Gather>>,
    /// The lines that wait for others: the number of each, and what was read up to its end.
    waits: Vec<(u64, Prefix)>,
    /// Records that wait for the source's parser.
    records: WaitingRecords,
    /// Whether its lines were made of something else, whose damage is named in a line of its own.
    is_converted: bool,
    /// Events that wait to be normalized.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// Rows that wait for repetitions.
    repeats: RepeatRows<(Waiting, Normalized)>,
}

struct Reading<'o> {
    options: &'o IngestOptions,
    sender: &'o Sender<Step>,
    gatherer: Gatherer,
    batch: Gathered,
    report: IngestReport,
    events: u64,
    known: Arc<Known>,
    own: Known,
    /// What this thread read so far, written or not.
    in_run: Known,
    future: Timestamp,
    early: Timestamp,
    /// Until when what is read was written, for times without a year.
    until: Timestamp,
    file: Current,
    /// Bytes taken from the files.
    read: Arc<AtomicU64>,
    /// How many archives the file lies in.
    archives: usize,
    /// What each file holds; empty where rewritten files replace nothing.
    claims: Vec<Claim>,
    /// The number of the part that is being gathered.
    part: usize,
    progress: Progress,
}

impl Reading<'_> {
    /// Reads a file. What is wrong with it is the file's matter, unless the ingest is strict.
    fn file(&mut self, listed: &Listed) -> Result<(), IngestError> {
        let name = self.options.name_of(&listed.path);
        // Members of an archive were written before it.
        self.until = self.options.written_until.unwrap_or_else(|| {
            let now = self.future.saturating_add(-super::DAY);
            changed(&listed.path).map_or(now, |changed| changed.min(now))
        });
        self.gatherer.set_written_until(self.until);
        if self.options.replaces {
            self.claims.push(Claim::of(&name));
        }
        let before = self.unread();
        self.input(
            Input::Path(listed.path.clone()),
            &name,
            listed,
            DEEPEST_ARCHIVE,
        )?;
        let is_whole = self.unread() == before;
        if let Some(claim) = self.claims.last_mut() {
            claim.is_whole = is_whole;
        }
        Ok(())
    }

    /// Returns how many files, or parts of files, could not be read.
    fn unread(&self) -> usize {
        let report = &self.report;
        report.failed.len() + report.incomplete.len() + report.passed_over.len()
    }

    /// Reads a file or a member of an archive. `depth` is how many archives may still lie in it.
    fn input(
        &mut self,
        input: Input,
        name: &str,
        listed: &Listed,
        depth: usize,
    ) -> Result<(), IngestError> {
        let again = input.again().ok().filter(|input| input.is_lasting());
        let result = self.file_to_its_end(input, name);
        // What was read before the fault is an event all the same.
        self.parse()?;
        self.end_waiting()?;
        self.end_part();
        // Rows behind its last part are not of the next file's.
        self.part += 1;
        match result {
            Ok(()) => Ok(()),
            Err(IngestError::Unsupported { found, .. })
                if depth > 0 && again.is_some() && archive_kind(found).is_some() =>
            {
                match again.zip(archive_kind(found)) {
                    Some((input, kind)) => self.archive(&input, kind, name, depth - 1),
                    None => Ok(()),
                }
            }
            Err(error) if !error.is_of_the_file() || self.options.strict => Err(error),
            Err(IngestError::Unsupported { found, next, .. })
                if listed.is_from_folder && !may_hold_events(&listed.path, found) =>
            {
                let reason = format!("{found}: {next}");
                self.report.passed_over.push((name.to_owned(), reason));
                Ok(())
            }
            Err(error) => {
                self.report.failed.push(error);
                Ok(())
            }
        }
    }

    fn file_to_its_end(&mut self, mut input: Input, name: &str) -> Result<(), IngestError> {
        let mut source = self.open(&input, name)?;
        let start = source.bytes.peek(HEAD).unwrap_or_default();
        self.file = Current {
            name: name.to_owned(),
            start: start[..start.len().min(HEAD)].to_vec(),
            is_lasting: input.is_lasting(),
            ..Current::default()
        };
        if !self.options.again && !self.file.start.is_empty() {
            let mut like = self.known.like(&self.file.start);
            like.extend(self.in_run.like(&self.file.start));
            like.sort_by_key(|entry| entry.end);
            if !like.is_empty() {
                if !input.is_lasting() {
                    input = Input::Copy(copied(&mut source, name)?);
                    source = self.open(&input, name)?;
                    self.file.is_lasting = false;
                }
                let compared = compare(source, like);
                if let Some(claim) = self.claims.last_mut() {
                    claim.contents.extend(compared.ids);
                }
                self.file.before = compared.before;
                if compared.is_shorter {
                    self.report.shorter.push(name.to_owned());
                }
                if compared.is_whole {
                    self.pass_over(name);
                    return Ok(());
                }
                source = self.open(&input, name)?;
            }
        }
        self.file.from = self.file.before.end;
        self.report.files += 1;

        self.file.is_converted = source.is_converted;
        if let Format::Lines(format) = source.format {
            let zone = self.options.timezone;
            self.file.is_of_lines = true;
            self.file.decoder = Some(format.decoder_in(self.until.micros(), zone));
            self.file.gather = format.gatherer();
            let source = self.options.source.as_ref();
            if let Some(grok) = source.and_then(|source| source.grok.clone()) {
                self.file.decoder = Some(received(Box::new(grok), false));
            }
            let of_format = self.report.formats.entry(format.name()).or_default();
            of_format.push(name.to_owned());
        }
        let limit = self.options.max_event_bytes;
        let each = |piece: Piece<'_>| self.piece(piece);
        let result = match source.format {
            Format::Json => values(&mut source.bytes, limit, each),
            Format::Lines(LineFormat::WindowsXml) => elements(&mut source.bytes, limit, each),
            _ => lines(&mut source.bytes, limit, each),
        };
        let trailing = source.trailing.load(Ordering::Relaxed);
        if trailing > 0 {
            self.report.trailing.push((name.to_owned(), trailing));
        }
        let passed = match result {
            Err(SplitError::Torn { line, .. }) if !self.options.strict => {
                self.file.has_news = true;
                self.report.incomplete.push((name.to_owned(), line));
                Passed::default()
            }
            other => other.map_err(|error| failure(error, name))?,
        };
        self.end_of_lines()?;
        self.parse()?;
        self.end_waiting()?;
        let zeros = passed.zeros + self.file.zeros;
        if zeros > 0 {
            self.report.zeros.push((name.to_owned(), zeros));
        }
        let was_begun = self.file.before != Before::default();
        match (self.file.has_news, was_begun) {
            (false, false) => self.report.empty_files.push(name.to_owned()),
            (false, true) => {
                self.report.files -= 1;
                self.pass_over(name);
            }
            (true, true) if !self.is_own() => self.report.grown.push(name.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn open(&self, input: &Input, name: &str) -> Result<Source, IngestError> {
        let read = match self.archives {
            0 => Arc::clone(&self.read),
            _ => Arc::default(),
        };
        let each = self
            .options
            .source
            .as_ref()
            .and_then(|source| source.each.as_deref());
        let shape = Shape {
            format: self.options.format,
            paths: each.map(Each::keys).unwrap_or_default(),
            apart: each.map(Each::apart).unwrap_or_default(),
            limit: self.options.max_event_bytes,
        };
        Source::open(input, name, shape, read)
    }

    /// Notes that all of the file's events are in the table.
    fn pass_over(&mut self, name: &str) {
        if self.is_own() {
            self.report.files += 1;
        } else {
            self.report.ingested_before.push(name.to_owned());
        }
    }

    /// Says whether this ingest itself wrote what is in the table of the file: after another ingest got in between, it reads its
    /// files once more.
    fn is_own(&self) -> bool {
        let end = self.file.before.end;
        let mut like = self.own.like(&self.file.start).into_iter();
        like.any(|entry| entry.end == end)
    }

    /// Adds the events of a piece; keeps what in it is none.
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), IngestError> {
        let end = piece.prefix.end;
        if end <= self.file.before.end {
            self.pass_known(&piece);
            return Ok(());
        }
        if self.file.before.end > 0
            && !std::mem::replace(&mut self.file.is_behind, true)
            && let Some(gather) = &mut self.file.gather
            && !(piece.start() < self.file.before.end && gather.may_split())
        {
            // Lines that waited where the table ends are in it. The record of a line that goes on is read again, all of it.
            gather.end();
        }
        self.make_room(piece.bytes.len())?;
        // A line that went on since it was read: its beginning is in the table.
        let known = self.file.before.end.saturating_sub(piece.start());
        let known = usize::try_from(known)
            .unwrap_or_default()
            .min(piece.bytes.len());
        // The table may end within an array: then all of it is read again, and what is there of it passed over.
        let (known, there) = match piece.is_array_at(known) {
            true => (0, known),
            false => (known, 0),
        };
        let bytes = &piece.bytes[known..];
        if piece.is_too_long {
            if self.options.strict {
                return Err(IngestError::TooLong {
                    file: self.file.name.clone(),
                    line: piece.line,
                    limit: self.options.max_event_bytes,
                });
            }
            // They come before it in the file.
            self.parse()?;
            let limit = self.options.max_event_bytes;
            let what = match piece.within {
                Some(_) => "line",
                None => "event",
            };
            self.bad_line(
                piece.line,
                piece.column,
                &format!("the {what} is longer than {limit} bytes; only its start is kept"),
                bytes,
            );
            // Lines that wait are read again with it.
            match self.file.waits.is_empty() {
                false => self.file.waits.push((piece.line, piece.prefix.clone())),
                true => self.file.done = Some(piece.prefix.clone()),
            }
            return Ok(());
        }
        // Much faster than a lossy reading where there is nothing to lose.
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        };
        if let Cow::Owned(_) = text {
            let example = || Example {
                file: self.file.name.clone(),
                line: piece.line,
                value: clipped(&text),
            };
            self.batch.counts.not_utf8.add(example);
        }
        let source = self.options.source.as_ref();
        if source.is_some_and(|source| source.parser.is_some()) {
            return self.add_record(&piece);
        }
        if let Some(mut decoder) = self.file.decoder.take() {
            let result = self.decoded(&piece, decoder.as_mut());
            self.file.decoder = Some(decoder);
            return result;
        }
        let mut torn_at = None;
        let has_zeros = bytes.contains(&0);
        self.file.zeros += if has_zeros { zeros(bytes) } else { 0 };
        let mut cut = piece.within.map(|(_, before)| (0, before.clone()));
        let end_of =
            |part: &str| (part.as_ptr() as usize + part.len()).wrapping_sub(text.as_ptr() as usize);
        scan(&text, |found| {
            let (Found::Event { text: part, .. } | Found::Wrong(Wrong { text: part, .. })) = &found;
            let part_end = end_of(part);
            if part_end <= there {
                return Ok(());
            }
            if has_zeros && let Found::Event { text, .. } = &found {
                self.file.zeros -= zeros(text.as_bytes()).min(self.file.zeros);
            }
            match found {
                Found::Event {
                    text: event,
                    members,
                } => {
                    self.event(piece.line, end, event, None, &members)?;
                    // A line of millions of events needs no more memory than its text.
                    if matches!(text, Cow::Borrowed(_)) && part_end < text.len() && self.is_full(0)
                    {
                        self.file.done = cut
                            .as_mut()
                            .and_then(|cut| piece.extend(cut, known + part_end));
                        self.make_room(0)?;
                    }
                    Ok(())
                }
                Found::Wrong(wrong) => {
                    let is_torn = piece.is_last && wrong.is_open && wrong.is_end;
                    // Places in a text with replaced bytes are not those in the file, but for its start.
                    if is_torn && (matches!(text, Cow::Borrowed(_)) || wrong.start == 0) {
                        // More may be written; what is whole before it is not read again.
                        torn_at = Some(known + wrong.start);
                        return Ok(());
                    }
                    self.wrong(&piece, &text, known, wrong)
                }
            }
        })?;
        self.file.done = match torn_at {
            None => Some(piece.prefix.clone()),
            Some(at) => {
                if self.options.strict {
                    return Err(IngestError::Malformed {
                        file: self.file.name.clone(),
                        line: piece.line,
                        column: piece.column + at as u64,
                        reason: "the event that begins here is not closed".to_owned(),
                        next: OPEN_LINE,
                    });
                }
                let file = self.file.name.clone();
                self.file.has_news = true;
                self.report.incomplete.push((file, piece.line));
                piece.up_to(at).or_else(|| self.file.done.take())
            }
        };
        Ok(())
    }
}

/// Returns when a file was changed last; nothing for standard input, and for the made-up times that builds and archives give to files.
fn changed(path: &Path) -> Option<Timestamp> {
    let changed = path.metadata().ok()?.modified().ok()?;
    let since = changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let changed = Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?)?;
    (changed > TimeBounds::default().from).then_some(changed)
}

/// Returns a line without its end.
fn line_of(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

fn zeros(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == 0).count() as u64
}

/// Returns the start of a value, on one line.
fn clipped(value: &str) -> String {
    let end = value.char_indices().nth(LONGEST_VALUE);
    match end {
        None => one_line(value),
        Some((end, _)) => format!("{}…", one_line(&value[..end])),
    }
}
