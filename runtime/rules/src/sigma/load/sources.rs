//! What a file holds: rules, filters and correlations.

use std::path::PathBuf;

use rsigma_parser::{CorrelationRule, FilterRule, SigmaRule};
use yagura_core::correlation::Condition;

use super::run_id::run_id;

/// A rule and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaSource {
    /// The rule. Numbers that its type could not hold are texts, which the translation reads as numbers.
    pub rule: SigmaRule,
    /// Its file.
    pub file: PathBuf,
    /// What it counts, if its condition does.
    pub count: Option<SigmaCount>,
    /// The line, from one, on which it begins.
    pub line: usize,
    /// What it says, as a short hash: of its title, log source and detection.
    pub(super) content: String,
}

impl SigmaSource {
    /// Returns the rule's id in a run: its own, or one made of its title and content.
    pub fn id(&self) -> String {
        run_id(self.rule.id.as_deref(), &self.rule.title, &self.content)
    }

    /// Returns the id of what evaluates single events: the rule's, or that of the events that it counts.
    pub fn events_id(&self) -> String {
        let id = self.id();
        match self.count {
            Some(_) => format!("{id}-events"),
            None => id,
        }
    }
}

/// What `| count(FIELD) by FIELD > N`, an aggregate of old Sigma, asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SigmaCount {
    /// The field whose different values count; absent counts events.
    pub field: Option<String>,
    /// The fields that the events share; none counts all.
    pub by: Vec<String>,
    /// What the number must be.
    pub condition: Condition,
    /// The time they happen in, as the rule writes it.
    pub within: Option<String>,
}

/// A filter and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaFilter {
    /// The filter.
    pub rule: FilterRule,
    /// Its file.
    pub file: PathBuf,
}

/// A correlation and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaCorrelation {
    /// The correlation.
    pub rule: CorrelationRule,
    /// Its file.
    pub file: PathBuf,
    /// The line, from one, on which it begins.
    pub line: usize,
    /// Whether it has a condition of its own: the parser gives those without one `gte: 1`.
    pub has_condition: bool,
    /// What it says, as a short hash.
    pub(super) content: String,
}

impl SigmaCorrelation {
    /// Returns the correlation's id in a run: its own, or one made of its title and content.
    pub fn id(&self) -> String {
        run_id(self.rule.id.as_deref(), &self.rule.title, &self.content)
    }
}
