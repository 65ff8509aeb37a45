//! `any-order`: findings of several rules within a window, in whatever order.

use serde::{Deserialize, Serialize};
use yagura_core::correlation::{Condition, Expression};

use super::{Machine, Out, Said};
use crate::found::{Hit, Kept};

/// Which rules must have findings within a window.
#[derive(Debug, Clone)]
pub(crate) struct AnyOrder {
    pub(crate) within: i64,
    /// For each of the correlation's rules, by source.
    pub(crate) expression: Expression,
    /// What the number of rules with findings must be.
    pub(crate) condition: Option<Condition>,
    /// The window opens at the first finding and is judged when it closes: the rule asks that something is absent.
    pub(crate) at_close: bool,
}

/// A hit of each source: the latest, or in a window that is judged at its end the first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    start: i64,
    hits: Vec<(u16, Kept)>,
}

impl AnyOrder {
    fn holds(&self, state: &State) -> bool {
        let has = |rule: usize| state.hits.iter().any(|(s, _)| usize::from(*s) == rule);
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536 sources")]
        let count = state.hits.len() as f64;
        match self.condition {
            Some(condition) => condition.holds(count),
            None => self.expression.holds(&has),
        }
    }

    fn say(state: &State, time: i64) -> Said {
        let mut hits: Vec<&Kept> = state.hits.iter().map(|(_, kept)| kept).collect();
        hits.sort_by_key(|kept| kept.time);
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536 sources")]
        let count = state.hits.len() as f64;
        Said::of(time, hits).value(count)
    }
}

impl Machine for AnyOrder {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
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
        state
            .hits
            .retain(|(source, kept)| *source != hit.source && kept.time > oldest);
        state.hits.push((hit.source, hit.kept));
        if self.holds(state) {
            out.said.push(Self::say(state, hit.time));
            state.hits.clear();
        }
    }

    fn due(&self, state: &State) -> i64 {
        if self.at_close {
            return state.start.saturating_add(self.within);
        }
        let latest = state.hits.iter().map(|(_, kept)| kept.time).max();
        latest.map_or(i64::MIN, |time| time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut State, now: i64, out: &mut Out) -> bool {
        let due = self.due(state);
        if due >= now {
            return true;
        }
        if self.at_close && self.holds(state) {
            out.said.push(Self::say(state, due));
        }
        false
    }

    fn heap(&self, state: &State) -> usize {
        let kept = state.hits.iter().map(|(_, kept)| kept.heap());
        state.hits.capacity() * size_of::<(u16, Kept)>() + kept.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{Run, from};

    fn seen(expression: &str, hits: &[(i64, u16)], end: i64) -> Vec<(i64, usize)> {
        let rules = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let expression = Expression::parse(expression, &rules).unwrap();
        let mut run = Run::new(AnyOrder {
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
        // Told once for each set of hits.
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
    fn so_many_different_rules() {
        let mut run = Run::new(AnyOrder {
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
