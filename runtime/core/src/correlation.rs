//! What a correlation rule says: which findings it joins, by what, within what time, and when that is worth a finding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rule::RuleProblem;
use crate::time::parse_duration;
use crate::{FieldPath, Severity};

/// `[rule.correlation]`: findings of other rules, judged together over event time.
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
    /// count can be judged before its window ends.
    pub fn is_lower_bound(&self) -> bool {
        self.lt.is_none() && self.lte.is_none() && self.eq.is_none() && self.neq.is_none()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names that a correlation's title may use besides its `by`: what was measured.
pub const MEASURES: [&str; 2] = ["count", "value"];

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

    /// Returns the first thing that is wrong with it by itself; the key is inside `[rule]`.
    pub fn problem(&self) -> Option<RuleProblem> {
        use CorrelationKind as Kind;
        let problem = |key, message: &str| {
            Some(RuleProblem {
                key,
                message: message.to_owned(),
            })
        };
        let word = self.kind.word();
        if self.rules.is_empty() {
            return problem(
                "correlation.rules",
                "is empty: name the rules whose findings are joined",
            );
        }
        let needs_several = matches!(self.kind, Kind::Sequence | Kind::Stages);
        if needs_several && self.rules.len() < 2 {
            return problem(
                "correlation.rules",
                "names one rule: steps are at least two",
            );
        }
        if self.kind == Kind::Absence && self.rules.len() > 2 {
            return problem(
                "correlation.rules",
                "names more than two: the first is what happens, the second what must follow",
            );
        }
        let is_list = matches!(self.kind, Kind::Sequence | Kind::Stages);
        let mut seen = std::collections::BTreeSet::new();
        if !is_list && !self.rules.iter().all(|rule| seen.insert(rule)) {
            return problem("correlation.rules", "names a rule twice");
        }
        if self.rules.len() > 1_000 {
            return problem("correlation.rules", "names more than 1,000 rules");
        }
        for (key, text) in [
            ("correlation.within", &self.within),
            ("correlation.step_within", &self.step_within),
            ("correlation.gap", &self.gap),
            ("correlation.baseline", &self.baseline),
            ("correlation.learn", &self.learn),
        ] {
            if let Some(Err(error)) = text.as_deref().map(parse_duration) {
                return problem(key, &error.to_string());
            }
        }
        for name in self.field_names() {
            if name.parse::<FieldPath>().is_err() {
                return problem(
                    "correlation.by",
                    &format!("`{name}` is no field: write a column or a dotted path"),
                );
            }
        }
        for (name, of) in &self.aliases {
            if !self.field_names().contains(&name.as_str()) {
                return problem(
                    "correlation.aliases",
                    &format!("is for `{name}`, which neither `by` nor `field` uses"),
                );
            }
            if let Some(rule) = of.keys().find(|rule| self.entry_of(rule).is_none()) {
                return problem(
                    "correlation.aliases",
                    &format!("names `{rule}`, which is not among `rules`"),
                );
            }
        }
        // Each key with the kinds that read it, so that a key that would do nothing is an error.
        let measures = matches!(
            self.kind,
            Kind::Count | Kind::Distinct | Kind::Sum | Kind::Avg | Kind::Percentile
        );
        let conditioned =
            measures || matches!(self.kind, Kind::Session | Kind::Rare | Kind::AnyOrder);
        let has_field = matches!(
            self.kind,
            Kind::Distinct
                | Kind::Sum
                | Kind::Avg
                | Kind::Percentile
                | Kind::NewValue
                | Kind::Travel
                | Kind::Rare
        );
        let has_baseline = matches!(self.kind, Kind::Spike | Kind::Flatline);
        let is_travel = self.kind == Kind::Travel;
        let is_session = self.kind == Kind::Session || self.window == Window::Session;
        for (key, given, used) in [
            ("correlation.field", self.field.is_some(), has_field),
            (
                "correlation.fields",
                !self.fields.is_empty(),
                matches!(self.kind, Kind::Change | Kind::Distinct),
            ),
            (
                "correlation.step_within",
                self.step_within.is_some(),
                needs_several,
            ),
            (
                "correlation.window",
                self.window != Window::Sliding,
                measures,
            ),
            ("correlation.gap", self.gap.is_some(), is_session),
            (
                "correlation.condition",
                self.condition.is_some(),
                conditioned,
            ),
            (
                "correlation.expression",
                self.expression.is_some(),
                self.kind == Kind::AnyOrder,
            ),
            (
                "correlation.approximate",
                self.approximate,
                self.kind == Kind::Distinct,
            ),
            (
                "correlation.percentile",
                self.percentile.is_some(),
                self.kind == Kind::Percentile,
            ),
            (
                "correlation.baseline",
                self.baseline.is_some(),
                has_baseline,
            ),
            ("correlation.factor", self.factor.is_some(), has_baseline),
            ("correlation.minimum", self.minimum.is_some(), has_baseline),
            (
                "correlation.learn",
                self.learn.is_some(),
                matches!(self.kind, Kind::NewValue | Kind::Rare),
            ),
            (
                "correlation.max_speed_kmh",
                self.max_speed_kmh.is_some(),
                is_travel,
            ),
            (
                "correlation.min_distance_km",
                self.min_distance_km.is_some(),
                is_travel,
            ),
            ("correlation.geoip", self.geoip.is_some(), is_travel),
            ("correlation.latitude", self.latitude.is_some(), is_travel),
            ("correlation.longitude", self.longitude.is_some(), is_travel),
            (
                "correlation.severities",
                !self.severities.is_empty(),
                self.kind == Kind::Stages,
            ),
        ] {
            if given && !used {
                return problem(key, &format!("is given, and `{word}` does not use it"));
            }
        }
        let places = self.latitude.is_some() && self.longitude.is_some();
        for (key, missing, message) in [
            (
                "correlation.within",
                self.within.is_none() && self.kind != Kind::Session && !is_session,
                "is missing: how long may it take, for instance `10m`?",
            ),
            (
                "correlation.gap",
                is_session && self.gap.is_none(),
                "is missing: which silence ends a session?",
            ),
            (
                "correlation.condition",
                measures && self.condition.is_none_or(|condition| condition.is_empty()),
                "is missing: what must the number be, for instance `{ gte = 10 }`?",
            ),
            (
                "correlation.field",
                has_field
                    && self.field.is_none()
                    && !places
                    && !(self.kind == Kind::Distinct && !self.fields.is_empty()),
                "is missing: the field that is measured",
            ),
            (
                "correlation.fields",
                self.kind == Kind::Change && self.fields.is_empty(),
                "is empty: name the fields that make up the state",
            ),
            (
                "correlation.by",
                self.kind == Kind::Rare && self.by.is_empty(),
                "is empty: name what is rare; `field` says who has it",
            ),
            (
                "correlation.baseline",
                has_baseline && self.baseline.is_none(),
                "is missing: how far back does the key's normal reach, for instance `7d`?",
            ),
            (
                "correlation.latitude",
                is_travel && self.latitude.is_some() != self.longitude.is_some(),
                "and `longitude` are given together or not at all",
            ),
            (
                "correlation.severities",
                self.kind == Kind::Stages && self.severities.len() != self.rules.len(),
                "needs one severity for each of `rules`",
            ),
        ] {
            if missing {
                return problem(key, message);
            }
        }
        if self.percentile.is_some_and(|p| !(0.0..=100.0).contains(&p)) {
            return problem("correlation.percentile", "is not from 0 to 100");
        }
        if self.approximate && self.window == Window::Sliding {
            return problem(
                "correlation.approximate",
                "cannot forget single values, so it needs `window = \"tumbling\"` or `\"session\"`",
            );
        }
        if self.expression.is_some() && self.condition.is_some() {
            return problem(
                "correlation.condition",
                "is given, and so is `expression`: one of them says which rules must have findings",
            );
        }
        if has_baseline {
            let (within, baseline) = (self.within_micros(), micros(self.baseline.as_deref()));
            if baseline.is_some_and(|baseline| baseline < within.saturating_mul(2)) {
                return problem(
                    "correlation.baseline",
                    "is shorter than two windows of `within`: there is nothing to compare with",
                );
            }
            if self
                .factor
                .is_some_and(|factor| factor.is_nan() || factor <= 0.0)
            {
                return problem("correlation.factor", "must be more than 0");
            }
        }
        if let Some(text) = &self.expression
            && let Err(message) = Expression::parse(text, &self.rules)
        {
            return problem("correlation.expression", &message);
        }
        None
    }
}

