//! Warnings about a policy: settings that its author can hardly have meant.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use yagura_core::Timestamp;
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::{did_you_mean, near};

use super::testing::{TestOutcome, test_problems};
use super::{Match, Policy, TextPattern};

/// The kinds of observables that the runtime's own rules have.
const KINDS: [&str; 8] = [
    "ip", "domain", "user", "host", "hash", "url", "email", "process",
];

/// Returns what looks wrong, and what is wrong with test cases; what keeps the policy from being compiled is not among it.
pub(super) fn problems(
    policy: &Policy,
    rules: Option<&BTreeSet<String>>,
    now: Timestamp,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    notifiers(policy, &mut found);
    silence(policy, &mut found);
    routes(policy, &mut found);
    expired(policy, now, &mut found);
    inhibitions(policy, &mut found);
    kinds(policy, &mut found);
    let mut named = Vec::new();
    for (key, when) in matches(policy) {
        networks(when, &key, &mut found);
        named.extend(places(&key.name("rules"), &when.rules));
    }
    named.extend(places(
        &Key::top("staging").name("rules"),
        &policy.staging.rules,
    ));
    if let Some(rules) = rules {
        for (key, pattern) in named {
            found.extend(unknown_rule(&key, pattern, rules));
        }
    }
    found.extend(test_problems(policy, TestOutcome::NAMES));
    found
}

fn notifiers(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for name in policy.notifier.keys() {
        let is_used = policy.route.iter().any(|route| route.notify.contains(name));
        if !is_used {
            let message = "is in no [[route]], so that nothing is sent to it";
            let unused = Diagnostic::warning(Code::UnusedNotifier, message);
            found.push(unused.at(Key::top("notifier").name(name)));
        }
    }
}

/// Names a policy that tells nobody.
fn silence(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let notify = policy.route.iter().flat_map(|route| &route.notify);
    if notify.count() == 0 {
        let message = "names nobody: incidents are recorded, and nobody is notified";
        let silent = Diagnostic::warning(Code::NoReceiver, message);
        found.push(silent.at(Key::top("route")));
    }
}

/// Names routes below one that takes all that they would.
fn routes(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for (index, route) in policy.route.iter().enumerate() {
        let before = policy.route[..index].iter();
        let covers = |earlier: &(usize, &super::Route)| {
            !earlier.1.also && is_within(&route.when, &earlier.1.when)
        };
        if let Some((earlier, _)) = before.enumerate().find(covers) {
            let message = format!(
                "is never reached: route[{}] takes all that it would. Put it above, or write `also = true` there",
                earlier + 1
            );
            let unreachable = Diagnostic::warning(Code::UnreachableRoute, message);
            found.push(unreachable.at(Key::top("route").index(index)));
        }
    }
}

fn expired(policy: &Policy, now: Timestamp, found: &mut Vec<Diagnostic>) {
    for (index, suppression) in policy.suppress.iter().enumerate() {
        if suppression.expires <= now {
            let key = Key::top("suppress").index(index).name("expires");
            let message = format!(
                "was {}: ask {} whether it is needed, or delete it",
                suppression.expires, suppression.owner
            );
            found.push(Diagnostic::warning(Code::Expired, message).at(key));
        }
    }
    for (index, maintenance) in policy.maintenance.iter().enumerate() {
        if let Some(to) = maintenance.to.filter(|to| *to <= now) {
            let key = Key::top("maintenance").index(index).name("to");
            let message = format!("was {to}: delete it");
            found.push(Diagnostic::warning(Code::Expired, message).at(key));
        }
    }
}

fn inhibitions(policy: &Policy, found: &mut Vec<Diagnostic>) {
    for (index, inhibition) in policy.inhibit.iter().enumerate() {
        // Two that are equal are an error already.
        if inhibition.by != inhibition.silences && is_within(&inhibition.by, &inhibition.silences) {
            let key = Key::top("inhibit").index(index).name("silences");
            let message = "fits all that `by` fits, so that two such alerts silence each other: leave those out with `not`";
            found.push(Diagnostic::warning(Code::MutualInhibition, message).at(key));
        }
    }
}

