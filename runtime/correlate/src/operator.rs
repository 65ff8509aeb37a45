//! What a correlation does with the hits of one key.
//!
//! An operator is a correlation engine over hits in event-time order. It never sees the watermark, only times that have passed, so that
//! it cannot tell a live run from one over history.

pub(crate) mod absence;
pub(crate) mod any_order;
pub(crate) mod baseline;
pub(crate) mod change;
pub(crate) mod measure;
pub(crate) mod novelty;
pub(crate) mod rare;
pub(crate) mod sequence;
pub(crate) mod threshold;
pub(crate) mod travel;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use yagura_core::Severity;

use crate::found::{Event, Hit, Kept};
use crate::window::AlertWindow;

/// Hits, values or open deadlines that one key may hold.
pub(crate) const MOST_KEPT: usize = 10_000;

/// Hits of a window that evidence is made of where an operator does not need all of them.
pub(crate) const MOST_SHOWN: usize = 20;

/// Observables of one finding.
pub(crate) const MOST_OBSERVABLES: usize = 100;

/// A fold over the hits of one key.
pub(crate) trait Operator: Send + Sync {
    /// What it remembers of a key.
    type State: Clone + Default + Send + Sync + Serialize + DeserializeOwned;

    /// Takes a hit. Hits come in order of time; what was due before this one's time has been done.
    fn push(&self, state: &mut Self::State, hit: Hit, out: &mut Out);

    /// Returns the time after which something must be done: a deadline, or that the state has become worthless.
    fn due(&self, state: &Self::State) -> i64;

    /// Does what is due before `now`. Returns false when the state is worth nothing any more.
    fn advance(&self, state: &mut Self::State, now: i64, out: &mut Out) -> bool;

    /// Returns which time a key has where that of all is `now`.
    fn now(&self, _key: &str, now: i64) -> i64 {
        now
    }

    /// Returns about how many bytes a state takes beyond itself.
    fn heap(&self, state: &Self::State) -> usize;
}

/// What operators say, key by key.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// When the rule saw its first hit.
    pub(crate) started: i64,
    /// What they found of the key at hand.
    pub(crate) said: Vec<Said>,
    /// Windows of alerts that have ended.
    pub(crate) closed: Vec<AlertWindow>,
    /// Hits, values or deadlines that a key's limit made it forget.
    pub(crate) capped: u64,
    /// Hits that were passed over, because their field has no value that can be used.
    pub(crate) without_value: u64,
}

/// A finding of an operator, without what the rule adds to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) time: i64,
    pub(crate) events: Vec<Event>,
    /// What was measured.
    pub(crate) value: Option<f64>,
    pub(crate) severity: Option<Severity>,
    pub(crate) observables: Vec<(String, String)>,
    pub(crate) context: Vec<(String, String)>,
    /// It goes on from the finding before, and has only what is new.
    pub(crate) continues: bool,
}

impl Said {
    /// Returns a finding at this time about these hits.
    pub(crate) fn of<'a>(time: i64, hits: impl IntoIterator<Item = &'a Kept>) -> Self {
        let mut events = Vec::new();
        let mut observables = std::collections::BTreeSet::new();
        for hit in hits {
            hit.events(&mut events);
            if let Some(more) = &hit.more {
                for observable in &more.observables {
                    if observables.len() < MOST_OBSERVABLES {
                        observables.insert(observable.clone());
                    }
                }
            }
        }
        Self {
            time,
            events,
            value: None,
            severity: None,
            observables: observables.into_iter().collect(),
            context: Vec::new(),
            continues: false,
        }
    }

    pub(crate) fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    pub(crate) fn going_on(mut self) -> Self {
        self.continues = true;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.context.push((name.to_owned(), value.into()));
        self
    }
}

/// Values and when each was last seen, the longest ago first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Seen(Vec<(Box<str>, i64)>);

impl Seen {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what was last seen at `oldest` or before.
    pub(crate) fn forget(&mut self, oldest: i64) {
        let gone = self.0.partition_point(|(_, last)| *last <= oldest);
        self.0.drain(..gone);
    }

    /// Takes note of a value, and says whether it was known; above `most` the one seen longest ago is given up.
    pub(crate) fn see(&mut self, value: Box<str>, time: i64, most: usize, out: &mut Out) -> bool {
        let known = self.0.iter().position(|(known, _)| *known == value);
        if let Some(at) = known {
            self.0.remove(at);
        }
        self.0.push((value, time));
        if self.0.len() > most {
            self.0.remove(0);
            out.capped += 1;
        }
        known.is_some()
    }

