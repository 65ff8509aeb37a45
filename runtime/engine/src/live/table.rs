//! A table that grows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::TimeDelta;
use datafusion::common::runtime::SpawnedTask;
use futures::{StreamExt, stream};
use yagura_core::time::parse_duration;
use yagura_core::{Finding, Timestamp};
use yagura_correlate::Mark;
use yagura_correlate::store::{Deferred, DeferredRows, DetectorState, TableStatus};
use yagura_lake::table::{DataFile, Table, TableConfig};
use yagura_lake::{ObjectTimes, OddTimes, TableDefinition};

use super::{LiveOptions, Names};
use crate::adapt::ConvertedValues;
use crate::error::EngineError;
use crate::keyed::{KeyedDetectors, KeyedRows};
use crate::lane::Lane;
use crate::report::{Cause, SetAside};
use crate::table_run::{FOOTERS_AT_ONCE, Scanned, TableRun};

/// Rows that came too late for detectors with state, by rule.
type LateRows = BTreeMap<String, u64>;

/// How far behind the latest event an event may come where nothing says so: ten minutes.
const DEFAULT_LATENESS: i64 = 600_000_000;

/// A table with its rules planned, and how far it was read.
#[derive(Debug)]
pub(super) struct LiveTable {
    config: TableConfig,
    run: TableRun,
    /// The problem that was told last.
    told: Option<String>,
    /// Rules that are judged beside the steps.
    lane: Lane,
    /// Events that these did not judge since the last step.
    set_aside: Vec<SetAside>,
    /// Whether it is known what is there.
    has_listed: bool,
    /// Rules that keep state; nothing only while they work.
    keyed: Option<KeyedDetectors>,
    /// Names of the objects that were read.
    known: Names,
    /// Objects that are listed and not read, the earliest first.
    waiting: Vec<Waiting>,
    lateness: i64,
    status: TableStatus,
    /// The definition's text when the table was opened.
    definition: Option<String>,
    seen: Instant,
    listed_all: Option<Instant>,
    /// Objects that the next step takes: fewer after a step that found too much.
    take: usize,
    /// Objects of 0 bytes that are there, and whether that was said: a writer may have only begun them.
    empty: BTreeMap<String, bool>,
    /// Events without a time, and before 1990, since the service began.
    odd_times: OddTimes,
    /// Columns whose text is not UTF-8, which was said.
    not_utf8: BTreeSet<String>,
    /// What a person should know, for the next step.
    notes: Vec<String>,
}

/// An object that is listed and not read.
#[derive(Debug, Clone)]
struct Waiting {
    file: DataFile,
    name: String,
    /// Its earliest and latest event time, where it has events that can be read.
    times: Option<(Timestamp, Timestamp)>,
    odd_times: OddTimes,
}

impl LiveTable {
    pub(super) fn new(
        config: TableConfig,
        run: TableRun,
        known: Names,
        status: Option<TableStatus>,
        (detectors, deferred): (&DetectorState, Vec<DeferredRows>),
        options: &LiveOptions,
    ) -> Result<(Self, Vec<String>), EngineError> {
        let name = run.table.name.clone();
        let of_definition = run.table.lateness.as_deref();
        let of_definition = of_definition.and_then(|text| parse_duration(text).ok());
        let given = options
            .lateness
            .get(&name)
            .copied()
            .or(options.every_lateness);
        let lateness = given.or(of_definition).unwrap_or(DEFAULT_LATENESS);
        let mut status = status.unwrap_or_default();
        status.name = name;
        status.lateness = lateness;
        status.is_idle = false;
        status.problem = None;
        status.undecided.clear();
        let mut messages = Vec::new();
        let keyed = restored(&run, &status, detectors, &mut messages)?;
        messages.extend(run.quarantine.restore(&status.rests));
        let mut lane = run.lane();
        messages.extend(lane.restore(deferred)?);
        let table = Self {
            config,
            keyed: Some(keyed),
            told: None,
            lane,
            set_aside: Vec::new(),
            has_listed: false,
            run,
            known,
            waiting: Vec::new(),
            lateness,
            status,
            definition: None,
            seen: Instant::now(),
            listed_all: None,
            take: options.step_objects.max(1),
            empty: BTreeMap::new(),
            odd_times: OddTimes::default(),
            not_utf8: BTreeSet::new(),
            notes: Vec::new(),
        };
        let about = &table.run.table;
        messages.extend(
            about
                .notes
                .iter()
                .map(|note| format!("table `{}`: {note}", about.name)),
        );
        messages.extend(passed_over(about));
        Ok((table, messages))
    }

