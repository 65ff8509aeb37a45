//! Lines of syslog, as programs send them and as files hold them.
//!
//! ```text
//! line     = [octet count " "] ["<" priority ">"] (rfc5424 | rfc3164 | text)
//! rfc5424  = version " " time " " hostname " " app_name " " proc_id " " msg_id " " data [" " message]
//! data     = "-" | 1*("[" id *(" " name "=" %x22 value %x22) "]")
//! rfc3164  = [sequence ":" ] [hostname ":"] ["*" | "."] time [":"] [" " hostname] [" " tag] [" " message]
//! tag      = app_name ["[" proc_id "]"] ":" | app_name "[" digits "]"
//! ```
//!
//! Sources: RFC 5424 section 6; RFC 3164 section 4; RFC 6587 section 3.4.1 (octet count); the templates
//! `RSYSLOG_TraditionalFileFormat` and `RSYSLOG_FileFormat` of rsyslog (no priority, times of RFC 3339); "System Message
//! Format" in the Cisco IOS manual (sequence, marks of clocks that are not synchronised, a colon behind the time).
//!
//! A message that says that another was repeated has the member `repeated` with its number. If it holds the other message, as rsyslog
//! writes it, the member `message` is that one.
//!
//! A part that is `-` has no member. Where data or a tag is malformed, its text begins the message. A priority without a time
//! is enough, as RFC 3164 section 4.3.3 says.

use serde_json::{Map, Value};

use crate::clock::{Clock, rfc3339};
use crate::member::{add, add_text, are_most};
use crate::{Decode, Decoded, Wrong, auditd, cef, leef};

/// RFC 5424, table 1, by the names that Linux gives them.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// RFC 5424, table 2.
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// Reads lines of syslog.
#[derive(Debug, Clone)]
pub(crate) struct Syslog {
    clock: Clock,
}

/// Returns a decoder of syslog. The clock completes times without a year or a zone.
pub(crate) fn new(clock: Clock) -> Syslog {
    Syslog { clock }
}

impl Decode for Syslog {
    fn written_until(&mut self, micros: i64) {
        self.clock.set_now(micros);
    }

    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let (mut members, message) = header(line, &self.clock)?;
        match repeated(message) {
            None => add(&mut members, "message", message),
            Some((count, message)) => {
                add(&mut members, "message", message);
                add(&mut members, "repeated", count);
            }
        }
        Ok(Decoded::Event(members))
    }
}

/// Reads `message repeated 3 times: [ text]` of rsyslog, and `last message repeated 3 times` of other programs: how often, and the message,
/// which the second form does not name.
fn repeated(message: &str) -> Option<(u64, &str)> {
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    if let Some(rest) = message.strip_prefix("message repeated ") {
        let (count, rest) = rest.split_once(" times: [")?;
        let inner = rest.trim_end().strip_suffix(']')?;
        return Some((number(count)?, inner.strip_prefix(' ').unwrap_or(inner)));
    }
    let bare = message.trim_matches(|c: char| c == '-' || c.is_whitespace());
    let rest = bare.strip_prefix("last message repeated ")?;
    let (count, times) = rest.split_once(' ')?;
    matches!(times, "times" | "time").then(|| Some((number(count)?, message)))?
}

/// Returns whether a file begins with lines of syslog. Lines of forms that have a decoder of their own behind a syslog header are
/// not claimed, except pairs of keys and values: `logfmt` is asked first.
pub(crate) fn looks_like(start: &str) -> bool {
    let clock = Clock::new(chrono::DateTime::UNIX_EPOCH);
    are_most(start, |line| {
        let is_other = cef::is_line(line) || leef::is_line(line) || auditd::is_line(line);
        !is_other && sure_header(line, &clock).is_some()
    })
}

