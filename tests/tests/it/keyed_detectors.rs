//! Detectors with state over tables: each key's events come in order, whatever the objects, partitions, batches and steps.
//!
//! The guest is `tests/guests/stateful`; the events say what it does to its state.

mod model;
mod service;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use yagura_core::pack::Limits;
use yagura_core::{Finding, TimeRange, Timestamp};
use yagura_engine::keyed::{KeyedChanges, KeyedDetectors};

use yagura_engine::report::SkipCause;
use yagura_engine::table_run::TableRun;
use yagura_engine::{EngineError, Fairness, RunOptions, run};
use yagura_lake::table::{DataFile, OnProblem};
use yagura_tests::command::yagura;
use yagura_tests::fixture::{Fixture, full_message};
use yagura_tests::guests;
use yagura_tests::random::runner;

use model::{BASE, Event, Told, dealt, event, events, expected, expected_for};
use table::{STEPS, Steps, options};

#[test]
fn whatever_the_objects_partitions_and_batches() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shapes = prop::collection::vec(
        (
            1usize..9,
            prop::sample::select(vec![1usize, 2, 7, 100, 8_192]),
        ),
        1..3,
    );
    let deal = prop::collection::vec(0usize..100, 1..150);
    let strategy = (events(), deal, 1usize..9, shapes);
    let result = runner(32).run(&strategy, |(events, deal, objects, shapes)| {
        runtime.block_on(async {
            let want = expected(&events);
            let table = Steps::over(&dealt(&events, &deal, objects));
            let mut alerts = None;
            for (partitions, batch_rows) in shapes {
                let options = options(partitions, batch_rows);
                let told = table.told(&options).await;
                prop_assert_eq!(
                    &told,
                    &want,
                    "{} partitions, batches of {}",
                    partitions,
                    batch_rows
                );
                let outcome = table.fixture.run(&options).await.unwrap();
                let bytes = serde_json::to_string(&outcome.alerts).unwrap();
                prop_assert_eq!(alerts.get_or_insert_with(|| bytes.clone()), &bytes);
            }
            Ok(())
        })
    });
    result.unwrap();
}

/// What a live run would have on disk.
#[derive(Default)]
struct Disk {
    states: BTreeMap<(String, String), Vec<u8>>,
    pending: Vec<(String, i64, Vec<u8>)>,
    snapshots: BTreeMap<String, Vec<u8>>,
    watermark: i64,
}

impl Disk {
    fn store(&mut self, changes: KeyedChanges, watermark: i64) {
        for (rule, key, bytes) in changes.states {
            match bytes {
                Some(bytes) => self.states.insert((rule, key), bytes),
                None => self.states.remove(&(rule, key)),
            };
        }
        assert!(changes.gone.is_empty(), "nothing is on disk only");
        self.pending.extend(changes.pending);
        self.pending.retain(|(_, latest, _)| *latest >= watermark);
        self.snapshots.extend(changes.snapshots);
        self.watermark = watermark;
    }

    fn restore(&self, to: &mut KeyedDetectors) {
        to.set_watermark(self.watermark).unwrap();
        for ((rule, key), bytes) in &self.states {
            to.restore_state(rule, key, bytes).unwrap();
        }
        for (rule, _, bytes) in &self.pending {
            to.restore_pending(rule, bytes).unwrap();
        }
        for (rule, bytes) in &self.snapshots {
            to.restore_snapshot(rule, bytes).unwrap();
        }
    }
}

#[test]
fn whatever_the_steps_and_restarts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Objects overlap a little, as they do when several writers make them.
    let swaps = prop::collection::vec((0usize..150, 0usize..20), 0..10);
    // How far each step goes, and whether the service stops after it.
    let steps = prop::collection::vec((1usize..4, 0i64..50, any::<bool>()), 1..12);
    let strategy = (events(), swaps, 1usize..30, steps, 1usize..4);
    let result = runner(48).run(&strategy, |(events, swaps, size, steps, batch_rows)| {
        runtime.block_on(async {
            let want = expected(&events);
            let mut moved = events.clone();
            for (at, by) in swaps {
                let at = at % moved.len();
                let to = (at + by).min(moved.len() - 1);
                moved.swap(at, to);
            }
            let objects: Vec<Vec<Event>> = moved.chunks(size).map(<[Event]>::to_vec).collect();
            let table = Steps::over(&objects);
            let options = options(2, batch_rows);
            let told = stepped(&table, &options, &steps).await;
            prop_assert_eq!(told, want);
            // The same events further apart, with a state that ends between some of them.
            for event in &mut moved {
                event.at *= 100;
            }
            let want = expected_for(&moved, 5_000);
            let objects: Vec<Vec<Event>> = moved.chunks(size).map(<[Event]>::to_vec).collect();
            let table = Steps::over_for(&objects, "5ms");
            let told = table.told(&options).await;
            prop_assert_eq!(&told, &want);
            let steps: Vec<_> = steps
                .iter()
                .map(|(objects, part, restarts)| (*objects, part * 100, *restarts))
                .collect();
            let told = stepped(&table, &options, &steps).await;
            prop_assert_eq!(told, want);
            Ok(())
        })
    });
    result.unwrap();
}

