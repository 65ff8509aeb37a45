//! Runs cases, each over a lake of its own, and compares what comes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::{Diagnostics, Fault, FaultKind, Grants, OrFault, Pack, Rule};
use yagura_engine::{EngineError, RunInput, RunOptions, RunOutcome, run};
use yagura_host::Meter;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::{OnProblem, TableConfig};
use yagura_lake::{Location, TableDefinition};
use yagura_plan::syntax_error;
use yagura_service::packs::{self, Loaded};
use yagura_sources::class_table;

use crate::cases::{Case, CaseEvents, Cases, Expected, collect};
use crate::compare::{RuleRun, golden_differences, inline_differences, stable_view};
use crate::needed::{Needed, sigma_ids};
use crate::outcome::Outcome;

/// A pack ready to be tested.
pub struct Suite {
    /// The pack.
    pub pack: Pack,
    /// Its cases.
    pub cases: Cases,
    loaded: Loaded,
    /// Columns of each table as all of its cases together show them.
    tables: BTreeMap<String, TableDefinition>,
    _dir: tempfile::TempDir,
    /// For each case the tables with their files of events.
    files: Vec<Vec<(String, PathBuf)>>,
}

impl Suite {
    /// Reads the pack in `dir`, loads its plugins with their fuel metered, and collects its cases, of which those of rules
    /// whose id contains `only` remain.
    ///
    /// # Errors
    /// Whatever is wrong with the pack or with its cases by themselves.
    pub async fn read(dir: &Path, field_maps: &[PathBuf], only: &str) -> Result<Self> {
        let pack = Pack::read(dir).or_fault()?;
        let loaded = packs::load(
            &[dir.to_owned()],
            &[],
            field_maps,
            &Grants::without_bounds(),
            Meter::Fuel,
        )?;
        if let Some(problem) = loaded.sigma.load.problems.first() {
            return Err(Fault::rule(problem.to_string()).into());
        }
        // A rule without a case would pass with a condition that is not SQL.
        for source in &loaded.rules {
            if let Some(condition) = &source.rule.condition
                && let Some(error) = syntax_error(condition)
            {
                let wrong = Diagnostic::error(Code::InvalidCondition, error.to_string());
                let wrong = wrong.at(Key::written("rule.where"));
                let wrong = wrong.in_file(&source.file).of_rule(source.rule.id.as_str());
                Err(Diagnostics::from(wrong)).or_fault()?;
            }
        }
        let mut cases = collect(&pack, &sigma_ids(&loaded.sigma))?;
        cases.cases.retain(|case| case.rule.contains(only));
        let quoted = |line: &String| line.split('`').nth(1).is_some_and(|id| id.contains(only));
        cases.warnings.retain(quoted);
        let temporary = tempfile::tempdir().context("cannot make a directory for events")?;
        let mut suite = Self {
            pack,
            cases,
            loaded,
            tables: BTreeMap::new(),
            files: Vec::new(),
            _dir: temporary,
        };
        suite.files = suite.write_files()?;
        suite.tables = suite.learn_tables().await;
        Ok(suite)
    }

    /// Runs every case, several side by side, and returns their outcomes in the cases' order. With `update`, files of
    /// expected alerts are written anew.
    ///
    /// # Errors
    /// Only what is wrong with this machine or with the pack as a whole; a case that cannot run has failed.
    pub async fn run(&self, update: bool) -> Result<Vec<Outcome>> {
        let side_by_side = std::thread::available_parallelism().map_or(1, usize::from);
        let runs = self.cases.cases.iter().zip(&self.files);
        stream::iter(runs.map(|(case, files)| self.run_case(case, files, update)))
            .buffered(side_by_side)
            .try_collect()
            .await
    }

