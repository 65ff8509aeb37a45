//! `percentile`: a percentile of a field, interpolated.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use super::window::{WindowKeys, Windows};
use crate::duration::TimeSpan;

/// Takes a percentile of the numbers of a field, interpolated.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Percentile {
    /// The field that is measured.
    pub field: String,
    /// Which percentile, from 0 to 100; the median without it.
    #[schemars(with = "Option<f64>")]
    pub percentile: f64,
    /// Where it is measured.
    #[serde(flatten)]
    #[schemars(with = "WindowKeys")]
    pub windows: Windows,
    /// What the number must be.
    pub condition: Condition,
}

impl Parameters for Percentile {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            field: keys.required("field")?,
            percentile: keys.optional("percentile")?.unwrap_or(50.0),
            windows: Windows::read(keys)?,
            condition: keys.condition()?,
        })
    }

    fn check(&self, _: &[String], _: &[String]) -> Result<(), KeyError> {
        match (0.0..=100.0).contains(&self.percentile) {
            true => Ok(()),
            false => Err(KeyError::new("percentile", "is not from 0 to 100")),
        }
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
