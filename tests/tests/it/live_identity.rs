//! Tables that grow in random steps settle the alerts of one run over all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use yagura_core::Pack;
use yagura_correlate::store::{StateStore, StoreLimits};
use yagura_engine::live::{CommittedLine, Live, LiveOptions};
use yagura_engine::{RunInput, RunOptions, run};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_plan::RuleSource;
use yagura_tests::fixture::table_config;
use yagura_tests::random::runner;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::{Dice, StreamEvent, events, write_pack};

/// Seconds that an event may come late.
const LATENESS: u64 = 60;

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    events: u64,
    /// Events of an object, at most.
    object: u64,
    /// Objects that arrive between two steps, at most.
    arrive: u64,
    step_objects: usize,
    partitions: usize,
    batch_rows: usize,
    memory: usize,
    /// Open the state again after every so many arrivals.
    restart: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let memory = prop_oneof![Just(1_usize), Just(usize::MAX)];
    (
        (any::<u64>(), 20..200_u64, 1..30_u64, 1..6_u64),
        (1..5_usize, 1..=8_usize, 1..2_000_usize, memory, 1..6_usize),
    )
        .prop_map(
            |(
                (seed, events, object, arrive),
                (step_objects, partitions, batch_rows, memory, restart),
            )| {
                Plan {
                    seed,
                    events,
                    object,
                    arrive,
                    step_objects,
                    partitions,
                    batch_rows,
                    memory,
                    restart,
                }
            },
        )
}

#[test]
fn steps_of_any_size_settle_what_one_run_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let compared = std::cell::Cell::new(0);
    runner(12)
        .run(&plan(), |plan| {
            let (live, one) = runtime.block_on(both(&plan));
            compared.set(compared.get() + one.len());
            prop_assert_eq!(live, one);
            Ok(())
        })
        .unwrap();
    assert!(compared.get() > 50, "only {} alerts", compared.get());
}

/// Returns the final alerts of a live run and those of one run, as lines of JSON.
async fn both(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let place = Scratch::new();
    write_pack(&place, "pack");
    let lake = Location::parse(&place.path("lake"), &BTreeMap::new()).unwrap();
    let mut dice = Dice::new(plan.seed);
    let mut events = events(&mut dice, plan.events, 1_800);
    // Each table has an event at the beginning, so that both are there from the start.
    for (table, line) in [
        (
            "logins",
            r#"{"time":"2026-03-01T00:00:00Z","user":"u0","ip":"10.0.0.9","outcome":"success"}"#,
        ),
        (
            "flows",
            r#"{"time":"2026-03-01T00:00:00Z","user":"u0","client":"10.0.0.9","bytes":0}"#,
        ),
    ] {
        events.insert(
            0,
            StreamEvent {
                table,
                second: 0,
                line: line.to_owned(),
            },
        );
    }
    // Arrival: each event up to the lateness after it happened.
    let mut arrival: Vec<(i64, StreamEvent)> = events
        .drain(..)
        .enumerate()
        .map(|(number, event)| {
            let delay = if number < 2 { 0 } else { dice.roll(LATENESS) };
            (event.second + i64::try_from(delay).unwrap(), event)
        })
        .collect();
    arrival.sort_by_key(|(at, _)| *at);
    let files = objects(&place, &arrival, plan, &mut dice);

    let input = input(&place, &lake);
    let mut files = files.into_iter();
    for (table, file) in files.by_ref().take(2) {
        put(&lake, &table, file).await;
    }
    let options = || LiveOptions {
        run: RunOptions {
            partitions: plan.partitions,
            batch_rows: plan.batch_rows,
            ..RunOptions::default()
        },
        every_lateness: Some(i64::try_from(LATENESS).unwrap() * 1_000_000),
        step_objects: plan.step_objects,
        // Time moves from the first object on, so that there is more to go wrong.
        first_load: None,
        ..LiveOptions::default()
    };
    let limits = StoreLimits {
        memory: plan.memory,
        ..StoreLimits::default()
    };
    let state = PathBuf::from(place.path("state"));
    let start = || async {
        let store = StateStore::open(&state, limits).unwrap();
        Live::open(input.clone(), options(), store, 0)
            .await
            .unwrap()
            .0
    };
    let mut lines = BTreeMap::new();
    let mut live = start().await;
    let mut rounds = 0;
    loop {
        let mut arrived = 0;
        for (table, file) in files
            .by_ref()
            .take(usize::try_from(1 + dice.roll(plan.arrive)).unwrap())
        {
            put(&lake, &table, file).await;
            arrived += 1;
        }
        if live.poll().await.unwrap() {
            live = live.reopen().await.unwrap().0;
            live.poll().await.unwrap();
        }
        while live.step().await.unwrap().is_some() {}
        lines.extend(numbered(&mut live));
        if arrived == 0 {
            break;
        }
        rounds += 1;
        if rounds % plan.restart == 0 {
            live.flush().unwrap();
            drop(live);
            live = start().await;
        }
    }
    assert_eq!(
        live.statuses()
            .iter()
            .map(|table| table.waiting)
            .sum::<u64>(),
        0
    );
    live.finish().await.unwrap();
    lines.extend(numbered(&mut live));
    let mut settled: Vec<_> = lines
        .values()
        .filter_map(|line| line.final_alert().cloned())
        .collect();
    settled
        .sort_by(|a, b| (a.window_start, &a.rule, &a.key).cmp(&(b.window_start, &b.rule, &b.key)));

    let mut outcome = run(input, &options().run, |_, _| {}).await.unwrap();
    let tables: Vec<_> = outcome
        .tables
        .iter()
        .map(|of| Arc::clone(&of.table))
        .collect();
    let (mut alerts, _) = outcome.alerts(plan.partitions).unwrap();
    let unread = yagura_engine::Hasher::default()
        .fill(&tables, alerts.iter_mut())
        .await;
    assert!(unread.is_empty(), "{unread:?}");
    let json = |alert| serde_json::to_string(alert).unwrap();
    (
        settled.iter().map(json).collect(),
        alerts.iter().map(json).collect(),
    )
}

