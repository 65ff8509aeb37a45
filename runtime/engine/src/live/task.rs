//! Work in the background of a service.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// Work that goes on by itself, and is given up when this is dropped.
#[derive(Debug)]
pub(super) struct BackgroundTask<T>(JoinHandle<T>);

impl<T: Send + 'static> BackgroundTask<T> {
    pub(super) fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Returns whether the result is there.
    pub(super) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the result; `None` where the work was given up.
    pub(super) async fn end(mut self) -> Option<T> {
        match (&mut self.0).await {
            Ok(result) => Some(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }
}

impl<T> Drop for BackgroundTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The least time that others are given once the first has ended.
const GRACE: Duration = Duration::from_millis(500);
/// The longest time to wait for the first.
const LONGEST: Duration = Duration::from_secs(10);
/// How often it is checked.
const POLL: Duration = Duration::from_millis(1);

/// Waits for work that goes on side by side, so that slow work holds up nothing else: until all of it has ended, or until the
/// first has and the others had twice as long again. `running` returns how much of it goes on.
pub(super) async fn wait_for_most(running: impl Fn() -> usize) {
    let start = Instant::now();
    let all = running();
    let mut limit = LONGEST;
    let mut has_first = false;
    let mut left = all;
    while left > 0 && start.elapsed() < limit {
        tokio::time::sleep(POLL).await;
        left = running();
        if !has_first && left < all {
            has_first = true;
            limit = (start.elapsed() * 3).max(GRACE);
        }
    }
}
