//! `yagura source`: which sources there are, and what a source makes of raw logs.

mod class;
mod status;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;
use yagura_core::Grants;
use yagura_core::names::did_you_mean;
use yagura_host::Meter;
use yagura_lake::ingest::Format;
use yagura_sources::{
    Explained, explain, format_names, in_order, never_there, rows_of, shipped, shipped_names,
};

use super::block_on;
use crate::exit::INPUT;
use crate::output::{OutputFormat, Shown, count, cut, printable, table};
use crate::state_dir::StateDir;
use yagura_service::packs;
use yagura_service::sources::{OpenSource, RECORDS_AT_ONCE};

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
    /// Show what became of the raw logs that a service ingests: objects, events, rejected lines, lag, queues
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
        /// How many events are shown, in the order of the file
        #[arg(long, value_name = "N", default_value_t = 3)]
        events: usize,
        /// Form of the file, by the names of `yagura ingest --format` [default: that of the source]
        #[arg(long, value_name = "FORMAT", value_parser = format_of)]
        input_format: Option<Format>,
        /// How to print them; the form of the file is --input-format
        #[arg(long, value_enum, default_value = "text")]
        format: OutputFormat,
    },
    /// List the attributes of a class of OCSF, which columns of a source and conditions of rules can name
    Class(class::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    match arguments.action {
        Action::List { pack, format } => list(&pack, format),
        Action::Status { service, format } => status::run(&service, format),
        Action::Explain {
            file,
            source,
            pack,
            events,
            input_format,
            format,
        } => {
            let mut source = OpenSource::find(&source, &pack)?;
            if let Some(format) = input_format {
                source.source.read_as(format);
            }
            explained(&source, file, events, format)
        }
        Action::Class(arguments) => class::run(&arguments),
    }
}

/// A source as `--format json` prints it.
#[derive(Debug, Serialize)]
struct SourceView {
    name: String,
    title: String,
    /// The form of its files; nothing where it is recognised.
    format: Option<String>,
    /// The plugin that reads its lines.
    plugin: Option<String>,
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
            sources.push(OpenSource::of_pack(file, &pack.dir)?);
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
            plugin: source.source.source.plugin,
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
                    match (view.plugin, view.format) {
                        (Some(_), _) => "plugin".to_owned(),
                        (None, format) => format.unwrap_or_else(|| "recognised".to_owned()),
                    },
                    cut(&view.classes.join(", "), CLASSES_WIDTH),
                    view.title,
                ]);
            }
            writeln!(out, "{rows}")?;
        }
    }
    Ok(0)
}

fn explained(
    source: &OpenSource,
    file: PathBuf,
    events: usize,
    format: OutputFormat,
) -> Result<u8> {
    let grants = Grants::without_bounds();
    let table = source.table(|| packs::host(Meter::Off), &grants, RECORDS_AT_ONCE)?;
    let (rows, report) =
        block_on(async { Ok(rows_of(&source.source, table, &[file], None).await?) })?;
    let total = rows.len();
    let absent = never_there(&source.mapping, &rows);
    let rows = in_order(rows, &report.trace);
    let shown = rows.iter().take(events).map(|placed| ExplainedEvent {
        record: placed.record,
        line: placed.line,
        event: explain(&source.mapping, &placed.row),
    });
    let mut out = Shown(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            for event in shown {
                serde_json::to_writer(&mut out, &event)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Text => {
            for event in shown {
                print(&mut out, &event)?;
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
    if let Some(first) = &report.counts.without_event.first {
        writeln!(
            err,
            "note: {} no event, as the plugin reports; the first: {first}",
            count(
                report.counts.without_event.count,
                "line holds",
                "lines hold"
            )
        )?;
    }
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

/// Reads the name of a form of raw logs; for arguments.
fn format_of(name: &str) -> Result<Format, String> {
    yagura_sources::format_of(name).ok_or_else(|| {
        let names = format_names();
        let near = did_you_mean(name, names.iter().copied());
        format!(
            "it is not a form of logs{near}; the forms are {}",
            names.join(", ")
        )
    })
}

/// The longest value that is shown whole, in columns.
const VALUE_WIDTH: usize = 50;
const CLASSES_WIDTH: usize = 60;
const EXPRESSION_WIDTH: usize = 60;

/// An event, and where its record stands in the file.
#[derive(Debug, Serialize)]
struct ExplainedEvent {
    record: usize,
    line: u64,
    #[serde(flatten)]
    event: Explained,
}

fn print(out: &mut impl Write, shown_event: &ExplainedEvent) -> Result<()> {
    let ExplainedEvent {
        record,
        line,
        event,
    } = shown_event;
    let class = match event.class.as_str() {
        "" => "of no class",
        class => class,
    };
    let time = event.event_time.as_deref().unwrap_or("no time");
    writeln!(out, "event {record}, line {line}: {class}, {time}")?;
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
