//! What is wrong with a correlation by itself: keys that its kind needs and lacks, or has and does not use.

use super::{Correlation, CorrelationKind, Expression, Window, micros};
use crate::FieldPath;
use crate::diagnostic::{Code, Diagnostic, Key};
use crate::time::{duration_text, parse_duration};

/// Windows that `spike` and `flatline` remember of a key: a week of minutes.
const MOST_WINDOWS: i64 = 10_080;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

impl Correlation {
    /// Returns the first thing that is wrong with it by itself; the key is inside `[rule]`.
    pub fn problem(&self) -> Option<Diagnostic> {
        use CorrelationKind as Kind;
        let problem = |key, message: &str| {
            let key = Key::written(key);
            Some(Diagnostic::error(Code::InvalidCorrelation, message).at(key))
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
                let wrong = Diagnostic::error(Code::InvalidDuration, error.to_string());
                return Some(wrong.at(Key::written(key)));
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
                    && (self.kind != Kind::Distinct || self.fields.is_empty()),
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
            if let Some(baseline) = baseline
                && baseline / within.max(1) > MOST_WINDOWS
            {
                let longest = duration_text(within.saturating_mul(MOST_WINDOWS));
                // In whole seconds, rounded up.
                let shortest = (baseline - 1) / MOST_WINDOWS / SECOND + 1;
                let shortest = duration_text(shortest.saturating_mul(SECOND));
                return problem(
                    "correlation.baseline",
                    &format!(
                        "has more than {MOST_WINDOWS} windows of `within`, each of which is remembered for each key: make it {longest} at most, or `within` {shortest} at least"
                    ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_kind_needs_or_cannot_use_are_told() {
        let read = |text: &str| -> Option<String> {
            let text = format!("rules = [\"a\", \"b\"]\n{text}");
            let read: Correlation = toml::from_str(&text).unwrap();
            read.problem()
                .map(|problem| problem.text().replacen('`', "", 2))
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
                "type = \"spike\"\nwithin = \"1s\"\nbaseline = \"365d\"",
                "correlation.baseline has more than 10080 windows of `within`, each of which is remembered for each key: make it 168m at most, or `within` 3129s at least",
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
}
