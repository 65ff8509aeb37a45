//! How many steps of services run in this process now. Background evaluation gives way to them.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps of services that are under way in this process: what is evaluated in the background waits for their end, within reason.
pub(crate) static RUNNING_STEPS: AtomicUsize = AtomicUsize::new(0);

/// A step that is under way.
#[derive(Debug)]
pub(crate) struct RunningStep(());

impl RunningStep {
    /// Counts a step until the value is dropped.
    pub(crate) fn new() -> Self {
        RUNNING_STEPS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for RunningStep {
    fn drop(&mut self) {
        RUNNING_STEPS.fetch_sub(1, Ordering::Relaxed);
    }
}
