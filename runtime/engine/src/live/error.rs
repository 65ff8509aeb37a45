//! Why a service stops.

use yagura_core::{FaultKind, HasFault};
use yagura_correlate::store::StateStoreError;
use yagura_lake::table::TableError;

use crate::error::EngineError;

/// Why a service stops.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A table cannot be used, or the host failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A table cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StateStoreError),
    /// A table that was there is gone.
    #[error(
        "table `{table}` had objects when its state was made, and has none now under {location}; put them back, or start with another state directory"
    )]
    Vanished {
        /// The table.
        table: String,
        /// Where it was.
        location: String,
    },
    /// A line for the outbox cannot be written.
    #[error("cannot write an alert as JSON")]
    Json(#[from] serde_json::Error),
    /// A line of the outbox cannot be read back.
    #[error("line {number} of the alerts cannot be read back from the state")]
    Line {
        /// Its number.
        number: i64,
        /// The cause.
        source: serde_json::Error,
    },
}

impl HasFault for LiveError {
    fn fault(&self) -> FaultKind {
        match self {
            Self::Engine(error) => error.fault(),
            Self::Table(_)
            | Self::Store(_)
            | Self::Vanished { .. }
            | Self::Json(_)
            | Self::Line { .. } => FaultKind::Input,
        }
    }
}
