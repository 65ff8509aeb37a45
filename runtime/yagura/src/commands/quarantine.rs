//! `yagura quarantine`: list the rules in quarantine, and end a quarantine early.

use std::io::{self, Write};

use anyhow::{Result, bail};
use yagura_core::names::did_you_mean;
use yagura_correlate::store::{QuarantinedRule, StateStore};
use yagura_service::quarantine_requests;

use super::status::{print_quarantined, quarantined};
use crate::output::{self, OutputFormat, count, printable};
use crate::state_dir::StateDir;

/// List the rules in quarantine, or end their quarantine early
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: QuarantineAction,
}

const AFTER_HELP: &str = "\
If three batches of a rule fail and the faulty events cannot be isolated, the service puts the rule into quarantine. \
The first cooldown lasts as long as `serve.cooldown`, by default one minute. Each relapse doubles it, up to one hour. \
After a cooldown the service retries the rule by itself. A rule whose plugin was exchanged is retried when the service \
starts.";

#[derive(Debug, clap::Subcommand)]
enum QuarantineAction {
    /// List the rules in quarantine: since when, until when, what they skipped, and why
    List {
        #[command(flatten)]
        service: StateDir,
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        format: OutputFormat,
    },
    /// Retry rules with the service's next step, as if they had never failed
    Clear {
        #[command(flatten)]
        service: StateDir,
        /// All rules in quarantine
        #[arg(long, conflicts_with = "rules")]
        all: bool,
        /// Ids of rules, as `yagura quarantine list` shows them
        #[arg(value_name = "RULE", required_unless_present = "all")]
        rules: Vec<String>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    match &arguments.action {
        QuarantineAction::List { service, format } => list(service, *format),
        QuarantineAction::Clear {
            service,
            all,
            rules,
        } => clear(service, *all, rules),
    }
}

fn list(service: &StateDir, format: OutputFormat) -> Result<u8> {
    let status = StateStore::status(&service.resolve()?)?;
    let mut out = output::Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for rule in quarantined(&status) {
                writeln!(out, "{}", serde_json::to_string(rule)?)?;
            }
        }
        OutputFormat::Text => {
            if !print_quarantined(&mut out, &status)? {
                writeln!(out, "no rule is in quarantine")?;
            }
        }
    }
    Ok(0)
}

fn clear(service: &StateDir, all: bool, ids: &[String]) -> Result<u8> {
    let dir = service.resolve()?;
    let status = StateStore::status(&dir)?;
    let known: Vec<&QuarantinedRule> = quarantined(&status).collect();
    let mut out = io::stdout().lock();
    if all && known.is_empty() {
        writeln!(out, "no rule is in quarantine")?;
        return Ok(0);
    }
    let mut cleared = Vec::new();
    for id in ids {
        match known.iter().find(|rule| rule.rule == *id) {
            Some(rule) => cleared.push(*rule),
            None => bail!(
                "rule `{}` is not in quarantine{}",
                printable(id),
                hint(id, &known)
            ),
        }
    }
    if all {
        cleared = known;
    }
    for rule in cleared {
        quarantine_requests::write(&dir, &rule.rule)?;
        writeln!(
            out,
            "rule `{}` is retried with the service's next step",
            printable(&rule.rule)
        )?;
        if let (Some(first), Some(last)) = (rule.first, rule.last) {
            let skipped = count(rule.events, "event", "events");
            // The end of a range is not in it.
            let end = last.saturating_add(1);
            writeln!(
                out,
                "  it skipped {skipped}; to evaluate them: `yagura run --from {first} --to {end}`"
            )?;
        }
    }
    Ok(0)
}

/// Returns a hint at the rules that are in quarantine, for an id that is not.
fn hint(id: &str, known: &[&QuarantinedRule]) -> String {
    let ids = known.iter().map(|rule| rule.rule.as_str());
    let hint = did_you_mean(id, ids.clone());
    if !hint.is_empty() {
        return hint;
    }
    if known.is_empty() {
        return "; no rule is".to_owned();
    }
    format!("; these are: `{}`", ids.collect::<Vec<_>>().join("`, `"))
}
