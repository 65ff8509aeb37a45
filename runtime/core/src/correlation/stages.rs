//! `stages`: stages in order, each of which raises the alert's severity.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::Severity;
use crate::duration::TimeSpan;

/// Findings of the rules in their order, each of which is emitted with the severity of its stage.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Stages {
    /// The longest time from the first stage to the last, such as `1h`.
    pub within: TimeSpan,
    /// The longest time between two stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_within: Option<TimeSpan>,
    /// The severity that each of the stages gives the alert.
    pub severities: Vec<Severity>,
}

impl Parameters for Stages {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            within: keys.required("within")?,
            step_within: keys.optional("step_within")?,
            severities: keys.optional("severities")?.unwrap_or_default(),
        })
    }

    fn check(&self, rules: &[String], _: &[String]) -> Result<(), KeyError> {
        match self.severities.len() == rules.len() {
            true => Ok(()),
            false => Err(KeyError::new(
                "severities",
                "needs one severity for each of `rules`",
            )),
        }
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.within)
    }

    fn measure(&self) -> Option<&'static str> {
        None
    }

    fn has_steps(&self) -> bool {
        true
    }
}
