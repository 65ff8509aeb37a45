//! `sequence`: findings of the rules in their order.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// Findings of the rules in their order.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Sequence {
    /// The longest time from the first step to the last, such as `10m`.
    pub within: TimeSpan,
    /// The longest time between two steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_within: Option<TimeSpan>,
}

impl Parameters for Sequence {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            within: keys.required("within")?,
            step_within: keys.optional("step_within")?,
        })
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.within)
    }

    fn measure(&self) -> Option<&'static str> {
        None
    }

    fn is_final_only(&self) -> bool {
        true
    }

    fn has_steps(&self) -> bool {
        true
    }
}
