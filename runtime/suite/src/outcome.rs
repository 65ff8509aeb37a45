//! The result of one case.

use std::path::PathBuf;

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Id of the rule.
    pub rule: String,
    /// Name of the case.
    pub name: String,
    /// Whether all was as expected.
    pub passed: bool,
    /// What was not; empty otherwise.
    pub message: String,
    /// Whether the rule itself is wrong, whatever the events.
    pub wrong_rule: bool,
    /// Fuel of an event on the average, where the rule's plugin was called.
    pub fuel_per_event: Option<u64>,
    /// The file of expected alerts that was written anew.
    pub updated: Option<PathBuf>,
}
