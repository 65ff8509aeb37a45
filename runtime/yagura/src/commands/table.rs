//! `yagura table`: which tables a lake holds, which columns rules can name, and their indexes.

mod index;

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Result, bail};
use serde::Serialize;
use yagura_core::TimeRange;
use yagura_core::names::did_you_mean;
use yagura_lake::table::Table;
use yagura_plan::{Sample, open_tables, plain_type};

use super::block_on;
use crate::output::{OutputFormat, Shown, cut, number, printable, table};
use yagura_service::config::{Config, LakeSettings};

/// Show the tables of a lake, or the columns of a table with some of their values
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<TableCommand>,
    /// Lake that holds the tables: a path or an object-store URL
    #[arg(long, value_name = "LAKE", required = true)]
    lake: Option<String>,
    /// Table whose columns are shown
    name: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

#[derive(Debug, clap::Subcommand)]
enum TableCommand {
    Index(index::Arguments),
}

/// A table as `--format json` prints it.
#[derive(Debug, Serialize)]
struct TableView {
    table: String,
    /// The column of event time.
    time: String,
    objects: usize,
    bytes: u64,
    /// How many of the newest events the rates and values come from.
    sampled: usize,
    columns: Vec<ColumnView>,
}

#[derive(Debug, Serialize)]
struct ColumnView {
    name: String,
    /// What a reader calls the type: `text`, `integer`, `number`, `time`, `true/false`, `list`, `object`, `binary`.
    r#type: &'static str,
    /// Arrow's name of the type.
    arrow_type: String,
    /// The share of the sampled events without a value; nothing where no event was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    null_rate: Option<f64>,
    /// Some different values.
    values: Vec<String>,
    /// Keys inside JSON, structs, lists and maps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyView>,
}

#[derive(Debug, Serialize)]
struct KeyView {
    /// As a rule names it.
    path: String,
    null_rate: f64,
}

impl TableView {
    fn new(table: &Table, sample: Option<&Sample>) -> Self {
        let events = sample.map_or(0, |sample| sample.events);
        let rate = |present: usize| share(events - present.min(events), events);
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| {
            let of = sample.and_then(|sample| sample.columns.get(field.name()));
            let keys = of.into_iter().flat_map(|of| &of.keys);
            ColumnView {
                name: field.name().clone(),
                r#type: plain_type(field.data_type()),
                arrow_type: field.data_type().to_string(),
                null_rate: of.filter(|_| events > 0).map(|of| rate(of.present)),
                values: of.map(|of| of.values.clone()).unwrap_or_default(),
                keys: keys
                    .map(|(key, present)| KeyView {
                        path: format!("{}.{key}", field.name()),
                        null_rate: rate(*present),
                    })
                    .collect(),
            }
        });
        Self {
            table: table.name.clone(),
            time: table.time.clone(),
            objects: table.files.len(),
            bytes: table.files.iter().map(|file| file.meta.size).sum(),
            sampled: events,
            columns: columns.collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        let mut shown = table(["COLUMN", "TYPE", "NULL", "VALUES"]);
        for column in &self.columns {
            let values: Vec<String> = column.values.iter().map(|value| short(value)).collect();
            shown.add_row([
                printable(&column.name),
                column.r#type.to_owned(),
                column.null_rate.map(percent).unwrap_or_default(),
                values.join("  "),
            ]);
            // The whole event: its keys are the other columns.
            let keys = match column.name == RAW {
                true => &[][..],
                false => column.keys.as_slice(),
            };
            for key in keys.iter().take(MOST_KEYS) {
                shown.add_row([
                    format!("  {}", printable(&key.path)),
                    String::new(),
                    percent(key.null_rate),
                    String::new(),
                ]);
            }
            let more = keys.len().saturating_sub(MOST_KEYS);
            if more > 0 {
                let text = format!("  … and {} more keys (--format json)", number(more as u64));
                shown.add_row([text, String::new(), String::new(), String::new()]);
            }
        }
        writeln!(out, "{shown}")?;
        writeln!(
            out,
            "NULL and VALUES are of the newest events; {} looked at",
            match self.sampled {
                1 => "1 event was".to_owned(),
                events => format!("{} events were", number(events as u64)),
            }
        )?;
        Ok(())
    }
}

/// The column of a table that ingest made which keeps each event as it was.
const RAW: &str = "raw";
/// Keys inside one column that the table for people shows.
const MOST_KEYS: usize = 60;
/// Columns of the terminal that a value in it takes.
const LONGEST_VALUE: usize = 32;

fn short(value: &str) -> String {
    let start: String = value.chars().take(5 * LONGEST_VALUE).collect();
    cut(&printable(&start), LONGEST_VALUE)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand events")]
fn share(part: usize, of: usize) -> f64 {
    if of == 0 {
        return 0.0;
    }
    // Four digits say enough, and are the same everywhere.
    (part as f64 / of as f64 * 10_000.0).round() / 10_000.0
}

fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent > 0.0 && percent < 1.0 {
        return "<1 %".to_owned();
    }
    // What is not always absent is not reported as absent.
    format!(
        "{:.0} %",
        if rate < 1.0 { percent.floor() } else { percent }
    )
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    if let Some(TableCommand::Index(arguments)) = &arguments.command {
        return index::run(arguments);
    }
    let lake = arguments.lake.clone().unwrap_or_default();
    let config = Config {
        lake: Some(LakeSettings {
            url: lake.clone(),
            options: BTreeMap::new(),
        }),
        ..Config::default()
    };
    let views = block_on(async {
        let mut tables = config.tables().await?;
        if let Some(name) = &arguments.name {
            let known: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
            tables.retain(|table| table.name == *name);
            if tables.is_empty() {
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                bail!(
                    "there is no table `{name}` in {lake}{hint}; it has: {}",
                    known.join(", ")
                );
            }
        }
        let tables = open_tables(&tables, TimeRange::default()).await?;
        let mut views = Vec::with_capacity(tables.len());
        for table in &tables {
            // The list of tables for people shows nothing of events.
            let is_needed = arguments.name.is_some() || arguments.format == OutputFormat::Json;
            let sample = match is_needed {
                true => Some(Sample::of(table).await),
                false => None,
            };
            for (object, reason) in sample.iter().flat_map(|sample| &sample.unreadable) {
                writeln!(
                    Shown(io::stderr()),
                    "warning: {object} cannot be read: {reason}"
                )?;
            }
            views.push(TableView::new(table, sample.as_ref()));
        }
        Ok(views)
    })?;
    let mut out = Shown(io::stdout().lock());
    match (arguments.format, &arguments.name) {
        (OutputFormat::Json, _) => {
            for view in &views {
                serde_json::to_writer(&mut out, view)?;
                writeln!(out)?;
            }
        }
        (OutputFormat::Text, None) => {
            let mut shown = table(["TABLE", "OBJECTS", "KiB", "COLUMNS", "TIME"]);
            for view in &views {
                shown.add_row([
                    view.table.clone(),
                    number(view.objects as u64),
                    number(view.bytes.div_ceil(1024)),
                    number(view.columns.len() as u64),
                    view.time.clone(),
                ]);
            }
            writeln!(out, "{shown}")?;
        }
        (OutputFormat::Text, Some(_)) => {
            for view in &views {
                view.print(&mut out)?;
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_say_always_and_never_only_of_what_is() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.004), "<1 %");
        assert_eq!(percent(0.9999), "99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(share(1, 3)), "33 %");
        assert_eq!(short("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(short(&"x".repeat(500)).chars().count(), LONGEST_VALUE);
    }
}