/// Reads the table as a live run does.
async fn stepped(table: &Steps, options: &RunOptions, steps: &[(usize, i64, bool)]) -> Told {
    let files = table.files().await;
    let mut run = table.open(options).await;
    let mut detectors = run.keyed();
    let mut disk = Disk {
        watermark: i64::MIN,
        ..Disk::default()
    };
    let mut told = Told::default();
    let mut read = 0;
    let mut outcome_of = |run: &TableRun, findings: &[Finding]| {
        told.add(findings, &run.take_skipped());
    };
    for (objects, part, restarts) in steps.iter().cycle() {
        let next = &files[read..(read + objects).min(files.len())];
        let next: Vec<DataFile> = next.iter().map(|(_, _, file)| file.clone()).collect();
        read += next.len();
        let scanned = run.run(&next, 0).await.unwrap();
        for rows in scanned.keyed {
            detectors.push(rows).unwrap();
        }
        // No event of the objects that are still to be read is passed.
        let passed = match files.get(read) {
            Some((first, _, _)) => first - part % 5_000,
            None => i64::MAX,
        };
        let latest = files.iter().map(|(_, last, _)| *last).max().unwrap();
        let passed = passed.min(latest + 1);
        outcome_of(&run, &detectors.advance(passed).unwrap());
        let passed = detectors.watermark();
        disk.store(detectors.take_changes().unwrap(), passed);
        assert_eq!(detectors.take_changes().unwrap(), KeyedChanges::default());
        assert!(detectors.late.is_empty() && detectors.outdated.is_empty());
        if *restarts {
            run = table.open(options).await;
            detectors = run.keyed();
            disk.restore(&mut detectors);
            assert_eq!(detectors.take_changes().unwrap(), KeyedChanges::default());
        }
        if read == files.len() {
            break;
        }
    }
    assert_eq!(detectors.pending_rows(), 0);
    told.lines.sort();
    told
}

