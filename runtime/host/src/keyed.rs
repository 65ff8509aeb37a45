//! The state of the current partition key: the plugin reads and changes it during one call, and the changes stay only if the call
//! succeeds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use yagura_core::state::{MOST_ENTRIES, MOST_WAKES};
use yagura_core::{KeyState, StateEntry, Timestamp};

use crate::bindings::v0_1_0::state::StateError;

/// The partition key whose rows are evaluated, with its state; none outside of such a call.
pub(crate) struct CurrentKey {
    limit_kib: u64,
    scope: Option<KeyScope>,
    refusals: u64,
}

impl CurrentKey {
    pub(crate) fn new(limit_kib: u64) -> Self {
        Self {
            limit_kib,
            scope: None,
            refusals: 0,
        }
    }

    /// Resets the counts of the last call.
    pub(crate) fn begin(&mut self) {
        self.refusals = 0;
    }

    /// Returns how often a limit refused a change in the call.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Makes the state of a key of a rule visible to the next calls. A key that is woken loses this wake-up.
    pub(crate) fn enter(&mut self, rule: u32, woken: Option<Timestamp>, state: KeyState) {
        let mut scope = KeyScope::new(rule, woken, self.limit_kib, state);
        if let Some(time) = woken {
            scope.remove_wake(time);
        }
        self.scope = Some(scope);
    }

    /// Returns the state: as the plugin changed it if the call succeeded, or as it was before.
    pub(crate) fn leave(&mut self, has_succeeded: bool) -> KeyState {
        match self.scope.take() {
            Some(scope) if has_succeeded => scope.state,
            Some(scope) => scope.into_state_before(),
            None => KeyState::default(),
        }
    }

    /// Returns the rule of the key.
    pub(crate) fn rule(&mut self) -> Result<u32, StateError> {
        Ok(self.scope()?.rule)
    }

    /// Returns the value of an entry that has not expired at the event time `at`.
    pub(crate) fn get(&mut self, name: &str, at: Timestamp) -> Result<Option<Vec<u8>>, StateError> {
        let scope = self.scope()?;
        scope.expire(at);
        let entry = scope.state.entries.get(name);
        Ok(entry.map(|entry| entry.value.clone()))
    }

    /// Stores an entry.
    pub(crate) fn put(&mut self, name: String, entry: StateEntry) -> Result<(), StateError> {
        self.change(|scope| scope.put(name, entry))
    }

    /// Adds to a counter that has not expired at the event time `at`, and returns its new value.
    pub(crate) fn increment(
        &mut self,
        name: String,
        by: i64,
        at: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<i64, StateError> {
        self.change(|scope| scope.increment(name, by, at, expires))
    }

    /// Removes an entry, if it exists.
    pub(crate) fn remove(&mut self, name: String) -> Result<(), StateError> {
        self.scope()?.set(name, None);
        Ok(())
    }

    /// Asks for a wake-up at an event time.
    pub(crate) fn wake(&mut self, at: Timestamp) -> Result<(), StateError> {
        self.change(|scope| scope.wake(at))
    }

    fn scope(&mut self) -> Result<&mut KeyScope, StateError> {
        self.scope.as_mut().ok_or(StateError::NoScope)
    }

    /// Changes the state, and counts refusals by limits.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut KeyScope) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let result = change(self.scope()?);
        if matches!(result, Err(StateError::TooLarge(_))) {
            self.refusals += 1;
        }
        result
    }
}

/// The state of one key during one call.
struct KeyScope {
    rule: u32,
    /// The time of the current wake-up.
    woken: Option<Timestamp>,
    limit_kib: u64,
    state: KeyState,
    /// Size of all names and values in `state`.
    bytes: u64,
    /// The time of the next expiry of an entry.
    next_expiry: Option<Timestamp>,
    undo: UndoLog,
}

/// The data to undo a call. It never grows beyond the states before and after, however often a name is changed.
#[derive(Default)]
struct UndoLog {
    /// The changed entries, as they were before.
    entries: BTreeMap<String, Option<StateEntry>>,
    /// The wake-ups before, if they were changed.
    wakes: Option<BTreeSet<Timestamp>>,
}

impl KeyScope {
    fn new(rule: u32, woken: Option<Timestamp>, limit_kib: u64, state: KeyState) -> Self {
        let mut scope = Self {
            rule,
            woken,
            limit_kib,
            bytes: state.bytes(),
            next_expiry: None,
            state,
            undo: UndoLog::default(),
        };
        scope.find_next_expiry();
        scope
    }

