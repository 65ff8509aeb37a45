//! `yagura serve`: the rules over tables that grow.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use yagura_alerts::Feed;
use yagura_core::alert::OWN_RULES;
use yagura_core::shown::printable;
use yagura_core::{TimeRange, TimeSpan, Timestamp};
use yagura_correlate::Geolocation;
use yagura_correlate::store::{StateStore, StoreLimits};
use yagura_engine::live::{Live, LiveOptions, OpenReport, SourceTrouble, StepReport};
use yagura_engine::{Fairness, RunInput, RunOptions};
use yagura_host::Meter;

use crate::admission::Admission;
use crate::answering::TriageLink;
use crate::config::{Config, ServeSettings};
use crate::disk_full::{self, RoomForState};
use crate::listen::Listening;
use crate::live_error::unwrapped;
use crate::messages::{folded, number};
use crate::outbox::Outbox;
use crate::packs;
use crate::quarantine_requests;
use crate::signals::{Stop, asked_to_reopen};
use crate::sources::Sources;

/// How a service runs, beside its configuration.
#[derive(Debug)]
pub struct ServeOptions {
    /// Configuration file.
    pub config: PathBuf,
    /// Whether it stops when all objects that are there have been read.
    pub once: bool,
    /// Whether packs run of which a newer version was used before.
    pub allow_rollback: bool,
    /// Whether single steps are not reported.
    pub quiet: bool,
    /// Scans of a table side by side; by default the number of cores.
    pub partitions: Option<u16>,
}

/// Runs the service until it is asked to end, or has read all that there is. Progress goes to `err`.
///
/// # Errors
/// Whatever keeps the service from starting or from going on.
pub async fn serve(arguments: &ServeOptions, mut err: impl Write) -> Result<()> {
    // It goes on while the service starts again.
    let mut listening = None;
    let served = serve_again(arguments, &mut listening, &mut err).await;
    let stopped = match listening {
        Some(listening) => listening.stop(&mut err).await,
        None => Ok(()),
    };
    served.and(stopped)
}

