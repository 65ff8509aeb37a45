//! A table in a service: how far it was read, and how far its time has come.

mod intake;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use yagura_core::{Finding, TimeSpan, Timestamp};
use yagura_correlate::Size;
use yagura_correlate::Watermark;
use yagura_correlate::store::{Deferred, DetectorState, KnownObject, StateStore, TableStatus};
use yagura_lake::table::{Table, TableConfig, TableError};

use super::error::LiveError;
use super::listing::{ListingResult, OpenTable};
use super::messages::TableMessages;
use super::objects::TableObjects;
use super::options::LiveOptions;
use super::read::ReadResult;
use super::task::BackgroundTask;
use crate::background::Background;
use crate::calls::chain;
use crate::error::EngineError;
use crate::keyed::KeyedDetectors;
use crate::quarantine::Quarantine;
use crate::report::{RunCounters, SkipCause, SkippedEvents};
use crate::rows::RuleRows;
use crate::table_run::TableRun;

/// Rows that came too late for detectors with state, by rule.
type LateRows = BTreeMap<String, u64>;

/// How far behind the latest event an event may come where nothing is set: 10 minutes.
const DEFAULT_LATENESS: i64 = 600_000_000;

/// A table with its rules planned, and how far it was read.
#[derive(Debug)]
pub(super) struct LiveTable {
    config: TableConfig,
    table: Arc<Table>,
    cache: Arc<FileMetadataCache>,
    quarantine: Arc<Quarantine>,
    progress: Arc<RunCounters>,
    /// Nothing while it reads.
    run: Option<TableRun>,
    reading: Option<BackgroundTask<ReadResult>>,
    listing: Option<BackgroundTask<Result<ListingResult, TableError>>>,
    /// Whether objects were written since the listing began, so that it may have missed them.
    list_again: bool,
    /// The problem that was reported last.
    reported_problem: Option<String>,
    /// Why it cannot be listed, and why objects cannot be read for a reason that is none of theirs.
    list_problem: Option<String>,
    read_problem: Option<String>,
    /// Rules that are evaluated in the background.
    background: Background,
    /// Events that these did not evaluate since the last step.
    skipped: Vec<SkippedEvents>,
    /// Whether it is known what is there.
    has_listed: bool,
    /// Rules that keep state; nothing only while they work.
    keyed: Option<KeyedDetectors>,
    /// Whether they had no room in the last step for all that the table's watermark would have passed.
    is_behind: bool,
    objects: TableObjects,
    lateness: i64,
    status: TableStatus,
    seen: Instant,
    listed_all: Option<Instant>,
    /// How many objects there were then.
    all: usize,
    /// Objects that the next step takes: fewer after a step that found too much.
    take: usize,
    /// Messages for a person, for the next step.
    notes: TableMessages,
    /// What must be noted of objects that were not read in the next step.
    noted: Vec<KnownObject>,
}

