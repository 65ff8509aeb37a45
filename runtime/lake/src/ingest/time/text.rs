//! Texts that are moments: ISO 8601 with and without separators, the calendars of mail, of web servers and of C.

use chrono::{DateTime, Datelike};
use yagura_formats::Zone;

use super::zone::{utc, zone};
use super::{Range, number};

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Read {
    /// A moment, in microseconds since 1970.
    Moment(i64),
    /// The start of a day of which no time is given.
    Day(i64),
    /// What programs write where they know no time: the start of a count, or its end.
    Zero,
}

impl Read {
    pub(super) fn micros(self) -> Option<i64> {
        match self {
            Self::Moment(micros) | Self::Day(micros) => Some(micros),
            Self::Zero => None,
        }
    }
}

/// Days whose midnight means that no time is known: the starts of the counts of .NET and Go, Windows, SQL Server, OLE, Excel,
/// macOS and Unix.
const ZERO_DAYS: [(i64, i64, i64); 8] = [
    (1, 1, 1),
    (1601, 1, 1),
    (1753, 1, 1),
    (1899, 12, 30),
    (1899, 12, 31),
    (1900, 1, 1),
    (1904, 1, 1),
    (1970, 1, 1),
];
const DAY: i64 = 86_400_000_000;

/// A day and a time of day without a zone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Civil {
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds since midnight.
    clock: i64,
}

impl Civil {
    pub(super) fn date(year: i64, month: i64, day: i64) -> Option<Self> {
        let is_there = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        is_there.then_some(Self {
            year,
            month,
            day,
            clock: 0,
        })
    }

    /// The second 60 of a leap second is the next minute's first.
    pub(super) fn set_clock(&mut self, hour: i64, minute: i64, second: i64) -> Option<()> {
        self.clock = (hour * 3_600 + minute * 60 + second) * 1_000_000;
        (hour <= 23 && minute <= 59 && second <= 60).then_some(())
    }

    /// Adds digits of a second; those finer than microseconds are cut off.
    pub(super) fn set_fraction(&mut self, digits: &str) {
        let mut place = 1_000_000;
        for digit in digits.bytes().take(6) {
            place /= 10;
            self.clock += i64::from(digit - b'0') * place;
        }
    }

    pub(super) fn micros(self) -> i64 {
        days_from_civil(self.year, self.month, self.day) * DAY + self.clock
    }

    /// Returns the day's start in a zone.
    fn day(self, zone: Zone) -> Option<Read> {
        self.at(zone).map(|read| match read {
            Read::Moment(micros) => Read::Day(micros),
            other => other,
        })
    }

    fn at(self, zone: Zone) -> Option<Read> {
        let is_zero = |day: &(i64, i64, i64)| {
            let is_midnight_here = self.clock == 0 && *day == (self.year, self.month, self.day);
            let start = days_from_civil(day.0, day.1, day.2) * DAY;
            is_midnight_here || utc(self.micros(), zone) == Some(start)
        };
        if self.year == 9999 || ZERO_DAYS.iter().any(is_zero) {
            return Some(Read::Zero);
        }
        utc(self.micros(), zone).map(Read::Moment)
    }
}

/// Reads a text that is a moment. Numbers must give one in `range`.
pub(super) fn read(text: &str, range: Range) -> Option<Read> {
    let text = text.trim();
    if let Some(found) = plain_iso(text, range.zone) {
        return found;
    }
    if text.len() > 80 || !text.is_ascii() && !text.contains('\u{2212}') {
        return None;
    }
    let text = unwrapped(text);
    if let Some(found) = number::read(text, range) {
        return Some(found);
    }
    let found = iso(text, range.zone)
        .or_else(|| named_month(text, range))
        .or_else(|| day_and_month(text, range.zone))?;
    Some(found)
}

