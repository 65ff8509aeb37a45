//! Live: the same rules over tables that grow, step by step, with what they remember in a store.
//!
//! ```text
//! each table by itself                                                                 all together
//! list ─▶ objects, with their times by their footers ─▶ the earliest of them ─▶ scan ─▶ correlations ─▶ one commit ─▶ lines
//! ```
//!
//! A table's watermark follows its latest event, less its lateness. It does not pass an object that is listed and not read, unless the
//! store fails to give that object for `patience`: so a service that was stopped reads on as if it had not been. It never passes the clock less the lateness either, and while a new
//! table is loaded for the first time it stands still.
//!
//! Tables are listed and read side by side. A step takes what has come, and does not wait for a store that is slow.

mod committed;
mod error;
mod listing;
mod messages;
mod objects;
mod open;
mod options;
mod planned;
mod read;
mod report;
mod table;
mod task;
mod trouble;
mod unopened;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use yagura_core::{Finding, Timestamp};
use yagura_correlate::store::{Pause, StateStore, StepChanges, TableStatus};
use yagura_correlate::{AlertChange, CorrelationEngine, DroppedFindings, Watermark};
use yagura_lake::table::Table;

pub use self::committed::CommittedLine;
pub use self::error::LiveError;
use self::listing::OpenTable;
pub use self::options::{FINDING_BYTES, LiveOptions, Replaced};
pub use self::report::{OpenReport, StepReport};
use self::table::LiveTable;
use self::task::wait_for_most;
pub use self::trouble::SourceTrouble;
use self::trouble::Troubles;
use self::unopened::UnopenedTable;
use crate::error::EngineError;
use crate::evidence::Hasher;
use crate::run::RunInput;
use crate::running_steps::RunningStep;

/// How often work in the background is checked for its end.
const POLL_BACKGROUND: Duration = Duration::from_millis(20);

/// A service: tables, rules, and what they remember.
#[derive(Debug)]
pub struct Live {
    input: RunInput,
    options: LiveOptions,
    tables: Vec<LiveTable>,
    /// Tables that cannot be opened yet.
    unopened: Vec<UnopenedTable>,
    /// Tables that were opened since the service began, and take their place when everything is opened again.
    opened: BTreeMap<String, OpenTable>,
    correlations: CorrelationEngine,
    store: StateStore,
    hasher: Hasher,
    /// Messages for the next commit.
    log: Vec<String>,
    /// Messages for the next step.
    messages: Vec<String>,
    /// The number of the last line that was delivered, and of those that the store knows of.
    delivered: i64,
    committed: i64,
    /// Lines that are committed with the last step, and not handed out yet.
    lines: Vec<CommittedLine>,
    /// What goes wrong with the service itself.
    troubles: Troubles,
}

impl Live {
    /// Lists the tables. Returns true when everything must be opened again.
    ///
    /// # Errors
    /// None of a table's own: these are in its status, and it is tried again.
    pub async fn poll(&mut self) -> Result<bool, LiveError> {
        for unopened in &mut self.unopened {
            unopened.start_open(self.options.run.range);
        }
        for table in &mut self.tables {
            table.start_listing(&self.options);
        }
        wait_for_most(|| {
            let listing = self.tables.iter().filter(|table| table.is_listing());
            let opening = self
                .unopened
                .iter()
                .filter(|unopened| unopened.is_opening());
            listing.count() + opening.count()
        })
        .await;
        self.take_listings().await
    }

    /// Notes that objects were written to the tables since they were listed: the next [`Live::poll`] finds them, also where a listing
    /// is under way that began before.
    pub fn expect_objects(&mut self) {
        let unopened = self.unopened.iter_mut();
        unopened.for_each(UnopenedTable::expect_objects);
        self.tables.iter_mut().for_each(LiveTable::expect_objects);
    }

    /// Takes in what was listed. Returns true when everything must be opened again.
    ///
    /// # Errors
    /// As [`Live::poll`].
    pub async fn take_listings(&mut self) -> Result<bool, LiveError> {
        for unopened in &mut self.unopened {
            let before = unopened.message();
            match unopened.end_open().await {
                Some(Ok(table)) => {
                    self.opened.insert(unopened.config.name.clone(), table);
                }
                _ if unopened.message() != before => self.messages.push(unopened.message()),
                _ => {}
            }
        }
        for table in &mut self.tables {
            if let Some(other) = table.end_listing(&self.options).await {
                self.opened.insert(table.name().to_owned(), other);
            }
        }
        Ok(!self.opened.is_empty())
    }

