//! Tables with a header: CSV, TSV and their dialects, by RFC 4180.
//!
//! ```text
//! header = name *(delimiter name)      delimiter = "," / ";" / TAB / "|"
//! line   = field *(delimiter field)    field = *char / DQUOTE *(char / 2DQUOTE) DQUOTE
//! ```
//!
//! The first line is the header. Its most frequent delimiter outside quotes is that of the file. A name that occurs again becomes
//! `name_2`, and an empty one `column_3`. All values are text, and an empty field is the empty text. RFC 4180 lets a quoted field
//! span lines. A decoder of lines cannot see that, so a quote that the line does not close is wrong.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc4180>.

use ::csv::{ReaderBuilder, StringRecord, Terminator};
use serde_json::Value;

use crate::parts::{bare, distinct, whole_lines, wrong, wrong_count};
use crate::{Decode, Decoded, Wrong};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads a table whose first line is the header.
#[derive(Debug, Default)]
pub(crate) struct Csv {
    header: Option<Header>,
}

#[derive(Debug)]
struct Header {
    delimiter: u8,
    /// As the file writes them.
    written: StringRecord,
    names: Vec<String>,
}

impl Csv {
    /// Returns a decoder that takes the next line for the header.
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl Decode for Csv {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let line = bare(line);
        if line.is_empty() {
            return Ok(Decoded::Nothing);
        }
        let Some(header) = &self.header else {
            self.header = Some(header(line)?);
            return Ok(Decoded::Nothing);
        };
        let fields = fields(line, header.delimiter)?;
        // Files that were joined have their header in the middle.
        if fields == header.written {
            return Ok(Decoded::Nothing);
        }
        if fields.len() != header.names.len() {
            return Err(wrong_count(header.names.len(), fields.len(), line.len()));
        }
        let members = header.names.iter().cloned();
        let event = members.zip(fields.iter().map(Value::from)).collect();
        Ok(Decoded::Event(event))
    }
}

/// Says whether a text begins with a header of at least 3 words that are unlike each other, and a line of as many fields.
pub(crate) fn looks_like(start: &str) -> bool {
    let mut lines = whole_lines(start);
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return false;
    };
    let Ok(header) = header(bare(first)) else {
        return false;
    };
    let mut names: Vec<&str> = header.written.iter().collect();
    names.sort_unstable();
    names.dedup();
    names.len() >= 3
        && names.len() == header.names.len()
        && names.iter().all(|name| is_word(name))
        && fields(bare(second), header.delimiter)
            .is_ok_and(|fields| fields.len() == names.len() && fields != header.written)
}

/// Says whether a text could be the name of a column: `src_ip`, `Source IP`, `@timestamp`, `cs(Host)`.
fn is_word(name: &str) -> bool {
    let start = name.trim_start_matches(['@', '_']);
    name.len() <= 64
        && start.starts_with(char::is_alphabetic)
        && !name.ends_with(' ')
        && name.split(' ').count() <= 4
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "@_-.()/ ".contains(c))
}

fn header(line: &str) -> Result<Header, Wrong> {
    let count = |delimiter: u8| fields(line, delimiter).map_or(0, |fields| fields.len());
    // Of equals the first one.
    let delimiter = DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(|delimiter| count(*delimiter));
    let delimiter = delimiter.unwrap_or(b',');
    let written = fields(line, delimiter)?;
    let names: Vec<String> = (1..)
        .zip(&written)
        .map(|(nth, name)| match name.trim() {
            "" => format!("column_{nth}"),
            name => name.to_owned(),
        })
        .collect();
    Ok(Header {
        delimiter,
        written,
        names: distinct(names.iter().map(String::as_str)),
    })
}

fn fields(line: &str, delimiter: u8) -> Result<StringRecord, Wrong> {
    if let Some(at) = line.find('\n') {
        return Err(wrong("a line break stands in the line", at));
    }
    if let Some(at) = unclosed_quote(line, delimiter) {
        let reason =
            "a quote is not closed on this line, and fields that span lines are not supported";
        return Err(wrong(reason, at));
    }
    // Without quotes there is nothing to decode, and a reader costs more than the line.
    if !line.contains('"') {
        let fields: Vec<&str> = line.split(char::from(delimiter)).collect();
        return Ok(StringRecord::from(fields));
    }
    let mut record = StringRecord::new();
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes())
        .read_record(&mut record)
        .map_err(|error| wrong(format!("the line cannot be split into fields: {error}"), 0))?;
    Ok(record)
}

