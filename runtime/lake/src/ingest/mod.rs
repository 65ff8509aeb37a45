//! Raw logs into a table: read, split, gather, encode, store.
//!
//! ```text
//! files ─source─▶ bytes ─split, values─▶ event texts ─event─▶ members ─chunk─▶ cells by column    one thread reads
//!                                                                        │
//!                        table ◀─store─ Parquet by day ◀─encode─────────┘                the next chunk is read meanwhile
//! ```
//!
//! Each event becomes one row, whatever it holds: values that do not fit widen their column or stay in `unmapped`, and
//! `raw` keeps the source text. A chunk bounds memory. The definition is written before the files that need it, so that
//! no file stands in the table that its definition cannot read.

mod chunk;
mod encode;
mod error;
mod event;
mod mapping;
mod read;
mod source;
mod split;
#[cfg(test)]
mod tests;
mod time;
mod values;

use std::path::PathBuf;
use std::sync::Arc;

use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use yagura_core::FieldPath;

pub use error::IngestError;
pub use mapping::is_shipped;

use crate::{LakeError, Location, TableDefinition};
use read::Step;

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
    /// Where lines go that are no events; without it, the first one is an error.
    pub rejects: Option<PathBuf>,
    /// Events that are written together at most, up to 131,072.
    pub chunk_events: usize,
    /// Bytes of source text that are written together at most, but for a single longer event; below 1 GiB.
    pub chunk_bytes: usize,
    /// The longest event; below 1 GiB.
    pub max_event_bytes: usize,
}

impl IngestOptions {
    /// Returns the options of an ingest into the table `table` of the lake `to`, the rest as it usually is.
    pub fn new(table: &str, to: Location) -> Self {
        Self {
            table: table.to_owned(),
            to,
            format: Format::Auto,
            time_field: None,
            schema: None,
            rejects: None,
            chunk_events: 64 * 1024,
            chunk_bytes: 32 << 20,
            max_event_bytes: 256 << 20,
        }
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

/// What an ingest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestReport {
    /// Files read.
    pub files: usize,
    /// Names of those without an event.
    pub empty_files: Vec<String>,
    /// Events read, each of them a row now.
    pub events: u64,
    /// Objects written or overwritten.
    pub written_files: usize,
    /// Bytes taken from the files, still compressed.
    pub bytes: u64,
    /// Bytes of the objects.
    pub written_bytes: u64,
    /// Lines set aside.
    pub rejected: u64,
    /// Events without a time that could be read.
    pub without_time: u64,
    /// Columns whose kind changed to hold every value, such as `port: int64 to text`.
    pub widened: Vec<String>,
    /// Columns of the table now, besides `event_time`, `unmapped` and `raw`.
    pub columns: usize,
}

/// Reads the files, directories (every file below, sorted) and standard input (`-`) in `files` into a table.
///
/// The same command writes the same objects: run again, it overwrites them. Memory is bounded by some chunks, whatever
/// the size of the files. `progress` is called about once a mebibyte read.
///
/// # Errors
/// [`IngestError`], naming the file and the place in it. What was written before stays.
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
    let files = source::expand(files)?;
    let table = options.to.join(checked_name(&options.table)?);
    let mut stored = TableDefinition::read(&table).await?;
    let definition = definition(&options, stored.as_ref())?;

    let sources: Arc<[String]> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let (sender, mut steps) = mpsc::channel(1);
    let file_count = files.len();
    let reader = spawn_blocking(move || read::run(&options, &files, definition, &sender));
    let mut report = IngestReport {
        files: file_count,
        empty_files: Vec::new(),
        events: 0,
        written_files: 0,
        bytes: 0,
        written_bytes: 0,
        rejected: 0,
        without_time: 0,
        widened: Vec::new(),
        columns: 0,
    };
    while let Some(step) = steps.recv().await {
        match step {
            Step::Progress(now) => progress(now),
            Step::Chunk(chunk, definition) => {
                if stored.as_ref() != Some(&*definition) {
                    definition.write(&table).await?;
                    stored = Some((*definition).clone());
                }
                let sources = Arc::clone(&sources);
                let encoded = spawn_blocking(move || encode::encode(chunk, &definition, &sources));
                let encoded = encoded
                    .await
                    .map_err(|error| IngestError::Worker(Some(error)))?;
                let encoded = encoded.map_err(|(path, source)| IngestError::Encode {
                    object: table.join(&path).to_string(),
                    source,
                })?;
                for file in encoded {
                    report.written_files += 1;
                    report.written_bytes += file.bytes.len() as u64;
                    put(&table.join(&file.path), file.bytes).await?;
                }
            }
        }
    }
    let read = reader
        .await
        .map_err(|error| IngestError::Worker(Some(error)))?;
    let (counts, gatherer) = read?;
    if stored.as_ref() != Some(&**gatherer.definition()) {
        gatherer.definition().write(&table).await?;
    }
    report.empty_files = counts.empty_files;
    report.events = counts.events;
    report.bytes = counts.bytes;
    report.rejected = counts.rejected;
    report.without_time = counts.without_time;
    report.widened = gatherer.widened();
    report.columns = gatherer.definition().columns.len();
    Ok(report)
}

async fn put(object: &Location, bytes: Vec<u8>) -> Result<(), IngestError> {
    let put = object
        .store
        .put(&object.prefix, PutPayload::from(bytes))
        .await;
    put.map(drop).map_err(|source| {
        IngestError::Lake(LakeError::Write {
            object: object.to_string(),
            source,
        })
    })
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
        (Some(stored), _) => stored.clone(),
        (None, Some(schema)) => mapping::definition(table, schema)?,
        (None, None) if is_shipped(table) => mapping::definition(table, table)?,
        (None, None) => TableDefinition::new(table),
    };
    if let Some(field) = &options.time_field {
        definition.time_paths = vec![field.clone()];
    }
    Ok(definition)
}
