//! What it costs to hand a batch to a detector in the sandbox: ns a row, against the same evaluation in native Rust on the
//! same Arrow arrays, against a plain copy of the same bytes, and against one call an event with JSON.
//!
//! ```text
//! cargo xtask guests                                # prints the next line's variable
//! YAGURA_GUESTS=… cargo bench -p yagura-host --bench handover
//! ```
//!
//! All strategies take turns in every round, so that a slow moment of the machine hits all of them; a figure is the
//! median of the rounds. Each round goes through batches of 8,192 rows with five columns, which together are larger than
//! the nearest caches. How to read the figures: `docs/contributors/benchmarks/plugins.md`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use arrow::array::{
    Array, ArrayRef, AsArray, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::TimestampMicrosecondType;
use wit_component::ComponentEncoder;
use yagura_core::pack::Limits;
use yagura_host::{BatchRef, ColumnRef, DataType, Detector, Field, Host, HostConfig, RuleSpec};
use yagura_rules::{PluginColumn, project};

const ROWS: usize = 8192;
const BATCHES: usize = 16;
/// JSON is so much slower that fewer rows make as good a figure.
const JSON_BATCHES: usize = 1;
const ROUNDS: usize = 41;

/// The columns of a batch, in order; the evaluation looks at the second, third and fourth.
const COLUMNS: [(&str, DataType); 5] = [
    ("time", DataType::TimestampUs),
    ("event_name", DataType::Utf8),
    ("error_code", DataType::Utf8),
    ("user_name", DataType::Utf8),
    ("source_ip", DataType::Utf8),
];

fn main() -> Result<()> {
    let Some(guests) = std::env::var_os("YAGURA_GUESTS").map(PathBuf::from) else {
        println!(
            "skipped: YAGURA_GUESTS is not set; `cargo xtask guests` builds the guests and prints it"
        );
        return Ok(());
    };
    // Without it, as under `cargo test --benches`, one round shows that everything still works.
    let rounds = match std::env::args().any(|argument| argument == "--bench") {
        true => ROUNDS,
        false => 1,
    };
    let batches: Vec<Batch> = (0..BATCHES).map(Batch::new).collect::<Result<_>>()?;
    let mut strategies = strategies(&guests, &batches)?;
    check(&mut strategies, &batches)?;
    let mut times = vec![Vec::new(); strategies.len()];
    for _ in 0..rounds {
        for (strategy, times) in strategies.iter_mut().zip(&mut times) {
            let batches = &batches[..strategy.batches];
            let start = Instant::now();
            for batch in batches {
                black_box((strategy.evaluate)(black_box(batch))?);
            }
            let nanos = start.elapsed().as_secs_f64() * 1e9;
            times.push(nanos / count(batches.len() * ROWS));
        }
    }
    report(&strategies, &mut times, &batches, rounds);
    Ok(())
}

/// One batch in every form that a strategy starts from.
struct Batch {
    /// As other Arrow programs make them.
    plain: Vec<ArrayRef>,
    /// With text as views, as DataFusion reads it from Parquet.
    views: Vec<ArrayRef>,
    /// `plain`, projected ahead.
    projected: Vec<PluginColumn>,
    /// Each row as one JSON object of the five columns.
    json: Vec<String>,
}