    /// Returns when the last value was seen.
    pub(crate) fn last(&self) -> Option<i64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// Memory behind it, about, in bytes.
    pub(crate) fn heap(&self) -> usize {
        let texts = self.0.iter().take(100).map(|(value, _)| value.len());
        self.0.capacity() * 24 + texts.sum::<usize>()
    }
}

/// Returns the values of a hit as one text, by which they are told apart; nothing if all are absent.
pub(crate) fn joined(values: &[Option<Box<str>>]) -> Option<Box<str>> {
    match values {
        [one] => one.clone(),
        _ if values.iter().all(Option::is_none) => None,
        _ => Some(yagura_core::key::join(values.iter().map(Option::as_deref)).into()),
    }
}

/// Writes a measured number: whole ones without a fraction.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

/// Helpers of the operators' tests.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::found::More;

    /// An operator with the state of one key.
    pub(crate) struct Run<M: Operator> {
        operator: M,
        state: Option<M::State>,
        out: Out,
        pub(crate) said: Vec<Said>,
    }

    impl<M: Operator> Run<M> {
        pub(crate) fn new(operator: M) -> Self {
            Self {
                operator,
                state: None,
                out: Out::default(),
                said: Vec::new(),
            }
        }

        pub(crate) fn push(&mut self, hit: Hit) {
            self.advance(hit.time);
            let state = self.state.get_or_insert_default();
            self.operator.push(state, hit, &mut self.out);
            self.said.append(&mut self.out.said);
        }

        pub(crate) fn advance(&mut self, now: i64) {
            while let Some(state) = &mut self.state
                && self.operator.due(state) < now
            {
                if !self.operator.advance(state, now, &mut self.out) {
                    self.state = None;
                }
            }
            self.said.append(&mut self.out.said);
        }

        /// Stores the state and reads it back.
        pub(crate) fn restart(&mut self) {
            let stored = postcard::to_allocvec(&self.state).unwrap();
            self.state = postcard::from_bytes(&stored).unwrap();
        }

        /// Returns how many hits were passed over.
        pub(crate) fn without_value(&self) -> u64 {
            self.out.without_value
        }

        /// Returns time and number of events of each finding.
        pub(crate) fn seen(&self) -> Vec<(i64, usize)> {
            let said = self.said.iter();
            said.map(|said| (said.time, said.events.len())).collect()
        }

        /// Returns the rows of each finding's events.
        pub(crate) fn rows(&self) -> Vec<Vec<u32>> {
            let rows = |said: &Said| said.events.iter().map(|event| event.row).collect();
            self.said.iter().map(rows).collect()
        }

        /// Returns of each finding whether it goes on from the one before.
        pub(crate) fn going_on(&self) -> Vec<bool> {
            self.said.iter().map(|said| said.continues).collect()
        }

        /// Returns one entry of each finding's context.
        pub(crate) fn context(&self, name: &str) -> Vec<&str> {
            let said = self.said.iter().flat_map(|said| &said.context);
            said.filter(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
                .collect()
        }
    }

    pub(crate) fn hit(time: i64) -> Hit {
        from(time, 0)
    }

    pub(crate) fn from(time: i64, source: u16) -> Hit {
        Hit {
            time,
            source,
            kept: Kept {
                time,
                object: 0,
                row: u32::try_from(time).unwrap(),
                more: None,
            },
            values: Vec::new(),
            continues: false,
            found: None,
        }
    }

    /// Returns a hit about a certain event of its time.
    pub(crate) fn about(time: i64, source: u16, row: u32) -> Hit {
        let mut hit = from(time, source);
        hit.kept.row = row;
        hit
    }

    /// Returns a hit about these events of object 0: time and row.
    pub(crate) fn several(source: u16, events: &[(i64, u32)]) -> Hit {
        let events: Vec<Event> = events
            .iter()
            .map(|(time, row)| Event {
                time: *time,
                object: 0,
                row: *row,
            })
            .collect();
        let newest = events.last().copied().unwrap();
        let mut hit = about(newest.time, source, events[0].row);
        hit.kept.more = Some(Box::new(More {
            events,
            observables: Vec::new(),
        }));
        hit
    }

    /// Returns the hit as one that goes on from the one before.
    pub(crate) fn going_on(hit: Hit) -> Hit {
        Hit {
            continues: true,
            ..hit
        }
    }

    pub(crate) fn valued(time: i64, value: &str) -> Hit {
        Hit {
            values: vec![Some(value.into())],
            ..hit(time)
        }
    }
}
