//! `yagura run`: one pass of all rules over a closed range of event time.

mod summary;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use tempfile::TempDir;
use yagura_core::causes::causes;
use yagura_core::{Grants, OrFault, TimeRange, Timestamp};
use yagura_correlate::Geolocation;
use yagura_engine::TableOutcome;
use yagura_engine::report::RunCounters;
use yagura_engine::{Hasher, RunInput, RunOptions, run as engine_run};
use yagura_host::Meter;
use yagura_lake::table::Table;
use yagura_service::admission::{self, Admission};
use yagura_service::config::{Config, LakeSettings, TableSettings};
use yagura_service::packs;

use super::block_on;
use crate::exit::{INPUT, RULE};
use crate::output::{self, OutputFormat, Shown, number, printable};
use crate::progress;
use crate::ruleset::name_and_url;

/// Run rules over tables once and print the alerts
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
    format: OutputFormat,
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

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    block_on(ResolvedRun::resolve(arguments)?.run())
}

/// The arguments, resolved against configuration, grants and trust.
struct ResolvedRun {
    config: Config,
    options: RunOptions,
    format: OutputFormat,
    /// Archives, unpacked.
    /// Who let the packs in, where a configuration names them.
    admission: Option<Admission>,
    _unpacked: Vec<TempDir>,
}

impl ResolvedRun {
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
        let mut admission = None;
        if arguments.config.is_some() {
            let mut admitted = Admission::read(&config)?;
            admitted.admit(&mut config, arguments.allow_rollback, &mut io::stderr())?;
            admission = Some(admitted);
        } else {
            for path in &mut config.packs {
                *path = admission::directory(path, &mut unpacked)?;
            }
        }
        let defaults = RunOptions::default();
        Ok(Self {
            config,
            admission,
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
            Some(file) => admission::grants(Some(file))?,
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
        admission::needs(loaded.packs.iter())?;
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
        let mut outcome = outcome.or_fault()?;
        if let Some(admission) = &self.admission {
            // Only what did run counts as used.
            admission.remember(false)?;
        }
        let (mut alerts, counters) = outcome.alerts(self.options.partitions)?;
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
                causes(error).join(": ")
            )?;
        }
        summary::print(&outcome, &counters, start)?;
        if outcome.tables.is_empty() && outcome.has_refused {
            return Ok(RULE);
        }
        if !unread.is_empty() || outcome.tables.is_empty() || outcome.tables.iter().any(has_skipped)
        {
            return Ok(INPUT);
        }
        Ok(if outcome.skipped.is_empty() && !outcome.has_refused {
            0
        } else {
            RULE
        })
    }
}

/// Returns whether objects, events or values of a table were skipped for all rules.
fn has_skipped(table: &TableOutcome) -> bool {
    !table.bad_files.is_empty()
        || table.null_times > 0
        || table.odd_times.without.count > 0
        || !table.converted.lost.is_empty()
        || !table.converted.too_large.is_empty()
}

/// Shows the live counters until the bar is finished.
fn watch(bar: &ProgressBar, table: &str, counters: &Arc<RunCounters>) {
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
