//! `yagura release`: end the rests of rules.

use std::io::{self, Write};

use anyhow::{Result, bail};
use yagura_core::names::did_you_mean;
use yagura_correlate::store::{Rest, Store};

use crate::output::{count, printable};
use crate::releases;

use super::status::Service;

/// Try rules again at once that rest after repeated faults of their plugins.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    service: Service,
    /// All rules that rest
    #[arg(long, conflicts_with = "rules")]
    all: bool,
    /// Ids of rules, as `yagura status` shows them
    #[arg(value_name = "RULE", required_unless_present = "all")]
    rules: Vec<String>,
}

const AFTER_HELP: &str = "\
After three failed batches a rule rests: for a minute, then twice as long with each relapse, up to an hour. `yagura status` shows which rules rest, why, and what they did not evaluate. A rule that
is released is tried with the service's next step as if it had never failed. A plugin that was exchanged is tried with the
service's next start by itself.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let dir = arguments.service.state()?;
    let status = Store::status(&dir)?;
    let rests = status.tables.iter().flat_map(|table| &table.rests);
    let resting: Vec<&Rest> = rests.filter(|rest| rest.is_quarantined).collect();
    let mut out = io::stdout().lock();
    if arguments.all && resting.is_empty() {
        writeln!(out, "no rule rests")?;
        return Ok(0);
    }
    let mut released = Vec::new();
    for id in &arguments.rules {
        let Some(rest) = resting.iter().find(|rest| rest.rule == *id) else {
            let known = resting.iter().map(|rest| rest.rule.as_str());
            let hint = match did_you_mean(id, known.clone()) {
                hint if !hint.is_empty() => hint,
                _ => match known.collect::<Vec<_>>().join("`, `") {
                    none if none.is_empty() => "; no rule rests".to_owned(),
                    ids => format!("; these rest: `{ids}`"),
                },
            };
            bail!("rule `{}` does not rest{hint}", printable(id));
        };
        released.push(*rest);
    }
    if arguments.all {
        released = resting;
    }
    for rest in released {
        releases::ask(&dir, &rest.rule)?;
        writeln!(
            out,
            "rule `{}` is tried again with the service's next step",
            printable(&rest.rule)
        )?;
        if let (Some(first), Some(last)) = (rest.first, rest.last) {
            let events = count(rest.events, "event was", "events were");
            // The end of a range is not in it.
            let end = last.saturating_add(1);
            writeln!(
                out,
                "  {events} not evaluated by it; `yagura run --from {first} --to {end}` does"
            )?;
        }
    }
    Ok(0)
}
