//! Findings as the correlation engine holds them: events by number, so that a million of them fit.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use yagura_core::{EventRef, Finding, Severity, Timestamp};

use crate::operator::MOST_OBSERVABLES;

/// An event by number: its time in microseconds, its object's number in [`Objects`], its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) time: i64,
    pub(crate) object: u32,
    pub(crate) row: u32,
}

/// Rows of one object that share a number; an object with more of them gets several.
const ROWS_OF_A_NUMBER: u64 = 1 << 32;

/// Numbers for objects' names.
#[derive(Debug, Default)]
pub(crate) struct Objects {
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

impl Objects {
    /// Returns the event's number, which is new if its object is.
    pub(crate) fn number(&mut self, event: &EventRef, at: i64) -> Event {
        let block = u32::try_from(event.row / ROWS_OF_A_NUMBER).unwrap_or(u32::MAX);
        let row = u32::try_from(event.row % ROWS_OF_A_NUMBER).unwrap_or(u32::MAX);
        if let Some((name, of, object)) = &self.newest
            && Arc::ptr_eq(name, &event.object)
            && *of == block
            && self.last[*object as usize] >= at
        {
            return Event {
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
        Event {
            time: event.time.micros(),
            object,
            row,
        }
    }

    /// Returns the event under this number.
    pub(crate) fn event(&self, event: Event) -> EventRef {
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
    pub(crate) fn compare(&self, a: Event, b: Event) -> Ordering {
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

/// A finding with numbered events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) rule: u32,
    pub(crate) time: i64,
    /// In order of time, object and row; never empty.
    pub(crate) events: Vec<Event>,
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) severity: Option<Severity>,
    pub(crate) observables: Vec<(String, String)>,
    pub(crate) context: Vec<(String, String)>,
    pub(crate) fields: Vec<Option<String>>,
    /// It goes on from the one before, and has only what is new. Findings of tables, the only ones that are stored, do not.
    #[serde(skip)]
    pub(crate) continues: bool,
}

impl Found {
    pub(crate) fn new(finding: Finding, objects: &mut Objects) -> Self {
        let time = finding.time.micros();
        Self {
            rule: u32::try_from(finding.rule).unwrap_or(u32::MAX),
            time,
            events: finding
                .events
                .iter()
                .map(|event| objects.number(event, time))
                .collect(),
            key: finding.key,
            title: finding.title,
            severity: finding.severity,
            observables: finding.observables,
            context: finding.context,
            fields: finding.fields,
            continues: false,
        }
    }

    /// Compares by time and events; by all the rest only so that equal events leave no order open.
    pub(crate) fn compare(&self, other: &Self, objects: &Objects) -> Ordering {
        self.time.cmp(&other.time).then_with(|| {
            let pairs = self.events.iter().zip(&other.events);
            pairs
                .map(|(a, b)| objects.compare(*a, *b))
                .find(|order| order.is_ne())
                .unwrap_or_else(|| self.events.len().cmp(&other.events.len()))
                .then_with(|| {
                    (
                        self.rule,
                        &self.key,
                        &self.title,
                        self.severity,
                        &self.observables,
                        &self.context,
                        &self.fields,
                    )
                        .cmp(&(
                            other.rule,
                            &other.key,
                            &other.title,
                            other.severity,
                            &other.observables,
                            &other.context,
                            &other.fields,
                        ))
                })
        })
    }
}

/// A finding as one correlation sees it.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// When it was known.
    pub(crate) time: i64,
    /// The first entry of the correlation's `rules` that its rule is.
    pub(crate) source: u16,
    pub(crate) kept: Kept,
    /// The values of the measured fields.
    pub(crate) values: Vec<Option<Box<str>>>,
    /// It goes on from its rule's finding before, and has only what is new.
    pub(crate) continues: bool,
    /// Title and id for the sequence's context; the window's whole content for alerts.
    pub(crate) found: Option<Box<Found>>,
}

/// Events of findings of one rule that go on from each other. An alert lists twenty: the others joined shall be among them.
const MOST_OF_ONE: usize = 10;

/// What is kept of a hit to prove what it took part in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When the finding was known.
    pub(crate) time: i64,
    pub(crate) object: u32,
    pub(crate) row: u32,
    /// Nothing for the usual finding: one event, known at its time, without observables.
    pub(crate) more: Option<Box<More>>,
}

/// What an unusual hit has besides.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct More {
    /// All events, where they are not the one.
    pub(crate) events: Vec<Event>,
    pub(crate) observables: Vec<(String, String)>,
}

impl Kept {
    pub(crate) fn of(found: &Found) -> Self {
        let first = found.events.first().copied().unwrap_or(Event {
            time: found.time,
            object: 0,
            row: 0,
        });
        let is_one = found.events.len() == 1 && first.time == found.time;
        let more = (!is_one || !found.observables.is_empty()).then(|| {
            Box::new(More {
                events: if is_one {
                    Vec::new()
                } else {
                    found.events.clone()
                },
                observables: found.observables.clone(),
            })
        });
        Self {
            time: found.time,
            object: first.object,
            row: first.row,
            more,
        }
    }

