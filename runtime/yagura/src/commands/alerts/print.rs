//! Incidents and alerts for people and for programs.

use std::io::Write;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use yagura_alerts::format;
use yagura_alerts::store::StoredIncident;
use yagura_alerts::store::rows::{
    AlertRow, DeliveryRow, DeliveryState, IncidentKind, IncidentRow, RunState,
};
use yagura_core::Timestamp;

use crate::output::{self, number, printable};

/// How alerts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AlertFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// OCSF Detection Finding (2004), one object a line.
    Ocsf,
}

pub(super) fn line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n").context("cannot write to stdout")
}

pub(super) fn ocsf_alerts(out: &mut impl Write, rows: &[AlertRow]) -> Result<()> {
    for row in rows {
        line(out, &format::ocsf::recorded(row))?;
    }
    Ok(())
}

/// The beginning of an id: enough to tell it apart, and short enough to type.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn second(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

pub(super) fn incidents_table(out: &mut impl Write, rows: &[IncidentRow]) -> Result<()> {
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

pub(super) fn alerts_table(out: &mut impl Write, rows: &[AlertRow]) -> Result<()> {
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

pub(super) fn done(out: &mut impl Write, row: &IncidentRow, format: AlertFormat) -> Result<()> {
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

pub(super) fn dead(out: &mut impl Write, rows: &[DeliveryRow], format: AlertFormat) -> Result<()> {
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

pub(super) fn show(out: &mut impl Write, record: &StoredIncident) -> Result<()> {
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

fn reports(out: &mut impl Write, record: &StoredIncident) -> Result<()> {
    writeln!(out, "\nreports")?;
    if record.deliveries.is_empty() {
        writeln!(out, "  none: no route of the policy takes its alerts")?;
    }
    for row in &record.deliveries {
        let state = match row.state {
            DeliveryState::Idle if row.sent_revision > 0 => {
                format!("revision {} sent", row.sent_revision)
            }
            DeliveryState::Idle => "nothing to send".to_owned(),
            DeliveryState::Due => {
                format!("revision {} due {}", row.due_revision, second(row.due_at))
            }
            DeliveryState::Sending => format!("revision {} is being sent", row.due_revision),
            DeliveryState::Dead => "given up".to_owned(),
            DeliveryState::Summarised => "sent in a summary".to_owned(),
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
