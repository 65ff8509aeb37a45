//! Ninety plugins over half an hour of events: alone, beside ten that are honest too, and beside ten that are hostile.
//!
//! ```text
//! cargo xtask guests
//! cargo bench --workspace --bench crowd
//! ```
//!
//! Thirty objects of a minute each, of 300,000 events (5,000 a second), arrive at a service a second apart. The three take turns,
//! five times. Latency is from an object's arrival to each alert of the ninety. Ten more plugins evaluate a tenth more events,
//! hostile or not: so what being hostile costs the ninety is the ratio to the hundred honest ones.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Duration;

use anyhow::{Result, ensure};
use yagura_core::pack::Limits;
use yagura_tests::crowd::{Crowd, FAULTY, HOSTILE, Seen, Ten};

const TURNS: [(Ten, &str); 3] = [
    (Ten::Absent, "ninety"),
    (Ten::Honest, "ten honest"),
    (Ten::Hostile, "ten hostile"),
];

fn main() -> Result<()> {
    // Without it, as under `cargo test --benches`, a few objects show that everything still works.
    let full = std::env::args().any(|argument| argument == "--bench");
    let (minutes, events, rounds) = if full {
        (30, 300_000, 5)
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
        "{minutes} objects of {events} events; 90 honest plugins, and ten more: {}",
        HOSTILE.join(", ")
    );
    println!(
        "{:<12} {:>12} {:>12} {:>12} {:>12} {:>14} {:>14}",
        "", "busy s", "median ms", "95 % ms", "longest ms", "plugins MiB", "resident MiB"
    );
    let mut alone: Option<Seen> = None;
    let mut rounds_of = [const { Vec::new() }; TURNS.len()];
    for _ in 0..rounds {
        for ((ten, name), figures) in TURNS.into_iter().zip(&mut rounds_of) {
            let seen = runtime.block_on(crowd.watch(ten, pause))?;
            figures.push(print(name, &seen));
            check(alone.as_ref().unwrap_or(&seen), ten, &seen)?;
            alone.get_or_insert(seen);
        }
    }
    let [ninety, honest, hostile] = &rounds_of;
    print_ratio("to ninety", hostile, ninety);
    print_ratio("to hundred", hostile, honest);
    Ok(())
}

/// Fails where the ninety report something else than alone, or nothing is reported of a plugin that cannot evaluate.
fn check(alone: &Seen, ten: Ten, seen: &Seen) -> Result<()> {
    for (rule, alerts) in &alone.settled {
        ensure!(
            seen.settled.get(rule) == Some(alerts),
            "{rule} reports another thing"
        );
    }
    for rule in FAULTY.iter().filter(|_| ten == Ten::Hostile) {
        let named = format!("rule `{rule}` ");
        let messages = &seen.messages;
        ensure!(
            messages.iter().any(|message| message.starts_with(&named)),
            "nothing is reported of {rule}"
        );
    }
    Ok(())
}

/// Prints the median of the ratios of the rounds.
fn print_ratio(name: &str, of: &[[f64; 4]], to: &[[f64; 4]]) {
    let median = |figure: usize| {
        let pairs = of.iter().zip(to);
        let mut ratios: Vec<f64> = pairs.map(|(of, to)| of[figure] / to[figure]).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    };
    let [busy, half, most, longest] = [0, 1, 2, 3].map(median);
    println!("{name:<12} {busy:>12.2} {half:>12.2} {most:>12.2} {longest:>12.2}");
}

/// Prints what was seen, and returns the seconds that were worked and the milliseconds of half, most and all alerts.
fn print(name: &str, seen: &Seen) -> [f64; 4] {
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
        "{name:<12} {:>12.2} {:>12.0} {:>12.0} {:>12.0} {:>14} {:>14}",
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
