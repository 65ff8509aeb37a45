//! What `spike` and `flatline` compare: windows that follow each other, with those before them.

use serde::Serialize;
use serde_json::{Value, json};

use super::keys::{CorrelationKeys, KeyError};
use crate::duration::TimeSpan;

/// Windows that are remembered of a key: a week of minutes.
const MOST_WINDOWS: i64 = 10_080;

/// Windows that follow each other, and how far back a key's normal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Baseline {
    /// Length of a window, such as `1h`.
    pub within: TimeSpan,
    /// How far back a key's own normal reaches, such as `7d`.
    pub baseline: TimeSpan,
}

impl Baseline {
    pub(super) fn read(keys: &mut CorrelationKeys) -> Result<Self, KeyError> {
        Ok(Self {
            within: keys.required("within")?,
            baseline: keys.required("baseline")?,
        })
    }

    /// Returns how many windows make up the normal.
    pub fn windows(&self) -> i64 {
        (self.baseline.micros() / self.within.micros()).max(1)
    }

    pub(super) fn check(&self, factor: f64) -> Result<(), KeyError> {
        let (within, baseline) = (self.within.micros(), self.baseline.micros());
        if baseline < within.saturating_mul(2) {
            return Err(KeyError::new(
                "baseline",
                "is shorter than two windows of `within`: there is nothing to compare with",
            ));
        }
        if baseline / within > MOST_WINDOWS {
            let longest = TimeSpan::clamped(within.saturating_mul(MOST_WINDOWS));
            // In whole seconds, rounded up.
            let second = TimeSpan::from_secs(1).micros();
            let shortest = (baseline - 1) / MOST_WINDOWS / second + 1;
            let shortest = TimeSpan::clamped(shortest.saturating_mul(second));
            return Err(KeyError::new(
                "baseline",
                format!(
                    "has more than {MOST_WINDOWS} windows of `within`, each of which is remembered for each key: make it {longest} at most, or `within` {shortest} at least"
                ),
            ));
        }
        if factor.is_nan() || factor <= 0.0 {
            return Err(KeyError::new("factor", "must be more than 0"));
        }
        Ok(())
    }

    pub(super) fn memory_micros(&self) -> i64 {
        self.within.micros().saturating_add(self.baseline.micros())
    }

    /// The number of a window is part of what is counted by it.
    pub(super) fn state_shape(&self) -> Value {
        json!({ "within": self.within })
    }
}
