//! Exit codes, and how an error is told.

use std::process::ExitCode;

use yagura_core::PackError;
use yagura_core::shown::without_controls;
use yagura_engine::EngineError;
use yagura_host::LoadError;
use yagura_packs::author::AuthorError;
use yagura_packs::registry::LayoutError;
use yagura_packs::{ArchiveError, FilesError, GateError, VerifyError};
use yagura_plan::PlanError;

/// Findings or failed tests.
pub(crate) const FAILED: u8 = 1;
/// A rule, pack or plugin is wrong.
pub(crate) const RULE: u8 = 2;
/// Configuration or input is wrong.
pub(crate) const INPUT: u8 = 3;

/// A fault of a rule, pack or plugin that has no type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RuleFault(pub(crate) String);

/// Prints an error with its causes to stderr and returns its exit code.
#[expect(clippy::print_stderr, reason = "the place where errors are told")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut lines = Vec::new();
    for cause in error.chain() {
        // It may quote what others wrote.
        let line = without_controls(&cause.to_string());
        // Transparent wrappers say the same twice.
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    eprintln!("error: {}", lines.join("\n  caused by: "));
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let is_rule = error.chain().any(|cause| {
        cause.is::<PackError>()
            || cause.is::<LoadError>()
            || cause.is::<RuleFault>()
            || cause.is::<GateError>()
            || cause.is::<AuthorError>()
            || cause.is::<ArchiveError>()
            || cause.is::<FilesError>()
            || cause.is::<VerifyError>()
            || cause.is::<LayoutError>()
            || matches!(
                cause.downcast_ref::<PlanError>(),
                Some(PlanError::Rule { .. } | PlanError::Rules(_))
            )
            || matches!(
                cause.downcast_ref::<EngineError>(),
                Some(
                    EngineError::Plan(PlanError::Rule { .. } | PlanError::Rules(_))
                        | EngineError::Open { .. }
                        | EngineError::TooManyFindings { .. }
                )
            )
    });
    if is_rule { RULE } else { INPUT }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
