//! What goes wrong with the service itself, reported as alerts of its own rules: they take the same way as all others.
//!
//! ```text
//! trouble ─ lasts `after` ─▶ provisional alert ─ is over for `after` ─▶ withdrawn, which closes its incident
//! ```
//!
//! Trouble is an alert of its rule and key for as long as it lasts, also over restarts. Its times are those of the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use yagura_core::alert::{ContextEntry, OWN_RULES, identity};
use yagura_core::{Alert, AlertState, Evidence, Severity, Timestamp};
use yagura_correlate::AlertChange;
use yagura_correlate::store::TableStatus;

use crate::shown::shown;

/// How often the service is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Rule and key.
type Name = (&'static str, String);

/// One thing that goes wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    rule: &'static str,
    key: String,
    severity: Severity,
    title: String,
    /// More about it.
    context: Vec<(&'static str, String)>,
}

/// What goes wrong, since when, and what was reported of it.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// How long it must last; `None` where it is not reported.
    after: Option<Duration>,
    since: BTreeMap<Name, Instant>,
    /// What was reported, and since when it is over.
    reported: BTreeMap<Name, (Alert, Option<Instant>)>,
    checked: Option<Instant>,
}

impl Troubles {
    /// `reported` are the alerts that were reported before the last stop, and not withdrawn.
    pub(super) fn new(after: Option<Duration>, reported: Vec<Alert>) -> Self {
        let reported = reported.into_iter().filter_map(|alert| {
            let rule = OWN_RULES.into_iter().find(|rule| *rule == alert.rule)?;
            Some(((rule, alert.key.clone()), (alert, None)))
        });
        Self {
            after,
            reported: reported.collect(),
            ..Self::default()
        }
    }

    /// Returns whether the next check is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let is_idle = self.after.is_none() && self.reported.is_empty();
        !is_idle
            && self
                .checked
                .is_none_or(|checked| now.saturating_duration_since(checked) >= CHECK_INTERVAL)
    }

    /// Records what goes wrong now, and returns what to report.
    pub(super) fn update(
        &mut self,
        found: Vec<Trouble>,
        now: Instant,
        clock: Timestamp,
    ) -> Vec<AlertChange> {
        self.checked = Some(now);
        let after = self.after.unwrap_or_default();
        let found = found.into_iter().filter(|_| self.after.is_some());
        let found: BTreeMap<Name, Trouble> = found
            .map(|trouble| ((trouble.rule, trouble.key.clone()), trouble))
            .collect();
        let mut changes = Vec::new();
        self.since.retain(|name, _| found.contains_key(name));
        for (name, trouble) in &found {
            if let Some((_, over)) = self.reported.get_mut(name) {
                *over = None;
                continue;
            }
            let since = *self.since.entry(name.clone()).or_insert(now);
            let lasts = now.saturating_duration_since(since);
            if lasts < after {
                continue;
            }
            let lasts = i64::try_from(lasts.as_micros()).unwrap_or_default();
            let alert = trouble.alert(clock.saturating_add(-lasts), clock);
            changes.push(change(AlertState::Provisional, None, &alert));
            self.reported.insert(name.clone(), (alert, None));
        }
        self.reported.retain(|name, (alert, over)| {
            if found.contains_key(name) {
                return true;
            }
            let over = *over.get_or_insert(now);
            if now.saturating_duration_since(over) < after {
                return true;
            }
            alert.last_time = clock.max(alert.first_time);
            changes.push(change(AlertState::Withdrawn, Some("it is over"), alert));
            false
        });
        changes
    }

    /// Returns what was reported and is not over.
    pub(super) fn reported(&self) -> Vec<Alert> {
        let alerts = self.reported.values();
        alerts.map(|(alert, _)| alert.clone()).collect()
    }
}

fn change(state: AlertState, reason: Option<&str>, alert: &Alert) -> AlertChange {
    AlertChange {
        state,
        reason: reason.map(str::to_owned),
        replaced_by: None,
        alert: alert.clone(),
    }
}

