//! `yagura ingest`: raw logs into a table of a lake.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use yagura_core::shown::without_controls;
use yagura_core::{FieldPath, Grants, Timestamp};
use yagura_formats::{LineFormat, Zone};
use yagura_host::Meter;
use yagura_lake::ingest::{self, IngestOptions, IngestReport, KeysWithoutColumn, SHOWN, ingest};
use yagura_lake::names::escaped;
use yagura_lake::table::TableConfig;
use yagura_lake::{Location, TimeBounds, copy_object, raw_objects, root_of};
use yagura_rules::sigma::FieldMap;
use yagura_search::{SearchTable, update_index};
use yagura_service::packs;
use yagura_service::sources::{OpenSource, RECORDS_AT_ONCE};

use super::block_on;
use crate::exit::INPUT;
use crate::output::{count, number};
use crate::progress;

/// Read raw logs into a table of a lake: sorted Parquet, partitioned by day
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Table that receives the events [default: the name of the source]
    #[arg(long, value_name = "NAME", required_unless_present = "source")]
    table: Option<String>,
    /// Source whose logs these are: a name of `yagura source list`, or the path of a source's file; rows get OCSF's names
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Directory of a pack with sources; may be given more than once
    #[arg(long, value_name = "PATH", requires = "source")]
    pack: Vec<PathBuf>,
    /// Lake that holds the table: a path or an object-store URL
    #[arg(long, value_name = "LAKE")]
    to: String,
    /// Form of the files, plain or compressed with gzip or zstd [default: recognised by the start of each file]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(formats()).map(format_of))]
    format: Option<ingest::Format>,
    /// Where an event keeps its time, as a dotted path; the table keeps it [default: the usual names]
    #[arg(long, value_name = "PATH")]
    time_field: Option<FieldPath>,
    /// Shipped schema of a new table, for instance aws_cloudtrail [default: that of the table's name]
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    schema: Option<String>,
    /// Append lines that are not events to this file [default: keep them below _rejected in the table]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// End at the first line that is not an event, or the first file that cannot be read
    #[arg(long)]
    strict: bool,
    /// Ingest files once more that were ingested before: their events are then in the table twice
    #[arg(long)]
    again: bool,
    /// Moments between which events are expected, such as 1990-01-01..2100-01-01: a number outside is not a time
    #[arg(long, value_name = "FROM..TO", value_parser = bounds)]
    time_bounds: Option<TimeBounds>,
    /// Zone of times that name none, such as Europe/Berlin or +09:00 [default: that of the source, else UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Zone>,
    /// Add to the index of the table at once, which may take longer than the ingest; `yagura table index` does it later
    #[arg(long)]
    index: bool,
    /// Files and directories of logs, URLs of objects or of prefixes in an object store; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Every event becomes one row with its source text in `raw`. A file is known by its content: what was ingested before is passed
over and named, also under another name, compressed otherwise, in another folder, or as the beginning of a file that has grown.
This holds after a kill, and for several ingests at once. --again ingests it once more.

A line that is not an event is named and kept, and the others are ingested. In folders, hidden files and files that are not logs
are passed over and named. Events without a readable time are kept, counted and left out by rules.

Exit codes: 0 every record is a row; 3 a file or a line could not be read (not with --rejects, for lines), or the arguments are
wrong. An event without a readable time is a row: 0, with a warning.";

/// Returns the names of formats.
fn formats() -> impl Iterator<Item = PossibleValue> {
    let json = [
        PossibleValue::new("ndjson").help("An event a line"),
        PossibleValue::new("json").help(
            "An array of events, an envelope such as CloudTrail's, or events one after another",
        ),
    ];
    let lines = LineFormat::ALL.into_iter();
    json.into_iter()
        .chain(lines.map(|format| PossibleValue::new(format.name()).help(format.description())))
}

/// Returns the format of one of these names.
fn format_of(name: String) -> ingest::Format {
    let lines = LineFormat::ALL
        .into_iter()
        .find(|format| format.name() == name);
    match (name.as_str(), lines) {
        (_, Some(lines)) => ingest::Format::Lines(lines),
        ("json", None) => ingest::Format::Json,
        (_, None) => ingest::Format::Ndjson,
    }
}

