//! `yagura run`: one pass of all rules over a closed range of event time.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use tempfile::TempDir;
use yagura_core::{Grants, TimeRange, Timestamp};
use yagura_correlate::{Counters, Geolocation};
use yagura_engine::report::{Cause, Progress, SkippedEvents};
use yagura_engine::run::TableOutcome;
use yagura_engine::{Hasher, RunInput, RunOptions, RunOutcome, run as engine_run};
use yagura_host::Meter;
use yagura_lake::table::Table;

use super::block_on;
use crate::config::{Config, LakeSettings, TableSettings};
use crate::exit::{INPUT, RULE};
use crate::operator::{self, Operator};
use crate::output::{self, Format, Shown, count, number, printable};
use crate::{packs, progress};

/// Run rules over tables once and print the alerts.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Lake whose folders are the tables: a path or an object-store URL
    #[arg(long, value_name = "LAKE", conflicts_with = "config", required_unless_present_any = ["config", "table"])]
    lake: Option<String>,
    /// Configuration file that names tables and packs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run a pack though a newer version of it was used before
    #[arg(long, requires = "config")]
    allow_rollback: bool,
    /// Pack, a directory or an archive; may be given more than once
    #[arg(long, value_name = "PATH", required_unless_present_any = ["config", "sigma"])]
    pack: Vec<PathBuf>,
    /// Sigma rule, or directory of Sigma rules; may be given more than once
    #[arg(long, value_name = "PATH")]
    sigma: Vec<PathBuf>,
    /// Field map for Sigma rules, before those that are part of Yagura; may be given more than once
    #[arg(long, value_name = "FILE")]
    field_map: Vec<PathBuf>,
    /// Table that lies elsewhere; may be given more than once
    #[arg(long, value_name = "NAME=URL", value_parser = name_and_url)]
    table: Vec<(String, String)>,
    /// Only events from this time on (RFC 3339 or a date, UTC)
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// How to print the alerts
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Scans of a table side by side [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
    /// Rows of a batch that a plugin receives
    #[arg(long, value_name = "N", default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_rows: u32,
    /// Findings that the run may hold in memory
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    max_findings: usize,
    /// Events of a table that may wait in memory for detectors that keep state
    #[arg(long, value_name = "N", default_value_t = 4_000_000)]
    max_pending_rows: usize,
    /// Keys of which one rule with `partition_by` keeps state; those without an event for longest are forgotten
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = at_least_one)]
    keys_per_rule: usize,
    /// MiB of the state that one rule with `partition_by` keeps
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = at_least_one)]
    state_mib_per_rule: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("must be a number: {error}")),
    }
}

const AFTER_HELP: &str = "\
Alerts go to stdout; everything else goes to stderr. The same events give the same bytes, whatever the number of
partitions and the size of batches. Exit code 0 whether or not there are alerts; 2 if a rule could not evaluate events,
which are then named on stderr and were evaluated by all other rules; 3 if objects or events of a table were skipped for
all rules (`on_bad_file` and `on_null_time`), after the alerts of all others were printed.";

pub(crate) fn name_and_url(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => {
            Ok((name.to_owned(), url.to_owned()))
        }
        _ => Err("write NAME=URL, for instance aws_cloudtrail=s3://logs/cloudtrail".to_owned()),
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    block_on(Job::resolve(arguments)?.run())
}

/// What the arguments come to.
struct Job {
    config: Config,
    options: RunOptions,
    format: Format,
    /// Archives, unpacked.
    /// Who let the packs in, where a configuration names them.
    operator: Option<Operator>,
    _unpacked: Vec<TempDir>,
}

