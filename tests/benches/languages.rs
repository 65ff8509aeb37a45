//! What a rule costs in Rust, Go and Python: size, load, start, memory, handing over and evaluating, beside CPython running
//! the same rule over the same events as dicts; then a whole run with its prefilter against CPython without one.
//!
//! ```text
//! cargo xtask guests
//! cargo bench --workspace --bench languages
//! ```
//!
//! The rule is `sample-console-login` of `examples/three-languages`. Languages take turns in every round; a figure is the
//! median of the rounds. CPython's time is for its loop alone, with the events as dicts in memory already.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use yagura_core::Pack;
use yagura_core::pack::Limits;
use yagura_engine::{PluginSource, RunInput, RunOptions, run};
use yagura_host::{
    BatchRef, CacheOutcome, CallCost, ColumnRef, DataType, Detector, DetectorPlugin, Field, Host,
    HostConfig, Meter, RuleSpec,
};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::{OnProblem, TableConfig};
use yagura_plan::RuleSource;

const LANGUAGES: [&str; 3] = ["rust", "go", "python"];
const RULE: &str = "sample-console-login";
const ROWS: usize = 8192;
const BATCHES: usize = 12;
/// Events of the whole run, of which one in fifty is a login.
const EVENTS: usize = 1_000_000;
const LOGINS: usize = 50;
/// Rules of the larger run.
const MANY: usize = 20;

fn main() -> Result<()> {
    // Without it, as under `cargo test --benches`, one round shows that everything still works.
    let full = std::env::args().any(|argument| argument == "--bench");
    let rounds = if full { 15 } else { 1 };
    let events: Vec<Event> = (0..BATCHES * ROWS).map(Event::new).collect();
    let batches: Vec<Batch> = events.chunks(ROWS).map(Batch::new).collect();
    let mut guests = LANGUAGES
        .iter()
        .map(|language| Guest::load(language))
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..rounds {
        for guest in &mut guests {
            guest.round(&batches)?;
        }
    }
    let dir = tempfile::tempdir()?;
    let python = cpython(dir.path(), &events, rounds)?;
    println!(
        "{RULE}, {} events in batches of {ROWS}, median of {rounds} rounds; all but CPython in the sandbox",
        events.len()
    );
    println!(
        "{:<8} {:>9} {:>9} {:>9} {:>9} {:>10} {:>14} {:>10} {:>9}",
        "",
        "size KiB",
        "cold ms",
        "cached ms",
        "start ms",
        "memory MiB",
        "hand-over ns",
        "evaluate ns",
        "findings"
    );
    for guest in &guests {
        guest.print();
    }
    println!("{:<8} {:>74.1} {:>9}", "CPython", python.0, python.1);
    for guest in &guests {
        ensure!(
            guest.findings == python.1,
            "{} finds other events",
            guest.language
        );
    }
    whole_run(
        dir.path(),
        if full { EVENTS } else { 10_000 },
        rounds.min(5),
    )
}

/// A login, as the columns of the rule.
struct Event {
    time: i64,
    user_type: &'static str,
    user_name: Option<String>,
    mfa: Option<&'static str>,
}

impl Event {
    fn new(number: usize) -> Self {
        let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Self {
            time: 1_770_000_000_000_000 + number as i64 * 1_000_000,
            user_type: if mixed.is_multiple_of(50) {
                "Root"
            } else {
                "IAMUser"
            },
            user_name: (!mixed.is_multiple_of(7)).then(|| format!("user-{}", mixed % 500)),
            // Most logins have a second factor: one in twenty is a finding.
            mfa: match mixed % 40 {
                0 => None,
                1 => Some("No"),
                _ => Some("Yes"),
            },
        }
    }
}

/// Column buffers, as the engine hands them over.
struct Batch {
    columns: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    rows: u32,
}

