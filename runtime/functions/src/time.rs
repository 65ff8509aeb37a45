//! `parse_time`: a text with a format of chrono, in a zone of the IANA database, as a time in UTC.

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{FixedOffset, NaiveTime, TimeZone, Utc};
use yagura_formats::{Zone, ZoneError};

use crate::{Made, Prepared, Value};

#[derive(Debug)]
struct Time {
    format: Vec<Item<'static>>,
    zone: Zone,
}

/// Prepares `parse_time(text, format [, zone])`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let format = settings.first().copied().unwrap_or_default();
    let items = StrftimeItems::new(format)
        .parse_to_owned()
        .map_err(|_| format!("'{format}' is not a format of times; `%Y-%m-%d %H:%M:%S` is one"))?;
    let zone = match settings.get(1) {
        Some(name) => name
            .parse::<Zone>()
            .map_err(|error: ZoneError| error.to_string())?,
        None => Zone::utc(),
    };
    Ok(Box::new(Time {
        format: items,
        zone,
    }))
}

impl Time {
    /// Returns microseconds since 1970.
    fn micros(&self, text: &str) -> Option<i64> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.format.iter()).ok()?;
        if parsed.timestamp().is_some() {
            let time = parsed.to_naive_datetime_with_offset(0).ok()?;
            return Some(time.and_utc().timestamp_micros());
        }
        let date = parsed.to_naive_date().ok()?;
        let has_time = parsed.hour_mod_12().is_some() || parsed.minute().is_some();
        let time = match has_time {
            true => parsed.to_naive_time().ok()?,
            false => NaiveTime::MIN,
        };
        let local = date.and_time(time);
        let offset = match parsed.offset() {
            Some(seconds) => FixedOffset::east_opt(seconds)?,
            None => self.zone.offset(local)?,
        };
        let time = local.checked_sub_offset(offset)?;
        Some(Utc.from_utc_datetime(&time).timestamp_micros())
    }
}

impl Prepared for Time {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        self.micros(text).map(Value::Time)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat};

    use super::*;

    fn get(text: &str, settings: &[&str]) -> Option<String> {
        let value = prepare(settings).unwrap().value(text)?;
        let Value::Time(micros) = value else {
            panic!("{value:?}");
        };
        let time = DateTime::from_timestamp_micros(micros).unwrap();
        Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    #[test]
    fn formats_are_those_of_chrono() {
        for (text, format, expected) in [
            (
                "2024-02-03 04:05:06",
                "%Y-%m-%d %H:%M:%S",
                Some("2024-02-03T04:05:06Z"),
            ),
            (
                "03/Feb/2024:04:05:06 +0100",
                "%d/%b/%Y:%H:%M:%S %z",
                Some("2024-02-03T03:05:06Z"),
            ),
            (
                "2024-02-03T04:05:06.1234567+01:00",
                "%+",
                Some("2024-02-03T03:05:06.123456Z"),
            ),
            (
                "2/3/2024 4:05:06 PM",
                "%m/%d/%Y %I:%M:%S %p",
                Some("2024-02-03T16:05:06Z"),
            ),
            ("1706933106", "%s", Some("2024-02-03T04:05:06Z")),
            ("1706933106.5", "%s%.f", Some("2024-02-03T04:05:06.500Z")),
            ("20240203", "%Y%m%d", Some("2024-02-03T00:00:00Z")),
            (
                "2024-06-30 23:59:60",
                "%Y-%m-%d %H:%M:%S",
                Some("2024-07-01T00:00:00Z"),
            ),
            ("Feb  3 04:05:06", "%b %e %H:%M:%S", None),
            ("2024-02-30", "%Y-%m-%d", None),
            ("2024-02-03 x", "%Y-%m-%d", None),
            ("2024-02-03", "%Y-%m-%d %H:%M", None),
            ("04:05", "%H:%M", None),
            ("", "%Y", None),
        ] {
            assert_eq!(get(text, &[format]).as_deref(), expected, "{text} {format}");
        }
    }

    #[test]
    fn a_zone_says_what_a_local_time_is() {
        let format = "%Y-%m-%d %H:%M:%S";
        for (text, zone, expected) in [
            (
                "2024-07-01 12:00:00",
                "Europe/Berlin",
                "2024-07-01T10:00:00Z",
            ),
            ("2024-01-01 12:00:00", "Asia/Tokyo", "2024-01-01T03:00:00Z"),
            ("2024-01-01 12:00:00", "+09:30", "2024-01-01T02:30:00Z"),
            ("2024-01-01 12:00:00", "-0330", "2024-01-01T15:30:00Z"),
            // Skipped: clocks went from 02:00 to 03:00.
            (
                "2024-03-31 02:30:00",
                "Europe/Berlin",
                "2024-03-31T01:30:00Z",
            ),
            (
                "2024-03-31 03:30:00",
                "Europe/Berlin",
                "2024-03-31T01:30:00Z",
            ),
            (
                "2024-03-31 01:59:59",
                "Europe/Berlin",
                "2024-03-31T00:59:59Z",
            ),
            // Twice: clocks went from 03:00 to 02:00.
            (
                "2024-10-27 02:30:00",
                "Europe/Berlin",
                "2024-10-27T00:30:00Z",
            ),
            (
                "2024-10-27 03:00:00",
                "Europe/Berlin",
                "2024-10-27T02:00:00Z",
            ),
            // A day that did not exist.
            (
                "2011-12-30 12:00:00",
                "Pacific/Apia",
                "2011-12-30T22:00:00Z",
            ),
        ] {
            assert_eq!(
                get(text, &[format, zone]).as_deref(),
                Some(expected),
                "{text} {zone}"
            );
        }
        // The offset of the text itself comes first.
        let with_offset = get(
            "2024-07-01 12:00 +0000",
            &["%Y-%m-%d %H:%M %z", "Asia/Tokyo"],
        );
        assert_eq!(with_offset.as_deref(), Some("2024-07-01T12:00:00Z"));
    }

    #[test]
    fn a_wrong_format_and_an_unknown_zone_are_named() {
        let wrong = prepare(&["%Y-%Q"]).unwrap_err();
        assert!(
            wrong.contains("'%Y-%Q' is not a format of times"),
            "{wrong}"
        );
        let wrong = prepare(&["%Y", "Europe/Nowhere"]).unwrap_err();
        assert!(
            wrong.contains("'Europe/Nowhere' is not a time zone"),
            "{wrong}"
        );
        assert!(prepare(&["%Y", "09:00"]).is_err());
    }
}
