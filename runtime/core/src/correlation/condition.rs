//! What a measured number must be.

use serde::{Deserialize, Serialize};

/// Bounds of a measured number, all of which hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Greater than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gt: Option<f64>,
    /// Greater than or equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gte: Option<f64>,
    /// Less than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<f64>,
    /// Less than or equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lte: Option<f64>,
    /// Equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eq: Option<f64>,
    /// Not equal to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neq: Option<f64>,
}

impl Condition {
    /// Says whether the number keeps all bounds.
    pub fn holds(&self, number: f64) -> bool {
        self.gt.is_none_or(|bound| number > bound)
            && self.gte.is_none_or(|bound| number >= bound)
            && self.lt.is_none_or(|bound| number < bound)
            && self.lte.is_none_or(|bound| number <= bound)
            && self.eq.is_none_or(|bound| number == bound)
            && self.neq.is_none_or(|bound| number != bound)
    }

    /// Says whether there are only lower bounds: what holds for a number holds for every greater one, so that a growing
    /// count can be evaluated before its window ends.
    pub fn is_lower_bound(&self) -> bool {
        self.lt.is_none() && self.lte.is_none() && self.eq.is_none() && self.neq.is_none()
    }

    /// Says whether there is no bound at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
