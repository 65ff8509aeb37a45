//! `spike` and `flatline`: a count that departs from the key's own normal.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Operator;
use crate::hit::{Hit, KeptHit};
use crate::limits::MOST_SHOWN;
use crate::output::{OperatorFinding, OperatorOutput, number};

/// Counts of windows that follow each other, against the mean of those before.
#[derive(Debug, Clone)]
pub(crate) struct BaselineCount {
    pub(crate) within: i64,
    /// Windows that make up the normal.
    pub(crate) windows: i64,
    pub(crate) factor: f64,
    pub(crate) minimum: u64,
    pub(crate) is_spike: bool,
}

/// A key's counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BaselineState {
    /// Number of the window that is open, counted from 1970. Of windows without hits it may be one of long ago: these are closed
    /// together, when something follows from it.
    window: i64,
    /// The first window of the key.
    first: i64,
    count: u64,
    hits: Vec<KeptHit>,
    before: PastCounts,
    holding: bool,
    /// The latest hit, which a finding about a silence shows.
    last: Option<KeptHit>,
}

/// The windows before that had hits, in order, and the sum of their counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PastCounts {
    counts: VecDeque<(i64, u64)>,
    sum: u64,
}

impl PastCounts {
    fn push(&mut self, window: i64, count: u64) {
        self.counts.push_back((window, count));
        self.sum += count;
    }

    /// Forgets the windows before this one.
    fn forget(&mut self, before: i64) {
        while let Some((window, count)) = self.counts.front()
            && *window < before
        {
            self.sum -= count;
            self.counts.pop_front();
        }
    }

    /// Returns the sum of the counts from a window on.
    fn sum_from(&self, from: i64) -> u64 {
        let gone = self.counts.iter().take_while(|(window, _)| *window < from);
        self.sum - gone.map(|(_, count)| count).sum::<u64>()
    }

    fn last(&self) -> Option<i64> {
        self.counts.back().map(|(window, _)| *window)
    }
}

impl Serialize for PastCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.counts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PastCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counts = VecDeque::<(i64, u64)>::deserialize(deserializer)?;
        let sum = counts.iter().map(|(_, count)| count).sum();
        Ok(Self { counts, sum })
    }
}

/// Windows of its own past that a key needs to have a normal.
const LEAST_PAST: i64 = 3;

impl BaselineCount {
    /// Returns the mean count of the windows before `window`, or nothing while there are too few.
    fn normal(&self, state: &BaselineState, window: i64) -> Option<f64> {
        let past = (window - state.first).min(self.windows);
        if past < LEAST_PAST.min(self.windows) {
            return None;
        }
        let sum = state.before.sum_from(window.saturating_sub(self.windows));
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        Some(sum as f64 / past as f64)
    }

    /// Says whether so many hits are a flatline.
    fn is_flat(&self, count: u64, normal: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let (count, minimum) = (count as f64, self.minimum as f64);
        normal >= minimum && count <= normal * self.factor
    }

    /// Returns the window that is the first of a silence, if no hit comes and the open one has none. Without hits the
    /// normal only falls: so it is the first that has a normal, or none.
    fn flat_from(&self, state: &BaselineState) -> Option<i64> {
        let first = state.first + LEAST_PAST.min(self.windows);
        let window = state.window.max(first);
        let is_known = window <= state.before.last()?.saturating_add(self.windows);
        let is_flat = !state.holding
            && is_known
            && self
                .normal(state, window)
                .is_some_and(|normal| self.is_flat(0, normal));
        is_flat.then_some(window)
    }

    fn end(&self, window: i64) -> i64 {
        window.saturating_add(1).saturating_mul(self.within) - 1
    }

    /// Closes the open window and opens `next`.
    fn close(&self, state: &mut BaselineState, next: i64, out: &mut OperatorOutput) {
        if !self.is_spike
            && let Some(normal) = self.normal(state, state.window)
        {
            let is_flat = self.is_flat(state.count, normal);
            if is_flat && !state.holding {
                let shown = if state.hits.is_empty() {
                    state.last.as_slice()
                } else {
                    &state.hits
                };
                #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
                out.findings.push(
                    OperatorFinding::of(self.end(state.window), shown)
                        .value(state.count as f64)
                        .with("normal", number(normal)),
                );
            }
            state.holding = is_flat;
        }
        if state.count > 0 {
            state.before.push(state.window, state.count);
        }
        self.open(state, next);
        if self.is_spike {
            state.holding = false;
        }
    }

