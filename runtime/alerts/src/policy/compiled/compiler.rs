//! From the sections of a policy to what can be asked.

use std::collections::{BTreeMap, BTreeSet};

use yagura_core::TimeRange;
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::did_you_mean;
use yagura_core::time::parse_duration;

use super::{
    CompiledEnrichment, CompiledGrouping, CompiledInhibition, CompiledMaintenance,
    CompiledNotifier, CompiledPolicy, CompiledReview, CompiledRoute, CompiledStaging,
    CompiledSuppression, Rate,
};
use crate::email::{EmailNotifier, SecretError};
use crate::policy::matcher::hours;
use crate::policy::{Email, Match, Matcher, Pattern, Policy};

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
                &policy.flood.per,
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
            let every = self.duration(notifier.every.as_deref().unwrap_or("10s"), &key, "every");
            let give_up = self.duration(
                notifier.give_up.as_deref().unwrap_or("24h"),
                &key,
                "give_up",
            );
            let limit = notifier.limit.as_ref().map(|limit| {
                self.rate(limit.incidents, &limit.per, &key.name("limit"), "incidents")
            });
            let notifier = CompiledNotifier {
                every,
                limit,
                give_up,
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
        let ignore = Pattern::compile_all(&group.ignore, &key.name("ignore"), &mut self.problems);
        let within = self.duration(&group.within, &key, "within");
        let longest = self.duration(&group.longest, &key, "longest");
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
                within: self.duration(&inhibition.within, &key, "within"),
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
        let rules = Pattern::compile_all(&staging.rules, &key.name("rules"), &mut self.problems);
        let quiet = staging.quiet.as_deref();
        CompiledStaging {
            rules,
            quiet: quiet.map(|quiet| self.duration(quiet, &key, "quiet")),
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
            let mut delays = BTreeSet::new();
            for (place, delay) in enrichment.delays.iter().enumerate() {
                match if is_zero(delay) {
                    Ok(0)
                } else {
                    parse_duration(delay)
                } {
                    Ok(delay) => _ = delays.insert(delay),
                    Err(error) => self.wrong(
                        Code::InvalidDuration,
                        &key.name("delays").index(place),
                        format!("is wrong: {error}"),
                    ),
                }
            }
            let cache = enrichment.cache.as_deref();
            let cache = cache.map(|cache| self.duration(cache, &key, "cache"));
            let limit = enrichment.limit.as_ref();
            let limit =
                limit.map(|limit| self.rate(limit.calls, &limit.per, &key.name("limit"), "calls"));
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

    /// Reads a duration above zero; what is wrong counts as none.
    fn duration(&mut self, text: &str, key: &Key, name: &str) -> i64 {
        parse_duration(text).unwrap_or_else(|error| {
            self.wrong(
                Code::InvalidDuration,
                &key.name(name),
                format!("is wrong: {error}"),
            );
            0
        })
    }

    fn rate(&mut self, count: u32, per: &str, key: &Key, counted: &str) -> Rate {
        if count == 0 {
            self.wrong(
                Code::InvalidValue,
                &key.name(counted),
                "is 0: write at least 1",
            );
        }
        Rate {
            count,
            per: self.duration(per, key, "per"),
        }
    }

    fn email(&mut self, email: &Email, key: &Key) {
        // What is wrong with the settings shows without a secret.
        if let Err(error) = EmailNotifier::new(email, |_| Err(SecretError(String::new()))) {
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

/// Says whether a text is nought of a unit of durations.
fn is_zero(text: &str) -> bool {
    let unit = text.trim().trim_start_matches('0');
    unit.len() < text.trim().len() && matches!(unit, "ms" | "s" | "m" | "h" | "d")
}
