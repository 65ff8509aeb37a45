//! Errors of the live mode, as those of a run.

use yagura_core::Fault;
use yagura_engine::live::LiveError;

/// Returns the error of a rule or table as `yagura run` reports it, with the same exit code.
pub(crate) fn unwrapped(error: LiveError) -> anyhow::Error {
    match error {
        LiveError::Engine(error) => Fault::of(error).into(),
        LiveError::Table(error) => error.into(),
        other => other.into(),
    }
}
