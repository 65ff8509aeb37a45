//! `count`, `distinct`, `sum`, `avg`, `percentile` and `session`: a number measured over a window.

use std::collections::VecDeque;

use cardinality_estimator::CardinalityEstimator;
use serde::{Deserialize, Serialize};
use yagura_core::TimeSpan;
use yagura_core::correlation::{Condition, MeasuredField, Window, Windows};

use super::Operator;
use super::recent_values::joined;
use crate::hit::{Hit, KeptHit};
use crate::limits::{MOST_KEPT, MOST_SHOWN};
use crate::output::{OperatorFinding, OperatorOutput, number};

/// The length of a window without a longest one: longer than all years, and short enough to be added to a time.
const UNBOUNDED: i64 = i64::MAX / 4;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aggregate {
    Count,
    Distinct,
    /// Distinct values, estimated.
    Estimated,
    Sum,
    Avg,
    /// From 0 to 1.
    Percentile(f64),
}

/// A number over a window, and what it must be.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) what: Aggregate,
    pub(crate) window: Window,
    pub(crate) within: i64,
    pub(crate) gap: i64,
    pub(crate) condition: Condition,
    /// Evaluated when the window closes, not with each hit.
    pub(crate) at_close: bool,
}

/// The window of a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct MeasureState {
    /// Where the window starts, unless it slides.
    start: i64,
    /// The last hit's time.
    last: i64,
    /// All hits, for a count whose hits are not all kept.
    count: u64,
    hits: VecDeque<KeptHit>,
    /// Beside each hit its value.
    values: MeasuredValues,
    /// Whether the condition held at the last hit.
    holding: bool,
}

/// The measured field's values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
enum MeasuredValues {
    #[default]
    None,
    Texts(VecDeque<Box<str>>),
    Numbers(VecDeque<f64>),
    About(Box<CardinalityEstimator<str>>),
}

impl Measure {
    /// Measures over windows that lie like this.
    pub(super) fn over(what: Aggregate, windows: Windows, condition: Condition) -> Self {
        let window = windows.kind();
        let within = windows.length().map_or(UNBOUNDED, TimeSpan::micros);
        // A count only grows while a window lasts; a mean that is high now may be low when it ends.
        let may_fall =
            matches!(what, Aggregate::Avg | Aggregate::Percentile(_)) && window != Window::Sliding;
        Self {
            what,
            window,
            within,
            gap: windows.gap().map_or(within, TimeSpan::micros),
            at_close: may_fall || !condition.is_lower_bound(),
            condition,
        }
    }

    /// Measures a field.
    pub(super) fn of_field(what: Aggregate, measured: &MeasuredField) -> Self {
        Self::over(what, measured.windows, measured.condition)
    }

    fn slides(&self) -> bool {
        self.window == Window::Sliding && !self.at_close
    }

    /// Returns the last instant of the window that is open.
    fn end(&self, state: &MeasureState) -> i64 {
        match self.window {
            Window::Sliding if self.slides() => state.last.saturating_add(self.within),
            Window::Sliding => state.start.saturating_add(self.within),
            // A tumbling window does not hold the instant at which the next begins.
            Window::Tumbling => state.start.saturating_add(self.within - 1),
            Window::Session => state
                .last
                .saturating_add(self.gap)
                .min(state.start.saturating_add(self.within)),
        }
    }

