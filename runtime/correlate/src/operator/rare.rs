//! `rare`: something that few have.

use serde::{Deserialize, Serialize};
use yagura_core::Correlation;
use yagura_core::correlation::Condition;
use yagura_core::correlation::rare::Rare;

use super::Geolocation;
use super::Operator;
use super::recent_values::{RecentValues, joined};
use crate::hit::Hit;
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::output::{OperatorFinding, OperatorOutput};

/// How many have it; the key is what they have.
#[derive(Debug, Clone)]
pub(crate) struct RareOperator {
    /// How long someone counts after they last had it.
    pub(crate) within: i64,
    /// How long the rule only learns, from its first finding on.
    pub(crate) learn: i64,
    pub(crate) condition: Condition,
    pub(crate) field: String,
}

/// Who has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RareState {
    who: RecentValues,
}

/// Who is remembered of one thing: that it is rare can no longer be.
const MOST_WHO: usize = 1_000;

impl MakeNode for Rare {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let one = Condition {
            lte: Some(1.0),
            ..Condition::default()
        };
        Ok(Box::new(KeyedNode::new(RareOperator {
            within: self.within.micros(),
            learn: self.learn.unwrap_or(self.within).micros(),
            condition: self.condition.unwrap_or(one),
            field: self.field.clone(),
        })))
    }
}

impl Operator for RareOperator {
    type State = RareState;

    fn push(&self, state: &mut RareState, hit: Hit, out: &mut OperatorOutput) {
        let Some(who) = joined(&hit.values) else {
            out.without_value += 1;
            return;
        };
        state.who.forget(hit.time.saturating_sub(self.within));
        let is_known = state.who.note(who.clone(), hit.time, MOST_WHO, out);
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
        let count = state.who.len() as f64;
        let has_learnt = hit.time >= out.started.saturating_add(self.learn);
        // One finding for each who, while they have it.
        if !is_known && has_learnt && self.condition.holds(count) {
            out.findings.push(
                OperatorFinding::of(hit.time, [&hit.kept])
                    .value(count)
                    .with(&self.field, &*who),
            );
        }
    }

    fn due(&self, state: &RareState) -> i64 {
        let last = state.who.last();
        last.map_or(i64::MIN, |last| last.saturating_add(self.within))
    }

    fn advance(&self, state: &mut RareState, now: i64, _: &mut OperatorOutput) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &RareState) -> usize {
        state.who.heap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, valued};

    #[test]
    fn what_few_have_is_found_for_each_of_them_once() {
        let rare = |learn| RareOperator {
            within: 100,
            learn,
            condition: Condition {
                lte: Some(2.0),
                ..Condition::default()
            },
            field: "host".to_owned(),
        };
        let hits = [(0, "a"), (1, "a"), (2, "b"), (3, "c"), (104, "a")];
        let seen = |learn| {
            let mut run = Run::new(rare(learn));
            for (time, who) in hits {
                run.push(valued(time, who));
            }
            run.seen()
        };
        assert_eq!(seen(0), [(0, 1), (2, 1), (104, 1)]);
        assert_eq!(seen(50), [(104, 1)]);
    }
}
