//! What a correlation rule says: which findings it joins, by what, and when that is worth a finding.
//!
//! ```text
//! [rule.correlation] ─▶ rules · by · aliases    and by `type` ─▶ the kind's own parameters, in a file of its own
//! ```

pub mod absence;
pub mod any_order;
pub mod avg;
pub mod baseline;
pub mod change;
mod condition;
pub mod count;
pub mod distinct;
mod expression;
pub mod flatline;
mod keys;
mod kind;
mod measured_field;
pub mod new_value;
mod parameters;
pub mod percentile;
pub mod rare;
pub mod sequence;
pub mod session;
pub mod spike;
pub mod stages;
pub mod sum;
pub mod travel;
mod window;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

pub use self::condition::Condition;
pub use self::expression::{Expression, ExpressionError};
pub use self::keys::{CorrelationKeys, KeyError};
pub use self::kind::CorrelationKind;
pub use self::measured_field::MeasuredField;
pub use self::parameters::Parameters;
pub use self::window::{Window, Windows};
use crate::FieldPath;
use crate::diagnostic::{Code, Diagnostic, Key};
use crate::names::did_you_mean;

/// The most rules that a correlation joins.
const MOST_RULES: usize = 1_000;

/// `[rule.correlation]`: findings of other rules, evaluated together over event time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlation {
    /// What is looked for.
    #[serde(flatten)]
    pub kind: CorrelationKind,
    /// Ids of the rules whose findings are joined, correlation rules among them. The order counts for sequences,
    /// stages and absences.
    pub rules: Vec<String>,
    /// Fields that joined findings share. A finding that lacks one of them is left out, and counted.
    pub by: Vec<String>,
    /// Where rules have a field under another name: name in `by` and `field`, then rule, then its column. A rule that
    /// runs over several tables may be named whole, or as `RULE.TABLE` for one of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, BTreeMap<String, FieldPath>>,
}

