//! The same final alerts, whatever the steps, the threads, the order of arrival, the memory, the restarts, and what is
//! evaluated beside the steps.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use yagura_core::pack::parse_rule;
use yagura_core::{Alert, AlertState, EventRef, Finding, Rule, Timestamp};
use yagura_correlate::store::{StateStore, StepChanges, StoreLimits};
use yagura_correlate::{AlertChange, CorrelationEngine, CorrelationOptions, NoSpill, Watermark};

const SECOND: i64 = 1_000_000;

/// Seconds that an event may come late.
const LATENESS: i64 = 30;

const TABLES: [&str; 3] = ["t0", "t1", "t2"];

fn base(number: usize, report: &str) -> String {
    format!(
        "[rule]\nid = \"b{number}\"\ntitle = \"b\"\ntable = \"{}\"\nwhere = \"true\"\n[rule.alert]\nwindow = \"{}s\"\nthreshold = {}\nreport = \"{report}\"\n",
        TABLES[number % 3],
        20 + number * 15,
        1 + number % 3,
    )
}

/// A random correlation over the rules b0 to b3 and those before it.
fn correlation() -> impl Strategy<Value = (String, bool)> {
    let kind = prop_oneof![
        Just("type = \"count\"\ncondition = { gte = 3 }"),
        Just("type = \"count\"\ncondition = { lte = 1 }"),
        Just("type = \"count\"\ncondition = { gte = 2 }\nwindow = \"tumbling\""),
        Just("type = \"count\"\ncondition = { eq = 2 }\nwindow = \"session\"\ngap = \"9s\""),
        Just("type = \"distinct\"\nfield = \"v\"\ncondition = { gte = 2 }"),
        Just(
            "type = \"distinct\"\nfield = \"v\"\ncondition = { gte = 2 }\nwindow = \"tumbling\"\napproximate = true"
        ),
        Just("type = \"sum\"\nfield = \"v\"\ncondition = { gt = 6 }"),
        Just("type = \"avg\"\nfield = \"v\"\ncondition = { lt = 2 }"),
        Just("type = \"avg\"\nfield = \"v\"\ncondition = { gte = 2 }\nwindow = \"tumbling\""),
        Just("type = \"percentile\"\nfield = \"v\"\npercentile = 75\ncondition = { gte = 3 }"),
        Just("type = \"sequence\""),
        Just("type = \"sequence\"\nstep_within = \"7s\""),
        Just("type = \"any-order\""),
        Just("type = \"any-order\"\nexpression = \"R0 and not R1\""),
        Just("type = \"absence\""),
        Just("type = \"session\"\ngap = \"11s\""),
        Just("type = \"new-value\"\nfield = \"v\""),
        Just("type = \"spike\"\nbaseline = \"200s\"\nminimum = 2\nfactor = 1.5"),
        Just("type = \"flatline\"\nbaseline = \"200s\"\nminimum = 1\nfactor = 0.5"),
        Just("type = \"rare\"\nfield = \"v\"\nlearn = \"5s\""),
        Just("type = \"change\"\nfields = [\"v\"]"),
        Just("type = \"stages\"\nseverities = [\"low\", \"high\"]"),
    ];
    let within = prop_oneof![Just(10), Just(25), Just(60)];
    (kind, within, 0..4_usize, 1..4_usize, any::<bool>(), any::<bool>()).prop_map(
        |(kind, within, first, other, keyed, chained)| {
            let second = (first + other) % 4;
            let by = if keyed || kind.contains("\"rare\"") { "by = [\"k\"]\n" } else { "" };
            let names = [format!("b{first}"), format!("b{second}")];
            let measures = !["sequence", "stages", "absence", "new-value", "change"]
                .iter()
                .any(|word| kind.contains(&format!("\"{word}\"")));
            let kind = kind.replace("R0", &names[0]).replace("R1", &names[1]);
            let text = format!(
                "[rule]\nid = \"ID\"\ntitle = \"{}ID\"\n[rule.correlation]\n{kind}\nrules = [\"{}\", \"{}\"]\n{by}within = \"{within}s\"\n[rule.alert]\nwindow = \"40s\"\n",
                if measures { "{count} of " } else { "" },
                names[0], names[1]
            );
            (text, chained)
        },
    )
}

#[derive(Debug, Clone)]
struct Event {
    second: i64,
    rule: usize,
    key: u8,
    value: u8,
    /// Its row, which another rule may find too.
    row: usize,
    /// How late it comes, in seconds.
    delay: i64,
    /// Steps after its arrival until it is evaluated, where that is done aside.
    aside: usize,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let also = proptest::option::weighted(0.2, 1..4_usize);
    let aside = prop_oneof![4 => Just(0_usize), 1 => 1..6_usize];
    let place = (0..400_i64, 0..LATENESS, aside);
    let event = (place, 0..4_usize, 0..4_u8, 0..5_u8, also);
    proptest::collection::vec(event, 0..120).prop_map(|events| {
        let mut all = Vec::new();
        for (row, (place, rule, key, value, also)) in events.into_iter().enumerate() {
            let (second, delay, aside) = place;
            let event = Event {
                second,
                rule,
                key,
                value,
                row,
                delay,
                aside,
            };
            all.extend(also.map(|other| Event {
                rule: (rule + other) % 4,
                ..event.clone()
            }));
            all.push(event);
        }
        all
    })
}

