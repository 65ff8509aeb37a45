//! Exit codes, and how an error is reported.

use std::process::ExitCode;

use yagura_core::causes::causes;
use yagura_core::shown::without_controls;
use yagura_core::{Fault, FaultKind};

use crate::diagnostics;

/// A warning: findings or failed tests.
pub(crate) const FAILED: u8 = 1;
/// An error in a rule, pack or plugin.
pub(crate) const RULE: u8 = 2;
/// An error in configuration or input.
pub(crate) const INPUT: u8 = 3;

/// Prints an error with its causes to stderr and returns its exit code.
#[expect(clippy::print_stderr, reason = "errors are reported here")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let found = diagnostics::of_error(error);
    let of_file = found.map(ToString::to_string);
    let shown = |line: &String| match found {
        // With the source lines.
        Some(found) if of_file.as_ref() == Some(line) => diagnostics::text(found),
        // It may quote what others wrote.
        _ => without_controls(line),
    };
    let lines: Vec<String> = causes(error.as_ref()).iter().map(shown).collect();
    eprintln!("error: {}", lines.join("\n  caused by: "));
    ExitCode::from(code(error))
}

/// Returns the exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    match Fault::kind(error.chain()) {
        FaultKind::Rule => RULE,
        FaultKind::Input => INPUT,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
