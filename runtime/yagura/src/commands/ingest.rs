//! `yagura ingest`: raw logs into a table of a lake.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use yagura_core::FieldPath;
use yagura_lake::Location;
use yagura_lake::ingest::{self, IngestOptions, IngestReport, ingest};

use super::block_on;
use crate::output::{count, number};
use crate::progress;

/// Read raw logs into a table of a lake: sorted, day-partitioned Parquet.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Table that receives the events
    #[arg(long, value_name = "NAME")]
    table: String,
    /// Lake that holds the table: a path or an object-store URL
    #[arg(long, value_name = "LAKE")]
    to: String,
    /// Form of the files, plain or compressed with gzip or zstd [default: told from each file's start]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where an event keeps its time, as a dotted path [default: the usual names]
    #[arg(long, value_name = "PATH")]
    time_field: Option<FieldPath>,
    /// Shipped schema of a new table, for instance aws_cloudtrail [default: that of the table's name]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Write lines that are no events to this file and go on; without it the first one is an error
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Files and directories of logs; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Every event becomes one row with its source text in `raw`. The same command writes the same objects, so running it again
doubles nothing. Events without a readable time are kept, counted and left out by rules.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// An event a line
    Ndjson,
    /// An array of events, an envelope such as CloudTrail's, or events one after another
    Json,
}

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    let start = Instant::now();
    let to = Location::parse(&arguments.to, &BTreeMap::new())?;
    let table = to.join(&arguments.table);
    let mut options = IngestOptions::new(&arguments.table, to);
    options.format = match arguments.format {
        None => ingest::Format::Auto,
        Some(Format::Ndjson) => ingest::Format::Ndjson,
        Some(Format::Json) => ingest::Format::Json,
    };
    options.time_field = arguments.time_field;
    options.schema = arguments.schema;
    options.rejects = arguments.rejects.clone();
    let bar = progress::bytes(0);
    let result = block_on(async {
        let report = ingest(options, &arguments.files, |now| {
            if let Some(total) = now.bytes_total {
                bar.set_length(total);
            }
            bar.set_position(now.bytes);
            bar.set_message(format!("{} events", number(now.events)));
        });
        Ok(report.await?)
    });
    bar.finish_and_clear();
    let report = result?;
    tell(
        &report,
        &arguments.table,
        &table,
        arguments.rejects.as_ref(),
        start,
    )?;
    Ok(0)
}

fn tell(
    report: &IngestReport,
    name: &str,
    table: &Location,
    rejects: Option<&PathBuf>,
    start: Instant,
) -> Result<()> {
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
    let mut err = io::stderr().lock();
    for file in &report.empty_files {
        writeln!(err, "warning: {file} holds no events")?;
    }
    if report.without_time > 0 {
        writeln!(
            err,
            "warning: {} events have no readable time; they are kept, and rules leave them out (--time-field names where the time is)",
            number(report.without_time)
        )?;
    }
    if let (Some(rejects), true) = (rejects, report.rejected > 0) {
        writeln!(
            err,
            "warning: {} lines are no events and went to {}",
            number(report.rejected),
            rejects.display()
        )?;
    }
    for column in &report.widened {
        writeln!(err, "note: column {column}, so that every value fits")?;
    }
    writeln!(err, "done in {:.1} s", start.elapsed().as_secs_f64())?;
    Ok(())
}
