//! `json_get`: a place inside JSON text, as conditions read it (`docs/authors/conditions.md`); `json_quote`: a text inside JSON.

use std::borrow::Cow;

use serde_json::Value as Json;
use yagura_core::json::{elements, is_container, members, text_of};

use crate::{Made, Prepared, Value, Wrong};

/// The maximum of parts of a path.
const MAX_PARTS: usize = 50;

/// A path: `a.b[0]."c.d"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The key of an object, or the index of an array if it is a number.
    Key(String),
    /// The index of an array, from 0.
    Index(usize),
}

impl JsonPath {
    /// Reads a path.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |reason: &str| Err(format!("'{text}' is not a path: {reason}"));
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            if let Some(quoted) = rest.strip_prefix('"') {
                let Some((key, after)) = quoted.split_once('"') else {
                    return wrong("a quote is not closed");
                };
                parts.push(Part::Key(key.to_owned()));
                rest = after;
            } else if !(parts.is_empty() && rest.starts_with('[')) {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                if key.is_empty() {
                    return wrong("a key is empty");
                }
                parts.push(Part::Key(key.to_owned()));
                rest = after;
            }
            while let Some(inside) = rest.strip_prefix('[') {
                let index = inside.split_once(']');
                let index = index.and_then(|(index, after)| Some((index.parse().ok()?, after)));
                let Some((index, after)) = index else {
                    return wrong("between `[` and `]` stands a number from 0");
                };
                parts.push(Part::Index(index));
                rest = after;
            }
            if parts.len() > MAX_PARTS {
                return wrong("50 parts are the maximum");
            }
            rest = match rest.strip_prefix('.') {
                Some(rest) => rest,
                None if rest.is_empty() => return Ok(Self(parts)),
                None => return wrong("`.` or `[` stands between two parts"),
            };
        }
    }

    /// Returns the text of the value in JSON text.
    fn text<'t>(&self, json: &'t str) -> Option<Cow<'t, str>> {
        let mut value = Cow::Borrowed(json);
        for (index, part) in self.0.iter().enumerate() {
            // A string may contain JSON; the first text is JSON itself.
            let container = match value {
                Cow::Borrowed(text) if index > 0 => text_of(text),
                other => other,
            };
            if !is_container(&container) {
                return None;
            }
            value = match container {
                Cow::Borrowed(text) => Cow::Borrowed(part.of(text)?),
                // What was unescaped is not part of the event's text any more.
                Cow::Owned(text) => Cow::Owned(part.of(&text)?.to_owned()),
            };
        }
        match value {
            Cow::Borrowed(text) => (text != "null").then(|| text_of(text)),
            Cow::Owned(text) => (text != "null").then(|| Cow::Owned(text_of(&text).into_owned())),
        }
    }

    /// Returns the value below a value that was read.
    pub(crate) fn value<'v>(&self, json: &'v Json) -> Option<&'v Json> {
        self.0
            .iter()
            .try_fold(json, |json, part| match (part, json) {
                (Part::Key(key), Json::Object(members)) => members.get(key),
                (Part::Key(key), Json::Array(values)) => values.get(key.parse::<usize>().ok()?),
                (Part::Index(index), Json::Array(values)) => values.get(*index),
                _ => None,
            })
    }
}

impl Part {
    /// Returns the source text of the value in an object or array. Of equal keys the first one counts.
    fn of<'t>(&self, json: &'t str) -> Option<&'t str> {
        let element = |index: usize| elements(json).ok()?.get(index).copied();
        match (self, json.trim_start().starts_with('[')) {
            (Self::Key(key), false) => {
                let all = members(json).ok()?;
                let found = all.into_iter().find(|(known, _)| known == key)?;
                Some(found.1)
            }
            (Self::Key(key), true) => element(key.parse().ok()?),
            (Self::Index(index), true) => element(*index),
            (Self::Index(_), false) => None,
        }
    }
}

/// Returns the text of a value: strings without quotes, anything else as JSON; `None` for `null`.
pub(crate) fn shown(value: Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[derive(Debug)]
struct JsonGet(JsonPath);

/// Prepares `json_get(text, path)`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let path = JsonPath::parse(settings.first().copied().unwrap_or_default())?;
    Ok(Box::new(JsonGet(path)))
}

