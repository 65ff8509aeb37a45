//! `yagura source status`: what became of the raw logs that a service ingests.

use std::io::{self, Write};

use anyhow::{Result, bail};
use serde::Serialize;
use yagura_collect::{Habits, Ledger, QueueTotals, SourceTotals};
use yagura_core::Timestamp;
use yagura_service::listen::{ListenStatus, listen_statuses};

use crate::commands::status::{length, now};
use crate::exit::FAILED;
use crate::output::{OutputFormat, Shown, count, cut, number, printable, table};
use crate::state_dir::StateDir;

/// Characters of a parked object or message that are shown.
const PARKED_WIDTH: usize = 200;

/// Prints what became of the raw logs that a service ingests.
pub(super) fn run(service: &StateDir, format: OutputFormat) -> Result<u8> {
    let dir = service.resolve()?;
    let ledger = Ledger::open_if_there(&dir)?;
    let listeners = listen_statuses(&dir)?;
    if ledger.is_none() && listeners.is_empty() {
        bail!(
            "the service with the state in {} has no sources: write [source.NAME] in its configuration",
            dir.display()
        );
    }
    let mut totals = Vec::new();
    let mut queues = Vec::new();
    let mut habits = Vec::new();
    if let Some(ledger) = &ledger {
        totals = ledger.totals()?;
        queues = ledger.queues()?;
        for of in &totals {
            habits.push(ledger.habits(&of.source, Timestamp::clamped(now()))?);
        }
    }
    let mut out = Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for (of, habits) in totals.iter().zip(&habits) {
                serde_json::to_writer(&mut out, &StatusView::new(of, habits))?;
                writeln!(out)?;
            }
            for of in &listeners {
                serde_json::to_writer(&mut out, of)?;
                writeln!(out)?;
            }
            for of in &queues {
                serde_json::to_writer(&mut out, of)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            print_listeners(&mut out, &listeners)?;
            if !totals.is_empty() {
                print_sources(&mut out, &totals)?;
                print_habits(&mut out, &totals, &habits)?;
                print_problems(&mut out, &totals)?;
            }
            print_queues(&mut out, &queues)?;
        }
    }
    let is_whole = totals
        .iter()
        .all(|of| of.trouble.is_none() && of.unreadable == 0);
    let all_written = listeners
        .iter()
        .all(|of| of.counts.trouble.is_none() && of.counts.all_dropped() == 0);
    let are_read = queues.iter().all(|of| of.trouble.is_none());
    let is_success = is_whole && all_written && are_read;
    Ok(if is_success { 0 } else { FAILED })
}

