//! Audit log of ModSecurity: the sections of a transaction become one event.
//!
//! ```text
//! record   = "--" id "-A--" LF section *( "--" id "-" letter "--" LF section ) "--" id "-Z--"       version 2
//! record   = "---" id "---A--" LF …                                                                    version 3
//! A        = "[" time "] " transaction client client-port server server-port
//! B, F     = first line LF *( name ": " value LF )                     request and response with their headers
//! C, E     = any text                                                  bodies
//! H        = *( name ": " value LF )                                   messages, action, producer
//! ```
//!
//! The event has the shape of the JSON that version 2 writes: `transaction`, `request`, `response`, `audit_data`, with the messages as
//! they are. A section without a place there is the member `section_K`. The id is random for each transaction, so no request can end a
//! record. A record has no end where the writer died. If another one begins behind it before the file ends, or before it has 100,000
//! lines or 128 MiB, its lines are no event, and the other one is read.
//!
//! Source: "ModSecurity 2 Data Formats", <https://github.com/owasp-modsecurity/ModSecurity/wiki/ModSecurity-2-Data-Formats>.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use crate::member::add;
use crate::parts::wrong;
use crate::{Decode, Decoded, Gather, Record, Rest, Taken, Wrong};

/// The most bytes of a record. They are many, so that a request cannot hide itself by a long body.
const LONGEST_BYTES: usize = 128 << 20;
/// The most lines of a record.
const LONGEST_LINES: u64 = 100_000;

/// Returns the id and the letter of a line that begins a section.
fn boundary(line: &str) -> Option<(&str, char)> {
    let inside = line.trim_end().strip_prefix("--")?.strip_suffix("--")?;
    let letter = inside
        .chars()
        .next_back()
        .filter(char::is_ascii_uppercase)?;
    let inside = inside[..inside.len() - 1].strip_suffix('-')?;
    // Version 3 has two hyphens more, and one before the id.
    let id = match inside.strip_prefix('-') {
        Some(rest) => rest.strip_suffix("--")?,
        None => inside,
    };
    let is_id = id.len() >= 6 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then_some((id, letter))
}

/// Puts the sections of a transaction together.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The id of the record that is open; empty where none is.
    id: String,
    /// Whether the open record is longer than a record may be: what is there of it was given out.
    is_given_up: bool,
    text: String,
    first: u64,
    last: u64,
}

impl Lines {
    fn begin(&mut self, id: &str, line: &str, number: u64) {
        id.clone_into(&mut self.id);
        line.clone_into(&mut self.text);
        (self.first, self.last) = (number, number);
        self.is_given_up = false;
    }

    fn put(&mut self, line: &str, number: u64) {
        if self.text.is_empty() {
            self.first = number;
        } else {
            for _ in self.last..number.max(self.last + 1) {
                self.text.push('\n');
            }
        }
        self.text.push_str(line);
        self.last = number;
    }

    /// Gives out what is there of the open record, which stays open.
    fn take(&mut self) -> Option<Record> {
        let text = std::mem::take(&mut self.text);
        let line = self.first;
        (!text.is_empty()).then_some(Record { text, line })
    }

    /// Ends the open record, and gives out what is there of it.
    fn close(&mut self) -> Option<Record> {
        self.id.clear();
        self.is_given_up = false;
        self.take()
    }

    fn is_long(&self) -> bool {
        self.text.len() > LONGEST_BYTES || self.last.saturating_sub(self.first) >= LONGEST_LINES
    }

    /// Gives out all records but the last that has no end: another record begins behind each of them, so none of their lines is missing.
    fn settle(&mut self) -> Vec<Record> {
        let Some(Record { text, line: first }) = self.close() else {
            return Vec::new();
        };
        let lines: Vec<&str> = text.split('\n').collect();
        let part = |from: usize, to: usize| Record {
            text: lines[from..to].join("\n"),
            line: first + from as u64,
        };
        let is_begin = |line: &&str| matches!(boundary(line), Some((_, 'A')));
        let mut ends: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            if let Some((id, 'Z')) = boundary(line) {
                ends.entry(id).or_default().push(at);
            }
        }
        let end_of = |id: &str, from: usize| {
            let ends = ends.get(id)?;
            ends.get(ends.partition_point(|end| *end < from)).copied()
        };
        let mut records = Vec::new();
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            let to = match boundary(line) {
                Some((id, 'A')) => {
                    let next = || Some(at + 1 + lines[at + 1..].iter().position(is_begin)?);
                    match end_of(id, at).map(|end| end + 1).or_else(next) {
                        Some(to) => to,
                        None => {
                            let open = part(at, lines.len());
                            self.begin(id, &open.text, open.line);
                            self.last = first + lines.len() as u64 - 1;
                            return records;
                        }
                    }
                }
                _ => at + 1,
            };
            if to > at + 1 || !line.trim().is_empty() {
                records.push(part(at, to));
            }
            at = to;
        }
        records
    }

    fn waits(&self) -> Option<u64> {
        (!self.text.is_empty()).then_some(self.first)
    }
}

