//! One rule that keeps state, at work: its rows by key, in the order of their times.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use yagura_core::{Finding, Timestamp};
use yagura_correlate::store::DetectorKeys;
use yagura_plan::RulePlan;

use super::bytes::StoredError;
use super::instance::KeyedInstance;
use super::key::boundary;
use super::key_step::KeyStep;
use super::keys::{ForgottenKeys, KeyLimits, RuleKeys};
use super::skips::QuarantineSkips;
use crate::pending_rows::PendingRows;
use crate::quarantine::Quarantine;
use crate::report::RunCounters;
use crate::rows::Rows;

/// One rule that keeps state.
#[derive(Debug)]
pub(super) struct KeyedRule {
    /// Its place in the plan.
    pub(super) position: usize,
    pub(super) instance: KeyedInstance,
    pub(super) pending: PendingRows,
    pub(super) keys: RuleKeys,
    pub(super) limits: KeyLimits,
    /// How long after its last event a key's state ends, in microseconds.
    pub(super) state_for: i64,
    /// What expired by then is gone.
    pub(super) swept: Timestamp,
}

/// What rules that keep state have in common while they evaluate.
pub(super) struct StepContext<'a> {
    pub(super) rule: &'a RulePlan,
    pub(super) batch_rows: usize,
    pub(super) quarantine: &'a Quarantine,
    pub(super) progress: &'a RunCounters,
    /// Everything before it has been evaluated.
    pub(super) watermark: i64,
    pub(super) disk: Option<&'a DetectorKeys>,
}

/// What comes of it.
pub(super) struct KeyedStepOutput<'a> {
    pub(super) findings: &'a mut Vec<Finding>,
    pub(super) skips: QuarantineSkips,
    pub(super) forgotten: Option<ForgottenKeys>,
}

impl KeyedRule {
    /// Evaluates the rows before a time, in microseconds, and calls the wake-ups before it.
    pub(super) fn advance(
        &mut self,
        work: &StepContext<'_>,
        end: i64,
        out: &mut KeyedStepOutput<'_>,
    ) -> Result<(), DataFusionError> {
        match self.pending.take_before(end)? {
            None => self.evaluate(work, None, KeyRanges::new(), end, out)?,
            Some(rows) => {
                let keys = rows.by_key(work.rule)?;
                let touched = keys.len() + self.keys.count_due(end);
                if self.keys.have_room(self.limits, keys.len(), touched) {
                    let (sorted, ranges) = sorted_by_key(&rows, keys)?;
                    self.evaluate(work, Some(sorted), ranges, end, out)?;
                } else {
                    self.advance_in_parts(work, &rows, keys, end, out)?;
                }
            }
        }
        // What is left of a key is looked at once it has an event; here memory is freed.
        let hour = boundary(Timestamp::clamped(end));
        if hour > self.swept {
            self.swept = hour;
            self.keys.sweep(hour);
        }
        Ok(())
    }

    /// Evaluates rows that may bring more keys than there may be: in parts that cannot, and the events of one time alone where
    /// they can. After these, keys are forgotten.
    fn advance_in_parts(
        &mut self,
        work: &StepContext<'_>,
        rows: &Rows,
        keys: ByKey,
        end: i64,
        out: &mut KeyedStepOutput<'_>,
    ) -> Result<(), DataFusionError> {
        let names: Vec<String> = keys.keys().cloned().collect();
        let mut order: Vec<(u32, usize)> = keys
            .into_values()
            .enumerate()
            .flat_map(|(key, rows)| rows.into_iter().map(move |row| (row, key)))
            .collect();
        order.sort_by_key(|(row, _)| &rows.events[*row as usize]);
        let time = |(row, _): &(u32, usize)| rows.events[*row as usize].time.micros();
        let mut rest = order.as_slice();
        while let Some(first) = rest.first().map(time) {
            let fitting = self.fitting(work, rest, &names, &time, end);
            let count = match fitting {
                0 => rest.partition_point(|row| time(row) == first),
                count => count,
            };
            let (now, later) = rest.split_at(count);
            let until = match later.first() {
                _ if fitting == 0 => first.saturating_add(1),
                Some(next) => time(next),
                None => end,
            };
            let mut keys = ByKey::new();
            for (row, key) in now {
                let of_key = keys.entry(names[*key].clone()).or_default();
                of_key.push(*row);
            }
            let (sorted, ranges) = sorted_by_key(rows, keys)?;
            self.evaluate(work, Some(sorted), ranges, until, out)?;
            if fitting == 0 {
                self.keys.sweep(Timestamp::clamped(first));
                if let Some(forgotten) = self.keys.forget(self.limits) {
                    out.forgotten.get_or_insert_default().add(forgotten);
                }
            }
            rest = later;
        }
        self.evaluate(work, None, KeyRanges::new(), end, out)
    }