impl Job {
    fn resolve(arguments: Arguments) -> Result<Self> {
        let mut config = match &arguments.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        if let Some(url) = arguments.lake {
            config.lake = Some(LakeSettings {
                url,
                options: BTreeMap::new(),
            });
        }
        for (name, url) in arguments.table {
            let settings = config
                .table
                .entry(name)
                .or_insert_with(TableSettings::default);
            settings.url = Some(url);
        }
        config.packs.extend(arguments.pack);
        config.sigma.extend(arguments.sigma);
        config.field_maps.splice(..0, arguments.field_map);
        if config.packs.is_empty() && config.sigma.is_empty() {
            bail!(
                "there are no rules to run: name a pack with --pack or Sigma rules with --sigma, or in `packs` and `sigma` of the configuration"
            );
        }
        let mut unpacked = Vec::new();
        let mut operator = None;
        if arguments.config.is_some() {
            let mut admitted = Operator::read(&config)?;
            admitted.admit(&mut config, arguments.allow_rollback, &mut io::stderr())?;
            operator = Some(admitted);
        } else {
            for path in &mut config.packs {
                *path = operator::directory(path, &mut unpacked)?;
            }
        }
        let defaults = RunOptions::default();
        Ok(Self {
            config,
            operator,
            _unpacked: unpacked,
            options: RunOptions {
                range: TimeRange::new(arguments.from, arguments.to)?,
                partitions: arguments
                    .partitions
                    .map_or(defaults.partitions, usize::from),
                batch_rows: arguments.batch_rows as usize,
                max_findings: arguments.max_findings,
                max_pending_rows: arguments.max_pending_rows,
                max_keys: arguments.keys_per_rule,
                max_key_bytes: (arguments.state_mib_per_rule as u64) << 20,
                ..defaults
            },
            format: arguments.format,
        })
    }

    async fn run(self) -> Result<u8> {
        let start = Instant::now();
        let grants = match &self.config.grants {
            Some(file) => operator::grants(Some(file))?,
            // Nobody bounds what whoever runs it may use.
            None => Grants::without_bounds(),
        };
        let loaded = packs::load(
            &self.config.packs,
            &self.config.sigma,
            &self.config.field_maps,
            &grants,
            Meter::Off,
        )?;
        for line in &loaded.not_granted {
            writeln!(io::stderr(), "warning: {}", printable(line))?;
        }
        operator::needs(loaded.packs.iter())?;
        let tables = self.config.tables().await?;
        let mut geolocation = loaded.geolocation;
        if let Some(file) = &self.config.geoip {
            let read =
                Geolocation::read(file).map_err(|message| anyhow::anyhow!("`geoip`: {message}"))?;
            geolocation.insert(String::new(), read);
        }
        let input = RunInput {
            tables,
            rules: loaded.rules,
            sigma: loaded.sigma,
            plugins: loaded.plugins,
            geolocation,
        };
        let bar = progress::spinner();
        let outcome = engine_run(input, &self.options, |table, counters| {
            watch(&bar, &table.name, counters);
        })
        .await;
        bar.finish_and_clear();
        let mut outcome = outcome?;
        if let Some(operator) = &self.operator {
            // Only what did run counts as used.
            operator.remember(false)?;
        }
        let (mut alerts, counters) = outcome.settle(self.options.partitions)?;
        let tables: Vec<Arc<Table>> = outcome
            .tables
            .iter()
            .map(|of| Arc::clone(&of.table))
            .collect();
        let unread = Hasher::default().fill(&tables, alerts.iter_mut()).await;

        let mut out = Shown(BufWriter::new(io::stdout().lock()));
        output::alerts(&mut out, &alerts, self.format)?;
        out.flush()?;
        for (_, error) in &unread {
            writeln!(
                io::stderr(),
                "error: some events of alerts have no hash: {}",
                causes(error)
            )?;
        }
        tell(&outcome, &counters, start)?;
        if !unread.is_empty() || outcome.tables.is_empty() || outcome.tables.iter().any(has_skipped)
        {
            return Ok(INPUT);
        }
        Ok(if outcome.skipped.is_empty() { 0 } else { RULE })
    }
}

/// Returns an error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Says whether objects, events or values of a table were skipped for all rules.
fn has_skipped(table: &TableOutcome) -> bool {
    !table.bad_files.is_empty()
        || table.null_times > 0
        || table.odd_times.without.count > 0
        || !table.converted.lost.is_empty()
}