impl LiveTable {
    pub(super) fn new(
        config: TableConfig,
        run: TableRun,
        known: Vec<KnownObject>,
        status: Option<TableStatus>,
        (store, memory): (&StateStore, usize),
        options: &LiveOptions,
    ) -> Result<(Self, Vec<String>), LiveError> {
        let name = run.table.name.clone();
        let of_definition = run.table.lateness.map(TimeSpan::micros);
        let given = options
            .lateness
            .get(&name)
            .copied()
            .or(options.every_lateness);
        let lateness = given.or(of_definition).unwrap_or(DEFAULT_LATENESS);
        let is_new = status
            .as_ref()
            .is_none_or(|status| status.watermark.is_none());
        let mut status = status.unwrap_or_default();
        status.name = name;
        status.lateness = lateness;
        status.is_idle = false;
        status.problem = None;
        status.skipped.clear();
        status.is_loading = (is_new || status.is_loading) && options.first_load.is_some();
        let mut messages = Vec::new();
        let keyed = restored(&run, &status, (store, memory), &mut messages)?;
        messages.extend(run.quarantine.restore(&status.quarantine));
        let mut background = run.background();
        messages.extend(background.restore(store.deferred_of(&status.name)?)?);
        let table = Self {
            config,
            table: Arc::clone(&run.table),
            cache: Arc::clone(&run.cache),
            quarantine: Arc::clone(&run.quarantine),
            progress: Arc::clone(&run.progress),
            run: Some(run),
            reading: None,
            listing: None,
            list_again: false,
            reported_problem: None,
            list_problem: None,
            read_problem: None,
            keyed: Some(keyed),
            is_behind: false,
            background,
            skipped: Vec::new(),
            has_listed: false,
            objects: TableObjects::new(known),
            lateness,
            status,
            seen: Instant::now(),
            listed_all: None,
            all: 0,
            take: options.step_objects.max(1),
            notes: TableMessages::default(),
            noted: Vec::new(),
        };
        let about = &table.table;
        messages.extend(
            about
                .notes
                .iter()
                .map(|note| format!("table `{}`: {note}", about.name)),
        );
        messages.extend(about.passed_over.other_message(&about.name));
        Ok((table, messages))
    }

    /// Lets rules that keep state evaluate what the watermark has passed, or with `end` all up to then. Where their keys take
    /// too much memory, the table's watermark goes only as far as they came.
    pub(super) async fn evaluate(
        &mut self,
        rows: Vec<RuleRows>,
        end: Option<i64>,
    ) -> Result<Vec<Finding>, EngineError> {
        let Some(mut keyed) = self.keyed.take().filter(|keyed| !keyed.is_empty()) else {
            return Ok(Vec::new());
        };
        let passed = end.map(|end| end.max(keyed.latest().unwrap_or(end)).saturating_add(1));
        let passed = passed.unwrap_or(self.watermark().time);
        // Plugins may use their whole time limit: never on a thread that drives streams.
        let work = SpawnedTask::spawn_blocking(move || {
            for rows in rows {
                keyed.push(rows)?;
            }
            let mut findings = keyed.advance(passed)?;
            while end.is_some() && keyed.watermark() < passed {
                findings.extend(keyed.advance(passed)?);
            }
            Ok::<_, EngineError>((keyed, findings))
        });
        let (keyed, findings) = work.join_unwind().await.map_err(|error| {
            EngineError::State(format!("detectors with state did not finish: {error}"))
        })??;
        self.is_behind = keyed.watermark() < passed;
        if self.is_behind {
            self.status.watermark = Some(Timestamp::clamped(keyed.watermark()));
        }
        self.keyed = Some(keyed);
        Ok(findings)
    }

    /// Returns whether the table's watermark advances with the next step, because detectors had no room for more keys in this one.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Returns whether detectors have keys that are on disk only.
    pub(super) fn has_keys_on_disk(&self) -> bool {
        let keyed = self.keyed.as_ref();
        keyed.is_some_and(KeyedDetectors::has_keys_on_disk)
    }

