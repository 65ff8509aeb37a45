//! `sum`: the sum of a field.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::measured_field::{MeasuredField, MeasuresField};

/// Sums the numbers of a field.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Sum {
    /// What is measured.
    #[serde(flatten)]
    pub measured: MeasuredField,
}

impl MeasuresField for Sum {
    fn of(measured: MeasuredField, _: &mut CorrelationKeys) -> Result<Self, KeyError> {
        Ok(Self { measured })
    }

    fn measured(&self) -> &MeasuredField {
        &self.measured
    }
}
