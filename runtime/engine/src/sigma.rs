//! Sigma rules find their tables, and correlations the fields of the rules that they join.

mod correlation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use yagura_core::names::did_you_mean;
use yagura_core::{AlertPolicy, FieldPath, Rule};
use yagura_lake::table::Table;
use yagura_rules::Predicate;
use yagura_rules::sigma::{FieldMap, Load, SigmaSource, severity, translate};

use self::correlation::Site;
use crate::plan::RuleSource;
use crate::run::NotRun;

pub use self::correlation::correlations;

/// Fields of a rule that go into its alerts' context, at most.
const MOST_CONTEXT: usize = 16;

/// Sigma rules of a run, and where their log sources are.
#[derive(Debug, Clone, Default)]
pub struct SigmaInput {
    /// What was read.
    pub load: Load,
    /// Field maps; the first that fits a table and knows a rule's log source is taken.
    pub maps: Vec<FieldMap>,
}

/// Rules with their tables, and those that have none.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// Rules that run: those that judge events, then correlations, each after those that it joins.
    pub rules: Vec<RuleSource>,
    /// Rules that do not, with the reason.
    pub not_run: Vec<NotRun>,
    /// Rules that run otherwise than they say, with the reason.
    pub notes: Vec<NotRun>,
    /// By id, the fields that a rule names and its table lacks.
    pub missing: BTreeMap<String, Vec<String>>,
    /// Ids of rules that only find the events which an old rule counts; they are no rules to a reader.
    pub parts: BTreeSet<String>,
}

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
    let mut sites: Vec<Vec<Site<'_>>> = Vec::with_capacity(input.load.rules.len());
    for source in &input.load.rules {
        sites.push(Vec::new());
        let id = source.id();
        let not_run = |reason: String| NotRun {
            rule: id.clone(),
            file: source.file.clone(),
            reason,
        };
        let mut found = Vec::new();
        for ((table, schema), maps) in schemas.iter().zip(&fits) {
            let map = maps
                .iter()
                .find(|map| !map.sources_of(&source.rule.logsource).is_empty());
            if let Some(map) = map {
                found.push((table, schema, *map));
            }
        }
        if found.is_empty() {
            placed.not_run.push(not_run(no_table(source, input)));
            continue;
        }
        let filters = input.load.filters_of(&source.rule);
        let several = found.len() > 1;
        for (table, schema, map) in found {
            match translate(source, &filters, map, schema) {
                Err(error) => {
                    placed
                        .not_run
                        .push(not_run(error.in_file(&source.file).to_string()));
                    break;
                }
                Ok(translated) => {
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
                    if !translated.missing.is_empty() {
                        placed
                            .missing
                            .insert(id.clone(), translated.missing.clone());
                    }
                    if source.count.is_some() {
                        placed.parts.insert(id.clone());
                    }
                    if let Some(sites) = sites.last_mut() {
                        sites.push(Site {
                            rule: placed.rules.len(),
                            source,
                            map,
                            table,
                            schema,
                        });
                    }
                    placed.rules.push(RuleSource {
                        rule: Arc::new(rule(source, id, table, schema, map, &translated.tested)),
                        file: source.file.clone(),
                        plugin: None,
                        predicate: Some(Arc::new(translated.predicate)),
                        fields: Vec::new(),
                    });
                }
            }
        }
    }
    correlation::join(&input.load, &sites, &mut placed);
    placed
}

/// Says that no field map knows a rule's log source, whatever tables there are; nothing where one does.
pub fn unknown_source(source: &SigmaSource, input: &SigmaInput) -> Option<String> {
    let mut maps = input.maps.iter();
    let is_known = maps.any(|map| !map.sources_of(&source.rule.logsource).is_empty());
    (!is_known).then(|| no_table(source, input))
}

fn no_table(source: &SigmaSource, input: &SigmaInput) -> String {
    let logsource = &source.rule.logsource;
    let named: Vec<String> = [
        ("product", &logsource.product),
        ("category", &logsource.category),
        ("service", &logsource.service),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)))
    .collect();
    let named = if named.is_empty() {
        "that is empty".to_owned()
    } else {
        named.join(" ")
    };
    let maps: Vec<&FieldMap> = input
        .maps
        .iter()
        .filter(|map| !map.sources_of(logsource).is_empty())
        .collect();
    if maps.is_empty() {
        let known = input
            .maps
            .iter()
            .flat_map(|map| &map.sources)
            .filter_map(|of| of.product.as_deref());
        let hint = logsource
            .product
            .as_deref()
            .filter(|product| !known.clone().any(|known| known == *product))
            .map(|product| did_you_mean(product, known))
            .unwrap_or_default();
        return format!(
            "no field map knows the log source {named}{hint}; give one with --field-map"
        );
    }
    let names: Vec<&str> = maps.iter().map(|map| map.name.as_str()).collect();
    format!(
        "no table holds the log source {named}: none has the columns of the field map `{}`",
        names.join("` or `")
    )
}

/// Returns the id of a rule in alerts: its own, or its title as one.
pub fn rule_id(source: &SigmaSource) -> String {
    source.id()
}

/// Returns a title of Sigma's in our form: its braces are braces.
fn title(sigma: &str) -> String {
    sigma.replace(['{', '}'], "|")
}

fn rule(
    source: &SigmaSource,
    id: String,
    table: &str,
    schema: &Schema,
    map: &FieldMap,
    tested: &[FieldPath],
) -> Rule {
    let sigma = &source.rule;
    let find = |name: &str| map.field(name, schema);
    let mut context: Vec<FieldPath> = Vec::new();
    for path in sigma
        .fields
        .iter()
        .filter_map(|field| find(field))
        .chain(tested.iter().cloned())
    {
        if !context.contains(&path) && context.len() < MOST_CONTEXT {
            context.push(path);
        }
    }
    Rule {
        fuel_per_event: None,
        partition_by: Vec::new(),
        correlation: None,
        id,
        title: title(&sigma.title),
        description: sigma.description.clone().unwrap_or_default(),
        severity: severity(sigma.level),
        tags: sigma.tags.clone(),
        references: sigma.references.clone(),
        table: table.to_owned(),
        condition: None,
        columns: Vec::new(),
        optional: Vec::new(),
        plugin: None,
        config: toml::Table::new(),
        observables: map
            .observables
            .iter()
            .map(|(kind, names)| {
                let mut paths: Vec<FieldPath> =
                    names.iter().filter_map(|name| find(name)).collect();
                paths.dedup();
                (kind.clone(), paths)
            })
            .filter(|(_, paths)| !paths.is_empty())
            .collect(),
        context,
        alert: AlertPolicy {
            key: map.key_of(schema),
            ..AlertPolicy::default()
        },
    }
}

#[cfg(test)]
mod tests;