    /// The greatest number that decides a sliding count: with as many hits, older ones decide nothing.
    fn enough(&self) -> Option<usize> {
        let gte = self.condition.gte.map(f64::ceil);
        let gt = self.condition.gt.map(|gt| gt.floor() + 1.0);
        let bound = gte.into_iter().chain(gt).fold(1.0, f64::max);
        let is_counted = matches!(self.what, Aggregate::Count | Aggregate::Distinct);
        // Above 10,000 the cap applies.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 10,000"
        )]
        (is_counted && self.slides() && bound <= 10_000.0).then_some(bound as usize)
    }

    fn take(&self, state: &mut MeasureState, hit: Hit, out: &mut OperatorOutput) {
        let value = match self.what {
            Aggregate::Count => None,
            Aggregate::Distinct | Aggregate::Estimated => match joined(&hit.values) {
                Some(value) => Some(value),
                None => {
                    out.without_value += 1;
                    return;
                }
            },
            Aggregate::Sum | Aggregate::Avg | Aggregate::Percentile(_) => {
                let text = hit.values.first().and_then(Option::as_deref);
                let number = text.and_then(|text| text.trim().parse::<f64>().ok());
                let Some(number) = number.filter(|number| number.is_finite()) else {
                    out.without_value += 1;
                    return;
                };
                if let MeasuredValues::None = state.values {
                    state.values = MeasuredValues::Numbers(VecDeque::new());
                }
                if let MeasuredValues::Numbers(numbers) = &mut state.values {
                    numbers.push_back(number);
                }
                None
            }
        };
        state.count += 1;
        match (self.what, value) {
            (Aggregate::Estimated, Some(value)) => {
                if let MeasuredValues::None = state.values {
                    state.values = MeasuredValues::About(Box::default());
                }
                if let MeasuredValues::About(about) = &mut state.values {
                    about.insert(&*value);
                }
                if state.hits.len() < MOST_SHOWN {
                    state.hits.push_back(hit.kept);
                }
                return;
            }
            (Aggregate::Distinct, Some(value)) => {
                if let MeasuredValues::None = state.values {
                    state.values = MeasuredValues::Texts(VecDeque::new());
                }
                let MeasuredValues::Texts(texts) = &mut state.values else {
                    return;
                };
                // Of equal values the latest counts longest.
                if let Some(at) = texts.iter().position(|known| *known == value) {
                    if !self.slides() {
                        return;
                    }
                    texts.remove(at);
                    state.hits.remove(at);
                }
                texts.push_back(value);
            }
            (Aggregate::Count, _) if !self.slides() && state.hits.len() >= MOST_SHOWN => {
                return;
            }
            _ => {}
        }
        if state.hits.len() == state.hits.capacity() {
            // A million keys have a few hits each: doubling would waste as much again.
            let more = (state.hits.len() / 2).max(1);
            state.hits.reserve_exact(more);
        }
        state.hits.push_back(hit.kept);
        let most = self.enough().unwrap_or(MOST_KEPT);
        while state.hits.len() > most {
            state.hits.pop_front();
            state.values.pop_front();
            out.capped += u64::from(self.enough().is_none());
        }
    }

    fn measured(&self, state: &MeasureState) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let of = |count: usize| count as f64;
        match (&self.what, &state.values) {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            (Aggregate::Count, _) if !self.slides() => state.count as f64,
            (Aggregate::Estimated, MeasuredValues::About(about)) => of(about.estimate()),
            (Aggregate::Sum, MeasuredValues::Numbers(numbers)) => numbers.iter().sum(),
            (Aggregate::Avg, MeasuredValues::Numbers(numbers)) => {
                numbers.iter().sum::<f64>() / of(numbers.len().max(1))
            }
            (Aggregate::Percentile(at), MeasuredValues::Numbers(numbers)) => {
                percentile(numbers, *at)
            }
            _ => of(state.hits.len()),
        }
    }

    /// Evaluates with each hit: a finding about all hits when the condition begins to hold, and about the new one while it does.
    fn evaluate(
        &self,
        state: &mut MeasureState,
        time: i64,
        newest: &KeptHit,
        out: &mut OperatorOutput,
    ) {
        let value = self.measured(state);
        let holds = (state.count > 0) && self.condition.holds(value);
        if holds && state.holding {
            out.findings
                .push(OperatorFinding::of(time, [newest]).value(value).going_on());
        } else if holds {
            out.findings
                .push(OperatorFinding::of(time, &state.hits).value(value));
        }
        state.holding = holds;
    }

    /// Evaluates a window that has ended at `time`.
    fn close(&self, state: &mut MeasureState, time: i64, out: &mut OperatorOutput) {
        if self.at_close && state.count > 0 {
            let value = self.measured(state);
            if self.condition.holds(value) {
                let finding = OperatorFinding::of(time, &state.hits).value(value);
                out.findings.push(if self.window == Window::Session {
                    let length = (state.last - state.start) as f64 / 1e6;
                    finding.with("duration_seconds", number(length))
                } else {
                    finding
                });
            }
        }
        *state = MeasureState::default();
    }
}

impl Operator for Measure {
    type State = MeasureState;

    fn push(&self, state: &mut MeasureState, hit: Hit, out: &mut OperatorOutput) {
        let time = hit.time;
        if self.slides() {
            while let Some(first) = state.hits.front()
                && first.time <= time.saturating_sub(self.within)
            {
                state.hits.pop_front();
                state.values.pop_front();
            }
            if state.hits.is_empty() {
                state.holding = false;
            }
        }
        if state.count == 0 || (self.slides() && state.hits.is_empty()) {
            state.count = 0;
            state.start = match self.window {
                Window::Tumbling => time.div_euclid(self.within.max(1)) * self.within,
                Window::Sliding | Window::Session => time,
            };
        }
        state.last = time;
        let newest = hit.kept.clone();
        let before = state.count;
        self.take(state, hit, out);
        if !self.at_close && state.count > before {
            self.evaluate(state, time, &newest, out);
        }
    }

    fn due(&self, state: &MeasureState) -> i64 {
        self.end(state)
    }

    fn advance(&self, state: &mut MeasureState, now: i64, out: &mut OperatorOutput) -> bool {
        let end = self.end(state);
        if end >= now {
            return true;
        }
        self.close(state, end, out);
        false
    }

