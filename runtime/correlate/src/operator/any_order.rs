//! `any-order`: findings of several rules within a window, in whatever order.

use serde::{Deserialize, Serialize};
use yagura_core::Correlation;
use yagura_core::correlation::any_order::AnyOrder;
use yagura_core::correlation::{Condition, Expression};

use super::Geolocation;
use super::Operator;
use crate::hit::{Hit, KeptHit};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::output::{OperatorFinding, OperatorOutput};

/// Which rules must have findings within a window.
#[derive(Debug, Clone)]
pub(crate) struct AnyOrderOperator {
    pub(crate) within: i64,
    /// For each of the correlation's rules, by source.
    pub(crate) expression: Expression,
    /// What the number of rules with findings must be.
    pub(crate) condition: Option<Condition>,
    /// The window opens at the first finding and is evaluated when it closes: the rule asks that something is absent.
    pub(crate) at_close: bool,
}

/// A hit of each source: the latest, or in a window that is evaluated at its end the first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AnyOrderState {
    start: i64,
    hits: Vec<(u16, KeptHit)>,
}

impl AnyOrderOperator {
    fn holds(&self, state: &AnyOrderState) -> bool {
        let has = |rule: usize| state.hits.iter().any(|(s, _)| usize::from(*s) == rule);
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536 sources")]
        let count = state.hits.len() as f64;
        match self.condition {
            Some(condition) => condition.holds(count),
            None => self.expression.holds(&has),
        }
    }

    fn say(state: &AnyOrderState, time: i64) -> OperatorFinding {
        let mut hits: Vec<&KeptHit> = state.hits.iter().map(|(_, kept)| kept).collect();
        hits.sort_by_key(|kept| kept.time);
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536 sources")]
        let count = state.hits.len() as f64;
        OperatorFinding::of(time, hits).value(count)
    }
}

impl MakeNode for AnyOrder {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let condition = self.condition.unwrap_or_default();
        Ok(Box::new(KeyedNode::new(AnyOrderOperator {
            within: self.within.micros(),
            at_close: self.requires.has_not() || !condition.is_lower_bound(),
            expression: self.requires.clone(),
            condition: self.condition,
        })))
    }
}

impl Operator for AnyOrderOperator {
    type State = AnyOrderState;

    fn push(&self, state: &mut AnyOrderState, hit: Hit, out: &mut OperatorOutput) {
        if self.at_close {
            if state.hits.is_empty() {
                state.start = hit.time;
            }
            if !state.hits.iter().any(|(source, _)| *source == hit.source) {
                state.hits.push((hit.source, hit.kept));
            }
            return;
        }
        let oldest = hit.time.saturating_sub(self.within);
        state.hits.retain(|(_, kept)| kept.time > oldest);
        let earlier = state.hits.iter().position(|(of, _)| *of == hit.source);
        let earlier = earlier.map(|at| state.hits.remove(at).1);
        let kept = match earlier {
            Some(earlier) if hit.continues => hit.kept.going_on_from(&earlier),
            _ => hit.kept,
        };
        state.hits.push((hit.source, kept));
        if self.holds(state) {
            out.findings.push(Self::say(state, hit.time));
            state.hits.clear();
        }
    }

    fn due(&self, state: &AnyOrderState) -> i64 {
        if self.at_close {
            return state.start.saturating_add(self.within);
        }
        let latest = state.hits.iter().map(|(_, kept)| kept.time).max();
        latest.map_or(i64::MIN, |time| time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut AnyOrderState, now: i64, out: &mut OperatorOutput) -> bool {
        let due = self.due(state);
        if due >= now {
            return true;
        }
        if self.at_close && self.holds(state) {
            out.findings.push(Self::say(state, due));
        }
        false
    }

    fn heap(&self, state: &AnyOrderState) -> usize {
        let kept = state.hits.iter().map(|(_, kept)| kept.heap());
        state.hits.capacity() * size_of::<(u16, KeptHit)>() + kept.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, about, from, going_on, several};

    fn seen(expression: &str, hits: &[(i64, u16)], end: i64) -> Vec<(i64, usize)> {
        let rules = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let expression = Expression::parse(expression, &rules).unwrap();
        let mut run = Run::new(AnyOrderOperator {
            within: 10,
            at_close: expression.has_not(),
            expression,
            condition: None,
        });
        for (time, source) in hits {
            run.push(from(*time, *source));
        }
        run.advance(end);
        run.seen()
    }

    #[test]
    fn all_within_the_window_in_any_order() {
        assert_eq!(seen("a and b", &[(0, 1), (9, 0)], 9), [(9, 2)]);
        assert_eq!(seen("a and b", &[(0, 1), (10, 0)], 10), []);
        // One finding for each set of hits.
        let hits = [(0, 1), (1, 0), (2, 0), (3, 1)];
        assert_eq!(seen("a and b", &hits, 9), [(1, 2), (3, 2)]);
        assert_eq!(seen("a and (b or c)", &[(0, 2), (1, 0)], 9), [(1, 2)]);
    }

    #[test]
    fn what_must_be_absent_is_known_when_the_window_closes() {
        let ab = "a and not b";
        assert_eq!(seen(ab, &[(0, 0)], 10), []);
        assert_eq!(seen(ab, &[(0, 0)], 11), [(10, 1)]);
        assert_eq!(seen(ab, &[(0, 0), (10, 1)], 99), []);
    }

    #[test]
    fn a_finding_that_goes_on_keeps_what_came_before_it() {
        let mut run = Run::new(AnyOrderOperator {
            within: 10,
            at_close: false,
            expression: Expression::And(vec![Expression::Rule(0), Expression::Rule(1)]),
            condition: None,
        });
        run.push(several(0, &[(1, 11), (2, 12), (3, 13)]));
        run.push(going_on(about(4, 0, 14)));
        run.push(about(5, 1, 15));
        // Hits of a finding are spent, and those that are too old are gone.
        run.push(going_on(about(6, 0, 16)));
        run.push(going_on(about(17, 0, 17)));
        run.push(about(18, 1, 18));
        // One that does not go on stands for itself.
        run.push(several(0, &[(20, 20), (21, 21)]));
        run.push(about(22, 0, 22));
        run.push(about(23, 1, 23));
        assert_eq!(
            run.rows(),
            [vec![11, 12, 13, 14, 15], vec![17, 18], vec![22, 23]]
        );
    }

    #[test]
    fn so_many_different_rules() {
        let mut run = Run::new(AnyOrderOperator {
            within: 10,
            expression: Expression::Rule(0),
            condition: Some(Condition {
                gte: Some(2.0),
                ..Condition::default()
            }),
            at_close: false,
        });
        for (time, source) in [(0, 2), (1, 2), (2, 1)] {
            run.push(from(time, source));
        }
        assert_eq!(run.seen(), [(2, 2)]);
    }
}