impl Batch {
    fn new(events: &[Event]) -> Self {
        let time = events.iter().flat_map(|event| event.time.to_le_bytes());
        let column = (Vec::new(), Vec::new(), time.collect());
        Self {
            columns: vec![
                column,
                texts(events.iter().map(|event| Some(event.user_type))),
                texts(events.iter().map(|event| event.user_name.as_deref())),
                texts(events.iter().map(|event| event.mfa)),
            ],
            rows: u32::try_from(events.len()).unwrap_or(u32::MAX),
        }
    }

    fn hand_to(&self, detector: &mut Detector) -> Result<usize> {
        let columns: Vec<ColumnRef<'_>> = self
            .columns
            .iter()
            .map(|(validity, offsets, values)| ColumnRef {
                validity,
                offsets,
                values,
            })
            .collect();
        let batch = BatchRef {
            rows: self.rows,
            columns: &columns,
        };
        Ok(detector.on_batch(0, batch)?.len())
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut validity, mut offsets, mut bytes) = (Vec::new(), vec![0; 4], Vec::new());
    for (row, value) in values.enumerate() {
        if row % 8 == 0 {
            validity.push(0);
        }
        if let (Some(value), Some(last)) = (value, validity.last_mut()) {
            *last |= 1 << (row % 8);
            bytes.extend(value.as_bytes());
        }
        let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        offsets.extend(end.to_le_bytes());
    }
    (validity, offsets, bytes)
}

/// A language's component, and what was measured of it.
struct Guest {
    language: &'static str,
    size: usize,
    cold: Duration,
    cached: Duration,
    start: Duration,
    detector: Detector,
    memory: u64,
    findings: usize,
    hand_over: Vec<f64>,
    evaluate: Vec<f64>,
}

impl Guest {
    fn load(language: &'static str) -> Result<Self> {
        let file = pack_dir(language).join("detector.wasm");
        let bytes = fs::read(&file).with_context(|| {
            format!(
                "cannot read {}: `cargo xtask guests` builds it",
                file.display()
            )
        })?;
        let cache = tempfile::tempdir()?;
        let load = || -> Result<(DetectorPlugin, Duration)> {
            let host = Host::new(HostConfig {
                cache_dir: Some(cache.path().to_owned()),
                meter: Meter::Time,
                ..HostConfig::default()
            })?;
            let start = Instant::now();
            let plugin = host.load_detector_bytes(language, &bytes, &Limits::default())?;
            Ok((plugin, start.elapsed()))
        };
        let (_, cold) = load()?;
        let (plugin, cached) = load()?;
        ensure!(plugin.cache_outcome() == CacheOutcome::Hit);
        let start = Instant::now();
        let detector = plugin.open("{}", &[spec()])?;
        Ok(Self {
            language,
            size: plugin.info().size,
            cold,
            cached,
            start: start.elapsed(),
            detector,
            memory: 0,
            findings: 0,
            hand_over: Vec::new(),
            evaluate: Vec::new(),
        })
    }

    fn round(&mut self, batches: &[Batch]) -> Result<()> {
        let mut sum = CallCost::default();
        self.findings = 0;
        for batch in batches {
            self.findings += batch.hand_to(&mut self.detector)?;
            let cost = self.detector.last_cost();
            sum.total += cost.total;
            sum.guest += cost.guest;
            self.memory = cost.memory;
        }
        let rows = (batches.len() * ROWS) as f64;
        self.evaluate.push(sum.guest.as_nanos() as f64 / rows);
        let boundary = sum.total.saturating_sub(sum.guest);
        self.hand_over.push(boundary.as_nanos() as f64 / rows);
        Ok(())
    }

    fn print(&self) {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        println!(
            "{:<8} {:>9} {:>9.1} {:>9.1} {:>9.2} {:>10.1} {:>14.1} {:>10.1} {:>9}",
            self.language,
            self.size / 1024,
            milliseconds(self.cold),
            milliseconds(self.cached),
            milliseconds(self.start),
            self.memory as f64 / f64::from(1 << 20),
            median(&self.hand_over),
            median(&self.evaluate),
            self.findings,
        );
    }
}