async fn serve_again(
    arguments: &ServeOptions,
    listening: &mut Option<Listening>,
    mut err: &mut impl Write,
) -> Result<()> {
    let mut pause = Duration::ZERO;
    loop {
        let stop = Stop::watch();
        tokio::time::sleep(pause).await;
        match serve_on(arguments, stop, listening, &mut err).await {
            // As a supervisor would, but at its own pace: a start is nothing that can be tried again in part.
            Err(error) if !arguments.once && disk_full::is_missing(&error) => {
                pause = disk_full::longer(pause);
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

async fn serve_on(
    arguments: &ServeOptions,
    stop: Stop,
    listening: &mut Option<Listening>,
    mut err: &mut impl Write,
) -> Result<()> {
    let mut hangup = std::pin::pin!(asked_to_reopen());
    let mut config = Config::read(&arguments.config)?;
    let settings = config.serve.clone().unwrap_or_default();
    if config.packs.is_empty() && config.sigma.is_empty() {
        bail!(
            "there are no rules to run: name them in `packs` or `sigma` of {}",
            arguments.config.display()
        );
    }
    let mut operator = Admission::read(&config)?;
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
    let options = options(&config, &settings, arguments.partitions, arguments.once)?;
    let limits = StoreLimits {
        memory: settings.memory_mib << 20,
        spilled_keys: settings.keys_on_disk,
    };
    let store = StateStore::open(&settings.state, limits)?;
    let sources = Sources::open(&mut config, &settings.state, &host, &operator.grants)?;
    let failed_source = match arguments.once {
        true => sources.all(err).await?,
        false => None,
    };
    let input = RunInput {
        tables: config.tables().await?,
        rules: loaded.rules,
        sigma: loaded.sigma,
        plugins: loaded.plugins,
        geolocation,
    };
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
    quarantine_requests::prepare(&settings.state);
    let poll = settings.poll.to_std();
    let rules = rule_ids(&input);
    let mut triage = TriageLink::open(&config, &host, rules, feed, &mut err).await?;
    if let Some(triage) = &triage {
        // Lines that the file has and the triage has not are handed out once more.
        delivered = delivered.min(triage.taken());
    }
    let mut pause = std::pin::pin!(tokio::time::sleep(poll));
    let (mut live, opened) = Live::open(input, options, store, delivered)
        .await
        .map_err(unwrapped)?;
    // Only what has started counts as used.
    operator.remember(true)?;
    report_opened(&mut err, &opened, &settings)?;
    let mut stop = stop.end_start();
    // What arrives while the service reads once is for the next time.
    let mut collecting = match arguments.once {
        true => Sources::default().start(),
        false => sources.start(),
    };
    // What is sent while the service reads once is for a service that stays.
    let listening = match listening.take() {
        Some(goes_on) => listening.insert(goes_on),
        None => {
            let none = Config::default();
            let of = if arguments.once { &none } else { &config };
            let started = Listening::start(of, err).await?;
            listening.insert(started)
        }
    };
    let mut room = RoomForState::new(arguments.once);
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
        let mut of_sources = collecting.troubles();
        of_sources.extend(listening.troubles());
        report_trouble(&mut live, &mut triage, &of_sources).await?;
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
            live.take_listings().await
        };
        if is_other.map_err(unwrapped)? {
            let (again, opened) = live.reopen().await.map_err(unwrapped)?;
            live = again;
            report_opened(&mut err, &opened, &settings)?;
            is_due = true;
            continue;
        }
        let mut background_events = false;
        let mut released = quarantine_requests::pending(&settings.state);
        for request in &released {
            if !live.release(&request.rule) {
                writeln!(
                    err,
                    "rule `{}` is not in quarantine",
                    printable(&request.rule)
                )?;
            }
        }
        while !is_stopping && let Some(report) = live.step().await.map_err(unwrapped)? {
            if !room.make(&mut live, &mut stop, &mut err).await? {
                break 'turns;
            }
            deliver(&mut live, &mut outbox, &mut triage, &mut err).await?;
            report_step(&mut err, &report, arguments.quiet)?;
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
            live.note_delivered().map_err(unwrapped)?;
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
            news = collecting.next() => {
                for line in &news.lines {
                    writeln!(err, "{}", printable(line))?;
                }
                is_due = news.has_rows;
                if news.has_rows {
                    live.expect_objects();
                }
            }
            message = listening.next() => writeln!(err, "{}", printable(&message))?,
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
        live.note_delivered().map_err(unwrapped)?;
        room.make(&mut live, &mut stop, &mut err).await?;
    }
    if arguments.once {
        outbox.must_be_whole()?;
    }
    if let Some(triage) = triage {
        triage.stop().await?;
    }
    match failed_source {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Returns the ids of all rules, the runtime's own among them.
fn rule_ids(input: &RunInput) -> BTreeSet<String> {
    let rules = input.rules.iter().map(|source| source.rule.id.clone());
    let sigma = input.sigma.load.rules.iter();
    let sigma = sigma.map(yagura_plan::sigma_rule_id);
    let own = OWN_RULES.map(str::to_owned);
    rules.chain(sigma).chain(own).collect()
}

async fn failed(triage: &mut Option<TriageLink>) -> anyhow::Error {
    match triage {
        Some(triage) => triage.failed().await,
        None => std::future::pending().await,
    }
}

/// Commits alerts of what goes wrong with the service itself.
async fn report_trouble(
    live: &mut Live,
    triage: &mut Option<TriageLink>,
    sources: &[SourceTrouble],
) -> Result<()> {
    let dead = match triage {
        Some(triage) => triage.dead_letters().await,
        None => BTreeMap::new(),
    };
    live.report_trouble(&dead, sources).await.map_err(unwrapped)
}

/// Hands committed lines to the file and the triage.
async fn deliver(
    live: &mut Live,
    outbox: &mut Outbox,
    triage: &mut Option<TriageLink>,
    err: &mut impl Write,
) -> Result<()> {
    let lines = live.take_lines().map_err(unwrapped)?;
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
        ("pending_mib", settings.pending_mib),
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
    let tables = config.table.iter();
    let lateness: BTreeMap<String, i64> = tables
        .filter_map(|(name, table)| Some((name.clone(), table.lateness?.micros())))
        .collect();
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
                rule_time: settings.rule_time.to_std(),
                cooldown: settings.cooldown.to_std(),
            }),
            ..defaults
        },
        lateness,
        every_lateness: settings.lateness.map(TimeSpan::micros),
        idle: settings.idle.to_std(),
        future: settings.future.micros(),
        step_objects: settings.step_objects,
        step_bytes: settings.step_mib << 20,
        waiting_bytes: settings.pending_mib << 20,
        list_all: settings.list_all.to_std(),
        // What is read once is all that there is.
        first_load: match once {
            true => None,
            false => Some(settings.first_load.to_std()),
        },
        patience: settings.patience.to_std(),
        on_replaced: settings.on_replaced.into(),
        from,
        report_trouble: settings.report_trouble.0.map(TimeSpan::to_std),
    })
}

fn report_opened(
    err: &mut impl Write,
    opened: &OpenReport,
    settings: &ServeSettings,
) -> Result<()> {
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

fn report_step(err: &mut impl Write, report: &StepReport, quiet: bool) -> Result<()> {
    let messages = report.messages.iter();
    for message in folded(messages.map(|message| (message.clone(), message.clone()))) {
        writeln!(err, "warning: {message}")?;
    }
    if quiet || (report.read.is_empty() && report.changes == [0; 3] && report.late == 0) {
        return Ok(());
    }
    let read: Vec<String> = report
        .read
        .iter()
        .map(|(table, objects, events)| {
            let objects_of = if *objects == 1 { "object" } else { "objects" };
            let events_of = if *events == 1 { "event" } else { "events" };
            format!(
                "{table}: {objects} {objects_of}, {} {events_of}",
                number(*events)
            )
        })
        .collect();
    let [withdrawn, provisional, complete] = report.changes;
    let mut states = Vec::new();
    for (count, word) in [
        (provisional, "provisional"),
        (complete, "final"),
        (withdrawn, "withdrawn"),
    ] {
        if count > 0 {
            states.push(format!("{count} {word}"));
        }
    }
    let alerts = if states.is_empty() {
        "no alerts".to_owned()
    } else {
        format!("alerts: {}", states.join(", "))
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
    writeln!(err, "{read}; {alerts}{late}{waiting}").context("cannot write to stderr")
}
