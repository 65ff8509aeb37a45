//! `yagura status`: how far a service is, from its state.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use yagura_core::Timestamp;
use yagura_correlate::store::{Status, Store, TableStatus};

use crate::config::{Config, ServeSettings};
use crate::exit::FAILED;
use crate::output::{self, Format, number, printable};

/// Say how far a service is: progress, lag, late events, what correlations remember.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    service: Service,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Which service is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Service {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", required_unless_present = "state")]
    config: Option<PathBuf>,
    /// Directory of its state
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    state: Option<PathBuf>,
}

impl Service {
    /// Returns the directory of its state.
    pub(super) fn state(&self) -> Result<PathBuf> {
        Ok(match (&self.state, &self.config) {
            (Some(dir), _) => dir.clone(),
            (None, Some(file)) => Config::read(file)?.serve.unwrap_or_default().state,
            (None, None) => ServeSettings::default().state,
        })
    }
}

const AFTER_HELP: &str = "\
It reads the state alone, whether the service runs or not. BEHIND is the time between the clock and the latest event;
FINAL is the time before which nothing is still to come. Late findings came after their time was final: rules without
correlation told them, correlations did not see them. RESTING are rules whose plugins failed repeatedly. The exit code is 1 while a table waits, a rule
rests, or the state cannot be written.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let dir = arguments.service.state()?;
    let status = Store::status(&dir)?;
    let mut out = output::Shown(io::stdout().lock());
    match arguments.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(&status)?)?,
        Format::Text => print(&mut out, &status)?,
    }
    let rests = |table: &TableStatus| table.rests.iter().any(|rest| rest.is_quarantined);
    let mut tables = status.tables.iter();
    let is_stuck = status.problem.is_some();
    match is_stuck || tables.any(|table| table.problem.is_some() || rests(table)) {
        true => Ok(FAILED),
        false => Ok(0),
    }
}

fn print(out: &mut impl Write, status: &Status) -> Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let since = |time: Option<Timestamp>| match time {
        Some(time) => length(now.saturating_sub(time.micros())),
        None => "never".to_owned(),
    };
    match status.committed {
        Some(_) => writeln!(out, "last step {} ago", since(status.committed))?,
        None => writeln!(out, "no step yet")?,
    }
    if let Some(problem) = &status.problem {
        writeln!(
            out,
            "the state cannot be written ({}): nothing new is read until it can, and nothing is lost; make room on its disk",
            printable(problem)
        )?;
    }
    let mut table = output::table([
        "TABLE",
        "OBJECTS",
        "WAITING",
        "EVENTS",
        "BEHIND",
        "FINAL (UTC)",
        "LATENESS",
        "STATE",
    ]);
    for of in &status.tables {
        table.add_row([
            of.name.clone(),
            number(of.objects),
            number(of.waiting),
            number(of.events),
            since(of.latest),
            minute(of.watermark),
            length(of.lateness),
            state(of),
        ]);
    }
    if !status.tables.is_empty() {
        writeln!(out, "{table}")?;
    }
    let joined = status
        .settled
        .iter()
        .filter(|(tables, _)| tables.contains(','));
    for (tables, watermark) in joined {
        let tables = tables.replace(',', ", ");
        writeln!(
            out,
            "correlated: {tables}; settled to {}",
            minute(*watermark)
        )?;
    }
    print_rests(out, status, now)?;
    print_undecided(out, status)?;
    let mut rules = output::table([
        "RULE", "KEYS", "ON DISK", "MEMORY", "LATE", "CAPPED", "NO KEY", "NO VALUE",
    ]);
    let mut has_rules = false;
    for rule in &status.rules {
        let all = [
            rule.keys,
            rule.spilled,
            rule.late,
            rule.capped,
            rule.without_key,
            rule.without_value,
        ];
        if all == [0; 6] {
            continue;
        }
        has_rules = true;
        let count = |count: i64| number(u64::try_from(count).unwrap_or_default());
        let name = match rule.rule.as_str() {
            "" => "(windows of alerts)",
            name => name,
        };
        rules.add_row([
            name.to_owned(),
            count(rule.keys),
            count(rule.spilled),
            bytes(rule.bytes),
            count(rule.late),
            count(rule.capped),
            count(rule.without_key),
            count(rule.without_value),
        ]);
    }
    if has_rules {
        writeln!(out, "{rules}")?;
    }
    let count = |count: i64| number(u64::try_from(count).unwrap_or_default());
    writeln!(
        out,
        "{} findings wait for their time; {} provisional alerts; {} lines written, {} not delivered yet",
        count(status.pending),
        count(status.provisional),
        count(status.lines),
        count(status.undelivered)
    )?;
    for entry in &status.log {
        writeln!(
            out,
            "{} {}",
            minute(Some(entry.at)),
            printable(&entry.message)
        )?;
    }
    Ok(())
}

