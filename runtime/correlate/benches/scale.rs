//! A count for each of a million keys: findings a second, memory, the pause of a checkpoint, and a restart.
//!
//! `cargo bench -p yagura-correlate --bench scale -- [KEYS] [FINDINGS OF A KEY IN ITS WINDOW] [ROUNDS]
//! [MIB OF MEMORY FOR STATES]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints what it measures, and stops at what it did not expect"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use yagura_core::pack::parse_rule;
use yagura_core::{EventRef, Finding, Rule, Timestamp};
use yagura_correlate::store::{StateStore, StepChanges, StoreLimits};
use yagura_correlate::{CorrelationEngine, CorrelationOptions, Watermark};

/// That of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RULES: [&str; 2] = [
    "[rule]\nid = \"part\"\ntitle = \"t\"\ntable = \"t\"\nwhere = \"true\"\n[rule.alert]\nreport = \"none\"\n",
    "[rule]\nid = \"count\"\ntitle = \"{count} by {ip}\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"part\"]\nby = [\"ip\"]\nwithin = \"10m\"\ncondition = { gte = 20 }\n",
];

/// Findings of a step.
const STEP: usize = 50_000;

/// Ten minutes, in microseconds.
const WINDOW: i64 = 600_000_000;

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let keys = numbers.first().copied().unwrap_or(1_000_000);
    let each = numbers.get(1).copied().unwrap_or(3);
    let rounds = numbers.get(2).copied().unwrap_or(6);
    let rules: Vec<Arc<Rule>> = RULES
        .iter()
        .map(|text| Arc::new(parse_rule("rule.toml".as_ref(), text).unwrap().rule))
        .collect();
    let objects: Vec<Arc<str>> = (0..64)
        .map(|number| format!("s3://logs/lake/t/date=2026-01-01/part-{number:08}.parquet").into())
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let options = || CorrelationOptions {
        workers: 1,
        is_live: true,
        ..CorrelationOptions::default()
    };
    let mut engine = CorrelationEngine::new(rules.clone(), options()).unwrap();
    let limits = StoreLimits {
        memory: numbers.get(3).copied().unwrap_or(512) << 20,
        ..StoreLimits::default()
    };
    let mut store = StateStore::open(dir.path(), limits).unwrap();
    store.load(&mut engine).unwrap();

    let total = keys * each * rounds;
    let tick = WINDOW / (keys * each) as i64;
    let start_memory = memory();
    let (mut processed, mut pauses, mut alerts) = (Duration::ZERO, Vec::new(), 0);
    let mut bytes = 0;
    let begun = Instant::now();
    let mut seed: u64 = 1;
    for step in 0..total / STEP {
        let findings: Vec<Finding> = (0..STEP)
            .map(|at| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = step * STEP + at;
                finding(number, tick, (seed >> 33) as usize % keys, &objects)
            })
            .collect();
        // All of them are passed at once: nothing waits, as in a table that is read after the fact.
        let passed = Watermark::at((step + 1) as i64 * STEP as i64 * tick);
        let start = Instant::now();
        let output = engine.step(findings, &|_| passed, &mut store).unwrap();
        processed += start.elapsed();
        alerts += output.changes.len();
        let pause = store.commit(&mut engine, StepChanges::default()).unwrap();
        pauses.push(pause.collected);
        bytes += pause.bytes;
    }
    let whole = begun.elapsed();
    store.flush().unwrap();
    let size = engine.sizes()["count"];
    let grown = memory().saturating_sub(start_memory);
    pauses.sort();
    println!(
        "{} keys live, {} of them on disk, {} findings, {} a key in its window, {alerts} alerts",
        size.keys + size.spilled,
        size.spilled,
        total,
        each
    );
    println!(
        "correlation engine: {:.0} findings a second on one core ({:.0} ns each)",
        total as f64 / processed.as_secs_f64(),
        processed.as_secs_f64() * 1e9 / total as f64
    );
    println!(
        "with a checkpoint every {STEP} findings and making them: {:.0} a second",
        total as f64 / whole.as_secs_f64()
    );
    println!(
        "pause of a checkpoint: median {:.1} ms, longest {:.1} ms; {:.1} MiB each on the average",
        millis(pauses[pauses.len() / 2]),
        millis(pauses[pauses.len() - 1]),
        bytes as f64 / pauses.len() as f64 / 1_048_576.0
    );
    println!(
        "memory: {:.0} MiB resident, {:.0} MiB more than before; states by their own count {:.0} MiB; peak {:.0} MiB",
        mebibytes(memory()),
        mebibytes(grown),
        mebibytes(size.bytes as u64),
        mebibytes(peak())
    );
    drop((engine, store));
    let file = std::fs::metadata(dir.path().join("state.sqlite")).map_or(0, |file| file.len());
    let start = Instant::now();
    let mut engine = CorrelationEngine::new(rules, options()).unwrap();
    let mut store = StateStore::open(dir.path(), limits).unwrap();
    store.load(&mut engine).unwrap();
    let taken = start.elapsed();
    let size = engine.sizes()["count"];
    println!(
        "restart: {} keys, {} of them on disk, in {:.2} s from {:.0} MiB",
        size.keys + size.spilled,
        size.spilled,
        taken.as_secs_f64(),
        mebibytes(file)
    );
}

fn finding(number: usize, tick: i64, key: usize, objects: &[Arc<str>]) -> Finding {
    let time = Timestamp::clamped(number as i64 * tick);
    let (a, b, c) = (key >> 16 & 255, key >> 8 & 255, key & 255);
    Finding {
        rule: 0,
        time,
        events: vec![EventRef {
            time,
            object: Arc::clone(&objects[number / STEP % objects.len()]),
            row: (number % STEP) as u64,
        }],
        key: String::new(),
        title: String::new(),
        severity: None,
        observables: Vec::new(),
        context: Vec::new(),
        fields: vec![Some(format!("10.{a}.{b}.{c}"))],
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn memory() -> u64 {
    status("VmRSS:")
}

fn peak() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