/// Reads the header, and returns its members and the message.
///
/// # Errors
/// [`Wrong`]: the line begins with neither a priority nor a time.
pub(crate) fn header<'l>(
    line: &'l str,
    clock: &Clock,
) -> Result<(Map<String, Value>, &'l str), Wrong> {
    let mut members = Map::new();
    let text = line.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let text = octets(text, &mut members);
    let (priority, rest) = priority(text).map_or((None, text), |(found, rest)| (Some(found), rest));
    if let Some(priority) = priority {
        let (facility, severity) = (priority / 8, priority % 8);
        let name = |names: &[&'static str], at| names.get(at).copied().unwrap_or_default();
        add(&mut members, "priority", priority);
        add(&mut members, "facility", name(&FACILITIES, facility));
        add(&mut members, "severity", name(&SEVERITIES, severity));
    }
    if let Some(message) = rfc5424(rest, priority.is_some(), clock, &mut members) {
        return Ok((members, message));
    }
    if let Some(message) = rfc3164(rest.trim_start_matches(' '), clock, &mut members) {
        return Ok((members, message));
    }
    if priority.is_none() {
        return Err(Wrong {
            reason: "the line begins with neither a priority, such as `<34>`, nor a time"
                .to_owned(),
            at: 0,
        });
    }
    let message = tag(rest, &mut members).unwrap_or(rest);
    Ok((members, message))
}

/// Words at the place of the hostname in lines that are not syslog.
const LEVELS: [&str; 9] = [
    "trace", "debug", "info", "notice", "warn", "warning", "error", "fatal", "critical",
];

/// Reads a header that is more than a date and a word, because lines of many programs begin with these. After a date that starts
/// the line, a hostname and a program must follow, or the date must be one of rsyslog.
pub(crate) fn sure_header<'l>(
    line: &'l str,
    clock: &Clock,
) -> Option<(Map<String, Value>, &'l str)> {
    let (members, message) = header(line, clock).ok()?;
    let has = |name: &str| members.contains_key(name);
    if has("priority") || !line.starts_with(|c: char| c.is_ascii_digit()) {
        return Some((members, message));
    }
    let host = members.get("hostname").and_then(Value::as_str)?;
    let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(host));
    let is_iso = line.get(10..11) == Some("T") || has("version");
    // RSYSLOG_FileFormat: microseconds, and a zone as a number.
    let zone = line.get(26..32).unwrap_or_default().as_bytes();
    let is_rsyslog =
        is_iso && line.get(19..20) == Some(".") && matches!(zone, [b'+' | b'-', _, _, b':', _, _]);
    let has_program = has("proc_id") || (has("app_name") && is_iso);
    (!is_level && (has_program || is_rsyslog)).then_some((members, message))
}

/// Returns the members of the text that stands before the message of another form: a syslog header, or else text.
pub(crate) fn before(text: &str, clock: &Clock) -> Map<String, Value> {
    let (mut members, rest) = header(text, clock).unwrap_or_else(|_| (Map::new(), text));
    add_text(&mut members, rest);
    members
}

/// Takes an octet count off a text. It is a member only if it is not the length of what follows.
fn octets<'l>(text: &'l str, members: &mut Map<String, Value>) -> &'l str {
    let found = text.split_once(' ').and_then(|(count, rest)| {
        let is_count = count.len() <= 9 && count.bytes().all(|b| b.is_ascii_digit());
        let number: usize = is_count.then(|| count.parse().ok())??;
        priority(rest).is_some().then_some((number, rest))
    });
    let Some((number, rest)) = found else {
        return text;
    };
    // The line end may be counted.
    if number != rest.len() && number != rest.len() + 1 {
        add(members, "octet_count", number);
    }
    rest
}

fn priority(text: &str) -> Option<(usize, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_at_checked(
        text.bytes()
            .skip(1)
            .take(3)
            .take_while(u8::is_ascii_digit)
            .count(),
    )?;
    let number: usize = number.parse().ok().filter(|number| *number < 192)?;
    Some((number, rest.strip_prefix('>')?))
}

fn rfc5424<'l>(
    text: &'l str,
    has_priority: bool,
    clock: &Clock,
    members: &mut Map<String, Value>,
) -> Option<&'l str> {
    let (version, rest) = text.split_once(' ')?;
    let is_version = version.len() <= 3
        && !version.starts_with('0')
        && version.bytes().all(|b| b.is_ascii_digit());
    let version: u16 = is_version.then(|| version.parse().ok())??;
    let rest = rest.trim_start_matches(' ');
    let (time, mut rest) = match rest.strip_prefix('-') {
        Some(rest) if has_priority => (None, rest),
        _ => clock
            .at_start(rest)
            .map(|(time, rest)| (Some(time), rest))?,
    };
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    add(members, "version", version);
    if let Some(time) = time {
        add(members, "timestamp", rfc3339(time));
    }
    for name in ["hostname", "app_name", "proc_id", "msg_id"] {
        rest = rest.trim_start_matches(' ');
        let (part, after) = rest.split_at_checked(rest.find(' ').unwrap_or(rest.len()))?;
        if !matches!(part, "" | "-") {
            add(members, name, part);
        }
        rest = after;
    }
    rest = rest.trim_start_matches(' ');
    match rest.strip_prefix('-') {
        Some(after) if after.is_empty() || after.starts_with(' ') => rest = after,
        _ => {
            let mut data = Map::new();
            while let Some(after) = element(rest, &mut data) {
                rest = after;
            }
            if !data.is_empty() {
                add(members, "structured_data", data);
            }
        }
    }
    let message = rest.strip_prefix(' ').unwrap_or(rest);
    Some(message.strip_prefix('\u{feff}').unwrap_or(message))
}

