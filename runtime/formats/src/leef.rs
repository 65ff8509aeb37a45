//! Log Event Extended Format of QRadar, versions 1.0 and 2.0.
//!
//! ```text
//! line       = [syslog header " "] "LEEF:" version "|" vendor "|" product "|" product version "|" event ID "|" [delimiter "|"] attributes
//! delimiter  = character | ("x" | "0x") 2*4(hexadecimal digit)        version 2.0 only; a tab if it is empty or missing
//! attributes = key "=" value *(delimiter key "=" value)
//! ```
//!
//! Source: "LEEF event components" and "Predefined LEEF event attributes", IBM QRadar DSM guide. Attributes that are numbers there
//! are numbers, and all others text. Version 1.0 always divides by tabs. Tabs that rsyslog wrote as `#011`, or a product as
//! blanks, are also read.

use serde_json::{Map, Value};

use crate::cef::{integer, pairs};
use crate::clock::{Clock, rfc3339};
use crate::member::{add, add_text, are_most, merge};
use crate::{Decode, Decoded, Wrong, syslog};

/// The members of the header, in order.
const HEADER: [&str; 5] = [
    "leef_version",
    "vendor",
    "product",
    "product_version",
    "event_id",
];

/// Attributes whose type is integer.
const INTEGERS: [&str; 10] = [
    "dstBytes",
    "dstPackets",
    "dstPort",
    "dstPostNATPort",
    "dstPreNATPort",
    "srcBytes",
    "srcPackets",
    "srcPort",
    "srcPostNATPort",
    "srcPreNATPort",
];

/// Reads lines of LEEF.
#[derive(Debug, Clone)]
pub(crate) struct Leef {
    clock: Clock,
}

/// Returns a decoder of LEEF. The clock completes times without a year or a zone.
pub(crate) fn new(clock: Clock) -> Leef {
    Leef { clock }
}

impl Decode for Leef {
    fn written_until(&mut self, micros: i64) {
        self.clock.set_now(micros);
    }

    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let Some((before, mut rest)) = split(line) else {
            return Err(Wrong {
                reason: "the line has no `LEEF:` with a version and a `|` after it".to_owned(),
                at: 0,
            });
        };
        let mut members = Map::new();
        for (count, name) in HEADER.iter().enumerate() {
            let Some((field, after)) = rest.split_once('|') else {
                return Err(Wrong {
                    reason: format!(
                        "the header of LEEF has 5 fields with a `|` after each, and this line {count}"
                    ),
                    at: line.len(),
                });
            };
            add(&mut members, name, field.trim());
            rest = after;
        }
        let is_second = members
            .get("leef_version")
            .is_some_and(|version| version != "1.0");
        let given = is_second.then(|| rest.split_once('|')).flatten();
        let given = given.and_then(|(name, rest)| Some((name, delimiter(name)?, rest)));
        let mut delimiter = None;
        if let Some((name, character, after)) = given {
            if !name.is_empty() {
                add(&mut members, "delimiter", name);
            }
            (delimiter, rest) = (Some(character), after);
        }
        let mut attributes = Map::new();
        read(rest, delimiter.unwrap_or('\t'), &mut attributes);
        let time = attributes.get("devTime").and_then(Value::as_str);
        let time = time.and_then(|text| self.clock.whole(text));
        let has_time = attributes.contains_key("timestamp");
        for (key, value) in attributes {
            add(&mut members, &key, value);
        }
        if let Some(time) = time.filter(|_| !has_time) {
            add(&mut members, "timestamp", rfc3339(time));
        }
        Ok(Decoded::Event(merge(
            syslog::before(before, &self.clock),
            members,
        )))
    }
}

/// Returns whether a file begins with lines of LEEF.
pub(crate) fn looks_like(start: &str) -> bool {
    are_most(start, is_line)
}

pub(crate) fn is_line(line: &str) -> bool {
    let clock = Clock::new(chrono::DateTime::UNIX_EPOCH);
    let is_json = line.trim_start().starts_with(['{', '[', '"']);
    !is_json
        && split(line).is_some_and(|(before, rest)| {
            let is_header = before.trim().is_empty() || syslog::header(before, &clock).is_ok();
            is_header && rest.matches('|').take(5).count() == 5
        })
}

/// Returns the text before `LEEF:`, and that which begins with the version.
fn split(line: &str) -> Option<(&str, &str)> {
    line.match_indices("LEEF:").find_map(|(at, mark)| {
        let (before, rest) = line.split_at_checked(at)?;
        let rest = rest.strip_prefix(mark)?.trim_start_matches(' ');
        let has_version =
            rest.starts_with("1.0|") || rest.starts_with("2.0|") || rest.starts_with("2|");
        has_version.then_some((before, rest))
    })
}

/// Reads the delimiter field. `None`: the text is an attribute, because the line has no such field.
fn delimiter(text: &str) -> Option<char> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (None, _) => return Some('\t'),
        (Some(c), None) => return Some(c),
        _ => {}
    }
    if text == "\\t" {
        return Some('\t');
    }
    let code = text
        .strip_prefix('0')
        .unwrap_or(text)
        .strip_prefix(['x', 'X'])?;
    let is_code = (2..=4).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_hexdigit());
    char::from_u32(u32::from_str_radix(code, 16).ok().filter(|_| is_code)?)
}

