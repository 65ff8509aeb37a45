//! One partition's rules at work: select rows, hand them to plugins, make findings.
//!
//! Rows of rules that keep state are only selected here: a partition does not see them in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use yagura_core::{Finding, TimeRange};
use yagura_host::{BatchRef, CallError, Detector, RawFinding};
use yagura_lake::table::{OnProblem, event_times};
use yagura_rules::PrefilterState;

use crate::calls::{
    Answer, FAULTS_UNTIL_QUARANTINE, QUARANTINED, in_instance, once, separate, set_aside, twice,
    with_columns,
};
use crate::error::EngineError;
use crate::plan::{RulePlan, TablePlan};
use crate::report::Progress;
use crate::rows::{Rows, events_of};
use crate::runtime::DetectRuntime;

/// Rows that are left together for a rule that keeps state, whatever the size of batches.
const KEPT_ROWS: usize = 8_192;

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
            let enough = if rule.is_keyed() {
                self.batch_rows.max(KEPT_ROWS)
            } else {
                self.batch_rows
            };
            if waiting >= enough {
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
            return self.runtime.keep(&self.plan, position, rows);
        }
        while rows.len() >= self.batch_rows || (all && rows.len() > 0) {
            let batch = rows.split_to(self.batch_rows.min(rows.len()));
            findings.extend(self.call(position, batch)?);
        }
        if rows.len() > 0 {
            self.pending[position].push(rows);
        }
        Ok(())
    }

    /// Hands one batch over. Events on which the plugin fails are told from the others and set aside alone; a batch of
    /// which that cannot be told is a fault of the rule and set aside whole.
    fn call(&mut self, position: usize, rows: Rows) -> Result<Vec<Finding>, DataFusionError> {
        let plan = Arc::clone(&self.plan);
        let rule = &plan.rules[position];
        let runtime = Arc::clone(&self.runtime);
        let faults = &runtime.faults[rule.index];
        if faults.load(Ordering::Relaxed) >= FAULTS_UNTIL_QUARANTINE {
            set_aside(&runtime.progress, rule, &rows, QUARANTINED, true);
            return Ok(Vec::new());
        }
        let failure = match twice(rule, || self.try_once(rule, &rows)) {
            Ok(findings) => return Ok(findings),
            Err(failure) => failure,
        };
        let mut findings = Vec::new();
        let aside = separate(rows, failure, |part, _| {
            match once(self.try_once(rule, &part)) {
                Ok(found) => {
                    findings.extend(found);
                    Ok(())
                }
                Err(failure) => Err((part, failure)),
            }
        })?;
        if aside.is_fault {
            faults.fetch_add(1, Ordering::Relaxed);
        }
        for (part, reason) in &aside.rows {
            set_aside(&runtime.progress, rule, part, reason, false);
        }
        Ok(findings)
    }

    /// Hands rows over and completes what the plugin found, or returns how it failed.
    fn try_once(&mut self, rule: &RulePlan, rows: &Rows) -> Answer<Vec<Finding>> {
        match with_columns(rule, rows, |batch| self.call_once(rule, batch))? {
            Ok(raw) => Ok(Ok(rows.findings(rule, raw)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn call_once(
        &mut self,
        rule: &RulePlan,
        batch: BatchRef<'_>,
    ) -> Result<Vec<RawFinding>, CallError> {
        let Some(plugin) = rule.plugin else {
            return Ok(Vec::new());
        };
        let runtime = &self.runtime.plugins[plugin];
        let number = runtime.number_of(rule.index);
        in_instance(
            &mut self.detectors[plugin],
            || runtime.take(),
            |detector| {
                if runtime.is_metered() {
                    let progress = &self.runtime.progress;
                    progress.add_cost(rule.index, batch.rows, detector.last_cost());
                }
            },
            |detector| detector.on_batch(number, batch),
        )
    }
}
