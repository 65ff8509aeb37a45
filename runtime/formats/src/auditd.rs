//! Events of the Linux audit daemon: a record a line, and the records of one event together.
//!
//! ```text
//! event    = line *(line)                 with the same node, time and serial
//! line     = [syslog header " "] ["node=" node " "] "type=" type " " ["msg="] "audit(" seconds "." milliseconds ":" serial "):" pairs
//!            [%x1D enriched pairs]
//! pairs    = *(key "=" (value | %x22 text %x22 | "'" text "'") | word)
//! user     : records of user space hold pairs within "msg='" and "'"
//! ```
//!
//! Sources: `auditd.conf(5)` (`log_format`, `name_format`) and `auparse/typetab.h` of the project audit-userspace (which values
//! the kernel and daemon encode: in quotes, or as upper-case hexadecimal digits); "Audit Record Format" in the Red Hat security
//! guide.
//!
//! Values that are encoded become text, with a blank for each NUL, and the digits stay in `<key>_hex`. Numbers stay text, except
//! the serial. Words that belong to no key go into the member `text`. A key with a name that this module uses for the head of a record
//! becomes `field_<key>`.
//!
//! Records of the kernel come one after another and may lie between those of another event. Those of one event become one: `type` is
//! the array of their types, and each record is a member under its type. Several of a type are an array, in their order. The event
//! ends behind its `PROCTITLE` or `EOE`, at a record of a time more than 2 seconds later (as in auparse), or at the end of the
//! file. At most 64 events wait, with 2,000 lines and 1 MiB. A record of user space is an event by itself and has its members
//! directly, as an event of one record has.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::clock::{Clock, rfc3339};
use crate::member::{add, add_text, are_most, merge};
use crate::{Decode, Decoded, Wrong, syslog};

pub(crate) use lines::Lines;

mod lines;

/// Members that the head of a record states.
const HEAD: [&str; 4] = ["type", "node", "audit_id", "timestamp"];

/// Keys of type ESCAPED or PROCTITLE in `typetab.h`.
const ENCODED: [&str; 39] = [
    "acct",
    "apparmor",
    "cgroup",
    "cmd",
    "comm",
    "cwd",
    "denied_mask",
    "device",
    "dir",
    "exe",
    "file",
    "grp",
    "info",
    "invalid_context",
    "key",
    "name",
    "new-chardev",
    "new-disk",
    "new-fs",
    "new-net",
    "new-rng",
    "new_group",
    "ocomm",
    "old-chardev",
    "old-disk",
    "old-fs",
    "old-net",
    "old-rng",
    "operation",
    "path",
    "proctitle",
    "profile",
    "requested_mask",
    "root_dir",
    "sw",
    "vm",
    "watch",
    "data",
    "old_name",
];

/// Reads audit records.
#[derive(Debug, Clone)]
pub(crate) struct Auditd {
    clock: Clock,
}

/// Returns a decoder of audit records. The clock completes times of a syslog header; records state their own.
pub(crate) fn new(clock: Clock) -> Auditd {
    Auditd { clock }
}

/// A record: one of the lines that describe an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The computer, if the line names it. Serials are unique on a computer, until it restarts.
    pub(crate) node: Option<String>,
    /// The type, such as `SYSCALL`.
    pub(crate) kind: String,
    /// When the event happened.
    pub(crate) time: DateTime<Utc>,
    /// The number of the event. All its records have the same number and time.
    pub(crate) serial: u64,
    /// All members, including those of the head.
    pub(crate) members: Map<String, Value>,
}

impl Decode for Auditd {
    fn written_until(&mut self, micros: i64) {
        self.clock.set_now(micros);
    }

    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        if line.contains('\n') && line.split('\n').all(|line| head(line).is_some()) {
            return self.joined(line).map(Decoded::Event);
        }
        Ok(Decoded::Event(record(line, &self.clock)?.members))
    }
}

