//! Why rules cannot be planned over a table.

use std::path::PathBuf;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use yagura_core::{FaultKind, HasFault};

/// Why rules cannot be planned over a table.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A rule does not fit its table.
    #[error("{}: rule `{rule}`: `{key}` {message}", .file.display())]
    Rule {
        /// The rule's file.
        file: PathBuf,
        /// The rule's id.
        rule: String,
        /// Key inside `[rule]`.
        key: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// Several rules do not fit their table, each with its [`PlanError::Rule`].
    #[error("{}", lines(.0))]
    Rules(Vec<PlanError>),
    /// The table cannot be scanned.
    #[error("cannot scan table `{table}`")]
    Scan {
        /// The table.
        table: String,
        /// The cause.
        source: DataFusionError,
    },
    /// A fault of our own in handling columns.
    #[error("cannot plan the scan")]
    Arrow(#[from] ArrowError),
}

impl HasFault for PlanError {
    fn fault(&self) -> FaultKind {
        match self {
            Self::Rule { .. } | Self::Rules(_) => FaultKind::Rule,
            Self::Scan { .. } | Self::Arrow(_) => FaultKind::Input,
        }
    }
}

impl PlanError {
    /// Makes one error of those of several rules; nothing of none.
    pub fn of_rules(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Self::Rules(errors)),
        }
    }

    /// Returns the rules that do not fit, each with the reason; `None` where the error is about something else.
    pub fn rules(&self) -> Vec<(String, String)> {
        match self {
            Self::Rule {
                rule, key, message, ..
            } => vec![(rule.clone(), format!("`{key}` {message}"))],
            Self::Rules(errors) => errors.iter().flat_map(Self::rules).collect(),
            Self::Scan { .. } | Self::Arrow(_) => Vec::new(),
        }
    }
}

fn lines(errors: &[PlanError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
