//! What must not be stored: fields and patterns, masked in events and lines before anything is written.

use std::borrow::Cow;
use std::ops::Range;

use hmac::{Hmac, KeyInit, Mac};
use regex::{Captures, Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;
use yagura_core::FieldPath;
use yagura_core::alert::hex;
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::json::{elements, members, text_of};

/// `[[source.mask]]`: what is masked, by one of `field` and `pattern`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskFile {
    /// A field of the maker's, in whichever element of an array: all of its value.
    #[serde(default)]
    pub field: Option<FieldPath>,
    /// A regular expression: what it matches, in any key or value.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What a match must be besides.
    #[serde(default)]
    pub check: Option<MaskCheck>,
    /// Whether a keyed hash stands in its place, so that equal values stay equal; else `***`.
    #[serde(default)]
    pub hash: bool,
}

/// What a match of a pattern must be to be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaskCheck {
    /// A number with a right check digit by Luhn's algorithm, as card numbers have.
    Luhn,
}

/// Stands for what is masked.
const STARS: &str = "***";
/// Compiled size of a pattern, in bytes.
const COMPILED: usize = 1 << 20;
/// In a line that is no JSON, a value that is shorter may stand anywhere: the line is not kept as it was.
const SHORTEST: usize = 4;

/// All masks of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Masks {
    fields: Vec<(FieldPath, bool)>,
    patterns: Vec<PatternMask>,
    /// The key of hashes.
    key: Vec<u8>,
}

#[derive(Debug, Clone)]
struct PatternMask {
    regex: Regex,
    check: Option<MaskCheck>,
    hash: bool,
}

impl Masks {
    /// Reads the masks of a source; what is wrong with them has a key inside `[source]`.
    pub(crate) fn new(written: &[MaskFile]) -> (Self, Vec<Diagnostic>) {
        let mut masks = Self::default();
        let mut problems = Vec::new();
        for (index, mask) in written.iter().enumerate() {
            let key = Key::top("mask").index(index);
            let mut wrong = |code, key: Key, message: String| {
                problems.push(Diagnostic::error(code, message).at(key));
            };
            match (&mask.field, &mask.pattern) {
                (Some(_), Some(_)) | (None, None) => {
                    let message = "needs one of `field` and `pattern`".to_owned();
                    wrong(Code::ConflictingKeys, key, message);
                }
                (Some(_), None) if mask.check.is_some() => {
                    let message =
                        "is for matches of a `pattern`: all of a field is masked".to_owned();
                    wrong(Code::ConflictingKeys, key.name("check"), message);
                }
                (Some(field), None) => masks.fields.push((field.clone(), mask.hash)),
                (None, Some(pattern)) => {
                    let regex = RegexBuilder::new(pattern).size_limit(COMPILED).build();
                    match regex {
                        Ok(regex) if regex.is_match("") => {
                            let message = "matches a text without characters, and so everywhere: write what must be there".to_owned();
                            wrong(Code::InvalidPattern, key.name("pattern"), message);
                        }
                        Ok(regex) => masks.patterns.push(PatternMask {
                            regex,
                            check: mask.check,
                            hash: mask.hash,
                        }),
                        Err(error) => {
                            let text = error.to_string();
                            let last = text.lines().last().unwrap_or_default();
                            let message = format!("is not a regular expression: {last}");
                            wrong(Code::InvalidPattern, key.name("pattern"), message);
                        }
                    }
                }
            }
        }
        (masks, problems)
    }

    /// Says whether hashes need a key.
    pub(crate) fn needs_key(&self) -> bool {
        self.fields.iter().any(|(_, hash)| *hash) || self.patterns.iter().any(|of| of.hash)
    }

    pub(crate) fn set_key(&mut self, key: &[u8]) {
        self.key = key.to_vec();
    }

