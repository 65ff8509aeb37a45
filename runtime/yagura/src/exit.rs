//! Exit codes, and how an error is reported.

use std::process::ExitCode;

use yagura_core::causes::causes;
use yagura_core::shown::without_controls;
use yagura_core::{Fault, FaultKind};

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
    // It may quote what others wrote.
    let lines: Vec<String> = causes(error.as_ref())
        .iter()
        .map(|line| without_controls(line))
        .collect();
    eprintln!("error: {}", lines.join("\n  caused by: "));
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
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
