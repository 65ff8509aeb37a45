//! The state of the partition key at hand: read and changed by the plugin during one call, kept only if the call succeeds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use yagura_core::state::{MOST_ENTRIES, MOST_WAKES};
use yagura_core::{KeyState, StateEntry, Timestamp};

use crate::bindings::v0_1_0::state::{self, StateError};
use crate::limits::HostState;

/// What an instance may see of the states of keys: that of the key whose rows are evaluated, and nothing at other times.
pub(crate) struct Keyed {
    limit_kib: u64,
    scope: Option<Scope>,
    refusals: u64,
}

impl Keyed {
    pub(crate) fn new(limit_kib: u64) -> Self {
        Self {
            limit_kib,
            scope: None,
            refusals: 0,
        }
    }

    /// Forgets what was counted in the last call.
    pub(crate) fn begin(&mut self) {
        self.refusals = 0;
    }

    /// Returns how often a limit refused something in the call.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Lets the next calls see the state of a key of a rule. A key that is woken has one wake-up less.
    pub(crate) fn enter(&mut self, rule: u32, woken: Option<Timestamp>, state: KeyState) {
        let mut scope = Scope::new(rule, woken, self.limit_kib, state);
        if let Some(time) = woken {
            scope.strike_out(time);
        }
        self.scope = Some(scope);
    }

    /// Takes the state back, as the plugin left it or as it was.
    pub(crate) fn leave(&mut self, is_kept: bool) -> KeyState {
        match self.scope.take() {
            Some(scope) if is_kept => scope.state,
            Some(scope) => scope.undone(),
            None => KeyState::default(),
        }
    }

    fn scope(&mut self) -> Result<&mut Scope, StateError> {
        self.scope.as_mut().ok_or(StateError::NoScope)
    }

    /// Changes the state and counts what a limit refuses.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Scope) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let result = change(self.scope()?);
        if matches!(result, Err(StateError::TooLarge(_))) {
            self.refusals += 1;
        }
        result
    }
}

/// The state of one key during one call.
struct Scope {
    rule: u32,
    /// The time of the wake-up under way.
    woken: Option<Timestamp>,
    limit_kib: u64,
    state: KeyState,
    /// Of all names and values in `state`.
    bytes: u64,
    /// No entry expires before.
    next_expiry: Option<Timestamp>,
    before: Before,
}

/// What is needed to undo a call. It never grows beyond the states before and after, however often a name is changed.
#[derive(Default)]
struct Before {
    /// The entries that were changed, as they were.
    entries: BTreeMap<String, Option<StateEntry>>,
    /// The wake-ups, if they were changed.
    wakes: Option<BTreeSet<Timestamp>>,
}

impl Scope {
    fn new(rule: u32, woken: Option<Timestamp>, limit_kib: u64, state: KeyState) -> Self {
        let mut scope = Self {
            rule,
            woken,
            limit_kib,
            bytes: state.bytes(),
            next_expiry: None,
            state,
            before: Before::default(),
        };
        scope.find_next_expiry();
        scope
    }

    fn undone(self) -> KeyState {
        let mut state = self.state;
        for (name, entry) in self.before.entries {
            match entry {
                Some(entry) => state.entries.insert(name, entry),
                None => state.entries.remove(&name),
            };
        }
        if let Some(wakes) = self.before.wakes {
            state.wakes = wakes;
        }
        state
    }

