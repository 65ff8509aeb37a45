//! One partition's rules at work: select rows, hand them to plugins, make findings.
//!
//! Rows of rules that keep state are only selected here: a partition does not see them in order.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use yagura_core::{Finding, TimeRange};
use yagura_host::{BatchRef, CallError, Pace, RawFinding};
use yagura_lake::guard::catch;
use yagura_lake::nested_sizes;
use yagura_lake::table::OnProblem;
use yagura_plan::{RulePlan, TablePlan};
use yagura_rules::{Matches, PrefilterState, Program, Undecided};

use crate::calls::{
    CallFailure, CallResult, QUARANTINED, in_instance, once, separate, skipped, skipped_events,
    twice, with_columns,
};
use crate::error::EngineError;
use crate::limits::BATCH_BYTES;
use crate::report::{NO_ROOM, RunCounters, SkipCause};
use crate::rows::{Rows, events_of};
use crate::running_steps::RUNNING_STEPS;
use crate::runtime::DetectRuntime;

/// Rows that are left together for a rule that keeps state, whatever the size of batches.
const KEYED_BATCH_ROWS: usize = 8_192;

/// The maximum of bytes that the nested columns of rows may take which are evaluated together, unless one row has more.
const NESTED_BYTES: u64 = 64 << 20;

/// Returns the parts of a batch that are evaluated one after the other.
fn parts(batch: &RecordBatch) -> Vec<Range<usize>> {
    let mut sizes: Vec<u64> = Vec::new();
    for of_column in batch.columns().iter().filter_map(|of| nested_sizes(of)) {
        sizes.resize(of_column.len(), 0);
        for (size, more) in sizes.iter_mut().zip(of_column) {
            *size = size.saturating_add(more);
        }
    }
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0_u64);
    for (row, size) in sizes.into_iter().enumerate() {
        bytes = bytes.saturating_add(size);
        if bytes > NESTED_BYTES && row > start {
            parts.push(start..row);
            (start, bytes) = (row, size);
        }
    }
    parts.push(start..batch.num_rows());
    parts
}

/// The rules of a table, their rows that wait for a full batch, and their plugins' instances.
pub(crate) struct Evaluator {
    plan: Arc<TablePlan>,
    runtime: Arc<DetectRuntime>,
    range: TimeRange,
    batch_rows: usize,
    prefilter: PrefilterState,
    /// Rows of each rule with a plugin that do not fill a batch yet.
    pending: Vec<Vec<Rows>>,
    /// How the time of a call is bounded.
    pace: Pace,
    progress: Arc<RunCounters>,
}

impl Evaluator {
    pub(crate) fn new(
        plan: Arc<TablePlan>,
        runtime: Arc<DetectRuntime>,
        range: TimeRange,
        batch_rows: usize,
    ) -> Self {
        Self {
            prefilter: PrefilterState::new(&plan.program),
            pending: vec![Vec::new(); plan.rules.len()],
            plan,
            progress: Arc::clone(&runtime.progress),
            runtime,
            range,
            batch_rows: batch_rows.max(1),
            pace: Pace::Limit,
        }
    }

    /// Evaluates in the background from now on: calls are measured in processor time, and reports go to
    /// `progress`.
    pub(crate) fn run_in_background(&mut self, progress: Arc<RunCounters>) {
        self.pace = Pace::OfProcessor(&RUNNING_STEPS);
        self.progress = progress;
    }

    /// Evaluates rows that a step left for later.
    pub(crate) fn evaluate_in_background(
        &mut self,
        position: usize,
        mut rows: Rows,
    ) -> Result<Vec<Finding>, DataFusionError> {
        let mut findings = Vec::new();
        while rows.len() > 0 {
            let batch = rows.split_to(rows.at_once(self.batch_rows));
            findings.extend(self.evaluate(position, batch)?);
        }
        RunCounters::add(&self.progress.findings, findings.len());
        Ok(findings)
    }

