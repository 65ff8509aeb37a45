//! `yagura source`: which sources there are, and what a source makes of raw logs.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;
use yagura_collect::{Ledger, QueueTotals, SourceTotals};
use yagura_core::Timestamp;
use yagura_sources::{
    Explained, explain, never_there, rows_of, shipped, shipped_names, source_table,
};

use super::block_on;
use super::status::{length, now};
use crate::exit::{FAILED, INPUT};
use crate::output::{OutputFormat, Shown, count, cut, number, printable, table};
use crate::state_dir::StateDir;
use yagura_service::sources::OpenSource;

/// Show the sources that there are, or what a source makes of raw logs
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

const AFTER_HELP: &str = "\
A source says how the raw logs of a maker become rows under the names of OCSF. `yagura ingest --source NAME` uses it, and \
docs/authors/sources.md shows how to write one.";

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the sources that are part of Yagura, and those of packs
    List {
        /// Directory of a pack with sources; may be given more than once
        #[arg(long, value_name = "PATH")]
        pack: Vec<PathBuf>,
        /// How to print them
        #[arg(long, value_enum, default_value = "text")]
        format: OutputFormat,
    },
    /// Show what became of the raw logs that a service ingests: objects, events, rejected lines, lag
    Status {
        #[command(flatten)]
        service: StateDir,
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        format: OutputFormat,
    },
    /// Show for each event of a file its columns, the expression of each, and what is unmapped
    Explain {
        /// File of raw logs
        file: PathBuf,
        /// Name of a source, or the path of its file
        #[arg(long, value_name = "SOURCE")]
        source: String,
        /// Directory of a pack with sources; may be given more than once
        #[arg(long, value_name = "PATH")]
        pack: Vec<PathBuf>,
        /// How many events are shown
        #[arg(long, value_name = "N", default_value_t = 3)]
        events: usize,
        /// How to print them
        #[arg(long, value_enum, default_value = "text")]
        format: OutputFormat,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    match arguments.action {
        Action::List { pack, format } => list(&pack, format),
        Action::Status { service, format } => status(&service, format),
        Action::Explain {
            file,
            source,
            pack,
            events,
            format,
        } => {
            let source = OpenSource::find(&source, &pack)?;
            explained(&source, file, events, format)
        }
    }
}

/// A source as `--format json` prints it.
#[derive(Debug, Serialize)]
struct SourceView {
    name: String,
    title: String,
    /// The form of its files; nothing where it is recognised.
    format: Option<String>,
    classes: Vec<&'static str>,
    references: Vec<String>,
}

fn list(packs: &[PathBuf], format: OutputFormat) -> Result<u8> {
    let mut sources = Vec::new();
    for pack in packs {
        let pack = yagura_core::OrFault::or_fault(yagura_core::Pack::read(pack))?;
        if pack.sources.is_empty() {
            bail!("{} has no sources/*.toml", pack.dir.display());
        }
        for file in &pack.sources {
            sources.push(OpenSource::of_file(file)?);
        }
    }
    for name in shipped_names() {
        if shipped(&name).is_some() {
            sources.push(OpenSource::find(&name, &[])?);
        }
    }
    let views = sources.into_iter().map(|source| {
        let classes: BTreeSet<&str> = source.mapping.class_names().collect();
        let classes = classes.into_iter().collect();
        SourceView {
            classes,
            name: source.source.source.name,
            title: source.source.source.title,
            format: source.source.source.format,
            references: source.source.source.references,
        }
    });
    let mut out = Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for view in views {
                serde_json::to_writer(&mut out, &view)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            let mut rows = table(["SOURCE", "FORMAT", "CLASSES", "TITLE"]);
            for view in views {
                rows.add_row([
                    view.name,
                    view.format.unwrap_or_else(|| "recognised".to_owned()),
                    cut(&view.classes.join(", "), CLASSES_WIDTH),
                    view.title,
                ]);
            }
            writeln!(out, "{rows}")?;
        }
    }
    Ok(0)
}

fn status(service: &StateDir, format: OutputFormat) -> Result<u8> {
    let dir = service.resolve()?;
    let Some(ledger) = Ledger::open_if_there(&dir)? else {
        bail!(
            "the service with the state in {} has no sources: write [source.NAME] in its configuration",
            dir.display()
        );
    };
    let (totals, queues) = (ledger.totals()?, ledger.queues()?);
    let mut out = Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for of in &totals {
                serde_json::to_writer(&mut out, of)?;
                writeln!(out)?;
            }
            for of in &queues {
                serde_json::to_writer(&mut out, of)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            print_sources(&mut out, &totals)?;
            print_queues(&mut out, &queues)?;
        }
    }
    let is_whole = totals
        .iter()
        .all(|of| of.trouble.is_none() && of.unreadable == 0);
    let is_heard = queues.iter().all(|of| of.trouble.is_none());
    Ok(if is_whole && is_heard { 0 } else { FAILED })
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
                "{}: {} that no object can have, so what has them is not read; one is `{}`",
                of.source,
                count(of.odd_names, "name", "names"),
                printable(name)
            )?;
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