    async fn run_case(
        &self,
        case: &Case,
        files: &[(String, PathBuf)],
        update: bool,
    ) -> Result<Outcome> {
        let mut outcome = Outcome {
            rule: case.rule.clone(),
            name: case.name.clone(),
            passed: false,
            message: String::new(),
            wrong_rule: false,
            fuel_per_event: None,
            updated: None,
        };
        let found = match self.alerts(case, files).await {
            Ok(found) => found,
            Err(error) => {
                outcome.wrong_rule = error.chain().any(|cause| cause.is::<EngineError>())
                    || Fault::kind(error.chain()) == FaultKind::Rule;
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
                        .map(|alert| format!("  {}", stable_view(alert))),
                );
                lines
            }
            Expected::Inline(test) => inline_differences(test, &found),
            Expected::Alerts(golden) if found.alerts.is_empty() => {
                vec![format!(
                    "expected the alerts in {}, found none; {}",
                    golden.display(),
                    found.hint()
                )]
            }
            Expected::Alerts(golden) => {
                let text: String = found
                    .alerts
                    .iter()
                    .map(|alert| format!("{}\n", stable_view(alert)))
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
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        let mut rules = self.pack.rules.iter();
        Some(&rules.find(|source| source.rule.id == id)?.rule)
    }

    /// Puts the events into a lake and lets the rule evaluate them, with those that it joins.
    async fn alerts(&self, case: &Case, files: &[(String, PathBuf)]) -> Result<RuleRun> {
        let location = new_lake()?;
        let needed = Needed::of(&self.loaded, &case.rule)?;
        for (table, file) in files {
            needed.check_table(table, &case.place)?;
            self.fill(&location, table, case, file).await?;
        }
        let tables: BTreeSet<&String> = files.iter().map(|(table, _)| table).collect();
        // A table without events is there all the same: nothing happened in it.
        for table in needed.tables.iter().filter(|table| !tables.contains(table)) {
            if let Some(definition) = self.tables.get(table) {
                definition.write(&location.join(table)).await?;
                definition.write_empty_object(&location.join(table)).await?;
            }
        }
        let tables = tables
            .into_iter()
            .chain(&needed.tables)
            .collect::<BTreeSet<_>>();
        let input = RunInput {
            tables: tables
                .into_iter()
                .map(|table| TableConfig {
                    name: table.clone(),
                    location: location.join(table),
                    time: None,
                    day_partition: None,
                    time_unit: None,
                    on_null_time: None,
                    on_bad_file: OnProblem::Fail,
                })
                .collect(),
            plugins: self.loaded.plugins.clone(),
            geolocation: self.loaded.geolocation.clone(),
            rules: needed.rules,
            sigma: needed.sigma,
        };
        let options = RunOptions {
            partitions: 1,
            ..RunOptions::default()
        };
        let mut outcome = run(input, &options, |_, _| {}).await?;
        let mut not_run = outcome.not_run.iter();
        if let Some(rule) = not_run.find(|rule| rule.rule == case.rule || rule.rule.is_empty()) {
            return Err(Fault::rule(format!("the rule does not run: {}", rule.reason)).into());
        }
        if let Some(reason) = skipped(&outcome) {
            bail!(reason);
        }
        let cost = outcome
            .tables
            .iter()
            .find_map(|table| table.costs.values().next().copied());
        let id = |rule: usize| outcome.rules.get(rule).map(|rule| rule.id.as_str());
        // A Sigma rule over several tables has the table's name behind its id.
        let class = self.rule(&case.rule).map(|rule| rule.class.as_str());
        let is_own = |id: &str| entry_of(id, &case.rule, class.unwrap_or_default());
        let mut by_rule: BTreeMap<usize, usize> = BTreeMap::new();
        for finding in &outcome.findings {
            *by_rule.entry(finding.rule).or_default() += 1;
        }
        let found = by_rule.keys().any(|rule| id(*rule).is_some_and(is_own));
        let joined = outcome.rules.iter().enumerate();
        let joined = joined
            .filter(|(_, rule)| rule.correlation.is_none() && !is_own(&rule.id))
            .map(|(index, rule)| {
                let count = by_rule.get(&index).copied().unwrap_or_default();
                (rule.id.clone(), count)
            })
            .collect();
        let (mut alerts, counters) = outcome.alerts(1)?;
        alerts.retain(|alert| is_own(&alert.rule));
        Ok(RuleRun {
            matched: found || !alerts.is_empty(),
            alerts,
            cost,
            joined,
            without_key: counters.without_key.values().sum(),
            without_value: counters.without_value.values().sum(),
        })
    }

    /// Writes a case's events into the table of a lake. Events that no rule would evaluate are an error: a case that expects
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
        let options = self.ingest_options(table, lake);
        let report = ingest(options, &[file.to_owned()], |_| {}).await?;
        if report.events == 0 {
            bail!("{} holds no events", case.place.display());
        }
        // A recorded log may have lines without time; a case that somebody wrote may not.
        let is_inline = matches!(
            case.events,
            CaseEvents::Inline(_) | CaseEvents::InlineTables(_)
        );
        let without = report.without_time;
        if without == report.events || (is_inline && without > 0) {
            let which = match report.events {
                all if all == without => {
                    "no event has a time that can be read, so no rule evaluates them".to_owned()
                }
                all => format!(
                    "{without} of {all} events have no time that can be read, so no rule evaluates these"
                ),
            };
            bail!("{which}: give each one its time as its source writes it");
        }
        Ok(())
    }

