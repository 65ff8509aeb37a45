//! The zone of times that name none.

use std::fmt;
use std::str::FromStr;

use chrono::{FixedOffset, LocalResult, MappedLocalTime, NaiveDateTime, Offset, TimeDelta};
use chrono::{TimeZone, Utc};
use chrono_tz::Tz;

/// The longest gap that a change of clocks makes: islands that cross the date line skip a day.
const MAX_GAP_HOURS: i64 = 48;

/// A zone in which local times are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// A distance from UTC that never changes.
    Fixed(FixedOffset),
    /// A zone of the IANA database, with its changes of clocks.
    Named(Tz),
}

/// A text that is not a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time zone; write one as `Europe/Berlin`, `UTC` or `+09:00`")]
pub struct ZoneError(pub String);

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl Zone {
    /// Returns UTC.
    pub fn utc() -> Self {
        Self::Fixed(Utc.fix())
    }

    /// Returns the zone that is so many seconds east of UTC, at most a day.
    pub fn east(seconds: i64) -> Option<Self> {
        let seconds = i32::try_from(seconds).ok()?;
        FixedOffset::east_opt(seconds).map(Self::Fixed)
    }

    /// Returns the distance from UTC at a local time. Of a time that clocks show twice it is the first; of one that they skip it is
    /// the one before the gap, so that 02:30 becomes 03:30.
    pub fn offset(self, local: NaiveDateTime) -> Option<FixedOffset> {
        match self {
            Self::Fixed(offset) => Some(offset),
            Self::Named(zone) => (0..=MAX_GAP_HOURS).find_map(|hours| {
                let before = local.checked_sub_signed(TimeDelta::hours(hours))?;
                match zone.offset_from_local_datetime(&before) {
                    MappedLocalTime::Single(offset) => Some(offset.fix()),
                    // Before a gap, the later one is in force when it begins.
                    LocalResult::Ambiguous(first, second) => Some(if hours == 0 {
                        first.fix()
                    } else {
                        second.fix()
                    }),
                    LocalResult::None => None,
                }
            }),
        }
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    /// Reads a name of the IANA database, or an offset such as `+09:00`.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        if let Ok(zone) = text.parse::<Tz>() {
            return Ok(Self::Named(zone));
        }
        let offset = text
            .starts_with(['+', '-'])
            .then(|| text.parse::<FixedOffset>().ok());
        let offset = offset.flatten().map(Self::Fixed);
        offset.ok_or_else(|| ZoneError(text.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(offset) => fmt::Display::fmt(offset, f),
            Self::Named(zone) => f.write_str(zone.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_that_are_skipped_or_shown_twice_have_one_offset() {
        for (zone, local, expected) in [
            ("Asia/Tokyo", "2026-03-29T02:30:00", "+09:00"),
            ("Europe/Berlin", "2026-03-29T01:59:59", "+01:00"),
            // Skipped: 02:30 is counted on from before the gap.
            ("Europe/Berlin", "2026-03-29T02:30:00", "+01:00"),
            ("Europe/Berlin", "2026-03-29T03:00:00", "+02:00"),
            // Shown twice: the first.
            ("Europe/Berlin", "2026-10-25T02:30:00", "+02:00"),
            ("Europe/Berlin", "2026-10-25T03:00:00", "+01:00"),
            ("America/New_York", "2026-03-08T02:30:00", "-05:00"),
            ("America/New_York", "2026-11-01T01:30:00", "-04:00"),
            // Half an hour.
            ("Australia/Lord_Howe", "2026-10-04T02:15:00", "+10:30"),
            // A whole day was left out.
            ("Pacific/Apia", "2011-12-30T12:00:00", "-10:00"),
            ("+05:45", "2026-03-29T02:30:00", "+05:45"),
        ] {
            let local: NaiveDateTime = local.parse().unwrap();
            let offset = zone.parse::<Zone>().unwrap().offset(local).unwrap();
            assert_eq!(offset.to_string(), expected, "{zone} {local}");
        }
    }

    #[test]
    fn a_zone_is_a_name_or_an_offset() {
        for text in ["Europe/Berlin", "UTC", "+09:00"] {
            assert_eq!(text.parse::<Zone>().unwrap().to_string(), text);
        }
        for text in ["Berlin", "", "9", "CEST+2"] {
            let error = text.parse::<Zone>().unwrap_err().to_string();
            assert!(error.contains("is not a time zone"), "{error}");
        }
        assert_eq!(Zone::east(90_000), None);
        assert_eq!(Zone::default(), Zone::east(0).unwrap());
    }
}
