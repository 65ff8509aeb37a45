//! One key's part of a step: its wake-ups and rows as they follow each other in event time.

use datafusion::common::DataFusionError;
use yagura_core::{Finding, TimeSpan, Timestamp};
use yagura_plan::RulePlan;

use super::instance::KeyedInstance;
use super::key::{KeyRecord, SWEEP_INTERVAL, boundary};
use super::skips::QuarantineSkips;
use crate::calls::{CallFailure, CallResult, halves, once, separate, skipped, twice, with_columns};
use crate::quarantine::Quarantine;
use crate::report::{RunCounters, SkipCause, SkippedEvents};
use crate::rows::{RowSummary, Rows};

/// Wake-ups of a key between two of its events after which it is no longer woken: else a plugin that asks for each
/// microsecond would keep the run from ever ending.
const MAX_WAKES_BETWEEN_EVENTS: u32 = 100_000;

/// One key's part of a step.
pub(super) struct KeyStep<'a> {
    pub(super) rule: &'a RulePlan,
    pub(super) key: &'a mut KeyRecord,
    /// How long after its last event a key's state ends.
    pub(super) state_for: i64,
    pub(super) instance: &'a mut KeyedInstance,
    pub(super) quarantine: &'a Quarantine,
    pub(super) skips: &'a mut QuarantineSkips,
    /// The last row that was evaluated in this step, by itself.
    pub(super) last: Option<Rows>,
    pub(super) progress: &'a RunCounters,
    pub(super) batch_rows: usize,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl KeyStep<'_> {
    /// Evaluates the key's rows, which are in order and before the watermark, and calls its wake-ups before it.
    pub(super) fn run(mut self, rows: Option<Rows>, watermark: i64) -> Result<(), DataFusionError> {
        let mut parts: Vec<Rows> = rows.into_iter().collect();
        while let Some(part) = parts.pop() {
            let Err((part, failure)) = self.attempt(part, &mut parts, true) else {
                continue;
            };
            let most = self.quarantine.longest_wait(part.len());
            let separated = separate(part, failure, most, |part, parts| {
                self.attempt(part, parts, false)
            })?;
            if let Some((_, reason)) = separated.rows.last().filter(|_| separated.is_fault) {
                self.quarantine.add_fault(self.rule.index, reason);
            }
            for (part, reason) in &separated.rows {
                skipped(self.progress, self.rule, part, SkipCause::Plugin, reason);
            }
        }
        match self.wake_before(watermark) {
            Ok(()) => {}
            Err(CallFailure::Engine(error)) => return Err(error),
            Err(CallFailure::Events(reason) | CallFailure::Plugin(reason)) => {
                return Err(DataFusionError::Execution(reason));
            }
        }
        if self.key.state.wakes.is_empty() {
            // Only a row, which will be the last one then, can ask for a wake-up.
            self.key.last = None;
            self.key.woken = 0;
        } else if let Some(row) = self.last.take() {
            self.key.last = row.summary(self.rule, 0)?;
        }
        Ok(())
    }

    /// Calls the wake-ups that come before the first of these rows, and evaluates rows up to the next wake-up. Those behind
    /// are put back.
    ///
    /// Rows are handed over together although one of them may ask for a wake-up that comes before another. Where one did,
    /// the call is undone and the halves are put back.
    fn attempt(
        &mut self,
        mut part: Rows,
        parts: &mut Vec<Rows>,
        is_first: bool,
    ) -> Result<(), (Rows, CallFailure)> {
        let Some(first) = part.events.first().map(|event| event.time) else {
            return Ok(());
        };
        if let Err(failure) = self.wake_before(first.micros().saturating_add(1)) {
            return Err((part, failure));
        }
        if self.is_quarantined() {
            self.skips.rows += part.len() as u64;
            part.events.iter().for_each(|event| self.skips.add(event));
            return Ok(());
        }
        let fitting = self.fitting(&part, first);
        if fitting < part.len() {
            let now = part.split_to(fitting);
            parts.push(std::mem::replace(&mut part, now));
        }
        self.key.state.expire(boundary(first));
        let before = self.key.state.clone();
        let answer = if is_first {
            twice(self.rule, self.quarantine, || self.call(&part))
        } else {
            once(self.call(&part))
        };
        let found = match answer {
            Ok(found) => found,
            Err(failure) => return Err((part, failure)),
        };
        let last = part.len() - 1;
        let wake = self.key.state.wakes.first();
        if last > 0 && wake.is_some_and(|wake| *wake <= part.events[last].time) {
            self.key.state = before;
            parts.extend(halves(&part));
            return Ok(());
        }
        self.quarantine.add_success(self.rule.index);
        self.findings.extend(found);
        self.key.seen = part.events[last].time.micros();
        self.last = Some(part.slice(last..part.len()));
        self.key.woken = 0;
        Ok(())
    }

    /// Returns how many of the rows may be handed over together, as far as is known before.
    fn fitting(&self, part: &Rows, first: Timestamp) -> usize {
        let swept = boundary(first).saturating_add(SWEEP_INTERVAL);
        let wake = self.key.state.wakes.first();
        let end = wake.map_or(swept, |wake| swept.min(*wake));
        let before = part.events.partition_point(|event| event.time < end);
        // The state ends in a gap that is long enough.
        let mut pairs = part.events[..before].windows(2);
        let gap = pairs.position(|pair| pair[1].time >= self.ends_after(pair[0].time));
        let before = gap.map_or(before, |last| last + 1);
        // At the end of all time there is no boundary behind the row.
        before.clamp(1, self.batch_rows)
    }

    fn ends_after(&self, seen: Timestamp) -> Timestamp {
        seen.saturating_add(self.state_for)
    }

    /// Ends the key's state, and reports the wake-ups that it still waited for.
    fn end(&mut self) -> Result<(), CallFailure> {
        let left = self.key.state.wakes.len();
        if left > 0 {
            if let Some(row) = self.last.take() {
                self.key.last = row.summary(self.rule, 0)?;
            }
            let reason = format!(
                "the state of a key ends {} after its last event, and the wake-up was for later: raise `state_for` of the rule",
                TimeSpan::clamped(self.state_for)
            );
            self.report_wakes(left, reason);
        }
        *self.key = KeyRecord::default();
        Ok(())
    }

    fn call(&mut self, rows: &Rows) -> CallResult<Vec<Finding>> {
        let (rule, state) = (self.rule, &mut self.key.state);
        let answer = with_columns(rule, rows, |batch| {
            self.instance
                .call(rule, batch.rows, self.progress, |detector| {
                    detector.on_keyed_batch(0, batch, state)
                })
        })?;
        match answer {
            Ok(raw) => Ok(Ok(rows.findings(rule, raw)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Calls the wake-ups before a time, in microseconds, and ends the state if it ends before it.
    fn wake_before(&mut self, end: i64) -> Result<(), CallFailure> {
        let ends = self.ends_after(Timestamp::clamped(self.key.seen));
        while let Some(time) = self.key.state.wakes.first().copied()
            && time.micros() < end
            && time < ends
        {
            if let Some(row) = self.last.take() {
                self.key.last = row.summary(self.rule, 0)?;
            }
            if self.is_quarantined() {
                self.key.state.wakes.remove(&time);
                self.skips.wakes += 1;
                if let Some(last) = &self.key.last {
                    self.skips.add(&last.event());
                }
                continue;
            }
            if self.key.woken >= MAX_WAKES_BETWEEN_EVENTS {
                let left = std::mem::take(&mut self.key.state.wakes).len();
                let reason = format!(
                    "the key was woken {MAX_WAKES_BETWEEN_EVENTS} times without an event between, and is not woken again before its next one"
                );
                self.report_wakes(left, reason);
                break;
            }
            self.key.woken += 1;
            let (rule, progress) = (self.rule, self.progress);
            let answer = twice(rule, self.quarantine, || {
                let state = &mut self.key.state;
                Ok(self.instance.call(rule, 0, progress, |detector| {
                    detector.on_wake(0, time, state)
                }))
            });
            match answer {
                Ok(raw) => {
                    self.quarantine.add_success(rule.index);
                    let Some(last) = &self.key.last else { continue };
                    let mut found = last.findings(rule, raw);
                    for finding in &mut found {
                        // One that was asked for in hindsight is of the event that asked.
                        finding.time = time.max(Timestamp::clamped(last.time));
                    }
                    self.findings.extend(found);
                }
                Err(CallFailure::Engine(error)) => return Err(CallFailure::Engine(error)),
                Err(failure) => {
                    self.key.state.wakes.remove(&time);
                    if let CallFailure::Plugin(reason) = &failure {
                        self.quarantine.add_fault(rule.index, reason);
                    }
                    if let CallFailure::Events(reason) | CallFailure::Plugin(reason) = failure {
                        self.report_wakes(1, reason);
                    }
                }
            }
        }
        if ends.micros() < end && !self.key.state.is_empty() {
            self.end()?;
        }
        Ok(())
    }

    fn is_quarantined(&self) -> bool {
        self.quarantine.is_quarantined(self.rule.index)
    }

    fn report_wakes(&self, wakes: usize, reason: String) {
        let Some(event) = self.key.last.as_ref().map(RowSummary::event) else {
            return;
        };
        self.progress.skipped(SkippedEvents {
            rule: self.rule.index,
            rule_id: self.rule.rule.id.clone(),
            cause: SkipCause::Plugin,
            reason,
            rows: 0,
            wakes: wakes as u64,
            first: event.clone(),
            last: event,
        });
    }
}
