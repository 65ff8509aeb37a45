//! What a correlation engine and its store tell of single events: late ones, keys that come and go, rules that go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use yagura_core::pack::parse_rule;
use yagura_core::{Alert, AlertState, EventRef, Finding, Rule, Timestamp};
use yagura_correlate::store::{
    DetectorState, StateStore, StateStoreError, StepChanges, StoreLimits,
};
use yagura_correlate::{CorrelationEngine, CorrelationOptions, NoSpill, Size, Watermark};

const SECOND: i64 = 1_000_000;

fn rules(texts: &[&str]) -> Vec<Arc<Rule>> {
    let rules = texts
        .iter()
        .map(|text| Arc::new(parse_rule("r.toml".as_ref(), text).unwrap().rule));
    rules.collect()
}

fn new_engine(rules: &[Arc<Rule>]) -> CorrelationEngine {
    let options = CorrelationOptions {
        workers: 1,
        is_live: true,
        ..CorrelationOptions::default()
    };
    CorrelationEngine::new(rules.to_vec(), options).unwrap()
}

/// A finding of the first rule, whose key is also its only field.
fn finding(second: i64, row: u64, key: &str) -> Finding {
    let time = Timestamp::clamped(second * SECOND);
    Finding {
        rule: 0,
        time,
        events: vec![EventRef {
            time,
            object: "o".into(),
            row,
        }],
        key: key.to_owned(),
        title: "t".to_owned(),
        severity: None,
        observables: Vec::new(),
        context: Vec::new(),
        fields: vec![Some(key.to_owned())],
    }
}

const BASE: &str = "[rule]\nid = \"base\"\ntitle = \"t\"\ntable = \"t\"\nwhere = \"true\"\n";

#[test]
fn late_alerts_of_one_key_and_instant_have_ids_of_their_own() {
    let mut engine = new_engine(&rules(&[BASE]));
    // Time moves on when a step ends.
    let mut step = |findings| {
        let output = engine.step(findings, &|_| Watermark::at(100 * SECOND), &mut NoSpill);
        let changes = output.unwrap().changes;
        let changes = changes
            .into_iter()
            .map(|change| (change.state, change.alert));
        changes.collect::<Vec<(AlertState, Alert)>>()
    };
    let in_time = step(vec![finding(50, 0, "k")]);
    let first = step(vec![finding(50, 1, "k")]);
    let second = step(vec![finding(50, 2, "k"), finding(50, 3, "k")]);
    let again = step(vec![finding(50, 1, "k")]);
    let all = [&in_time, &first, &second, &again];
    assert_eq!(all.map(Vec::len), [1; 4]);
    let (open, late) = (AlertState::Provisional, AlertState::Final);
    assert_eq!(all.map(|emitted| emitted[0].0), [open, late, late, late]);
    let [in_time, first, second, again] = all.map(|emitted| emitted[0].1.id.clone());
    assert_ne!(first, in_time);
    assert_ne!(second, in_time);
    assert_ne!(first, second);
    assert_eq!(first, again, "an id follows from the event");
}