impl Auditd {
    /// Makes one event of several records.
    fn joined(&self, lines: &str) -> Result<Map<String, Value>, Wrong> {
        let mut members = Map::new();
        let mut types: Vec<Value> = Vec::new();
        let mut records = Map::new();
        let mut at = 0;
        for line in lines.split('\n') {
            let record = record(line, &self.clock).map_err(|wrong| Wrong {
                at: at + wrong.at,
                ..wrong
            })?;
            at += line.len() + 1;
            if !types.iter().any(|of| *of == record.kind) {
                types.push(Value::from(record.kind.as_str()));
            }
            let mut own = record.members;
            let mut head = Map::new();
            for name in own.keys().filter(|name| *name != "type") {
                // What the head of a record says is of the event.
                if HEAD.contains(&name.as_str()) {
                    head.insert(name.clone(), Value::Null);
                }
            }
            for (name, value) in &mut head {
                *value = own.shift_remove(name).unwrap_or_default();
            }
            own.shift_remove("type");
            for (name, value) in head {
                members.entry(name).or_insert(value);
            }
            add(&mut records, &record.kind, own);
        }
        let mut event = Map::new();
        event.insert("type".to_owned(), Value::Array(types));
        event.append(&mut members);
        event.extend(records);
        Ok(event)
    }
}

/// Reads a record.
///
/// # Errors
/// [`Wrong`]: the line has no `type=` and `audit(SECONDS.MILLISECONDS:SERIAL)`.
pub(crate) fn record(line: &str, clock: &Clock) -> Result<Record, Wrong> {
    let head = head(line).ok_or_else(|| Wrong {
        reason: "the line has no `type=… msg=audit(SECONDS.MILLISECONDS:SERIAL)`".to_owned(),
        at: 0,
    })?;
    let mut members = Map::new();
    add(&mut members, "type", head.kind);
    if let Some(node) = head.node {
        add(&mut members, "node", node);
    }
    add(&mut members, "timestamp", rfc3339(head.time.fixed_offset()));
    add(&mut members, "audit_id", head.serial);
    let mut loose = Vec::new();
    for part in head.rest.split('\u{1d}') {
        pairs(part, head.kind, true, &mut members, &mut loose);
    }
    add_text(&mut members, &loose.join(" "));
    Ok(Record {
        node: head.node.map(str::to_owned),
        kind: head.kind.to_owned(),
        time: head.time,
        serial: head.serial,
        members: merge(syslog::before(head.before, clock), members),
    })
}

/// Returns whether a file begins with audit records.
pub(crate) fn looks_like(start: &str) -> bool {
    are_most(start, is_line)
}

pub(crate) fn is_line(line: &str) -> bool {
    let clock = Clock::new(DateTime::UNIX_EPOCH);
    head(line).is_some_and(|head| {
        head.before.trim().is_empty() || syslog::header(head.before, &clock).is_ok()
    })
}

struct Head<'l> {
    before: &'l str,
    node: Option<&'l str>,
    kind: &'l str,
    time: DateTime<Utc>,
    serial: u64,
    rest: &'l str,
}

fn head(line: &str) -> Option<Head<'_>> {
    let mark = "audit(";
    let (at, (time, serial, rest)) = line.match_indices(mark).find_map(|(at, _)| {
        // Numbers of at most 20 digits each.
        let inner = line.get(at + mark.len()..)?;
        let end = inner.bytes().take(64).position(|b| b == b')')?;
        let (inner, rest) = inner.split_at_checked(end)?;
        Some((at, stamp(inner, rest.strip_prefix(')')?)?))
    })?;
    let before = line.get(..at)?.trim_end();
    let before = before.strip_suffix("msg=").unwrap_or(before).trim_end();
    let (before, last) = before
        .rsplit_once(char::is_whitespace)
        .unwrap_or(("", before));
    let kind = last.strip_prefix("type=").filter(|kind| !kind.is_empty())?;
    let trimmed = before.trim_end();
    let (rest_before, last) = trimmed
        .rsplit_once(char::is_whitespace)
        .unwrap_or(("", trimmed));
    let node = last.strip_prefix("node=");
    Some(Head {
        before: if node.is_some() { rest_before } else { before },
        node,
        kind,
        time,
        serial,
        rest: rest.strip_prefix(':').unwrap_or(rest),
    })
}

