//! Times of log lines, and what they leave out: the year, and the distance from UTC.
//!
//! ```text
//! ISO 8601 = YYYY ("-" | "/") MM ("-" | "/") DD ("T" | " ") HH ":" MM ":" SS [("." | ",") digits] [zone]
//! RFC 3164 = Mmm DD [YYYY] HH ":" MM ":" SS ["." digits] [zone]
//! zone     = "Z" | [" "] ("UTC" | "GMT") | [" "] ("+" | "-") HH [[":"] MM]
//! epoch    = seconds, milliseconds, microseconds or nanoseconds since 1970, distinguished by their size
//! ```
//!
//! Sources: RFC 3339 section 5.6, RFC 3164 section 4.1.2, and the date forms of the CEF guide (Micro Focus, version 25).

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Offset, SecondsFormat};
use chrono::{NaiveDateTime, TimeDelta, TimeZone, Utc};

use crate::zone::Zone;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Completes times without a year or a zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    now: DateTime<Utc>,
    zone: Zone,
}

impl Clock {
    /// Returns a clock for lines that were written up to `now`: a time without a year is at most 1 day after it. A time without
    /// a zone is in UTC.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            zone: Zone::utc(),
        }
    }

    /// Returns the clock for lines whose times without a zone are in this one.
    pub(crate) fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Says until when the lines that follow were written, in microseconds since 1970.
    pub(crate) fn set_now(&mut self, micros: i64) {
        self.now = DateTime::from_timestamp_micros(micros).unwrap_or(self.now);
    }

    /// Reads the time with which a text begins, and returns it with the rest of the text.
    pub(crate) fn at_start<'t>(&self, text: &'t str) -> Option<(DateTime<FixedOffset>, &'t str)> {
        let mut scan = Scan(text);
        let first = text.as_bytes().first()?;
        let time = if first.is_ascii_digit() {
            self.iso(&mut scan)?
        } else {
            self.named_month(&mut scan)?
        };
        // "10:00:00x" and "10:00:00:5" are no times.
        let ends = !scan.0.starts_with(|c: char| c.is_alphanumeric())
            && !scan
                .0
                .strip_prefix(':')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        ends.then_some((time, scan.0))
    }

    /// Reads a text that is a time, in one of the written forms or as an epoch.
    pub(crate) fn whole(&self, text: &str) -> Option<DateTime<FixedOffset>> {
        let text = text.trim();
        if let Some(time) = epoch(text) {
            return Some(time.fixed_offset());
        }
        self.at_start(text)
            .filter(|(_, rest)| rest.is_empty())
            .map(|(time, _)| time)
    }

    /// Returns the moment of a local time, in the zone of the lines where it names none.
    fn at(
        &self,
        local: NaiveDateTime,
        offset: Option<FixedOffset>,
    ) -> Option<DateTime<FixedOffset>> {
        let offset = offset.or_else(|| self.zone.offset(local))?;
        offset.from_local_datetime(&local).single()
    }

    fn iso(&self, scan: &mut Scan<'_>) -> Option<DateTime<FixedOffset>> {
        let year = scan.number(4, 4)?;
        let divider = if scan.eat('-') {
            '-'
        } else {
            scan.eat('/').then_some('/')?
        };
        let month = scan.number(2, 2)?;
        scan.eat(divider).then_some(())?;
        let day = scan.number(2, 2)?;
        (scan.eat('T') || scan.eat('t') || scan.eat(' ')).then_some(())?;
        let time = scan.time()?;
        let offset = scan.zone();
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        self.at(date.and_time(time), offset)
    }

    fn named_month(&self, scan: &mut Scan<'_>) -> Option<DateTime<FixedOffset>> {
        let month = scan.month()?;
        scan.spaces()?;
        let day = scan.number(1, 2)?;
        scan.spaces()?;
        let before_year = *scan;
        let year = scan.number(4, 4).filter(|_| scan.spaces().is_some());
        if year.is_none() {
            *scan = before_year;
        }
        let time = scan.time()?;
        let offset = scan.zone();
        let in_year = |year: i32| {
            let date = NaiveDate::from_ymd_opt(year, month, day)?;
            self.at(date.and_time(time), offset)
        };
        match year {
            Some(year) => in_year(i32::try_from(year).ok()?),
            None => {
                let latest = self
                    .now
                    .checked_add_signed(TimeDelta::days(1))
                    .unwrap_or(self.now);
                // The next year may have begun elsewhere. Leap years can be 8 years apart.
                let next = latest.year().saturating_add(1);
                (next.saturating_sub(10)..=next)
                    .rev()
                    .filter_map(in_year)
                    .find(|time| *time <= latest)
            }
        }
    }
}

