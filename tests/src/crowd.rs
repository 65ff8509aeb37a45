//! A hundred plugins over a table that grows, some of them hostile, each in its own way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::parquet::arrow::ArrowWriter;
use yagura_core::Timestamp;
use yagura_core::pack::{Limits, parse_rule};
use yagura_correlate::store::{StateStore, StoreLimits};
use yagura_engine::live::{CommittedLine, Live, LiveOptions};
use yagura_engine::{PluginSource, RunInput};
use yagura_host::{Host, HostConfig};
use yagura_plan::RuleSource;

use crate::fixture::table_config;
use crate::guests;
use crate::random::batch_of;

/// Plugins that do what they should.
pub const HONEST: usize = 90;

/// How the others behave.
pub const HOSTILE: [&str; 10] = [
    "endless-loop",
    "memory-hog",
    "deep-recursion",
    "output-flood",
    "output-huge",
    "log-flood-rare",
    "slow-rare",
    "panics",
    "garbage-pointer",
    "guest-error-data",
];

/// Those of them that can evaluate nothing. The others only flood the log, or take their time.
pub const FAULTY: [&str; 8] = [
    "endless-loop",
    "memory-hog",
    "deep-recursion",
    "output-flood",
    "output-huge",
    "panics",
    "garbage-pointer",
    "guest-error-data",
];

/// Ten plugins beside the ninety, over events of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ten {
    /// None: the ninety are alone.
    Absent,
    /// Ten that do what they should.
    Honest,
    /// [`HOSTILE`].
    Hostile,
}

impl Ten {
    fn ids(self) -> Vec<String> {
        match self {
            Self::Absent => Vec::new(),
            Self::Honest => (HONEST..HONEST + HOSTILE.len()).map(honest).collect(),
            Self::Hostile => HOSTILE.map(str::to_owned).into(),
        }
    }
}

/// Returns the rule of an honest plugin.
fn honest(number: usize) -> String {
    format!("honest-{number}")
}

/// Memory of all plugins together, in bytes.
pub const MEMORY: usize = 1 << 30;

/// The plugins, and events of some minutes, an object each.
#[derive(Debug)]
pub struct Crowd {
    place: tempfile::TempDir,
    host: Host,
    limits: Limits,
    minutes: usize,
}

/// What was seen of a service over these events.
#[derive(Debug, Default)]
pub struct Seen {
    /// Final alerts of each rule as JSON, in order.
    pub settled: BTreeMap<String, Vec<String>>,
    /// What the service said.
    pub messages: Vec<String>,
    /// From the arrival of an object to the alerts about it of the ninety, each.
    pub latencies: Vec<Duration>,
    /// From each arrival to the end of the steps about it, in all.
    pub busy: Duration,
    /// Linear memory of all plugins after each object, in bytes.
    pub plugin_memory: Vec<usize>,
    /// Resident memory of the process after each object, in bytes; nothing where that is not told.
    pub resident: Vec<u64>,
}

impl Crowd {
    /// Makes so many minutes of so many events each. Compiled code is kept below.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn new(minutes: usize, events: usize, limits: Limits) -> Result<Self> {
        let place = tempfile::tempdir()?;
        let staging = place.path().join("staging");
        fs::create_dir(&staging)?;
        for minute in 0..minutes {
            write_minute(&object(&staging, minute), minute, events)?;
        }
        let code = place.path().join("code");
        fs::create_dir(&code)?;
        #[cfg(unix)]
        fs::set_permissions(&code, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let host = Host::new(HostConfig {
            cache_dir: Some(code),
            most_memory: Some(MEMORY),
            ..HostConfig::default()
        })?;
        Ok(Self {
            place,
            host,
            limits,
            minutes,
        })
    }

