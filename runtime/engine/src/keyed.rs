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
//! What is found follows from the events in the order of their time, whatever the partitions, batches and steps.

mod bytes;
mod instance;
mod pending;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use yagura_core::{EventRef, Finding, Timestamp};

use crate::calls::QUARANTINED;
use crate::error::EngineError;
use crate::plan::{RulePlan, TablePlan};
use crate::quarantine::Quarantine;
use crate::report::{Cause, Progress, SetAside};
use crate::rows::Rows;
use crate::run::RunOptions;
use crate::runtime::PluginSource;

pub(crate) use bytes::{Stored, read_rows, rows as rows_as_bytes};
use instance::Instance;
use pending::Pending;
use turn::{Key, Turn, boundary};

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
    /// Rule id, latest event time in microseconds, and new rows that wait. They are not needed once the watermark has
    /// passed that time.
    pub pending: Vec<(String, i64, Vec<u8>)>,
    /// Rule id and the memory of its plugin, in place of what was there.
    pub snapshots: Vec<(String, Vec<u8>)>,
}

/// The rules of one table that keep state: their rows that wait, the states of their keys, and their plugins' instances.
#[derive(Debug)]
pub struct KeyedDetectors {
    /// Rows of each rule, by id, that came after the watermark had passed them and were not judged. Its reader may take it.
    pub late: BTreeMap<String, u64>,
    /// Rows of each rule, by id, that were stored under other columns and are not judged. Its reader may take it.
    pub outdated: BTreeMap<String, u64>,
    plan: Arc<TablePlan>,
    quarantine: Arc<Quarantine>,
    progress: Arc<Progress>,
    rules: Vec<KeyedRule>,
    /// Everything before it, in microseconds, has been judged.
    watermark: i64,
    batch_rows: usize,
    max_pending_rows: usize,
    max_findings: usize,
}

/// One rule that keeps state.
#[derive(Debug)]
struct KeyedRule {
    /// Its place in the plan.
    position: usize,
    instance: Instance,
    pending: Pending,
    keys: HashMap<String, Key>,
    /// When each key with wake-ups is to be woken next.
    due: BTreeSet<(Timestamp, String)>,
    /// Keys that changed since the last [`KeyedDetectors::take_changes`].
    changed: BTreeSet<String>,
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
            Some(KeyedRule {
                position,
                instance: Instance::new(source.clone(), rule),
                pending: Pending::default(),
                keys: HashMap::new(),
                due: BTreeSet::new(),
                changed: BTreeSet::new(),
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
        }
    }

