//! `cargo xtask demo`: from nothing to alerts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{host_target, root, run, status};
use crate::{guests, sample};
use yagura_toolchain::cache_dir;

/// Arguments of the task.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where logs and lake go [default: yagura/demo in the user's cache]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many events to make
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    events: usize,
    /// The same seed gives the same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Marks a directory as ours to empty.
const MARK: &str = ".yagura-demo";

/// `yagura run` ends so when it found something.
const FOUND: i32 = 1;

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let dir = arguments
        .dir
        .clone()
        .unwrap_or_else(|| cache_dir().join("demo"));
    let toolchain = guests::toolchain()?;
    println!("Wasm toolchain: {toolchain}");
    let yagura = guests::build_own_packs()?;

    prepare(&dir)?;
    let (logs, lake) = (dir.join("logs"), dir.join("lake"));
    println!(
        "\nMaking {} events of sample CloudTrail logs (seed {})",
        arguments.events, arguments.seed
    );
    let files = sample::write(&logs, arguments.events, arguments.seed)?;
    println!("{} files in {}", files.len(), logs.display());

    run(Command::new(&yagura)
        .args(["ingest", "--table", "aws_cloudtrail", "--to"])
        .args([&lake, &logs]))?;
    let pack = root().join("plugins/aws");
    let evaluated = status(
        Command::new(&yagura)
            .current_dir(root())
            .args(["run", "--lake"])
            .arg(&lake)
            .arg("--pack")
            .arg(&pack),
    )?;
    ensure!(
        evaluated.success() || evaluated.code() == Some(FOUND),
        "`yagura run` failed ({evaluated})"
    );
    tell_what_was_hidden();
    tell_what_to_try(&yagura, &lake);
    Ok(())
}

/// Makes the directory, or empties it of an earlier demo.
fn prepare(dir: &Path) -> Result<()> {
    let made = || format!("cannot prepare {}", dir.display());
    fs::create_dir_all(dir).with_context(made)?;
    let mark = dir.join(MARK);
    if !mark.exists() {
        if fs::read_dir(dir).with_context(made)?.next().is_some() {
            bail!(
                "{} holds something else: give an empty directory by --dir",
                dir.display()
            );
        }
        return fs::write(&mark, "made by cargo xtask demo\n").with_context(made);
    }
    for old in ["logs", "lake"].map(|name| dir.join(name)) {
        if old.exists() {
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    Ok(())
}

fn tell_what_was_hidden() {
    println!("\nWhat the intruder did in these logs:");
    for step in sample::truth() {
        let times = match step.count {
            1 => String::new(),
            count => format!(" ({count} times)"),
        };
        println!(
            "  {}  {:<16} {}{times}: {}",
            step.time, step.user, step.event_name, step.what
        );
    }
}

fn tell_what_to_try(yagura: &Path, lake: &Path) {
    let (yagura, lake) = (yagura.display(), lake.display());
    println!(
        "
What to try next:
  alerts as JSON, one object a line
    {yagura} run --lake {lake} --pack plugins/aws --format json
  one day only
    {yagura} run --lake {lake} --pack plugins/aws --from 2026-01-14 --to 2026-01-15
  change a `where` in plugins/aws/rules/, and run again
  what a plugin is and may do
    {yagura} inspect plugins/aws
  write a rule with code: `yagura new --lang python DIR` (or rust, go), docs/authors/detectors.md
  plain `cargo` with what is compiled already
    export CARGO_TARGET_DIR={}",
        host_target().display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_demo_is_emptied() {
        let dir = std::env::temp_dir().join(format!("yagura-demo-test-{}", std::process::id()));
        let lake = dir.join("lake");
        prepare(&dir).unwrap();
        fs::create_dir_all(&lake).unwrap();
        prepare(&dir).unwrap();
        assert!(!lake.exists() && dir.join(MARK).exists());

        fs::remove_file(dir.join(MARK)).unwrap();
        fs::create_dir_all(&lake).unwrap();
        let error = prepare(&dir).unwrap_err().to_string();
        assert!(
            error.contains("holds something else") && lake.exists(),
            "{error}"
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
