//! One key of a detector with state.

use serde::{Deserialize, Serialize};
use yagura_core::{KeyState, Timestamp};

use crate::rows::RowSummary;

/// At each multiple of it, in microseconds, what has expired is dropped: at fixed times, so that it makes room in a state
/// at the same event whatever the steps and batches.
pub(super) const SWEEP_INTERVAL: i64 = 3_600_000_000;

/// Returns the last time, up to this one, at which what has expired is dropped.
pub(super) fn boundary(time: Timestamp) -> Timestamp {
    Timestamp::clamped(time.micros().div_euclid(SWEEP_INTERVAL) * SWEEP_INTERVAL)
}

/// What is kept of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    /// What its detector remembers.
    pub(super) state: KeyState,
    /// Its last row, if it must be woken.
    pub(super) last: Option<RowSummary>,
    /// Wake-ups since that row.
    pub(super) woken: u32,
    /// When its last event was, in microseconds.
    pub(super) seen: i64,
}