/// Names kinds of observables that look like a slip of the pen; rules may have kinds of their own.
fn kinds(policy: &Policy, found: &mut Vec<Diagnostic>) {
    let mut check = |key: Key, kind: &str| {
        if !KINDS.contains(&kind) && !near(kind, KINDS).is_empty() {
            let hint = did_you_mean(kind, KINDS);
            let message = format!("names the kind of observables `{kind}`{hint}");
            found.push(Diagnostic::warning(Code::UnknownKind, message).at(key));
        }
    };
    for (key, kind) in places(&Key::top("group").name("by"), &policy.group.by) {
        check(key, kind);
    }
    for (index, inhibition) in policy.inhibit.iter().enumerate() {
        let key = Key::top("inhibit").index(index).name("share");
        for (key, kind) in places(&key, &inhibition.share) {
            if kind != "key" {
                check(key, kind);
            }
        }
    }
    for (key, when) in matches(policy) {
        for kind in when.observables.keys() {
            check(key.name("observables").name(kind), kind);
        }
    }
}

fn networks(when: &Match, key: &Key, found: &mut Vec<Diagnostic>) {
    for (kind, values) in &when.observables {
        for (key, value) in places(&key.name("observables").name(kind), values) {
            if let Ok(network) = value.parse::<IpNet>()
                && network.trunc() != network
            {
                let message = format!("has `{value}`, which means `{}`", network.trunc());
                found.push(Diagnostic::warning(Code::NetworkBits, message).at(key));
            }
        }
    }
}

fn unknown_rule(key: &Key, pattern: &str, rules: &BTreeSet<String>) -> Option<Diagnostic> {
    let reads = TextPattern::text(pattern).ok()?;
    if rules.iter().any(|rule| reads.matches(rule)) {
        return None;
    }
    let near = did_you_mean(pattern, rules.iter().map(String::as_str));
    let message = format!("has `{pattern}`, which no rule is called{near}");
    Some(Diagnostic::warning(Code::UnknownReference, message).at(key.clone()))
}

/// Says whether every alert that fits `inner` fits `outer`, where that is plain to see.
fn is_within(inner: &Match, outer: &Match) -> bool {
    let texts = |inner: &[String], outer: &[String]| {
        // A pattern that fits the text of another fits all that the other fits: a star is fitted by a star only.
        outer.is_empty()
            || (!inner.is_empty()
                && inner.iter().all(|text| {
                    outer.iter().any(|pattern| {
                        TextPattern::text(pattern).is_ok_and(|pattern| pattern.matches(text))
                    })
                }))
    };
    let named = |inner: &BTreeMap<String, Vec<String>>, outer: &BTreeMap<String, Vec<String>>| {
        outer
            .iter()
            .all(|(name, values)| inner.get(name) == Some(values))
    };
    outer.severity.is_none_or(|least| inner.severity >= Some(least))
        && texts(&inner.rules, &outer.rules)
        // An alert has several tags and teams, of which one must fit: the same holds.
        && texts(&inner.tags, &outer.tags)
        && texts(&inner.teams, &outer.teams)
        && texts(&inner.keys, &outer.keys)
        && named(&inner.observables, &outer.observables)
        && named(&inner.context, &outer.context)
        && (outer.hours.is_empty() || inner.hours == outer.hours)
        && (outer.not.is_none() || inner.not == outer.not)
}

/// Returns each `when` of the policy, also those inside others.
fn matches(policy: &Policy) -> Vec<(Key, &Match)> {
    let mut all = Vec::new();
    for (name, team) in &policy.team {
        all.push((Key::top("team").name(name).name("owns"), &team.owns));
    }
    for (index, route) in policy.route.iter().enumerate() {
        all.push((Key::top("route").index(index).name("when"), &route.when));
    }
    for (index, one) in policy.suppress.iter().enumerate() {
        all.push((Key::top("suppress").index(index).name("when"), &one.when));
    }
    for (index, one) in policy.inhibit.iter().enumerate() {
        let key = Key::top("inhibit").index(index);
        all.push((key.name("by"), &one.by));
        all.push((key.name("silences"), &one.silences));
    }
    for (index, one) in policy.maintenance.iter().enumerate() {
        all.push((Key::top("maintenance").index(index).name("when"), &one.when));
    }
    for (index, one) in policy.enrich.iter().enumerate() {
        all.push((Key::top("enrich").index(index).name("when"), &one.when));
    }
    for (index, one) in policy.review.iter().enumerate() {
        all.push((Key::top("review").index(index).name("when"), &one.when));
    }
    let mut index = 0;
    while let Some((key, when)) = all.get(index) {
        if let Some(not) = &when.not {
            let inner = (key.name("not"), &**not);
            all.push(inner);
        }
        index += 1;
    }
    all
}

