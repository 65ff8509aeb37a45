use yagura_core::{Evidence, Severity};

use super::*;

fn compile(text: &str) -> CompiledPolicy {
    CompiledPolicy::compile(&toml::from_str(text).unwrap()).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = CompiledPolicy::compile(&toml::from_str(text).unwrap()).unwrap_err();
    problems.0.iter().map(ToString::to_string).collect()
}

fn observable(kind: &str, value: &str) -> Observable {
    Observable {
        kind: kind.to_owned(),
        value: value.to_owned(),
    }
}

fn alert(rule: &str) -> Alert {
    let time: Timestamp = "2026-01-30T08:00:00Z".parse().unwrap();
    Alert {
        id: "0".to_owned(),
        rule: rule.to_owned(),
        title: String::new(),
        severity: Severity::High,
        key: "alice|10.1.2.3".to_owned(),
        window_start: time,
        first_time: time,
        last_time: time.saturating_add(60_000_000),
        count: 1,
        observables: vec![observable("ip", "10.1.2.3"), observable("user", "alice")],
        context: vec![yagura_core::alert::ContextEntry {
            name: "region".to_owned(),
            value: "eu-west-1".to_owned(),
        }],
        tags: vec!["attack.t1078.004".to_owned()],
        evidence: Evidence::default(),
    }
}

/// Says whether a `when` of this text fits an alert of the rule `aws-root-login`.
fn fits(when: &str) -> bool {
    let policy = format!(
        "[team.cloud.owns]\nrules = [\"aws-*\"]\n[team.hosts.owns]\nrules = [\"win-*\"]\n[notifier.n]\nplugin = \"a/b.wasm\"\n[[route]]\nnotify = [\"n\"]\n[route.when]\n{when}"
    );
    !compile(&policy)
        .notifiers_of(&[&alert("aws-root-login")])
        .is_empty()
}

#[test]
fn all_that_is_given_must_hold_and_one_of_a_list() {
    for when in [
        "",
        "rules = [\"win-*\", \"aws-*\"]",
        "severity = \"high\"",
        "severity = \"low\"",
        "tags = [\"attack.t1078*\"]",
        "keys = [\"alice|*\"]",
        "observables = { ip = [\"192.0.2.1\", \"10.0.0.0/8\"] }",
        "observables = { ip = [\"10.0.0.0/8\"], user = [\"al*\"] }",
        "context = { region = [\"eu-*\"] }",
        "teams = [\"cloud\"]",
        "hours = [\"fri 09:00-10:00 Europe/Berlin\", \"sun\"]",
        "not = { rules = [\"win-*\"] }",
        "rules = [\"aws-*\"]\nnot = { severity = \"critical\" }",
    ] {
        assert!(fits(when), "{when}");
    }
    for when in [
        "rules = [\"aws-root\"]",
        "severity = \"critical\"",
        "tags = [\"attack.t1079*\"]",
        "keys = [\"bob|*\"]",
        "observables = { ip = [\"10.0.0.0/8\"], user = [\"bob\"] }",
        "observables = { host = [\"*\"] }",
        "context = { region = [\"us-*\"] }",
        "context = { zone = [\"*\"] }",
        "teams = [\"hosts\"]",
        "hours = [\"mon-thu\"]",
        "rules = [\"aws-*\"]\nnot = { severity = \"high\" }",
        "not = { not = { rules = [\"win-*\"] } }",
    ] {
        assert!(!fits(when), "{when}");
    }
}