#[test]
fn a_rule_of_which_events_are_to_be_evaluated_delays_itself_and_what_joins_it() {
    let other = BASE.replace("base", "other");
    let joined = "[rule]\nid = \"joined\"\ntitle = \"{count}\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"base\"]\nwithin = \"60s\"\ncondition = { gte = 3 }\n";
    let window = "[rule.alert]\nwindow = \"10s\"\n";
    let rules = rules(&[
        &format!("{BASE}{window}"),
        &format!("{other}{window}"),
        &format!("{joined}{window}"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let mut engine = new_engine(&rules);
        let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
        store.load(&mut engine).unwrap();
        (engine, store)
    };
    let (mut engine, mut store) = open();
    let of_other = |second, row| Finding {
        rule: 1,
        ..finding(second, row, "k")
    };
    let finals = |engine: &mut CorrelationEngine,
                  store: &mut StateStore,
                  mark: i64,
                  findings: Vec<Finding>| {
        let output = engine
            .step(findings, &|_| Watermark::at(mark * SECOND), store)
            .unwrap();
        assert!(output.counters.late.is_empty(), "{:?}", output.counters);
        store.commit(engine, StepChanges::default()).unwrap();
        let finals = output.changes.into_iter();
        let finals = finals.filter(|change| change.state == AlertState::Final);
        let emitted = finals.map(|change| (change.alert.rule, change.alert.count));
        emitted.collect::<Vec<_>>()
    };
    let emitted = |rule: &str, count| (rule.to_owned(), count);
    // An event of the first rule at 12 s is still to be evaluated.
    assert!(engine.hold(&[("base".to_owned(), 12 * SECOND)].into()));
    let arrived = vec![finding(10, 0, "k"), of_other(10, 1), finding(15, 2, "k")];
    let now = finals(&mut engine, &mut store, 100, arrived);
    assert_eq!(now, [emitted("other", 1)], "it waits for nobody");
    // Not after a restart either.
    drop((engine, store));
    (engine, store) = open();
    engine.hold(&[("base".to_owned(), 12 * SECOND)].into());
    let now = finals(&mut engine, &mut store, 200, vec![of_other(110, 3)]);
    assert_eq!(now, [emitted("other", 1)]);
    assert!(engine.hold(&[].into()));
    assert!(!engine.hold(&[].into()));
    let now = finals(&mut engine, &mut store, 200, vec![finding(12, 4, "k")]);
    assert_eq!(now, [emitted("base", 3), emitted("joined", 1)]);
    store.flush().unwrap();
    let status = StateStore::status(dir.path()).unwrap();
    assert_eq!(status.pending, 0);
}

#[test]
fn rules_that_are_joined_after_a_restart_make_nothing_final_twice() {
    let window = "[rule.alert]\nwindow = \"10s\"\n";
    let other = BASE.replace("base", "other");
    let joined = "[rule]\nid = \"joined\"\ntitle = \"{count}\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"base\", \"other\"]\nwithin = \"60s\"\ncondition = { gte = 2 }\n";
    let (base, other) = (format!("{BASE}{window}"), format!("{other}{window}"));
    let dir = tempfile::tempdir().unwrap();
    let open = |rules: &[Arc<Rule>]| {
        let mut engine = new_engine(rules);
        let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
        store.load(&mut engine).unwrap();
        (engine, store)
    };
    let step = |engine: &mut CorrelationEngine,
                store: &mut StateStore,
                mark: i64,
                findings: Vec<Finding>| {
        let output = engine
            .step(findings, &|_| Watermark::at(mark * SECOND), store)
            .unwrap();
        store.commit(engine, StepChanges::default()).unwrap();
        let finals = output.changes.into_iter();
        let finals = finals.filter(|change| change.state == AlertState::Final);
        let emitted: Vec<String> = finals.map(|change| change.alert.rule).collect();
        (emitted, output.counters.late)
    };
    let (mut engine, mut store) = open(&rules(&[&base, &other]));
    engine.hold(&[("base".to_owned(), 12 * SECOND)].into());
    let of_other = Finding {
        rule: 1,
        ..finding(50, 1, "k")
    };
    let arrived = vec![finding(15, 0, "k"), of_other];
    let (emitted, _) = step(&mut engine, &mut store, 100, arrived);
    assert_eq!(emitted, ["other"]);
    drop((engine, store));
    let (mut engine, mut store) = open(&rules(&[&base, &other, joined]));
    engine.hold(&[("base".to_owned(), 12 * SECOND)].into());
    let (emitted, late) = step(&mut engine, &mut store, 100, Vec::new());
    assert_eq!(emitted, ["base"], "what waited is final, and nothing twice");
    assert!(late.is_empty());
    // What is evaluated now is too late for rules that were ahead.
    let (_, late) = step(&mut engine, &mut store, 100, vec![finding(12, 2, "k")]);
    assert_eq!(late["base"], 1);
}

#[test]
fn keys_that_the_disk_has_no_room_for_are_counted_and_start_anew() {
    let count = "[rule]\nid = \"count\"\ntitle = \"{count}\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"base\"]\nby = [\"k\"]\nwithin = \"60s\"\ncondition = { gte = 2 }\n";
    let base = format!("{BASE}[rule.alert]\nreport = \"none\"\n");
    let rules = rules(&[&base, count]);
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreLimits {
        memory: 0,
        spilled_keys: 1,
    };
    let mut engine = new_engine(&rules);
    let mut store = StateStore::open(dir.path(), limits).unwrap();
    store.load(&mut engine).unwrap();
    let mut counts = Vec::new();
    for (second, keys) in [(10, ["a", "b"]), (20, ["a", "b"]), (30, ["a", "b"])] {
        let findings = keys.iter().map(|key| finding(second, 0, key)).collect();
        let mark = |_: &str| Watermark::at((second + 1) * SECOND);
        let output = engine.step(findings, &mark, &mut store).unwrap();
        counts.extend(output.changes.iter().map(|change| change.alert.key.clone()));
        // Where the state's random hash puts both keys into one share, each commit moves half of them.
        for _ in 0..2 {
            store.commit(&mut engine, StepChanges::default()).unwrap();
        }
    }
    store.flush().unwrap();
    // One of the two keys is remembered from step to step, the other never.
    counts.sort();
    counts.dedup();
    assert_eq!(counts.len(), 1, "{counts:?}");
    let status = StateStore::status(dir.path()).unwrap();
    let capped: i64 = status.rules.iter().map(|rule| rule.capped).sum();
    assert!(capped >= 3, "{capped}");
}

/// A rule that keeps state, by these columns of a table; by none, it keeps none.
fn keeps(table: &str, by: &str) -> Vec<Arc<Rule>> {
    let by = match by {
        "" => String::new(),
        by => format!("partition_by = [{by}]\n"),
    };
    rules(&[&format!(
        "[rule]\nid = \"keeps\"\ntitle = \"t\"\ntable = \"{table}\"\nplugin = \"d.wasm\"\ncolumns = [\"user\", \"host\"]\n{by}"
    )])
}

/// What is left of a detector's state, once these rules have been loaded: states, rows, memories; and the messages.
fn left(now: &[Arc<Rule>]) -> ([usize; 3], Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let open = |rules: &[Arc<Rule>]| {
        let mut engine = new_engine(rules);
        let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
        let (messages, _) = store.load(&mut engine).unwrap();
        (engine, store, messages)
    };
    let state = DetectorState {
        table: "t".to_owned(),
        states: vec![("keeps".to_owned(), "k".to_owned(), Some(vec![1]))],
        gone: Vec::new(),
        rows: vec![("keeps".to_owned(), 5, vec![2])],
        memories: vec![("keeps".to_owned(), vec![3])],
        watermark: 0,
    };
    let (mut engine, mut store, _) = open(&keeps("t", "\"user\""));
    let progress = StepChanges {
        detectors: vec![state],
        ..StepChanges::default()
    };
    store.commit(&mut engine, progress).unwrap();
    store.flush().unwrap();
    drop((engine, store));
    let (engine, store, messages) = open(now);
    drop((engine, store));
    // As it is on disk, whatever the messages say.
    let (_, store, again) = open(now);
    assert_eq!(again, Vec::<String>::new(), "it is reported once");
    let state = store.detectors_of("t").unwrap();
    let mut states = 0;
    let count = |_: &str, _, _: &str, _: &[u8]| -> Result<(), StateStoreError> {
        states += 1;
        Ok(())
    };
    store.each_detector_key("t", count).unwrap();
    ([states, state.rows.len(), state.memories.len()], messages)
}

#[test]
fn what_a_detector_remembers_goes_with_its_rule_and_starts_anew_with_other_keys() {
    let emitted = |text: &str| vec![format!("rule `keeps` {text}")];
    assert_eq!(left(&keeps("t", "\"user\"")), ([1, 1, 1], vec![]));
    assert_eq!(
        left(&keeps("t", "\"user\", \"host\"")),
        (
            [0, 1, 0],
            emitted(
                "keeps state by `user`, `host` of table `t` now: what it remembered is dropped, and it starts anew"
            )
        ),
        "rows that wait find their key in their columns"
    );
    assert_eq!(
        left(&keeps("other", "\"user\"")),
        (
            [0, 0, 0],
            emitted(
                "keeps state by `user` of table `other` now: what it remembered is dropped, and it starts anew"
            )
        )
    );
    assert_eq!(
        left(&keeps("t", "")),
        (
            [0, 0, 0],
            emitted("keeps no state any more: what it remembered is dropped")
        )
    );
    let (counts, messages) = left(&rules(&[BASE]));
    assert_eq!(counts, [0, 0, 0]);
    assert!(
        messages.contains(&emitted("is gone: what it remembered is dropped")[0]),
        "{messages:?}"
    );
}

#[test]
fn keys_of_detectors_are_found_by_their_hash() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let mut engine = new_engine(&keeps("t", "\"user\""));
        let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
        store.load(&mut engine).unwrap();
        (engine, store)
    };
    let commit =
        |store: &mut StateStore, engine: &mut CorrelationEngine, detectors: DetectorState| {
            let size = Size {
                keys: 2,
                spilled: 3,
                bytes: 4,
            };
            let progress = StepChanges {
                detectors: vec![detectors],
                sizes: Some([("keeps".to_owned(), size)].into()),
                ..StepChanges::default()
            };
            store.commit(engine, progress).unwrap();
            store.flush().unwrap();
        };
    let state = |key: &str, value: Option<Vec<u8>>| ("keeps".to_owned(), key.to_owned(), value);
    let read = |store: &StateStore, key: &str| {
        let keys = store.detector_keys("t").unwrap();
        let found = keys.read("keeps", keys.hash(key)).unwrap();
        (keys.hash(key), found)
    };
    let (mut engine, mut store) = open();
    let first = DetectorState {
        table: "t".to_owned(),
        states: vec![state("a", Some(vec![1])), state("b", Some(vec![2]))],
        ..DetectorState::default()
    };
    commit(&mut store, &mut engine, first);
    let (hash, found) = read(&store, "a");
    assert_eq!(found, [("a".to_owned(), vec![1])]);
    let rules = StateStore::status(dir.path()).unwrap().rules;
    let rule = rules.iter().find(|rule| rule.rule == "keeps").unwrap();
    assert_eq!((rule.keys, rule.spilled, rule.bytes), (2, 3, 4));
    drop((engine, store));
    // The hash is the state's, and another state has another.
    let (mut engine, mut store) = open();
    assert_eq!(read(&store, "a").0, hash);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = StateStore::open(elsewhere.path(), StoreLimits::default()).unwrap();
    assert_ne!(read(&other, "a").0, hash);
    let gone = DetectorState {
        table: "t".to_owned(),
        states: vec![state("b", None)],
        gone: vec![("keeps".to_owned(), hash)],
        ..DetectorState::default()
    };
    commit(&mut store, &mut engine, gone);
    assert_eq!(
        (read(&store, "a").1.len(), read(&store, "b").1.len()),
        (0, 0)
    );
    drop((engine, store));
}