impl Gather for Lines {
    fn line(&mut self, line: &str, number: u64) -> Taken {
        let boundary = boundary(line);
        if self.id.is_empty() {
            let Some((id, 'A')) = boundary else {
                return Taken::Alone;
            };
            self.begin(id, line, number);
            return Taken::Waits;
        }
        if let (true, Some((id, 'A'))) = (self.is_given_up, boundary) {
            let records = self.close().into_iter().collect();
            self.begin(id, line, number);
            let waits = self.waits();
            return Taken::Records { records, waits };
        }
        self.put(line, number);
        let records = if boundary == Some((self.id.as_str(), 'Z')) {
            self.close().into_iter().collect()
        } else if !self.is_long() {
            return Taken::Waits;
        } else {
            let mut records = match self.is_given_up {
                true => Vec::new(),
                false => self.settle(),
            };
            if self.is_long() {
                self.is_given_up = true;
                records.extend(self.take());
            }
            records
        };
        let waits = self.waits();
        Taken::Records { records, waits }
    }

    fn end(&mut self) -> Rest {
        let records = match self.is_given_up {
            true => self.close().into_iter().collect(),
            false => self.settle(),
        };
        let open = self.waits();
        self.close();
        Rest { records, open }
    }
}

/// Reads the sections of one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModSecurity;

impl Decode for ModSecurity {
    fn line(&mut self, text: &str) -> Result<Decoded, Wrong> {
        if text.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let mut lines = text.split('\n');
        let first = lines.next().unwrap_or_default();
        let Some((id, 'A')) = boundary(first) else {
            return Err(wrong("a record begins with --ID-A--", 0));
        };
        if text.rsplit('\n').next().and_then(boundary) != Some((id, 'Z')) {
            return Err(wrong(
                format!("the record does not end with --{id}-Z--"),
                text.len(),
            ));
        }
        let mut sections: Vec<(char, Vec<&str>)> = vec![('A', Vec::new())];
        for line in lines {
            match (boundary(line), sections.last_mut()) {
                (Some((other, letter)), _) if other == id => sections.push((letter, Vec::new())),
                (_, Some((_, section))) => section.push(line.trim_end_matches('\r')),
                (_, None) => {}
            }
        }
        let mut read = Sections::default();
        for (letter, lines) in sections {
            read.section(letter, &lines);
        }
        match read.transaction.is_empty() {
            true => Err(wrong("section A has no time and transaction", first.len())),
            false => Ok(Decoded::Event(read.into_event())),
        }
    }
}

/// The objects of an event.
#[derive(Default)]
struct Sections {
    transaction: Map<String, Value>,
    request: Map<String, Value>,
    response: Map<String, Value>,
    audit_data: Map<String, Value>,
    rest: Map<String, Value>,
}

impl Sections {
    fn into_event(self) -> Map<String, Value> {
        let objects = [
            ("transaction", self.transaction),
            ("request", self.request),
            ("response", self.response),
            ("audit_data", self.audit_data),
        ];
        let objects = objects
            .into_iter()
            .filter(|(_, members)| !members.is_empty());
        let mut event: Map<String, Value> = objects
            .map(|(name, members)| (name.to_owned(), Value::Object(members)))
            .collect();
        event.extend(self.rest);
        event
    }

    fn section(&mut self, letter: char, lines: &[&str]) {
        let text = lines.join("\n");
        let text = text.trim_matches('\n');
        if text.is_empty() {
            return;
        }
        match letter {
            'A' => match transaction(text) {
                Some(transaction) if self.transaction.is_empty() => self.transaction = transaction,
                _ => add(&mut self.rest, "section_A", text),
            },
            'B' => {
                let request = &mut self.request;
                add(
                    request,
                    "request_line",
                    lines.first().copied().unwrap_or_default(),
                );
                headers(request, lines.get(1..).unwrap_or_default());
            }
            'F' => {
                let response = &mut self.response;
                let line = lines.first().copied().unwrap_or_default();
                match line.split_once(' ') {
                    Some((protocol, status)) => {
                        add(response, "protocol", protocol);
                        add(response, "status", status);
                    }
                    None => add(response, "status", line),
                }
                headers(response, lines.get(1..).unwrap_or_default());
            }
            'C' | 'I' => add(&mut self.request, "body", text),
            'E' => add(&mut self.response, "body", text),
            'H' => audit_data(&mut self.audit_data, lines),
            'Z' => {}
            other => add(&mut self.rest, &format!("section_{other}"), text),
        }
    }
}