impl Trouble {
    fn alert(&self, since: Timestamp, now: Timestamp) -> Alert {
        let context = self.context.iter().map(|(name, value)| ContextEntry {
            name: (*name).to_owned(),
            value: shown(value).into_owned(),
        });
        Alert {
            id: identity(self.rule, &self.key, since),
            rule: self.rule.to_owned(),
            title: shown(&self.title).into_owned(),
            severity: self.severity,
            key: self.key.clone(),
            window_start: since,
            first_time: since,
            last_time: now,
            count: 1,
            observables: Vec::new(),
            context: context.collect(),
            tags: vec!["yagura.self".to_owned()],
            evidence: Evidence::default(),
        }
    }
}

/// A source of raw logs that do not come in as they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTrouble {
    /// Name of the source.
    pub source: String,
    /// What is wrong, as the title of the alert.
    pub title: String,
    /// More about it.
    pub details: Vec<(&'static str, String)>,
}

/// Returns what goes wrong now, by the status of tables, by how many reports to each notifier were given up, and by sources.
pub(super) fn current(
    tables: &[TableStatus],
    dead: &BTreeMap<String, u64>,
    sources: &[SourceTrouble],
) -> Vec<Trouble> {
    let [waits, lag, quarantine, dead_letters, source] = OWN_RULES;
    let mut found = Vec::new();
    let mut resting = BTreeSet::new();
    for table in tables {
        let name = &table.name;
        let waiting = || ("waiting", format!("{} objects", table.waiting));
        let mut add = |rule, severity, title, context| {
            found.push(Trouble {
                rule,
                key: name.clone(),
                severity,
                title,
                context,
            });
        };
        if let Some(problem) = &table.problem {
            let title = format!("table `{name}` waits: rules miss what comes into it");
            let context = vec![("problem", problem.clone()), waiting()];
            add(waits, Severity::High, title, context);
        } else if table.waiting > 0 && !table.is_loading {
            let title = format!("table `{name}` lags: objects come faster than they are read");
            add(lag, Severity::Medium, title, vec![waiting()]);
        }
        let rests = table.quarantine.iter().filter(|rest| rest.is_quarantined);
        for rest in rests.filter(|rest| resting.insert(&rest.rule)) {
            found.push(Trouble {
                rule: quarantine,
                key: rest.rule.clone(),
                severity: Severity::High,
                title: format!(
                    "rule `{}` is quarantined: it does not evaluate events",
                    rest.rule
                ),
                context: vec![
                    ("reason", rest.reason.clone()),
                    ("table", name.clone()),
                    ("not evaluated", format!("{} events", rest.events)),
                ],
            });
        }
    }
    for (notifier, count) in dead.iter().filter(|(_, count)| **count > 0) {
        let command = "`yagura alerts dead` lists them, `yagura alerts resend --all` sends them";
        found.push(Trouble {
            rule: dead_letters,
            key: notifier.clone(),
            severity: Severity::High,
            title: format!("reports to the notifier `{notifier}` were given up"),
            context: vec![("reports", count.to_string()), ("next", command.to_owned())],
        });
    }
    found.extend(sources.iter().map(|trouble| Trouble {
        rule: source,
        key: trouble.source.clone(),
        severity: Severity::High,
        title: trouble.title.clone(),
        context: trouble.details.clone(),
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(problem: Option<&str>, waiting: u64) -> TableStatus {
        TableStatus {
            name: "logins".to_owned(),
            waiting,
            problem: problem.map(str::to_owned),
            ..TableStatus::default()
        }
    }

    /// Checks once a minute, and returns what was reported: minute, state, rule.
    fn check_each(
        troubles: &mut Troubles,
        minutes: &[(u64, Option<&str>, u64)],
    ) -> Vec<(u64, AlertState, String)> {
        let start = Instant::now();
        let mut told = Vec::new();
        for (minute, problem, waiting) in minutes {
            let now = start + Duration::from_secs(60 * minute);
            let clock = Timestamp::clamped(i64::try_from(60_000_000 * minute).unwrap());
            let found = current(&[table(*problem, *waiting)], &BTreeMap::new(), &[]);
            let changes = troubles.update(found, now, clock).into_iter();
            told.extend(changes.map(|change| (*minute, change.state, change.alert.rule)));
        }
        told
    }

    #[test]
    fn trouble_that_lasts_is_reported_once_and_withdrawn_when_it_is_over() {
        let [waits, lag, ..] = OWN_RULES;
        let mut troubles = Troubles::new(Some(Duration::from_secs(300)), Vec::new());
        let away = Some("its store does not answer");
        let told = check_each(
            &mut troubles,
            &[
                (0, away, 0),
                // Not for long.
                (4, None, 0),
                (5, away, 0),
                (9, away, 0),
                (10, away, 3),
                (60, away, 9),
                // Over for a moment only: it is the same trouble still.
                (61, None, 0),
                (62, away, 0),
                (70, None, 4),
                (74, None, 4),
                (75, None, 4),
                (76, None, 0),
                (81, None, 0),
            ],
        );
        let expected = [
            (10, AlertState::Provisional, waits),
            (75, AlertState::Provisional, lag),
            (75, AlertState::Withdrawn, waits),
            (81, AlertState::Withdrawn, lag),
        ];
        let expected = expected.map(|(minute, state, rule)| (minute, state, rule.to_owned()));
        assert_eq!(told, expected);
        assert!(troubles.reported().is_empty());
    }

    #[test]
    fn what_was_reported_before_a_restart_goes_on_or_is_over() {
        let [waits, ..] = OWN_RULES;
        let mut first = Troubles::new(Some(Duration::ZERO), Vec::new());
        check_each(&mut first, &[(0, Some("away"), 0)]);
        let kept = first.reported();
        assert_eq!(kept.len(), 1);
        let mut second = Troubles::new(Some(Duration::ZERO), kept.clone());
        assert!(check_each(&mut second, &[(0, Some("away"), 0)]).is_empty());
        let told = check_each(&mut second, &[(1, None, 0)]);
        assert_eq!(told, [(1, AlertState::Withdrawn, waits.to_owned())]);
        // Switched off, it is withdrawn.
        let mut off = Troubles::new(None, kept);
        assert!(off.is_due(Instant::now()));
        let told = check_each(&mut off, &[(0, Some("away"), 0)]);
        assert_eq!(told, [(0, AlertState::Withdrawn, waits.to_owned())]);
        assert!(!off.is_due(Instant::now()));
    }

    #[test]
    fn each_kind_of_trouble_is_named() {
        let rest = yagura_correlate::store::QuarantinedRule {
            rule: "loop".to_owned(),
            code: String::new(),
            reason: "took more than limits.time".to_owned(),
            is_quarantined: true,
            repeats: 1,
            since: None,
            until: Timestamp::default(),
            last_fault: Timestamp::default(),
            events: 7,
            wakes: 0,
            first: None,
            last: None,
        };
        let mut one = table(Some("403"), 2);
        one.quarantine = vec![rest.clone()];
        let mut other = table(None, 2);
        other.name = "dns".to_owned();
        // A rule that reads two tables is one trouble.
        other.quarantine = vec![rest];
        let dead = BTreeMap::from([("slack".to_owned(), 3), ("mail".to_owned(), 0)]);
        let silent = SourceTrouble {
            source: "okta".to_owned(),
            title: "source `okta` is silent".to_owned(),
            details: Vec::new(),
        };
        let found = current(&[one, other], &dead, &[silent]);
        let names: Vec<_> = found
            .iter()
            .map(|trouble| (trouble.rule, trouble.key.as_str()))
            .collect();
        let [waits, lag, quarantine, dead_letters, source] = OWN_RULES;
        let expected = [
            (waits, "logins"),
            (quarantine, "loop"),
            (lag, "dns"),
            (dead_letters, "slack"),
            (source, "okta"),
        ];
        assert_eq!(names, expected);
    }
}
