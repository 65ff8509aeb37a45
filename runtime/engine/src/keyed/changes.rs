//! Changes of what detectors remember, to be stored.

/// Changes since the last call of [`super::KeyedDetectors::take_changes`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct KeyedChanges {
    /// Rule id, key, and what is kept of it; `None` for a key that need not be kept any more.
    pub states: Vec<(String, String, Option<Vec<u8>>)>,
    /// Rule id and hash of keys that were on disk only and need not be kept any more.
    pub gone: Vec<(String, u64)>,
    /// Rule id, latest event time in microseconds, and new rows that wait. They are not needed once the watermark has
    /// passed that time.
    pub pending: Vec<(String, i64, Vec<u8>)>,
    /// Rule id and the memory of its plugin, in place of what was there.
    pub snapshots: Vec<(String, Vec<u8>)>,
}
