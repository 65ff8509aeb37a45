//! Finding the observables of an event.

use serde_json::{Map, Value};

use crate::path::{Below, below};
use crate::schema::{Attribute, Class, Members, Schema};
use crate::types::BaseType;

/// A value of an event, or an object in it, that the schema marks as an observable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observable {
    /// The path of the attribute in the event, such as `src_endpoint.ip` or `answers[0].rdata`.
    pub name: String,
    /// What it is: 2 for an IP address.
    pub type_id: u32,
    /// The caption of `type_id`: `IP Address`.
    pub type_caption: &'static str,
    /// The value as text; none for an object, whose attributes are observables of their own.
    pub value: Option<String>,
}

impl Observable {
    /// Returns it as an element of the attribute `observables`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".to_owned(), self.name.clone().into());
        map.insert("type_id".to_owned(), self.type_id.into());
        map.insert("type".to_owned(), self.type_caption.into());
        if let Some(value) = &self.value {
            map.insert("value".to_owned(), value.clone().into());
        }
        map.into()
    }
}

/// Returns all observables of an event of a class, in the order of its attributes.
///
/// A value is one by the attribute of its object, by its attribute in general, or by its type, in this order; an object is one
/// by its type. So `actor.user.name` is a User Name, and `actor.user` a User without a value. Empty values and those that are
/// not of their type, such as `-` for an address, are left out. What is in `observables` and in `unmapped` is not looked at.
pub fn observables(class: &Class, event: &Value) -> Vec<Observable> {
    let mut found = Vec::new();
    if let Some(map) = event.as_object() {
        members(&class.members, map, "", &mut found);
    }
    found
}

fn members(members: &Members, map: &Map<String, Value>, prefix: &str, found: &mut Vec<Observable>) {
    for (name, one) in map {
        let Some(attribute) = members.get(name) else {
            continue;
        };
        // Observables that the event lists already.
        if attribute.type_name == "observable" {
            continue;
        }
        match one {
            Value::Array(list) if attribute.is_array => {
                for (at, one) in list.iter().enumerate() {
                    value(attribute, one, format!("{prefix}{name}[{at}]"), found);
                }
            }
            one => value(attribute, one, format!("{prefix}{name}"), found),
        }
    }
}

fn value(attribute: &Attribute, value: &Value, path: String, found: &mut Vec<Observable>) {
    let schema = Schema::shipped();
    let mut add = |value: Option<String>| {
        if let Some(type_id) = attribute.observable {
            found.push(Observable {
                name: path.clone(),
                type_id,
                type_caption: schema.observable_caption(type_id).unwrap_or_default(),
                value,
            });
        }
    };
    if attribute.base == BaseType::Object {
        let Some(map) = value.as_object().filter(|map| !map.is_empty()) else {
            return;
        };
        add(None);
        if let Below::Members(next) = below(attribute) {
            members(next, map, &format!("{path}."), found);
        }
        return;
    }
    let is_valid = schema
        .types
        .at(attribute.place)
        .is_some_and(|one| one.fault(attribute.type_name, value).is_none());
    match value {
        Value::String(text) if is_valid && !text.is_empty() => add(Some(text.clone())),
        Value::Number(number) if is_valid => add(Some(number.to_string())),
        _ => {}
    }
}
