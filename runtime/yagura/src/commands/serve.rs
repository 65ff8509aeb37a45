//! `yagura serve`: the rules over tables that grow.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use yagura_alerts::Feed;
use yagura_core::alert::OWN_RULES;
use yagura_core::{TimeRange, Timestamp};
use yagura_correlate::Geolocation;
use yagura_correlate::store::{Store, StoreLimits};
use yagura_engine::live::{Live, LiveError, LiveOptions, Opened, StepReport};
use yagura_engine::{Fairness, RunInput, RunOptions};
use yagura_host::Meter;

use super::block_on;
use crate::answering::Link;
use crate::config::{Config, ServeSettings};
use crate::operator::Operator;
use crate::outbox::Outbox;
use crate::output::{Unfailing, folded, number, printable};
use crate::packs;
use crate::releases;
use crate::room::{self, Room};
use crate::signals::{Stop, asked_to_reopen};

/// Run rules over tables as they grow, and write alerts as they come up and settle.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration file that names tables, packs and what `[serve]` needs
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Stop when all objects that are there have been read
    #[arg(long)]
    once: bool,
    /// Run a pack though a newer version of it was used before
    #[arg(long)]
    allow_rollback: bool,
    /// Say nothing of single steps
    #[arg(long)]
    quiet: bool,
    /// Scans of a table side by side [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
}

const AFTER_HELP: &str = "\
Alerts are appended to the file that `alerts` of [serve] names, a JSON object a line: `seq` counts lines; `state` is
`provisional` when an alert comes up or changes, `settled` when no event that could change it is still to come, and
`withdrawn`, with the reason, when late events take it back. Progress, what correlations remember and the lines are
committed together: after any stop, SIGKILL too, the service goes on where it was, and writes no line twice.
`yagura status` says how far it is. SIGTERM and Ctrl-C end it after the step at hand.";

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<u8> {
    let mut pause = Duration::ZERO;
    loop {
        let stop = Stop::watch();
        tokio::time::sleep(pause).await;
        match serve_on(&arguments, stop).await {
            // As a supervisor would, but at its own pace: a start is nothing that can be tried again in part.
            Err(error) if !arguments.once && room::is_missing(&error) => {
                pause = room::longer(pause);
                let mut err = crate::output::Shown(Unfailing(io::stderr()));
                writeln!(
                    err,
                    "warning: {error:#}; the service starts again in {} s",
                    pause.as_secs()
                )?;
            }
            ended => return ended,
        }
    }
}

