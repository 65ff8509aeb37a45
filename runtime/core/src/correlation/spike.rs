//! `spike`: more findings than the key's own normal.

use serde::Serialize;
use serde_json::Value;

use super::baseline::Baseline;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// More findings than the key's own normal.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Spike {
    /// The windows that are compared.
    #[serde(flatten)]
    pub normal: Baseline,
    /// How many times the normal is a spike; 3 without it.
    #[schemars(with = "Option<f64>")]
    pub factor: f64,
    /// The least count that can be a spike; 10 without it.
    #[schemars(with = "Option<u64>")]
    pub minimum: u64,
}

impl Parameters for Spike {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            normal: Baseline::read(keys)?,
            factor: keys.optional("factor")?.unwrap_or(3.0),
            minimum: keys.optional("minimum")?.unwrap_or(10),
        })
    }

    fn check(&self, _: &[String], _: &[String]) -> Result<(), KeyError> {
        self.normal.check(self.factor)
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.normal.within)
    }

    fn memory_micros(&self) -> i64 {
        self.normal.memory_micros()
    }

    fn state_shape(&self) -> Value {
        self.normal.state_shape()
    }
}