/// Takes off what programs write around a time: brackets, quotes, `/Date(…)/` of .NET with the offset that it ignores, `audit(…)`
/// with the number of the event, `@` before seconds.
fn unwrapped(text: &str) -> &str {
    let inside = |open: &str, close: &str| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(text) = inside("[", "]").or_else(|| inside("\"", "\"")) {
        return text.trim();
    }
    let date = inside("/Date(", ")/").or_else(|| inside("\\/Date(", ")\\/"));
    if let Some(text) = date
        .or_else(|| inside("new Date(", ")"))
        .or_else(|| inside("Date(", ")"))
    {
        let end = text.rfind(['+', '-']).filter(|at| *at > 0);
        return end.map_or(text, |end| &text[..end]);
    }
    if let Some(text) = inside("audit(", ")") {
        return text.split(':').next().unwrap_or(text);
    }
    text.strip_prefix('@').unwrap_or(text)
}

/// Reads the form that nearly all logs write, `2026-03-01T10:11:12.345Z`, without a detour; nothing for any other form, and
/// `Some(None)` for this form with a wrong number in it.
fn plain_iso(text: &str, usual: Zone) -> Option<Option<Read>> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if bytes.len() < 19
        || separators.iter().any(|(at, byte)| bytes[*at] != *byte)
        || !matches!(bytes[10], b'T' | b't' | b' ')
    {
        return None;
    }
    let part = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0i64, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let mut civil = Civil::date(part(0, 4)?, part(5, 7)?, part(8, 10)?)?;
    if civil
        .set_clock(part(11, 13)?, part(14, 16)?, part(17, 19)?)
        .is_none()
    {
        return Some(None);
    }
    let mut rest = text.get(19..)?;
    if let Some(digits) = rest.strip_prefix(['.', ',']) {
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Some(None);
        }
        civil.set_fraction(&digits[..count]);
        rest = &digits[count..];
    }
    match rest {
        "Z" | "" if (1972..9999).contains(&civil.year) && (rest == "Z" || usual == Zone::utc()) => {
            Some(Some(Read::Moment(civil.micros())))
        }
        // `PM`, a third colon and the like.
        _ => zone(rest, usual).map(|zone| civil.at(zone)),
    }
}

/// A place in a text.
struct Scan<'t> {
    rest: &'t str,
}

impl<'t> Scan<'t> {
    /// Takes a number of `least` to `most` digits; more digits than that are no such number.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(least..=most).contains(&count) {
            return None;
        }
        let number = self.rest[..count].parse().ok();
        self.rest = &self.rest[count..];
        number
    }

    /// Takes exactly `count` digits of perhaps more.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.rest.get(..count)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = &self.rest[count..];
        digits.parse().ok()
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = *self
            .rest
            .as_bytes()
            .first()
            .filter(|byte| bytes.contains(byte))?;
        self.rest = &self.rest[1..];
        Some(byte)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    /// Takes letters and dots: a month, a day of the week, `p.m.`.
    fn word(&mut self) -> &'t str {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphabetic() && c != '.')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Takes a time of day: `10:11`, `10:11:12.345`, `10.11.12`, `101112`, each with `AM` or `PM`.
    fn clock(&mut self, civil: &mut Civil) -> Option<()> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (mut hour, minute, mut second) = match count {
            1 | 2 => {
                let hour = self.number(1, 2)?;
                let separator = self.one_of(b":.")?;
                let minute = self.number(2, 2)?;
                let mut ahead = Scan { rest: self.rest };
                let second = match ahead.one_of(&[separator]).and_then(|_| ahead.number(2, 2)) {
                    Some(second) => {
                        self.rest = ahead.rest;
                        Some(second)
                    }
                    None => None,
                };
                (hour, minute, second)
            }
            4 => (self.digits(2)?, self.digits(2)?, None),
            6 => (self.digits(2)?, self.digits(2)?, self.digits(2)),
            _ => return None,
        };
        let mut fraction = "";
        let mut ahead = Scan { rest: self.rest };
        if let (Some(_), Some(separator)) = (second, ahead.one_of(b".,:")) {
            let count = ahead.rest.bytes().take_while(u8::is_ascii_digit).count();
            if count == 0 || (separator == b':' && !matches!(count, 3 | 6 | 9)) {
                return None;
            }
            fraction = &ahead.rest[..count];
            self.rest = &ahead.rest[count..];
        }
        let mut ahead = Scan { rest: self.rest };
        ahead.blanks();
        let half = ahead.word().replace('.', "").to_ascii_lowercase();
        if half == "am" || half == "pm" {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if half == "pm" { 12 } else { 0 };
            self.rest = ahead.rest;
        }
        civil.set_clock(hour, minute, *second.get_or_insert(0))?;
        civil.set_fraction(fraction);
        Some(())
    }

    /// Reads what is left as a zone.
    fn zone(&self, usual: Zone) -> Option<Zone> {
        zone(self.rest.trim_end_matches(':'), usual)
    }
}

