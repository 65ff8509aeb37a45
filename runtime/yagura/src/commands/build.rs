//! `yagura build`: a plugin's source to a component.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;

use crate::build;
use crate::output::Format;

/// Build a pack's plugins, or one plugin crate, into components.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of a pack or of a plugin crate
    dir: PathBuf,
    /// How to print what was built
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let built = build::build(&arguments.dir)?;
    let mut out = io::stdout().lock();
    for plugin in &built {
        match arguments.format {
            Format::Json => {
                serde_json::to_writer(&mut out, plugin)?;
                writeln!(out)?;
            }
            Format::Text => writeln!(
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
