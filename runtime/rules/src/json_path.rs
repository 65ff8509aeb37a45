//! Values inside JSON text by path, without building a tree.

use std::borrow::Cow;

use jiter::{Jiter, JiterResult, JsonValue, Peek};

use crate::prefilter::values::Kind;

/// Returns the value of `path` in the JSON text `json`: a string without its quotes, anything else as its JSON text.
///
/// Nothing is returned where the path leads nowhere, where the value is `null`, and where the text is not JSON. A
/// number as a segment indexes an array from zero. A string that itself holds a JSON object or array is entered like
/// one, as policies inside CloudTrail's request parameters need.
pub fn get<'j>(json: &'j str, path: &[String]) -> Option<Cow<'j, str>> {
    if !looks_like_container(json) {
        return None;
    }
    find(json.as_bytes(), path).ok().flatten()
}

/// Calls `each` with every value that `path` leads to, Sigma's way: a list on the way, or at its end, is entered into
/// all its members, unless the segment is one's number. Returns false, having called nothing, where `json` is no JSON
/// object or array as a whole.
///
/// A string is handed over without its quotes, an object as its JSON text, an empty list as
/// [`Kind::Empty`], `null` not at all.
pub(crate) fn members(json: &str, path: &[String], each: &mut dyn FnMut(&str, Kind)) -> bool {
    if !looks_like_container(json) {
        return false;
    }
    let Ok(value) = JsonValue::parse(json.as_bytes(), false) else {
        return false;
    };
    walk(&value, path, each);
    true
}

fn walk(value: &JsonValue<'_>, path: &[String], each: &mut dyn FnMut(&str, Kind)) {
    match (value, path.split_first()) {
        (JsonValue::Array(items), None) if items.is_empty() => each("", Kind::Empty),
        (JsonValue::Array(items), None) => items.iter().for_each(|item| walk(item, path, each)),
        (JsonValue::Array(items), Some((segment, deeper))) => match segment.parse::<usize>() {
            Ok(index) => {
                if let Some(item) = items.get(index) {
                    walk(item, deeper, each);
                }
            }
            Err(_) => items.iter().for_each(|item| walk(item, path, each)),
        },
        (JsonValue::Object(object), Some((segment, deeper))) => {
            // As everywhere in JSON, the last of equal keys counts.
            if let Some((_, value)) = object.iter().rev().find(|(key, _)| key == segment) {
                walk(value, deeper, each);
            }
        }
        (JsonValue::Str(text), Some(_)) if looks_like_container(text) => {
            members(text, path, each);
        }
        (_, Some(_)) | (JsonValue::Null, None) => {}
        (JsonValue::Str(text), None) => each(text, Kind::Text),
        (JsonValue::Bool(truth), None) => each(if *truth { "true" } else { "false" }, Kind::Bool),
        (JsonValue::Int(number), None) => each(&number.to_string(), Kind::Number),
        (JsonValue::Float(number), None) => each(&number.to_string(), Kind::Number),
        (JsonValue::Object(_), None) => each(&text_of(value), Kind::Nested),
    }
}

fn text_of(value: &JsonValue<'_>) -> String {
    fn json(value: &JsonValue<'_>) -> serde_json::Value {
        use serde_json::Value;
        match value {
            JsonValue::Null => Value::Null,
            JsonValue::Bool(truth) => (*truth).into(),
            JsonValue::Int(number) => (*number).into(),
            JsonValue::Float(number) => (*number).into(),
            JsonValue::Str(text) => text.as_ref().into(),
            JsonValue::Array(items) => items.iter().map(json).collect::<Vec<_>>().into(),
            JsonValue::Object(object) => Value::Object(
                object
                    .iter()
                    .map(|(key, value)| (key.to_string(), json(value)))
                    .collect(),
            ),
        }
    }
    json(value).to_string()
}

fn looks_like_container(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

fn find<'j>(json: &'j [u8], path: &[String]) -> JiterResult<Option<Cow<'j, str>>> {
    let mut parser = Jiter::new(json);
    let mut rest = path;
    loop {
        let peek = parser.peek()?;
        let Some((segment, deeper)) = rest.split_first() else {
            return value(&mut parser, json, peek);
        };
        match peek {
            Peek::Object => {
                let mut key = parser.known_object()?.map(|key| key == segment.as_str());
                loop {
                    match key {
                        None => return Ok(None),
                        Some(true) => break,
                        Some(false) => {
                            parser.next_skip()?;
                            key = parser.next_key()?.map(|key| key == segment.as_str());
                        }
                    }
                }
            }
            Peek::Array => {
                let Ok(index) = segment.parse::<usize>() else {
                    return Ok(None);
                };
                let mut element = parser.known_array()?;
                for _ in 0..index {
                    let Some(peek) = element else { return Ok(None) };
                    parser.known_skip(peek)?;
                    element = parser.array_step()?;
                }
                if element.is_none() {
                    return Ok(None);
                }
            }
            Peek::String => {
                let inner = parser.known_str()?;
                return Ok(get(inner, rest).map(|found| Cow::Owned(found.into_owned())));
            }
            _ => return Ok(None),
        }
        rest = deeper;
    }
}

fn value<'j>(
    parser: &mut Jiter<'j>,
    json: &'j [u8],
    peek: Peek,
) -> JiterResult<Option<Cow<'j, str>>> {
    match peek {
        Peek::Null => Ok(None),
        Peek::String => {
            let start = parser.current_index() + 1;
            let text = parser.known_str()?;
            // Without escapes the text is a piece of the input and needs no copy.
            match json.get(start..start + text.len()) {
                Some(piece) if piece == text.as_bytes() => {
                    Ok(std::str::from_utf8(piece).ok().map(Cow::Borrowed))
                }
                _ => Ok(Some(Cow::Owned(text.to_owned()))),
            }
        }
        _ => {
            let start = parser.current_index();
            parser.known_skip(peek)?;
            let piece = parser.slice_to_current(start);
            Ok(std::str::from_utf8(piece).ok().map(Cow::Borrowed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(json: &str, path: &str) -> Option<String> {
        let path: Vec<String> = path.split('/').map(str::to_owned).collect();
        get(json, &path).map(Cow::into_owned)
    }

    #[test]
    fn finds_values_of_every_kind() {
        let json = r#" {"x": {"y": [1, {"z": "a\"b"}], "n": null}, "s": "plain", "t": true, "o": {"k": 1.50}}"#;
        assert_eq!(at(json, "s").as_deref(), Some("plain"));
        assert_eq!(at(json, "t").as_deref(), Some("true"));
        assert_eq!(at(json, "o").as_deref(), Some(r#"{"k": 1.50}"#));
        assert_eq!(at(json, "o/k").as_deref(), Some("1.50"));
        assert_eq!(at(json, "x/y/0").as_deref(), Some("1"));
        assert_eq!(at(json, "x/y/1/z").as_deref(), Some("a\"b"));
        for nowhere in ["x/n", "x/y/2", "x/y/-1", "q", "s/t", "t/x"] {
            assert_eq!(at(json, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn enters_json_inside_a_string() {
        let json = r#"{"policy": "{\"Statement\": [{\"Effect\": \"Allow\"}]}"}"#;
        assert_eq!(
            at(json, "policy/Statement/0/Effect").as_deref(),
            Some("Allow")
        );
    }

    #[test]
    fn what_is_not_json_has_no_values() {
        for text in ["", "x", "{", "[1", "{\"a\"", "{\"b\": tru, \"a\": 1}", "12"] {
            assert_eq!(at(text, "a"), None, "{text}");
        }
    }
}
