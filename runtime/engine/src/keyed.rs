//! Detectors that remember: the rows of one key at a time, in the order of event time.
//!
//! ```text
//! scan             selects rows of rules with `partition_by`, in no order
//!   │ KeyedRows
//! push             counts late rows; the others wait
//!   │
//! advance          takes what the watermark has passed, sorted by key, time, object and row
//!   │ a key's rows
//! Turn             calls the key's wake-ups and rows as they follow each other, with its state
//!   │
//! findings         and by `take_changes` what changed: states, rows that wait, plugins' own memories
//! ```
//!
//! In a service, keys that have no room in memory are left on disk, where they are stored in any case, and come back when
//! they have an event or are woken. Of a rule with too many keys those are forgotten whose last events were longest ago: after
//! the events of one time, so that it follows from the events, too.
//!
//! What is found follows from the events in the order of their time, whatever the partitions, batches and steps.

mod bytes;
mod instance;
mod keys;
mod pending;
mod turn;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use yagura_core::{EventRef, Finding, Timestamp};
use yagura_correlate::Size;
use yagura_correlate::store::DetectorKeys;

use crate::calls::QUARANTINED;
use crate::error::EngineError;
use crate::plan::{RulePlan, TablePlan};
use crate::quarantine::Quarantine;
use crate::report::{Cause, Progress, SkippedEvents};
use crate::rows::Rows;
use crate::run::RunOptions;
use crate::runtime::PluginSource;
use crate::shown::MOST_SHOWN;

pub(crate) use bytes::{Stored, read_rows, rows as rows_as_bytes};
use instance::Instance;
use keys::{Forgotten, Keys, Limits};
use pending::Pending;
use turn::{Turn, boundary};

/// The most bytes of a key's name for each of its columns: values are cut where they are shown, and some characters doubled.
const MOST_OF_NAME: u64 = 2 * (MOST_SHOWN as u64 + 128);

/// Rows that a scan selected for a rule that keeps state.
#[derive(Debug)]
pub struct KeyedRows {
    /// Place of the rule in its table's plan.
    pub(crate) position: usize,
    pub(crate) rows: Rows,
}

impl KeyedRows {
    /// Returns how many there are; never none.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// What changed since the last call of [`KeyedDetectors::take_changes`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct KeyedChanges {
    /// Rule id, key, and what is kept of it; nothing for a key that need not be kept any more.
    pub states: Vec<(String, String, Option<Vec<u8>>)>,
    /// Rule id and hash of keys that were on disk only and need not be kept any more.
    pub gone: Vec<(String, u64)>,
    /// Rule id, latest event time in microseconds, and new rows that wait. They are not needed once the watermark has
    /// passed that time.
    pub pending: Vec<(String, i64, Vec<u8>)>,
    /// Rule id and the memory of its plugin, in place of what was there.
    pub snapshots: Vec<(String, Vec<u8>)>,
}

/// The rules of one table that keep state: their rows that wait, the states of their keys, and their plugins' instances.
#[derive(Debug)]
pub struct KeyedDetectors {
    /// Rows of each rule, by id, that came after the watermark had passed them and were not evaluated. Its reader may take it.
    pub late: BTreeMap<String, u64>,
    /// Rows of each rule, by id, that were stored under other columns and are not evaluated. Its reader may take it.
    pub outdated: BTreeMap<String, u64>,
    plan: Arc<TablePlan>,
    quarantine: Arc<Quarantine>,
    progress: Arc<Progress>,
    rules: Vec<KeyedRule>,
    /// Everything before it, in microseconds, has been evaluated.
    watermark: i64,
    batch_rows: usize,
    max_pending_rows: usize,
    max_findings: usize,
    /// Where keys are that have no room in memory, and how many bytes those in memory may take; nothing where all are there.
    disk: Option<(DetectorKeys, usize)>,
    /// What was forgotten since it was asked for last, by rule.
    forgotten: BTreeMap<String, (Forgotten, Limits)>,
}

