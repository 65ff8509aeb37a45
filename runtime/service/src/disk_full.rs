//! A disk that is full: the service keeps what it has, takes nothing new, tries again, and goes on when there is room.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use yagura_correlate::store::StateStoreError;
use yagura_engine::live::{Live, LiveError};

use crate::live_error::unwrapped;
use crate::signals::StopRequest;

/// How long to wait before another attempt, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Returns how long to wait after a pause that was too short.
pub(crate) fn longer(pause: Duration) -> Duration {
    let [first, longest] = PAUSES;
    (pause * 2).clamp(first, longest)
}

/// Returns whether an error comes from a disk without room, or one that does not answer.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_state = cause.downcast_ref::<StateStoreError>();
        let of_live = match cause.downcast_ref::<LiveError>() {
            Some(LiveError::Store(error)) => Some(error),
            _ => None,
        };
        let of_file = cause.downcast_ref::<io::Error>();
        of_state.or(of_live).is_some_and(StateStoreError::may_pass) || of_file.is_some_and(is_full)
    })
}

/// Returns whether a file cannot be written for want of room.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Waits for room on the disk of the state.
#[derive(Debug)]
pub(crate) struct RoomForState {
    /// A service that works once ends with the error, and does not wait.
    once: bool,
    /// The service was asked to end while there was none.
    has_given_up: bool,
}

impl RoomForState {
    /// Makes one. A service that works only once does not wait.
    pub(crate) fn new(once: bool) -> Self {
        Self {
            once,
            has_given_up: false,
        }
    }

    /// Returns when all that was committed is on disk. While there is no room the service takes nothing new, and tries again. Returns
    /// false when it was asked to end meanwhile: what is not on disk is evaluated again at the next start.
    ///
    /// # Errors
    /// When the state cannot be written at all.
    pub(crate) async fn make(
        &mut self,
        live: &mut Live,
        stop: &mut StopRequest,
        err: &mut impl Write,
    ) -> Result<bool> {
        let mut since = None;
        let mut pause = Duration::ZERO;
        loop {
            let error = match live.flush() {
                Ok(()) => break,
                Err(LiveError::Store(error)) if error.may_pass() && !self.once => error,
                Err(error) => return Err(unwrapped(error)),
            };
            if self.has_given_up {
                return Ok(false);
            }
            if since.is_none() {
                since = Some(Instant::now());
                writeln!(
                    err,
                    "warning: {error}; nothing new is read until it can be written, and nothing is lost"
                )?;
            }
            pause = longer(pause);
            tokio::select! {
                () = stop.wait() => {
                    self.has_given_up = true;
                    writeln!(err, "warning: the last step could not be written: the next start evaluates its events again")?;
                    return Ok(false);
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(since) = since {
            let message = format!(
                "the state can be written again, after {} s; the service goes on",
                since.elapsed().as_secs()
            );
            writeln!(err, "warning: {message}")?;
            live.note(message);
        }
        Ok(true)
    }
}
