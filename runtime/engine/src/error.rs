//! Why a run stops.

use std::collections::BTreeMap;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use yagura_core::{FaultKind, HasFault};
use yagura_host::CallError;
use yagura_lake::table::TableError;
use yagura_plan::{PlanError, TablePlan};

/// Why a run stops. What concerns one batch of one rule does not: see [`crate::report::SkippedEvents`].
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Rules do not fit their table or each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
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
        /// The error of the reader.
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
    /// The rules make more findings than the run may hold.
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
            Self::Plan(error) => error.fault(),
            Self::Open { .. } | Self::TooManyFindings { .. } => FaultKind::Rule,
            Self::Table(_)
            | Self::BadFile { .. }
            | Self::NullTime { .. }
            | Self::TooManyPending { .. }
            | Self::Scan { .. }
            | Self::State(_)
            | Self::Arrow(_) => FaultKind::Input,
        }
    }
}

impl EngineError {
    /// Returns the rules that an error is about, each with its reason; `None` where it is about something else.
    pub(crate) fn rules(&self) -> Vec<(String, String)> {
        match self {
            Self::Plan(error) => error.rules(),
            _ => Vec::new(),
        }
    }
}

/// Returns the error of too many rows that wait; `counts` are numbers of rows by place in the plan.
pub(crate) fn too_many_pending(
    plan: &TablePlan,
    limit: usize,
    counts: impl Iterator<Item = (usize, usize)>,
) -> EngineError {
    let mut by_rule: BTreeMap<usize, usize> = BTreeMap::new();
    for (position, rows) in counts {
        *by_rule.entry(position).or_default() += rows;
    }
    let most = by_rule.into_iter().max_by_key(|(_, rows)| *rows);
    let (position, count) = most.unwrap_or_default();
    let rule = plan.rules.get(position).map(|rule| rule.rule.id.clone());
    EngineError::TooManyPending {
        table: plan.table.name.clone(),
        limit,
        rule: rule.unwrap_or_default(),
        count,
    }
}
