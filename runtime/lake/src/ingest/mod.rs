//! Raw logs into a table: read, split, gather, encode, store.
//!
//! ```text
//! files ─source, unpack─▶ bytes ─split, values, elements─▶ pieces ─line, event─▶ members ─chunk─▶ cells by column    one thread reads
//!            │ known: passed over      └ a source's parser: many at once ┤
//!            ▲                   table ◀─ledger─ Parquet by day ◀─encode─┘              the next chunk is read meanwhile
//!            └───────────────────────────┘
//! ```
//!
//! Each event becomes one row, whatever it holds: values that do not fit widen their column or stay in `unmapped`, and
//! `raw` keeps the source text. Keys get columns at the end of a chunk ([`columns`]). A chunk bounds memory. The definition is written before the objects that need it, so that
//! no object stands in the table that its definition cannot read. Objects, and how far their sources were read, are written in one
//! step ([`ledger`]).

mod archive;
mod avro;
mod chunk;
mod columns;
mod compare;
mod delays;
mod each;
mod elements;
mod encode;
mod error;
mod event;
mod intervals;
mod kinds;
mod known;
mod ledger;
mod line;
mod mapping;
mod normalize;
mod parse;
mod quarantine;
mod read;
mod repeats;
mod replace;
mod report;
mod rows;
mod source;
mod split;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod unpack;
mod values;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use yagura_core::{FieldPath, Timestamp};
use yagura_formats::{LineFormat, Zone};

pub use columns::KeysWithoutColumn;
pub use delays::Delays;
pub use each::{Apart, Each};
pub use error::IngestError;
pub use event::is_envelope_key as is_envelope;
pub use mapping::is_shipped;
pub use normalize::{Normalize, Normalized, SourceTable};
pub use parse::{ParsedRecord, RecordParser};
pub use repeats::Repeats;
pub use report::{Counts, Example, IngestReport, SHOWN, Tally, Traced};
pub use time::{of_text as time_of_text, of_text_in as time_of_text_in};

use crate::names::of_path;
use crate::{Location, TableDefinition, TimeBounds};
use encode::EncodedFile;
use known::{Entry, Known};
use ledger::{Commit, Ledger};
use read::{Batch, Read, Step, Task};
use replace::ReplacedFiles;
use source::{Listed, Listing};

/// Folder below the table for lines that are not events.
const REJECTED: &str = "_rejected";

/// The form of raw logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Told from each file's start.
    #[default]
    Auto,
    /// An event a line.
    Ndjson,
    /// An array of events, an envelope around one, or events one after another, over any number of lines.
    Json,
    /// An event a line, in a form that is not JSON.
    Lines(LineFormat),
}

/// What is ingested, and where to.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Name of the table.
    pub table: String,
    /// The lake; the table lies below it under its name.
    pub to: Location,
    /// The form of the files.
    pub format: Format,
    /// Where events keep their time; absent for what the table or the shipped schema says, else the usual names.
    pub time_field: Option<FieldPath>,
    /// The shipped schema of a new table; absent for that of the table's name if there is one.
    pub schema: Option<String>,
    /// Where events are expected in time; absent for what the table says.
    pub time_bounds: Option<TimeBounds>,
    /// The file that lines that are not events are appended to; without it they are kept beside the table.
    pub rejects: Option<PathBuf>,
    /// Whether the first line that is not an event, and the first file that cannot be read, ends the ingest.
    pub strict: bool,
    /// Whether sources that are in the table are ingested once more.
    pub again: bool,
    /// Events that are written together at most, up to 131,072.
    pub chunk_events: usize,
    /// Bytes of source text that are written together at most, but for a single longer event; below 1 GiB.
    pub chunk_bytes: usize,
    /// The longest event; below 1 GiB.
    pub max_event_bytes: usize,
    /// Keys of events that rules know: they get a column before others do.
    pub known_keys: Arc<BTreeSet<String>>,
    /// The source whose events these are; absent for events that are stored as they are.
    pub source: Option<SourceTable>,
    /// The zone of times that name none.
    pub timezone: Zone,
    /// Until when the files were written, for times without a year; absent for when each file was changed last.
    pub written_until: Option<Timestamp>,
    /// Whether the report says of each row where it comes from: for small inputs.
    pub trace: bool,
    /// Whether a file that was rewritten since it was ingested under the same name replaces its rows. What was ingested without this
    /// stays.
    pub replaces: bool,
    /// Folders that hold copies of objects, each with what stands in messages for its path: where the objects lie.
    pub copies: Vec<(PathBuf, String)>,
}

