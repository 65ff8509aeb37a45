//! How a run works.

use yagura_core::TimeRange;
use yagura_plan::Tuning;

use crate::quarantine::Fairness;

/// How a run works.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The event times that are evaluated.
    pub range: TimeRange,
    /// Scans of a table side by side.
    pub partitions: usize,
    /// Rows of a batch that a plugin receives, and of a batch of the scan.
    pub batch_rows: usize,
    /// Findings that the run may hold.
    pub max_findings: usize,
    /// Bytes that the findings of a table's objects may take, which are read together.
    pub max_finding_bytes: usize,
    /// Events of a table that may wait for detectors with state.
    pub max_pending_rows: usize,
    /// Keys of which one rule with `partition_by` keeps state.
    pub max_keys: usize,
    /// Bytes of the names and the states of these keys.
    pub max_key_bytes: u64,
    /// Findings after which the scan of a table may end, for a search.
    pub enough: Option<usize>,
    /// What rules owe each other where a step follows the other; nothing in a single run, where nobody waits.
    pub fairness: Option<Fairness>,
    /// Which methods are used.
    pub tuning: Tuning,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            range: TimeRange::default(),
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: 8_192,
            max_findings: 2_000_000,
            max_finding_bytes: usize::MAX,
            max_pending_rows: 4_000_000,
            max_keys: 1_000_000,
            max_key_bytes: 1 << 30,
            enough: None,
            fairness: None,
            tuning: Tuning::default(),
        }
    }
}
