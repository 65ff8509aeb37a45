//! The rules of a run brought to its tables: which run, over which table, and what correlations ask of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use yagura_core::Rule;
use yagura_core::names::did_you_mean;
use yagura_core::references::{circle_of, in_order, members};
use yagura_correlate::{Graph, GraphError};
use yagura_lake::table::Table;
use yagura_plan::{NotRun, PlanError, RuleSource, SigmaInput, lower_sigma, place_classes};
use yagura_rules::resolve::find;

/// Rules that run.
#[derive(Debug, Default)]
pub(crate) struct RunningRules {
    /// To which findings refer by index: first those that run, then those of which only the state is kept.
    pub(crate) rules: Vec<RuleSource>,
    /// How many of them run.
    pub(crate) running: usize,
    /// Rules that were left out, and correlations that join them.
    left_out: Vec<RuleSource>,
    /// Rules that do not run, with the reason.
    pub(crate) not_run: Vec<NotRun>,
    /// Rules that run otherwise than written, with the reason.
    pub(crate) notes: Vec<NotRun>,
}

impl RunningRules {
    /// Finds the rules that can run over `tables`. `known` are the names of all tables there are; the rules of `left_out` do not
    /// run, for their reasons.
    ///
    /// # Errors
    /// [`PlanError::Rule`] for a correlation that names a rule or a field that is not there.
    pub(crate) fn new(
        own: Vec<RuleSource>,
        sigma: &SigmaInput,
        tables: &[Arc<Table>],
        known: &[&str],
        left_out: &BTreeMap<String, String>,
    ) -> Result<Self, PlanError> {
        let is_open = |name: &&str| tables.iter().any(|table| table.name == *name);
        let empty: Vec<&str> = known
            .iter()
            .copied()
            .filter(|name| !is_open(name))
            .collect();
        let placed = place_classes(own, tables, &empty);
        let lowered = lower_sigma(sigma, tables);
        let mut set = Self {
            not_run: placed.not_run.into_iter().chain(lowered.not_run).collect(),
            notes: lowered.notes,
            ..Self::default()
        };
        let all: Vec<RuleSource> = placed.rules.into_iter().chain(lowered.rules).collect();
        let mut waiting = Vec::new();
        for source in all.clone() {
            let rule = &source.rule;
            if let Some(reason) = left_out.get(&rule.id) {
                set.not_run.push(not_run(&source, reason.clone()));
                if rule.correlation.is_none() {
                    set.left_out.push(source);
                }
            } else if rule.correlation.is_some() {
                waiting.push(source);
            } else if tables.iter().any(|table| table.name == rule.table) {
                set.rules.push(source);
            } else {
                let reason = if known.contains(&rule.table.as_str()) {
                    format!("table `{}` has no objects yet", rule.table)
                } else {
                    let near = did_you_mean(&rule.table, known.iter().copied());
                    format!("there is no table `{}`{near}", rule.table)
                };
                set.not_run.push(not_run(&source, reason));
            }
        }
        let is_left_out = |source: &RuleSource| left_out.contains_key(&source.rule.id);
        let kept = all.iter().filter(|source| !is_left_out(source));
        check_circles(&kept.cloned().collect::<Vec<_>>())?;
        set.add_correlations(waiting, &all)?;
        set.rules = with_fields(set.rules)?;
        check_fields(&set.rules, tables)?;
        set.running = set.rules.len();
        Ok(set)
    }

    /// Adds the rules that were left out, and correlations that join them, without events: what is remembered of them stays until
    /// they are corrected or removed. A rule of a table that is not open is not among them, nor what does not fit the others.
    pub(crate) fn keep_state_of_left_out(&mut self, tables: &[Arc<Table>]) {
        let mut rules = self.rules.clone();
        let (correlations, single): (Vec<RuleSource>, Vec<RuleSource>) =
            std::mem::take(&mut self.left_out)
                .into_iter()
                .partition(|source| source.rule.correlation.is_some());
        let is_open = |source: &RuleSource| {
            let mut open = tables.iter();
            open.any(|table| table.name == source.rule.table)
        };
        rules.extend(single.into_iter().filter(is_open));
        let mut waiting = correlations;
        loop {
            let before = waiting.len();
            for source in std::mem::take(&mut waiting) {
                let mut joined = source.rule.correlation.iter().flat_map(|of| &of.rules);
                // A table without running rules is not read, and would hold the time of the others.
                let is_read = |of: usize| {
                    let rule = &rules[of].rule;
                    let mut running = self.rules.iter();
                    rule.correlation.is_some() || running.any(|of| of.rule.table == rule.table)
                };
                let is_known = |entry: &String| {
                    let of = members(entry, rules.iter().map(|known| &*known.rule));
                    !of.is_empty() && of.into_iter().all(is_read)
                };
                match joined.all(is_known) {
                    true => rules.push(source),
                    false => waiting.push(source),
                }
            }
            if waiting.len() == before {
                break;
            }
        }
        if rules.len() == self.rules.len() {
            return;
        }
        if let Ok(rules) = with_fields(rules)
            && check_fields(&rules, tables).is_ok()
        {
            self.rules = rules;
        }
    }

