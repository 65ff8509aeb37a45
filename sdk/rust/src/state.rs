//! The state of one partition key: entries, counters and wake-ups that the host stores.

use std::fmt;

use crate::PluginError;

/// A second in microseconds, the unit of all times.
pub const SECOND: i64 = 1_000_000;
/// A minute in microseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// An hour in microseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// A day in microseconds.
pub const DAY: i64 = 24 * HOUR;

/// The state of the rule and partition key of the current call: [`Batch::state`](crate::Batch::state).
///
/// It is for rules with `partition_by`, whose batches hold one key each, in the order of event time. The host stores it between
/// calls, whichever instance makes them. If a call fails, its changes are dropped. Other keys and other rules do not see it.
///
/// `at` is always the event time of the row being evaluated, or the time of the wake-up: microseconds since
/// 1970-01-01T00:00:00Z. `expires` is the event time from which on an entry counts as absent.
///
/// ```
/// use yagura_sdk::prelude::*;
/// use yagura_sdk::state::MINUTE;
///
/// /// Ten failures of one user within ten minutes of the first.
/// struct Guessing {
///     time: Column<Time>,
/// }
///
/// impl Detector for Guessing {
///     fn open(rule: &Rule) -> Result<Self, PluginError> {
///         Ok(Self { time: rule.time("event_time")? })
///     }
///
///     fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
///         let state = batch.state();
///         for row in batch.rows() {
///             let Some(at) = row.get(self.time) else { continue };
///             // The first failure sets the expiry, and later ones keep it.
///             let first = state.get("failures", at)?.is_none();
///             let expires = first.then_some(at + 10 * MINUTE);
///             if state.increment("failures", 1, at, expires)? == 10 {
///                 findings.row(row);
///             }
///         }
///         Ok(())
///     }
/// }
///
/// use yagura_sdk::testing::{Events, Session};
/// let every = |minutes: i64| Events::new().time("event_time", (0..10).map(|n| n * minutes * MINUTE));
/// let mut session = Session::<Guessing>::open("{}", &every(1)).unwrap();
/// assert_eq!(session.keyed_batch("alice", &every(1)).unwrap().len(), 1);
/// assert_eq!(session.keyed_batch("bob", &every(2)).unwrap().len(), 0);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct State(());

/// Why the state could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateError {
    /// The call is not for one key: the rule has no `partition_by`, or the call evaluates neither rows nor a wake-up.
    NoScope,
    /// The key has reached a limit, which the text names. Nothing was stored.
    TooLarge(String),
    /// The entry is not a counter: it is not eight bytes long.
    NotANumber,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScope => f.write_str(
                "there is no state here: it is for rules with `partition_by`, while events of a key are evaluated",
            ),
            Self::TooLarge(reason) => write!(f, "the state is full: {reason}"),
            Self::NotANumber => {
                f.write_str("the entry is not a counter: it is not eight bytes long")
            }
        }
    }
}

impl std::error::Error for StateError {}

impl From<StateError> for PluginError {
    /// The host skips the events and reports them.
    fn from(error: StateError) -> Self {
        Self::Data(error.to_string())
    }
}

impl State {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Returns the value under a name; `None` if it is absent or expires at or before `at`.
    ///
    /// # Errors
    /// [`StateError::NoScope`].
    pub fn get(self, name: &str, at: i64) -> Result<Option<Vec<u8>>, StateError> {
        host::get(name, at)
    }

    /// Returns the text under a name, as [`State::get`]; bytes that are not UTF-8 become the replacement character.
    ///
    /// # Errors
    /// [`StateError::NoScope`].
    pub fn get_text(self, name: &str, at: i64) -> Result<Option<String>, StateError> {
        let value = self.get(name, at)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// Returns the value of a counter; 0 if it is absent.
    ///
    /// # Errors
    /// [`StateError::NoScope`], [`StateError::NotANumber`].
    pub fn count(self, name: &str, at: i64) -> Result<i64, StateError> {
        match self.get(name, at)? {
            None => Ok(0),
            Some(value) => {
                let bytes = value.try_into().map_err(|_| StateError::NotANumber)?;
                Ok(i64::from_le_bytes(bytes))
            }
        }
    }

    /// Stores bytes or text under a name, and replaces an earlier value. Without `expires` it stays until it is removed.
    ///
    /// # Errors
    /// [`StateError::NoScope`], [`StateError::TooLarge`].
    pub fn put(
        self,
        name: &str,
        value: impl AsRef<[u8]>,
        expires: Option<i64>,
    ) -> Result<(), StateError> {
        host::put(name, value.as_ref(), expires)
    }

    /// Adds to a counter and returns its new value, which stays within the range of `i64`. An absent counter starts from 0.
    /// Without `expires`, an existing counter keeps its expiry.
    ///
    /// # Errors
    /// Any [`StateError`].
    pub fn increment(
        self,
        name: &str,
        by: i64,
        at: i64,
        expires: Option<i64>,
    ) -> Result<i64, StateError> {
        host::increment(name, by, at, expires)
    }

    /// Removes an entry, if it exists.
    ///
    /// # Errors
    /// [`StateError::NoScope`].
    pub fn remove(self, name: &str) -> Result<(), StateError> {
        host::remove(name)
    }

    /// Requests one call of [`Detector::on_wake`](crate::Detector::on_wake) with exactly this time. It happens when no earlier
    /// event of the key can follow, and before any later row of the key is evaluated. During a wake-up, a time at or before the
    /// time of the wake-up has no effect.
    ///
    /// # Errors
    /// [`StateError::NoScope`], [`StateError::TooLarge`].
    pub fn wake(self, at: i64) -> Result<(), StateError> {
        host::wake(at)
    }
}

/// Returns the index of the rule of the current key; `None` outside of calls for a key.
pub(crate) fn rule() -> Option<u32> {
    host::rule()
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::StateError;
    use crate::bindings::yagura::plugin::state::{self, StateError as Raw};

    impl From<Raw> for StateError {
        fn from(error: Raw) -> Self {
            match error {
                Raw::NoScope => Self::NoScope,
                Raw::TooLarge(reason) => Self::TooLarge(reason),
                Raw::NotANumber => Self::NotANumber,
            }
        }
    }

    pub(super) fn rule() -> Option<u32> {
        state::rule().ok()
    }

    pub(super) fn get(name: &str, at: i64) -> Result<Option<Vec<u8>>, StateError> {
        Ok(state::get(name, at)?)
    }

    pub(super) fn put(name: &str, value: &[u8], expires: Option<i64>) -> Result<(), StateError> {
        Ok(state::put(name, value, expires)?)
    }

    pub(super) fn increment(
        name: &str,
        by: i64,
        at: i64,
        expires: Option<i64>,
    ) -> Result<i64, StateError> {
        Ok(state::increment(name, by, at, expires)?)
    }

    pub(super) fn remove(name: &str) -> Result<(), StateError> {
        Ok(state::remove(name)?)
    }

    pub(super) fn wake(at: i64) -> Result<(), StateError> {
        Ok(state::wake(at)?)
    }
}

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::memory as host;