fn transaction(line: &str) -> Option<Map<String, Value>> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let read = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S%.f %z");
    let time = read.map_or(time.to_owned(), |time| {
        time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
    });
    let mut members = Map::from_iter([("time".to_owned(), Value::from(time))]);
    let names = [
        "transaction_id",
        "remote_address",
        "remote_port",
        "local_address",
        "local_port",
    ];
    let mut names = names.into_iter();
    for word in rest.split_whitespace() {
        add(&mut members, names.next().unwrap_or("text"), word);
    }
    Some(members)
}

fn headers(members: &mut Map<String, Value>, lines: &[&str]) {
    let mut headers = Map::new();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) => add(&mut headers, name.trim(), value.trim()),
            None => add(&mut headers, "text", *line),
        }
    }
    if !headers.is_empty() {
        add(members, "headers", Value::Object(headers));
    }
}

fn audit_data(members: &mut Map<String, Value>, lines: &[&str]) {
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let Some((name, value)) = line.split_once(": ") else {
            add(members, "text", *line);
            continue;
        };
        let name = match name {
            "Message" | "ModSecurity" => "messages".to_owned(),
            "Apache-Error" => "error_messages".to_owned(),
            other => other.to_ascii_lowercase().replace('-', "_"),
        };
        let is_list = name == "messages" || name == "error_messages";
        match members.get_mut(&name) {
            None if is_list => {
                members.insert(name, Value::Array(vec![Value::from(value)]));
            }
            _ => add(members, &name, value),
        }
    }
}

