//! Background evaluation: slow and failing rules of a service, so that no step waits for them.
//!
//! ```text
//! a call that fails, or takes more than is fair ──▶ its rows wait here, kept in the state
//!                                                      │ a thread for each rule, with what the others leave of the machine
//! a later step ◀── findings, and rows that are done ◀──┘
//! ```
//!
//! Rows of rules without state only: the order in which they are evaluated does not matter. What is found here comes a little
//! later, which the rule's own time waits for, but not for long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use datafusion::common::DataFusionError;
use thread_priority::ThreadPriority;
use yagura_core::{Finding, TimeRange};
use yagura_correlate::store::{Deferred, DeferredRows};
use yagura_plan::TablePlan;

use crate::calls::{chain, skipped_events};
use crate::error::EngineError;
use crate::evaluate::Evaluator;
use crate::keyed::{StoredRows, read_rows, rows_as_bytes};
use crate::limits::MAX_DEFERRED_BYTES;
use crate::quarantine::Quarantine;
use crate::report::{NO_ROOM, RunCounters, SkipCause, SkippedEvents};
use crate::rows::{Rows, RuleRows};
use crate::runtime::DetectRuntime;

/// How long a rule's time waits for its rows here. What is found later comes late.
const WATERMARK_WAITS: Duration = Duration::from_secs(30);

/// Rules that are evaluated side by side.
const MAX_THREADS: usize = 16;

/// Batches that one thread evaluates before what it found is taken.
const MAX_BATCHES: usize = 4;

/// Plugins need up to a mebibyte, and evaluating has some of its own.
const STACK: usize = 4 << 20;

/// The rows of one table that wait to be evaluated beside its steps.
#[derive(Debug)]
pub(crate) struct Background {
    plan: Arc<TablePlan>,
    batch_rows: usize,
    /// By place of the rule in the plan, and number.
    waiting: BTreeMap<usize, BTreeMap<i64, DeferredBatch>>,
    running: BTreeMap<usize, RunningBatches>,
    bytes: usize,
    last_number: i64,
    /// Since the last [`Background::take_changes`].
    changes: Deferred,
}

#[derive(Debug)]
struct DeferredBatch {
    rows: Rows,
    since: Instant,
    /// The time of the earliest event, in microseconds.
    earliest: i64,
}

impl DeferredBatch {
    /// Returns the earliest event that is not before `passed`.
    fn earliest_from(&self, passed: i64) -> Option<i64> {
        if self.earliest >= passed {
            return Some(self.earliest);
        }
        let times = self.rows.events.iter().map(|event| event.time.micros());
        times.filter(|time| *time >= passed).min()
    }
}

/// Rows that are evaluated now; they stay in `waiting` until they are done.
#[derive(Debug)]
struct RunningBatches {
    numbers: Vec<i64>,
    thread: JoinHandle<Result<BackgroundResult, DataFusionError>>,
}

/// What came of rows that were evaluated in the background.
#[derive(Debug, Default)]
pub(crate) struct BackgroundResult {
    pub(crate) findings: Vec<Finding>,
    /// Events that could not be evaluated.
    pub(crate) skipped: Vec<SkippedEvents>,
}

impl Background {
    pub(crate) fn new(plan: Arc<TablePlan>, batch_rows: usize) -> Self {
        Self {
            changes: Deferred {
                table: plan.table.name.clone(),
                ..Deferred::default()
            },
            plan,
            batch_rows,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            bytes: 0,
            last_number: 0,
        }
    }

    /// Restores what waited when the state was stored. Returns messages.
    pub(crate) fn restore(
        &mut self,
        stored: Vec<DeferredRows>,
    ) -> Result<Vec<String>, EngineError> {
        let mut lost: BTreeMap<(String, &str), u64> = BTreeMap::new();
        for DeferredRows { number, rule, rows } in stored {
            self.last_number = self.last_number.max(number);
            let mut rules = self.plan.rules.iter();
            let position = rules.position(|plan| plan.rule.id == rule);
            let takes = |at: &usize| {
                let rule = &self.plan.rules[*at];
                rule.plugin.is_some() && !rule.is_keyed()
            };
            let (reason, count) = match position.filter(takes) {
                None => ("it has no plugin any more that could evaluate them", 0),
                Some(position) => match read_rows(&self.plan.rules[position], &rows) {
                    Ok(StoredRows::Rows(rows)) => {
                        self.hold(position, number, rows);
                        continue;
                    }
                    Ok(StoredRows::Outdated(count)) => ("it has other columns now", count),
                    Err(reason) => {
                        return Err(EngineError::State(format!(
                            "rows that wait for rule `{rule}` cannot be read back: {reason}"
                        )));
                    }
                },
            };
            *lost.entry((rule, reason)).or_default() += count;
            self.changes.done.push(number);
        }
        let messages = lost.into_iter().map(|((rule, reason), count)| {
            let events = match count {
                0 => "events".to_owned(),
                count => format!("{count} events"),
            };
            format!("{events} that waited for rule `{rule}` are not evaluated: {reason}")
        });
        Ok(messages.collect())
    }

