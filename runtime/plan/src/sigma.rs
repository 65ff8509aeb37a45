//! Sigma rules find their tables, and correlations the fields of the rules that they join.

mod alert;
mod correlation;
mod place;
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

use self::alert::Reading;
use self::correlation::Site;
use self::place::Place;
use self::unknown::{no_table, unread_windows};
use crate::rule_source::{NotRun, RuleSource};

pub use self::correlation::correlations;
pub use self::rules::{Placed, SigmaInput};
pub use self::unknown::unknown_source;

/// Translates each rule for every table that holds its log source, and each correlation for the fields of the rules
/// that it joins.
pub fn place(input: &SigmaInput, tables: &[Arc<Table>]) -> Placed {
    let schemas: Vec<(String, Schema)> = tables
        .iter()
        .map(|table| (table.name.clone(), table.schema()))
        .collect();
    place_over(input, &schemas)
}

/// The same for tables of these names and columns.
fn place_over(input: &SigmaInput, schemas: &[(String, Schema)]) -> Placed {
    let fits: Vec<Vec<&FieldMap>> = schemas
        .iter()
        .map(|(_, schema)| input.maps.iter().filter(|map| map.fits(schema)).collect())
        .collect();
    let mut placed = Placed::default();
    for problem in &input.load.problems {
        placed.not_run.push(NotRun {
            rule: String::new(),
            file: problem.file.clone(),
            reason: problem.to_string(),
        });
    }
    placed
        .notes
        .extend(input.load.notes.iter().map(|note| NotRun {
            rule: String::new(),
            file: note.file.clone(),
            reason: note.to_string(),
        }));
    placed.unread = unread_windows(input, schemas);
    let unread = placed.unread.values();
    placed.notes.extend(unread.map(|reason| NotRun {
        rule: String::new(),
        file: PathBuf::new(),
        reason: reason.clone(),
    }));
    let mut sites: Vec<Vec<Site<'_>>> = Vec::with_capacity(input.load.rules.len());
    let mut found: Vec<Candidate<'_>> = Vec::new();
    for (at, source) in input.load.rules.iter().enumerate() {
        sites.push(Vec::new());
        let id = source.id();
        let not_run = |reason: String| NotRun {
            rule: id.clone(),
            file: source.file.clone(),
            reason,
        };
        let mut places = Vec::new();
        for ((table, schema), fitting) in schemas.iter().zip(&fits) {
            let of_source = fitting.iter().copied();
            let of_source =
                of_source.filter(|map| !map.sources_of(&source.rule.logsource).is_empty());
            let maps: Vec<&FieldMap> = of_source.collect();
            if !maps.is_empty() {
                let is_shared = fitting.len() > 1;
                places.push(Place {
                    table,
                    schema,
                    maps,
                    is_shared,
                });
            }
        }
        if places.is_empty() {
            placed.not_run.push(not_run(no_table(source, input)));
            continue;
        }
        let filters = input.load.filters_of(&source.rule);
        let several = places.len() > 1;
        for place in places {
            let table = place.table;
            let translated = match place.translate(source, &filters) {
                Ok(translated) => translated,
                Err(error) => {
                    let error = error.in_file(&source.file);
                    placed.not_run.push(not_run(error.to_string()));
                    break;
                }
            };
            let id = match several {
                true => format!("{}.{table}", source.events_id()),
                false => source.events_id(),
            };
            if translated.predicate == Predicate::Always(false) {
                placed.not_run.push(not_run(format!(
                    "table `{table}` has no events of its log source: it lacks what tells them from others"
                )));
                continue;
            }
            found.push(Candidate {
                at,
                cost: pattern_cost::of_predicate(&translated.predicate, pattern_cost::TABLE),
                id,
                place,
                translated,
            });
        }
    }
    let too_costly = over_table(&found);
    for (number, candidate) in found.into_iter().enumerate() {
        let Candidate {
            at,
            cost,
            id,
            place,
            translated,
        } = candidate;
        let source = &input.load.rules[at];
        if too_costly.contains(&number) {
            placed.not_run.push(NotRun {
                rule: id,
                file: source.file.clone(),
                reason: pattern_cost::over_table(place.table, &cost),
            });
            continue;
        }
        if !translated.missing.is_empty() {
            placed
                .missing
                .insert(id.clone(), translated.missing.clone());
        }
        if source.count.is_some() {
            placed.parts.insert(id.clone());
        }
        let mut reading = Reading::new(&place);
        let rule = reading.rule(source, id, &translated.tested);
        placed.rules.push(RuleSource {
            rule: Arc::new(rule),
            file: source.file.clone(),
            plugin: None,
            predicate: Some(Arc::new(translated.predicate)),
            fields: Vec::new(),
            alternatives: reading.alternatives,
        });
        sites[at].push(Site {
            rule: placed.rules.len() - 1,
            source,
            place,
        });
    }
    correlation::join(&input.load, &sites, &mut placed);
    placed
}

/// A rule over a table, before it is known whether the patterns of all rules together cost too much.
struct Candidate<'a> {
    /// Index among the rules that were read.
    at: usize,
    cost: PatternCost,
    id: String,
    place: Place<'a>,
    translated: Translated,
}

/// Returns the rules, by their number, that a table cannot have because the patterns of all its rules together cost too much: those
/// that cost most, until the rest fits.
fn over_table(candidates: &[Candidate<'_>]) -> BTreeSet<usize> {
    let mut of_table: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
    for (number, candidate) in candidates.iter().enumerate() {
        let costs = of_table.entry(candidate.place.table).or_default();
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
