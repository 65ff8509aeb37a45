//! What a correlation rule says: which findings it joins, by what, within what time, and when that is worth a finding.

mod expression;
mod problem;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::expression::Expression;
use crate::time::parse_duration;
use crate::{FieldPath, Severity};

/// `[rule.correlation]`: findings of other rules, evaluated together over event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    /// What is looked for.
    #[serde(rename = "type")]
    pub kind: CorrelationKind,
    /// Ids of the rules whose findings are joined, correlation rules among them. The order counts for sequences,
    /// stages and absences.
    pub rules: Vec<String>,
    /// Fields that joined findings share. A finding that lacks one of them is left out, and counted.
    #[serde(default)]
    pub by: Vec<String>,
    /// Where rules have a field under another name: name in `by` and `field`, then rule, then its column. A rule that
    /// runs over several tables may be named whole, or as `RULE.TABLE` for one of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, BTreeMap<String, FieldPath>>,
    /// The field that is counted, summed, learnt or located.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The fields that `change` compares, or whose values together `distinct` counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Length of the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The longest time between two steps of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_within: Option<String>,
    /// How windows lie in time.
    #[serde(default, skip_serializing_if = "Window::is_sliding")]
    pub window: Window,
    /// The silence that ends a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<String>,
    /// What the measured number must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Which of the rules must have findings: `a and (b or c) and not d`. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Counts distinct values by HyperLogLog, in a fixed amount of memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// Which percentile, from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// How far back a key's own normal reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// How many times the normal is a spike; which part of it is a flatline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The least count that can be a spike; the least normal that can go flat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u64>,
    /// How long values are only learnt: from the key's first finding on, or for `rare` from the rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<String>,
    /// The fastest speed that is still possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_speed_kmh: Option<f64>,
    /// Distances below it are one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_distance_km: Option<f64>,
    /// File of places by address (MMDB), relative to the pack; absent: the configuration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geoip: Option<std::path::PathBuf>,
    /// Column of degrees north, where events have their place themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<String>,
    /// Column of degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<String>,
    /// The severity that each of the stages gives the alert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<Severity>,
}

/// `type` of a correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CorrelationKind {
    /// How many findings.
    Count,
    /// How many different values of a field.
    Distinct,
    /// The sum of a field.
    Sum,
    /// The mean of a field.
    Avg,
    /// A percentile of a field, interpolated.
    Percentile,
    /// Findings of the rules in their order.
    Sequence,
    /// Findings of the rules in any order.
    AnyOrder,
    /// A finding of the first rule that none of the second follows. With one rule: of the same.
    Absence,
    /// A run of findings that ends with a silence, told when it has ended.
    Session,
    /// A value of a field that the key did not have before.
    NewValue,
    /// More findings than the key's own normal.
    Spike,
    /// Fewer findings than the key's own normal.
    Flatline,
    /// Two places too far apart for the time between.
    Travel,
    /// Something that few have: `by` says what, `field` who.
    Rare,
    /// A state that differs from the one before.
    Change,
    /// Stages in order, each of which raises the alert's severity.
    Stages,
}

impl CorrelationKind {
    /// Returns the word for it in a rule.
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Distinct => "distinct",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Percentile => "percentile",
            Self::Sequence => "sequence",
            Self::AnyOrder => "any-order",
            Self::Absence => "absence",
            Self::Session => "session",
            Self::NewValue => "new-value",
            Self::Spike => "spike",
            Self::Flatline => "flatline",
            Self::Travel => "travel",
            Self::Rare => "rare",
            Self::Change => "change",
            Self::Stages => "stages",
        }
    }

    /// Returns the names that its findings have for what was measured; none where nothing is.
    pub fn measures(self) -> &'static [&'static str] {
        match self {
            Self::Sequence | Self::Stages | Self::Absence | Self::NewValue | Self::Change => &[],
            _ => &MEASURES,
        }
    }
}