    /// Returns how much detectors remember, by rule.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (String, Size)> + '_ {
        let keyed = self.keyed.iter();
        keyed.flat_map(KeyedDetectors::sizes)
    }

    /// Returns for each detector that limits made give something up since the last call: its rule, how much, and a message.
    pub(super) fn take_capped(&mut self) -> Vec<(String, u64, String)> {
        let keyed = self.keyed.as_mut();
        keyed.map(KeyedDetectors::take_capped).unwrap_or_default()
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
            gone: changes.gone,
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
        Arc::clone(&self.table)
    }

    /// Returns the table with its footers, to open it again without asking its store.
    pub(super) fn opened(&self) -> OpenTable {
        (Arc::clone(&self.table), Arc::clone(&self.cache))
    }

    pub(super) fn waiting(&self) -> usize {
        self.objects.waiting().len()
    }

    pub(super) fn latest(&self) -> Option<i64> {
        self.status.latest.map(Timestamp::micros)
    }

    pub(super) fn status(&self) -> TableStatus {
        TableStatus {
            waiting: self.waiting() as u64,
            background: self.background.rows(),
            quarantine: self.quarantine.stored(),
            problem: self.problem(),
            ..self.status.clone()
        }
    }

    /// Returns why the table waits, or one of its objects does.
    fn problem(&self) -> Option<String> {
        let of_object = || {
            let (object, reason) = self.objects.trouble()?;
            Some(format!("{object} cannot be read: {reason}"))
        };
        let of_table = self
            .list_problem
            .clone()
            .or_else(|| self.read_problem.clone());
        of_table.or_else(of_object)
    }

    /// Returns and forgets messages for a person of what is listed.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        self.notes.take()
    }

    /// Returns and forgets what must be noted of objects, besides those that a step read.
    pub(super) fn take_noted(&mut self) -> Vec<KnownObject> {
        std::mem::take(&mut self.noted)
    }

    /// Returns whether the table's problem is another than when it was asked last, or gone, and messages about it.
    pub(super) fn news(&mut self) -> Option<Option<String>> {
        let problem = self.problem();
        if self.reported_problem == problem {
            return None;
        }
        self.reported_problem = problem;
        let message = |problem| format!("table `{}` waits: {problem}", self.status.name);
        Some(self.reported_problem.clone().map(message))
    }

    /// No event before the watermark is still to come: events follow the latest within the lateness, and what is listed
    /// is read before time passes it. Events ahead of the clock count as of now, for a correct clock writes none.
    fn advance_watermark(&mut self) {
        let Some(latest) = self.status.latest else {
            return;
        };
        // In whole seconds, so that time does not move each time it is asked.
        let clock = Timestamp::clamped(now().micros() / 1_000_000 * 1_000_000);
        let late = latest.min(clock).saturating_add(-self.lateness);
        let passed = self
            .objects
            .earliest()
            .map_or(late, |waiting| late.min(waiting));
        self.status.watermark = self.status.watermark.max(Some(passed));
    }

    /// Returns whether the table has become idle or active since it was asked.
    pub(super) fn idle_has_changed(&mut self, options: &LiveOptions) -> bool {
        let is_idle = self.objects.waiting().is_empty() && self.seen.elapsed() >= options.idle;
        let has_changed = self.status.is_idle != is_idle;
        self.status.is_idle = is_idle;
        has_changed
    }

    pub(super) fn watermark(&self) -> Watermark {
        Watermark {
            time: self.status.watermark.map_or(i64::MIN, Timestamp::micros),
            is_idle: self.status.is_idle,
        }
    }

    /// Begins a step: rules whose cooldown is over are retried.
    pub(super) fn begin_step(&mut self) {
        if self.run.is_some() {
            let waiting = self.background.rules();
            self.quarantine.begin_step(now(), &waiting);
        }
    }

    /// Advances the table's watermark, unless its first load goes on and there is room for what it finds. Returns whether it has
    /// moved.
    pub(super) fn update_watermark(&mut self, has_room: bool) -> bool {
        let before = self.status.watermark;
        // What is there has to be known before time moves.
        if self.has_listed && !(self.status.is_loading && has_room) {
            self.advance_watermark();
        }
        self.status.watermark != before
    }

    /// Returns the rules whose time waits for what is evaluated in the background, with the earliest such event.
    pub(super) fn waiting_times<'a>(
        &'a self,
        passed: &'a dyn Fn(&str) -> i64,
    ) -> impl Iterator<Item = (String, i64)> + 'a {
        self.background.waiting_times(&self.quarantine, passed)
    }

    /// Leaves rows to be evaluated in the background.
    pub(super) fn defer(&mut self, rows: Vec<RuleRows>) -> Result<(), EngineError> {
        let left_out = self.background.push(rows)?;
        self.skipped.extend(left_out);
        Ok(())
    }

    /// Returns what was found in the background, `None` where no evaluation has ended.
    pub(super) fn background_events(&mut self) -> Option<Vec<Finding>> {
        let evaluated = self.background.collect()?;
        self.skipped.extend(evaluated.skipped);
        Some(evaluated.findings)
    }

    /// Lets what waits be evaluated in the background.
    pub(super) fn evaluate_in_background(&mut self) {
        if self.background.rules().is_empty() {
            return;
        }
        // While objects are read it waits its turn.
        let Some(run) = &mut self.run else {
            return;
        };
        match run.runtime() {
            Ok(runtime) => self.background.start(&runtime),
            // It waits, as it does when objects cannot be read.
            Err(error) => self.read_problem = Some(chain(&error)),
        }
    }

    /// Returns whether rules are evaluated in the background, and whether such a evaluation has ended.
    pub(super) fn is_evaluating(&self) -> (bool, bool) {
        (self.background.is_busy(), self.background.has_finished())
    }

    /// Returns what changed in what waits to be evaluated in the background.
    pub(super) fn take_deferred(&mut self) -> Option<Deferred> {
        self.background.take_changes()
    }

    /// Ends a step. Returns messages for a person: which events were not evaluated, and which rules are quarantined and work again.
    pub(super) fn end_step(&mut self) -> Vec<String> {
        if self.run.is_none() {
            return Vec::new();
        }
        let quarantine = &self.quarantine;
        let mut skipped = std::mem::take(&mut self.skipped);
        skipped.extend(self.progress.take_skipped());
        let mut messages = Vec::new();
        for aside in &skipped {
            match aside.cause {
                // Counted in the quarantine, and reported when it ends.
                SkipCause::Quarantine => {}
                SkipCause::Condition => {
                    messages.extend(count_undecided(&mut self.status, aside));
                }
                SkipCause::Plugin | SkipCause::NoRoom => messages.push(aside.message()),
            }
        }
        messages.extend(quarantine.end_step(now(), &skipped));
        messages
    }

    /// Ends the quarantine of a rule. Returns a message if it was quarantined.
    pub(super) fn release(&self, rule: &str) -> Option<String> {
        self.quarantine.clear(rule)
    }

    /// Returns how many events the rules looked at since the last call.
    pub(super) fn take_scanned(&mut self) -> u64 {
        let scanned = self.progress.scanned.swap(0, Ordering::Relaxed);
        self.status.events += scanned;
        scanned
    }
}

