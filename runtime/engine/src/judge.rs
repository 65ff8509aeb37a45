//! One partition's rules at work: select rows, hand them to plugins, make findings.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use yagura_core::{EventRef, Finding, TimeRange};
use yagura_host::{BatchRef, CallError, ColumnRef, Detector, LimitKind, PluginError};
use yagura_lake::table::{OnProblem, event_times};
use yagura_rules::{PrefilterState, project};

use crate::error::EngineError;
use crate::plan::{RulePlan, TablePlan};
use crate::report::{Progress, SetAside};
use crate::rows::{Rows, events_of};
use crate::runtime::DetectRuntime;

/// Failed batches of one rule after which a run no longer tries it.
pub(crate) const FAULTS_UNTIL_QUARANTINE: u32 = 3;

/// Failed calls that a batch may cost while the events that fail are told from the others: enough for some twenty of
/// 8,192.
const CALLS_TO_SEPARATE: u32 = 256;

/// The rules of a table, their rows that wait for a full batch, and their plugins' instances.
pub(crate) struct Judge {
    plan: Arc<TablePlan>,
    runtime: Arc<DetectRuntime>,
    range: TimeRange,
    batch_rows: usize,
    prefilter: PrefilterState,
    /// Rows of each rule with a plugin that do not fill a batch yet.
    pending: Vec<Vec<Rows>>,
    /// Instances of the run's plugins, opened when first needed.
    detectors: Vec<Option<Detector>>,
}

impl Judge {
    pub(crate) fn new(
        plan: Arc<TablePlan>,
        runtime: Arc<DetectRuntime>,
        range: TimeRange,
        batch_rows: usize,
    ) -> Self {
        Self {
            prefilter: PrefilterState::new(&plan.program),
            pending: vec![Vec::new(); plan.rules.len()],
            detectors: runtime.plugins.iter().map(|_| None).collect(),
            plan,
            runtime,
            range,
            batch_rows: batch_rows.max(1),
        }
    }

    /// Judges a batch of the scan.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<Vec<Finding>, DataFusionError> {
        let plan = Arc::clone(&self.plan);
        let progress = Arc::clone(&self.runtime.progress);
        Progress::add(&progress.scanned, batch.num_rows());
        let width = plan.scan_schema.fields().len();
        let times = event_times(batch.column(plan.time))?;
        let objects = batch.column(width).as_any_dictionary();
        let names: Vec<Arc<str>> = cast(objects.values(), &DataType::Utf8)?
            .as_string::<i32>()
            .iter()
            .map(|name| name.unwrap_or_default().into())
            .collect();
        let object_of = objects.normalized_keys();
        let rows = batch.column(width + 1).as_primitive::<Int64Type>().values();

        let unusable = times.iter().filter(|time| time.is_none()).count();
        if unusable > 0 {
            if plan.table.on_null_time == OnProblem::Fail {
                let at = times.iter().position(Option::is_none).unwrap_or_default();
                return Err(DataFusionError::External(Box::new(EngineError::NullTime {
                    table: plan.table.name.clone(),
                    file: names[object_of[at]].to_string(),
                    row: u64::try_from(rows[at]).unwrap_or_default(),
                    column: plan.table.time.clone(),
                })));
            }
            Progress::add(&progress.null_times, unusable);
        }
        let in_range: BooleanBuffer = times
            .iter()
            .map(|time| time.is_some_and(|time| self.range.contains(time)))
            .collect();

