//! Keys that leave memory for the disk, and come back when they are hit or due.

use std::cmp::Reverse;

use compact_str::CompactString;
use hashbrown::HashTable;

use super::{Cold, Group, key_heap};
use crate::machine::Machine;

/// Entries of keys that came back which may always lie among the due times: tidying up fewer gains nothing.
const LEAST_STALE: usize = 1_024;

impl<S: Clone + Default + serde::Serialize + serde::de::DeserializeOwned> Group<S> {
    /// Moves the keys that were touched longest ago out of memory until the share takes no more than `most` bytes.
    pub(crate) fn evict<M: Machine<State = S>>(&mut self, machine: &M, most: usize) -> Vec<Cold> {
        let mut moved = Vec::new();
        if self.bytes() <= most {
            return moved;
        }
        let mut by_age: Vec<(u32, u32)> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.state.is_some())
            .filter_map(|(number, slot)| Some((slot.touched, u32::try_from(number).ok()?)))
            .collect();
        by_age.sort_unstable();
        // Half of them, so that the next step need not move again.
        let share = by_age.len().div_ceil(2);
        for (_, number) in by_age.into_iter().take(share) {
            let slot = &self.slots[number as usize];
            let Some(state) = &slot.state else { continue };
            let Ok(bytes) = postcard::to_allocvec(state) else {
                continue;
            };
            let cold = Cold {
                hash: self.hash(&slot.key),
                key: slot.key.as_str().into(),
                state: bytes,
                due: machine.due(state),
            };
            self.heap = self.heap.saturating_sub(machine.heap(state));
            self.note_cold(cold.hash, cold.due);
            self.remove(number);
            moved.push(cold);
        }
        self.compact();
        moved
    }

    /// Closes the gaps that removed keys left.
    fn compact(&mut self) {
        let mut old = std::mem::take(&mut self.slots);
        let removed = std::mem::take(&mut self.removed);
        let dirty: Vec<CompactString> = self
            .dirty
            .drain(..)
            .filter(|number| old[*number as usize].is_dirty)
            .map(|number| old[number as usize].key.clone())
            .collect();
        self.timers.clear();
        self.index = HashTable::new();
        self.free = Vec::new();
        old.retain(|slot| slot.state.is_some());
        old.shrink_to_fit();
        for (number, slot) in (0_u32..).zip(&mut old) {
            slot.is_dirty = false;
            let bucket = slot.bucket;
            self.timers.entry(bucket).or_default().push(number);
        }
        self.slots = old;
        let (slots, hashing) = (&self.slots, self.hashing);
        for number in 0..u32::try_from(slots.len()).unwrap_or(u32::MAX) {
            let key = hashing.of(&slots[number as usize].key);
            self.index
                .insert_unique(key, number, |slot| hashing.of(&slots[*slot as usize].key));
        }
        self.removed = removed;
        for key in dirty {
            if let Some(number) = self.find(self.hash(&key), &key) {
                self.mark(number);
            }
        }
    }

    /// Says whether keys with this hash are on disk, and takes note that they come back.
    pub(crate) fn take_cold(&mut self, hash: u64) -> bool {
        // Also where the disk no longer has them: what it forgot must not hide a later key's time.
        self.cold.remove(&hash).is_some()
    }

    /// Returns the hashes of keys on disk that are due before `now`, and takes note that they come back.
    pub(crate) fn take_due(&mut self, now: i64) -> Vec<u64> {
        let mut hashes = Vec::new();
        while let Some(Reverse((due, hash))) = self.cold_due.peek().copied()
            && due < now
        {
            self.cold_due.pop();
            // One that came back in between, or is noted again, is not this one.
            if self.cold.get(&hash) == Some(&due) {
                self.cold.remove(&hash);
                hashes.push(hash);
            }
        }
        hashes
    }

    /// Takes keys back from disk.
    ///
    /// # Errors
    /// When a state is not what [`Group::evict`] wrote.
    pub(crate) fn warm<M: Machine<State = S>>(
        &mut self,
        machine: &M,
        keys: Vec<Cold>,
        step: u32,
    ) -> Result<(), postcard::Error> {
        for cold in keys {
            let state: S = postcard::from_bytes(&cold.state)?;
            self.heap += key_heap(&cold.key) + machine.heap(&state);
            let due = machine.due(&state);
            let number = self.insert(cold.hash, CompactString::from(&*cold.key), state, step);
            self.register(number, due);
            self.mark(number);
        }
        Ok(())
    }

    /// Takes note of a key on disk.
    pub(crate) fn note_cold(&mut self, hash: u64, due: i64) {
        let known = self.cold.entry(hash).or_insert(i64::MAX);
        if due < *known {
            *known = due;
            self.cold_due.push(Reverse((due, hash)));
        }
        if self.cold_due.len() > 2 * self.cold.len() + LEAST_STALE {
            let cold = self.cold.iter();
            self.cold_due = cold.map(|(hash, due)| Reverse((*due, *hash))).collect();
        }
    }
}
