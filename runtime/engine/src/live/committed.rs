//! Lines of alerts that are committed to the state.

use yagura_core::Alert;
use yagura_core::report::{AlertLine, AlertState};
use yagura_correlate::AlertChange;

use super::error::LiveError;

/// A line of alerts that is committed: for those in this process, and as the text that files get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedLine {
    /// The line.
    pub line: AlertLine,
    /// The line as JSON, without a line break.
    pub text: String,
}

impl CommittedLine {
    pub(super) fn new(seq: i64, change: AlertChange) -> Result<Self, LiveError> {
        let line = AlertLine {
            seq,
            state: change.state,
            reason: change.reason,
            replaced_by: change.replaced_by,
            alert: change.alert,
        };
        let text = serde_json::to_string(&line)?;
        Ok(Self { line, text })
    }

    /// Reads the lines of an outbox, which an earlier process may have written.
    pub(super) fn read_all(lines: Vec<(i64, String)>) -> Result<Vec<Self>, LiveError> {
        let lines = lines.into_iter().map(|(number, text)| {
            let line =
                serde_json::from_str(&text).map_err(|source| LiveError::Line { number, source })?;
            Ok(Self { line, text })
        });
        lines.collect()
    }

    /// Returns its number.
    pub fn seq(&self) -> i64 {
        self.line.seq
    }

    /// Returns its alert, if that is final.
    pub fn final_alert(&self) -> Option<&Alert> {
        (self.line.state == AlertState::Final).then_some(&self.line.alert)
    }
}
