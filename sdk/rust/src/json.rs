//! Values inside JSON text, found without building a tree.
//!
//! Logs hold JSON text where their fields vary. A [`Json`] is a piece of such text; reading a key or an element skips the text
//! before it and returns another piece. Invalid JSON gives `None` or wrong values, never a panic: use [`is_valid`] to check it.

mod valid;

use std::borrow::Cow;

pub use self::valid::is_valid;

/// Returns the value at a dotted path, in the form of [`Json::text`]: `get(policy, "Statement.0.Effect")`.
///
/// A number as a segment indexes an array from zero. A string that itself holds JSON text is entered like an object.
pub fn get<'a>(json: &'a str, path: &str) -> Option<Cow<'a, str>> {
    let mut value = Json::new(json);
    let mut rest = path;
    loop {
        if let Some(text) = value.string() {
            let inner = get(&text, rest)?;
            return Some(Cow::Owned(inner.into_owned()));
        }
        let (segment, deeper) = match rest.split_once('.') {
            Some((segment, deeper)) => (segment, Some(deeper)),
            None => (rest, None),
        };
        value = value.step(segment)?;
        match deeper {
            Some(deeper) => rest = deeper,
            None => return value.text(),
        }
    }
}

/// Returns a text as a JSON string, with its quotes.
///
/// ```
/// assert_eq!(yagura_sdk::json::quote("a \"b\"\n"), r#""a \"b\"\n""#);
/// ```
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quote_into(text, &mut quoted);
    quoted
}

/// Appends a text as a JSON string, with its quotes.
pub(crate) fn quote_into(text: &str, quoted: &mut String) {
    quoted.push('"');
    let mut rest = text;
    // Most text has nothing to escape.
    while let Some(at) = rest.bytes().position(is_escaped) {
        let (before, from) = rest.split_at(at);
        quoted.push_str(before);
        let (escaped, after) = from.split_at(1);
        match escaped {
            "\"" => quoted.push_str("\\\""),
            "\\" => quoted.push_str("\\\\"),
            "\n" => quoted.push_str("\\n"),
            "\r" => quoted.push_str("\\r"),
            "\t" => quoted.push_str("\\t"),
            control => {
                let code = control.bytes().next().unwrap_or_default();
                quoted.push_str(&format!("\\u{code:04x}"));
            }
        }
        rest = after;
    }
    quoted.push_str(rest);
    quoted.push('"');
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\')
}

/// One value inside JSON text.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a> {
    /// Starts with the value's first byte; text after the value is ignored.
    text: &'a str,
}

impl<'a> Json<'a> {
    /// Returns the value that `text` starts with.
    pub fn new(text: &'a str) -> Self {
        let text = text.trim_ascii_start();
        let end = skip_value(text.as_bytes(), 0).unwrap_or(text.len());
        Self { text: &text[..end] }
    }

