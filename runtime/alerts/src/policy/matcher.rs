//! What an alert must be like, ready to be asked.

use std::net::IpAddr;

use ipnet::IpNet;
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::did_you_mean;
use yagura_core::{Alert, Severity};

use super::Match;
use super::hours::Hours;

/// A [`Match`], ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    rules: Vec<TextPattern>,
    severity: Option<Severity>,
    tags: Vec<TextPattern>,
    keys: Vec<TextPattern>,
    observables: Vec<(String, Vec<TextPattern>)>,
    context: Vec<(String, Vec<TextPattern>)>,
    teams: Vec<String>,
    hours: Vec<Hours>,
    not: Option<Box<Matcher>>,
}

/// A text in which `*` stands for any text, an address or a network.
#[derive(Debug, Clone)]
pub enum TextPattern {
    /// This text.
    Text(String),
    /// These texts in this order, with any text between them.
    Form(Vec<String>),
    /// This address, however it is written.
    Address(IpAddr),
    /// Addresses of this network.
    Network(IpNet),
}

impl Matcher {
    /// Says whether an alert is like this; `teams` are those that claim it (see
    /// [`CompiledPolicy::teams_of`](super::CompiledPolicy::teams_of)).
    pub fn matches(&self, alert: &Alert, teams: &[String]) -> bool {
        self.severity.is_none_or(|least| alert.severity >= least)
            && one_of(&self.rules, [alert.rule.as_str()])
            && one_of(&self.tags, alert.tags.iter().map(String::as_str))
            && one_of(&self.keys, [alert.key.as_str()])
            && self.observables.iter().all(|(kind, values)| {
                let same = alert.observables.iter().filter(|one| one.kind == *kind);
                one_of(values, same.map(|one| one.value.as_str()))
            })
            && self.context.iter().all(|(name, values)| {
                let same = alert.context.iter().filter(|one| one.name == *name);
                one_of(values, same.map(|one| one.value.as_str()))
            })
            && (self.teams.is_empty() || self.teams.iter().any(|team| teams.contains(team)))
            && (self.hours.is_empty()
                || self
                    .hours
                    .iter()
                    .any(|hours| hours.contains(alert.first_time)))
            && self
                .not
                .as_ref()
                .is_none_or(|not| !not.matches(alert, teams))
    }

    /// Makes ready what `key` of the policy holds and adds to `problems` what is wrong with it.
    pub(super) fn compile(
        when: &Match,
        key: &Key,
        teams: &[&str],
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        for (index, team) in when.teams.iter().enumerate() {
            if !teams.contains(&team.as_str()) {
                let near = did_you_mean(team, teams.iter().copied());
                let message = format!("names the team `{team}`, which has no [team.{team}]{near}");
                let problem = Diagnostic::error(Code::UnknownReference, message);
                problems.push(problem.at(key.name("teams").index(index)));
            }
        }
        let not = when.not.as_ref().map(|not| {
            let key = key.name("not");
            if **not == Match::default() {
                let message = "is empty, so that no alert fits: say what it must not be like";
                problems.push(Diagnostic::error(Code::EmptyValue, message).at(key.clone()));
            }
            Box::new(Self::compile(not, &key, teams, problems))
        });
        let mut named = |name: &str, values: &std::collections::BTreeMap<String, Vec<String>>| {
            let key = key.name(name);
            let mut all = Vec::new();
            for (name, values) in values {
                let key = key.name(name);
                if values.is_empty() {
                    let message = "lists no value: write at least one, `*` for any";
                    problems.push(Diagnostic::error(Code::EmptyValue, message).at(key.clone()));
                }
                all.push((
                    name.clone(),
                    TextPattern::compile_all(values, &key, problems),
                ));
            }
            all
        };
        let observables = named("observables", &when.observables);
        let context = named("context", &when.context);
        let mut texts = |name: &str, values: &[String]| {
            let key = key.name(name);
            let mut all = Vec::new();
            for (index, value) in values.iter().enumerate() {
                match TextPattern::text(value) {
                    Ok(pattern) => all.push(pattern),
                    Err(error) => problems.push(invalid(key.index(index), &error)),
                }
            }
            all
        };
        Self {
            rules: texts("rules", &when.rules),
            severity: when.severity,
            tags: texts("tags", &when.tags),
            keys: texts("keys", &when.keys),
            observables,
            context,
            teams: when.teams.clone(),
            hours: hours(&when.hours, &key.name("hours"), problems),
            not,
        }
    }
}

