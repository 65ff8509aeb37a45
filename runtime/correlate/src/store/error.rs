//! Errors of the state.

use std::fmt;
use std::path::PathBuf;

use super::write_error::{self, WriteError};

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateStoreError {
    /// SQLite refused.
    #[error("cannot use the state in {}: {source}", .file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The directory cannot be used.
    #[error("cannot use the directory {} for state", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process works with it.
    #[error("another yagura works with the state in {}; stop it, or name another directory", .dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no state.
    #[error("there is no state in {}: `yagura serve` makes it", .dir.display())]
    Absent {
        /// The directory.
        dir: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the state in {} uses state format {found}, but this version reads format {known}; run the yagura that wrote it, or start with another state directory", .dir.display()
    )]
    Version {
        /// The directory.
        dir: PathBuf,
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// An earlier version wrote it, and it is only read.
    #[error(
        "the state in {} uses state format {found}, but this version reads format {known}; start `yagura serve` with it once, which migrates it", .dir.display()
    )]
    Outdated {
        /// The directory.
        dir: PathBuf,
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// What an earlier version stored cannot be migrated.
    #[error("cannot migrate the state in {} from state format {found} to {known}; run the yagura that wrote it, or start with another state directory", .dir.display())]
    Migration {
        /// The directory.
        dir: PathBuf,
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
        /// The cause.
        source: rusqlite_migration::Error,
    },
    /// A part of it cannot be read back.
    #[error("the state in {} is damaged ({part}); restore a copy, or move it away to start anew", .dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// The part.
        part: StatePart,
        /// The cause.
        source: Unreadable,
    },
    /// The states of a rule's keys cannot be read.
    #[error("cannot read keys of rule `{rule}` from the state on disk")]
    DetectorKeys {
        /// The rule's id.
        rule: String,
        /// The cause.
        source: rusqlite::Error,
    },
    /// Its disk is full or does not answer, or another program holds it. What was to be written is kept, and tried again.
    #[error("the state in {} cannot be written now: {reason}; make room on its disk, or end the program that holds it", .dir.display())]
    NoRoom {
        /// The directory.
        dir: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The thread that writes has stopped.
    #[error("cannot write the state in {}", .dir.display())]
    Write {
        /// The directory.
        dir: PathBuf,
        /// The cause.
        source: WriteError,
    },
}

impl StateStoreError {
    /// Says whether the disk is full or does not answer, or another program holds the file, so that the same may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            Self::Sqlite { source, .. } => write_error::may_pass(source),
            Self::Directory { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

/// A part of the state that is read back at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePart {
    /// The name of an object from which an event came.
    ObjectName,
    /// Findings that wait for the watermark.
    WaitingFindings,
    /// An alert that was reported as provisional.
    ProvisionalAlert,
    /// A window of alerts that was moved to disk.
    AlertWindow,
    /// An alert of the service's own trouble.
    OwnAlert,
    /// The state of a correlation, or of the windows of alerts of some tables.
    Node(String),
    /// The states of a detector's keys in this table.
    DetectorKeys(String),
}

impl fmt::Display for StatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectName => f.write_str("an object's name"),
            Self::WaitingFindings => f.write_str("a waiting finding"),
            Self::ProvisionalAlert => f.write_str("a provisional alert"),
            Self::AlertWindow => f.write_str("a window of alerts"),
            Self::OwnAlert => f.write_str("an alert of the service's own trouble"),
            Self::Node(node) => write!(f, "the state of `{node}`"),
            Self::DetectorKeys(table) => write!(f, "detectors' keys of table `{table}`"),
        }
    }
}

/// The reason why stored bytes are not the part that they should be.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They are not a record of this state format.
    #[error(transparent)]
    Record(#[from] postcard::Error),
    /// They are not the JSON of an alert.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A column holds another type.
    #[error(transparent)]
    Column(#[from] rusqlite::types::FromSqlError),
}