/// Reads a date that begins with a year of four digits, with or without a time of day.
fn iso(text: &str, usual: Zone) -> Option<Read> {
    let mut scan = Scan { rest: text };
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut civil = match count {
        4 => {
            let year = scan.number(4, 4)?;
            let separator = scan.one_of(b"-/.:")?;
            let digits = scan.rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 3 && separator == b'-' {
                of_year(year, scan.number(3, 3)?)?
            } else {
                let month = scan.number(1, 2)?;
                scan.one_of(&[separator])?;
                Civil::date(year, month, scan.number(1, 2)?)?
            }
        }
        8 | 12 | 14 => Civil::date(scan.digits(4)?, scan.digits(2)?, scan.digits(2)?)?,
        _ => return None,
    };
    if scan.rest.is_empty() {
        return civil.day(usual);
    }
    if count <= 8 {
        scan.one_of(b"Tt _-:,")?;
        scan.blanks();
    }
    scan.clock(&mut civil)?;
    civil.at(scan.zone(usual)?)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Returns the place of a name, or of its first three letters or more, among `names`.
fn place_of(word: &str, names: &[&str]) -> Option<i64> {
    let word = word.trim_end_matches('.').to_ascii_lowercase();
    let place = (word.len() >= 3).then(|| names.iter().position(|name| name.starts_with(&word)))?;
    i64::try_from(place?).ok().map(|place| place + 1)
}

/// Reads dates with the name of a month: `Sun, 01 Mar 2026 10:11:12 +0000`, `01/Mar/2026:10:11:12 +0000`, `Sun Mar  1 10:11:12 2026`,
/// `Mar 1, 2026 10:11 AM`. Without a year there is a moment only where it is known until when the text was written.
fn named_month(text: &str, range: Range) -> Option<Read> {
    let mut scan = Scan {
        rest: text.trim_start_matches('*'),
    };
    let between = |scan: &mut Scan<'_>| {
        scan.rest = scan.rest.trim_start_matches([' ', '\t', ',', '/', '-']);
    };
    let mut word = scan.word();
    if !word.is_empty() && place_of(word, &WEEKDAYS).is_some() && place_of(word, &MONTHS).is_none()
    {
        scan.blanks();
        word = scan.word();
    }
    let (month, day) = if word.is_empty() {
        let day = scan.number(1, 2)?;
        between(&mut scan);
        let month = place_of(scan.word(), &MONTHS)?;
        (month, day)
    } else {
        let month = place_of(word, &MONTHS)?;
        between(&mut scan);
        (month, scan.number(1, 2)?)
    };
    between(&mut scan);
    let year_of = |scan: &mut Scan<'_>, may_be_short: bool| {
        match scan.rest.bytes().take_while(u8::is_ascii_digit).count() {
            4 => scan.number(4, 4),
            // As RFC 2822 reads them.
            2 if may_be_short => {
                let year = scan.number(2, 2)?;
                Some(if year < 50 { 2000 + year } else { 1900 + year })
            }
            _ => None,
        }
    };
    let clock_comes_first = scan
        .rest
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .starts_with(':')
        && scan.rest.bytes().take_while(u8::is_ascii_digit).count() <= 2;
    if !clock_comes_first {
        let mut civil = Civil::date(year_of(&mut scan, true)?, month, day)?;
        if scan.rest.is_empty() {
            return civil.day(range.zone);
        }
        scan.one_of(b" :,T-")?;
        scan.blanks();
        if let Some(rest) = scan.rest.strip_prefix("at ") {
            scan.rest = rest;
        }
        scan.clock(&mut civil)?;
        return civil.at(scan.zone(range.zone)?);
    }
    // The year stands behind the time of day: `10:11:12 2026`, `10:11:12 CET 2026`.
    let mut clock = Civil::date(2000, 1, 1)?;
    scan.clock(&mut clock)?;
    scan.blanks();
    let (zone_text, year) = match scan.rest.rsplit_once(' ') {
        Some((zone, year)) => (zone, year),
        None => ("", scan.rest),
    };
    // `10:11:12 2026 +0100`
    let is_year = zone_text.len() == 4 && zone_text.bytes().all(|byte| byte.is_ascii_digit());
    let (zone_text, year) = if is_year {
        (year, zone_text)
    } else {
        (zone_text, year)
    };
    let Some(year) = year_of(&mut Scan { rest: year }, false) else {
        let zone = scan.zone(range.zone)?;
        return without_year((month, day), clock.clock, zone, range.until?);
    };
    let civil = Civil {
        clock: clock.clock,
        ..Civil::date(year, month, day)?
    };
    civil.at(zone(zone_text, range.zone)?)
}