/// Returns a time as RFC 3339 text, at the distance from UTC that it has.
pub(crate) fn rfc3339(time: DateTime<FixedOffset>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads seconds, milliseconds, microseconds or nanoseconds since 1970. Numbers of less than 10 digits are no times.
fn epoch(text: &str) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = (10..=19).contains(&whole.len())
        && fraction.len() <= 9
        && (whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit());
    if !is_number {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let per_second = match whole.len() {
        10..=11 => 1,
        12..=14 => 1_000,
        15..=17 => 1_000_000,
        _ => 1_000_000_000,
    };
    let mut nanos = number % per_second * (1_000_000_000 / per_second);
    if per_second == 1 && !fraction.is_empty() {
        nanos = format!("{fraction:0<9}").parse().ok()?;
    }
    DateTime::from_timestamp(number / per_second, u32::try_from(nanos).ok()?)
}

/// Takes the parts of a time off the start of a text.
#[derive(Clone, Copy)]
struct Scan<'t>(&'t str);

impl Scan<'_> {
    fn eat(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn spaces(&mut self) -> Option<()> {
        let rest = self.0.trim_start_matches(' ');
        let found = rest.len() < self.0.len();
        self.0 = rest;
        found.then_some(())
    }

    fn digits(&self, most: usize) -> usize {
        let bytes = self.0.bytes().take(most);
        bytes.take_while(u8::is_ascii_digit).count()
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.digits(most);
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = (count >= least).then(|| digits.parse().ok())??;
        self.0 = rest;
        Some(number)
    }

    fn month(&mut self) -> Option<u32> {
        let (name, rest) = self.0.split_at_checked(3)?;
        let mut months = (1..).zip(MONTHS);
        let (month, _) = months.find(|(_, month)| month.eq_ignore_ascii_case(name))?;
        self.0 = rest;
        Some(month)
    }

    fn time(&mut self) -> Option<NaiveTime> {
        let hour = self.number(1, 2)?;
        self.eat(':').then_some(())?;
        let minute = self.number(2, 2)?;
        self.eat(':').then_some(())?;
        let second = self.number(2, 2)?;
        let mut nanos = 0;
        let fraction = self.0.strip_prefix(['.', ',']).map(Scan);
        if let Some(mut fraction) = fraction.filter(|fraction| fraction.digits(1) == 1) {
            let count = fraction.digits(9);
            let power = u32::try_from(9_usize.saturating_sub(count)).ok()?;
            nanos = fraction.number(1, 9)?.checked_mul(10_u32.pow(power))?;
            self.0 = fraction.0.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        // A leap second.
        let (second, nanos) = match second {
            60 => (59, nanos + 1_000_000_000),
            _ => (second, nanos),
        };
        NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
    }

    fn zone(&mut self) -> Option<FixedOffset> {
        let before = *self;
        let has_space = self.eat(' ');
        let zone = self.zone_name(has_space);
        if zone.is_none() {
            *self = before;
        }
        zone
    }

    fn zone_name(&mut self, has_space: bool) -> Option<FixedOffset> {
        for name in ["UTC", "GMT", "Z", "z"] {
            let Some(rest) = self.0.strip_prefix(name) else {
                continue;
            };
            // GMT+02:00
            if rest.starts_with(['+', '-']) && name.len() == 3 {
                self.0 = rest;
                break;
            }
            let is_whole = !rest.starts_with(|c: char| c.is_alphanumeric() || ".-_".contains(c));
            if is_whole && (!has_space || name.len() == 3) {
                self.0 = rest;
                return Some(Utc.fix());
            }
        }
        let sign = if self.eat('+') {
            1
        } else {
            self.eat('-').then_some(-1)?
        };
        let hours = self.number(2, 2)?;
        let colon = self.eat(':');
        let minutes = match self.number(2, 2) {
            Some(minutes) => minutes,
            None if colon => return None,
            None => 0,
        };
        let is_end = !self.0.starts_with(|c: char| c.is_alphanumeric());
        let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
        (is_end && minutes < 60)
            .then(|| FixedOffset::east_opt(sign * seconds))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::check::clock;

    fn shown(clock: Clock, text: &str) -> Option<String> {
        clock.whole(text).map(rfc3339)
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("2024-02-03T04:05:06Z", "2024-02-03T04:05:06Z"),
            (
                "2024-02-03T04:05:06.120+02:00",
                "2024-02-03T04:05:06.120+02:00",
            ),
            (
                "2024/02/03 04:05:06,5 -0330",
                "2024-02-03T04:05:06.500-03:30",
            ),
            ("2024-02-03 04:05:60 UTC", "2024-02-03T04:05:60Z"),
            (
                "2024-02-03 04:05:06.1234567891",
                "2024-02-03T04:05:06.123456789Z",
            ),
            ("Feb 29 04:05:06", "2024-02-29T04:05:06Z"),
            ("mar  2 12:00:00", "2024-03-02T12:00:00Z"),
            ("Mar  2 12:00:01", "2023-03-02T12:00:01Z"),
            (
                "Feb  3 2019 04:05:06.7 GMT+01:00",
                "2019-02-03T04:05:06.700+01:00",
            ),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1700000000.25", "2023-11-14T22:13:20.250Z"),
            ("1700000000123", "2023-11-14T22:13:20.123Z"),
            ("1700000000123456789", "2023-11-14T22:13:20.123456789Z"),
        ] {
            assert_eq!(shown(clock(), text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "Feb",
            "Feb 30 04:05:06",
            "2024-02-03",
            "2024-02-03T04:05:06x",
            "123456789",
            "Feb  3 04:05:06 PST",
            "2024-02-03T24:05:06Z",
            "9999999999999999999",
            "Fé 3 04:05:06",
            "2024-02-03T04:05:06+99:00",
            "2024-02-03T04:05:06:07",
        ] {
            assert_eq!(shown(clock(), text), None, "{text}");
        }
    }

    #[test]
    fn what_a_time_leaves_out_is_completed() {
        for (text, expected) in [
            ("2024-02-03 04:05:06", "2024-02-03T04:05:06Z"),
            ("Feb  3 2019 04:05:06", "2019-02-03T04:05:06Z"),
            ("Mar  2 12:00:00", "2024-03-02T12:00:00Z"),
            ("Mar  2 12:00:01", "2023-03-02T12:00:01Z"),
        ] {
            assert_eq!(shown(clock(), text).as_deref(), Some(expected), "{text}");
        }
        let tokyo = clock().in_zone("Asia/Tokyo".parse().unwrap());
        for (text, expected) in [
            ("2024-02-03 04:05:06", "2024-02-03T04:05:06+09:00"),
            ("2024-02-03 04:05:06Z", "2024-02-03T04:05:06Z"),
            ("Feb  3 04:05:06", "2024-02-03T04:05:06+09:00"),
            // In Tokyo it is nine hours later: a day after noon of 1 March in UTC is 21:00 of 2 March there.
            ("Mar  2 21:00:00", "2024-03-02T21:00:00+09:00"),
            ("Mar  2 21:00:01", "2023-03-02T21:00:01+09:00"),
            ("1700000000", "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(shown(tokyo, text).as_deref(), Some(expected), "{text}");
        }
        let berlin = clock().in_zone("Europe/Berlin".parse().unwrap());
        for (text, expected) in [
            // Skipped, and shown twice.
            ("2023-03-26 02:30:00", "2023-03-26T02:30:00+01:00"),
            ("Oct 29 02:30:00", "2023-10-29T02:30:00+02:00"),
        ] {
            assert_eq!(shown(berlin, text).as_deref(), Some(expected), "{text}");
        }
        let new_year = Clock::new("2023-12-31T23:00:00Z".parse().unwrap());
        assert_eq!(
            shown(new_year, "Jan  1 01:00:00").as_deref(),
            Some("2024-01-01T01:00:00Z")
        );
        let leap = Clock::new("1903-06-01T00:00:00Z".parse().unwrap());
        assert_eq!(
            shown(leap, "Feb 29 00:00:00").as_deref(),
            Some("1896-02-29T00:00:00Z")
        );
        for now in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            Clock::new(now).whole("Feb  3 04:05:06 +14:00");
        }
    }
}
