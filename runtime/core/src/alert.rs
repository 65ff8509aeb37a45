//! Alerts: findings of one rule and key within one window.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Severity, Timestamp};

/// Findings of one rule and key within one window, at or above the rule's threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Alert {
    /// Hash of rule, key and window: see [`identity`].
    pub id: String,
    /// Id of the rule.
    pub rule: String,
    /// Title of the window's first finding.
    pub title: String,
    /// The most severe severity among the findings.
    pub severity: Severity,
    /// What the alert is about; empty for a rule without key columns.
    pub key: String,
    /// Time of the window's first event, where the window is anchored.
    pub window_start: Timestamp,
    /// Time of the first event.
    pub first_time: Timestamp,
    /// Time of the last event.
    pub last_time: Timestamp,
    /// How many findings the window holds.
    pub count: u64,
    /// What is worth searching for, sorted, each once.
    pub observables: Vec<Observable>,
    /// Facts from the first finding.
    pub context: Vec<ContextEntry>,
    /// The rule's tags.
    pub tags: Vec<String>,
    /// The events behind the alert.
    pub evidence: Evidence,
}

/// A typed value worth searching for.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Observable {
    /// `ip`, `domain`, `user`, `host`, `hash`, `url`, `email` or `process`.
    pub kind: String,
    /// The value as the event had it.
    pub value: String,
}

/// A fact for a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ContextEntry {
    /// What it is.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// The events behind an alert: the first ones by time, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evidence {
    /// Number of events, of which `events` may hold only the first.
    pub total: u64,
    /// At most [`Evidence::LISTED`] events, in order of time, object and row.
    pub events: Vec<EvidenceEvent>,
}

impl Evidence {
    /// How many events an alert lists.
    pub const LISTED: usize = 20;
}

/// One event, so that it can be found again and proven unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EvidenceEvent {
    /// URL or path of the object.
    pub object: String,
    /// Row inside the object, from zero.
    pub row: u64,
    /// Event time.
    pub time: Timestamp,
    /// SHA-256 in hexadecimal of the raw event, or of the row as JSON where the table keeps no raw event. Empty until
    /// the event has been read again.
    pub hash: String,
}

/// What the ids of the runtime's own rules begin with.
pub const OWN: &str = "yagura.self.";

/// The runtime's own rules, by which a service reports its own trouble: a table that cannot be read, one that lags behind, a rule
/// in quarantine, reports that were given up, a source whose raw logs do not come in as they should.
pub const OWN_RULES: [&str; 5] = [
    "yagura.self.table-waits",
    "yagura.self.lag",
    "yagura.self.quarantine",
    "yagura.self.dead-letters",
    "yagura.self.source",
];

/// Returns the identity of an alert: the first 16 bytes, in hexadecimal, of the SHA-256 of rule, key and window start.
///
/// Each text goes in with its length before it, so that no two different alerts hash the same bytes.
pub fn identity(rule: &str, key: &str, window_start: Timestamp) -> String {
    let mut hash = Sha256::new();
    for part in [rule, key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(window_start.micros().to_le_bytes());
    hex(&hash.finalize()[..16])
}

/// Returns `bytes` in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_keeps_rule_and_key_apart() {
        let at = Timestamp::default();
        assert_eq!(identity("a", "b", at).len(), 32);
        assert!(OWN_RULES.iter().all(|rule| rule.starts_with(OWN)));
        assert_eq!(identity("a", "b", at), identity("a", "b", at));
        assert_ne!(identity("ab", "c", at), identity("a", "bc", at));
        assert_ne!(
            identity("a", "b", at),
            identity("a", "b", at.saturating_add(1))
        );
    }
}