impl Batch {
    /// Makes batch `number`: the same one on every run.
    fn new(number: usize) -> Result<Self> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        let names = [
            "AssumeRole",
            "DescribeInstances",
            "GetObject",
            "ListBuckets",
            "PutObject",
            "Decrypt",
            "GetCallerIdentity",
            "CreateAccessKey",
            "DescribeSecurityGroups",
            "ConsoleLogin",
        ];
        let errors = ["AccessDenied", "ThrottlingException", "NoSuchEntity"];
        let mut times = Vec::new();
        let mut event_names = Vec::new();
        let mut error_codes = Vec::new();
        let mut user_names = Vec::new();
        let mut addresses = Vec::new();
        for row in 0..ROWS {
            times.push(1_768_176_000_000_000 + (number * ROWS + row) as i64 * 250_000);
            // One event in a hundred makes an access key.
            let rare = random.below(100) == 0;
            event_names.push(if rare {
                names[7]
            } else {
                names[random.below(10) % 7]
            });
            error_codes.push((random.below(10) == 0).then(|| errors[random.below(3)]));
            user_names.push((random.below(8) != 0).then(|| match random.below(4) {
                0 => format!("build-{}-service", random.below(40)),
                1 => format!("ana.{}", random.below(500)),
                _ => format!("developer-{}@example.com", random.below(500)),
            }));
            addresses.push(format!(
                "198.51.{}.{}",
                random.below(100),
                random.below(256)
            ));
        }
        let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
        let plain: Vec<ArrayRef> = vec![
            time.clone(),
            Arc::new(StringArray::from_iter_values(&event_names)),
            Arc::new(StringArray::from(error_codes.clone())),
            Arc::new(StringArray::from_iter(&user_names)),
            Arc::new(StringArray::from_iter_values(&addresses)),
        ];
        let views: Vec<ArrayRef> = vec![
            time,
            Arc::new(StringViewArray::from_iter_values(&event_names)),
            Arc::new(StringViewArray::from(error_codes)),
            Arc::new(StringViewArray::from_iter(&user_names)),
            Arc::new(StringViewArray::from_iter_values(&addresses)),
        ];
        let json = (0..ROWS)
            .map(|row| encode(&plain, row))
            .collect::<Result<_>>()?;
        Ok(Self {
            projected: project_all(&plain)?,
            plain,
            views,
            json,
        })
    }

    /// Returns how many bytes cross into the sandbox.
    fn bytes(&self) -> usize {
        let parts = |column: &PluginColumn| {
            column.validity.len() + column.offsets.len() + column.values.len()
        };
        self.projected.iter().map(parts).sum()
    }
}

/// A generator of numbers (splitmix64): the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit).unwrap_or_default()
    }
}

/// Finds the rows of a batch.
type Evaluator<'a> = Box<dyn FnMut(&Batch) -> Result<Vec<u32>> + 'a>;

/// A way to find the rows of a batch.
struct Strategy<'a> {
    name: &'static str,
    batches: usize,
    /// False where nothing is evaluated, so that nothing is found.
    evaluates: bool,
    evaluate: Evaluator<'a>,
}

const NATIVE: &str = "native Rust on Arrow";
const COPY: &str = "copy of the bytes";
const PROJECT_VIEWS: &str = "projection of views alone";
const TOUCH_NOTHING: &str = "hand-over alone";
const COLUMN_VIEWS: &str = "detector, columns";
const ROW_BY_ROW: &str = "detector, row by row";
const NATIVE_VIEWS: &str = "native Rust on Arrow views";
const VIEWS: &str = "detector, columns, from views";
const JSON_ENCODED: &str = "JSON per event, encoded ahead";
const JSON: &str = "JSON per event";

fn strategies<'a>(guests: &Path, batches: &[Batch]) -> Result<Vec<Strategy<'a>>> {
    let mut target = CopyTarget::for_largest(batches);
    let mut touch_nothing = open(guests, "touch-nothing", &COLUMNS)?;
    let mut columns = open(guests, "columns", &COLUMNS)?;
    let mut rows = open(guests, "rows", &COLUMNS)?;
    let mut views = open(guests, "columns", &COLUMNS)?;
    let event = [("event", DataType::Utf8)];
    let mut json_encoded = open(guests, "json-per-event", &event)?;
    let mut json = open(guests, "json-per-event", &event)?;
    let all = |name, evaluate| Strategy {
        name,
        batches: BATCHES,
        evaluates: true,
        evaluate,
    };
    let blind = |name, evaluate| Strategy {
        evaluates: false,
        ..all(name, evaluate)
    };
    let fewer = |name, evaluate| Strategy {
        batches: JSON_BATCHES,
        ..all(name, evaluate)
    };
    Ok(vec![
        all(NATIVE, Box::new(|batch| Ok(evaluate_plain(&batch.plain)))),
        all(
            NATIVE_VIEWS,
            Box::new(|batch| Ok(evaluate_views(&batch.views))),
        ),
        blind(
            COPY,
            Box::new(move |batch| {
                target.copy(&batch.projected);
                Ok(Vec::new())
            }),
        ),
        blind(
            PROJECT_VIEWS,
            Box::new(|batch| {
                black_box(project_all(&batch.views)?);
                Ok(Vec::new())
            }),
        ),
        blind(
            TOUCH_NOTHING,
            Box::new(move |batch| hand_over(&mut touch_nothing, &batch.plain)),
        ),
        all(
            COLUMN_VIEWS,
            Box::new(move |batch| hand_over(&mut columns, &batch.plain)),
        ),
        all(
            ROW_BY_ROW,
            Box::new(move |batch| hand_over(&mut rows, &batch.plain)),
        ),
        all(
            VIEWS,
            Box::new(move |batch| hand_over(&mut views, &batch.views)),
        ),
        fewer(
            JSON_ENCODED,
            Box::new(move |batch| {
                evaluate_each(
                    &mut json_encoded,
                    batch.json.iter().map(|event| Ok(event.as_str())),
                )
            }),
        ),
        fewer(
            JSON,
            Box::new(move |batch| {
                evaluate_each(&mut json, (0..ROWS).map(|row| encode(&batch.plain, row)))
            }),
        ),
    ])
}

