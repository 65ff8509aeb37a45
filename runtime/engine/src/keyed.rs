//! Detectors that remember: the rows of one key at a time, in the order of event time.
//!
//! ```text
//! scan             selects rows of rules with `partition_by`, in no order
//!   │ RuleRows
//! push             counts late rows; the others wait
//!   │
//! advance          takes what the watermark has passed, sorted by key, time, object and row
//!   │ a key's rows
//! KeyStep             calls the key's wake-ups and rows as they follow each other, with its state
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
mod capped;
mod changes;
mod instance;
mod key;
mod key_step;
mod keys;
mod rule;
mod skips;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use yagura_core::{Finding, Timestamp};
use yagura_correlate::Size;
use yagura_correlate::store::DetectorKeys;
use yagura_plan::TablePlan;

use self::capped::{Capped, FindingLimit};
pub use self::changes::KeyedChanges;
use self::instance::KeyedInstance;
use self::keys::{KeyLimits, RuleKeys};
use self::rule::{KeyedRule, KeyedStepOutput, StepContext};
use self::skips::QuarantineSkips;
use crate::error::{EngineError, too_many_pending};
use crate::options::RunOptions;
use crate::pending_rows::{DroppedRows, PendingRows, drop_newest};
use crate::quarantine::Quarantine;
use crate::report::RunCounters;
use crate::rows::RuleRows;
use crate::runtime::PluginSource;
use crate::scan_output::ScanOutput;
use crate::shown::MAX_SHOWN;

pub(crate) use self::bytes::{StoredRows, read_rows, rows as rows_as_bytes};

/// The maximum of bytes of a key's name for each of its columns: values are cut where they are shown, and some characters doubled.
const MAX_KEY_NAME: u64 = 2 * (MAX_SHOWN as u64 + 128);

/// The rules of one table that keep state: their rows that wait, the states of their keys, and their plugins' instances.
#[derive(Debug)]
pub struct KeyedDetectors {
    /// Rows of each rule, by id, that came after the watermark had passed them and were not evaluated. Its reader may take it.
    pub late: BTreeMap<String, u64>,
    /// Rows of each rule, by id, that were stored under other columns and are not evaluated. Its reader may take it.
    pub outdated: BTreeMap<String, u64>,
    plan: Arc<TablePlan>,
    quarantine: Arc<Quarantine>,
    progress: Arc<RunCounters>,
    rules: Vec<KeyedRule>,
    /// Everything before it, in microseconds, has been evaluated.
    watermark: i64,
    batch_rows: usize,
    max_pending_rows: usize,
    max_findings: usize,
    max_finding_bytes: usize,
    /// What is too much costs the rules that have it, and ends no step: others wait for it.
    is_shared: bool,
    /// Where keys are that have no room in memory, and how many bytes those in memory may take; `None` where all are there.
    disk: Option<(DetectorKeys, usize)>,
    /// What limits made rules give up.
    capped: Capped,
}

