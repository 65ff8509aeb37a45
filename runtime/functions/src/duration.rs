//! `parse_duration`: a length of time, in milliseconds.
//!
//! ```text
//! duration = parts | clock | iso
//! parts    = 1*(number [blanks] unit [blanks | "," | "and"])
//! clock    = [days ("d" | " day, " | " days, ") blanks] hours ":" 2digit ":" 2digit ["." fraction]
//! iso      = "P" [number "W"] [number "D"] ["T" [number "H"] [number "M"] [number "S"]]
//! ```
//!
//! Source of `iso`: ISO 8601-1, without years and months, whose length is not known. A number without a unit is not a duration.

use crate::{Made, Prepared, Value};

const SECOND: u128 = 1_000_000_000;

/// The units and their nanoseconds.
const UNITS: [(&[&str], u128); 8] = [
    (&["ns", "nanosecond", "nanoseconds"], 1),
    (&["us", "µs", "μs", "microsecond", "microseconds"], 1_000),
    (
        &["ms", "msec", "msecs", "millisecond", "milliseconds"],
        1_000_000,
    ),
    (&["s", "sec", "secs", "second", "seconds"], SECOND),
    (&["m", "min", "mins", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600 * SECOND),
    (&["d", "day", "days"], 86_400 * SECOND),
    (&["w", "week", "weeks"], 604_800 * SECOND),
];

/// The units of ISO 8601, in order, before and after the `T`.
const ISO_DAYS: [(char, u128); 2] = [('W', 604_800 * SECOND), ('D', 86_400 * SECOND)];
const ISO_TIME: [(char, u128); 3] = [('H', 3_600 * SECOND), ('M', 60 * SECOND), ('S', SECOND)];

#[derive(Debug)]
struct Duration;

/// Prepares `parse_duration(text)`.
pub(crate) fn prepare(_: &[&str]) -> Made {
    Ok(Box::new(Duration))
}

impl Prepared for Duration {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let text = text.trim();
        let nanoseconds = match text.strip_prefix('P') {
            Some(rest) => iso(rest)?,
            None => clock(text).or_else(|| parts(text))?,
        };
        i64::try_from(nanoseconds / 1_000_000)
            .ok()
            .map(Value::Number)
    }
}

/// Takes a decimal number off a text, and returns it times a unit when that is known, with the text behind it.
fn number(text: &str) -> Option<(impl Fn(u128) -> Option<u128> + use<>, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after
            .split_at_checked(digits(after))
            .filter(|(digits, _)| !digits.is_empty())?,
        None => ("", rest),
    };
    let whole: u64 = whole.parse().ok()?;
    // What is less than a nanosecond of any unit does not count.
    let fraction = fraction.get(..fraction.len().min(18)).unwrap_or_default();
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let times = move |unit: u128| {
        let whole = u128::from(whole).checked_mul(unit)?;
        whole.checked_add(part.checked_mul(unit)? / scale)
    };
    Some((times, rest))
}

fn parts(text: &str) -> Option<u128> {
    let mut total = 0_u128;
    let mut rest = text;
    while !rest.is_empty() {
        let (times, after) = number(rest)?;
        let after = after.trim_start();
        let end = after
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(after.len());
        let (name, after) = after.split_at_checked(end)?;
        let name = name.to_lowercase();
        let unit = UNITS
            .iter()
            .find(|(names, _)| names.contains(&name.as_str()))?;
        total = total.checked_add(times(unit.1)?)?;
        let after = after.trim_start();
        let after = after.strip_prefix(',').unwrap_or(after).trim_start();
        rest = after.strip_prefix("and ").unwrap_or(after).trim_start();
    }
    (!text.is_empty()).then_some(total)
}

fn clock(text: &str) -> Option<u128> {
    let (days, time) = match text.split_once(['d', ' ']) {
        None => (0, text),
        Some((days, rest)) => {
            let rest = rest
                .trim_start()
                .trim_start_matches("days")
                .trim_start_matches("day");
            (
                days.parse::<u64>().ok()?,
                rest.trim_start_matches([',', ' ']),
            )
        }
    };
    let (hours, rest) = time.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let whole = seconds.split('.').next()?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(hours) || !is_digits(minutes) || minutes.len() != 2 || whole.len() != 2 {
        return None;
    }
    let (times, "") = number(seconds)? else {
        return None;
    };
    let (minutes, seconds) = (minutes.parse::<u64>().ok()?, times(SECOND)?);
    if minutes > 59 || seconds >= 60 * SECOND {
        return None;
    }
    let hours = u128::from(hours.parse::<u64>().ok()?) + 24 * u128::from(days);
    let minutes = hours.checked_mul(60)?.checked_add(u128::from(minutes))?;
    minutes.checked_mul(60 * SECOND)?.checked_add(seconds)
}

fn iso(text: &str) -> Option<u128> {
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    of_iso(days, &ISO_DAYS)?.checked_add(of_iso(time, &ISO_TIME)?)
}

/// Adds up parts whose units come in order, each once.
fn of_iso(text: &str, units: &[(char, u128)]) -> Option<u128> {
    let (mut total, mut rest, mut left) = (0_u128, text, units);
    while !rest.is_empty() {
        let (times, after) = number(rest)?;
        let at = left.iter().position(|(name, _)| after.starts_with(*name))?;
        let (name, unit) = left.get(at)?;
        total = total.checked_add(times(*unit)?)?;
        rest = after.strip_prefix(*name)?;
        left = left.get(at + 1..)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_their_usual_forms() {
        for (text, expected) in [
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1500us", Some(1)),
            ("999999ns", Some(0)),
            ("3 minutes, 2 seconds", Some(182_000)),
            ("1 Day and 2 hours", Some(93_600_000)),
            ("00:01:02.5", Some(62_500)),
            ("100:00:00", Some(360_000_000)),
            ("1d 02:03:04", Some(93_784_000)),
            ("2 days, 0:00:01", Some(172_801_000)),
            ("PT1H30M", Some(5_400_000)),
            ("P1DT0.5S", Some(86_400_500)),
            ("P2W", Some(1_209_600_000)),
            ("0s", Some(0)),
            (" 5s ", Some(5_000)),
            ("", None),
            ("5", None),
            ("-5s", None),
            ("5 fortnights", None),
            ("1:02", None),
            ("00:60:00", None),
            ("00:00:60", None),
            ("1:2:3", None),
            ("P", None),
            ("PT", None),
            ("P1M", None),
            ("P1Y", None),
            ("PT1S1H", None),
            ("99999999999999999999s", None),
            ("18446744073709551615w", None),
            (".5s", None),
            ("1.s", None),
        ] {
            let value = prepare(&[]).unwrap().value(text);
            assert_eq!(value, expected.map(Value::Number), "{text}");
        }
    }
}
