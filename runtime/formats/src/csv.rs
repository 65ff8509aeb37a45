//! Tables with a header: CSV, TSV and their dialects, by RFC 4180.
//!
//! ```text
//! header = name *(delimiter name)      delimiter = "," / ";" / TAB / "|"
//! line   = field *(delimiter field)    field = *char / DQUOTE *(char / 2DQUOTE) DQUOTE
//! ```
//!
//! The first record is the header. Its most frequent delimiter outside quotes is that of the file. A name that occurs again becomes
//! `name_2`, and an empty one `column_3`. All values are text, and an empty field is the empty text.
//!
//! A quoted field may span lines. Its record waits for the quote that closes it, for at most 2,000 lines and 1 MiB. Where none comes,
//! or where the record does not fit the header, each line is read by itself, so that a stray quote costs its own line only.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc4180>.

use ::csv::{ReaderBuilder, StringRecord, Terminator};
use serde_json::Value;

use crate::gather::{MOST_BYTES, MOST_LINES};
use crate::parts::{bare, distinct, whole_lines, wrong, wrong_count};
use crate::{Decode, Decoded, Gather, Record, Rest, Taken, Wrong};

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
    let mut gather = Lines::default();
    let mut records = (1..).zip(whole_lines(start)).filter_map(|(number, line)| {
        match gather.line(line, number) {
            Taken::Alone => Some(line.to_owned()),
            Taken::Waits => None,
            Taken::Records { records, .. } => Some(records.into_iter().next()?.text),
        }
    });
    let (Some(first), Some(second)) = (records.next(), records.next()) else {
        return false;
    };
    let Ok(header) = header(bare(&first)) else {
        return false;
    };
    let mut names: Vec<&str> = header.written.iter().collect();
    names.sort_unstable();
    names.dedup();
    names.len() >= 3
        && names.len() == header.names.len()
        && names.iter().all(|name| is_word(name))
        && fields(bare(&second), header.delimiter)
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
    // Without quotes there is nothing to decode, and a reader costs more than the line.
    if !line.contains(['"', '\n']) {
        let fields: Vec<&str> = line.split(char::from(delimiter)).collect();
        return Ok(StringRecord::from(fields));
    }
    match scan(line, delimiter, None) {
        Scanned::Whole => {}
        Scanned::Open(at) => return Err(wrong("a quote is not closed", at)),
        Scanned::Break(at) => return Err(wrong("a line break stands outside of quotes", at)),
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

/// How a text ends.
enum Scanned {
    Whole,
    /// Within a quoted field that begins here.
    Open(usize),
    /// A line break stands here, outside of quotes.
    Break(usize),
}

/// Looks for the end of quoted fields; `open` is where one begins in which the text begins. A quote in an unquoted field means
/// nothing.
fn scan(line: &str, delimiter: u8, open: Option<usize>) -> Scanned {
    let bytes = line.as_bytes();
    let mut open = open;
    let mut is_start = open.is_none();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (open, *byte) {
            (Some(_), b'"') if bytes.get(at + 1) == Some(&b'"') => at += 1,
            (Some(_), b'"') => open = None,
            (None, b'"') if is_start => open = Some(at),
            (None, b'\n') => return Scanned::Break(at),
            _ => {}
        }
        is_start = open.is_none() && *byte == delimiter;
        at += 1;
    }
    open.map_or(Scanned::Whole, Scanned::Open)
}

/// Puts lines together to records.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Known once the header was seen.
    delimiter: Option<u8>,
    text: String,
    first: u64,
    last: u64,
}

