//! `absence`: a finding that none of another rule, or of the same, follows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use yagura_core::Correlation;
use yagura_core::correlation::absence::Absence;

use super::Geolocation;
use super::Operator;
use crate::hit::{Hit, KeptHit};
use crate::limits::{MOST_KEPT, MOST_SHOWN};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::output::{OperatorFinding, OperatorOutput};

/// What must be followed within a time.
#[derive(Debug, Clone)]
pub(crate) struct AbsenceOperator {
    pub(crate) within: i64,
    /// The same rule must follow: something that reports stops.
    pub(crate) is_same: bool,
}

/// What was not followed yet, in order of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AbsenceState {
    open: VecDeque<KeptHit>,
}

impl MakeNode for Absence {
    fn node(
        &self,
        correlation: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        Ok(Box::new(KeyedNode::new(AbsenceOperator {
            within: self.within.micros(),
            is_same: correlation.rules.len() == 1,
        })))
    }
}

impl Operator for AbsenceOperator {
    type State = AbsenceState;

    fn push(&self, state: &mut AbsenceState, hit: Hit, out: &mut OperatorOutput) {
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

    fn due(&self, state: &AbsenceState) -> i64 {
        let first = state.open.front();
        first.map_or(i64::MIN, |hit| hit.time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut AbsenceState, now: i64, out: &mut OperatorOutput) -> bool {
        while let Some(first) = state.open.front() {
            let deadline = first.time.saturating_add(self.within);
            if deadline >= now {
                return true;
            }
            out.findings.push(OperatorFinding::of(deadline, [first]));
            state.open.pop_front();
        }
        false
    }

    fn heap(&self, state: &AbsenceState) -> usize {
        let kept = state.open.iter().take(MOST_SHOWN).map(KeptHit::heap);
        state.open.capacity() * size_of::<KeptHit>() + kept.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, about, from};

    fn seen(is_same: bool, hits: &[(i64, u16)], end: i64) -> Vec<(i64, usize)> {
        let mut run = Run::new(AbsenceOperator {
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
        let mut run = Run::new(AbsenceOperator {
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
    fn what_reports_and_stops_makes_one_finding() {
        let hits = [(0, 0), (9, 0), (18, 0)];
        assert_eq!(seen(true, &hits, 28), []);
        assert_eq!(seen(true, &hits, 999), [(28, 1)]);
        assert_eq!(seen(true, &[(0, 0), (30, 0)], 999), [(10, 1), (40, 1)]);
    }
}
