//! Results for people and for programs.

use std::io::{Result, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use yagura_core::{Alert, Severity};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Prints alerts, the gravest first in the table, by time in JSON.
pub(crate) fn alerts(out: &mut impl Write, alerts: &[Alert], format: Format) -> Result<()> {
    match format {
        Format::Json => {
            for alert in alerts {
                serde_json::to_writer(&mut *out, alert)?;
                out.write_all(b"\n")?;
            }
        }
        Format::Text => {
            let mut sorted: Vec<&Alert> = alerts.iter().collect();
            sorted.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.window_start));
            let mut table = table(["SEVERITY", "FIRST SEEN (UTC)", "COUNT", "TITLE", "RULE"]);
            for alert in &sorted {
                let time = alert.first_time.to_string();
                table.add_row([
                    alert.severity.to_string(),
                    time.get(..19).unwrap_or(&time).replace('T', " "),
                    alert.count.to_string(),
                    printable(&alert.title),
                    alert.rule.clone(),
                ]);
            }
            if let Some(count) = table.column_mut(2) {
                count.set_cell_alignment(CellAlignment::Right);
            }
            if !alerts.is_empty() {
                writeln!(out, "{table}")?;
            }
            writeln!(out, "{}", summary(alerts))?;
        }
    }
    Ok(())
}

/// Returns a table without frames, as wide as the terminal where there is one.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
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

/// Titles hold values that an attacker may have chosen: control characters must not reach the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            };
            escaped
        })
        .collect()
}

/// Writes a number with thousands apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number with its unit.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        self::number(number),
        if number == 1 { one } else { many }
    )
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
}
