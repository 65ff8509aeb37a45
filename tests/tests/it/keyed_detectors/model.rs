//! What the guest must say of events, worked out by other code, one event after the other.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use yagura_core::Finding;
use yagura_engine::report::SkippedEvents;

/// 2026-05-01T00:59:59.9997Z: states are swept at the full hour, in the midst of the events.
pub(super) const BASE: i64 = 1_777_597_199_999_700;

/// An event: its time after [`BASE`] in microseconds, its user, and what the detector is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) user: Option<u8>,
    pub(super) step: &'static str,
}

pub(super) fn event(at: i64, user: u8, step: &'static str) -> Event {
    Event {
        at,
        user: Some(user),
        step,
    }
}

pub(super) fn key(user: Option<u8>) -> String {
    user.map_or_else(String::new, |user| format!("u{user}"))
}
/// A finding: time, key, title, time of its event, and what that event's step was.
pub(super) type Line = (i64, String, String, i64, String);

/// What a rule says, in order, and how much it could not evaluate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) lines: Vec<Line>,
    pub(super) rows: u64,
    pub(super) wakes: u64,
}

impl Told {
    pub(super) fn of(findings: &[Finding], aside: &[SkippedEvents]) -> Self {
        let mut told = Self::default();
        told.add(findings, aside);
        told.lines.sort();
        told
    }

    pub(super) fn add(&mut self, findings: &[Finding], aside: &[SkippedEvents]) {
        self.lines.extend(findings.iter().map(|finding| {
            let [event] = finding.events.as_slice() else {
                panic!("{finding:?} is of one event");
            };
            assert!(event.object.contains("part-"), "{event:?}");
            assert_eq!(finding.context[0].0, "step");
            if !finding.key.is_empty() {
                let user = ("user".to_owned(), finding.key.clone());
                assert_eq!(finding.observables, [user]);
            }
            (
                finding.time.micros() - BASE,
                finding.key.clone(),
                finding.title.clone(),
                event.time.micros() - BASE,
                finding.context[0].1.clone(),
            )
        }));
        self.rows += aside.iter().map(|events| events.rows).sum::<u64>();
        self.wakes += aside.iter().map(|events| events.wakes).sum::<u64>();
    }
}

/// What is kept of a key, by the simplest code there can be.
#[derive(Default)]
pub(super) struct Model {
    pub(super) count: Option<(i64, Option<i64>)>,
    pub(super) text: Option<i64>,
    pub(super) wakes: BTreeSet<i64>,
    pub(super) last: Option<Event>,
    /// When its last event was that could be evaluated.
    pub(super) seen: Option<i64>,
}

impl Model {
    pub(super) fn count(&mut self, at: i64) -> i64 {
        self.count = self.count.filter(|(_, end)| end.is_none_or(|end| end > at));
        self.count.map_or(0, |(count, _)| count)
    }

    /// Returns false where the key may have no more wake-ups.
    pub(super) fn wake(&mut self, at: i64) -> bool {
        let has_room = self.wakes.contains(&at) || self.wakes.len() < 100;
        if has_room {
            self.wakes.insert(at);
        }
        has_room
    }

    /// Returns what an event says; nothing if it cannot be evaluated.
    pub(super) fn take(&mut self, event: &Event) -> Option<String> {
        let at = event.at;
        let said = match event.step {
            "count" => {
                let count = self.count(at) + 1;
                self.count = Some((count, self.count.and_then(|(_, end)| end)));
                count.to_string()
            }
            "count for ten" => {
                let count = self.count(at) + 1;
                self.count = Some((count, Some(at + 10)));
                count.to_string()
            }
            "read" => self.count(at).to_string(),
            "forget" => {
                self.count = None;
                "done".to_owned()
            }
            "wake" | "many wake-ups" => {
                let last = if event.step == "wake" { 5 } else { 101 };
                let first = if event.step == "wake" { 5 } else { 1 };
                let has_room = (first..=last).all(|after| self.wake(at + after));
                let full = "the state is full: the key has 100 wake-ups, which is the maximum";
                if has_room { "done" } else { full }.to_owned()
            }
            "write" => {
                self.text = Some(at + 10);
                "done".to_owned()
            }
            "text" => {
                let is_there = self.text.is_some_and(|end| end > at);
                if is_there { "名" } else { "" }.to_owned()
            }
            _ => return None,
        };
        self.last = Some(event.clone());
        self.seen = Some(at);
        Some(said)
    }

    /// Calls the wake-ups before `end`, and ends the state where it has had no event for so long.
    pub(super) fn wake_before(&mut self, end: i64, state_for: i64, told: &mut Told) {
        let ends = self
            .seen
            .map_or(i64::MAX, |seen| seen.saturating_add(state_for));
        while let Some(time) = self.wakes.first().copied()
            && time < end.min(ends)
        {
            self.wakes.remove(&time);
            let count = self.count(time);
            if count == 3 {
                told.wakes += 1;
                continue;
            }
            if count == 2 {
                self.wake(time + 100);
            }
            let last = self.last.as_ref().unwrap();
            told.lines.push((
                time,
                key(last.user),
                // The guest's clock begins in 1970.
                format!("steps: {count} at {}, done", BASE + time),
                last.at,
                last.step.to_owned(),
            ));
        }
        if ends < end {
            told.wakes += self.wakes.len() as u64;
            *self = Self::default();
        }
    }
}

/// Works out what the events must come to, one after the other.
pub(super) fn expected(events: &[Event]) -> Told {
    expected_for(events, i64::MAX)
}

/// The same where the state of a key ends so long after its last event, in microseconds.
pub(super) fn expected_for(events: &[Event], state_for: i64) -> Told {
    let mut told = Told::default();
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|event| event.at);
    for event in &sorted {
        let model = models.entry(key(event.user)).or_default();
        model.wake_before(event.at + 1, state_for, &mut told);
        match model.take(event) {
            None => told.rows += 1,
            Some(title) => told.lines.push((
                event.at,
                key(event.user),
                title,
                event.at,
                event.step.to_owned(),
            )),
        }
    }
    let end = sorted.last().map_or(0, |event| event.at) + 1;
    for model in models.values_mut() {
        model.wake_before(end, state_for, &mut told);
    }
    told.lines.sort();
    told
}

pub(super) const ALL_STEPS: [&str; 16] = [
    "count",
    "count",
    "count",
    "count for ten",
    "count for ten",
    "read",
    "forget",
    "wake",
    "wake",
    "wake",
    "many wake-ups",
    "write",
    "text",
    "text",
    "panic",
    "error",
];

/// Events at different times, which cross a full hour.
pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (
        0i64..900,
        prop::option::weighted(0.9, 0u8..3),
        prop::sample::select(ALL_STEPS.to_vec()),
    );
    prop::collection::vec(one, 1..150).prop_map(|events| {
        let by_time: BTreeMap<i64, Event> = events
            .into_iter()
            .map(|(at, user, step)| (at, Event { at, user, step }))
            .collect();
        by_time.into_values().collect()
    })
}

/// Deals events out to objects.
pub(super) fn dealt(events: &[Event], deal: &[usize], objects: usize) -> Vec<Vec<Event>> {
    let mut parts = vec![Vec::new(); objects];
    for (event, to) in events.iter().zip(deal.iter().cycle()) {
        parts[to % objects].push(event.clone());
    }
    parts.retain(|part| !part.is_empty());
    parts
}
