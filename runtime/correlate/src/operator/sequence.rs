//! `sequence` and `stages`: findings in the order of the rules.

use serde::{Deserialize, Serialize};
use yagura_core::correlation::sequence::Sequence;
use yagura_core::{Correlation, Severity, TimeSpan};

use super::Geolocation;
use super::Operator;
use crate::hit::{Hit, KeptHit};
use crate::make::{MakeNode, NoGeolocation};
use crate::node::{CorrelationNode, KeyedNode};
use crate::objects::EventNumber;
use crate::output::{OperatorFinding, OperatorOutput};

/// Steps in order. A complete chain makes a finding and is forgotten: the next begins anew.
#[derive(Debug, Clone)]
pub(crate) struct SequenceOperator {
    /// The steps that a finding of each entry can be.
    pub(crate) steps_of: Vec<Vec<usize>>,
    pub(crate) steps: usize,
    /// From the first step to the last.
    pub(crate) within: i64,
    pub(crate) step_within: i64,
    /// For stages: each step makes a finding, with its severity.
    pub(crate) severities: Vec<Severity>,
}

/// For each step but the last the chains that reached it latest, the latest at the end: more than one, because a chain
/// cannot take an event that it has already. See [`keep_latest`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SequenceState {
    chains: Vec<Vec<Chain>>,
}

/// A finding for each step so far.
type Chain = Vec<KeptHit>;

/// Chains of a step that are kept at most, which only many events of one instant can need.
const MOST_CHAINS: usize = 8;

impl MakeNode for Sequence {
    fn node(
        &self,
        correlation: &Correlation,
        _: Option<&Geolocation>,
    ) -> Result<Box<dyn CorrelationNode>, NoGeolocation> {
        let operator = SequenceOperator::of(&correlation.rules, self.within, self.step_within);
        Ok(Box::new(KeyedNode::new(operator)))
    }
}

impl Operator for SequenceOperator {
    type State = SequenceState;

    fn push(&self, state: &mut SequenceState, hit: Hit, out: &mut OperatorOutput) {
        state
            .chains
            .resize(self.steps.saturating_sub(1), Vec::new());
        let Some(steps) = self.steps_of.get(usize::from(hit.source)) else {
            return;
        };
        // Later steps first, so that one finding is not two steps.
        for step in steps.iter().rev().copied() {
            let before: Vec<Chain> = match step.checked_sub(1) {
                None => vec![Vec::new()],
                Some(before) => {
                    let chains = state.chains[before].iter();
                    let fitting = chains.filter(|chain| self.can_take(chain, &hit));
                    fitting.cloned().collect()
                }
            };
            if before.is_empty() {
                continue;
            }
            if let Some(severity) = self.severities.get(step) {
                let mut finding = OperatorFinding::of(hit.time, [&hit.kept])
                    .with("stage", (step + 1).to_string());
                finding.severity = Some(*severity);
                out.findings.push(finding);
            }
            if step + 1 == self.steps {
                if self.severities.is_empty()
                    && let Some(latest) = before.last()
                {
                    out.findings.push(OperatorFinding::of(
                        hit.time,
                        latest.iter().chain([&hit.kept]),
                    ));
                }
                state.chains.fill(Vec::new());
                return;
            }
            let chains = &mut state.chains[step];
            let kept = self.with_earlier(chains, &hit);
            chains.extend(before.into_iter().map(|mut chain| {
                chain.push(kept.clone());
                chain
            }));
            keep_latest(chains, self.steps - 1 - step);
        }
    }

    fn due(&self, state: &SequenceState) -> i64 {
        let chains = state.chains.iter().flatten();
        let starts = chains.filter_map(|chain| chain.first());
        let latest = starts.map(|hit| hit.time).max();
        latest.map_or(i64::MIN, |start| start.saturating_add(self.within))
    }

    fn advance(&self, state: &mut SequenceState, now: i64, _: &mut OperatorOutput) -> bool {
        self.due(state) >= now
    }

    fn heap(&self, state: &SequenceState) -> usize {
        let chains = state.chains.iter().flatten();
        let kept = chains.clone().flatten();
        (state.chains.capacity() + chains.count()) * size_of::<Chain>()
            + kept
                .map(|hit| size_of::<KeptHit>() + hit.heap())
                .sum::<usize>()
    }
}

