//! The first-party CloudTrail pack: every rule finds its positive events, none finds its negative ones.
//!
//! `plugins/aws/tests/RULE/positive.ndjson` must alert as `alerts.ndjson` beside it says, `negative.ndjson` not at all.
//! `YAGURA_UPDATE=1` writes the alerts anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use yagura_core::{Alert, Pack};
use yagura_tests::command::yagura;

fn pack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/aws")
}

/// What an alert says that does not depend on where its events were stored.
fn said(alert: &Alert) -> Value {
    json!({
        "title": alert.title,
        "severity": alert.severity,
        "key": alert.key,
        "count": alert.count,
        "first_time": alert.first_time,
        "observables": alert.observables,
        "context": alert.context,
    })
}

fn alerts_of(events: &Path, rule: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let events = events.to_str().unwrap();
    yagura(&["ingest", "--table", "aws_cloudtrail", "--to", lake, events]).must_work();
    let pack = pack();
    let run = yagura(&[
        "run",
        "--lake",
        lake,
        "--pack",
        pack.to_str().unwrap(),
        "--format",
        "json",
    ]);
    run.must_work()
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Alert>(line).unwrap())
        .filter(|alert| alert.rule == rule)
        .map(|alert| said(&alert))
        .collect()
}

#[test]
fn every_rule_finds_its_events_and_no_others() {
    let pack = Pack::read(&pack()).unwrap();
    let rules: BTreeSet<&str> = pack
        .rules
        .iter()
        .map(|source| source.rule.id.as_str())
        .collect();
    let tests = pack.dir.join("tests");
    let tested: BTreeSet<String> = fs::read_dir(&tests)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let tested: BTreeSet<&str> = tested.iter().map(String::as_str).collect();
    assert_eq!(
        rules, tested,
        "every rule has a folder of events, and every folder a rule"
    );
    assert!(
        pack.rules
            .iter()
            .filter(|source| source.rule.plugin.is_some())
            .count()
            >= 8
    );
    assert!(
        pack.rules
            .iter()
            .filter(|source| source.rule.plugin.is_none())
            .count()
            >= 3
    );

    let mut wrong = Vec::new();
    for rule in rules {
        let folder = tests.join(rule);
        let found = alerts_of(&folder.join("positive.ndjson"), rule);
        let text: String = found.iter().map(|alert| format!("{alert}\n")).collect();
        let golden = folder.join("alerts.ndjson");
        if std::env::var_os("YAGURA_UPDATE").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found.is_empty() || text != expected {
            wrong.push(format!("{rule}: expected\n{expected}found\n{text}"));
        }
        let negative = alerts_of(&folder.join("negative.ndjson"), rule);
        if !negative.is_empty() {
            wrong.push(format!(
                "{rule}: alerts on its negative events: {negative:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
