//! The same detectors in a service that is stopped and started again.

use yagura_correlate::store::{StateStore, StoreLimits};
use yagura_engine::live::{CommittedLine, Live, LiveOptions};
use yagura_tests::random::runner;

use super::model::{Event, dealt, event, events};
use super::table::{Steps, options};
use proptest::prelude::*;

#[test]
fn a_service_that_restarts_settles_what_one_run_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deal = prop::collection::vec(0usize..100, 1..150);
    // Memory for all keys or for none, and room for all of them or for some.
    let bounds = (
        prop::sample::select(vec![0usize, 512 << 20]),
        prop::sample::select(vec![1usize, 2, 3, 1_000_000]),
        prop::sample::select(vec![20u64, 40, 1 << 30]),
    );
    let steps = (1usize..4, 1usize..4, 1usize..4);
    let strategy = (events(), deal, 1usize..9, steps, bounds);
    let compared = std::cell::Cell::new(0);
    let result = runner(48).run(
        &strategy,
        |(events, deal, objects, (at_once, restart, partitions), (memory, keys, bytes))| {
            runtime.block_on(async {
                let table = Steps::over(&dealt(&events, &deal, objects));
                let mut run = options(partitions, 100);
                run.max_keys = keys;
                run.max_key_bytes = bytes;
                let one = table.fixture.run(&run).await.unwrap().alerts;
                let (live, _) = settled(&table, &run, at_once, restart, memory).await;
                compared.set(compared.get() + one.len());
                prop_assert_eq!(live, one);
                Ok(())
            })
        },
    );
    result.unwrap();
    assert!(compared.get() > 20, "only {} alerts", compared.get());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_ends_where_keys_fill_the_memory() {
    let events: Vec<Event> = (0..300_000_u32)
        .map(|n| event(i64::from(n), u8::try_from(n % 3).unwrap(), "count"))
        .collect();
    let table = Steps::over(&[events]);
    let run = options(2, 8_192);
    let one = table.fixture.run(&run).await.unwrap().alerts;
    let (live, ended) = settled(&table, &run, 1, 2, 0).await;
    assert_eq!((live, ended), (one.clone(), 2));
    let (live, ended) = settled(&table, &run, 1, 2, 512 << 20).await;
    assert_eq!((live, ended), (one, 0));
}

/// Reads the table's objects so many at a time, and opens the state again after every so many steps. Returns also how many
/// steps ended because keys filled the memory.
async fn settled(
    table: &Steps,
    run: &yagura_engine::RunOptions,
    at_once: usize,
    restart: usize,
    memory: usize,
) -> (Vec<yagura_core::Alert>, usize) {
    let state = tempfile::tempdir().unwrap();
    let start = || async {
        let options = LiveOptions {
            run: run.clone(),
            step_objects: at_once,
            every_lateness: Some(0),
            first_load: None,
            ..LiveOptions::default()
        };
        let limits = StoreLimits {
            memory,
            ..StoreLimits::default()
        };
        let store = StateStore::open(state.path(), limits).unwrap();
        let input = table.fixture.input.clone();
        let (mut live, _) = Live::open(input, options, store, 0).await.unwrap();
        live.poll().await.unwrap();
        live
    };
    let mut live = start().await;
    let mut lines = std::collections::BTreeMap::new();
    let (mut steps, mut ended) = (0, 0);
    while let Some(report) = live.step().await.unwrap() {
        ended += usize::from(report.goes_on);
        lines.extend(numbered(&mut live));
        steps += 1;
        if steps % restart == 0 {
            live.flush().unwrap();
            drop(live);
            live = start().await;
        }
    }
    live.finish().await.unwrap();
    lines.extend(numbered(&mut live));
    let mut alerts: Vec<_> = lines
        .values()
        .filter_map(|line| line.final_alert().cloned())
        .collect();
    for event in alerts
        .iter_mut()
        .flat_map(|alert| &mut alert.evidence.events)
    {
        event.hash.clear();
    }
    alerts
        .sort_by(|a, b| (a.window_start, &a.rule, &a.key).cmp(&(b.window_start, &b.rule, &b.key)));
    (alerts, ended)
}

/// Returns the lines that were committed since the last call, by their numbers.
fn numbered(live: &mut Live) -> impl Iterator<Item = (i64, CommittedLine)> + use<> {
    let lines = live.take_lines().unwrap();
    lines.into_iter().map(|line| (line.seq(), line))
}
