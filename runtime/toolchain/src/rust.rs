//! Rust toolchains that compile to Wasm.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths::{cache_dir, on_path};

/// The target of plugins: no operating system, so nothing to reach it by.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A toolchain that compiles to [`TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    programs: Programs,
    library: Library,
}

/// Where a toolchain's programs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Programs {
    /// `cargo` and `rustc` on the path: rustup's active toolchain, or whatever is installed.
    Active,
    /// Debian's, in `/usr/bin`, whatever the path says.
    System,
}

/// Where the standard library for the target comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Library {
    /// It came with the toolchain.
    Installed,
    /// It is compiled from the toolchain's sources, with this linker unless the toolchain has its own.
    Built {
        /// `wasm-ld` on the path.
        linker: Option<PathBuf>,
    },
}

/// No toolchain compiles to Wasm: which toolchains are there, and how to get one.
#[derive(Debug)]
pub struct NoToolchain {
    lacking: Vec<String>,
}

impl fmt::Display for NoToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no Rust toolchain here compiles to {TARGET}:")?;
        for line in &self.lacking {
            writeln!(f, "  {line}")?;
        }
        write!(
            f,
            "install one of:\n  with rustup:          rustup target add {TARGET}\n  on Debian and Ubuntu: {APT}"
        )
    }
}

impl std::error::Error for NoToolchain {}

/// Installs Debian's toolchain for Wasm.
pub const APT: &str =
    "apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld";

/// Settings for the host's code, or for one package, that a guest's build must not take over.
const LEFTOVERS: [&str; 10] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// Takes out of a command's environment what `cargo run` says about the package that it runs.
///
/// Build scripts (that of `ring`, for one) watch these variables, so a cargo that inherits them compiles again what
/// depends on such a crate.
pub fn forget_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let is_of_package = name.to_str().is_some_and(|name| {
            let prefixes = [
                "CARGO_PKG_",
                "CARGO_MANIFEST_",
                "CARGO_BIN_",
                "CARGO_CRATE_",
            ];
            prefixes.iter().any(|prefix| name.starts_with(prefix)) || name == "OUT_DIR"
        });
        if is_of_package {
            command.env_remove(name);
        }
    }
}

impl Toolchain {
    /// Returns the first of: the active toolchain with the target installed, Debian's with it installed, then the same
    /// two with the standard library compiled from source.
    ///
    /// # Errors
    /// [`NoToolchain`], with what each toolchain lacks and how to install one.
    pub fn find() -> Result<Self, NoToolchain> {
        let all = [Programs::Active, Programs::System];
        let found = all.map(|programs| (programs, Sysroot::of(programs)));
        for (programs, sysroot) in &found {
            if sysroot.as_ref().is_ok_and(Sysroot::has_target) {
                return Ok(Self {
                    programs: *programs,
                    library: Library::Installed,
                });
            }
        }
        let mut lacking = Vec::new();
        for (programs, sysroot) in found {
            match sysroot.and_then(|sysroot| sysroot.library_from_source()) {
                Ok(library) => return Ok(Self { programs, library }),
                Err(reason) => lacking.push(format!("{} {reason}", programs.rustc())),
            }
        }
        Err(NoToolchain { lacking })
    }

    /// Returns `cargo build` for release and [`TARGET`] in `dir`, with its artifacts in `target_dir`.
    pub fn build_command(&self, dir: &Path, target_dir: &Path) -> Command {
        let mut command = self.programs.command(self.programs.cargo());
        command
            .current_dir(dir)
            .env("CARGO_TARGET_DIR", target_dir)
            .args(["build", "--release", "--target", TARGET]);
        if self.programs == Programs::System {
            command.env("RUSTC", self.programs.rustc());
        }
        if let Library::Built { linker } = &self.library {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1");
            if let Some(linker) = linker {
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        command
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = match &self.library {
            Library::Installed => "with the target installed",
            Library::Built { .. } => "compiling the standard library from source",
        };
        write!(f, "{} {library}", self.programs.rustc())
    }
}

impl Programs {
    fn rustc(self) -> &'static str {
        match self {
            Self::Active => "rustc",
            Self::System => "/usr/bin/rustc",
        }
    }

    fn cargo(self) -> &'static str {
        match self {
            Self::Active => "cargo",
            Self::System => "/usr/bin/cargo",
        }
    }

    /// Returns a command that sees no settings of the cargo which may have called this process.
    fn command(self, program: &str) -> Command {
        let mut command = Command::new(program);
        forget_package(&mut command);
        for name in LEFTOVERS {
            command.env_remove(name);
        }
        if self == Self::System {
            command.env_remove("RUSTUP_TOOLCHAIN");
        }
        command
    }

