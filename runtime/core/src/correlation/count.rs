//! `count`: how many findings.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use super::window::{WindowKeys, Windows};
use crate::duration::TimeSpan;

/// Counts findings.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Count {
    /// Where it is measured.
    #[serde(flatten)]
    #[schemars(with = "WindowKeys")]
    pub windows: Windows,
    /// What the number must be.
    pub condition: Condition,
}

impl Parameters for Count {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            windows: Windows::read(keys)?,
            condition: keys.condition()?,
        })
    }

    fn length(&self) -> Option<TimeSpan> {
        self.windows.length()
    }

    fn memory_micros(&self) -> i64 {
        self.windows.memory_micros()
    }

    fn state_shape(&self) -> Value {
        json!({
            "window": self.windows.state_shape(),
            "is_evaluated_at_end": !self.condition.is_lower_bound(),
        })
    }
}