/// Tells of the rules that rest, and what they do not evaluate meanwhile.
fn print_rests(out: &mut impl Write, status: &Status, now: i64) -> Result<()> {
    let rests = status.tables.iter().flat_map(|table| &table.rests);
    let mut resting = rests.filter(|rest| rest.is_quarantined).peekable();
    if resting.peek().is_none() {
        return Ok(());
    }
    let mut table = output::table(["RESTING", "SINCE (UTC)", "UNTIL (UTC)", "NOT JUDGED", "WHY"]);
    for rest in resting {
        table.add_row([
            printable(&rest.rule),
            minute(rest.since),
            if rest.until.micros() <= now {
                "on trial".to_owned()
            } else {
                minute(Some(rest.until))
            },
            number(rest.events + rest.wakes),
            printable(&rest.reason),
        ]);
    }
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "`yagura release RULE --config FILE` tries a rule again before its rest is over"
    )?;
    Ok(())
}

/// Tells of the rules whose `where` fails on events.
fn print_undecided(out: &mut impl Write, status: &Status) -> Result<()> {
    let mut table = output::table(["RULE", "NOT JUDGED", "WHY"]);
    for (rule, undecided) in status.tables.iter().flat_map(|table| &table.undecided) {
        table.add_row([
            printable(rule),
            number(undecided.events),
            printable(&undecided.reason),
        ]);
    }
    if !table.is_empty() {
        writeln!(out, "{table}")?;
    }
    Ok(())
}

fn state(table: &TableStatus) -> String {
    if let Some(problem) = &table.problem {
        return format!("waits: {}", printable(problem));
    }
    let mut parts = Vec::new();
    if table.is_loading && table.objects > 0 {
        parts.push("first load, nothing is final yet".to_owned());
    }
    if table.is_idle {
        parts.push("silent".to_owned());
    }
    if table.aside > 0 {
        parts.push(format!(
            "{} events evaluated in the background",
            number(table.aside)
        ));
    }
    if table.bad > 0 {
        parts.push(format!("{} unreadable", number(table.bad)));
    }
    if table.replaced > 0 {
        parts.push(format!("{} replaced", number(table.replaced)));
    }
    if table.future > 0 {
        parts.push(format!("{} ahead of the clock", number(table.future)));
    }
    if parts.is_empty() {
        "reading".to_owned()
    } else {
        parts.join(", ")
    }
}

fn minute(time: Option<Timestamp>) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// Writes a length of time in its two largest units.
fn length(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        _ if seconds < 0 => "ahead".to_owned(),
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} m {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} m"),
        _ => format!("{days} d {hours} h"),
    }
}

fn bytes(bytes: i64) -> String {
    let kib = bytes / 1_024;
    if kib < 1_024 {
        format!("{kib} KiB")
    } else {
        format!("{} MiB", kib / 1_024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_two_units() {
        let seconds = |seconds: i64| length(seconds * 1_000_000);
        assert_eq!(seconds(5), "5 s");
        assert_eq!(seconds(605), "10 m 5 s");
        assert_eq!(seconds(3_660), "1 h 1 m");
        assert_eq!(seconds(90_000), "1 d 1 h");
        assert_eq!(seconds(-1), "ahead");
        assert_eq!(bytes(2_048), "2 KiB");
        assert_eq!(bytes(3 << 20), "3 MiB");
    }
}
