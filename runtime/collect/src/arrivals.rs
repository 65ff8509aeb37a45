//! When objects of a source arrive: a source that is silent for much longer than ever before deserves a look.

use std::time::Duration;

use yagura_core::Timestamp;

/// Below so many arrivals nothing is known of a source's habits.
const LEAST: usize = 10;
/// So many times the longest pause is silence …
const TIMES: i64 = 4;
/// … but no pause below this.
const SHORTEST: i64 = 3_600_000_000;

/// The arrivals of a source so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    count: usize,
    /// The newest, in microseconds since 1970.
    last: i64,
    /// The longest pause between two of them, in microseconds.
    longest: i64,
}

/// A source from which nothing has come for much longer than ever before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// How long nothing has come.
    pub lasts: Duration,
    /// The longest pause before.
    pub longest: Duration,
}

impl Arrivals {
    /// Adds arrivals, in microseconds since 1970, in any order.
    pub(crate) fn add(&mut self, mut times: Vec<i64>) {
        times.sort_unstable();
        for time in times {
            if self.count > 0 {
                self.longest = self.longest.max(time - self.last);
            }
            self.count += 1;
            self.last = self.last.max(time);
        }
    }

    /// Returns the silence that there is at `now`.
    pub(crate) fn silence(&self, now: Timestamp) -> Option<Silence> {
        let lasts = now.micros() - self.last;
        let most = self.longest.saturating_mul(TIMES).max(SHORTEST);
        let length = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        (self.count >= LEAST && lasts > most).then(|| Silence {
            lasts: length(lasts),
            longest: length(self.longest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn silent_after(gaps: &[i64], minutes: i64) -> bool {
        let mut arrivals = Arrivals::default();
        let mut at = 0;
        for gap in gaps {
            at += gap * MINUTE;
            arrivals.add(vec![at]);
        }
        arrivals
            .silence(Timestamp::clamped(at + minutes * MINUTE))
            .is_some()
    }

    #[test]
    fn silence_is_longer_than_ever_before() {
        let each_minute = [1; 20];
        assert!(!silent_after(&each_minute, 60));
        assert!(silent_after(&each_minute, 61));
        // Nobody knows the habits of a new source.
        assert!(!silent_after(&[1; 9], 10_000));
        // At night nothing comes for ten hours.
        let with_nights = [1, 1, 1, 600, 1, 1, 1, 600, 1, 1, 1];
        assert!(!silent_after(&with_nights, 2_400));
        assert!(silent_after(&with_nights, 2_401));
        let mut unordered = Arrivals::default();
        unordered.add((0..20).rev().map(|minute| minute * MINUTE).collect());
        assert_eq!(unordered.longest, MINUTE);
    }
}
