//! What a detector remembers of one partition key of one rule.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Most entries of one key.
pub const MOST_ENTRIES: usize = 1_000;

/// Most wake-ups that one key waits for.
pub const MOST_WAKES: usize = 100;

/// The state of one key of one rule. [`Limits::state_kib`](crate::pack::Limits) says how large it may become.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyState {
    /// What is stored, by name.
    pub entries: BTreeMap<String, StateEntry>,
    /// The event times for which the key asked to be woken.
    pub wakes: BTreeSet<Timestamp>,
}

/// A value under a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateEntry {
    /// The plugin's own bytes.
    pub value: Vec<u8>,
    /// The event time from which on it counts as absent; nothing for an entry that stays until it is removed.
    pub expires: Option<Timestamp>,
}

impl KeyState {
    /// Drops the entries that expire at or before `at`.
    pub fn expire(&mut self, at: Timestamp) {
        self.entries.retain(|_, entry| !entry.is_expired(at));
    }

    /// Says whether nothing is stored and no wake-up awaited, so that the key need not be kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.wakes.is_empty()
    }

    /// Returns how many bytes the names and values of all entries have.
    pub fn bytes(&self) -> u64 {
        let sizes = self.entries.iter().map(|(name, entry)| entry.bytes(name));
        sizes.sum()
    }
}

impl StateEntry {
    /// Says whether it counts as absent at the event time `at`.
    pub fn is_expired(&self, at: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    /// Returns how many bytes it and its name have.
    pub fn bytes(&self, name: &str) -> u64 {
        name.len() as u64 + self.value.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &[u8], expires: Option<i64>) -> StateEntry {
        StateEntry {
            value: value.to_vec(),
            expires: expires.map(Timestamp::clamped),
        }
    }

    #[test]
    fn an_entry_is_gone_from_its_expiry_on() {
        let mut state = KeyState::default();
        assert!(state.is_empty());
        state.entries.insert("ab".to_owned(), entry(b"cde", None));
        state.entries.insert("f".to_owned(), entry(b"", Some(10)));
        assert_eq!(state.bytes(), 6);
        state.expire(Timestamp::clamped(9));
        assert_eq!(state.entries.len(), 2);
        state.expire(Timestamp::clamped(10));
        assert_eq!(state.entries.len(), 1);
        state.entries.clear();
        assert!(state.is_empty());
        state.wakes.insert(Timestamp::clamped(5));
        assert!(!state.is_empty());
    }

    #[test]
    fn a_state_survives_being_written_down() {
        let mut state = KeyState::default();
        state
            .entries
            .insert("名".to_owned(), entry(&[0, 255], Some(-1)));
        state.wakes.insert(Timestamp::clamped(1));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<KeyState>(&text).unwrap(), state);
    }
}
