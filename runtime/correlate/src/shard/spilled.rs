//! Keys that leave memory for the disk, and come back when they are hit or due.

use std::cmp::Reverse;

use compact_str::CompactString;
use hashbrown::HashTable;

use super::{Shard, Spilled, key_heap};
use crate::operator::Operator;

/// Entries of keys that came back which may always lie among the due times: tidying up fewer gains nothing.
const LEAST_STALE: usize = 1_024;

impl<S: Clone + Default + serde::Serialize + serde::de::DeserializeOwned> Shard<S> {
    /// Moves the keys that were touched longest ago out of memory until the shard takes no more than `most` bytes.
    pub(crate) fn evict<O: Operator<State = S>>(
        &mut self,
        operator: &O,
        most: usize,
    ) -> Vec<Spilled> {
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
        let shard = by_age.len().div_ceil(2);
        for (_, number) in by_age.into_iter().take(shard) {
            let slot = &self.slots[number as usize];
            let Some(state) = &slot.state else { continue };
            let Ok(bytes) = postcard::to_allocvec(state) else {
                continue;
            };
            let spilled = Spilled {
                hash: self.hash(&slot.key),
                key: slot.key.as_str().into(),
                state: bytes,
                due: operator.due(state),
            };
            self.heap = self.heap.saturating_sub(operator.heap(state));
            self.note_spilled(spilled.hash, spilled.due);
            self.remove(number);
            moved.push(spilled);
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
    pub(crate) fn take_spilled(&mut self, hash: u64) -> bool {
        // Also where the disk no longer has them: what it forgot must not hide a later key's time.
        self.spilled.remove(&hash).is_some()
    }

    /// Returns the hashes of keys on disk that are due before `now`, and takes note that they come back.
    pub(crate) fn take_due(&mut self, now: i64) -> Vec<u64> {
        let mut hashes = Vec::new();
        while let Some(Reverse((due, hash))) = self.spilled_due.peek().copied()
            && due < now
        {
            self.spilled_due.pop();
            // One that came back in between, or is noted again, is not this one.
            if self.spilled.get(&hash) == Some(&due) {
                self.spilled.remove(&hash);
                hashes.push(hash);
            }
        }
        hashes
    }

    /// Takes keys back from disk.
    ///
    /// # Errors
    /// When a state is not what [`Shard::evict`] wrote.
    pub(crate) fn load_spilled<O: Operator<State = S>>(
        &mut self,
        operator: &O,
        keys: Vec<Spilled>,
        step: u32,
    ) -> Result<(), postcard::Error> {
        for spilled in keys {
            let state: S = postcard::from_bytes(&spilled.state)?;
            self.heap += key_heap(&spilled.key) + operator.heap(&state);
            let due = operator.due(&state);
            let number = self.insert(
                spilled.hash,
                CompactString::from(&*spilled.key),
                state,
                step,
            );
            self.register(number, due);
            self.mark(number);
        }
        Ok(())
    }

    /// Takes note of a key on disk.
    pub(crate) fn note_spilled(&mut self, hash: u64, due: i64) {
        let known = self.spilled.entry(hash).or_insert(i64::MAX);
        if due < *known {
            *known = due;
            self.spilled_due.push(Reverse((due, hash)));
        }
        if self.spilled_due.len() > 2 * self.spilled.len() + LEAST_STALE {
            let spilled = self.spilled.iter();
            self.spilled_due = spilled.map(|(hash, due)| Reverse((*due, *hash))).collect();
        }
    }
}