/// Writes the events into files of one table each, in order of arrival.
fn objects(
    place: &Scratch,
    arrival: &[(i64, StreamEvent)],
    plan: &Plan,
    dice: &mut Dice,
) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut close = |table: &str, lines: Vec<&str>| {
        let name = format!("raw/{}.ndjson", files.len());
        place.write(&name, &(lines.join("\n") + "\n"));
        files.push((table.to_owned(), PathBuf::from(place.path(&name))));
    };
    for (number, (_, event)) in arrival.iter().enumerate() {
        let lines = open.entry(event.table).or_default();
        lines.push(&event.line);
        if number < 2 || lines.len() as u64 > dice.roll(plan.object) {
            close(event.table, std::mem::take(lines));
        }
    }
    for (table, lines) in open {
        if !lines.is_empty() {
            close(table, lines);
        }
    }
    files
}

async fn put(lake: &Location, table: &str, file: PathBuf) {
    ingest(IngestOptions::new(table, lake.clone()), &[file], |_| {})
        .await
        .unwrap();
}

fn input(place: &Scratch, lake: &Location) -> RunInput {
    let pack = Pack::read(place.path("pack").as_ref()).unwrap();
    let rules = pack.rules.into_iter().map(|source| RuleSource {
        rule: Arc::new(source.rule),
        file: source.file,
        plugin: None,
        predicate: None,
        fields: Vec::new(),
        alternatives: Default::default(),
    });
    let tables = ["logins", "flows"].map(|name| {
        let mut config = table_config(name, &place.path("lake"));
        config.location = lake.join(name);
        config
    });
    RunInput {
        rules: rules.collect(),
        tables: tables.to_vec(),
        ..RunInput::default()
    }
}

/// Returns the lines that were committed since the last call, by their numbers.
fn numbered(live: &mut Live) -> impl Iterator<Item = (i64, CommittedLine)> + use<> {
    let lines = live.take_lines().unwrap();
    lines.into_iter().map(|line| (line.seq(), line))
}