/// What came of findings that waited: the counts of final alerts by rule, and how many findings each rule lost.
type Counted = (BTreeMap<String, u64>, BTreeMap<String, u64>);

/// Lets findings wait, `steps` of them, of rules by number, with a restart in the middle, and then lets the watermark pass them.
fn wait_and_end(rules: &[Arc<Rule>], steps: &[Vec<(usize, i64)>], most: Option<usize>) -> Counted {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = CorrelationOptions {
            workers: 1,
            is_live: true,
            max_waiting_bytes: most,
            ..CorrelationOptions::default()
        };
        let mut engine = CorrelationEngine::new(rules.to_vec(), options).unwrap();
        let mut store = StateStore::open(dir.path(), StoreLimits::default()).unwrap();
        store.load(&mut engine).unwrap();
        (engine, store)
    };
    let (mut finals, mut lost) = (BTreeMap::new(), BTreeMap::new());
    let (mut engine, mut store) = open();
    let mut row = 0;
    for (number, step) in steps.iter().enumerate() {
        if number == steps.len() / 2 {
            drop((engine, store));
            (engine, store) = open();
        }
        let findings = step.iter().map(|(rule, second)| {
            row += 1;
            Finding {
                rule: *rule,
                ..finding(*second, row, "k")
            }
        });
        let output = engine.step(findings.collect(), &|_| Watermark::at(0), &mut store);
        let output = output.unwrap();
        assert_eq!(
            output.counters.capped,
            output
                .dropped
                .iter()
                .map(|(rule, dropped)| (rule.clone(), dropped.count))
                .collect()
        );
        for (rule, dropped) in output.dropped {
            *lost.entry(rule).or_default() += dropped.count;
        }
        store.commit(&mut engine, StepChanges::default()).unwrap();
    }
    let output = engine.step(Vec::new(), &|_| Watermark::at(100_000 * SECOND), &mut store);
    let changes = output.unwrap().changes.into_iter();
    for change in changes.filter(|change| change.state == AlertState::Final) {
        *finals.entry(change.alert.rule).or_default() += change.alert.count;
    }
    (finals, lost)
}

