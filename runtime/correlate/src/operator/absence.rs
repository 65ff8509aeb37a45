//! `absence`: a finding that none of another rule, or of the same, follows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{MOST_KEPT, Operator, Out, Said};
use crate::found::{Hit, Kept};

/// What must be followed within a time.
#[derive(Debug, Clone)]
pub(crate) struct Absence {
    pub(crate) within: i64,
    /// The same rule must follow: something that reports stops.
    pub(crate) is_same: bool,
}

/// What was not followed yet, in order of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    open: VecDeque<Kept>,
}

impl Operator for Absence {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
        if self.is_same {
            state.open.clear();
        } else if hit.source == 1 {
            // An event does not follow itself.
            let event = hit.kept.newest();
            state.open.retain(|open| open.holds(event));
        }
        if hit.source == 0 {
            state.open.push_back(hit.kept);
            if state.open.len() > MOST_KEPT {
                state.open.pop_back();
                out.capped += 1;
            }
        }
    }

    fn due(&self, state: &State) -> i64 {
        let first = state.open.front();
        first.map_or(i64::MIN, |hit| hit.time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut State, now: i64, out: &mut Out) -> bool {
        while let Some(first) = state.open.front() {
            let deadline = first.time.saturating_add(self.within);
            if deadline >= now {
                return true;
            }
            out.said.push(Said::of(deadline, [first]));
            state.open.pop_front();
        }
        false
    }

    fn heap(&self, state: &State) -> usize {
        let kept = state.open.iter().take(super::MOST_SHOWN).map(Kept::heap);
        state.open.capacity() * size_of::<Kept>() + kept.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, about, from};

    fn seen(is_same: bool, hits: &[(i64, u16)], end: i64) -> Vec<(i64, usize)> {
        let mut run = Run::new(Absence {
            within: 10,
            is_same,
        });
        for (time, source) in hits {
            run.push(from(*time, *source));
        }
        run.advance(end);
        run.seen()
    }

    #[test]
    fn each_finding_must_be_followed() {
        let hits = [(0, 0), (5, 0), (11, 1), (20, 0)];
        assert_eq!(seen(false, &hits, 30), [(10, 1)]);
        assert_eq!(seen(false, &hits, 31), [(10, 1), (30, 1)]);
        // At the last instant is in time.
        assert_eq!(seen(false, &[(0, 0), (10, 1)], 99), []);
    }

    #[test]
    fn an_event_that_both_rules_find_does_not_follow_itself() {
        let mut run = Run::new(Absence {
            within: 10,
            is_same: false,
        });
        for (time, source, row) in [(0, 0, 1), (0, 0, 2), (0, 1, 2), (20, 0, 3), (20, 1, 3)] {
            run.push(about(time, source, row));
        }
        run.push(about(25, 1, 4));
        run.advance(99);
        // The other event of the same instant was followed, and the last one by another.
        assert_eq!(run.rows(), [[2]]);
    }

    #[test]
    fn what_reports_and_stops_is_told_once() {
        let hits = [(0, 0), (9, 0), (18, 0)];
        assert_eq!(seen(true, &hits, 28), []);
        assert_eq!(seen(true, &hits, 999), [(28, 1)]);
        assert_eq!(seen(true, &[(0, 0), (30, 0)], 999), [(10, 1), (40, 1)]);
    }
}
