//! Numbers that are moments: units since 1970, 1601 or the year 1, and dates whose digits stand side by side.

use super::Range;
use super::text::{Civil, Read};

/// Picoseconds in a second; all units are whole numbers of them, so that nothing is rounded twice.
const SECOND: i128 = 1_000_000_000_000;
const MICROSECOND: i128 = SECOND / 1_000_000;

/// Seconds from 0001-01-01 to 1970-01-01.
const FROM_YEAR_1: i128 = 62_135_596_800;
/// Seconds from 1601-01-01 to 1970-01-01.
const FROM_1601: i128 = 11_644_473_600;

/// Picoseconds of a unit, and the seconds by which its count begins before 1970. The first unit that gives a moment in the
/// range wins. In the usual range only two overlap: nanoseconds since 1970 of the year 1990 are .NET ticks of 1990 to 2100.
const UNITS: [(i128, i128); 7] = [
    // .NET ticks: 100 nanoseconds since the year 1.
    (SECOND / 10_000_000, FROM_YEAR_1),
    (SECOND, 0),
    (SECOND / 1_000, 0),
    (MICROSECOND, 0),
    (SECOND / 1_000_000_000, 0),
    // Windows FILETIME: 100 nanoseconds since 1601.
    (SECOND / 10_000_000, FROM_1601),
    // WebKit: microseconds since 1601.
    (MICROSECOND, FROM_1601),
];

/// Reads a number; nothing where no unit makes a moment in `range` of it.
///
/// A number of 8, 12, 14, 17 or 20 digits that is a date of the calendar in the range is that date, never a count.
pub(super) fn read(text: &str, range: Range) -> Option<Read> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = decimal(digits)?;
    if !is_negative
        && let Some(date) = compact(&whole, &fraction)
        && date.micros().is_some_and(|micros| range.holds(micros))
    {
        return Some(date);
    }
    let number: i128 = whole.parse().ok()?;
    UNITS.iter().find_map(|(unit, before)| {
        let mut picos = number.checked_mul(*unit)?;
        let mut place = *unit;
        for digit in fraction.bytes() {
            place /= 10;
            picos += i128::from(digit - b'0') * place;
        }
        let picos = if is_negative { -picos } else { picos } - before * SECOND;
        let micros = i64::try_from(picos.div_euclid(MICROSECOND)).ok()?;
        // No time at all is written as the start of a count.
        let is_start = number == 0 && micros == 0;
        (range.holds(micros) && !is_start).then_some(Read::Moment(micros))
    })
}

/// Returns the digits before and after the point, of `1772323200.5` and of `1.7723232005e9`.
fn decimal(text: &str) -> Option<(String, String)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || !(0..=30).contains(&exponent) {
        return None;
    }
    let moved = usize::try_from(exponent).ok()?;
    let zeros = "0".repeat(moved.saturating_sub(fraction.len()));
    let (before, after) = fraction.split_at(moved.min(fraction.len()));
    let whole = format!("{whole}{before}{zeros}");
    (whole.len() <= 30).then(|| (whole, after.to_owned()))
}

/// Reads `YYYYMMDD`, `YYYYMMDDhhmm` and `YYYYMMDDhhmmss`, the last with digits of a second behind it.
fn compact(whole: &str, fraction: &str) -> Option<Read> {
    let part = |from: usize, to: usize| whole.get(from..to)?.parse::<i64>().ok();
    let second_is_there = whole.len() >= 14;
    if !matches!(whole.len(), 8 | 12 | 14 | 17 | 20) || (!second_is_there && !fraction.is_empty()) {
        return None;
    }
    let mut date = Civil::date(part(0, 4)?, part(4, 6)?, part(6, 8)?)?;
    if whole.len() == 8 {
        return Some(Read::Day(date.micros()));
    }
    let second = if second_is_there { part(12, 14)? } else { 0 };
    date.set_clock(part(8, 10)?, part(10, 12)?, second)?;
    if second_is_there {
        date.set_fraction(&[whole.get(14..)?, fraction].concat());
    }
    Some(Read::Moment(date.micros()))
}
