//! Events by number, so that a million of them fit.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use yagura_core::{EventRef, Timestamp};

/// An event by number: its time in microseconds, its object's number in [`ObjectNumbers`], its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct EventNumber {
    pub(crate) time: i64,
    pub(crate) object: u32,
    pub(crate) row: u32,
}

/// Rows of one object that share a number; an object with more of them gets several.
const ROWS_OF_A_NUMBER: u64 = 1 << 32;

/// Numbers for objects' names.
#[derive(Debug, Default)]
pub(crate) struct ObjectNumbers {
    numbers: HashMap<(Arc<str>, u32), u32>,
    /// Nothing where a number is free.
    names: Vec<Option<(Arc<str>, u32)>>,
    /// The latest time of a finding in each, by which it is forgotten.
    last: Vec<i64>,
    free: Vec<u32>,
    /// Numbers that changed since they were last stored.
    changed: Vec<u32>,
    /// The name that was looked for last, and its number: events of an object come together.
    newest: Option<(Arc<str>, u32, u32)>,
}

/// An object's number as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredObject {
    pub(crate) name: String,
    pub(crate) block: u32,
    pub(crate) last: i64,
}

impl ObjectNumbers {
    /// Returns the event's number, which is new if its object is.
    pub(crate) fn number(&mut self, event: &EventRef, at: i64) -> EventNumber {
        let block = u32::try_from(event.row / ROWS_OF_A_NUMBER).unwrap_or(u32::MAX);
        let row = u32::try_from(event.row % ROWS_OF_A_NUMBER).unwrap_or(u32::MAX);
        if let Some((name, of, object)) = &self.newest
            && Arc::ptr_eq(name, &event.object)
            && *of == block
            && self.last[*object as usize] >= at
        {
            return EventNumber {
                time: event.time.micros(),
                object: *object,
                row,
            };
        }
        let key = (Arc::clone(&event.object), block);
        let object = match self.numbers.get(&key) {
            Some(number) => *number,
            None => {
                let number = self.free.pop().unwrap_or_else(|| {
                    self.names.push(None);
                    self.last.push(i64::MIN);
                    u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
                });
                self.names[number as usize] = Some(key.clone());
                self.numbers.insert(key, number);
                self.last[number as usize] = i64::MIN;
                number
            }
        };
        self.newest = Some((Arc::clone(&event.object), block, object));
        let last = &mut self.last[object as usize];
        if at > *last {
            // Stored once a change would matter: numbers live for whole windows, not for microseconds.
            if *last == i64::MIN || at / LAST_IS_KEPT_FOR != *last / LAST_IS_KEPT_FOR {
                self.changed.push(object);
            }
            // Ahead of the times that follow, so that most of them need not be looked up.
            *last = at.saturating_add(LAST_IS_KEPT_FOR / 10);
        }
        EventNumber {
            time: event.time.micros(),
            object,
            row,
        }
    }

    /// Returns the event under this number.
    pub(crate) fn event(&self, event: EventNumber) -> EventRef {
        let (object, block) = self.name(event.object);
        EventRef {
            time: Timestamp::clamped(event.time),
            object,
            row: u64::from(block) * ROWS_OF_A_NUMBER + u64::from(event.row),
        }
    }

    fn name(&self, object: u32) -> (Arc<str>, u32) {
        match self.names.get(object as usize) {
            Some(Some(name)) => name.clone(),
            _ => ("".into(), 0),
        }
    }

    /// Compares by time, object's name and row.
    pub(crate) fn compare(&self, a: EventNumber, b: EventNumber) -> Ordering {
        a.time.cmp(&b.time).then_with(|| {
            if a.object == b.object {
                a.row.cmp(&b.row)
            } else {
                self.name(a.object)
                    .cmp(&self.name(b.object))
                    .then(a.row.cmp(&b.row))
            }
        })
    }

    /// Forgets the objects whose last finding is before `time`, and returns their numbers.
    pub(crate) fn forget_before(&mut self, time: i64) -> Vec<u32> {
        let mut gone = Vec::new();
        for (index, last) in self.last.iter_mut().enumerate() {
            if *last < time
                && let Some(name) = self.names[index].take()
            {
                self.numbers.remove(&name);
                *last = i64::MAX;
                gone.extend(u32::try_from(index));
            }
        }
        self.free.extend(&gone);
        self.newest = None;
        gone
    }

    /// Returns what changed since the last call, with its numbers.
    pub(crate) fn take_changed(&mut self) -> Vec<(u32, StoredObject)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
            .into_iter()
            .filter_map(|number| {
                let (name, block) = self.names[number as usize].clone()?;
                // Stored ahead, so that the next change need not be.
                let last = self.last[number as usize].saturating_add(LAST_IS_KEPT_FOR);
                let name = name.to_string();
                Some((number, StoredObject { name, block, last }))
            })
            .collect()
    }

    /// Puts a stored object back under its number.
    pub(crate) fn restore(&mut self, number: u32, stored: StoredObject) {
        let at = number as usize;
        while self.names.len() <= at {
            self.names.push(None);
            self.last.push(i64::MAX);
        }
        let name: Arc<str> = stored.name.into();
        self.numbers
            .insert((Arc::clone(&name), stored.block), number);
        self.names[at] = Some((name, stored.block));
        self.last[at] = stored.last;
    }

    /// Finds the free numbers, after all stored objects are back.
    pub(crate) fn restored(&mut self) {
        let free = self.names.iter().enumerate();
        self.free = free
            .filter(|(_, name)| name.is_none())
            .filter_map(|(index, _)| u32::try_from(index).ok())
            .collect();
    }
}

/// How far a stored last time may lie behind, in microseconds: ten minutes.
const LAST_IS_KEPT_FOR: i64 = 600_000_000;
