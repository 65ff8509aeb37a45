//! Rules as a pack declares them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FieldPath;
use crate::correlation::Correlation;
use crate::diagnostic::{Code, Diagnostic, Key};
use crate::duration::TimeSpan;

/// How severe a finding is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a record, not a look.
    Info,
    /// Worth a look some day.
    Low,
    /// Worth a look today.
    #[default]
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking someone.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// A rule: what it looks for in one table, and how its findings become alerts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique among the rules of a run: lower-case words joined by `-`.
    pub id: String,
    /// One line for a reader; `{column}` is filled from the finding's first event.
    pub title: String,
    /// What the rule looks for and why, and what to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Severity of a finding whose plugin gives none.
    #[serde(default)]
    pub severity: Severity,
    /// ATT&CK techniques and other tags, in Sigma's form (`attack.t1078.004`).
    #[serde(default)]
    pub tags: Vec<String>,
    /// Pages to read.
    #[serde(default)]
    pub references: Vec<String>,
    /// The table whose events the rule evaluates; empty for a correlation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// The class of OCSF whose events the rule evaluates, such as `authentication`, in every table that holds it; in place of `table`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// SQL condition over the table's columns and dotted paths; absent means every event.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What the plugin receives, in this order.
    #[serde(default)]
    pub columns: Vec<FieldPath>,
    /// Paths that the table may lack; they read as NULL then.
    #[serde(default)]
    pub optional: Vec<FieldPath>,
    /// File name of the pack's plugin that evaluates the rows; absent means that every row is a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Columns by whose values the plugin keeps state: it gets the rows of one key at a time, in order of event time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<FieldPath>,
    /// How long after its last event a key's state is kept, of a rule with `partition_by`: a number and `ms`, `s`, `m`, `h` or
    /// `d`; 30 days where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_for: Option<TimeSpan>,
    /// Handed to the plugin as JSON.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: toml::Table,
    /// Observable kind to the columns that hold such values.
    #[serde(default)]
    pub observables: BTreeMap<String, Vec<FieldPath>>,
    /// Columns whose values go into the alert's context.
    #[serde(default)]
    pub context: Vec<FieldPath>,
    /// How findings become alerts.
    #[serde(default)]
    pub alert: AlertPolicy,
    /// Fuel (about a Wasm instruction each) that the plugin may use for an event in `yagura test`, on the average of a
    /// case's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_per_event: Option<u64>,
    /// Joins findings of other rules over event time, in place of a table, a condition and a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Correlation>,
}

/// When an alert is told.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ReportMode {
    /// As soon as its condition holds in what has arrived, and again when it is final.
    #[default]
    Provisional,
    /// Only when no event that could change it is still to come.
    Final,
    /// Never: the rule is a part of others.
    None,
}

/// How the findings of a rule become alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertPolicy {
    /// Columns that say what an alert is about: findings with equal values share it.
    pub key: Vec<FieldPath>,
    /// Length of the window, which opens at its first finding: a number and `ms`, `s`, `m`, `h` or `d`.
    pub window: TimeSpan,
    /// Findings that the window must hold.
    pub threshold: u64,
    /// When the alert is told.
    #[serde(skip_serializing_if = "is_default")]
    pub report: ReportMode,
}

fn is_default(report: &ReportMode) -> bool {
    *report == ReportMode::default()
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            key: Vec::new(),
            window: TimeSpan::from_mins(60),
            threshold: 1,
            report: ReportMode::default(),
        }
    }
}

/// The observable kinds of the field.
pub const OBSERVABLE_KINDS: [&str; 8] = [
    "ip", "domain", "user", "host", "hash", "url", "email", "process",
];

/// How long a key's state is kept where the rule does not say so.
const DEFAULT_STATE_FOR: TimeSpan = TimeSpan::from_days(30);

impl Rule {
    /// Says whether the rule may read a table: its own, or any if it is for a class.
    pub fn may_read(&self, table: &str) -> bool {
        self.table == table || !self.class.is_empty()
    }

    /// Returns how long after its last event a key's state is kept.
    pub fn kept_state_for(&self) -> TimeSpan {
        self.state_for.unwrap_or(DEFAULT_STATE_FOR)
    }

    /// Returns the columns that `{column}` in the title names, in order.
    pub fn title_columns(&self) -> Vec<FieldPath> {
        TitlePart::split(&self.title)
            .into_iter()
            .filter_map(|part| match part {
                TitlePart::Column(path) => Some(path),
                TitlePart::Text(_) => None,
            })
            .collect()
    }

