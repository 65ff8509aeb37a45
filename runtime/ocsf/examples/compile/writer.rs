//! The lines of the text: types, enums, attributes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::attributes::{Json, deep_merge};
use super::compile::{Item, caption, deprecated, key, text};

/// Writes a type of the dictionary.
pub(crate) fn write_type(out: &mut String, name: &str, one: &Value) -> Result<()> {
    let map = one.as_object().context("a type is not an object")?;
    let base = map.get("type").and_then(Value::as_str).unwrap_or(name);
    let (max, observable) = (
        key(map, "max_len", "max_len"),
        key(map, "observable", "observable"),
    );
    writeln!(
        out,
        "type {name} {base}{max}{observable} | {}",
        caption(one)?
    )?;
    if let Some(regex) = map.get("regex").and_then(Value::as_str) {
        writeln!(out, "regex {name} {regex}")?;
    }
    if let Some([low, high]) = map
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        writeln!(out, "range {name} {low} {high}")?;
    }
    Ok(())
}

/// Writes attributes; keeps the enums that it has met, so that each is written once.
pub(crate) struct Writer<'a> {
    pub(crate) dictionary: &'a BTreeMap<String, Value>,
    pub(crate) types: &'a BTreeMap<String, Value>,
    pub(crate) observables: &'a BTreeMap<u64, String>,
    /// The lines of an enum, and its name.
    pub(crate) enums: BTreeMap<String, String>,
    pub(crate) enum_text: String,
    pub(crate) body: String,
}

impl Writer<'_> {
    /// Writes an attribute of the dictionary.
    pub(crate) fn dictionary_attribute(&mut self, name: &str, one: &Value) -> Result<()> {
        let map = one.as_object().context("an attribute is not an object")?;
        let kind = text(map, "type")?;
        let array = if one["is_array"] == true { "[]" } else { "" };
        let values = match map.get("enum").and_then(Value::as_object) {
            Some(values) => format!(" enum={}", self.enum_name(name, name, values)?),
            None => String::new(),
        };
        let (sibling, observable, deprecated) = (
            key(map, "sibling", "sibling"),
            key(map, "observable", "observable"),
            deprecated(map),
        );
        writeln!(
            self.body,
            "attribute {name} {kind}{array}{values}{sibling}{observable}{deprecated} | {}",
            caption(one)?
        )?;
        Ok(())
    }

    /// Writes the constraints and attributes of a class or an object.
    pub(crate) fn members(&mut self, owner: &str, item: &Item) -> Result<()> {
        for (kind, names) in item
            .json
            .get("constraints")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            ensure!(
                ["at_least_one", "just_one"].contains(&kind.as_str()),
                "{owner} has the constraint {kind}, which is not known"
            );
            let names: Vec<&str> = names
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            writeln!(self.body, " {kind} {}", names.join(" "))?;
        }
        let mut all: BTreeMap<&str, Json> = BTreeMap::new();
        for (name, one) in &item.attributes {
            all.insert(
                name,
                one.as_object()
                    .context("an attribute is not an object")?
                    .clone(),
            );
        }
        let mut twins = BTreeMap::new();
        for (name, one) in &all {
            let base = self
                .dictionary
                .get(*name)
                .with_context(|| format!("{owner}.{name} is not in the dictionary"))?;
            let kind = one.get("type").unwrap_or(&base["type"]);
            if kind == "timestamp_t" {
                let mut twin = Json::new();
                twin.insert("requirement".to_owned(), "optional".into());
                twin.insert("profiles".to_owned(), vec!["datetime"].into());
                twins.insert(format!("{name}_dt"), twin);
            }
        }
        for (name, twin) in &twins {
            all.insert(name, twin.clone());
        }
        for (name, one) in all {
            self.member(owner, name, &one)
                .with_context(|| format!("{owner}.{name}"))?;
        }
        Ok(())
    }

    fn member(&mut self, owner: &str, name: &str, one: &Json) -> Result<()> {
        let base = self.dictionary[name]
            .as_object()
            .context("an attribute is not an object")?;
        let requirement = one
            .get("requirement")
            .and_then(Value::as_str)
            .unwrap_or("optional");
        let mut line = format!("  {name} {requirement}");
        if let Some(kind) = one.get("type").and_then(Value::as_str)
            && base["type"] != kind
        {
            ensure!(
                self.types.contains_key(kind),
                "{kind} is not a type of the dictionary"
            );
            write!(line, " type={kind}")?;
        }
        if let Some(is_array) = one.get("is_array") {
            ensure!(
                base.get("is_array") == Some(is_array),
                "it differs in is_array from the dictionary"
            );
        }
        if let Some(Value::Array(profiles)) = one.get("profiles") {
            let names: Vec<&str> = profiles.iter().filter_map(Value::as_str).collect();
            write!(line, " profile={}", names.join(","))?;
        }
        let mut values = base
            .get("enum")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let defaults = values.clone();
        deep_merge(
            &mut values,
            one.get("enum")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        );
        if (owner, name) == ("observable", "type_id") {
            for (id, caption) in self.observables {
                values.insert(id.to_string(), serde_json::json!({ "caption": caption }));
            }
        }
        // What they are follows from the class.
        let is_of_class =
            ["category_uid", "class_uid", "type_uid"].contains(&name) && owner != "observable";
        if values != defaults && !is_of_class {
            let values = self.enum_name(&format!("{owner}.{name}"), name, &values)?;
            if values != name {
                write!(line, " enum={values}")?;
            }
        }
        for field in ["sibling", "observable"] {
            if let Some(value) = one.get(field)
                && base.get(field) != Some(value)
            {
                line.push_str(&key(one, field, field));
            }
        }
        if deprecated(base).is_empty() {
            line.push_str(&deprecated(one));
        }
        writeln!(self.body, "{line}")?;
        Ok(())
    }

    /// Returns the name of an enum; writes it at first sight.
    fn enum_name(&mut self, name: &str, attribute: &str, values: &Json) -> Result<String> {
        let mut sorted: Vec<(&String, &Value)> = values.iter().collect();
        sorted.sort_by_key(|(id, _)| (id.parse::<i64>().unwrap_or(i64::MAX), id.as_str()));
        let mut lines = String::new();
        for (id, value) in sorted {
            ensure!(
                !id.contains(['|', '\n']),
                "{name}: {id:?} has a line or a bar"
            );
            writeln!(lines, "  {id} | {}", caption(value)?)?;
        }
        // The same values of another attribute are another enum: one may change without the other.
        let found = format!("{attribute}\n{lines}");
        if let Some(name) = self.enums.get(&found) {
            return Ok(name.clone());
        }
        ensure!(
            !self.enums.values().any(|known| known == name),
            "there are two enums {name}"
        );
        write!(self.enum_text, "enum {name}\n{lines}")?;
        self.enums.insert(found, name.to_owned());
        Ok(name.to_owned())
    }
}
