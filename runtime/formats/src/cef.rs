//! Common Event Format of ArcSight.
//!
//! ```text
//! line      = [syslog header " "] "CEF:" cef_version 6("|" field) ["|" extension]
//! field     : device_vendor, device_product, device_version, signature_id, name, severity; escapes `\|` `\\`
//! extension = key "=" value *(" " key "=" value)
//! key       = 1*(letter | digit | "_" | "." | "-" | "[" | "]")
//! value     : up to the blank before the next key; escapes `\=` `\\` `\n` `\r` `\|`
//! ```
//!
//! Source: "Implementing ArcSight Common Event Format (CEF)", Micro Focus, version 25, which also states the types. Values of the
//! type integer are numbers, and all others text. Two deviations that products have are also read: a blank behind
//! `CEF:`, and no `CEF:`, because a syslog daemon took it for a tag.

use serde_json::{Map, Value};

use crate::clock::{Clock, rfc3339};
use crate::member::{add, add_text, are_most, merge};
use crate::{Decode, Decoded, Wrong, syslog};

/// The members of the header, in order.
const HEADER: [&str; 7] = [
    "cef_version",
    "device_vendor",
    "device_product",
    "device_version",
    "signature_id",
    "name",
    "severity",
];

/// Keys whose type is integer or long.
const INTEGERS: [&str; 20] = [
    "cn1",
    "cn2",
    "cn3",
    "cnt",
    "destinationTranslatedPort",
    "deviceDirection",
    "dpid",
    "dpt",
    "dvcpid",
    "eventId",
    "flexNumber1",
    "flexNumber2",
    "fsize",
    "in",
    "oldFileSize",
    "out",
    "spid",
    "spt",
    "sourceTranslatedPort",
    "type",
];

/// Reads lines of CEF.
#[derive(Debug, Clone)]
pub(crate) struct Cef {
    clock: Clock,
}

/// Returns a decoder of CEF. The clock completes times without a year or a zone.
pub(crate) fn new(clock: Clock) -> Cef {
    Cef { clock }
}

impl Decode for Cef {
    fn written_until(&mut self, micros: i64) {
        self.clock.set_now(micros);
    }

    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let Some((before, rest)) = split(line) else {
            return Err(Wrong {
                reason: "the line has no `CEF:` with a version and a `|` after it".to_owned(),
                at: 0,
            });
        };
        let mut members = Map::new();
        let mut rest = Some(rest);
        for (count, name) in HEADER.iter().enumerate() {
            let Some(text) = rest else {
                return Err(Wrong {
                    reason: format!("the header of CEF has 7 fields, and this line {count}"),
                    at: line.len(),
                });
            };
            let (field, after) = field(text);
            add(&mut members, name, field.trim());
            rest = after;
        }
        let (text, pairs) = pairs(rest.unwrap_or_default());
        let mut extension = Map::new();
        for (key, value) in pairs {
            let value = unescaped(value, &['=', '\\', '|'], true);
            let number = INTEGERS.contains(&key).then(|| integer(&value)).flatten();
            add(&mut extension, key, number.unwrap_or_else(|| value.into()));
        }
        let labelled = labelled(&extension);
        let time = ["rt", "start", "end"]
            .iter()
            .filter_map(|name| extension.get(*name)?.as_str())
            .find_map(|text| self.clock.whole(text));
        let has_time = extension.contains_key("timestamp");
        for (key, value) in extension {
            add(&mut members, &key, value);
        }
        if let Some(time) = time.filter(|_| !has_time) {
            add(&mut members, "timestamp", rfc3339(time));
        }
        if !labelled.is_empty() {
            add(&mut members, "labelled", labelled);
        }
        add_text(&mut members, text);
        Ok(Decoded::Event(merge(
            syslog::before(before, &self.clock),
            members,
        )))
    }
}

/// Returns whether a file begins with lines of CEF.
pub(crate) fn looks_like(start: &str) -> bool {
    are_most(start, is_line)
}

pub(crate) fn is_line(line: &str) -> bool {
    let is_json = line.trim_start().starts_with(['{', '[', '"']);
    let whole = |(before, rest): (&str, &str)| {
        let clock = Clock::new(chrono::DateTime::UNIX_EPOCH);
        let is_header = before.trim().is_empty() || syslog::header(before, &clock).is_ok();
        let mut rest = Some(rest);
        let fields = HEADER.iter().all(|_| {
            let found = rest.is_some();
            rest = rest.and_then(|text| field(text).1);
            found
        });
        is_header && fields
    };
    !is_json && split(line).is_some_and(whole)
}

/// Returns the text before `CEF:`, and that which begins with the version.
fn split(line: &str) -> Option<(&str, &str)> {
    let has_version = |rest: &str| {
        let digits = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
        digits > 0
            && rest
                .get(digits..)
                .is_some_and(|rest| rest.starts_with(['|', '.']))
    };
    for (at, mark) in line.match_indices("CEF:") {
        let (before, rest) = line.split_at_checked(at)?;
        let rest = rest.strip_prefix(mark)?.trim_start_matches(' ');
        if has_version(rest) {
            return Some((before, rest));
        }
    }
    let rest = line.trim_start();
    has_version(rest).then_some(("", rest))
}

/// Returns the text of the first header field, and what stands behind its `|`.
fn field(text: &str) -> (String, Option<&str>) {
    let mut is_escaped = false;
    let end = text.find(|c| {
        let is_end = c == '|' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    let (field, rest) = end
        .and_then(|end| text.split_at_checked(end))
        .unwrap_or((text, ""));
    (
        unescaped(field, &['|', '\\'], false),
        rest.strip_prefix('|'),
    )
}

/// Splits an extension into the text before its first key, and its keys with their values.
pub(crate) fn pairs(text: &str) -> (&str, Vec<(&str, &str)>) {
    // Where keys begin and end.
    let mut keys: Vec<(usize, usize)> = Vec::new();
    let (mut start, mut is_key) = (0, true);
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            (start, is_key) = (at + c.len_utf8(), true);
        } else if c == '=' {
            if is_key && start < at {
                keys.push((start, at));
            }
            is_key = false;
        } else {
            is_key &= c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        }
    }
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let ends = keys
        .iter()
        .skip(1)
        .map(|(start, _)| *start)
        .chain([text.len()]);
    let values = keys.iter().zip(ends).map(|((start, end), next)| {
        let value = part(end + 1, next);
        (part(*start, *end), value.trim_end())
    });
    let first = keys.first().map_or(text.len(), |(start, _)| *start);
    (part(0, first), values.collect())
}

/// Resolves escapes. A backslash before another character stays.
fn unescaped(text: &str, escaped: &[char], has_lines: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some('n') if has_lines => result.push('\n'),
            Some('r') if has_lines => result.push('\r'),
            Some(c) if escaped.contains(&c) => result.push(c),
            Some(c) => result.extend(['\\', c]),
            None => result.push('\\'),
        }
    }
    result
}

/// Returns a number, if its usual text is the given one.
pub(crate) fn integer(text: &str) -> Option<Value> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then(|| number.into())
}

/// Returns values such as `cs1` under the names that `cs1Label` gives them.
fn labelled(extension: &Map<String, Value>) -> Map<String, Value> {
    let mut labelled = Map::new();
    for (key, label) in extension {
        if let Some(value) = key
            .strip_suffix("Label")
            .and_then(|name| extension.get(name))
            && let Some(label) = label.as_str().filter(|label| !label.is_empty())
        {
            add(&mut labelled, label, value.clone());
        }
    }
    labelled
}

#[cfg(test)]
mod tests;
