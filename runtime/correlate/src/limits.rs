//! How much operators keep and show.

/// Hits, values or open deadlines that one key may hold.
pub(crate) const MOST_KEPT: usize = 10_000;

/// Hits of a window that evidence is made of where an operator does not need all of them.
pub(crate) const MOST_SHOWN: usize = 20;

/// Observables of one finding.
pub(crate) const MOST_OBSERVABLES: usize = 100;
