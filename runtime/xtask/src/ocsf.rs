//! `cargo xtask ocsf`: the OCSF schema that Yagura ships.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::run::{cargo, run};

/// What `cargo xtask ocsf` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The schema's source form: the .tar.gz of a release of <https://github.com/ocsf/ocsf-schema>
    path: PathBuf,
}

/// Writes `runtime/ocsf/schema.txt`. The crate's example does it, so that this program stays small.
///
/// # Errors
/// When the archive cannot be read, or the schema has what the crate does not support.
pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let path = &arguments.path;
    let path = path
        .canonicalize()
        .with_context(|| format!("cannot read {}", path.display()))?;
    run(cargo()
        .args([
            "run",
            "--package",
            "yagura-ocsf",
            "--example",
            "compile",
            "--",
        ])
        .arg(path))
}
