//! Which time a table has passed.

/// Which time a table has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// No event before it is still to come; in microseconds.
    pub time: i64,
    /// It has been idle for so long that others do not wait for it.
    pub is_idle: bool,
}

impl Default for Watermark {
    /// Nothing is passed.
    fn default() -> Self {
        Self {
            time: i64::MIN,
            is_idle: false,
        }
    }
}

impl Watermark {
    /// No event before this time is still to come.
    pub fn at(micros: i64) -> Self {
        Self {
            time: micros,
            is_idle: false,
        }
    }

    /// Returns which time several tables have passed together: the earliest of those that are not idle, or where all are
    /// the latest.
    pub(crate) fn of_all(watermarks: impl Iterator<Item = Self> + Clone) -> i64 {
        let active = watermarks.clone().filter(|watermark| !watermark.is_idle);
        let earliest = active.map(|watermark| watermark.time).min();
        let latest = || watermarks.map(|watermark| watermark.time).max();
        earliest.or_else(latest).unwrap_or(i64::MIN)
    }
}
