//! The extended log file format of the W3C: IIS, CloudFront, the Windows firewall, Exchange, proxies.
//!
//! ```text
//! #Version: 1.0
//! #Fields: date time cs-uri-stem sc-status …      the names, separated by spaces or commas
//! line   = field *(separator field)               separated by spaces or tabs; by commas if the names are
//! field  = "-" / *char / DQUOTE *(char / 2DQUOTE) DQUOTE
//! ```
//!
//! A field `-` is left out. Names stay as the header writes them. Numbers are the fields for which the draft or the maker's
//! documentation says so: bytes, statuses, ports and durations. All else is text, with the escapes of its writer: IIS writes `+`
//! for a space, CloudFront `%20`. `date` and `time` are UTC, so both together give `timestamp`, unless a line `#Time Format: Local`
//! stands before. A file without a header is read if its lines have the 33 columns of CloudFront.
//!
//! Source: <https://www.w3.org/TR/WD-logfile.html>;
//! <https://learn.microsoft.com/en-us/windows/win32/http/w3c-logging>;
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html>.

use serde_json::Value;

use crate::parts::{Members, bare, distinct, whole_lines, wrong, wrong_count};
use crate::times::{is_clock, is_date};
use crate::{Decode, Decoded, Wrong};

/// The columns of CloudFront's standard logs.
const CLOUDFRONT: &str = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) \
    cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken \
    x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields \
    c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end";

/// Reads logs of the W3C's extended format.
#[derive(Debug, Default)]
pub(crate) struct W3c {
    fields: Vec<String>,
    /// Whether commas separate the fields, as Exchange writes them.
    has_commas: bool,
    /// Whether times have the zone of the machine.
    is_local: bool,
}

impl W3c {
    /// Returns a decoder that has not seen a header.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn header(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.trim_end() {
            "#Fields" => self.names(value.trim()),
            "#Time Format" => self.is_local = value.trim().eq_ignore_ascii_case("local"),
            "#Version" => self.is_local = false,
            _ => {}
        }
    }

    fn names(&mut self, names: &str) {
        self.has_commas = names.contains(',') && !names.contains([' ', '\t']);
        let separators: &[char] = if self.has_commas {
            &[',']
        } else {
            &[' ', '\t']
        };
        let names = names.split(separators).filter(|name| !name.is_empty());
        self.fields = distinct(names);
    }

    /// Splits a line by the separator that gives as many fields as the header has.
    fn split(&self, line: &str) -> Result<Vec<String>, Wrong> {
        let count = self.fields.len();
        let fits = |fields: &Vec<String>| fields.len() == count;
        let raw = |separator: char| line.split(separator).map(str::to_owned).collect();
        if self.has_commas {
            let fields = unquoted(line, ',');
            let fields = fields.ok_or_else(|| wrong("a quote is not closed", 0))?;
            return match fields.len() {
                found if found == count => Ok(fields),
                found => Err(wrong_count(count, found, line.len())),
            };
        }
        let tabs: Vec<String> = raw('\t');
        if fits(&tabs) {
            return Ok(tabs);
        }
        // IIS writes a quote as any other character, so quotes that do not fit are text.
        let quoted = unquoted(line, ' ');
        let found = quoted.as_ref().map_or(tabs.len(), Vec::len);
        let quoted = quoted.filter(fits).or_else(|| Some(raw(' ')).filter(fits));
        quoted.ok_or_else(|| wrong_count(count, found.max(tabs.len()), line.len()))
    }
}

impl Decode for W3c {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        let line = bare(line);
        if line.starts_with('#') {
            self.header(line);
            return Ok(Decoded::Nothing);
        }
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        if self.fields.is_empty() && is_cloudfront(line) {
            self.names(CLOUDFRONT);
        }
        if self.fields.is_empty() {
            return Err(wrong("no line #Fields stands before this line", 0));
        }
        let fields = self.split(line)?;
        let mut event = Members::default();
        let mut moment = (None, None);
        for (name, text) in self.fields.iter().zip(&fields) {
            match name.as_str() {
                "date" if is_date(text) => moment.0 = Some(text),
                "time" if is_clock(text) => moment.1 = Some(text),
                _ => {}
            }
            match text.as_str() {
                "-" if !self.has_commas => {}
                "" if self.has_commas => {}
                _ if is_number(name) => event.number(name, text),
                _ => event.text(name, text),
            }
        }
        if let (Some(date), Some(time), false) = (moment.0, moment.1, self.is_local) {
            event.add("timestamp", Value::from(format!("{date}T{time}Z")));
        }
        Ok(Decoded::Event(event.into_map()))
    }
}

/// Splits at separators outside quotes. Spaces in a row are one separator. Nothing if a quote is not closed before a separator.
fn unquoted(line: &str, separator: char) -> Option<Vec<String>> {
    let skip = |text| {
        if separator == ' ' {
            str::trim_start_matches(text, ' ')
        } else {
            text
        }
    };
    let mut fields = Vec::new();
    let mut rest = skip(line);
    loop {
        let mut field = String::new();
        if let Some(inside) = rest.strip_prefix('"') {
            rest = inside;
            loop {
                let (text, after) = rest.split_once('"')?;
                field.push_str(text);
                rest = after;
                let Some(after) = rest.strip_prefix('"') else {
                    break;
                };
                field.push('"');
                rest = after;
            }
        } else {
            let (text, after) = rest.split_at(rest.find(separator).unwrap_or(rest.len()));
            field.push_str(text);
            rest = after;
        }
        fields.push(field);
        if rest.is_empty() {
            return Some(fields);
        }
        rest = skip(rest.strip_prefix(separator)?);
        if rest.is_empty() && separator == ' ' {
            return Some(fields);
        }
    }
}