        let mut findings = Vec::new();
        let matches = plan.program.evaluate(&mut self.prefilter, batch)?;
        for (position, matched) in matches.rules {
            let rule = &plan.rules[position];
            let mask = BooleanArray::new(&matched & &in_range, None);
            if mask.true_count() == 0 {
                continue;
            }
            let events = events_of(&mask, &times, &names, &object_of, rows);
            let mut rows = Rows::select(rule, batch, &mask, events)?;
            Progress::add(&progress.judged, rows.len());
            if rule.plugin.is_none() {
                findings.extend(rows.findings_each(rule)?);
                continue;
            }
            rows.detach();
            self.pending[position].push(rows);
            let waiting: usize = self.pending[position].iter().map(Rows::len).sum();
            if waiting >= self.batch_rows {
                self.drain(position, false, &mut findings)?;
            }
        }
        Progress::add(&progress.findings, findings.len());
        Ok(findings)
    }

    /// Judges what still waits, and gives the instances back for other partitions.
    pub(crate) fn finish(&mut self) -> Result<Vec<Finding>, DataFusionError> {
        let mut findings = Vec::new();
        for position in 0..self.pending.len() {
            self.drain(position, true, &mut findings)?;
        }
        for (plugin, detector) in self.detectors.iter_mut().enumerate() {
            if let Some(detector) = detector.take() {
                self.runtime.plugins[plugin].give_back(detector);
            }
        }
        Progress::add(&self.runtime.progress.findings, findings.len());
        Ok(findings)
    }

    /// Hands full batches, and with `all` also the rest, to the rule's plugin.
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
        while rows.len() >= self.batch_rows || (all && rows.len() > 0) {
            let batch = rows.split_to(self.batch_rows.min(rows.len()));
            findings.extend(self.call(position, &batch)?);
        }
        if rows.len() > 0 {
            self.pending[position].push(rows);
        }
        Ok(())
    }

    /// Hands one batch over. Events on which the plugin fails are told from the others and set aside alone; a batch of
    /// which that cannot be told is a fault of the rule and set aside whole.
    fn call(&mut self, position: usize, rows: &Rows) -> Result<Vec<Finding>, DataFusionError> {
        let plan = Arc::clone(&self.plan);
        let rule = &plan.rules[position];
        let runtime = Arc::clone(&self.runtime);
        let faults = &runtime.faults[rule.index];
        if faults.load(Ordering::Relaxed) >= FAULTS_UNTIL_QUARANTINE {
            self.set_aside(
                rule,
                rows,
                "the rule is quarantined after repeated faults",
                true,
            );
            return Ok(Vec::new());
        }
        match self.call_twice(rule, rows) {
            Ok(findings) => Ok(findings),
            Err(Failure::Events(reason)) if rows.len() > 1 => {
                let (findings, is_separated) = self.separate(rule, rows, reason)?;
                if !is_separated {
                    faults.fetch_add(1, Ordering::Relaxed);
                }
                Ok(findings)
            }
            // A single event that cannot be judged says nothing about the others.
            Err(Failure::Events(reason)) => {
                self.set_aside(rule, rows, &reason, false);
                Ok(Vec::new())
            }
            Err(Failure::Plugin(reason)) => {
                faults.fetch_add(1, Ordering::Relaxed);
                self.set_aside(rule, rows, &reason, false);
                Ok(Vec::new())
            }
            Err(Failure::Engine(error)) => Err(error),
        }
    }

    /// Judges the halves of a batch that failed, and theirs, until the events that fail stand alone, so that what a rule
    /// finds does not depend on which events share a batch with an odd one. Returns false when too many fail; what was
    /// not judged by then is set aside together.
    fn separate(
        &mut self,
        rule: &RulePlan,
        rows: &Rows,
        reason: String,
    ) -> Result<(Vec<Finding>, bool), DataFusionError> {
        let mut findings = Vec::new();
        let mut odd: Vec<(Rows, String)> = Vec::new();
        let mut parts = halves(rows);
        let mut calls = 0;
        while calls < CALLS_TO_SEPARATE
            && let Some(part) = parts.pop()
        {
            let answer = self
                .try_once(rule, &part)
                .and_then(|answer| answer.map_err(|error| Failure::of(&error)));
            match answer {
                Ok(found) => {
                    findings.extend(found);
                    continue;
                }
                Err(Failure::Events(_)) if part.len() > 1 => parts.extend(halves(&part)),
                Err(Failure::Events(reason) | Failure::Plugin(reason)) => odd.push((part, reason)),
                Err(Failure::Engine(error)) => return Err(error),
            }
            calls += 1;
        }
        if parts.is_empty() {
            for (part, reason) in &odd {
                self.set_aside(rule, part, reason, false);
            }
            return Ok((findings, true));
        }
        parts.extend(odd.into_iter().map(|(part, _)| part));
        self.set_aside(rule, &Rows::concat(parts)?, &reason, false);
        Ok((findings, false))
    }

    fn call_twice(&mut self, rule: &RulePlan, rows: &Rows) -> Result<Vec<Finding>, Failure> {
        let first = match self.try_once(rule, rows)? {
            Ok(findings) => return Ok(findings),
            Err(error) => error,
        };
        // These events cannot be judged: the plugin said so itself, and would again.
        if matches!(first, CallError::Guest(PluginError::Data(_))) {
            return Err(Failure::of(&first));
        }
        tracing::warn!(
            rule = rule.rule.id,
            error = chain(&first),
            "plugin failed; trying once more"
        );
        self.try_once(rule, rows)?
            .map_err(|second| Failure::of(&second))
    }

    /// Hands rows over and completes what the plugin found, or returns how it failed.
    fn try_once(
        &mut self,
        rule: &RulePlan,
        rows: &Rows,
    ) -> Result<Result<Vec<Finding>, CallError>, Failure> {
        let columns = rule
            .plugin_columns
            .iter()
            .map(|index| project(&rows.columns[*index]))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::Plugin(chain(&error)))?;
        let columns: Vec<ColumnRef<'_>> = columns
            .iter()
            .map(|column| ColumnRef {
                validity: &column.validity,
                offsets: &column.offsets,
                values: &column.values,
            })
            .collect();
        let count = u32::try_from(rows.len())
            .map_err(|error| Failure::Plugin(format!("the batch is too large: {error}")))?;
        let batch = BatchRef {
            rows: count,
            columns: &columns,
        };
        match self.call_once(rule, batch) {
            Ok(raw) => Ok(Ok(rows.findings(rule, raw)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn call_once(
        &mut self,
        rule: &RulePlan,
        batch: BatchRef<'_>,
    ) -> Result<Vec<yagura_host::RawFinding>, CallError> {
        let Some(plugin) = rule.plugin else {
            return Ok(Vec::new());
        };
        let runtime = &self.runtime.plugins[plugin];
        let slot = &mut self.detectors[plugin];
        let mut detector = match slot.take() {
            Some(detector) => detector,
            None => runtime.take()?,
        };
        let answer = detector.on_batch(runtime.number_of(rule.index), batch);
        if runtime.is_metered() {
            let cost = detector.last_cost();
            self.runtime.progress.add_cost(rule.index, batch.rows, cost);
        }
        // An instance that failed in any other way than by its own word is not used again.
        if matches!(answer, Ok(_) | Err(CallError::Guest(_))) {
            *slot = Some(detector);
        }
        answer
    }

    fn set_aside(&self, rule: &RulePlan, rows: &Rows, reason: &str, quarantined: bool) {
        let (Some(first), Some(last)) = (rows.events.iter().min(), rows.events.iter().max()) else {
            return;
        };
        self.runtime.progress.set_aside(SetAside {
            rule: rule.index,
            rule_id: rule.rule.id.clone(),
            reason: reason.to_owned(),
            rows: rows.len() as u64,
            first: EventRef::clone(first),
            last: EventRef::clone(last),
            quarantined,
        });
    }
}

enum Failure {
    /// Of some event: others may be judged.
    Events(String),
    /// The plugin's: the batch is set aside.
    Plugin(String),
    /// Ours: the run stops.
    Engine(DataFusionError),
}

impl Failure {
    /// Sorts a plugin's failure by whether a single event may be behind it. What costs time or memory is not tried again
    /// in parts.
    fn of(error: &CallError) -> Self {
        let is_of_events = match error {
            CallError::Guest(PluginError::Data(_)) | CallError::Trap(_) => true,
            CallError::Limit(limit) => limit.kind == LimitKind::Stack,
            _ => false,
        };
        if is_of_events {
            Self::Events(chain(error))
        } else {
            Self::Plugin(chain(error))
        }
    }
}

/// Returns the two halves of some rows, the second one first, as a stack wants them.
fn halves(rows: &Rows) -> Vec<Rows> {
    let mut second = rows.clone();
    let first = second.split_to(rows.len() / 2);
    vec![second, first]
}

impl From<datafusion::arrow::error::ArrowError> for Failure {
    fn from(error: datafusion::arrow::error::ArrowError) -> Self {
        Self::Engine(error.into())
    }
}

/// Returns an error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
