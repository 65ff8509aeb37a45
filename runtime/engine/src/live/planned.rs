//! Rules brought to tables that are open. A rule that does not fit is left out by name, and stops no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use yagura_correlate::{CorrelationEngine, CorrelationOptions};
use yagura_lake::table::TableConfig;
use yagura_plan::NotRun;

use super::error::LiveError;
use super::listing::OpenTable;
use super::options::LiveOptions;
use crate::error::EngineError;
use crate::ruleset::{RunningRules, rule_error};
use crate::run::RunInput;
use crate::table_run::TableRun;

/// Rules over their tables.
#[derive(Debug)]
pub(super) struct PlannedRules {
    /// The rules that run, and those that do not.
    pub(super) set: RunningRules,
    /// Reports of each rule that does not fit that it is left out, and why.
    pub(super) left_out: Vec<String>,
    /// The tables that have rules.
    pub(super) runs: Vec<(TableConfig, TableRun)>,
    /// What joins the findings of the rules, with nothing remembered.
    pub(super) correlations: CorrelationEngine,
}

/// Plans the rules over the tables, and opens their plugins. Leaves out rules that do not fit.
///
/// # Errors
/// [`LiveError::Engine`] where the cause is no rule and no plugin.
pub(super) fn plan_rules(
    input: &RunInput,
    open: &[(TableConfig, OpenTable)],
    options: &LiveOptions,
) -> Result<PlannedRules, LiveError> {
    let mut left_out = BTreeMap::new();
    loop {
        let refused = match plan_remaining(input, open, options, &left_out) {
            Ok((planned, refused)) if refused.is_empty() => return Ok(planned),
            Ok((_, refused)) => refused,
            Err(error) => {
                let refused = error.rules();
                if refused.is_empty() {
                    return Err(error.into());
                }
                refused
            }
        };
        let before = left_out.len();
        left_out.extend(refused);
        if left_out.len() == before {
            let error = "a rule that was left out is planned again".to_owned();
            return Err(EngineError::State(error).into());
        }
    }
}

/// Plans the rules that are not left out. Returns those that their plugins do not accept.
fn plan_remaining(
    input: &RunInput,
    open: &[(TableConfig, OpenTable)],
    options: &LiveOptions,
    left_out: &BTreeMap<String, String>,
) -> Result<(PlannedRules, Vec<(String, String)>), EngineError> {
    let tables: Vec<_> = open
        .iter()
        .map(|(_, (table, _))| Arc::clone(table))
        .collect();
    let known = input.tables.iter().map(|table| table.name.as_str());
    let known: Vec<&str> = known.collect();
    let rules = input.rules.clone();
    let mut set = RunningRules::new(rules, &input.sigma, &tables, &known, left_out)?;
    set.keep_state_of_left_out(&tables);
    let mut runs = Vec::new();
    let mut refused = Vec::new();
    for (config, (table, cache)) in open {
        let rules = set.of_table(&table.name);
        if rules.is_empty() {
            continue;
        }
        let (table, cache) = (Arc::clone(table), Arc::clone(cache));
        let (all, plugins) = (&set.rules, &input.plugins);
        let run = TableRun::new(table, cache, &rules, all, plugins, &options.run);
        match run {
            Ok(mut run) => {
                refused.extend(run.open_plugins()?);
                runs.push((config.clone(), run));
            }
            Err(error) => {
                let of_table = error.rules();
                if of_table.is_empty() {
                    return Err(error);
                }
                refused.extend(of_table);
            }
        }
    }
    let correlation_options = CorrelationOptions {
        workers: options.run.partitions,
        is_live: true,
        geolocation: input.geolocation.clone(),
        max_waiting_bytes: Some(options.waiting_bytes),
    };
    let rules = set.rules.iter().map(|source| Arc::clone(&source.rule));
    let correlations = CorrelationEngine::new(rules.collect(), correlation_options);
    let correlations = correlations.map_err(|error| rule_error(&set.rules, error))?;
    let of_left_out = set.not_run.iter();
    let of_left_out = of_left_out.filter(|rule| left_out.contains_key(&rule.rule));
    let planned = PlannedRules {
        left_out: of_left_out.map(NotRun::message).collect(),
        set,
        runs,
        correlations,
    };
    Ok((planned, refused))
}
