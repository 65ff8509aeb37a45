//! Live: the same rules over tables that grow, step by step, with what they remember in a store.
//!
//! ```text
//! list ─▶ objects, with their times by their footers ─▶ the earliest of them ─▶ scan ─▶ fold ─▶ one commit ─▶ lines
//! ```
//!
//! A table's watermark follows its latest event, less its lateness, and never passes an object that is listed and not read:
//! so a service that was stopped reads on as if it had not been.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use yagura_core::{Alert, Finding, Timestamp};
use yagura_correlate::store::{Pause, Progress, Store, StoreError};
use yagura_correlate::{Change, Fold, FoldOptions, Mark};
use yagura_lake::table::{Table, TableConfig, TableError};

use crate::error::EngineError;
use crate::evidence::Hasher;
use crate::lane::Underway;
use crate::quarantine::Fairness;
use crate::ruleset::{RuleSet, rule_error};
use crate::run::{NotRun, RunInput, RunOptions};
use crate::table_run::{TableRun, footer_cache};

use table::LiveTable;

/// How often it is looked whether a judgement beside the steps has ended.
const LOOK_ASIDE: Duration = Duration::from_millis(20);

/// How a service works.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// How objects are scanned.
    pub run: RunOptions,
    /// How far behind a table's latest event an event may come, where that is set, by table.
    pub lateness: BTreeMap<String, i64>,
    /// The same for all other tables; absent: as their definitions say, else ten minutes.
    pub every_lateness: Option<i64>,
    /// Silence of a table after which the others do not wait for it.
    pub idle: Duration,
    /// How far ahead of the clock an event may be and still move time on, in microseconds.
    pub future: i64,
    /// Objects of a table that one step takes.
    pub step_objects: usize,
    /// Bytes of a table's objects that one step takes.
    pub step_bytes: u64,
    /// How often a table is listed whole, to find objects that came late for their day.
    pub list_all: Duration,
    /// Events before it are not judged.
    pub from: Option<Timestamp>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            run: RunOptions {
                fairness: Some(Fairness::default()),
                ..RunOptions::default()
            },
            lateness: BTreeMap::new(),
            every_lateness: None,
            idle: Duration::from_secs(900),
            future: 3_600_000_000,
            step_objects: 64,
            step_bytes: 256 << 20,
            list_all: Duration::from_secs(3_600),
            from: None,
        }
    }
}

/// Why a service stops.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A rule or a table cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A table cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table that was there is gone.
    #[error(
        "table `{table}` had objects when its state was made, and has none now under {location}; put them back, or start with another state directory"
    )]
    Vanished {
        /// The table.
        table: String,
        /// Where it was.
        location: String,
    },
    /// A line for the outbox cannot be written.
    #[error("cannot write an alert as JSON")]
    Json(#[from] serde_json::Error),
}

/// A service: tables, rules, and what they remember.
#[derive(Debug)]
pub struct Live {
    input: RunInput,
    options: LiveOptions,
    tables: Vec<LiveTable>,
    /// Tables without objects yet.
    absent: Vec<TableConfig>,
    fold: Fold,
    store: Store,
    hasher: Hasher,
    /// Messages for the next commit.
    log: Vec<String>,
    /// Messages for the next step, of rules that were released.
    released: Vec<String>,
    /// The number of the last line that was delivered, and of those that the store knows of.
    delivered: i64,
    committed: i64,
    /// Lines that are committed with the last step, and not handed out yet.
    lines: Vec<(i64, String)>,
}

