//! The states of one operator's keys: a shard of them by hash, found by key, woken by time, stored by what changed.

mod entries;
mod spilled;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use compact_str::CompactString;
use hashbrown::{HashMap, HashTable};

use crate::alert_window::AlertWindow;
use crate::hashing::Hashing;
use crate::hit::Hit;
use crate::operator::Operator;
use crate::output::{OperatorFinding, OperatorOutput};

pub(crate) use entries::join;
use entries::{encode, latest};

/// Shards of each operator's keys. A key's shard follows from its hash alone, so that states can be stored by it.
pub(crate) const SHARDS: usize = 64;

/// Times that are due in the same bucket are looked at together: about a second.
const BUCKET_BITS: u32 = 20;

/// Returns the shard of a key with this hash.
pub(crate) fn shard_of(hash: u64) -> usize {
    // The upper bits: tables take the lower ones.
    usize::try_from(hash >> 58).unwrap_or_default() % SHARDS
}

/// What an operator found of keys.
#[derive(Debug, Default)]
pub(crate) struct ShardOutput {
    pub(crate) findings: Vec<(String, OperatorFinding)>,
    pub(crate) closed: Vec<(String, AlertWindow)>,
    pub(crate) capped: u64,
    pub(crate) without_value: u64,
}

impl ShardOutput {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
        self.closed.append(&mut other.closed);
        self.capped += other.capped;
        self.without_value += other.without_value;
    }

    fn take(&mut self, key: &str, out: &mut OperatorOutput) {
        let finding = out
            .findings
            .drain(..)
            .map(|finding| (key.to_owned(), finding));
        self.findings.extend(finding);
        let closed = out.closed.drain(..).map(|window| (key.to_owned(), window));
        self.closed.extend(closed);
        self.capped += std::mem::take(&mut out.capped);
        self.without_value += std::mem::take(&mut out.without_value);
    }
}

/// A key that was moved to disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spilled {
    pub(crate) hash: u64,
    pub(crate) key: Box<str>,
    pub(crate) state: Vec<u8>,
    pub(crate) due: i64,
}

/// A shard of the keys.
#[derive(Debug)]
pub(crate) struct Shard<S> {
    hashing: Hashing,
    index: HashTable<u32>,
    slots: Vec<KeySlot<S>>,
    free: Vec<u32>,
    /// Slots by the bucket in which they may be due.
    timers: BTreeMap<i64, Vec<u32>>,
    dirty: Vec<u32>,
    removed: Vec<CompactString>,
    /// Keys on disk by hash, with the earliest time at which one of them is due.
    spilled: HashMap<u64, i64>,
    /// The same, the earliest first; also of keys that have come back since.
    spilled_due: BinaryHeap<Reverse<(i64, u64)>>,
    /// Memory behind the states, in bytes.
    heap: usize,
}

#[derive(Debug)]
struct KeySlot<S> {
    /// Short ones take no memory of their own.
    key: CompactString,
    /// Nothing in a free slot.
    state: Option<S>,
    /// The bucket in which it is registered.
    bucket: i64,
    /// The step that touched it last.
    touched: u32,
    is_dirty: bool,
}

impl<S> Shard<S> {
    /// Returns a shard without keys, which are found by this hash.
    pub(crate) fn new(hashing: Hashing) -> Self {
        Self {
            hashing,
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            timers: BTreeMap::new(),
            dirty: Vec::new(),
            removed: Vec::new(),
            spilled: HashMap::new(),
            spilled_due: BinaryHeap::new(),
            heap: 0,
        }
    }
}

impl<S: Clone + Default + serde::Serialize + serde::de::DeserializeOwned> Shard<S> {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn spilled_len(&self) -> usize {
        self.spilled.len()
    }

