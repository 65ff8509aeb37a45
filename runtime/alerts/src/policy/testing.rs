//! Cases of a policy: the alerts that come up, and whether what became of them is what was expected.
//!
//! The triage that decides is not here: who runs a case hands [`lines`] to one and what became of the alerts to
//! [`mismatches`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use yagura_core::alert::{ContextEntry, Observable, identity};
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::did_you_mean;
use yagura_core::report::AlertLine;
use yagura_core::{Alert, AlertState, Evidence};

use super::{ExpectedOutcome, Policy, PolicyTest, TestAlert};
use crate::format::AlertRecord;

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TestOutcome {
    /// It is part of an incident that is reported.
    Reported,
    /// A suppression covers it.
    Suppressed,
    /// It came up in a maintenance window.
    Maintenance,
    /// Its rule is on trial.
    Staged,
    /// A more severe alert silences it.
    Inhibited,
}

/// What became of an alert of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertResult {
    /// Id of the alert.
    pub alert: String,
    /// What became of it.
    pub outcome: TestOutcome,
    /// Notifiers that it is reported to, in any order.
    pub notify: Vec<String>,
    /// Id of the incident that it is part of.
    pub incident: Option<String>,
    /// Reported as a part of its rule's flood.
    pub is_flood: bool,
}

/// Why the alerts of a case cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The file of recorded alerts cannot be read.
    #[error("cannot read the alerts of the case `{case}` from {}", .file.display())]
    Read {
        /// Name of the case.
        case: String,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line is not an alert.
    #[error(
        "{}:{line}: not an alert as `yagura serve` or `yagura run --format json` writes it",
        .file.display()
    )]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line, from one.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
}

impl TestOutcome {
    /// What a policy calls them.
    pub const NAMES: [&'static str; 5] = [
        "reported",
        "suppressed",
        "maintenance",
        "staged",
        "inhibited",
    ];

    /// Returns what a policy calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Suppressed => "suppressed",
            Self::Maintenance => "maintenance",
            Self::Staged => "staged",
            Self::Inhibited => "inhibited",
        }
    }
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Returns the lines of alerts of a case; `dir` is the folder of the policy's file.
///
/// Written alerts are final, and have the id that their rule, key and time give; the second with the same gets another.
/// Recorded alerts come as they are, numbered anew; without a state they are final.
///
/// # Errors
/// The file of recorded alerts cannot be read, or holds something else.
pub fn lines(test: &PolicyTest, dir: &Path) -> Result<Vec<AlertLine>, TestError> {
    let Some(file) = &test.alerts else {
        let mut ids = BTreeSet::new();
        let alerts = test.alert.iter().map(|alert| written(alert, &mut ids));
        return Ok(alerts
            .zip(1..)
            .map(|(alert, seq)| line(seq, alert))
            .collect());
    };
    let file = dir.join(file);
    let text = fs::read_to_string(&file).map_err(|source| TestError::Read {
        case: test.name.clone(),
        file: file.clone(),
        source,
    })?;
    let mut lines = Vec::new();
    let mut seq = 0;
    for (index, text) in text.lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let record = AlertRecord::read(text).map_err(|source| TestError::Line {
            file: file.clone(),
            line: index + 1,
            source,
        })?;
        seq += 1;
        lines.push(record.into_line(seq));
    }
    Ok(lines)
}

/// Returns how what became of the alerts of a case differs from what was expected, a message each.
///
/// `became` holds each alert once, in order of its first line; `incidents` is how many there are in the end.
pub fn mismatches(
    test: &PolicyTest,
    lines: &[AlertLine],
    became: &[AlertResult],
    incidents: u32,
) -> Vec<String> {
    let case = Case {
        test,
        alerts: distinct(lines),
        became,
    };
    let mut messages = case.mismatches();
    if let Some(expected) = test.incidents
        && expected != incidents
    {
        messages.push(case.message(format!(
            "expected {expected} incidents in the end, found {incidents}"
        )));
    }
    messages
}

struct Case<'a> {
    test: &'a PolicyTest,
    alerts: Vec<&'a Alert>,
    became: &'a [AlertResult],
}

