//! One pass of all rules over a closed range of event time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::common::runtime::SpawnedTask;
use yagura_core::{Alert, Finding, Rule, TimeRange, Timestamp};
use yagura_correlate::{
    CorrelationEngine, CorrelationOptions, Counters, Geolocation, NoSpill, Watermark,
};
use yagura_lake::OddTimes;
use yagura_lake::table::{Table, TableConfig};

use crate::adapt::ConvertedValues;
use crate::error::EngineError;
use crate::keyed::{KeyedDetectors, KeyedRows};
use crate::plan::{RuleSource, Tuning};
use crate::quarantine::Fairness;
use crate::report::{Progress, RuleCost, SkippedEvents};
use crate::ruleset::{RuleSet, rule_error};
use crate::runtime::PluginSource;
use crate::sigma::SigmaInput;
use crate::table_run::{TableRun, footer_cache};

/// How a run works.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The event times that are evaluated.
    pub range: TimeRange,
    /// Scans of a table side by side.
    pub partitions: usize,
    /// Rows of a batch that a plugin receives, and of a batch of the scan.
    pub batch_rows: usize,
    /// Findings that the run may hold.
    pub max_findings: usize,
    /// Bytes that the findings of a table's objects may take, which are read together.
    pub max_finding_bytes: usize,
    /// Events of a table that may wait for detectors with state.
    pub max_pending_rows: usize,
    /// Keys of which one rule with `partition_by` keeps state.
    pub max_keys: usize,
    /// Bytes of the names and the states of these keys.
    pub max_key_bytes: u64,
    /// Findings after which the scan of a table may end, for a search.
    pub enough: Option<usize>,
    /// What rules owe each other where a step follows the other; nothing in a single run, where nobody waits.
    pub fairness: Option<Fairness>,
    /// Which methods are used.
    pub tuning: Tuning,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            range: TimeRange::default(),
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: 8_192,
            max_findings: 2_000_000,
            max_finding_bytes: usize::MAX,
            max_pending_rows: 4_000_000,
            max_keys: 1_000_000,
            max_key_bytes: 1 << 30,
            enough: None,
            fairness: None,
            tuning: Tuning::default(),
        }
    }
}

/// What a run works on.
#[derive(Debug, Clone, Default)]
pub struct RunInput {
    /// The tables that there are.
    pub tables: Vec<TableConfig>,
    /// The rules.
    pub rules: Vec<RuleSource>,
    /// Sigma rules, which come after them.
    pub sigma: SigmaInput,
    /// The plugins that the rules name by index.
    pub plugins: Vec<PluginSource>,
    /// Where addresses are, by rule; under the empty name for all others.
    pub geolocation: BTreeMap<String, Geolocation>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// The rules that ran, to which findings refer by index.
    pub rules: Vec<Arc<Rule>>,
    /// The findings, in no order.
    pub findings: Vec<Finding>,
    /// Events that rules did not evaluate because their plugins failed.
    pub skipped: Vec<SkippedEvents>,
    /// The tables that were scanned.
    pub tables: Vec<TableOutcome>,
    /// Rules that did not run, with their files and the reason.
    pub not_run: Vec<NotRun>,
    /// Rules that ran otherwise than they say, with their files and the reason.
    pub notes: Vec<NotRun>,
    sources: Vec<RuleSource>,
    geolocation: BTreeMap<String, Geolocation>,
    range: TimeRange,
}

/// A rule that did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRun {
    /// Id of the rule.
    pub rule: String,
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

impl NotRun {
    /// Says so, with the rule's file where there is one.
    pub fn message(&self) -> String {
        let of_rule = match self.rule.as_str() {
            "" => return self.reason.clone(),
            id => format!("rule `{id}` does not run: {}", self.reason),
        };
        match self.file.as_os_str().is_empty() {
            true => of_rule,
            false => format!("{}: {of_rule}", self.file.display()),
        }
    }
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rule.as_str() {
            "" => f.write_str(&self.reason),
            rule => write!(f, "rule `{rule}`: {}", self.reason),
        }
    }
}

