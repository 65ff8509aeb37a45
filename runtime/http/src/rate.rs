//! How often a plugin may call one host.
//!
//! A limit is exact: no window of its length, wherever it begins, holds more calls than the limit. That is what the quotas of
//! servers promise (4 calls a minute, 500 a day), and several limits apply at once. The token buckets of the crate `governor`
//! are not exact: a bucket of 500 a day lets almost 1,000 calls into one day, 500 at once and 500 as it fills again, unless it
//! forbids bursts altogether. It also cannot ask several limits and take from all or none. So the times of the last calls are
//! kept here, at most as many as the longest window allows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The maximum number of calls to one host in any window of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimit {
    /// Number of calls.
    pub calls: u32,
    /// Length of the window.
    pub per: Duration,
}

/// The times of the last calls, by plugin and host.
#[derive(Debug, Default)]
pub(crate) struct CallTimes(Mutex<HashMap<(String, String), VecDeque<Instant>>>);

impl CallTimes {
    /// Counts a call.
    ///
    /// # Errors
    /// The time until all limits have room; the call is then not counted.
    pub(crate) fn take(
        &self,
        plugin: &str,
        host: &str,
        limits: &[CallLimit],
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(longest) = limits.iter().map(|limit| limit.per).max() else {
            return Ok(());
        };
        // No panic can leave the times half changed.
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = times
            .entry((plugin.to_owned(), host.to_owned()))
            .or_default();
        let age = |call: &Instant| now.saturating_duration_since(*call);
        while calls.front().is_some_and(|call| age(call) >= longest) {
            calls.pop_front();
        }
        let mut wait = None;
        for limit in limits {
            let allowed = usize::try_from(limit.calls).unwrap_or(usize::MAX);
            let room = match allowed.checked_sub(1) {
                // The call that must be older than the window.
                Some(last) => calls.iter().rev().nth(last).map(age),
                None => Some(Duration::ZERO),
            };
            if let Some(age) = room
                && age < limit.per
            {
                wait = wait.max(Some(limit.per - age));
            }
        }
        match wait {
            Some(wait) => Err(wait),
            None => {
                calls.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_calls_than_the_limit() {
        let seconds = Duration::from_secs;
        let limits = [
            CallLimit {
                calls: 2,
                per: seconds(10),
            },
            CallLimit {
                calls: 3,
                per: seconds(100),
            },
        ];
        let times = CallTimes::default();
        let start = Instant::now();
        let take = |host: &str, at: u64| times.take("p", host, &limits, start + seconds(at));
        assert_eq!(take("a", 0), Ok(()));
        assert_eq!(take("a", 4), Ok(()));
        assert_eq!(take("a", 5), Err(seconds(5)));
        assert_eq!(take("b", 5), Ok(()));
        assert_eq!(take("a", 10), Ok(()));
        // Both are used up, so the longer wait counts.
        assert_eq!(take("a", 11), Err(seconds(89)));
        assert_eq!(take("a", 100), Ok(()));
        assert_eq!(take("a", 101), Err(seconds(3)));
        let none = [CallLimit {
            calls: 0,
            per: seconds(1),
        }];
        assert_eq!(times.take("p", "c", &none, start), Err(seconds(1)));
        assert_eq!(times.take("p", "c", &[], start), Ok(()));
    }
}