impl Prepared for JsonGet {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        self.0.text(text).map(Value::Text)
    }
}

#[derive(Debug)]
struct Quote;

/// Prepares `json_quote(text)`.
pub(crate) fn quote(_: &[&str]) -> Made {
    Ok(Box::new(Quote))
}

impl Prepared for Quote {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        serde_json::to_string(text).ok().map(Value::text)
    }
}

#[derive(Debug)]
struct ListGet(i64);

/// Prepares `list_get(list, index)`.
pub(crate) fn list_get(settings: &[&str]) -> Made {
    let text = settings.first().copied().unwrap_or_default();
    let index = text.trim().parse();
    let index = index.map_err(|_| format!("'{text}' is not an index: it is a whole number"))?;
    Ok(Box::new(ListGet(index)))
}

impl Prepared for ListGet {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let values = elements(text).ok()?;
        let index = match self.0 {
            behind @ 0.. => usize::try_from(behind).ok()?,
            from_end => {
                let back = usize::try_from(from_end.unsigned_abs()).ok()?;
                values.len().checked_sub(back)?
            }
        };
        let value = *values.get(index)?;
        (value != "null").then(|| Value::Text(text_of(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_counts_from_either_end() {
        let get = |list: &str, index: &str| match list_get(&[index]).unwrap().value(list) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            _ => None,
        };
        let list = r#" ["a\u00e4", 2.50, {"x": 1}, null] "#;
        for (index, expected) in [
            ("0", Some("aä")),
            ("1", Some("2.50")),
            ("-2", Some(r#"{"x": 1}"#)),
            ("-4", Some("aä")),
            ("3", None),
            ("4", None),
            ("-5", None),
            ("-9223372036854775808", None),
        ] {
            assert_eq!(get(list, index).as_deref(), expected, "{index}");
        }
        for text in ["", "{}", "[1", "1"] {
            assert_eq!(get(text, "0"), None, "{text}");
        }
        assert!(
            list_get(&["x"])
                .unwrap_err()
                .contains("'x' is not an index")
        );
    }

    fn get(json: &str, path: &str) -> Option<String> {
        let found = JsonPath::parse(path).unwrap().text(json);
        found.map(Cow::into_owned)
    }

    #[test]
    fn a_path_leads_through_objects_arrays_and_json_in_strings() {
        let json = r#" {"a": {"b": [{"c": "x\ny"}, 12345678901234567890123]}, "d.e": true, "n": null,
            "s": "{\"k\": [1, \"two\", null]}", "a": 1}"#;
        for (path, expected) in [
            ("a.b[0].c", Some("x\ny")),
            ("a.b.0.c", Some("x\ny")),
            ("a.b[1]", Some("12345678901234567890123")),
            ("a.b[2]", None),
            ("a.b[0]", Some(r#"{"c": "x\ny"}"#)),
            ("\"d.e\"", Some("true")),
            ("d.e", None),
            ("n", None),
            ("n.x", None),
            ("s.k[1]", Some("two")),
            ("s.k[2]", None),
            ("s.k[0]", Some("1")),
            ("a[0]", None),
        ] {
            assert_eq!(get(json, path).as_deref(), expected, "{path}");
        }
        assert_eq!(get("[[1], [2, 3]]", "[1][0]").as_deref(), Some("2"));
        for json in ["", "{", "{\"a\": 1", "null", "1", "\"{}\"", "{\"a\": 1} x"] {
            assert_eq!(get(json, "a"), None, "{json}");
        }
    }

    #[test]
    fn a_wrong_path_is_named() {
        for path in [
            "", ".a", "a.", "a[", "a[x]", "a[-1]", "\"a", "a[0]b", "a..b",
        ] {
            let wrong = JsonPath::parse(path).unwrap_err();
            assert!(wrong.contains("is not a path"), "{wrong}");
        }
        let long = vec!["a"; 51].join(".");
        assert!(JsonPath::parse(&long).is_err());
    }
}