    /// Returns the value as JSON text.
    pub fn raw(self) -> &'a str {
        self.text
    }

    /// Returns whether the value is an object.
    pub fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    /// Returns whether the value is an array.
    pub fn is_array(self) -> bool {
        self.text.starts_with('[')
    }

    /// Returns whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.text == "null"
    }

    /// Returns the value under a key of an object.
    pub fn get(self, key: &str) -> Option<Self> {
        self.members()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Returns the value at a dotted path through objects and arrays: `at("ipPermissions.items.0")`.
    pub fn at(self, path: &str) -> Option<Self> {
        path.split('.').try_fold(self, Self::step)
    }

    /// Returns the members of an object in order; none if the value is not an object.
    pub fn members(self) -> Members<'a> {
        Members(Parts::of(self, b'{'))
    }

    /// Returns the elements of an array in order; none if the value is not an array.
    pub fn elements(self) -> Elements<'a> {
        Elements(Parts::of(self, b'['))
    }

    /// Returns the elements of an array, or the value itself if it is not an array: some formats, such as IAM policies, write a
    /// list of one without brackets.
    pub fn one_or_many(self) -> impl Iterator<Item = Self> {
        let alone = (!self.is_array() && !self.is_null()).then_some(self);
        self.elements().chain(alone)
    }

    /// Returns the text of a string; `None` if the value is not a string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inside = self.text.strip_prefix('"')?.strip_suffix('"')?;
        if inside.contains('\\') {
            unescape(inside).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inside))
        }
    }

    /// Returns a string without its quotes, any other value as JSON text, and `None` for `null`.
    pub fn text(self) -> Option<Cow<'a, str>> {
        if self.text.starts_with('"') {
            self.string()
        } else {
            (!self.is_null() && !self.text.is_empty()).then_some(Cow::Borrowed(self.text))
        }
    }

    /// Returns a whole number, also if it is written as a string.
    pub fn i64(self) -> Option<i64> {
        self.text()?.parse().ok()
    }

    /// Returns a number, also if it is written as a string.
    pub fn f64(self) -> Option<f64> {
        self.text()?.parse().ok()
    }

    /// Returns `true` or `false`, also when written as a string.
    pub fn bool(self) -> Option<bool> {
        self.text()?.parse().ok()
    }

    fn step(self, segment: &str) -> Option<Self> {
        if self.is_array() {
            self.elements().nth(segment.parse().ok()?)
        } else {
            self.get(segment)
        }
    }
}

/// The elements of an array.
pub struct Elements<'a>(Parts<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        self.0.separator()?;
        self.0.value()
    }
}

/// The members of an object: key and value.
pub struct Members<'a>(Parts<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.separator()?;
        let key = self.0.value()?.string()?;
        self.0.expect(b':')?;
        Some((key, self.0.value()?))
    }
}

/// A position inside an object or an array.
struct Parts<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

impl<'a> Parts<'a> {
    fn of(json: Json<'a>, open: u8) -> Self {
        let opens = json.text.as_bytes().first() == Some(&open);
        Self {
            text: json.text,
            at: if opens { 1 } else { json.text.len() },
            first: true,
        }
    }

    /// Skips the comma before the next part; `None` if there is no further part.
    fn separator(&mut self) -> Option<()> {
        self.at = skip_space(self.text.as_bytes(), self.at);
        if std::mem::take(&mut self.first) {
            return match self.text.as_bytes().get(self.at)? {
                b']' | b'}' => None,
                _ => Some(()),
            };
        }
        self.expect(b',')
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.at = skip_space(self.text.as_bytes(), self.at);
        if self.text.as_bytes().get(self.at) != Some(&byte) {
            // Nothing after a mistake can be trusted.
            self.at = self.text.len();
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn value(&mut self) -> Option<Json<'a>> {
        let start = skip_space(self.text.as_bytes(), self.at);
        let end = skip_value(self.text.as_bytes(), start);
        self.at = end.unwrap_or(self.text.len());
        Some(Json {
            text: self.text.get(start..end?)?,
        })
    }
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    let spaces = bytes[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace());
    at + spaces.count()
}

/// Returns where the value that starts at `at` ends. Brackets are counted, not matched, so depth costs nothing.
fn skip_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => skip_string(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = at;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = skip_string(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let end = bytes[at..]
                .iter()
                .position(|byte| {
                    matches!(byte, b',' | b']' | b'}' | b':' | b'"') || byte.is_ascii_whitespace()
                })
                .map_or(bytes.len(), |length| at + length);
            (end > at).then_some(end)
        }
    }
}

/// Returns where the string whose opening quote is at `at` ends.
fn skip_string(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(&rest[..backslash]);
        let escape = *rest.as_bytes().get(backslash + 1)?;
        rest = rest.get(backslash + 2..)?;
        match escape {
            b'"' => out.push('"'),
            b'\\' => out.push('\\'),
            b'/' => out.push('/'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let mut unit = hex_unit(&mut rest)?;
                if (0xd800..0xdc00).contains(&unit)
                    && let Some(mut low) = rest.strip_prefix("\\u")
                    && let Some(second) = hex_unit(&mut low)
                    && (0xdc00..0xe000).contains(&second)
                {
                    unit = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
                    rest = low;
                }
                // Half of a pair is no character.
                out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return None,
        }
    }
    out.push_str(rest);
    Some(out)
}