impl IngestOptions {
    /// Returns the options of a strict ingest into the table `table` of the lake `to`, the rest as it usually is.
    pub fn new(table: &str, to: Location) -> Self {
        Self {
            table: table.to_owned(),
            to,
            format: Format::Auto,
            time_field: None,
            schema: None,
            time_bounds: None,
            rejects: None,
            strict: true,
            again: false,
            chunk_events: 64 * 1024,
            chunk_bytes: 32 << 20,
            max_event_bytes: 256 << 20,
            known_keys: Arc::default(),
            source: None,
            timezone: Zone::utc(),
            written_until: None,
            trace: false,
            replaces: false,
            copies: Vec::new(),
        }
    }

    /// Returns the name of a file for messages.
    fn name_of(&self, path: &Path) -> String {
        let mut copies = self.copies.iter();
        let copied = copies.find_map(|(folder, place)| {
            let below = path.strip_prefix(folder).ok()?;
            Some(format!("{place}/{}", of_path(below)))
        });
        copied.unwrap_or_else(|| of_path(path))
    }
}

/// How far an ingest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files read to their end.
    pub files: usize,
    /// Files to read.
    pub files_total: usize,
    /// Bytes taken from them, still compressed.
    pub bytes: u64,
    /// Bytes of all of them; unknown with standard input.
    pub bytes_total: Option<u64>,
    /// Events read.
    pub events: u64,
}

/// Reads the files, directories (every file below, sorted) and standard input (`-`) in `files` into a table.
///
/// A source is known by its content: events of a source that is in the table are passed over, whatever it is called, wherever it
/// lies, however it is compressed, and however much was appended to it since. This holds for repeated ingests, for those
/// that were killed, and for several at once. Memory is bounded by some chunks, whatever the size of the files. `progress` is
/// called about once a mebibyte read.
///
/// # Errors
/// [`IngestError`], naming the file and the place in it. What was written before stays. Unless the ingest is strict, what is wrong
/// with a file or a line is in the report instead, and the others are ingested.
pub async fn ingest(
    options: IngestOptions,
    files: &[PathBuf],
    mut progress: impl FnMut(Progress),
) -> Result<IngestReport, IngestError> {
    const GIBIBYTE: usize = 1 << 30;
    let options = IngestOptions {
        chunk_events: options.chunk_events.clamp(1, encode::MAX_ROWS),
        chunk_bytes: options.chunk_bytes.min(GIBIBYTE),
        max_event_bytes: options.max_event_bytes.min(GIBIBYTE),
        ..options
    };
    let table = options.to.join(checked_name(&options.table)?);
    let mut listing = source::expand(files);
    if options.strict && !listing.failed.is_empty() {
        return Err(listing.failed.swap_remove(0));
    }
    let rejects = options.rejects.as_deref().map(Rejects::open).transpose()?;
    if let Some(rejects) = &rejects {
        rejects.keep_out_of(&mut listing)?;
    }
    let mut writer = Writer {
        ledger: Ledger::read(&table).await?,
        stored: TableDefinition::read(&table).await?,
        rejects,
        table,
        options: Arc::new(options),
        own: Known::default(),
        news: Vec::new(),
        future: now().saturating_add(DAY),
        report: IngestReport::default(),
    };
    let (read, replaced) = loop {
        if let Some(read) = writer.attempt(&listing.files, &mut progress).await? {
            if read.claims.is_empty() {
                break (read, ReplacedFiles::default());
            }
            // Behind the new rows: whoever reads the table meanwhile sees both, and never neither.
            if let Some(replaced) = writer.ledger.replace(&read.claims).await? {
                break (read, replaced);
            }
        }
        // Another ingest wrote of the same sources, or took rows of them out: what it did is known now.
        writer.stored = TableDefinition::read(&writer.table).await?;
    };
    let Read {
        report: found,
        gatherer,
        ..
    } = read;
    if writer.stored.as_ref() != Some(&**gatherer.definition()) {
        gatherer.definition().write(&writer.table).await?;
    }
    let written = writer.report;
    listing.failed.extend(found.failed);
    let hidden = listing.passed_over.into_iter();
    let mut passed_over: Vec<(String, String)> =
        hidden.map(|(name, why)| (name, why.to_owned())).collect();
    passed_over.extend(found.passed_over);
    Ok(IngestReport {
        events: written.counts.events,
        rejected: written.counts.rejected,
        without_time: written.counts.without_time.count,
        counts: written.counts,
        written_files: written.written_files,
        written_bytes: written.written_bytes,
        kept: written.kept,
        passed_over,
        replaced: replaced.files,
        kept_for_others: replaced.kept,
        failed: listing.failed,
        widened: gatherer.widened(),
        alike: gatherer.alike(),
        without_column: gatherer.without_column(),
        columns: gatherer.definition().columns.len(),
        ..found
    })
}

