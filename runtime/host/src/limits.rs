//! The fixed limits of instances and calls, and how the time of calls is bounded.
//!
//! The limits that a manifest sets are [`Limits`](yagura_core::pack::Limits).

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Stack of a plugin's call, in bytes. The calling thread needs at least twice as much of its own.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// How often a running plugin is checked against its deadline, in microseconds: the precision of `limits.time`.
pub(crate) const TICK_MICROS: u64 = 10_000;

/// Fuel of one call, if fuel is metered: about one unit an instruction. An endless loop ends at the same instruction on every
/// machine.
pub(crate) const FUEL_PER_CALL: u64 = 2_000_000_000;

/// Maximum number of entries in all tables of an instance; a large Python component has about 10,000.
pub(crate) const MAX_TABLE_ENTRIES: usize = 1_000_000;

/// Maximum number of core instances, of tables and of memories in one component; a Python component has some dozens.
pub(crate) const MAX_PARTS: usize = 1000;

/// How the time of a call is measured and bounded.
#[derive(Debug, Clone, Copy, Default)]
pub enum Pace {
    /// By the clock, up to the plugin's limit.
    #[default]
    Limit,
    /// By the clock, up to this time or the plugin's limit, whichever is less.
    AtMost(Duration),
    /// By the processor time of the thread, up to the plugin's limit: for threads that give way to others. While the number is
    /// not zero, other threads need the processor: the call waits for at most one second, then runs for one second.
    OfProcessor(&'static AtomicUsize),
}

/// Returns the ticks of the epoch after which at least `micros` have passed.
pub(crate) fn ticks(micros: i64) -> u64 {
    // One more, because the current tick has already begun.
    u64::try_from(micros).unwrap_or(0).div_ceil(TICK_MICROS) + 1
}

/// Returns a number of mebibytes in bytes.
pub(crate) fn mebibytes(number: u64) -> usize {
    usize::try_from(number.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_never_comes_early() {
        assert_eq!(ticks(1), 2);
        assert_eq!(ticks(10_000), 2);
        assert_eq!(ticks(1_000_000), 101);
    }
}
