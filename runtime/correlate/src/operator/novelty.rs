//! `new-value`: a value of a field that the key did not have before.

use serde::{Deserialize, Serialize};

use super::{MOST_KEPT, Operator, Out, Said, Seen, joined};
use crate::found::Hit;

/// A value that is new to its key. A key's first value is learnt, not told.
#[derive(Debug, Clone)]
pub(crate) struct NewValue {
    /// How long a value is remembered after it was last seen.
    pub(crate) within: i64,
    /// How long all values of a key are only learnt.
    pub(crate) learn: i64,
    pub(crate) field: String,
}

/// What a key is known to have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    since: i64,
    values: Seen,
}

impl Operator for NewValue {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
        let Some(value) = joined(&hit.values) else {
            out.without_value += 1;
            return;
        };
        state.values.forget(hit.time.saturating_sub(self.within));
        let before = state.values.len();
        if before == 0 {
            state.since = hit.time;
        }
        let is_known = state.values.see(value.clone(), hit.time, MOST_KEPT, out);
        if before > 0 && !is_known && hit.time >= state.since.saturating_add(self.learn) {
            out.said.push(
                Said::of(hit.time, [&hit.kept])
                    .with(&self.field, &*value)
                    .with("known_values", before.to_string()),
            );
        }
    }

    fn due(&self, state: &State) -> i64 {
        let last = state.values.last();
        last.map_or(i64::MIN, |last| last.saturating_add(self.within))
    }

    fn advance(&self, state: &mut State, now: i64, _: &mut Out) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &State) -> usize {
        state.values.heap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, valued};

    fn seen(learn: i64, hits: &[(i64, &str)]) -> Vec<i64> {
        let mut run = Run::new(NewValue {
            within: 100,
            learn,
            field: "country".to_owned(),
        });
        for (time, value) in hits {
            run.push(valued(*time, value));
        }
        run.said.iter().map(|said| said.time).collect()
    }

    #[test]
    fn a_value_is_new_once_and_again_when_it_was_forgotten() {
        let hits = [(0, "jp"), (1, "us"), (2, "us"), (90, "jp"), (102, "us")];
        assert_eq!(seen(0, &hits), [1, 102]);
        assert!(seen(0, &[(0, "jp"), (200, "us")]).is_empty());
        assert_eq!(seen(50, &hits), [102]);
    }
}
