//! `new-value`: a value of a field that the key did not have before.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// A value of a field that the key did not have before.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct NewValue {
    /// The field whose values are learnt.
    pub field: String,
    /// How long a value is remembered after it was last seen, such as `30d`.
    pub within: TimeSpan,
    /// How long all values are only learnt, from the key's first finding on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn: Option<TimeSpan>,
}

impl Parameters for NewValue {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        Ok(Self {
            field: keys.required("field")?,
            within: keys.required("within")?,
            learn: keys.optional("learn")?,
        })
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

    fn measure(&self) -> Option<&'static str> {
        None
    }
}
