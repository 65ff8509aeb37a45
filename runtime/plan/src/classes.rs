//! Rules for a class of OCSF, brought to each table that holds events of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use yagura_core::names::did_you_mean;
use yagura_core::{FieldPath, Rule};
use yagura_lake::table::Table;
use yagura_ocsf::{Class, Schema as Ocsf};
use yagura_rules::resolve;

use crate::FieldExpression;
use crate::rule_source::{NotRun, RuleSource};

/// The column that says of which class an event is.
pub const CLASS_COLUMN: &str = "class_uid";

/// Rules over tables.
#[derive(Debug, Default)]
pub struct PlacedRules {
    /// Rules that name a table or join others, as they were; and each rule for a class once for each table that holds classes, with
    /// the table's name behind its id.
    pub rules: Vec<RuleSource>,
    /// Rules for a class that no table can hold, and those of a table that lacks a maker's field that other tables have.
    pub not_run: Vec<NotRun>,
}

/// Brings rules for a class to the tables that hold classes: those with the column `class_uid`. The rule has the table's name behind
/// its id even where there is only one such table, so that its alerts keep their ids when another comes. A table that lacks a maker's
/// field of the rule is left out if another table has it. `empty` are tables without objects, which may come to hold classes.
pub fn place_classes(
    own: impl IntoIterator<Item = RuleSource>,
    tables: &[Arc<Table>],
    empty: &[&str],
) -> PlacedRules {
    let schemas: Vec<(&str, Schema)> = tables
        .iter()
        .map(|table| (table.name.as_str(), table.schema()))
        .filter(|(_, schema)| schema.field_with_name(CLASS_COLUMN).is_ok())
        .collect();
    let mut placed = PlacedRules::default();
    for source in own {
        if source.rule.class.is_empty() {
            placed.rules.push(source);
            continue;
        }
        let not_run = |reason: String| NotRun {
            rule: source.rule.id.clone(),
            file: source.file.clone(),
            reason,
        };
        let Some(class) = Ocsf::shipped().class(&source.rule.class) else {
            placed
                .not_run
                .push(not_run(unknown_class(&source.rule.class)));
            continue;
        };
        if schemas.is_empty() {
            placed.not_run.push(not_run(no_table(class.name(), empty)));
            continue;
        }
        let lacking: Vec<Vec<FieldPath>> = schemas
            .iter()
            .map(|(_, schema)| lacking(&source.rule, class, schema))
            .collect();
        for ((table, schema), lacks) in schemas.iter().zip(&lacking) {
            // What no table has is misspelt, and an error of the rule.
            let elsewhere = lacks
                .iter()
                .find(|path| lacking.iter().any(|others| !others.contains(path)));
            if let Some(path) = elsewhere {
                let reason = format!(
                    "the table has no field `{path}`, which is not an attribute of the class `{}`; write optional = [\"{}\"] in [rule] if it is NULL there",
                    class.name(),
                    path.to_string().replace('"', "\\\"")
                );
                placed.not_run.push(NotRun {
                    rule: placed_id(&source.rule, table),
                    file: source.file.clone(),
                    reason,
                });
                continue;
            }
            placed.rules.push(RuleSource {
                rule: Arc::new(over_table(&source.rule, class, table, schema)),
                ..source.clone()
            });
        }
    }
    placed
}

/// Returns why a rule for a class does not run where no table holds classes.
fn no_table(class: &str, empty: &[&str]) -> String {
    match empty {
        [] => format!(
            "no table holds events of the class `{class}`: ingest logs with a source that writes them (`yagura source list`)"
        ),
        [one] => format!(
            "the table `{one}` has no objects yet; if they hold the class `{class}`, the rule runs from the first one on"
        ),
        several => format!(
            "the tables `{}` have no objects yet; if they hold the class `{class}`, the rule runs from the first one on",
            several.join("`, `")
        ),
    }
}

/// Returns why a name is not that of a class, as a sentence about a rule.
pub fn unknown_class(name: &str) -> String {
    let names = Ocsf::shipped().classes().map(Class::name);
    format!(
        "`{name}` is not a class of OCSF{}",
        did_you_mean(name, names)
    )
}

/// Returns the id of a rule for a class over one table.
fn placed_id(rule: &Rule, table: &str) -> String {
    format!("{}.{table}", rule.id)
}

/// Returns the fields that a rule reads.
fn paths_of(rule: &Rule) -> Vec<FieldPath> {
    let mut read = rule.read_paths();
    let of_condition = rule.condition.as_deref();
    let of_condition = of_condition.and_then(|text| FieldExpression::fields_of(text).ok());
    read.extend(of_condition.into_iter().flatten());
    read
}

/// Returns the makers' fields that a rule needs and a table lacks.
fn lacking(rule: &Rule, class: &Class, schema: &Schema) -> Vec<FieldPath> {
    let mut lacking = paths_of(rule);
    lacking.retain(|path| {
        !rule.optional.contains(path)
            && !is_attribute(class, path)
            && resolve(schema, path).is_err()
    });
    lacking
}

/// Returns the rule over one table. Attributes of the class that the table lacks are NULL there.
fn over_table(rule: &Rule, class: &Class, table: &str, schema: &Schema) -> Rule {
    let own = format!("{CLASS_COLUMN} = {}", class.uid());
    let condition = match &rule.condition {
        Some(condition) => format!("{own} AND ({condition}\n)"),
        None => own,
    };
    let mut optional = rule.optional.clone();
    for path in paths_of(rule) {
        let is_lacking = resolve(schema, &path).is_err();
        if is_lacking && !optional.contains(&path) && is_attribute(class, &path) {
            optional.push(path);
        }
    }
    let observables = match rule.observables.is_empty() {
        true => observables(schema),
        false => rule.observables.clone(),
    };
    Rule {
        observables,
        id: placed_id(rule, table),
        table: table.to_owned(),
        class: String::new(),
        condition: Some(condition),
        optional,
        ..rule.clone()
    }
}

/// Attributes that hold observables, by the kind of these.
const OBSERVABLES: [(&str, &str); 14] = [
    ("ip", "src_endpoint.ip"),
    ("ip", "dst_endpoint.ip"),
    ("ip", "device.ip"),
    ("user", "user.name"),
    ("user", "actor.user.name"),
    ("host", "device.hostname"),
    ("host", "src_endpoint.hostname"),
    ("host", "dst_endpoint.hostname"),
    ("domain", "query.hostname"),
    ("domain", "http_request.url.hostname"),
    ("url", "http_request.url.url_string"),
    ("process", "process.name"),
    ("email", "user.email_addr"),
    ("email", "actor.user.email_addr"),
];

/// Returns the observables of a rule that names none: those that its table has.
fn observables(schema: &Schema) -> BTreeMap<String, Vec<FieldPath>> {
    let mut found: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
    for (kind, attribute) in OBSERVABLES {
        if let Ok(path) = attribute.parse::<FieldPath>()
            && resolve(schema, &path).is_ok()
        {
            found.entry(kind.to_owned()).or_default().push(path);
        }
    }
    found
}

/// Says whether a path leads to an attribute of the class.
fn is_attribute(class: &Class, path: &FieldPath) -> bool {
    class.attribute(&path.segments().join(".")).is_some()
}