/// The evaluation of the guest `tests/guests/bench`.
fn suspicious(event_name: Option<&str>, error_code: Option<&str>, user_name: Option<&str>) -> bool {
    (event_name == Some("CreateAccessKey"))
        & error_code.is_none()
        & user_name.is_some_and(|name| name.ends_with("-service"))
}

/// Evaluates as one would natively.
fn evaluate<'a>(
    event_names: impl Iterator<Item = Option<&'a str>>,
    error_codes: impl Iterator<Item = Option<&'a str>>,
    user_names: impl Iterator<Item = Option<&'a str>>,
) -> Vec<u32> {
    let mut found = Vec::new();
    let rows = event_names.zip(error_codes).zip(user_names);
    for (row, ((event_name, error_code), user_name)) in (0_u32..).zip(rows) {
        if suspicious(event_name, error_code, user_name) {
            found.push(row);
        }
    }
    found
}

#[inline(never)]
fn evaluate_plain(columns: &[ArrayRef]) -> Vec<u32> {
    let texts = |column: usize| columns[column].as_string::<i32>().iter();
    evaluate(texts(1), texts(2), texts(3))
}

#[inline(never)]
fn evaluate_views(columns: &[ArrayRef]) -> Vec<u32> {
    let texts = |column: usize| columns[column].as_string_view().iter();
    evaluate(texts(1), texts(2), texts(3))
}

/// Memory to copy into, used again and again as the instance's is.
struct CopyTarget(Vec<u8>);

impl CopyTarget {
    fn for_largest(batches: &[Batch]) -> Self {
        let largest = batches.iter().map(Batch::bytes).max().unwrap_or_default();
        Self(vec![1; largest])
    }

    fn copy(&mut self, columns: &[PluginColumn]) {
        let mut rest = self.0.as_mut_slice();
        for column in columns {
            for part in [&column.validity, &column.offsets, &column.values] {
                let (here, later) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = later;
            }
        }
        black_box(&self.0);
    }
}

fn project_all(columns: &[ArrayRef]) -> Result<Vec<PluginColumn>> {
    Ok(columns.iter().map(project).collect::<Result<_, _>>()?)
}

/// Projects the columns and hands them to the detector, as the engine does.
fn hand_over(detector: &mut Detector, columns: &[ArrayRef]) -> Result<Vec<u32>> {
    let projected = project_all(columns)?;
    let columns: Vec<ColumnRef<'_>> = projected.iter().map(column_ref).collect();
    let findings = detector.on_batch(
        0,
        BatchRef {
            rows: u32::try_from(ROWS)?,
            columns: &columns,
        },
    )?;
    Ok(findings
        .into_iter()
        .flat_map(|finding| finding.rows)
        .collect())
}

fn column_ref(column: &PluginColumn) -> ColumnRef<'_> {
    ColumnRef {
        validity: &column.validity,
        offsets: &column.offsets,
        values: &column.values,
    }
}

/// Makes one call an event.
fn evaluate_each<T: AsRef<str>>(
    detector: &mut Detector,
    events: impl Iterator<Item = Result<T>>,
) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for (row, event) in (0_u32..).zip(events) {
        let event = event?;
        let values = event.as_ref().as_bytes();
        let mut offsets = [0; 8];
        offsets[4..].copy_from_slice(&u32::try_from(values.len())?.to_le_bytes());
        let column = ColumnRef {
            validity: &[],
            offsets: &offsets,
            values,
        };
        let batch = BatchRef {
            rows: 1,
            columns: &[column],
        };
        if !detector.on_batch(0, batch)?.is_empty() {
            found.push(row);
        }
    }
    Ok(found)
}

