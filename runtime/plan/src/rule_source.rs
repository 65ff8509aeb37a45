//! Rules as they were read, and why some of them do not run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use yagura_core::{FieldPath, Rule};
use yagura_rules::{FieldValues, Predicate};

/// A rule, where it was read from, and the plugin that it needs.
#[derive(Debug, Clone)]
pub struct RuleSource {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its file, for messages.
    pub file: PathBuf,
    /// Index of its plugin among the run's plugins.
    pub plugin: Option<usize>,
    /// What it asks of an event, where that is not written in its `where`: a Sigma rule's detection.
    pub predicate: Option<Arc<Predicate>>,
    /// Paths that correlations ask of its findings; what neither the table nor, by its context, the plugin has is absent.
    pub fields: Vec<FieldPath>,
    /// Of a path that the rule reads, all names under which events may have the field. A path that is not here has its own name.
    pub alternatives: BTreeMap<FieldPath, Vec<FieldPath>>,
}

impl RuleSource {
    /// Returns where events of a table have a field that the rule reads; `None` where they have it nowhere.
    pub(crate) fn values_of(&self, path: &FieldPath, schema: &Schema) -> Option<FieldValues> {
        let names = self.alternatives.get(path);
        let names = names.map_or(std::slice::from_ref(path), Vec::as_slice);
        FieldValues::of(schema, names)
    }
}

/// A rule that did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRun {
    /// Id of the rule.
    pub rule: String,
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

impl NotRun {
    /// Returns the message, with the rule's file where there is one.
    pub fn message(&self) -> String {
        let of_rule = match self.rule.as_str() {
            "" => return self.reason.clone(),
            id => format!("rule `{id}` does not run: {}", self.reason),
        };
        match self.file.as_os_str().is_empty() {
            true => of_rule,
            false => format!("{}: {of_rule}", self.file.display()),
        }
    }
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rule.as_str() {
            "" => f.write_str(&self.reason),
            rule => write!(f, "rule `{rule}`: {}", self.reason),
        }
    }
}
