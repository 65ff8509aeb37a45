//! Go modules to core modules, by the stock toolchain.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use yagura_core::Fault;
use yagura_toolchain::forget_package;
use yagura_toolchain::go::Go;

/// Runs Go in the module at `source` and writes its core module to `output`.
pub(super) fn compile(source: &Path, output: &Path) -> Result<()> {
    let go = Go::find()?;
    tracing::debug!(program = %go.program.display(), version = go.version, "building a Go plugin");
    let mut command = Command::new(&go.program);
    forget_package(&mut command);
    // Paths of the author's machine stay out of the plugin. Names and lines of functions stay in, for some 2 % of its size:
    // panics and backtraces tell them.
    command
        .current_dir(source)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")])
        .env_remove("GOWASM")
        .args([
            "build",
            "-buildmode=c-shared",
            "-trimpath",
            "-buildvcs=false",
            "-o",
        ])
        .arg(output)
        .arg(".");
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", go.program.display()))?;
    if status.success() {
        return Ok(());
    }
    Err(Fault::rule(format!(
        "{} does not compile: go says why above",
        source.display()
    ))
    .into())
}
