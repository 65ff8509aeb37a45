//! `yagura build`: a plugin's source to a component.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use yagura_authoring::build;

use crate::output::OutputFormat;

/// Build the plugins of a pack, in Rust, Go or Python, into components
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory of a pack or of one plugin's source
    dir: PathBuf,
    /// How to print what was built
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
The language follows from the source: Cargo.toml is Rust, go.mod is Go, *.py is Python. A .wasm file that you made in any
other way becomes a component as it is. The error about a missing toolchain shows how to get it; `yagura doctor` checks all
of them. componentize-py, and Go where there is none, are installed from PyPI into the user's cache when first needed.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let built = build::build(&arguments.dir)?;
    let mut out = io::stdout().lock();
    for plugin in &built {
        match arguments.format {
            OutputFormat::Json => {
                serde_json::to_writer(&mut out, plugin)?;
                writeln!(out)?;
            }
            OutputFormat::Text => writeln!(
                out,
                "{} ({} KiB, {:.1} s)",
                plugin.path.display(),
                plugin.bytes.div_ceil(1024),
                plugin.seconds
            )?,
        }
    }
    Ok(0)
}