    fn hold(&mut self, position: usize, number: i64, rows: Rows) {
        self.bytes += rows.bytes();
        let since = Instant::now();
        let times = rows.events.iter().map(|event| event.time.micros());
        let earliest = times.min().unwrap_or(i64::MAX);
        let waiting = self.waiting.entry(position).or_default();
        let held = DeferredBatch {
            rows,
            since,
            earliest,
        };
        waiting.insert(number, held);
    }

    /// Takes rows that a scan deferred. Returns those for which there is no room.
    ///
    /// # Errors
    /// Faults of our own.
    pub(crate) fn push(
        &mut self,
        deferred: Vec<RuleRows>,
    ) -> Result<Vec<SkippedEvents>, EngineError> {
        let left_out = RunCounters::default();
        for RuleRows { position, mut rows } in deferred {
            let plan = Arc::clone(&self.plan);
            let rule = &plan.rules[position];
            while rows.len() > 0 {
                let batch = rows.split_to(self.batch_rows.min(rows.len()));
                let batch = batch.with_stored_types(rule)?;
                if self.bytes + batch.bytes() > MAX_DEFERRED_BYTES {
                    left_out.skipped(skipped_events(
                        rule,
                        &batch.events,
                        SkipCause::NoRoom,
                        NO_ROOM,
                    ));
                    continue;
                }
                self.last_number += 1;
                self.changes.rows.push(DeferredRows {
                    number: self.last_number,
                    rule: rule.rule.id.clone(),
                    rows: rows_as_bytes(rule, &batch)?,
                });
                self.hold(position, self.last_number, batch);
            }
        }
        Ok(left_out.take_skipped())
    }

