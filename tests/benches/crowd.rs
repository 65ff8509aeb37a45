//! A hundred plugins over an hour of events, with and without ten of them that are hostile.
//!
//! ```text
//! cargo xtask guests
//! cargo bench --workspace --bench crowd
//! ```
//!
//! Sixty objects of a minute each, of 300,000 events (5,000 a second), arrive at a service a second apart: an hour in a
//! minute. With and without take turns, three times. Latency is from an object's arrival to each alert of the ninety others.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Duration;

use anyhow::{Result, ensure};
use yagura_core::pack::Limits;
use yagura_tests::crowd::{Crowd, FAULTY, HOSTILE, Seen};

fn main() -> Result<()> {
    // Without it, as under `cargo test --benches`, a few objects show that everything still works.
    let full = std::env::args().any(|argument| argument == "--bench");
    let (minutes, events, rounds) = if full {
        (60, 300_000, 3)
    } else {
        (2, 2_000, 1)
    };
    let crowd = Crowd::new(minutes, events, Limits::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(4 << 20)
        .build()?;
    let pause = Duration::from_secs(if full { 1 } else { 0 });
    println!(
        "{minutes} objects of {events} events; 90 honest plugins, {} hostile ones",
        HOSTILE.len()
    );
    println!(
        "{:<10} {:>12} {:>12} {:>12} {:>12} {:>14} {:>14}",
        "", "busy s", "median ms", "95 % ms", "longest ms", "plugins MiB", "resident MiB"
    );
    let mut without: Option<Seen> = None;
    let mut ratios: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        let mut alone = None;
        for with_hostile in [false, true] {
            let seen = runtime.block_on(crowd.watch(with_hostile, pause))?;
            let figures = print(with_hostile, &seen);
            match alone {
                None => alone = Some(figures),
                Some(alone) => {
                    let pairs = figures.iter().zip(alone);
                    for (ratios, (with, alone)) in ratios.iter_mut().zip(pairs) {
                        ratios.push(with / alone);
                    }
                }
            }
            match &without {
                None => without = Some(seen),
                Some(without) => {
                    for (rule, alerts) in &without.settled {
                        ensure!(
                            seen.settled.get(rule) == Some(alerts),
                            "{rule} says another thing"
                        );
                    }
                    for rule in FAULTY.iter().filter(|_| with_hostile) {
                        let named = format!("rule `{rule}` ");
                        ensure!(
                            seen.messages
                                .iter()
                                .any(|message| message.starts_with(&named)),
                            "nothing is said of {rule}"
                        );
                    }
                }
            }
        }
    }
    let [busy, median, most, longest] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    });
    println!(
        "{:<10} {busy:>12.2} {median:>12.2} {most:>12.2} {longest:>12.2}",
        "ratio"
    );
    Ok(())
}

/// Prints what was seen, and returns the seconds that were worked and the milliseconds of half, most and all alerts.
fn print(with_hostile: bool, seen: &Seen) -> [f64; 4] {
    let mut latencies = seen.latencies.clone();
    latencies.sort();
    let at = |percent: usize| {
        let index = latencies.len() * percent / 100;
        let latency = latencies.get(index.min(latencies.len().saturating_sub(1)));
        latency.copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let mib = |bytes: u64| bytes >> 20;
    let third = seen.resident.len() / 3;
    let early = seen
        .resident
        .get(..third)
        .and_then(|part| part.iter().max());
    let late = seen
        .resident
        .get(2 * third..)
        .and_then(|part| part.iter().max());
    println!(
        "{:<10} {:>12.2} {:>12.0} {:>12.0} {:>12.0} {:>14} {:>14}",
        if with_hostile { "with" } else { "without" },
        seen.busy.as_secs_f64(),
        at(50),
        at(95),
        at(100),
        mib(seen.plugin_memory.iter().max().copied().unwrap_or_default() as u64),
        format!(
            "{}, {}",
            mib(early.copied().unwrap_or_default()),
            mib(late.copied().unwrap_or_default())
        )
    );
    [seen.busy.as_secs_f64(), at(50), at(95), at(100)]
}
