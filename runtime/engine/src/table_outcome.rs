//! The result of a run over one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use yagura_core::{TimeRange, Timestamp};
use yagura_lake::OddTimes;
use yagura_lake::table::Table;
use yagura_plan::ConvertedValues;

use crate::report::RuleCost;

/// The result of a run over one table, besides its findings.
#[derive(Debug, Clone)]
pub struct TableOutcome {
    /// The table, with the objects that were read.
    pub table: Arc<Table>,
    /// How many rules it was evaluated by.
    pub rules: usize,
    /// Events that came out of the scan.
    pub scanned: u64,
    /// Events handed to rules, once for each rule.
    pub evaluated: u64,
    /// Rows left out for want of a usable time.
    pub null_times: u64,
    /// Objects left out because they cannot be read, with the reason.
    pub bad_files: Vec<(String, String)>,
    /// What rules' plugins cost, by index among the run's rules; empty unless their host measures it.
    pub costs: BTreeMap<usize, RuleCost>,
    /// The latest event time by the objects' statistics, where a rule needs to know when time ends.
    pub latest: Option<Timestamp>,
    /// Events without a time, ahead of the clock, or before 1990.
    pub odd_times: OddTimes,
    /// Values that rules saw otherwise than they are stored.
    pub converted: ConvertedValues,
    /// Messages for a person of how the objects were read.
    pub messages: Vec<String>,
}

/// Returns the last instant of a table that a run knows of: the end of its range, or its latest event.
pub(crate) fn last_instant(range: TimeRange, latest: Option<Timestamp>) -> Option<i64> {
    match range.to {
        Some(to) => Some(to.micros().saturating_sub(1)),
        None => Some(latest?.micros()),
    }
}
