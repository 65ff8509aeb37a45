//! The real binary, as a user calls it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What the command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; nothing if a signal ended it.
    pub code: Option<i32>,
}

/// Runs `yagura` with arguments. `cargo xtask test` builds it beside the tests.
///
/// # Panics
/// If it is not there or cannot be started.
#[expect(
    clippy::panic,
    reason = "a test without the binary must fail and say how to build it"
)]
pub fn yagura(arguments: &[&str]) -> Ran {
    let binary = binary();
    let output = Command::new(&binary)
        .args(arguments)
        .env_remove("YAGURA_LOG")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Ran {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        },
        Err(error) => panic!(
            "cannot start {}: {error}; run `cargo xtask test`, which builds it",
            binary.display()
        ),
    }
}

/// Returns where cargo puts the binary: two folders above the test's own file in `deps`.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let profile = own
        .ancestors()
        .nth(2)
        .map(PathBuf::from)
        .unwrap_or_default();
    profile
        .join("yagura")
        .with_extension(std::env::consts::EXE_EXTENSION)
}

impl Ran {
    /// Returns itself if the command ended well.
    ///
    /// # Panics
    /// If not, with all that it printed.
    #[expect(clippy::panic, reason = "tells a failed test what the command said")]
    pub fn must_work(self) -> Self {
        if self.code != Some(0) {
            panic!(
                "exit code {:?}\n{}\n{}",
                self.code, self.stdout, self.stderr
            );
        }
        self
    }
}
