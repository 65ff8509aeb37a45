//! What goes into a step of a correlation engine and what comes out of it.

use std::collections::BTreeMap;

use crate::change::AlertChange;
use crate::operator::Geolocation;

/// How a correlation engine works.
#[derive(Debug, Clone, Default)]
pub struct CorrelationOptions {
    /// Threads for a large step.
    pub workers: usize,
    /// Emit provisional alerts.
    pub is_live: bool,
    /// Where addresses are, by rule; under the empty name for all others.
    pub geolocation: BTreeMap<String, Geolocation>,
    /// Bytes that findings which wait for the watermark may take, about; nothing where only the findings of the run bound them.
    pub max_waiting_bytes: Option<usize>,
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
    /// where numbers are summed, an address whose location is not known.
    pub without_value: BTreeMap<String, u64>,
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

/// The output of a step.
#[derive(Debug, Default)]
pub struct StepOutput {
    /// In order of window, rule and key.
    pub changes: Vec<AlertChange>,
    /// What was counted in this step.
    pub counters: Counters,
    /// Findings that waited and were dropped because too much waits, by the id of the rule.
    pub dropped: BTreeMap<String, DroppedFindings>,
}

/// The findings of a rule that were dropped because too much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedFindings {
    /// How many they are.
    pub count: u64,
    /// Their earliest time, in microseconds.
    pub first: i64,
}