    /// Says whether no rule of the table keeps state.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Says whether a rule of this id keeps state here.
    pub fn has_rule(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Returns the time before which everything has been judged, in microseconds.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Returns how many rows wait.
    pub fn pending_rows(&self) -> usize {
        self.rules.iter().map(|rule| rule.pending.len()).sum()
    }

    /// Returns how many keys have a state.
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

    /// Judges the rows before `watermark`, in microseconds, and calls the wake-ups before it.
    ///
    /// What a plugin fails on is set aside and reported, as in a scan. A watermark that was passed before changes nothing.
    ///
    /// # Errors
    /// [`EngineError::TooManyFindings`], and faults of our own. The state is not to be used after one.
    pub fn advance(&mut self, watermark: i64) -> Result<Vec<Finding>, EngineError> {
        let mut findings = Vec::new();
        if watermark <= self.watermark {
            return Ok(findings);
        }
        self.watermark = watermark;
        for keyed in &mut self.rules {
            let rule = &self.plan.rules[keyed.position];
            let before = findings.len();
            let told = (&*self.quarantine, &*self.progress);
            // What is found is the same in any steps, and shorter ones hold less at once.
            let mut end = i64::MIN;
            while end < watermark && findings.len() <= self.max_findings {
                end = keyed.pending.end_of_step(watermark);
                keyed
                    .advance(rule, end, self.batch_rows, told, &mut findings)
                    .map_err(|source| EngineError::Scan {
                        table: self.plan.table.name.clone(),
                        source,
                    })?;
            }
            if findings.len() > self.max_findings {
                return Err(EngineError::TooManyFindings {
                    limit: self.max_findings,
                    rule: rule.rule.id.clone(),
                    count: findings.len() - before,
                });
            }
        }
        Progress::add(&self.progress.findings, findings.len());
        Ok(findings)
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
            for key in std::mem::take(&mut keyed.changed) {
                let bytes = keyed.keys.get(&key).map(bytes::key).transpose()?;
                changes.states.push((id.clone(), key, bytes));
            }
            for (latest, rows) in keyed.pending.take_fresh()? {
                let bytes = bytes::rows(rule, &rows)?;
                changes.pending.push((id.clone(), latest, bytes));
            }
            if let Some(memory) = keyed.instance.changed_memory() {
                let bytes = bytes::memory(&memory);
                changes.snapshots.push((id.clone(), bytes));
            }
        }
        Ok(changes)
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
        let keyed = self.rule(rule_id)?;
        let restored =
            bytes::read_key(bytes).map_err(|reason| damaged("a key's state", rule_id, &reason))?;
        keyed.set_key(key, restored);
        Ok(())
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

    /// Sets the time before which everything was judged, in microseconds, and drops what waits from before it.
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

impl KeyedRule {
    fn advance(
        &mut self,
        rule: &RulePlan,
        watermark: i64,
        batch_rows: usize,
        (quarantine, progress): (&Quarantine, &Progress),
        findings: &mut Vec<Finding>,
    ) -> Result<(), DataFusionError> {
        let (rows, mut turns) = match self.pending.take_before(watermark)? {
            Some(rows) => in_turns(rule, &rows)?,
            None => Default::default(),
        };
        let due = self.due.iter();
        let due = due.take_while(|(time, _)| time.micros() < watermark);
        for (_, key) in due {
            turns.entry(key.clone()).or_default();
        }
        let mut rested = Rested::default();
        for (name, range) in turns {
            let known = self.keys.get(&name).cloned();
            let was_kept = known.is_some();
            let mut key = known.unwrap_or_default();
            let turn = Turn {
                rule,
                key: &mut key,
                instance: &mut self.instance,
                quarantine,
                rested: &mut rested,
                last: None,
                progress,
                batch_rows,
                findings,
            };
            let (started, events) = (Instant::now(), range.len());
            let rows = rows.as_ref().filter(|_| !range.is_empty());
            turn.take(rows.map(|rows| rows.slice(range)), watermark)?;
            quarantine.took_with_state(rule.index, events, started.elapsed());
            self.set_key(&name, key);
            if was_kept || self.keys.contains_key(&name) {
                self.changed.insert(name);
            }
        }
        self.sweep(boundary(Timestamp::clamped(watermark)));
        rested.report(rule, progress);
        Ok(())
    }

    /// Keeps a key, unless there is nothing to keep.
    fn set_key(&mut self, name: &str, key: Key) {
        let next = key.state.wakes.first().copied();
        let earlier = if key.state.is_empty() {
            self.keys.remove(name)
        } else {
            self.keys.insert(name.to_owned(), key)
        };
        let due = earlier.and_then(|key| key.state.wakes.first().copied());
        if due == next {
            return;
        }
        if let Some(time) = due {
            self.due.remove(&(time, name.to_owned()));
        }
        if let Some(time) = next {
            self.due.insert((time, name.to_owned()));
        }
    }

    /// Drops what has expired at a boundary, and keys of which nothing is left. Whatever comes for a key later, it finds
    /// its state expired to that boundary at least.
    fn sweep(&mut self, boundary: Timestamp) {
        if boundary <= self.swept {
            return;
        }
        self.swept = boundary;
        let changed = &mut self.changed;
        self.keys.retain(|name, key| {
            let before = key.state.entries.len();
            key.state.expire(boundary);
            if key.state.entries.len() != before {
                changed.insert(name.clone());
            }
            !key.state.is_empty()
        });
    }
}

/// A key's rows among those that are sorted.
type Turns = BTreeMap<String, std::ops::Range<usize>>;

/// Sorts rows by key, time, object and row, and says where each key's are.
fn in_turns(rule: &RulePlan, rows: &Rows) -> Result<(Option<Rows>, Turns), ArrowError> {
    let mut order: Vec<u32> = Vec::with_capacity(rows.len());
    let mut turns = Turns::new();
    for (key, mut own) in rows.by_key(rule)? {
        own.sort_by_key(|row| &rows.events[*row as usize]);
        let first = order.len();
        order.extend(own);
        turns.insert(key, first..order.len());
    }
    let sorted = rows.take(&UInt32Array::from(order))?;
    Ok((Some(sorted), turns))
}

/// What a rule that rests does not judge, told together.
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
        progress.set_aside(SetAside {
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