#[test]
fn routes_are_tried_in_order_until_one_fits_that_is_not_also() {
    let policy = compile(
        r#"
        [notifier.a]
        plugin = "p/a.wasm"
        [notifier.b]
        plugin = "p/b.wasm"
        [notifier.c]
        plugin = "p/c.wasm"
        [[route]]
        when = { rules = ["x-*"] }
        notify = ["b"]
        also = true
        [[route]]
        when = { rules = ["x-1", "y-1"] }
        notify = ["a", "b"]
        [[route]]
        notify = ["c"]
        "#,
    );
    let notifiers_of = |rules: &[&str]| {
        let alerts: Vec<Alert> = rules.iter().map(|rule| alert(rule)).collect();
        policy.notifiers_of(&alerts.iter().collect::<Vec<_>>())
    };
    assert_eq!(notifiers_of(&["x-1"]), ["a", "b"]);
    assert_eq!(notifiers_of(&["x-2"]), ["b", "c"]);
    assert_eq!(notifiers_of(&["z"]), ["c"]);
    assert_eq!(notifiers_of(&["z", "y-1"]), ["a", "b"]);
    assert!(notifiers_of(&[]).is_empty());
}

#[test]
fn durations_are_microseconds_and_delays_come_in_order() {
    let policy = compile(
        r#"
        [notifier.a]
        plugin = "p/a.wasm"
        [notifier.a.limit]
        incidents = 3
        per = "1m"
        [[enrich]]
        plugin = "p/e.wasm"
        delays = ["5m", "0s", "500ms", "0h"]
        cache = "1h"
        limit = { calls = 4, per = "1s" }
        [staging]
        rules = ["new-*"]
        quiet = "7d"
        "#,
    );
    let notifier = &policy.notifiers["a"];
    assert_eq!(notifier.every, 10_000_000);
    assert_eq!(notifier.give_up, 86_400_000_000);
    let limit = Rate {
        count: 3,
        per: 60_000_000,
    };
    assert_eq!(notifier.limit, Some(limit));
    assert_eq!(policy.enrich[0].delays, [0, 500_000, 300_000_000]);
    assert_eq!(policy.enrich[0].cache, Some(3_600_000_000));
    assert_eq!(policy.enrich[0].limit.map(|limit| limit.count), Some(4));
    assert_eq!(policy.staging.quiet, Some(604_800_000_000));
    assert!(policy.staging.lists("new-rule") && !policy.staging.lists("old-rule"));
    assert_eq!(policy.group.within, 3_600_000_000);
    assert_eq!(policy.flood.count, 20);
}

#[test]
fn a_suppression_ends_in_event_time() {
    let policy = compile(
        r#"
        [[suppress]]
        when = { rules = ["a"] }
        owner = "ops"
        reason = "scanner"
        expires = "2026-01-30T08:00:00.000001Z"
        [[suppress]]
        when = { rules = ["a"] }
        owner = "ops"
        reason = "scanner"
        expires = "2026-01-30T08:00:00Z"
        "#,
    );
    assert!(policy.suppress[0].covers(&alert("a"), &[]));
    assert!(!policy.suppress[0].covers(&alert("b"), &[]));
    assert!(!policy.suppress[1].covers(&alert("a"), &[]));
}

#[test]
fn maintenance_holds_in_its_range_or_hours() {
    let covers = |times: &str| {
        let text = format!("[[maintenance]]\nowner = \"ops\"\nreason = \"update\"\n{times}");
        compile(&text).maintenance[0].covers(&alert("a"), &[])
    };
    assert!(covers("from = \"2026-01-30\"\nto = \"2026-01-31\""));
    assert!(!covers(
        "from = \"2026-01-29\"\nto = \"2026-01-30T08:00:00Z\""
    ));
    assert!(covers("hours = [\"fri 08:00-09:00\"]"));
    assert!(!covers("hours = [\"fri 09:00-10:00\"]"));
    assert!(!covers(
        "from = \"2026-01-30\"\nto = \"2026-01-31\"\nhours = [\"sat\"]"
    ));
}

