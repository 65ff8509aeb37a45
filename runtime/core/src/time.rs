//! Event time: microseconds in UTC, written as RFC 3339, and ranges of it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment of event time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not a time or a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a time in a form that is read.
    #[error("`{0}` is not a time: write RFC 3339 (2026-01-31T08:00:00Z) or a date (2026-01-31)")]
    NotATime(String),
    /// The end does not lie after the start.
    #[error("the time range is empty: it ends at {to}, which is not after its start {from}")]
    EmptyRange {
        /// Start of the range.
        from: Timestamp,
        /// End of the range.
        to: Timestamp,
    },
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Timestamp {
    /// 0000-01-01T00:00:00Z, the first moment that RFC 3339 can write.
    pub const MIN: Self = Self(-62_167_219_200_000_000);
    /// 9999-12-31T23:59:59.999999Z, the last one.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// Returns the moment `micros` microseconds after 1970-01-01T00:00:00Z, or nothing outside the years 0 to 9999,
    /// which RFC 3339 cannot write.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&micros)
            .then_some(Self(micros))
    }

    /// Returns the moment closest to `micros` that RFC 3339 can write.
    pub fn clamped(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Returns the microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Returns the UTC calendar day that holds this moment.
    pub fn day(self) -> NaiveDate {
        self.utc().date_naive()
    }

    /// Returns the first moment of `day`, or nothing outside the years 0 to 9999.
    pub fn start_of(day: NaiveDate) -> Option<Self> {
        Self::from_micros(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
    }

    /// Returns the moment `micros` microseconds later, at most [`Self::MAX`].
    pub fn saturating_add(self, micros: i64) -> Self {
        Self::clamped(self.0.saturating_add(micros))
    }

    fn utc(self) -> DateTime<Utc> {
        // Cannot fail inside MIN..=MAX, which every constructor keeps to.
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// Reads RFC 3339 with any offset, a date and time without an offset (taken as UTC), or a date (its first moment).
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        let micros = DateTime::parse_from_rfc3339(text)
            .map(|t| t.timestamp_micros())
            .or_else(|_| {
                ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
                    .iter()
                    .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
                    .or_else(|| {
                        NaiveDate::parse_from_str(text, "%Y-%m-%d")
                            .ok()?
                            .and_hms_opt(0, 0, 0)
                    })
                    .map(|t| t.and_utc().timestamp_micros())
                    .ok_or(())
            });
        micros
            .ok()
            .and_then(Self::from_micros)
            .ok_or_else(|| TimeError::NotATime(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A half-open range of event time: `from` is inside, `to` is not; an absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// First moment inside the range.
    pub from: Option<Timestamp>,
    /// First moment after the range.
    pub to: Option<Timestamp>,
}

impl TimeRange {
    /// Returns the range, or an error when it holds no moment.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Self, TimeError> {
        match (from, to) {
            (Some(from), Some(to)) if to <= from => Err(TimeError::EmptyRange { from, to }),
            _ => Ok(Self { from, to }),
        }
    }

    /// Says whether `time` lies in the range.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// Says whether the range has neither start nor end.
    pub fn is_unbounded(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Says whether any moment of the UTC calendar day `day` lies in the range.
    pub fn touches_day(&self, day: NaiveDate) -> bool {
        let starts_before_end = match (Timestamp::start_of(day), self.to) {
            (Some(start), Some(to)) => start < to,
            _ => true,
        };
        let ends_after_start = match (day.succ_opt().and_then(Timestamp::start_of), self.from) {
            (Some(next), Some(from)) => from < next,
            _ => true,
        };
        starts_before_end && ends_after_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_and_written_in_one() {
        for text in [
            "2026-01-31T08:00:00Z",
            "2026-01-31T17:00:00+09:00",
            "2026-01-31 08:00:00",
            "2026-01-31T08:00:00.000000",
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.to_string(), "2026-01-31T08:00:00.000000Z", "{text}");
        }
        assert_eq!(
            "2026-01-31".parse::<Timestamp>().unwrap().to_string(),
            "2026-01-31T00:00:00.000000Z"
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(i64::MAX), None);
    }

    #[test]
    fn a_range_touches_the_days_it_reaches_into() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let range = TimeRange::new(at("2026-01-02T23:00:00Z"), at("2026-01-04T00:00:00Z")).unwrap();
        let day = |d| NaiveDate::from_ymd_opt(2026, 1, d).unwrap();
        let touched: Vec<u32> = (1..=5).filter(|d| range.touches_day(day(*d))).collect();
        assert_eq!(touched, [2, 3]);
        assert!(TimeRange::new(at("2026-01-02"), at("2026-01-02")).is_err());
    }
}
