//! When an event happened, from the forms in which logs write it.

use std::borrow::Cow;

use yagura_core::{FieldPath, Timestamp};

use super::event::{Member, find, text_of};

/// Where events usually keep their time, best first. Local times (`EventTime`) come after what is UTC by convention.
const USUAL: [&[&str]; 28] = [
    &["eventTime"],
    &["@timestamp"],
    &["timestamp"],
    &["ts"],
    &["time"],
    &["TimeCreated"],
    &["UtcTime"],
    &["EventTime"],
    &["SystemTime"],
    &["_time"],
    &["datetime"],
    &["date_time"],
    &["event_time"],
    &["eventTimestamp"],
    &["TimeGenerated"],
    &["created_at"],
    &["createdAt"],
    &["CreatedAt"],
    &["CreationTime"],
    &["createdDateTime"],
    &["activityDateTime"],
    &["published"],
    &["occurred_at"],
    &["isotime"],
    &["date"],
    &[
        "Event",
        "System",
        "TimeCreated",
        "#attributes",
        "SystemTime",
    ],
    &["Event", "System", "TimeCreated", "@SystemTime"],
    &["id", "time"],
];

/// A number that would be an earlier time is not taken for one where nobody said that it is: durations and counters are
/// small, and Windows counts from 1601 in units of its own. It is 1980-01-01 in microseconds.
const LEAST_GUESSED: i128 = 315_532_800_000_000;

/// An event's time and where it stood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) time: Timestamp,
    /// JSON text of the value.
    pub(crate) source: &'a str,
}

impl Found<'_> {
    /// Says whether the time is written in UTC to the second or to a whole number of digits that microseconds hold, so
    /// that the value can be written again from the time.
    pub(crate) fn is_exact(&self) -> bool {
        let micros = self.time.to_string();
        let (seconds, fraction) = micros.split_at(19);
        let Some(source) = self
            .source
            .strip_prefix('"')
            .and_then(|s| s.strip_suffix("Z\""))
        else {
            return false;
        };
        source == seconds || source.strip_suffix(&fraction[..fraction.len() - 1]) == Some(seconds)
    }
}

/// Finds an event's time at the first of `paths` that holds one, or at the first usual place if there are no paths.
pub(crate) fn of_event<'a>(members: &[Member<'a>], paths: &[FieldPath]) -> Option<Found<'a>> {
    let at = |source: &'a str, guessed: bool| {
        let time = of_json(source, guessed)?;
        Some(Found { time, source })
    };
    if paths.is_empty() {
        USUAL
            .iter()
            .find_map(|path| find(members, path).and_then(|source| at(source, true)))
    } else {
        paths
            .iter()
            .find_map(|path| find(members, path.segments()).and_then(|source| at(source, false)))
    }
}

/// Reads the time in a JSON value: a string or a number.
fn of_json(source: &str, guessed: bool) -> Option<Timestamp> {
    let text = match source.as_bytes().first()? {
        b'"' => text_of(source),
        b'-' | b'0'..=b'9' => Cow::Borrowed(source),
        _ => return None,
    };
    let text = text.trim();
    match calendar(text) {
        Some(micros) => Timestamp::from_micros(micros),
        None => epoch(text, guessed),
    }
}

