//! Times as text.

/// Returns a time, in microseconds since 1970-01-01T00:00:00Z, as RFC 3339 in UTC with microseconds.
///
/// ```
/// assert_eq!(yagura_sdk::time::rfc3339(1_700_000_000_000_001), "2023-11-14T22:13:20.000001Z");
/// ```
pub fn rfc3339(time: i64) -> String {
    let (seconds, micros) = (time.div_euclid(1_000_000), time.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a number of days since 1970-01-01: "days_from_civil" of H. Hinnant's "chrono-compatible low-level
/// date algorithms", backwards.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_leap_years_and_times_before_1970() {
        let day = 86_400_000_000;
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(11_016 * day), "2000-02-29T00:00:00.000000Z");
        assert_eq!(rfc3339(19_783 * day), "2024-03-01T00:00:00.000000Z");
    }
}
