//! What can go wrong with an ingest.

use std::path::PathBuf;

use crate::LakeError;
use crate::names::of_path;

/// Why logs did not become part of a table. What was written before stays; the same command, run again, goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The file is not there or may not be opened.
    #[error("cannot open `{file}`")]
    Open {
        /// The file.
        file: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Reading or decompressing failed.
    #[error(
        "cannot read on in `{file}` after line {line}; if it is compressed it may be damaged: fetch it again"
    )]
    Read {
        /// The file.
        file: String,
        /// Last whole line.
        line: u64,
        /// What the system or the decompressor says.
        #[source]
        source: std::io::Error,
    },
    /// The compressed data ends early.
    #[error("`{file}` is cut short: its data ends after line {line}; fetch the file again")]
    Truncated {
        /// The file.
        file: String,
        /// Last whole line.
        line: u64,
    },
    /// A file of another kind.
    #[error("`{file}` cannot be read, because it is {found}: {next}")]
    Unsupported {
        /// The file.
        file: String,
        /// What its content says it is.
        found: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// A line or a value that is not an event.
    #[error("`{file}`, line {line}, column {column}: {reason}{next}")]
    Malformed {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column in bytes, from 1.
        column: u64,
        /// What was found.
        reason: String,
        /// `; ` and what to do.
        next: &'static str,
    },
    /// An event beyond the limit.
    #[error(
        "`{file}`, line {line}: the event is longer than {limit} bytes; split it, or leave it out of the file"
    )]
    TooLong {
        /// The file.
        file: String,
        /// Line where the event begins, from 1.
        line: u64,
        /// The limit.
        limit: usize,
    },
    /// What parses the records of a source does not work.
    #[error(
        "cannot parse the records of `{file}` from line {line} on; what was written before stays, and the next ingest goes on there"
    )]
    Parser {
        /// The file.
        file: String,
        /// Line of the first record that was not parsed.
        line: u64,
        /// What is wrong with the parser.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not a name for a table.
    #[error(
        "`{name}` is not a table's name: use letters, digits, `_`, `-` and `.`, and begin with a letter or digit"
    )]
    TableName {
        /// What was given.
        name: String,
    },
    /// No mapping of this name is shipped.
    #[error("there is no schema `{name}`: the shipped ones are {known}")]
    UnknownSchema {
        /// What was asked for.
        name: String,
        /// Their names.
        known: String,
    },
    /// The table was begun with another mapping.
    #[error(
        "the table `{table}` holds {stored}, not `{wanted}`: ingest into another table, or leave the schema out"
    )]
    OtherSchema {
        /// The table.
        table: String,
        /// Its mapping, or that it has none.
        stored: String,
        /// What was asked for.
        wanted: String,
    },
    /// The table belongs to another source, or to none.
    #[error("{}", other_source(table, stored.as_deref(), wanted.as_deref()))]
    OtherSource {
        /// The table.
        table: String,
        /// The source of its events, if it has one.
        stored: Option<String>,
        /// What was asked for.
        wanted: Option<String>,
    },
    /// No event has the time field that was asked for.
    #[error(
        "none of the first {events} events has the time field `{field}`{hint}; nothing was stored"
    )]
    NoTimeField {
        /// What was asked for.
        field: String,
        /// How many events were looked at.
        events: usize,
        /// `; did you mean …?` or nothing.
        hint: String,
    },
    /// Another process ingested what came from a place that cannot be read again.
    #[error(
        "another ingest wrote the events of `{file}` at the same time, and it cannot be read again from its start: run the command again"
    )]
    Overtaken {
        /// The place.
        file: String,
    },
    /// What can be read once only cannot be copied.
    #[error("cannot keep a copy of `{file}`, which is compared with what was ingested before")]
    Copy {
        /// The place.
        file: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A shipped mapping is wrong: a fault of this program.
    #[error("the shipped schema `{name}` cannot be read; please report this")]
    Schema {
        /// The mapping.
        name: String,
        /// Where reading stopped.
        #[source]
        source: toml::de::Error,
    },
    /// The file for rejected lines cannot be written.
    #[error("cannot write rejected lines to `{}`", of_path(file))]
    Rejects {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file for rejected lines is to be read as well.
    #[error(
        "`{}` is given both as a file of logs and for rejected lines: give another file after --rejects",
        of_path(file)
    )]
    RejectsRead {
        /// The file.
        file: PathBuf,
    },
    /// Parquet cannot be made of a chunk.
    #[error("cannot encode `{object}` as Parquet")]
    Encode {
        /// The object that was to be written.
        object: String,
        /// What the encoder says.
        #[source]
        source: datafusion::parquet::errors::ParquetError,
    },
    /// The store or the table's definition.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A worker thread ended early: a fault of this program.
    #[error("the ingest's worker thread ended early; please report this")]
    Worker(#[source] Option<tokio::task::JoinError>),
}

impl IngestError {
    /// Returns the file whose fault it is, if it is that of one file.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Open { file, .. }
            | Self::Read { file, .. }
            | Self::Truncated { file, .. }
            | Self::Unsupported { file, .. }
            | Self::Copy { file, .. }
            | Self::Malformed { file, .. }
            | Self::TooLong { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Says whether a file is at fault, so that others can still be read.
    pub(crate) fn is_of_the_file(&self) -> bool {
        self.file().is_some()
    }
}

fn other_source(table: &str, stored: Option<&str>, wanted: Option<&str>) -> String {
    match (stored, wanted) {
        (Some(stored), None) => format!(
            "table `{table}` holds events of the source `{stored}`: give --source {stored}, or another --table"
        ),
        (Some(stored), Some(wanted)) => format!(
            "table `{table}` holds events of the source `{stored}`, not of `{wanted}`: choose another --table"
        ),
        (None, _) => format!(
            "table `{table}` holds events that were ingested without a source: choose another --table, or leave --source out"
        ),
    }
}
