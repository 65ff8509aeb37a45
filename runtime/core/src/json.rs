//! The one reading of JSON: for raw logs, for paths in conditions, for Sigma.
//!
//! A log line is read by what it holds, not by what a standard allows. No value hides its neighbours: numbers have any
//! length, bare words such as `NaN` are values, strings may hold control characters, wrong escapes and half surrogate
//! pairs, and values nest to any depth. Only a broken structure ends the reading: a bracket or a quote that is not
//! closed, a colon or a comma that is missing. RFC 8259 is a subset of what is read here.
//!
//! Nothing is copied and no tree is built: keys and values are pieces of the source text, and a [`Cursor`] walks over
//! them once. A key that an object has several times is handed out each time.

mod cursor;
mod escapes;
mod number;

use std::borrow::Cow;

use self::cursor::is_blank;
pub use self::cursor::{Cursor, JsonError, JsonKey, Kind};
pub use self::escapes::{text_of, unescaped, write_text};
pub use self::number::is_number;

/// A key, unescaped, and the source text of its value.
pub type Member<'a> = (Cow<'a, str>, &'a str);

/// Returns the members of an object that is the whole of `text`, in their order, equal keys included.
///
/// # Errors
/// [`JsonError`]: the text is not one object, or its structure is broken. Values inside are checked for balanced brackets.
pub fn members(text: &str) -> Result<Vec<Member<'_>>, JsonError> {
    let mut cursor = Cursor::new(text);
    match cursor.kind()? {
        Kind::Object => cursor.enter(),
        _ => return Err(cursor.wrong("an event is a JSON object, which begins with `{`")),
    }
    let mut members = Vec::with_capacity(32);
    while let Some(key) = cursor.next_key()? {
        members.push((key.text(), cursor.take()?));
    }
    cursor.end()?;
    Ok(members)
}

/// Returns the elements of an array that is the whole of `text`.
///
/// # Errors
/// [`JsonError`], as [`members`].
pub fn elements(text: &str) -> Result<Vec<&str>, JsonError> {
    let mut cursor = Cursor::new(text);
    match cursor.kind()? {
        Kind::Array => cursor.enter(),
        _ => return Err(cursor.wrong("expected an array, which begins with `[`")),
    }
    let mut elements = Vec::new();
    while cursor.next_element()? {
        elements.push(cursor.take()?);
    }
    cursor.end()?;
    Ok(elements)
}

/// Says whether `text` may be an object or an array: its first character that is not blank opens one.
pub fn is_container(text: &str) -> bool {
    matches!(first_byte(text), Some(b'{' | b'['))
}

fn first_byte(text: &str) -> Option<u8> {
    text.bytes().find(|byte| !is_blank(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(String, String)>, String> {
        match members(text) {
            Ok(members) => Ok(members
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.to_owned()))
                .collect()),
            Err(error) => Err(format!("{}: {}", error.at, error.reason)),
        }
    }

    #[test]
    fn no_value_hides_its_neighbours() {
        let deep = format!("{}1{}", "[{\"x\":".repeat(50_000), "}]".repeat(50_000));
        let digits = "9".repeat(1_000);
        for odd in [
            "18446744073709551615",
            "-9223372036854775809",
            "1e400",
            "-0",
            "NaN",
            "-Infinity",
            "0x1f",
            "007",
            "tru",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\\x41\"",
            "\"\\u12\"",
            "\"\\u0000\"",
            "\"\0\"",
            "\"\n\t\u{7f}\"",
            "{\"a\":1,\"a\":2}",
            "{\"a\" 1}",
            &deep,
            &digits,
        ] {
            let text = format!("{{\"before\":1,\"odd\":{odd},\"after\":\"x\"}}");
            let found = of(&text).unwrap();
            let names: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(names, ["before", "odd", "after"]);
            assert_eq!(found[1].1, odd);
            assert_eq!(
                elements(&format!("[1,{odd} , 2]")).unwrap(),
                ["1", odd, "2"]
            );
        }
    }

    #[test]
    fn equal_keys_are_all_there() {
        let found = of(r#" { "u" : "a" , "\u0075":"b" } "#).unwrap();
        assert_eq!(found[0].0, found[1].0);
        assert_eq!(
            (found[0].1.as_str(), found[1].1.as_str()),
            ("\"a\"", "\"b\"")
        );
    }

    #[test]
    fn strings_are_read_as_far_as_they_can_be() {
        for (source, text) in [
            (r#""plain""#, "plain"),
            (r#""a\"b\\c\/\b\f\n\r\t""#, "a\"b\\c/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\ud83d\ude00""#, "é😀"),
            (r#""\ud800 after""#, "\u{fffd} after"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
            (r#""\udc00\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""C:\Windows\System32""#, "C:\\Windows\\System32"),
            (r#""\u12""#, "\\u12"),
            (r#""\uzzzz é""#, "\\uzzzz é"),
            (r#""\é""#, "\\é"),
            (r#""\u+123""#, "\\u+123"),
            ("12.50", "12.50"),
            ("{\"a\":1}", "{\"a\":1}"),
        ] {
            assert_eq!(text_of(source), text, "{source}");
        }
    }

    #[test]
    fn a_broken_structure_says_where() {
        for (text, said) in [
            ("", "0: the text ends"),
            ("[1]", "0: an event is a JSON object"),
            ("{\"a\":1", "6: the text ends inside"),
            ("{\"a\":[1}", "7: this bracket closes another"),
            ("{\"a\":[1", "5: the value that begins here is not closed"),
            ("{\"a\":\"x}", "5: the string that begins here"),
            ("{\"a\" 1}", "5: expected a colon"),
            ("{\"a\":1 \"b\":2}", "7: expected a comma"),
            ("{\"a\":,}", "5: a value is missing"),
            ("{\"a\":1,}", "7: a comma has no value"),
            ("{,}", "1: expected a key"),
            ("{a:1}", "1: expected a key"),
            ("{} x", "3: something follows"),
            ("{\"a\":1}}", "7: something follows"),
            ("{\"a\":\"\\", "5: the string that begins here"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        for number in [
            "0",
            "-0",
            "10",
            "1.5",
            "1e3",
            "1E+3",
            "-1.5e-30",
            "9007199254740993",
        ] {
            assert!(is_number(number), "{number}");
        }
        for word in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "0x1", "1_0", "inf",
        ] {
            assert!(!is_number(word), "{word}");
        }
    }

    #[test]
    fn a_cursor_enters_and_passes_over() {
        let mut cursor = Cursor::new(r#"{"a":[1,{"b":[]},"x"],"c":{}}"#);
        assert_eq!(cursor.kind(), Ok(Kind::Object));
        cursor.enter();
        assert_eq!(cursor.next_key().unwrap().unwrap().text(), "a");
        assert_eq!(cursor.kind(), Ok(Kind::Array));
        cursor.enter();
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.take(), Ok("1"));
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.take(), Ok("{\"b\":[]}"));
        assert!(cursor.next_element().unwrap());
        assert_eq!(cursor.string(), Ok("x"));
        assert!(!cursor.next_element().unwrap());
        assert_eq!(cursor.next_key().unwrap().unwrap().text(), "c");
        assert_eq!(cursor.take(), Ok("{}"));
        assert_eq!(cursor.next_key(), Ok(None));
        assert_eq!(cursor.end(), Ok(()));
    }
}
