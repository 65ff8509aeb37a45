//! `percentile`: a percentile of a field, interpolated.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::measured_field::{MeasuredField, MeasuresField};

/// Takes a percentile of the numbers of a field, interpolated.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Percentile {
    /// What is measured.
    #[serde(flatten)]
    pub measured: MeasuredField,
    /// Which percentile, from 0 to 100; the median without it.
    #[schemars(with = "Option<f64>")]
    pub percentile: f64,
}

impl MeasuresField for Percentile {
    fn of(measured: MeasuredField, keys: &mut CorrelationKeys) -> Result<Self, KeyError> {
        Ok(Self {
            measured,
            percentile: keys.optional("percentile")?.unwrap_or(50.0),
        })
    }

    fn measured(&self) -> &MeasuredField {
        &self.measured
    }

    fn check(&self) -> Result<(), KeyError> {
        match (0.0..=100.0).contains(&self.percentile) {
            true => Ok(()),
            false => Err(KeyError::new("percentile", "is not from 0 to 100")),
        }
    }
}
