//! Running commands in front of the reader's eyes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};

use yagura_toolchain::{cache_dir, forget_package};

/// Returns the root of the checkout.
pub(crate) fn root() -> PathBuf {
    // Where cargo runs this from: clones that share a target directory may share this program too.
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    // runtime/xtask, two levels down.
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// Returns where the host's code is built: outside the checkout, so that a fresh clone compiles no dependency again.
pub(crate) fn host_target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| cache_dir().join("target"), PathBuf::from)
}

/// Returns cargo for the host, in the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root())
        .env("CARGO_TARGET_DIR", host_target());
    forget_package(&mut command);
    command
}

/// Asks for an example that is empty. Without any test or example Cargo leaves out the features that tests need of dependencies,
/// and then compiles DataFusion and all that lies above it a second time. It is a library, since no other program of the workspace
/// links with what is compiled for the fuzzer.
pub(crate) const WITH_TEST_FEATURES: [&str; 2] = ["--example", "dev_dependencies"];

/// Returns the `yagura` command, built when something changed.
///
/// The whole workspace's features are chosen, so that dependencies are compiled once for this and for the tests.
pub(crate) fn yagura() -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--workspace", "--bin", "yagura"])
        .args(WITH_TEST_FEATURES))?;
    Ok(host_target()
        .join("debug")
        .join(format!("yagura{}", env::consts::EXE_SUFFIX)))
}

/// Returns a tool that cargo installs, in the cache folder; installed there once, in this version.
///
/// # Errors
/// When cargo cannot install it.
pub(crate) fn tool(name: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let folder = cache_dir().join("tools").join(name);
    let program = folder
        .join("bin")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !program.is_file() {
        run(cargo()
            .args(["install", "--locked", name, "--version", version])
            .args(options)
            .arg("--root")
            .arg(&folder))?;
    }
    Ok(program)
}

/// Prints and runs a command.
///
/// # Errors
/// When it does not run or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(status.success(), "`{}` failed ({status})", show(command));
    Ok(())
}

/// Prints and runs a command, and returns how it ended.
///
/// # Errors
/// When it does not run.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    println!("\n$ {}", show(command));
    command
        .status()
        .with_context(|| format!("cannot run `{}`", show(command)))
}

/// Returns a command as one would type it: the program by its name, paths in the checkout relative to it.
fn show(command: &Command) -> String {
    let root = root();
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = command
        .get_args()
        .map(|word| match Path::new(word).strip_prefix(&root) {
            Ok(relative) => relative.display().to_string(),
            Err(_) => word.to_string_lossy().into_owned(),
        });
    let words = std::iter::once(name.to_string_lossy().into_owned()).chain(words);
    let quoted = words.map(|word| match word.contains([' ', '*', '\'', '"']) {
        true => format!("'{word}'"),
        false => word,
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let mut command = Command::new("/some/where/yagura");
        command
            .arg("build")
            .arg(root().join("plugins/aws"))
            .arg("a b");
        assert_eq!(show(&command), "yagura build plugins/aws 'a b'");
        assert!(root().join("Cargo.toml").is_file());
    }
}