/// Reads `FROM..TO`.
fn bounds(text: &str) -> Result<TimeBounds, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("{error}; write FROM..TO, such as 1990-01-01..2100-01-01")
    };
    let (from, to) = text
        .split_once("..")
        .ok_or_else(|| wrong(&"`..` is missing"))?;
    let read = |text: &str| text.parse::<Timestamp>().map_err(|error| wrong(&error));
    let (from, to) = (read(from)?, read(to)?);
    if from < to {
        Ok(TimeBounds { from, to })
    } else {
        Err(wrong(&"the end must be after the start"))
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    let start = Instant::now();
    let to = Location::parse(&arguments.to, &BTreeMap::new())?;
    let source = arguments.source.as_deref();
    let mut source = source
        .map(|name| OpenSource::find(name, &arguments.pack))
        .transpose()?;
    if let (Some(source), Some(zone)) = (&mut source, arguments.timezone) {
        source.set_zone(zone);
    }
    if let Some(source) = &source {
        source.must_be_storable()?;
    }
    let of_source = source
        .as_ref()
        .map(|source| source.source.source.name.clone());
    let name = arguments.table.or(of_source).unwrap_or_default();
    let table = to.join(&name);
    let index = SearchTable {
        config: TableConfig::new(&name, table.clone()),
        observables: BTreeMap::new(),
    };
    let mut options = IngestOptions::new(&name, to);
    let of_source = source.as_ref().map(|source| source.source.format());
    options.format = arguments.format.or(of_source).unwrap_or_default();
    let zone = source.as_ref().map(|source| source.source.zone());
    options.timezone = arguments.timezone.or(zone).unwrap_or_default();
    options.source = source
        .map(|source| {
            // As `yagura run --pack`: without a configuration nobody grants less than the pack asks for.
            let grants = Grants::without_bounds();
            source.table(|| packs::host(Meter::Off), &grants, RECORDS_AT_ONCE)
        })
        .transpose()?;
    options.time_field = arguments.time_field;
    options.schema = arguments.schema;
    options.rejects = arguments.rejects.clone();
    options.strict = arguments.strict;
    options.again = arguments.again;
    options.time_bounds = arguments.time_bounds;
    options.known_keys = Arc::new(known_keys()?);
    let bar = progress::bytes(0);
    let copies = tempfile::tempdir()?;
    let result = block_on(async {
        let files = local(&arguments.files, copies.path(), &mut options.copies).await?;
        let report = ingest(options, &files, |now| {
            if let Some(total) = now.bytes_total {
                bar.set_length(total);
            }
            bar.set_position(now.bytes);
            bar.set_message(format!("{} events", number(now.events)));
        });
        let report = report.await?;
        let indexed = match arguments.index && report.written_files > 0 {
            true => Some(update_index(index, false).await),
            false => None,
        };
        Ok((report, indexed))
    });
    bar.finish_and_clear();
    let (report, indexed) = result?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{name}: {} from {}, {}, {} of {} KiB under {table}",
        count(report.events, "event", "events"),
        count(report.files as u64, "file", "files"),
        count(report.columns as u64, "column", "columns"),
        count(report.written_files as u64, "object", "objects"),
        number(report.written_bytes.div_ceil(1024)),
    )?;
    let mut lines = Vec::new();
    report_files(&report, &mut lines)?;
    report_events(&report, &mut lines)?;
    let is_complete = report_bad_lines(&report, arguments.rejects.as_deref(), &mut lines)?;
    for column in &report.widened {
        writeln!(lines, "note: column {column}, so that every value fits")?;
    }
    report_keys(&report.without_column, &mut lines)?;
    if let Some(Err(error)) = &indexed {
        let cause = std::error::Error::source(error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        writeln!(
            lines,
            "warning: {error}{cause}; the events are in the table, and a search reads more: `yagura table index` tries again"
        )?;
    }
    let mut err = io::stderr().lock();
    // Values and names are written by others.
    for line in String::from_utf8_lossy(&lines).lines() {
        writeln!(err, "{}", without_controls(line))?;
    }
    writeln!(err, "done in {:.1} s", start.elapsed().as_secs_f64())?;
    if is_complete && report.failed.is_empty() && report.trailing.is_empty() {
        Ok(0)
    } else {
        Ok(INPUT)
    }
}

