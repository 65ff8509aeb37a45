//! `count` with a lower bound over a sliding window: the most common correlation, and the one that has millions of keys.

use serde::{Deserialize, Serialize};
use yagura_core::correlation::Condition;

use super::Operator;
use crate::hit::{Hit, HitTrail, KeptHit};
use crate::output::{OperatorFinding, OperatorOutput};

/// At least so many hits in the time before each.
#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    pub(crate) within: i64,
    /// Hits that decide: older ones than these change nothing.
    pub(crate) enough: usize,
}

impl Threshold {
    /// Returns the operator for a condition of lower bounds alone that needs no more than `most` hits.
    pub(crate) fn new(condition: Condition, within: i64, most: usize) -> Option<Self> {
        let gte = condition.gte.map(f64::ceil);
        let gt = condition.gt.map(|gt| gt.floor() + 1.0);
        let bound = gte.into_iter().chain(gt).fold(1.0, f64::max);
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let is_small = bound <= most as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and `most`"
        )]
        (condition.is_lower_bound() && is_small).then_some(Self {
            within,
            enough: bound as usize,
        })
    }
}

/// The last hits of a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ThresholdState {
    hits: HitTrail,
    /// Whether there were enough at the last hit.
    holding: bool,
}

impl Operator for Threshold {
    type State = ThresholdState;

    fn push(&self, state: &mut ThresholdState, hit: Hit, out: &mut OperatorOutput) {
        let oldest = hit.time.saturating_sub(self.within);
        while state.hits.first_time().is_some_and(|time| time <= oldest) {
            state.hits.pop_front();
        }
        if state.hits.len() == self.enough {
            state.hits.pop_front();
        }
        let newest: Option<KeptHit> = state.holding.then(|| hit.kept.clone());
        state.hits.push(hit.kept);
        let holds = state.hits.len() >= self.enough;
        if holds {
            #[expect(clippy::cast_precision_loss, reason = "thousands")]
            let count = state.hits.len() as f64;
            let finding = match &newest {
                Some(newest) => OperatorFinding::of(hit.time, [newest]).going_on(),
                None => {
                    let all: Vec<KeptHit> = state.hits.iter().collect();
                    OperatorFinding::of(hit.time, &all)
                }
            };
            out.findings.push(finding.value(count));
        }
        state.holding = holds;
    }

    fn due(&self, state: &ThresholdState) -> i64 {
        let last = state.hits.last_time();
        last.map_or(i64::MIN, |time| time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut ThresholdState, now: i64, _: &mut OperatorOutput) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &ThresholdState) -> usize {
        state.hits.heap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, hit};

    fn at_least(gte: Option<f64>, gt: Option<f64>) -> Condition {
        Condition {
            gte,
            gt,
            ..Condition::default()
        }
    }

    #[test]
    fn all_hits_make_a_finding_and_then_each_new_one() {
        let operator = Threshold::new(at_least(Some(3.0), None), 10, 100).unwrap();
        let mut run = Run::new(operator);
        for time in [0, 5, 10, 11, 12, 13, 40, 41] {
            run.push(hit(time));
        }
        // 0 has left when 10 comes, for the window does not hold its first instant.
        assert_eq!(run.seen(), [(11, 3), (12, 1), (13, 1)]);
        assert_eq!(run.going_on(), [false, true, true]);
    }

    #[test]
    fn bounds_become_numbers_of_hits() {
        let enough = |gte, gt| Some(Threshold::new(at_least(gte, gt), 1, 100)?.enough);
        assert_eq!(enough(Some(2.5), None), Some(3));
        assert_eq!(enough(None, Some(2.0)), Some(3));
        assert_eq!(enough(Some(0.0), None), Some(1));
        assert_eq!(enough(Some(101.0), None), None);
    }
}
