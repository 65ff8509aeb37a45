//! What is unusual in the last whole hour of a source, against its own hours before.
//!
//! ```text
//! hours of the last 28 days ─alike─▶ the same hour of the week, ±1 h, where there are enough; else the same hour of the day
//! volume: more than 6 deviations from their median, and outside of half the least to twice the greatest of them
//! shape:  a share of the records of the last day that is 3 times, and 5 points above, that of the days before
//! ```
//!
//! The deviation is the median of the distances from the median, times 1.4826, which is the standard deviation of normal noise (Rousseeuw
//! and Croux, "Alternatives to the Median Absolute Deviation", 1993). It does not see the odd hours that it looks for.

use std::collections::BTreeMap;
use std::fmt;

use yagura_core::Timestamp;
use yagura_lake::ingest::Delays;

/// Hours that are kept: four weeks.
pub(crate) const KEPT: i64 = 28 * DAY;
const DAY: i64 = 24;
const WEEK: i64 = 7 * DAY;
/// Hours of the same place in the week that are enough: of three weeks.
const ENOUGH_OF_WEEK: usize = 9;
/// Hours of the same place in the day that are enough: of a week.
const ENOUGH_OF_DAY: usize = 20;
/// So many deviations are unusual …
const DEVIATIONS: f64 = 6.0;
/// … of which one is at least this share of the median …
const LEAST_DEVIATION: f64 = 0.05;
/// … and outside of these times the least and the greatest …
const RANGE: f64 = 2.0;
/// … and at least so many events.
const LEAST_EVENTS: u64 = 100;
/// A share of records is unusual at so many times the share before …
const SHARE_TIMES: f64 = 3.0;
/// … if it is so much above it …
const SHARE_ABOVE: f64 = 0.05;
/// … of so many records.
const LEAST_RECORDS: u64 = 200;

/// What arrived in one hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hour {
    pub(crate) objects: u64,
    pub(crate) events: u64,
    pub(crate) rejected: u64,
    pub(crate) without_time: u64,
    pub(crate) of_no_class: u64,
    /// Values that did not fit their column.
    pub(crate) unfit: u64,
    /// How long after their times events arrived.
    pub(crate) delays: Delays,
}

/// Hours since 1970, with what arrived in each; an hour in which nothing arrived is absent.
pub(crate) type Hours = BTreeMap<i64, Hour>;

/// What is unusual in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// An hour had far more or fewer events than hours like it.
    Volume {
        /// Hours since 1970.
        hour: i64,
        /// Its events.
        events: u64,
        /// The median of the hours like it.
        usual: u64,
    },
    /// More records of the last day than before have something wrong.
    Shape {
        /// What they have or are, such as "records that are not events".
        what: &'static str,
        /// Their share in the last 24 hours, in percent.
        percent: u64,
        /// Their share before.
        before: u64,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume {
                hour,
                events,
                usual,
            } => {
                let start = Timestamp::clamped(hour.saturating_mul(3_600_000_000)).to_string();
                let start = start.get(..16).unwrap_or(&start);
                write!(
                    f,
                    "{events} events in the hour from {start}Z; hours like it have {usual}"
                )
            }
            Self::Shape {
                what,
                percent,
                before,
            } => write!(
                f,
                "{what}: {percent} % in the last 24 hours, {before} % in the 4 weeks before"
            ),
        }
    }
}

/// Returns what is unusual at `now`, in hours since 1970: an hour counts when it is over.
pub(crate) fn drifts(hours: &Hours, now: i64) -> Vec<Drift> {
    let mut drifts = Vec::new();
    drifts.extend(volume(hours, now - 1));
    drifts.extend(shape(hours, now - 1));
    drifts
}

