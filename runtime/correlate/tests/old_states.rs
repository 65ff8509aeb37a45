//! States that earlier versions wrote: they are migrated and go on where they were, or are refused with the reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use yagura_core::pack::parse_rule;
use yagura_core::{EventRef, Finding, Rule, Timestamp};
use yagura_correlate::store::{FILE, StateStore, StateStoreError, StepChanges, StoreLimits};
use yagura_correlate::{AlertChange, CorrelationEngine, CorrelationOptions, Watermark};

const STATE: &[u8] = include_bytes!("old_states/format-1.sqlite.zst");
const RULES: &str = include_str!("old_states/format-1.rules.toml");
const ALERTS: &str = include_str!("old_states/format-1.alerts.txt");

const SECOND: i64 = 1_000_000;

/// Puts the state of format 1 into a directory.
fn old_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bytes = zstd::decode_all(STATE).unwrap();
    std::fs::write(dir.path().join(FILE), bytes).unwrap();
    dir
}

fn format_of(dir: &Path) -> i64 {
    let connection = Connection::open(dir.join(FILE)).unwrap();
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap()
}

fn rules(text: &str) -> Vec<Arc<Rule>> {
    let rules = text.split("---\n");
    rules
        .map(|text| Arc::new(parse_rule("r.toml".as_ref(), text).unwrap().rule))
        .collect()
}

fn engine(rules: Vec<Arc<Rule>>) -> CorrelationEngine {
    let options = CorrelationOptions {
        workers: 1,
        is_live: true,
        ..CorrelationOptions::default()
    };
    CorrelationEngine::new(rules, options).unwrap()
}

/// The first second of the state's day.
fn time(second: i64) -> Timestamp {
    let day: Timestamp = "2026-03-01".parse().unwrap();
    day.saturating_add(second * SECOND)
}

/// An event, as the rule `failed` or `ok` finds it.
struct Login<'a> {
    second: i64,
    rule: &'a str,
    fields: BTreeMap<&'a str, &'a str>,
}

fn login<'a>(
    second: i64,
    rule: &'a str,
    user: &'a str,
    bytes: &'a str,
    agent: &'a str,
) -> Login<'a> {
    let ip = match user {
        "ana" => "10.0.0.1",
        "user-3" => "10.0.0.3",
        "user-4" => "10.0.0.4",
        _ => "10.0.0.5",
    };
    let fields = [
        ("user", user),
        ("ip", ip),
        ("lat", "35.68"),
        ("lon", "139.69"),
        ("agent", agent),
        ("bytes", bytes),
    ];
    Login {
        second,
        rule,
        fields: fields.into(),
    }
}