/// Reads one element of structured data, and returns the text after it.
fn element<'l>(text: &'l str, data: &mut Map<String, Value>) -> Option<&'l str> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '=' | ']' | '"');
    let text = text.strip_prefix('[')?;
    let (id, mut rest) = text.split_at_checked(text.find(ends)?)?;
    let mut parameters = Map::new();
    loop {
        let after = rest.trim_start_matches(' ');
        if let Some(after) = after.strip_prefix(']') {
            add(data, id, parameters);
            return Some(after);
        }
        let (name, after) = after.split_at_checked(after.find(ends)?)?;
        let quoted = after.strip_prefix("=\"").filter(|_| !name.is_empty())?;
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    c @ ('"' | '\\' | ']') => value.push(c),
                    c => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        add(&mut parameters, name, value);
        rest = chars.as_str();
    }
}

fn rfc3164<'l>(text: &'l str, clock: &Clock, members: &mut Map<String, Value>) -> Option<&'l str> {
    let mut rest = text;
    let mut found = stamp(rest, clock);
    let (mut sequence, mut origin) = (None, None);
    // Cisco: `29: router: *Mar  1 18:46:11: …`
    if found.is_none() {
        let is_number = |word: &str| word.len() <= 10 && word.bytes().all(|b| b.is_ascii_digit());
        if let Some((word, after)) = word_before_colon(rest).filter(|(word, _)| is_number(word)) {
            (sequence, rest) = (Some(word), after);
            found = stamp(rest, clock);
        }
    }
    if found.is_none()
        && let Some((word, after)) = word_before_colon(rest)
    {
        origin = Some(word);
        found = stamp(after, clock);
    }
    let (mark, time, after) = found?;
    for (name, value) in [
        ("sequence", sequence),
        ("hostname", origin),
        ("time_mark", mark),
    ] {
        if let Some(value) = value {
            add(members, name, value);
        }
    }
    add(members, "timestamp", rfc3339(time));
    let mut rest = after;
    // Cisco: a zone by a name that does not say which.
    if let Some((zone, after)) = rest.strip_prefix(' ').and_then(word_before_colon)
        && after.starts_with('%')
        && (3..=5).contains(&zone.len())
        && zone.bytes().all(|b| b.is_ascii_uppercase())
    {
        add(members, "time_zone", zone);
        rest = after;
    } else if let Some(after) = rest.strip_prefix(':') {
        rest = after.strip_prefix(' ').unwrap_or(after);
    } else if origin.is_none() {
        rest = hostname(rest, members);
    }
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Some(tag(rest, members).unwrap_or(rest))
}

type Stamp<'l> = (
    Option<&'l str>,
    chrono::DateTime<chrono::FixedOffset>,
    &'l str,
);

fn stamp<'l>(text: &'l str, clock: &Clock) -> Option<Stamp<'l>> {
    let has_mark = text.starts_with(['*', '.']);
    let (mark, rest) = text.split_at_checked(usize::from(has_mark))?;
    let (time, rest) = clock.at_start(rest)?;
    let is_end = rest.is_empty() || rest.starts_with([' ', ':']);
    is_end.then_some((has_mark.then_some(mark), time, rest))
}

/// Returns a short word that ends with `: `, and the text after it.
fn word_before_colon(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().take(256).position(|b| b == b' ')?;
    let (word, rest) = text.split_at_checked(end)?;
    let word = word.strip_suffix(':').filter(|word| !word.is_empty())?;
    Some((word, rest.trim_start_matches(' ')))
}

fn hostname<'l>(text: &'l str, members: &mut Map<String, Value>) -> &'l str {
    let rest = text.trim_start_matches(' ');
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let Some((word, after)) = rest.split_at_checked(end) else {
        return text;
    };
    let is_name = !word.is_empty()
        && !word.ends_with(':')
        && (word.chars()).all(|c| c.is_alphanumeric() || "._-:/%@~+".contains(c));
    if !is_name {
        return text;
    }
    if word != "-" {
        add(members, "hostname", word);
    }
    after
}

/// Reads the name of the program, and returns the text after it.
fn tag<'l>(text: &'l str, members: &mut Map<String, Value>) -> Option<&'l str> {
    let start = text.trim_start_matches(' ');
    // Cisco ASA: `hostname : %ASA-6-302013: …`
    let start = start.strip_prefix(": ").unwrap_or(start);
    let (word, rest) =
        start.split_at_checked(start.find(char::is_whitespace).unwrap_or(start.len()))?;
    let named = word.strip_suffix(':');
    let name = named.unwrap_or(word);
    let with_id = name
        .strip_suffix(']')
        .and_then(|name| name.rsplit_once('['))
        .filter(|(name, _)| !name.is_empty());
    let (name, id) = match with_id {
        Some((name, id)) => (name, Some(id)),
        None => (name, None),
    };
    let is_id = id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    let begins = name.starts_with(|c: char| c.is_alphanumeric() || "%_-./(".contains(c));
    if !begins || name.contains(['"', '=', '{', '<']) || !(named.is_some() || is_id) {
        return None;
    }
    add(members, "app_name", name);
    if let Some(id) = id {
        add(members, "proc_id", id);
    }
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

#[cfg(test)]
mod tests;