fn rules(correlations: &[(String, bool)], report: &str) -> Vec<Arc<Rule>> {
    let mut texts: Vec<String> = (0..4).map(|number| base(number, report)).collect();
    for (number, (text, _)) in correlations.iter().enumerate() {
        texts.push(text.replace("ID", &format!("c{number}")));
    }
    // A chain: a count of the findings of those that say so.
    let chained: Vec<String> = correlations
        .iter()
        .enumerate()
        .filter(|(_, (text, chained))| *chained && text.contains("by = "))
        .map(|(number, _)| format!("\"c{number}\""))
        .collect();
    if !chained.is_empty() {
        texts.push(format!(
            "[rule]\nid = \"chain\"\ntitle = \"chain of {{k}}\"\n[rule.correlation]\ntype = \"count\"\nrules = [{}]\nby = [\"k\"]\nwithin = \"100s\"\ncondition = {{ gte = 2 }}\n",
            chained.join(", ")
        ));
        // Evidence of what goes on is kept by what waits for another rule.
        for kind in ["sequence", "any-order"] {
            texts.push(format!(
                "[rule]\nid = \"{kind}\"\ntitle = \"{{k}}\"\n[rule.correlation]\ntype = \"{kind}\"\nrules = [\"chain\", {}, \"b0\"]\nby = [\"k\"]\nwithin = \"60s\"\n",
                chained[0]
            ));
        }
    }
    texts
        .iter()
        .map(|text| Arc::new(parse_rule("r.toml".as_ref(), text).unwrap().rule))
        .collect()
}

fn finding(engine: &CorrelationEngine, event: &Event) -> Finding {
    let time = Timestamp::clamped(event.second * SECOND);
    let fields =
        engine.graph().fields()[event.rule]
            .iter()
            .map(|path| match path.to_string().as_str() {
                // A key that is sometimes absent.
                "k" => (event.key > 0).then(|| format!("k{}", event.key)),
                _ => Some(event.value.to_string()),
            });
    Finding {
        rule: event.rule,
        time,
        events: vec![EventRef {
            time,
            // Objects hold events of any times, as they do where sources are late.
            object: format!("o{}", event.row % 7).into(),
            row: event.row as u64,
        }],
        key: format!("k{}", event.key),
        title: format!("value {}", event.value),
        severity: None,
        observables: vec![("user".into(), format!("u{}", event.value))],
        context: Vec::new(),
        fields: fields.collect(),
    }
}

fn finals(changes: Vec<AlertChange>) -> Vec<Alert> {
    let finals = changes
        .into_iter()
        .filter(|change| change.state == AlertState::Final);
    finals.map(|change| change.alert).collect()
}

fn sorted(mut alerts: Vec<Alert>) -> Vec<String> {
    alerts
        .sort_by(|a, b| (a.window_start, &a.rule, &a.key).cmp(&(b.window_start, &b.rule, &b.key)));
    alerts.iter().map(|alert| format!("{alert:?}")).collect()
}

/// The last second of a table's events.
fn end_of(events: &[Event], table: &str) -> i64 {
    let of_table = events
        .iter()
        .filter(|event| TABLES[event.rule % 3] == table);
    of_table
        .map(|event| event.second * SECOND)
        .max()
        .unwrap_or(0)
}

fn one_shot(rules: &[Arc<Rule>], events: &[Event]) -> Vec<String> {
    let mut engine = CorrelationEngine::new(rules.to_vec(), CorrelationOptions::default()).unwrap();
    let findings: Vec<Finding> = events.iter().map(|event| finding(&engine, event)).collect();
    let mut alerts = finals(
        engine
            .step(findings, &|_| Watermark::default(), &mut NoSpill)
            .unwrap()
            .changes,
    );
    let end = |table: &str| end_of(events, table);
    alerts.extend(finals(engine.finish(&end, &mut NoSpill).unwrap().changes));
    sorted(alerts)
}

/// How a live run goes.
#[derive(Debug, Clone)]
struct Live {
    workers: usize,
    /// Events of each step, over and over.
    steps: Vec<usize>,
    /// Bytes of states in memory.
    memory: usize,
    /// Stop and start again after every so many steps.
    restart: usize,
}