    /// Evaluates a batch of the scan: in parts where its nested columns would take much when they are written out.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<Vec<Finding>, DataFusionError> {
        let mut findings = Vec::new();
        for part in parts(batch) {
            findings.append(&mut self.push_part(&batch.slice(part.start, part.len()))?);
        }
        Ok(findings)
    }

    fn push_part(&mut self, batch: &RecordBatch) -> Result<Vec<Finding>, DataFusionError> {
        let plan = Arc::clone(&self.plan);
        let progress = Arc::clone(&self.progress);
        RunCounters::add(&progress.scanned, batch.num_rows());
        let width = plan.scan_schema.fields().len();
        let times = plan.table.event_times(batch.column(plan.time))?;
        let objects = batch.column(width).as_any_dictionary();
        let names: Vec<Arc<str>> = cast(objects.values(), &DataType::Utf8)?
            .as_string::<i32>()
            .iter()
            .map(|name| name.unwrap_or_default().into())
            .collect();
        let object_of = objects.normalized_keys();
        let row_numbers = batch.column(width + 1).as_primitive::<Int64Type>().values();

        let unusable = times.iter().filter(|time| time.is_none()).count();
        if unusable > 0 {
            if plan.table.on_null_time == OnProblem::Fail {
                let at = times.iter().position(Option::is_none).unwrap_or_default();
                return Err(DataFusionError::External(Box::new(EngineError::NullTime {
                    table: plan.table.name.clone(),
                    file: names[object_of[at]].to_string(),
                    row: u64::try_from(row_numbers[at]).unwrap_or_default(),
                    column: plan.table.time.clone(),
                })));
            }
            RunCounters::add(&progress.null_times, unusable);
        }
        let in_range: BooleanBuffer = times
            .iter()
            .map(|time| time.is_some_and(|time| self.range.contains(time)))
            .collect();

        let mut findings = Vec::new();
        let matches = self.matches(batch);
        for (position, matched) in matches.rules {
            let rule = &plan.rules[position];
            let mask = BooleanArray::new(&matched & &in_range, None);
            if mask.true_count() == 0 {
                continue;
            }
            let events = events_of(&mask, &times, &names, &object_of, row_numbers);
            let selected = Rows::select(rule, batch, &mask, events).and_then(|rows| {
                let found = match rule.plugin {
                    None => rows.findings_each(rule)?,
                    Some(_) => Vec::new(),
                };
                Ok((rows, found))
            });
            let (mut rows, found) = match selected {
                Ok(selected) => selected,
                Err(error) => {
                    let reason = format!("its columns cannot be read: {error}");
                    let events = events_of(&mask, &times, &names, &object_of, row_numbers);
                    progress.skipped(skipped_events(rule, &events, SkipCause::Condition, &reason));
                    continue;
                }
            };
            RunCounters::add(&progress.evaluated, rows.len());
            if rule.plugin.is_none() {
                findings.extend(found);
                continue;
            }
            // Of long texts that many rows share, copies would not fit into memory.
            let is_large = rows.text_bytes() > BATCH_BYTES;
            if !is_large {
                rows.detach();
            }
            self.pending[position].push(rows);
            let waiting: usize = self.pending[position].iter().map(Rows::len).sum();
            let enough = if rule.is_keyed() {
                self.batch_rows.max(KEYED_BATCH_ROWS)
            } else {
                self.batch_rows
            };
            if waiting >= enough || is_large {
                self.drain(position, is_large, &mut findings)?;
            }
        }
        for undecided in matches.undecided {
            let mask = BooleanArray::new(&undecided.rows & &in_range, None);
            let events = events_of(&mask, &times, &names, &object_of, row_numbers);
            if !events.is_empty() {
                let rule = &plan.rules[undecided.rule];
                let reason = format!("its `where` fails: {}", undecided.reason);
                progress.skipped(skipped_events(rule, &events, SkipCause::Condition, &reason));
            }
        }
        RunCounters::add(&progress.findings, findings.len());
        Ok(findings)
    }

    /// Evaluates all rules on a batch. A rule that cannot be evaluated at all is undecided on the batch's rows, and no other
    /// rule misses one for it.
    fn matches(&mut self, batch: &RecordBatch) -> Matches {
        let plan = Arc::clone(&self.plan);
        let together = catch(|| plan.program.evaluate(&mut self.prefilter, batch));
        if let Ok(Ok(matches)) = together {
            return matches;
        }
        self.prefilter = PrefilterState::new(&plan.program);
        let mut all = Matches {
            rows: batch.num_rows(),
            rules: Vec::new(),
            undecided: Vec::new(),
        };
        for (rule, predicate) in plan.predicates.iter().enumerate() {
            let alone = || {
                let predicate = std::slice::from_ref(predicate);
                let program = Program::compile(&plan.scan_schema, predicate, plan.tuning.methods)
                    .map_err(|error| error.to_string())?;
                let mut state = PrefilterState::new(&program);
                program
                    .evaluate(&mut state, batch)
                    .map_err(|error| error.to_string())
            };
            let reason = match catch(alone) {
                Ok(Ok(matches)) => {
                    let rules = matches.rules.into_iter();
                    all.rules.extend(rules.map(|(_, rows)| (rule, rows)));
                    let undecided = matches.undecided.into_iter();
                    all.undecided
                        .extend(undecided.map(|undecided| Undecided { rule, ..undecided }));
                    continue;
                }
                Ok(Err(reason)) => reason,
                Err(broken) => broken.to_string(),
            };
            all.undecided.push(Undecided {
                rule,
                rows: BooleanBuffer::new_set(batch.num_rows()),
                reason,
            });
        }
        all
    }

    /// Evaluates what still waits.
    pub(crate) fn finish(&mut self) -> Result<Vec<Finding>, DataFusionError> {
        let mut findings = Vec::new();
        for position in 0..self.pending.len() {
            self.drain(position, true, &mut findings)?;
        }
        RunCounters::add(&self.progress.findings, findings.len());
        Ok(findings)
    }

    /// Hands full batches, and with `all` also the rest, to the rule's plugin. Rows of a rule that keeps state are left for
    /// [`crate::keyed::KeyedDetectors`].
    fn drain(
        &mut self,
        position: usize,
        all: bool,
        findings: &mut Vec<Finding>,
    ) -> Result<(), DataFusionError> {
        let parts = std::mem::take(&mut self.pending[position]);
        if parts.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::concat(parts)?;
        if self.plan.rules[position].is_keyed() {
            return self.runtime.add_keyed(&self.plan, position, rows);
        }
        while rows.len() >= self.batch_rows || (all && rows.len() > 0) {
            let batch = rows.split_to(rows.at_once(self.batch_rows));
            findings.extend(self.call(position, batch)?);
        }
        if rows.len() > 0 {
            self.pending[position].push(rows);
        }
        Ok(())
    }

    /// Hands one batch over. In a service, where other rules wait, a call has its fair time once: what fails, or takes longer,
    /// is deferred to background evaluation.
    fn call(&mut self, position: usize, rows: Rows) -> Result<Vec<Finding>, DataFusionError> {
        let plan = Arc::clone(&self.plan);
        let rule = &plan.rules[position];
        let runtime = Arc::clone(&self.runtime);
        let quarantine = &runtime.quarantine;
        let Some(fair) = quarantine.fair_time(rows.len()) else {
            return self.evaluate(position, rows);
        };
        if quarantine.is_quarantined(rule.index) {
            skipped(
                &self.progress,
                rule,
                &rows,
                SkipCause::Quarantine,
                QUARANTINED,
            );
            return Ok(Vec::new());
        }
        if quarantine.is_in_background(rule.index) {
            self.defer(position, rows);
            return Ok(Vec::new());
        }
        let started = Instant::now();
        self.pace = Pace::AtMost(fair);
        let evaluated = once(self.try_once(rule, &rows));
        self.pace = Pace::Limit;
        let is_fair = quarantine.add_time(rule.index, rows.len(), started.elapsed());
        let reason = match evaluated {
            Ok(findings) => {
                if !is_fair {
                    quarantine
                        .move_to_background(rule.index, "its plugin takes more time than is fair");
                }
                return Ok(findings);
            }
            Err(CallFailure::Engine(error)) => return Err(error),
            Err(CallFailure::Plugin(reason)) => Some(reason),
            Err(CallFailure::Events(_)) => None,
        };
        // Others do not wait for retries, or for isolating events one by one.
        if let Some(reason) = reason {
            quarantine.move_to_background(rule.index, &reason);
        }
        self.defer(position, rows);
        Ok(Vec::new())
    }

    /// Leaves rows to be evaluated in the background; where there is no room for them, they are not.
    fn defer(&self, position: usize, rows: Rows) {
        let rule = &self.plan.rules[position];
        if let Some(rows) = self.runtime.defer(position, rows) {
            skipped(&self.progress, rule, &rows, SkipCause::NoRoom, NO_ROOM);
        }
    }

    /// Evaluates one batch with all that may take. Events on which the plugin fails are reported from the others and skipped alone; a
    /// batch whose faulty events cannot be isolated is a fault of the rule and skipped whole.
    fn evaluate(&mut self, position: usize, rows: Rows) -> Result<Vec<Finding>, DataFusionError> {
        let plan = Arc::clone(&self.plan);
        let rule = &plan.rules[position];
        let runtime = Arc::clone(&self.runtime);
        let quarantine = &runtime.quarantine;
        if quarantine.is_quarantined(rule.index) {
            skipped(
                &self.progress,
                rule,
                &rows,
                SkipCause::Quarantine,
                QUARANTINED,
            );
            return Ok(Vec::new());
        }
        let failure = match twice(rule, quarantine, || self.try_once(rule, &rows)) {
            Ok(findings) => {
                quarantine.add_success(rule.index);
                return Ok(findings);
            }
            Err(failure) => failure,
        };
        let mut findings = Vec::new();
        let separated = separate(rows, failure, None, |part, _| {
            match once(self.try_once(rule, &part)) {
                Ok(found) => {
                    findings.extend(found);
                    Ok(())
                }
                Err(failure) => Err((part, failure)),
            }
        })?;
        match separated.rows.last() {
            Some((_, reason)) if separated.is_fault => quarantine.add_fault(rule.index, reason),
            _ => quarantine.add_success(rule.index),
        }
        for (part, reason) in &separated.rows {
            skipped(&self.progress, rule, part, SkipCause::Plugin, reason);
        }
        Ok(findings)
    }

    /// Hands rows over and completes what the plugin found, or returns how it failed.
    fn try_once(&mut self, rule: &RulePlan, rows: &Rows) -> CallResult<Vec<Finding>> {
        match with_columns(rule, rows, |batch| self.call_once(rule, batch))? {
            Ok(raw) => Ok(Ok(rows.findings(rule, raw)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn call_once(
        &self,
        rule: &RulePlan,
        batch: BatchRef<'_>,
    ) -> Result<Vec<RawFinding>, CallError> {
        let Some(plugin) = rule.plugin else {
            return Ok(Vec::new());
        };
        let runtime = &self.runtime.plugins[plugin];
        let (number, pace) = (runtime.number_of(rule.index), self.pace);
        // Between calls it is nobody's, so that it can be dropped when memory is short.
        let mut instance = None;
        let answer = in_instance(
            &mut instance,
            || runtime.take(),
            |detector| {
                if runtime.is_metered() {
                    let progress = &self.progress;
                    progress.add_cost(rule.index, batch.rows, detector.last_cost());
                }
            },
            |detector| {
                detector.set_pace(pace);
                detector.on_batch(number, batch)
            },
        );
        if let Some(detector) = instance {
            runtime.give_back(detector);
        }
        answer
    }
}
