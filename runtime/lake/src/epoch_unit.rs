//! What numbers that stand for times count.

use yagura_core::Timestamp;

/// What a number that stands for a time counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochUnit {
    /// Seconds.
    #[serde(alias = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(alias = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(alias = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(alias = "ns")]
    Nanoseconds,
}

impl EpochUnit {
    /// Tells the unit by the size of a number: seconds reach into the year 5138, where the next unit begins.
    pub(crate) fn by_size(number: i64) -> Self {
        match number.unsigned_abs() {
            0..100_000_000_000 => Self::Seconds,
            100_000_000_000..100_000_000_000_000 => Self::Milliseconds,
            100_000_000_000_000..100_000_000_000_000_000 => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }

    /// Returns the time that a number stands for; `None` where it cannot be written as RFC 3339.
    pub(crate) fn read(self, number: i64) -> Option<Timestamp> {
        let micros = match self {
            Self::Seconds => number.checked_mul(1_000_000)?,
            Self::Milliseconds => number.checked_mul(1_000)?,
            Self::Microseconds => number,
            Self::Nanoseconds => number.div_euclid(1_000),
        };
        Timestamp::from_micros(micros)
    }
}
