//! Pairs of keys and values: logfmt, and the key=value lines of firewalls and kernels.
//!
//! ```text
//! line  = [syslog header " "] *(pair | word)
//! pair  = key "=" (value | %x22 quoted %x22) [","]
//! key   = 1*(letter | digit | "_" | "-" | "." | "@" | "/" | ":" | "[" | "]")
//! value = characters up to a blank; escapes in quotes `\"` `\\` `\n` `\r` `\t` `\uXXXX`
//! ```
//!
//! Sources: the packages `github.com/kr/logfmt` and `github.com/go-logfmt/logfmt`; "FortiOS Log Message Reference" of Fortinet,
//! whose quotes escape only `"` and `\`; the kernel's `nf_log_syslog.c`.
//!
//! Words before the first pair are text. Between and after pairs, a single name is a key with the value `true`, and so are words in
//! capital letters, such as `ACK PSH`. Other words are text. All text goes into the member `text`. A quote that nothing closes reaches
//! to the end of the line.

use serde_json::{Map, Value};

use crate::clock::{Clock, rfc3339};
use crate::member::{add, add_text, are_most, merge};
use crate::{Decode, Decoded, Wrong, auditd, cef, leef, syslog};

/// Reads pairs of keys and values.
#[derive(Debug, Clone)]
pub(crate) struct Logfmt {
    clock: Clock,
}

/// Returns a decoder of pairs. The clock completes times without a year or a zone.
pub(crate) fn new(clock: Clock) -> Logfmt {
    Logfmt { clock }
}

impl Decode for Logfmt {
    fn written_until(&mut self, micros: i64) {
        self.clock.set_now(micros);
    }

    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let (header, body) = header(line, &self.clock);
        let pairs = Pairs::read(body);
        if pairs.count == 0 {
            return Err(Wrong {
                reason: "the line has no `key=value`".to_owned(),
                at: 0,
            });
        }
        let mut members = pairs.members;
        if let Some(time) = date_and_time(&members, &self.clock) {
            add(&mut members, "timestamp", time);
        }
        Ok(Decoded::Event(merge(header, members)))
    }
}

/// Returns whether a file begins with lines that consist of pairs: at least 3, and two thirds of the text behind a header.
pub(crate) fn looks_like(start: &str) -> bool {
    let clock = Clock::new(chrono::DateTime::UNIX_EPOCH);
    are_most(start, |line| {
        let is_other = cef::is_line(line) || leef::is_line(line) || auditd::is_line(line);
        let (header, body) = header(line, &clock);
        let is_markup =
            header.is_empty() && line.trim_start().starts_with(['{', '[', '<', '"', '#']);
        if is_other || is_markup {
            return false;
        }
        let pairs = Pairs::read(body);
        pairs.count >= 3 && pairs.bytes * 3 >= body.trim().len() * 2
    })
}

/// Splits a line into the members of a header, or at least a time, and the rest.
fn header<'l>(line: &'l str, clock: &Clock) -> (Map<String, Value>, &'l str) {
    if let Some(found) = syslog::sure_header(line, clock) {
        return found;
    }
    match clock.at_start(line) {
        Some((time, rest)) => {
            let mut members = Map::new();
            add(&mut members, "timestamp", rfc3339(time));
            (members, rest)
        }
        None => (Map::new(), line),
    }
}

/// Returns the time that the members `date`, `time` and `tz` of FortiGate state.
fn date_and_time(members: &Map<String, Value>, clock: &Clock) -> Option<String> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let (date, time) = (text("date")?, text("time")?);
    let is_date = date.len() == 10 && !members.contains_key("timestamp");
    let zone = text("tz").unwrap_or_default();
    let time = clock.whole(&format!("{date} {time}{zone}"))?;
    is_date.then(|| rfc3339(time))
}

/// The pairs of a text.
struct Pairs<'t> {
    text: &'t str,
    members: Map<String, Value>,
    count: usize,
    /// How much of the text they take.
    bytes: usize,
    /// The words after the last pair: where they begin and end, and the words.
    run: Option<(usize, usize)>,
    words: Vec<&'t str>,
    /// Text between pairs.
    loose: Vec<&'t str>,
}

