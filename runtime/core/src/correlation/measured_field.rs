//! What `sum`, `avg` and `percentile` share: a field that is measured over windows.

use serde::Serialize;
use serde_json::{Value, json};

use super::condition::Condition;
use super::keys::{CorrelationKeys, KeyError};
use super::parameters::Parameters;
use super::window::{WindowKeys, Windows};
use crate::duration::TimeSpan;

/// A field whose numbers are measured over windows.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct MeasuredField {
    /// The field that is measured.
    pub field: String,
    /// Where it is measured.
    #[serde(flatten)]
    #[schemars(with = "WindowKeys")]
    pub windows: Windows,
    /// What the number must be.
    pub condition: Condition,
}

/// A kind of correlation that measures one field.
pub(super) trait MeasuresField: Sized + Serialize + schemars::JsonSchema {
    /// Makes the kind of what it measures, and takes further keys.
    ///
    /// # Errors
    /// [`KeyError`]: a key that has a value that cannot be used.
    fn of(measured: MeasuredField, keys: &mut CorrelationKeys) -> Result<Self, KeyError>;

    /// Returns what it measures.
    fn measured(&self) -> &MeasuredField;

    /// Checks the further keys.
    ///
    /// # Errors
    /// [`KeyError`] for the first key that is wrong.
    fn check(&self) -> Result<(), KeyError> {
        Ok(())
    }
}

impl<T: MeasuresField> Parameters for T {
    fn read(keys: &mut CorrelationKeys, _: &[String]) -> Result<Self, KeyError> {
        let measured = MeasuredField {
            field: keys.required("field")?,
            windows: Windows::read(keys)?,
            condition: keys.condition()?,
        };
        Self::of(measured, keys)
    }

    fn check(&self, _: &[String], _: &[String]) -> Result<(), KeyError> {
        MeasuresField::check(self)
    }

    fn length(&self) -> Option<TimeSpan> {
        self.measured().windows.length()
    }

    fn memory_micros(&self) -> i64 {
        self.measured().windows.memory_micros()
    }

    fn fields(&self) -> Vec<&str> {
        vec![&self.measured().field]
    }

    fn measure(&self) -> Option<&'static str> {
        Some("value")
    }

    fn state_shape(&self) -> Value {
        let MeasuredField {
            windows, condition, ..
        } = self.measured();
        json!({
            "window": windows.state_shape(),
            "is_evaluated_at_end": !condition.is_lower_bound(),
        })
    }
}
