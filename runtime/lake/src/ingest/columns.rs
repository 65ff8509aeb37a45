//! Which keys of events get a column of their own: names that rules know, then those that most events have.
//!
//! ```text
//! keys without a column ─counted─▶ candidates ─at the end of a chunk─▶ columns, while there is room
//!                                                        └───────────▶ the rest stays in `unmapped`
//! ```
//!
//! What decides is counted up to the end of the chunk, never the clock or the order of a hash: the same files give the same columns.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::report::SHOWN;
use crate::definition::MAX_COLUMNS;

/// A table's first columns are for any key, those of most events first.
pub(crate) const OPEN_COLUMNS: usize = 500;
/// A table's last columns are for names that rules know.
pub(crate) const KNOWN_COLUMNS: usize = 100;
/// In between, a key needs at least so many events of an ingest,
pub(crate) const LEAST_EVENTS: u64 = 100;
/// and at least one of so many.
const ONE_OF: u64 = 100;
/// So many keys without a column are counted at once; then the rarer half is dropped.
const MOST_COUNTED: usize = 8_192;

/// Keys without a column, and how many events have them.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    counts: HashMap<String, Count>,
    /// Names that rules know.
    known: Arc<BTreeSet<String>>,
    /// Events that were looked at.
    events: u64,
    /// Counts the keys that were seen.
    clock: u64,
    /// The clock at the start of the chunk.
    chunk: u64,
    /// Whether rare keys were dropped, so that it is not known how many there are.
    is_dropped: bool,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    events: u64,
    /// When it was seen first and last.
    first: u64,
    last: u64,
}

/// Keys of an ingest that have no column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysWithoutColumn {
    /// How many; at least so many where `is_more`.
    pub count: u64,
    /// Whether there are more that were not counted.
    pub is_more: bool,
    /// Those that most events have, and how many events.
    pub most: Vec<(String, u64)>,
}