/// Why a text is not a pattern. The message follows the key of the pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextPatternError {
    /// It is empty.
    #[error("holds an empty text, which nothing is like: leave it out")]
    Empty,
    /// It has the form of a network, and its bits are wrong.
    #[error("has `{0}`, which is not a network: write for instance 10.0.0.0/8 or 2001:db8::/32")]
    Network(String),
}

impl TextPattern {
    /// Reads a text in which `*` stands for any text.
    ///
    /// It is matched by hand: in the patterns of the crate `globset`, `?`, `[`, `{` and `\` have a meaning too, and they stand in the
    /// names of accounts, hosts and paths.
    ///
    /// # Errors
    /// [`TextPatternError`]
    pub fn text(text: &str) -> Result<Self, TextPatternError> {
        if text.is_empty() {
            return Err(TextPatternError::Empty);
        }
        if !text.contains('*') {
            return Ok(Self::Text(text.to_owned()));
        }
        Ok(Self::Form(text.split('*').map(str::to_owned).collect()))
    }

    /// Reads a text as [`Self::text`] does, or an address or a network.
    ///
    /// # Errors
    /// [`TextPatternError`]
    pub fn value(text: &str) -> Result<Self, TextPatternError> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        if let Some((address, _)) = text.split_once('/')
            && address.parse::<IpAddr>().is_ok()
        {
            return Err(TextPatternError::Network(text.to_owned()));
        }
        Self::text(text)
    }

    /// Says whether `text` is like this.
    pub fn matches(&self, text: &str) -> bool {
        let address = || text.parse::<IpAddr>().map(|address| address.to_canonical());
        match self {
            Self::Text(wanted) => wanted == text,
            Self::Form(parts) => has_form(parts, text),
            Self::Address(wanted) => address().is_ok_and(|address| address == *wanted),
            Self::Network(network) => address().is_ok_and(|address| network.contains(&address)),
        }
    }

    /// Reads the values at `key`, each as [`Self::value`] does, and adds to `problems` what is wrong with them.
    pub(super) fn compile_all(
        values: &[String],
        key: &Key,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<Self> {
        let mut patterns = Vec::new();
        for (index, value) in values.iter().enumerate() {
            match Self::value(value) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => problems.push(invalid(key.index(index), &error)),
            }
        }
        patterns
    }
}

fn invalid(key: Key, error: &TextPatternError) -> Diagnostic {
    Diagnostic::error(Code::InvalidPattern, error.to_string()).at(key)
}

/// Reads the hours at `key` and adds to `problems` what is wrong with them.
pub(super) fn hours(texts: &[String], key: &Key, problems: &mut Vec<Diagnostic>) -> Vec<Hours> {
    let mut all = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse::<Hours>() {
            Ok(hours) => all.push(hours),
            Err(error) => {
                let problem = Diagnostic::error(Code::InvalidHours, error.to_string());
                problems.push(problem.at(key.index(index)));
            }
        }
    }
    all
}

/// Says whether one of `texts` is like one of `patterns`, or nothing is asked.
fn one_of<'a>(patterns: &[TextPattern], texts: impl IntoIterator<Item = &'a str>) -> bool {
    patterns.is_empty()
        || texts
            .into_iter()
            .any(|text| patterns.iter().any(|pattern| pattern.matches(text)))
}

/// Says whether `text` begins with the first of `parts`, ends with the last, and holds the others in order between.
fn has_form(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.iter().any(|part| part == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    // The earliest place of each leaves the most for those after it.
    for part in middle {
        let Some(at) = rest.find(part.as_str()) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tries every place of every `*`.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| slowly(rest, &text[skip..])),
            [c, rest @ ..] => text.first() == Some(c) && slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_any_text(pattern in "[ab*é]{1,6}", text in "[abé]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                TextPattern::text(&pattern).unwrap().matches(&text),
                slowly(&chars(&pattern), &chars(&text))
            );
        }
    }

    #[test]
    fn no_other_sign_has_a_meaning() {
        let pattern = TextPattern::text(r"CORP\svc-[a]?{b}/*").unwrap();
        assert!(pattern.matches("CORP\\svc-[a]?{b}/x/y\nz"));
        assert!(!pattern.matches("CORP\\svc-axb/x"));
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        let holds = |pattern: &str, text: &str| TextPattern::value(pattern).unwrap().matches(text);
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(!holds("10.0.0.0/8", "10.0.0.1.example.org"));
        assert!(holds("2001:db8::/32", "2001:0db8:0:0::1"));
        assert!(holds("::1", "0:0:0:0:0:0:0:1"));
        assert!(holds("10.0.*", "10.0.7.7"));
        let wrong = TextPattern::value("10.0.0.0/33").unwrap_err().to_string();
        assert!(wrong.contains("is not a network"), "{wrong}");
    }
}