/// Returns the files, with copies of the objects below URLs in place of these. `copied` receives where the copies come from.
async fn local(
    files: &[PathBuf],
    copies: &Path,
    copied: &mut Vec<(PathBuf, String)>,
) -> Result<Vec<PathBuf>> {
    let mut local = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let Some(url) = file.to_str().filter(|text| text.contains("://")) else {
            local.push(file.clone());
            continue;
        };
        let location = Location::parse(url, &BTreeMap::new())?;
        let (objects, odd) = raw_objects(&location).await?;
        if let Some(name) = odd.first() {
            bail!("{location} holds `{name}`, which no object can be called: rename it");
        }
        if objects.is_empty() {
            bail!("{location} holds no object");
        }
        let folder = copies.join(index.to_string());
        for object in &objects {
            local.push(copy_object(&location, object, &folder).await?);
        }
        copied.push((folder, root_of(&location)));
    }
    Ok(local)
}

/// Returns the keys of events that the field maps know.
fn known_keys() -> Result<BTreeSet<String>> {
    let maps = FieldMap::shipped()?;
    Ok(maps.iter().flat_map(FieldMap::keys).collect())
}

/// The longest key that is shown, in characters.
const LONGEST_KEY: usize = 40;

/// Says how many keys have no column, with the most frequent ones.
fn report_keys(keys: &KeysWithoutColumn, err: &mut impl Write) -> io::Result<()> {
    if keys.count == 0 {
        return Ok(());
    }
    let least = if keys.is_more { "more than " } else { "" };
    let most: Vec<String> = keys
        .most
        .iter()
        .map(|(key, events)| {
            let short: String = key.chars().take(LONGEST_KEY).collect();
            let more = if short.len() < key.len() { "…" } else { "" };
            let shown = escaped(short.as_bytes());
            format!("`{shown}{more}` ({})", count(*events, "event", "events"))
        })
        .collect();
    writeln!(
        err,
        "note: {least}{} no column of their own, and are in `unmapped`, where rules find them; the most frequent: {}",
        count(keys.count, "key has", "keys have"),
        most.join(", ")
    )
}

/// Names the first of many, and says how many more there are.
fn list(
    err: &mut impl Write,
    severity: &str,
    what: &str,
    names: &[impl std::fmt::Display],
) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {} more", number(more as u64)),
    };
    writeln!(err, "{severity}: {what}: {}{more}", shown.join(", "))
}

fn report_files(report: &IngestReport, err: &mut impl Write) -> io::Result<()> {
    for error in &report.failed {
        writeln!(err, "error: {error}")?;
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            writeln!(err, "  caused by: {error}")?;
            cause = error.source();
        }
    }
    // Lines that a pattern of the source reads have no other format.
    let formats = report
        .formats
        .iter()
        .filter(|(format, _)| **format != "text");
    for (format, files) in formats {
        let what = format!("read as `{format}` (--format names another)");
        list(err, "note", &what, files)?;
    }
    let before = report.ingested_before.len() as u64;
    let what = format!(
        "{} passed over, because all of it was ingested before (--again ingests once more)",
        count(before, "file", "files")
    );
    list(err, "note", &what, &report.ingested_before)?;
    let what = "only what is new was read of files that have grown";
    list(err, "note", what, &report.grown)?;
    let what = "these files begin like one that was ingested before but are shorter: if they are older copies of it, their last events are in the table twice now";
    list(err, "warning", what, &report.shorter)?;
    for name in report.empty_files.iter().take(SHOWN) {
        writeln!(err, "warning: {name} holds no events")?;
    }
    if report.empty_files.len() > SHOWN {
        let more = report.empty_files.len() - SHOWN;
        writeln!(
            err,
            "warning: {} more files hold no events",
            number(more as u64)
        )?;
    }
    for (name, why) in report.passed_over.iter().take(SHOWN) {
        writeln!(err, "warning: {name} was passed over: {why}")?;
    }
    if report.passed_over.len() > SHOWN {
        let more = report.passed_over.len() - SHOWN;
        writeln!(
            err,
            "warning: {} more files were passed over",
            number(more as u64)
        )?;
    }
    for (name, line) in report.incomplete.iter().take(SHOWN) {
        writeln!(
            err,
            "warning: {name}, line {line}: the last event is not complete and was not ingested; ingest the file again once it is written to its end"
        )?;
    }
    for (name, zeros) in report.zeros.iter().take(SHOWN) {
        writeln!(
            err,
            "note: {name}: {} between events were passed over, as copytruncate leaves them",
            count(*zeros, "zero byte", "zero bytes")
        )?;
    }
    for (name, bytes) in report.trailing.iter().take(SHOWN) {
        writeln!(
            err,
            "error: {name}: {} behind the compressed data were not read: the file is damaged, or something was appended that is not compressed; fetch it again, or compress that too",
            count(*bytes, "byte", "bytes")
        )?;
    }
    Ok(())
}