    /// Drops what has expired. Time of a key goes forward, so that what is dropped will not be asked for again.
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
                "the key has {MOST_ENTRIES} entries, and may have no more: remove some, or let them expire"
            )));
        }
        let freed = earlier.map_or(0, |earlier| earlier.bytes(&name));
        let bytes = (self.bytes - freed).saturating_add(entry.bytes(&name));
        let limit = self.limit_kib.saturating_mul(1024);
        if bytes > limit {
            return Err(StateError::TooLarge(format!(
                "the entries of the key would have {bytes} bytes, and may have {limit} (`limits.state_kib = {}` in pack.toml)",
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
        // Else a plugin could wake itself for ever without time going on.
        let has_passed = self.woken.is_some_and(|woken| at <= woken);
        if has_passed || self.state.wakes.contains(&at) {
            return Ok(());
        }
        if self.state.wakes.len() >= MOST_WAKES {
            return Err(StateError::TooLarge(format!(
                "the key waits for {MOST_WAKES} wake-ups, and may wait for no more"
            )));
        }
        self.wakes().insert(at);
        Ok(())
    }

    /// Takes a wake-up out as it comes, and what has expired by then.
    fn strike_out(&mut self, time: Timestamp) {
        if self.state.wakes.contains(&time) {
            self.wakes().remove(&time);
        }
        self.expire(time);
    }

    fn wakes(&mut self) -> &mut BTreeSet<Timestamp> {
        let wakes = &mut self.state.wakes;
        self.before.wakes.get_or_insert_with(|| wakes.clone());
        wakes
    }

    /// Puts an entry in place of another, or none, and remembers what was there before the call.
    fn set(&mut self, name: String, entry: Option<StateEntry>) {
        let is_gone = entry.is_none();
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
        match self.before.entries.entry(name) {
            // It came and went in this call.
            Entry::Occupied(before) if is_gone && before.get().is_none() => {
                before.remove();
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(_) if is_gone && earlier.is_none() => {}
            Entry::Vacant(before) => {
                before.insert(earlier);
            }
        }
    }
}

impl state::Host for HostState {
    fn rule(&mut self) -> Result<u32, StateError> {
        Ok(self.keyed.scope()?.rule)
    }

    fn get(&mut self, name: String, at: i64) -> Result<Option<Vec<u8>>, StateError> {
        let scope = self.keyed.scope()?;
        scope.expire(Timestamp::clamped(at));
        let entry = scope.state.entries.get(&name);
        Ok(entry.map(|entry| entry.value.clone()))
    }

    fn put(
        &mut self,
        name: String,
        value: Vec<u8>,
        expires: Option<i64>,
    ) -> Result<(), StateError> {
        let expires = expires.map(Timestamp::clamped);
        let entry = StateEntry { value, expires };
        self.keyed.change(|scope| scope.put(name, entry))
    }

    fn increment(
        &mut self,
        name: String,
        by: i64,
        at: i64,
        expires: Option<i64>,
    ) -> Result<i64, StateError> {
        let (at, expires) = (Timestamp::clamped(at), expires.map(Timestamp::clamped));
        self.keyed
            .change(|scope| scope.increment(name, by, at, expires))
    }

    fn remove(&mut self, name: String) -> Result<(), StateError> {
        self.keyed.scope()?.set(name, None);
        Ok(())
    }

    fn wake(&mut self, at: i64) -> Result<(), StateError> {
        self.keyed
            .change(|scope| scope.wake(Timestamp::clamped(at)))
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

    fn scope(state: KeyState) -> Scope {
        Scope::new(0, None, 1, state)
    }

    #[test]
    fn what_a_failed_call_did_is_undone_and_the_rest_counted() {
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
        changed.strike_out(at(10));
        assert_eq!(changed.bytes, changed.state.bytes());
        assert_eq!(changed.before.entries.len(), 2, "`a` and `b`; `c` expired");
        assert_eq!(changed.state.entries.len(), 1);
        assert_eq!(changed.state.wakes, BTreeSet::from([at(20)]));
        assert_eq!(changed.undone(), before);
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
    fn limits_refuse_and_leave_what_is_there() {
        let mut keyed = Keyed::new(1);
        keyed.enter(0, None, state(&["a"]));
        let put = |keyed: &mut Keyed, name: String, size: usize| {
            keyed.change(|scope| scope.put(name, entry(&vec![0; size], None)))
        };
        put(&mut keyed, "a".to_owned(), 1023).unwrap();
        let error = put(&mut keyed, "a".to_owned(), 1024).unwrap_err();
        let StateError::TooLarge(message) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            message,
            "the entries of the key would have 1025 bytes, and may have 1024 (`limits.state_kib = 1` in pack.toml)"
        );
        put(&mut keyed, "b".to_owned(), 0).unwrap_err();
        for time in 11..110 {
            keyed.change(|scope| scope.wake(at(time))).unwrap();
        }
        keyed.change(|scope| scope.wake(at(109))).unwrap();
        keyed.change(|scope| scope.wake(at(110))).unwrap_err();
        assert_eq!(keyed.refusals(), 3);
        assert_eq!(keyed.leave(true).entries["a"].value.len(), 1023);

        let mut keyed = Keyed::new(64);
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
        let mut keyed = Keyed::new(1);
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
