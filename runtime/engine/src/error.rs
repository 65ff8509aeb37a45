//! Why a run stops.

use std::path::PathBuf;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use yagura_core::{FaultKind, HasFault};
use yagura_host::CallError;
use yagura_lake::table::TableError;

/// Why a run stops. What concerns one batch of one rule does not: see [`crate::report::SkippedEvents`].
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A rule does not fit its table.
    #[error("{}: rule `{rule}`: `{key}` {message}", .file.display())]
    Rule {
        /// The rule's file.
        file: PathBuf,
        /// The rule's id.
        rule: String,
        /// Key inside `[rule]`.
        key: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// Several rules do not fit their table, each with its [`EngineError::Rule`].
    #[error("{}", lines(.0))]
    Rules(Vec<EngineError>),
    /// A plugin did not accept its rules.
    #[error("plugin {plugin} cannot be opened for table `{table}`")]
    Open {
        /// The plugin.
        plugin: String,
        /// The table.
        table: String,
        /// The cause.
        source: CallError,
    },
    /// A table cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An object cannot be read.
    #[error(
        "{file} of table `{table}` cannot be read: {reason}; mend or remove it, or set `on_bad_file = \"skip\"` for the table"
    )]
    BadFile {
        /// The table.
        table: String,
        /// The object.
        file: String,
        /// What the reader said.
        reason: String,
    },
    /// A row has no usable time.
    #[error(
        "row {row} of {file} in table `{table}` has no usable time in `{column}`; mend the object, or set `on_null_time = \"skip\"` for the table to count such rows and go on"
    )]
    NullTime {
        /// The table.
        table: String,
        /// The object.
        file: String,
        /// Row inside it, from zero.
        row: u64,
        /// The time column.
        column: String,
    },
    /// The rules find more than the run may hold.
    #[error(
        "the rules made more than {limit} findings, `{rule}` alone {count}; make its `where` narrower, shorten the range, or raise the limit with --max-findings"
    )]
    TooManyFindings {
        /// The limit.
        limit: usize,
        /// The rule with the most.
        rule: String,
        /// How many it made.
        count: usize,
    },
    /// More events wait for the time at which detectors with state may evaluate them than may be held.
    #[error(
        "more than {limit} events of table `{table}` wait for detectors that keep state, {count} of them for `{rule}`; make its `where` narrower, shorten the range or the lateness, or raise the limit with --max-pending-rows, of a service with `pending_rows` of [serve]"
    )]
    TooManyPending {
        /// The table.
        table: String,
        /// The limit.
        limit: usize,
        /// The rule with the most.
        rule: String,
        /// How many wait for it.
        count: usize,
    },
    /// What correlations remember cannot be read.
    #[error(transparent)]
    Correlation(#[from] yagura_correlate::CorrelationError),
    /// Reading failed, and no single object could be blamed.
    #[error("cannot scan table `{table}`")]
    Scan {
        /// The table.
        table: String,
        /// The cause.
        source: DataFusionError,
    },
    /// What correlations remember cannot be read back.
    #[error("cannot go on: {0}")]
    State(String),
    /// A fault of our own in handling columns.
    #[error("cannot plan the scan")]
    Arrow(#[from] ArrowError),
}

impl HasFault for EngineError {
    fn fault(&self) -> FaultKind {
        match self {
            Self::Rule { .. }
            | Self::Rules(_)
            | Self::Open { .. }
            | Self::TooManyFindings { .. } => FaultKind::Rule,
            Self::Table(_)
            | Self::BadFile { .. }
            | Self::NullTime { .. }
            | Self::TooManyPending { .. }
            | Self::Scan { .. }
            | Self::State(_)
            | Self::Correlation(_)
            | Self::Arrow(_) => FaultKind::Input,
        }
    }
}

impl EngineError {
    /// Makes one error of those of several rules; nothing of none.
    pub(crate) fn of_rules(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Self::Rules(errors)),
        }
    }

    /// Returns the rules that an error is about, each with its reason; nothing where it is about something else.
    pub(crate) fn misfits(&self) -> Vec<(String, String)> {
        match self {
            Self::Rule {
                rule, key, message, ..
            } => vec![(rule.clone(), format!("`{key}` {message}"))],
            Self::Rules(errors) => errors.iter().flat_map(Self::misfits).collect(),
            _ => Vec::new(),
        }
    }
}

fn lines(errors: &[EngineError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