/// What is told when a service starts.
#[derive(Debug, Default)]
pub struct Opened {
    /// What became of rules that changed, and of tables.
    pub messages: Vec<String>,
    /// Rules that do not run.
    pub not_run: Vec<NotRun>,
    /// Rules that do.
    pub rules: usize,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct StepReport {
    /// For each table how many objects were read, and how many events its rules looked at.
    pub read: Vec<(String, usize, u64)>,
    /// Objects that are listed and not read yet.
    pub waiting: usize,
    /// Alerts that were taken back, that became provisional or changed, that were settled: in the order of
    /// [`State`](yagura_correlate::State).
    pub told: [usize; 3],
    /// Findings that came after their time had been settled, and events that came too late for rules that keep state.
    pub late: u64,
    /// What a person should know.
    pub messages: Vec<String>,
    /// Whether rules that are judged beside the steps have come to something.
    pub judged_aside: bool,
    /// How long the checkpoint held the step up.
    pub pause: Pause,
}

impl Live {
    /// Opens tables and rules and gives them back what they remember. `delivered` is the number of the last line that the
    /// outbox's reader has.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn open(
        input: RunInput,
        options: LiveOptions,
        mut store: Store,
        delivered: i64,
    ) -> Result<(Self, Opened), LiveError> {
        let mut open = Vec::new();
        let mut absent = Vec::new();
        for config in &input.tables {
            let is_named = input
                .rules
                .iter()
                .any(|source| source.rule.table == config.name);
            if !is_named && input.sigma.load.rules.is_empty() {
                continue;
            }
            let cache = footer_cache();
            let range = options.run.range;
            match Table::open(config.clone(), range, Arc::clone(&cache)).await {
                Ok(table) => open.push((config.clone(), Arc::new(table), cache)),
                Err(TableError::Empty {
                    table, location, ..
                }) => {
                    if store.table(&table)?.is_some_and(|known| known.objects > 0) {
                        return Err(LiveError::Vanished { table, location });
                    }
                    absent.push(config.clone());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let tables: Vec<Arc<Table>> = open.iter().map(|(_, table, _)| Arc::clone(table)).collect();
        let known: Vec<&str> = input
            .tables
            .iter()
            .map(|table| table.name.as_str())
            .collect();
        let set = RuleSet::new(input.rules.clone(), &input.sigma, &tables, &known)?;
        let rules: Vec<_> = set
            .rules
            .iter()
            .map(|source| Arc::clone(&source.rule))
            .collect();
        let fold_options = FoldOptions {
            workers: options.run.partitions,
            is_live: true,
            places: input.places.clone(),
        };
        // Rules that do not fit their tables are found before the state takes note of them.
        let mut runs = Vec::new();
        for (config, table, cache) in open {
            let rules = set.of_table(&table.name);
            if !rules.is_empty() {
                let (all, plugins) = (&set.rules, &input.plugins);
                let run = TableRun::new(table, cache, &rules, all, plugins, &options.run)?;
                runs.push((config, run));
            }
        }
        let mut fold =
            Fold::new(rules, fold_options).map_err(|error| rule_error(&set.rules, error))?;
        let (mut messages, taken_back) = store.load(&mut fold)?;
        for config in &absent {
            messages.push(format!(
                "table `{}` has no objects yet; its rules run from the first one on",
                config.name
            ));
        }
        let mut live_tables = Vec::new();
        for (config, run) in runs {
            let name = run.table.name.clone();
            let known = store.objects_of(&name)?;
            let status = store.table(&name)?;
            let detectors = store.detectors_of(&name)?;
            let kept = (&detectors, store.deferred_of(&name)?);
            let (made, told) = LiveTable::new(config, run, known, status, kept, &options)?;
            messages.extend(told);
            live_tables.push(made);
        }
        messages.extend(set.notes.iter().map(|note| format!("warning: {note}")));
        let opened = Opened {
            messages,
            not_run: set.not_run,
            rules: set.rules.len(),
        };
        let lines = store.outbox(delivered)?;
        let mut live = Self {
            input,
            options,
            tables: live_tables,
            absent,
            fold,
            hasher: Hasher::default(),
            log: Vec::new(),
            released: Vec::new(),
            delivered,
            committed: 0,
            lines,
            store,
        };
        if !taken_back.is_empty() {
            live.commit(taken_back, Progress::default()).await?;
        }
        Ok((live, opened))
    }

    /// Opens everything again, with the same state: a table has appeared or has other columns.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn reopen(mut self) -> Result<(Self, Opened), LiveError> {
        self.store.flush()?;
        let (lines, delivered) = (std::mem::take(&mut self.lines), self.delivered);
        drop(self.fold);
        let (mut live, opened) =
            Self::open(self.input, self.options, self.store, delivered).await?;
        live.lines = lines.into_iter().chain(live.lines).collect();
        live.lines.sort();
        live.lines.dedup();
        Ok((live, opened))
    }

    /// Lists the tables. Returns true when everything must be opened again.
    ///
    /// # Errors
    /// None of a table's own: these are told in its status, and it is tried again.
    pub async fn poll(&mut self) -> Result<bool, LiveError> {
        for config in &self.absent {
            let opened = Table::open(config.clone(), self.options.run.range, footer_cache()).await;
            if opened.is_ok() {
                return Ok(true);
            }
        }
        let mut is_other = false;
        for table in &mut self.tables {
            is_other |= table.poll(&self.options).await;
        }
        Ok(is_other)
    }

    /// Reads the earliest of the objects that wait, folds what is found and commits. Returns nothing when there was
    /// nothing to do.
    ///
    /// # Errors
    /// [`LiveError`]; what one table cannot read is told in its status, and tried again.
    pub async fn step(&mut self) -> Result<Option<StepReport>, LiveError> {
        let _underway = Underway::new();
        let mut report = StepReport::default();
        let mut findings: Vec<Finding> = Vec::new();
        let mut progress = Progress::default();
        let mut has_moved = false;
        let mut keyed = BTreeMap::new();
        for table in &mut self.tables {
            if let Some(found) = table.judged_aside() {
                report.judged_aside = true;
                has_moved = true;
                findings.extend(found);
            }
            has_moved |= table.begin_step();
        }
        report.messages.append(&mut self.released);
        for (number, table) in self.tables.iter_mut().enumerate() {
            let files = table.next(&self.options);
            if files.is_empty() {
                has_moved |= table.idle_has_changed(&self.options);
                continue;
            }
            let before = findings.len();
            let (found, read) = match table.read(&files, before).await {
                Ok(read) => read,
                Err(error) => {
                    table.fail(&error);
                    continue;
                }
            };
            has_moved = true;
            keyed.insert(number, found.keyed);
            table.defer(found.deferred)?;
            let values = (&found.bad_files[..], &found.converted);
            for message in table.done(&read, values, &self.options) {
                report.messages.push(message);
            }
            let names = read
                .iter()
                .map(|name| (table.name().to_owned(), name.clone()));
            progress.objects.extend(names);
            let bad = found.bad_files.iter().map(|(name, _)| name.clone());
            progress
                .objects
                .extend(bad.map(|name| (table.name().to_owned(), name)));
            report
                .read
                .push((table.name().to_owned(), read.len(), table.take_scanned()));
            findings.extend(found.findings);
        }
        for table in &mut self.tables {
            table.judge_aside();
            if let Some(deferred) = table.take_deferred() {
                has_moved = true;
                progress.deferred.push(deferred);
            }
            report.messages.extend(table.take_notes());
            if let Some(news) = table.news() {
                has_moved = true;
                report.messages.extend(news);
            }
        }
        // Nothing waits long for what is judged aside, and not at all where too much waits.
        let may_wait = self.fold.pending() < self.options.run.max_findings / 2;
        let passed = |rule: &str| self.fold.passed_of(rule);
        let held = self.tables.iter().filter(|_| may_wait);
        let held = held.flat_map(|table| table.held(&passed)).collect();
        has_moved |= self.fold.hold(&held);
        report.waiting = self.tables.iter().map(LiveTable::waiting).sum();
        if !has_moved && report.messages.is_empty() {
            return Ok(None);
        }
        let mut late: BTreeMap<String, u64> = BTreeMap::new();
        for (number, table) in self.tables.iter_mut().enumerate() {
            let rows = keyed.remove(&number).unwrap_or_default();
            findings.extend(table.judge(rows, None).await?);
            if let Some((changes, too_late)) = table.take_changes()? {
                progress.detectors.push(changes);
                late.extend(too_late);
            }
            report.messages.extend(table.end_step());
        }
        let marks: BTreeMap<String, Mark> = self
            .tables
            .iter()
            .map(|table| (table.name().to_owned(), table.mark()))
            .collect();
        let mark = |table: &str| marks.get(table).copied().unwrap_or_default();
        let output = self
            .fold
            .step(findings, &mark, &mut self.store)
            .map_err(EngineError::State)?;
        for change in &output.changes {
            report.told[change.state as usize] += 1;
        }
        progress.counters = output.counters;
        for (rule, count) in late {
            *progress.counters.late.entry(rule).or_default() += count;
        }
        report.late = progress.counters.late.values().sum();
        progress.log.clone_from(&report.messages);
        report.pause = self.commit(output.changes, progress).await?;
        Ok(Some(report))
    }

    /// Says whether rules are judged beside the steps.
    pub fn is_judging(&self) -> bool {
        self.tables.iter().any(|table| table.is_judging().0)
    }

    /// Waits until a judgement beside the steps has ended, so that a step has something to do; for ever where there is none.
    pub async fn judged(&self) {
        if !self.is_judging() {
            return std::future::pending().await;
        }
        loop {
            if self.tables.iter().any(|table| table.is_judging().1) {
                return;
            }
            tokio::time::sleep(LOOK_ASIDE).await;
        }
    }

    /// Ends the rest of a rule, as if its plugin had never failed: it is tried with the next step. Returns false where no
    /// rule of this id rests.
    pub fn release(&mut self, rule: &str) -> bool {
        let told = self.tables.iter().find_map(|table| table.release(rule));
        let did_rest = told.is_some();
        self.released.extend(told);
        did_rest
    }

    /// Ends the time of all tables: what is open is settled as a run over the same objects would. For tests.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn finish(&mut self) -> Result<(), LiveError> {
        let ends: BTreeMap<String, i64> = self
            .tables
            .iter()
            .filter_map(|table| Some((table.name().to_owned(), table.latest()?)))
            .collect();
        let end = |table: &str| ends.get(table).copied().unwrap_or(i64::MIN);
        let mut findings = Vec::new();
        let mut deferred = Vec::new();
        loop {
            for table in &mut self.tables {
                findings.extend(table.judged_aside().unwrap_or_default());
                table.judge_aside();
                deferred.extend(table.take_deferred());
            }
            if !self.is_judging() {
                break;
            }
            self.judged().await;
        }
        for table in &mut self.tables {
            let last = ends.get(table.name()).copied().unwrap_or(i64::MIN);
            findings.extend(table.judge(Vec::new(), Some(last)).await?);
        }
        let nothing = |_: &str| Mark::default();
        let first = self
            .fold
            .step(findings, &nothing, &mut self.store)
            .map_err(EngineError::State)?;
        let judged = Progress {
            deferred,
            ..Progress::default()
        };
        self.commit(first.changes, judged).await?;
        let output = self
            .fold
            .finish(&end, &mut self.store)
            .map_err(EngineError::State)?;
        let progress = Progress {
            counters: output.counters,
            ..Progress::default()
        };
        self.commit(output.changes, progress).await?;
        Ok(())
    }

    async fn commit(
        &mut self,
        mut changes: Vec<Change>,
        mut progress: Progress,
    ) -> Result<Pause, LiveError> {
        let tables: Vec<Arc<Table>> = self.tables.iter().map(LiveTable::table).collect();
        let alerts = changes.iter_mut().map(|change| &mut change.alert);
        for (object, error) in self.hasher.fill(&tables, alerts).await {
            self.log.push(format!(
                "events of {object} have no hash in alerts: {error}"
            ));
        }
        let first = self.store.next_line();
        for (number, change) in (first..).zip(&changes) {
            let line = serde_json::to_string(&Line {
                seq: number,
                change,
            })?;
            self.lines.push((number, line.clone()));
            progress.lines.push(line);
        }
        progress.log.append(&mut self.log);
        progress.tables = self.tables.iter().map(LiveTable::status).collect();
        progress.delivered = self.delivered;
        self.committed = self.delivered;
        Ok(self.store.commit(&mut self.fold, progress)?)
    }

    /// Returns the lines that are committed and were not returned before. The caller says with
    /// [`Live::delivered`] when it has them safe.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn take_lines(&mut self) -> Result<Vec<(i64, String)>, LiveError> {
        self.store.flush()?;
        Ok(std::mem::take(&mut self.lines))
    }

