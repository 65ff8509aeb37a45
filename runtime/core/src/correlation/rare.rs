//! `rare`: something that few have.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// Something that few have: `by` says what, `field` who.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Rare {
    /// The field that says who has it.
    pub field: String,
    /// How long someone counts after they last had it, such as `30d`.
    pub within: TimeSpan,
    /// How long the rule only learns, from its first finding on; as long as `within` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn: Option<TimeSpan>,
    /// How many may have it; one at most without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

impl Parameters for Rare {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            field: keys.required("field")?,
            within: keys.required("within")?,
            learn: keys.optional("learn")?,
            condition: keys.optional("condition")?,
        })
    }

    fn check(&self, _: &[String], by: &[String]) -> Result<(), KeyError> {
        match by.is_empty() {
            true => Err(KeyError::new(
                "by",
                "is empty: name what is rare; `field` says who has it",
            )),
            false => Ok(()),
        }
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.within)
    }

    fn memory_micros(&self) -> i64 {
        let learn = self.learn.map_or(0, TimeSpan::micros);
        self.within.micros().saturating_add(learn)
    }

    fn fields(&self) -> Vec<&str> {
        vec![&self.field]
    }

    fn state_shape(&self) -> Value {
        let condition = self.condition.unwrap_or_default();
        json!({ "is_evaluated_at_end": !condition.is_lower_bound() })
    }
}
