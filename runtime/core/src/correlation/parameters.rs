//! What each kind of correlation says of itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::keys::{CorrelationKeys, KeyError};
use crate::duration::TimeSpan;

/// The parameters of a kind of correlation, and what follows from them.
pub trait Parameters: Sized + Serialize + JsonSchema {
    /// Takes the kind's keys; `rules` are those of the correlation.
    ///
    /// # Errors
    /// [`KeyError`]: a key that is missing or has a value that cannot be used.
    fn read(keys: &mut CorrelationKeys, rules: &[String]) -> Result<Self, KeyError>;

    /// Says what is wrong with the parameters, or for them with `rules` and `by`.
    ///
    /// # Errors
    /// [`KeyError`] for the first key that is wrong.
    fn check(&self, _rules: &[String], _by: &[String]) -> Result<(), KeyError> {
        Ok(())
    }

    /// Returns the length of its windows, or how long it remembers; nothing where it lasts as long as findings come.
    fn length(&self) -> Option<TimeSpan>;

    /// Returns how long a finding can matter to it, in microseconds.
    fn memory_micros(&self) -> i64 {
        self.length().map_or(0, TimeSpan::micros)
    }

    /// Returns the fields that it reads of a finding besides `by`, in the order in which its operator gets their values.
    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Returns the name of what it measures, as the context of its alerts has it; nothing if it measures nothing.
    fn measure(&self) -> Option<&'static str> {
        Some("count")
    }

    /// Says whether its findings may change until no earlier event can come, even where all events that they are about have: it
    /// has no provisional alerts then.
    fn is_final_only(&self) -> bool {
        false
    }

    /// Says whether `rules` are steps in order: at least two, of which several may be the same rule.
    fn has_steps(&self) -> bool {
        false
    }

    /// Returns the parameters on which the meaning of its stored state depends: with others, the state starts anew.
    fn state_shape(&self) -> Value {
        Value::Null
    }
}
