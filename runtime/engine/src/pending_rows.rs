//! Rows of one rule that wait for the watermark.

use datafusion::arrow::error::ArrowError;
use yagura_core::share::level;
use yagura_core::{EventRef, Timestamp};

use crate::rows::Rows;

/// Small parts from which on they are joined.
const MOST_SMALL: usize = 64;

/// Rows of a part that is not joined with others any more. What is joined stays far below the two gigabytes that a column
/// of text may have.
const SMALL_ROWS: usize = 1_024;

/// Rows that are evaluated in one step, about.
const STEP_ROWS: usize = 131_072;

/// Rows that wait, in parts.
#[derive(Debug, Default)]
pub(crate) struct PendingRows {
    parts: Vec<PendingPart>,
}

#[derive(Debug)]
struct PendingPart {
    rows: Rows,
    /// Earliest and latest event time in microseconds.
    first: i64,
    last: i64,
    is_stored: bool,
}

impl PendingPart {
    /// Returns a part of these rows, if there are any.
    fn of(rows: Rows, is_stored: bool) -> Option<Self> {
        let times = || rows.events.iter().map(|event| event.time.micros());
        let (first, last) = (times().min()?, times().max()?);
        Some(Self {
            rows,
            first,
            last,
            is_stored,
        })
    }

    fn is_small(&self) -> bool {
        self.rows.len() < SMALL_ROWS
    }
}

impl PendingRows {
    /// Returns rows as they are, without joining parts.
    pub(crate) fn of(parts: Vec<Rows>) -> Self {
        let parts = parts
            .into_iter()
            .filter_map(|rows| PendingPart::of(rows, false));
        Self {
            parts: parts.collect(),
        }
    }

    /// Returns the rows, in parts.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = Rows> {
        self.parts.into_iter().map(|part| part.rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    pub(crate) fn latest(&self) -> Option<i64> {
        self.parts.iter().map(|part| part.last).max()
    }

    pub(crate) fn push(&mut self, rows: Rows, is_stored: bool) -> Result<(), ArrowError> {
        self.parts.extend(PendingPart::of(rows, is_stored));
        let is_small = |part: &&PendingPart| part.is_stored == is_stored && part.is_small();
        if self.parts.iter().filter(is_small).count() >= MOST_SMALL {
            self.join_small(is_stored)?;
        }
        Ok(())
    }

    fn join_small(&mut self, is_stored: bool) -> Result<(), ArrowError> {
        let (small, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parts)
            .into_iter()
            .partition(|part| part.is_stored == is_stored && part.is_small());
        self.parts = rest;
        if !small.is_empty() {
            let rows = Rows::concat(small.into_iter().map(|part| part.rows).collect())?;
            self.parts.extend(PendingPart::of(rows, is_stored));
        }
        Ok(())
    }

    /// Returns the time up to which rows are evaluated together on the way to a watermark, in microseconds.
    pub(crate) fn end_of_step(&self, watermark: i64) -> i64 {
        let events = self.parts.iter().flat_map(|part| &part.rows.events);
        let mut times: Vec<i64> = events
            .map(|event| event.time.micros())
            .filter(|time| *time < watermark)
            .collect();
        if times.len() <= STEP_ROWS {
            return watermark;
        }
        let (before, end, _) = times.select_nth_unstable(STEP_ROWS);
        // Events of one time are evaluated together, however many they are.
        let first = before.iter().min().copied().unwrap_or(*end);
        first.saturating_add(1).max(*end)
    }

    /// Takes the rows before a time, in microseconds, in no order.
    pub(crate) fn take_before(&mut self, time: i64) -> Result<Option<Rows>, ArrowError> {
        let mut taken = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            if part.first >= time {
                self.parts.push(part);
            } else if part.last < time {
                taken.push(part.rows);
            } else {
                let events = part.rows.events.iter();
                let is_before: Vec<bool> = events.map(|event| event.time.micros() < time).collect();
                let rest = is_before.iter().map(|is_before| !is_before).collect();
                taken.push(part.rows.filter(is_before)?);
                let rest = part.rows.filter(rest)?;
                self.parts.extend(PendingPart::of(rest, part.is_stored));
            }
        }
        if taken.is_empty() {
            return Ok(None);
        }
        Rows::concat(taken).map(Some)
    }

