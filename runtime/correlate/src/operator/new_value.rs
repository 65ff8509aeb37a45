//! `new-value`: a value of a field that the key did not have before.

use serde::{Deserialize, Serialize};
use yagura_core::correlation::new_value::NewValue;
use yagura_core::{Correlation, TimeSpan};

use super::Geolocation;
use super::Operator;
use super::recent_values::{RecentValues, joined};
use crate::hit::Hit;
use crate::limits::MOST_KEPT;
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::output::{OperatorFinding, OperatorOutput};

/// A value that is new to its key. A key's first value is learnt, and makes no finding.
#[derive(Debug, Clone)]
pub(crate) struct NewValueOperator {
    /// How long a value is remembered after it was last seen.
    pub(crate) within: i64,
    /// How long all values of a key are only learnt.
    pub(crate) learn: i64,
    pub(crate) field: String,
}

/// What a key is known to have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NewValueState {
    since: i64,
    values: RecentValues,
}

impl MakeNode for NewValue {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        Ok(Box::new(KeyedNode::new(NewValueOperator {
            within: self.within.micros(),
            learn: self.learn.map_or(0, TimeSpan::micros),
            field: self.field.clone(),
        })))
    }
}

impl Operator for NewValueOperator {
    type State = NewValueState;

    fn push(&self, state: &mut NewValueState, hit: Hit, out: &mut OperatorOutput) {
        let Some(value) = joined(&hit.values) else {
            out.without_value += 1;
            return;
        };
        state.values.forget(hit.time.saturating_sub(self.within));
        let before = state.values.len();
        if before == 0 {
            state.since = hit.time;
        }
        let is_known = state.values.note(value.clone(), hit.time, MOST_KEPT, out);
        if before > 0 && !is_known && hit.time >= state.since.saturating_add(self.learn) {
            out.findings.push(
                OperatorFinding::of(hit.time, [&hit.kept])
                    .with(&self.field, &*value)
                    .with("known_values", before.to_string()),
            );
        }
    }

    fn due(&self, state: &NewValueState) -> i64 {
        let last = state.values.last();
        last.map_or(i64::MIN, |last| last.saturating_add(self.within))
    }

    fn advance(&self, state: &mut NewValueState, now: i64, _: &mut OperatorOutput) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &NewValueState) -> usize {
        state.values.heap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, valued};

    fn seen(learn: i64, hits: &[(i64, &str)]) -> Vec<i64> {
        let mut run = Run::new(NewValueOperator {
            within: 100,
            learn,
            field: "country".to_owned(),
        });
        for (time, value) in hits {
            run.push(valued(*time, value));
        }
        run.findings.iter().map(|finding| finding.time).collect()
    }

    #[test]
    fn a_value_is_new_once_and_again_when_it_was_forgotten() {
        let hits = [(0, "jp"), (1, "us"), (2, "us"), (90, "jp"), (102, "us")];
        assert_eq!(seen(0, &hits), [1, 102]);
        assert!(seen(0, &[(0, "jp"), (200, "us")]).is_empty());
        assert_eq!(seen(50, &hits), [102]);
    }
}