    /// Returns the options for events of a table, which is that of a class where a rule reads the class.
    fn ingest_options(&self, table: &str, lake: &Location) -> IngestOptions {
        let mut options = IngestOptions::new(table, lake.clone());
        let mut rules = self.loaded.rules.iter();
        if rules.any(|source| source.rule.class == table) {
            options.source = class_table(table);
        }
        options
    }

    /// Learns the columns of each table from all of its cases, so that a case need not name every column that a rule
    /// reads. What cannot be read fails in its own case.
    async fn learn_tables(&self) -> BTreeMap<String, TableDefinition> {
        let mut by_table: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (table, file) in self.files.iter().flatten() {
            if !is_parquet(file) {
                by_table
                    .entry(table.clone())
                    .or_default()
                    .push(file.clone());
            }
        }
        let mut tables = BTreeMap::new();
        for (table, files) in by_table {
            let Ok(lake) = new_lake() else { continue };
            for file in files {
                // A file that is no log must not hide the columns of the others.
                let _ = ingest(self.ingest_options(&table, &lake), &[file], |_| {}).await;
            }
            if let Ok(Some(definition)) = TableDefinition::read(&lake.join(&table)).await {
                tables.insert(table, definition);
            }
        }
        tables
    }

    /// Returns each case's tables with their files of events, writing those of inline cases. Where a case of one file
    /// belongs to a rule of several tables, the name is empty.
    fn write_files(&self) -> Result<Vec<Vec<(String, PathBuf)>>> {
        let mut all = Vec::with_capacity(self.cases.cases.len());
        for (index, case) in self.cases.cases.iter().enumerate() {
            // A rule that cannot run is reported with its cases.
            let tables = Needed::of(&self.loaded, &case.rule).map(|needed| needed.tables);
            let only = match tables.as_deref() {
                Ok([one]) => one.clone(),
                _ => String::new(),
            };
            let write = |name: &str, text: &str| -> Result<PathBuf> {
                let file = self._dir.path().join(format!("{index}-{name}.ndjson"));
                fs::write(&file, text)
                    .with_context(|| format!("cannot write {}", file.display()))?;
                Ok(file)
            };
            all.push(match &case.events {
                CaseEvents::File(file) => vec![(only, file.clone())],
                CaseEvents::Inline(text) => vec![(only, write("events", text)?)],
                CaseEvents::Folder(files) => files.clone(),
                CaseEvents::InlineTables(tables) => tables
                    .iter()
                    .map(|(table, text)| Ok((table.clone(), write(table, text)?)))
                    .collect::<Result<_>>()?,
            });
        }
        Ok(all)
    }
}

/// Returns whether a rule of a run belongs to the case: the rule itself, or the rule on one of its tables.
fn entry_of(id: &str, rule: &str, class: &str) -> bool {
    let rest = id.strip_prefix(rule);
    rest.is_some_and(|rest| {
        let table = rest.strip_prefix('.');
        rest.is_empty() || table.is_some_and(|table| table.starts_with("events_") || table == class)
    })
}

/// Returns why a rule did not evaluate all events, or did not answer all wake-ups, if it did not.
fn skipped(outcome: &RunOutcome) -> Option<String> {
    let events = outcome.skipped.first()?;
    let rows: u64 = outcome.skipped.iter().map(|events| events.rows).sum();
    if rows == 0 {
        return Some(format!(
            "the rule did not answer a wake-up: {}",
            events.reason
        ));
    }
    Some(format!(
        "the rule did not evaluate {rows} {}: {}",
        if rows == 1 { "event" } else { "events" },
        events.reason
    ))
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
