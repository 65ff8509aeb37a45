//! The processor time of calls that give way to other threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

use crate::limits::ticks;

/// How long a call waits for other threads, and how long it then runs: it gets at least half of the time.
const WAIT: Duration = Duration::from_secs(1);

/// How often a waiting call checks whether the others are done.
const POLL: Duration = Duration::from_millis(5);

/// The processor time of a call: used so far, and allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processor {
    /// Processor time of the thread when the call began.
    at_start: Duration,
    allowed: Duration,
    /// Not zero while other threads need the processor.
    others: &'static AtomicUsize,
}

impl Processor {
    /// Begins a call on this thread; `None` if the system does not measure processor time.
    pub(crate) fn begin(allowed: Duration, others: &'static AtomicUsize) -> Option<Self> {
        Some(Self {
            at_start: processor_time()?,
            allowed,
            others,
        })
    }

    /// Waits while other threads need the processor. Returns the ticks after which to check again; `None` if the time of the
    /// call is used up.
    pub(crate) fn left(&self) -> Option<u64> {
        let waiting_since = Instant::now();
        let runs_for = loop {
            if self.others.load(Ordering::Relaxed) == 0 {
                break Duration::ZERO;
            }
            if waiting_since.elapsed() >= WAIT {
                break WAIT;
            }
            std::thread::sleep(POLL);
        };
        let used = processor_time()?.checked_sub(self.at_start)?;
        let left = self.allowed.checked_sub(used)?;
        let runs_for = i64::try_from(runs_for.min(left).as_micros()).unwrap_or(i64::MAX);
        (!left.is_zero()).then(|| ticks(runs_for))
    }
}

/// Returns the processor time of this thread so far, if the system measures it.
fn processor_time() -> Option<Duration> {
    Some(ThreadTime::try_now().ok()?.as_duration())
}
