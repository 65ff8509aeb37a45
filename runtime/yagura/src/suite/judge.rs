//! Runs cases, each over a lake of its own, and compares what comes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use yagura_alerts::assemble;
use yagura_core::case::InlineTest;
use yagura_core::{Alert, Pack, Rule};
use yagura_engine::report::RuleCost;
use yagura_engine::{
    EngineError, RuleSource, RunInput, RunOptions, RunOutcome, SigmaInput, run, sigma_rule_id,
};
use yagura_host::Meter;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::{OnProblem, TableConfig};
use yagura_lake::{Location, TableDefinition};

use super::cases::{Case, Cases, Events, Expected, collect};
use crate::exit::RuleFault;
use crate::packs::{self, Loaded};

/// A pack ready to be tested.
pub(crate) struct Suite {
    pub(crate) pack: Pack,
    pub(crate) cases: Cases,
    loaded: Loaded,
    /// Columns of each table as all of its cases together show them.
    tables: BTreeMap<String, TableDefinition>,
    _dir: tempfile::TempDir,
    /// Files of events by case.
    files: Vec<PathBuf>,
}

/// What came of a case.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Id of the rule.
    pub(crate) rule: String,
    /// Name of the case.
    pub(crate) name: String,
    /// Whether all was as expected.
    pub(crate) passed: bool,
    /// What was not; empty otherwise.
    pub(crate) message: String,
    /// Whether the rule itself is wrong, whatever the events.
    pub(crate) wrong_rule: bool,
    /// Fuel of an event on the average, where the rule's plugin was called.
    pub(crate) fuel_per_event: Option<u64>,
    /// The file of expected alerts that was written anew.
    pub(crate) updated: Option<PathBuf>,
}

impl Suite {
    /// Reads the pack in `dir`, loads its plugins with their fuel metered, and collects its cases, of which those of rules
    /// whose id contains `only` remain.
    ///
    /// # Errors
    /// Whatever is wrong with the pack or with its cases by themselves.
    pub(crate) async fn read(dir: &Path, field_maps: &[PathBuf], only: &str) -> Result<Self> {
        let pack = Pack::read(dir)?;
        let loaded = packs::load(&[dir.to_owned()], &[], field_maps, Meter::Fuel)?;
        if let Some(problem) = loaded.sigma.load.problems.first() {
            return Err(RuleFault(problem.to_string()).into());
        }
        let mut cases = collect(&pack, &sigma_ids(&loaded.sigma))?;
        cases.cases.retain(|case| case.rule.contains(only));
        let quoted = |line: &String| line.split('`').nth(1).is_some_and(|id| id.contains(only));
        cases.warnings.retain(quoted);
        let temporary = tempfile::tempdir().context("cannot make a directory for events")?;
        let files = files(&cases.cases, temporary.path())?;
        let mut suite = Self {
            pack,
            cases,
            loaded,
            tables: BTreeMap::new(),
            _dir: temporary,
            files,
        };
        suite.tables = suite.learn_tables().await;
        Ok(suite)
    }

    /// Runs every case, several side by side, and returns their outcomes in the cases' order. With `update`, files of
    /// expected alerts are written anew.
    ///
    /// # Errors
    /// Only what is wrong with this machine or with the pack as a whole; a case that cannot run has failed.
    pub(crate) async fn run(&self, update: bool) -> Result<Vec<Outcome>> {
        let side_by_side = std::thread::available_parallelism().map_or(1, usize::from);
        let runs = self.cases.cases.iter().zip(&self.files);
        stream::iter(runs.map(|(case, file)| self.run_case(case, file, update)))
            .buffered(side_by_side)
            .try_collect()
            .await
    }

    async fn run_case(&self, case: &Case, file: &Path, update: bool) -> Result<Outcome> {
        let mut outcome = Outcome {
            rule: case.rule.clone(),
            name: case.name.clone(),
            passed: false,
            message: String::new(),
            wrong_rule: false,
            fuel_per_event: None,
            updated: None,
        };
        let found = match self.alerts(case, file).await {
            Ok(found) => found,
            Err(error) => {
                outcome.wrong_rule = error
                    .chain()
                    .any(|cause| cause.is::<EngineError>() || cause.is::<RuleFault>());
                outcome.message = format!("{error:#}");
                return Ok(outcome);
            }
        };
        outcome.fuel_per_event = found.cost.map(|cost| cost.fuel / cost.rows.max(1));
        let mut lines = match &case.expected {
            Expected::Nothing if found.alerts.is_empty() => Vec::new(),
            Expected::Nothing => {
                let mut lines = vec!["expected no alert, found:".to_owned()];
                lines.extend(
                    found
                        .alerts
                        .iter()
                        .map(|alert| format!("  {}", said(alert))),
                );
                lines
            }
            Expected::Inline(test) => inline_differences(test, &found),
            Expected::Alerts(golden) if found.alerts.is_empty() => {
                let looks = "`yagura explain` says which test fails";
                let golden = golden.display();
                vec![format!(
                    "expected the alerts in {golden}, found none; {looks}"
                )]
            }
            Expected::Alerts(golden) => {
                let text: String = found
                    .alerts
                    .iter()
                    .map(|alert| format!("{}\n", said(alert)))
                    .collect();
                let expected = fs::read_to_string(golden).ok();
                if update && expected.as_ref() != Some(&text) {
                    fs::write(golden, &text)
                        .with_context(|| format!("cannot write {}", golden.display()))?;
                    outcome.updated = Some(golden.clone());
                    Vec::new()
                } else {
                    golden_differences(golden, expected.as_deref(), &text)
                }
            }
        };
        let budget = self.rule(&case.rule).and_then(|rule| rule.fuel_per_event);
        if let (Some(budget), Some(fuel)) = (budget, outcome.fuel_per_event)
            && fuel > budget
        {
            lines.push(format!(
                "used {fuel} fuel an event, over `fuel_per_event = {budget}`: make it cheaper, or raise the budget on purpose"
            ));
        }
        outcome.message = lines.join("\n");
        outcome.passed = lines.is_empty();
        Ok(outcome)
    }

