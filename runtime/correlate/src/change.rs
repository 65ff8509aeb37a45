//! What became of an alert.

use yagura_core::{Alert, AlertState};

/// An alert that is new, has changed, or is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AlertChange {
    /// What it has become.
    pub state: AlertState,
    /// Why it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert that its first finding is part of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The alert, its evidence without hashes.
    pub alert: Alert,
}

impl AlertChange {
    /// Returns that an alert is in this state, and not withdrawn.
    pub(crate) fn to(state: AlertState, alert: Alert) -> Self {
        Self {
            state,
            reason: None,
            replaced_by: None,
            alert,
        }
    }
}
