//! Hours that come again: `mon-fri 09:00-18:00 Asia/Tokyo`.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Timelike, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use yagura_core::Timestamp;
use yagura_core::names::did_you_mean;

const DAY: u32 = 24 * 60;

/// Hours of some days of the week in a time zone.
///
/// Hours that end before they begin go on after midnight and belong to the day on which they begin: `fri 22:00-06:00`
/// holds on Saturday at 05:00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// By the number of days from Monday.
    days: [bool; 7],
    /// Minutes from midnight: the first, and the first after.
    from: u32,
    to: u32,
    zone: Tz,
}

impl Hours {
    /// Says whether `time` lies in the hours.
    pub fn contains(&self, time: Timestamp) -> bool {
        let Some(utc) = DateTime::from_timestamp_micros(time.micros()) else {
            return false;
        };
        let local = utc.with_timezone(&self.zone);
        let minute = local.hour() * 60 + local.minute();
        let on = |day: Weekday| self.days[day as usize];
        let today = local.weekday();
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        (minute >= self.from && on(today)) || (minute < self.to && on(today.pred()))
    }
}

/// Why a text does not name hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// It has other parts than days, hours and a zone.
    #[error(
        "has `{0}`, which is not hours: write `mon-fri 09:00-18:00 Asia/Tokyo`, where days or hours may be left out, and the zone (UTC)"
    )]
    Form(String),
    /// A day of the week has another name.
    #[error("has the day `{0}`: write mon, tue, wed, thu, fri, sat or sun")]
    Day(String),
    /// Its hours are not two times of a day.
    #[error("has the hours `{0}`: write from and to, for instance 09:00-18:00 or 22:00-06:00")]
    Times(String),
    /// Its time zone is not known.
    #[error("has the zone `{name}`, which is not known{hint}")]
    Zone {
        /// The zone.
        name: String,
        /// A zone that may have been meant.
        hint: String,
    },
}

impl FromStr for Hours {
    type Err = HoursError;

    /// Reads days, hours and zone, in this order; days or hours may be left out, and the zone (UTC).
    fn from_str(text: &str) -> Result<Self, HoursError> {
        let mut words = text.split_whitespace().peekable();
        let days = words
            .next_if(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()) && is_days(word));
        let hours = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let zone = words.next();
        if words.next().is_some() || (days.is_none() && hours.is_none()) {
            return Err(HoursError::Form(text.to_owned()));
        }
        let (from, to) = hours.map_or(Ok((0, DAY)), read_hours)?;
        Ok(Self {
            days: days.map_or(Ok([true; 7]), read_days)?,
            from,
            to,
            zone: zone.map_or(Ok(Tz::UTC), read_zone)?,
        })
    }
}

/// Says whether a word begins with the name of a day, and so is not a zone.
fn is_days(word: &str) -> bool {
    let first = word.split([',', '-']).next().unwrap_or_default();
    day(first).is_ok() || word.contains(',')
}

fn read_days(text: &str) -> Result<[bool; 7], HoursError> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let last = day(last)?;
        let mut at = day(first)?;
        loop {
            days[at as usize] = true;
            if at == last {
                break;
            }
            at = at.succ();
        }
    }
    Ok(days)
}

fn day(name: &str) -> Result<Weekday, HoursError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "mon" => Weekday::Mon,
        "tue" => Weekday::Tue,
        "wed" => Weekday::Wed,
        "thu" => Weekday::Thu,
        "fri" => Weekday::Fri,
        "sat" => Weekday::Sat,
        "sun" => Weekday::Sun,
        _ => return Err(HoursError::Day(name.to_owned())),
    })
}

fn read_hours(text: &str) -> Result<(u32, u32), HoursError> {
    let wrong = || HoursError::Times(text.to_owned());
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minutes(from), minutes(to));
    match (from, to) {
        (Some(from), Some(to)) if from < DAY && from != to => Ok((from, to)),
        _ => Err(wrong()),
    }
}

/// Reads `09:00` as minutes from midnight; the day ends at `24:00`.
fn minutes(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_two_digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60)
        .then_some(hour * 60 + minute)
        .filter(|minutes| *minutes <= DAY)
}

fn read_zone(name: &str) -> Result<Tz, HoursError> {
    name.parse().map_err(|_| HoursError::Zone {
        name: name.to_owned(),
        hint: did_you_mean(name, TZ_VARIANTS.iter().map(|zone| zone.name())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(hours: &str, time: &str) -> bool {
        hours
            .parse::<Hours>()
            .unwrap()
            .contains(time.parse().unwrap())
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        // 2026-01-30 is a Friday.
        let office = "mon-fri 09:00-18:00 Asia/Tokyo";
        assert!(holds(office, "2026-01-30T00:00:00Z"));
        assert!(holds(office, "2026-01-30T08:59:59.999999Z"));
        assert!(!holds(office, "2026-01-30T09:00:00Z"));
        assert!(!holds(office, "2026-01-29T23:59:59Z"));
        assert!(!holds(office, "2026-01-31T00:00:00Z"));
    }

    #[test]
    fn summer_time_moves_the_hours() {
        let hours = "09:00-10:00 Europe/Berlin";
        assert!(holds(hours, "2026-01-15T08:30:00Z"));
        assert!(!holds(hours, "2026-07-15T08:30:00Z"));
        assert!(holds(hours, "2026-07-15T07:30:00Z"));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let night = "fri 22:00-06:00";
        assert!(holds(night, "2026-01-30T22:00:00Z"));
        assert!(holds(night, "2026-01-31T05:59:00Z"));
        assert!(!holds(night, "2026-01-31T06:00:00Z"));
        assert!(!holds(night, "2026-01-30T05:00:00Z"));
        assert!(!holds(night, "2026-01-31T22:00:00Z"));
    }

    #[test]
    fn days_or_hours_may_be_left_out() {
        assert!(holds("sat,sun", "2026-01-31T23:59:00Z"));
        assert!(!holds("sat,sun", "2026-01-30T23:59:00Z"));
        assert!(holds("sat,sun Asia/Tokyo", "2026-01-30T15:00:00Z"));
        assert!(holds("sun-mon 00:00-24:00", "2026-02-02T23:59:00Z"));
        assert!(!holds("sun-mon", "2026-02-03T00:00:00Z"));
        assert!(holds("08:00-09:00", "2026-02-03T08:00:00Z"));
    }

    #[test]
    fn what_is_not_hours_is_refused_with_the_reason() {
        let message = |text: &str| text.parse::<Hours>().unwrap_err().to_string();
        assert!(
            message("mon-fri 09:00-18:00 Asia/Tokio").contains("did you mean `Asia/Tokyo`"),
            "{}",
            message("mon-fri 09:00-18:00 Asia/Tokio")
        );
        assert!(message("mon-fry 09:00-18:00").contains("the day `fry`"));
        for wrong in [
            "",
            "Asia/Tokyo",
            "9:00-18:00",
            "09:00-09:00",
            "09:00",
            "09:60-10:00",
            "24:00-06:00",
            "08:00-25:00",
            "mon 08:00-09:00 UTC now",
        ] {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }
}