    /// Returns the rows that were pushed since the last call and still wait, in parts with their latest time.
    pub(crate) fn take_fresh(&mut self) -> Result<Vec<(i64, Rows)>, ArrowError> {
        self.join_small(false)?;
        let fresh = self.parts.iter_mut().filter(|part| !part.is_stored);
        let taken = fresh.map(|part| {
            part.is_stored = true;
            (part.last, part.rows.clone())
        });
        Ok(taken.collect())
    }

    /// Keeps the first rows by time, object and row, and returns what was given up, if anything.
    fn keep_first(&mut self, most: usize) -> Result<Option<DroppedRows>, ArrowError> {
        let before = self.len();
        if before <= most {
            return Ok(None);
        }
        let events = self.parts.iter().flat_map(|part| &part.rows.events);
        let mut events: Vec<&EventRef> = events.collect();
        let (_, end, _) = events.select_nth_unstable(most);
        let end = EventRef::clone(end);
        let time = end.time.micros();
        for part in std::mem::take(&mut self.parts) {
            if part.last < time {
                self.parts.push(part);
            } else if part.first <= time {
                let is_first: Vec<bool> = part.rows.events.iter().map(|of| *of < end).collect();
                let rows = part.rows.filter(is_first)?;
                self.parts.extend(PendingPart::of(rows, part.is_stored));
            }
        }
        Ok(Some(DroppedRows {
            rows: (before - self.len()) as u64,
            first: end.time,
        }))
    }
}

/// Rows of one rule that were given up because too many waited: the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DroppedRows {
    /// How many.
    pub(crate) rows: u64,
    /// The earliest of their times.
    pub(crate) first: Timestamp,
}

impl DroppedRows {
    pub(crate) fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.first = self.first.min(more.first);
    }
}