    /// Returns about how many bytes the shard takes.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<KeySlot<S>>()
            + self.index.capacity() * 5
            + self.heap
            + self.spilled.capacity() * 17
            + self.spilled_due.capacity() * 16
    }

    fn find(&self, hash: u64, key: &str) -> Option<u32> {
        let is_key = |slot: &u32| self.slots[*slot as usize].key == *key;
        self.index.find(hash, is_key).copied()
    }

    /// Returns the state of a key.
    pub(crate) fn state(&self, key: &str) -> Option<&S> {
        self.slots[self.find(self.hash(key), key)? as usize]
            .state
            .as_ref()
    }

    pub(crate) fn hash(&self, key: &str) -> u64 {
        self.hashing.of(key)
    }

    fn insert(&mut self, hash_of_key: u64, key: CompactString, state: S, step: u32) -> u32 {
        let slot = KeySlot {
            key,
            state: Some(state),
            bucket: i64::MAX,
            touched: step,
            is_dirty: false,
        };
        let number = if let Some(free) = self.free.pop() {
            self.slots[free as usize] = slot;
            free
        } else {
            if self.slots.len() == self.slots.capacity() {
                // A quarter more, not double: the shards of a million keys are most of the memory.
                self.slots.reserve_exact(self.slots.len() / 4 + 4);
            }
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        };
        let (slots, hashing) = (&self.slots, self.hashing);
        self.index.insert_unique(hash_of_key, number, |slot| {
            hashing.of(&slots[*slot as usize].key)
        });
        number
    }

    fn mark(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty.push(number);
        }
    }

    fn register(&mut self, number: u32, due: i64) {
        let bucket = due >> BUCKET_BITS;
        let slot = &mut self.slots[number as usize];
        // A slot that is registered earlier is looked at then, and registered again.
        if slot.bucket > bucket {
            slot.bucket = bucket;
            self.timers.entry(bucket).or_default().push(number);
        }
    }

    /// Pushes hits, which come in order of time.
    pub(crate) fn push<O: Operator<State = S>>(
        &mut self,
        operator: &O,
        hits: Vec<(String, Hit)>,
        started: i64,
        step: u32,
    ) -> ShardOutput {
        let mut output = ShardOutput::default();
        let mut out = OperatorOutput {
            started,
            ..OperatorOutput::default()
        };
        // Keys of a million lie anywhere in memory: looked up some at a time, they are waited for together.
        let mut found: Vec<Option<u32>> = Vec::with_capacity(hits.len());
        let known = hits.iter().map(|(key, _)| self.find(self.hash(key), key));
        found.extend(known);
        for ((key, hit), found) in hits.into_iter().zip(found) {
            let number = found.unwrap_or_else(|| {
                // One of these hits may have brought the key already.
                let hash_of_key = self.hash(&key);
                self.find(hash_of_key, &key).unwrap_or_else(|| {
                    self.insert(hash_of_key, key.as_str().into(), S::default(), step)
                })
            });
            let slot = &mut self.slots[number as usize];
            slot.touched = step;
            let is_new = slot.bucket == i64::MAX;
            let state = slot.state.get_or_insert_default();
            let before = if is_new { 0 } else { operator.heap(state) };
            if !is_new
                && operator.due(state) < hit.time
                && !operator.advance(state, hit.time, &mut out)
            {
                *state = S::default();
            }
            operator.push(state, hit, &mut out);
            let after = operator.heap(state);
            let due = operator.due(state);
            self.heap = self.heap + after - before.min(self.heap + after);
            if is_new {
                self.heap += key_heap(&key);
            }
            self.register(number, due);
            self.mark(number);
            output.take(&key, &mut out);
        }
        output
    }

    /// Does what is due before `now`.
    pub(crate) fn advance<O: Operator<State = S>>(
        &mut self,
        operator: &O,
        now: i64,
        started: i64,
        keys: &mut Vec<String>,
    ) -> ShardOutput {
        let mut output = ShardOutput::default();
        let mut out = OperatorOutput {
            started,
            ..OperatorOutput::default()
        };
        let last = now >> BUCKET_BITS;
        let mut again = Vec::new();
        while let Some(entry) = self.timers.first_entry()
            && *entry.key() <= last
        {
            let bucket = *entry.key();
            for number in entry.remove() {
                let slot = &mut self.slots[number as usize];
                // Slots are registered anew when they are due earlier, or used again.
                let (Some(state), true) = (&mut slot.state, slot.bucket == bucket) else {
                    continue;
                };
                slot.bucket = i64::MAX;
                let due = operator.due(state);
                let now = operator.now(&slot.key, now);
                if due >= now {
                    again.push((number, due));
                    continue;
                }
                let before = operator.heap(state);
                let stays = operator.advance(state, now, &mut out);
                let after = if stays { operator.heap(state) } else { 0 };
                let due = operator.due(state);
                self.heap = (self.heap + after).saturating_sub(before);
                output.take(&self.slots[number as usize].key, &mut out);
                keys.push(self.slots[number as usize].key.to_string());
                if stays {
                    self.mark(number);
                    again.push((number, due));
                } else {
                    self.remove(number);
                }
            }
        }
        for (number, due) in again {
            self.register(number, due);
        }
        output
    }

    fn remove(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.state = None;
        slot.bucket = i64::MAX;
        slot.is_dirty = false;
        let key = std::mem::take(&mut slot.key);
        let hash = self.hashing.of(&key);
        let found = self.index.find_entry(hash, |other| *other == number);
        if let Ok(entry) = found {
            entry.remove();
        }
        self.heap = self.heap.saturating_sub(key_heap(&key));
        self.free.push(number);
        self.removed.push(key);
    }

    /// Pushes hits of one key into a copy of its state, and returns the output and what the state would be.
    pub(crate) fn speculate<O: Operator<State = S>>(
        &self,
        operator: &O,
        key: &str,
        hits: impl IntoIterator<Item = Hit>,
        started: i64,
    ) -> (ShardOutput, S) {
        let mut output = ShardOutput::default();
        let mut out = OperatorOutput {
            started,
            ..OperatorOutput::default()
        };
        let known = self.state(key);
        let mut is_new = known.is_none();
        let mut state = known.cloned().unwrap_or_default();
        for hit in hits {
            if !is_new
                && operator.due(&state) < hit.time
                && !operator.advance(&mut state, hit.time, &mut out)
            {
                state = S::default();
            }
            operator.push(&mut state, hit, &mut out);
            is_new = false;
        }
        output.take(key, &mut out);
        (output, state)
    }

    /// Returns what changed since the last call, as bytes: keys with their states, and keys that are gone. Nothing if
    /// nothing did.
    pub(crate) fn delta(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for key in self.removed.drain(..) {
            encode::<S>(&mut bytes, &key, None);
        }
        for number in self.dirty.drain(..) {
            let slot = &mut self.slots[number as usize];
            // A slot that was given to another key is in the list twice.
            if std::mem::take(&mut slot.is_dirty) {
                encode(&mut bytes, &slot.key, slot.state.as_ref());
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Takes back what [`Shard::delta`] returned, in the order in which it was returned, of the keys
    /// that `takes` names.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub(crate) fn restore<O: Operator<State = S>>(
        &mut self,
        operator: &O,
        bytes: &[u8],
        takes: &dyn Fn(&str) -> bool,
    ) -> Result<(), postcard::Error> {
        for (key, state) in latest(bytes)? {
            if !takes(key) {
                continue;
            }
            let known = self.find(self.hash(key), key);
            match (known, state.map(postcard::from_bytes).transpose()?) {
                (Some(number), None) => {
                    self.remove(number);
                }
                (None, None) => {}
                (Some(number), Some(state)) => {
                    let slot = &mut self.slots[number as usize];
                    slot.state = Some(state);
                }
                (None, Some(state)) => {
                    self.insert(self.hash(key), key.into(), state, 0);
                }
            }
        }
        self.removed.clear();
        self.dirty.clear();
        self.heap = 0;
        self.timers.clear();
        let live = self.slots.iter().enumerate();
        let due: Vec<(u32, i64, usize)> = live
            .filter_map(|(number, slot)| {
                let state = slot.state.as_ref()?;
                let heap = key_heap(&slot.key) + operator.heap(state);
                Some((u32::try_from(number).ok()?, operator.due(state), heap))
            })
            .collect();
        for (number, due, heap) in due {
            self.slots[number as usize].bucket = i64::MAX;
            self.heap += heap;
            self.register(number, due);
        }
        Ok(())
    }

    /// Takes note that all keys are to be stored anew.
    pub(crate) fn mark_all(&mut self) {
        for number in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if self.slots[number as usize].state.is_some() {
                self.mark(number);
            }
        }
    }
}

/// Returns the memory of a key beyond its slot.
fn key_heap(key: &str) -> usize {
    // Up to 24 bytes lie in the slot.
    if key.len() > 24 { key.len() } else { 0 }
}

#[cfg(test)]
mod tests;
