//! A policy, ready to be asked: patterns read, durations in microseconds, names looked up.

mod compiler;

use std::collections::{BTreeMap, BTreeSet};

use yagura_core::alert::Observable;
use yagura_core::{Alert, Diagnostics, Severity, TimeRange, Timestamp};

use compiler::Compiler;

use super::{Hours, Matcher, Policy, TextPattern};

/// A [`Policy`], ready to be asked. All durations are in microseconds.
#[derive(Debug, Clone)]
pub struct CompiledPolicy {
    /// Where reports go, by name.
    pub notifiers: BTreeMap<String, CompiledNotifier>,
    /// What the alerts of each team are like, in order of name.
    pub teams: Vec<(String, Matcher)>,
    /// Which incidents go where, in order.
    pub routes: Vec<CompiledRoute>,
    /// When alerts are parts of one incident.
    pub group: CompiledGrouping,
    /// Alerts that are recorded and not reported.
    pub suppress: Vec<CompiledSuppression>,
    /// Alerts that more severe ones silence.
    pub inhibit: Vec<CompiledInhibition>,
    /// Times when alerts are recorded and not reported.
    pub maintenance: Vec<CompiledMaintenance>,
    /// Incidents that one rule may open, in event time.
    pub flood: Rate,
    /// Alerts as severe as this are never parts of a flood.
    pub flood_below: Option<Severity>,
    /// New rules, on trial.
    pub staging: CompiledStaging,
    /// Who finds facts.
    pub enrich: Vec<CompiledEnrichment>,
    /// Who evaluates, in order.
    pub review: Vec<CompiledReview>,
}

/// So many in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, above zero.
    pub count: u32,
    /// In how many microseconds.
    pub per: i64,
}

/// `[notifier.NAME]`.
#[derive(Debug, Clone)]
pub struct CompiledNotifier {
    /// The least time between two reports of one incident.
    pub every: i64,
    /// New incidents that are reported one by one.
    pub limit: Option<Rate>,
    /// How long a report is tried.
    pub give_up: i64,
}

/// `[[route]]`.
#[derive(Debug, Clone)]
pub struct CompiledRoute {
    /// What one alert of the incident must be like.
    pub when: Matcher,
    /// Names of notifiers, each once.
    pub notify: Vec<String>,
    /// Goes on with the routes below.
    pub also: bool,
}

/// `[group]`.
#[derive(Debug, Clone)]
pub struct CompiledGrouping {
    /// Kinds of observables.
    pub by: Vec<String>,
    /// Values that join nothing.
    pub ignore: Vec<TextPattern>,
    /// Event time between an alert and the incident's nearest.
    pub within: i64,
    /// Event time from an incident's first alert.
    pub longest: i64,
}

/// `[[suppress]]`.
#[derive(Debug, Clone)]
pub struct CompiledSuppression {
    /// Which alerts.
    pub when: Matcher,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The first moment of event time at which it does not hold any more.
    pub expires: Timestamp,
}

/// `[[inhibit]]`.
#[derive(Debug, Clone)]
pub struct CompiledInhibition {
    /// The more severe alert.
    pub by: Matcher,
    /// Those that it silences.
    pub silences: Matcher,
    /// Kinds of observables of which they must share a value; `key` for the key.
    pub share: Vec<String>,
    /// Event time between them.
    pub within: i64,
}

/// `[[maintenance]]`.
#[derive(Debug, Clone)]
pub struct CompiledMaintenance {
    /// Which alerts.
    pub when: Matcher,
    /// Who answers for it.
    pub owner: String,
    /// What is done.
    pub reason: String,
    /// From when until when; without end where there are hours.
    pub range: TimeRange,
    /// Hours that come again; none: the whole range.
    pub hours: Vec<Hours>,
}

/// `[staging]`.
#[derive(Debug, Clone)]
pub struct CompiledStaging {
    /// Rules on trial.
    pub rules: Vec<TextPattern>,
    /// After how much quiet a rule is promoted.
    pub quiet: Option<i64>,
}