fn findings(engine: &CorrelationEngine, object: &str, logins: &[Login<'_>]) -> Vec<Finding> {
    let object: Arc<str> = object.into();
    let mut findings = Vec::new();
    for (row, login) in (0..).zip(logins) {
        let mut ids = engine.rules().iter();
        let rule = ids.position(|rule| rule.id == login.rule).unwrap();
        let paths = engine.graph().fields()[rule].iter();
        let value = |name: String| {
            login
                .fields
                .get(name.as_str())
                .map(|value| (*value).to_owned())
        };
        let time = time(login.second);
        findings.push(Finding {
            rule,
            time,
            events: vec![EventRef {
                time,
                object: Arc::clone(&object),
                row,
            }],
            key: login.fields["user"].to_owned(),
            title: "t".to_owned(),
            severity: None,
            observables: Vec::new(),
            context: Vec::new(),
            fields: paths.map(|path| value(path.to_string())).collect(),
        });
    }
    findings
}

/// State, rule, key, window and number of findings, as `format-1.alerts.txt` has them.
fn line(change: AlertChange) -> String {
    let alert = change.alert;
    let state = serde_json::to_value(change.state).unwrap();
    format!(
        "{} {} {} {} {}",
        state.as_str().unwrap(),
        alert.rule,
        alert.key,
        alert.window_start,
        alert.count
    )
}

#[test]
fn a_state_of_format_1_goes_on_where_it_was() {
    let dir = old_state();
    let mut engine = engine(rules(RULES));
    let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
    let (messages, withdrawn) = store.load(&mut engine).unwrap();
    assert_eq!(messages, Vec::<String>::new(), "no rule starts anew");
    assert!(withdrawn.is_empty());
    assert_eq!((engine.pending(), engine.provisional()), (3, 8));
    let spilled: usize = engine.sizes().values().map(|size| size.spilled).sum();
    assert!(spilled > 100, "{spilled}");
    assert_eq!(store.table("logins").unwrap().unwrap().events, 1_196);
    assert_eq!(store.objects_of("logins").unwrap().len(), 3);

    let known = format!("5-{}", "x".repeat(990));
    let batches = [
        vec![
            login(1_900, "failed", "ana", "100", "curl"),
            login(1_910, "failed", "user-3", "1", &known),
            login(1_920, "failed", "user-4", "1", "new"),
            login(1_930, "ok", "ana", "100", "curl"),
        ],
        vec![login(5_000, "failed", "zoe", "100", "curl")],
    ];
    let mut lines = Vec::new();
    for (number, logins) in batches.iter().enumerate() {
        let latest = logins.last().unwrap().second;
        let watermark = Watermark::at(time(latest - 120).micros());
        let findings = findings(&engine, &format!("object {number}"), logins);
        let output = engine.step(findings, &|_| watermark, &mut store).unwrap();
        lines.extend(output.changes.into_iter().map(line));
        store.commit(&mut engine, StepChanges::default()).unwrap();
    }
    lines.sort();
    let expected: Vec<&str> = ALERTS.lines().collect();
    assert_eq!(lines, expected);

    // What is stored now are the names and fingerprints of today.
    drop(store);
    assert_eq!(format_of(dir.path()), 2);
    let mut again = self::engine(rules(RULES));
    let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
    assert_eq!(store.load(&mut again).unwrap().0, Vec::<String>::new());
    assert_eq!(again.pending(), engine.pending());
    drop(store);
    let status = StateStore::status(dir.path()).unwrap();
    assert_eq!(status.watermarks[0].1, Some(time(4_880)));
}

#[test]
fn a_rule_that_changes_with_the_migration_says_so() {
    let dir = old_state();
    let changed = RULES
        .replace(
            "type = \"count\"\nrules = [\"many\"]",
            "type = \"count\"\nrules = [\"few\"]",
        )
        .replace(
            "baseline = \"1h\"\nminimum = 2",
            "baseline = \"60m\"\nminimum = 9",
        );
    assert_ne!(changed, RULES);
    let mut engine = engine(rules(&changed));
    let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
    let (messages, _) = store.load(&mut engine).unwrap();
    assert_eq!(
        messages,
        [
            "rule `chain` correlates something else now: what it remembered is dropped, and it starts anew"
        ]
    );
}

#[test]
fn states_of_detectors_by_key_are_found_by_hash_after_the_migration() {
    let dir = old_state();
    // As a version before hashes had keys of their own left it.
    let file = Connection::open(dir.path().join(FILE)).unwrap();
    file.execute_batch(
        "DELETE FROM meta WHERE name LIKE 'hash_key_%';
         INSERT INTO detector_states (name, rule, key, value) VALUES ('logins', 'keeps', 'c', x'03');",
    )
    .unwrap();
    drop(file);
    let keeps = "[rule]\nid = \"keeps\"\ntitle = \"t\"\ntable = \"logins\"\nplugin = \"p.wasm\"\ncolumns = [\"user\"]\npartition_by = [\"user\"]\n";
    for _ in 0..2 {
        let mut engine = engine(rules(&format!("{RULES}---\n{keeps}")));
        let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
        store.load(&mut engine).unwrap();
        let keys = store.detector_keys("logins").unwrap();
        let states = keys.read("keeps", keys.hash("c")).unwrap();
        assert_eq!(states, [("c".to_owned(), vec![3])]);
    }
}

#[test]
fn a_state_that_is_not_migrated_yet_is_not_read_by_halves() {
    let dir = old_state();
    let error = StateStore::status(dir.path()).unwrap_err();
    assert!(matches!(error, StateStoreError::Outdated { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.ends_with("uses state format 1, but this version reads format 2; start `yagura serve` with it once, which migrates it"),
        "{message}"
    );
    assert_eq!(format_of(dir.path()), 1, "it is only read");
}

#[test]
fn a_state_of_a_later_format_is_refused() {
    let dir = old_state();
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    connection.execute_batch("PRAGMA user_version = 3").unwrap();
    drop(connection);
    let open = || StateStore::open(dir.path(), StoreLimits::default()).map(|_| ());
    let status = || StateStore::status(dir.path()).map(|_| ());
    for error in [open().unwrap_err(), status().unwrap_err()] {
        assert!(
            matches!(error, StateStoreError::Version { found: 3, .. }),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.contains(
                "uses state format 3, but this version reads format 2; run the yagura that wrote it"
            ),
            "{message}"
        );
    }
    assert_eq!(format_of(dir.path()), 3);
}