async fn serve_on(arguments: &Arguments, stop: Stop) -> Result<u8> {
    let mut hangup = std::pin::pin!(asked_to_reopen());
    let mut config = Config::read(&arguments.config)?;
    let settings = config.serve.clone().unwrap_or_default();
    if config.packs.is_empty() && config.sigma.is_empty() {
        bail!(
            "there are no rules to run: name them in `packs` or `sigma` of {}",
            arguments.config.display()
        );
    }
    crate::private::make_files_private();
    let mut err = crate::output::Shown(Unfailing(io::stderr()));
    let mut operator = Operator::read(&config)?;
    operator.admit(&mut config, arguments.allow_rollback, &mut err)?;
    let host = packs::host_with(Meter::Off, settings.plugin_memory_mib)?;
    let loaded = packs::load_by(
        &host,
        &config.packs,
        &config.sigma,
        &config.field_maps,
        &operator.grants,
    )?;
    for line in &loaded.not_granted {
        writeln!(err, "warning: {line}")?;
    }
    let mut geolocation = loaded.geolocation;
    if let Some(file) = &config.geoip {
        let read =
            Geolocation::read(file).map_err(|message| anyhow::anyhow!("`geoip`: {message}"))?;
        geolocation.insert(String::new(), read);
    }
    let input = RunInput {
        tables: config.tables().await?,
        rules: loaded.rules,
        sigma: loaded.sigma,
        plugins: loaded.plugins,
        geolocation,
    };
    let options = options(&config, &settings, arguments.partitions, arguments.once)?;
    let limits = StoreLimits {
        memory: settings.memory_mib << 20,
        spilled_keys: settings.keys_on_disk,
    };
    let store = Store::open(&settings.state, limits)?;
    let mut outbox = Outbox::open(&settings.alerts)?;
    if outbox.last() > store.last_line() {
        bail!(
            "{} has lines up to number {}, and the state in {} knows {}: they do not belong together; put the state back that wrote them, or move the file away",
            settings.alerts.display(),
            outbox.last(),
            settings.state.display(),
            store.last_line()
        );
    }
    let kept = store.meta("delivered")?.unwrap_or(0);
    // A file that was moved away for a new one begins where the store knows that the old one ended.
    let mut delivered = match outbox.last() {
        0 => kept,
        last => last,
    };
    let feed = Feed {
        state: store.id(),
        delivered: kept,
        last: store.last_line(),
    };
    releases::prepare(&settings.state);
    let poll = settings.poll()?;
    let rules = rule_ids(&input);
    let mut triage = Link::open(&config, &host, rules, feed, &mut err).await?;
    if let Some(triage) = &triage {
        // Lines that the file has and the triage has not are handed out once more.
        delivered = delivered.min(triage.taken());
    }
    let mut pause = std::pin::pin!(tokio::time::sleep(poll));
    let (mut live, opened) = Live::open(input, options, store, delivered)
        .await
        .map_err(plain)?;
    // Only what has started counts as used.
    operator.remember(true)?;
    tell_opened(&mut err, &opened, &settings)?;
    let mut stop = stop.end_start();
    let mut room = Room::new(arguments.once);
    let mut is_stopping = false;
    let mut is_due = true;
    'turns: loop {
        if let Some(message) = outbox.look_again()? {
            writeln!(err, "warning: {message}")?;
            live.note(message);
        }
        if !room.make(&mut live, &mut stop, &mut err).await? {
            break;
        }
        report_trouble(&mut live, &mut triage).await?;
        if !room.make(&mut live, &mut stop, &mut err).await? {
            break;
        }
        deliver(&mut live, &mut outbox, &mut triage, &mut err).await?;
        let is_other = if std::mem::take(&mut is_due) {
            tokio::select! {
                () = stop.wait() => break,
                is_other = live.poll() => is_other,
            }
        } else {
            live.take_looks().await
        };
        if is_other.map_err(plain)? {
            let (again, opened) = live.reopen().await.map_err(plain)?;
            live = again;
            tell_opened(&mut err, &opened, &settings)?;
            is_due = true;
            continue;
        }
        let mut background_events = false;
        let mut released = releases::asked(&settings.state);
        for request in &released {
            if !live.release(&request.rule) {
                writeln!(err, "rule `{}` does not rest", printable(&request.rule))?;
            }
        }
        while !is_stopping && let Some(report) = live.step().await.map_err(plain)? {
            if !room.make(&mut live, &mut stop, &mut err).await? {
                break 'turns;
            }
            deliver(&mut live, &mut outbox, &mut triage, &mut err).await?;
            tell_step(&mut err, &report, arguments.quiet)?;
            background_events |= report.background_events;
            // Committed: a stop before would have it read again.
            for request in released.drain(..) {
                request.done();
            }
            is_stopping = stop.is_asked().await;
            if report.read.is_empty() && !report.goes_on {
                // Only the clock has moved; nothing waits.
                break;
            }
        }
        for request in released {
            request.done();
        }
        if room.make(&mut live, &mut stop, &mut err).await? {
            live.note_delivered().map_err(plain)?;
        }
        if is_stopping || (arguments.once && !live.is_busy() && !background_events) {
            break;
        }
        if arguments.once && background_events {
            // Time moves with the step that follows.
            continue;
        }
        tokio::select! {
            () = stop.wait() => break,
            error = failed(&mut triage) => return Err(error),
            () = live.news() => {}
            // The file of alerts is looked at with each turn.
            () = &mut hangup => hangup.set(asked_to_reopen()),
            () = &mut pause => {
                is_due = true;
                pause.as_mut().reset(tokio::time::Instant::now() + poll);
            }
        }
    }
    if room.make(&mut live, &mut stop, &mut err).await? {
        deliver(&mut live, &mut outbox, &mut triage, &mut err).await?;
        live.note_delivered().map_err(plain)?;
        room.make(&mut live, &mut stop, &mut err).await?;
    }
    if arguments.once {
        outbox.must_be_whole()?;
    }
    if let Some(triage) = triage {
        triage.stop().await?;
    }
    Ok(0)
}

