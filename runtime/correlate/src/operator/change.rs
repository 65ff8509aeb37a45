//! `change`: a state that differs from the one before.

use serde::{Deserialize, Serialize};
use yagura_core::Correlation;
use yagura_core::correlation::change::Change;

use super::Geolocation;
use super::Operator;
use crate::hit::{Hit, KeptHit};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::output::{OperatorFinding, OperatorOutput};

/// The fields that make up a state. A key's first state is learnt, and makes no finding.
#[derive(Debug, Clone)]
pub(crate) struct ChangeOperator {
    /// How long a state is remembered.
    pub(crate) within: i64,
    pub(crate) fields: Vec<String>,
}

/// The state before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ChangeState {
    before: Option<(KeptHit, Vec<Option<Box<str>>>)>,
}

impl MakeNode for Change {
    fn node(
        &self,
        _: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        Ok(Box::new(KeyedNode::new(ChangeOperator {
            within: self.within.micros(),
            fields: self.fields.clone(),
        })))
    }
}

impl Operator for ChangeOperator {
    type State = ChangeState;

    fn push(&self, state: &mut ChangeState, hit: Hit, out: &mut OperatorOutput) {
        if let Some((kept, before)) = &state.before
            && *before != hit.values
        {
            let mut finding = OperatorFinding::of(hit.time, [kept, &hit.kept]);
            let pairs = before.iter().zip(&hit.values).zip(&self.fields);
            for ((old, new), field) in pairs.filter(|((old, new), _)| old != new) {
                let text =
                    |value: &Option<Box<str>>| value.as_deref().unwrap_or("(none)").to_owned();
                finding = finding.with(&format!("{field}_before"), text(old));
                finding = finding.with(field, text(new));
            }
            out.findings.push(finding);
        }
        state.before = Some((hit.kept, hit.values));
    }

    fn due(&self, state: &ChangeState) -> i64 {
        let before = state.before.as_ref();
        before.map_or(i64::MIN, |(kept, _)| kept.time.saturating_add(self.within))
    }

    fn advance(&self, state: &mut ChangeState, now: i64, _: &mut OperatorOutput) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &ChangeState) -> usize {
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
    fn a_difference_has_both_values() {
        let mut run = Run::new(ChangeOperator {
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
