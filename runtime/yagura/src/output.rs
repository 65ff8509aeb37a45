//! Results for people and for programs.

mod table;
mod terminal;

use std::io::{Result, Write};

use clap::ValueEnum;
pub(crate) use table::table;
pub(crate) use terminal::{cut, takes_escapes, width};
use yagura_core::shown::json_escaped;
pub(crate) use yagura_core::shown::printable;
use yagura_core::{Alert, Severity};
pub(crate) use yagura_service::messages::{count, number};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Prints alerts, the most severe first in the table, by time in JSON.
pub(crate) fn alerts(out: &mut impl Write, alerts: &[Alert], format: OutputFormat) -> Result<()> {
    match format {
        OutputFormat::Json => {
            for alert in alerts {
                serde_json::to_writer(&mut *out, alert)?;
                out.write_all(b"\n")?;
            }
        }
        OutputFormat::Text => {
            let mut sorted: Vec<&Alert> = alerts.iter().collect();
            sorted.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.window_start));
            let mut table = table(["SEVERITY", "FIRST SEEN (UTC)", "COUNT", "TITLE", "RULE"]);
            for alert in &sorted {
                let time = alert.first_time.to_string();
                table.add_row([
                    alert.severity.to_string(),
                    time.get(..19).unwrap_or(&time).replace('T', " "),
                    alert.count.to_string(),
                    cell(&alert.title),
                    alert.rule.clone(),
                ]);
            }
            table.align_right(2);
            if !alerts.is_empty() {
                writeln!(out, "{table}")?;
            }
            writeln!(out, "{}", summary(alerts))?;
        }
    }
    Ok(())
}

fn summary(alerts: &[Alert]) -> String {
    let mut parts = Vec::new();
    for severity in [
        Severity::Critical,
        Severity::High,
        Severity::Medium,
        Severity::Low,
        Severity::Info,
    ] {
        let count = alerts.iter().filter(|a| a.severity == severity).count();
        if count > 0 {
            parts.push(format!("{count} {severity}"));
        }
    }
    match alerts.len() {
        0 => "no alerts".to_owned(),
        1 => format!("1 alert: {}", parts.join(", ")),
        many => format!("{many} alerts: {}", parts.join(", ")),
    }
}

/// The most columns of a title in a table; JSON has all of it.
const LONGEST_CELL: usize = 100;

/// Returns a text for a table, cut where it is so long that the other columns would be out of sight.
pub(crate) fn cell(text: &str) -> String {
    // With up to four marks a letter; of a title of megabytes the rest need not be looked at.
    let start: String = text.chars().take(5 * (LONGEST_CELL + 1)).collect();
    cut(&printable(&start), LONGEST_CELL)
}

/// A terminal, or what stands for one: invisible characters in what is written to it are written out, in the way of JSON, where
/// that is the same text.
pub(crate) struct Shown<W>(pub(crate) W);

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        // Text comes in whole characters; what is not text passes as it is.
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(json_escaped(text).as_bytes()),
            Err(_) => self.0.write_all(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

/// A stream whose failures do not stop a service: a log on a full disk, a terminal that is gone.
pub(crate) struct Unfailing<W>(pub(crate) W);

impl<W: Write> Write for Unfailing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let _ = self.0.write_all(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Where the log goes: as [`Shown`], but for the colours that the log itself sets.
pub(crate) struct Logged<W>(pub(crate) W);

impl<W: Write> Write for Logged<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.0.write_all(bytes);
        };
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("\u{1b}[") {
            let colour = &rest[at + 2..];
            let is_end = |c: char| !c.is_ascii_digit() && c != ';';
            let end = colour
                .find(is_end)
                .filter(|end| colour[*end..].starts_with('m'));
            // Up to its end, or to what is no colour's beginning.
            let (shown, after) = match end {
                Some(end) => (at, at + 2 + end + 1),
                None => (at + 2, at + 2),
            };
            written.push_str(&json_escaped(&rest[..shown]));
            written.push_str(&rest[shown..after]);
            rest = &rest[after..];
        }
        written.push_str(&json_escaped(rest));
        self.0.write_all(written.as_bytes())
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_titles_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
    }

    #[test]
    fn what_is_not_seen_is_written_out() {
        let hidden = [
            '\u{61c}',
            '\u{200e}',
            '\u{200f}',
            '\u{feff}',
            '\u{e0041}',
            '\u{ad}',
            '\u{7f}',
            '\u{9b}',
        ];
        let bidi = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        for c in bidi.chain(hidden) {
            let title = format!("a{c}b");
            for shown in [printable(&title), cell(&title)] {
                assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(c)));
            }
            // The same text to a program, and nothing that a terminal acts upon.
            let mut bytes = Vec::new();
            serde_json::to_writer(Shown(&mut bytes), &title).unwrap();
            assert!(bytes.is_ascii(), "{title:?}");
            assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), title);
        }
        for plain in [
            "Überprüfung",
            "日本語のタイトル",
            "e\u{301}",
            "👍🏽",
            "C:\\Windows\\a b",
        ] {
            assert_eq!(printable(plain), plain);
            let mut bytes = Vec::new();
            write!(Shown(&mut bytes), "{plain}\n\t").unwrap();
            assert_eq!(bytes, format!("{plain}\n\t").as_bytes());
        }
    }

    #[test]
    fn a_log_keeps_its_colours_alone() {
        let mut bytes = Vec::new();
        let line = "\u{1b}[2m12:00\u{1b}[0m \u{1b}[1;33mWARN\u{1b}[0m a\u{202e}b \u{1b}[2Jc \u{1b}]0;d\u{1b}[\n";
        write!(Logged(&mut bytes), "{line}").unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "\u{1b}[2m12:00\u{1b}[0m \u{1b}[1;33mWARN\u{1b}[0m a\\u202eb \\u001b[2Jc \\u001b]0;d\\u001b[\n"
        );
    }

    #[test]
    fn a_long_title_is_cut() {
        assert_eq!(cell(&"x".repeat(LONGEST_CELL)), "x".repeat(LONGEST_CELL));
        let long = cell(&"é".repeat(5_000));
        assert_eq!(long.chars().count(), LONGEST_CELL);
        assert!(long.ends_with('…'));
    }
}
