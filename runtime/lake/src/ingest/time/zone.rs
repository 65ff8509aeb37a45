//! What stands behind a time of day: an offset from UTC, an abbreviation, the name of a zone.

use chrono::DateTime;
use yagura_formats::Zone;

/// Abbreviations that mean one offset, in minutes. Those of North America are as RFC 2822 defines them. `IST`, `BST` and the
/// like mean several zones and are not read.
const ABBREVIATIONS: [(&str, i64); 43] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("UCT", 0),
    ("ZULU", 0),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("MEZ", 60),
    ("MESZ", 120),
    ("MET", 60),
    ("MEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("NST", -210),
    ("NDT", -150),
    ("BRT", -180),
    ("SAST", 120),
    ("CAT", 120),
    ("EAT", 180),
    ("WAT", 60),
    ("PKT", 300),
    ("JST", 540),
    ("KST", 540),
    ("HKT", 480),
    ("AWST", 480),
    ("ACST", 570),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
];

/// Reads what follows a time of day; nothing means `usual`.
///
/// A zone in brackets says which offset counts only where none stands before it: `10:00:00+01:00[Europe/Berlin]`.
pub(super) fn zone(text: &str, usual: Zone) -> Option<Zone> {
    let mut text = text.trim();
    // `GMT+0100 (Central European Standard Time)`, `-0800 (PST)`.
    if let Some((before, comment)) = text.split_once('(')
        && comment.ends_with(')')
    {
        text = before.trim_end();
    }
    let mut named = None;
    while let Some((before, name)) = text
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['))
    {
        let name = name.trim_start_matches('!');
        // `[u-ca=iso8601]` names a calendar.
        if !name.contains('=') {
            named = Some(name);
        }
        text = before.trim_end();
    }
    match (text, named) {
        ("", Some(name)) => plain(name),
        ("", None) => Some(usual),
        (text, _) => plain(text),
    }
}

fn plain(text: &str) -> Option<Zone> {
    if let Some(seconds) = offset(text) {
        return Zone::east(seconds);
    }
    let abbreviation = |name: &str| {
        let mut all = ABBREVIATIONS.iter();
        all.find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, minutes)| minutes * 60)
    };
    if text.eq_ignore_ascii_case("z") {
        return Some(Zone::utc());
    }
    if let Some(seconds) = abbreviation(text) {
        return Zone::east(seconds);
    }
    // `UTC+1`, `GMT+0100`; and the other way about, `+0100 CET`, where the offset counts.
    if let Some(rest) = text
        .strip_prefix("UTC")
        .or_else(|| text.strip_prefix("GMT"))
    {
        return offset(rest.trim_start()).and_then(Zone::east);
    }
    if let Some((first, name)) = text.split_once(' ') {
        let is_word = name.trim().bytes().all(|byte| byte.is_ascii_alphabetic());
        return offset(first).filter(|_| is_word).and_then(Zone::east);
    }
    text.parse().ok().map(Zone::Named)
}

/// Reads an offset from UTC, in seconds: `+HH:MM`, `+HHMM`, `+HH`, `+H`, `+H:MM`, `+HH:MM:SS`, and the minutes `+060` of WMI.
fn offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('+') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix(['-', '\u{2212}'])?),
    };
    let number = |text: &str| -> Option<i64> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok())?
    };
    let (hours, minutes, seconds) = match digits.split_once(':') {
        Some((hours, rest)) => {
            let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "00"));
            if hours.len() > 2 || minutes.len() != 2 || seconds.len() != 2 {
                return None;
            }
            (number(hours)?, number(minutes)?, number(seconds)?)
        }
        None => match digits.len() {
            1 | 2 => (number(digits)?, 0, 0),
            3 => (number(digits)? / 60, number(digits)? % 60, 0),
            4 => (number(&digits[..2])?, number(&digits[2..])?, 0),
            6 => (
                number(&digits[..2])?,
                number(&digits[2..4])?,
                number(&digits[4..])?,
            ),
            _ => return None,
        },
    };
    let total = hours * 3_600 + minutes * 60 + seconds;
    // No zone is further from UTC; ISO 8601 libraries refuse more than 18 hours as well.
    (minutes < 60 && seconds < 60 && total <= 18 * 3_600).then_some(sign * total)
}

/// Returns the moment of a time of day in a zone, in microseconds since 1970. Of an hour that comes twice the first is meant;
/// one that a clock skips is counted on from the hour before it.
pub(super) fn utc(local: i64, zone: Zone) -> Option<i64> {
    let naive = DateTime::from_timestamp_micros(local)?.naive_utc();
    let offset = zone.offset(naive)?;
    local.checked_sub(i64::from(offset.local_minus_utc()) * 1_000_000)
}
