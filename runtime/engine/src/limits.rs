//! Limits that several parts of an evaluation share.

/// The maximum of bytes of text that a plugin gets at once, unless one event has more.
pub(crate) const BATCH_BYTES: usize = 16 << 20;

/// Bytes of rows of one table that may wait for background evaluation; more are not evaluated.
pub(crate) const MAX_DEFERRED_BYTES: usize = 256 << 20;