    /// Takes note that all lines up to this number are safe with their reader.
    pub fn delivered(&mut self, seq: i64) {
        self.delivered = self.delivered.max(seq);
    }

    /// Commits how far the reader is, if that has changed.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn note_delivered(&mut self) -> Result<(), LiveError> {
        if self.delivered > self.committed {
            self.committed = self.delivered;
            let progress = Progress {
                delivered: self.delivered,
                ..Progress::default()
            };
            self.store.commit(&mut self.fold, progress)?;
        }
        Ok(())
    }

    /// Waits until all that was committed is on disk.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn flush(&mut self) -> Result<(), LiveError> {
        Ok(self.store.flush()?)
    }

    /// Returns for each table what there is to say of it.
    pub fn statuses(&self) -> Vec<yagura_correlate::store::TableStatus> {
        self.tables.iter().map(LiveTable::status).collect()
    }
}

/// A line of the outbox.
#[derive(serde::Serialize)]
struct Line<'a> {
    seq: i64,
    #[serde(flatten)]
    change: &'a Change,
}

/// Names of objects that a table has read.
type Names = BTreeSet<String>;

/// Returns the settled alert of a line that [`Live::take_lines`] returned, or nothing for one of another state.
pub fn settled_alert(line: &str) -> Option<Alert> {
    #[derive(serde::Deserialize)]
    struct Read {
        state: String,
        alert: Alert,
    }
    let read: Read = serde_json::from_str(line).ok()?;
    (read.state == "settled").then_some(read.alert)
}