impl<'t> Pairs<'t> {
    fn read(text: &'t str) -> Self {
        let mut pairs = Self {
            text,
            members: Map::new(),
            count: 0,
            bytes: 0,
            run: None,
            words: Vec::new(),
            loose: Vec::new(),
        };
        let is_plain = ["date=", "logver="]
            .iter()
            .any(|key| text.trim_start().starts_with(key));
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let start = text.len() - rest.len();
            let after = match pair(rest, is_plain) {
                Some((key, value, after)) => {
                    pairs.end_run();
                    add(&mut pairs.members, key, value);
                    pairs.count += 1;
                    pairs.bytes += rest.len() - after.len() + 1;
                    after
                }
                None => {
                    let (word, after) = word(rest, char::is_whitespace);
                    let (begin, _) = pairs.run.unwrap_or((start, start));
                    pairs.run = Some((begin, start + word.len()));
                    pairs.words.push(word);
                    after
                }
            };
            rest = after.trim_start();
        }
        pairs.end_run();
        // The text stands before the pairs.
        let mut members = Map::new();
        for text in std::mem::take(&mut pairs.loose) {
            add_text(&mut members, text);
        }
        for (key, value) in std::mem::take(&mut pairs.members) {
            add(&mut members, &key, value);
        }
        pairs.members = members;
        pairs
    }

    /// Decides what the words after the last pair are.
    fn end_run(&mut self) {
        let Some((start, end)) = self.run.take() else {
            return;
        };
        let is_name = |word: &&str| {
            word.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && word.ends_with(|c: char| c.is_alphanumeric())
                && word
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_-.".contains(c))
        };
        let is_flag = |word: &&str| is_name(word) && !word.contains(char::is_lowercase);
        let words = std::mem::take(&mut self.words);
        let are_keys = words.iter().all(is_flag) || (words.len() == 1 && words.iter().all(is_name));
        if self.count > 0 && are_keys {
            for key in words {
                add(&mut self.members, key, true);
                self.bytes += key.len() + 1;
            }
        } else {
            self.loose
                .push(self.text.get(start..end).unwrap_or_default());
        }
    }
}

fn word(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(ends).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Reads the pair with which a text begins, and returns its key, its value and what follows.
fn pair(text: &str, is_plain: bool) -> Option<(&str, String, &str)> {
    let (key, rest) = word(text, |c| c == '=' || c.is_whitespace());
    let rest = rest.strip_prefix('=')?;
    let is_key = key.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '@'))
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.@/:[]".contains(c))
        && !key.contains("//");
    if !is_key {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, after) = unquoted(quoted, is_plain);
        return Some((key, value, after.strip_prefix(',').unwrap_or(after)));
    }
    let (value, after) = word(rest, char::is_whitespace);
    // A comma that divides two pairs.
    let (next, _) = word(after.trim_start(), char::is_whitespace);
    let value = value
        .strip_suffix(',')
        .filter(|_| next.contains('='))
        .unwrap_or(value);
    Some((key, value.to_owned(), after))
}

/// Reads up to the closing quote, and returns the value and what follows.
fn unquoted(text: &str, is_plain: bool) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, after) = word(rest, |c| matches!(c, '"' | '\\'));
        value.push_str(part);
        let mut chars = after.chars();
        if chars.next() != Some('\\') {
            return (value, chars.as_str());
        }
        let escaped = chars.next();
        rest = chars.as_str();
        match escaped {
            Some(c @ ('"' | '\\')) => value.push(c),
            Some('n') if !is_plain => value.push('\n'),
            Some('r') if !is_plain => value.push('\r'),
            Some('t') if !is_plain => value.push('\t'),
            Some('u') if !is_plain => {
                let code = rest
                    .get(..4)
                    .filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
                let c = code.and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
                match (c, rest.get(4..)) {
                    (Some(c), Some(after)) => {
                        value.push(c);
                        rest = after;
                    }
                    _ => value.push_str("\\u"),
                }
            }
            Some(c) => value.extend(['\\', c]),
            None => value.push('\\'),
        }
    }
}

#[cfg(test)]
mod tests;
