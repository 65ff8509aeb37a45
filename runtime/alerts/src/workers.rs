//! Workers: tasks that take what is due, do it outside, and record what came of it.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use crate::ports::Failure;
use crate::store::AlertStoreError;

/// Tasks that stop when they are asked to, and at once when they are dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), AlertStoreError>>,
}

/// What is done over and over: something that is due is taken, and done in a task of its own.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    /// What was taken.
    type Job: Send + 'static;

    /// Takes the next that is due, and records that it was taken.
    fn next(&self) -> impl Future<Output = Result<Option<Self::Job>, AlertStoreError>> + Send;

    /// Does it and records what came of it.
    fn work(&self, job: Self::Job) -> impl Future<Output = Result<(), AlertStoreError>> + Send;

    /// Returns when the next will be due, in microseconds.
    fn next_due(&self) -> impl Future<Output = Result<Option<i64>, AlertStoreError>> + Send;
}

/// How workers run.
pub(crate) struct WorkerPace {
    pub(crate) concurrency: usize,
    /// At most so long until it is looked again: other processes write into the store too.
    pub(crate) poll: Duration,
    pub(crate) clock: Clock,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self {
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    pub(crate) fn start(&mut self, work: impl Work, wake: watch::Receiver<u64>, pace: WorkerPace) {
        let stop = self.stop.subscribe();
        self.tasks.spawn(dispatch(work, wake, stop, pace));
    }

    /// Takes nothing new, waits for what is being done, and returns the first error.
    pub(crate) async fn stop(mut self) -> Result<(), AlertStoreError> {
        self.stop.send_replace(true);
        let mut outcome = Ok(());
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(Err(error)) = done {
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Waits until one of the tasks cannot go on, and returns why.
    pub(crate) async fn failed(&mut self) -> AlertStoreError {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

async fn dispatch<W: Work>(
    work: W,
    mut wake: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
    pace: WorkerPace,
) -> Result<(), AlertStoreError> {
    let mut jobs: JoinSet<Result<(), AlertStoreError>> = JoinSet::new();
    loop {
        wake.mark_unchanged();
        while jobs.len() < pace.concurrency && !*stop.borrow() {
            match passing(work.next().await)? {
                Some(Some(job)) => {
                    let work = work.clone();
                    jobs.spawn(async move { work.work(job).await });
                }
                _ => break,
            }
        }
        if *stop.borrow() {
            while let Some(done) = jobs.join_next().await {
                passing(done.unwrap_or(Ok(())))?;
            }
            return Ok(());
        }
        let due = passing(work.next_due().await)?.flatten();
        let now = pace.clock.micros();
        // With every hand full, only a job that ends makes room.
        let due = due.filter(|_| jobs.len() < pace.concurrency);
        let pause = due.map_or(pace.poll, |due| {
            let micros = u64::try_from(due.saturating_sub(now)).unwrap_or(0);
            // Not at once again, where the store could not be asked.
            Duration::from_micros(micros)
                .max(Duration::from_millis(5))
                .min(pace.poll)
        });
        tokio::select! {
            _ = stop.changed() => {}
            Ok(()) = wake.changed(), if jobs.len() < pace.concurrency => {}
            Some(done) = jobs.join_next() => { passing(done.unwrap_or(Ok(())))?; }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Lets go on what may pass: a server that is away, a disk that is full. Who was replaced must stop.
fn passing<T>(outcome: Result<T, AlertStoreError>) -> Result<Option<T>, AlertStoreError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error @ (AlertStoreError::TakenOver | AlertStoreError::Damaged { .. })) => Err(error),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the store of alerts cannot be used now; tried again");
            Ok(None)
        }
    }
}

/// Calls something outside within a deadline. What panics or does not answer has failed, and may have done it all the same.
pub(crate) async fn within<T: Send + 'static>(
    deadline: Duration,
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let retry = |message: String| Failure::Retry {
        message,
        after: None,
        is_uncertain: true,
    };
    let mut task = Aborting(tokio::spawn(call));
    match tokio::time::timeout(deadline, &mut task.0).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(retry(format!("it broke off: {error}"))),
        Err(_) => Err(retry(format!("no answer within {deadline:?}"))),
    }
}

/// A task that ends with who waits for it.
struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks the store again and again until it answers: what was begun or done outside must not be forgotten.
pub(crate) async fn insist<T, F, Fut>(mut attempt: F) -> Result<T, AlertStoreError>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<T, AlertStoreError>> + Send,
    T: Send,
{
    loop {
        if let Some(value) = passing(attempt().await)? {
            return Ok(value);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// How long to wait before another attempt.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first attempt that failed.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for Backoff {
    /// From a second to ten minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// Returns microseconds to wait after so many failed attempts: twice as long each time, spread over the upper half, so
    /// that what failed together does not come back together. `what` spreads.
    pub(crate) fn micros(self, attempts: i64, what: &str, after: Option<Duration>) -> i64 {
        let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 30)).unwrap_or(0);
        let longest = self.first.saturating_mul(1 << doublings).min(self.longest);
        let hash = what
            .bytes()
            .chain(attempts.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let half = u64::try_from(longest.as_micros() / 2).unwrap_or(u64::MAX / 2);
        let wait = Duration::from_micros(half.saturating_add((hash >> 16) % half.max(1)));
        let wait = wait.max(after.unwrap_or_default());
        i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_respect_the_other_side() {
        let backoff = Backoff::default();
        for (attempts, most) in [(1, 1), (2, 2), (5, 16), (11, 600), (40, 600)] {
            let micros = backoff.micros(attempts, "incident", None);
            let most = most * 1_000_000;
            assert!((most / 2..=most).contains(&micros), "{attempts}: {micros}");
        }
        let asked = Duration::from_secs(30);
        assert_eq!(backoff.micros(1, "incident", Some(asked)), 30_000_000);
        assert_ne!(
            backoff.micros(3, "one", None),
            backoff.micros(3, "other", None)
        );
    }
}