/// Returns the ids of all rules, the runtime's own among them.
fn rule_ids(input: &RunInput) -> BTreeSet<String> {
    let rules = input.rules.iter().map(|source| source.rule.id.clone());
    let sigma = input.sigma.load.rules.iter();
    let sigma = sigma.map(yagura_engine::sigma_rule_id);
    let own = OWN_RULES.map(str::to_owned);
    rules.chain(sigma).chain(own).collect()
}

async fn failed(triage: &mut Option<Link>) -> anyhow::Error {
    match triage {
        Some(triage) => triage.failed().await,
        None => std::future::pending().await,
    }
}

/// Commits alerts of what goes wrong with the service itself.
async fn report_trouble(live: &mut Live, triage: &mut Option<Link>) -> Result<()> {
    let dead = match triage {
        Some(triage) => triage.dead_letters().await,
        None => BTreeMap::new(),
    };
    live.report_trouble(&dead).await.map_err(plain)
}

/// Hands committed lines to the file and the triage.
async fn deliver(
    live: &mut Live,
    outbox: &mut Outbox,
    triage: &mut Option<Link>,
    err: &mut impl Write,
) -> Result<()> {
    let lines = live.take_lines().map_err(plain)?;
    if let Some(message) = outbox.hand(live, &lines)? {
        writeln!(err, "warning: {message}")?;
        live.note(message);
    }
    let mut last = outbox.last();
    if let Some(triage) = triage {
        if let Some(message) = triage.hand(live, &lines).await? {
            writeln!(err, "warning: {message}")?;
            live.note(message);
        }
        last = last.min(triage.taken());
    }
    live.delivered(last);
    Ok(())
}

/// The errors of rules and tables are those of `run`, with its exit codes.
pub(crate) fn plain(error: LiveError) -> anyhow::Error {
    match error {
        LiveError::Engine(error) => error.into(),
        LiveError::Table(error) => error.into(),
        other => other.into(),
    }
}

fn options(
    config: &Config,
    settings: &ServeSettings,
    partitions: Option<u16>,
    once: bool,
) -> Result<LiveOptions> {
    for (key, value) in [
        ("step_objects", settings.step_objects),
        (
            "step_mib",
            usize::try_from(settings.step_mib).unwrap_or(usize::MAX),
        ),
        ("memory_mib", settings.memory_mib),
        ("plugin_memory_mib", settings.plugin_memory_mib),
        ("pending_rows", settings.pending_rows),
        ("keys_per_rule", settings.keys_per_rule),
        ("state_mib_per_rule", settings.state_mib_per_rule),
    ] {
        if value == 0 {
            bail!(
                "`serve.{key}` is 0, with which nothing can be done: make it at least 1, or leave it out"
            );
        }
    }
    let defaults = RunOptions::default();
    let mut lateness = BTreeMap::new();
    for (name, table) in &config.table {
        if let Some(text) = &table.lateness {
            lateness.insert(name.clone(), micros("lateness", text)?);
        }
    }
    let from: Option<Timestamp> = settings.from;
    let range = TimeRange::new(from, None)?;
    Ok(LiveOptions {
        run: RunOptions {
            range,
            partitions: partitions.map_or(defaults.partitions, usize::from),
            max_finding_bytes: yagura_engine::live::FINDING_BYTES,
            max_pending_rows: settings.pending_rows,
            max_keys: settings.keys_per_rule,
            max_key_bytes: (settings.state_mib_per_rule as u64) << 20,
            fairness: Some(Fairness {
                rule_time: duration("rule_time", &settings.rule_time)?,
                cooldown: duration("rest", &settings.rest)?,
            }),
            ..defaults
        },
        lateness,
        every_lateness: match &settings.lateness {
            Some(text) => Some(micros("lateness", text)?),
            None => None,
        },
        idle: duration("idle", &settings.idle)?,
        future: micros("future", &settings.future)?,
        step_objects: settings.step_objects,
        step_bytes: settings.step_mib << 20,
        list_all: duration("list_all", &settings.list_all)?,
        // What is read once is all that there is.
        first_load: match once {
            true => None,
            false => Some(duration("first_load", &settings.first_load)?),
        },
        patience: duration("patience", &settings.patience)?,
        on_replaced: settings.on_replaced.into(),
        from,
        report_trouble: match settings.report_trouble.as_str() {
            "off" => None,
            text => Some(duration("report_trouble", text)?),
        },
    })
}

