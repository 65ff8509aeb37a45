//! `avg`: the mean of a field.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use super::window::{WindowKeys, Windows};
use crate::duration::TimeSpan;

/// Takes the mean of the numbers of a field.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Avg {
    /// The field that is measured.
    pub field: String,
    /// Where it is measured.
    #[serde(flatten)]
    #[schemars(with = "WindowKeys")]
    pub windows: Windows,
    /// What the number must be.
    pub condition: Condition,
}

impl Parameters for Avg {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            field: keys.required("field")?,
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

    fn fields(&self) -> Vec<&str> {
        vec![&self.field]
    }

    fn measure(&self) -> Option<&'static str> {
        Some("value")
    }

    fn state_shape(&self) -> Value {
        json!({
            "window": self.windows.state_shape(),
            "is_evaluated_at_end": !self.condition.is_lower_bound(),
        })
    }
}