/// `[[enrich]]`.
#[derive(Debug, Clone)]
pub struct CompiledEnrichment {
    /// `PACK/FILE.wasm`.
    pub plugin: String,
    /// About which alerts.
    pub when: Matcher,
    /// When, after the alert came up; in order, each once, from zero on.
    pub delays: Vec<i64>,
    /// How long answers of servers are kept.
    pub cache: Option<i64>,
    /// Calls to one server.
    pub limit: Option<Rate>,
}

/// `[[review]]`.
#[derive(Debug, Clone)]
pub struct CompiledReview {
    /// `PACK/FILE.wasm`.
    pub plugin: String,
    /// Which alerts.
    pub when: Matcher,
}

impl CompiledPolicy {
    /// Makes a policy ready.
    ///
    /// # Errors
    /// All that is wrong with it, in order of its sections.
    pub fn compile(policy: &Policy) -> Result<Self, Diagnostics> {
        let mut compiler = Compiler::new(policy);
        let compiled = compiler.policy(policy);
        let problems = compiler.problems();
        if problems.is_empty() {
            Ok(compiled)
        } else {
            Err(Diagnostics(problems))
        }
    }

    /// Returns the names of the teams that claim an alert, in order.
    pub fn teams_of(&self, alert: &Alert) -> Vec<String> {
        let claims = self
            .teams
            .iter()
            .filter(|(_, owns)| owns.matches(alert, &[]));
        claims.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the names of the notifiers that report an incident with these alerts, in order, each once.
    pub fn notifiers_of(&self, alerts: &[&Alert]) -> Vec<String> {
        let alerts: Vec<_> = alerts
            .iter()
            .map(|alert| (*alert, self.teams_of(alert)))
            .collect();
        let mut names = BTreeSet::new();
        for route in &self.routes {
            let fits = |(alert, teams): &(&Alert, Vec<String>)| route.when.matches(alert, teams);
            if alerts.iter().any(fits) {
                names.extend(route.notify.iter().cloned());
                if !route.also {
                    break;
                }
            }
        }
        names.into_iter().collect()
    }
}

impl CompiledSuppression {
    /// Says whether an alert is recorded and not reported.
    pub fn covers(&self, alert: &Alert, teams: &[String]) -> bool {
        alert.first_time < self.expires && self.when.matches(alert, teams)
    }
}

impl CompiledMaintenance {
    /// Says whether an alert is recorded and not reported.
    pub fn covers(&self, alert: &Alert, teams: &[String]) -> bool {
        self.range.contains(alert.first_time)
            && (self.hours.is_empty() || self.hours.iter().any(|h| h.contains(alert.first_time)))
            && self.when.matches(alert, teams)
    }
}

impl CompiledInhibition {
    /// Says whether two alerts have in common what the inhibition asks for, near enough in event time. What they are like
    /// is not looked at.
    pub fn joins(&self, more_severe: &Alert, less_severe: &Alert) -> bool {
        let between = if more_severe.first_time > less_severe.last_time {
            more_severe.first_time.micros() - less_severe.last_time.micros()
        } else {
            less_severe.first_time.micros() - more_severe.last_time.micros()
        };
        let shares = |kind: &String| {
            (kind == "key" && !more_severe.key.is_empty() && more_severe.key == less_severe.key)
                || (more_severe.observables.iter())
                    .any(|one| one.kind == *kind && less_severe.observables.contains(one))
        };
        between <= self.within && (self.share.is_empty() || self.share.iter().any(shares))
    }
}

impl CompiledGrouping {
    /// Says whether alerts that share this observable are parts of one incident.
    pub fn joins(&self, observable: &Observable) -> bool {
        self.by.contains(&observable.kind)
            && !observable.value.is_empty()
            && !self.ignore.iter().any(|one| one.matches(&observable.value))
    }
}

impl CompiledStaging {
    /// Says whether a rule is listed as on trial.
    pub fn lists(&self, rule: &str) -> bool {
        self.rules.iter().any(|pattern| pattern.matches(rule))
    }
}

#[cfg(test)]
mod tests;
