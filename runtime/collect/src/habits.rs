//! What a source usually does: how much it sends, how late, and by which clock.

use yagura_core::Timestamp;
use yagura_lake::ingest::Delays;

use crate::drift::{Drift, Hour, Hours, drifts};
use crate::ledger::{Counted, Known};

/// An hour in microseconds.
const HOUR: i64 = 3_600_000_000;
/// An hour is compared with others so long after its end, because its last objects are still to be ingested.
const GRACE: i64 = HOUR / 12;
/// Hours of which rate, lag and clock are shown.
const SHOWN: i64 = 24;
/// A clock is ahead if this share of the events is …
const AHEAD_SHARE: f64 = 0.01;
/// … by this, in microseconds: stores round the times of objects to seconds.
const AHEAD: i64 = 2_000_000;

/// What a source did in the last 24 hours, and what is unusual in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Habits {
    /// Events an hour.
    pub events_per_hour: u64,
    /// How long after their times events arrived, in the middle, in microseconds; nothing where none did.
    pub lag: Option<i64>,
    /// How far the maker's clock is ahead at least, in microseconds; nothing where it is not known to be.
    pub ahead: Option<i64>,
    /// What is unusual.
    pub drifts: Vec<Drift>,
}

/// Returns the hour of a time, counted since 1970.
pub(crate) fn hour_of(time: Timestamp) -> i64 {
    time.micros().div_euclid(HOUR)
}

impl Habits {
    /// Returns the habits that these hours show at a time.
    pub(crate) fn of(hours: &Hours, now: Timestamp) -> Self {
        let over = hour_of(now.saturating_add(-GRACE));
        let now = hour_of(now);
        let mut events = 0;
        let mut delays = Delays::default();
        for (_, hour) in hours.range(now - SHOWN..=now) {
            events += hour.events;
            delays.merge(&hour.delays);
        }
        let first = hours.first_key_value().map_or(now, |(first, _)| *first);
        let length = (now - first).clamp(1, SHOWN).unsigned_abs();
        let ahead = delays.quantile(AHEAD_SHARE).filter(|least| *least < -AHEAD);
        Self {
            events_per_hour: events / length,
            lag: delays.quantile(0.5),
            ahead: ahead.map(|least| -least),
            drifts: drifts(hours, over),
        }
    }
}

/// Returns what was counted in objects, by the hours in which they arrived. What is counted of all of them together is divided by their
/// sizes.
pub(crate) fn by_hour(objects: &[Known<'_>], counted: &Counted) -> Hours {
    let mut sizes = std::collections::BTreeMap::<i64, (u64, u64)>::new();
    for object in objects {
        let hour = sizes.entry(hour_of(Timestamp::clamped(object.modified)));
        let (count, bytes) = hour.or_default();
        *count += 1;
        *bytes += object.bytes.max(1);
    }
    let all: u64 = sizes.values().map(|(_, bytes)| bytes).sum();
    let mut before = 0;
    let mut hours = Hours::new();
    let last = sizes.last_key_value().map(|(hour, _)| *hour);
    for (hour, (objects, bytes)) in sizes {
        // What is left of rounding falls to the hours behind.
        let upto = before + bytes;
        let part = |count: u64| {
            let at = |bytes: u64| u128::from(count) * u128::from(bytes) / u128::from(all.max(1));
            u64::try_from(at(upto) - at(before)).unwrap_or_default()
        };
        let of = Hour {
            objects,
            events: part(counted.events + counted.repeated),
            rejected: part(counted.rejected),
            without_time: part(counted.without_time),
            of_no_class: part(counted.of_no_class),
            unfit: part(counted.unfit),
            delays: match Some(hour) == last {
                true => counted.delays.clone(),
                false => Delays::default(),
            },
        };
        before = upto;
        hours.insert(hour, of);
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(hour: i64, bytes: u64) -> Known<'static> {
        Known {
            key: "k",
            version: "v",
            bytes,
            modified: hour * HOUR + 5,
            problem: None,
        }
    }

    #[test]
    fn what_is_counted_goes_to_the_hours_of_the_objects_and_none_is_lost() {
        let counted = Counted {
            events: 100,
            repeated: 1,
            rejected: 7,
            ..Counted::default()
        };
        let hours = by_hour(&[object(5, 30), object(7, 60), object(5, 0)], &counted);
        let shown = hours
            .iter()
            .map(|(hour, of)| (*hour, of.objects, of.events, of.rejected));
        assert_eq!(shown.collect::<Vec<_>>(), [(5, 2, 34, 2), (7, 1, 67, 5)]);
    }

    #[test]
    fn a_clock_that_is_ahead_is_seen_and_single_odd_times_are_not() {
        let of = |delays: &[(i64, u32)]| {
            let mut hour = Hour::default();
            for (seconds, count) in delays {
                for _ in 0..*count {
                    hour.delays.add(seconds * 1_000_000);
                }
                hour.events += u64::from(*count);
            }
            let now = Timestamp::clamped(1_000 * HOUR);
            Habits::of(&Hours::from([(999, hour)]), now)
        };
        let right = of(&[(5, 900), (60, 99), (-86_400, 1)]);
        assert_eq!(right.ahead, None);
        assert_eq!(right.events_per_hour, 1_000);
        let lag = right.lag.unwrap();
        assert!((4_000_000..=5_000_000).contains(&lag), "{lag}");
        // Five minutes ahead: what took up to a minute comes before it happened.
        let ahead = of(&[(-295, 500), (-240, 500)]).ahead.unwrap();
        assert!((240_000_000..=295_000_000).contains(&ahead), "{ahead}");
        assert_eq!(of(&[(-1, 1_000)]).ahead, None);
        assert_eq!(of(&[]).lag, None);
    }
}
