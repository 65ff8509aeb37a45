//! The allocator, and what it does with freed memory.

use std::env;

/// What correlations remember is millions of small pieces, made in one step and given up in another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Settings of the allocator in a service and in an ingest: freed pages go back at once, and small pages stay small.
///
/// A step frees most of what it made, on other threads. With the allocator's own settings such pages were several times what was in
/// use (docs/contributors/benchmarks/memory.md). An ingest of a line of 100 MB takes 844 MB in place of 1,164 with them, one of short lines
/// 88 in place of 190, and the same time.
const GIVES_BACK: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")];

/// Lets the allocator of this process give freed memory back at once.
///
/// The allocator reads its settings from the environment before `main`, and nowhere else. So the process replaces itself by one that
/// has them, which keeps its number, files and arguments. Settings of the operator stay, and then nothing is replaced. Where a
/// process cannot replace itself it goes on as it is.
pub(crate) fn give_back_freed_memory() {
    if GIVES_BACK
        .iter()
        .any(|(name, _)| env::var_os(name).is_some())
    {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let error = replace(&program, env::args_os());
    tracing::debug!(%error, "the allocator keeps its settings");
}

/// Replaces the process. Returns only the reason why it could not.
#[cfg(unix)]
fn replace(
    program: &std::path::Path,
    mut arguments: impl Iterator<Item = std::ffi::OsString>,
) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).envs(GIVES_BACK).exec()
}

#[cfg(not(unix))]
fn replace(_: &std::path::Path, _: impl Iterator<Item = std::ffi::OsString>) -> std::io::Error {
    std::io::ErrorKind::Unsupported.into()
}