#[test]
fn of_too_many_that_wait_the_rules_with_most_lose_their_newest() {
    let rules = rules(
        &["a", "b", "c"]
            .map(|id| BASE.replace("base", id))
            .each_ref()
            .map(String::as_str),
    );
    let flood = |rule, from: i64| (from..from + 100).map(|second| (rule, second)).collect();
    let few = |rule, from: i64| (from..from + 5).map(|second| (rule, second)).collect();
    let steps: [Vec<(usize, i64)>; 6] = [
        flood(0, 1),
        few(1, 1),
        flood(0, 200),
        few(2, 400),
        few(1, 300),
        flood(0, 101),
    ];
    let unbounded = wait_and_end(&rules, &steps, None);
    let count =
        |counted: &BTreeMap<String, u64>, rule: &str| counted.get(rule).copied().unwrap_or(0);
    assert_eq!(
        ["a", "b", "c"].map(|rule| count(&unbounded.0, rule)),
        [300, 10, 5]
    );
    assert!(unbounded.1.is_empty());
    let (finals, lost) = wait_and_end(&rules, &steps, Some(20_000));
    assert_eq!([count(&finals, "b"), count(&finals, "c")], [10, 5]);
    assert_eq!(lost.keys().collect::<Vec<_>>(), ["a"]);
    let kept = count(&finals, "a");
    assert!((40..200).contains(&kept), "{kept}");
    // A restart gives back what was stored before it was dropped, so it may count twice, and is never missing from the count.
    assert!(kept + count(&lost, "a") >= 300, "{kept} {lost:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_rule_with_at_most_its_share_loses_nothing(
        steps in proptest::collection::vec(proptest::collection::vec((0..3_usize, 1..500_i64), 0..60), 1..8),
        most in 1_000..40_000_usize,
    ) {
        let rules = rules(&["a", "b", "c"].map(|id| BASE.replace("base", id)).each_ref().map(String::as_str));
        let all = wait_and_end(&rules, &steps, None).0;
        let (finals, lost) = wait_and_end(&rules, &steps, Some(most));
        // About what one takes: see `CompactFinding::bytes`.
        let share = most as u64 / 3 / 400;
        for (rule, count) in all {
            let kept = finals.get(&rule).copied().unwrap_or(0);
            let gone = lost.get(&rule).copied().unwrap_or(0);
            prop_assert!(kept + gone >= count, "{} + {} of {}", kept, gone, count);
            if count <= share {
                prop_assert_eq!((kept, gone), (count, 0));
            }
        }
    }
}