/// Returns the latest moment of a day and time of day without a year that is at most 1 day after `until`.
fn without_year((month, day): (i64, i64), clock: i64, zone: Zone, until: i64) -> Option<Read> {
    let latest = until.checked_add(DAY)?;
    let year = i64::from(DateTime::from_timestamp_micros(latest)?.year());
    // The next year may have begun elsewhere. Leap years can be 8 years apart.
    (year - 10..=year + 1).rev().find_map(|year| {
        let civil = Civil {
            clock,
            ..Civil::date(year, month, day)?
        };
        let micros = utc(civil.micros(), zone)?;
        (micros <= latest).then_some(Read::Moment(micros))
    })
}

/// Reads `31/01/2026 10:11:12` and `01/31/2026`, where only one order of day and month is possible, and `31.01.2026`, where the day
/// always comes first. `01/02/2026` is not read: half of its readers would be wrong.
fn day_and_month(text: &str, usual: Zone) -> Option<Read> {
    let mut scan = Scan { rest: text };
    let first = scan.number(1, 2)?;
    let separator = scan.one_of(b"/.-")?;
    let second = scan.number(1, 2)?;
    scan.one_of(&[separator])?;
    let year = scan.number(4, 4)?;
    let (day, month) = match (first, second) {
        (day, month) if separator == b'.' => (day, month),
        (day, month) if day == month => (day, month),
        (day @ 13.., month) => (day, month),
        (month, day @ 13..) => (day, month),
        _ => return None,
    };
    let mut civil = Civil::date(year, month, day)?;
    if scan.rest.is_empty() {
        return civil.day(usual);
    }
    scan.one_of(b" T,:")?;
    scan.blanks();
    scan.clock(&mut civil)?;
    civil.at(scan.zone(usual)?)
}

/// Returns the day of a year by its number, from 1.
fn of_year(year: i64, number: i64) -> Option<Civil> {
    let mut day = number;
    for month in 1..=12 {
        let days = days_in(year, month);
        if day <= days {
            return Civil::date(year, month, day);
        }
        day -= days;
    }
    None
}

/// Returns days since 1970-01-01 in the proleptic Gregorian calendar.
/// <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
