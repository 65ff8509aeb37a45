//! Test cases that stand in a rule's own file, by `[[test]]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostic, Key};
use crate::{Alert, Severity};

/// A small case: one or a few events, and what the rule must say about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InlineTest {
    /// What the case shows; unique in the rule.
    pub name: String,
    /// The event as its source writes it: a table, or JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub event: Option<toml::Value>,
    /// Several events, in place of `event`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Value>")]
    pub events: Vec<toml::Value>,
    /// Events by table, for a rule that joins several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Vec<serde_json::Value>>")]
    pub tables: BTreeMap<String, Vec<toml::Value>>,
    /// Whether the rule finds anything in them.
    pub matches: bool,
    /// What the first alert must say; what is left out is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<ExpectedAlert>,
}

/// What an alert must say. Everything is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedAlert {
    /// Its title.
    pub title: Option<String>,
    /// Its severity.
    pub severity: Option<Severity>,
    /// What it is about.
    pub key: Option<String>,
    /// How many findings it holds.
    pub count: Option<u64>,
    /// Facts that it must have, by name; it may have others.
    pub context: BTreeMap<String, String>,
    /// Values that it must have, by kind; it may have others.
    pub observables: BTreeMap<String, Vec<String>>,
}

impl InlineTest {
    /// Returns what is wrong with the case by itself; its key is inside `[[test]]`.
    pub fn problem(&self) -> Option<Diagnostic> {
        let problem = |key, message: &str| {
            Some(Diagnostic::error(Code::InvalidTestCase, message).at(Key::top(key)))
        };
        if self.name.trim().is_empty() {
            return problem("name", "is empty: say what the case shows");
        }
        let given = [
            self.event.is_some(),
            !self.events.is_empty(),
            !self.tables.is_empty(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return problem("event", "needs one of `event`, `events` and `tables`");
        }
        if !self.matches && self.alert.is_some() {
            let message = "is given where `matches = false`: without a match there is no alert";
            return problem("alert", message);
        }
        for event in self.all() {
            if let Err(message) = json(event) {
                return problem(self.events_key(), &message);
            }
        }
        None
    }

    /// Returns the events as JSON text, an event a line; a case that has no [problem](Self::problem) always has them.
    pub fn ndjson(&self) -> String {
        let lines = self.all().filter_map(|event| json(event).ok());
        lines.map(|line| line + "\n").collect()
    }

    /// Returns the events of one of its tables as lines of JSON.
    pub fn ndjson_of(&self, table: &str) -> String {
        let lines = self.tables.get(table).into_iter().flatten();
        let lines = lines.filter_map(|event| json(event).ok());
        lines.map(|line| line + "\n").collect()
    }

    fn events_key(&self) -> &'static str {
        match (&self.event, self.events.is_empty()) {
            (Some(_), _) => "event",
            (None, false) => "events",
            (None, true) => "tables",
        }
    }

    fn all(&self) -> impl Iterator<Item = &toml::Value> {
        let of_tables = self.tables.values().flatten();
        self.event.iter().chain(&self.events).chain(of_tables)
    }
}

/// Returns an event as JSON text on one line.
fn json(event: &toml::Value) -> Result<String, String> {
    let value = match event {
        toml::Value::String(text) => serde_json::from_str(text)
            .map_err(|error| format!("is text that is not JSON: {error}"))?,
        toml::Value::Table(_) => plain(event),
        other => {
            return Err(format!(
                "is {}: write a table or JSON text",
                other.type_str()
            ));
        }
    };
    if !value.is_object() {
        return Err("is JSON, but not an object".to_owned());
    }
    Ok(value.to_string())
}

/// Returns a value as JSON; times become RFC 3339 text.
fn plain(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.iter().map(plain).collect(),
        toml::Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
    }
}

impl ExpectedAlert {
    /// Returns what of this an alert does not say, a line each.
    pub fn differences(&self, alert: &Alert) -> Vec<String> {
        let mut lines = Vec::new();
        let mut compare = |name: &str, expected: Option<String>, found: String| {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                lines.push(format!("{name}: expected `{expected}`, found `{found}`"));
            }
        };
        compare("title", self.title.clone(), alert.title.clone());
        let severity = self.severity.map(|severity| severity.to_string());
        compare("severity", severity, alert.severity.to_string());
        compare("key", self.key.clone(), alert.key.clone());
        let count = self.count.map(|count| count.to_string());
        compare("count", count, alert.count.to_string());
        for (name, value) in &self.context {
            let found: Vec<&str> = alert
                .context
                .iter()
                .filter(|entry| entry.name == *name)
                .map(|entry| entry.value.as_str())
                .collect();
            if !found.contains(&value.as_str()) {
                let found = found.join("`, `");
                lines.push(format!(
                    "context.{name}: expected `{value}`, found `{found}`"
                ));
            }
        }
        for (kind, values) in &self.observables {
            let found: Vec<&str> = alert
                .observables
                .iter()
                .filter(|observable| observable.kind == *kind)
                .map(|observable| observable.value.as_str())
                .collect();
            for value in values {
                if !found.contains(&value.as_str()) {
                    let found = found.join("`, `");
                    lines.push(format!(
                        "observables.{kind}: expected `{value}`, found `{found}`"
                    ));
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> InlineTest {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn events_are_tables_or_json_text() {
        let table = case(
            "name = \"a\"\nmatches = true\n[event]\nn = 1\nat = 2026-01-02T03:04:05Z\nlist = [{ f = 1.5 }]\n",
        );
        assert_eq!(table.problem(), None);
        assert_eq!(
            table.ndjson(),
            "{\"at\":\"2026-01-02T03:04:05Z\",\"list\":[{\"f\":1.5}],\"n\":1}\n"
        );
        let text =
            case("name = \"a\"\nmatches = true\nevents = ['''{\n \"n\": null}''', '{\"n\": 2}']\n");
        assert_eq!(text.problem(), None);
        assert_eq!(text.ndjson(), "{\"n\":null}\n{\"n\":2}\n");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("name = \" \"\nevent = \"{}\"", "`name` is empty"),
            ("name = \"a\"", "`event` needs one of"),
            (
                "name = \"a\"\nevent = \"{}\"\nevents = [\"{}\"]",
                "`event` needs one of",
            ),
            (
                "name = \"a\"\nevent = \"{\"",
                "`event` is text that is not JSON",
            ),
            (
                "name = \"a\"\nevents = [\"[]\"]",
                "`events` is JSON, but not an object",
            ),
            ("name = \"a\"\nevent = 3", "`event` is integer"),
            (
                "name = \"a\"\nevent = \"{}\"\nalert = {}",
                "`alert` is given",
            ),
        ] {
            let problem = case(&format!("matches = false\n{text}")).problem();
            let problem = problem.unwrap().text();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