/// Emits provisional alerts of 400 keys in steps, with a restart between two of them, moves the window of every tenth key, and ends
/// them. Returns what was emitted, in order, and the most bytes that the windows and alerts took after a step.
fn emit_and_end(memory: usize) -> (Vec<String>, usize) {
    let rules = rules(&[BASE]);
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreLimits {
        memory,
        ..StoreLimits::default()
    };
    let open = || {
        let mut engine = new_engine(&rules);
        let mut store = StateStore::open(dir.path(), limits).unwrap();
        store.load(&mut engine).unwrap();
        (engine, store)
    };
    let (mut engine, mut store) = open();
    let key = |number: i64| format!("{number:03}{}", "k".repeat(600));
    let mut steps: Vec<(i64, Vec<Finding>)> = Vec::new();
    for first in (0..400).step_by(50) {
        let findings = (first..first + 50).map(|at| finding(4_000 + at, 1, &key(at)));
        steps.push((0, findings.collect()));
    }
    // An earlier event moves the window of some keys; of a key of which two events wait it ends one and withdraws another.
    let earlier = (0..400).step_by(10);
    let earlier = earlier.map(|at| finding(3_900, u64::try_from(at).unwrap(), &key(at)));
    steps.push((0, earlier.collect()));
    // The watermark passes all events, then all windows.
    steps.push((5_000, Vec::new()));
    steps.push((20_000, Vec::new()));
    let (mut emitted, mut most) = (Vec::new(), 0);
    for (number, (mark, findings)) in steps.into_iter().enumerate() {
        if number == 7 {
            drop((engine, store));
            (engine, store) = open();
        }
        let output = engine
            .step(findings, &|_| Watermark::at(mark * SECOND), &mut store)
            .unwrap();
        emitted.extend(output.changes.iter().map(|change| format!("{change:?}")));
        // All that was emitted is provisional until the last step.
        let open = if mark == 20_000 {
            0
        } else {
            50 * (number + 1).min(8)
        };
        assert_eq!(engine.provisional(), open, "step {number}");
        store.commit(&mut engine, StepChanges::default()).unwrap();
        most = most.max(engine.sizes()[""].bytes);
    }
    (emitted, most)
}

#[test]
fn provisional_alerts_over_the_limit_are_in_the_store_alone_and_none_is_emitted_otherwise() {
    let (all_in_memory, unbounded) = emit_and_end(1 << 30);
    let (in_the_store, bounded) = emit_and_end(64 << 10);
    assert_eq!(in_the_store, all_in_memory);
    // 400 keys of 600 bytes are in each alert, of which digests of 16 bytes are left.
    assert!(unbounded > 800 << 10, "{unbounded}");
    assert!(bounded < 200 << 10, "{bounded}");
    let withdrawn = "state: Withdrawn";
    let withdrawn = in_the_store
        .iter()
        .filter(|change| change.contains(withdrawn));
    assert_eq!(withdrawn.count(), 40);
}