fn micros(text: Option<&str>) -> Option<i64> {
    parse_duration(text?).ok()
}

/// Which of a correlation's rules must have findings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expression {
    /// The rule at this place has a finding in the window.
    Rule(usize),
    /// All hold.
    And(Vec<Self>),
    /// One holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
}

impl Expression {
    /// Reads `a and (b or c) and not d` over the ids of `rules`.
    ///
    /// # Errors
    /// A sentence that says what stands where it must not.
    pub fn parse(text: &str, rules: &[String]) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut parser = Parser {
            words: &words,
            at: 0,
            rules,
        };
        let parsed = parser.or()?;
        match words.get(parser.at) {
            None => Ok(parsed),
            Some(word) => Err(format!("has `{word}` where `and` or `or` is expected")),
        }
    }

    /// Says whether it holds, given which rules have findings.
    pub fn holds(&self, has: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Self::Rule(rule) => has(*rule),
            Self::And(parts) => parts.iter().all(|part| part.holds(has)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(has)),
            Self::Not(inner) => !inner.holds(has),
        }
    }

    /// Says whether it asks that something is not there, which only the end of a window decides.
    pub fn has_not(&self) -> bool {
        match self {
            Self::Rule(_) => false,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::has_not),
            Self::Not(_) => true,
        }
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    rules: &'a [String],
}