/// Writes what the reading thread sends.
struct Writer {
    table: Location,
    options: Arc<IngestOptions>,
    ledger: Ledger,
    /// The definition as it stands in the table.
    stored: Option<TableDefinition>,
    rejects: Option<Rejects>,
    /// What this ingest wrote.
    own: Known,
    /// What others wrote since the files are being read.
    news: Vec<Entry>,
    /// Events later than this are in the future.
    future: Timestamp,
    report: IngestReport,
}

impl Writer {
    /// Reads and writes the files; nothing if another ingest wrote of the same sources meanwhile.
    async fn attempt(
        &mut self,
        files: &[Listed],
        progress: &mut impl FnMut(Progress),
    ) -> Result<Option<Read>, IngestError> {
        self.news.clear();
        let task = Task {
            files: files.to_vec(),
            definition: definition(&self.options, self.stored.as_ref())?,
            known: Arc::clone(self.ledger.known()),
            own: self.own.clone(),
            future: self.future,
        };
        let (sender, mut steps) = mpsc::channel(1);
        let options = Arc::clone(&self.options);
        let reader = spawn_blocking(move || read::run(&options, task, &sender));
        while let Some(step) = steps.recv().await {
            match step {
                Step::Progress(now) => progress(now),
                Step::Batch(batch) => {
                    if !self.write(*batch).await? {
                        return Ok(None);
                    }
                }
            }
        }
        let read = reader
            .await
            .map_err(|error| IngestError::Worker(Some(error)))?;
        read.map(Some)
    }

    /// Writes events, unless another ingest wrote of the same sources meanwhile.
    async fn write(&mut self, batch: Batch) -> Result<bool, IngestError> {
        let Batch {
            chunk,
            definition,
            parts,
            rejects,
            counts,
            fleeting,
        } = batch;
        // A content whose rows left comes back under another name: the one before was read.
        let salt = if self.options.again || self.ledger.were_gone(&parts) {
            self.ledger.next_number()
        } else {
            0
        };
        let described = Arc::clone(&definition);
        let range = own_days(&definition, self.future);
        let encoded = spawn_blocking(move || {
            encode::encode(chunk, &described, &parts, salt, &range).map(|files| (files, parts))
        });
        let encoded = encoded
            .await
            .map_err(|error| IngestError::Worker(Some(error)))?;
        let (mut objects, parts) = encoded.map_err(|(path, source)| IngestError::Encode {
            object: self.table.join(&path).to_string(),
            source,
        })?;
        let written_files = objects.len();
        let written_bytes: usize = objects.iter().map(|object| object.bytes.len()).sum();
        let mut kept = None;
        if !rejects.is_empty() && self.rejects.is_none() {
            let path = format!(
                "{REJECTED}/part-{}.ndjson",
                encode::identity(&parts, salt, REJECTED)
            );
            kept = Some(self.table.join(&path).to_string());
            objects.push(EncodedFile {
                path,
                bytes: rejects.clone(),
            });
        }
        let is_again = self.options.again;
        let news = &mut self.news;
        let is_overtaken = |new: Vec<Entry>| {
            news.extend(new);
            let is_ours = |entry: &Entry| parts.iter().any(|part| entry.may_be_of(&part.start));
            !is_again && news.iter().any(is_ours)
        };
        let is_new = self.stored.as_ref() != Some(&*definition);
        let file = &mut self.rejects;
        let table = &self.table;
        let prepare = async {
            if let Some(file) = file {
                file.append(&rejects)?;
            }
            if is_new {
                definition.write(table).await?;
            }
            Ok(())
        };
        let commit = Commit {
            parts: &parts,
            objects,
        };
        let done = self.ledger.commit(commit, is_overtaken, prepare).await?;
        if !done {
            return match fleeting {
                Some(file) => Err(IngestError::Overtaken { file }),
                None => Ok(false),
            };
        }
        if is_new {
            self.stored = Some((*definition).clone());
        }
        for part in parts {
            self.own.insert(part.entry);
        }
        self.report.counts.merge(counts);
        self.report.written_files += written_files;
        self.report.written_bytes += written_bytes as u64;
        self.report.kept.extend(kept);
        Ok(true)
    }
}