fn report_events(report: &IngestReport, err: &mut impl Write) -> io::Result<()> {
    let counts = &report.counts;
    if counts.repeated > 0 {
        writeln!(
            err,
            "note: {} counted in the row of an equal one",
            count(counts.repeated, "event is", "events are")
        )?;
    }
    for (tally, one, many, rest) in [
        (
            &counts.without_time,
            "event has no readable time",
            "events have no readable time",
            "they are kept, and rules leave them out (--time-field names where the time is)",
        ),
        (
            &counts.in_future,
            "event is more than a day in the future",
            "events are more than a day in the future",
            "check the clock, the zone and the time field of the source",
        ),
        (
            &counts.before_1990,
            "event is before 1990",
            "events are before 1990",
            "check the clock and the time field of the source",
        ),
        (
            &counts.elsewhere,
            "event has no readable time where the table has it",
            "events have no readable time where the table has it",
            "their time comes from a usual name",
        ),
        (
            &counts.duplicate_keys,
            "event has a key more than once",
            "events have a key more than once",
            "all values are kept: the first in its column, the others in `unmapped`",
        ),
        (
            &counts.not_utf8,
            "event has bytes that are not UTF-8",
            "events have bytes that are not UTF-8",
            "each such byte was replaced by U+FFFD",
        ),
    ] {
        if let Some(first) = &tally.first {
            let what = count(tally.count, one, many);
            writeln!(err, "warning: {what}; {rest}; the first: {first}")?;
        }
    }
    if let Some(first) = &counts.without_event.first {
        let lines = count(
            counts.without_event.count,
            "line holds no event",
            "lines hold no event",
        );
        writeln!(
            err,
            "note: {lines}, as the plugin reports; the first: {first}"
        )?;
    }
    report_classes(report, err)?;
    for names in report.alike.iter().take(SHOWN) {
        writeln!(
            err,
            "warning: the columns {names} differ in case only: name the one that is meant exactly"
        )?;
    }
    Ok(())
}

/// Says of which classes the events of a source are, and what did not fit its column.
fn report_classes(report: &IngestReport, err: &mut impl Write) -> io::Result<()> {
    let counts = &report.counts;
    let classes: Vec<String> = counts
        .classes
        .iter()
        .filter(|(class, _)| !class.is_empty())
        .map(|(class, events)| format!("{class} {}", number(*events)))
        .collect();
    if !classes.is_empty() {
        writeln!(err, "note: events by class: {}", classes.join(", "))?;
    }
    if let Some(events) = counts.classes.get("") {
        writeln!(
            err,
            "warning: {} of no class: no `where` of the source is true of them; they are stored under the maker's names alone",
            count(*events, "event is", "events are")
        )?;
    }
    for (column, tally) in &counts.unfit {
        if let Some(first) = &tally.first {
            writeln!(
                err,
                "warning: {} not fit `{column}`, and stand under the maker's names alone; the first: {first}",
                count(tally.count, "value does", "values do")
            )?;
        }
    }
    Ok(())
}

/// Names lines that are not events and says where they are; false unless a file was given for them.
fn report_bad_lines(
    report: &IngestReport,
    rejects: Option<&Path>,
    err: &mut impl Write,
) -> io::Result<bool> {
    if report.rejected == 0 {
        return Ok(true);
    }
    let (what, them) = match report.rejected {
        1 => ("1 line is not an event; it".to_owned(), "is"),
        many => (
            format!("{} lines are not events; they", number(many)),
            "are",
        ),
    };
    let (severity, place) = match rejects {
        Some(file) => ("warning", format!("went to {}", file.display())),
        None => (
            "error",
            format!(
                "{them} kept in {} (--rejects FILE appends such lines to a file)",
                report.kept.join(", ")
            ),
        ),
    };
    for line in &report.counts.bad_lines {
        writeln!(err, "{severity}: {line}")?;
    }
    writeln!(err, "{severity}: {what} {place}")?;
    Ok(rejects.is_some())
}