    /// Returns what came of rows since it was asked; `None` where no evaluation has ended.
    pub(crate) fn collect(&mut self) -> Option<BackgroundResult> {
        let is_done = |running: &RunningBatches| running.thread.is_finished();
        let done: Vec<usize> = self
            .running
            .iter()
            .filter(|(_, running)| is_done(running))
            .map(|(position, _)| *position)
            .collect();
        let mut all: Option<BackgroundResult> = None;
        for position in done {
            let Some(RunningBatches { numbers, thread }) = self.running.remove(&position) else {
                continue;
            };
            let mut gone = Vec::new();
            if let Some(waiting) = self.waiting.get_mut(&position) {
                gone.extend(numbers.iter().filter_map(|number| waiting.remove(number)));
                if waiting.is_empty() {
                    self.waiting.remove(&position);
                }
            }
            self.bytes -= gone.iter().map(|held| held.rows.bytes()).sum::<usize>();
            self.changes.done.extend(numbers);
            let all = all.get_or_insert_default();
            let reason = match thread.join() {
                Ok(Ok(evaluated)) => {
                    all.findings.extend(evaluated.findings);
                    all.skipped.extend(evaluated.skipped);
                    continue;
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "the evaluation broke off".to_owned(),
            };
            // A fault of ours, most likely: the service goes on, and the events are named.
            let rule = &self.plan.rules[position];
            let aside = |held: &DeferredBatch| {
                skipped_events(rule, &held.rows.events, SkipCause::Plugin, &reason)
            };
            all.skipped.extend(gone.iter().map(aside));
        }
        all
    }

    /// Begins to evaluate what waits, the oldest first, but for quarantined rules.
    pub(crate) fn start(&mut self, runtime: &Arc<DetectRuntime>) {
        let oldest =
            |waiting: &BTreeMap<i64, DeferredBatch>| waiting.values().map(|held| held.since).min();
        let mut ready: Vec<(Option<Instant>, usize)> = self
            .waiting
            .iter()
            .filter(|(position, _)| {
                let rests = runtime
                    .quarantine
                    .is_quarantined(self.plan.rules[**position].index);
                !rests && !self.running.contains_key(position)
            })
            .map(|(position, waiting)| (oldest(waiting), *position))
            .collect();
        ready.sort_unstable();
        for (_, position) in ready {
            if self.running.len() >= MAX_THREADS {
                return;
            }
            let held = self.waiting.get(&position).into_iter().flatten();
            let (numbers, parts): (Vec<i64>, Vec<Rows>) = held
                .take(MAX_BATCHES)
                .map(|(number, held)| (*number, held.rows.clone()))
                .unzip();
            let (plan, runtime) = (Arc::clone(&self.plan), Arc::clone(runtime));
            let batch_rows = self.batch_rows;
            let thread = std::thread::Builder::new()
                .name("yagura-bg".to_owned())
                .stack_size(STACK)
                .spawn(move || {
                    give_way();
                    evaluate(plan, runtime, batch_rows, position, parts)
                });
            match thread {
                Ok(thread) => {
                    self.running
                        .insert(position, RunningBatches { numbers, thread });
                }
                // The rows wait for a machine that has a thread to spare.
                Err(error) => {
                    tracing::warn!(%error, "cannot start a thread for a rule");
                    return;
                }
            }
        }
    }

    /// Returns the rules, by id, whose time has to wait, and the earliest event for which it does, in microseconds. It waits
    /// for no quarantined rule, and for no event that it has `passed`: what is found there is late already.
    pub(crate) fn waiting_times<'a>(
        &'a self,
        quarantine: &'a Quarantine,
        passed: &'a dyn Fn(&str) -> i64,
    ) -> impl Iterator<Item = (String, i64)> + 'a {
        self.waiting.iter().filter_map(|(position, waiting)| {
            let rule = &self.plan.rules[*position];
            if quarantine.is_quarantined(rule.index) {
                return None;
            }
            let passed = passed(&rule.rule.id);
            let waiting = waiting.values();
            let waiting = waiting.filter(|waiting| waiting.since.elapsed() < WATERMARK_WAITS);
            let earliest = waiting.filter_map(|waiting| waiting.earliest_from(passed));
            Some((rule.rule.id.clone(), earliest.min()?))
        })
    }

    /// Returns whether the evaluation of some rule has ended, so that a step has something to do.
    pub(crate) fn has_finished(&self) -> bool {
        self.running
            .values()
            .any(|running| running.thread.is_finished())
    }

    /// Returns whether rules are evaluated now.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Returns how many rows wait.
    pub(crate) fn rows(&self) -> u64 {
        let waiting = self.waiting.values().flat_map(BTreeMap::values);
        waiting.map(|waiting| waiting.rows.len() as u64).sum()
    }

    /// Returns the indexes of rules for which rows wait.
    pub(crate) fn rules(&self) -> BTreeSet<usize> {
        let positions = self.waiting.keys();
        positions.map(|at| self.plan.rules[*at].index).collect()
    }

    /// Returns what must be stored since it was asked; `None` where that is nothing.
    pub(crate) fn take_changes(&mut self) -> Option<Deferred> {
        if self.changes.rows.is_empty() && self.changes.done.is_empty() {
            return None;
        }
        let nothing = Deferred {
            table: self.changes.table.clone(),
            ..Deferred::default()
        };
        Some(std::mem::replace(&mut self.changes, nothing))
    }
}

/// Evaluates rows of one rule on a thread of its own.
fn evaluate(
    plan: Arc<TablePlan>,
    runtime: Arc<DetectRuntime>,
    batch_rows: usize,
    position: usize,
    parts: Vec<Rows>,
) -> Result<BackgroundResult, DataFusionError> {
    let progress = Arc::new(RunCounters::default());
    let mut evaluate = Evaluator::new(plan, runtime, TimeRange::default(), batch_rows);
    evaluate.run_in_background(Arc::clone(&progress));
    let mut findings = Vec::new();
    for rows in parts {
        findings.extend(evaluate.evaluate_in_background(position, rows)?);
    }
    // The instance is for others to use.
    findings.extend(evaluate.finish()?);
    Ok(BackgroundResult {
        findings,
        skipped: progress.take_skipped(),
    })
}

/// Leaves the processor to every other thread that wants it, at once. Where that cannot be asked for, it shares like any other.
fn give_way() {
    #[cfg(target_os = "linux")]
    let asked = {
        use thread_priority::unix::{
            NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
            thread_native_id,
        };
        // A low priority alone still keeps others waiting for the end of its turn.
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
    };
    #[cfg(not(target_os = "linux"))]
    let asked = thread_priority::set_current_thread_priority(ThreadPriority::Min);
    if let Err(error) = asked {
        tracing::warn!(?error, "a thread keeps its priority");
    }
}
