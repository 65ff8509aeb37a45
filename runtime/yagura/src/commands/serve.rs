//! `yagura serve`: the rules over tables that grow.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use yagura_service::serve::{ServeOptions, serve};

use super::block_on;
use crate::output::{Shown, Unfailing};
use crate::private::make_files_private;

/// Run rules over tables as they grow, and write provisional and final alerts
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Configuration file that names tables, packs and settings of `[serve]`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Stop when all objects that are there have been read
    #[arg(long)]
    once: bool,
    /// Run a pack though a newer version of it was used before
    #[arg(long)]
    allow_rollback: bool,
    /// Do not report single steps
    #[arg(long)]
    quiet: bool,
    /// Scans of a table side by side [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
}

const AFTER_HELP: &str = "\
Alerts are appended to the file that `alerts` of [serve] names, a JSON object a line. `seq` counts the lines. `state` is
`provisional` when an alert appears or changes, `final` when no later event can change it, and `withdrawn`, with the reason,
when late events retract it. Progress, the state of correlations and the lines are committed together: after any stop, even
SIGKILL, the service continues where it was and writes no line twice. `yagura status` shows how far it is. SIGTERM and Ctrl-C
end it after the current step.";

pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    make_files_private();
    let options = ServeOptions {
        config: arguments.config,
        once: arguments.once,
        allow_rollback: arguments.allow_rollback,
        quiet: arguments.quiet,
        partitions: arguments.partitions,
    };
    block_on(serve(&options, Shown(Unfailing(io::stderr()))))?;
    Ok(0)
}