impl KeyedDetectors {
    /// Returns the plan's rules that keep state, with nothing remembered. No plugin is opened before it is needed.
    pub(crate) fn new(
        plan: Arc<TablePlan>,
        plugins: &[PluginSource],
        quarantine: Arc<Quarantine>,
        progress: Arc<RunCounters>,
        options: &RunOptions,
    ) -> Self {
        let rules = plan.rules.iter().enumerate();
        let rules = rules.filter(|(_, rule)| rule.is_keyed());
        let rules = rules.filter_map(|(position, rule)| {
            let source = plugins.get(rule.plugin?)?;
            let of_state = source.plugin.limits().state_kib.saturating_mul(1_024);
            let of_name = (rule.partition.len() as u64).saturating_mul(MAX_KEY_NAME);
            Some(KeyedRule {
                position,
                instance: KeyedInstance::new(source.clone(), rule),
                pending: PendingRows::default(),
                keys: RuleKeys::default(),
                limits: KeyLimits {
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
            max_finding_bytes: options.max_finding_bytes,
            is_shared: options.fairness.is_some(),
            disk: None,
            capped: Capped::default(),
        }
    }

    /// Leaves keys on disk where more than `memory` bytes of them, about, would be in memory. What is stored must be there
    /// before the next call of [`KeyedDetectors::advance`].
    pub fn use_disk(&mut self, keys: DetectorKeys, memory: usize) {
        self.disk = Some((keys, memory));
    }

    /// Returns whether keys are on disk only.
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

    /// Returns for each rule of which limits made it give something up since the last call how much, and a message: keys,
    /// events that waited, findings.
    pub fn take_capped(&mut self) -> Vec<(String, u64, String)> {
        self.capped
            .take(&self.plan.table.name, self.max_pending_rows)
    }

    /// Takes the rows that a scan kept, and takes note of those that it did not.
    ///
    /// # Errors
    /// As [`KeyedDetectors::push`].
    pub fn take_scanned(&mut self, scanned: ScanOutput) -> Result<(), EngineError> {
        self.note_dropped(&scanned.dropped);
        for rows in scanned.keyed {
            self.push(rows)?;
        }
        Ok(())
    }

    /// Records rows that a scan did not keep, by the rule's place in the plan.
    pub(crate) fn note_dropped(&mut self, cut: &BTreeMap<usize, DroppedRows>) {
        for (position, cut) in cut {
            self.capped
                .add_rows(&self.plan.rules[*position].rule.id, cut.clone());
        }
    }

    /// Returns whether no rule of the table keeps state.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns whether a rule of this id keeps state here.
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

    /// Takes rows of one rule, which wait for the watermark. Those that it has passed are counted in `late`. In a service those
    /// that are too many then are given up by the next [`KeyedDetectors::advance`].
    ///
    /// # Errors
    /// [`EngineError::TooManyPending`] in a single run; none of the rows is taken then.
    pub fn push(&mut self, keyed: RuleRows) -> Result<(), EngineError> {
        let mut rules = self.rules.iter();
        let at = rules.position(|rule| rule.position == keyed.position);
        let Some(at) = at else {
            let reason = "rows are for a rule that keeps no state";
            return Err(EngineError::State(reason.to_owned()));
        };
        let rule = &self.plan.rules[keyed.position];
        let all = keyed.rows.len();
        let rows = keyed.rows.not_before(self.watermark)?;
        if rows.len() < all {
            let late = self.late.entry(rule.rule.id.clone()).or_default();
            *late += (all - rows.len()) as u64;
        }
        if !self.is_shared && self.pending_rows() + rows.len() > self.max_pending_rows {
            let waiting = self.rules.iter();
            let waiting = waiting.map(|rule| (rule.position, rule.pending.len()));
            let counts = waiting.chain([(keyed.position, rows.len())]);
            return Err(too_many_pending(&self.plan, self.max_pending_rows, counts));
        }
        self.rules[at]
            .pending
            .push(rows.with_stored_types(rule)?, false)?;
        Ok(())
    }

    /// Gives up rows where more wait than may: the newest of the rules that have the most, so that no other rule misses one. The
    /// time that is reached next has all of its rows then, and what is missing begins at a time that can be told.
    fn give_up_rows(&mut self) -> Result<(), EngineError> {
        if !self.is_shared || self.pending_rows() <= self.max_pending_rows {
            return Ok(());
        }
        let mut waiting: Vec<&mut PendingRows> = self
            .rules
            .iter_mut()
            .map(|keyed| &mut keyed.pending)
            .collect();
        let cuts = drop_newest(&mut waiting, self.max_pending_rows)?;
        for (keyed, cut) in self.rules.iter().zip(cuts) {
            if let Some(cut) = cut {
                let id = &self.plan.rules[keyed.position].rule.id;
                self.capped.add_rows(id, cut);
            }
        }
        Ok(())
    }

    /// Evaluates the rows before `watermark`, in microseconds, and calls the wake-ups before it. Of what still waits then, what is too
    /// much is given up in a service.
    ///
    /// What a plugin fails on is skipped and reported, as in a scan. A watermark that was passed before changes nothing.
    /// Where the keys take too much memory it stops before, at a time that [`KeyedDetectors::watermark`] tells: once the
    /// changes are taken and stored, the rest follows.
    ///
    /// # Errors
    /// [`EngineError::TooManyFindings`] in a single run, and faults of our own. The state is not to be used after one.
    pub fn advance(&mut self, watermark: i64) -> Result<Vec<Finding>, EngineError> {
        let mut findings = Vec::new();
        let rules = self.rules.len();
        let mut share = self
            .is_shared
            .then(|| FindingLimit::new(self.max_findings, self.max_finding_bytes, rules));
        let plan = Arc::clone(&self.plan);
        while self.watermark < watermark {
            // What is found is the same in any steps, and shorter ones hold less at once.
            let ends = self.rules.iter();
            let ends = ends.map(|keyed| keyed.pending.end_of_step(watermark));
            let end = ends.min().unwrap_or(watermark);
            for keyed in &mut self.rules {
                let rule = &plan.rules[keyed.position];
                let work = StepContext {
                    rule,
                    batch_rows: self.batch_rows,
                    quarantine: &self.quarantine,
                    progress: &self.progress,
                    watermark: self.watermark,
                    disk: self.disk.as_ref().map(|(disk, _)| disk),
                };
                let before = findings.len();
                let mut out = KeyedStepOutput {
                    findings: &mut findings,
                    skips: QuarantineSkips::default(),
                    forgotten: None,
                };
                keyed
                    .advance(&work, end, &mut out)
                    .map_err(|source| EngineError::Scan {
                        table: plan.table.name.clone(),
                        source,
                    })?;
                out.skips.report(rule, &self.progress);
                let id = &rule.rule.id;
                if let Some(forgotten) = out.forgotten {
                    self.capped.add_keys(id, forgotten, keyed.limits);
                }
                if let Some(share) = &mut share {
                    match share.keep(rule.index, &mut findings, before) {
                        0 => {}
                        over => self.capped.add_findings(id, over),
                    }
                } else if findings.len() > self.max_findings {
                    let of_rule = findings.iter().filter(|found| found.rule == rule.index);
                    return Err(EngineError::TooManyFindings {
                        limit: self.max_findings,
                        rule: id.clone(),
                        count: of_rule.count(),
                    });
                }
            }
            self.watermark = end;
            if self.memory() > self.disk.as_ref().map_or(usize::MAX, |(_, most)| *most) {
                break;
            }
        }
        self.give_up_rows()?;
        RunCounters::add(&self.progress.findings, findings.len());
        Ok(findings)
    }

    fn memory(&self) -> usize {
        self.rules.iter().map(|rule| rule.keys.memory()).sum()
    }

    fn find(&self, id: &str) -> Option<usize> {
        let mut rules = self.rules.iter();
        rules.position(|rule| self.plan.rules[rule.position].rule.id == id)
    }

    fn rule(&mut self, id: &str) -> Result<&mut KeyedRule, EngineError> {
        let table = &self.plan.table.name;
        match self.find(id) {
            Some(at) => Ok(&mut self.rules[at]),
            None => Err(EngineError::State(format!(
                "table `{table}` has no rule `{id}` that keeps state"
            ))),
        }
    }
}