impl Correlation {
    /// Returns a correlation over the findings of `rules`, by nothing.
    pub fn new(kind: impl Into<CorrelationKind>, rules: Vec<String>) -> Self {
        Self {
            kind: kind.into(),
            rules,
            by: Vec::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// Says what is wrong with it by itself.
    ///
    /// # Errors
    /// [`KeyError`] for the first key that is wrong.
    pub fn check(&self) -> Result<(), KeyError> {
        let wrong = |key: &str, message: String| Err(KeyError::new(key, message));
        if self.rules.is_empty() {
            let message = "is empty: name the rules whose findings are joined";
            return wrong("rules", message.to_owned());
        }
        if self.kind.has_steps() && self.rules.len() < 2 {
            return wrong("rules", "names one rule: steps are at least two".to_owned());
        }
        let mut seen = BTreeSet::new();
        if !self.kind.has_steps() && !self.rules.iter().all(|rule| seen.insert(rule)) {
            return wrong("rules", "names a rule twice".to_owned());
        }
        if self.rules.len() > MOST_RULES {
            return wrong("rules", "names more than 1,000 rules".to_owned());
        }
        for (key, names) in [
            ("by", self.by.iter().map(String::as_str).collect()),
            ("field", self.kind.fields()),
        ] {
            let names: Vec<&str> = names;
            if let Some(name) = names.iter().find(|name| name.parse::<FieldPath>().is_err()) {
                let message =
                    format!("has `{name}`, which is not a field: write a column or a dotted path");
                return wrong(key, message);
            }
        }
        for (name, of) in &self.aliases {
            if !self.field_names().contains(&name.as_str()) {
                let message = format!("is for `{name}`, which neither `by` nor `field` uses");
                return wrong("aliases", message);
            }
            if let Some(rule) = of.keys().find(|rule| self.entry_of(rule).is_none()) {
                return wrong(
                    "aliases",
                    format!("names `{rule}`, which is not among `rules`"),
                );
            }
        }
        self.kind.check(&self.rules, &self.by)
    }

    /// Returns the first thing that is wrong with it by itself; the key is inside `[rule]`.
    pub fn problem(&self) -> Option<Diagnostic> {
        let wrong = self.check().err()?;
        let key = Key::top("correlation").name(&wrong.key);
        Some(Diagnostic::error(Code::InvalidCorrelation, wrong.message).at(key))
    }

    /// Returns the names of the fields that it reads from a finding: `by` first, then what its kind reads.
    pub fn field_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by.iter().map(String::as_str).collect();
        for name in self.kind.fields() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the geolocation database that the rule itself names.
    pub fn geoip(&self) -> Option<&PathBuf> {
        match &self.kind {
            CorrelationKind::Travel(travel) => travel.geoip.as_ref(),
            _ => None,
        }
    }

    /// Returns what a rule calls a field: its alias, for `RULE.TABLE` that of `RULE`, or the name itself.
    ///
    /// Nothing for a name that is not a path; a checked correlation has none.
    pub fn path_of(&self, name: &str, rule: &str) -> Option<FieldPath> {
        let of = self.aliases.get(name);
        let alias = |rule: &str| of.and_then(|of| of.get(rule));
        match alias(rule).or_else(|| alias(self.entry_of(rule)?)) {
            Some(path) => Some(path.clone()),
            None => name.parse().ok(),
        }
    }

    /// Returns the entry of `rules` that stands for a rule: its id, or the longest `RULE` of `RULE.TABLE`.
    pub fn entry_of(&self, rule: &str) -> Option<&str> {
        let stands_for = |entry: &&String| match rule.strip_prefix(entry.as_str()) {
            Some("") => true,
            Some(rest) => rest.len() > 1 && rest.starts_with('.'),
            None => false,
        };
        let entries = self.rules.iter().filter(stands_for);
        entries.max_by_key(|entry| entry.len()).map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Correlation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CorrelationReader)
    }
}

/// Reads the keys that all kinds have, and hands the others to the kind that `type` names.
struct CorrelationReader;

impl<'de> Visitor<'de> for CorrelationReader {
    type Value = Correlation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with `type`, `rules` and what that type needs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Correlation, A::Error> {
        let mut word: Option<String> = None;
        let mut rules: Option<Vec<String>> = None;
        let (mut by, mut aliases) = (Vec::new(), BTreeMap::new());
        let mut others = toml::Table::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => word = Some(map.next_value()?),
                "rules" => rules = Some(map.next_value()?),
                "by" => by = map.next_value()?,
                "aliases" => aliases = map.next_value()?,
                _ => {
                    others.insert(key, map.next_value()?);
                }
            }
        }
        let word = word.ok_or_else(|| de::Error::missing_field("type"))?;
        let rules = rules.ok_or_else(|| de::Error::missing_field("rules"))?;
        let mut keys = CorrelationKeys::new(others);
        let kind = CorrelationKind::read(&word, &mut keys, &rules)
            .unwrap_or_else(|| Err(unknown(&word)))
            .and_then(|kind| keys.finish(kind.word()).map(|()| kind));
        let correlation = Correlation {
            kind: kind.map_err(de::Error::custom)?,
            rules,
            by,
            aliases,
        };
        correlation.check().map_err(de::Error::custom)?;
        Ok(correlation)
    }
}

fn unknown(word: &str) -> KeyError {
    let known = CorrelationKind::WORDS;
    let near = did_you_mean(word, known.iter().copied());
    let known = known.join("`, `");
    KeyError::new("type", format!("is `{word}`: write one of `{known}`{near}"))
}

