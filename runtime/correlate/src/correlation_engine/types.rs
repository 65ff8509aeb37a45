//! What goes into a correlation engine and what comes out of it.

use std::collections::BTreeMap;

use yagura_core::Alert;

use crate::operator::travel::Geolocation;

/// How a correlation engine works.
#[derive(Debug, Clone, Default)]
pub struct CorrelationOptions {
    /// Threads for a large step.
    pub workers: usize,
    /// Tell provisional alerts.
    pub is_live: bool,
    /// Where addresses are, by rule; under the empty name for all others.
    pub geolocation: BTreeMap<String, Geolocation>,
}

/// What an alert has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its condition does not hold any more.
    Withdrawn,
    /// Its condition holds in what has arrived.
    Provisional,
    /// Nothing that could change it is still to come.
    Final,
}

/// An alert that is new, has changed, or is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// What it has become.
    pub state: State,
    /// Why it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert that its first finding is part of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The alert, its evidence without hashes.
    pub alert: Alert,
}

/// Which time a table has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// No event before it is still to come; in microseconds.
    pub time: i64,
    /// It has been idle for so long that others do not wait for it.
    pub is_idle: bool,
}

impl Default for Watermark {
    /// Nothing is passed.
    fn default() -> Self {
        Self {
            time: i64::MIN,
            is_idle: false,
        }
    }
}

impl Watermark {
    /// No event before this time is still to come.
    pub fn at(micros: i64) -> Self {
        Self {
            time: micros,
            is_idle: false,
        }
    }

    /// Returns which time several tables have passed together: the earliest of those that are not idle, or where all are
    /// the latest.
    pub(super) fn of_all(marks: impl Iterator<Item = Self> + Clone) -> i64 {
        let active = marks.clone().filter(|mark| !mark.is_idle);
        let earliest = active.map(|mark| mark.time).min();
        let latest = || marks.map(|mark| mark.time).max();
        earliest.or_else(latest).unwrap_or(i64::MIN)
    }
}

impl Counters {
    /// Adds what another step counted.
    pub fn add(&mut self, other: Self) {
        let pairs = [
            (&mut self.late, other.late),
            (&mut self.capped, other.capped),
            (&mut self.without_key, other.without_key),
            (&mut self.without_value, other.without_value),
        ];
        for (mine, others) in pairs {
            for (rule, count) in others {
                *mine.entry(rule).or_default() += count;
            }
        }
    }
}

/// What a step counted, by the id of the rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Findings that came after the watermark had passed them: correlations did not see them.
    pub late: BTreeMap<String, u64>,
    /// Hits, values or deadlines that the limit of a key made a correlation forget.
    pub capped: BTreeMap<String, u64>,
    /// Findings that a correlation left out because they lack a field of its `by`.
    pub without_key: BTreeMap<String, u64>,
    /// Findings that a correlation passed over because its `field` has no value in them that it can use: none at all, text
    /// where numbers are summed, an address whose place is not known.
    pub without_value: BTreeMap<String, u64>,
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct StepOutput {
    /// In order of window, rule and key.
    pub changes: Vec<Change>,
    /// What was counted in this step.
    pub counters: Counters,
}

/// Where the keys are that were moved to disk.
pub trait SpillStore {
    /// Returns the keys under these hashes, with state and due time, and forgets them with the next checkpoint.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn take(&mut self, stage: &str, wanted: &[(usize, u64)]) -> Result<Vec<SpilledKey>, String>;
}

/// A key that comes back from disk.
#[derive(Debug, Clone)]
pub struct SpilledKey {
    /// Its share.
    pub group: usize,
    /// Its hash.
    pub hash: u64,
    /// The key.
    pub key: String,
    /// Its state.
    pub state: Vec<u8>,
    /// When it is due.
    pub due: i64,
}

/// For folds that never move keys to disk.
#[derive(Debug, Default)]
pub struct NoSpill;

impl SpillStore for NoSpill {
    fn take(&mut self, _: &str, _: &[(usize, u64)]) -> Result<Vec<SpilledKey>, String> {
        Ok(Vec::new())
    }
}

impl Change {
    pub(super) fn settled(alert: Alert) -> Self {
        Self {
            state: State::Final,
            reason: None,
            replaced_by: None,
            alert,
        }
    }
}