fn volume(hours: &Hours, last: i64) -> Option<Drift> {
    let (first, _) = hours.first_key_value()?;
    let events = |hour: i64| hours.get(&hour).map_or(0, |of| of.events);
    // The first hour is not whole.
    let before = (first + 1).max(last - KEPT)..last;
    let alike = |period: i64| -> Vec<u64> {
        let near = before.clone().filter(|hour| {
            let apart = (last - hour).rem_euclid(period);
            last - hour > 1 && (apart <= 1 || apart == period - 1)
        });
        near.map(events).collect()
    };
    let of_week = alike(WEEK);
    let (mut alike, enough) = match of_week.len() >= ENOUGH_OF_WEEK {
        true => (of_week, ENOUGH_OF_WEEK),
        false => (alike(DAY), ENOUGH_OF_DAY),
    };
    if alike.len() < enough || last - first < WEEK {
        return None;
    }
    alike.sort_unstable();
    let (least, greatest) = (*alike.first()?, *alike.last()?);
    let usual = median(&alike);
    let mut distances: Vec<u64> = alike.iter().map(|of| of.abs_diff(usual)).collect();
    distances.sort_unstable();
    let deviation = 1.4826 * median(&distances) as f64;
    let deviation = deviation.max(LEAST_DEVIATION * usual as f64);
    let own = events(last);
    let apart = own.abs_diff(usual);
    let is_outside = own as f64 > greatest as f64 * RANGE || (own as f64) < least as f64 / RANGE;
    let is_unusual = apart >= LEAST_EVENTS && apart as f64 > DEVIATIONS * deviation && is_outside;
    is_unusual.then_some(Drift::Volume {
        hour: last,
        events: own,
        usual,
    })
}

fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// What may be wrong with a record: how it is called, how many there are in an hour, and of how many.
type Part = (&'static str, fn(&Hour) -> u64, fn(&Hour) -> u64);

const PARTS: [Part; 4] = [
    (
        "records that are not events",
        |of| of.rejected,
        |of| of.events + of.rejected,
    ),
    (
        "events of no class of the source",
        |of| of.of_no_class,
        |of| of.events,
    ),
    (
        "events without a readable time",
        |of| of.without_time,
        |of| of.events,
    ),
    (
        "values that do not fit their column, an event",
        |of| of.unfit,
        |of| of.events,
    ),
];

fn shape(hours: &Hours, last: i64) -> Option<Drift> {
    let day = last - DAY + 1..=last;
    PARTS.iter().find_map(|&(what, part, all)| {
        let share = |of: &mut dyn Iterator<Item = &Hour>| {
            let (part, all) = of.fold((0, 0), |sums, hour| {
                (sums.0 + part(hour), sums.1 + all(hour))
            });
            (all >= LEAST_RECORDS).then(|| part as f64 / all as f64)
        };
        let now = share(&mut hours.range(day.clone()).map(|(_, of)| of))?;
        let before = hours.range(last - KEPT..*day.start()).map(|(_, of)| of);
        let before = share(&mut { before })?;
        let is_unusual = now > SHARE_TIMES * before && now - before > SHARE_ABOVE;
        is_unusual.then(|| Drift::Shape {
            what,
            percent: percent(now),
            before: percent(before),
        })
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is not negative, and far below the largest integer"
)]
fn percent(share: f64) -> u64 {
    (share * 100.0).round() as u64
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up numbers of events are small, and not negative"
)]
mod tests {
    use super::*;

    /// A Monday at 00:00.
    const START: i64 = 4 * DAY + 52 * WEEK * 50;

    /// Noise that is the same in every run, from 0 to 1.
    fn noise(seed: i64) -> f64 {
        let mixed = (seed as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An office: busy by day, quiet at night, and quieter at weekends; within a fifth at random.
    fn office(hour: i64) -> u64 {
        let (day, of_day) = (
            (hour - START).div_euclid(DAY).rem_euclid(7),
            hour.rem_euclid(DAY),
        );
        let busy = if (8..18).contains(&of_day) {
            10_000.0
        } else {
            600.0
        };
        let busy = if day >= 5 { busy / 12.0 } else { busy };
        (busy * (0.9 + 0.2 * noise(hour))) as u64
    }

    fn hours(days: i64, events: impl Fn(i64) -> u64) -> Hours {
        let all = (START..START + days * DAY).filter_map(|hour| {
            let events = events(hour);
            let of = Hour {
                objects: 1,
                events,
                ..Hour::default()
            };
            (events > 0).then_some((hour, of))
        });
        all.collect()
    }

    /// Returns the hours at which something is unusual.
    fn unusual(days: i64, events: impl Fn(i64) -> u64) -> Vec<i64> {
        let all = hours(days, events);
        let ends = START + 1..=START + days * DAY;
        let odd = ends.filter(|now| {
            let known = all.range(..*now);
            let known: Hours = known.map(|(hour, of)| (*hour, of.clone())).collect();
            !drifts(&known, *now).is_empty()
        });
        odd.map(|now| now - 1).collect()
    }

    #[test]
    fn an_ordinary_source_is_never_unusual() {
        // Office hours, steady, growing by 1 percent a day, once a day, and hardly anything.
        assert!(unusual(42, office).is_empty());
        assert!(unusual(42, |hour| 5_000 + (noise(hour) * 1_000.0) as u64).is_empty());
        let growing = |hour: i64| (1_000.0 * 1.01_f64.powf((hour - START) as f64 / 24.0)) as u64;
        assert!(unusual(42, growing).is_empty());
        let daily = |hour: i64| match hour.rem_euclid(DAY) {
            3 => 20_000 + (noise(hour) * 4_000.0) as u64,
            _ => 0,
        };
        assert!(unusual(42, daily).is_empty());
        assert!(unusual(42, |hour| (noise(hour) * 60.0) as u64).is_empty());
    }

    #[test]
    fn a_source_that_changes_its_volume_is_unusual_in_that_hour() {
        // Wednesday of the fifth week, at 10 o'clock.
        let at = START + 4 * WEEK + 2 * DAY + 10;
        for change in [0.0, 0.2, 4.0] {
            let changed = |hour: i64| match hour == at {
                true => (office(hour) as f64 * change) as u64,
                false => office(hour),
            };
            assert_eq!(unusual(42, changed), [at], "{change}");
        }
        // As many events as on a weekday, on a Sunday.
        let sunday = START + 4 * WEEK + 6 * DAY + 10;
        let changed = |hour: i64| if hour == sunday { 10_000 } else { office(hour) };
        assert_eq!(unusual(42, changed), [sunday]);
        // A lasting change becomes usual.
        let lasting = |hour: i64| office(hour) * if hour >= at { 5 } else { 1 };
        let odd = unusual(70, lasting);
        assert_eq!(odd.first(), Some(&at));
        assert!(odd.last().unwrap() - at < 2 * WEEK + 4 * DAY, "{odd:?}");
    }

    #[test]
    fn a_source_is_known_after_a_week() {
        let at = START + 3 * DAY + 10;
        let changed = |hour: i64| if hour == at { 0 } else { office(hour) };
        assert!(unusual(6, changed).is_empty());
        let at = START + 8 * DAY + 10;
        let changed = |hour: i64| if hour == at { 100_000 } else { office(hour) };
        assert_eq!(unusual(12, changed), [at]);
    }

    #[test]
    fn a_share_of_records_that_grows_is_unusual() {
        // A Thursday is the last day.
        let mut all = hours(18, office);
        let now = START + 18 * DAY;
        for of in all.values_mut() {
            of.rejected = of.events / 100;
            of.unfit = of.events / 2;
        }
        assert!(drifts(&all, now).is_empty());
        for (_, of) in all.range_mut(now - 14..) {
            of.rejected = of.events;
        }
        let found = drifts(&all, now);
        assert!(
            matches!(
                &found[..],
                [Drift::Shape {
                    what: "records that are not events",
                    percent: 5..60,
                    before: 1
                }]
            ),
            "{found:?}"
        );
        for (_, of) in all.range_mut(now - 24..) {
            of.rejected = 0;
            of.of_no_class = of.events / 4;
        }
        let found = drifts(&all, now);
        assert!(
            matches!(
                &found[..],
                [Drift::Shape {
                    percent: 25,
                    before: 0,
                    ..
                }]
            ),
            "{found:?}"
        );
    }
}