    /// Returns how many of the first rows cannot bring more keys than there may be, up to the first of another time.
    fn fitting(
        &self,
        work: &StepContext<'_>,
        rows: &[(u32, usize)],
        names: &[String],
        time: &dyn Fn(&(u32, usize)) -> i64,
        end: i64,
    ) -> usize {
        let due = self.keys.count_due(end);
        let (mut touched, mut new, mut fitting) = (HashSet::new(), 0, 0);
        for (at, row) in rows.iter().enumerate() {
            if at > 0 && time(row) != time(&rows[at - 1]) {
                fitting = at;
            }
            if touched.insert(row.1) {
                new += usize::from(!self.keys.has(&names[row.1], work.disk));
                if !self.keys.have_room(self.limits, new, touched.len() + due) {
                    return fitting;
                }
            }
        }
        rows.len()
    }

    /// Evaluates rows, of which `ranges` says where each key's are, and calls the wake-ups before a time, in microseconds.
    fn evaluate(
        &mut self,
        work: &StepContext<'_>,
        rows: Option<Rows>,
        mut ranges: KeyRanges,
        end: i64,
        out: &mut KeyedStepOutput<'_>,
    ) -> Result<(), DataFusionError> {
        let rule = work.rule;
        if let Some(disk) = work.disk {
            let times = (work.watermark, self.state_for);
            self.keys
                .warm(&rule.rule.id, ranges.keys(), end, times, disk)
                .map_err(stored_error)?;
        }
        for key in self.keys.due_before(end) {
            ranges.entry(key.to_string()).or_default();
        }
        for (name, range) in ranges {
            let known = self.keys.get(&name);
            let known = known.map_err(stored_error)?;
            let mut key = known.unwrap_or_default();
            let step = KeyStep {
                rule,
                key: &mut key,
                state_for: self.state_for,
                instance: &mut self.instance,
                quarantine: work.quarantine,
                skips: &mut out.skips,
                last: None,
                progress: work.progress,
                batch_rows: work.batch_rows,
                findings: &mut *out.findings,
            };
            let (started, events) = (Instant::now(), range.len());
            let rows = rows.as_ref().filter(|_| !range.is_empty());
            step.run(rows.map(|rows| rows.slice(range)), end)?;
            work.quarantine
                .add_time_with_state(rule.index, events, started.elapsed());
            self.keys
                .set(&name, &key, self.state_for)
                .map_err(stored_error)?;
        }
        Ok(())
    }
}

/// The rows of each key.
type ByKey = BTreeMap<String, Vec<u32>>;

/// A key's rows among those that are sorted.
type KeyRanges = BTreeMap<String, std::ops::Range<usize>>;

/// Sorts rows by key, time, object and row, and says where each key's are.
fn sorted_by_key(rows: &Rows, keys: ByKey) -> Result<(Rows, KeyRanges), ArrowError> {
    let mut order: Vec<u32> = Vec::with_capacity(rows.len());
    let mut ranges = KeyRanges::new();
    for (key, mut own) in keys {
        own.sort_by_key(|row| &rows.events[*row as usize]);
        let first = order.len();
        order.extend(own);
        ranges.insert(key, first..order.len());
    }
    let sorted = rows.take(&UInt32Array::from(order))?;
    Ok((sorted, ranges))
}

fn stored_error(error: StoredError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