    fn into_state_before(self) -> KeyState {
        let mut state = self.state;
        for (name, entry) in self.undo.entries {
            match entry {
                Some(entry) => state.entries.insert(name, entry),
                None => state.entries.remove(&name),
            };
        }
        if let Some(wakes) = self.undo.wakes {
            state.wakes = wakes;
        }
        state
    }

    /// Drops expired entries. The time of a key only moves forward, so nothing can read them again.
    fn expire(&mut self, at: Timestamp) {
        if self.next_expiry.is_none_or(|next| next > at) {
            return;
        }
        let entries = self.state.entries.iter();
        let expired = entries.filter(|(_, entry)| entry.is_expired(at));
        let names: Vec<String> = expired.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.set(name, None);
        }
        self.find_next_expiry();
    }

    fn find_next_expiry(&mut self) {
        let entries = self.state.entries.values();
        self.next_expiry = entries.filter_map(|entry| entry.expires).min();
    }

    fn put(&mut self, name: String, entry: StateEntry) -> Result<(), StateError> {
        let earlier = self.state.entries.get(&name);
        if earlier.is_none() && self.state.entries.len() >= MOST_ENTRIES {
            return Err(StateError::TooLarge(format!(
                "the key has {MOST_ENTRIES} entries, which is the maximum: remove some, or let them expire"
            )));
        }
        let freed = earlier.map_or(0, |earlier| earlier.bytes(&name));
        let bytes = (self.bytes - freed).saturating_add(entry.bytes(&name));
        let limit = self.limit_kib.saturating_mul(1024);
        if bytes > limit {
            return Err(StateError::TooLarge(format!(
                "the entries of the key would have {bytes} bytes; the maximum is {limit} (`limits.state_kib = {}` in pack.toml)",
                self.limit_kib
            )));
        }
        if let Some(expires) = entry.expires {
            self.next_expiry = Some(self.next_expiry.map_or(expires, |next| next.min(expires)));
        }
        self.set(name, Some(entry));
        Ok(())
    }

    fn increment(
        &mut self,
        name: String,
        by: i64,
        at: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<i64, StateError> {
        self.expire(at);
        let (count, earlier) = match self.state.entries.get(&name) {
            None => (0, None),
            Some(entry) => {
                let bytes = entry.value.as_slice().try_into();
                let bytes = bytes.map_err(|_| StateError::NotANumber)?;
                (i64::from_le_bytes(bytes), entry.expires)
            }
        };
        let count = count.saturating_add(by);
        let entry = StateEntry {
            value: count.to_le_bytes().to_vec(),
            expires: expires.or(earlier),
        };
        self.put(name, entry)?;
        Ok(count)
    }

    fn wake(&mut self, at: Timestamp) -> Result<(), StateError> {
        // Otherwise a plugin could wake itself for ever while time stands still.
        let has_passed = self.woken.is_some_and(|woken| at <= woken);
        if has_passed || self.state.wakes.contains(&at) {
            return Ok(());
        }
        if self.state.wakes.len() >= MOST_WAKES {
            return Err(StateError::TooLarge(format!(
                "the key has {MOST_WAKES} wake-ups, which is the maximum"
            )));
        }
        self.wakes().insert(at);
        Ok(())
    }

    /// Removes a wake-up as it comes, and drops entries that have expired by then.
    fn remove_wake(&mut self, time: Timestamp) {
        if self.state.wakes.contains(&time) {
            self.wakes().remove(&time);
        }
        self.expire(time);
    }

    fn wakes(&mut self) -> &mut BTreeSet<Timestamp> {
        let wakes = &mut self.state.wakes;
        self.undo.wakes.get_or_insert_with(|| wakes.clone());
        wakes
    }

    /// Replaces or removes an entry, and remembers the entry before the call.
    fn set(&mut self, name: String, entry: Option<StateEntry>) {
        let is_removal = entry.is_none();
        let earlier = match entry {
            Some(entry) => {
                self.bytes += entry.bytes(&name);
                self.state.entries.insert(name.clone(), entry)
            }
            None => self.state.entries.remove(&name),
        };
        if let Some(earlier) = &earlier {
            self.bytes -= earlier.bytes(&name);
        }
        match self.undo.entries.entry(name) {
            // Added and removed in this call.
            Entry::Occupied(before) if is_removal && before.get().is_none() => {
                before.remove();
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(_) if is_removal && earlier.is_none() => {}
            Entry::Vacant(before) => {
                before.insert(earlier);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::clamped(micros)
    }

    fn entry(value: &[u8], expires: Option<i64>) -> StateEntry {
        StateEntry {
            value: value.to_vec(),
            expires: expires.map(at),
        }
    }

    fn state(names: &[&str]) -> KeyState {
        let entries = names
            .iter()
            .map(|name| ((*name).to_owned(), entry(b"1234", None)));
        KeyState {
            entries: entries.collect(),
            wakes: BTreeSet::from([at(10)]),
        }
    }

    fn scope(state: KeyState) -> KeyScope {
        KeyScope::new(0, None, 1, state)
    }

    #[test]
    fn a_failed_call_is_undone() {
        let before = state(&["a", "b"]);
        let mut changed = scope(before.clone());
        changed.put("a".to_owned(), entry(b"x", Some(1))).unwrap();
        changed.put("a".to_owned(), entry(b"yy", None)).unwrap();
        changed.put("c".to_owned(), entry(b"", Some(2))).unwrap();
        changed.put("d".to_owned(), entry(b"", None)).unwrap();
        changed.set("d".to_owned(), None);
        changed.set("b".to_owned(), None);
        changed.set("never".to_owned(), None);
        changed.wake(at(20)).unwrap();
        changed.remove_wake(at(10));
        assert_eq!(changed.bytes, changed.state.bytes());
        assert_eq!(changed.undo.entries.len(), 2, "`a` and `b`; `c` expired");
        assert_eq!(changed.state.entries.len(), 1);
        assert_eq!(changed.state.wakes, BTreeSet::from([at(20)]));
        assert_eq!(changed.into_state_before(), before);
    }

    #[test]
    fn counters_keep_their_expiry_and_stay_in_bounds() {
        let mut scope = scope(KeyState::default());
        let mut add = |by, now, expires: Option<i64>| {
            scope
                .increment("n".to_owned(), by, at(now), expires.map(at))
                .unwrap()
        };
        assert_eq!(add(2, 0, Some(100)), 2);
        assert_eq!(add(3, 99, None), 5);
        // The expiry was kept.
        assert_eq!(add(1, 100, Some(200)), 1);
        assert_eq!(add(1, 150, Some(300)), 2);
        assert_eq!(add(i64::MAX, 299, None), i64::MAX);
        assert_eq!(add(1, 299, None), i64::MAX);
        assert_eq!(add(i64::MIN, 300, None), i64::MIN);
        scope.put("t".to_owned(), entry(b"text", None)).unwrap();
        let error = scope.increment("t".to_owned(), 1, at(0), None);
        assert!(matches!(error, Err(StateError::NotANumber)));
    }

    #[test]
    fn a_refused_change_leaves_the_state_unchanged() {
        let mut keyed = CurrentKey::new(1);
        keyed.enter(0, None, state(&["a"]));
        let put = |keyed: &mut CurrentKey, name: String, size: usize| {
            keyed.change(|scope| scope.put(name, entry(&vec![0; size], None)))
        };
        put(&mut keyed, "a".to_owned(), 1023).unwrap();
        let error = put(&mut keyed, "a".to_owned(), 1024).unwrap_err();
        let StateError::TooLarge(message) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            message,
            "the entries of the key would have 1025 bytes; the maximum is 1024 (`limits.state_kib = 1` in pack.toml)"
        );
        put(&mut keyed, "b".to_owned(), 0).unwrap_err();
        for time in 11..110 {
            keyed.change(|scope| scope.wake(at(time))).unwrap();
        }
        keyed.change(|scope| scope.wake(at(109))).unwrap();
        keyed.change(|scope| scope.wake(at(110))).unwrap_err();
        assert_eq!(keyed.refusals(), 3);
        assert_eq!(keyed.leave(true).entries["a"].value.len(), 1023);

        let mut keyed = CurrentKey::new(64);
        keyed.enter(0, None, KeyState::default());
        for number in 0..MOST_ENTRIES {
            put(&mut keyed, number.to_string(), 1).unwrap();
        }
        put(&mut keyed, "0".to_owned(), 2).unwrap();
        put(&mut keyed, "more".to_owned(), 0).unwrap_err();
        keyed.begin();
        assert_eq!(keyed.refusals(), 0);
    }

    #[test]
    fn a_wake_up_cannot_ask_for_its_own_time_again() {
        let mut keyed = CurrentKey::new(1);
        keyed.enter(0, Some(at(10)), state(&[]));
        for time in [9, 10] {
            keyed.change(|scope| scope.wake(at(time))).unwrap();
        }
        assert!(keyed.leave(true).is_empty());
        keyed.enter(0, Some(at(10)), state(&[]));
        assert_eq!(keyed.leave(false), state(&[]));
        assert!(matches!(keyed.scope(), Err(StateError::NoScope)));
    }
}
