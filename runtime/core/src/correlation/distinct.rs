//! `distinct`: how many different values of a field.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use super::window::{Window, WindowKeys, Windows};
use crate::duration::TimeSpan;

/// Counts the different values of a field, or of several together.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Distinct {
    /// The field whose values are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The fields whose values together are counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub fields: Vec<String>,
    /// Counts by HyperLogLog, in a fixed amount of memory.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub approximate: bool,
    /// Where it is measured.
    #[serde(flatten)]
    #[schemars(with = "WindowKeys")]
    pub windows: Windows,
    /// What the number must be.
    pub condition: Condition,
}

impl Parameters for Distinct {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        let fields: Vec<String> = keys.optional("fields")?.unwrap_or_default();
        Ok(Self {
            field: match fields.is_empty() {
                true => Some(keys.required("field")?),
                false => keys.optional("field")?,
            },
            fields,
            approximate: keys.optional("approximate")?.unwrap_or_default(),
            windows: Windows::read(keys)?,
            condition: keys.condition()?,
        })
    }

    fn check(&self, _: &[String], _: &[String]) -> Result<(), KeyError> {
        if self.approximate && self.windows.kind() == Window::Sliding {
            let message =
                "cannot forget single values, so it needs `window = \"tumbling\"` or `\"session\"`";
            return Err(KeyError::new("approximate", message));
        }
        Ok(())
    }

    fn length(&self) -> Option<TimeSpan> {
        self.windows.length()
    }

    fn memory_micros(&self) -> i64 {
        self.windows.memory_micros()
    }

    fn fields(&self) -> Vec<&str> {
        let all = self.field.iter().chain(&self.fields);
        all.map(String::as_str).collect()
    }

    fn state_shape(&self) -> Value {
        json!({
            "window": self.windows.state_shape(),
            "approximate": self.approximate,
            "is_evaluated_at_end": !self.condition.is_lower_bound(),
        })
    }
}