    /// Reads the earliest of the objects that wait, correlates what is found and commits. Returns nothing when there was
    /// nothing to do.
    ///
    /// # Errors
    /// [`LiveError`]; what one table cannot read is in its status, and tried again.
    pub async fn step(&mut self) -> Result<Option<StepReport>, LiveError> {
        // What a step takes is gone from its tables: the one before must be on disk.
        self.store.flush()?;
        let _underway = RunningStep::new();
        let mut report = StepReport::default();
        let mut findings: Vec<Finding> = Vec::new();
        let mut progress = StepChanges::default();
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
                let id = self
                    .correlations
                    .rules()
                    .get(rule)
                    .map(|rule| rule.id.clone());
                *over.entry(id.unwrap_or_default()).or_default() += count;
            }
            findings.extend(found.findings);
        }
        let has_room =
            self.correlations.pending() + findings.len() < self.options.run.max_findings / 2;
        for table in &mut self.tables {
            has_moved |= table.update_watermark(has_room);
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
        let passed = |rule: &str| self.correlations.passed_of(rule);
        let held = self.tables.iter().filter(|_| has_room);
        let held = held
            .flat_map(|table| table.waiting_times(&passed))
            .collect();
        has_moved |= self.correlations.hold(&held);
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
            for (rule, count, message) in table.take_capped() {
                *over.entry(rule).or_default() += count;
                report.messages.push(message);
            }
        }
        progress.sizes = Some(self.tables.iter().flat_map(LiveTable::sizes).collect());
        let watermarks: BTreeMap<String, Watermark> = self
            .tables
            .iter()
            .map(|table| (table.name().to_owned(), table.watermark()))
            .collect();
        let watermark = |table: &str| watermarks.get(table).copied().unwrap_or_default();
        let output = self
            .correlations
            .step(findings, &watermark, &mut self.store)
            .map_err(EngineError::Correlation)?;
        for (rule, dropped) in &output.dropped {
            report
                .messages
                .push(dropped_message(rule, dropped, self.options.waiting_bytes));
        }
        for change in &output.changes {
            report.changes[change.state as usize] += 1;
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
        wait_for_most(|| {
            let tables = begun.iter().filter_map(|number| self.tables.get(*number));
            tables.filter(|table| table.is_reading()).count()
        })
        .await;
    }

    /// Returns whether work goes on in the background: objects are read, or rules are evaluated.
    pub fn is_busy(&self) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|table| table.is_reading() || table.has_news() || table.is_evaluating().0)
    }

    /// Waits until work in the background has ended, so that a step has something to do; for ever where there is none.
    pub async fn news(&self) {
        loop {
            let mut tables = self.tables.iter();
            let has_news = tables.any(|table| table.has_news() || table.is_evaluating().1);
            if has_news || self.unopened.iter().any(UnopenedTable::has_news) {
                return;
            }
            tokio::time::sleep(POLL_BACKGROUND).await;
        }
    }

    /// Ends the quarantine of a rule, as if its plugin had never failed: it is evaluated with the next step. Returns false where
    /// no rule of this id is quarantined.
    pub fn release(&mut self, rule: &str) -> bool {
        let told = self.tables.iter().find_map(|table| table.release(rule));
        let did_rest = told.is_some();
        self.messages.extend(told);
        did_rest
    }

    /// Checks the service itself, commits an alert of each trouble that lasts too long, and withdraws those that are over. `dead` is
    /// how many reports to each notifier were given up.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn report_trouble(
        &mut self,
        dead: &BTreeMap<String, u64>,
        sources: &[SourceTrouble],
    ) -> Result<(), LiveError> {
        let now = Instant::now();
        if !self.troubles.is_due(now) {
            return Ok(());
        }
        self.store.flush()?;
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let clock = Timestamp::clamped(i64::try_from(clock.as_micros()).unwrap_or(i64::MAX));
        let found = trouble::current(&self.statuses(), dead, sources);
        let changes = self.troubles.update(found, now, clock);
        if !changes.is_empty() {
            let progress = StepChanges {
                own_alerts: Some(self.troubles.reported()),
                ..StepChanges::default()
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
            tokio::time::sleep(POLL_BACKGROUND).await;
        }
        self.store.flush()?;
        for table in &mut self.tables {
            let last = ends.get(table.name()).copied().unwrap_or(i64::MIN);
            findings.extend(table.evaluate(Vec::new(), Some(last)).await?);
        }
        let nothing = |_: &str| Watermark::default();
        let first = self
            .correlations
            .step(findings, &nothing, &mut self.store)
            .map_err(EngineError::Correlation)?;
        let evaluated = StepChanges {
            deferred,
            ..StepChanges::default()
        };
        self.commit(first.changes, evaluated).await?;
        let output = self
            .correlations
            .finish(&end, &mut self.store)
            .map_err(EngineError::Correlation)?;
        let progress = StepChanges {
            counters: output.counters,
            ..StepChanges::default()
        };
        self.commit(output.changes, progress).await?;
        Ok(())
    }

    async fn commit(
        &mut self,
        mut changes: Vec<AlertChange>,
        mut progress: StepChanges,
    ) -> Result<Pause, LiveError> {
        let tables: Vec<Arc<Table>> = self.tables.iter().map(LiveTable::table).collect();
        let alerts = changes.iter_mut().map(|change| &mut change.alert);
        for (object, error) in self.hasher.fill(&tables, alerts).await {
            self.log.push(format!(
                "events of {object} have no hash in alerts: {error}"
            ));
        }
        let first = self.store.next_line();
        for (number, change) in (first..).zip(changes) {
            let line = CommittedLine::new(number, change)?;
            progress.lines.push(line.text.clone());
            self.lines.push(line);
        }
        progress.log.append(&mut self.log);
        progress.tables = self.statuses();
        progress.delivered = self.delivered;
        self.committed = self.delivered;
        Ok(self.store.commit(&mut self.correlations, progress)?)
    }

    /// Returns the lines that are committed and were not returned before. The caller calls
    /// [`Live::delivered`] when they are safe.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn take_lines(&mut self) -> Result<Vec<CommittedLine>, LiveError> {
        self.store.flush()?;
        Ok(std::mem::take(&mut self.lines))
    }

    /// Returns the lines after this number that are committed and not known to be safe with their reader, at most so many.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn lines_after(&self, seq: i64, most: usize) -> Result<Vec<CommittedLine>, LiveError> {
        CommittedLine::read_all(self.store.outbox(seq, most)?)
    }

    /// Returns the number of the last line that was committed.
    pub fn last_line(&self) -> i64 {
        self.store.last_line()
    }

    /// Records that all lines up to this number are safe with their reader.
    pub fn delivered(&mut self, seq: i64) {
        self.delivered = self.delivered.max(seq);
    }

    /// Commits how far the reader is, if that has changed.
    ///
    /// # Errors
    /// [`LiveError::Store`].
    pub fn note_delivered(&mut self) -> Result<(), LiveError> {
        if self.delivered > self.committed {
            self.store.flush()?;
            self.committed = self.delivered;
            let progress = StepChanges {
                delivered: self.delivered,
                ..StepChanges::default()
            };
            self.store.commit(&mut self.correlations, progress)?;
        }
        Ok(())
    }

    /// Waits until all that was committed is on disk. What had no room there is kept, and tried again.
    ///
    /// # Errors
    /// [`LiveError::Store`]; after [`StateStoreError::NoRoom`] it may be called again, and nothing else before it has succeeded.
    pub fn flush(&mut self) -> Result<(), LiveError> {
        Ok(self.store.flush()?)
    }

    /// Keeps a message with the next commit, for `status`.
    pub fn note(&mut self, message: String) {
        self.log.push(message);
    }

    /// Returns the status of each table.
    pub fn statuses(&self) -> Vec<TableStatus> {
        let unopened = self.unopened.iter().map(|unopened| unopened.status.clone());
        self.tables
            .iter()
            .map(LiveTable::status)
            .chain(unopened)
            .collect()
    }
}

/// Says that a rule lost findings because too many wait.
fn dropped_message(rule: &str, dropped: &DroppedFindings, most: usize) -> String {
    let findings = match dropped.count {
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    format!(
        "findings that waited for the watermark took more than {} MiB, so rule `{rule}` lost {findings} at {} or later; make its `where` narrower, lower the lateness, or raise `pending_mib` of [serve]",
        most >> 20,
        Timestamp::clamped(dropped.first),
    )
}
