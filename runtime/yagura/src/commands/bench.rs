//! `yagura bench`: what each rule's code costs, on one core.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use yagura_authoring::build;
use yagura_core::{Fault, Grants, OrFault, Pack};
use yagura_engine::report::RuleCost;
use yagura_engine::{RunInput, RunOptions, run as engine_run};
use yagura_host::Meter;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::TableConfig;
use yagura_plan::RuleSource;
use yagura_service::config::{Config, LakeSettings};
use yagura_service::packs;
use yagura_suite::{Case, CaseEvents, collect, sigma_ids};

use super::block_on;
use crate::exit::FAILED;
use crate::output::{OutputFormat, number, table};

/// Measure the cost of each rule's plugin: time in the host and the guest, fuel, memory
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory of the pack
    dir: PathBuf,
    /// Measure only rules whose id contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    rule: String,
    /// Events of this lake; without it, the events of the rules' tests, repeated
    #[arg(long, value_name = "LAKE")]
    lake: Option<String>,
    /// Events to make of a rule's tests by repetition
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_EVENTS)))]
    events: u32,
    /// Rows of a batch that a plugin receives
    #[arg(long, value_name = "N", default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_rows: u32,
    /// Runs, of which the fastest counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Compare with this file, which an earlier `--save` wrote
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Measure the plugins as they are; without it those with a `source` are built first
    #[arg(long)]
    no_build: bool,
    /// How to print the figures
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Figures are for a row that passed the rule's `where` and was handed to the plugin. BOUNDARY is what the host and the guest's
allocator need to hand a row over and take the findings back; GUEST is the plugin's own function. FUEL is about one for a
Wasm instruction, the same on every machine; with --baseline a rule whose fuel grew by more than a tenth makes the exit code
1. Times are of this machine and this moment.";

/// The cost of a rule's code.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Figures {
    /// Id of the rule.
    rule: String,
    /// Rows handed over.
    rows: u64,
    /// Batches that they came in.
    batches: u64,
    /// Rows a second.
    rows_per_second: u64,
    /// Nanoseconds a row at the boundary.
    boundary_ns: f64,
    /// Nanoseconds a row in the plugin.
    guest_ns: f64,
    /// Fuel a row.
    fuel: f64,
    /// Linear memory of the instance, in bytes.
    memory_bytes: u64,
}

/// What ingest writes into one object at most.
const MOST_EVENTS: u32 = 131_072;

/// Growth of fuel over the baseline that is still taken for none.
const TOLERANCE: f64 = 1.1;

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let dir = &arguments.dir;
    let baseline = arguments.baseline.as_deref().map(read).transpose()?;
    if !arguments.no_build && dir.join("pack.toml").is_file() && build::has_sources(dir)? {
        build::build(dir)?;
    }
    let figures = block_on(measure(arguments))?;
    let mut out = crate::output::Shown(io::stdout().lock());
    match arguments.format {
        OutputFormat::Json => {
            for figure in &figures {
                serde_json::to_writer(&mut out, figure)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => print(&mut out, &figures, baseline.as_ref())?,
    }
    out.flush()?;
    if let Some(file) = &arguments.save {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let grown = figures.iter().filter_map(|now| {
        let before = baseline.as_ref()?.get(&now.rule)?;
        (now.fuel > before.fuel * TOLERANCE).then_some((now, before))
    });
    let mut code = 0;
    let mut err = crate::output::Shown(io::stderr().lock());
    for (now, before) in grown {
        code = FAILED;
        writeln!(
            err,
            "error: rule `{}` uses {:.0} fuel a row, where the baseline has {:.0}",
            now.rule, now.fuel, before.fuel
        )?;
    }
    Ok(code)
}

fn read(file: &Path) -> Result<BTreeMap<String, Figures>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let figures: Vec<Figures> = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not a baseline: `yagura bench --save` writes one",
            file.display()
        )
    })?;
    let by_rule = figures.into_iter();
    Ok(by_rule
        .map(|figures| (figures.rule.clone(), figures))
        .collect())
}