    fn open(&self, state: &mut BaselineState, window: i64) {
        state.before.forget(window.saturating_sub(self.windows));
        state.window = window;
        state.count = 0;
        state.hits.clear();
    }

    /// Closes the windows of a flatline before `until`, those without hits together. Returns false when nothing is left that a
    /// normal could follow from.
    fn close_until(&self, state: &mut BaselineState, until: i64, out: &mut OperatorOutput) -> bool {
        if state.window < until && state.count > 0 {
            self.close(state, state.window.saturating_add(1), out);
        }
        let Some(last) = state.before.last() else {
            return state.count > 0;
        };
        let stop = until.min(last.saturating_add(self.windows).saturating_add(1));
        if let Some(flat) = self.flat_from(state).filter(|flat| *flat < stop) {
            self.open(state, flat);
            self.close(state, flat.saturating_add(1), out);
        }
        if state.window < stop {
            // The last one decides whether it is flat still.
            self.open(state, stop - 1);
            self.close(state, stop, out);
        }
        !state.before.counts.is_empty()
    }
}

impl Operator for BaselineCount {
    type State = BaselineState;

    fn push(&self, state: &mut BaselineState, hit: Hit, out: &mut OperatorOutput) {
        let window = hit.time.div_euclid(self.within.max(1));
        if state.last.is_none() {
            state.first = window;
            state.window = window;
        } else if window > state.window {
            // The findings of a flatline were due before.
            match self.is_spike {
                true => self.close(state, window, out),
                false => drop(self.close_until(state, window, out)),
            }
        }
        state.count += 1;
        if state.hits.len() < MOST_SHOWN {
            state.hits.push(hit.kept.clone());
        }
        if self.is_spike
            && state.count >= self.minimum
            && let Some(normal) = self.normal(state, state.window)
        {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            let count = state.count as f64;
            if count > normal * self.factor {
                let finding = if state.holding {
                    OperatorFinding::of(hit.time, [&hit.kept]).going_on()
                } else {
                    OperatorFinding::of(hit.time, &state.hits)
                };
                let finding = finding.value(count).with("normal", number(normal));
                out.findings.push(finding);
                state.holding = true;
            }
        }
        state.last = Some(hit.kept);
    }

    fn due(&self, state: &BaselineState) -> i64 {
        if self.is_spike {
            return self.end(state.window.saturating_add(self.windows));
        }
        let Some(last) = state.before.last().filter(|_| state.count == 0) else {
            return self.end(state.window);
        };
        let gone = last.saturating_add(self.windows);
        self.end(self.flat_from(state).map_or(gone, |flat| flat.min(gone)))
    }

    fn advance(&self, state: &mut BaselineState, now: i64, out: &mut OperatorOutput) -> bool {
        if self.is_spike {
            return self.due(state) >= now;
        }
        if self.due(state) >= now {
            return true;
        }
        // The first window that has not ended before `now`.
        let open = now.div_euclid(self.within.max(1));
        self.close_until(state, open, out)
    }

    fn heap(&self, state: &BaselineState) -> usize {
        let kept = state.hits.iter().map(KeptHit::heap);
        state.hits.capacity() * size_of::<KeptHit>()
            + kept.sum::<usize>()
            + state.before.counts.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, hit};

    fn baseline(is_spike: bool) -> BaselineCount {
        BaselineCount {
            within: 10,
            windows: 5,
            factor: if is_spike { 3.0 } else { 0.5 },
            minimum: 2,
            is_spike,
        }
    }

