//! Sigma rules find their tables, and correlations the fields of the rules that they join.

mod correlation;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use yagura_core::names::did_you_mean;
use yagura_core::{AlertPolicy, FieldPath, Rule};
use yagura_lake::table::Table;
use yagura_rules::Predicate;
use yagura_rules::pattern_cost::{self, PatternCost};
use yagura_rules::sigma::{
    FieldMap, Load, LowerError, SigmaFilter, SigmaSource, Translated, severity, translate,
};

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
    /// Rules that run: those that evaluate events, then correlations, each after those that it joins.
    pub rules: Vec<RuleSource>,
    /// Rules that do not, with the reason.
    pub not_run: Vec<NotRun>,
    /// Rules that run otherwise than they say, with the reason.
    pub notes: Vec<NotRun>,
    /// By table, why no rule for Windows runs over it although it looks like Windows events.
    pub unread: BTreeMap<String, String>,
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
            file: problem.file.clone().unwrap_or_default(),
            reason: problem.to_string(),
        });
    }
    placed
        .notes
        .extend(input.load.notes.iter().map(|note| NotRun {
            rule: String::new(),
            file: note.file.clone().unwrap_or_default(),
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

/// A table, and the field maps that know a rule's log source in it.
struct Place<'a> {
    table: &'a str,
    schema: &'a Schema,
    maps: Vec<&'a FieldMap>,
    /// Whether further maps are for the table.
    is_shared: bool,
}

impl Place<'_> {
    /// Returns what a rule asks of the table's events, whichever of the maps an event is of.
    fn translate(
        &self,
        source: &SigmaSource,
        filters: &[&SigmaFilter],
    ) -> Result<Translated, LowerError> {
        let mut predicates = Vec::new();
        let mut missing: Option<Vec<String>> = None;
        let mut tested: Vec<FieldPath> = Vec::new();
        for map in &self.maps {
            let translated = translate(source, filters, map, self.schema, self.is_shared)?;
            if translated.predicate == Predicate::Always(false) {
                continue;
            }
            predicates.push(translated.predicate);
            // What one of the maps finds is there.
            missing = Some(match missing {
                None => translated.missing,
                Some(known) => {
                    let both = known.into_iter();
                    both.filter(|field| translated.missing.contains(field))
                        .collect()
                }
            });
            for path in translated.tested {
                if !tested.contains(&path) {
                    tested.push(path);
                }
            }
        }
        Ok(Translated {
            predicate: Predicate::any(predicates),
            missing: missing.unwrap_or_default(),
            tested,
        })
    }

    /// Returns all names under which events have a field of Sigma's, the most certain ones first.
    fn names(&self, field: &str) -> Vec<FieldPath> {
        distinct(
            self.maps
                .iter()
                .flat_map(|map| map.names(field, self.schema)),
        )
    }
}

fn distinct(paths: impl Iterator<Item = FieldPath>) -> Vec<FieldPath> {
    let mut all = Vec::new();
    for path in paths {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

/// What alerts of a rule over one table show, and where each event has it.
struct Reading<'a> {
    place: &'a Place<'a>,
    alternatives: BTreeMap<FieldPath, Vec<FieldPath>>,
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

impl<'a> Reading<'a> {
    fn new(place: &'a Place<'a>) -> Self {
        Self {
            place,
            alternatives: BTreeMap::new(),
        }
    }

    /// Returns the path for a field that events have under any of these names.
    fn any_of(&mut self, names: Vec<FieldPath>) -> Option<FieldPath> {
        let first = names.first()?.clone();
        if names.len() > 1 {
            let known = self.alternatives.entry(first.clone()).or_default();
            *known = distinct(std::mem::take(known).into_iter().chain(names));
        }
        Some(first)
    }

    fn field(&mut self, name: &str) -> Option<FieldPath> {
        self.any_of(self.place.names(name))
    }

    /// Returns what an alert is about: of each list of the maps' keys the first field that an event has.
    fn key(&mut self) -> Vec<FieldPath> {
        let place = self.place;
        let width = place
            .maps
            .iter()
            .map(|map| map.key.len())
            .max()
            .unwrap_or(0);
        let keys = (0..width).map(|at| {
            let names = place.maps.iter().filter_map(|map| map.key.get(at));
            let names = names.flat_map(|names| names.iter().collect::<Vec<_>>());
            distinct(names.flat_map(|name| place.names(name)))
        });
        let keys: Vec<Vec<FieldPath>> = keys.collect();
        keys.into_iter()
            .filter_map(|names| self.any_of(names))
            .collect()
    }

    fn observables(&mut self) -> BTreeMap<String, Vec<FieldPath>> {
        let mut all: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
        for (kind, names) in self.place.maps.iter().flat_map(|map| &map.observables) {
            for name in names {
                if let Some(path) = self.field(name) {
                    let paths = all.entry(kind.clone()).or_default();
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
            }
        }
        all
    }

    fn rule(&mut self, source: &SigmaSource, id: String, tested: &[FieldPath]) -> Rule {
        let sigma = &source.rule;
        let named: Vec<FieldPath> = sigma
            .fields
            .iter()
            .filter_map(|field| self.field(field))
            .collect();
        let mut context = distinct(named.into_iter().chain(tested.iter().cloned()));
        context.truncate(MOST_CONTEXT);
        Rule {
            fuel_per_event: None,
            partition_by: Vec::new(),
            state_for: None,
            correlation: None,
            id,
            title: title(&sigma.title),
            description: sigma.description.clone().unwrap_or_default(),
            severity: severity(sigma.level),
            tags: sigma.tags.clone(),
            references: sigma.references.clone(),
            table: self.place.table.to_owned(),
            condition: None,
            columns: Vec::new(),
            optional: Vec::new(),
            plugin: None,
            config: toml::Table::new(),
            observables: self.observables(),
            context,
            alert: AlertPolicy {
                key: self.key(),
                ..AlertPolicy::default()
            },
        }
    }
}

/// Returns the tables that look like Windows event logs and cannot be read as such, each with the next step.
///
/// Rules for Windows would match nothing in such a table.
fn unread_windows(input: &SigmaInput, schemas: &[(String, Schema)]) -> BTreeMap<String, String> {
    /// Names that tools give to what every Windows event has, without case, `_` and `.`.
    const IDS: [&str; 4] = ["eventid", "eventcode", "eventidentifier", "winlog"];
    const OTHERS: [&str; 8] = [
        "channel",
        "logname",
        "provider",
        "providername",
        "sourcename",
        "eventrecordid",
        "recordnumber",
        "eventdata",
    ];
    let plain = |name: &str| name.to_lowercase().replace(['_', '.', ' '], "");
    let Some(windows) = input.maps.iter().find(|map| map.name == "windows") else {
        return BTreeMap::new();
    };
    schemas
        .iter()
        .filter(|(_, schema)| !windows.fits(schema))
        .filter_map(|(table, schema)| {
            let names = schema.fields().iter().map(|field| field.name());
            let has = |wanted: &[&str]| {
                let mut names = names.clone();
                names.find(|name| wanted.contains(&plain(name).as_str())).cloned()
            };
            let (id, other) = (has(&IDS)?, has(&OTHERS)?);
            let wanted: Vec<&str> = windows.tables.iter().filter_map(|of| of.iter().next()).collect();
            let message = format!(
                "table `{table}` has `{id}` and `{other}` as Windows events do, but no form of {} that is known: no rule for Windows runs over it; say in a field map of your own (--field-map) where its events have them",
                wanted.join(" and ")
            );
            Some((table.clone(), message))
        })
        .collect()
}

#[cfg(test)]
mod tests;
