//! Live: the same rules over tables that grow, step by step, with what they remember in a store.
//!
//! ```text
//! each table by itself                                                                 all together
//! list ─▶ objects, with their times by their footers ─▶ the earliest of them ─▶ scan ─▶ fold ─▶ one commit ─▶ lines
//! ```
//!
//! A table's watermark follows its latest event, less its lateness. It never passes an object that is listed and not read: so a
//! service that was stopped reads on as if it had not been. It never passes the clock less the lateness either, and while a new
//! table is loaded for the first time it stands still.
//!
//! Tables are listed and read side by side. A step takes what has come, and does not wait for a store that is slow.

mod absent;
mod fit;
mod look;
mod notes;
mod objects;
mod read;
mod table;
mod task;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use yagura_core::{Alert, FaultKind, Finding, HasFault, Timestamp};
use yagura_correlate::store::{Pause, Progress, Store, StoreError, TableStatus};
use yagura_correlate::{Change, CorrelationEngine, Watermark};
use yagura_lake::table::{Table, TableError};

use crate::background::Underway;
use crate::error::EngineError;
use crate::evidence::Hasher;
use crate::quarantine::Fairness;
use crate::run::{NotRun, RunInput, RunOptions};

use absent::Absent;
use fit::{Fitted, fit};
use look::OpenTable;
use table::LiveTable;
use task::side_by_side;
use trouble::Troubles;

/// Bytes that the findings may take which a table's objects give in one step.
pub const FINDING_BYTES: usize = 512 << 20;

/// How often it is looked whether work beside the steps has ended.
const LOOK_ASIDE: Duration = Duration::from_millis(20);

/// What becomes of an object that was replaced after it had been read. It is named and counted in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replaced {
    /// What was found in the one before stays, and the new one is not evaluated.
    #[default]
    Keep,
    /// The new one is evaluated too: rules that count see the events that both have twice.
    Evaluate,
}

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
    /// How often a table of very many objects is listed whole, to find objects of days that are past; others always are.
    pub list_all: Duration,
    /// A new table's time stands still until nothing new was listed for so long; absent: it moves from the first object on.
    pub first_load: Option<Duration>,
    /// How long an object that cannot be read is waited for, before time goes on without it.
    pub patience: Duration,
    /// What becomes of an object that was replaced after it had been read.
    pub on_replaced: Replaced,
    /// Events before it are not evaluated.
    pub from: Option<Timestamp>,
    /// How long trouble of the service itself must last to be reported as an alert; absent: it is not.
    pub report_trouble: Option<Duration>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            run: RunOptions {
                fairness: Some(Fairness::default()),
                max_finding_bytes: FINDING_BYTES,
                ..RunOptions::default()
            },
            lateness: BTreeMap::new(),
            every_lateness: None,
            idle: Duration::from_secs(900),
            future: 3_600_000_000,
            step_objects: 64,
            step_bytes: 256 << 20,
            list_all: Duration::from_secs(3_600),
            first_load: Some(Duration::from_secs(10)),
            patience: Duration::from_secs(600),
            on_replaced: Replaced::Keep,
            from: None,
            report_trouble: None,
        }
    }
}

/// Why a service stops.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A table cannot be used, or the host failed.
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

impl HasFault for LiveError {
    fn fault(&self) -> FaultKind {
        match self {
            Self::Engine(error) => error.fault(),
            Self::Table(_) | Self::Store(_) | Self::Vanished { .. } | Self::Json(_) => {
                FaultKind::Input
            }
        }
    }
}

