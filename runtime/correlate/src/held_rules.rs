//! Rules of which earlier events are still to be evaluated.

use std::collections::BTreeMap;

/// The rules that are held back. Rules that correlations join share one time; each such set is named by its first rule.
#[derive(Debug, Default)]
pub(crate) struct HeldRules {
    /// Events that time must not pass: the earliest of each set.
    pub(crate) events: BTreeMap<usize, i64>,
    /// The time of each set that is behind its watermark group's.
    pub(crate) passed: BTreeMap<usize, i64>,
    /// While a state is read back: the time up to which each rule was final.
    pub(crate) restored: BTreeMap<usize, i64>,
}
