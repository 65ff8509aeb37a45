//! An event's members as pieces of its source text; no tree is built.

pub(crate) use yagura_core::json::{Member, elements, members, text_of};
use yagura_core::json::{is_container, is_number};

use crate::ColumnKind;

/// Keys under which services wrap the events of one answer or file.
const ENVELOPES: [&str; 4] = ["Records", "records", "value", "events"];

/// What stands beside those and tells about the answer, not about an event.
const ENVELOPE_NOTES: [&str; 10] = [
    "nextLink",
    "nextToken",
    "NextToken",
    "nextForwardToken",
    "nextBackwardToken",
    "next",
    "count",
    "total",
    "has_more",
    "next_cursor",
];

/// Says whether events may lie in an array under `key`, which ingest takes off.
pub fn is_envelope_key(key: &str) -> bool {
    ENVELOPES.contains(&key)
}

/// Says whether `key`, beside an envelope's events, is not part of them.
pub(crate) fn is_envelope_note(key: &str, value: &str) -> bool {
    (key.starts_with("@odata.") || ENVELOPE_NOTES.contains(&key)) && !is_container(value)
}

/// Returns the array of events if the object is only their envelope: nothing of an event stands beside it.
pub(crate) fn enveloped<'a>(members: &[Member<'a>]) -> Option<&'a str> {
    let mut events = None;
    for (key, value) in members {
        if is_envelope_key(key) && value.starts_with('[') {
            if events.replace(*value).is_some() {
                return None;
            }
        } else if !is_envelope_note(key, value) {
            return None;
        }
    }
    events.filter(|array| array[1..].trim_start().starts_with(['{', ']']))
}

/// Returns the JSON text at a path of keys; nothing where there is none or `null`.
pub(crate) fn find<'a, S: AsRef<str>>(members: &[Member<'a>], path: &[S]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    let (_, value) = members.iter().find(|(key, _)| key == first.as_ref())?;
    match rest {
        _ if *value == "null" => None,
        [] => Some(value),
        _ if value.starts_with('{') => find(&self::members(value).ok()?, rest),
        _ => None,
    }
}

/// Returns the narrowest kind that holds a JSON value other than `null`, and whether it is an integer beyond ±2⁵³. What is
/// not JSON (`NaN`, `007`, `0x1f`) is text.
pub(crate) fn kind_of(value: &str) -> (ColumnKind, bool) {
    const WIDE: u64 = 1 << 53;
    match value.as_bytes() {
        b"true" | b"false" => (ColumnKind::Boolean, false),
        [b'{' | b'[', ..] => (ColumnKind::Json, false),
        [b'-', b'0', _, ..] | [b'0', b'0'..=b'9', ..] if !value.contains('.') => {
            (ColumnKind::Text, false)
        }
        [b'-' | b'0'..=b'9', ..] if !value.contains(['.', 'e', 'E']) && value != "-0" => {
            match value.parse::<i64>() {
                Ok(number) => (ColumnKind::Int64, number.unsigned_abs() > WIDE),
                Err(_) => (ColumnKind::Text, false),
            }
        }
        [b'-' | b'0'..=b'9', ..] if is_number(value) && float_holds(value) => {
            (ColumnKind::Float64, false)
        }
        _ => (ColumnKind::Text, false),
    }
}

/// Says whether an `f64` tells a JSON number from every other: its digits are the float's shortest, or the float's exact
/// expansion cut at as many digits, which is how programs write floats that they hold.
fn float_holds(number: &str) -> bool {
    let significant = |text: &str| -> String {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        digits.trim_matches('0').to_owned()
    };
    let Ok(float) = number.parse::<f64>() else {
        return false;
    };
    // Any decimal number of 15 digits in the normal range comes back from a float unchanged.
    if float.is_normal() && number.len() <= 16 {
        return true;
    }
    let digits = significant(number);
    if float == 0.0 {
        return digits.is_empty();
    }
    let expanded = || format!("{float:.*e}", digits.len().saturating_sub(1));
    float.is_finite()
        && (digits == significant(&format!("{float:e}")) || digits == significant(&expanded()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_pieces_of_the_source() {
        let text = r#" {"a" : 1.50 , "\u0062": {"x": [1, 2]}, "a": "\"", "n": null} "#;
        let members = members(text).unwrap();
        let shown: Vec<(&str, &str)> = members.iter().map(|(k, v)| (k.as_ref(), *v)).collect();
        assert_eq!(
            shown,
            [
                ("a", "1.50"),
                ("b", r#"{"x": [1, 2]}"#),
                ("a", r#""\"""#),
                ("n", "null")
            ]
        );
        for wrong in ["", "[]", "1", "{", r#"{"a":}"#, "{} {}"] {
            assert!(super::members(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = format!(
            r#"{{"a":{}{}}}"#,
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert_eq!(members(&deep).unwrap().len(), 1);
    }

    #[test]
    fn only_pure_envelopes_are_opened() {
        let events = |text: &str| enveloped(&members(text).unwrap()).map(str::to_owned);
        assert!(events(r#"{"Records": [ {"a":1}]}"#).is_some());
        assert!(events(r#"{"records": [ ]}"#).is_some());
        assert!(
            events(r#"{"@odata.context": "x", "value": [{}], "@odata.nextLink": "y"}"#).is_some()
        );
        for event in [
            r#"{"kind": "activity", "events": [{"name": "x"}]}"#,
            r#"{"value": [1, 2]}"#,
            r#"{"Records": 3}"#,
            r#"{"Records": [{}], "records": [{}]}"#,
            r#"{"count": {"x": 1}, "Records": [{}]}"#,
            r#"{"count": 3}"#,
            "{}",
        ] {
            assert_eq!(events(event), None, "{event}");
        }
    }

    #[test]
    fn kinds_are_the_narrowest_that_hold_every_digit() {
        use ColumnKind::{Boolean, Float64, Int64, Json, Text};
        for (value, kind) in [
            ("true", Boolean),
            ("{}", Json),
            ("[1]", Json),
            ("\"1\"", Text),
            ("0", Int64),
            ("-9223372036854775808", Int64),
            ("9223372036854775808", Text),
            ("-0", Float64),
            ("0.0", Float64),
            ("0e5", Float64),
            ("1.10", Float64),
            ("1588205020.123456", Float64),
            ("1e2", Float64),
            ("0.1234567890123456789", Text),
            ("123456789.123456789012", Text),
            ("1e400", Text),
            ("1e-400", Text),
            ("4.9406564584124654e-324", Float64),
            ("4.95e-324", Text),
            ("100000000000000000000.0", Float64),
            ("0.10000000000000001", Float64),
            ("0.1000000000000000055511151231257827", Float64),
            ("0.10000000000000002", Float64),
            ("0.100000000000000021", Text),
            ("9007199254740993.0", Text),
            ("007", Text),
            ("-01", Text),
            ("00.5", Text),
            ("1.", Text),
            ("0x1E", Text),
            ("NaN", Text),
            ("tru", Text),
            ("0e1x", Text),
        ] {
            assert_eq!(kind_of(value).0, kind, "{value}");
        }
        assert!(!kind_of("9007199254740992").1);
        assert!(kind_of("-9007199254740993").1);
    }
}