/// A service: tables, rules, and what they remember.
#[derive(Debug)]
pub struct Live {
    input: RunInput,
    options: LiveOptions,
    tables: Vec<LiveTable>,
    /// Tables that cannot be opened yet.
    absent: Vec<Absent>,
    /// Tables that were opened since the service began, and take their place when everything is opened again.
    opened: BTreeMap<String, OpenTable>,
    fold: CorrelationEngine,
    store: Store,
    hasher: Hasher,
    /// Messages for the next commit.
    log: Vec<String>,
    /// Messages for the next step.
    messages: Vec<String>,
    /// The number of the last line that was delivered, and of those that the store knows of.
    delivered: i64,
    committed: i64,
    /// Lines that are committed with the last step, and not handed out yet.
    lines: Vec<(i64, String)>,
    /// What goes wrong with the service itself.
    troubles: Troubles,
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
    /// Alerts that were withdrawn, that became provisional or changed, that were final: in the order of
    /// [`AlertState`](yagura_core::AlertState).
    pub told: [usize; 3],
    /// Findings that came after their time had been final, and events that came too late for rules that keep state.
    pub late: u64,
    /// What a person should know.
    pub messages: Vec<String>,
    /// Whether the next step goes on at once: detectors had no room for the states of more keys in this one.
    pub goes_on: bool,
    /// Whether rules that are evaluated beside the steps have come to something.
    pub background_events: bool,
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
        store: Store,
        delivered: i64,
    ) -> Result<(Self, Opened), LiveError> {
        Self::open_with(input, options, store, delivered, None).await
    }

    /// Opens all, or again with tables that were opened already; others come later then.
    async fn open_with(
        input: RunInput,
        options: LiveOptions,
        mut store: Store,
        delivered: i64,
        again: Option<BTreeMap<String, OpenTable>>,
    ) -> Result<(Self, Opened), LiveError> {
        let is_first = again.is_none();
        let mut opened = again.unwrap_or_default();
        let mut open = Vec::new();
        let mut absent: Vec<Absent> = Vec::new();
        for config in &input.tables {
            let is_named = input
                .rules
                .iter()
                .any(|source| source.rule.table == config.name);
            if !is_named && input.sigma.load.rules.is_empty() {
                continue;
            }
            match opened.remove(&config.name) {
                Some(table) => open.push((config.clone(), table)),
                None => absent.push(Absent::new(config, &store, options.run.range)?),
            }
        }
        if is_first {
            side_by_side(|| absent.iter().filter(|of| of.is_opening()).count()).await;
        }
        let mut still_absent = Vec::new();
        for mut of in absent {
            // What is remembered of the rules of a table that was read before would be lost without it.
            let is_missed = is_first && of.status.objects > 0;
            while is_missed && of.is_opening() {
                tokio::time::sleep(LOOK_ASIDE).await;
            }
            match of.end_open().await {
                Some(Ok(table)) => open.push((of.config, table)),
                Some(Err(error)) if is_missed => {
                    return Err(match error {
                        TableError::Empty {
                            table, location, ..
                        } => LiveError::Vanished { table, location },
                        error => error.into(),
                    });
                }
                _ => still_absent.push(of),
            }
        }
        let absent = still_absent;
        // In the order in which they were given, whichever was opened first.
        open.sort_by_key(|(config, _)| {
            let mut tables = input.tables.iter();
            tables.position(|of| of.name == config.name)
        });
        // Rules that do not fit their tables are found before the state takes note of them.
        let Fitted {
            set,
            left_out,
            runs,
            mut fold,
        } = fit(&input, &open, &options)?;
        let (mut messages, withdrawn) = store.load(&mut fold)?;
        messages.extend(absent.iter().map(Absent::message));
        let mut live_tables = Vec::new();
        // Detectors may have half of the memory, and the tables the same parts of it.
        let keyed = runs.iter().filter(|(_, run)| !run.keyed().is_empty());
        let memory = store.memory() / 2 / keyed.count().max(1);
        for (config, run) in runs {
            let name = run.table.name.clone();
            let known = store.objects_of(&name)?;
            let status = store.table(&name)?;
            let kept = (&store, memory);
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
        let lines = store.outbox(delivered, usize::MAX)?;
        let troubles = Troubles::new(options.report_trouble, store.own_alerts()?);
        let mut live = Self {
            input,
            options,
            troubles,
            tables: live_tables,
            absent,
            opened: BTreeMap::new(),
            fold,
            hasher: Hasher::default(),
            log: left_out,
            messages: Vec::new(),
            delivered,
            committed: 0,
            lines,
            store,
        };
        if !withdrawn.is_empty() {
            live.commit(withdrawn, Progress::default()).await?;
        }
        Ok((live, opened))
    }

    /// Opens everything again, with the same state: a table has appeared or has other columns. No store of a table is asked.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn reopen(mut self) -> Result<(Self, Opened), LiveError> {
        self.store.flush()?;
        let (lines, delivered) = (std::mem::take(&mut self.lines), self.delivered);
        let troubles = std::mem::take(&mut self.troubles);
        let mut opened: BTreeMap<String, OpenTable> = self
            .tables
            .iter()
            .map(|table| (table.name().to_owned(), table.opened()))
            .collect();
        opened.append(&mut self.opened);
        drop(self.fold);
        let (mut live, opened) = Self::open_with(
            self.input,
            self.options,
            self.store,
            delivered,
            Some(opened),
        )
        .await?;
        live.lines = lines.into_iter().chain(live.lines).collect();
        live.lines.sort();
        live.lines.dedup();
        live.troubles = troubles;
        Ok((live, opened))
    }

    /// Lists the tables. Returns true when everything must be opened again.
    ///
    /// # Errors
    /// None of a table's own: these are told in its status, and it is tried again.
    pub async fn poll(&mut self) -> Result<bool, LiveError> {
        for absent in &mut self.absent {
            absent.start_open(self.options.run.range);
        }
        for table in &mut self.tables {
            table.start_look(&self.options);
        }
        side_by_side(|| {
            let looking = self.tables.iter().filter(|table| table.is_looking());
            let opening = self.absent.iter().filter(|absent| absent.is_opening());
            looking.count() + opening.count()
        })
        .await;
        self.take_looks().await
    }

    /// Takes in what was listed. Returns true when everything must be opened again.
    ///
    /// # Errors
    /// As [`Live::poll`].
    pub async fn take_looks(&mut self) -> Result<bool, LiveError> {
        for absent in &mut self.absent {
            let before = absent.message();
            match absent.end_open().await {
                Some(Ok(table)) => {
                    self.opened.insert(absent.config.name.clone(), table);
                }
                _ if absent.message() != before => self.messages.push(absent.message()),
                _ => {}
            }
        }
        for table in &mut self.tables {
            if let Some(other) = table.end_look(&self.options).await {
                self.opened.insert(table.name().to_owned(), other);
            }
        }
        Ok(!self.opened.is_empty())
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
        let mut over: BTreeMap<String, u64> = BTreeMap::new();
        for table in &mut self.tables {
            if let Some(found) = table.background_events() {
                report.background_events = true;
                has_moved = true;
                findings.extend(found);
            }
            table.begin_step();
        }
        report.messages.append(&mut self.messages);
        self.read_on().await;
        for (number, table) in self.tables.iter_mut().enumerate() {
            let Some((found, read)) = table.end_read(&self.options).await else {
                has_moved |= table.idle_has_changed(&self.options);
                continue;
            };
            has_moved = true;
            keyed.insert(number, found.keyed);
            table.defer(found.deferred)?;
            report
                .read
                .push((table.name().to_owned(), read.len(), table.take_scanned()));
            let objects = read.into_iter();
            progress
                .objects
                .extend(objects.map(|object| (table.name().to_owned(), object)));
            for (rule, count) in found.over {
                let id = self.fold.rules().get(rule).map(|rule| rule.id.clone());
                *over.entry(id.unwrap_or_default()).or_default() += count;
            }
            findings.extend(found.findings);
        }
        let has_room = self.fold.pending() + findings.len() < self.options.run.max_findings / 2;
        for table in &mut self.tables {
            has_moved |= table.move_time(has_room);
            table.evaluate_in_background();
            if let Some(deferred) = table.take_deferred() {
                has_moved = true;
                progress.deferred.push(deferred);
            }
            report.messages.extend(table.take_notes());
            let noted = table.take_noted().into_iter();
            progress
                .objects
                .extend(noted.map(|object| (table.name().to_owned(), object)));
            if let Some(news) = table.news() {
                has_moved = true;
                report.messages.extend(news);
            }
        }
        // Nothing waits long for what is evaluated in the background, and not at all where too much waits.
        let passed = |rule: &str| self.fold.passed_of(rule);
        let held = self.tables.iter().filter(|_| has_room);
        let held = held.flat_map(|table| table.held(&passed)).collect();
        has_moved |= self.fold.hold(&held);
        report.waiting = self.tables.iter().map(LiveTable::waiting).sum();
        if !has_moved && report.messages.is_empty() {
            return Ok(None);
        }
        // What memory has no room for is read from there.
        if self.tables.iter().any(LiveTable::has_keys_on_disk) {
            self.store.flush()?;
        }
        let mut late: BTreeMap<String, u64> = BTreeMap::new();
        for (number, table) in self.tables.iter_mut().enumerate() {
            let rows = keyed.remove(&number).unwrap_or_default();
            findings.extend(table.evaluate(rows, None).await?);
            report.goes_on |= table.is_behind();
            if let Some((changes, too_late)) = table.take_changes()? {
                progress.detectors.push(changes);
                late.extend(too_late);
            }
            report.messages.extend(table.end_step());
            for (rule, keys, message) in table.take_forgotten() {
                *over.entry(rule).or_default() += keys;
                report.messages.push(message);
            }
        }
        progress.sizes = Some(self.tables.iter().flat_map(LiveTable::sizes).collect());
        let marks: BTreeMap<String, Watermark> = self
            .tables
            .iter()
            .map(|table| (table.name().to_owned(), table.mark()))
            .collect();
        let mark = |table: &str| marks.get(table).copied().unwrap_or_default();
        let output = self
            .fold
            .step(findings, &mark, &mut self.store)
            .map_err(EngineError::Correlation)?;
        for change in &output.changes {
            report.told[change.state as usize] += 1;
        }
        progress.counters = output.counters;
        for (rule, count) in late {
            *progress.counters.late.entry(rule).or_default() += count;
        }
        for (rule, count) in over {
            *progress.counters.capped.entry(rule).or_default() += count;
        }
        report.late = progress.counters.late.values().sum();
        progress.log.clone_from(&report.messages);
        report.pause = self.commit(output.changes, progress).await?;
        Ok(Some(report))
    }

    /// Begins to read what comes next of each table, and waits for it, but not for long for those that are slow.
    async fn read_on(&mut self) {
        let mut begun = Vec::new();
        for (number, table) in self.tables.iter_mut().enumerate() {
            let was_reading = table.is_reading();
            table.start_read(&self.options);
            if !was_reading && table.is_reading() {
                begun.push(number);
            }
        }
        side_by_side(|| {
            let tables = begun.iter().filter_map(|number| self.tables.get(*number));
            tables.filter(|table| table.is_reading()).count()
        })
        .await;
    }

    /// Says whether work goes on beside the steps: objects are read, or rules are evaluated.
    pub fn is_busy(&self) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|table| table.is_reading() || table.has_news() || table.is_evaluating().0)
    }

    /// Waits until work beside the steps has ended, so that a step has something to do; for ever where there is none.
    pub async fn news(&self) {
        loop {
            let mut tables = self.tables.iter();
            let has_news = tables.any(|table| table.has_news() || table.is_evaluating().1);
            if has_news || self.absent.iter().any(Absent::has_news) {
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
        self.messages.extend(told);
        did_rest
    }

    /// Looks for trouble of the service itself, and commits alerts of what has lasted too long, and of what is over. `dead` says how
    /// many reports to each notifier were given up.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn report_trouble(&mut self, dead: &BTreeMap<String, u64>) -> Result<(), LiveError> {
        let now = Instant::now();
        if !self.troubles.is_due(now) {
            return Ok(());
        }
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let clock = Timestamp::clamped(i64::try_from(clock.as_micros()).unwrap_or(i64::MAX));
        let found = trouble::found(&self.statuses(), dead);
        let changes = self.troubles.look(found, now, clock);
        if !changes.is_empty() {
            let progress = Progress {
                own_alerts: Some(self.troubles.reported()),
                ..Progress::default()
            };
            self.commit(changes, progress).await?;
        }
        Ok(())
    }

    /// Ends the time of all tables: what is open is final as a run over the same objects would. For tests.
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
        while self.tables.iter().any(LiveTable::is_reading) {
            self.step().await?;
        }
        loop {
            for table in &mut self.tables {
                findings.extend(table.background_events().unwrap_or_default());
                table.evaluate_in_background();
                deferred.extend(table.take_deferred());
            }
            if !self.tables.iter().any(|table| table.is_evaluating().0) {
                break;
            }
            tokio::time::sleep(LOOK_ASIDE).await;
        }
        self.store.flush()?;
        for table in &mut self.tables {
            let last = ends.get(table.name()).copied().unwrap_or(i64::MIN);
            findings.extend(table.evaluate(Vec::new(), Some(last)).await?);
        }
        let nothing = |_: &str| Watermark::default();
        let first = self
            .fold
            .step(findings, &nothing, &mut self.store)
            .map_err(EngineError::Correlation)?;
        let evaluated = Progress {
            deferred,
            ..Progress::default()
        };
        self.commit(first.changes, evaluated).await?;
        let output = self
            .fold
            .finish(&end, &mut self.store)
            .map_err(EngineError::Correlation)?;
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
        progress.tables = self.statuses();
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

    /// Returns the lines after this number that are committed and not known to be safe with their reader, at most so many.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn lines_after(&self, seq: i64, most: usize) -> Result<Vec<(i64, String)>, LiveError> {
        Ok(self.store.outbox(seq, most)?)
    }

    /// Returns the number of the last line that was committed.
    pub fn last_line(&self) -> i64 {
        self.store.last_line()
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

    /// Keeps a message with the next commit, for `status`.
    pub fn note(&mut self, message: String) {
        self.log.push(message);
    }

    /// Returns for each table what there is to say of it.
    pub fn statuses(&self) -> Vec<TableStatus> {
        let absent = self.absent.iter().map(|absent| absent.status.clone());
        self.tables
            .iter()
            .map(LiveTable::status)
            .chain(absent)
            .collect()
    }
}

/// A line of the outbox.
#[derive(serde::Serialize)]
struct Line<'a> {
    seq: i64,
    #[serde(flatten)]
    change: &'a Change,
}

/// Returns the final alert of a line that [`Live::take_lines`] returned, or nothing for one of another state.
pub fn final_alert(line: &str) -> Option<Alert> {
    #[derive(serde::Deserialize)]
    struct Read {
        state: String,
        alert: Alert,
    }
    let read: Read = serde_json::from_str(line).ok()?;
    (read.state == "final").then_some(read.alert)
}
