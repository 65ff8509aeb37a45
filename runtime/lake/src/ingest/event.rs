//! An event's members as pieces of its source text; no tree is built.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::ColumnKind;

/// A key, unescaped, and the JSON text of its value.
pub(crate) type Member<'a> = (Cow<'a, str>, &'a str);

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

/// Says whether events may lie in an array under `key`.
pub(crate) fn is_envelope_key(key: &str) -> bool {
    ENVELOPES.contains(&key)
}

/// Says whether `key`, beside an envelope's events, is not part of them.
pub(crate) fn is_envelope_note(key: &str, value: &str) -> bool {
    (key.starts_with("@odata.") || ENVELOPE_NOTES.contains(&key)) && !is_container(value)
}

fn is_container(value: &str) -> bool {
    value.starts_with(['{', '['])
}

/// Splits the JSON object `text` into its members, in order, duplicates included.
pub(crate) fn members(text: &str) -> Result<Vec<Member<'_>>, serde_json::Error> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<Member<'de>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an event, which is a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::with_capacity(32);
            while let Some(Key(key)) = map.next_key()? {
                let value: &'de RawValue = map.next_value()?;
                members.push((key, value.get()));
            }
            Ok(members)
        }
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let members = parser.deserialize_map(Members)?;
    parser.end()?;
    Ok(members)
}

/// Returns the elements of a JSON array as pieces of it.
pub(crate) fn elements(array: &str) -> Result<Vec<&str>, serde_json::Error> {
    let elements: Vec<&RawValue> = serde_json::from_str(array)?;
    Ok(elements.into_iter().map(RawValue::get).collect())
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

/// Returns the text of a JSON value: a string's content, anything else as it is written.
///
/// A string with a lone surrogate has no text; its source between the quotes is returned, so that nothing is lost.
pub(crate) fn text_of(value: &str) -> Cow<'_, str> {
    if !value.starts_with('"') {
        return Cow::Borrowed(value);
    }
    let inner = value.get(1..value.len() - 1).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    match serde_json::from_str(value) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(inner),
    }
}

/// Returns the narrowest kind that holds a JSON value other than `null`, and whether it is an integer beyond ±2⁵³.
pub(crate) fn kind_of(value: &str) -> (ColumnKind, bool) {
    const WIDE: u64 = 1 << 53;
    match value.as_bytes().first() {
        Some(b't' | b'f') => (ColumnKind::Boolean, false),
        Some(b'{' | b'[') => (ColumnKind::Json, false),
        Some(b'-' | b'0'..=b'9') if !value.contains(['.', 'e', 'E']) && value != "-0" => {
            match value.parse::<i64>() {
                Ok(number) => (ColumnKind::Int64, number.unsigned_abs() > WIDE),
                Err(_) => (ColumnKind::Text, false),
            }
        }
        Some(b'-' | b'0'..=b'9') if float_holds(value) => (ColumnKind::Float64, false),
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

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E: serde::de::Error>(
                self,
                text: &'de str,
            ) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Splits bytes into an event's members, or says what is wrong and in which column of which of its lines.
pub(crate) fn checked_members(bytes: &[u8]) -> Result<(&str, Vec<Member<'_>>), serde_json::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => members(text).map(|members| (text, members)),
        Err(error) => {
            let byte = bytes[error.valid_up_to()];
            Err(serde_json::Error::custom(format!(
                "invalid UTF-8: byte 0x{byte:02x} after {} bytes",
                error.valid_up_to()
            )))
        }
    }
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
        for wrong in [
            "",
            "[]",
            "1",
            "{",
            r#"{"a":}"#,
            "{} {}",
            r#"{"a":tru}"#,
            r#"{"a":01}"#,
        ] {
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
        ] {
            assert_eq!(kind_of(value).0, kind, "{value}");
        }
        assert!(!kind_of("9007199254740992").1);
        assert!(kind_of("-9007199254740993").1);
    }

    #[test]
    fn text_keeps_what_cannot_be_unescaped() {
        assert_eq!(text_of(r#""a\nb""#), "a\nb");
        assert_eq!(text_of(r#""\ud83d\ude00""#), "😀");
        assert_eq!(text_of(r#""x\ud800y""#), r"x\ud800y");
        assert_eq!(text_of("1.50"), "1.50");
    }
}
