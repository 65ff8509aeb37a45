//! `session`: a run of findings that ends when none comes for a while.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use super::window::{WindowKeys, Windows};
use crate::duration::TimeSpan;

/// Emits each run of findings, with their number, when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Session {
    /// What ends a session.
    #[serde(flatten)]
    #[schemars(with = "WindowKeys")]
    pub windows: Windows,
    /// What the number of findings must be; without it, whatever it is.
    #[serde(skip_serializing_if = "Condition::is_empty")]
    #[schemars(default)]
    pub condition: Condition,
}

impl Parameters for Session {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            windows: Windows::session(keys)?,
            condition: keys.optional("condition")?.unwrap_or_default(),
        })
    }

    fn length(&self) -> Option<TimeSpan> {
        self.windows.length()
    }

    fn memory_micros(&self) -> i64 {
        self.windows.memory_micros()
    }

    fn state_shape(&self) -> Value {
        json!({ "is_evaluated_at_end": !self.condition.is_lower_bound() })
    }
}
