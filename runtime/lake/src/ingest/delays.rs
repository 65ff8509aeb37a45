//! How long after their events' times records arrived, counted in classes of a fifth of their length.
//!
//! The smallest delays show the clock of a maker: nothing arrives before it happened. The one in the middle is the lag of its logs.

use std::collections::BTreeMap;

/// Classes of a delay's length for each doubling.
const CLASSES: f64 = 4.0;

/// Delays of events, in classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delays(BTreeMap<i16, u64>);

impl Delays {
    /// Adds a delay in microseconds, negative where the event's time is ahead of its arrival.
    pub fn add(&mut self, micros: i64) {
        *self.0.entry(class(micros)).or_default() += 1;
    }

    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        for (class, count) in &other.0 {
            *self.0.entry(*class).or_default() += count;
        }
    }

    /// Returns how many there are.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the delay, in microseconds, that this share of them is below, at most a fifth too near to 0; nothing where there are none.
    pub fn quantile(&self, share: f64) -> Option<i64> {
        let all = self.count();
        let mut below = 0;
        for (class, count) in &self.0 {
            below += count;
            if below as f64 >= share * all as f64 {
                return Some(length(*class));
            }
        }
        None
    }

    /// Returns them as text: a class and its count each.
    pub fn to_text(&self) -> String {
        let classes = self.0.iter();
        let classes: Vec<String> = classes.map(|(class, of)| format!("{class}:{of}")).collect();
        classes.join(" ")
    }

    /// Reads such a text; what is not of this form is left out.
    pub fn of_text(text: &str) -> Self {
        let classes = text.split(' ').filter_map(|part| {
            let (class, count) = part.split_once(':')?;
            Some((class.parse().ok()?, count.parse().ok()?))
        });
        Self(classes.collect())
    }
}

/// Returns the class of a delay: its sign, and the logarithm of its milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the logarithm of an integer of 64 bits is below 256"
)]
fn class(micros: i64) -> i16 {
    let millis = micros / 1_000;
    if millis == 0 {
        return 0;
    }
    let length = (millis.unsigned_abs() as f64).log2();
    let class = 1 + (length * CLASSES).floor() as i16;
    if millis < 0 { -class } else { class }
}

/// Returns the shortest delay of a class, in microseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a class comes from microseconds of 64 bits; others are cut off at their ends"
)]
fn length(class: i16) -> i64 {
    let Some(place) = class.unsigned_abs().checked_sub(1) else {
        return 0;
    };
    // Rounded up to what is of the class.
    let millis = (f64::from(place) / CLASSES).exp2().ceil();
    let micros = (millis * 1_000.0) as i64;
    if class < 0 { -micros } else { micros }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn quantiles_are_near_the_delays() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile(0.5), None);
        for delay in 1..=100 {
            delays.add(delay * SECOND);
        }
        for (share, exact) in [(0.01, 1), (0.5, 50), (1.0, 100)] {
            let found = delays.quantile(share).unwrap();
            let exact = exact * SECOND;
            assert!(found <= exact && found * 5 >= exact * 4, "{share}: {found}");
        }
        let mut ahead = Delays::default();
        ahead.add(-300 * SECOND);
        ahead.merge(&delays);
        let least = ahead.quantile(0.0).unwrap();
        assert!((-300 * SECOND..=-240 * SECOND).contains(&least), "{least}");
        assert_eq!(ahead.count(), 101);
    }

    #[test]
    fn they_are_kept_as_text() {
        let mut delays = Delays::default();
        for delay in [0, 999, 1_000, -1_000, i64::MAX, i64::MIN, 7 * SECOND] {
            delays.add(delay);
        }
        assert_eq!(Delays::of_text(&delays.to_text()), delays);
        assert_eq!(Delays::of_text(""), Delays::default());
        assert_eq!(Delays::of_text("x:1 3:4 5"), Delays([(3, 4)].into()));
    }
}