impl Lines {
    fn is_whole(&mut self, text: &str, open: Option<usize>) -> bool {
        if let Some(delimiter) = self.delimiter {
            return matches!(scan(text, delimiter, open), Scanned::Whole);
        }
        let text = bare(text);
        let is_open = |delimiter: &u8| matches!(scan(text, *delimiter, None), Scanned::Open(_));
        match header(text) {
            // One column may be what is left of several.
            Ok(header) if header.names.len() > 1 || !DELIMITERS.iter().any(is_open) => {
                self.delimiter = Some(header.delimiter);
                true
            }
            _ => false,
        }
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

impl Gather for Lines {
    fn line(&mut self, line: &str, number: u64) -> Taken {
        if self.text.is_empty() {
            if line.trim().is_empty() || self.is_whole(line, None) {
                return Taken::Alone;
            }
            line.clone_into(&mut self.text);
            (self.first, self.last) = (number, number);
            return Taken::Waits;
        }
        for _ in self.last..number.max(self.last + 1) {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.last = number;
        let whole = match self.delimiter {
            Some(_) => self.is_whole(line, Some(0)),
            None => {
                let text = self.text.clone();
                self.is_whole(&text, None)
            }
        };
        let first = self.first;
        if whole {
            let text = self.take();
            let records = vec![Record { text, line: first }];
            return Taken::Records {
                records,
                waits: None,
            };
        }
        // A header that is not whole is read again with each line.
        let most = if self.delimiter.is_some() {
            MOST_BYTES
        } else {
            MOST_BYTES / 64
        };
        if self.text.len() > most || number - first >= MOST_LINES as u64 {
            let text = self.take();
            let records = Record { text, line: first }.lines();
            return Taken::Records {
                records,
                waits: None,
            };
        }
        Taken::Waits
    }

    fn end(&mut self) -> Rest {
        Rest {
            records: Vec::new(),
            open: (!self.take().is_empty()).then_some(self.first),
        }
    }

    fn may_split(&self) -> bool {
        true
    }
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
        assert_eq!(reasons[2], "2 a quote is not closed");
        assert_eq!(reasons[3], r#"{"a":"1","b":"2"}"#);
    }

    /// Records as `LINE:TEXT`, and the number of the line at which one is open.
    fn gathered(lines: &[&str]) -> (Vec<String>, Option<u64>) {
        let mut gather = Lines::default();
        let mut found = Vec::new();
        for (number, line) in (1..).zip(lines) {
            match gather.line(line, number) {
                Taken::Alone => found.push(format!("{number}:{line}")),
                Taken::Waits => {}
                Taken::Records { records, waits } => {
                    assert_eq!(waits, None);
                    found.extend(records.iter().map(|of| format!("{}:{}", of.line, of.text)));
                }
            }
        }
        let rest = gather.end();
        assert!(rest.records.is_empty());
        (found, rest.open)
    }

    #[test]
    fn quoted_fields_span_lines() {
        let lines = [
            "a,\"b",
            "c\",d",
            "1,\"x\"\"",
            "",
            " y\"\"",
            "\",2",
            "3,4,5",
            "6,\"7",
        ];
        let (found, open) = gathered(&lines);
        let header = "1:a,\"b\nc\",d";
        let event = "3:1,\"x\"\"\n\n y\"\"\n\",2";
        assert_eq!(found, [header, event, "7:3,4,5"]);
        assert_eq!(open, Some(8));
        let texts: Vec<&str> = found
            .iter()
            .map(|of| of.split_once(':').unwrap().1)
            .collect();
        let events = shown(&texts);
        assert_eq!(events[0], r#"{"a":"1","b\nc":"x\"\n\n y\"\n","d":"2"}"#);
        assert_eq!(events[1], r#"{"a":"3","b\nc":"4","d":"5"}"#);
    }

    #[test]
    fn a_quote_that_nothing_closes_costs_its_own_line() {
        let mut lines = vec!["a,b", "1,\"2"];
        lines.extend(["3,4"; MOST_LINES + 1]);
        let (found, open) = gathered(&lines);
        assert_eq!((found.len(), open), (lines.len(), None));
        assert_eq!(found[1..3], ["2:1,\"2", "3:3,4"]);
        let long = format!("\"{}", "x".repeat(MOST_BYTES));
        assert_eq!(gathered(&["a,b", &long, "y"]).0.len(), 3);
    }

    #[test]
    fn only_tables_look_like_one() {
        for start in [
            "time,user,action\n1,2,3\n",
            "\u{feff}\"Event Time\";\"User\";\"Source IP\"\n\"a;b\";c;d",
            "ts\tid.orig_h\tcs(Host)\na\tb\tc\n",
            "time,user,action\n1,\"2\n\n3\",4\n",
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
