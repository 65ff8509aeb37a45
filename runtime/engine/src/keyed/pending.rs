//! Rows of one rule that wait for the watermark.

use datafusion::arrow::error::ArrowError;

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
pub(super) struct Pending {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    rows: Rows,
    /// Earliest and latest event time in microseconds.
    first: i64,
    last: i64,
    is_stored: bool,
}

impl Part {
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

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    pub(super) fn latest(&self) -> Option<i64> {
        self.parts.iter().map(|part| part.last).max()
    }

    pub(super) fn push(&mut self, rows: Rows, is_stored: bool) -> Result<(), ArrowError> {
        self.parts.extend(Part::of(rows, is_stored));
        let is_small = |part: &&Part| part.is_stored == is_stored && part.is_small();
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
            self.parts.extend(Part::of(rows, is_stored));
        }
        Ok(())
    }

    /// Returns the time up to which rows are evaluated together on the way to a watermark, in microseconds.
    pub(super) fn end_of_step(&self, watermark: i64) -> i64 {
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
    pub(super) fn take_before(&mut self, time: i64) -> Result<Option<Rows>, ArrowError> {
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
                self.parts.extend(Part::of(rest, part.is_stored));
            }
        }
        if taken.is_empty() {
            return Ok(None);
        }
        Rows::concat(taken).map(Some)
    }

    /// Returns the rows that were pushed since the last call and still wait, in parts with their latest time.
    pub(super) fn take_fresh(&mut self) -> Result<Vec<(i64, Rows)>, ArrowError> {
        self.join_small(false)?;
        let fresh = self.parts.iter_mut().filter(|part| !part.is_stored);
        let taken = fresh.map(|part| {
            part.is_stored = true;
            (part.last, part.rows.clone())
        });
        Ok(taken.collect())
    }
}

#[cfg(test)]
mod tests {
    use yagura_core::{EventRef, Timestamp};

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
    fn steps(pending: &mut Pending, watermark: i64) -> Vec<usize> {
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
        let mut pending = Pending::default();
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
    fn small_parts_are_joined() {
        let mut pending = Pending::default();
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