async fn measure(arguments: &Arguments) -> Result<Vec<Figures>> {
    let pack = Pack::read(&arguments.dir).or_fault()?;
    let rules = arguments.dir.join("rules");
    let sigma = if rules.is_dir() {
        vec![rules]
    } else {
        Vec::new()
    };
    let sigma = packs::load_sigma(&sigma, &[])?;
    let cases = collect(&pack, &sigma_ids(&sigma))?.cases;
    let mut jobs = Vec::new();
    for source in &pack.rules {
        let rule = &source.rule;
        if rule.plugin.is_none() || !rule.id.contains(&arguments.rule) {
            continue;
        }
        let tables = match &arguments.lake {
            Some(lake) => lake_tables(lake).await?,
            None => vec![repeated(&rule.id, &rule.table, &cases, arguments.events).await?],
        };
        jobs.push((rule.id.clone(), tables));
    }
    if jobs.is_empty() {
        return Err(Fault::rule(format!(
            "{} has no rule with a plugin{}",
            arguments.dir.display(),
            if arguments.rule.is_empty() {
                String::new()
            } else {
                format!(" whose id contains `{}`", arguments.rule)
            }
        ))
        .into());
    }
    // Fuel costs time to count, so it is counted in a run of its own.
    let mut costs: BTreeMap<&str, (RuleCost, RuleCost)> = BTreeMap::new();
    for meter in [Meter::Time, Meter::Fuel] {
        let loaded = packs::load(
            std::slice::from_ref(&arguments.dir),
            &[],
            &[],
            &Grants::without_bounds(),
            meter,
        )?;
        for (id, tables) in &jobs {
            let source = loaded.rules.iter().find(|source| source.rule.id == *id);
            let source = source.with_context(|| format!("rule `{id}` is gone"))?;
            let runs = if meter == Meter::Time {
                arguments.runs
            } else {
                1
            };
            for _ in 0..runs {
                let cost = once(arguments, source, &loaded.plugins, tables).await?;
                let entry = costs.entry(id).or_default();
                match meter {
                    Meter::Fuel => entry.1 = cost,
                    _ if entry.0.rows == 0 || cost.total < entry.0.total => entry.0 = cost,
                    _ => {}
                }
            }
        }
    }
    Ok(costs
        .into_iter()
        .map(|(id, (time, fuel))| figures(id, &time, &fuel))
        .collect())
}

fn figures(id: &str, time: &RuleCost, fuel: &RuleCost) -> Figures {
    let rows = time.rows as f64;
    let guest = time.guest.min(time.total);
    Figures {
        rule: id.to_owned(),
        rows: time.rows,
        batches: time.calls,
        rows_per_second: rows_per_second(time),
        boundary_ns: (time.total - guest).as_nanos() as f64 / rows,
        guest_ns: guest.as_nanos() as f64 / rows,
        fuel: fuel.fuel as f64 / fuel.rows.max(1) as f64,
        memory_bytes: time.memory,
    }
}

fn rows_per_second(cost: &RuleCost) -> u64 {
    let nanoseconds = cost.total.as_nanos().max(1);
    let rows = u128::from(cost.rows) * 1_000_000_000 / nanoseconds;
    u64::try_from(rows).unwrap_or(u64::MAX)
}

async fn once(
    arguments: &Arguments,
    source: &RuleSource,
    plugins: &[yagura_engine::PluginSource],
    tables: &[TableConfig],
) -> Result<RuleCost> {
    let input = RunInput {
        tables: tables.to_vec(),
        rules: vec![source.clone()],
        plugins: plugins.to_vec(),
        ..RunInput::default()
    };
    let options = RunOptions {
        partitions: 1,
        batch_rows: arguments.batch_rows as usize,
        max_findings: usize::MAX,
        ..RunOptions::default()
    };
    let outcome = engine_run(input, &options, |_, _| {}).await.or_fault()?;
    let id = &source.rule.id;
    if let Some(events) = outcome.skipped.first() {
        return Err(Fault::rule(format!("rule `{id}` fails: {}", events.reason)).into());
    }
    if let Some(rule) = outcome.not_run.first() {
        return Err(Fault::rule(format!("rule `{id}` does not run: {}", rule.reason)).into());
    }
    let costs = outcome.tables.iter().flat_map(|table| table.costs.values());
    costs.copied().next().ok_or_else(|| {
        Fault::rule(format!(
            "no event passes the `where` of rule `{id}`, so its plugin was never called"
        ))
        .into()
    })
}

