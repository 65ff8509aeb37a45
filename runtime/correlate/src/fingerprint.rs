//! Fingerprints of rules, by which a stored state knows whether it still fits.
//!
//! They are hashes of canonical JSON: objects in order of their keys, durations in their largest unit. Names of types in
//! the code play no part, so that an update of the program changes none.

mod format_1;
mod hash;

use serde_json::{Value, json};
use yagura_core::Rule;

use self::hash::hash;

/// What is stored of a rule to compare it with the rule of the same id at the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    /// Of what the meaning of its stored state depends on: with another, the state starts anew.
    pub(crate) state: String,
    /// Of all that decides what it finds.
    pub(crate) rule: String,
}

/// How a rule differs from what is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleDifference {
    /// In nothing that matters, or in nothing that is known.
    None,
    /// It keeps its state.
    Rule,
    /// Its state cannot be kept.
    State,
}

impl Fingerprints {
    /// Returns those of a rule.
    pub(crate) fn of(rule: &Rule) -> Self {
        let correlation = rule.correlation.as_ref();
        let state = match correlation {
            Some(correlation) => json!({
                "kind": correlation.kind.word(),
                "rules": correlation.rules,
                "by": correlation.by,
                "aliases": correlation.aliases,
                "fields": correlation.kind.fields(),
                "parameters": correlation.kind.state_shape(),
            }),
            None if rule.partition_by.is_empty() => Value::Null,
            // What a detector keeps is of the keys of one table.
            None => json!({ "table": rule.table, "partition_by": rule.partition_by }),
        };
        let whole = json!({
            "table": rule.table,
            "where": rule.condition,
            "columns": rule.columns,
            "plugin": rule.plugin,
            "config": rule.config,
            "partition_by": rule.partition_by,
            "state_for": rule.state_for,
            "correlation": rule.correlation,
            "alert": rule.alert,
        });
        Self {
            state: hash(&canonical(&state)),
            rule: hash(&canonical(&whole)),
        }
    }

    /// Compares a rule with what is stored of one.
    pub(crate) fn difference(&self, rule: &Rule) -> RuleDifference {
        let now = Self::of(rule);
        let is_same_state = match self.state.strip_prefix(format_1::PREFIX) {
            Some(stored) => format_1::is_state_fingerprint(stored, rule),
            None => self.state == now.state,
        };
        if !is_same_state {
            RuleDifference::State
        } else if self.rule == now.rule || self.rule.is_empty() {
            RuleDifference::None
        } else {
            RuleDifference::Rule
        }
    }
}

/// Writes JSON with the keys of objects in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{}:{}", json!(key), canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use yagura_core::pack::parse_rule;

    use super::*;

    fn rule(text: &str) -> Rule {
        let text = format!("[rule]\nid = \"r\"\ntitle = \"t\"\n{text}");
        parse_rule("r.toml".as_ref(), &text).unwrap().rule
    }

    fn count(keys: &str) -> Rule {
        rule(&format!(
            "[rule.correlation]\ntype = \"count\"\nrules = [\"a\"]\n{keys}\n"
        ))
    }

    #[test]
    fn canonical_json_is_in_order_of_its_keys() {
        let value = json!({ "b": [1, 2.5, null], "a": { "d": "x\"y", "c": true } });
        assert_eq!(
            canonical(&value),
            r#"{"a":{"c":true,"d":"x\"y"},"b":[1,2.5,null]}"#
        );
    }

    #[test]
    fn fingerprints_never_change() {
        // States on disk hold them: another value here means that every state would start anew.
        let of = Fingerprints::of(&count(
            "within = \"60m\"\nby = [\"u\"]\ncondition = { gte = 3 }",
        ));
        assert_eq!(of.state, "9b64d5f550f72350a480dfd5444a1d61");
        assert_eq!(of.rule, "33ccfacf2cdc9d7f03e136da34038736");
        let of = Fingerprints::of(&rule("table = \"t\"\nwhere = \"true\""));
        assert_eq!(of.state, "74234e98afe7498fb5daf1f36ac2d78a");
        assert_eq!(of.rule, "6769d283fa23b796dbebe7faf1f77ca6");
    }

    #[test]
    fn a_change_of_a_rule_keeps_its_state_where_its_meaning_stays() {
        let stored = Fingerprints::of(&count("within = \"1h\"\ncondition = { gte = 3 }"));
        for (keys, difference) in [
            (
                "within = \"60m\"\ncondition = { gte = 3 }",
                RuleDifference::None,
            ),
            (
                "within = \"2h\"\ncondition = { gte = 3 }",
                RuleDifference::Rule,
            ),
            (
                "within = \"1h\"\ncondition = { gte = 4 }",
                RuleDifference::Rule,
            ),
            // It is evaluated at the end of its window.
            (
                "within = \"1h\"\ncondition = { lt = 3 }",
                RuleDifference::State,
            ),
            (
                "within = \"1h\"\ncondition = { gte = 3 }\nwindow = \"tumbling\"",
                RuleDifference::State,
            ),
            (
                "within = \"1h\"\ncondition = { gte = 3 }\nby = [\"user\"]",
                RuleDifference::State,
            ),
        ] {
            assert_eq!(stored.difference(&count(keys)), difference, "{keys}");
        }
    }
}
