//! The clock: stamps, delays, retries and rates follow it, and nothing that is decided about an alert does.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use yagura_core::Timestamp;

/// Tells the time. Tests and replays bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the clock of the machine.
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let micros = since.map_or(0, |since| since.as_micros());
            Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX))
        })
    }

    /// Returns a clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns what time it is.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    pub(crate) fn micros(&self) -> i64 {
        self.now().micros()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