async fn lake_tables(lake: &str) -> Result<Vec<TableConfig>> {
    let config = Config {
        lake: Some(LakeSettings {
            url: lake.to_owned(),
            options: BTreeMap::new(),
        }),
        ..Config::default()
    };
    config.tables().await
}

/// Writes the events of a rule's cases, as often as makes `wanted`, into a table in memory.
async fn repeated(rule: &str, table: &str, cases: &[Case], wanted: u32) -> Result<TableConfig> {
    let mut lines: Vec<String> = Vec::new();
    for case in cases.iter().filter(|case| case.rule == rule) {
        let text = match &case.events {
            CaseEvents::Inline(text) => text.clone(),
            CaseEvents::File(file) => match file.extension().and_then(|end| end.to_str()) {
                Some("ndjson" | "jsonl") => fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?,
                _ => continue,
            },
            // Of a rule that joins others, which has no code to measure.
            CaseEvents::Folder(_) | CaseEvents::InlineTables(_) => continue,
        };
        let own = text.lines().filter(|line| !line.trim().is_empty());
        lines.extend(own.map(|line| format!("{line}\n")));
    }
    if lines.is_empty() {
        bail!(
            "rule `{rule}` has no case with events as JSON lines to repeat: write one, or name a lake with --lake"
        );
    }
    let dir = tempfile::tempdir().context("cannot make a directory for events")?;
    let file = dir.path().join("events.ndjson");
    let text: String = lines
        .iter()
        .cycle()
        .take(wanted as usize)
        .cloned()
        .collect();
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let lake = Location::parse(&format!("memory://bench-{rule}"), &BTreeMap::new())?;
    // One object a day, so that the plugin sees the rows in the same order in every run: what its memory looks like, and with
    // it the fuel of collecting garbage, follows from that.
    let options = IngestOptions {
        chunk_events: MOST_EVENTS as usize,
        chunk_bytes: usize::MAX,
        ..IngestOptions::new(table, lake.clone())
    };
    ingest(options, &[file], |_| {}).await?;
    Ok(TableConfig {
        name: table.to_owned(),
        location: lake.join(table),
        time: None,
        day_partition: None,
        time_unit: None,
        on_null_time: None,
        on_bad_file: yagura_lake::table::OnProblem::Fail,
    })
}

fn print(
    out: &mut impl Write,
    figures: &[Figures],
    baseline: Option<&BTreeMap<String, Figures>>,
) -> Result<()> {
    let mut table = table([
        "RULE",
        "ROWS",
        "ROWS/S",
        "BOUNDARY ns",
        "GUEST ns",
        "FUEL",
        "MEMORY MiB",
        "AGAINST BASELINE",
    ]);
    for now in figures {
        let against = baseline.map_or_else(String::new, |baseline| match baseline.get(&now.rule) {
            None => "new".to_owned(),
            Some(before) => format!(
                "{:.2} × time, {:.2} × fuel",
                (now.guest_ns + now.boundary_ns) / (before.guest_ns + before.boundary_ns),
                now.fuel / before.fuel
            ),
        });
        table.add_row([
            now.rule.clone(),
            number(now.rows),
            number(now.rows_per_second),
            format!("{:.1}", now.boundary_ns),
            format!("{:.1}", now.guest_ns),
            format!("{:.0}", now.fuel),
            format!("{:.1}", now.memory_bytes as f64 / f64::from(1 << 20)),
            against,
        ]);
    }
    for index in 1..7 {
        table.align_right(index);
    }
    if baseline.is_none() {
        table.without_last();
    }
    writeln!(out, "{table}")?;
    Ok(())
}