/// Returns the elements of an array at `key`, each with its own key.
fn places<'a>(key: &Key, texts: &'a [String]) -> impl Iterator<Item = (Key, &'a str)> {
    let texts = texts.iter().enumerate();
    texts.map(move |(index, text)| (key.index(index), text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let policy: Policy = toml::from_str(text).unwrap();
        let rules = ["aws-root-login", "aws-console-login", "win-logon"];
        let rules = rules.map(str::to_owned).into();
        let now = "2026-06-01".parse().unwrap();
        let found = problems(&policy, Some(&rules), now);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_policy_has_no_warnings() {
        let text = r#"
            [notifier.chat]
            plugin = "slack/notifier.wasm"
            [team.cloud.owns]
            rules = ["aws-*"]
            [[route]]
            when = { severity = "critical" }
            notify = ["chat"]
            also = true
            [[route]]
            when = { teams = ["cloud"], observables = { ip = ["10.0.0.0/8"], badge = ["*"] } }
            notify = ["chat"]
            [[route]]
            notify = []
            [[suppress]]
            when = { rules = ["win-logon"] }
            owner = "ops"
            reason = "scanner"
            expires = "2026-06-02"
            [[inhibit]]
            by = { rules = ["aws-root-login"] }
            silences = { rules = ["aws-console-login"] }
            share = ["key", "user"]
            within = "1h"
        "#;
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn what_an_author_did_not_mean_is_named() {
        let text = r#"
            [notifier.chat]
            plugin = "slack/notifier.wasm"
            [[route]]
            when = { rules = ["aws-*"], severity = "low" }
            notify = []
            [[route]]
            when = { rules = ["aws-root-login"], severity = "high" }
            notify = []
            [[route]]
            when = { rules = ["aws-rot-login"] }
            notify = []
            [[suppress]]
            when = { rules = ["win-logon"], not = { rules = ["lin-*"], observables = { usr = ["a"], ip = ["10.1.2.3/8"] } } }
            owner = "ops"
            reason = "scanner"
            expires = "2026-06-01"
            [[inhibit]]
            by = { severity = "critical" }
            silences = { severity = "high" }
            share = ["hst"]
            within = "1h"
            [[maintenance]]
            owner = "ops"
            reason = "update"
            from = "2026-01-01"
            to = "2026-01-02"
            [staging]
            rules = ["win-logn"]
            [group]
            by = ["domian"]
        "#;
        let found = found(text);
        for expected in [
            "`notifier.chat` is in no [[route]]",
            "`route` names nobody: incidents are recorded, and nobody is notified",
            "`route[2]` is never reached: route[1] takes all",
            "`suppress[1].expires` was 2026-06-01",
            "`maintenance[1].to` was 2026-01-02",
            "`inhibit[1].silences` fits all that `by` fits",
            "`group.by[1]` names the kind of observables `domian`; did you mean `domain`?",
            "`inhibit[1].share[1]` names the kind of observables `hst`; did you mean `host`",
            "`suppress[1].when.not.observables.usr` names the kind of observables `usr`; did you mean `user`",
            "`suppress[1].when.not.observables.ip[1]` has `10.1.2.3/8`, which means `10.0.0.0/8`",
            "`route[3].when.rules[1]` has `aws-rot-login`, which no rule is called; did you mean `aws-root-login`",
            "`suppress[1].when.not.rules[1]` has `lin-*`, which no rule is called",
            "`staging.rules[1]` has `win-logn`, which no rule is called; did you mean `win-logon`",
        ] {
            assert!(
                found.iter().any(|message| message.starts_with(expected)),
                "{expected}\n{found:#?}"
            );
        }
        assert_eq!(found.len(), 13, "{found:#?}");
    }

    #[test]
    fn a_route_is_reached_unless_one_above_takes_all_that_it_would() {
        let reached = |first: &str, second: &str| {
            let text = format!("[[route]]\nnotify = []\n{first}\n[[route]]\nnotify = []\n{second}");
            !found(&text)
                .iter()
                .any(|message| message.contains("never reached"))
        };
        assert!(!reached("", "when = { severity = \"high\" }"));
        assert!(!reached("", ""));
        assert!(reached("also = true", ""));
        assert!(reached(
            "when = { severity = \"high\" }",
            "when = { severity = \"low\" }"
        ));
        assert!(reached(
            "when = { rules = [\"aws-*\"] }",
            "when = { rules = [\"aws-*\", \"win-*\"] }"
        ));
        assert!(!reached(
            "when = { rules = [\"aws-*\"] }",
            "when = { rules = [\"aws-*-login\"] }"
        ));
        assert!(reached(
            "when = { rules = [\"aws-*\"], not = { severity = \"high\" } }",
            "when = { rules = [\"aws-*\"] }"
        ));
    }
}