/// One rule that keeps state.
#[derive(Debug)]
struct KeyedRule {
    /// Its place in the plan.
    position: usize,
    instance: Instance,
    pending: Pending,
    keys: Keys,
    limits: Limits,
    /// How long after its last event a key's state ends, in microseconds.
    state_for: i64,
    /// What expired by then is gone.
    swept: Timestamp,
}

impl KeyedDetectors {
    /// Returns the plan's rules that keep state, with nothing remembered. No plugin is opened before it is needed.
    pub(crate) fn new(
        plan: Arc<TablePlan>,
        plugins: &[PluginSource],
        quarantine: Arc<Quarantine>,
        progress: Arc<Progress>,
        options: &RunOptions,
    ) -> Self {
        let rules = plan.rules.iter().enumerate();
        let rules = rules.filter(|(_, rule)| rule.is_keyed());
        let rules = rules.filter_map(|(position, rule)| {
            let source = plugins.get(rule.plugin?)?;
            let of_state = source.plugin.limits().state_kib.saturating_mul(1_024);
            let of_name = (rule.partition.len() as u64).saturating_mul(MOST_OF_NAME);
            Some(KeyedRule {
                position,
                instance: Instance::new(source.clone(), rule),
                pending: Pending::default(),
                keys: Keys::default(),
                limits: Limits {
                    keys: options.max_keys,
                    bytes: options.max_key_bytes,
                    each: of_state.saturating_add(of_name),
                },
                state_for: rule.rule.kept_state_for().micros(),
                swept: Timestamp::MIN,
            })
        });
        Self {
            rules: rules.collect(),
            late: BTreeMap::new(),
            outdated: BTreeMap::new(),
            plan,
            quarantine,
            progress,
            watermark: i64::MIN,
            batch_rows: options.batch_rows.max(1),
            max_pending_rows: options.max_pending_rows,
            max_findings: options.max_findings,
            disk: None,
            forgotten: BTreeMap::new(),
        }
    }

    /// Leaves keys on disk where more than `memory` bytes of them, about, would be in memory. What is stored must be there
    /// before the next call of [`KeyedDetectors::advance`].
    pub fn use_disk(&mut self, keys: DetectorKeys, memory: usize) {
        self.disk = Some((keys, memory));
    }

    /// Says whether keys are on disk only.
    pub fn has_keys_on_disk(&self) -> bool {
        self.rules.iter().any(|rule| rule.keys.are_on_disk())
    }