const DAY: i64 = 86_400_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn counts_go_on_across_objects_and_days() {
    let events: Vec<Event> = (0..4_000)
        .map(|n| event(n * DAY / 500, u8::try_from(n % 7).unwrap(), "count"))
        .collect();
    // Each object has events of all days, the latest first.
    let mut objects = dealt(&events, &(0..12).collect::<Vec<_>>(), 12);
    for object in &mut objects {
        object.reverse();
    }
    let table = Steps::over(&objects);
    let told = table.told(&options(3, 8_192)).await;
    assert_eq!(told, expected(&events));
    let most = told
        .lines
        .iter()
        .map(|(_, _, title, ..)| title.parse().unwrap());
    assert_eq!(most.max(), Some(572_u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_on_which_a_plugin_fails_are_skipped_alone() {
    let mut events: Vec<Event> = (0..3_000)
        .map(|n| event(n * 10, u8::try_from(n % 3).unwrap(), "count"))
        .collect();
    events[1_234].step = "panic";
    events[2_345].step = "error";
    let table = Steps::over(&dealt(&events, &[0, 1], 2));
    for batch_rows in [1, 100, 8_192] {
        let input = table.fixture.input.clone();
        let outcome = run(input, &options(2, batch_rows), |_, _| {})
            .await
            .unwrap();
        assert_eq!(outcome.findings.len(), 2_998);
        let aside: Vec<_> = outcome
            .skipped
            .iter()
            .map(|aside| (aside.rows, aside.wakes, aside.first.time.micros() - BASE))
            .collect();
        assert_eq!(aside, [(1, 0, 12_340), (1, 0, 23_450)]);
        let told = Told::of(&outcome.findings, &outcome.skipped);
        assert_eq!(told, expected(&events));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_fails_too_often_rests_and_a_wake_up_that_fails_is_told() {
    // Neither an event nor a wake-up of another key is lost by a wake-up that fails.
    let mut events = vec![
        event(0, 1, "count"),
        event(1, 1, "count"),
        event(2, 1, "count"),
        event(3, 1, "wake"),
        event(4, 2, "wake"),
        event(900, 1, "read"),
    ];
    let table = Steps::over(std::slice::from_ref(&events));
    let told = table.told(&options(1, 8_192)).await;
    assert_eq!(told, expected(&events));
    assert_eq!(told.wakes, 1);
    assert!(told.lines.iter().any(|(_, _, title, ..)| title == "3"));

    // Time is a fault of the rule: at the third one it rests, with what waits for it.
    for (user, at) in [(3, 901), (4, 902), (5, 903), (6, 904), (7, 905)] {
        events.push(event(at, user, "loop"));
    }
    events.push(event(906, 7, "wake"));
    events.push(event(1_900, 7, "count"));
    let mut table = Steps::over(std::slice::from_ref(&events));
    let limits = Limits {
        time: "200ms".parse().unwrap(),
        ..Limits::default()
    };
    let limited = Fixture::default()
        .plugin(guests::stateful(), &limits)
        .unwrap();
    table.fixture.input.plugins = limited.input.plugins;
    let input = table.fixture.input.clone();
    let outcome = run(input, &options(1, 8_192), |_, _| {}).await.unwrap();
    let aside = &outcome.skipped;
    let faults = aside.iter().filter(|aside| aside.reason.contains("200ms"));
    assert_eq!(faults.count(), 3, "{aside:#?}");
    let rested: Vec<_> = aside
        .iter()
        .filter(|aside| aside.cause == SkipCause::Quarantine)
        .collect();
    assert_eq!(rested.len(), 1);
    assert_eq!((rested[0].rows, rested[0].wakes), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_woken_for_ever() {
    // The guest asks for another wake-up after each one.
    let events = [
        event(0, 1, "count"),
        event(1, 1, "count"),
        event(2, 1, "wake"),
        event(DAY, 1, "read"),
        event(DAY, 2, "read"),
    ];
    let table = Steps::over(&[events.to_vec()]);
    let input = table.fixture.input.clone();
    let outcome = run(input, &options(1, 8_192), |_, _| {}).await.unwrap();
    assert_eq!(outcome.findings.len(), 5 + 100_000);
    let [aside] = outcome.skipped.as_slice() else {
        panic!("{:?}", outcome.skipped);
    };
    assert_eq!((aside.rows, aside.wakes), (0, 1));
    assert!(aside.reason.contains("100000 times"), "{}", aside.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_that_wait_name_the_rule_and_the_way_out() {
    let events: Vec<Event> = (0..50).map(|n| event(n, 1, "count")).collect();
    let table = Steps::over(&[events]);
    let mut options = options(2, 10);
    options.max_pending_rows = 49;
    let message = full_message(&table.error(&options).await);
    assert_eq!(
        message,
        "more than 49 events of table `t` wait for detectors that keep state, 50 of them for `steps`; make its `where` narrower, shorten the range or the lateness, or raise the limit with --max-pending-rows, of a service with `pending_rows` of [serve]"
    );
    options.max_pending_rows = 50;
    assert_eq!(table.told(&options).await.lines.len(), 50);
    options.max_findings = 49;
    let error = table.error(&options).await;
    assert!(
        matches!(error, EngineError::TooManyFindings { .. }),
        "{error}"
    );

    // Also where they came in several steps.
    options.max_pending_rows = 80;
    let mut run = table.open(&options).await;
    let mut detectors = run.keyed();
    let files: Vec<DataFile> = run.files().to_vec();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    let again = run.run(&files, 0).await.unwrap().keyed.remove(0);
    let error = detectors.push(again).unwrap_err();
    assert!(
        matches!(error, EngineError::TooManyPending { count: 100, .. }),
        "{error}"
    );
    assert_eq!(detectors.pending_rows(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_ends_at_a_bad_object_leaves_no_rows_behind() {
    let events: Vec<Event> = (0..20_000).map(|n| event(n, 1, "count")).collect();
    let mut table = Steps::over(&[events.clone(), events.clone()]);
    let bad = table.dir.path().join("part-001.parquet");
    let mut bytes = fs::read(&bad).unwrap();
    let middle = bytes.len() / 3;
    bytes[4..middle].fill(0xa5);
    fs::write(&bad, &bytes).unwrap();
    table.fixture.input.tables[0].on_bad_file = OnProblem::Skip;
    let told = table.told(&options(1, 8_192)).await;
    assert_eq!(told.lines.len(), 20_000);
    assert_eq!(told, expected(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_ends_time_and_rows_without_a_key_share_one() {
    let events = [
        Event {
            at: 0,
            user: None,
            step: "wake",
        },
        Event {
            at: 1,
            user: None,
            step: "wake",
        },
        Event {
            at: 2,
            user: None,
            step: "count",
        },
        event(100, 1, "count"),
    ];
    let table = Steps::over(&[events.to_vec()]);
    let mut options = options(1, 8_192);
    for (to, want) in [(3, 3), (5, 3), (6, 4), (7, 5), (100, 5), (101, 6)] {
        let to = Timestamp::clamped(BASE + to);
        options.range = TimeRange::new(None, Some(to)).unwrap();
        assert_eq!(table.told(&options).await.lines.len(), want, "to {to}");
    }
    // Several columns of which one has a value are a key of their own.
    let two = STEPS.replace(
        "[\"user\"]\ncontext",
        "[\"user\", \"absent\"]\noptional = [\"absent\"]\ncontext",
    );
    let mut table = Steps::over(&[events.to_vec()]);
    let fixture = Fixture::default().rule_toml(&two);
    table.fixture.input.rules = fixture.input.rules;
    let mut run = table.open(&options).await;
    let mut detectors = run.keyed();
    let files = run.files().to_vec();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    detectors.advance(BASE + 3).unwrap();
    let states = detectors.take_changes().unwrap().states;
    let keys: Vec<&str> = states.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(keys, [""]);
    detectors.advance(BASE + 200).unwrap();
    let states = detectors.take_changes().unwrap().states;
    let keys: Vec<&str> = states.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(keys, ["", "u1|"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_rows_are_counted_and_keys_with_nothing_to_remember_are_not_kept() {
    let events = [
        event(0, 1, "count for ten"),
        event(1, 2, "read"),
        event(2, 3, "count"),
        event(3, 3, "forget"),
        event(4, 4, "wake"),
    ];
    let table = Steps::over(&[events.to_vec()]);
    let options = options(1, 8_192);
    let mut run = table.open(&options).await;
    let mut detectors = run.keyed();
    assert!(detectors.has_rule("steps") && !detectors.has_rule("other"));
    let files = run.files().to_vec();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    assert_eq!(detectors.advance(BASE + 5).unwrap().len(), 5);
    assert_eq!(detectors.keys(), 2);
    let changes = detectors.take_changes().unwrap();
    assert_eq!(changes.states.len(), 2);
    assert!(changes.pending.is_empty());
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    assert_eq!(detectors.late, BTreeMap::from([("steps".to_owned(), 5)]));
    assert_eq!(detectors.pending_rows(), 0);
    // A watermark that was passed changes nothing.
    assert!(detectors.advance(BASE + 5).unwrap().is_empty());
    // The wake-up comes, and at the full hour what has expired goes.
    assert_eq!(detectors.advance(BASE + 10).unwrap().len(), 1);
    assert_eq!(detectors.keys(), 1);
    assert!(detectors.advance(BASE + 3_600_000_000).unwrap().is_empty());
    assert_eq!(detectors.keys(), 0);
    let gone: Vec<_> = detectors.take_changes().unwrap().states;
    assert!(gone.iter().all(|(_, _, bytes)| bytes.is_none()), "{gone:?}");
    assert_eq!(gone.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_errors_and_rows_of_other_columns_are_counted() {
    let events: Vec<Event> = (0..20).map(|n| event(n, 1, "wake")).collect();
    let mut table = Steps::over(&[events]);
    let options = options(1, 8_192);
    let mut run = table.open(&options).await;
    let mut detectors = run.keyed();
    let files = run.files().to_vec();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    detectors.advance(BASE + 10).unwrap();
    let changes = detectors.take_changes().unwrap();
    let (_, key, state) = changes.states[0].clone();
    let state = state.unwrap();
    let (_, latest, rows) = changes.pending[0].clone();
    assert_eq!((key.as_str(), latest), ("u1", BASE + 19));

    let mut other = run.keyed();
    other.set_watermark(BASE + 15).unwrap();
    for (bytes, is_state) in [(&state, true), (&rows, false)] {
        let mut restore = |bytes: &[u8]| match is_state {
            true => other.restore_state("steps", "u1", bytes),
            false => other.restore_pending("steps", bytes),
        };
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            restore(&damaged).unwrap_err();
            restore(&bytes[..at]).unwrap_err();
        }
        restore(bytes).unwrap();
    }
    other.restore_snapshot("steps", &state[..12]).unwrap_err();
    let error = other.restore_state("gone", "u1", &state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot go on: table `t` has no rule `gone` that keeps state"
    );
    // Five of the ten that waited were passed meanwhile.
    assert_eq!((other.keys(), other.pending_rows()), (1, 5));

    let more = STEPS.replace("context = [\"step\"]", "context = [\"step\", \"time\"]");
    let same = Fixture::default().rule_toml(&more);
    table.fixture.input.rules = same.input.rules;
    let mut same = table.open(&options).await.keyed();
    same.restore_pending("steps", &rows).unwrap();
    assert_eq!(same.pending_rows(), 10, "no column is new");
    let fewer = STEPS.replace(
        "context = [\"step\"]\n",
        "optional = [\"color\"]\ncontext = [\"color\"]\n",
    );
    let other = Fixture::default().rule_toml(&fewer);
    table.fixture.input.rules = other.input.rules;
    let mut other = table.open(&options).await.keyed();
    other.restore_pending("steps", &rows).unwrap();
    other.restore_state("steps", "u1", &state).unwrap();
    assert_eq!(other.pending_rows(), 0);
    assert_eq!(other.outdated, BTreeMap::from([("steps".to_owned(), 10)]));
    let woken = other.advance(BASE + 12).unwrap();
    assert!(!woken.is_empty());
}

/// What two rules find of one table of which the first has a flood of rows, in a service that may hold `most` of them: for each
/// rule the times of its findings, and what was capped.
async fn flooded(
    objects: &[Vec<Event>],
    most: usize,
    partitions: usize,
    at_once: usize,
) -> (BTreeMap<usize, Vec<i64>>, BTreeMap<String, u64>) {
    let mut table = Steps::over(objects);
    let rule = |id: &str, step: &str| {
        let rule = STEPS.replace("\"steps\"", &format!("\"{id}\""));
        rule.replace(
            "plugin =",
            &format!("where = \"step = '{step}'\"\nplugin ="),
        )
    };
    let rules = Fixture::default()
        .rule_toml(&rule("steps", "count"))
        .rule_toml(&rule("other-steps", "read"));
    table.fixture.input.rules = rules.input.rules;
    let mut options = options(partitions, 8_192);
    options.max_pending_rows = most;
    options.fairness = Some(Fairness::default());
    let mut run = table.open(&options).await;
    run.gives_up_rows(true);
    let mut detectors = run.keyed();
    let files = run.files().to_vec();
    let mut capped: BTreeMap<String, u64> = BTreeMap::new();
    for files in files.chunks(at_once) {
        let scanned = run.run(files, 0).await.unwrap();
        detectors.take_scanned(scanned).unwrap();
        detectors.advance(BASE).unwrap();
        assert!(detectors.pending_rows() <= most);
        for (rule, count, message) in detectors.take_capped() {
            assert!(
                message.contains(&format!("more than {most} events of table `t`"))
                    && message.contains(&format!("rule `{rule}` does not evaluate {count} event")),
                "{message}"
            );
            *capped.entry(rule).or_default() += count;
        }
    }
    // What a service has on disk is the same.
    let changes = detectors.take_changes().unwrap();
    let mut restored = run.keyed();
    restored.set_watermark(BASE).unwrap();
    for (rule, _, rows) in &changes.pending {
        restored.restore_pending(rule, rows).unwrap();
    }
    let mut times: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    for (number, detectors) in [&mut detectors, &mut restored].into_iter().enumerate() {
        let mut found: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for finding in detectors.advance(BASE + 1_000_000).unwrap() {
            let of_rule = found.entry(finding.rule).or_default();
            of_rule.push(finding.time.micros() - BASE);
        }
        found.values_mut().for_each(|times| times.sort_unstable());
        match number {
            0 => times = found,
            _ => assert_eq!(found, times, "restored"),
        }
    }
    (times, capped)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_rows_that_wait_costs_its_own_rule_its_newest() {
    let flood = |from: i64, rows: i64| (from..from + rows).map(|at| event(at, 1, "count"));
    let few = |from: i64, rows: i64| (from..from + rows).map(|at| event(at * 100, 2, "read"));
    // The flood comes in one object or several, before the others or after.
    let objects = [
        vec![flood(0, 3_000).chain(few(0, 30)).collect()],
        vec![
            flood(1_500, 1_500).collect(),
            few(0, 30).collect(),
            flood(0, 1_500).collect(),
        ],
        vec![
            few(0, 15).collect(),
            flood(0, 3_000).collect(),
            few(15, 15).collect(),
        ],
    ];
    for objects in &objects {
        for (most, left) in [
            (3_030, 3_000),
            (3_029, 2_999),
            (1_000, 970),
            (61, 31),
            (60, 30),
        ] {
            for (partitions, at_once) in [(1, 1), (2, 3)] {
                let (times, capped) = flooded(objects, most, partitions, at_once).await;
                let of_flood: Vec<i64> = (0..left).collect();
                let of_few: Vec<i64> = (0..30).map(|at| at * 100).collect();
                assert_eq!(
                    times,
                    BTreeMap::from([(0, of_flood), (1, of_few)]),
                    "{most}"
                );
                let lost = u64::try_from(3_000 - left).unwrap();
                let wanted = [("steps".to_owned(), lost)].into_iter();
                let wanted: BTreeMap<_, _> = wanted.filter(|(_, lost)| *lost > 0).collect();
                assert_eq!(capped, wanted, "{most}");
            }
        }
    }
    // Two that have too much have the same.
    let both = [flood(0, 500)
        .chain((0..400).map(|at| event(at, 2, "read")))
        .collect()];
    let (times, capped) = flooded(&both, 100, 2, 1).await;
    let kept: Vec<usize> = times.values().map(Vec::len).collect();
    assert_eq!(kept, [50, 50]);
    let lost = [("other-steps".to_owned(), 350), ("steps".to_owned(), 450)];
    assert_eq!(capped, BTreeMap::from(lost));
}

#[test]
fn a_flood_whatever_its_order_leaves_what_is_oldest() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let strategy = (
        prop::collection::btree_set(0i64..5_000, 1..300),
        prop::collection::btree_set(0i64..5_000, 0..40),
        prop::collection::vec(0usize..100, 1..150),
        (1usize..6, 1usize..4, 1usize..4, 1usize..200),
    );
    let result = runner(24).run(
        &strategy,
        |(flood, few, deal, (objects, partitions, at_once, most))| {
            runtime.block_on(async {
                let of = |times: &BTreeSet<i64>, user, step| -> Vec<Event> {
                    times.iter().map(|at| event(*at, user, step)).collect()
                };
                let mut events = of(&flood, 1, "count");
                events.extend(of(&few, 2, "read"));
                let objects = dealt(&events, &deal, objects);
                let (times, capped) = flooded(&objects, most, partitions, at_once).await;
                let mut lost = 0;
                for (rule, all) in [(0, &flood), (1, &few)] {
                    let kept = times.get(&rule).cloned().unwrap_or_default();
                    prop_assert!(kept.iter().eq(all.iter().take(kept.len())), "{:?}", kept);
                    prop_assert!(kept.len() >= all.len().min(most / 2));
                    lost += all.len() - kept.len();
                }
                prop_assert_eq!(capped.values().sum::<u64>(), lost as u64);
                Ok(())
            })
        },
    );
    result.unwrap();
}

/// Which keys are left of so many, and what is told.
async fn left_of(events: &[Event], change: impl Fn(&mut RunOptions)) -> (Vec<String>, Vec<String>) {
    let table = Steps::over(&[events.to_vec()]);
    let mut options = options(1, 8_192);
    change(&mut options);
    let mut run = table.open(&options).await;
    let mut detectors = run.keyed();
    let files = run.files().to_vec();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    detectors.advance(BASE + 1_000).unwrap();
    let forgotten = detectors.take_capped().into_iter();
    let told = forgotten.map(|(_, _, message)| message).collect();
    assert!(detectors.take_capped().is_empty(), "it is told once");
    let states = detectors.take_changes().unwrap().states;
    let kept = states.into_iter().filter(|(_, _, bytes)| bytes.is_some());
    (kept.map(|(_, key, _)| key).collect(), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_keys_those_without_an_event_for_longest_are_forgotten() {
    // The first key has another event before the ninth key comes.
    let mut events: Vec<Event> = (0..9)
        .map(|user| event(i64::from(user) * 10, user, "count"))
        .collect();
    events.insert(8, event(75, 0, "count"));
    let most = |keys| move |options: &mut RunOptions| options.max_keys = keys;
    let (kept, told) = left_of(&events, most(9)).await;
    assert_eq!((kept.len(), told.len()), (9, 0));
    let (kept, told) = left_of(&events, most(8)).await;
    assert_eq!(kept, ["u0", "u3", "u4", "u5", "u6", "u7", "u8"]);
    assert_eq!(
        told,
        [
            "rule `steps` kept state of more than 8 keys, so it forgot the 2 keys without an event after 2026-05-01T00:59:59.999720Z; narrow its `where` or `partition_by`, shorten its `state_for`, or raise `keys_per_rule`"
        ]
    );
    // A counter has eight bytes, its name one or more, the key's name two.
    let bytes = |options: &mut RunOptions| options.max_key_bytes = 40;
    let (kept, told) = left_of(&events, bytes).await;
    assert!(
        kept.contains(&"u8".to_owned()) && kept.len() < 5,
        "{kept:?}"
    );
    assert!(told[0].contains("`state_mib_per_rule`"), "{told:?}");
}

/// This guest counts its calls by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_own_memory_of_a_plugin_goes_on() {
    let events: Vec<Event> = [0, 1, 2, 0, 1, 2]
        .into_iter()
        .zip(0..)
        .map(|(user, at)| event(at, user, "count"))
        .collect();
    let mut table = Steps::over(&[events]);
    let rule = STEPS.replace("\"steps\"", "\"well-behaved\"");
    table.fixture.input.rules = Fixture::default().rule_toml(&rule).input.rules;
    let hostile = Fixture::default().plugin(guests::hostile(), &Limits::default());
    table.fixture.input.plugins = hostile.unwrap().input.plugins;
    let mut run = table.open(&options(1, 8_192)).await;
    let files = run.files().to_vec();
    let mut detectors = run.keyed();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        detectors.push(rows).unwrap();
    }
    let memory = |detectors: &mut KeyedDetectors| {
        let mut snapshots = detectors.take_changes().unwrap().snapshots;
        assert_eq!(snapshots.len(), 1);
        snapshots.remove(0)
    };
    let calls = |bytes: &[u8]| {
        bytes
            .last_chunk::<8>()
            .map(|last| u64::from_le_bytes(*last))
    };
    // Three keys, then one of them again.
    detectors.advance(BASE + 3).unwrap();
    let (rule, first) = memory(&mut detectors);
    assert_eq!((rule.as_str(), calls(&first)), ("well-behaved", Some(3)));
    assert!(detectors.take_changes().unwrap().snapshots.is_empty());
    detectors.advance(BASE + 4).unwrap();
    assert_eq!(calls(&memory(&mut detectors).1), Some(4));

    let mut again = run.keyed();
    again.set_watermark(BASE + 3).unwrap();
    again.restore_snapshot(&rule, &first).unwrap();
    for rows in run.run(&files, 0).await.unwrap().keyed {
        again.push(rows).unwrap();
    }
    again.advance(BASE + 5).unwrap();
    assert_eq!(calls(&memory(&mut again).1), Some(5));
}

/// The example does what its cases say, and its alerts are the same in any order of work.
#[test]
fn the_example_remembers() {
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/stateful");
    let ran = yagura(&["test", pack]).must_work();
    assert!(ran.stdout.contains("7 cases: 7 passed"), "{}", ran.stdout);
    let ran = yagura(&["bench", pack, "--events", "200", "--runs", "1"]).must_work();
    assert!(ran.stdout.contains("mfa-removed"), "{}", ran.stdout);

    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for minute in 0..30 {
        let (user, second) = (minute % 3, 59 - minute);
        let result = if minute < 20 { "Failure" } else { "Success" };
        lines.push_str(&format!(
            "{{\"eventTime\":\"2026-03-09T08:{minute:02}:{second:02}Z\",\"eventName\":\"ConsoleLogin\",\"sourceIPAddress\":\"198.51.100.23\",\"userIdentity\":{{\"type\":\"IAMUser\",\"userName\":\"u{user}\"}},\"responseElements\":{{\"ConsoleLogin\":\"{result}\"}}}}\n"
        ));
    }
    let file = dir.path().join("events.ndjson");
    fs::write(&file, lines).unwrap();
    let (file, lake) = (file.to_str().unwrap(), dir.path().join("lake"));
    let lake = lake.to_str().unwrap();
    yagura(&["ingest", "--table", "aws_cloudtrail", "--to", lake, file]).must_work();
    let alerts = |more: &[&str]| {
        let mut arguments = vec!["run", "--lake", lake, "--pack", pack, "--format", "json"];
        arguments.extend(more);
        yagura(&arguments)
    };
    let first = alerts(&[]).must_work().stdout;
    assert_eq!(first.lines().count(), 3, "{first}");
    for more in [["--partitions", "4"], ["--batch-rows", "1"]] {
        assert_eq!(alerts(&more).must_work().stdout, first, "{more:?}");
    }
    let ran = alerts(&["--max-pending-rows", "29"]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("30 of them for `guessed-password`"),
        "{}",
        ran.stderr
    );
    // A service has the same limit, under its own name, and gives up the newest events rather than the table.
    let file = dir.path().join("yagura.toml");
    for limit in [29, 30] {
        let text = format!(
            "packs = [\"{pack}\"]\n[lake]\nurl = \"lake\"\n[serve]\nstate = \"state{limit}\"\nalerts = \"alerts{limit}\"\npending_rows = {limit}\n"
        );
        fs::write(&file, text).unwrap();
        let ran = yagura(&["serve", "--once", "--config", file.to_str().unwrap()]).must_work();
        let told = ran.stderr.contains("more than 29 events of table `aws_cloudtrail` waited for rules with `partition_by`, so rule `guessed-password` does not evaluate 1 event at 2026-03-09T08:29:30.000000Z or later");
        let names = ran.stderr.contains("`pending_rows` of [serve]");
        let is_over = limit == 29;
        assert_eq!((told, names), (is_over, is_over), "{limit}: {}", ran.stderr);
        let status = yagura(&[
            "status",
            "--format",
            "json",
            "--config",
            file.to_str().unwrap(),
        ]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        let mut rules = status["rules"].as_array().unwrap().iter();
        let capped = rules.find(|rule| rule["rule"] == "guessed-password");
        let capped = capped.map_or(0, |rule| rule["capped"].as_u64().unwrap());
        assert_eq!(capped, u64::from(is_over), "{limit}: {status:#}");
        assert_eq!(status["tables"][0]["waiting"], 0, "{limit}");
    }
}

#[test]
fn a_service_leaves_keys_on_disk_and_forgets_what_is_over_its_bound() {
    const HOUR: i64 = 3_600_000_000;
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    for folder in ["pack/rules", "lake/t", "few/t"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    fs::write(path("pack/stateful.wasm"), guests::stateful()).unwrap();
    fs::write(
        path("pack/pack.toml"),
        "[pack]\nname = \"steps\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"stateful.wasm\"\nworld = \"detector\"\n",
    )
    .unwrap();
    let rule = "[rule]\nid = \"steps\"\ntitle = \"{step}\"\ntable = \"t\"\nplugin = \"stateful.wasm\"\ncolumns = [\"step\", \"time\"]\npartition_by = [\"user\"]\nstate_for = \"3h\"\n[rule.alert]\nwindow = \"1h\"\n";
    fs::write(path("pack/rules/steps.toml"), rule).unwrap();
    let write = |name: &str, events: &[(i64, String)]| {
        table::write_users(&place.path().join(name), events, "count");
    };
    let serve = |lake: &str, more: &str| {
        let text = format!(
            "packs = [\"pack\"]\n[lake]\nurl = \"{lake}\"\n[table.t]\ntime = \"time\"\n[serve]\nstate = \"{lake}-state\"\nalerts = \"{lake}.ndjson\"\nlateness = \"1ms\"\nmemory_mib = 1\n{more}"
        );
        let config = path(&format!("{lake}.toml"));
        fs::write(&config, text).unwrap();
        let ran = yagura(&["serve", "--once", "--config", &config]).must_work();
        let status = yagura(&["status", "--format", "json", "--config", &config]).must_work();
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        let rules = status["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["rule"] == "steps").unwrap();
        let number = |key: &str| rule[key].as_i64().unwrap();
        let keys = (number("keys"), number("spilled"));
        (ran.stderr, keys, number("bytes"), number("capped"))
    };
    // The last of them ends the time of the others.
    let mut many: Vec<(i64, String)> = (0..20_000)
        .map(|user| (user, format!("somebody{user}")))
        .collect();
    many.push((HOUR, "last".to_owned()));
    write("lake/t/1.parquet", &many);
    write("few/t/1.parquet", &many);
    let (told, (keys, on_disk), bytes, _) = serve("lake", "");
    assert!(!told.contains("forgot"), "{told}");
    assert_eq!(keys + on_disk, 20_000);
    assert!(on_disk > 15_000 && bytes < 3 << 20, "{on_disk}, {bytes}");
    // What is on disk comes back, over a restart too, and gives the alerts that one run gives.
    let again = [
        (2 * HOUR, "somebody7".to_owned()),
        (5 * HOUR, "last".to_owned()),
    ];
    write("lake/t/2.parquet", &again);
    let (_, (keys, on_disk), ..) = serve("lake", "");
    // Three hours after their events the others are gone, and the last event is still to be evaluated.
    assert_eq!(keys + on_disk, 1);
    let text = fs::read_to_string(path("lake.ndjson")).unwrap();
    let alerts = |text: &str| -> Vec<serde_json::Value> {
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let live = alerts(&text);
    let config = path("lake.toml");
    let run = yagura(&["run", "--config", &config, "--format", "json"]).must_work();
    let run = alerts(&run.stdout);
    assert!(live.len() >= 3, "{text}");
    for (line, alert) in live.iter().zip(&run) {
        assert_eq!(line["alert"]["id"], alert["id"]);
        assert_eq!(line["alert"]["title"], alert["title"]);
    }
    assert_eq!(run[2]["title"], "2");

    // A bound that all of them exceed.
    let (told, (keys, on_disk), _, capped) = serve("few", "keys_per_rule = 1000\n");
    assert!(
        told.contains("rule `steps` kept state of more than 1000 keys, so it forgot the"),
        "{told}"
    );
    assert!(keys + on_disk <= 1_000 && capped >= 19_000, "{capped}");
    let config = path("few.toml");
    let ran = yagura(&["run", "--config", &config, "--keys-per-rule", "1000"]).must_work();
    assert!(ran.stderr.contains("more than 1000 keys"), "{}", ran.stderr);
}