    /// Returns every path the rule reads besides its `where`: columns, key, title, observables and context, each once.
    pub fn read_paths(&self) -> Vec<FieldPath> {
        let mut paths: Vec<FieldPath> = Vec::new();
        let all = self
            .columns
            .iter()
            .chain(&self.alert.key)
            .chain(self.observables.values().flatten())
            .chain(&self.context)
            .chain(&self.partition_by)
            .cloned()
            .chain(self.title_columns());
        for path in all {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    /// Returns the first thing that is wrong with the rule by itself, whatever the table is; its key is inside `[rule]`.
    pub fn problem(&self) -> Option<Diagnostic> {
        let id_is_plain = self.id.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.')
        });
        if self.id.is_empty() || !id_is_plain {
            return problem(
                Code::InvalidName,
                "id",
                format!(
                    "`{}` is not an id: use lower-case letters, digits and `-`",
                    self.id
                ),
            );
        }
        if self.title.trim().is_empty() {
            let message = "is empty: say in one line what was seen";
            return problem(Code::EmptyValue, "title", message);
        }
        if let Some(correlation) = &self.correlation {
            return self
                .beside_correlation()
                .or_else(|| correlation.problem())
                .or_else(|| self.names_of(correlation))
                .or_else(|| self.alert_problem());
        }
        if !self.table.is_empty() && !self.class.is_empty() {
            let message = "is given beside `table`: name the table that the rule reads, or a class of OCSF that many tables hold";
            return problem(Code::ConflictingKeys, "class", message);
        }
        if self.table.is_empty() && self.class.is_empty() {
            let message =
                "is empty: name the table the rule reads, or with `class` a class of OCSF";
            return problem(Code::EmptyValue, "table", message);
        }
        if let Some(condition) = &self.condition
            && condition.trim().is_empty()
        {
            let message = "is empty: write a condition, or leave `where` out to take every event";
            return problem(Code::EmptyValue, "where", message);
        }
        if let Some(wrong) = self.alert_problem() {
            return Some(wrong);
        }
        for kind in self.observables.keys() {
            if !OBSERVABLE_KINDS.contains(&kind.as_str()) {
                let known = OBSERVABLE_KINDS.join(", ");
                let message = format!("is not a kind of observable: the kinds are {known}");
                let key = Key::top("observables").name(kind);
                return Some(Diagnostic::error(Code::InvalidValue, message).at(key));
            }
        }
        if self.plugin.is_some() && self.columns.is_empty() {
            let message = "is empty: a plugin receives only the columns that the rule lists";
            return problem(Code::EmptyValue, "columns", message);
        }
        if self.plugin.is_none() && !self.partition_by.is_empty() {
            return problem(Code::ConflictingKeys, "partition_by", ONLY_WITH_PLUGIN);
        }
        if self.state_for.is_some() && self.partition_by.is_empty() {
            let message = "is only for rules with `partition_by`; this rule has none";
            return problem(Code::ConflictingKeys, "state_for", message);
        }
        if self.plugin.is_none() && !self.config.is_empty() {
            return problem(Code::ConflictingKeys, "config", ONLY_WITH_PLUGIN);
        }
        if self.plugin.is_none() && self.fuel_per_event.is_some() {
            return problem(Code::ConflictingKeys, "fuel_per_event", ONLY_WITH_PLUGIN);
        }
        if self.plugin.is_none() && self.condition.is_none() {
            let message = "is missing: a rule without `plugin` and without `where` would alert on every event";
            return problem(Code::MissingCondition, "where", message);
        }
        None
    }
}

impl Rule {
    fn alert_problem(&self) -> Option<Diagnostic> {
        if self.alert.threshold == 0 {
            let message = "is 0: write at least 1";
            return problem(Code::InvalidValue, "alert.threshold", message);
        }
        None
    }

    /// Returns what is said of a table although the rule is a correlation.
    fn beside_correlation(&self) -> Option<Diagnostic> {
        let given = [
            ("table", !self.table.is_empty()),
            ("class", !self.class.is_empty()),
            ("where", self.condition.is_some()),
            ("columns", !self.columns.is_empty()),
            ("optional", !self.optional.is_empty()),
            ("plugin", self.plugin.is_some()),
            ("partition_by", !self.partition_by.is_empty()),
            ("state_for", self.state_for.is_some()),
            ("config", !self.config.is_empty()),
            ("observables", !self.observables.is_empty()),
            ("context", !self.context.is_empty()),
            ("fuel_per_event", self.fuel_per_event.is_some()),
        ];
        let (key, _) = given.into_iter().find(|(_, given)| *given)?;
        let message = "is given, and a rule with `[rule.correlation]` reads no table itself: it belongs to the rules that are joined";
        problem(Code::ConflictingKeys, key, message)
    }

    /// Returns a name in title or key that a correlation's findings do not have.
    fn names_of(&self, correlation: &Correlation) -> Option<Diagnostic> {
        let by = correlation.by.iter().map(String::as_str);
        let measures = correlation.kind.measures();
        let known: Vec<&str> = by.clone().chain(measures.iter().copied()).collect();
        let lacks = |names: &[&str], path: &FieldPath| !names.contains(&path.to_string().as_str());
        let word = correlation.kind.word();
        let wrong = |key, path: &FieldPath, names: &[&str]| {
            let message = match names {
                [] => format!("names `{path}`, and this `{word}` has no names, for it has no `by`"),
                _ => format!("names `{path}`; this `{word}` has {}", names.join(", ")),
            };
            problem(Code::InvalidCorrelation, key, message)
        };
        if let Some(path) = self.title_columns().iter().find(|path| lacks(&known, path)) {
            return wrong("title", path, &known);
        }
        let by: Vec<&str> = by.collect();
        let key = self.alert.key.iter().find(|path| lacks(&by, path))?;
        wrong("alert.key", key, &by)
    }
}