/// What a run saw of a table.
#[derive(Debug, Clone)]
pub struct TableOutcome {
    /// The table, with the objects that were read.
    pub table: Arc<Table>,
    /// How many rules it was evaluated by.
    pub rules: usize,
    /// Events that came out of the scan.
    pub scanned: u64,
    /// Events handed to rules, once for each rule.
    pub evaluated: u64,
    /// Rows left out for want of a usable time.
    pub null_times: u64,
    /// Objects left out because they cannot be read, with the reason.
    pub bad_files: Vec<(String, String)>,
    /// What rules' plugins cost, by index among the run's rules; empty unless their host measures it.
    pub costs: BTreeMap<usize, RuleCost>,
    /// The latest event time by the objects' statistics, where a rule needs to know when time ends.
    pub latest: Option<Timestamp>,
    /// Events without a time, ahead of the clock, or before 1990.
    pub odd_times: OddTimes,
    /// Values that rules saw otherwise than they are stored.
    pub converted: ConvertedValues,
    /// What a person should know of how the objects were read.
    pub messages: Vec<String>,
}

/// Runs the rules over the tables.
///
/// `watch` is called with each table's name, its plan's size and its live counters before the scan starts.
///
/// # Errors
/// [`EngineError`], naming file and place. A plugin's failure on a batch is not an error: see [`RunOutcome::skipped`].
pub async fn run(
    input: RunInput,
    options: &RunOptions,
    mut watch: impl FnMut(&Table, &Arc<Progress>),
) -> Result<RunOutcome, EngineError> {
    let mut open = Vec::new();
    for config in &input.tables {
        let is_named = input
            .rules
            .iter()
            .any(|source| source.rule.table == config.name);
        if is_named || !input.sigma.load.rules.is_empty() {
            let cache = footer_cache();
            let table = Table::open(config.clone(), options.range, Arc::clone(&cache)).await?;
            open.push((Arc::new(table), cache));
        }
    }
    let tables: Vec<Arc<Table>> = open.iter().map(|(table, _)| Arc::clone(table)).collect();
    let known: Vec<&str> = input
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    let set = RuleSet::new(input.rules, &input.sigma, &tables, &known, &BTreeMap::new())?;
    let mut outcome = RunOutcome {
        geolocation: input.geolocation,
        range: options.range,
        ..RunOutcome::default()
    };
    for (table, cache) in open {
        let rules = set.of_table(&table.name);
        if rules.is_empty() {
            continue;
        }
        let mut run = TableRun::new(table, cache, &rules, &set.rules, &input.plugins, options)?;
        watch(&run.table, &run.progress);
        let files = run.table.files.clone();
        let scanned = run.run(&files, outcome.findings.len()).await?;
        let odd_times = run.odd_times(&scanned.files, a_day_ahead()).await;
        let mut messages = run.take_messages();
        let progress = &run.progress;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let mut bad_files = run.table.bad_files.clone();
        bad_files.extend(scanned.bad_files);
        // What no rule asks for is not read: footers cost requests.
        let needs_end = set.rules.iter().any(|source| {
            source.rule.correlation.is_some() || !source.rule.partition_by.is_empty()
        });
        let latest = match needs_end && options.range.to.is_none() {
            true => run.latest(&scanned.files).await,
            false => None,
        };
        let mut findings = scanned.findings;
        if !scanned.keyed.is_empty() {
            let end = last_instant(options.range, latest);
            let (found, forgotten) = evaluate_keyed(run.keyed(), scanned.keyed, end).await?;
            findings.extend(found);
            messages.extend(forgotten);
            if outcome.findings.len() + findings.len() > options.max_findings {
                return Err(run.too_many(&findings));
            }
        }
        outcome.tables.push(TableOutcome {
            rules: rules.len(),
            scanned: count(&progress.scanned),
            evaluated: count(&progress.evaluated),
            null_times: count(&progress.null_times),
            bad_files,
            costs: progress.take_costs(),
            latest,
            odd_times,
            converted: scanned.converted,
            messages,
            table: Arc::clone(&run.table),
        });
        outcome.findings.extend(findings);
        outcome.skipped.extend(progress.take_skipped());
    }
    outcome.rules = set
        .rules
        .iter()
        .map(|source| Arc::clone(&source.rule))
        .collect();
    outcome.sources = set.rules;
    outcome.not_run = set.not_run;
    outcome.notes = set.notes;
    Ok(outcome)
}