fn hex_unit(rest: &mut &str) -> Option<u32> {
    let unit = u32::from_str_radix(rest.get(..4)?, 16).ok()?;
    *rest = &rest[4..];
    Some(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_found_by_path() {
        let json = r#" {"x": {"y": [1, {"z": "a\"b"}], "n": null}, "s": "plain", "o": {"k": 1.50}, "e": {}} "#;
        assert_eq!(get(json, "s").as_deref(), Some("plain"));
        assert!(matches!(get(json, "s"), Some(Cow::Borrowed(_))));
        assert_eq!(get(json, "o").as_deref(), Some(r#"{"k": 1.50}"#));
        assert_eq!(get(json, "o.k").as_deref(), Some("1.50"));
        assert_eq!(get(json, "x.y.0").as_deref(), Some("1"));
        assert_eq!(get(json, "x.y.1.z").as_deref(), Some("a\"b"));
        for nowhere in ["x.n", "x.y.2", "x.y.-1", "q", "s.t", "o.k.x", "e.a", ""] {
            assert_eq!(get(json, nowhere), None, "{nowhere}");
        }
        let inside = r#"{"policy": "{\"Statement\": [{\"Effect\": \"Allow\"}]}"}"#;
        assert_eq!(
            get(inside, "policy.Statement.0.Effect").as_deref(),
            Some("Allow")
        );
    }

    #[test]
    fn one_or_many_reads_both_forms() {
        let read = |json: &'static str| -> Vec<Cow<'static, str>> {
            Json::new(json)
                .one_or_many()
                .filter_map(Json::string)
                .collect()
        };
        assert_eq!(read(r#""a""#), ["a"]);
        assert_eq!(read(r#"["a", "b"]"#), ["a", "b"]);
        assert!(read("null").is_empty() && read("[]").is_empty() && read("").is_empty());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(Json::new(&deep).elements().count(), 1);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::from("\"\\/\u{8}\n\u{1f} {}[],:")),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn same(json: Json<'_>, value: &Value) -> bool {
        match value {
            Value::Null => json.is_null() && json.text().is_none(),
            Value::Bool(b) => json.bool() == Some(*b),
            Value::Number(n) => json.i64() == n.as_i64(),
            Value::String(s) => json.string().as_deref() == Some(s),
            Value::Array(list) => {
                json.is_array()
                    && json.elements().count() == list.len()
                    && json
                        .elements()
                        .zip(list)
                        .all(|(json, value)| same(json, value))
            }
            Value::Object(map) => {
                json.is_object()
                    && json.members().count() == map.len()
                    && map
                        .iter()
                        .all(|(key, value)| json.get(key).is_some_and(|found| same(found, value)))
            }
        }
    }

    proptest! {
        /// serde_json is the oracle, compact and spread over lines.
        #[test]
        fn reads_what_serde_json_reads(value in value()) {
            prop_assert!(same(Json::new(&value.to_string()), &value));
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert!(same(Json::new(&pretty), &value), "{pretty}");
        }

        #[test]
        fn strings_with_escapes_read_as_serde_json_reads_them(units in prop::collection::vec(any::<u16>(), 0..8)) {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{escaped}\"");
            // serde_json refuses half a pair; here it is a replacement character.
            let expected = String::from_utf16_lossy(&units);
            let text = Json::new(&json).string();
            prop_assert_eq!(text.as_deref(), Some(expected.as_str()));
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[\[\]{}",:\\ua0\n é-]{0,40}"#) {
            let json = Json::new(&text);
            let _ = (json.string(), json.i64(), json.get("a"), json.at("a.0.u"), get(&text, "0.a"));
            json.elements().for_each(|element| drop(element.text()));
            json.members().for_each(drop);
        }
    }
}