impl Candidates {
    pub(crate) fn new(known: Arc<BTreeSet<String>>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Counts an event.
    pub(crate) fn add_event(&mut self) {
        self.events += 1;
    }

    /// Counts a key of the event that has no column.
    pub(crate) fn add(&mut self, key: &str) {
        self.clock += 1;
        let now = self.clock;
        if let Some(count) = self.counts.get_mut(key) {
            count.events += 1;
            count.last = now;
            return;
        }
        if self.counts.len() >= MOST_COUNTED {
            self.drop_half();
        }
        let count = Count {
            events: 1,
            first: now,
            last: now,
        };
        self.counts.insert(key.to_owned(), count);
    }

    /// Drops the keys that fewest events have, of these the ones that were seen longest ago.
    fn drop_half(&mut self) {
        let mut ranks: Vec<_> = self
            .counts
            .iter()
            .map(|(key, count)| {
                (
                    !self.known.contains(key),
                    Reverse((count.events, count.last)),
                )
            })
            .collect();
        ranks.sort_unstable();
        let Some((is_unknown, least)) = ranks.get(MOST_COUNTED / 2).copied() else {
            return;
        };
        let known = &self.known;
        self.counts.retain(|key, count| {
            (!known.contains(key), Reverse((count.events, count.last))) < (is_unknown, least)
        });
        self.is_dropped = true;
    }

    /// Returns the keys of this chunk that get a column in a table of `columns` columns, and begins the next chunk.
    pub(crate) fn choose(&mut self, columns: usize) -> HashSet<String> {
        let mut ranked: Vec<(bool, Reverse<u64>, u64, &String)> = self
            .counts
            .iter()
            .filter(|(_, count)| count.last > self.chunk)
            .map(|(key, count)| {
                let is_unknown = !self.known.contains(key);
                (is_unknown, Reverse(count.events), count.first, key)
            })
            .collect();
        ranked.sort_unstable();
        let least = LEAST_EVENTS.max(self.events / ONE_OF);
        let mut chosen = HashSet::new();
        for (is_unknown, Reverse(events), _, key) in ranked {
            let has_room = match columns + chosen.len() {
                ..OPEN_COLUMNS => true,
                at if at < MAX_COLUMNS - KNOWN_COLUMNS => !is_unknown || events >= least,
                at => at < MAX_COLUMNS && !is_unknown,
            };
            if !has_room {
                break;
            }
            chosen.insert(key.clone());
        }
        self.chunk = self.clock;
        for key in &chosen {
            self.counts.remove(key);
        }
        chosen
    }

    /// Returns the keys that got no column so far.
    pub(crate) fn left(&self) -> KeysWithoutColumn {
        let mut ranked: Vec<(Reverse<u64>, &String)> = self
            .counts
            .iter()
            .map(|(key, count)| (Reverse(count.events), key))
            .collect();
        ranked.sort_unstable();
        let most = ranked.iter().take(SHOWN);
        KeysWithoutColumn {
            count: self.counts.len() as u64,
            is_more: self.is_dropped,
            most: most
                .map(|(Reverse(events), key)| ((*key).clone(), *events))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(known: &[&str]) -> Candidates {
        Candidates::new(Arc::new(
            known.iter().map(|key| (*key).to_owned()).collect(),
        ))
    }

    fn add(candidates: &mut Candidates, keys: impl IntoIterator<Item = String>) {
        candidates.add_event();
        keys.into_iter().for_each(|key| candidates.add(&key));
    }

    fn many(name: &str, count: usize) -> Vec<String> {
        (0..count).map(|at| format!("{name}{at}")).collect()
    }

    #[test]
    fn one_event_cannot_take_all_columns() {
        let mut all = candidates(&["CommandLine"]);
        add(&mut all, many("odd", 1_000));
        add(&mut all, ["CommandLine".to_owned(), "common".to_owned()]);
        add(&mut all, ["common".to_owned()]);
        let chosen = all.choose(0);
        assert_eq!(chosen.len(), OPEN_COLUMNS);
        assert!(chosen.contains("CommandLine") && chosen.contains("common"));
        // Of keys that are equally frequent those that came first.
        assert!(chosen.contains("odd0") && !chosen.contains("odd999"));
        let left = all.left();
        assert_eq!((left.count, left.is_more), (1_002 - 500, false));
        assert_eq!(left.most[0], ("odd498".to_owned(), 1));
        // Later, what many events have still gets one, and names that rules know.
        for _ in 0..LEAST_EVENTS {
            add(&mut all, ["late".to_owned(), "odd999".to_owned()]);
        }
        add(&mut all, ["rare".to_owned()]);
        let chosen = all.choose(OPEN_COLUMNS);
        assert_eq!(chosen, ["late", "odd999"].map(str::to_owned).into());
    }

    #[test]
    fn the_last_columns_are_for_known_names_and_there_is_an_end() {
        let mut all = candidates(&["a", "b"]);
        for _ in 0..1_000 {
            add(
                &mut all,
                [many("frequent", 990), vec!["a".to_owned()]].concat(),
            );
        }
        add(&mut all, ["b".to_owned()]);
        let chosen = all.choose(0);
        assert_eq!(chosen.len(), MAX_COLUMNS - KNOWN_COLUMNS);
        assert!(chosen.contains("a") && chosen.contains("b"));
        add(&mut all, ["frequent989".to_owned(), "c".to_owned()]);
        assert!(all.choose(MAX_COLUMNS - KNOWN_COLUMNS).is_empty());
        add(&mut all, ["a".to_owned(), "b".to_owned()]);
        assert_eq!(all.choose(MAX_COLUMNS - 1).len(), 1);
        add(&mut all, ["b".to_owned()]);
        assert!(all.choose(MAX_COLUMNS).is_empty());
    }

    #[test]
    fn a_flood_of_keys_costs_bounded_memory_and_no_frequent_key() {
        let run = || {
            let mut all = candidates(&["rule"]);
            add(&mut all, ["rule".to_owned()]);
            for at in 0..200 {
                let flood = many(&format!("flood{at}-"), 1_000);
                add(&mut all, [flood, vec!["frequent".to_owned()]].concat());
            }
            assert!(all.counts.len() <= MOST_COUNTED && all.left().is_more);
            assert_eq!(all.left().most[0], ("frequent".to_owned(), 200));
            let mut chosen: Vec<String> = all.choose(OPEN_COLUMNS - 3).into_iter().collect();
            chosen.sort();
            assert!(chosen.contains(&"rule".to_owned()), "{chosen:?}");
            assert!(chosen.contains(&"frequent".to_owned()), "{chosen:?}");
            assert_eq!(chosen.len(), 3);
            (chosen, all.left())
        };
        assert_eq!(run(), run(), "the same events give the same columns");
    }

    #[test]
    fn what_is_not_in_the_chunk_takes_no_column() {
        let mut all = candidates(&[]);
        add(&mut all, many("a", 600));
        assert_eq!(all.choose(0).len(), 500);
        // The others were counted before, and are not in this chunk.
        assert!(all.choose(0).is_empty());
        add(&mut all, ["a599".to_owned()]);
        assert_eq!(all.choose(0).len(), 1);
    }
}
