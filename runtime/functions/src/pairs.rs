//! `parse_kv`: the value of a key, with the reader of logfmt or with separators of the caller.

use serde_json::Value as Json;

use crate::{Made, Prepared, Value, lines};

/// Pairs between separators.
#[derive(Debug)]
struct Pairs {
    key: String,
    /// Between two pairs.
    between: String,
    /// Between a key and its value.
    within: String,
}

/// Prepares `parse_kv(text, key [, pair_separator, key_separator])`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let (key, between, within) = match settings {
        [_] => return lines::logfmt(settings),
        [key, between] => (key, between, &"="),
        [key, between, within] => (key, between, within),
        _ => return Err("it takes a key and at most 2 separators".to_owned()),
    };
    if between.is_empty() || within.is_empty() || between == within {
        return Err(
            "a separator is empty, or the two separators are the same; write 2 different texts"
                .to_owned(),
        );
    }
    // A quote or backslash in a separator would give those of the text two meanings.
    if [between, within]
        .iter()
        .any(|text| text.contains(['"', '\\']))
    {
        return Err("a separator contains a double quote or a backslash".to_owned());
    }
    Ok(Box::new(Pairs {
        key: (*key).to_owned(),
        between: (*between).to_owned(),
        within: (*within).to_owned(),
    }))
}

impl Pairs {
    /// Takes the first value off a text, and returns it with the text behind the next separator. A value in double quotes may
    /// contain separators; `\"` is a quote, and `\\` a backslash.
    fn value<'t>(&self, text: &'t str) -> (String, &'t str) {
        let start = text.trim_start();
        if let Some(quoted) = start.strip_prefix('"') {
            let mut value = String::new();
            let mut chars = quoted.chars();
            while let Some(c) = chars.next() {
                match c {
                    '"' => {
                        let rest = chars.as_str();
                        let after = rest.trim_start();
                        if after.is_empty() {
                            return (value, "");
                        }
                        for rest in [rest, after] {
                            if let Some(rest) = rest.strip_prefix(&self.between) {
                                return (value, rest);
                            }
                        }
                        break;
                    }
                    '\\' => match chars.next() {
                        Some(c @ ('"' | '\\')) => value.push(c),
                        Some(c) => value.extend(['\\', c]),
                        None => value.push('\\'),
                    },
                    c => value.push(c),
                }
            }
        }
        // Not in quotes, or with something behind them.
        let (value, rest) = text.split_once(&self.between).unwrap_or((text, ""));
        (value.trim().to_owned(), rest)
    }
}

impl Prepared for Pairs {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let mut found = Vec::new();
        let mut rest = text;
        // Where the next separator within a pair stands, from the end, so that no text is searched twice.
        let mut within_from_end = usize::MAX;
        while !rest.is_empty() {
            if within_from_end > rest.len() {
                let Some(at) = rest.find(&self.within) else {
                    break;
                };
                within_from_end = rest.len() - at;
            }
            let (pair, after) = rest.split_at(rest.len() - within_from_end);
            if let Some((_, after)) = pair.split_once(&self.between) {
                // A word without a value.
                rest = rest
                    .get(rest.len() - within_from_end - after.len()..)
                    .unwrap_or_default();
                continue;
            }
            let after = after.strip_prefix(&self.within).unwrap_or_default();
            let (value, after) = self.value(after);
            if pair.trim() == self.key {
                found.push(value);
            }
            rest = after;
        }
        match found.len() {
            0 => None,
            1 => found.pop().map(Value::text),
            _ => Some(Value::text(Json::from(found).to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, settings: &[&str]) -> Option<String> {
        match prepare(settings).unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            other => {
                assert_eq!(other, None);
                None
            }
        }
    }

    #[test]
    fn separators_are_those_of_the_caller() {
        let text = r#"user: ada; note : "a; b: \"c\""; none; user: eve;empty:;odd: "x" y"#;
        for (key, expected) in [
            ("user", Some(r#"["ada","eve"]"#)),
            ("note", Some("a; b: \"c\"")),
            ("empty", Some("")),
            ("odd", Some("\"x\" y")),
            ("none", None),
        ] {
            assert_eq!(get(text, &[key, ";", ":"]).as_deref(), expected, "{key}");
        }
        assert_eq!(get("a=1&b=2", &["b", "&"]).as_deref(), Some("2"));
        assert_eq!(get("a=1=2,b=3", &["a", ","]).as_deref(), Some("1=2"));
        assert_eq!(get("", &["a", ","]), None);
        assert_eq!(get("a=1 b=2", &["b"]).as_deref(), Some("2"));
    }

    #[test]
    fn wrong_separators_are_refused() {
        for settings in [
            ["a", "", "="],
            ["a", ",", ""],
            ["a", "=", "="],
            ["a", "\"", "="],
            ["a", ",", "\\"],
        ] {
            assert!(prepare(&settings).is_err(), "{settings:?}");
        }
    }

    #[test]
    fn time_grows_with_the_length_of_the_text() {
        for part in ["a", "a=", ",", "a=\"", "\"", "a=\"b\"c,", "=\"\\\"", "= "] {
            let text = format!("{}=", part.repeat(200_000));
            let _ = get(&text, &["a", ","]);
        }
    }
}
