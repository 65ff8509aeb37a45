//! Rules brought to tables that are open. A rule that does not fit is left out by name, and stops no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use yagura_correlate::{CorrelationEngine, CorrelationOptions};
use yagura_lake::table::TableConfig;

use super::look::OpenTable;
use super::{LiveError, LiveOptions};
use crate::error::EngineError;
use crate::ruleset::{RuleSet, rule_error};
use crate::run::{NotRun, RunInput};
use crate::table_run::TableRun;

/// Rules over their tables.
#[derive(Debug)]
pub(super) struct Fitted {
    /// The rules that run, and those that do not.
    pub(super) set: RuleSet,
    /// Says of each rule that does not fit that it is left out, and why.
    pub(super) left_out: Vec<String>,
    /// The tables that have rules.
    pub(super) runs: Vec<(TableConfig, TableRun)>,
    /// What joins the findings of the rules, with nothing remembered.
    pub(super) fold: CorrelationEngine,
}

/// Plans the rules over the tables, and opens their plugins. Leaves out rules that do not fit.
///
/// # Errors
/// [`LiveError::Engine`] where the cause is no rule and no plugin.
pub(super) fn fit(
    input: &RunInput,
    open: &[(TableConfig, OpenTable)],
    options: &LiveOptions,
) -> Result<Fitted, LiveError> {
    let mut left_out = BTreeMap::new();
    loop {
        let misfits = match fit_rest(input, open, options, &left_out) {
            Ok((fitted, misfits)) if misfits.is_empty() => return Ok(fitted),
            Ok((_, misfits)) => misfits,
            Err(error) => {
                let misfits = error.misfits();
                if misfits.is_empty() {
                    return Err(error.into());
                }
                misfits
            }
        };
        let before = left_out.len();
        left_out.extend(misfits);
        if left_out.len() == before {
            let error = "a rule that was left out is planned again".to_owned();
            return Err(EngineError::State(error).into());
        }
    }
}

/// Plans the rules that are not left out. Returns those that their plugins do not accept.
fn fit_rest(
    input: &RunInput,
    open: &[(TableConfig, OpenTable)],
    options: &LiveOptions,
    left_out: &BTreeMap<String, String>,
) -> Result<(Fitted, Vec<(String, String)>), EngineError> {
    let tables: Vec<_> = open
        .iter()
        .map(|(_, (table, _))| Arc::clone(table))
        .collect();
    let known = input.tables.iter().map(|table| table.name.as_str());
    let known: Vec<&str> = known.collect();
    let rules = input.rules.clone();
    let set = RuleSet::new(rules, &input.sigma, &tables, &known, left_out)?;
    let mut runs = Vec::new();
    let mut misfits = Vec::new();
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
                misfits.extend(run.open_plugins()?);
                runs.push((config.clone(), run));
            }
            Err(error) => {
                let of_table = error.misfits();
                if of_table.is_empty() {
                    return Err(error);
                }
                misfits.extend(of_table);
            }
        }
    }
    let fold_options = CorrelationOptions {
        workers: options.run.partitions,
        is_live: true,
        geolocation: input.geolocation.clone(),
    };
    let rules = set.rules.iter().map(|source| Arc::clone(&source.rule));
    let fold = CorrelationEngine::new(rules.collect(), fold_options);
    let fold = fold.map_err(|error| rule_error(&set.rules, error))?;
    let of_misfits = set.not_run.iter();
    let of_misfits = of_misfits.filter(|rule| left_out.contains_key(&rule.rule));
    let fitted = Fitted {
        left_out: of_misfits.map(NotRun::message).collect(),
        set,
        runs,
        fold,
    };
    Ok((fitted, misfits))
}