    /// Returns what rustc prints, or why it prints nothing.
    fn print(self, what: &str) -> Result<PathBuf, String> {
        let output = self
            .command(self.rustc())
            .args(["--print", what, "--target", TARGET])
            .output()
            .map_err(|error| format!("does not run: {error}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let first = message.lines().next().unwrap_or_default();
            return Err(format!("does not know the target: {first}"));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(PathBuf::from(text.trim()))
    }
}

/// The files of a toolchain.
struct Sysroot {
    root: PathBuf,
    target_libraries: PathBuf,
}

impl Sysroot {
    fn of(programs: Programs) -> Result<Self, String> {
        Ok(Self {
            root: programs.print("sysroot")?,
            target_libraries: programs.print("target-libdir")?,
        })
    }

    fn has_target(&self) -> bool {
        let files = self
            .target_libraries
            .read_dir()
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| file.file_name().into_string().ok())
            .any(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
    }

    fn library_from_source(&self) -> Result<Library, String> {
        let sources = self.root.join("lib/rustlib/src/rust/library/Cargo.lock");
        if !sources.is_file() {
            return Err(format!(
                "has neither the target nor the sources of the standard library ({})",
                sources.display()
            ));
        }
        let linker = on_path("wasm-ld");
        if linker.is_none() && !self.has_own_linker() {
            return Err("has no linker for the target: wasm-ld is not on the path".to_owned());
        }
        Ok(Library::Built { linker })
    }

    fn has_own_linker(&self) -> bool {
        let hosts = self
            .root
            .join("lib/rustlib")
            .read_dir()
            .into_iter()
            .flatten()
            .flatten();
        hosts
            .map(|host| host.path().join("bin/rust-lld"))
            .any(|linker| linker.is_file())
    }
}

/// Returns the directory in which all guests are built, so that what they share is compiled once:
/// `$YAGURA_GUESTS_TARGET`, else `yagura/guests` in the user's cache.
pub fn guests_target() -> PathBuf {
    match env::var_os("YAGURA_GUESTS_TARGET") {
        Some(dir) => PathBuf::from(dir),
        None => cache_dir().join("guests"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(command: &Command) -> Vec<String> {
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect()
    }

    fn environment(command: &Command, name: &str) -> Option<Option<String>> {
        command
            .get_envs()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.map(|value| value.to_string_lossy().into_owned()))
    }

    #[test]
    fn an_installed_target_needs_no_tricks() {
        let toolchain = Toolchain {
            programs: Programs::Active,
            library: Library::Installed,
        };
        let command = toolchain.build_command(Path::new("crate"), Path::new("out"));
        assert_eq!(command.get_program(), "cargo");
        assert_eq!(
            arguments(&command),
            ["build", "--release", "--target", TARGET]
        );
        assert_eq!(environment(&command, "RUSTFLAGS"), Some(None));
        assert_eq!(environment(&command, "RUSTC_BOOTSTRAP"), None);
        assert_eq!(
            environment(&command, "CARGO_TARGET_DIR"),
            Some(Some("out".to_owned()))
        );
        // The active toolchain may be one that the caller chose.
        assert_eq!(environment(&command, "RUSTUP_TOOLCHAIN"), None);
    }

    #[test]
    fn the_systems_toolchain_compiles_the_library_with_its_own_rustc() {
        let toolchain = Toolchain {
            programs: Programs::System,
            library: Library::Built {
                linker: Some("/usr/bin/wasm-ld".into()),
            },
        };
        let command = toolchain.build_command(Path::new("crate"), Path::new("out"));
        assert_eq!(command.get_program(), "/usr/bin/cargo");
        assert!(arguments(&command).contains(&"-Zbuild-std=std,panic_abort".to_owned()));
        assert_eq!(
            environment(&command, "RUSTC"),
            Some(Some("/usr/bin/rustc".to_owned()))
        );
        assert_eq!(
            environment(&command, "RUSTC_BOOTSTRAP"),
            Some(Some("1".to_owned()))
        );
        assert_eq!(environment(&command, "RUSTUP_TOOLCHAIN"), Some(None));
        let linker = environment(&command, "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER");
        assert_eq!(linker, Some(Some("/usr/bin/wasm-ld".to_owned())));
    }

    #[test]
    fn a_cargo_inside_cargo_knows_nothing_of_the_package_around_it() {
        // Cargo sets these for tests as for `cargo run`.
        assert!(env::var_os("CARGO_PKG_NAME").is_some());
        let mut command = Command::new("cargo");
        forget_package(&mut command);
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_PKG_VERSION_MAJOR",
            "CARGO_MANIFEST_DIR",
        ] {
            assert_eq!(environment(&command, name), Some(None), "{name}");
        }
        assert_eq!(environment(&command, "PATH"), None);
    }

    #[test]
    fn the_error_says_what_is_lacking_and_both_ways_to_get_it() {
        let message = NoToolchain {
            lacking: vec!["rustc does not run: not found".to_owned()],
        }
        .to_string();
        for part in ["rustc does not run", "rustup target add", "apt-get install"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