#[test]
fn an_inhibition_joins_what_shares_a_value_near_in_time() {
    let joins = |share: &str, less_severe: &Alert| {
        let text = format!(
            "[[inhibit]]\nby = {{ severity = \"critical\" }}\nsilences = {{ rules = [\"a\"] }}\nwithin = \"10m\"\nshare = [{share}]"
        );
        compile(&text).inhibit[0].joins(&alert("b"), less_severe)
    };
    let mut less_severe = alert("a");
    assert!(
        joins("", &less_severe)
            && joins("\"key\"", &less_severe)
            && joins("\"user\"", &less_severe)
    );
    assert!(!joins("\"host\"", &less_severe));
    less_severe.observables = vec![observable("user", "bob"), observable("ip", "10.1.2.3")];
    assert!(joins("\"user\", \"ip\"", &less_severe) && !joins("\"user\"", &less_severe));
    less_severe.key = String::new();
    assert!(!joins("\"key\"", &less_severe));
    for (minutes, is_near) in [(10, true), (12, false), (-11, true), (-12, false)] {
        let mut less_severe = alert("a");
        less_severe.first_time = less_severe.first_time.saturating_add(minutes * 60_000_000);
        less_severe.last_time = less_severe.first_time.saturating_add(60_000_000);
        assert_eq!(joins("\"ip\"", &less_severe), is_near, "{minutes}");
    }
}

#[test]
fn what_many_share_joins_nothing() {
    let policy = compile("[group]\nignore = [\"10.1.0.0/16\", \"svc-*\"]");
    let joins = |kind, value| policy.group.joins(&observable(kind, value));
    assert!(joins("ip", "10.2.0.1") && joins("user", "alice"));
    assert!(!joins("ip", "10.1.2.3") && !joins("user", "svc-backup"));
    assert!(!joins("domain", "example.org") && !joins("user", ""));
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_the_next_step() {
    let text = r#"
        [notifier.chat]
        plugin = "slack/notifier.wasm"
        every = "10s"
        [notifier.mail]
        limit = { incidents = 0, per = "1h" }
        [notifier.post.email]
        server = "imap://mail.example.org"
        from = "yagura@example.org"
        to = ["soc@example.org"]
        [team.cloud.owns]
        teams = ["cloud"]
        [[route]]
        notify = ["chatt"]
        when = { teams = ["clod"], hours = ["8-9"], observables = { ip = ["10.0.0.0/33"], user = [] } }
        [[suppress]]
        owner = ""
        reason = " "
        expires = "2027-01-01"
        [suppress.when]
        [[inhibit]]
        by = { severity = "high" }
        silences = { severity = "high" }
        within = "1h"
        [[maintenance]]
        owner = "ops"
        reason = "update"
        [[maintenance]]
        owner = "ops"
        reason = "update"
        from = "2026-01-02"
        to = "2026-01-01"
        [flood]
        incidents = 0
        [[enrich]]
        plugin = "geo.wasm"
        delays = []
        limit = { calls = 0, per = "1s" }
        [[review]]
        plugin = "../p/r.wasm"
        when = { not = {} }
    "#;
    let found = problems(text);
    for expected in [
        "`notifier.mail` has neither `plugin` nor `email`",
        "`notifier.mail.limit.incidents` is 0",
        "`notifier.post.email.server` is `imap://mail.example.org`",
        "`team.cloud.owns` names teams",
        "`route[1].notify[1]` names `chatt`, which has no [notifier.chatt]; did you mean `chat`?",
        "`route[1].when.teams[1]` names the team `clod`, which has no [team.clod]; did you mean `cloud`?",
        "`route[1].when.hours[1]` has the hours `8-9`",
        "`route[1].when.observables.ip[1]` has `10.0.0.0/33`, which is not a network",
        "`route[1].when.observables.user` lists no value",
        "`suppress[1].when` is empty and would silence every alert",
        "`suppress[1].owner` is empty",
        "`suppress[1].reason` is empty",
        "`inhibit[1].silences` is what `by` is",
        "`maintenance[1]` says no time",
        "`maintenance[2].to` is 2026-01-01T00:00:00.000000Z, which is not after",
        "`flood.incidents` is 0",
        "`enrich[1].plugin` is `geo.wasm`",
        "`enrich[1].limit.calls` is 0",
        "`review[1].plugin` is `../p/r.wasm`",
        "`review[1].when.not` is empty",
    ] {
        assert!(
            found.iter().any(|message| message.starts_with(expected)),
            "{expected}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), 21, "{found:#?}");
}