    /// Lets rules that keep state judge what the watermark has passed, or with `end` all up to then.
    pub(super) async fn judge(
        &mut self,
        rows: Vec<KeyedRows>,
        end: Option<i64>,
    ) -> Result<Vec<Finding>, EngineError> {
        let Some(mut keyed) = self.keyed.take().filter(|keyed| !keyed.is_empty()) else {
            return Ok(Vec::new());
        };
        let passed = end.map(|end| end.max(keyed.latest().unwrap_or(end)).saturating_add(1));
        let passed = passed.unwrap_or(self.mark().time);
        // Plugins may use their whole time limit: never on a thread that drives streams.
        let work = SpawnedTask::spawn_blocking(move || {
            for rows in rows {
                keyed.push(rows)?;
            }
            let findings = keyed.advance(passed)?;
            Ok::<_, EngineError>((keyed, findings))
        });
        let (keyed, findings) = work.join_unwind().await.map_err(|error| {
            EngineError::State(format!("detectors with state did not finish: {error}"))
        })??;
        self.keyed = Some(keyed);
        Ok(findings)
    }

    /// Returns what changed in what the table's detectors remember, and how many rows came too late for them.
    pub(super) fn take_changes(
        &mut self,
    ) -> Result<Option<(DetectorState, LateRows)>, EngineError> {
        let Some(keyed) = self.keyed.as_mut().filter(|keyed| !keyed.is_empty()) else {
            return Ok(None);
        };
        let changes = keyed.take_changes()?;
        let state = DetectorState {
            table: self.status.name.clone(),
            states: changes.states,
            rows: changes.pending,
            memories: changes.snapshots,
            watermark: keyed.watermark(),
        };
        Ok(Some((state, std::mem::take(&mut keyed.late))))
    }

