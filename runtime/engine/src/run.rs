//! One pass of all rules over a closed range of event time.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::cache::cache_manager::FileMetadataCache;
use yagura_core::{Alert, Finding, Rule, TimeRange};
use yagura_correlate::{
    CorrelationEngine, CorrelationOptions, Counters, Geolocation, NoSpill, Watermark,
};
use yagura_lake::table::{Table, TableConfig};
use yagura_plan::{NotRun, RuleSource, SigmaInput, footer_cache};

use crate::error::EngineError;
use crate::options::RunOptions;
use crate::report::{RunCounters, SkippedEvents};
use crate::ruleset::{RunningRules, rule_error};
use crate::runtime::PluginSource;
use crate::table_outcome::{TableOutcome, last_instant};
use crate::table_run::TableRun;

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
    /// Whether some of these did not run because their plugins do not accept them.
    pub has_refused: bool,
    /// Rules that ran otherwise than written, with their files and the reason.
    pub notes: Vec<NotRun>,
    sources: Vec<RuleSource>,
    geolocation: BTreeMap<String, Geolocation>,
    range: TimeRange,
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
    mut watch: impl FnMut(&Table, &Arc<RunCounters>),
) -> Result<RunOutcome, EngineError> {
    let mut open = Vec::new();
    for config in &input.tables {
        let is_named = input
            .rules
            .iter()
            .any(|source| source.rule.may_read(&config.name));
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
    let planned = plan_run(&input, &open, &tables, &known, options)?;
    let (set, runs) = (planned.set, planned.runs);
    let mut outcome = RunOutcome {
        has_refused: planned.has_refused,
        geolocation: input.geolocation,
        range: options.range,
        ..RunOutcome::default()
    };
    // Footers are not read for a time that no rule asks for: they cost requests.
    let needs_end = set
        .rules
        .iter()
        .any(|source| source.rule.correlation.is_some() || !source.rule.partition_by.is_empty());
    for mut run in runs {
        watch(&run.table, &run.progress);
        let (table, findings) = run.run_once(outcome.findings.len(), needs_end).await?;
        outcome.tables.push(table);
        outcome.findings.extend(findings);
        outcome.skipped.extend(run.take_skipped());
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

/// Rules over their tables.
struct PlannedRun {
    set: RunningRules,
    /// The tables that have rules.
    runs: Vec<TableRun>,
    /// Whether plugins refused some rules.
    has_refused: bool,
}

/// Plans the rules over the tables, and opens their plugins. Leaves out the rules that their plugins do not accept, and what joins
/// them.
fn plan_run(
    input: &RunInput,
    open: &[(Arc<Table>, Arc<FileMetadataCache>)],
    tables: &[Arc<Table>],
    known: &[&str],
    options: &RunOptions,
) -> Result<PlannedRun, EngineError> {
    let mut refused = BTreeMap::new();
    loop {
        let rules = input.rules.clone();
        let set = RunningRules::new(rules, &input.sigma, tables, known, &refused)?;
        let mut runs = Vec::new();
        let before = refused.len();
        for (table, cache) in open {
            let rules = set.of_table(&table.name);
            if rules.is_empty() {
                continue;
            }
            let (table, cache) = (Arc::clone(table), Arc::clone(cache));
            let (all, plugins) = (&set.rules, &input.plugins);
            let mut run = TableRun::new(table, cache, &rules, all, plugins, options)?;
            refused.extend(run.open_plugins()?);
            runs.push(run);
        }
        if refused.len() == before {
            let has_refused = !refused.is_empty();
            return Ok(PlannedRun {
                set,
                runs,
                has_refused,
            });
        }
    }
}

impl RunOutcome {
    /// Takes the findings and returns the final alerts that come of them, in order of window, rule and key, their
    /// evidence without hashes; and what correlations left out.
    ///
    /// # Errors
    /// [`EngineError::Plan`]: a correlation that needs something that is not there, such as a file of places.
    pub fn alerts(&mut self, workers: usize) -> Result<(Vec<Alert>, Counters), EngineError> {
        let options = CorrelationOptions {
            workers,
            is_live: false,
            geolocation: self.geolocation.clone(),
            max_waiting_bytes: None,
        };
        let mut correlations = CorrelationEngine::new(self.rules.clone(), options)
            .map_err(|error| rule_error(&self.sources, error))?;
        let findings = std::mem::take(&mut self.findings);
        let wrong = EngineError::Correlation;
        let first = correlations
            .step(findings, &|_| Watermark::default(), &mut NoSpill)
            .map_err(wrong)?;
        let end = |table: &str| self.end_of(table).unwrap_or(i64::MIN);
        let last = correlations.finish(&end, &mut NoSpill).map_err(wrong)?;
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
