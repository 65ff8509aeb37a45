//! `yagura table index`: which objects of a table hold an observable.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::Result;
use yagura_search::{IndexReport, SearchTable, update_index};

use crate::commands::block_on;
use crate::commands::search::Tables;
use crate::exit::INPUT;
use crate::output::{Shown, number, printable};

/// Add to the indexes of tables what they lack, so that a search for an observable reads few objects
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    tables: Tables,
    /// Make the indexes anew
    #[arg(long)]
    rebuild: bool,
}

const AFTER_HELP: &str = "\
An index lies below the table in `_index/`. It is old or gone without harm: a search then reads more, and finds the same.
A service adds to the indexes of its sources' tables by itself, and `yagura ingest --index` to that of its table. All other tables
need this command, and so do tables whose columns of observables have changed.

Exit codes: 0 all objects are in the indexes; 3 some cannot be read, which are named, or the arguments are wrong.";

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    block_on(async {
        let mut is_complete = true;
        for table in arguments.tables.open().await? {
            is_complete &= index(table, arguments.rebuild).await?;
        }
        Ok(if is_complete { 0 } else { INPUT })
    })
}

/// Brings the index of a table up to date, and says what was done. Returns whether all objects are in it.
async fn index(table: SearchTable, rebuild: bool) -> Result<bool> {
    let start = Instant::now();
    let name = table.config.name.clone();
    let report = update_index(table, rebuild).await?;
    let took = start.elapsed().as_secs_f64();
    writeln!(
        Shown(io::stdout()),
        "{}; {took:.1} s",
        described(&name, &report)
    )?;
    for (object, reason) in &report.unreadable {
        writeln!(
            Shown(io::stderr()),
            "error: {} cannot be read, so it is not in the index: {}",
            printable(object),
            printable(reason)
        )?;
    }
    Ok(report.unreadable.is_empty())
}

/// Says what an index has.
fn described(table: &str, report: &IndexReport) -> String {
    let added = match report.objects {
        0 => "nothing to add".to_owned(),
        objects => format!(
            "added {} with {}",
            counted(objects as u64, "object", "objects"),
            counted(report.events, "event", "events")
        ),
    };
    format!(
        "{table}: {added}; the index has {} of {} KiB and covers {}",
        counted(report.segments as u64, "segment", "segments"),
        number(report.bytes.div_ceil(1024)),
        counted(
            (report.covered_before + report.objects) as u64,
            "object",
            "objects"
        ),
    )
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!(
        "{} {}",
        number(count),
        if count == 1 { one } else { several }
    )
}
