//! Lengths of time as users write them: `500ms`, `90s`, `15m`, `1h`, `7d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

/// A length of time above zero, in whole milliseconds. Every duration in rules, packs, policies and configurations is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan {
    micros: i64,
}

/// Why a text is not a duration: no number, no unit or an unknown one, zero, or longer than the years 0 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration: write a whole number above zero and one of ms, s, m, h, d (for instance 500ms, 90s, 15m, 1h, 7d)"
)]
pub struct NotADuration {
    text: String,
}

/// Microseconds of each unit, the largest first.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];

impl TimeSpan {
    /// Returns a span of so many milliseconds; at least one.
    pub const fn from_millis(millis: u32) -> Self {
        let millis = if millis == 0 { 1 } else { millis };
        Self {
            micros: millis as i64 * 1_000,
        }
    }

    /// Returns a span of so many seconds; at least a millisecond.
    pub const fn from_secs(seconds: u32) -> Self {
        match seconds {
            0 => Self::from_millis(1),
            _ => Self {
                micros: seconds as i64 * 1_000_000,
            },
        }
    }

    /// Returns a span of so many minutes; at least a millisecond.
    pub const fn from_mins(minutes: u32) -> Self {
        match minutes {
            0 => Self::from_millis(1),
            _ => Self {
                micros: minutes as i64 * 60_000_000,
            },
        }
    }

    /// Returns a span of so many days; at least a millisecond.
    pub const fn from_days(days: u16) -> Self {
        Self::from_mins(days as u32 * 24 * 60)
    }

    /// Returns the span of so many microseconds, rounded down to milliseconds; at least one, at most that of all years.
    pub fn clamped(micros: i64) -> Self {
        Self {
            micros: (micros / 1_000 * 1_000).clamp(1_000, Timestamp::MAX.micros() / 1_000 * 1_000),
        }
    }

    /// Returns its length in microseconds.
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// Returns its length as a duration of the clock.
    pub const fn to_std(self) -> Duration {
        Duration::from_micros(self.micros.unsigned_abs())
    }
}

impl FromStr for TimeSpan {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let trimmed = text.trim();
        let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = UNITS
            .iter()
            .find(|(name, _)| *name == &trimmed[digits.len()..]);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        unit.filter(|_| is_number)
            .and_then(|(_, unit)| digits.parse::<i64>().ok()?.checked_mul(*unit))
            .filter(|micros| (1..=Timestamp::MAX.micros()).contains(micros))
            .map(|micros| Self { micros })
            .ok_or_else(|| NotADuration {
                text: text.to_owned(),
            })
    }
}

/// In the largest unit that holds it exactly.
impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().find(|(_, unit)| self.micros % unit == 0);
        let (name, unit) = exact.copied().unwrap_or(("ms", 1_000));
        write!(f, "{}{name}", self.micros / unit)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationReader)
    }
}

struct DurationReader;

impl Visitor<'_> for DurationReader {
    type Value = TimeSpan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"15m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeSpan, E> {
        text.parse().map_err(E::custom)
    }
}

impl schemars::JsonSchema for TimeSpan {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_number_and_a_unit() {
        let micros = |text: &str| text.parse().map(TimeSpan::micros);
        assert_eq!(micros("90s"), Ok(90_000_000));
        assert_eq!(micros("200ms"), Ok(200_000));
        assert_eq!(micros(" 7d "), Ok(7 * 86_400_000_000));
        for wrong in [
            "",
            "1",
            "h",
            "1 h",
            "-1h",
            "0s",
            "1w",
            "99999999999999d",
            "1時",
        ] {
            let error = micros(wrong).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{wrong}` is not a duration")));
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_exact_unit() {
        for (text, written) in [
            ("60m", "1h"),
            ("90m", "90m"),
            ("24h", "1d"),
            ("1500ms", "1500ms"),
        ] {
            assert_eq!(text.parse::<TimeSpan>().unwrap().to_string(), written);
        }
        assert_eq!(TimeSpan::clamped(i64::MIN).to_string(), "1ms");
        let longest = TimeSpan::clamped(i64::MAX);
        assert_eq!(longest.to_string().parse(), Ok(longest));
    }

    #[test]
    fn serde_reads_a_text_and_says_what_else_it_found() {
        #[derive(Debug, Deserialize)]
        struct File {
            within: TimeSpan,
        }
        let read = |text: &str| toml::from_str::<File>(text);
        assert_eq!(
            read("within = \"2m\"").unwrap().within.micros(),
            120_000_000
        );
        let message = |text: &str| read(text).unwrap_err().message().to_owned();
        assert!(message("within = \"1 hour\"").starts_with("`1 hour` is not a duration: write"));
        assert_eq!(
            message("within = 5"),
            "invalid type: integer `5`, expected a duration such as \"15m\""
        );
    }
}
