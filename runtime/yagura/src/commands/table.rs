//! `yagura table`: which tables a lake holds, and which columns rules can name.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use yagura_core::TimeRange;
use yagura_core::names::did_you_mean;
use yagura_engine::open_tables;
use yagura_lake::table::Table;

use super::block_on;
use crate::config::{Config, LakeSettings};
use crate::output::{Format, number, table};

/// Show the tables of a lake, or the columns of one: what `where` and `columns` can name.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Lake that holds the tables: a path or an object-store URL
    #[arg(long, value_name = "LAKE")]
    lake: String,
    /// Table whose columns are shown
    name: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// A table as `--format json` prints it.
#[derive(Debug, Serialize)]
struct View {
    table: String,
    /// The column of event time.
    time: String,
    objects: usize,
    bytes: u64,
    columns: Vec<ColumnView>,
}

#[derive(Debug, Serialize)]
struct ColumnView {
    name: String,
    /// Arrow's name of the type; below a struct are its fields, below text the JSON in it.
    r#type: String,
}

impl View {
    fn new(table: &Table) -> Self {
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| ColumnView {
            name: field.name().clone(),
            r#type: field.data_type().to_string(),
        });
        Self {
            table: table.name.clone(),
            time: table.time.clone(),
            objects: table.files.len(),
            bytes: table.files.iter().map(|file| file.meta.size).sum(),
            columns: columns.collect(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let config = Config {
        lake: Some(LakeSettings {
            url: arguments.lake.clone(),
            options: BTreeMap::new(),
        }),
        ..Config::default()
    };
    let tables = block_on(async {
        let mut tables = config.tables().await?;
        if let Some(name) = &arguments.name {
            let known: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
            tables.retain(|table| table.name == *name);
            if tables.is_empty() {
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                bail!(
                    "there is no table `{name}` in {}{hint}; it has: {}",
                    arguments.lake,
                    known.join(", ")
                );
            }
        }
        Ok(open_tables(&tables, TimeRange::default()).await?)
    })?;
    let views: Vec<View> = tables.iter().map(Arc::as_ref).map(View::new).collect();
    let mut out = io::stdout().lock();
    match (arguments.format, &arguments.name) {
        (Format::Json, _) => {
            for view in &views {
                serde_json::to_writer(&mut out, view)?;
                writeln!(out)?;
            }
        }
        (Format::Text, None) => {
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
        (Format::Text, Some(_)) => {
            for view in &views {
                let mut shown = table(["COLUMN", "TYPE"]);
                for column in &view.columns {
                    shown.add_row([column.name.clone(), column.r#type.clone()]);
                }
                writeln!(out, "{shown}")?;
            }
        }
    }
    Ok(0)
}