impl SequenceOperator {
    /// Makes the operator of steps that are findings of these rules.
    pub(super) fn of(rules: &[String], within: TimeSpan, step_within: Option<TimeSpan>) -> Self {
        // A finding of a rule can be each step of its name.
        let steps_of = |name: &String| {
            let steps = rules.iter().enumerate();
            steps
                .filter(|(_, rule)| *rule == name)
                .map(|(step, _)| step)
                .collect()
        };
        Self {
            steps_of: rules.iter().map(steps_of).collect(),
            steps: rules.len(),
            within: within.micros(),
            step_within: step_within.map_or(i64::MAX, TimeSpan::micros),
            severities: Vec::new(),
        }
    }

    /// Says whether the hit can be the chain's next step: in time, and about an event that is none of its steps.
    fn can_take(&self, chain: &[KeptHit], hit: &Hit) -> bool {
        let since = |kept: Option<&KeptHit>| {
            kept.map_or(i64::MAX, |kept| hit.time.saturating_sub(kept.time))
        };
        let event = hit.kept.newest();
        since(chain.first()) <= self.within
            && since(chain.last()) <= self.step_within
            && !chain.iter().any(|kept| kept.holds(event))
    }

    /// Returns the hit with what was found before where it goes on from the latest that reached the same step.
    fn with_earlier(&self, chains: &[Chain], hit: &Hit) -> KeptHit {
        let earlier = chains.last().and_then(|chain| chain.last());
        let in_time = |kept: &&KeptHit| hit.time.saturating_sub(kept.time) <= self.within;
        match earlier.filter(in_time) {
            Some(earlier) if hit.continues => hit.kept.going_on_from(earlier),
            _ => hit.kept.clone(),
        }
    }
}