impl Parser<'_> {
    fn is_next(&mut self, word: &str) -> bool {
        let is = self
            .words
            .get(self.at)
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.and()?];
        while self.is_next("or") {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.not()?];
        while self.is_next("and") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, String> {
        // A chain of `not` is a loop, so that no text can exhaust the stack with it.
        let mut negated = false;
        while self.is_next("not") {
            negated = !negated;
        }
        let inner = if self.is_next("(") {
            if self.at > 256 {
                return Err("is too long".to_owned());
            }
            let inner = self.or()?;
            if !self.is_next(")") {
                return Err("lacks a `)`".to_owned());
            }
            inner
        } else {
            let word = self
                .words
                .get(self.at)
                .ok_or("ends where a rule is expected")?;
            let rule = self.rules.iter().position(|rule| rule == word);
            let rule = rule.ok_or_else(|| {
                let near = crate::names::did_you_mean(word, self.rules.iter().map(String::as_str));
                format!("names `{word}`, which is not among `rules`{near}")
            })?;
            self.at += 1;
            Expression::Rule(rule)
        };
        Ok(if negated {
            Expression::Not(Box::new(inner))
        } else {
            inner
        })
    }
}

fn one_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        join(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_and_wrong_ones_are_told() {
        let rules = ["a-1".to_owned(), "b".to_owned(), "c".to_owned()];
        let parse = |text: &str| Expression::parse(text, &rules);
        let read = parse("a-1 and (b or not c)").unwrap();
        assert!(read.holds(&|rule| rule == 0));
        assert!(!read.holds(&|rule| rule != 1));
        assert!(read.has_not() && !parse("a-1 or b").unwrap().has_not());
        for (text, message) in [
            ("a-1 and", "ends where a rule is expected"),
            ("a-1 b", "has `b` where `and` or `or` is expected"),
            ("(a-1", "lacks a `)`"),
            ("a-1 and d", "names `d`, which is not among `rules`"),
        ] {
            assert_eq!(parse(text).unwrap_err().split("; ").next(), Some(message));
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&format!("{}b", "not ".repeat(100_000))).is_ok());
    }

    #[test]
    fn keys_that_a_kind_needs_or_cannot_use_are_told() {
        let read = |text: &str| -> Option<String> {
            let text = format!("rules = [\"a\", \"b\"]\n{text}");
            let read: Correlation = toml::from_str(&text).unwrap();
            read.problem()
                .map(|problem| format!("{} {}", problem.key, problem.message))
        };
        assert_eq!(read("type = \"any-order\"\nwithin = \"1h\""), None);
        for (text, starts) in [
            (
                "type = \"count\"\nwithin = \"1h\"",
                "correlation.condition is missing",
            ),
            ("type = \"sequence\"", "correlation.within is missing"),
            ("type = \"session\"", "correlation.gap is missing"),
            (
                "type = \"distinct\"\nwithin = \"1h\"\ncondition = { gte = 2 }",
                "correlation.field is missing",
            ),
            (
                "type = \"sequence\"\nwithin = \"1h\"\nfactor = 2",
                "correlation.factor is given, and `sequence` does not use it",
            ),
            (
                "type = \"any-order\"\nwithin = \"1h\"\nexpression = \"a and d\"",
                "correlation.expression names `d`",
            ),
            (
                "type = \"any-order\"\nwithin = \"1h\"\nexpression = \"a\"\ncondition = { gte = 2 }",
                "correlation.condition is given, and so is `expression`",
            ),
            (
                "type = \"spike\"\nwithin = \"1h\"\nbaseline = \"1h\"",
                "correlation.baseline is shorter than two windows",
            ),
            (
                "type = \"stages\"\nwithin = \"1h\"\nseverities = [\"low\"]",
                "correlation.severities needs one severity",
            ),
            (
                "type = \"any-order\"\nwithin = \"1h\"\nby = [\"ip\"]\naliases = { ip = { c = \"x\" } }",
                "correlation.aliases names `c`",
            ),
        ] {
            let message = read(text).unwrap_or_default();
            assert!(message.starts_with(starts), "{message}");
        }
    }

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