    pub(super) fn name(&self) -> &str {
        &self.status.name
    }

    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.run.table)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn latest(&self) -> Option<i64> {
        self.status.latest.map(Timestamp::micros)
    }

    pub(super) fn status(&self) -> TableStatus {
        TableStatus {
            waiting: self.waiting.len() as u64,
            aside: self.lane.rows(),
            rests: self.run.quarantine.resting(),
            ..self.status.clone()
        }
    }

    /// Lists what is new. Returns true when the table has other columns than before.
    pub(super) async fn poll(&mut self, options: &LiveOptions) -> bool {
        match self.look(options).await {
            Ok(is_other) => {
                // A failed read is told until a read succeeds.
                if self.waiting.is_empty() {
                    self.status.problem = None;
                }
                is_other
            }
            Err(reason) => {
                if self.status.problem.as_deref() != Some(&reason) {
                    tracing::warn!(table = self.name(), reason, "cannot look for new objects");
                }
                self.status.problem = Some(reason);
                false
            }
        }
    }

    async fn look(&mut self, options: &LiveOptions) -> Result<bool, String> {
        let table = self.table();
        let is_due = self
            .listed_all
            .is_none_or(|at| at.elapsed() >= options.list_all);
        let watermark = self.status.watermark.filter(|_| !is_due);
        let since = watermark.map(|time| {
            let lateness = TimeDelta::microseconds(self.lateness);
            let from = time.day() - TimeDelta::days(1);
            from - TimeDelta::days(lateness.num_days())
        });
        let waiting: Names = self
            .waiting
            .iter()
            .map(|waiting| waiting.name.clone())
            .collect();
        let known = |name: &str| self.known.contains(name) || waiting.contains(name);
        let new = table
            .list_new(&known, since)
            .await
            .map_err(|error| crate::calls::chain(&error))?;
        if is_due {
            self.listed_all = Some(Instant::now());
        }
        self.note_empty(new.empty);
        let (new, has_other_partitions) = (new.files, new.has_other_partitions);
        if new.is_empty() {
            self.has_listed = true;
            return Ok(false);
        }
        let is_other = self.has_other_columns().await?;
        if self
            .has_outgrown(&new, has_other_partitions, options)
            .await?
        {
            return Ok(true);
        }
        let times: Vec<_> = stream::iter(&new)
            .map(|file| table.look_at_times(file, Arc::clone(&self.run.cache), Timestamp::MAX))
            .buffered(FOOTERS_AT_ONCE)
            .collect()
            .await;
        for (file, times) in new.into_iter().zip(times) {
            let name = table.location.name_of(&file.meta.location);
            // Whether an object can be read is for the scan to find out, and what to do if not.
            let ObjectTimes {
                bounds: times,
                odd: odd_times,
            } = times.unwrap_or_default();
            let is_before = |(_, latest): (Timestamp, Timestamp)| {
                options.from.is_some_and(|from| latest < from)
            };
            if times.is_some_and(is_before) {
                self.known.insert(name);
                continue;
            }
            self.waiting.push(Waiting {
                file,
                name,
                times,
                odd_times,
            });
        }
        self.waiting.sort_by(|a, b| {
            let order = |waiting: &Waiting| waiting.times.map(|(earliest, _)| earliest);
            (order(a), &a.name).cmp(&(order(b), &b.name))
        });
        self.has_listed = true;
        self.seen = Instant::now();
        // What is listed is read before time passes it.
        self.status.is_idle = false;
        self.status.seen = Some(now());
        Ok(is_other)
    }

    /// Says whether new objects have columns or partitions that the table did not have when it was opened. A definition says
    /// itself which columns there are.
    async fn has_outgrown(
        &self,
        new: &[DataFile],
        has_other_partitions: bool,
        options: &LiveOptions,
    ) -> Result<bool, String> {
        let table = &self.run.table;
        let columns: Vec<_> = stream::iter(new)
            .map(|file| table.has_columns_of(file, Arc::clone(&self.run.cache)))
            .buffered(FOOTERS_AT_ONCE)
            .collect()
            .await;
        // Whether an object can be read is for the scan to find out.
        let has_others = columns.into_iter().any(|has| matches!(has, Ok(false)));
        if !has_others && !has_other_partitions {
            return Ok(false);
        }
        let cache = Arc::clone(&self.run.cache);
        let opened = Table::open(self.config.clone(), options.run.range, cache).await;
        let opened = opened.map_err(|error| crate::calls::chain(&error))?;
        Ok(opened.file_schema != table.file_schema || opened.partitions != table.partitions)
    }

    /// Takes note of objects of 0 bytes. One that is still so at the second look is not being written.
    fn note_empty(&mut self, names: Vec<String>) {
        let before = std::mem::take(&mut self.empty);
        for name in names {
            let mut was_said = before.get(&name).copied().unwrap_or_default();
            if before.contains_key(&name) && !was_said {
                self.notes
                    .push(format!("{name} has 0 bytes and is passed over"));
                was_said = true;
            }
            self.empty.insert(name, was_said);
        }
    }

    /// Returns and forgets what a person should know of what is listed.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    async fn has_other_columns(&mut self) -> Result<bool, String> {
        let read = TableDefinition::read(&self.config.location).await;
        let definition = read.map_err(|error| crate::calls::chain(&error))?;
        let text = definition.and_then(|found| serde_json::to_string(&found.columns).ok());
        let before = std::mem::replace(&mut self.definition, text.clone());
        Ok(before.is_some() && before != text)
    }

    /// Returns the objects of the next step.
    pub(super) fn next(&self, options: &LiveOptions) -> Vec<DataFile> {
        let mut bytes = 0;
        let mut files = Vec::new();
        for waiting in self.waiting.iter().take(self.take) {
            bytes += waiting.file.meta.size;
            if !files.is_empty() && bytes > options.step_bytes {
                break;
            }
            files.push(waiting.file.clone());
        }
        files
    }

    /// Reads objects. Returns what was found and the names of those that were read.
    pub(super) async fn read(
        &mut self,
        files: &[DataFile],
        before: usize,
    ) -> Result<(Scanned, Vec<String>), EngineError> {
        let mut taken = files;
        loop {
            match self.run.run(taken, before).await {
                Ok(scanned) => {
                    let names = scanned.files.iter();
                    let location = &self.run.table.location;
                    let names = names.map(|file| location.name_of(&file.meta.location));
                    let names = names.collect();
                    return Ok((scanned, names));
                }
                // Smaller steps hold fewer findings.
                Err(EngineError::TooManyFindings { .. }) if taken.len() > 1 => {
                    taken = &taken[..taken.len().div_ceil(2)];
                    self.take = taken.len();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes note that objects cannot be read now.
    pub(super) fn fail(&mut self, error: &EngineError) {
        self.status.problem = Some(crate::calls::chain(error));
    }

    /// Says whether the table's problem is another than when it was asked last, or gone, and what to tell of it.
    pub(super) fn news(&mut self) -> Option<Option<String>> {
        if self.told == self.status.problem {
            return None;
        }
        self.told.clone_from(&self.status.problem);
        let message = |problem| format!("table `{}` waits: {problem}", self.status.name);
        Some(self.told.clone().map(message))
    }

    /// Takes note of objects that were read, and moves the table's time on. Returns what a person should know.
    pub(super) fn done(
        &mut self,
        read: &[String],
        (bad, converted): (&[(String, String)], &ConvertedValues),
        options: &LiveOptions,
    ) -> Vec<String> {
        let mut messages = self.run.take_messages();
        messages.extend(self.note_converted(converted));
        self.status.problem = None;
        self.status.objects += read.len() as u64;
        self.status.bad += bad.len() as u64;
        for (name, reason) in bad {
            messages.push(format!("{name} was left out, it cannot be read: {reason}"));
        }
        let names = read.iter().chain(bad.iter().map(|(name, _)| name));
        let gone: Names = names.cloned().collect();
        let limit = now().saturating_add(options.future);
        let mut odd_times = OddTimes::default();
        for waiting in self
            .waiting
            .iter()
            .filter(|waiting| gone.contains(&waiting.name))
        {
            odd_times.join(waiting.odd_times.clone());
            let Some((earliest, latest)) = waiting.times else {
                continue;
            };
            let mut passed = latest;
            if latest > limit {
                self.status.future += 1;
                messages.push(format!(
                    "{} has events at {latest}, more than is allowed ahead of the clock: they do not move time on",
                    waiting.name
                ));
                // The object's events in between are not known, but its earliest is one.
                passed = earliest;
            }
            if passed <= limit {
                self.status.latest = self.status.latest.max(Some(passed));
            }
        }
        messages.extend(self.note_odd_times(odd_times));
        self.waiting.retain(|waiting| !gone.contains(&waiting.name));
        self.known.extend(gone);
        self.take = (self.take * 2).min(options.step_objects.max(1));
        self.move_on();
        messages
    }

    /// Counts events whose times are odd. Returns what to say: of the first, and each time that they are ten times as many.
    fn note_odd_times(&mut self, more: OddTimes) -> Vec<String> {
        let before = [self.odd_times.without.count, self.odd_times.old.count];
        self.odd_times.join(more);
        let table = &self.run.table;
        let kinds = [
            (
                &self.odd_times.without,
                format!(
                    "without a usable time in `{}`: no rule evaluates them",
                    table.time
                ),
            ),
            (
                &self.odd_times.old,
                "before 1990: their times are most likely wrong".to_owned(),
            ),
        ];
        let grown = kinds
            .into_iter()
            .zip(before)
            .filter(|((odd, _), before)| odd.count.checked_ilog10() != before.checked_ilog10());
        let messages = grown.filter_map(|((odd, what), _)| {
            let (object, row, _) = odd.example.as_ref()?;
            Some(format!(
                "table `{}` has {} {what}; for instance row {row} of {object}",
                table.name,
                events(odd.count),
            ))
        });
        messages.collect()
    }

    /// Returns what to say of values that rules see otherwise than they are stored: of text once a column, of lost values each
    /// time.
    fn note_converted(&mut self, converted: &ConvertedValues) -> Vec<String> {
        let new = converted.not_utf8.iter();
        let new: BTreeMap<_, _> = new
            .filter(|(column, _)| self.not_utf8.insert((*column).clone()))
            .map(|(column, count)| (column.clone(), *count))
            .collect();
        let told = ConvertedValues {
            not_utf8: new,
            lost: converted.lost.clone(),
        };
        told.messages(&self.run.table.name)
    }

    /// No event before the watermark is still to come: events follow the latest within the lateness, and what is listed
    /// is read before time passes it.
    fn move_on(&mut self) {
        let Some(latest) = self.status.latest else {
            return;
        };
        let late = latest.saturating_add(-self.lateness);
        let waiting = self.waiting.iter().map(|waiting| match waiting.times {
            Some((earliest, _)) => earliest,
            None => Timestamp::clamped(i64::MIN),
        });
        let passed = waiting.fold(late, Timestamp::min);
        self.status.watermark = self.status.watermark.max(Some(passed));
    }

    /// Says whether the table has fallen silent or speaks again since it was asked.
    pub(super) fn idle_has_changed(&mut self, options: &LiveOptions) -> bool {
        let is_idle = self.waiting.is_empty() && self.seen.elapsed() >= options.idle;
        let has_changed = self.status.is_idle != is_idle;
        self.status.is_idle = is_idle;
        has_changed
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            time: self.status.watermark.map_or(i64::MIN, Timestamp::micros),
            is_idle: self.status.is_idle,
        }
    }

    /// Begins a step: rules that have rested are tried again. Returns whether the table's time has moved, as it does where
    /// another lateness holds now.
    pub(super) fn begin_step(&mut self) -> bool {
        let waiting = self.lane.rules();
        self.run.quarantine.begin_step(now(), &waiting);
        let before = self.status.watermark;
        // What is there has to be known before time moves.
        if self.has_listed {
            self.move_on();
        }
        self.status.watermark != before
    }

    /// Returns the rules whose time waits for what is judged beside the steps, with the earliest such event.
    pub(super) fn held<'a>(
        &'a self,
        passed: &'a dyn Fn(&str) -> i64,
    ) -> impl Iterator<Item = (String, i64)> + 'a {
        self.lane.held(&self.run.quarantine, passed)
    }

    /// Leaves rows to be judged beside the steps.
    pub(super) fn defer(&mut self, rows: Vec<KeyedRows>) -> Result<(), EngineError> {
        let left_out = self.lane.push(rows)?;
        self.set_aside.extend(left_out);
        Ok(())
    }

    /// Returns what was found beside the steps, nothing where no judgement has ended.
    pub(super) fn judged_aside(&mut self) -> Option<Vec<Finding>> {
        let judged = self.lane.collect()?;
        self.set_aside.extend(judged.set_aside);
        Some(judged.findings)
    }

    /// Lets what waits be judged beside the steps.
    pub(super) fn judge_aside(&mut self) {
        if self.lane.rules().is_empty() {
            return;
        }
        match self.run.runtime() {
            Ok(runtime) => self.lane.start(&runtime),
            // It waits, as it does when objects cannot be read.
            Err(error) => self.fail(&error),
        }
    }

    /// Says whether rules are judged beside the steps, and whether such a judgement has ended.
    pub(super) fn is_judging(&self) -> (bool, bool) {
        (self.lane.is_busy(), self.lane.has_news())
    }

    /// Returns what changed in what waits to be judged beside the steps.
    pub(super) fn take_deferred(&mut self) -> Option<Deferred> {
        self.lane.take_changes()
    }

    /// Ends a step. Returns what a person should know: which events were not judged, and which rules rest and work again.
    pub(super) fn end_step(&mut self) -> Vec<String> {
        let quarantine = &self.run.quarantine;
        let mut set_aside = std::mem::take(&mut self.set_aside);
        set_aside.extend(self.run.progress.take_set_aside());
        let mut messages = Vec::new();
        for aside in &set_aside {
            match aside.cause {
                // Counted with the rest, and told when it ends.
                Cause::Rest => {}
                Cause::Condition => {
                    messages.extend(count_undecided(&mut self.status, aside));
                }
                Cause::Plugin | Cause::NoRoom => messages.push(aside.message()),
            }
        }
        messages.extend(quarantine.end_step(now(), &set_aside));
        messages
    }

    /// Ends the rest of a rule. Returns what to tell where it did rest.
    pub(super) fn release(&self, rule: &str) -> Option<String> {
        self.run.quarantine.release(rule)
    }

    /// Returns how many events the rules looked at since the last call.
    pub(super) fn take_scanned(&mut self) -> u64 {
        let scanned = self.run.progress.scanned.swap(0, Ordering::Relaxed);
        self.status.events += scanned;
        scanned
    }
}

