//! A rule: when it fits, and what it thinks.

use std::collections::BTreeMap;

use serde::Deserialize;
use yagura_sdk::{Alert, Assessment, Attribute, PluginError, Severity, Verdict};

use plugin_common::fits;

/// `[[rules]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSettings {
    name: String,
    when: When,
    /// The severity, or bounds of it.
    severity: Option<String>,
    at_least: Option<String>,
    at_most: Option<String>,
    #[serde(default = "undecided")]
    verdict: String,
    reason: String,
}

fn undecided() -> String {
    "undecided".to_owned()
}

/// What an alert and its facts must be like. What is given must all hold; of a list, one. `*` stands for any text.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct When {
    /// Ids of rules.
    rules: Vec<String>,
    tags: Vec<String>,
    keys: Vec<String>,
    /// Kinds of observables, each with values.
    observables: BTreeMap<String, Vec<String>>,
    /// Names of context entries, each with values.
    context: BTreeMap<String, Vec<String>>,
    /// Names of facts, each with values.
    facts: BTreeMap<String, Vec<String>>,
    /// One of these must hold.
    any: Vec<When>,
    /// This must not hold.
    not: Option<Box<When>>,
}

/// A rule that was checked.
pub(crate) struct Rule {
    settings: RuleSettings,
    severity: Option<Severity>,
    at_least: Option<Severity>,
    at_most: Option<Severity>,
    verdict: Verdict,
}

impl Rule {
    pub(crate) fn new(settings: RuleSettings) -> Result<Self, PluginError> {
        let name = &settings.name;
        let wrong = |message: String| PluginError::Config(format!("rule `{name}`: {message}"));
        if settings.when.is_empty() {
            return Err(wrong(
                "`when` is empty, so it would fit every alert: say which ones it is for".to_owned(),
            ));
        }
        let severity = |key: &str, text: &Option<String>| {
            let Some(text) = text else {
                return Ok(None);
            };
            Severity::of(text).map(Some).ok_or_else(|| {
                wrong(format!(
                    "`{key}` is \"{text}\": write `info`, `low`, `medium`, `high` or `critical`"
                ))
            })
        };
        let (exact, at_least, at_most) = (
            severity("severity", &settings.severity)?,
            severity("at_least", &settings.at_least)?,
            severity("at_most", &settings.at_most)?,
        );
        if exact.is_some() && (at_least.is_some() || at_most.is_some()) {
            return Err(wrong(
                "`severity` says it all: leave out `at_least` and `at_most`".to_owned(),
            ));
        }
        if let (Some(least), Some(most)) = (at_least, at_most)
            && rank(least) > rank(most)
        {
            return Err(wrong("`at_least` is above `at_most`".to_owned()));
        }
        let verdict = Verdict::of(&settings.verdict).ok_or_else(|| {
            wrong(format!(
                "`verdict` is \"{}\": write `undecided`, `benign`, `suspicious` or `malicious`",
                settings.verdict
            ))
        })?;
        Ok(Self {
            severity: exact,
            at_least,
            at_most,
            verdict,
            settings,
        })
    }

    /// Returns what the rule thinks, if it fits.
    pub(crate) fn evaluate(&self, alert: &Alert, facts: &[Attribute]) -> Option<Assessment> {
        let mut because = Vec::new();
        if !self.settings.when.holds(alert, facts, &mut because) {
            return None;
        }
        let mut severity = self.severity.unwrap_or(alert.severity);
        if let Some(least) = self.at_least.filter(|least| rank(*least) > rank(severity)) {
            severity = least;
        }
        if let Some(most) = self.at_most.filter(|most| rank(*most) < rank(severity)) {
            severity = most;
        }
        because.dedup();
        let reason = &self.settings.reason;
        Some(Assessment {
            severity,
            verdict: self.verdict,
            reason: if because.is_empty() {
                reason.clone()
            } else {
                format!("{reason} ({})", because.join(", "))
            },
        })
    }
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

impl When {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Says whether it holds, and adds the facts and context entries for which it does.
    fn holds(&self, alert: &Alert, facts: &[Attribute], because: &mut Vec<String>) -> bool {
        let one =
            |patterns: &[String], text: &str| patterns.iter().any(|pattern| fits(pattern, text));
        let plain = (self.rules.is_empty() || one(&self.rules, &alert.rule))
            && (self.keys.is_empty() || one(&self.keys, &alert.key))
            && (self.tags.is_empty() || alert.tags.iter().any(|tag| one(&self.tags, tag)));
        if !plain {
            return false;
        }
        let facts_of = |name: &str| {
            let found = facts.iter().filter(move |fact| fits(name, &fact.name));
            found
                .map(|fact| (fact.name.as_str(), fact.value.as_str()))
                .collect::<Vec<_>>()
        };
        let among = |entries: &[(String, String)], name: &str| {
            let found = entries.iter().filter(|(found, _)| fits(name, found));
            found
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<Vec<_>>()
        };
        for (name, patterns) in &self.facts {
            let facts = facts_of(name);
            let Some((name, value)) = facts.iter().find(|(_, value)| one(patterns, value)) else {
                return false;
            };
            because.push(format!("{name}: {value}"));
        }
        for (wanted, entries) in [
            (&self.context, &alert.context),
            (&self.observables, &alert.observables),
        ] {
            for (name, patterns) in wanted {
                let entries = among(entries, name);
                let Some((name, value)) = entries.iter().find(|(_, value)| one(patterns, value))
                else {
                    return false;
                };
                because.push(format!("{name}: {value}"));
            }
        }
        if let Some(not) = &self.not
            && not.holds(alert, facts, &mut Vec::new())
        {
            return false;
        }
        let start = because.len();
        self.any.is_empty()
            || self.any.iter().any(|when| {
                // What a part has found before it failed is no reason.
                because.truncate(start);
                when.holds(alert, facts, because)
            })
    }
}