/// An event as JSON has it.
#[derive(serde::Serialize)]
struct Event<'a> {
    time: i64,
    event_name: Option<&'a str>,
    error_code: Option<&'a str>,
    user_name: Option<&'a str>,
    source_ip: Option<&'a str>,
}

fn encode(columns: &[ArrayRef], row: usize) -> Result<String> {
    let text = |column: usize| {
        let texts: &StringArray = columns[column].as_string();
        texts.is_valid(row).then(|| texts.value(row))
    };
    Ok(serde_json::to_string(&Event {
        time: columns[0]
            .as_primitive::<TimestampMicrosecondType>()
            .value(row),
        event_name: text(1),
        error_code: text(2),
        user_name: text(3),
        source_ip: text(4),
    })?)
}

/// Opens the guest with one rule.
fn open(guests: &Path, rule: &str, columns: &[(&str, DataType)]) -> Result<Detector> {
    let file = guests.join("bench.wasm");
    let core = std::fs::read(&file).with_context(|| {
        format!(
            "cannot read {}: build it by `cargo xtask guests`",
            file.display()
        )
    })?;
    let component = ComponentEncoder::default().module(&core)?.encode()?;
    let host = Host::new(HostConfig::default())?;
    let plugin = host.load_detector_bytes("bench.wasm", &component, &Limits::default())?;
    let schema = columns
        .iter()
        .map(|(name, data_type)| Field {
            name: (*name).to_owned(),
            data_type: *data_type,
            nullable: true,
        })
        .collect();
    let spec = RuleSpec {
        id: rule.to_owned(),
        config_json: "{}".to_owned(),
        schema,
    };
    Ok(plugin.open("{}", &[spec])?)
}

/// Checks that all strategies find the same rows.
fn check(strategies: &mut [Strategy<'_>], batches: &[Batch]) -> Result<()> {
    let mut total = 0;
    for (number, batch) in batches.iter().enumerate() {
        let wanted = evaluate_plain(&batch.plain);
        total += wanted.len();
        for strategy in strategies
            .iter_mut()
            .filter(|strategy| strategy.batches > number)
        {
            let found = (strategy.evaluate)(batch)?;
            let right = if strategy.evaluates { &wanted[..] } else { &[] };
            ensure!(
                found == right,
                "{}: other rows in batch {number}",
                strategy.name
            );
        }
    }
    ensure!(total > 0, "nothing is found in the benchmark's events");
    println!(
        "{} rows of {} found by every strategy that evaluates",
        total,
        batches.len() * ROWS
    );
    Ok(())
}

fn report(strategies: &[Strategy<'_>], times: &mut [Vec<f64>], batches: &[Batch], rounds: usize) {
    let bytes: usize = batches.iter().map(Batch::bytes).sum();
    println!("{}", machine());
    println!(
        "{rounds} rounds of {BATCHES} batches (JSON: {JSON_BATCHES}) of {ROWS} rows, {:.1} bytes a row\n",
        count(bytes) / count(batches.len() * ROWS)
    );
    println!(
        "{:<30} {:>10} {:>10} {:>10}",
        "", "median", "least", "to native"
    );
    for times in &mut *times {
        times.sort_by(f64::total_cmp);
    }
    let median = |name: &str| {
        let place = strategies.iter().position(|strategy| strategy.name == name);
        place.map_or(f64::NAN, |place| times[place][times[place].len() / 2])
    };
    let native = median(NATIVE);
    for (strategy, times) in strategies.iter().zip(&*times) {
        let median = median(strategy.name);
        println!(
            "{:<30} {median:>7.2} ns {:>7.2} ns {:>10.2}",
            strategy.name,
            times[0],
            median / native
        );
    }
    let columns = median(COLUMN_VIEWS);
    let copy = median(COPY);
    println!(
        "\n(detector, columns - copy) / native     {:>8.2}",
        (columns - copy) / native
    );
    println!(
        "JSON per event / detector, columns       {:>7.0}",
        median(JSON) / columns
    );
    println!(
        "JSON encoded ahead / detector, columns   {:>7.0}",
        median(JSON_ENCODED) / columns
    );
}

/// Says on what this ran, where the system tells.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = of("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let mhz = of("cpu MHz")
        .map(|mhz| format!(" at {mhz} MHz"))
        .unwrap_or_default();
    format!("{cores} cores, {model}{mhz}, {}", std::env::consts::OS)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a benchmark counts less than 2^52"
)]
fn count(number: usize) -> f64 {
    number as f64
}
