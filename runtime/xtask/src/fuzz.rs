//! `cargo xtask fuzz`: look for inputs that do harm.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::run::{WITH_TEST_FEATURES, cargo, host_target, root, run};
use yagura_toolchain::cache_dir;

/// Arguments of the task.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long each target is given inputs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Targets, which are the folders of tests/fuzz/corpus [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    fuzz(arguments.seconds, &arguments.targets)
}

/// Gives each target inputs for so long. What it finds besides harm is kept for the next time.
pub(crate) fn fuzz(seconds: u64, targets: &[String]) -> Result<()> {
    let corpora = root().join("tests/fuzz/corpus");
    let known = folders(&corpora)?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        bail!(
            "there is no target `{unknown}`; these are: {}",
            known.join(", ")
        );
    }
    // The whole workspace is asked for, so that its dependencies are those of every other build.
    run(cargo()
        .args(["build", "--workspace", "--bin", "yagura-fuzz"])
        .args(WITH_TEST_FEATURES)
        .args(["--features", "yagura-fuzz/libfuzzer"])
        .env("RUSTC_WORKSPACE_WRAPPER", root().join("tests/fuzz/rustc")))?;
    let program = host_target().join("debug/yagura-fuzz");
    let chosen = if targets.is_empty() { &known } else { targets };
    // A target uses one core, so as many run side by side as there are cores.
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(target) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                fuzz_one(&program, target, seconds)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut outcomes = workers.into_iter().map(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        outcomes.try_for_each(|outcome| outcome)
    })
}

/// Gives one target inputs, and prints what came of it when it has ended.
fn fuzz_one(program: &Path, target: &str, seconds: u64) -> Result<()> {
    let found = cache_dir().join("fuzz").join(target);
    let harm = found.join("harm");
    fs::create_dir_all(&harm).with_context(|| format!("cannot make {}", harm.display()))?;
    let work = found.join("inputs");
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let mut command = Command::new(program);
    command
        .env("YAGURA_FUZZ_TARGET", target)
        .arg(&work)
        .arg(root().join("tests/fuzz/corpus").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", harm.display()))
        .args(["-timeout=20", "-rss_limit_mb=3072", "-print_final_stats=1"])
        .arg("-print_funcs=0");
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!(
            "{text}\n`{target}` was harmed ({}); the input is in {}: copy it to tests/fuzz/corpus/{target}/ and mend what it found",
            output.status,
            harm.display()
        );
    }
    let figure = |name: &str| {
        let line = text.lines().find(|line| line.contains(name));
        line.and_then(|line| line.split_whitespace().last())
            .unwrap_or("?")
    };
    println!(
        "{target}: {} inputs, {} MiB, no harm",
        figure("number_of_executed_units"),
        figure("peak_rss_mb"),
    );
    Ok(())
}

fn folders(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
