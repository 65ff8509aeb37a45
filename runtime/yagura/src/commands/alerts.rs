//! `yagura alerts`: what became of alerts, and what humans do about them.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use yagura_alerts::store::rows::{
    AlertRow, DeliveryRow, DeliveryState, IncidentKind, IncidentRow, Outcome, RunState,
};
use yagura_alerts::store::{AlertFilter, IncidentFilter, IncidentRecord};
use yagura_alerts::{Clock, Location, Store, format};
use yagura_core::report::IncidentStatus;
use yagura_core::{Severity, Timestamp};

use super::block_on;
use crate::config::Config;
use crate::output::{self, number, printable};

/// List, show, acknowledge and close incidents; send again what was not told.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where its alerts are kept: a file or postgres://…
    #[arg(long, value_name = "STORE", global = true, conflicts_with = "config")]
    store: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text", global = true)]
    format: AlertFormat,
    #[command(subcommand)]
    action: Action,
}

const AFTER_HELP: &str = "\
It works beside the service, or without it. An INCIDENT is its id or a beginning of it that no other has. What is done to an
incident is told where it was told before: the ticket follows.";

/// How alerts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AlertFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// OCSF Detection Finding (2004), one object a line.
    Ocsf,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List incidents, those with the latest events first; with --outcome or --alerts single alerts
    List(List),
    /// Show all of an incident: alerts, facts, assessments, reports, calls, history
    Show {
        /// Id of the incident
        incident: String,
        /// Alerts that are shown
        #[arg(long, value_name = "N", default_value_t = 20)]
        alerts: u32,
    },
    /// Say that somebody works on an incident
    Ack {
        /// Id of the incident
        incident: String,
        /// Who
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// Close an incident: later alerts open a new one
    Close {
        /// Id of the incident
        incident: String,
        /// Who
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Open a closed incident again
    Reopen {
        /// Id of the incident
        incident: String,
        /// Who
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// List reports that were given up
    Dead,
    /// Send reports again that were given up
    Resend {
        /// Those of this incident
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        incident: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Only to this notifier
        #[arg(long, value_name = "NAME")]
        notifier: Option<String>,
        /// Who
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
    },
    /// Remove closed incidents, records of calls and alerts that were not told
    Prune {
        /// Those that did not change since
        #[arg(long, value_name = "TIME")]
        before: Timestamp,
        /// Incidents that nobody closed, too
        #[arg(long)]
        open_too: bool,
    },
    /// Print the JSON Schema of the file of alerts and of what `--format json` prints
    Schema,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Incidents in this state; may be given more than once [default: open and acknowledged]
    #[arg(long, value_name = "STATUS", value_parser = word::<IncidentStatus>)]
    status: Vec<IncidentStatus>,
    /// At least this severe
    #[arg(long, value_name = "SEVERITY", value_parser = word::<Severity>)]
    severity: Option<Severity>,
    /// With an alert of this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// With this observable: ip=192.0.2.7
    #[arg(long, value_name = "KIND=VALUE", value_parser = observable)]
    observable: Option<(String, String)>,
    /// With events since then
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Alerts instead, of which this became: told, suppressed, maintenance, staged, inhibited, unseen
    #[arg(long, value_name = "OUTCOME", value_parser = word::<Outcome>)]
    outcome: Option<Outcome>,
    /// Alerts instead
    #[arg(long)]
    alerts: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn observable(text: &str) -> Result<(String, String), String> {
    let (kind, value) = text
        .split_once('=')
        .ok_or("write KIND=VALUE, for instance ip=192.0.2.7")?;
    Ok((kind.to_owned(), value.to_owned()))
}

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    crate::private::make_files_private();
    block_on(act(arguments))
}

async fn act(arguments: Arguments) -> Result<u8> {
    let format = arguments.format;
    let mut out = output::Shown(io::stdout().lock());
    if matches!(arguments.action, Action::Schema) {
        writeln!(out, "{}", serde_json::to_string_pretty(&format::schema())?)?;
        return Ok(0);
    }
    let location = match (&arguments.store, &arguments.config) {
        (Some(store), _) => location(store)?,
        (None, Some(file)) => Config::read(file)?.store_location()?,
        (None, None) => bail!("name the service by --config FILE, or its alerts by --store STORE"),
    };
    let store = Store::open_existing(&location, Clock::system()).await?;
    match arguments.action {
        Action::List(list) => list_all(&mut out, &store, list, format).await?,
        Action::Show { incident, alerts } => {
            let record = store.incident(&incident, alerts).await?;
            match format {
                AlertFormat::Text => show(&mut out, &record)?,
                AlertFormat::Json => line(&mut out, &record)?,
                AlertFormat::Ocsf => line(&mut out, &format::ocsf::incident(&record.report()))?,
            }
        }
        Action::Ack { incident, by } => {
            let row = store.acknowledge(&incident, &by).await?;
            done(&mut out, &row, format)?;
        }
        Action::Close {
            incident,
            by,
            reason,
        } => {
            let row = store.close_incident(&incident, &by, &reason).await?;
            done(&mut out, &row, format)?;
        }
        Action::Reopen { incident, by } => {
            let row = store.reopen(&incident, &by).await?;
            done(&mut out, &row, format)?;
        }
        Action::Dead => dead(&mut out, &store.dead_letters().await?, format)?,
        Action::Resend {
            incident,
            notifier,
            by,
            ..
        } => {
            let count = store
                .resend(incident.as_deref(), notifier.as_deref(), &by)
                .await?;
            match format {
                AlertFormat::Text if count == 1 => writeln!(out, "1 report is sent again")?,
                AlertFormat::Text => writeln!(out, "{} reports are sent again", number(count))?,
                _ => line(&mut out, &serde_json::json!({ "resent": count }))?,
            }
        }
        Action::Prune { before, open_too } => {
            let pruned = store.prune(before, open_too).await?;
            match format {
                AlertFormat::Text => writeln!(
                    out,
                    "removed {} incidents, {} alerts, {} records of calls",
                    number(pruned.incidents),
                    number(pruned.alerts),
                    number(pruned.calls)
                )?,
                _ => line(&mut out, &pruned)?,
            }
        }
        Action::Schema => {}
    }
    Ok(0)
}

/// Reads where alerts are kept: an address, or a file.
pub(crate) fn location(text: &str) -> Result<Location> {
    match text.contains("://") || text.starts_with("sqlite:") {
        true => Ok(text.parse()?),
        false => Ok(Location::Sqlite(text.into())),
    }
}

async fn list_all(
    out: &mut impl Write,
    store: &Store,
    list: List,
    format: AlertFormat,
) -> Result<()> {
    if list.alerts || list.outcome.is_some() {
        let filter = AlertFilter {
            outcome: list.outcome,
            severity: list.severity,
            rule: list.rule,
            since: list.since,
            observable: list.observable,
            limit: Some(list.limit),
            ..AlertFilter::default()
        };
        let rows = store.alerts(&filter).await?;
        return match format {
            AlertFormat::Text => alerts_table(out, &rows),
            AlertFormat::Json => rows.iter().try_for_each(|row| line(out, row)),
            AlertFormat::Ocsf => ocsf_alerts(out, &rows),
        };
    }
    let status = match list.status.is_empty() {
        true => vec![IncidentStatus::Open, IncidentStatus::Acknowledged],
        false => list.status,
    };
    let filter = IncidentFilter {
        status,
        severity: list.severity,
        rule: list.rule,
        since: list.since,
        observable: list.observable,
        limit: Some(list.limit),
        ..IncidentFilter::default()
    };
    let rows = store.incidents(&filter).await?;
    match format {
        AlertFormat::Text => incidents_table(out, &rows),
        AlertFormat::Json => rows.iter().try_for_each(|row| line(out, row)),
        AlertFormat::Ocsf => {
            for row in &rows {
                let record = store.incident(&row.id, OCSF_ALERTS).await?;
                line(out, &format::ocsf::incident(&record.report()))?;
            }
            Ok(())
        }
    }
}

/// Alerts of an incident that its OCSF finding has evidence of, at most.
const OCSF_ALERTS: u32 = 100;

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n").context("cannot write to stdout")
}

fn ocsf_alerts(out: &mut impl Write, rows: &[AlertRow]) -> Result<()> {
    for row in rows {
        line(out, &format::ocsf::recorded(row))?;
    }
    Ok(())
}

/// Enough of an id to be told from others, and typed.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn second(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

fn incidents_table(out: &mut impl Write, rows: &[IncidentRow]) -> Result<()> {
    if rows.is_empty() {
        writeln!(out, "no incidents")?;
        return Ok(());
    }
    let mut table = output::table([
        "INCIDENT",
        "SEVERITY",
        "STATUS",
        "LAST EVENT (UTC)",
        "ALERTS",
        "TITLE",
    ]);
    for row in rows {
        let status = match &row.assignee {
            Some(who) => format!("{} {}", word_of(&row.status), printable(who)),
            None => word_of(&row.status),
        };
        table.add_row([
            short(&row.id).to_owned(),
            row.severity.to_string(),
            status,
            second(row.last_time),
            number(row.alerts),
            output::cell(&row.title),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn alerts_table(out: &mut impl Write, rows: &[AlertRow]) -> Result<()> {
    if rows.is_empty() {
        writeln!(out, "no alerts")?;
        return Ok(());
    }
    let mut table = output::table([
        "SEVERITY",
        "STATE",
        "OUTCOME",
        "LAST EVENT (UTC)",
        "TITLE",
        "RULE",
        "WHY",
    ]);
    for row in rows {
        let incident = row.incident.as_deref().map(short);
        let why = row.why.as_deref().map(printable);
        table.add_row([
            row.severity().to_string(),
            word_of(&row.state),
            row.outcome.to_string(),
            second(row.alert.last_time),
            output::cell(&row.alert.title),
            row.alert.rule.clone(),
            why.or(incident.map(|id| format!("incident {id}")))
                .unwrap_or_default(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn word_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn done(out: &mut impl Write, row: &IncidentRow, format: AlertFormat) -> Result<()> {
    match format {
        AlertFormat::Text => writeln!(
            out,
            "incident {} is {}: {}",
            short(&row.id),
            word_of(&row.status),
            printable(&row.title)
        )?,
        _ => line(out, row)?,
    }
    Ok(())
}

fn dead(out: &mut impl Write, rows: &[DeliveryRow], format: AlertFormat) -> Result<()> {
    if format != AlertFormat::Text {
        return rows.iter().try_for_each(|row| line(out, row));
    }
    if rows.is_empty() {
        writeln!(out, "no report was given up")?;
        return Ok(());
    }
    let mut table = output::table(["INCIDENT", "NOTIFIER", "SINCE (UTC)", "ATTEMPTS", "ERROR"]);
    for row in rows {
        table.add_row([
            short(&row.incident).to_owned(),
            row.notifier.clone(),
            row.failing_since.map(second).unwrap_or_default(),
            row.attempts.to_string(),
            printable(row.error.as_deref().unwrap_or_default()),
        ]);
    }
    writeln!(out, "{table}")?;
    writeln!(out, "`yagura alerts resend` tries them again")?;
    Ok(())
}

fn show(out: &mut impl Write, record: &IncidentRecord) -> Result<()> {
    let incident = &record.incident;
    writeln!(
        out,
        "{} {}",
        incident.severity.to_string().to_uppercase(),
        printable(&incident.title)
    )?;
    let kind = match incident.kind {
        IncidentKind::Normal => "incident",
        IncidentKind::Flood => "flood",
        IncidentKind::Summary => "summary",
    };
    writeln!(
        out,
        "{kind} {}, {}, verdict {}, revision {}",
        incident.id,
        word_of(&incident.status),
        word_of(&incident.verdict),
        incident.revision
    )?;
    if let (Some(who), Some(reason)) = (&incident.closed_by, &incident.closed_reason) {
        writeln!(out, "closed by {}: {}", printable(who), printable(reason))?;
    }
    writeln!(
        out,
        "events from {} to {}; {} alerts, {} of them hold",
        second(incident.first_time),
        second(incident.last_time),
        number(incident.alerts),
        number(incident.live)
    )?;
    for alert in &record.alerts {
        writeln!(
            out,
            "\nalert {} {}: {}",
            word_of(&alert.state),
            alert.severity(),
            printable(&alert.alert.title)
        )?;
        writeln!(
            out,
            "  rule {}, key {}, {} findings, first event {}",
            alert.alert.rule,
            printable(&alert.alert.key),
            number(alert.alert.count),
            second(alert.alert.first_time)
        )?;
        if let Some(reason) = &alert.reason {
            writeln!(out, "  withdrawn: {}", printable(reason))?;
        }
        for observable in &alert.alert.observables {
            writeln!(
                out,
                "  {} {}",
                observable.kind,
                printable(&observable.value)
            )?;
        }
        for entry in &alert.alert.context {
            writeln!(
                out,
                "  {}: {}",
                printable(&entry.name),
                printable(&entry.value)
            )?;
        }
        for event in &alert.alert.evidence.events {
            writeln!(
                out,
                "  evidence {} row {} {}",
                printable(&event.object),
                event.row,
                event.hash
            )?;
        }
        let facts = record
            .facts
            .iter()
            .filter(|facts| facts.alert == alert.alert.id);
        for facts in facts {
            for fact in &facts.found.attributes {
                writeln!(
                    out,
                    "  {}: {} ({})",
                    printable(&fact.name),
                    printable(&fact.value),
                    printable(&fact.source)
                )?;
            }
            if let Some(error) = &facts.error {
                writeln!(out, "  {} failed: {}", facts.enricher, printable(error))?;
            }
        }
        let assessments = record
            .assessments
            .iter()
            .filter(|of| of.alert == alert.alert.id);
        for of in assessments {
            writeln!(
                out,
                "  {}: {}, {}: {}",
                of.reviewer,
                of.assessment.severity,
                word_of(&of.assessment.verdict),
                printable(&of.assessment.reason)
            )?;
        }
    }
    if record.alerts.len() as u64 != incident.alerts && incident.kind != IncidentKind::Summary {
        writeln!(
            out,
            "\nthe first {} alerts; --alerts N shows more",
            record.alerts.len()
        )?;
    }
    for row in &record.summarised {
        writeln!(
            out,
            "\nsummarised {} {}: {}",
            short(&row.id),
            row.severity,
            printable(&row.title)
        )?;
    }
    reports(out, record)?;
    if !record.history.is_empty() {
        writeln!(out, "\nhistory")?;
    }
    for entry in &record.history {
        writeln!(
            out,
            "  {} {}: {}",
            second(entry.at),
            printable(&entry.who),
            printable(&entry.what)
        )?;
    }
    Ok(())
}

fn reports(out: &mut impl Write, record: &IncidentRecord) -> Result<()> {
    writeln!(out, "\nreports")?;
    if record.deliveries.is_empty() {
        writeln!(
            out,
            "  nobody is told: no route of the policy takes its alerts"
        )?;
    }
    for row in &record.deliveries {
        let state = match row.state {
            DeliveryState::Idle if row.told > 0 => format!("told revision {}", row.told),
            DeliveryState::Idle => "nothing to tell".to_owned(),
            DeliveryState::Due => format!("revision {} due {}", row.wanted, second(row.due_at)),
            DeliveryState::Sending => format!("revision {} is being told", row.wanted),
            DeliveryState::Dead => "given up".to_owned(),
            DeliveryState::Summarised => "told in a summary".to_owned(),
        };
        let receipt = row.receipt.as_deref().map(printable);
        let receipt = receipt.map_or_else(String::new, |receipt| format!(", receipt {receipt}"));
        let error = row.error.as_deref().map(printable);
        let error = error.map_or_else(String::new, |error| {
            format!("; failed {} times: {error}", row.attempts)
        });
        writeln!(out, "  {}: {state}{receipt}{error}", row.notifier)?;
    }
    let waiting = record
        .runs
        .iter()
        .filter(|run| run.state == RunState::Waiting);
    for (index, run) in waiting.enumerate() {
        if index == 0 {
            writeln!(out, "\nstill to look up")?;
        }
        let error = run.error.as_deref().map(printable);
        let error = error.map_or_else(String::new, |error| {
            format!("; failed {} times: {error}", run.attempts)
        });
        writeln!(out, "  {} {}{error}", run.enricher, second(run.due_at))?;
    }
    if !record.calls.is_empty() {
        writeln!(out, "\ncalls")?;
    }
    for call in &record.calls {
        let answer = match (&call.error, call.status) {
            (Some(error), _) => printable(error),
            (None, Some(status)) => status.to_string(),
            (None, None) => "no answer".to_owned(),
        };
        let cached = if call.is_cached { ", kept" } else { "" };
        writeln!(
            out,
            "  {} {}: {} {}: {answer}, {} ms{cached}",
            second(call.at),
            call.plugin,
            call.method,
            printable(&call.url),
            call.micros / 1_000
        )?;
    }
    Ok(())
}