/// Says whether the documentation calls a field a number.
fn is_number(name: &str) -> bool {
    let last = name.rsplit('-').next().unwrap_or(name);
    matches!(
        last,
        "bytes" | "status" | "substatus" | "port" | "cached" | "size"
    ) || matches!(
        name,
        "time-taken"
            | "time-to-first-byte"
            | "sc-content-len"
            | "sc-range-start"
            | "sc-range-end"
            | "pid"
    )
}

fn is_cloudfront(line: &str) -> bool {
    let fields: Vec<&str> = line.split('\t').collect();
    let [date, time, location, ..] = fields.as_slice() else {
        return false;
    };
    let is_location = location.get(..3).is_some_and(|city| {
        city.bytes().all(|byte| byte.is_ascii_uppercase()) && location.len() <= 12
    });
    fields.len() == 33 && is_date(date) && is_clock(time) && is_location
}

/// Says whether a text begins with lines such as `#Version: 1.0`, `#Fields` among them, or with a line of CloudFront.
pub(crate) fn looks_like(start: &str) -> bool {
    let mut lines = whole_lines(start).peekable();
    let Some(first) = lines.peek() else {
        return false;
    };
    let known = ["#Version:", "#Software:", "#Fields:", "#Date:"];
    if !known.iter().any(|name| first.starts_with(name)) {
        return is_cloudfront(bare(first));
    }
    let mut header = lines.take_while(|line| line.starts_with('#'));
    header.any(|line| {
        line.strip_prefix("#Fields:")
            .is_some_and(|names| !names.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::check;

    fn shown(lines: &[&str]) -> Vec<String> {
        check::shown(&mut W3c::new(), lines)
    }

    #[test]
    fn fields_have_the_names_of_the_header() {
        let events = shown(&[
            "#Software: Web Server 9",
            "#Fields: date time cs-method cs(User-Agent) sc-status time-taken sc-status",
            "2026-03-01 10:11:12 GET Agent/1+(x) 404 15 -\r",
            r#"2026-03-01 10:11:12 - "a ""b"" c" x 1.5 7"#,
            r#"- 10:11:12 GET "Agent 200 0 0"#,
            "#Fields: time a",
            "10:11:12 b",
        ]);
        assert_eq!(
            events,
            [
                r#"{"date":"2026-03-01","time":"10:11:12","cs-method":"GET","cs(User-Agent)":"Agent/1+(x)","sc-status":404,"time-taken":15,"timestamp":"2026-03-01T10:11:12Z"}"#,
                r#"{"date":"2026-03-01","time":"10:11:12","cs(User-Agent)":"a \"b\" c","sc-status":"x","time-taken":1.5,"sc-status_2":"7","timestamp":"2026-03-01T10:11:12Z"}"#,
                r#"{"time":"10:11:12","cs-method":"GET","cs(User-Agent)":"\"Agent","sc-status":200,"time-taken":0,"sc-status_2":"0"}"#,
                r#"{"time":"10:11:12","a":"b"}"#,
            ]
        );
    }

    #[test]
    fn tabs_and_commas_separate_too() {
        let line = format!("2026-03-01\t10:11:12\tZRH50-C1\t703{}", "\t-".repeat(29));
        let event = r#"{"date":"2026-03-01","time":"10:11:12","x-edge-location":"ZRH50-C1","sc-bytes":703,"timestamp":"2026-03-01T10:11:12Z"}"#;
        assert_eq!(shown(&[&line]), [event]);
        assert_eq!(
            shown(&["#Fields: a b", "x y\t\"z"]),
            [r#"{"a":"x y","b":"\"z"}"#]
        );
        let events = shown(&[
            "#Fields: date-time,subject,size",
            r#"2026-03-01T10:11:12Z,"a, b",9"#,
            "-,,",
        ]);
        assert_eq!(
            events[0],
            r#"{"date-time":"2026-03-01T10:11:12Z","subject":"a, b","size":9}"#
        );
        assert_eq!(events[1], r#"{"date-time":"-"}"#);
    }

    #[test]
    fn local_times_are_no_timestamps() {
        let lines = [
            "#Time Format: Local",
            "#Fields: date time",
            "2026-03-01 10:11:12",
        ];
        assert_eq!(
            shown(&lines),
            [r#"{"date":"2026-03-01","time":"10:11:12"}"#]
        );
    }

    #[test]
    fn what_is_wrong_says_why() {
        let reasons = shown(&["a b", "#Fields: a b", "1 2 3", "1", r#"1 "2 3"#]);
        assert_eq!(reasons[0], "0 no line #Fields stands before this line");
        assert_eq!(reasons[1], "5 the header has 2 columns, and this line 3");
        assert_eq!(reasons[2], "1 the header has 2 columns, and this line 1");
        assert_eq!(reasons[3], "6 the header has 2 columns, and this line 1");
    }

    #[test]
    fn only_headers_of_the_w3c_look_like_it() {
        assert!(looks_like(
            "\u{feff}#Software: x\r\n#Version: 1.0\r\n#Fields: date time\r\n"
        ));
        for start in [
            "",
            "#Version: 1.0\n",
            "#Fields:\n",
            "# a comment\n",
            "#separator \\x09\n",
            "{\"a\":1}\n",
            "a b c\n",
        ] {
            assert!(!looks_like(start), "{start}");
        }
    }
}
