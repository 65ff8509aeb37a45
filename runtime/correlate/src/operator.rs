//! What a correlation does with the hits of one key.
//!
//! An operator processes hits in event-time order. It never sees the watermark, only times that have passed, so that
//! it cannot tell a live run from one over history. Each kind of correlation has a file here that makes its operator.

mod absence;
mod any_order;
mod avg;
mod baseline;
mod change;
mod count;
mod distinct;
mod flatline;
mod geolocation;
mod measure;
mod new_value;
mod percentile;
mod rare;
mod recent_values;
mod sequence;
mod session;
mod spike;
mod stages;
mod sum;
mod threshold;
mod travel;

#[cfg(test)]
pub(crate) mod testing;

pub use geolocation::{Geolocation, GeolocationError};

#[cfg(test)]
pub(crate) use measure::{Aggregate, Measure};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hit::Hit;
use crate::output::OperatorOutput;

/// Processes the hits of one key.
pub(crate) trait Operator: Send + Sync {
    /// What it remembers of a key.
    type State: Clone + Default + Send + Sync + Serialize + DeserializeOwned;

    /// Takes a hit. Hits come in order of time; what was due before this one's time has been done.
    fn push(&self, state: &mut Self::State, hit: Hit, out: &mut OperatorOutput);

    /// Returns the time after which something must be done: a deadline, or that the state has become worthless.
    fn due(&self, state: &Self::State) -> i64;

    /// Does what is due before `now`. Returns false when the state is worth nothing any more.
    fn advance(&self, state: &mut Self::State, now: i64, out: &mut OperatorOutput) -> bool;

    /// Returns which time a key has where that of all is `now`.
    fn now(&self, _key: &str, now: i64) -> i64 {
        now
    }

    /// Returns about how many bytes a state takes beyond itself.
    fn heap(&self, state: &Self::State) -> usize;
}