fn spec() -> RuleSpec {
    let field = |name: &str, data_type| Field {
        name: name.to_owned(),
        data_type,
        nullable: true,
    };
    RuleSpec {
        id: RULE.to_owned(),
        config_json: "{}".to_owned(),
        schema: vec![
            field("event_time", DataType::TimestampUs),
            field("user_type", DataType::Utf8),
            field("user_name", DataType::Utf8),
            field("additional_event_data.MFAUsed", DataType::Utf8),
        ],
    }
}

fn pack_dir(language: &str) -> PathBuf {
    let packs = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/three-languages");
    Path::new(packs).join(language)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The rule in plain Python over dicts. `where` is evaluated too when the events are not logins alone.
const DICTS: &str = r#"
import json, statistics, sys, time

def rule(event):
    mfa = event["additional_event_data.MFAUsed"]
    if mfa == "Yes":
        return None
    finding = {"context": {"time": str(event["event_time"])}}
    if mfa:
        finding["context"]["mfa"] = mfa
    if event["user_type"] == "Root":
        finding["severity"] = "critical"
        finding["title"] = "Root login without a second factor by " + (event["user_name"] or "nobody")
    return finding

def where(event):
    return event["event_name"] == "ConsoleLogin" and event["response"] == "Success"

filtered = sys.argv[2] == "where"
start = time.perf_counter_ns()
with open(sys.argv[1]) as lines:
    events = [json.loads(line) for line in lines]
reading = (time.perf_counter_ns() - start) / len(events)
times = []
for _ in range(int(sys.argv[3])):
    start = time.perf_counter_ns()
    findings = []
    for event in events:
        if filtered and not where(event):
            continue
        finding = rule(event)
        if finding is not None:
            findings.append(finding)
    times.append((time.perf_counter_ns() - start) / len(events))
print(statistics.median(times), len(findings), reading)
"#;

/// Returns CPython's nanoseconds an event, how many it finds, and its nanoseconds to read an event from JSON.
fn python(file: &Path, mode: &str, rounds: usize) -> Result<(f64, usize, f64)> {
    let output = Command::new("python3")
        .args(["-c", DICTS])
        .arg(file)
        .args([mode, &rounds.to_string()])
        .output()
        .context("cannot run python3")?;
    let text = String::from_utf8(output.stdout)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    ensure!(
        words.len() == 3,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((words[0].parse()?, words[1].parse()?, words[2].parse()?))
}

fn cpython(dir: &Path, events: &[Event], rounds: usize) -> Result<(f64, usize, f64)> {
    let mut text = String::new();
    for event in events {
        let event = serde_json::json!({
            "event_time": event.time, "user_type": event.user_type, "user_name": event.user_name,
            "additional_event_data.MFAUsed": event.mfa,
        });
        writeln!(text, "{event}")?;
    }
    let file = dir.join("logins.ndjson");
    fs::write(&file, text)?;
    python(&file, "all", rounds)
}

/// Scans a table of which few events are logins, in each language, against CPython over all of it.
fn whole_run(dir: &Path, events: usize, rounds: usize) -> Result<()> {
    let (mut logs, mut dicts) = (String::new(), String::new());
    for number in 0..events {
        let event = Event::new(number);
        let name = if number % LOGINS == 0 {
            "ConsoleLogin"
        } else {
            "DescribeInstances"
        };
        let log = serde_json::json!({
            "eventTime": format!("2026-03-{:02}T{:02}:{:02}:00Z", number % 28 + 1, number / 28 % 24, number / 672 % 60),
            "eventName": name, "recipientAccountId": "111122223333", "sourceIPAddress": "198.51.100.1",
            "userIdentity": {"type": event.user_type, "userName": event.user_name},
            "responseElements": {"ConsoleLogin": "Success"}, "additionalEventData": {"MFAUsed": event.mfa},
        });
        writeln!(logs, "{log}")?;
        let dict = serde_json::json!({
            "event_time": event.time, "event_name": name, "response": "Success", "user_type": event.user_type,
            "user_name": event.user_name, "additional_event_data.MFAUsed": event.mfa,
        });
        writeln!(dicts, "{dict}")?;
    }
    let file = dir.join("logs.ndjson");
    fs::write(&file, logs)?;
    let lake = Location::parse("memory://languages", &BTreeMap::new())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(4 << 20)
        .build()?;
    runtime.block_on(ingest(
        IngestOptions::new("aws_cloudtrail", lake.clone()),
        &[file],
        |_| {},
    ))?;
    println!(
        "\n{RULE} over {events} events, one in {LOGINS} a login, from Parquet to findings: one rule, {MANY} such rules, and what each further one costs; ns an event"
    );
    for language in LANGUAGES {
        let mut times = [Vec::new(), Vec::new()];
        let mut findings = 0;
        for _ in 0..rounds {
            for (count, times) in [1, MANY].into_iter().zip(&mut times) {
                let input = input(language, count, &lake)?;
                let options = RunOptions {
                    partitions: 1,
                    ..RunOptions::default()
                };
                let start = Instant::now();
                let outcome = runtime.block_on(run(input, &options, |_, _| {}))?;
                times.push(start.elapsed().as_nanos() as f64 / events as f64);
                ensure!(outcome.skipped.is_empty() && outcome.not_run.is_empty());
                findings = outcome.findings.len() / count;
            }
        }
        let [one, many] = times.map(|times| median(&times));
        let further = (many - one) / (MANY - 1) as f64;
        println!(
            "{language:<8} {one:>9.1} {many:>9.1} {further:>9.1} {findings:>9} findings a rule"
        );
    }
    let file = dir.join("dicts.ndjson");
    fs::write(&file, dicts)?;
    let (time, findings, reading) = python(&file, "where", rounds)?;
    println!(
        "{:<8} {:>9.1} {:>9.1} {time:>9.1} {findings:>9} findings a rule; the first rule pays for reading JSON lines, {reading:.0}",
        "CPython",
        reading + time,
        reading + time * MANY as f64,
    );
    Ok(())
}

/// The rule of one pack so many times, each with a condition of its own.
fn input(language: &str, count: usize, lake: &Location) -> Result<RunInput> {
    let pack = Pack::read(&pack_dir(language))?;
    let host = Host::new(HostConfig {
        cache_dir: yagura_host::default_cache_dir(),
        ..HostConfig::default()
    })?;
    let plugin = host.load_detector(&pack.dir.join("detector.wasm"), &Limits::default())?;
    let source = pack.rules.iter().find(|source| source.rule.id == RULE);
    let source = source.context("the pack has no such rule")?;
    let rules = (0..count).map(|number| {
        let mut rule = source.rule.clone();
        let condition = rule.condition.take().unwrap_or_default();
        rule.condition = Some(format!("{condition} AND source_ip <> '10.0.0.{number}'"));
        RuleSource {
            rule: std::sync::Arc::new(rule),
            file: source.file.clone(),
            plugin: Some(0),
            predicate: None,
            fields: Vec::new(),
            alternatives: Default::default(),
        }
    });
    Ok(RunInput {
        tables: vec![TableConfig {
            name: "aws_cloudtrail".to_owned(),
            location: lake.join("aws_cloudtrail"),
            time: None,
            day_partition: None,
            time_unit: None,
            on_null_time: None,
            on_bad_file: OnProblem::Fail,
        }],
        rules: rules.collect(),
        plugins: vec![PluginSource {
            plugin,
            config: "{}".to_owned(),
        }],
        ..RunInput::default()
    })
}