    /// Returns a line without what its patterns match.
    pub(crate) fn line<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for mask in &self.patterns {
            let replaced = mask.regex.replace_all(&masked, |found: &Captures<'_>| {
                let value = &found[0];
                match mask.check {
                    Some(MaskCheck::Luhn) if !has_check_digit(value) => value.to_owned(),
                    _ => self.stand_in(value, mask.hash),
                }
            });
            if let Cow::Owned(replaced) = replaced
                && replaced != masked
            {
                masked = Cow::Owned(replaced);
            }
        }
        masked
    }

    /// Returns an event, a JSON object, and its source text where that is another, without what is masked. Where the source text
    /// cannot be masked for certain, it is left out.
    pub(crate) fn event(&self, event: String, raw: Option<String>) -> (String, Option<String>) {
        if self.fields.is_empty() && self.patterns.is_empty() {
            return (event, raw);
        }
        let mut raw = raw;
        let mut places: Vec<(Range<usize>, String)> = Vec::new();
        for (field, hash) in &self.fields {
            let mut found = Vec::new();
            values_at(&event, &event, field.segments(), &mut found);
            for range in found {
                let value = text_of(&event[range.clone()]);
                let stand_in = self.stand_in(&value, *hash);
                raw = raw
                    .filter(|_| value.len() >= SHORTEST)
                    .map(|raw| raw.replace(value.as_ref(), &stand_in));
                places.push((range, format!("\"{stand_in}\"")));
            }
        }
        let event = replaced(event, places);
        let event = match self.patterns.is_empty() {
            true => event,
            false => self.tokens(&event),
        };
        let raw = raw.map(|raw| self.line(&raw).into_owned());
        (event, raw)
    }

    /// Returns a JSON text with the patterns masked in each of its strings and numbers.
    fn tokens(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => string_length(rest),
                '{' | '}' | '[' | ']' | ':' | ',' => first.len_utf8(),
                first if first.is_whitespace() => first.len_utf8(),
                _ => rest
                    .find(|c: char| c.is_whitespace() || "{}[]:,\"".contains(c))
                    .unwrap_or(rest.len()),
            };
            let (token, behind) = rest.split_at(length);
            match (first, self.line(token)) {
                ('{' | '}' | '[' | ']' | ':' | ',', _) | (_, Cow::Borrowed(_)) => {
                    masked.push_str(token);
                }
                ('"', _) => {
                    let inside = token.trim_start_matches('"');
                    let inside = inside.strip_suffix('"').unwrap_or(inside);
                    masked.push('"');
                    masked.push_str(&self.line(inside));
                    masked.push('"');
                }
                (_, Cow::Owned(value)) => {
                    masked.push('"');
                    masked.push_str(&value);
                    masked.push('"');
                }
            }
            rest = behind;
        }
        masked
    }

    fn stand_in(&self, value: &str, hash: bool) -> String {
        if !hash {
            return STARS.to_owned();
        }
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return STARS.to_owned();
        };
        mac.update(value.as_bytes());
        let digest = mac.finalize().into_bytes();
        format!("hash:{}", hex(&digest[..16]))
    }
}

/// Returns the length of the string that a text begins with, its quotes among it.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Adds the places of all values at a path, in every element of arrays, and of keys that stand several times.
fn values_at(whole: &str, value: &str, path: &[String], found: &mut Vec<Range<usize>>) {
    if value.starts_with('[') && !path.is_empty() {
        for element in elements(value).unwrap_or_default() {
            values_at(whole, element, path, found);
        }
        return;
    }
    let Some((first, rest)) = path.split_first() else {
        let start = value.as_ptr() as usize - whole.as_ptr() as usize;
        found.push(start..start + value.len());
        return;
    };
    if value.starts_with('{') {
        for (key, below) in members(value).unwrap_or_default() {
            if key == first.as_str() {
                values_at(whole, below, rest, found);
            } else if key.contains('.') && key == path.join(".") {
                values_at(whole, below, &[], found);
            }
        }
    }
}