pub(crate) fn micros(key: &str, text: &str) -> Result<i64> {
    yagura_core::time::parse_duration(text)
        .map_err(|error| anyhow::anyhow!("`serve.{key}`: {error}"))
}

pub(crate) fn duration(key: &str, text: &str) -> Result<Duration> {
    let micros = u64::try_from(micros(key, text)?).unwrap_or_default();
    Ok(Duration::from_micros(micros))
}

fn tell_opened(err: &mut impl Write, opened: &Opened, settings: &ServeSettings) -> Result<()> {
    let rules = if opened.rules == 1 { "rule" } else { "rules" };
    writeln!(
        err,
        "{} {rules}; state in {}, alerts to {}",
        number(opened.rules as u64),
        settings.state.display(),
        settings.alerts.display()
    )?;
    let messages = opened.messages.iter();
    for message in folded(messages.map(|message| (message.clone(), message.clone()))) {
        writeln!(err, "{message}")?;
    }
    let not_run = opened.not_run.iter();
    let not_run = not_run.map(|rule| (rule.reason.clone(), format!("warning: {}", rule.message())));
    for message in folded(not_run) {
        writeln!(err, "{message}")?;
    }
    Ok(())
}

fn tell_step(err: &mut impl Write, report: &StepReport, quiet: bool) -> Result<()> {
    let messages = report.messages.iter();
    for message in folded(messages.map(|message| (message.clone(), message.clone()))) {
        writeln!(err, "warning: {message}")?;
    }
    if quiet || (report.read.is_empty() && report.told == [0; 3] && report.late == 0) {
        return Ok(());
    }
    let read: Vec<String> = report
        .read
        .iter()
        .map(|(table, objects, events)| {
            let objects_of = if *objects == 1 { "object" } else { "objects" };
            format!(
                "{table}: {objects} {objects_of}, {} events",
                number(*events)
            )
        })
        .collect();
    let [withdrawn, provisional, settled] = report.told;
    let mut told = Vec::new();
    for (count, word) in [
        (provisional, "provisional"),
        (settled, "final"),
        (withdrawn, "withdrawn"),
    ] {
        if count > 0 {
            told.push(format!("{count} {word}"));
        }
    }
    let told = if told.is_empty() {
        "no alerts".to_owned()
    } else {
        format!("alerts: {}", told.join(", "))
    };
    let late = if report.late > 0 {
        format!("; {} too late to be put in order", number(report.late))
    } else {
        String::new()
    };
    let waiting = if report.waiting > 0 {
        format!("; {} objects wait", number(report.waiting as u64))
    } else {
        String::new()
    };
    let read = if read.is_empty() {
        "time has moved on".to_owned()
    } else {
        read.join("; ")
    };
    writeln!(err, "{read}; {told}{late}{waiting}").context("cannot write to stderr")
}
