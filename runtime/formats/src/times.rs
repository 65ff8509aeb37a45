//! Times as access logs and counts of seconds write them, to RFC 3339.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat};

/// Writes seconds since 1970 as RFC 3339. Returns nothing for negative numbers, and beyond the year 9999.
pub(crate) fn epoch(text: &str) -> Option<String> {
    let seconds: i64 = text.parse().ok()?;
    let time = DateTime::from_timestamp_secs(seconds)?;
    (0..=253_402_300_799)
        .contains(&seconds)
        .then(|| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Writes `10/Oct/2000:13:55:36 -0700`, the time of the common log format, as RFC 3339 with its zone.
pub(crate) fn common_time(text: &str) -> Option<String> {
    let time = DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z").ok()?;
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, false))
}

/// Says whether a text is a day as `2026-03-01`.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// Says whether a text is a time of day as `10:11:12` or `10:11:12.345`.
pub(crate) fn is_clock(text: &str) -> bool {
    text.len() >= 8 && NaiveTime::parse_from_str(text, "%H:%M:%S%.f").is_ok()
}

/// Says whether a text is a moment as `2026-03-01T10:11:12.345Z`, with `Z` or an offset.
pub(crate) fn is_moment(text: &str) -> bool {
    text.get(10..11) == Some("T") && DateTime::parse_from_rfc3339(text).is_ok()
}

/// Writes a length of time of months, days and milliseconds as ISO 8601: `P1M2DT3.004S`. None of them is made of another one, because a
/// month has no fixed length.
pub fn duration(months: u32, days: u32, milliseconds: u32) -> String {
    let mut text = "P".to_owned();
    for (count, unit) in [(months, 'M'), (days, 'D')] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    match rest {
        0 if seconds == 0 && text.len() > 1 => {}
        0 => text.push_str(&format!("T{seconds}S")),
        rest => text.push_str(&format!("T{seconds}.{rest:03}S")),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_iso_8601() {
        for (months, days, milliseconds, text) in [
            (0, 0, 0, "PT0S"),
            (1, 2, 3_004, "P1M2DT3.004S"),
            (14, 0, 0, "P14M"),
            (0, 1, 60_000, "P1DT60S"),
            (u32::MAX, 0, u32::MAX, "P4294967295MT4294967.295S"),
        ] {
            assert_eq!(duration(months, days, milliseconds), text);
        }
    }

    #[test]
    fn times_become_rfc_3339() {
        assert_eq!(epoch("0").unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(epoch("951782400").unwrap(), "2000-02-29T00:00:00Z");
        assert_eq!(epoch("1772359872").unwrap(), "2026-03-01T10:11:12Z");
        assert_eq!(epoch("253402300799").unwrap(), "9999-12-31T23:59:59Z");
        assert!(
            ["-1", "253402300800", "x", ""]
                .iter()
                .all(|text| epoch(text).is_none())
        );
        let time = common_time("01/Mar/2026:10:11:12 -0330");
        assert_eq!(time.unwrap(), "2026-03-01T10:11:12-03:30");
        for text in [
            "",
            "01/Mar/2026:10:11:12",
            "01/Mar/2026:10:11:12 UTC",
            "32/Mar/2026:10:11:12 +0000",
            "30/Feb/2026:10:11:12 +0000",
            "01/Mai/2026:10:11:12 +0000",
            "01/Mar/2026:24:11:12 +0000",
            "01/Mar/2026:10:11:12 +00é",
        ] {
            assert_eq!(common_time(text), None, "{text}");
        }
        assert!(is_moment("2026-03-01T10:11:12.123456Z") && is_moment("2026-03-01T10:11:12+01:00"));
        assert!(!is_moment("2026-03-01T10:11:12") && !is_moment("2026-13-01T10:11:12Z"));
        assert!(!is_date("2026-02-31") && is_date("2024-02-29"));
    }
}
