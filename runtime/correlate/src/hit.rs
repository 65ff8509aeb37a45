//! Findings as one correlation sees them, and what is kept of them.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::finding::CompactFinding;
use crate::limits::MOST_OBSERVABLES;
use crate::objects::EventNumber;

/// A finding as one correlation sees it.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// When it was known.
    pub(crate) time: i64,
    /// The first entry of the correlation's `rules` that its rule is.
    pub(crate) source: u16,
    pub(crate) kept: KeptHit,
    /// The values of the measured fields.
    pub(crate) values: Vec<Option<Box<str>>>,
    /// It goes on from its rule's finding before, and has only what is new.
    pub(crate) continues: bool,
    /// Title and id for the sequence's context; the window's whole content for alerts.
    pub(crate) finding: Option<Box<CompactFinding>>,
}

/// Events of findings of one rule that go on from each other. An alert lists twenty: the others joined shall be among them.
const MOST_OF_ONE: usize = 10;

/// What is kept of a hit to prove what it took part in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptHit {
    /// When the finding was known.
    pub(crate) time: i64,
    pub(crate) object: u32,
    pub(crate) row: u32,
    /// Nothing for the usual finding: one event, known at its time, without observables.
    pub(crate) more: Option<Box<HitDetails>>,
}

/// What an unusual hit has besides.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct HitDetails {
    /// All events, where they are not the one.
    pub(crate) events: Vec<EventNumber>,
    pub(crate) observables: Vec<(String, String)>,
}

impl KeptHit {
    pub(crate) fn of(found: &CompactFinding) -> Self {
        let first = found.events.first().copied().unwrap_or(EventNumber {
            time: found.time,
            object: 0,
            row: 0,
        });
        let is_one = found.events.len() == 1 && first.time == found.time;
        let more = (!is_one || !found.observables.is_empty()).then(|| {
            Box::new(HitDetails {
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
    pub(crate) fn events(&self, events: &mut Vec<EventNumber>) {
        match &self.more {
            Some(more) if !more.events.is_empty() => events.extend(&more.events),
            _ => events.push(EventNumber {
                time: self.time,
                object: self.object,
                row: self.row,
            }),
        }
    }

    /// Returns the event that made it known: the newest of its events.
    pub(crate) fn newest(&self) -> EventNumber {
        let several = self.more.as_ref().and_then(|more| more.events.last());
        several.copied().unwrap_or(EventNumber {
            time: self.time,
            object: self.object,
            row: self.row,
        })
    }

    /// Says whether the event is one of its events.
    pub(crate) fn holds(&self, event: EventNumber) -> bool {
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
            more: Some(Box::new(HitDetails {
                events,
                observables: observables.into_iter().take(MOST_OBSERVABLES).collect(),
            })),
        }
    }

    /// Memory behind it, in bytes.
    pub(crate) fn heap(&self) -> usize {
        self.more.as_ref().map_or(0, |more| {
            let texts = more.observables.iter();
            size_of::<HitDetails>()
                + more.events.len() * size_of::<EventNumber>()
                + texts.map(|(a, b)| 48 + a.len() + b.len()).sum::<usize>()
        })
    }
}

/// Hits in order: sixteen bytes for each that is usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct HitTrail {
    events: VecDeque<EventNumber>,
    /// Beside each what an unusual hit has besides; nothing while all are usual.
    #[expect(
        clippy::box_collection,
        reason = "eight bytes for each of a million keys, not thirty-two"
    )]
    more: Option<Box<VecDeque<Option<Box<HitDetails>>>>>,
}

impl HitTrail {
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

    pub(crate) fn push(&mut self, kept: KeptHit) {
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
        self.events.push_back(EventNumber {
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = KeptHit> + '_ {
        let more = |at: usize| self.more.as_ref()?.get(at)?.clone();
        let events = self.events.iter().enumerate();
        events.map(move |(at, event)| KeptHit {
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
            let each = newest.map_or(8, |more| {
                size_of::<HitDetails>() + more.observables.len() * 64
            });
            64 + all.len() * each
        });
        self.events.capacity() * size_of::<EventNumber>() + more
    }
}
