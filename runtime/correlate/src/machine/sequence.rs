//! `sequence` and `stages`: findings in the order of the rules.

use serde::{Deserialize, Serialize};
use yagura_core::Severity;

use super::{Machine, Out, Said};
use crate::found::{Hit, Kept};

/// Steps in order. A chain that is complete is told and forgotten: the next begins anew.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// The steps that a finding of each entry can be.
    pub(crate) steps_of: Vec<Vec<usize>>,
    pub(crate) steps: usize,
    /// From the first step to the last.
    pub(crate) within: i64,
    pub(crate) step_within: i64,
    /// For stages: each step is told, with its severity.
    pub(crate) severities: Vec<Severity>,
}

/// For each step but the last the chain that reached it latest. It began no earlier than any other that did, so it is
/// the only one worth keeping.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    chains: Vec<Option<Vec<Kept>>>,
}

impl Machine for Sequence {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
        state.chains.resize(self.steps.saturating_sub(1), None);
        let Some(steps) = self.steps_of.get(usize::from(hit.source)) else {
            return;
        };
        // Later steps first, so that one event is not two steps.
        for step in steps.iter().rev().copied() {
            let mut chain = match step.checked_sub(1) {
                None => Vec::new(),
                Some(before) => match state.chains.get(before) {
                    Some(Some(chain)) if self.follows(chain, hit.time) => chain.clone(),
                    _ => continue,
                },
            };
            chain.push(hit.kept.clone());
            if let Some(severity) = self.severities.get(step) {
                let mut said =
                    Said::of(hit.time, [&hit.kept]).with("stage", (step + 1).to_string());
                said.severity = Some(*severity);
                out.said.push(said);
            }
            if step + 1 == self.steps {
                if self.severities.is_empty() {
                    out.said.push(Said::of(hit.time, &chain));
                }
                state.chains.fill(None);
                return;
            }
            state.chains[step] = Some(chain);
        }
    }

    fn due(&self, state: &State) -> i64 {
        let starts = state.chains.iter().flatten().filter_map(|c| c.first());
        let latest = starts.map(|hit| hit.time).max();
        latest.map_or(i64::MIN, |start| start.saturating_add(self.within))
    }

    fn advance(&self, state: &mut State, now: i64, _: &mut Out) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &State) -> usize {
        let hits = state.chains.iter().flatten().flatten();
        let kept = hits.map(|hit| size_of::<Kept>() + hit.heap());
        state.chains.capacity() * 24 + kept.sum::<usize>()
    }
}

impl Sequence {
    fn follows(&self, chain: &[Kept], time: i64) -> bool {
        let since = |hit: Option<&Kept>| hit.map_or(i64::MAX, |hit| time.saturating_sub(hit.time));
        since(chain.first()) <= self.within && since(chain.last()) <= self.step_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{Run, from};

    fn sequence(steps_of: Vec<Vec<usize>>, steps: usize) -> Sequence {
        Sequence {
            steps_of,
            steps,
            within: 10,
            step_within: 6,
            severities: Vec::new(),
        }
    }

    fn seen(machine: Sequence, hits: &[(i64, u16)]) -> Vec<(i64, usize)> {
        let mut run = Run::new(machine);
        for (time, source) in hits {
            run.push(from(*time, *source));
        }
        run.seen()
    }

    #[test]
    fn steps_follow_in_order_within_both_limits() {
        let abc = || sequence(vec![vec![0], vec![1], vec![2]], 3);
        assert_eq!(seen(abc(), &[(0, 0), (1, 1), (2, 2)]), [(2, 3)]);
        assert_eq!(seen(abc(), &[(0, 1), (1, 0), (2, 2)]), []);
        // Too long between two steps, and too long in all.
        assert_eq!(seen(abc(), &[(0, 0), (1, 1), (8, 2)]), []);
        assert_eq!(seen(abc(), &[(0, 0), (6, 1), (11, 2)]), []);
        // The latest first step counts, and a complete chain is spent.
        let again = [(0, 0), (4, 0), (9, 1), (12, 2), (13, 2)];
        assert_eq!(seen(abc(), &again), [(12, 3)]);
    }

    #[test]
    fn one_event_is_one_step_even_of_a_rule_that_is_two() {
        let twice = || sequence(vec![vec![0, 1]], 2);
        assert_eq!(seen(twice(), &[(0, 0)]), []);
        assert_eq!(seen(twice(), &[(0, 0), (1, 0), (2, 0)]), [(1, 2)]);
    }

    #[test]
    fn each_stage_is_told_with_its_severity() {
        let mut stages = sequence(vec![vec![0], vec![1]], 2);
        stages.severities = vec![Severity::Low, Severity::High];
        let mut run = Run::new(stages);
        run.push(from(0, 1));
        run.push(from(1, 0));
        run.push(from(2, 1));
        let seen: Vec<_> = run
            .said
            .iter()
            .map(|said| (said.time, said.severity))
            .collect();
        assert_eq!(seen, [(1, Some(Severity::Low)), (2, Some(Severity::High))]);
    }
}