/// Reads `YYYY-MM-DD`, `T` or a space, `HH:MM:SS`, a fraction, and `Z`, an offset, or nothing for UTC; in microseconds
/// since 1970. Finer digits are cut off. The second 60 of a leap second is the next minute's first.
fn calendar(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if bytes.len() < 19
        || separators.iter().any(|(at, byte)| bytes[*at] != *byte)
        || !matches!(bytes[10], b'T' | b't' | b' ')
    {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0i64, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut micros = 0;
    if let [b'.' | b',', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for place in 0..6 {
            let digit = fraction[..digits].get(place).map_or(0, |b| b - b'0');
            micros = micros * 10 + i64::from(digit);
        }
        rest = &fraction[digits..];
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
        - offset(rest.trim_ascii_start())?;
    Some(seconds * 1_000_000 + micros)
}

/// Reads an offset from UTC, in seconds: `Z`, `UTC`, `+HH:MM`, `+HHMM`, `+HH`, or nothing.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        b"" | b"Z" | b"z" | b"UTC" | b"GMT" => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [h1, h2] => ([*h1, *h2], [b'0'; 2]),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => ([*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let number = |[tens, ones]: [u8; 2]| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Reads seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by magnitude: seconds reach into the
/// year 5138, then the next unit begins.
fn epoch(text: &str, guessed: bool) -> Option<Timestamp> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 21 || !plain(whole) || !plain(fraction) {
        // 1.6e9 and the like: rare, and no unit is finer than a float of that size.
        let number: f64 = digits
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite() && *n < 1e21)?;
        let looks_like_a_number = digits.starts_with(|c: char| c.is_ascii_digit());
        return (looks_like_a_number && digits.contains(['e', 'E']))
            .then(|| format!("{}{number:.6}", if negative { "-" } else { "" }))
            .and_then(|text| epoch(&text, guessed));
    }
    let whole: i128 = whole.parse().ok()?;
    // Picoseconds a unit, so that nothing is rounded twice.
    let unit: i128 = match whole {
        0..100_000_000_000 => 1_000_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000,
    };
    let mut picos = whole * unit;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        picos += i128::from(digit - b'0') * place;
    }
    let micros = if negative { -picos } else { picos }.div_euclid(1_000_000);
    if guessed && micros < LEAST_GUESSED {
        return None;
    }
    Timestamp::from_micros(i64::try_from(micros).ok()?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::event::members;

    fn read(json: &str) -> Option<String> {
        of_json(json, false).map(|time| time.to_string())
    }

    #[test]
    fn every_form_of_one_moment_is_the_same_moment() {
        for json in [
            r#""2018-03-24T17:15:20.865716Z""#,
            r#""2018-03-24T17:15:20.8657169Z""#,
            r#""2018-03-24 17:15:20.865716""#,
            r#""2018-03-24t18:15:20,865716+01:00""#,
            r#""2018-03-24T12:15:20.865716-0500""#,
            r#""2018-03-24 17:15:20.865716 UTC""#,
            r#""2018-03-24T17:15:20.865716 +00""#,
            "1521911720.865716",
            r#""1521911720.865716""#,
            "1521911720865.716",
            "1521911720865716",
            "1521911720865716999",
            "1.521911720865716e9",
        ] {
            assert_eq!(
                read(json).as_deref(),
                Some("2018-03-24T17:15:20.865716Z"),
                "{json}"
            );
        }
        assert_eq!(
            read("1521911720").as_deref(),
            Some("2018-03-24T17:15:20.000000Z")
        );
        assert_eq!(
            read("1521911720865").as_deref(),
            Some("2018-03-24T17:15:20.865000Z")
        );
        assert_eq!(read("-1.5").as_deref(), Some("1969-12-31T23:59:58.500000Z"));
        assert_eq!(
            read(r#""2016-12-31T23:59:60Z""#).as_deref(),
            Some("2017-01-01T00:00:00.000000Z")
        );
        assert_eq!(
            read(r#""1601-01-01T00:00:00Z""#).as_deref(),
            Some("1601-01-01T00:00:00.000000Z")
        );
        assert_eq!(
            read(r#""2020-01-01T\u0030\u0030:00:00Z""#).as_deref(),
            Some("2020-01-01T00:00:00.000000Z")
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for json in [
            "null",
            "true",
            "{}",
            "[]",
            r#""""#,
            r#""-""#,
            r#""yesterday""#,
            r#""2018-13-01T00:00:00Z""#,
            r#""2018-02-29T00:00:00Z""#,
            r#""2018-01-01T24:00:00Z""#,
            r#""2018-01-01T00:00:00.Z""#,
            r#""2018-01-01T00:00:00 CEST""#,
            r#""2018-01-01""#,
            r#""0000-01-01T00:00:00+01:00""#,
            "1e400",
            "99999999999999999999999",
            "9e20",
            r#""inf""#,
            r#""nan""#,
            r#""1e""#,
            r#""--1""#,
            r#""é018-01-01T00:00:00Z""#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn calendars_agree_with_the_rest_of_the_project() {
        for text in [
            "0000-01-01T00:00:00Z",
            "1900-02-28T23:59:59Z",
            "2000-02-29T12:00:00Z",
            "2100-03-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            let expected: Timestamp = text.parse().unwrap();
            assert_eq!(calendar(text), Some(expected.micros()), "{text}");
        }
    }

    #[test]
    fn the_first_place_that_holds_a_time_wins() {
        let time = |json: &str, paths: &[&str]| {
            let paths: Vec<FieldPath> = paths.iter().map(|p| p.parse().unwrap()).collect();
            of_event(&members(json).unwrap(), &paths).map(|found| found.source.to_owned())
        };
        let event = r#"{"EventTime": "2020-01-01 00:00:00", "time": 0.25, "ts": "soon", "@timestamp": null}"#;
        assert_eq!(
            time(event, &[]).as_deref(),
            Some(r#""2020-01-01 00:00:00""#)
        );
        assert_eq!(time(event, &["time"]).as_deref(), Some("0.25"));
        let filetime = r#"{"time": 132223104000000000, "created_at": "1970-01-01T00:00:00Z"}"#;
        assert!(time(filetime, &[]).is_some_and(|source| source.contains("1970")));
        assert_eq!(time(event, &["ts"]), None);
        assert_eq!(time(event, &["ts", "time"]).as_deref(), Some("0.25"));
        let nested = r##"{"Event": {"System": {"TimeCreated": {"#attributes": {"SystemTime": "2020-12-11T12:28:01.2990045Z"}}}}}"##;
        assert!(time(nested, &[]).is_some());
        assert_eq!(time("{}", &[]), None);
    }
}
