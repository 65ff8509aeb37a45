//! `absence`: a finding of the first rule that none of the second follows.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// A finding of the first rule that none of the second follows in time. With one rule: that none of the same follows.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Absence {
    /// The time in which it must be followed, such as `10m`.
    pub within: TimeSpan,
}

impl Parameters for Absence {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            within: keys.required("within")?,
        })
    }

    fn check(&self, rules: &[String], _: &[String]) -> Result<(), KeyError> {
        match rules.len() {
            0..=2 => Ok(()),
            _ => Err(KeyError::new(
                "rules",
                "names more than two: the first is what happens, the second what must follow",
            )),
        }
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
}
