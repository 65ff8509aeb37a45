//! `change`: a state that differs from the one before.

use serde::Serialize;

use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use crate::duration::TimeSpan;

/// A state that differs from the one before.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// The fields that make up the state.
    pub fields: Vec<String>,
    /// How long a state is remembered, such as `30d`.
    pub within: TimeSpan,
}

impl Parameters for Change {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        let fields: Option<Vec<String>> = keys.optional("fields")?;
        Ok(Self {
            fields: fields.filter(|fields| !fields.is_empty()).ok_or_else(|| {
                KeyError::new("fields", "is empty: name the fields that make up the state")
            })?,
            within: keys.required("within")?,
        })
    }

    fn length(&self) -> Option<TimeSpan> {
        Some(self.within)
    }

    fn fields(&self) -> Vec<&str> {
        self.fields.iter().map(String::as_str).collect()
    }

    fn measure(&self) -> Option<&'static str> {
        None
    }
}