/// How windows lie in time.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// The time before each finding.
    #[default]
    Sliding,
    /// One after the other, from 1970 on.
    Tumbling,
    /// From the first finding until `gap` without one, at most `within` long.
    Session,
}

impl Window {
    fn is_sliding(&self) -> bool {
        *self == Self::Sliding
    }
}

/// Bounds of a measured number, all of which hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Greater than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gt: Option<f64>,
    /// Greater than or equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gte: Option<f64>,
    /// Less than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<f64>,
    /// Less than or equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lte: Option<f64>,
    /// Equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eq: Option<f64>,
    /// Not equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neq: Option<f64>,
}

impl Condition {
    /// Says whether the number keeps all bounds.
    pub fn holds(&self, number: f64) -> bool {
        self.gt.is_none_or(|bound| number > bound)
            && self.gte.is_none_or(|bound| number >= bound)
            && self.lt.is_none_or(|bound| number < bound)
            && self.lte.is_none_or(|bound| number <= bound)
            && self.eq.is_none_or(|bound| number == bound)
            && self.neq.is_none_or(|bound| number != bound)
    }

    /// Says whether there are only lower bounds: what holds for a number holds for every greater one, so that a growing
    /// count can be evaluated before its window ends.
    pub fn is_lower_bound(&self) -> bool {
        self.lt.is_none() && self.lte.is_none() && self.eq.is_none() && self.neq.is_none()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names that a title may use besides `by`, where something is measured.
const MEASURES: [&str; 2] = ["count", "value"];

impl Correlation {
    /// Returns a correlation of this kind over the findings of `rules`, with nothing else said.
    pub fn new(kind: CorrelationKind, rules: Vec<String>) -> Self {
        Self {
            kind,
            rules,
            by: Vec::new(),
            aliases: BTreeMap::new(),
            field: None,
            fields: Vec::new(),
            within: None,
            step_within: None,
            window: Window::Sliding,
            gap: None,
            condition: None,
            expression: None,
            approximate: false,
            percentile: None,
            baseline: None,
            factor: None,
            minimum: None,
            learn: None,
            max_speed_kmh: None,
            min_distance_km: None,
            geoip: None,
            latitude: None,
            longitude: None,
            severities: Vec::new(),
        }
    }

    /// Returns the names of the fields that it reads from a finding: `by` first, then what it measures.
    pub fn field_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by.iter().map(String::as_str).collect();
        let measured = self
            .field
            .iter()
            .chain(&self.fields)
            .chain(&self.latitude)
            .chain(&self.longitude);
        for name in measured {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Returns what a rule calls a field: its alias, for `RULE.TABLE` that of `RULE`, or the name itself.
    ///
    /// Nothing for a name that is no path; a checked correlation has none.
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

    /// Returns the length of `within` in microseconds; a checked correlation that needs one has one.
    pub fn within_micros(&self) -> i64 {
        micros(self.within.as_deref()).unwrap_or(i64::MAX / 4)
    }
}

fn micros(text: Option<&str>) -> Option<i64> {
    parse_duration(text?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_the_alias_of_its_table_then_of_its_rule_then_its_own_name() {
        let mut correlation =
            Correlation::new(CorrelationKind::AnyOrder, vec!["a".into(), "a.b".into()]);
        correlation.within = Some("1h".to_owned());
        correlation.by = vec!["user".to_owned()];
        let paths = [("a", "name"), ("a.web", "web_name")];
        let of = paths.map(|(rule, path)| (rule.to_owned(), path.parse().unwrap()));
        correlation.aliases = BTreeMap::from([("user".to_owned(), BTreeMap::from(of))]);
        assert_eq!(correlation.problem(), None);
        let path = |rule: &str| correlation.path_of("user", rule).unwrap().to_string();
        assert_eq!(path("a"), "name");
        assert_eq!(path("a.web"), "web_name");
        assert_eq!(path("a.dns"), "name");
        assert_eq!(path("a.b"), "user", "another entry, no table of the first");
        assert_eq!(path("a.b.dns"), "user");
        assert_eq!(correlation.entry_of("ab"), None);
    }
}
