//! `yagura alerts`: what became of alerts, and what humans do about them.

mod print;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use yagura_alerts::store::rows::Outcome;
use yagura_alerts::store::{AlertFilter, IncidentFilter};
use yagura_alerts::{AlertStore, Clock, format};
use yagura_core::report::IncidentStatus;
use yagura_core::{Severity, Timestamp};
use yagura_service::config::{Config, alert_store};

use super::block_on;
use crate::output::{self, number};

use self::print::{
    AlertFormat, alerts_table, dead, done, incidents_table, line, ocsf_alerts, show,
};

/// List, show, acknowledge and close incidents; send failed reports again
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
    action: AlertsAction,
}

const AFTER_HELP: &str = "\
It works beside the service, or without it. An INCIDENT is its id, or a beginning of the id that no other incident has. A change
to an incident is reported where the incident was reported before: its ticket follows.";

#[derive(Debug, Subcommand)]
enum AlertsAction {
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
    /// Remove closed incidents, records of calls and alerts that were not reported
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
    /// Alerts instead of incidents, those with this outcome: reported, suppressed, maintenance, staged, inhibited, unseen
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
    if matches!(arguments.action, AlertsAction::Schema) {
        writeln!(out, "{}", serde_json::to_string_pretty(&format::schema())?)?;
        return Ok(0);
    }
    let location = match (&arguments.store, &arguments.config) {
        (Some(store), _) => alert_store(store)?,
        (None, Some(file)) => Config::read(file)?.store_location()?,
        (None, None) => bail!("name the service by --config FILE, or its alerts by --store STORE"),
    };
    let store = AlertStore::open_existing(&location, Clock::system()).await?;
    match arguments.action {
        AlertsAction::List(list) => list_all(&mut out, &store, list, format).await?,
        AlertsAction::Show { incident, alerts } => {
            let record = store.incident(&incident, alerts).await?;
            match format {
                AlertFormat::Text => show(&mut out, &record)?,
                AlertFormat::Json => line(&mut out, &record)?,
                AlertFormat::Ocsf => line(&mut out, &format::ocsf::incident(&record.report()))?,
            }
        }
        AlertsAction::Ack { incident, by } => {
            let row = store.acknowledge(&incident, &by).await?;
            done(&mut out, &row, format)?;
        }
        AlertsAction::Close {
            incident,
            by,
            reason,
        } => {
            let row = store.close_incident(&incident, &by, &reason).await?;
            done(&mut out, &row, format)?;
        }
        AlertsAction::Reopen { incident, by } => {
            let row = store.reopen(&incident, &by).await?;
            done(&mut out, &row, format)?;
        }
        AlertsAction::Dead => dead(&mut out, &store.dead_letters().await?, format)?,
        AlertsAction::Resend {
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
        AlertsAction::Prune { before, open_too } => {
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
        AlertsAction::Schema => {}
    }
    Ok(0)
}

async fn list_all(
    out: &mut impl Write,
    store: &AlertStore,
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