const DAY: i64 = 86_400_000_000;

/// Returns the times whose days have objects of their own: those that the operator expects, else 1990 to tomorrow.
fn own_days(definition: &TableDefinition, future: Timestamp) -> RangeInclusive<Timestamp> {
    match definition.time_bounds {
        Some(TimeBounds { from, to }) => from..=to,
        None => TimeBounds::default().from..=future,
    }
}

/// The clock: which events are ahead of it decides in which object they lie, and nothing else.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// The file for lines that are not events. What is in it stays.
struct Rejects {
    path: PathBuf,
    file: File,
}

impl Rejects {
    fn open(path: &Path) -> Result<Self, IngestError> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(|source| IngestError::Rejects {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Takes the file out of what is read: it would grow while it is read.
    fn keep_out_of(&self, listing: &mut Listing) -> Result<(), IngestError> {
        let own = self.path.canonicalize().ok();
        let is_own = |file: &Listed| own.is_some() && file.path.canonicalize().ok() == own;
        for file in listing.files.extract_if(.., |file| is_own(file)) {
            if !file.is_from_folder {
                return Err(IngestError::RejectsRead { file: file.path });
            }
            let name = of_path(&file.path);
            listing
                .passed_over
                .push((name, "the file for rejected lines"));
        }
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), IngestError> {
        self.file
            .write_all(lines)
            .map_err(|source| IngestError::Rejects {
                file: self.path.clone(),
                source,
            })
    }
}

fn checked_name(name: &str) -> Result<&str, IngestError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain) {
        Ok(name)
    } else {
        Err(IngestError::TableName {
            name: name.to_owned(),
        })
    }
}

/// Returns the definition to begin with: the stored one, or that of the schema.
fn definition(
    options: &IngestOptions,
    stored: Option<&TableDefinition>,
) -> Result<TableDefinition, IngestError> {
    let table = &options.table;
    let mut definition = match (stored, &options.schema) {
        (Some(stored), Some(wanted)) if stored.schema.as_ref() != Some(wanted) => {
            return Err(IngestError::OtherSchema {
                table: table.clone(),
                stored: match &stored.schema {
                    Some(schema) => format!("events of the schema `{schema}`"),
                    None => "columns learned from its events".to_owned(),
                },
                wanted: wanted.clone(),
            });
        }
        (Some(stored), _) => {
            let wanted = options.source.as_ref().map(|source| &source.name);
            if stored.source.as_ref() != wanted {
                return Err(IngestError::OtherSource {
                    table: table.clone(),
                    stored: stored.source.clone(),
                    wanted: wanted.cloned(),
                });
            }
            stored.clone()
        }
        (None, _) if let Some(source) = &options.source => {
            let mut definition = TableDefinition::new(table);
            definition.source = Some(source.name.clone());
            definition.time_paths.clone_from(&source.time_paths);
            definition
        }
        (None, Some(schema)) => mapping::definition(table, schema)?,
        (None, None) if is_shipped(table) => mapping::definition(table, table)?,
        (None, None) => TableDefinition::new(table),
    };
    // A newer version of a source may have more columns.
    for column in options.source.iter().flat_map(|source| &source.columns) {
        if !definition.columns.iter().any(|own| own.name == column.name) {
            definition.columns.push(column.clone());
        }
    }
    if options.time_bounds.is_some() {
        definition.time_bounds = options.time_bounds;
    }
    Ok(definition)
}
