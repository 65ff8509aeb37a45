//! `spike` and `flatline`: a count that departs from the key's own normal.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{MOST_SHOWN, Machine, Out, Said, number};
use crate::found::{Hit, Kept};

/// Counts of windows that follow each other, against the mean of those before.
#[derive(Debug, Clone)]
pub(crate) struct Baseline {
    pub(crate) within: i64,
    /// Windows that make up the normal.
    pub(crate) windows: i64,
    pub(crate) factor: f64,
    pub(crate) minimum: u64,
    pub(crate) is_spike: bool,
}

/// A key's counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Number of the window that is open, counted from 1970.
    window: i64,
    /// The first window of the key.
    first: i64,
    count: u64,
    hits: Vec<Kept>,
    /// The windows before that had hits, in order.
    before: VecDeque<(i64, u64)>,
    holding: bool,
    /// The latest hit, which a silence is told by.
    last: Option<Kept>,
}

/// Windows of its own past that a key needs to have a normal.
const LEAST_PAST: i64 = 3;

impl Baseline {
    /// Returns the mean count of the windows before the open one, or nothing while there are too few.
    fn normal(&self, state: &State) -> Option<f64> {
        let past = (state.window - state.first).min(self.windows);
        if past < LEAST_PAST.min(self.windows) {
            return None;
        }
        let sum: u64 = state.before.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        Some(sum as f64 / past as f64)
    }

    fn end(&self, window: i64) -> i64 {
        window.saturating_add(1).saturating_mul(self.within) - 1
    }

    /// Closes the open window and opens `next`.
    fn close(&self, state: &mut State, next: i64, out: &mut Out) {
        if !self.is_spike
            && let Some(normal) = self.normal(state)
        {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            let is_flat =
                normal >= self.minimum as f64 && state.count as f64 <= normal * self.factor;
            if is_flat && !state.holding {
                let shown = if state.hits.is_empty() {
                    state.last.as_slice()
                } else {
                    &state.hits
                };
                out.said.push(
                    Said::of(self.end(state.window), shown)
                        .value(state.count as f64)
                        .with("normal", number(normal)),
                );
            }
            state.holding = is_flat;
        }
        if state.count > 0 {
            state.before.push_back((state.window, state.count));
        }
        while let Some((window, _)) = state.before.front()
            && *window < next.saturating_sub(self.windows)
        {
            state.before.pop_front();
        }
        state.window = next;
        state.count = 0;
        state.hits.clear();
        if self.is_spike {
            state.holding = false;
        }
    }
}

impl Machine for Baseline {
    type State = State;

    fn push(&self, state: &mut State, hit: Hit, out: &mut Out) {
        let window = hit.time.div_euclid(self.within.max(1));
        if state.last.is_none() {
            state.first = window;
            state.window = window;
        } else if window > state.window {
            // A flatline's windows were closed one by one before; a spike's are closed here.
            self.close(state, window, out);
        }
        state.count += 1;
        if state.hits.len() < MOST_SHOWN {
            state.hits.push(hit.kept.clone());
        }
        if self.is_spike
            && state.count >= self.minimum
            && let Some(normal) = self.normal(state)
        {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            let count = state.count as f64;
            if count > normal * self.factor {
                let said = if state.holding {
                    Said::of(hit.time, [&hit.kept]).going_on()
                } else {
                    Said::of(hit.time, &state.hits)
                };
                let said = said.value(count).with("normal", number(normal));
                out.said.push(said);
                state.holding = true;
            }
        }
        state.last = Some(hit.kept);
    }

    fn due(&self, state: &State) -> i64 {
        if self.is_spike {
            self.end(state.window.saturating_add(self.windows))
        } else {
            self.end(state.window)
        }
    }

    fn advance(&self, state: &mut State, now: i64, out: &mut Out) -> bool {
        if self.is_spike {
            return self.due(state) >= now;
        }
        while self.due(state) < now {
            let next = state.window.saturating_add(1);
            self.close(state, next, out);
            if state.before.is_empty() {
                return false;
            }
        }
        true
    }

    fn heap(&self, state: &State) -> usize {
        let kept = state.hits.iter().map(Kept::heap);
        state.hits.capacity() * size_of::<Kept>()
            + kept.sum::<usize>()
            + state.before.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{Run, hit};

    fn baseline(is_spike: bool) -> Baseline {
        Baseline {
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
    fn a_flatline_is_told_when_its_window_closes_even_without_a_hit() {
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
        assert_eq!(run.said[0].value, Some(0.0));
    }
}