/// Says whether a text begins with a record of the log.
pub(crate) fn looks_like(start: &str) -> bool {
    let text = start.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let mut lines = text.lines();
    matches!(lines.next().and_then(boundary), Some((_, 'A')))
        && lines.next().is_some_and(|line| line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::member::check;

    const RECORD: &str = r#"--c7036611-A--
[25/Jul/2026:10:00:00.123456 +0200] YVW7KjiKxXlA 192.0.2.1 50000 192.0.2.10 80
--c7036611-B--
GET /?q=%27 HTTP/1.1
Host: shop.example
Cookie: a=1
Cookie: b=2

--c7036611-C--
--deadbeef-Z--
body: é

more
--c7036611-F--
HTTP/1.1 403 Forbidden
Content-Length: 202

--c7036611-H--
Message: Access denied with code 403 (phase 2). [id "942100"] [msg "SQL Injection"]
Message: Warning. [id "949110"]
Apache-Error: [file "x.c"] denied
Action: Intercepted (phase 2)
Producer: ModSecurity for Apache/2.9.3; OWASP_CRS/3.2.0.
Engine-Mode: "ENABLED"

--c7036611-K--
SecRule X

--c7036611-Z--"#;

    fn gathered(text: &str) -> (Vec<Record>, Option<u64>) {
        let mut gather = Lines::default();
        let mut all = Vec::new();
        for (number, line) in (1..)
            .zip(text.split('\n'))
            .filter(|(_, line)| !line.trim().is_empty())
        {
            match gather.line(line, number) {
                Taken::Alone => all.push(Record {
                    text: line.to_owned(),
                    line: number,
                }),
                Taken::Waits => {}
                Taken::Records { records, .. } => all.extend(records),
            }
        }
        let rest = gather.end();
        all.extend(rest.records);
        (all, rest.open)
    }

    #[test]
    fn the_sections_of_a_transaction_are_one_event() {
        let (records, rest) = gathered(&format!("{RECORD}\n\n{RECORD}\n"));
        assert_eq!((records.len(), rest), (2, None));
        assert_eq!((records[0].text.as_str(), records[1].line), (RECORD, 31));
        let event = check::event(&mut ModSecurity, &records[0].text);
        let expected = json!({
            "transaction": {"time": "2026-07-25T10:00:00.123456+02:00", "transaction_id": "YVW7KjiKxXlA",
                "remote_address": "192.0.2.1", "remote_port": "50000", "local_address": "192.0.2.10", "local_port": "80"},
            "request": {"request_line": "GET /?q=%27 HTTP/1.1",
                "headers": {"Host": "shop.example", "Cookie": ["a=1", "b=2"]}, "body": "--deadbeef-Z--\nbody: é\n\nmore"},
            "response": {"protocol": "HTTP/1.1", "status": "403 Forbidden", "headers": {"Content-Length": "202"}},
            "audit_data": {"messages": ["Access denied with code 403 (phase 2). [id \"942100\"] [msg \"SQL Injection\"]",
                    "Warning. [id \"949110\"]"],
                "error_messages": ["[file \"x.c\"] denied"], "action": "Intercepted (phase 2)",
                "producer": "ModSecurity for Apache/2.9.3; OWASP_CRS/3.2.0.", "engine_mode": "\"ENABLED\""},
            "section_K": "SecRule X"
        });
        assert_eq!(Value::Object(event), expected);
        assert!(looks_like(RECORD) && !looks_like("--c7036611-B--\n[") && !looks_like("-- a\n"));
        let three = RECORD.replace("--c7036611-", "---c7036611---");
        assert_eq!(gathered(&three).0.len(), 1);
        assert!(looks_like(&three));
    }

    #[test]
    fn a_record_that_is_not_ended_hides_none_behind_it() {
        let open = RECORD
            .rsplit_once('\n')
            .unwrap()
            .0
            .replace("c7036611", "0badf00d");
        let (records, rest) = gathered(&open);
        assert_eq!((records.len(), rest), (0, Some(1)));
        let text = format!("junk\n{open}\n{}", format!("{RECORD}\n").repeat(100));
        let (records, rest) = gathered(&text);
        assert_eq!((records.len(), rest), (102, None));
        let wrong: Vec<_> = records
            .iter()
            .filter(|record| ModSecurity.line(&record.text).is_err())
            .collect();
        assert_eq!(wrong.len(), 2);
        assert_eq!((wrong[0].line, wrong[1].line), (1, 2));
        // Each line is in one record.
        let lines: usize = records
            .iter()
            .map(|record| record.text.split('\n').count())
            .sum();
        assert_eq!(lines, text.trim_end().split('\n').count());
    }

    #[test]
    fn a_record_that_is_cut_off_hides_none_however_short_the_file_is() {
        let cut = "--0badf00d-A--\n[25/Jul/2026:10:00:00 +0200] a";
        // What a body holds ends no record and begins none.
        let body = RECORD.replace("body: é", "--0badf00d-A--");
        let (records, open) = gathered(&format!("{cut}\n{body}\n{cut}\n{cut}"));
        let texts: Vec<_> = records.iter().map(|record| record.text.as_str()).collect();
        assert_eq!(texts, [cut, body.as_str(), cut]);
        assert_eq!(open, Some(34));
    }

    #[test]
    fn a_record_that_is_too_long_is_kept_in_parts_and_the_next_one_is_read() {
        let body = "x\n".repeat(usize::try_from(2 * LONGEST_LINES + 7).unwrap());
        let long =
            format!("--0badf00d-A--\n[25/Jul/2026:10:00:00 +0200] a\n--0badf00d-C--\n{body}");
        for end in ["", "--0badf00d-Z--\n"] {
            let (records, open) = gathered(&format!("{long}{end}{RECORD}\n"));
            assert_eq!((records.len(), open), (4, None));
            assert_eq!(records[3].text, RECORD);
            let kept: Vec<&str> = records[..3]
                .iter()
                .map(|record| record.text.as_str())
                .collect();
            assert_eq!(format!("{}\n", kept.join("\n")), format!("{long}{end}"));
        }
    }

    #[test]
    fn no_change_at_any_place_does_harm() {
        check::withstands(&mut ModSecurity, looks_like, RECORD);
        let event = check::event(&mut ModSecurity, RECORD);
        let lost = check::lost(RECORD, &event);
        let syntax = [
            "c7036611", "Z", "A", "Jul", "25", "0200", "Message", "Apache", "Error", "Action",
            "Producer", "Engine", "Mode",
        ];
        assert!(
            lost.iter()
                .all(|piece| syntax.contains(piece) || piece.len() == 1),
            "{lost:?}"
        );
        for end in (0..RECORD.len()).filter(|end| RECORD.is_char_boundary(*end)) {
            gathered(&RECORD[..end]);
        }
        check::reads_long_lines(&mut ModSecurity, "--c7036611-A--\n[", "--c7036611-B--\nx\n");
    }
}
