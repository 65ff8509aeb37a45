//! Sigma rules lowered to tables: each to the tables that hold its log source, correlations to the fields of the rules that they join.

mod alert;
mod correlation;
mod mapped_table;
mod rules;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use yagura_lake::table::Table;
use yagura_rules::Predicate;
use yagura_rules::pattern_cost::{self, PatternCost};
use yagura_rules::sigma::{FieldMap, SigmaSource, Translated};

use self::alert::AlertFields;
use self::correlation::TableRule;
use self::mapped_table::MappedTable;
use self::unknown::{no_table, unread_windows};
use crate::rule_source::{NotRun, RuleSource};

pub use self::correlation::sigma_correlations;
pub use self::rules::{SigmaInput, SigmaRules};
pub use self::unknown::unknown_source;

/// Translates each rule for every table that holds its log source, and each correlation for the fields of the rules
/// that it joins.
pub fn lower_sigma(input: &SigmaInput, tables: &[Arc<Table>]) -> SigmaRules {
    let schemas: Vec<(String, Schema)> = tables
        .iter()
        .map(|table| (table.name.clone(), table.schema()))
        .collect();
    lower_over(input, &schemas)
}

/// The same for tables of these names and columns.
fn lower_over(input: &SigmaInput, schemas: &[(String, Schema)]) -> SigmaRules {
    let fits: Vec<Vec<&FieldMap>> = schemas
        .iter()
        .map(|(_, schema)| input.maps.iter().filter(|map| map.fits(schema)).collect())
        .collect();
    let mut lowered = SigmaRules::default();
    for problem in &input.load.problems {
        lowered.not_run.push(NotRun {
            rule: String::new(),
            file: problem.file.clone().unwrap_or_default(),
            reason: problem.to_string(),
        });
    }
    lowered
        .notes
        .extend(input.load.notes.iter().map(|note| NotRun {
            rule: String::new(),
            file: note.file.clone().unwrap_or_default(),
            reason: note.to_string(),
        }));
    lowered.unread = unread_windows(input, schemas);
    let unread = lowered.unread.values();
    lowered.notes.extend(unread.map(|reason| NotRun {
        rule: String::new(),
        file: PathBuf::new(),
        reason: reason.clone(),
    }));
    let mut table_rules: Vec<Vec<TableRule<'_>>> = Vec::with_capacity(input.load.rules.len());
    let mut found: Vec<CandidateRule<'_>> = Vec::new();
    for (at, source) in input.load.rules.iter().enumerate() {
        table_rules.push(Vec::new());
        let id = source.id();
        let not_run = |reason: String| NotRun {
            rule: id.clone(),
            file: source.file.clone(),
            reason,
        };
        let mut mapped_tables = Vec::new();
        for ((table, schema), fitting) in schemas.iter().zip(&fits) {
            let of_source = fitting.iter().copied();
            let of_source =
                of_source.filter(|map| !map.sources_of(&source.rule.logsource).is_empty());
            let maps: Vec<&FieldMap> = of_source.collect();
            if !maps.is_empty() {
                let is_shared = fitting.len() > 1;
                mapped_tables.push(MappedTable {
                    table,
                    schema,
                    maps,
                    is_shared,
                });
            }
        }
        if mapped_tables.is_empty() {
            lowered.not_run.push(not_run(no_table(source, input)));
            continue;
        }
        let filters = input.load.filters_of(&source.rule);
        let several = mapped_tables.len() > 1;
        for mapped in mapped_tables {
            let table = mapped.table;
            let translated = match mapped.translate(source, &filters) {
                Ok(translated) => translated,
                Err(error) => {
                    let error = error.in_file(&source.file);
                    lowered.not_run.push(not_run(error.to_string()));
                    break;
                }
            };
            let id = match several {
                true => format!("{}.{table}", source.events_id()),
                false => source.events_id(),
            };
            if translated.predicate == Predicate::Always(false) {
                lowered.not_run.push(not_run(format!(
                    "table `{table}` has no events of its log source: it lacks the fields that identify them"
                )));
                continue;
            }
            found.push(CandidateRule {
                at,
                cost: pattern_cost::of_predicate(&translated.predicate, pattern_cost::TABLE),
                id,
                mapped,
                translated,
            });
        }
    }
    let too_costly = over_table(&found);
    for (number, candidate) in found.into_iter().enumerate() {
        let CandidateRule {
            at,
            cost,
            id,
            mapped,
            translated,
        } = candidate;
        let source = &input.load.rules[at];
        if too_costly.contains(&number) {
            lowered.not_run.push(NotRun {
                rule: id,
                file: source.file.clone(),
                reason: pattern_cost::over_table(mapped.table, &cost),
            });
            continue;
        }
        if !translated.missing.is_empty() {
            lowered
                .missing
                .insert(id.clone(), translated.missing.clone());
        }
        if source.count.is_some() {
            lowered.parts.insert(id.clone());
        }
        let mut alert_fields = AlertFields::new(&mapped);
        let rule = alert_fields.rule(source, id, &translated.tested);
        lowered.rules.push(RuleSource {
            rule: Arc::new(rule),
            file: source.file.clone(),
            plugin: None,
            predicate: Some(Arc::new(translated.predicate)),
            fields: Vec::new(),
            alternatives: alert_fields.alternatives,
        });
        table_rules[at].push(TableRule {
            rule: lowered.rules.len() - 1,
            source,
            mapped,
        });
    }
    correlation::join(&input.load, &table_rules, &mut lowered);
    lowered
}

/// A rule over a table, before it is known whether the patterns of all rules together cost too much.
struct CandidateRule<'a> {
    /// Index among the rules that were read.
    at: usize,
    cost: PatternCost,
    id: String,
    mapped: MappedTable<'a>,
    translated: Translated,
}

/// Returns the rules, by their number, that a table cannot have because the patterns of all its rules together cost too much: those
/// that cost most, until the rest fits.
fn over_table(candidates: &[CandidateRule<'_>]) -> BTreeSet<usize> {
    let mut of_table: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
    for (number, candidate) in candidates.iter().enumerate() {
        let costs = of_table.entry(candidate.mapped.table).or_default();
        costs.push((candidate.cost.total, number));
    }
    let mut over = BTreeSet::new();
    for mut costs in of_table.into_values() {
        costs.sort_unstable();
        let mut total = 0_u64;
        for (cost, number) in costs {
            total = total.saturating_add(cost);
            if total > pattern_cost::TABLE {
                over.insert(number);
            }
        }
    }
    over
}

/// Returns the id of a rule in alerts: its own, or its title as one.
pub fn rule_id(source: &SigmaSource) -> String {
    source.id()
}

#[cfg(test)]
mod tests;