    /// Adds its events to `events`.
    pub(crate) fn events(&self, events: &mut Vec<Event>) {
        match &self.more {
            Some(more) if !more.events.is_empty() => events.extend(&more.events),
            _ => events.push(Event {
                time: self.time,
                object: self.object,
                row: self.row,
            }),
        }
    }

    /// Returns the event that made it known: the newest of its events.
    pub(crate) fn newest(&self) -> Event {
        let several = self.more.as_ref().and_then(|more| more.events.last());
        several.copied().unwrap_or(Event {
            time: self.time,
            object: self.object,
            row: self.row,
        })
    }

    /// Says whether the event is one of its events.
    pub(crate) fn holds(&self, event: Event) -> bool {
        match &self.more {
            Some(more) if !more.events.is_empty() => more.events.contains(&event),
            _ => self.newest() == event,
        }
    }

    /// Returns it with what `earlier` has, from which it goes on: of the events the first ones and the newest.
    pub(crate) fn going_on_from(&self, earlier: &Self) -> Self {
        let mut events = Vec::new();
        earlier.events(&mut events);
        events.truncate(MOST_OF_ONE - 1);
        let newest = self.newest();
        events.retain(|event| *event != newest);
        events.push(newest);
        let mut observables = BTreeSet::new();
        for more in [earlier, self]
            .into_iter()
            .filter_map(|kept| kept.more.as_ref())
        {
            observables.extend(more.observables.iter().cloned());
        }
        let first = events[0];
        Self {
            time: self.time,
            object: first.object,
            row: first.row,
            more: Some(Box::new(More {
                events,
                observables: observables.into_iter().take(MOST_OBSERVABLES).collect(),
            })),
        }
    }

    /// Memory behind it, in bytes.
    pub(crate) fn heap(&self) -> usize {
        self.more.as_ref().map_or(0, |more| {
            let texts = more.observables.iter();
            size_of::<More>()
                + more.events.len() * size_of::<Event>()
                + texts.map(|(a, b)| 48 + a.len() + b.len()).sum::<usize>()
        })
    }
}

/// Hits in order: sixteen bytes for each that is usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Trail {
    events: VecDeque<Event>,
    /// Beside each what an unusual hit has besides; nothing while all are usual.
    #[expect(
        clippy::box_collection,
        reason = "eight bytes for each of a million keys, not thirty-two"
    )]
    more: Option<Box<VecDeque<Option<Box<More>>>>>,
}

impl Trail {
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns when the oldest hit was known.
    pub(crate) fn first_time(&self) -> Option<i64> {
        self.events.front().map(|event| event.time)
    }

    /// Returns when the newest hit was known.
    pub(crate) fn last_time(&self) -> Option<i64> {
        self.events.back().map(|event| event.time)
    }

    pub(crate) fn push(&mut self, kept: Kept) {
        if self.events.len() == self.events.capacity() {
            // A million keys have a few hits each: doubling would waste as much again.
            let more = (self.events.len() / 2).max(1);
            self.events.reserve_exact(more);
        }
        if kept.more.is_some() && self.more.is_none() {
            let usual = self.events.iter().map(|_| None).collect();
            self.more = Some(Box::new(usual));
        }
        if let Some(all) = &mut self.more {
            all.push_back(kept.more);
        }
        self.events.push_back(Event {
            time: kept.time,
            object: kept.object,
            row: kept.row,
        });
    }

    pub(crate) fn pop_front(&mut self) {
        self.events.pop_front();
        if let Some(all) = &mut self.more {
            all.pop_front();
        }
    }

    /// Returns the hits, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Kept> + '_ {
        let more = |at: usize| self.more.as_ref()?.get(at)?.clone();
        let events = self.events.iter().enumerate();
        events.map(move |(at, event)| Kept {
            time: event.time,
            object: event.object,
            row: event.row,
            more: more(at),
        })
    }

    /// Memory behind it, about, in bytes.
    pub(crate) fn heap(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |all| {
            // As large as the newest of them.
            let newest = all.back().and_then(Option::as_ref);
            let each = newest.map_or(8, |more| size_of::<More>() + more.observables.len() * 64);
            64 + all.len() * each
        });
        self.events.capacity() * size_of::<Event>() + more
    }
}
