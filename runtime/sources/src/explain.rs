//! What a source makes of an event, column by column.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use yagura_core::FieldPath;
use yagura_plan::FieldExpression;

use crate::mapping::{ClassPlan, Mapping};

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The class of the row; empty where the event is of none.
    pub class: String,
    /// When it happened.
    pub event_time: Option<String>,
    /// The columns of the row that the source made, in their order.
    pub columns: Vec<ExplainedColumn>,
    /// Columns of the class whose expression gave nothing, or nothing that fits.
    pub without_value: Vec<String>,
    /// Fields of the maker's that no expression names, with their values.
    pub unmapped: Map<String, Value>,
    /// What OCSF does not allow in the row, a sentence each: what it requires and is missing.
    pub problems: Vec<String>,
    /// The event as it was.
    pub raw: String,
}

/// A column of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedColumn {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The expression that it comes from; nothing for what follows from the class and from other columns.
    pub from: Option<String>,
}

/// Explains a row that the mapping made.
pub fn explain(mapping: &Mapping, row: &Map<String, Value>) -> Explained {
    let uid = row.get("class_uid").and_then(Value::as_i64);
    let class = mapping.classes.iter().find(|class| Some(class.uid) == uid);
    let columns = mapping.columns().iter();
    let columns: BTreeSet<&str> = columns.map(|column| column.name.as_str()).collect();
    let written = |name: &str| {
        let of_class = class.into_iter().flat_map(|class| &class.columns);
        let mut of_class = of_class.filter(|column| column.name == name);
        of_class.next().map(|column| column.written.clone())
    };
    let named: BTreeSet<String> = class
        .map(|class| read_by(mapping, class))
        .unwrap_or_default();
    let mut explained = Explained {
        class: class.map_or_else(String::new, |class| class.name.to_owned()),
        event_time: row
            .get("event_time")
            .and_then(Value::as_str)
            .map(str::to_owned),
        columns: Vec::new(),
        without_value: Vec::new(),
        unmapped: Map::new(),
        problems: mapping
            .problems(row)
            .into_iter()
            .map(|of| of.message)
            .collect(),
        raw: row
            .get("raw")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    };
    for (name, value) in row {
        if matches!(name.as_str(), "event_time" | "raw") {
            continue;
        }
        if class.is_some() && columns.contains(name.as_str()) {
            explained.columns.push(ExplainedColumn {
                name: name.clone(),
                value: value.clone(),
                from: written(name),
            });
        } else if name == "unmapped" {
            let Value::Object(members) = value else {
                continue;
            };
            let own = members
                .iter()
                .filter(|(key, _)| !named.contains(key.as_str()));
            explained
                .unmapped
                .extend(own.map(|(key, value)| (key.clone(), value.clone())));
        } else if !named.contains(name.as_str()) {
            explained.unmapped.insert(name.clone(), value.clone());
        }
    }
    let of_class = class.into_iter().flat_map(|class| &class.columns);
    explained.without_value = of_class
        .filter(|column| !column.is_time && !row.contains_key(&column.name))
        .map(|column| column.name.clone())
        .collect();
    explained
}

/// Returns the fields at the top of events that columns of a class read, by names that other expressions have too.
fn read_by(mapping: &Mapping, class: &ClassPlan) -> BTreeSet<String> {
    let of_class = class.columns.iter().map(|column| column.written.as_str());
    let of_names = mapping.named_as.iter().map(String::as_str);
    of_class
        .chain(of_names)
        .flat_map(|expression| FieldExpression::fields_of(expression).unwrap_or_default())
        .filter_map(|path| path.segments().first().cloned())
        .collect()
}

/// Returns the fields of the maker's that expressions name and that none of the rows has.
pub fn never_there(mapping: &Mapping, rows: &[Map<String, Value>]) -> Vec<String> {
    let makers = &mapping.paths[..mapping.paths.len() - mapping.named.len()];
    let is_there = |row: &Map<String, Value>, path: &FieldPath| {
        let whole = path.segments().join(".");
        let below = |object: &Map<String, Value>| {
            object.contains_key(&whole) || object.contains_key(path.segments()[0].as_str())
        };
        below(row)
            || row
                .get("unmapped")
                .and_then(Value::as_object)
                .is_some_and(below)
    };
    let absent = makers
        .iter()
        .filter(|path| !rows.iter().any(|row| is_there(row, path)));
    absent.map(ToString::to_string).collect()
}
