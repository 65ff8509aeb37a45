//! Everything that compiles to Wasm: the toolchain, the packs' plugins, the guests of the tests.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{root, run, status, yagura};
use yagura_toolchain::{APT, TARGET, Toolchain, guests_target, on_path};

/// Tells the tests where the core modules of `tests/guests` are.
pub(crate) const GUESTS: &str = "YAGURA_GUESTS";

/// Returns a toolchain for Wasm, after trying to install one where there is none.
///
/// # Errors
/// When there is none and none can be installed: what is lacking, and what to do.
pub(crate) fn toolchain() -> Result<Toolchain> {
    if let Ok(found) = Toolchain::find() {
        return Ok(found);
    }
    for mut command in installers() {
        // One that fails gives way to the next; the last word is the search's own.
        if status(&mut command)?.success()
            && let Ok(found) = Toolchain::find()
        {
            return Ok(found);
        }
    }
    Ok(Toolchain::find()?)
}

/// Returns the commands that may install a toolchain here, best first.
fn installers() -> Vec<Command> {
    let mut commands = Vec::new();
    // Who forbids rustup to install by itself does not want a task to do it either.
    let may_install = env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0");
    if may_install && on_path("rustup").is_some() {
        let mut command = Command::new("rustup");
        command.args(["target", "add", TARGET]);
        commands.push(command);
    }
    commands.extend(apt(APT));
    commands
}

/// Returns the commands by which Debian's packages are installed: at once, and after asking what there is; none where that
/// is not allowed.
pub(crate) fn apt(install: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    if on_path("apt-get").is_some()
        && let Some(prefix) = root_prefix()
    {
        for line in [install, "apt-get update", install] {
            let words: Vec<&str> = prefix.iter().copied().chain(line.split(' ')).collect();
            let mut command = Command::new(words[0]);
            command
                .args(&words[1..])
                .env("DEBIAN_FRONTEND", "noninteractive");
            commands.push(command);
        }
    }
    commands
}

/// Installs the Debian package that has a program's name, where the program is not there.
///
/// # Errors
/// When it is not there then either.
pub(crate) fn install(program: &str) -> Result<()> {
    if on_path(program).is_some() {
        return Ok(());
    }
    for mut command in apt(&format!(
        "apt-get install -y --no-install-recommends {program}"
    )) {
        if status(&mut command)?.success() {
            break;
        }
    }
    match on_path(program) {
        Some(_) => Ok(()),
        None => {
            bail!("there is no `{program}`: install it; on Debian it is the package `{program}`")
        }
    }
}

/// Returns what to put before a command that needs root: nothing for root, `sudo` where it asks no password.
fn root_prefix() -> Option<&'static [&'static str]> {
    let output =
        |program: &str, argument: &[&str]| Command::new(program).args(argument).output().ok();
    if is_root() {
        return Some(&[]);
    }
    let sudo = output("sudo", &["-n", "true"])?;
    sudo.status.success().then_some(&["sudo"])
}

/// Says whether this is root.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Where packs with plugins to build are: each directory below with a `pack.toml`.
const PACKS: [&str; 4] = [
    "plugins",
    "examples/answering",
    "examples/three-languages",
    "tests/guests",
];

/// Builds the plugins of every pack by `yagura build`, and returns the command itself.
///
/// # Errors
/// When a build fails.
fn build_packs(places: &[&str]) -> Result<PathBuf> {
    let yagura = yagura()?;
    for place in places {
        let place = root().join(place);
        let entries =
            fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))?;
        let mut packs: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                // A pack of rules or sources alone has nothing to build.
                let manifest = fs::read_to_string(path.join("pack.toml"));
                manifest.is_ok_and(|manifest| manifest.contains("[[plugin]]"))
            })
            .collect();
        packs.sort();
        for pack in packs {
            run(Command::new(&yagura).arg("build").arg(pack))?;
        }
    }
    Ok(yagura)
}

/// Builds all packs, those for tests too, after installing what their languages need.
///
/// # Errors
/// When a toolchain cannot be had or a build fails.
pub(crate) fn build_all_packs() -> Result<PathBuf> {
    install_languages()?;
    build_packs(&PACKS)
}

/// Lets `yagura` install its tools for Go and Python, and Debian's Python first where there is none that can.
fn install_languages() -> Result<()> {
    let yagura = yagura()?;
    let doctor = || {
        let mut command = Command::new(&yagura);
        command.args(["doctor", "--install"]);
        command
    };
    if status(&mut doctor())?.success() {
        return Ok(());
    }
    for mut command in apt("apt-get install -y --no-install-recommends python3 python3-venv") {
        // The doctor has the last word.
        status(&mut command)?;
    }
    run(&mut doctor())
}

/// Builds the packs that are Yagura's own.
///
/// # Errors
/// When a build fails.
pub(crate) fn build_own_packs() -> Result<PathBuf> {
    build_packs(&PACKS[..1])
}

/// Builds the guests of the tests to core modules and returns their directory.
///
/// # Errors
/// When the build fails.
pub(crate) fn build_test_guests(toolchain: &Toolchain) -> Result<PathBuf> {
    let target = guests_target();
    run(&mut toolchain.build_command(&root().join("tests/guests"), &target))?;
    Ok(target.join(TARGET).join("release"))
}