    fn heap(&self, state: &MeasureState) -> usize {
        let hits = state.hits.capacity() * size_of::<KeptHit>();
        let more = state.hits.iter().take(MOST_SHOWN).map(KeptHit::heap);
        hits + more.sum::<usize>()
            + match &state.values {
                MeasuredValues::None => 0,
                MeasuredValues::Texts(texts) => {
                    let some = texts.iter().take(MOST_SHOWN).map(|text| text.len());
                    texts.capacity() * 16 + some.sum::<usize>()
                }
                MeasuredValues::Numbers(numbers) => numbers.capacity() * 8,
                MeasuredValues::About(about) => about.size_of(),
            }
    }
}

impl MeasuredValues {
    fn pop_front(&mut self) {
        match self {
            Self::None | Self::About(_) => {}
            Self::Texts(texts) => {
                texts.pop_front();
            }
            Self::Numbers(numbers) => {
                numbers.pop_front();
            }
        }
    }
}

/// Interpolates between the two nearest ranks, as spreadsheets and `percentile_cont` do.
fn percentile(numbers: &VecDeque<f64>, at: f64) -> f64 {
    let mut sorted: Vec<f64> = numbers.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    #[expect(clippy::cast_precision_loss, reason = "at most 10,000 values")]
    let rank = at * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let below = (rank.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * rank.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Run, hit, valued};

    fn measure(what: Aggregate, window: Window, condition: Condition) -> Measure {
        Measure {
            what,
            window,
            within: 10,
            gap: 3,
            at_close: !condition.is_lower_bound(),
            condition,
        }
    }

    fn at_least(n: f64) -> Condition {
        Condition {
            gte: Some(n),
            ..Condition::default()
        }
    }

    #[test]
    fn a_sliding_count_tells_all_hits_once_and_then_each_new_one() {
        let mut run = Run::new(measure(Aggregate::Count, Window::Sliding, at_least(3.0)));
        for time in [0, 5, 10, 11, 12, 13, 40, 41] {
            run.push(hit(time));
        }
        // 0 has left when 10 comes, for the window does not hold its first instant.
        assert_eq!(run.seen(), [(11, 3), (12, 1), (13, 1)]);
        assert_eq!(run.going_on(), [false, true, true]);
    }

    #[test]
    fn a_tumbling_count_starts_again_at_each_boundary() {
        let mut run = Run::new(measure(Aggregate::Count, Window::Tumbling, at_least(2.0)));
        for time in [8, 9, 10, 19, 20] {
            run.push(hit(time));
        }
        assert_eq!(run.seen(), [(9, 2), (19, 2)]);
    }

    #[test]
    fn a_session_ends_with_a_silence_or_its_greatest_length() {
        let mut session = measure(Aggregate::Count, Window::Session, at_least(2.0));
        session.at_close = true;
        let mut run = Run::new(session);
        for time in [0, 3, 6, 9, 12, 20] {
            run.push(hit(time));
        }
        run.advance(100);
        // 0 to 9 lasts as long as it may; 12 begins the next, which ends alone, as does 20.
        assert_eq!(run.seen(), [(10, 4)]);
    }

    #[test]
    fn few_are_evaluated_when_the_window_closes() {
        let few = Condition {
            lte: Some(1.0),
            ..Condition::default()
        };
        let mut run = Run::new(measure(Aggregate::Count, Window::Sliding, few));
        for time in [0, 5, 20] {
            run.push(hit(time));
        }
        run.advance(30);
        assert_eq!(
            run.seen(),
            [],
            "the window of 20 still holds the instant 30"
        );
        run.advance(31);
        assert_eq!(run.seen(), [(30, 1)]);
    }

    #[test]
    fn distinct_values_count_once_each_and_leave_with_their_last_hit() {
        let mut run = Run::new(measure(Aggregate::Distinct, Window::Sliding, at_least(2.0)));
        for (time, value) in [(0, "a"), (1, "a"), (9, "b"), (12, "b"), (13, "a")] {
            run.push(valued(time, value));
        }
        assert_eq!(run.seen(), [(9, 2), (13, 2)]);
        let mut about = Run::new(measure(
            Aggregate::Estimated,
            Window::Tumbling,
            at_least(50.0),
        ));
        for value in 0..60 {
            about.push(valued(5, &value.to_string()));
        }
        assert_eq!(about.seen().len(), 11);
    }

    #[test]
    fn numbers_are_summed_and_ranked_and_texts_are_passed_over() {
        let numbers = [(0, "4"), (1, "none"), (2, "1"), (3, "2.5")];
        let of = |what| {
            let mut run = Run::new(measure(what, Window::Sliding, at_least(0.0)));
            for (time, value) in numbers {
                run.push(valued(time, value));
            }
            assert_eq!(run.without_value(), 1);
            run.findings.last().unwrap().value
        };
        assert_eq!(of(Aggregate::Sum), Some(7.5));
        assert_eq!(of(Aggregate::Avg), Some(2.5));
        assert_eq!(of(Aggregate::Percentile(0.5)), Some(2.5));
        assert_eq!(of(Aggregate::Percentile(0.75)), Some(3.25));
    }
}