/// Returns the time a day from now: an event after it has a wrong clock. It decides what is said, never what is found.
pub(crate) fn a_day_ahead() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    Timestamp::clamped(micros.saturating_add(86_400_000_000))
}

/// Lets detectors with state evaluate all of a table's rows, up to `end` or the last of them. Returns also what to tell of rules
/// that remembered too much.
async fn evaluate_keyed(
    mut detectors: KeyedDetectors,
    rows: Vec<KeyedRows>,
    end: Option<i64>,
) -> Result<(Vec<Finding>, Vec<String>), EngineError> {
    // Plugins may use their whole time limit: never on a thread that drives streams.
    let evaluated = SpawnedTask::spawn_blocking(move || {
        for rows in rows {
            detectors.push(rows)?;
        }
        let end = end.max(detectors.latest());
        let findings = detectors.advance(end.unwrap_or(i64::MIN).saturating_add(1))?;
        let forgotten = detectors.take_forgotten().into_iter();
        Ok((findings, forgotten.map(|(_, _, message)| message).collect()))
    });
    evaluated.join_unwind().await.map_err(|error| {
        let reason = format!("detectors with state did not finish: {error}");
        EngineError::State(reason)
    })?
}

/// Returns the last instant of a table that a run knows of: the end of its range, or its latest event.
fn last_instant(range: TimeRange, latest: Option<Timestamp>) -> Option<i64> {
    match range.to {
        Some(to) => Some(to.micros().saturating_sub(1)),
        None => Some(latest?.micros()),
    }
}

impl RunOutcome {
    /// Takes the findings and returns the final alerts that come of them, in order of window, rule and key, their
    /// evidence without hashes; and what correlations left out.
    ///
    /// # Errors
    /// [`EngineError::Rule`]: a correlation that needs something that is not there, such as a file of places.
    pub fn settle(&mut self, workers: usize) -> Result<(Vec<Alert>, Counters), EngineError> {
        let options = CorrelationOptions {
            workers,
            is_live: false,
            geolocation: self.geolocation.clone(),
        };
        let mut fold = CorrelationEngine::new(self.rules.clone(), options)
            .map_err(|error| rule_error(&self.sources, error))?;
        let findings = std::mem::take(&mut self.findings);
        let wrong = EngineError::Correlation;
        let first = fold
            .step(findings, &|_| Watermark::default(), &mut NoSpill)
            .map_err(wrong)?;
        let end = |table: &str| self.end_of(table).unwrap_or(i64::MIN);
        let last = fold.finish(&end, &mut NoSpill).map_err(wrong)?;
        let mut counters = first.counters;
        counters.add(last.counters);
        let alerts = first.changes.into_iter().chain(last.changes);
        Ok((alerts.map(|change| change.alert).collect(), counters))
    }

    fn end_of(&self, table: &str) -> Option<i64> {
        let outcome = self.tables.iter().find(|of| of.table.name == table);
        last_instant(self.range, outcome.and_then(|of| of.latest))
    }
}

/// Opens every table, to check or explain rules over it.
///
/// # Errors
/// [`EngineError::Table`].
pub async fn open_tables(
    tables: &[TableConfig],
    range: TimeRange,
) -> Result<Vec<Arc<Table>>, EngineError> {
    let cache = footer_cache();
    let mut open = Vec::with_capacity(tables.len());
    for config in tables {
        let table = Table::open(config.clone(), range, Arc::clone(&cache)).await?;
        open.push(Arc::new(table));
    }
    Ok(open)
}