fn live_plan() -> impl Strategy<Value = Live> {
    let steps = proptest::collection::vec(1..20_usize, 1..6);
    let memory = prop_oneof![Just(0_usize), Just(30_000), Just(usize::MAX)];
    (1..=8_usize, steps, memory, 1..9_usize).prop_map(|(workers, steps, memory, restart)| Live {
        workers,
        steps,
        memory,
        restart,
    })
}

fn live(rules: &[Arc<Rule>], events: &[Event], plan: &Live) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreLimits {
        memory: plan.memory,
        ..StoreLimits::default()
    };
    let options = CorrelationOptions {
        workers: plan.workers,
        is_live: true,
        ..CorrelationOptions::default()
    };
    let start = || {
        let mut engine = CorrelationEngine::new(rules.to_vec(), options.clone()).unwrap();
        let mut store = StateStore::open(dir.path(), limits).unwrap();
        let (_, withdrawn) = store.load(&mut engine).unwrap();
        assert_eq!(withdrawn, []);
        (engine, store)
    };
    let (mut engine, mut store) = start();
    let mut arrival: Vec<(usize, &Event)> = events.iter().enumerate().collect();
    arrival.sort_by_key(|(number, event)| (event.second + event.delay, *number));
    let mut alerts = Vec::new();
    let mut emitted: BTreeMap<String, ()> = BTreeMap::new();
    let mut take = |changes: Vec<AlertChange>, alerts: &mut Vec<Alert>| {
        for change in changes {
            let id = change.alert.id.clone();
            match change.state {
                AlertState::Provisional => {
                    emitted.insert(id, ());
                }
                AlertState::Withdrawn => {
                    assert!(change.reason.is_some());
                    assert!(
                        emitted.remove(&id).is_some(),
                        "withdrawn, and not emitted: {id}"
                    );
                }
                AlertState::Final => {
                    emitted.remove(&id);
                    alerts.push(change.alert);
                }
            }
        }
        emitted.len()
    };
    let mut rest = arrival.as_slice();
    let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
    let mut steps = plan.steps.iter().cycle();
    let mut step = 0;
    // With the step that has them.
    let mut aside: Vec<(usize, &Event)> = Vec::new();
    while !rest.is_empty() || !aside.is_empty() {
        let (now, later) = rest.split_at((*steps.next().unwrap()).min(rest.len()));
        rest = later;
        let now_aside = now.iter().filter(|(_, event)| event.aside > 0);
        aside.extend(now_aside.map(|(_, event)| (step + event.aside, *event)));
        let evaluated = aside.extract_if(.., |(at, _)| *at == step);
        let findings = evaluated.map(|(_, event)| event);
        let at_once = now.iter().filter(|(_, event)| event.aside == 0);
        let findings = findings.chain(at_once.map(|(_, event)| *event));
        let findings = findings.map(|event| finding(&engine, event)).collect();
        let mut held: BTreeMap<String, i64> = BTreeMap::new();
        for (_, event) in &aside {
            let earliest = held.entry(format!("b{}", event.rule)).or_insert(i64::MAX);
            *earliest = (*earliest).min(event.second * SECOND);
        }
        engine.hold(&held);
        // All that is still to come is no more than so late.
        for (_, event) in now {
            let seen = seen
                .entry(TABLES[event.rule % 3])
                .or_insert(i64::MIN / 2 / SECOND);
            *seen = (*seen).max(event.second + event.delay);
        }
        let watermark = |table: &str| {
            let seen = seen.get(table);
            seen.map_or(Watermark::default(), |seen| {
                Watermark::at((seen - LATENESS) * SECOND)
            })
        };
        let output = engine.step(findings, &watermark, &mut store).unwrap();
        assert!(output.counters.late.is_empty(), "{:?}", output.counters);
        take(output.changes, &mut alerts);
        store.commit(&mut engine, StepChanges::default()).unwrap();
        step += 1;
        if step % plan.restart == 0 {
            drop((engine, store));
            (engine, store) = start();
        }
    }
    let end = |table: &str| end_of(events, table);
    let output = engine.finish(&end, &mut store).unwrap();
    let open = take(output.changes, &mut alerts);
    assert_eq!(open, 0, "provisional alerts are left");
    sorted(alerts)
}

#[test]
fn live_and_one_shot_end_with_the_same_alerts() {
    let cases = std::env::var("YAGURA_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok()).unwrap_or(150);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let report = prop_oneof![Just("provisional"), Just("none"), Just("final")];
    let correlations = proptest::collection::vec(correlation(), 1..5);
    let alerts = std::cell::Cell::new(0);
    runner
        .run(
            &(correlations, report, events(), live_plan()),
            |(correlations, report, events, plan)| {
                let rules = rules(&correlations, report);
                let expected = one_shot(&rules, &events);
                alerts.set(alerts.get() + expected.len());
                prop_assert_eq!(live(&rules, &events, &plan), expected);
                Ok(())
            },
        )
        .unwrap();
    assert!(
        alerts.get() > 100,
        "only {} alerts were compared",
        alerts.get()
    );
}