/// Shows the live counters until the bar is finished.
fn watch(bar: &ProgressBar, table: &str, counters: &Arc<Progress>) {
    let bar = bar.clone();
    let counters = Arc::clone(counters);
    let table = table.to_owned();
    tokio::spawn(async move {
        while !bar.is_finished() {
            bar.set_message(format!(
                "{table}: {} events to evaluate, {} findings",
                number(counters.scanned.load(Ordering::Relaxed)),
                number(counters.findings.load(Ordering::Relaxed)),
            ));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
}

/// Says on stderr what was read, and all that did not go as it should.
fn tell(outcome: &RunOutcome, counters: &Counters, start: Instant) -> Result<()> {
    let mut err = Shown(io::stderr().lock());
    for table in &outcome.tables {
        let skipped = table.table.files_out_of_range;
        let range = if skipped > 0 {
            format!(" ({skipped} outside the range)")
        } else {
            String::new()
        };
        writeln!(
            err,
            "{}: {} over {} objects{range}, {} events passed the scan's filters",
            table.table.name,
            count(table.rules as u64, "rule", "rules"),
            table.table.files.len(),
            number(table.scanned),
        )?;
        for warning in warnings(table) {
            writeln!(err, "warning: {warning}")?;
        }
        for (file, reason) in &table.bad_files {
            writeln!(
                err,
                "error: {file} was skipped for all rules, because it cannot be read: {reason}"
            )?;
        }
    }
    // Rules of one missing table are told in one line.
    let mut not_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in &outcome.not_run {
        not_run.entry(&rule.reason).or_default().push(&rule.rule);
    }
    for (reason, ids) in &not_run {
        let rules = count(ids.len() as u64, "rule", "rules");
        // A file that cannot be read has no ids; its name is in the reason.
        let ids: Vec<&str> = ids.iter().copied().filter(|id| !id.is_empty()).collect();
        let ids = if ids.is_empty() {
            String::new()
        } else {
            format!(" ({})", ids.join(", "))
        };
        writeln!(err, "warning: {rules} did not run: {reason}{ids}")?;
    }
    for note in &outcome.notes {
        writeln!(err, "warning: {note}")?;
    }
    tell_skipped(&mut err, outcome)?;
    tell_left_out(&mut err, counters)?;
    if outcome.tables.is_empty() {
        writeln!(
            err,
            "error: no rule could run, for the reasons above; tables are given with --lake or --table NAME=URL"
        )?;
    }
    writeln!(err, "done in {:.1} s", start.elapsed().as_secs_f64())
        .context("cannot write to stderr")
}

/// Returns what a person should know of a table, besides objects that cannot be read.
fn warnings(of: &TableOutcome) -> Vec<String> {
    let table = &of.table;
    let name = &table.name;
    let mut warnings: Vec<String> = table
        .notes
        .iter()
        .map(|note| format!("table `{name}`: {note}"))
        .collect();
    let example = |first: &Option<String>| {
        let first = first.as_deref();
        first.map_or_else(String::new, |first| format!(", for instance {first}"))
    };
    let empty = &table.passed_over.empty;
    if empty.count > 0 {
        warnings.push(format!(
            "table `{name}`: {} of 0 bytes passed over{}",
            count(empty.count, "object", "objects"),
            example(&empty.first)
        ));
    }
    let other = &table.passed_over.other;
    if other.count > 0 {
        warnings.push(format!(
            "table `{name}`: {} passed over, because the name does not end in `.parquet`{}",
            count(other.count, "object", "objects"),
            example(&other.first)
        ));
    }
    let stray = &table.passed_over.stray;
    if stray.count > 0 {
        warnings.push(format!(
            "table `{name}`: {} left out, because the table has none in such folders{}; move them to where its other objects lie",
            count(stray.count, "object", "objects"),
            example(&stray.first)
        ));
    }
    let odd_names = &table.passed_over.odd_names;
    if odd_names.count > 0 {
        warnings.push(format!(
            "table `{name}`: {} left out, because its name has control characters, a folder that is empty, `.` or `..`, or bytes that are not UTF-8{}; rename them",
            count(odd_names.count, "file or folder", "files or folders"),
            example(&odd_names.first)
        ));
    }
    let odd = &of.odd_times;
    let without = odd.without.count.max(of.null_times);
    let kinds = [
        (
            without,
            &odd.without,
            format!(
                "no usable time in `{}`, and no rule evaluates them",
                table.time
            ),
        ),
        (
            odd.future.count,
            &odd.future,
            "a time more than a day ahead of the clock".to_owned(),
        ),
        (
            odd.old.count,
            &odd.old,
            "a time before 1990, which is most likely wrong".to_owned(),
        ),
    ];
    for (events, odd, what) in kinds {
        if events == 0 {
            continue;
        }
        let example = odd
            .example
            .as_ref()
            .map_or_else(String::new, |(object, row, time)| {
                let time = time.map_or_else(String::new, |time| format!(" ({time})"));
                format!("; for instance row {row} of {object}{time}")
            });
        warnings.push(format!(
            "{} of table `{name}` {} {what}{example}",
            count(events, "event", "events"),
            if events == 1 { "has" } else { "have" }
        ));
    }
    warnings.extend(of.converted.messages(name));
    warnings.extend(of.messages.iter().cloned());
    warnings
}

/// Events of one rule that are told one by one.
const MOST_TOLD: usize = 10;

fn tell_skipped(err: &mut impl Write, outcome: &RunOutcome) -> Result<()> {
    let rules = &outcome.rules;
    let mut by_rule: BTreeMap<usize, Vec<&SkippedEvents>> = BTreeMap::new();
    for events in &outcome.skipped {
        by_rule.entry(events.rule).or_default().push(events);
    }
    for (rule, events) in by_rule {
        let Some(id) = rules.get(rule).map(|rule| &rule.id) else {
            continue;
        };
        let rows: u64 = events.iter().map(|events| events.rows).sum();
        let quarantined: u64 = events
            .iter()
            .filter(|events| events.cause == Cause::Rest)
            .map(|events| events.rows + events.wakes)
            .sum();
        let wakes: u64 = events.iter().map(|events| events.wakes).sum();
        if rows > 0 {
            writeln!(
                err,
                "error: rule `{id}` did not evaluate {}; all other rules did",
                count(rows, "event", "events")
            )?;
        }
        if wakes > 0 {
            writeln!(
                err,
                "error: rule `{id}` did not answer {}",
                count(wakes, "wake-up", "wake-ups")
            )?;
        }
        let tried = events.iter().filter(|events| events.cause != Cause::Rest);
        let more = tried.clone().count().saturating_sub(MOST_TOLD);
        for events in tried.take(MOST_TOLD) {
            let what = match events.rows {
                0 => count(events.wakes, "wake-up", "wake-ups"),
                rows => count(rows, "event", "events"),
            };
            writeln!(
                err,
                "  {what} from row {} of {} ({}): {}",
                events.first.row, events.first.object, events.first.time, events.reason
            )?;
        }
        if more > 0 {
            writeln!(err, "  and {} more of this kind", number(more as u64))?;
        }
        if quarantined > 0 {
            writeln!(
                err,
                "  {} because the rule was no longer tried after these faults",
                if wakes == 0 {
                    count(quarantined, "event", "events")
                } else {
                    count(quarantined, "event or wake-up", "events and wake-ups")
                }
            )?;
        }
    }
    Ok(())
}

/// Says what correlations did not see.
fn tell_left_out(err: &mut impl Write, counters: &Counters) -> Result<()> {
    for (rule, left_out) in &counters.without_key {
        writeln!(
            err,
            "warning: `{rule}` left out {} without a value in its `by`",
            count(*left_out, "finding", "findings")
        )?;
    }
    for (rule, passed_over) in &counters.without_value {
        writeln!(
            err,
            "warning: `{rule}` passed over {} without a value in its `field` that it can use",
            count(*passed_over, "finding", "findings")
        )?;
    }
    for (rule, forgotten) in &counters.capped {
        writeln!(
            err,
            "warning: `{rule}` forgot {} of keys that had more than a key may hold",
            count(*forgotten, "hit or value", "hits or values")
        )?;
    }
    Ok(())
}
