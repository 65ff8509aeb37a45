//! Lines of the outbox.

use yagura_core::Alert;
use yagura_correlate::Change;

/// A line of the outbox.
#[derive(serde::Serialize)]
pub(super) struct AlertLine<'a> {
    pub(super) seq: i64,
    #[serde(flatten)]
    pub(super) change: &'a Change,
}

/// Returns the final alert of a line that [`Live::take_lines`] returned, or `None` for one of another state.
pub fn final_alert(line: &str) -> Option<Alert> {
    #[derive(serde::Deserialize)]
    struct FinalLine {
        state: String,
        alert: Alert,
    }
    let read: FinalLine = serde_json::from_str(line).ok()?;
    (read.state == "final").then_some(read.alert)
}
