//! A rule as the state knows it.

use crate::fingerprint::Fingerprints;

/// A rule as the state knows it.
#[derive(Debug, Clone)]
pub(super) struct StoredRule {
    pub(super) number: u32,
    pub(super) fingerprints: Fingerprints,
    /// The paths that correlations asked of it, a line each.
    pub(super) fields: String,
}
