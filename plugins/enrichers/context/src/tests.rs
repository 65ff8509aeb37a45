use yagura_sdk::state::{HOUR, MINUTE, SECOND};
use yagura_sdk::testing::{Events, Host, alert, enrich};

use super::*;

const TIME: i64 = 1_767_323_045_000_000;

const DHCP: &str = r#"{"questions": [{"name": "lease", "table": "dhcp", "observable": "ip", "columns": ["hostname", "mac"],
    "before": "12h", "after": "5m", "limit": 2, "observables": {"hostname": "host"}}]}"#;

fn asked() -> Alert {
    alert().observable(Observable::Ip, "10.0.0.5").build()
}

fn leases() -> Events {
    Events::new()
        .text(
            "hostname",
            [
                Some("mac-7"),
                Some("pc-1"),
                Some("mac-7"),
                None,
                Some("old"),
            ],
        )
        .text(
            "mac",
            [Some("00:11"), Some("00:22"), Some("00:11"), None, None],
        )
        .time(
            "event_time",
            [
                TIME - 3 * HOUR,
                TIME - 2 * HOUR,
                TIME - HOUR,
                TIME,
                TIME - 9 * HOUR,
            ],
        )
}

fn facts(found: &Enriched) -> Vec<String> {
    let facts = found.attributes.iter();
    facts
        .map(|fact| format!("{}: {} [{}]", fact.name, fact.value, fact.source))
        .collect()
}

#[test]
fn events_that_say_the_same_are_one_fact_and_the_latest_comes_first() {
    let host = Host::new().events("dhcp", Observable::Ip, "10.0.0.5", &leases());
    let found = enrich::<Context>(DHCP, &asked()).unwrap();
    assert_eq!(
        facts(&found),
        [
            "lease: hostname=mac-7 mac=00:11 (2 times, last 2026-01-02T02:04:05.000000Z) [dhcp: 10.0.0.5]",
            "lease: hostname=pc-1 mac=00:22 (2026-01-02T01:04:05.000000Z) [dhcp: 10.0.0.5]",
            "lease: 1 more [dhcp: 10.0.0.5]",
        ]
    );
    let hosts = ["mac-7", "pc-1"].map(|name| ("host".to_owned(), name.to_owned()));
    assert_eq!(found.observables, hosts);
    let query = &host.searches()[0];
    assert_eq!(query.columns, ["hostname", "mac", "event_time"]);
    assert_eq!(
        (query.from, query.to),
        (TIME - 12 * HOUR, TIME + 5 * MINUTE + 1)
    );
}

#[test]
fn what_the_alert_knows_is_not_new_and_other_addresses_have_no_answer() {
    let _host = Host::new().events("dhcp", Observable::Ip, "10.0.0.5", &leases());
    let alert = alert()
        .observable(Observable::Ip, "10.0.0.9")
        .observable(Observable::Ip, "10.0.0.5")
        .observable(Observable::Host, "mac-7")
        .build();
    let found = enrich::<Context>(DHCP, &alert).unwrap();
    assert_eq!(found.observables, [("host".to_owned(), "pc-1".to_owned())]);
}

#[test]
fn a_table_that_is_not_granted_costs_its_own_question() {
    let both = r#"{"questions": [
        {"name": "a", "table": "dns", "observable": "ip", "columns": ["query"]},
        {"name": "lease", "table": "dhcp", "observable": "ip", "columns": ["mac"]}]}"#;
    let host = Host::new().events("dhcp", Observable::Ip, "10.0.0.5", &leases());
    assert_eq!(
        enrich::<Context>(both, &asked()).unwrap().attributes.len(),
        2
    );
    drop(host);
    let _host = Host::new();
    let error = enrich::<Context>(both, &asked()).unwrap_err();
    assert!(matches!(error, PluginError::Config(_)), "{error}");
}

#[test]
fn an_answer_that_was_cut_short_says_so() {
    let events = Events::new()
        .text("mac", (0..500).map(|_| "00:11"))
        .time("event_time", (0..500).map(|n| TIME - n * SECOND));
    let _host = Host::new().events("dhcp", Observable::Ip, "10.0.0.5", &events);
    let config = r#"{"questions": [{"name": "lease", "table": "dhcp", "observable": "ip", "columns": ["mac"]}]}"#;
    let found = enrich::<Context>(config, &asked()).unwrap();
    assert!(found.attributes[0].value.contains("at least 500 times"));
    assert_eq!(
        found.attributes[1].value,
        "drawn from the latest 500 events; there are earlier ones"
    );
}

#[test]
fn questions_are_checked() {
    for (question, part) in [
        (
            r#"{"name":"q","table":"t","observable":"ipp","columns":["a"]}"#,
            "no observable `ipp`",
        ),
        (
            r#"{"name":"q","table":"t","observable":"ip","columns":[]}"#,
            "`columns` is empty",
        ),
        (
            r#"{"name":"q","table":"t","observable":"ip","columns":["a"],"before":"1w"}"#,
            "like `24h`",
        ),
        (
            r#"{"name":"q","table":"t","observable":"ip","columns":["a"],"after":"-1h"}"#,
            "like `24h`",
        ),
        (
            r#"{"name":"q","table":"t","observable":"ip","columns":["a"],"observables":{"b":"ip"}}"#,
            "`b`, which is not",
        ),
        (
            r#"{"name":"q","observable":"ip","columns":["a"]}"#,
            "missing field `table`",
        ),
    ] {
        let config = format!(r#"{{"questions": [{question}]}}"#);
        let error = Context::open(&Config::new(&config))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(Context::open(&Config::new("{}")).is_err());
}

/// The questions that come with the pack are ones that it can ask.
#[test]
fn the_packs_own_questions_open() {
    let manifest: toml::Value = toml::from_str(include_str!("../../pack.toml")).unwrap();
    let plugins = manifest["plugin"].as_array().unwrap();
    let plugin = plugins
        .iter()
        .find(|plugin| plugin["file"].as_str() == Some("context.wasm"));
    let config = serde_json::to_string(&plugin.unwrap()["config"]).unwrap();
    let context = Context::open(&Config::new(&config)).unwrap();
    let names: Vec<&str> = context.questions.iter().map(Question::name).collect();
    assert_eq!(names, ["lease", "resolved", "other_activity"]);
}
