//! Repeated messages as one row: the first of them, with how many there were, and when the first and the last.
//!
//! ```text
//! event ─key: class and values of the chosen fields─▶ a row waits with this key, not too long ago ─▶ counted in it
//!                                                   └ otherwise: waits itself
//! ```
//!
//! Rows wait for repetitions within one part of a file, so that what was read of the file and its rows are written in one step. A file
//! that is read in several parts may give several rows of one message; their counts add up all the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use yagura_core::{FieldPath, Timestamp};

use super::event::{Member, find};

/// How many rows wait for repetitions, and how many bytes of them.
const MOST_WAITING: usize = 4_096;
const MOST_BYTES: usize = 4 << 20;

/// Which events of a source are the same message again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeats {
    /// The fields of the maker's whose values must be equal.
    pub fields: Vec<FieldPath>,
    /// How long after the first of them, in microseconds.
    pub within: i64,
}

/// The member that says how often a program had sent a message, where it counted itself.
const REPEATED: &str = "repeated";

/// Returns how many messages an event stands for.
pub(crate) fn weight(members: &[Member<'_>]) -> u64 {
    let said = find(members, &[REPEATED.to_owned()]);
    said.and_then(|said| said.parse().ok()).unwrap_or(1).max(1)
}

impl Repeats {
    /// Returns what two events have in common if they are the same message.
    pub(crate) fn key(&self, class: &str, members: &[Member<'_>]) -> String {
        let mut key = class.to_owned();
        for field in &self.fields {
            key.push('\0');
            // No JSON text holds this byte.
            if let Some(value) = find(members, field.segments()) {
                key.push_str(value);
            }
        }
        key
    }
}

/// Rows that wait for repetitions.
#[derive(Debug)]
pub(crate) struct RepeatRows<T> {
    waiting: Vec<RepeatRow<T>>,
    by_key: HashMap<String, usize>,
    bytes: usize,
}

/// A message with what it stands for.
#[derive(Debug)]
pub(crate) struct RepeatRow<T> {
    pub(crate) row: T,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u64,
}

impl<T> Default for RepeatRows<T> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            by_key: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<T> RepeatRows<T> {
    /// Returns how many rows wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many bytes they have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says whether no more rows should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING || self.bytes >= MOST_BYTES
    }

    /// Adds an event, and says whether it was counted in a row that waits.
    pub(crate) fn add(
        &mut self,
        key: String,
        within: i64,
        (time, count): (Timestamp, u64),
        (row, bytes): (T, usize),
    ) -> bool {
        let next = self.waiting.len();
        match self.by_key.entry(key) {
            Entry::Occupied(mut at) => {
                if let Some(waits) = self.waiting.get_mut(*at.get()) {
                    let (first, last) = (waits.first.min(time), waits.last.max(time));
                    if last.micros().saturating_sub(first.micros()) <= within {
                        (waits.first, waits.last) = (first, last);
                        waits.count = waits.count.saturating_add(count);
                        return true;
                    }
                }
                at.insert(next);
            }
            Entry::Vacant(at) => {
                at.insert(next);
            }
        }
        self.bytes += bytes;
        self.waiting.push(RepeatRow {
            row,
            first: time,
            last: time,
            count,
        });
        false
    }

    /// Returns the rows in the order of their first events. None waits afterwards.
    pub(crate) fn take(&mut self) -> Vec<RepeatRow<T>> {
        std::mem::take(self).waiting
    }
}

impl<T> RepeatRow<T> {
    /// Returns the members of OCSF that say so; the times where there are several.
    pub(crate) fn members(&self) -> String {
        let count = self.count;
        let millis = |time: Timestamp| time.micros().div_euclid(1_000);
        match self.count {
            1 => "\"count\":1".to_owned(),
            _ => format!(
                "\"count\":{count},\"start_time\":{},\"end_time\":{}",
                millis(self.first),
                millis(self.last)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(times: &[(&str, i64)], within: i64) -> Vec<(i64, i64, u64)> {
        let mut repeats = RepeatRows::default();
        for (key, time) in times {
            let at = Timestamp::clamped(*time);
            repeats.add((*key).to_owned(), within, (at, 1), ((), 1));
        }
        let all = repeats.take().into_iter();
        all.map(|of| (of.first.micros(), of.last.micros(), of.count))
            .collect()
    }

    #[test]
    fn equal_messages_within_the_window_are_one_and_none_is_lost() {
        let times = [
            ("a", 10),
            ("b", 11),
            ("a", 14),
            ("a", 15),
            ("a", 16),
            ("a", 9),
            ("b", 40),
        ];
        assert_eq!(
            repeated(&times, 5),
            [
                (10, 15, 3),
                (11, 11, 1),
                (16, 16, 1),
                (9, 9, 1),
                (40, 40, 1)
            ]
        );
        // Out of order, within.
        assert_eq!(repeated(&[("a", 10), ("a", 7), ("a", 12)], 5), [(7, 12, 3)]);
        assert_eq!(repeated(&times, 0).len(), times.len());
        let all: u64 = repeated(&times, 1_000)
            .iter()
            .map(|(.., count)| count)
            .sum();
        assert_eq!(all, times.len() as u64);
    }

    #[test]
    fn what_differs_in_a_chosen_field_is_another_message() {
        let repeats = Repeats {
            fields: ["host", "of.name"]
                .map(|field| field.parse().unwrap())
                .into(),
            within: 1,
        };
        let key = |text: &str| {
            let members = super::super::event::members(text).unwrap();
            (repeats.key("c", &members), weight(&members))
        };
        let one = key(r#"{"host":"a","of":{"name":"b"},"time":1}"#);
        assert_eq!(one, key(r#"{"time":2,"of":{"name":"b"},"host":"a"}"#));
        assert_ne!(one, key(r#"{"host":"a","of":{"name":"c"}}"#));
        // A null is no value.
        assert_eq!(key(r#"{"host":null}"#), key("{}"));
        assert_eq!(key(r#"{"repeated":7}"#).1, 7);
        assert_eq!(key(r#"{"repeated":"x"}"#).1, 1);
    }
}
