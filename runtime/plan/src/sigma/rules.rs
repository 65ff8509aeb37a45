//! Sigma rules as rules of a run.

use std::collections::{BTreeMap, BTreeSet};

use yagura_rules::sigma::{FieldMap, Load};

use crate::rule_source::{NotRun, RuleSource};

/// Sigma rules of a run, and where their log sources are.
#[derive(Debug, Clone, Default)]
pub struct SigmaInput {
    /// What was read.
    pub load: Load,
    /// Field maps; the first that fits a table and knows a rule's log source is taken.
    pub maps: Vec<FieldMap>,
}

/// Rules with their tables, and those that have none.
#[derive(Debug, Clone, Default)]
pub struct SigmaRules {
    /// Rules that run: those that evaluate events, then correlations, each after those that it joins.
    pub rules: Vec<RuleSource>,
    /// Rules that do not, with the reason.
    pub not_run: Vec<NotRun>,
    /// Rules that run otherwise than written, with the reason.
    pub notes: Vec<NotRun>,
    /// By table, why no rule for Windows runs over it although it looks like Windows events.
    pub unread: BTreeMap<String, String>,
    /// By id, the fields that a rule names and its table lacks.
    pub missing: BTreeMap<String, Vec<String>>,
    /// Ids of rules that only find the events which an old rule counts; they are no rules to a reader.
    pub parts: BTreeSet<String>,
}
