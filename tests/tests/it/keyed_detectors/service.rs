//! The same detectors in a service that is stopped and started again.

use yagura_correlate::store::{Store, StoreLimits};
use yagura_engine::live::{Live, LiveOptions, settled_alert};
use yagura_tests::random::runner;

use super::model::{dealt, events};
use super::table::{Steps, options};
use proptest::prelude::*;

#[test]
fn a_service_that_restarts_settles_what_one_run_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deal = prop::collection::vec(0usize..100, 1..150);
    let strategy = (events(), deal, 1usize..9, 1usize..4, 1usize..4, 1usize..4);
    let compared = std::cell::Cell::new(0);
    let result = runner(16).run(
        &strategy,
        |(events, deal, objects, at_once, restart, partitions)| {
            runtime.block_on(async {
                let table = Steps::over(&dealt(&events, &deal, objects));
                let run = options(partitions, 100);
                let one = table.fixture.run(&run).await.unwrap().alerts;
                let live = settled(&table, &run, at_once, restart).await;
                compared.set(compared.get() + one.len());
                prop_assert_eq!(live, one);
                Ok(())
            })
        },
    );
    result.unwrap();
    assert!(compared.get() > 20, "only {} alerts", compared.get());
}

/// Reads the table's objects so many at a time, and opens the state again after every so many steps.
async fn settled(
    table: &Steps,
    run: &yagura_engine::RunOptions,
    at_once: usize,
    restart: usize,
) -> Vec<yagura_core::Alert> {
    let state = tempfile::tempdir().unwrap();
    let start = || async {
        let options = LiveOptions {
            run: run.clone(),
            step_objects: at_once,
            every_lateness: Some(0),
            first_load: None,
            ..LiveOptions::default()
        };
        let store = Store::open(state.path(), StoreLimits::default()).unwrap();
        let input = table.fixture.input.clone();
        let (mut live, _) = Live::open(input, options, store, 0).await.unwrap();
        live.poll().await.unwrap();
        live
    };
    let mut live = start().await;
    let mut lines = std::collections::BTreeMap::new();
    let mut steps = 0;
    while live.step().await.unwrap().is_some() {
        lines.extend(live.take_lines().unwrap());
        steps += 1;
        if steps % restart == 0 {
            live.flush().unwrap();
            drop(live);
            live = start().await;
        }
    }
    live.finish().await.unwrap();
    lines.extend(live.take_lines().unwrap());
    let mut alerts: Vec<_> = lines
        .values()
        .filter_map(|line| settled_alert(line))
        .collect();
    for event in alerts
        .iter_mut()
        .flat_map(|alert| &mut alert.evidence.events)
    {
        event.hash.clear();
    }
    alerts
        .sort_by(|a, b| (a.window_start, &a.rule, &a.key).cmp(&(b.window_start, &b.rule, &b.key)));
    alerts
}