impl Case<'_> {
    fn mismatches(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let by_id: BTreeMap<&str, &AlertResult> = self
            .became
            .iter()
            .map(|one| (one.alert.as_str(), one))
            .collect();
        for (index, expected) in self.test.expect.iter().enumerate() {
            let chosen: Vec<usize> = if self.test.alerts.is_some() {
                let fits = |alert: &&Alert| {
                    expected
                        .rule
                        .as_ref()
                        .is_none_or(|rule| alert.rule == *rule)
                        && expected.key.as_ref().is_none_or(|key| alert.key == *key)
                };
                (0..self.alerts.len())
                    .filter(|place| fits(&self.alerts[*place]))
                    .collect()
            } else {
                (index..self.alerts.len()).take(1).collect()
            };
            if chosen.is_empty() {
                messages.push(self.message(format!(
                    "no alert for expect[{}]{}",
                    index + 1,
                    asked(expected)
                )));
            }
            for place in chosen {
                let alert = self.alerts[place];
                match by_id.get(alert.id.as_str()) {
                    Some(found) => self.compare(place, expected, found, &mut messages),
                    None => messages.push(self.of(place, "was not decided on".to_owned())),
                }
            }
        }
        messages
    }

    fn compare(
        &self,
        place: usize,
        expected: &ExpectedOutcome,
        found: &AlertResult,
        messages: &mut Vec<String>,
    ) {
        let mut differ = |what: &str, expected: String, found: String| {
            let message = format!("{what}: expected {expected}, found {found}");
            messages.push(self.of(place, message));
        };
        if let Some(outcome) = &expected.outcome
            && outcome != found.outcome.name()
        {
            differ("outcome", outcome.clone(), found.outcome.to_string());
        }
        if let Some(notify) = &expected.notify {
            let expected: BTreeSet<&String> = notify.iter().collect();
            let found: BTreeSet<&String> = found.notify.iter().collect();
            if expected != found {
                differ("notify", list(&expected), list(&found));
            }
        }
        if let Some(flood) = expected.flood
            && flood != found.is_flood
        {
            differ("flood", flood.to_string(), found.is_flood.to_string());
        }
        if let Some(number) = expected.incident {
            let wanted = usize::try_from(number).unwrap_or(usize::MAX);
            let opener = self.opener(found);
            if opener != Some(wanted) {
                let expected = format!("the one that alert {number} opened");
                let found = opener.map_or_else(
                    || "none".to_owned(),
                    |opener| format!("the one that alert {opener} opened"),
                );
                differ("incident", expected, found);
            }
        }
    }

    /// Returns the place, from one, of the first alert of an alert's incident.
    fn opener(&self, found: &AlertResult) -> Option<usize> {
        let incident = found.incident.as_ref()?;
        let is_first = |alert: &&Alert| {
            self.became
                .iter()
                .any(|one| one.alert == alert.id && one.incident.as_ref() == Some(incident))
        };
        self.alerts.iter().position(is_first).map(|place| place + 1)
    }

    fn of(&self, place: usize, message: String) -> String {
        let alert = self.alerts[place];
        let key = if alert.key.is_empty() {
            String::new()
        } else {
            format!(" for `{}`", alert.key)
        };
        self.message(format!(
            "alert {} (`{}`{key}, {}): {message}",
            place + 1,
            alert.rule,
            alert.first_time
        ))
    }

    fn message(&self, message: String) -> String {
        format!("case `{}`: {message}", self.test.name)
    }
}

