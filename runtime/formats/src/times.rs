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

#[cfg(test)]
mod tests {
    use super::*;

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