    /// Returns the pack's own rule of this id.
    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        let mut rules = self.pack.rules.iter();
        Some(&rules.find(|source| source.rule.id == id)?.rule)
    }

    /// Puts the events into a lake and lets the rule judge them.
    async fn alerts(&self, case: &Case, file: &Path) -> Result<Found> {
        let table = self.table_of(&case.rule);
        let location = new_lake()?;
        self.fill(&location, &table, case, file).await?;
        let mut input = RunInput {
            tables: vec![TableConfig {
                name: table.clone(),
                location: location.join(&table),
                time: None,
                day_partition: None,
                on_null_time: None,
                on_bad_file: OnProblem::Fail,
            }],
            plugins: self.loaded.plugins.clone(),
            ..RunInput::default()
        };
        match self.own(&case.rule) {
            Some(source) => input.rules.push(source.clone()),
            None => input.sigma = self.sigma(&case.rule),
        }
        let options = RunOptions {
            partitions: 1,
            ..RunOptions::default()
        };
        let mut outcome = run(input, &options, |_, _| {}).await?;
        if let Some(rule) = outcome.not_run.first() {
            return Err(RuleFault(format!("the rule does not run: {}", rule.reason)).into());
        }
        if let Some(reason) = set_aside(&outcome) {
            bail!(reason);
        }
        let cost = outcome
            .tables
            .iter()
            .find_map(|table| table.costs.values().next().copied());
        let findings = std::mem::take(&mut outcome.findings);
        let rules: Vec<Rule> = outcome.rules.iter().map(|rule| Rule::clone(rule)).collect();
        Ok(Found {
            matched: !findings.is_empty(),
            alerts: assemble(&rules, findings),
            cost,
        })
    }

    /// Writes a case's events into the table of a lake. Events that no rule would judge are an error: a case that expects
    /// nothing of them would pass for ever.
    async fn fill(&self, lake: &Location, table: &str, case: &Case, file: &Path) -> Result<()> {
        let definition = self.tables.get(table);
        let below = lake.join(table);
        if let Some(definition) = definition {
            definition.write(&below).await?;
        }
        if is_parquet(file) {
            let bytes =
                fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let path = below.join("events.parquet").prefix;
            let stored = below
                .store
                .put_opts(&path, bytes.into(), Default::default());
            stored.await?;
            return Ok(());
        }
        let options = IngestOptions::new(table, lake.clone());
        let report = ingest(options, &[file.to_owned()], |_| {}).await?;
        if report.events == 0 {
            bail!("{} holds no events", case.place.display());
        }
        // A recorded log may have lines without time; a case that somebody wrote may not.
        let is_inline = matches!(case.events, Events::Inline(_));
        if report.without_time == report.events || (is_inline && report.without_time > 0) {
            bail!(
                "no event has a time that can be read, so no rule judges them: give each one its time as its source writes it"
            );
        }
        Ok(())
    }

    /// Learns the columns of each table from all of its cases, so that a case need not name every column that a rule
    /// reads. What cannot be read fails in its own case.
    async fn learn_tables(&self) -> BTreeMap<String, TableDefinition> {
        let mut by_table: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (case, file) in self.cases.cases.iter().zip(&self.files) {
            if !is_parquet(file) {
                let table = self.table_of(&case.rule);
                by_table.entry(table).or_default().push(file.clone());
            }
        }
        let mut tables = BTreeMap::new();
        for (table, files) in by_table {
            let Ok(lake) = new_lake() else { continue };
            for file in files {
                // A file that is no log must not hide the columns of the others.
                let _ = ingest(IngestOptions::new(&table, lake.clone()), &[file], |_| {}).await;
            }
            if let Ok(Some(definition)) = TableDefinition::read(&lake.join(&table)).await {
                tables.insert(table, definition);
            }
        }
        tables
    }

    fn own(&self, rule: &str) -> Option<&RuleSource> {
        let mut rules = self.loaded.rules.iter();
        rules.find(|source| source.rule.id == rule)
    }

    fn table_of(&self, rule: &str) -> String {
        match self.own(rule) {
            Some(source) => source.rule.table.clone(),
            // A Sigma rule finds its table by the columns.
            None => format!("events_{}", rule.replace(['-', '.'], "_")),
        }
    }

    /// Returns the one Sigma rule, with the filters that may apply to it.
    fn sigma(&self, rule: &str) -> SigmaInput {
        let mut load = self.loaded.sigma.load.clone();
        load.problems.clear();
        load.correlations.clear();
        load.rules.retain(|source| sigma_rule_id(source) == rule);
        SigmaInput {
            load,
            maps: self.loaded.sigma.maps.clone(),
        }
    }
}