/// Returns what is wrong with the cases of a policy, before they are run.
pub(super) fn test_problems(policy: &Policy, outcomes: [&'static str; 5]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for (index, test) in policy.test.iter().enumerate() {
        let key = Key::top("test").index(index);
        let mut wrong = |code, key: Key, message: String| {
            found.push(Diagnostic::error(code, message).at(key));
        };
        if !names.insert(&test.name) {
            let message = format!("`{}` is also the name of another case", test.name);
            wrong(Code::DuplicateName, key.name("name"), message);
        }
        match (&test.alerts, test.alert.len(), test.expect.len()) {
            (None, 0, _) => wrong(
                Code::InvalidTestCase,
                key.clone(),
                "has no alerts: write [[test.alert]], or `alerts` with a file".to_owned(),
            ),
            (Some(_), 1.., _) => wrong(
                Code::ConflictingKeys,
                key.name("alerts"),
                "is given, and so are [[test.alert]]: leave one out".to_owned(),
            ),
            (None, alerts, expected) if expected > alerts => wrong(
                Code::InvalidTestCase,
                key.name("expect"),
                format!("has {expected} entries for {alerts} alerts"),
            ),
            _ => {}
        }
        if test.expect.is_empty() && test.incidents.is_none() {
            wrong(
                Code::InvalidTestCase,
                key.clone(),
                "expects nothing: write [[test.expect]] or `incidents`".to_owned(),
            );
        }
        for (place, expected) in test.expect.iter().enumerate() {
            let key = key.name("expect").index(place);
            if test.alerts.is_none() {
                for (name, given) in [("rule", &expected.rule), ("key", &expected.key)] {
                    if given.is_some() {
                        let message =
                            "is for recorded alerts: written ones are expected in their order";
                        wrong(Code::ConflictingKeys, key.name(name), message.to_owned());
                    }
                }
            }
            if let Some(outcome) = &expected.outcome
                && !outcomes.contains(&outcome.as_str())
            {
                let message = format!(
                    "is `{outcome}`: write one of {}{}",
                    outcomes.join(", "),
                    did_you_mean(outcome, outcomes)
                );
                wrong(Code::InvalidValue, key.name("outcome"), message);
            }
            for (place, name) in expected.notify.iter().flatten().enumerate() {
                if !policy.notifier.contains_key(name) {
                    let near = did_you_mean(name, policy.notifier.keys().map(String::as_str));
                    let message = format!("names `{name}`, which has no [notifier.{name}]{near}");
                    wrong(
                        Code::UnknownReference,
                        key.name("notify").index(place),
                        message,
                    );
                }
            }
            let is_beyond = |incident: u32| {
                incident == 0
                    || (test.alerts.is_none()
                        && usize::try_from(incident).is_ok_and(|n| n > test.alert.len()))
            };
            if let Some(incident) = expected.incident.filter(|one| is_beyond(*one)) {
                let message =
                    format!("is {incident}, and there is no such alert: they count from 1");
                wrong(Code::UnknownReference, key.name("incident"), message);
            }
        }
    }
    found
}

fn written(alert: &TestAlert, ids: &mut BTreeSet<String>) -> Alert {
    let mut id = identity(&alert.rule, &alert.key, alert.time);
    let mut again = 1;
    while !ids.insert(id.clone()) {
        again += 1;
        id = identity(&alert.rule, &format!("{}#{again}", alert.key), alert.time);
    }
    let observables = alert.observables.iter().flat_map(|(kind, values)| {
        values.iter().map(|value| Observable {
            kind: kind.clone(),
            value: value.clone(),
        })
    });
    let context = alert.context.iter().map(|(name, value)| ContextEntry {
        name: name.clone(),
        value: value.clone(),
    });
    Alert {
        id,
        rule: alert.rule.clone(),
        title: alert.rule.clone(),
        severity: alert.severity,
        key: alert.key.clone(),
        window_start: alert.time,
        first_time: alert.time,
        last_time: alert.time,
        count: 1,
        observables: observables.collect::<BTreeSet<_>>().into_iter().collect(),
        context: context.collect(),
        tags: alert.tags.clone(),
        evidence: Evidence {
            total: 1,
            events: Vec::new(),
        },
    }
}

fn line(seq: i64, alert: Alert) -> AlertLine {
    AlertLine {
        seq,
        state: AlertState::Final,
        reason: None,
        replaced_by: None,
        alert,
    }
}

/// Returns each alert once, in order of its first line, as its last line has it.
fn distinct(lines: &[AlertLine]) -> Vec<&Alert> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut alerts: Vec<&Alert> = Vec::new();
    for line in lines {
        match places.get(line.alert.id.as_str()) {
            Some(place) => alerts[*place] = &line.alert,
            None => {
                places.insert(&line.alert.id, alerts.len());
                alerts.push(&line.alert);
            }
        }
    }
    alerts
}

fn asked(expected: &ExpectedOutcome) -> String {
    let mut text = String::new();
    for (name, value) in [("rule", &expected.rule), ("key", &expected.key)] {
        if let Some(value) = value {
            text += &format!(", {name} `{value}`");
        }
    }
    text
}

fn list(names: &BTreeSet<&String>) -> String {
    if names.is_empty() {
        return "nobody".to_owned();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests;
