//! The summary of a run on stderr.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use yagura_correlate::Counters;
use yagura_engine::RunOutcome;
use yagura_engine::TableOutcome;
use yagura_engine::report::{SkipCause, SkippedEvents};

use crate::output::{Shown, count, number};

/// Prints to stderr what was read, and everything that went wrong.
pub(super) fn print(outcome: &RunOutcome, counters: &Counters, start: Instant) -> Result<()> {
    let mut err = Shown(io::stderr().lock());
    for table in &outcome.tables {
        let skipped = table.table.files_out_of_range;
        let range = if skipped > 0 {
            format!(" ({skipped} outside the range)")
        } else {
            String::new()
        };
        writeln!(
            err,
            "{}: {} over {}{range}, {} passed the scan's filters",
            table.table.name,
            count(table.rules as u64, "rule", "rules"),
            count(table.table.files.len() as u64, "object", "objects"),
            count(table.scanned, "event", "events"),
        )?;
        for warning in warnings(table) {
            writeln!(err, "warning: {warning}")?;
        }
        for (file, reason) in &table.bad_files {
            writeln!(
                err,
                "error: {file} was skipped for all rules, because it cannot be read: {reason}"
            )?;
        }
    }
    // Rules of one missing table are reported in one line.
    let mut not_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in &outcome.not_run {
        not_run.entry(&rule.reason).or_default().push(&rule.rule);
    }
    for (reason, ids) in &not_run {
        let rules = count(ids.len() as u64, "rule", "rules");
        // A file that cannot be read has no ids; its name is in the reason.
        let ids: Vec<&str> = ids.iter().copied().filter(|id| !id.is_empty()).collect();
        let ids = if ids.is_empty() {
            String::new()
        } else {
            format!(" ({})", ids.join(", "))
        };
        writeln!(err, "warning: {rules} did not run: {reason}{ids}")?;
    }
    for note in &outcome.notes {
        writeln!(err, "warning: {note}")?;
    }
    print_skipped(&mut err, outcome)?;
    print_left_out(&mut err, counters)?;
    if outcome.tables.is_empty() {
        writeln!(
            err,
            "error: no rule could run, for the reasons above; `yagura table --lake LAKE` shows the tables and their columns"
        )?;
    }
    writeln!(err, "done in {:.1} s", start.elapsed().as_secs_f64())
        .context("cannot write to stderr")
}

/// Returns what a person should know of a table, besides objects that cannot be read.
fn warnings(of: &TableOutcome) -> Vec<String> {
    let table = &of.table;
    let name = &table.name;
    let mut warnings: Vec<String> = table
        .notes
        .iter()
        .map(|note| format!("table `{name}`: {note}"))
        .collect();
    warnings.extend(table.passed_over.messages(name));
    let odd = &of.odd_times;
    let without = odd.without.count.max(of.null_times);
    let kinds = [
        (
            without,
            &odd.without,
            format!(
                "no usable time in `{}`, and no rule evaluates them",
                table.time
            ),
        ),
        (
            odd.future.count,
            &odd.future,
            "a time more than a day ahead of the clock".to_owned(),
        ),
        (
            odd.old.count,
            &odd.old,
            "a time before 1990, which is most likely wrong".to_owned(),
        ),
    ];
    for (events, odd, what) in kinds {
        if events == 0 {
            continue;
        }
        let example = odd
            .example
            .as_ref()
            .map_or_else(String::new, |(object, row, time)| {
                let time = time.map_or_else(String::new, |time| format!(" ({time})"));
                format!("; for instance row {row} of {object}{time}")
            });
        warnings.push(format!(
            "{} of table `{name}` {} {what}{example}",
            count(events, "event", "events"),
            if events == 1 { "has" } else { "have" }
        ));
    }
    warnings.extend(of.converted.messages(name));
    warnings.extend(of.messages.iter().cloned());
    warnings
}

/// Skipped events of one rule that are shown one by one.
const MOST_SHOWN: usize = 10;

fn print_skipped(err: &mut impl Write, outcome: &RunOutcome) -> Result<()> {
    let rules = &outcome.rules;
    let mut by_rule: BTreeMap<usize, Vec<&SkippedEvents>> = BTreeMap::new();
    for events in &outcome.skipped {
        by_rule.entry(events.rule).or_default().push(events);
    }
    for (rule, events) in by_rule {
        let Some(id) = rules.get(rule).map(|rule| &rule.id) else {
            continue;
        };
        let rows: u64 = events.iter().map(|events| events.rows).sum();
        let quarantined: u64 = events
            .iter()
            .filter(|events| events.cause == SkipCause::Quarantine)
            .map(|events| events.rows + events.wakes)
            .sum();
        let wakes: u64 = events.iter().map(|events| events.wakes).sum();
        if rows > 0 {
            writeln!(
                err,
                "error: rule `{id}` did not evaluate {}; all other rules did",
                count(rows, "event", "events")
            )?;
        }
        if wakes > 0 {
            writeln!(
                err,
                "error: rule `{id}` did not answer {}",
                count(wakes, "wake-up", "wake-ups")
            )?;
        }
        let tried = events
            .iter()
            .filter(|events| events.cause != SkipCause::Quarantine);
        let more = tried.clone().count().saturating_sub(MOST_SHOWN);
        for events in tried.take(MOST_SHOWN) {
            let what = match events.rows {
                0 => count(events.wakes, "wake-up", "wake-ups"),
                rows => count(rows, "event", "events"),
            };
            writeln!(
                err,
                "  {what} from row {} of {} ({}): {}",
                events.first.row, events.first.object, events.first.time, events.reason
            )?;
        }
        if more > 0 {
            writeln!(err, "  and {} more of this kind", number(more as u64))?;
        }
        if quarantined > 0 {
            writeln!(
                err,
                "  {} because the rule was no longer tried after these faults",
                if wakes == 0 {
                    count(quarantined, "event", "events")
                } else {
                    count(quarantined, "event or wake-up", "events and wake-ups")
                }
            )?;
        }
    }
    Ok(())
}

/// Prints the findings that correlations skipped.
fn print_left_out(err: &mut impl Write, counters: &Counters) -> Result<()> {
    for (rule, left_out) in &counters.without_key {
        writeln!(
            err,
            "warning: `{rule}` left out {} without a value in its `by`",
            count(*left_out, "finding", "findings")
        )?;
    }
    for (rule, passed_over) in &counters.without_value {
        writeln!(
            err,
            "warning: `{rule}` passed over {} without a value in its `field` that it can use",
            count(*passed_over, "finding", "findings")
        )?;
    }
    for (rule, forgotten) in &counters.capped {
        writeln!(
            err,
            "warning: `{rule}` forgot {} of keys that had more than a key may hold",
            count(*forgotten, "hit or value", "hits or values")
        )?;
    }
    Ok(())
}