/// Returns how long ago a moment was.
fn ago(time: Option<Timestamp>) -> String {
    match time {
        Some(time) if time.micros() > now() => "ahead of the clock".to_owned(),
        Some(time) => format!("{} ago", length(now().saturating_sub(time.micros()))),
        None => "never".to_owned(),
    }
}

fn explained(
    source: &OpenSource,
    file: PathBuf,
    events: usize,
    format: OutputFormat,
) -> Result<u8> {
    let table = source_table(&source.source, source.mapping.clone());
    let (rows, report) = block_on(async { Ok(rows_of(&source.source, table, &[file]).await?) })?;
    let total = rows.len();
    let shown = rows
        .iter()
        .take(events)
        .map(|row| explain(&source.mapping, row));
    let mut out = Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for event in shown {
                serde_json::to_writer(&mut out, &event)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            for (index, event) in shown.enumerate() {
                print(&mut out, index + 1, &event)?;
            }
        }
    }
    let mut err = Shown(io::stderr().lock());
    for (column, tally) in &report.counts.unfit {
        if let Some(first) = &tally.first {
            writeln!(
                err,
                "warning: {} not fit `{column}`; the first: {first}",
                count(tally.count, "value does", "values do")
            )?;
        }
    }
    let absent = never_there(&source.mapping, &rows);
    if !absent.is_empty() {
        writeln!(
            err,
            "note: fields that expressions name and no event here has: {}",
            printable(&absent.join(", "))
        )?;
    }
    for line in &report.counts.bad_lines {
        writeln!(err, "error: {line}")?;
    }
    for error in &report.failed {
        writeln!(err, "error: {error}")?;
    }
    for (file, line) in &report.incomplete {
        writeln!(
            err,
            "error: {file}, line {line}: the last event is not complete"
        )?;
    }
    for (file, bytes) in &report.trailing {
        writeln!(
            err,
            "error: {file}: {bytes} bytes behind the compressed data were not read"
        )?;
    }
    writeln!(
        err,
        "{} of {} shown; {}; source {}",
        events.min(total),
        count(total as u64, "event", "events"),
        count(
            report.rejected,
            "line is not an event",
            "lines are not events"
        ),
        source.file.display()
    )?;
    let is_whole = report.incomplete.is_empty() && report.trailing.is_empty();
    Ok(
        match is_whole && report.rejected == 0 && report.failed.is_empty() && total > 0 {
            true => 0,
            false => INPUT,
        },
    )
}

/// The longest value that is shown whole, in columns.
const VALUE_WIDTH: usize = 50;
const CLASSES_WIDTH: usize = 60;
const PARKED_WIDTH: usize = 200;
const EXPRESSION_WIDTH: usize = 60;

fn print(out: &mut impl Write, number: usize, event: &Explained) -> Result<()> {
    let class = match event.class.as_str() {
        "" => "of no class",
        class => class,
    };
    let time = event.event_time.as_deref().unwrap_or("no time");
    writeln!(out, "event {number}: {class}, {time}")?;
    writeln!(out, "  {}", cut(&printable(&event.raw), 110))?;
    let mut rows = table(["COLUMN", "VALUE", "FROM"]);
    for column in &event.columns {
        rows.add_row([
            column.name.clone(),
            cut(&shown(&column.value), VALUE_WIDTH),
            column.from.as_deref().map_or_else(
                || "(follows from others)".to_owned(),
                |from| cut(&one_line(from), EXPRESSION_WIDTH),
            ),
        ]);
    }
    writeln!(out, "{rows}")?;
    if !event.without_value.is_empty() {
        writeln!(out, "without a value: {}", event.without_value.join(", "))?;
    }
    if !event.unmapped.is_empty() {
        let unmapped = event
            .unmapped
            .iter()
            .map(|(name, value)| format!("{name}={}", cut(&shown(value), 40)));
        let unmapped: Vec<String> = unmapped.collect();
        writeln!(out, "unmapped: {}", printable(&unmapped.join(", ")))?;
    }
    for problem in &event.problems {
        writeln!(out, "OCSF: {}", printable(problem))?;
    }
    writeln!(out)?;
    Ok(())
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    printable(&text).to_string()
}

/// Returns an expression with the line ends and blanks in it as one blank each.
fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}
