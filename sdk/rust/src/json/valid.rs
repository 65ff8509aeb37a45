//! Checks whether a text is JSON.

use super::skip_space;

/// Returns whether a text is one whole JSON value, at most 128 levels deep: check text from outside before you read it.
///
/// ```
/// assert!(yagura_sdk::json::is_valid(r#" {"a": [1, null]} "#));
/// assert!(!yagura_sdk::json::is_valid(r#"{"a": [1, null}"#));
/// ```
pub fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = valid_value(bytes, skip_space(bytes, 0), 128);
    end.is_some_and(|end| skip_space(bytes, end) == bytes.len())
}

/// Returns where the valid value that starts at `at` ends.
fn valid_value(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'{' => valid_list(bytes, at + 1, b'}', |at| {
            let colon = skip_space(bytes, valid_string(bytes, at)?);
            (bytes.get(colon) == Some(&b':')).then_some(())?;
            valid_value(bytes, skip_space(bytes, colon + 1), depth.checked_sub(1)?)
        }),
        b'[' => valid_list(bytes, at + 1, b']', |at| {
            valid_value(bytes, at, depth.checked_sub(1)?)
        }),
        b'"' => valid_string(bytes, at),
        b't' => bytes[at..].starts_with(b"true").then_some(at + 4),
        b'f' => bytes[at..].starts_with(b"false").then_some(at + 5),
        b'n' => bytes[at..].starts_with(b"null").then_some(at + 4),
        _ => valid_number(bytes, at),
    }
}

fn valid_list(
    bytes: &[u8],
    at: usize,
    close: u8,
    part: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    let mut at = skip_space(bytes, at);
    if bytes.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        at = skip_space(bytes, part(at)?);
        match bytes.get(at)? {
            b',' => at = skip_space(bytes, at + 1),
            end if *end == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn valid_string(bytes: &[u8], at: usize) -> Option<usize> {
    (bytes.get(at) == Some(&b'"')).then_some(())?;
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match bytes.get(at + 1)? {
                b'u' => {
                    let digits = bytes.get(at + 2..at + 6)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    at += 6;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            control if *control < b' ' => return None,
            _ => at += 1,
        }
    }
}

fn valid_number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let count = bytes[from.min(bytes.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (count > 0).then_some(from + count)
    };
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = digits(start)?;
    if bytes[start] == b'0' && end > start + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::quote;
    use super::*;

    #[test]
    fn depth_is_bounded_and_ends_are_seen() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_valid(&nested(128)));
        assert!(!is_valid(&nested(1_000_000)));
        for wrong in [
            "",
            "01",
            "-",
            "1.",
            "1e",
            "{\"a\" 1}",
            "{a:1}",
            "[1,]",
            "\"\\u12\"",
            "tru",
            "1 2",
            "\"\n\"",
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
        for right in [
            "0",
            "-0.5e+3",
            "\"\\u00e9\\/\"",
            " [ ] ",
            "{ \"a\" : { } , \"b\":null}",
        ] {
            assert!(is_valid(right), "{right}");
        }
    }

    proptest! {
        /// Another parser says the same of texts that are nearly JSON.
        #[test]
        fn it_agrees_with_serde(text in r#"([\[\]{}:,"\\ 0-9eE.+\-tfnu]|true|null|"a")*"#) {
            prop_assert_eq!(is_valid(&text), serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        }

        #[test]
        fn what_is_quoted_is_read_back(text: String) {
            let quoted = quote(&text);
            prop_assert!(is_valid(&quoted));
            prop_assert_eq!(serde_json::from_str::<Value>(&quoted).ok(), Some(Value::from(text)));
        }
    }
}