/// Counts events on which a `where` failed. Returns messages: of the first, and each time that they are ten times as many,
/// since a condition that fails fails every second.
fn count_undecided(status: &mut TableStatus, aside: &SkippedEvents) -> Option<String> {
    let known = status.skipped.entry(aside.rule_id.clone()).or_default();
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

/// Gives detectors back what they remember, of keys as much as has room in `memory`; what belongs to rules that there are no
/// more is left out.
fn restored(
    run: &TableRun,
    status: &TableStatus,
    (store, memory): (&StateStore, usize),
    messages: &mut Vec<String>,
) -> Result<KeyedDetectors, LiveError> {
    let table = &status.name;
    let stored = store.detectors_of(table)?;
    let mut keyed = run.keyed();
    keyed.set_watermark(status.watermark.map_or(i64::MIN, Timestamp::micros))?;
    if keyed.is_empty() {
        return Ok(keyed);
    }
    keyed.use_disk(store.detector_keys(table)?, memory);
    store.each_detector_key(table, |rule, hash, key, value| -> Result<(), LiveError> {
        if keyed.has_rule(rule) {
            keyed.restore_or_leave(rule, (key, hash), value)?;
        }
        Ok(())
    })?;
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
            "rule `{rule}` has other columns now: {rows} events that waited for it are not evaluated"
        ));
    }
    Ok(keyed)
}

/// Returns the time on the clock, which only shows how far behind the events are.
fn now() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::clamped(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