const ONLY_WITH_PLUGIN: &str = "is only for rules with a `plugin`; this rule has none";

fn problem(code: Code, key: &str, message: impl Into<String>) -> Option<Diagnostic> {
    Some(Diagnostic::error(code, message).at(Key::written(key)))
}

/// A piece of a title: text, or a column whose value stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TitlePart {
    /// Literal text.
    Text(String),
    /// `{path}`.
    Column(FieldPath),
}

impl TitlePart {
    /// Splits a title; braces that hold no path stay as text.
    pub fn split(title: &str) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = title;
        while let Some(open) = rest.find('{') {
            text.push_str(&rest[..open]);
            let after = &rest[open + 1..];
            let path = after
                .find('}')
                .and_then(|close| Some((after[..close].parse().ok()?, close)));
            match path {
                Some((path, close)) => {
                    if !text.is_empty() {
                        parts.push(Self::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Self::Column(path));
                    rest = &after[close + 1..];
                }
                None => {
                    text.push('{');
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Self::Text(text));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_split_into_text_and_columns() {
        let parts = TitlePart::split("Login by {user_name} from {a.b} {} {x");
        let columns: Vec<String> = parts
            .iter()
            .filter_map(|part| match part {
                TitlePart::Column(path) => Some(path.to_string()),
                TitlePart::Text(_) => None,
            })
            .collect();
        assert_eq!(columns, ["user_name", "a.b"]);
        assert_eq!(
            parts.last(),
            Some(&TitlePart::Text(" {} {x".to_owned())),
            "{parts:?}"
        );
    }

    #[test]
    fn a_title_has_only_what_its_kind_has() {
        let problem = |kind: &str, title: &str| {
            let rule: Rule = toml::from_str(&format!(
                "id = \"a\"\ntitle = \"{title}\"\n[correlation]\nby = [\"user\"]\nwithin = \"1h\"\n{kind}"
            ))
            .unwrap();
            rule.problem().map(|problem| problem.text())
        };
        let sequence = "type = \"sequence\"\nrules = [\"x\", \"y\"]";
        let absence = "type = \"absence\"\nrules = [\"x\"]";
        let stages = "type = \"stages\"\nrules = [\"x\", \"y\"]\nseverities = [\"low\", \"high\"]";
        let new_value = "type = \"new-value\"\nrules = [\"x\"]\nfield = \"v\"";
        let change = "type = \"change\"\nrules = [\"x\"]\nfields = [\"v\"]";
        for (word, kind) in [
            ("sequence", sequence),
            ("absence", absence),
            ("stages", stages),
            ("new-value", new_value),
            ("change", change),
        ] {
            assert_eq!(problem(kind, "of {user}"), None);
            for name in ["count", "value"] {
                assert_eq!(
                    problem(kind, &format!("{{{name}}} of {{user}}")),
                    Some(format!("`title` names `{name}`; this `{word}` has user"))
                );
            }
        }
        let any_order = "type = \"any-order\"\nrules = [\"x\", \"y\"]";
        assert_eq!(problem(any_order, "{count} of {user}"), None);
        let without = sequence.replace("type", "by = []\ntype");
        let rule: Rule = toml::from_str(&format!(
            "id = \"a\"\ntitle = \"{{user}}\"\n[correlation]\nwithin = \"1h\"\n{without}"
        ))
        .unwrap();
        assert_eq!(
            rule.problem().unwrap().message,
            "names `user`, and this `sequence` has no names, for it has no `by`"
        );
    }

    #[test]
    fn a_rule_says_for_how_long_it_keeps_state() {
        let rule = |more: &str| -> Rule {
            let text = format!(
                "id = \"a\"\ntitle = \"t\"\ntable = \"t\"\nplugin = \"p.wasm\"\ncolumns = [\"c\"]\n{more}"
            );
            toml::from_str(&text).unwrap()
        };
        let by = "partition_by = [\"user\"]\n";
        let problem = |more: &str| {
            let problem = rule(more).problem();
            problem.map(|problem| problem.text())
        };
        assert_eq!(problem(by), None);
        assert_eq!(rule(by).kept_state_for().to_string(), "30d");
        let given = format!("{by}state_for = \"90m\"\n");
        assert_eq!(problem(&given), None);
        assert_eq!(rule(&given).kept_state_for().to_string(), "90m");
        assert_eq!(
            problem("state_for = \"1d\"\n").unwrap(),
            "`state_for` is only for rules with `partition_by`; this rule has none"
        );
        let wrong =
            format!("id = \"a\"\ntitle = \"t\"\ntable = \"t\"\n{by}state_for = \"a day\"\n");
        let error = toml::from_str::<Rule>(&wrong).unwrap_err();
        assert!(error.message().starts_with("`a day` is not a duration"));
    }

    #[test]
    fn severities_are_ordered_by_gravity() {
        assert!(Severity::Critical > Severity::High && Severity::Low > Severity::Info);
    }
}