    /// Lets the events arrive, `pause` apart, at the ninety and these ten.
    ///
    /// # Errors
    /// A service that breaks off.
    pub async fn watch(&self, ten: Ten, pause: Duration) -> Result<Seen> {
        let run = tempfile::tempdir_in(self.place.path())?;
        let table = run.path().join("lake/t/date=2026-03-01");
        fs::create_dir_all(&table)?;
        let input = self.input(&run.path().join("lake/t"), ten)?;
        let store = StateStore::open(&run.path().join("state"), StoreLimits::default())?;
        let first = object(&table, 0);
        fs::copy(object(&self.place.path().join("staging"), 0), first)?;
        // Time moves from the first object on.
        let options = LiveOptions {
            first_load: None,
            ..LiveOptions::default()
        };
        let (mut live, opened) = Live::open(input, options, store, 0).await?;
        ensure!(opened.not_run.is_empty(), "{:?}", opened.not_run);
        let mut seen = Seen::default();
        for minute in 0..self.minutes {
            let arrived = Instant::now();
            if minute > 0 {
                let staged = object(&self.place.path().join("staging"), minute);
                let part = table.join("arriving");
                fs::copy(staged, &part)?;
                fs::rename(part, object(&table, minute))?;
            }
            ensure!(!live.poll().await?, "the table has other columns");
            while let Some(report) = live.step().await? {
                seen.messages.extend(report.messages);
                let lines = live.take_lines()?;
                seen.take(&lines, Some(arrived))?;
                if report.read.is_empty() {
                    break;
                }
            }
            seen.busy += arrived.elapsed();
            seen.plugin_memory.push(self.host.memory());
            seen.resident.extend(resident());
            tokio::time::sleep(pause.saturating_sub(arrived.elapsed())).await;
        }
        // What is evaluated beside the steps, and what is said of it.
        while live.is_busy() {
            live.news().await;
            if let Some(report) = live.step().await? {
                seen.messages.extend(report.messages);
            }
            seen.take(&live.take_lines()?, None)?;
        }
        live.finish().await?;
        seen.take(&live.take_lines()?, None)?;
        // Where the objects lie is no difference.
        let root = run.path().to_str().context("not UTF-8")?;
        for alerts in seen.settled.values_mut() {
            for alert in alerts.iter_mut() {
                *alert = alert.replace(root, "");
            }
            alerts.sort();
        }
        Ok(seen)
    }

    fn input(&self, table: &Path, ten: Ten) -> Result<RunInput> {
        let ids = (0..HONEST).map(honest).chain(ten.ids());
        let mut input = RunInput {
            tables: vec![table_config("t", table.to_str().context("not UTF-8")?)],
            ..RunInput::default()
        };
        for (number, id) in ids.enumerate() {
            let file = PathBuf::from(format!("{id}.toml"));
            let text = format!(
                "[rule]\nid = \"{id}\"\ntitle = \"{id}\"\ntable = \"t\"\nwhere = \"service = 's{number}'\"\nplugin = \"hostile.wasm\"\ncolumns = [\"name\", \"number\"]\n[rule.alert]\nkey = [\"name\"]\nwindow = \"1m\"\n"
            );
            input.rules.push(RuleSource {
                rule: Arc::new(parse_rule(&file, &text)?.rule),
                file,
                plugin: Some(number),
                predicate: None,
                fields: Vec::new(),
                alternatives: Default::default(),
            });
            // Each is a plugin of its own, as those of a hundred packs are.
            let name = format!("{id}.wasm");
            let plugin = self
                .host
                .load_detector_bytes(&name, guests::hostile(), &self.limits)?;
            input.plugins.push(PluginSource {
                plugin,
                config: "{}".to_owned(),
            });
        }
        Ok(input)
    }
}

impl Seen {
    fn take(&mut self, lines: &[CommittedLine], arrived: Option<Instant>) -> Result<()> {
        let of_ninety = |rule: &str| {
            let number = rule.strip_prefix("honest-").map(str::parse::<usize>);
            matches!(number, Some(Ok(number)) if number < HONEST)
        };
        for line in lines {
            if let Some(alert) = line.final_alert() {
                let settled = self.settled.entry(alert.rule.clone()).or_default();
                settled.push(serde_json::to_string(alert)?);
                continue;
            }
            let rule = &line.line.alert.rule;
            if let Some(arrived) = arrived.filter(|_| of_ninety(rule)) {
                self.latencies.push(arrived.elapsed());
            }
        }
        Ok(())
    }
}

/// Returns the path of a minute's object.
fn object(dir: &Path, minute: usize) -> PathBuf {
    dir.join(format!("part-{minute:04}.parquet"))
}

/// Writes the events of a minute, evenly over its seconds and the services.
fn write_minute(file: &Path, minute: usize, events: usize) -> Result<()> {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse()?;
    let first = minute * events;
    let numbers = || (first..first + events).map(|number| number as i64);
    let spacing = 60_000_000 / events.max(1) as i64;
    let begin = start.micros() + minute as i64 * 60_000_000;
    let times = (0..events as i64).map(|event| begin + event * spacing);
    let mixed = |number: i64| {
        let once = number.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (once ^ (once >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
    };
    let services = numbers().map(|number| format!("s{}", mixed(number) % 100));
    let names = numbers().map(|number| format!("name-{}", number % 1_013));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ),
        ("service", Arc::new(StringArray::from_iter_values(services))),
        ("name", Arc::new(StringArray::from_iter_values(names))),
        ("number", Arc::new(Int64Array::from_iter_values(numbers()))),
    ];
    let batch = batch_of(columns)?;
    let mut writer = ArrowWriter::try_new(fs::File::create(file)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Returns the resident memory of this process, in bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
