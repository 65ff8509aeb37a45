//! The output of a scan of some objects.

use std::collections::BTreeMap;

use yagura_core::Finding;
use yagura_lake::table::DataFile;
use yagura_plan::ConvertedValues;

use crate::pending_rows::DroppedRows;
use crate::rows::RuleRows;

/// Findings and rows of some objects.
#[derive(Debug, Default)]
pub struct ScanOutput {
    /// Findings of rules without state, in no order.
    pub findings: Vec<Finding>,
    /// Rows of rules that keep state, in no order.
    pub keyed: Vec<RuleRows>,
    /// Objects left out because they cannot be read, with the reason.
    pub bad_files: Vec<(String, String)>,
    /// The objects that were read.
    pub files: Vec<DataFile>,
    /// Rows of rules whose plugins failed or took long, where steps do not wait for them.
    pub deferred: Vec<RuleRows>,
    /// Values that rules saw otherwise than they are stored.
    pub converted: ConvertedValues,
    /// Rows of rules that keep state which were given up, by the rule's place in the table's plan.
    pub(crate) dropped: BTreeMap<usize, DroppedRows>,
    /// Findings over a rule's share, which were counted and not kept, by the rule's index.
    pub over: BTreeMap<usize, u64>,
}
