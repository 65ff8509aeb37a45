//! Times as access logs and counts of seconds write them, to RFC 3339.

/// Writes seconds since 1970 as RFC 3339, by the algorithm "civil from days" of Howard Hinnant. Nothing beyond the year 9999.
pub(crate) fn epoch(text: &str) -> Option<String> {
    let seconds: i64 = text.parse().ok()?;
    if !(0..=253_402_300_799).contains(&seconds) {
        return None;
    }
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

/// Writes `10/Oct/2000:13:55:36 -0700`, the time of the common log format, as RFC 3339 with its zone.
pub(crate) fn common_time(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (date, zone) = text.split_once(' ')?;
    let (day, clock) = date.split_once(':')?;
    let mut parts = day.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let date = format!("{year}-{month:02}-{day}");
    let (hours, minutes) = (zone.get(..3)?, zone.get(3..)?);
    let is_zone = shaped(zone, "+0000") || shaped(zone, "-0000");
    (parts.next().is_none() && is_zone && is_date(&date) && is_clock(clock))
        .then(|| format!("{date}T{clock}{hours}:{minutes}"))
}

/// Says whether a text is a day as `2026-03-01`.
pub(crate) fn is_date(text: &str) -> bool {
    let part = |from, to| text.get(from..to).and_then(|part| part.parse::<u32>().ok());
    shaped(text, "0000-00-00")
        && matches!(part(5, 7), Some(1..=12))
        && matches!(part(8, 10), Some(1..=31))
}

/// Says whether a text is a time of day as `10:11:12` or `10:11:12.345`.
pub(crate) fn is_clock(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let part = |from, to| {
        clock
            .get(from..to)
            .and_then(|part| part.parse::<u32>().ok())
    };
    shaped(clock, "00:00:00")
        && matches!(part(0, 2), Some(..=23))
        && matches!(part(3, 5), Some(..=59))
        && matches!(part(6, 8), Some(..=60))
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Says whether a text is a moment as `2026-03-01T10:11:12.345Z`, with `Z` or an offset.
pub(crate) fn is_moment(text: &str) -> bool {
    let Some((date, clock)) = text.split_once('T') else {
        return false;
    };
    let clock = clock.strip_suffix('Z').or_else(|| {
        let (start, zone) = clock.split_at(clock.find(['+', '-'])?);
        (shaped(zone, "+00:00") || shaped(zone, "-00:00")).then_some(start)
    });
    is_date(date) && clock.is_some_and(is_clock)
}

/// Says whether a text has the digits of a sample where the sample has zeros, and its other characters elsewhere.
fn shaped(text: &str, sample: &str) -> bool {
    let is_same = |(byte, wanted): (u8, u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    text.len() == sample.len() && text.bytes().zip(sample.bytes()).all(is_same)
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
            "01/Mai/2026:10:11:12 +0000",
            "01/Mar/2026:24:11:12 +0000",
            "01/Mar/2026:10:11:12 +00é",
        ] {
            assert_eq!(common_time(text), None, "{text}");
        }
        assert!(is_moment("2026-03-01T10:11:12.123456Z") && is_moment("2026-03-01T10:11:12+01:00"));
        assert!(!is_moment("2026-03-01T10:11:12") && !is_moment("2026-13-01T10:11:12Z"));
    }
}
