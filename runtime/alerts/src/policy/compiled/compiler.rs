//! From the sections of a policy to what can be asked.

use std::collections::{BTreeMap, BTreeSet};

use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::did_you_mean;
use yagura_core::{TimeRange, TimeSpan};

use super::{
    CompiledEnrichment, CompiledGrouping, CompiledInhibition, CompiledMaintenance,
    CompiledNotifier, CompiledPolicy, CompiledReview, CompiledRoute, CompiledStaging,
    CompiledSuppression, Rate,
};
use crate::email::{EmailNotifier, EmailSecretError};
use crate::policy::matcher::hours;
use crate::policy::{Email, Match, Matcher, Policy, TextPattern};

/// The least time between two reports of one incident, where a notifier has no other.
const EVERY: TimeSpan = TimeSpan::from_secs(10);

/// How long a report is tried, where a notifier has no other time.
const GIVE_UP: TimeSpan = TimeSpan::from_days(1);

/// Reads the sections one after the other and gathers what is wrong.
pub(super) struct Compiler<'a> {
    teams: Vec<&'a str>,
    problems: Vec<Diagnostic>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        Self {
            teams: policy.team.keys().map(String::as_str).collect(),
            problems: Vec::new(),
        }
    }

    /// Returns what was found wrong.
    pub(super) fn problems(self) -> Vec<Diagnostic> {
        self.problems
    }

    pub(super) fn policy(&mut self, policy: &Policy) -> CompiledPolicy {
        CompiledPolicy {
            notifiers: self.notifiers(policy),
            teams: self.team_matchers(policy),
            routes: self.routes(policy),
            group: self.group(policy),
            suppress: self.suppress(policy),
            inhibit: self.inhibit(policy),
            maintenance: self.maintenance(policy),
            flood: self.rate(
                policy.flood.incidents,
                policy.flood.per,
                &Key::top("flood"),
                "incidents",
            ),
            flood_below: policy.flood.below,
            staging: self.staging(policy),
            enrich: self.enrich(policy),
            review: self.review(policy),
        }
    }

    fn notifiers(&mut self, policy: &Policy) -> BTreeMap<String, CompiledNotifier> {
        let mut all = BTreeMap::new();
        for (name, notifier) in &policy.notifier {
            let key = Key::top("notifier").name(name);
            match (&notifier.plugin, &notifier.email) {
                (Some(plugin), None) => self.plugin(plugin, &key),
                (None, Some(email)) => self.email(email, &key.name("email")),
                (Some(_), Some(_)) => {
                    self.wrong(
                        Code::ConflictingKeys,
                        &key,
                        "has both `plugin` and `email`: leave one out",
                    );
                }
                (None, None) => {
                    self.wrong(
                        Code::MissingKey,
                        &key,
                        "has neither `plugin` nor `email`: write one of them",
                    );
                }
            }
            let limit = notifier.limit.as_ref().map(|limit| {
                self.rate(limit.incidents, limit.per, &key.name("limit"), "incidents")
            });
            let notifier = CompiledNotifier {
                every: notifier.every.unwrap_or(EVERY).micros(),
                limit,
                give_up: notifier.give_up.unwrap_or(GIVE_UP).micros(),
            };
            all.insert(name.clone(), notifier);
        }
        all
    }

    fn team_matchers(&mut self, policy: &Policy) -> Vec<(String, Matcher)> {
        let mut all = Vec::new();
        for (name, team) in &policy.team {
            let key = Key::top("team").name(name).name("owns");
            if mentions_teams(&team.owns) {
                self.wrong(
                    Code::ConflictingKeys,
                    &key,
                    "names teams: say what alerts are like by other means",
                );
            }
            all.push((name.clone(), self.matcher(&team.owns, &key)));
        }
        all
    }

    fn routes(&mut self, policy: &Policy) -> Vec<CompiledRoute> {
        let mut all = Vec::new();
        for (index, route) in policy.route.iter().enumerate() {
            let key = Key::top("route").index(index);
            for (place, name) in route.notify.iter().enumerate() {
                if !policy.notifier.contains_key(name) {
                    let near = did_you_mean(name, policy.notifier.keys().map(String::as_str));
                    let message = format!("names `{name}`, which has no [notifier.{name}]{near}");
                    self.wrong(
                        Code::UnknownReference,
                        &key.name("notify").index(place),
                        message,
                    );
                }
            }
            let notify: BTreeSet<_> = route.notify.iter().cloned().collect();
            all.push(CompiledRoute {
                when: self.matcher(&route.when, &key.name("when")),
                notify: notify.into_iter().collect(),
                also: route.also,
            });
        }
        all
    }

    fn group(&mut self, policy: &Policy) -> CompiledGrouping {
        let (group, key) = (&policy.group, Key::top("group"));
        let ignore =
            TextPattern::compile_all(&group.ignore, &key.name("ignore"), &mut self.problems);
        let (within, longest) = (group.within.micros(), group.longest.micros());
        if longest < within {
            self.wrong(
                Code::InvalidValue,
                &key.name("longest"),
                format!(
                    "is `{}`, shorter than `within` ({}): write more",
                    group.longest, group.within
                ),
            );
        }
        CompiledGrouping {
            by: group.by.clone(),
            ignore,
            within,
            longest,
        }
    }

    fn suppress(&mut self, policy: &Policy) -> Vec<CompiledSuppression> {
        let mut all = Vec::new();
        for (index, suppression) in policy.suppress.iter().enumerate() {
            let key = Key::top("suppress").index(index);
            if suppression.when == Match::default() {
                let message = "is empty and would silence every alert: say which";
                self.wrong(Code::EmptyValue, &key.name("when"), message);
            }
            self.answered_for(&suppression.owner, &suppression.reason, &key);
            all.push(CompiledSuppression {
                when: self.matcher(&suppression.when, &key.name("when")),
                owner: suppression.owner.clone(),
                reason: suppression.reason.clone(),
                expires: suppression.expires,
            });
        }
        all
    }

    fn inhibit(&mut self, policy: &Policy) -> Vec<CompiledInhibition> {
        let mut all = Vec::new();
        for (index, inhibition) in policy.inhibit.iter().enumerate() {
            let key = Key::top("inhibit").index(index);
            for name in ["by", "silences"] {
                let when = if name == "by" {
                    &inhibition.by
                } else {
                    &inhibition.silences
                };
                if *when == Match::default() {
                    self.wrong(
                        Code::EmptyValue,
                        &key.name(name),
                        "is empty: say which alerts",
                    );
                }
            }
            if inhibition.by == inhibition.silences && inhibition.by != Match::default() {
                let message = "is what `by` is, so that alerts would silence each other: say which are the less severe";
                self.wrong(Code::MutualInhibition, &key.name("silences"), message);
            }
            all.push(CompiledInhibition {
                by: self.matcher(&inhibition.by, &key.name("by")),
                silences: self.matcher(&inhibition.silences, &key.name("silences")),
                share: inhibition.share.clone(),
                within: inhibition.within.micros(),
            });
        }
        all
    }

    fn maintenance(&mut self, policy: &Policy) -> Vec<CompiledMaintenance> {
        let mut all = Vec::new();
        for (index, maintenance) in policy.maintenance.iter().enumerate() {
            let key = Key::top("maintenance").index(index);
            self.answered_for(&maintenance.owner, &maintenance.reason, &key);
            let mut range = TimeRange::default();
            match (maintenance.from, maintenance.to) {
                (Some(from), Some(to)) => match TimeRange::new(Some(from), Some(to)) {
                    Ok(given) => range = given,
                    Err(_) => self.wrong(
                        Code::InvalidValue,
                        &key.name("to"),
                        format!("is {to}, which is not after `from` ({from})"),
                    ),
                },
                (None, None) if maintenance.hours.is_empty() => {
                    self.wrong(
                        Code::MissingKey,
                        &key,
                        "says no time: write `from` and `to`, or `hours`",
                    );
                }
                (None, None) => {}
                (Some(_), None) => {
                    self.wrong(
                        Code::MissingKey,
                        &key.name("from"),
                        "has no `to`: say when it ends",
                    );
                }
                (None, Some(_)) => {
                    self.wrong(
                        Code::MissingKey,
                        &key.name("to"),
                        "has no `from`: say when it begins",
                    );
                }
            }
            all.push(CompiledMaintenance {
                when: self.matcher(&maintenance.when, &key.name("when")),
                owner: maintenance.owner.clone(),
                reason: maintenance.reason.clone(),
                range,
                hours: hours(&maintenance.hours, &key.name("hours"), &mut self.problems),
            });
        }
        all
    }

    fn staging(&mut self, policy: &Policy) -> CompiledStaging {
        let (staging, key) = (&policy.staging, Key::top("staging"));
        let rules =
            TextPattern::compile_all(&staging.rules, &key.name("rules"), &mut self.problems);
        CompiledStaging {
            rules,
            quiet: staging.quiet.map(TimeSpan::micros),
        }
    }

    fn enrich(&mut self, policy: &Policy) -> Vec<CompiledEnrichment> {
        let mut all = Vec::new();
        for (index, enrichment) in policy.enrich.iter().enumerate() {
            let key = Key::top("enrich").index(index);
            self.plugin(&enrichment.plugin, &key);
            if enrichment.delays.is_empty() {
                let message = "lists no time: write for instance [\"0s\", \"5m\"]";
                self.wrong(Code::EmptyValue, &key.name("delays"), message);
            }
            let delays: BTreeSet<i64> = enrichment
                .delays
                .iter()
                .map(|delay| delay.micros())
                .collect();
            let cache = enrichment.cache.map(TimeSpan::micros);
            let limit = enrichment.limit.as_ref();
            let limit =
                limit.map(|limit| self.rate(limit.calls, limit.per, &key.name("limit"), "calls"));
            all.push(CompiledEnrichment {
                plugin: enrichment.plugin.clone(),
                when: self.matcher(&enrichment.when, &key.name("when")),
                delays: delays.into_iter().collect(),
                cache,
                limit,
            });
        }
        all
    }

    fn review(&mut self, policy: &Policy) -> Vec<CompiledReview> {
        let mut all = Vec::new();
        for (index, review) in policy.review.iter().enumerate() {
            let key = Key::top("review").index(index);
            self.plugin(&review.plugin, &key);
            all.push(CompiledReview {
                plugin: review.plugin.clone(),
                when: self.matcher(&review.when, &key.name("when")),
            });
        }
        all
    }

    fn matcher(&mut self, when: &Match, key: &Key) -> Matcher {
        Matcher::compile(when, key, &self.teams, &mut self.problems)
    }

    fn rate(&mut self, count: u32, per: TimeSpan, key: &Key, counted: &str) -> Rate {
        if count == 0 {
            self.wrong(
                Code::InvalidValue,
                &key.name(counted),
                "is 0: write at least 1",
            );
        }
        Rate {
            count,
            per: per.micros(),
        }
    }

    fn email(&mut self, email: &Email, key: &Key) {
        // What is wrong with the settings shows without a secret.
        if let Err(error) = EmailNotifier::new(email, |_| Err(EmailSecretError(String::new()))) {
            self.problems.extend(error.under(key).0);
        }
    }

    fn plugin(&mut self, name: &str, key: &Key) {
        let is_plugin = name.strip_suffix(".wasm").is_some_and(|name| {
            let mut parts = name.split('/');
            let is_part = |part: Option<&str>| {
                part.is_some_and(|part| !part.is_empty() && part != "." && part != "..")
            };
            is_part(parts.next()) && is_part(parts.next()) && parts.next().is_none()
        });
        if !is_plugin {
            let message = format!(
                "is `{name}`: write the name of a pack and of its plugin's file, for instance slack/notifier.wasm"
            );
            self.wrong(Code::InvalidName, &key.name("plugin"), message);
        }
    }

    fn answered_for(&mut self, owner: &str, reason: &str, key: &Key) {
        if owner.trim().is_empty() {
            self.wrong(
                Code::EmptyValue,
                &key.name("owner"),
                "is empty: say who answers for it",
            );
        }
        if reason.trim().is_empty() {
            self.wrong(Code::EmptyValue, &key.name("reason"), "is empty: say why");
        }
    }

    fn wrong(&mut self, code: Code, key: &Key, message: impl Into<String>) {
        self.problems
            .push(Diagnostic::error(code, message).at(key.clone()));
    }
}

fn mentions_teams(when: &Match) -> bool {
    !when.teams.is_empty() || when.not.as_ref().is_some_and(|not| mentions_teams(not))
}
