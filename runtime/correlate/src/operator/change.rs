//! `change`: a state that differs from the one before.

use serde::{Deserialize, Serialize};

use super::{Operator, Out, Said};
use crate::found::{Hit, Kept};

/// The fields that make up a state. A key's first state is learnt, not told.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// How long a state is remembered.
    pub(crate) within: i64,
    pub(crate) fields: Vec<String>,
}

/// The state before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    before: Option<(Kept, Vec<Option<Box<str>>>)>,
}

impl Operator for Change {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
        if let Some((kept, before)) = &state.before
            && *before != hit.values
        {
            let mut said = Said::of(hit.time, [kept, &hit.kept]);
            let pairs = before.iter().zip(&hit.values).zip(&self.fields);
            for ((old, new), field) in pairs.filter(|((old, new), _)| old != new) {
                let text =
                    |value: &Option<Box<str>>| value.as_deref().unwrap_or("(none)").to_owned();
                said = said.with(&format!("{field}_before"), text(old));
                said = said.with(field, text(new));
            }
            out.said.push(said);
        }
        state.before = Some((hit.kept, hit.values));
    }

    fn due(&self, state: &State) -> i64 {
        let before = state.before.as_ref();
        before.map_or(i64::MIN, |(kept, _)| kept.time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut State, now: i64, _: &mut Out) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &State) -> usize {
        state.before.as_ref().map_or(0, |(kept, values)| {
            let texts = values.iter().flatten().map(|text| text.len() + 16);
            kept.heap() + values.capacity() * 16 + texts.sum::<usize>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, valued};

    #[test]
    fn a_difference_is_told_with_both_values() {
        let mut run = Run::new(Change {
            within: 100,
            fields: vec!["version".to_owned()],
        });
        for (time, value) in [(0, "1"), (1, "1"), (2, "2"), (3, "2"), (200, "3")] {
            run.push(valued(time, value));
        }
        assert_eq!(run.seen(), [(2, 2)]);
        assert_eq!(run.context("version_before"), ["1"]);
        assert_eq!(run.context("version"), ["2"]);
    }
}
