//! `rare`: something that few have.

use serde::{Deserialize, Serialize};
use yagura_core::correlation::Condition;

use super::{Machine, Out, Said, joined};
use crate::found::Hit;

/// How many have it; the key is what they have.
#[derive(Debug, Clone)]
pub(crate) struct Rare {
    /// How long someone counts after they last had it.
    pub(crate) within: i64,
    /// How long the rule only learns, from its first finding on.
    pub(crate) learn: i64,
    pub(crate) condition: Condition,
    pub(crate) field: String,
}

/// Who has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The longest ago first.
    who: Vec<(Box<str>, i64)>,
}

/// Who is remembered of one thing: that it is rare can no longer be.
const MOST_WHO: usize = 1_000;

impl Machine for Rare {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
        let Some(who) = joined(&hit.values) else {
            out.without_value += 1;
            return;
        };
        let oldest = hit.time.saturating_sub(self.within);
        let gone = state.who.partition_point(|(_, last)| *last <= oldest);
        state.who.drain(..gone);
        let known = state.who.iter().position(|(known, _)| *known == who);
        if let Some(at) = known {
            state.who.remove(at);
        }
        state.who.push((who.clone(), hit.time));
        if state.who.len() > MOST_WHO {
            state.who.remove(0);
            out.capped += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
        let count = state.who.len() as f64;
        let has_learnt = hit.time >= out.started.saturating_add(self.learn);
        // Each who is told once while they have it.
        if known.is_none() && has_learnt && self.condition.holds(count) {
            out.said.push(
                Said::of(hit.time, [&hit.kept])
                    .value(count)
                    .with(&self.field, &*who),
            );
        }
    }

    fn due(&self, state: &State) -> i64 {
        let last = state.who.last();
        last.map_or(i64::MIN, |(_, last)| last.saturating_add(self.within))
    }

    fn advance(&self, state: &mut State, now: i64, _: &mut Out) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &State) -> usize {
        let texts = state.who.iter().take(100).map(|(who, _)| who.len());
        state.who.capacity() * 24 + texts.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{Run, valued};

    #[test]
    fn what_few_have_is_told_for_each_of_them_once() {
        let rare = |learn| Rare {
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
