//! `yagura status`: how far a service is, from its state.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use yagura_core::Timestamp;
use yagura_correlate::store::{QuarantinedRule, StateStore, Status, TableStatus};

use crate::exit::FAILED;
use crate::output::{self, OutputFormat, number, printable};
use crate::state_dir::StateDir;

/// Show how far a service is: progress, lag, late events, quarantined rules, state
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    service: StateDir,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
It reads only the state, whether the service runs or not. BEHIND is the time between the clock and the latest event. Before the
WATERMARK no event is still to come. LATE counts findings that came after the watermark had passed them: rules without
correlation reported them, correlations skipped them. It also counts events that came too late for rules with state, which did
not evaluate them. QUARANTINED rules are paused after repeated faults of their plugins. The
exit code is 1 while a table waits, a rule is in quarantine, or the state cannot be written.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let dir = arguments.service.resolve()?;
    let status = StateStore::status(&dir)?;
    let mut out = output::Shown(io::stdout().lock());
    match arguments.format {
        OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(&status)?)?,
        OutputFormat::Text => print(&mut out, &status)?,
    }
    let mut tables = status.tables.iter();
    let waits = tables.any(|table| table.problem.is_some());
    match status.problem.is_some() || waits || quarantined(&status).next().is_some() {
        true => Ok(FAILED),
        false => Ok(0),
    }
}

fn print(out: &mut impl Write, status: &Status) -> Result<()> {
    let now = now();
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
        "WATERMARK (UTC)",
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
    let groups = status.watermarks.iter();
    let joined = groups.filter(|(tables, _)| tables.contains(','));
    for (tables, watermark) in joined {
        let tables = tables.replace(',', ", ");
        writeln!(
            out,
            "correlated: {tables}; watermark {}",
            minute(*watermark)
        )?;
    }
    print_quarantined(out, status)?;
    print_skipped(out, status)?;
    let mut rules = output::table([
        "RULE", "KEYS", "SPILLED", "MEMORY", "LATE", "CAPPED", "NO KEY", "NO VALUE",
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
    let count = |count: i64, one: &str, more: &str| {
        output::count(u64::try_from(count).unwrap_or_default(), one, more)
    };
    writeln!(
        out,
        "{} for the watermark; {}; {} written, {} not delivered yet",
        count(status.pending, "finding waits", "findings wait"),
        count(
            status.provisional,
            "provisional alert",
            "provisional alerts"
        ),
        count(status.lines, "line", "lines"),
        number(u64::try_from(status.undelivered).unwrap_or_default())
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

/// Returns the rules that are in quarantine.
pub(super) fn quarantined(status: &Status) -> impl Iterator<Item = &QuarantinedRule> {
    let rules = status.tables.iter().flat_map(|table| &table.quarantine);
    rules.filter(|rule| rule.is_quarantined)
}

/// Prints the rules in quarantine and what they skip. Returns whether there are any.
pub(super) fn print_quarantined(out: &mut impl Write, status: &Status) -> Result<bool> {
    let mut table = output::table([
        "QUARANTINED",
        "SINCE (UTC)",
        "UNTIL (UTC)",
        "SKIPPED",
        "REASON",
    ]);
    let now = now();
    for rule in quarantined(status) {
        table.add_row([
            printable(&rule.rule),
            minute(rule.since),
            if rule.until.micros() <= now {
                "retry is due".to_owned()
            } else {
                minute(Some(rule.until))
            },
            number(rule.events + rule.wakes),
            printable(&rule.reason),
        ]);
    }
    if table.is_empty() {
        return Ok(false);
    }
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "`yagura quarantine clear RULE --config FILE` retries a rule before its cooldown is over"
    )?;
    Ok(true)
}

/// Prints the rules that skipped events because their `where` failed on them.
fn print_skipped(out: &mut impl Write, status: &Status) -> Result<()> {
    let mut table = output::table(["RULE", "SKIPPED", "REASON"]);
    for (rule, skipped) in status.tables.iter().flat_map(|table| &table.skipped) {
        table.add_row([
            printable(rule),
            number(skipped.events),
            printable(&skipped.reason),
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
        parts.push("first load".to_owned());
    }
    if table.is_idle {
        parts.push("idle".to_owned());
    }
    if table.background > 0 {
        let events = output::count(table.background, "event", "events");
        parts.push(format!("{events} in background evaluation"));
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

/// Returns the time of the clock in microseconds.
pub(super) fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

fn minute(time: Option<Timestamp>) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// Writes a length of time in its two largest units.
pub(super) fn length(micros: i64) -> String {
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
    fn lengths_have_two_units() {
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
