//! How often a plugin may call one host.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most so many calls to one host in any window of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimit {
    /// Number of calls.
    pub calls: u32,
    /// Length of the window.
    pub per: Duration,
}

/// The times of the last calls, by plugin and host.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<(String, String), VecDeque<Instant>>>);

impl Rates {
    /// Counts a call, or says how long to wait until there is room for one.
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
        // Nothing that holds the lock leaves it half done.
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = rates
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
                // The call that must have left the window.
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
        let rates = Rates::default();
        let start = Instant::now();
        let take = |host: &str, at: u64| rates.take("p", host, &limits, start + seconds(at));
        assert_eq!(take("a", 0), Ok(()));
        assert_eq!(take("a", 4), Ok(()));
        assert_eq!(take("a", 5), Err(seconds(5)));
        assert_eq!(take("b", 5), Ok(()));
        assert_eq!(take("a", 10), Ok(()));
        // Both are used up: the longer wait counts.
        assert_eq!(take("a", 11), Err(seconds(89)));
        assert_eq!(take("a", 100), Ok(()));
        assert_eq!(take("a", 101), Err(seconds(3)));
        let none = [CallLimit {
            calls: 0,
            per: seconds(1),
        }];
        assert_eq!(rates.take("p", "c", &none, start), Err(seconds(1)));
        assert_eq!(rates.take("p", "c", &[], start), Ok(()));
    }
}