    #[test]
    fn a_spike_is_more_than_a_multiple_of_the_keys_normal() {
        let mut run = Run::new(baseline(true));
        // Six in the first window are no spike: there is no normal yet.
        for time in [0, 1, 2, 3, 4, 5, 11, 12, 21, 22, 31, 32] {
            run.push(hit(time));
        }
        assert_eq!(run.seen(), []);
        // The normal of the windows 0 to 3 is 3; the tenth is more than three times as many.
        for _ in 0..11 {
            run.push(hit(45));
        }
        assert_eq!(run.seen(), [(45, 10), (45, 1)]);
        assert_eq!(run.going_on(), [false, true]);
        assert_eq!(run.context("normal"), ["3", "3"]);
    }

    #[test]
    fn a_flatline_is_found_when_its_window_closes_even_without_a_hit() {
        let mut run = Run::new(baseline(false));
        for window in 0..4 {
            for time in 0..4 {
                run.push(hit(window * 10 + time));
            }
        }
        run.advance(49);
        assert_eq!(run.seen(), []);
        run.advance(1_000);
        assert_eq!(run.seen(), [(49, 1)]);
        assert_eq!(run.findings[0].value, Some(0.0));
    }

    /// The findings of a flatline: window by window, as it is defined.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn defined(of: &BaselineCount, hits: &[i64], end: i64) -> Vec<(i64, f64)> {
        let mut findings = Vec::new();
        let mut counts: std::collections::BTreeMap<i64, u64> = Default::default();
        for time in hits {
            *counts.entry(time.div_euclid(of.within)).or_default() += 1;
        }
        let Some((first, _)) = counts.first_key_value() else {
            return findings;
        };
        let (mut first, mut holding) = (*first, false);
        let mut window = first;
        while (window + 1) * of.within - 1 < end {
            let count = counts.get(&window).copied().unwrap_or_default();
            let past = (window - first).min(of.windows);
            if past >= LEAST_PAST.min(of.windows) {
                let sum: u64 = counts
                    .range(first.max(window - of.windows)..window)
                    .map(|(_, count)| count)
                    .sum();
                let normal = sum as f64 / past as f64;
                let is_flat = normal >= of.minimum as f64 && count as f64 <= normal * of.factor;
                if is_flat && !holding {
                    findings.push(((window + 1) * of.within - 1, count as f64));
                }
                holding = is_flat;
            }
            window += 1;
            if counts
                .range(first.max(window - of.windows)..window)
                .next()
                .is_none()
            {
                // The key is forgotten, and begins anew with its next hit.
                let Some((next, _)) = counts.range(window..).next() else {
                    break;
                };
                (first, window, holding) = (*next, *next, false);
            }
        }
        findings
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]
        #[test]
        fn windows_without_hits_are_closed_together_as_one_by_one(
            mut hits in proptest::collection::vec(0i64..600, 0..60),
            steps in proptest::collection::vec(0i64..900, 0..8),
            windows in 1i64..12,
            factor in proptest::sample::select(vec![0.2, 0.5, 1.0, 1.5]),
            minimum in 1u64..4,
            restart in proptest::prelude::any::<bool>(),
        ) {
            hits.sort_unstable();
            let of = BaselineCount { within: 10, windows, factor, minimum, is_spike: false };
            let mut run = Run::new(of.clone());
            let mut steps = steps;
            steps.sort_unstable();
            let mut steps = steps.into_iter().peekable();
            for time in &hits {
                while let Some(step) = steps.next_if(|step| step <= time) {
                    run.advance(step);
                    if restart {
                        run.restart();
                    }
                }
                run.push(hit(*time));
            }
            run.advance(1_000);
            let finding: Vec<(i64, f64)> = run
                .findings
                .iter()
                .map(|finding| (finding.time, finding.value.unwrap()))
                .collect();
            proptest::prop_assert_eq!(finding, defined(&of, &hits, 1_000));
        }
    }

    #[test]
    fn a_long_silence_takes_no_time() {
        // A window of a microsecond, for ten thousand years.
        let mut run = Run::new(BaselineCount {
            within: 1,
            windows: 1 << 60,
            ..baseline(false)
        });
        for time in 0..40 {
            run.push(hit(time / 4));
        }
        run.advance(i64::MAX / 4);
        assert_eq!(run.seen().len(), 1);
    }
}