fn print_sources(out: &mut impl Write, totals: &[SourceTotals]) -> Result<()> {
    let mut rows = table([
        "SOURCE",
        "OBJECTS",
        "WAITING",
        "RECORDS",
        "EVENTS",
        "REJECTED",
        "NO TIME",
        "NO CLASS",
        "UNFIT",
        "REPLACED",
        "BAD NAMES",
        "LAST OBJECT",
        "LAST INGEST",
    ]);
    for of in totals {
        rows.add_row([
            of.source.clone(),
            number(of.objects),
            number(of.waiting),
            number(of.records),
            number(of.events),
            number(of.rejected),
            number(of.without_time),
            number(of.of_no_class),
            number(of.unfit),
            number(of.replaced),
            number(of.odd_names),
            ago(of.last_modified),
            ago(of.last_ingest),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}

fn print_problems(out: &mut impl Write, totals: &[SourceTotals]) -> Result<()> {
    for of in totals {
        if let Some(trouble) = &of.trouble {
            writeln!(out, "{}: {}", of.source, printable(trouble))?;
        }
        if let Some(problem) = &of.problem {
            writeln!(
                out,
                "{}: {} cannot be read; the newest: {}",
                of.source,
                count(of.unreadable, "object", "objects"),
                printable(problem)
            )?;
        }
        if let Some(name) = &of.odd_name {
            writeln!(
                out,
                "{}: {} that no object can have, so their content is not read; rename it: `{}`",
                of.source,
                count(of.odd_names, "name", "names"),
                printable(name)
            )?;
        }
    }
    Ok(())
}

/// A source as `status --format json` prints it.
#[derive(Debug, Serialize)]
struct StatusView<'s> {
    #[serde(flatten)]
    totals: &'s SourceTotals,
    events_per_hour: u64,
    lag_seconds: Option<i64>,
    clock_ahead_seconds: Option<i64>,
    drift: Vec<String>,
}

impl<'s> StatusView<'s> {
    fn new(totals: &'s SourceTotals, habits: &Habits) -> Self {
        let seconds = |micros: i64| micros / 1_000_000;
        Self {
            totals,
            events_per_hour: habits.events_per_hour,
            lag_seconds: habits.lag.map(seconds),
            clock_ahead_seconds: habits.ahead.map(seconds),
            drift: habits.drifts.iter().map(ToString::to_string).collect(),
        }
    }
}

fn print_habits(out: &mut impl Write, totals: &[SourceTotals], habits: &[Habits]) -> Result<()> {
    let mut rows = table([
        "SOURCE",
        "FIRST SEEN",
        "LAST SEEN",
        "EVENTS/H",
        "LAG",
        "CLOCK",
        "REPEATED",
        "DRIFT",
    ]);
    for (of, habits) in totals.iter().zip(habits) {
        rows.add_row([
            of.source.clone(),
            ago(of.first_ingest),
            ago(of.last_modified),
            number(habits.events_per_hour),
            match habits.lag {
                Some(lag) => length(lag.max(0)),
                None => String::new(),
            },
            match habits.ahead {
                Some(ahead) => format!("{} ahead", length(ahead)),
                None => String::new(),
            },
            number(of.repeated),
            if habits.drifts.is_empty() { "" } else { "yes" }.to_owned(),
        ]);
    }
    writeln!(out, "{rows}")?;
    for (of, habits) in totals.iter().zip(habits) {
        for drift in &habits.drifts {
            writeln!(out, "{}: {drift}", of.source)?;
        }
    }
    Ok(())
}

fn print_queues(out: &mut impl Write, queues: &[QueueTotals]) -> Result<()> {
    if queues.is_empty() {
        return Ok(());
    }
    let mut rows = table([
        "QUEUE",
        "MESSAGES",
        "ARRIVALS",
        "KNOWN",
        "OTHER",
        "PARKED",
        "MALFORMED",
        "LAST MESSAGE",
    ]);
    for of in queues {
        rows.add_row([
            of.queue.clone(),
            number(of.messages),
            number(of.arrivals),
            number(of.known),
            number(of.others),
            number(of.parked),
            number(of.malformed),
            ago(of.last_message),
        ]);
    }
    writeln!(out, "\n{rows}")?;
    for of in queues {
        if let Some(trouble) = &of.trouble {
            writeln!(out, "{}: {}", of.queue, printable(trouble))?;
        }
        for parked in &of.kept {
            writeln!(
                out,
                "{}: {}, {}: {}",
                of.queue,
                printable(&parked.reason),
                count(parked.times, "time", "times"),
                printable(&cut(&parked.what, PARKED_WIDTH))
            )?;
        }
    }
    Ok(())
}

fn print_listeners(out: &mut impl Write, listeners: &[ListenStatus]) -> Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let mut rows = table([
        "LISTENER", "RECEIVED", "WRITTEN", "DROPPED", "CUT", "REFUSED", "FAILED", "OPEN",
        "OBJECTS", "SEEN",
    ]);
    for of in listeners {
        let counts = &of.counts;
        rows.add_row([
            of.listener.clone(),
            number(counts.received),
            number(counts.written),
            number(counts.all_dropped()),
            number(counts.cut + counts.incomplete),
            number(counts.refused + counts.not_allowed),
            number(counts.failed + counts.without_count),
            number(counts.open),
            number(counts.objects),
            ago(Some(of.written_at)),
        ]);
    }
    writeln!(out, "{rows}")?;
    for of in listeners {
        if let Some(trouble) = &of.counts.trouble {
            writeln!(out, "{}: {}", of.listener, printable(trouble))?;
        }
    }
    Ok(())
}

/// Returns how long ago a moment was.
fn ago(time: Option<Timestamp>) -> String {
    match time {
        Some(time) if time.micros() > now() => "ahead of the clock".to_owned(),
        Some(time) => format!("{} ago", length(now().saturating_sub(time.micros()))),
        None => "never".to_owned(),
    }
}
