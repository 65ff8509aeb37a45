//! What a rule needs to be tested: the rules that it joins, through others too, and the tables of all of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use yagura_core::Fault;
use yagura_core::names::did_you_mean;
use yagura_core::rule::ReportMode;
use yagura_plan::{RuleSource, SigmaInput, sigma_rule_id};
use yagura_service::packs::Loaded;

/// What a rule needs to run.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) rules: Vec<RuleSource>,
    pub(super) sigma: SigmaInput,
    /// In order of name.
    pub(super) tables: Vec<String>,
}

impl Needed {
    /// Finds what the rule with this id needs. The rule itself tells its alerts, even where it is only a part of others:
    /// otherwise no case could show what it finds.
    ///
    /// # Errors
    /// When a correlation names a rule that is not there, or joins nothing that reads a table.
    pub(super) fn of(loaded: &Loaded, id: &str) -> Result<Self> {
        let mut needed = Self::default();
        let mut open: Vec<(String, Option<&RuleSource>)> = vec![(id.to_owned(), None)];
        let mut seen = BTreeSet::new();
        while let Some((entry, joins)) = open.pop() {
            if !seen.insert(entry.clone()) {
                continue;
            }
            let Some(source) = loaded.rules.iter().find(|own| own.rule.id == entry) else {
                if let Some(joins) = joins
                    && !is_sigma(&loaded.sigma, &entry)
                {
                    return Err(no_such_rule(loaded, joins, &entry));
                }
                // A Sigma rule, or several that a correlation joins. It finds its table by the columns.
                needed.add_sigma(&loaded.sigma, &entry);
                let table = entry.replace(['-', '.'], "_");
                needed.tables.push(format!("events_{table}"));
                continue;
            };
            match &source.rule.correlation {
                Some(correlation) => {
                    // The first is taken first.
                    let joined = correlation.rules.iter().rev();
                    open.extend(joined.map(|entry| (entry.clone(), Some(source))));
                }
                None if !source.rule.class.is_empty() => {
                    needed.tables.push(source.rule.class.clone());
                }
                None => needed.tables.push(source.rule.table.clone()),
            }
            let mut source = source.clone();
            if entry == id && source.rule.alert.report == ReportMode::None {
                Arc::make_mut(&mut source.rule).alert.report = ReportMode::default();
            }
            needed.rules.push(source);
        }
        needed.tables.sort();
        needed.tables.dedup();
        if needed.tables.is_empty() {
            let message = format!(
                "`{id}` joins no rule that reads a table: its `rules` lead back to themselves"
            );
            return Err(Fault::rule(message).into());
        }
        Ok(needed)
    }

    /// Says whether a case may have events of this table, which is the empty name where a file does not say of which.
    /// Events that no rule would evaluate are an error: a case that expects nothing of them would pass for ever.
    ///
    /// # Errors
    /// When it may not.
    pub(super) fn check_table(&self, table: &str, place: &Path) -> Result<()> {
        let tables = self.tables.join("`, `");
        let place = place.display();
        let message = if table.is_empty() {
            format!(
                "{place} has events of one table, and the rule reads `{tables}`: make the case a folder with TABLE.ndjson for each, or write `tables` in place of `events`"
            )
        } else if self.sigma.load.rules.is_empty()
            && !self.tables.iter().any(|known| known == table)
        {
            let near = did_you_mean(table, self.tables.iter().map(String::as_str));
            format!("{place} has events of table `{table}`, and the rule reads `{tables}`{near}")
        } else {
            return Ok(());
        };
        Err(Fault::rule(message).into())
    }

    /// Adds a Sigma rule, with the filters that may apply to it; a correlation with all that could be its parts.
    fn add_sigma(&mut self, all: &SigmaInput, id: &str) {
        self.sigma.maps.clone_from(&all.maps);
        let load = &mut self.sigma.load;
        load.filters.clone_from(&all.load.filters);
        let correlations = yagura_plan::sigma_correlations(&all.load).rules;
        let counts = all
            .load
            .rules
            .iter()
            .any(|rule| sigma_rule_id(rule) == id && rule.count.is_some());
        if !counts && correlations.iter().any(|source| source.rule.id == id) {
            load.rules.clone_from(&all.load.rules);
            load.correlations.clone_from(&all.load.correlations);
            return;
        }
        let known: Vec<String> = load.rules.iter().map(sigma_rule_id).collect();
        let rules = all.load.rules.iter().filter(|source| {
            let of = sigma_rule_id(source);
            of == id && !known.contains(&of)
        });
        load.rules.extend(rules.cloned());
    }
}

/// Returns the ids of Sigma rules with their files.
pub fn sigma_ids(sigma: &SigmaInput) -> Vec<(String, PathBuf)> {
    let rules = sigma.load.rules.iter();
    rules
        .map(|source| (sigma_rule_id(source), source.file.clone()))
        .collect()
}

/// Says whether an entry of a correlation's `rules` is a Sigma rule, or a table's part of one.
fn is_sigma(sigma: &SigmaInput, entry: &str) -> bool {
    let rules = sigma.load.rules.iter();
    let rules = rules.flat_map(|source| [sigma_rule_id(source), source.events_id()]);
    let correlations = yagura_plan::sigma_correlations(&sigma.load).rules;
    let correlations = correlations.iter().map(|source| source.rule.id.clone());
    rules.chain(correlations).any(|id| {
        let rest = entry.strip_prefix(id.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn no_such_rule(loaded: &Loaded, joins: &RuleSource, entry: &str) -> anyhow::Error {
    let own = loaded.rules.iter().map(|source| source.rule.id.clone());
    let sigma = sigma_ids(&loaded.sigma).into_iter().map(|(id, _)| id);
    let known: Vec<String> = own.chain(sigma).collect();
    Fault::rule(format!(
        "{}: rule `{}`: `correlation.rules` names `{entry}`, and there is no such rule{}",
        joins.file.display(),
        joins.rule.id,
        did_you_mean(entry, known.iter().map(String::as_str))
    ))
    .into()
}