/// Cuts what waits of several rules to `most` rows. A rule that has no more than its part of them, all rules having the same,
/// keeps what it has. The oldest stay: they are evaluated next, and what is missing begins at one time.
pub(crate) fn drop_newest(
    waiting: &mut [&mut PendingRows],
    most: usize,
) -> Result<Vec<Option<DroppedRows>>, ArrowError> {
    let lengths: Vec<usize> = waiting.iter().map(|pending| pending.len()).collect();
    let level = level(lengths, most);
    waiting
        .iter_mut()
        .map(|pending| pending.keep_first(level))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(times: impl Iterator<Item = i64>) -> Rows {
        let event = |time| EventRef {
            time: Timestamp::clamped(time),
            object: "o".into(),
            row: 0,
        };
        Rows {
            columns: Vec::new(),
            events: times.map(event).collect(),
        }
    }

    /// Takes what waits in steps, and returns how many rows each one had.
    fn steps(pending: &mut PendingRows, watermark: i64) -> Vec<usize> {
        let mut taken = Vec::new();
        let mut end = i64::MIN;
        while end < watermark {
            let next = pending.end_of_step(watermark);
            assert!(next > end && next <= watermark, "{next}");
            end = next;
            let rows = pending.take_before(end).unwrap();
            let times = rows.iter().flat_map(|rows| &rows.events);
            assert!(times.clone().all(|event| event.time.micros() < end));
            taken.push(times.count());
        }
        taken
    }

    #[test]
    fn many_rows_are_taken_in_steps_of_time() {
        let size = STEP_ROWS;
        let last = i64::try_from(size).unwrap() * 2 + 10;
        let mut pending = PendingRows::default();
        // Parts overlap.
        for part in 0..7 {
            let times = (0..last).filter(|time| time % 7 == part);
            pending.push(rows(times), false).unwrap();
        }
        assert_eq!(steps(&mut pending, 7), [7]);
        assert_eq!(pending.take_fresh().unwrap().len(), 7);
        assert!(pending.take_fresh().unwrap().is_empty());
        assert_eq!(steps(&mut pending, last - 2), [size, size, 1]);
        assert_eq!((pending.len(), pending.latest()), (2, Some(last - 1)));
        // Events of one time cannot be told apart.
        pending
            .push(rows((0..2 * size).map(|_| last)), false)
            .unwrap();
        assert_eq!(steps(&mut pending, last + 1), [2, 2 * size]);
    }

    #[test]
    fn what_is_too_much_costs_the_rules_that_have_the_most() {
        let of = |lengths: &[usize], most| -> Vec<usize> {
            let level = level(lengths.to_vec(), most);
            lengths.iter().map(|length| level.min(*length)).collect()
        };
        assert_eq!(of(&[5, 5], 10), [5, 5]);
        assert_eq!(of(&[1, 100], 10), [1, 9]);
        assert_eq!(of(&[100, 1, 0], 10), [9, 1, 0]);
        assert_eq!(of(&[100, 6, 50], 20), [7, 6, 7]);
        assert_eq!(of(&[3, 3, 3], 8), [2, 2, 2]);
        assert_eq!(of(&[9], 0), [0]);
        assert_eq!(of(&[], 0), [] as [usize; 0]);
        for seed in 0_usize..2_000 {
            let lengths: Vec<usize> = (1..=seed % 7 + 1).map(|n| seed * n * n % 97).collect();
            let most = seed * 31 % 211;
            let kept = of(&lengths, most);
            let (all, sum): (usize, usize) = (lengths.iter().sum(), kept.iter().sum());
            assert!(sum <= most, "{lengths:?} to {most}: {kept:?}");
            // Nothing is given up in vain, but for what cannot be divided.
            assert!(
                sum + lengths.len() > all.min(most),
                "{lengths:?} to {most}: {kept:?}"
            );
            let fair = most / lengths.len();
            let mut pairs = lengths.iter().zip(&kept);
            assert!(pairs.all(|(had, has)| *has >= fair.min(*had)));
        }
    }

    #[test]
    fn the_newest_rows_are_given_up_whatever_the_parts() {
        for size in [1, 7, 50, 1_000] {
            let mut flood = PendingRows::default();
            let mut few = PendingRows::default();
            let times: Vec<i64> = (0..1_000).map(|n| n * 37 % 1_000).collect();
            for part in times.chunks(size) {
                flood.push(rows(part.iter().copied()), false).unwrap();
            }
            few.push(rows(990..1_000), false).unwrap();
            let cuts = drop_newest(&mut [&mut flood, &mut few], 110).unwrap();
            let first = Timestamp::clamped(100);
            assert_eq!(cuts, [Some(DroppedRows { rows: 900, first }), None]);
            let mut kept: Vec<i64> = flood
                .into_parts()
                .flat_map(|rows| rows.events)
                .map(|event| event.time.micros())
                .collect();
            kept.sort_unstable();
            assert_eq!(kept, (0..100).collect::<Vec<_>>());
            assert_eq!(few.len(), 10);
        }
    }

    #[test]
    fn small_parts_are_joined() {
        let mut pending = PendingRows::default();
        for time in 0..1_000 {
            pending
                .push(rows([time].into_iter()), time % 2 == 0)
                .unwrap();
        }
        assert!(pending.parts.len() < 2 * MOST_SMALL);
        let fresh = pending.take_fresh().unwrap();
        let [(999, rows)] = fresh.as_slice() else {
            panic!("{} parts", fresh.len());
        };
        assert_eq!(rows.len(), 500);
    }
}
