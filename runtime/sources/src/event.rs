//! A row as an event of OCSF, which nests what a table holds in columns with dots.

use serde_json::{Map, Value};
use yagura_core::Timestamp;
use yagura_ocsf::{Problem, Schema, validate};

use crate::mapping::Mapping;

impl Mapping {
    /// Returns the members of a row that the source made, in the order of their names, without the maker's own.
    pub fn own_members(&self, row: &Map<String, Value>) -> Map<String, Value> {
        let mut own = Map::new();
        if let Some(time) = row.get("event_time") {
            own.insert("event_time".to_owned(), time.clone());
        }
        if !row.contains_key("class_uid") {
            return own;
        }
        for column in self.columns() {
            if let Some(value) = row.get(&column.name) {
                own.insert(column.name.clone(), value.clone());
            }
        }
        own
    }

    /// Returns what OCSF does not allow in a row, and nothing for a row of no class.
    pub fn problems(&self, row: &Map<String, Value>) -> Vec<Problem> {
        let uid = row.get("class_uid").and_then(Value::as_i64);
        let class = self.classes.iter().find(|class| Some(class.uid) == uid);
        let class = class.and_then(|class| Schema::shipped().class(class.name));
        match class {
            Some(class) => validate(class, &nested(&self.own_members(row))),
            None => Vec::new(),
        }
    }
}

/// Returns the event of a row's members: `src_endpoint.ip` becomes a member of `src_endpoint`.
fn nested(members: &Map<String, Value>) -> Value {
    let mut event = Map::new();
    for (name, value) in members {
        if name == "event_time" {
            let time: Option<Timestamp> = value.as_str().and_then(|text| text.parse().ok());
            if let Some(time) = time {
                let millis = time.micros().div_euclid(1_000);
                event.insert("time".to_owned(), Value::from(millis));
            }
            continue;
        }
        insert(&mut event, name, value);
    }
    Value::Object(event)
}

fn insert(object: &mut Map<String, Value>, path: &str, value: &Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value.clone());
        }
        Some((first, rest)) => {
            let below = object
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(below) = below {
                insert(below, rest, value);
            }
        }
    }
}
