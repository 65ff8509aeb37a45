//! The state of keys in unit tests: what the host does, in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::state::StateError;

/// The host's limits for one key: bytes by default, entries and wake-ups always.
const MOST_BYTES: usize = 64 * 1024;
const MOST_ENTRIES: usize = 1_000;
const MOST_WAKES: usize = 100;

/// The state of one key.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    entries: BTreeMap<String, MemoryEntry>,
    pub(crate) wakes: BTreeSet<i64>,
    /// The time of the wake-up under way.
    woken: Option<i64>,
}

#[derive(Clone)]
struct MemoryEntry {
    value: Vec<u8>,
    expires: Option<i64>,
}

thread_local! {
    /// The state of the key at hand.
    static SCOPE: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// Makes a call in which the detector sees `memory`; what it changes stays if the call succeeds.
pub(super) fn with_key<T, E>(
    memory: &mut Memory,
    woken: Option<i64>,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let mut scope = memory.clone();
    scope.woken = woken;
    if let Some(time) = woken {
        scope.wakes.remove(&time);
        scope.expire(time);
    }
    SCOPE.set(Some(scope));
    let result = call();
    if let (Some(scope), true) = (SCOPE.take(), result.is_ok()) {
        *memory = scope;
    }
    result
}

fn scope<T>(work: impl FnOnce(&mut Memory) -> Result<T, StateError>) -> Result<T, StateError> {
    SCOPE.with_borrow_mut(|scope| work(scope.as_mut().ok_or(StateError::NoScope)?))
}

/// A test opens one rule.
pub(crate) fn rule() -> Option<u32> {
    SCOPE.with_borrow(|scope| scope.as_ref().map(|_| 0))
}

pub(crate) fn get(name: &str, at: i64) -> Result<Option<Vec<u8>>, StateError> {
    scope(|memory| {
        memory.expire(at);
        Ok(memory.entries.get(name).map(|entry| entry.value.clone()))
    })
}

pub(crate) fn put(name: &str, value: &[u8], expires: Option<i64>) -> Result<(), StateError> {
    scope(|memory| memory.put(name, value, expires))
}

pub(crate) fn increment(
    name: &str,
    by: i64,
    at: i64,
    expires: Option<i64>,
) -> Result<i64, StateError> {
    scope(|memory| {
        memory.expire(at);
        let (count, earlier) = match memory.entries.get(name) {
            None => (0, None),
            Some(entry) => {
                let bytes = entry.value.as_slice().try_into();
                let bytes = bytes.map_err(|_| StateError::NotANumber)?;
                (i64::from_le_bytes(bytes), entry.expires)
            }
        };
        let count = count.saturating_add(by);
        memory.put(name, &count.to_le_bytes(), expires.or(earlier))?;
        Ok(count)
    })
}

pub(crate) fn remove(name: &str) -> Result<(), StateError> {
    scope(|memory| {
        memory.entries.remove(name);
        Ok(())
    })
}

pub(crate) fn wake(at: i64) -> Result<(), StateError> {
    scope(|memory| {
        let has_passed = memory.woken.is_some_and(|woken| at <= woken);
        if has_passed || memory.wakes.contains(&at) {
            return Ok(());
        }
        if memory.wakes.len() >= MOST_WAKES {
            return Err(StateError::TooLarge(format!(
                "the key has {MOST_WAKES} wake-ups, which is the maximum"
            )));
        }
        memory.wakes.insert(at);
        Ok(())
    })
}

impl Memory {
    fn expire(&mut self, at: i64) {
        self.entries
            .retain(|_, entry| entry.expires.is_none_or(|expires| expires > at));
    }

    fn put(&mut self, name: &str, value: &[u8], expires: Option<i64>) -> Result<(), StateError> {
        let others = self
            .entries
            .iter()
            .filter(|(other, _)| other.as_str() != name);
        let (mut count, mut bytes) = (1, name.len() + value.len());
        for (name, entry) in others {
            count += 1;
            bytes += name.len() + entry.value.len();
        }
        if count > MOST_ENTRIES {
            return Err(StateError::TooLarge(format!(
                "the key has {MOST_ENTRIES} entries, which is the maximum: remove some, or let them expire"
            )));
        }
        if bytes > MOST_BYTES {
            return Err(StateError::TooLarge(format!(
                "the entries of the key would have {bytes} bytes; the maximum is {MOST_BYTES}"
            )));
        }
        let value = value.to_vec();
        self.entries
            .insert(name.to_owned(), MemoryEntry { value, expires });
        Ok(())
    }
}
