//! `yagura dev`: tests again on every save.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use yagura_core::pack::{Manifest, parse};

/// Watch a pack: build it and run its tests again on every save
#[derive(Debug, clap::Args)]
#[command(after_help = "Ends with Ctrl-C.")]
pub(crate) struct Arguments {
    /// Directory of the pack
    dir: PathBuf,
    /// Test only rules whose id contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    rule: String,
}

/// How long nothing must be saved before the tests run: editors write several files for one save.
const QUIET: Duration = Duration::from_millis(150);

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    // A wrong path is an error at once; a broken pack.toml is one to be mended while we watch.
    let dir = &arguments.dir;
    let manifest = dir.join("pack.toml");
    let text = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let (sender, changes) = channel();
    let mut watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more: the command ends.
        let _ = sender.send(event);
    })
    .context("cannot watch files on this machine")?;
    watcher
        .watch(dir, RecursiveMode::Recursive)
        .with_context(|| format!("cannot watch {}", dir.display()))?;
    let built: Vec<String> = parse::<Manifest>(&manifest, &text)
        .map(|manifest| {
            manifest
                .plugins
                .into_iter()
                .map(|plugin| plugin.file)
                .collect()
        })
        .unwrap_or_default();
    loop {
        test(arguments)?;
        let Some(file) = next_change(&changes, dir, &built)? else {
            return Ok(0);
        };
        let mut err = io::stderr().lock();
        writeln!(err, "\n{} changed", file.display())?;
    }
}

/// Runs the tests in a process of their own: memory and stores of a run end with it.
fn test(arguments: &Arguments) -> Result<()> {
    let mut out = io::stdout();
    if out.is_terminal() && crate::output::takes_escapes(&out) {
        write!(out, "\u{1b}[2J\u{1b}[H")?;
        out.flush()?;
    }
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Command::new(program)
        .arg("test")
        .arg(&arguments.dir)
        .args(["--rule", &arguments.rule])
        .status()
        .context("cannot run the tests")?;
    let mut err = io::stderr().lock();
    writeln!(err, "waiting for a change in {} …", arguments.dir.display())?;
    Ok(())
}

/// Waits for a change of the author's and then for quiet, and returns a file that changed.
fn next_change(
    changes: &Receiver<notify::Result<Event>>,
    dir: &Path,
    built: &[String],
) -> Result<Option<PathBuf>> {
    let mut changed: Vec<PathBuf> = Vec::new();
    loop {
        let change = match changed.first() {
            None => changes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => changes.recv_timeout(QUIET),
        };
        match change {
            Ok(event) => {
                let event = event.context("cannot watch any longer")?;
                let file = event.paths.iter().find(|path| is_source(path, dir, built));
                if let (true, Some(file)) = (is_change(event.kind), file) {
                    changed.push(file.clone());
                }
            }
            // Editors write to a file of another name and rename it.
            Err(RecvTimeoutError::Timeout) => {
                let saved = changed.iter().position(|file| file.exists()).unwrap_or(0);
                return Ok(Some(changed.swap_remove(saved)));
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Any | EventKind::Other => false,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
    }
}

/// Says whether a file is the author's, not one that a build or a test run writes.
fn is_source(path: &Path, dir: &Path, built: &[String]) -> bool {
    let absolute = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let Ok(inside) = path
        .strip_prefix(dir)
        .or_else(|_| path.strip_prefix(&absolute))
    else {
        return true;
    };
    let name = inside.to_string_lossy();
    let is_built = built
        .iter()
        .any(|file| name == *file || name.starts_with(&format!("{file}.")));
    let is_foreign = inside.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with('.') || ["target", "__pycache__", "Cargo.lock", "go.sum"].contains(&&*part)
    });
    !is_built && !is_foreign && !name.ends_with('~') && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_authors_own_files_count() {
        let dir = Path::new("/packs/logins");
        let built = ["detector.wasm".to_owned()];
        let is = |name: &str| is_source(&dir.join(name), dir, &built);
        for name in [
            "pack.toml",
            "rules/a.toml",
            "detector/src/lib.rs",
            "tests/a/positive.ndjson",
        ] {
            assert!(is(name), "{name}");
        }
        for name in [
            "detector.wasm",
            "detector.wasm.123.partial",
            ".yagura/sdk/rust/src/lib.rs",
            ".git/index",
            "detector/target/debug/x",
            "detector/__pycache__/a.pyc",
            "rules/.a.toml.swp",
            "rules/a.toml~",
            "detector/Cargo.lock",
        ] {
            assert!(!is(name), "{name}");
        }
    }
}