/// What a rule found in a case.
struct Found {
    matched: bool,
    alerts: Vec<Alert>,
    cost: Option<RuleCost>,
}

/// Returns the ids of Sigma rules with their files.
pub(crate) fn sigma_ids(sigma: &SigmaInput) -> Vec<(String, PathBuf)> {
    let rules = sigma.load.rules.iter();
    rules
        .map(|source| (sigma_rule_id(source), source.file.clone()))
        .collect()
}

/// Returns why a rule did not judge all events, if it did not.
fn set_aside(outcome: &RunOutcome) -> Option<String> {
    let events = outcome.set_aside.first()?;
    let rows: u64 = outcome.set_aside.iter().map(|events| events.rows).sum();
    Some(format!(
        "the rule did not judge {rows} {}: {}",
        if rows == 1 { "event" } else { "events" },
        events.reason
    ))
}

/// What an alert says that does not depend on where its events were stored.
fn said(alert: &Alert) -> Value {
    json!({
        "title": alert.title,
        "severity": alert.severity,
        "key": alert.key,
        "count": alert.count,
        "first_time": alert.first_time,
        "observables": alert.observables,
        "context": alert.context,
    })
}

fn inline_differences(test: &InlineTest, found: &Found) -> Vec<String> {
    match (test.matches, found.matched) {
        (true, false) => return vec!["expected a match, found none".to_owned()],
        (false, true) => {
            let mut lines = vec!["expected no match, found:".to_owned()];
            lines.extend(
                found
                    .alerts
                    .iter()
                    .map(|alert| format!("  {}", said(alert))),
            );
            return lines;
        }
        _ => {}
    }
    match (&test.alert, found.alerts.first()) {
        (None, _) => Vec::new(),
        (Some(expected), Some(alert)) => expected.differences(alert),
        (Some(_), None) => {
            vec!["expected an alert, found matches below the rule's `alert.threshold`".to_owned()]
        }
    }
}

/// Compares alerts line by line and, where they differ, key by key.
fn golden_differences(golden: &Path, expected: Option<&str>, found: &str) -> Vec<String> {
    let Some(expected) = expected else {
        return vec![format!(
            "{} is not there: `--update` writes it, and you read it",
            golden.display()
        )];
    };
    if expected == found {
        return Vec::new();
    }
    if let Some((line, _)) = (1..)
        .zip(expected.lines())
        .find(|(_, line)| serde_json::from_str::<Value>(line).is_err())
    {
        return vec![format!(
            "{}:{line} is no JSON: `--update` writes the alerts anew",
            golden.display()
        )];
    }
    let mut lines = vec![format!("differs from {}:", golden.display())];
    let (expected, found) = (pretty(expected), pretty(found));
    for change in TextDiff::from_lines(&expected, &found).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => continue,
        };
        lines.push(format!("  {sign} {}", change.value().trim_end()));
    }
    if lines.len() == 1 {
        lines
            .push("  the same alerts, written differently: `--update` writes them anew".to_owned());
    }
    lines
}

/// Spreads each alert over lines; what is no JSON stays as it is.
fn pretty(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let value: Result<Value, _> = serde_json::from_str(line);
        value
            .and_then(|value| serde_json::to_string_pretty(&value))
            .unwrap_or_else(|_| line.to_owned())
            + "\n"
    });
    lines.collect()
}

/// Returns each case's file of events, writing those of inline cases to `dir`.
fn files(cases: &[Case], dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::with_capacity(cases.len());
    for (index, case) in cases.iter().enumerate() {
        files.push(match &case.events {
            Events::File(file) => file.clone(),
            Events::Inline(text) => {
                let file = dir.join(format!("{index}.ndjson"));
                fs::write(&file, text)
                    .with_context(|| format!("cannot write {}", file.display()))?;
                file
            }
        });
    }
    Ok(files)
}

fn is_parquet(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension == "parquet")
}

/// Returns an empty lake in memory.
fn new_lake() -> Result<Location> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let url = format!("memory://case-{number}");
    Ok(Location::parse(&url, &BTreeMap::new())?)
}