fn stamp<'l>(inner: &str, rest: &'l str) -> Option<(DateTime<Utc>, u64, &'l str)> {
    let (time, serial) = inner.split_once(':')?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if ![seconds, fraction, serial].into_iter().all(are_digits) || fraction.len() > 9 {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    let time = DateTime::from_timestamp(seconds.parse().ok()?, nanos)?;
    Some((time, serial.parse().ok()?, rest))
}

/// Reads pairs into members, and the words between them into `loose`.
fn pairs<'t>(
    text: &'t str,
    kind: &str,
    mut may_nest: bool,
    members: &mut Map<String, Value>,
    loose: &mut Vec<&'t str>,
) {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace());
        let (word, after) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or((rest, ""));
        let key = word.trim_start_matches('(');
        let Some(value) = after.strip_prefix('=').filter(|_| !key.is_empty()) else {
            let (word, after) = match after.strip_prefix('=') {
                Some(after) => (word, after),
                None => (word, after),
            };
            if !word.is_empty() {
                loose.push(word);
            }
            rest = after.trim_start();
            continue;
        };
        let quoted = |quote: char| {
            value
                .strip_prefix(quote)
                .map(|rest| rest.split_once(quote).unwrap_or((rest, "")))
        };
        if let Some(nested) = value
            .strip_prefix('\'')
            .filter(|_| key == "msg" && may_nest)
        {
            may_nest = false;
            let (inner, after) = nested.rsplit_once('\'').unwrap_or((nested, ""));
            pairs(inner, kind, false, members, loose);
            rest = after;
        } else if let Some((value, after)) = quoted('"').or_else(|| quoted('\'')) {
            put(key, value, members);
            // Older records divide by commas, in brackets.
            rest = after.trim_start_matches([',', ')']);
        } else {
            let end = value.find(char::is_whitespace).unwrap_or(value.len());
            let (value, after) = value.split_at_checked(end).unwrap_or((value, ""));
            let mut value = value.trim_end_matches(',');
            if let Some(inner) = value.strip_suffix(')').filter(|inner| !inner.contains('(')) {
                value = inner;
            }
            match decoded(key, kind, value) {
                Some(text) => {
                    put(key, &text, members);
                    put(&format!("{key}_hex"), value, members);
                }
                None => put(key, value, members),
            }
            rest = after;
        }
        rest = rest.trim_start();
    }
}

fn put(key: &str, value: &str, members: &mut Map<String, Value>) {
    if HEAD.contains(&key) {
        add(members, &format!("field_{key}"), value);
    } else {
        add(members, key, value);
    }
}

/// Returns the text that hexadecimal digits encode.
fn decoded(key: &str, kind: &str, value: &str) -> Option<String> {
    let is_argument = || {
        let number = key.strip_prefix('a').unwrap_or_default();
        kind == "EXECVE" && number.starts_with(|c: char| c.is_ascii_digit())
    };
    let is_encoded = ENCODED.contains(&key) || is_argument();
    let is_hex = !value.is_empty()
        && value
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    if !is_encoded || !is_hex || !value.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| {
        if b.is_ascii_digit() {
            b - b'0'
        } else {
            b - b'A' + 10
        }
    };
    let bytes = value.as_bytes().chunks_exact(2).map(|pair| match pair {
        [high, low] => digit(*high) * 16 + digit(*low),
        _ => 0,
    });
    let bytes: Vec<u8> = bytes.collect();
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_end_matches('\0').replace('\0', " "))
}

#[cfg(test)]
mod tests;