    /// Returns how much each rule remembers, by its id.
    pub fn sizes(&self) -> impl Iterator<Item = (String, Size)> + '_ {
        self.rules.iter().map(|rule| {
            let id = &self.plan.rules[rule.position].rule.id;
            (id.clone(), rule.keys.size())
        })
    }

    /// Returns for each rule that remembered too much since the last call how many keys it forgot, and what to tell.
    pub fn take_forgotten(&mut self) -> Vec<(String, u64, String)> {
        let forgotten = std::mem::take(&mut self.forgotten).into_iter();
        forgotten
            .map(|(rule, (forgotten, limits))| {
                let (bound, key) = match forgotten.is_of_bytes {
                    true => (
                        format!("more than {} MiB of state", limits.bytes >> 20),
                        "state_mib_per_rule",
                    ),
                    false => (
                        format!("state of more than {} keys", limits.keys),
                        "keys_per_rule",
                    ),
                };
                let message = format!(
                    "rule `{rule}` kept {bound}, so it forgot the {} keys without an event after {}; narrow its `where` or `partition_by`, shorten its `state_for`, or raise `{key}`",
                    forgotten.keys,
                    Timestamp::clamped(forgotten.last),
                );
                (rule, forgotten.keys, message)
            })
            .collect()
    }

    /// Says whether no rule of the table keeps state.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Says whether a rule of this id keeps state here.
    pub fn has_rule(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Returns the time before which everything has been evaluated, in microseconds.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Returns how many rows wait.
    pub fn pending_rows(&self) -> usize {
        self.rules.iter().map(|rule| rule.pending.len()).sum()
    }

    /// Returns how many keys have a state, in memory or on disk.
    pub fn keys(&self) -> usize {
        self.rules.iter().map(|rule| rule.keys.len()).sum()
    }

    /// Returns the latest event time of the rows that wait, in microseconds.
    pub fn latest(&self) -> Option<i64> {
        let latest = self.rules.iter().filter_map(|rule| rule.pending.latest());
        latest.max()
    }

    /// Takes rows of one rule, which wait for the watermark. Those that it has passed are counted in `late`.
    ///
    /// # Errors
    /// [`EngineError::TooManyPending`]; none of the rows is taken then.
    pub fn push(&mut self, keyed: KeyedRows) -> Result<(), EngineError> {
        let mut rules = self.rules.iter();
        let at = rules.position(|rule| rule.position == keyed.position);
        let Some(at) = at else {
            return Err(wrong("rows are for a rule that keeps no state".to_owned()));
        };
        let rule = &self.plan.rules[keyed.position];
        let all = keyed.rows.len();
        let rows = keyed.rows.not_before(self.watermark)?;
        if rows.len() < all {
            let late = self.late.entry(rule.rule.id.clone()).or_default();
            *late += (all - rows.len()) as u64;
        }
        if self.pending_rows() + rows.len() > self.max_pending_rows {
            let waiting = self.rules.iter();
            let waiting = waiting.map(|rule| (rule.position, rule.pending.len()));
            let counts = waiting.chain([(keyed.position, rows.len())]);
            return Err(too_many_pending(&self.plan, self.max_pending_rows, counts));
        }
        self.rules[at].pending.push(rows.normal(rule)?, false)?;
        Ok(())
    }

    /// Evaluates the rows before `watermark`, in microseconds, and calls the wake-ups before it.
    ///
    /// What a plugin fails on is skipped and reported, as in a scan. A watermark that was passed before changes nothing.
    /// Where the keys take too much memory it stops before, at a time that [`KeyedDetectors::watermark`] tells: once the
    /// changes are taken and stored, the rest follows.
    ///
    /// # Errors
    /// [`EngineError::TooManyFindings`], and faults of our own. The state is not to be used after one.
    pub fn advance(&mut self, watermark: i64) -> Result<Vec<Finding>, EngineError> {
        let mut findings = Vec::new();
        let plan = Arc::clone(&self.plan);
        while self.watermark < watermark {
            // What is found is the same in any steps, and shorter ones hold less at once.
            let ends = self.rules.iter();
            let ends = ends.map(|keyed| keyed.pending.end_of_step(watermark));
            let end = ends.min().unwrap_or(watermark);
            for keyed in &mut self.rules {
                let rule = &plan.rules[keyed.position];
                let work = Work {
                    rule,
                    batch_rows: self.batch_rows,
                    quarantine: &self.quarantine,
                    progress: &self.progress,
                    watermark: self.watermark,
                    disk: self.disk.as_ref().map(|(disk, _)| disk),
                };
                let mut out = Out {
                    findings: &mut findings,
                    rested: Rested::default(),
                    forgotten: None,
                };
                keyed
                    .advance(&work, end, &mut out)
                    .map_err(|source| EngineError::Scan {
                        table: plan.table.name.clone(),
                        source,
                    })?;
                out.rested.report(rule, &self.progress);
                if let Some(forgotten) = out.forgotten {
                    let id = rule.rule.id.clone();
                    let known = self.forgotten.entry(id);
                    let (known, _) = known.or_insert((Forgotten::default(), keyed.limits));
                    known.add(forgotten);
                }
                if findings.len() > self.max_findings {
                    let of_rule = findings.iter().filter(|found| found.rule == rule.index);
                    return Err(EngineError::TooManyFindings {
                        limit: self.max_findings,
                        rule: rule.rule.id.clone(),
                        count: of_rule.count(),
                    });
                }
            }
            self.watermark = end;
            if self.memory() > self.disk.as_ref().map_or(usize::MAX, |(_, most)| *most) {
                break;
            }
        }
        Progress::add(&self.progress.findings, findings.len());
        Ok(findings)
    }

    fn memory(&self) -> usize {
        self.rules.iter().map(|rule| rule.keys.memory()).sum()
    }

    /// Returns what changed since the last call, to be stored together with the watermark. Plugins that were called since
    /// then are asked for their memory.
    ///
    /// # Errors
    /// Faults of our own.
    pub fn take_changes(&mut self) -> Result<KeyedChanges, EngineError> {
        let mut changes = KeyedChanges::default();
        for keyed in &mut self.rules {
            let rule = &self.plan.rules[keyed.position];
            let id = &rule.rule.id;
            let (states, gone) = keyed.keys.take_changes();
            let states = states.into_iter();
            let states = states.map(|(key, bytes)| (id.clone(), key, bytes));
            changes.states.extend(states);
            let gone = gone.into_iter().map(|hash| (id.clone(), hash));
            changes.gone.extend(gone);
            for (latest, rows) in keyed.pending.take_fresh()? {
                let bytes = bytes::rows(rule, &rows)?;
                changes.pending.push((id.clone(), latest, bytes));
            }
            if let Some(memory) = keyed.instance.changed_memory() {
                let bytes = bytes::memory(&memory);
                changes.snapshots.push((id.clone(), bytes));
            }
        }
        self.leave_on_disk();
        Ok(changes)
    }

    /// Leaves on disk what has no room in memory: of each rule its part of what is too much.
    fn leave_on_disk(&mut self) {
        let memory = self.memory();
        let Some((disk, most)) = self.disk.as_ref().filter(|(_, most)| memory > *most) else {
            return;
        };
        for keyed in &mut self.rules {
            // Half of it, so that the next step need not do it again.
            let share = keyed.keys.memory() as u128 * (*most / 2) as u128 / memory.max(1) as u128;
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            keyed.keys.evict(share, disk);
        }
    }

    /// Takes back the state of a key from [`KeyedChanges::states`].
    ///
    /// # Errors
    /// [`EngineError::State`]: a rule that keeps no state here, bytes that are damaged.
    pub fn restore_state(
        &mut self,
        rule_id: &str,
        key: &str,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let watermark = self.watermark;
        let keyed = self.rule(rule_id)?;
        keyed
            .keys
            .restore(key, bytes, watermark, keyed.state_for)
            .map_err(|reason| damaged("a key's state", rule_id, &reason))
    }

    /// Takes back the state of a key, or leaves it on disk where memory has no room for it.
    ///
    /// # Errors
    /// As [`KeyedDetectors::restore_state`].
    pub fn restore_or_leave(
        &mut self,
        rule_id: &str,
        (key, hash): (&str, u64),
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let is_full = match &self.disk {
            Some((_, most)) => self.memory() >= *most / 2,
            None => false,
        };
        let watermark = self.watermark;
        let keyed = self.rule(rule_id)?;
        let is_left = is_full
            && keyed
                .keys
                .leave(key, hash, bytes, watermark, keyed.state_for)
                .map_err(|reason| damaged("a key's state", rule_id, &reason))?;
        match is_left {
            true => Ok(()),
            false => self.restore_state(rule_id, key, bytes),
        }
    }

    /// Takes back rows that waited, from [`KeyedChanges::pending`], but for those that the watermark has passed. Rows with
    /// other columns than the rule has now are counted in `outdated`.
    ///
    /// # Errors
    /// [`EngineError::State`]: a rule that keeps no state here, bytes that are damaged. [`EngineError::TooManyPending`].
    pub fn restore_pending(&mut self, rule_id: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let position = self.rule(rule_id)?.position;
        let rows = read_rows(&self.plan.rules[position], bytes)
            .map_err(|reason| damaged("rows that wait", rule_id, &reason))?;
        let rows = match rows {
            Stored::Rows(rows) => rows.not_before(self.watermark)?,
            Stored::Outdated(rows) => {
                tracing::warn!(
                    rule = rule_id,
                    rows,
                    "events that waited are dropped: the rule has other columns now"
                );
                *self.outdated.entry(rule_id.to_owned()).or_default() += rows;
                return Ok(());
            }
        };
        let counts = self
            .rules
            .iter()
            .map(|rule| (rule.position, rule.pending.len()))
            .chain([(position, rows.len())]);
        if counts.clone().map(|(_, rows)| rows).sum::<usize>() > self.max_pending_rows {
            return Err(too_many_pending(&self.plan, self.max_pending_rows, counts));
        }
        Ok(self.rule(rule_id)?.pending.push(rows, true)?)
    }

    /// Takes back the memory of a rule's plugin from [`KeyedChanges::snapshots`]. A plugin that does not take it is told of
    /// in the log and begins anew.
    ///
    /// # Errors
    /// [`EngineError::State`]: a rule that keeps no state here, bytes that are damaged.
    pub fn restore_snapshot(&mut self, rule_id: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let keyed = self.rule(rule_id)?;
        let memory = bytes::read_memory(bytes)
            .map_err(|reason| damaged("a plugin's memory", rule_id, &reason))?;
        keyed.instance.set_memory(memory);
        Ok(())
    }

    /// Sets the time before which everything was evaluated, in microseconds, and drops what waits from before it.
    ///
    /// # Errors
    /// Faults of our own.
    pub fn set_watermark(&mut self, watermark: i64) -> Result<(), EngineError> {
        self.watermark = watermark;
        for keyed in &mut self.rules {
            keyed.pending.take_before(watermark)?;
        }
        Ok(())
    }

    fn find(&self, id: &str) -> Option<usize> {
        let mut rules = self.rules.iter();
        rules.position(|rule| self.plan.rules[rule.position].rule.id == id)
    }

    fn rule(&mut self, id: &str) -> Result<&mut KeyedRule, EngineError> {
        let table = &self.plan.table.name;
        match self.find(id) {
            Some(at) => Ok(&mut self.rules[at]),
            None => Err(wrong(format!(
                "table `{table}` has no rule `{id}` that keeps state"
            ))),
        }
    }
}