fn read(text: &str, delimiter: char, attributes: &mut Map<String, Value>) {
    let mut put = |key: &str, value: &str| {
        let number = INTEGERS.contains(&key).then(|| integer(value)).flatten();
        add(attributes, key, number.unwrap_or_else(|| value.into()));
    };
    let mut loose = Vec::new();
    let mut put_piece = |piece: &str| match piece.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => put(key.trim(), value),
        _ => loose.push(piece.to_owned()),
    };
    if delimiter != '\t' || text.contains('\t') {
        text.split(delimiter).for_each(put_piece);
    } else if text.contains("#011") {
        text.split("#011").for_each(put_piece);
    } else {
        let (before, pairs) = pairs(text);
        put_piece(before);
        for (key, value) in pairs {
            put(key, value);
        }
    }
    for piece in loose {
        add_text(attributes, &piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::member::check::{clock, event, loses_nothing, reads_long_lines};

    const LINES: [&str; 6] = [
        "LEEF:1.0|Acme|Wall|4.0 SP1|15345|src=192.0.2.1\tsrcPort=4242\tdevTime=Feb 03 2024 04:05:06\tloose\turl=/a?b=c|d\t",
        "<13>1 2024-02-03T04:05:06.5+01:00 wall LEEF:2.0|Acme|Wall|1|deny|^|src=192.0.2.1^devTime=03.02.2024^devTimeFormat=dd.MM.yyyy^msg=a  b",
        "Feb  3 04:05:06 wall LEEF:2.0|Acme|Wall|1|deny|x7C|src=192.0.2.1|usrName=ada|usrName=eve",
        "LEEF:2.0|Acme|Wall|1|deny|0x20AC|src=192.0.2.1€devTime=1706933106123",
        "LEEF:2.0|Acme|Wall|1|deny|src=192.0.2.1 usrName=Ada Byron cat=x",
        "LEEF:2.0|Acme|Wall|1|deny||src=192.0.2.1#011cat=Ärger",
    ];

    fn read(line: &str) -> Value {
        Value::Object(event(&mut new(clock()), line))
    }

    #[test]
    fn both_versions_are_read() {
        let expected = json!({
            "leef_version": "1.0", "vendor": "Acme", "product": "Wall", "product_version": "4.0 SP1", "event_id": "15345",
            "src": "192.0.2.1", "srcPort": 4242, "devTime": "Feb 03 2024 04:05:06", "url": "/a?b=c|d", "text": "loose",
            "timestamp": "2024-02-03T04:05:06Z",
        });
        assert_eq!(read(LINES[0]), expected);
        let event = read(LINES[1]);
        assert_eq!(event["timestamp"], "2024-02-03T04:05:06.500+01:00");
        assert_eq!(
            (&event["devTime"], &event["delimiter"], &event["msg"]),
            (&json!("03.02.2024"), &json!("^"), &json!("a  b"))
        );
        let event = read(LINES[2]);
        assert_eq!(
            (&event["usrName"], &event["hostname"]),
            (&json!(["ada", "eve"]), &json!("wall"))
        );
        assert_eq!(read(LINES[3])["timestamp"], "2024-02-03T04:05:06.123Z");
        assert_eq!(read(LINES[4])["usrName"], "Ada Byron");
        let event = read(LINES[5]);
        assert_eq!(
            (&event["src"], &event["cat"]),
            (&json!("192.0.2.1"), &json!("Ärger"))
        );
        assert_eq!(event.get("delimiter"), None);
    }

    #[test]
    fn a_short_header_is_wrong() {
        for line in ["LEEF:1.0|a|b|c|d", "LEEF:3.0|a|b|c|d|", "LEEF:", "text"] {
            assert!(new(clock()).line(line).is_err(), "{line}");
        }
        assert_eq!(new(clock()).line(""), Ok(Decoded::Nothing));
    }

    #[test]
    fn only_leef_looks_like_it() {
        for line in LINES {
            assert!(looks_like(line), "{line}");
        }
        for start in [
            "",
            r#"{"m":"LEEF:1.0|a|b|c|d|"}"#,
            "See LEEF:1.0|a|b|c|d| in the guide",
            "LEEF:1.0|a",
        ] {
            assert!(!looks_like(start), "{start}");
        }
    }

    #[test]
    fn no_mutation_is_a_panic_and_no_word_is_lost() {
        loses_nothing(
            || new(clock()),
            looks_like,
            &LINES,
            &["LEEF", "Feb", "3", "5", "011cat"],
        );
    }

    #[test]
    fn time_reads_long_lines() {
        for part in ["LEEF:", "a=b\t", "=", "|", "#011", "a=b ", "é"] {
            reads_long_lines(&mut new(clock()), "", part);
            reads_long_lines(&mut new(clock()), "LEEF:2.0|a|b|c|d|", part);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*", other in any::<String>()) {
            for text in [&text, &other, &format!("LEEF:2.0|{text}"), &format!("LEEF:2.0|a|b|c|d|{other}")] {
                let _ = new(clock()).line(text);
                let _ = looks_like(text);
            }
        }

        #[test]
        fn every_value_is_found_again(values in proptest::collection::vec("[^\\^\r\n]{0,12}", 1..6)) {
            let attributes: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("k{at}={value}")).collect();
            let event = read(&format!("LEEF:2.0|a|b|c|d|^|{}", attributes.join("^")));
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(event[format!("k{at}")].as_str(), Some(value.as_str()));
            }
        }
    }
}