fn events(count: u64) -> String {
    match count {
        1 => "1 event".to_owned(),
        _ => format!("{count} events"),
    }
}

/// Says what lies in a table and is not read.
fn passed_over(table: &Table) -> Option<String> {
    let other = &table.passed_over.other;
    let first = other.first.as_ref()?;
    Some(format!(
        "table `{}`: {} not read, because {} not end in `.parquet`; for instance {first}",
        table.name,
        match other.count {
            1 => "1 object is".to_owned(),
            count => format!("{count} objects are"),
        },
        if other.count == 1 {
            "its name does"
        } else {
            "their names do"
        }
    ))
}

/// Counts events on which a `where` failed. Returns what to tell: of the first, and each time that they are ten times as many,
/// since a condition that fails fails every second.
fn count_undecided(status: &mut TableStatus, aside: &SetAside) -> Option<String> {
    let known = status.undecided.entry(aside.rule_id.clone()).or_default();
    let before = known.events;
    known.events += aside.rows;
    known.reason.clone_from(&aside.reason);
    if before.checked_ilog10() == known.events.checked_ilog10() {
        return None;
    }
    let so_far = match before {
        0 => String::new(),
        _ => format!(" ({} so far)", known.events),
    };
    Some(format!("{}{so_far}", aside.message()))
}

/// Gives detectors back what they remember; what belongs to rules that there are no more is left out.
fn restored(
    run: &TableRun,
    status: &TableStatus,
    stored: &DetectorState,
    messages: &mut Vec<String>,
) -> Result<KeyedDetectors, EngineError> {
    let mut keyed = run.keyed();
    keyed.set_watermark(status.watermark.map_or(i64::MIN, Timestamp::micros))?;
    for (rule, key, value) in &stored.states {
        if let Some(value) = value.as_deref().filter(|_| keyed.has_rule(rule)) {
            keyed.restore_state(rule, key, value)?;
        }
    }
    for (rule, _, rows) in &stored.rows {
        if keyed.has_rule(rule) {
            keyed.restore_pending(rule, rows)?;
        }
    }
    for (rule, memory) in &stored.memories {
        if keyed.has_rule(rule) {
            keyed.restore_snapshot(rule, memory)?;
        }
    }
    for (rule, rows) in std::mem::take(&mut keyed.outdated) {
        messages.push(format!(
            "rule `{rule}` has other columns now: {rows} events that waited for it are not judged"
        ));
    }
    Ok(keyed)
}

/// Returns the time on the clock, which only says how far behind the events are.
fn now() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::clamped(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