/// What rules that keep state have in common while they evaluate.
struct Work<'a> {
    rule: &'a RulePlan,
    batch_rows: usize,
    quarantine: &'a Quarantine,
    progress: &'a Progress,
    /// Everything before it has been evaluated.
    watermark: i64,
    disk: Option<&'a DetectorKeys>,
}

/// What comes of it.
struct Out<'a> {
    findings: &'a mut Vec<Finding>,
    rested: Rested,
    forgotten: Option<Forgotten>,
}

impl KeyedRule {
    /// Evaluates the rows before a time, in microseconds, and calls the wake-ups before it.
    fn advance(
        &mut self,
        work: &Work<'_>,
        end: i64,
        out: &mut Out<'_>,
    ) -> Result<(), DataFusionError> {
        match self.pending.take_before(end)? {
            None => self.evaluate(work, None, Turns::new(), end, out)?,
            Some(rows) => {
                let keys = rows.by_key(work.rule)?;
                let touched = keys.len() + self.keys.count_due(end);
                if self.keys.have_room(self.limits, keys.len(), touched) {
                    let (sorted, turns) = in_turns(&rows, keys)?;
                    self.evaluate(work, Some(sorted), turns, end, out)?;
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
        work: &Work<'_>,
        rows: &Rows,
        keys: ByKey,
        end: i64,
        out: &mut Out<'_>,
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
            let (sorted, turns) = in_turns(rows, keys)?;
            self.evaluate(work, Some(sorted), turns, until, out)?;
            if fitting == 0 {
                self.keys.sweep(Timestamp::clamped(first));
                if let Some(forgotten) = self.keys.forget(self.limits) {
                    out.forgotten.get_or_insert_default().add(forgotten);
                }
            }
            rest = later;
        }
        self.evaluate(work, None, Turns::new(), end, out)
    }

    /// Returns how many of the first rows cannot bring more keys than there may be, up to the first of another time.
    fn fitting(
        &self,
        work: &Work<'_>,
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

    /// Evaluates rows, of which `turns` says where each key's are, and calls the wake-ups before a time, in microseconds.
    fn evaluate(
        &mut self,
        work: &Work<'_>,
        rows: Option<Rows>,
        mut turns: Turns,
        end: i64,
        out: &mut Out<'_>,
    ) -> Result<(), DataFusionError> {
        let rule = work.rule;
        if let Some(disk) = work.disk {
            let times = (work.watermark, self.state_for);
            self.keys
                .warm(&rule.rule.id, turns.keys(), end, times, disk)
                .map_err(DataFusionError::Execution)?;
        }
        for key in self.keys.due_before(end) {
            turns.entry(key.to_string()).or_default();
        }
        for (name, range) in turns {
            let known = self.keys.get(&name);
            let known = known.map_err(DataFusionError::Execution)?;
            let mut key = known.unwrap_or_default();
            let turn = Turn {
                rule,
                key: &mut key,
                state_for: self.state_for,
                instance: &mut self.instance,
                quarantine: work.quarantine,
                rested: &mut out.rested,
                last: None,
                progress: work.progress,
                batch_rows: work.batch_rows,
                findings: &mut *out.findings,
            };
            let (started, events) = (Instant::now(), range.len());
            let rows = rows.as_ref().filter(|_| !range.is_empty());
            turn.take(rows.map(|rows| rows.slice(range)), end)?;
            work.quarantine
                .took_with_state(rule.index, events, started.elapsed());
            self.keys
                .set(&name, &key, self.state_for)
                .map_err(DataFusionError::Execution)?;
        }
        Ok(())
    }
}

/// The rows of each key.
type ByKey = BTreeMap<String, Vec<u32>>;

/// A key's rows among those that are sorted.
type Turns = BTreeMap<String, std::ops::Range<usize>>;

/// Sorts rows by key, time, object and row, and says where each key's are.
fn in_turns(rows: &Rows, keys: ByKey) -> Result<(Rows, Turns), ArrowError> {
    let mut order: Vec<u32> = Vec::with_capacity(rows.len());
    let mut turns = Turns::new();
    for (key, mut own) in keys {
        own.sort_by_key(|row| &rows.events[*row as usize]);
        let first = order.len();
        order.extend(own);
        turns.insert(key, first..order.len());
    }
    let sorted = rows.take(&UInt32Array::from(order))?;
    Ok((sorted, turns))
}

/// What a rule that rests does not evaluate, told together.
#[derive(Debug, Default)]
struct Rested {
    rows: u64,
    wakes: u64,
    first: Option<EventRef>,
    last: Option<EventRef>,
}

impl Rested {
    fn add(&mut self, event: &EventRef) {
        if self.first.as_ref().is_none_or(|first| event < first) {
            self.first = Some(event.clone());
        }
        if self.last.as_ref().is_none_or(|last| event > last) {
            self.last = Some(event.clone());
        }
    }

    fn report(self, rule: &RulePlan, progress: &Progress) {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return;
        };
        progress.skipped(SkippedEvents {
            rule: rule.index,
            rule_id: rule.rule.id.clone(),
            cause: Cause::Rest,
            reason: QUARANTINED.to_owned(),
            rows: self.rows,
            wakes: self.wakes,
            first,
            last,
        });
    }
}

/// Returns the error of too many rows that wait; `counts` are numbers of rows by place in the plan.
pub(crate) fn too_many_pending(
    plan: &TablePlan,
    limit: usize,
    counts: impl Iterator<Item = (usize, usize)>,
) -> EngineError {
    let mut by_rule: BTreeMap<usize, usize> = BTreeMap::new();
    for (position, rows) in counts {
        *by_rule.entry(position).or_default() += rows;
    }
    let most = by_rule.into_iter().max_by_key(|(_, rows)| *rows);
    let (position, count) = most.unwrap_or_default();
    let rule = plan.rules.get(position).map(|rule| rule.rule.id.clone());
    EngineError::TooManyPending {
        table: plan.table.name.clone(),
        limit,
        rule: rule.unwrap_or_default(),
        count,
    }
}

fn wrong(reason: String) -> EngineError {
    EngineError::State(reason)
}

fn damaged(what: &str, rule: &str, reason: &str) -> EngineError {
    wrong(format!(
        "{what} of rule `{rule}` cannot be read back: {reason}"
    ))
}
