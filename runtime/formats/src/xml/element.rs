//! Elements of XML as values of JSON.

use serde_json::{Map, Value};

use crate::member::add;

/// An element that is being read.
#[derive(Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Map<String, Value>,
    pub(super) members: Map<String, Value>,
    pub(super) text: String,
    pub(super) has_elements: bool,
    pub(super) role: Role,
    /// Where it began.
    pub(super) at: u64,
    /// About how many bytes its members have as JSON, of one around records.
    pub(super) beside: usize,
    /// Whether events showed what it holds so far.
    pub(super) is_shown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// It lies around records.
    Around,
    /// It is a record.
    Record,
    /// It lies in a record, or beside the path of records.
    #[default]
    Other,
}

impl Element {
    /// Returns the name that it gives its text, if it has nothing else.
    pub(super) fn key(&self) -> Option<String> {
        let mut attributes = self.attributes.iter();
        match (attributes.next(), attributes.next()) {
            (Some((name, Value::String(key))), None)
                if ["name", "Name", "key"].contains(&name.as_str()) && !self.has_elements =>
            {
                Some(key.clone())
            }
            _ => None,
        }
    }
}

pub(super) fn attributes_of(element: &Element) -> Map<String, Value> {
    let mut members = Map::new();
    if !element.attributes.is_empty() {
        let attributes = Value::Object(element.attributes.clone());
        members.insert("#attributes".to_owned(), attributes);
    }
    members
}

/// Adds an element to those beside it. One that only names its text is a member of the object of its element's name.
pub(super) fn put(members: &mut Map<String, Value>, name: &str, key: Option<String>, value: Value) {
    let before = members.get(name);
    let is_among_named =
        matches!(before, Some(Value::Object(of)) if !of.contains_key("#attributes"));
    let has_text = matches!(&value, Value::Object(of) if of.contains_key("#text"));
    let Some(key) = key.filter(|_| is_among_named || before.is_none() && has_text) else {
        add(members, name, value);
        return;
    };
    let text = match value {
        Value::Object(mut element) => element.remove("#text").unwrap_or_default(),
        other => other,
    };
    match members.get_mut(name) {
        Some(Value::Object(texts)) => add(texts, &key, text),
        _ => add(members, name, Value::Object(Map::from_iter([(key, text)]))),
    }
}

pub(super) fn value(element: Element) -> Value {
    let Element {
        attributes,
        members,
        text,
        has_elements,
        ..
    } = element;
    // Between elements, blanks are only for the eye.
    let text = match has_elements {
        true => text.trim(),
        false => text.as_str(),
    };
    if attributes.is_empty() && members.is_empty() {
        return match text.is_empty() {
            true => Value::Null,
            false => Value::from(text),
        };
    }
    let mut all = Map::new();
    if !attributes.is_empty() {
        all.insert("#attributes".to_owned(), Value::Object(attributes));
    }
    if !text.is_empty() {
        all.insert("#text".to_owned(), Value::from(text));
    }
    all.extend(members);
    Value::Object(all)
}

/// Returns about how many bytes a value has as JSON.
pub(super) fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().map(|value| size_of(value) + 1).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| key.len() + size_of(value) + 4)
            .sum(),
        _ => 4,
    }
}