/// Returns where a quoted field begins that the line does not close. A quote in an unquoted field means nothing.
fn unclosed_quote(line: &str, delimiter: u8) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut open = None;
    let mut is_start = true;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (open, *byte) {
            (Some(_), b'"') if bytes.get(at + 1) == Some(&b'"') => at += 1,
            (Some(_), b'"') => open = None,
            (None, b'"') if is_start => open = Some(at),
            _ => {}
        }
        is_start = open.is_none() && *byte == delimiter;
        at += 1;
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::check;

    fn shown(lines: &[&str]) -> Vec<String> {
        check::shown(&mut Csv::new(), lines)
    }

    #[test]
    fn every_delimiter_is_found_in_the_header() {
        for delimiter in [",", ";", "\t", "|"] {
            let lines = ["time D src ip D user", "10:11 D 192.0.2.7 D kim"];
            let lines = lines.map(|line| line.replace(" D ", delimiter));
            let event = r#"{"time":"10:11","src ip":"192.0.2.7","user":"kim"}"#;
            assert_eq!(shown(&[&lines[0], &lines[1]]), [event]);
            assert!(looks_like(&lines.join("\n")));
        }
    }

    #[test]
    fn names_are_distinct_and_none_is_empty() {
        let events = shown(&[
            "\u{feff}a,a,,\"a\", b \r",
            "1,2,3,4,5\r",
            "",
            "\u{feff}a,a,,\"a\", b ",
            "6,7,8,9,\r",
        ]);
        assert_eq!(
            events[0],
            r#"{"a":"1","a_2":"2","column_3":"3","a_3":"4","b":"5"}"#
        );
        assert_eq!(
            events[1],
            r#"{"a":"6","a_2":"7","column_3":"8","a_3":"9","b":""}"#
        );
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn quotes_hold_delimiters_and_quotes() {
        let events = shown(&["a,b", r#""x, ""y""",z"z"#, r#""x" y,"#]);
        assert_eq!(
            events,
            [r#"{"a":"x, \"y\"","b":"z\"z"}"#, r#"{"a":"x y","b":""}"#]
        );
    }

    #[test]
    fn what_is_wrong_says_why() {
        let reasons = shown(&["a,b", "1,2,3", "1", r#"1,"2"#, "1,2"]);
        assert_eq!(reasons[0], "5 the header has 2 columns, and this line 3");
        assert_eq!(reasons[1], "1 the header has 2 columns, and this line 1");
        assert!(reasons[2].starts_with("2 a quote is not closed on this line"));
        assert_eq!(reasons[3], r#"{"a":"1","b":"2"}"#);
    }

    #[test]
    fn only_tables_look_like_one() {
        for start in [
            "time,user,action\n1,2,3\n",
            "\u{feff}\"Event Time\";\"User\";\"Source IP\"\n\"a;b\";c;d",
            "ts\tid.orig_h\tcs(Host)\na\tb\tc\n",
        ] {
            assert!(looks_like(start), "{start}");
        }
        for start in [
            "",
            "time,user,action",
            "time,user\n1,2\n",
            "time,user,action\n1,2\n",
            "time,time,action\n1,2,3\n",
            "time,user,action\ntime,user,action\n",
            "{\"a\":1,\"b\":2,\"c\":3}\n{\"a\":1,\"b\":2,\"c\":3}\n",
            "[\"a\",\"b\",\"c\"]\n[\"a\",\"b\",\"c\"]\n",
            "Hello, my friend, how are you\nwell, so, so\n",
            "#fields\ta\tb\tc\n1\t2\t3\t4\n",
            "CEF:0|Maker|Product|1|2|3|4|\nCEF:0|Maker|Product|1|2|3|5|\n",
            "1,2,3\n4,5,6\n",
        ] {
            assert!(!looks_like(start), "{start}");
        }
    }
}