/// Keeps of the chains of a step, the latest last, those that the `left` steps to come can need: whatever their events
/// are, one of the latest chains that hold none of them. A chain of an instant before holds no event of this one.
fn keep_latest(chains: &mut Vec<Chain>, left: usize) {
    let time_of = |chain: &Chain| chain.last().map(|kept| kept.time);
    let Some(now) = chains.last().map(time_of) else {
        return;
    };
    let mut kept: Vec<Chain> = Vec::new();
    // So many of them have no event in common with each other; as many events cannot be in more.
    let (mut apart, mut of_apart): (usize, Vec<EventNumber>) = (0, Vec::new());
    while let Some(chain) = chains.pop() {
        if apart > left {
            break;
        }
        if time_of(&chain) < now {
            kept.push(chain);
            break;
        }
        let events: Vec<EventNumber> = chain.iter().map(KeptHit::newest).collect();
        let has_all = |known: &Chain| known.iter().all(|hit| events.contains(&hit.newest()));
        if kept.iter().any(has_all) || kept.len() + 1 >= MOST_CHAINS {
            continue;
        }
        if !events.iter().any(|event| of_apart.contains(event)) {
            apart += 1;
            of_apart.extend(events);
        }
        kept.push(chain);
    }
    kept.reverse();
    *chains = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, about, from, going_on, several};

    fn sequence(steps_of: Vec<Vec<usize>>, steps: usize) -> SequenceOperator {
        SequenceOperator {
            steps_of,
            steps,
            within: 10,
            step_within: 6,
            severities: Vec::new(),
        }
    }

    fn seen(operator: SequenceOperator, hits: &[(i64, u16)]) -> Vec<(i64, usize)> {
        let mut run = Run::new(operator);
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
    fn one_event_that_two_rules_find_is_one_step() {
        let ab = || sequence(vec![vec![0], vec![1]], 2);
        let rows = |operator: SequenceOperator, hits: &[(i64, u16, u32)]| {
            let mut run = Run::new(operator);
            for (time, source, row) in hits {
                run.push(about(*time, *source, *row));
            }
            run.rows()
        };
        assert_eq!(rows(ab(), &[(0, 0, 7), (0, 1, 7)]), [[0; 2]; 0]);
        // It does not make the chain forget the step before it, and another event of its instant may follow it.
        let earlier = [(0, 0, 1), (3, 0, 7), (3, 1, 7)];
        assert_eq!(rows(ab(), &earlier), [[1, 7]]);
        let other = [(3, 0, 7), (3, 1, 7), (3, 1, 8)];
        assert_eq!(rows(ab(), &other), [[7, 8]]);
        // Both rules find both events of an instant.
        let both = [(1, 0, 1), (3, 0, 7), (3, 0, 8), (3, 1, 7), (3, 1, 8)];
        assert_eq!(rows(ab(), &both)[0], [8, 7]);
        let mut stages = ab();
        stages.severities = vec![Severity::Low, Severity::High];
        assert_eq!(rows(stages, &earlier), [[1], [7], [7]]);
    }

    #[test]
    fn a_count_that_goes_on_keeps_the_events_that_made_it() {
        let mut run = Run::new(sequence(vec![vec![0], vec![1]], 2));
        run.push(several(0, &[(1, 11), (2, 12), (3, 13)]));
        run.push(going_on(about(4, 0, 14)));
        // The count holds the event already, and so does what it was before.
        run.push(Hit {
            time: 4,
            ..several(1, &[(3, 13)])
        });
        run.push(about(4, 1, 14));
        assert_eq!(run.rows(), [[11, 12, 13, 14]]);
        let mut run = Run::new(sequence(vec![vec![0], vec![1]], 2));
        let first: Vec<(i64, u32)> = (0..25).map(|row| (0, row)).collect();
        run.push(several(0, &first));
        run.push(going_on(about(4, 0, 40)));
        run.push(going_on(about(4, 0, 41)));
        run.push(about(5, 1, 50));
        let shown: Vec<u32> = (0..9).chain([41, 50]).collect();
        assert_eq!(run.rows(), [shown]);
    }

    /// Says whether some hits before the last one are, with it, the steps in order, each about another event.
    fn completes(operator: &SequenceOperator, hits: &[(i64, u16, u32)]) -> bool {
        fn chain(
            operator: &SequenceOperator,
            hits: &[(i64, u16, u32)],
            taken: &mut Vec<usize>,
        ) -> bool {
            let next = taken[taken.len() - 1];
            let left = operator.steps - taken.len();
            if left == 0 {
                return hits[taken[0]].0 - hits[next].0 <= operator.within;
            }
            (0..next).any(|at| {
                let (time, source, row) = hits[at];
                let fits = operator.steps_of[usize::from(source)].contains(&(left - 1))
                    && hits[next].0 - time <= operator.step_within
                    && taken.iter().all(|known| hits[*known].2 != row);
                taken.push(at);
                let found = fits && chain(operator, hits, taken);
                taken.pop();
                found
            })
        }
        let last = hits.len() - 1;
        operator.steps_of[usize::from(hits[last].1)].contains(&(operator.steps - 1))
            && chain(operator, hits, &mut vec![last])
    }

    #[test]
    fn what_completes_is_what_any_choice_of_findings_would() {
        use proptest::prelude::*;
        // Events at a time, each with the rules that find it.
        let event = (0..12_i64, 1..8_u8);
        let events = proptest::collection::vec(event, 0..14);
        let operator = sequence(vec![vec![0], vec![1], vec![2]], 3);
        let config = ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(events in events)| {
            let mut hits: Vec<(i64, u16, u32)> = Vec::new();
            for (row, (time, rules)) in (0..).zip(&events) {
                let of = (0..3).filter(|source| rules & (1 << source) > 0);
                hits.extend(of.map(|source| (*time, source, row)));
            }
            hits.sort_unstable();
            let mut run = Run::new(operator.clone());
            let mut expected = Vec::new();
            let mut since = 0;
            for (at, (time, source, row)) in hits.iter().enumerate() {
                run.push(about(*time, *source, *row));
                if completes(&operator, &hits[since..=at]) {
                    expected.push((*time, 3));
                    since = at + 1;
                }
            }
            prop_assert_eq!(run.seen(), expected, "{:?}", hits);
        });
    }

    #[test]
    fn each_stage_has_its_severity() {
        let mut stages = sequence(vec![vec![0], vec![1]], 2);
        stages.severities = vec![Severity::Low, Severity::High];
        let mut run = Run::new(stages);
        run.push(from(0, 1));
        run.push(from(1, 0));
        run.push(from(2, 1));
        let seen: Vec<_> = run
            .findings
            .iter()
            .map(|finding| (finding.time, finding.severity))
            .collect();
        assert_eq!(seen, [(1, Some(Severity::Low)), (2, Some(Severity::High))]);
    }
}