/// Returns a text with other texts in place of some of its parts; a part inside another is covered by that.
fn replaced(text: String, mut places: Vec<(Range<usize>, String)>) -> String {
    if places.is_empty() {
        return text;
    }
    places.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for (range, stand_in) in places {
        if range.start < at {
            continue;
        }
        masked.push_str(&text[at..range.start]);
        masked.push_str(&stand_in);
        at = range.end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// Says whether the digits of a text, 12 to 19 of them, have a right check digit.
fn has_check_digit(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masks(written: &str) -> Masks {
        #[derive(Deserialize)]
        struct File {
            mask: Vec<MaskFile>,
        }
        let file: File = toml::from_str(written).unwrap();
        let (mut masks, problems) = Masks::new(&file.mask);
        assert!(problems.is_empty(), "{problems:?}");
        masks.set_key(b"key");
        masks
    }

    const CARDS: &str = "[[mask]]\npattern = '[0-9][0-9 -]{10,22}[0-9]'\ncheck = 'luhn'\n";

    #[test]
    fn a_field_is_masked_wherever_it_stands() {
        let masks =
            masks("[[mask]]\nfield = 'user.mail'\n[[mask]]\nfield = 'token'\nhash = true\n");
        let event =
            r#"{"user":[{"mail":"a@b.ch","n":1},{"mail":"c@d.ch"}],"token":"t1","x":"a@b.ch"}"#;
        let raw = "a@b.ch c@d.ch token-t1".to_owned();
        let (event, raw) = masks.event(event.to_owned(), Some(raw));
        let hash = masks.stand_in("t1", true);
        assert_eq!(
            event,
            format!(
                r#"{{"user":[{{"mail":"***","n":1}},{{"mail":"***"}}],"token":"{hash}","x":"a@b.ch"}}"#
            )
        );
        // A value of two letters may stand anywhere in the line.
        assert_eq!(raw, None);
        assert_eq!(hash.len(), "hash:".len() + 32);
        assert_ne!(hash, masks.stand_in("t2", true));
        let dotted = masks.event(r#"{"user.mail":"a@b.ch"}"#.to_owned(), None).0;
        assert_eq!(dotted, r#"{"user.mail":"***"}"#);
    }

    #[test]
    fn a_pattern_is_masked_in_strings_numbers_and_lines() {
        let masks = masks(CARDS);
        let event = r#"{"a":"card 4111 1111 1111 1111.","b":4111111111111111,"c":4111111111111112,"d":["\"4111-1111-1111-1111"]}"#;
        let raw = Some("paid with 4111111111111111".to_owned());
        let (event, raw) = masks.event(event.to_owned(), raw);
        assert_eq!(
            event,
            r#"{"a":"card ***.","b":"***","c":4111111111111112,"d":["\"***"]}"#
        );
        assert_eq!(raw.unwrap(), "paid with ***");
        assert_eq!(masks.line("order 123456789012"), "order 123456789012");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (written, expected) in [
            ("hash = true", "needs one of `field` and `pattern`"),
            (
                "field = 'a'\npattern = 'b'",
                "needs one of `field` and `pattern`",
            ),
            ("field = 'a'\ncheck = 'luhn'", "all of a field is masked"),
            ("pattern = '('", "is not a regular expression"),
            ("pattern = 'a*'", "matches a text without characters"),
        ] {
            let mask: MaskFile = toml::from_str(written).unwrap();
            let (_, problems) = Masks::new(&[mask]);
            assert!(
                problems[0].message.contains(expected),
                "{written}: {problems:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_masked_event_is_an_event_without_the_value(
            value in "[0-9]{12}",
            around in "[a-z\"\\\\ {}:,\u{e9}]{0,12}",
        ) {
            let masks = masks("[[mask]]\npattern = '[0-9]{12}'\n");
            let text = format!("{around}{value}{around}");
            let event = serde_json::json!({"a": text, text.as_str(): [1, {"b": text}], "n": 1.5}).to_string();
            let (event, _) = masks.event(event, None);
            prop_assert!(!event.contains(&value), "{}", event);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&event).is_ok(), "{}", event);
        }
    }
}
