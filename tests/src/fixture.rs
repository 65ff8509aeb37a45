//! Small tables, rules and runs for tests of the engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use yagura_core::Alert;
use yagura_core::pack::{Limits, parse_rule};
use yagura_engine::TableOutcome;
use yagura_engine::{EngineError, PluginSource, RunInput, RunOptions, RunOutcome, run};
use yagura_host::{Host, HostConfig};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, IngestReport, ingest};
use yagura_lake::table::{OnProblem, TableConfig};
use yagura_plan::RuleSource;

/// Tables, rules and plugins of a test run.
#[derive(Debug, Clone, Default)]
pub struct Fixture {
    /// Handed to the engine as it is.
    pub input: RunInput,
}

/// What came of a test run.
#[derive(Debug)]
pub struct Outcome {
    /// Final alerts, without hashes.
    pub alerts: Vec<Alert>,
    /// The rest.
    pub run: RunOutcome,
}

impl Fixture {
    /// Returns a run of no rules over the table `name` at `url`.
    pub fn over(name: &str, url: &str) -> Self {
        Self::default().table(name, url)
    }

    /// Adds a table.
    #[must_use]
    pub fn table(mut self, name: &str, url: &str) -> Self {
        self.input.tables.push(table_config(name, url));
        self
    }

    /// Adds a rule with a condition and no code; `more` is TOML inside `[rule]`.
    #[must_use]
    pub fn rule(self, id: &str, table: &str, condition: &str, more: &str) -> Self {
        let condition = toml_text(condition);
        self.rule_toml(&format!(
            "[rule]\nid = \"{id}\"\ntitle = \"{id}\"\ntable = \"{table}\"\nwhere = {condition}\n{more}\n"
        ))
    }

    /// Adds a rule from its TOML.
    ///
    /// # Panics
    /// If the rule is wrong by itself.
    #[must_use]
    #[expect(clippy::panic, reason = "a test's own rule must be right")]
    pub fn rule_toml(mut self, text: &str) -> Self {
        let file = PathBuf::from("rules/test.toml");
        let rule = parse_rule(&file, text)
            .unwrap_or_else(|error| panic!("{error}"))
            .rule;
        let plugin = rule.plugin.as_ref().map(|_| 0);
        self.input.rules.push(RuleSource {
            rule: Arc::new(rule),
            file,
            plugin,
            predicate: None,
            fields: Vec::new(),
            alternatives: Default::default(),
        });
        self
    }

    /// Makes `bytes` the plugin of every rule that has one.
    pub fn plugin(mut self, bytes: &[u8], limits: &Limits) -> Result<Self> {
        let host = Host::new(HostConfig::default())?;
        self.input.plugins.push(PluginSource {
            plugin: host.load_detector_bytes("test.wasm", bytes, limits)?,
            config: "{}".to_owned(),
        });
        Ok(self)
    }

    /// Runs with the given options.
    pub async fn run(&self, options: &RunOptions) -> Result<Outcome, EngineError> {
        let mut outcome = run(self.input.clone(), options, |_, _| {}).await?;
        Ok(Outcome {
            alerts: outcome.alerts(options.partitions)?.0,
            run: outcome,
        })
    }
}

impl Outcome {
    /// Returns what the run saw of its only table.
    ///
    /// # Panics
    /// If no table was scanned.
    pub fn table(&self) -> &TableOutcome {
        &self.run.tables[0]
    }

    /// Returns how many findings each rule's alerts hold.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for alert in &self.alerts {
            *counts.entry(alert.rule.clone()).or_default() += alert.count;
        }
        counts
    }
}

/// Returns a table as a user names it on the command line.
///
/// # Panics
/// If the URL is wrong.
#[expect(clippy::panic, reason = "a test's own URL must be right")]
pub fn table_config(name: &str, url: &str) -> TableConfig {
    let location =
        Location::parse(url, &BTreeMap::new()).unwrap_or_else(|error| panic!("{url}: {error}"));
    TableConfig {
        name: name.to_owned(),
        location,
        time: None,
        day_partition: None,
        time_unit: None,
        on_null_time: None,
        on_bad_file: OnProblem::Fail,
    }
}

/// Ingests NDJSON lines into a table of `lake` by way of a file beside it.
pub async fn ingest_lines(lake: &Path, table: &str, lines: &str) -> Result<IngestReport> {
    let file = lake.join(format!("{table}.ndjson"));
    fs::create_dir_all(lake)?;
    fs::write(&file, lines)?;
    let to = lake.join("lake");
    let to = Location::parse(to.to_str().context("path is not UTF-8")?, &BTreeMap::new())?;
    Ok(ingest(IngestOptions::new(table, to), &[file], |_| {}).await?)
}

/// Returns `text` as a TOML string.
pub fn toml_text(text: &str) -> String {
    format!("{text:?}")
}

/// Returns the error and its causes, as the command prints them.
pub fn full_message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