    /// Adds the correlations of which all that they join runs.
    fn add_correlations(
        &mut self,
        mut waiting: Vec<RuleSource>,
        all: &[RuleSource],
    ) -> Result<(), PlanError> {
        loop {
            let before = waiting.len();
            for source in std::mem::take(&mut waiting) {
                let joined = source.rule.correlation.iter().flat_map(|c| &c.rules);
                let mut missing = None;
                for entry in joined {
                    let runs =
                        !members(entry, self.rules.iter().map(|known| &*known.rule)).is_empty();
                    let exists = !members(entry, all.iter().map(|known| &*known.rule)).is_empty();
                    if !exists {
                        let ids = all.iter().map(|known| known.rule.id.as_str());
                        return Err(PlanError::Rule {
                            file: source.file.clone(),
                            rule: source.rule.id.clone(),
                            key: "correlation.rules",
                            message: format!(
                                "names `{entry}`, and there is no such rule{}",
                                did_you_mean(entry, ids)
                            ),
                        });
                    }
                    if !runs {
                        missing = Some(entry.clone());
                    }
                }
                match missing {
                    None => self.rules.push(source),
                    Some(_) => waiting.push(source),
                }
            }
            if waiting.len() == before {
                break;
            }
        }
        for source in waiting {
            let joined = source.rule.correlation.iter().flat_map(|c| &c.rules);
            let runs = |entry: &&String| {
                !members(entry, self.rules.iter().map(|known| &*known.rule)).is_empty()
            };
            let names: Vec<&str> = joined
                .filter(|entry| !runs(entry))
                .map(String::as_str)
                .collect();
            let reason = format!("it joins rules that do not run: `{}`", names.join("`, `"));
            self.not_run.push(not_run(&source, reason));
            self.left_out.push(source);
        }
        Ok(())
    }

    /// Returns the rules of a table with their indexes.
    pub(crate) fn of_table(&self, table: &str) -> Vec<(usize, RuleSource)> {
        let rules = self.rules.iter().take(self.running).enumerate();
        rules
            .filter(|(_, source)| source.rule.table == table && source.rule.correlation.is_none())
            .map(|(index, source)| (index, source.clone()))
            .collect()
    }
}

/// Notes for each rule what correlations ask of its findings.
fn with_fields(mut rules: Vec<RuleSource>) -> Result<Vec<RuleSource>, PlanError> {
    let shared: Vec<Arc<Rule>> = rules
        .iter()
        .map(|source| Arc::clone(&source.rule))
        .collect();
    let graph = Graph::new(&shared).map_err(|error| rule_error(&rules, error))?;
    for (source, fields) in rules.iter_mut().zip(graph.fields()) {
        source.fields.clone_from(fields);
    }
    Ok(rules)
}

/// Finds fields that neither a rule's table nor its plugin can have.
fn check_fields(rules: &[RuleSource], tables: &[Arc<Table>]) -> Result<(), PlanError> {
    let schemas: BTreeMap<&str, _> = tables
        .iter()
        .map(|table| (table.name.as_str(), table.schema()))
        .collect();
    for source in rules {
        let Some(correlation) = &source.rule.correlation else {
            continue;
        };
        for entry in &correlation.rules {
            for of in members(entry, rules.iter().map(|known| &*known.rule)) {
                let of = &rules[of];
                let Some(schema) = schemas.get(of.rule.table.as_str()) else {
                    continue;
                };
                for name in correlation.field_names() {
                    let Some(path) = correlation.path_of(name, &of.rule.id) else {
                        continue;
                    };
                    let is_there = find(schema, &path).is_some()
                        || of.plugin.is_some()
                        || of.rule.optional.contains(&path);
                    if is_there {
                        continue;
                    }
                    let columns = schema.fields().iter().map(|field| field.name().as_str());
                    let near = did_you_mean(&path.to_string(), columns);
                    return Err(PlanError::Rule {
                        file: source.file.clone(),
                        rule: source.rule.id.clone(),
                        key: if correlation.by.iter().any(|by| by == name) {
                            "correlation.by"
                        } else {
                            "correlation.field"
                        },
                        message: format!(
                            "needs `{path}` of rule `{}`, and its table `{}` has no such column; say under `correlation.aliases.{name}` what that rule calls it{near}",
                            of.rule.id, of.rule.table
                        ),
                    });
                }
            }
        }
    }
    Ok(())
}

/// Finds correlations that join each other in a circle.
fn check_circles(all: &[RuleSource]) -> Result<(), PlanError> {
    let joined = |source: &RuleSource| -> Vec<usize> {
        let entries = source.rule.correlation.iter().flat_map(|of| &of.rules);
        entries
            .flat_map(|entry| members(entry, all.iter().map(|known| &*known.rule)))
            .collect()
    };
    let needs: Vec<Vec<usize>> = all.iter().map(joined).collect();
    let order = in_order(&needs);
    let Some(first) = order.circular.first() else {
        return Ok(());
    };
    let circle = circle_of(*first, &needs, &order);
    let source = &all[circle.first().copied().unwrap_or(*first)];
    let ids: Vec<&str> = circle.iter().map(|at| all[*at].rule.id.as_str()).collect();
    Err(PlanError::Rule {
        file: source.file.clone(),
        rule: source.rule.id.clone(),
        key: "correlation.rules",
        message: format!("lead back to themselves: `{}`", ids.join("` → `")),
    })
}

/// Names the file of a rule that does not fit the others.
pub(crate) fn rule_error(rules: &[RuleSource], error: GraphError) -> PlanError {
    let (file, rule) = rules
        .get(error.rule)
        .map_or_else(Default::default, |source| {
            (source.file.clone(), source.rule.id.clone())
        });
    PlanError::Rule {
        file,
        rule,
        key: error.key,
        message: error.message,
    }
}

fn not_run(source: &RuleSource, reason: String) -> NotRun {
    NotRun {
        rule: source.rule.id.clone(),
        file: source.file.clone(),
        reason,
    }
}