/// One object with the keys of all kinds, of which each `type` allows its own.
impl schemars::JsonSchema for Correlation {
    fn schema_name() -> Cow<'static, str> {
        "Correlation".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut properties = Map::new();
        properties.insert(
            "type".to_owned(),
            json!({ "enum": CorrelationKind::WORDS, "description": "What is looked for." }),
        );
        properties.insert(
            "rules".to_owned(),
            json!({
                "type": "array",
                "items": { "type": "string" },
                "description": "Ids of the rules whose findings are joined. The order counts for sequences, stages and absences.",
            }),
        );
        properties.insert(
            "by".to_owned(),
            json!({
                "type": "array",
                "items": { "type": "string" },
                "description": "Fields that joined findings share. A finding that lacks one of them is left out, and counted.",
            }),
        );
        let mut aliases = generator
            .subschema_for::<BTreeMap<String, BTreeMap<String, FieldPath>>>()
            .to_value();
        aliases["description"] = json!(
            "Where rules have a field under another name: name in `by` and `field`, then rule, then its column."
        );
        properties.insert("aliases".to_owned(), aliases);
        let common: Vec<String> = properties.keys().cloned().collect();
        let mut kinds = Vec::new();
        for (word, schema) in CorrelationKind::schemas(generator) {
            let schema = schema.to_value();
            let own = schema["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let names: Vec<String> = common.iter().chain(own.keys()).cloned().collect();
            let required = schema.get("required").cloned().unwrap_or_else(|| json!([]));
            kinds.push(json!({
                "if": { "properties": { "type": { "const": word } }, "required": ["type"] },
                "then": { "propertyNames": { "enum": names }, "required": required },
            }));
            for (name, schema) in own {
                properties.entry(name).or_insert(schema);
            }
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(properties));
        schema.insert("required".to_owned(), json!(["type", "rules"]));
        schema.insert("additionalProperties".to_owned(), json!(false));
        schema.insert("allOf".to_owned(), Value::Array(kinds));
        schema.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Correlation, String> {
        let text = format!("rules = [\"a\", \"b\"]\n{text}");
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_field_has_the_alias_of_its_table_then_of_its_rule_then_its_own_name() {
        let correlation: Correlation = toml::from_str(
            "type = \"any-order\"\nrules = [\"a\", \"a.b\"]\nwithin = \"1h\"\nby = [\"user\"]\naliases.user = { a = \"name\", \"a.web\" = \"web_name\" }\n",
        )
        .unwrap();
        let path = |rule: &str| correlation.path_of("user", rule).unwrap().to_string();
        assert_eq!(path("a"), "name");
        assert_eq!(path("a.web"), "web_name");
        assert_eq!(path("a.dns"), "name");
        assert_eq!(path("a.b"), "user", "another entry, no table of the first");
        assert_eq!(path("a.b.dns"), "user");
        assert_eq!(correlation.entry_of("ab"), None);
    }

    #[test]
    fn keys_that_a_kind_needs_or_cannot_use_are_named() {
        assert!(read("type = \"any-order\"\nwithin = \"1h\"").is_ok());
        for (text, starts) in [
            ("within = \"1h\"", "missing field `type`"),
            (
                "type = \"cuont\"\nwithin = \"1h\"",
                "key `type` is `cuont`: write one of `count`, `distinct`",
            ),
            (
                "type = \"count\"\nwithin = \"1h\"",
                "key `condition` is missing: what must the number be",
            ),
            (
                "type = \"count\"\nwithin = \"1h\"\ncondition = {}",
                "key `condition` is missing",
            ),
            ("type = \"sequence\"", "key `within` is missing"),
            (
                "type = \"sequence\"\nwithin = \"1 hour\"",
                "key `within` `1 hour` is not a duration: write a whole number",
            ),
            (
                "type = \"sequence\"\nwithin = 5",
                "key `within` is integer `5`: expected a duration",
            ),
            ("type = \"session\"", "key `gap` is missing"),
            (
                "type = \"count\"\nwindow = \"session\"\ncondition = { gte = 1 }",
                "key `gap` is missing",
            ),
            (
                "type = \"distinct\"\nwithin = \"1h\"\ncondition = { gte = 2 }",
                "key `field` is missing",
            ),
            (
                "type = \"sequence\"\nwithin = \"1h\"\nfactor = 2",
                "key `factor` is given, and `sequence` does not use it",
            ),
            (
                "type = \"count\"\nwithin = \"1h\"\ngap = \"1m\"\ncondition = { gte = 1 }",
                "key `gap` is given, and `count` does not use it",
            ),
            (
                "type = \"sequence\"\nwithin = \"1h\"\nstep_witin = \"1m\"",
                "key `step_witin` is given, and `sequence` does not use it; did you mean `step_within`?",
            ),
            (
                "type = \"any-order\"\nwithin = \"1h\"\nexpression = \"a and d\"",
                "key `expression` names `d`",
            ),
            (
                "type = \"any-order\"\nwithin = \"1h\"\nexpression = \"a\"\ncondition = { gte = 2 }",
                "key `condition` is given, and so is `expression`",
            ),
            (
                "type = \"spike\"\nwithin = \"1h\"\nbaseline = \"1h\"",
                "key `baseline` is shorter than two windows",
            ),
            (
                "type = \"spike\"\nwithin = \"1s\"\nbaseline = \"365d\"",
                "key `baseline` has more than 10080 windows of `within`, each of which is remembered for each key: make it 168m at most, or `within` 3129s at least",
            ),
            (
                "type = \"percentile\"\nfield = \"x\"\nwithin = \"1h\"\npercentile = 101\ncondition = { gte = 2 }",
                "key `percentile` is not from 0 to 100",
            ),
            (
                "type = \"distinct\"\nfield = \"x\"\napproximate = true\nwithin = \"1h\"\ncondition = { gte = 2 }",
                "key `approximate` cannot forget single values",
            ),
            (
                "type = \"travel\"\nlatitude = \"x\"\nwithin = \"1h\"",
                "key `latitude` and `longitude` are given together or not at all",
            ),
            (
                "type = \"rare\"\nfield = \"x\"\nwithin = \"1h\"",
                "key `by` is empty: name what is rare",
            ),
            (
                "type = \"change\"\nwithin = \"1h\"",
                "key `fields` is empty",
            ),
            (
                "type = \"stages\"\nwithin = \"1h\"\nseverities = [\"low\"]",
                "key `severities` needs one severity",
            ),
            (
                "type = \"any-order\"\nwithin = \"1h\"\nby = [\"ip\"]\naliases = { ip = { c = \"x\" } }",
                "key `aliases` names `c`",
            ),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.starts_with(starts), "{message}");
        }
    }

    #[test]
    fn a_wrong_key_has_its_line_in_the_rule() {
        let of = |key: &str| {
            let text = format!(
                "[rule]\nid = \"a\"\ntitle = \"t\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"x\"]\ncondition = {{ gte = 2 }}\n{key}\n"
            );
            let error = crate::pack::parse_rule("r.toml".as_ref(), &text).unwrap_err();
            error.to_string()
        };
        for (key, expected) in [
            (
                "within = \"soon\"",
                "r.toml:8: `rule.correlation.within` `soon` is not a duration",
            ),
            (
                "",
                "r.toml:4: `rule.correlation.within` is missing: how long",
            ),
            (
                "within = \"1h\"\nfactor = 2",
                "r.toml:9: `rule.correlation.factor` is given, and `count` does not use it",
            ),
            (
                "within = \"1h\"\nby = 5",
                "r.toml:9: `rule.correlation.by` is integer `5`",
            ),
        ] {
            let error = of(key);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for keys in [
            "type = \"count\"\nwithin = \"1h\"\ncondition = { gte = 2 }",
            "type = \"distinct\"\nfields = [\"x\", \"y\"]\ngap = \"1m\"\nwindow = \"session\"\napproximate = true\ncondition = { lt = 2 }",
            "type = \"any-order\"\nwithin = \"1h\"\nexpression = \"a and not b\"",
            "type = \"spike\"\nwithin = \"1h\"\nbaseline = \"7d\"",
            "type = \"travel\"\nlatitude = \"x\"\nlongitude = \"y\"\nwithin = \"24h\"",
            "type = \"rare\"\nby = [\"x\"]\nfield = \"y\"\nwithin = \"1h\"",
            "type = \"stages\"\nwithin = \"1h\"\nseverities = [\"low\", \"high\"]",
        ] {
            let correlation = read(keys).unwrap();
            let text = toml::to_string(&correlation).unwrap();
            let again: Correlation = toml::from_str(&text).unwrap();
            assert_eq!(again, correlation, "{text}");
        }
    }

    #[test]
    fn the_schema_allows_each_kind_its_keys() {
        let schema = schemars::schema_for!(Correlation).to_value();
        let kinds = schema["allOf"].as_array().unwrap();
        assert_eq!(kinds.len(), CorrelationKind::WORDS.len());
        for (kind, word) in kinds.iter().zip(CorrelationKind::WORDS) {
            assert_eq!(kind["if"]["properties"]["type"]["const"], *word);
            for required in kind["then"]["required"].as_array().unwrap() {
                assert_ne!(
                    schema["properties"][required.as_str().unwrap()],
                    Value::Null
                );
            }
        }
        let count = &kinds[0]["then"]["propertyNames"]["enum"];
        let names = count.as_array().unwrap();
        assert!(names.contains(&json!("within")) && names.contains(&json!("gap")));
        assert!(!names.contains(&json!("factor")));
    }
}
