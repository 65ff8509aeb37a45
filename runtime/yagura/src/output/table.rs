//! Tables for people, as wide as their terminal.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use unicode_width::UnicodeWidthStr;

use super::terminal;

/// The least columns of a terminal that a column of a table is made narrow to. With less room the rows stand below each other.
const LEAST: usize = 10;

/// Columns between two columns.
const GAP: u16 = 2;

/// A table without frames. Where its columns have no room side by side, each row is a block of lines with the names of the columns
/// before their values.
#[derive(Debug)]
pub(crate) struct TextTable {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
    width: Option<u16>,
}

/// Returns a table, as wide as the terminal where there is one.
pub(crate) fn table<const N: usize>(header: [&'static str; N]) -> TextTable {
    TextTable {
        header: header.to_vec(),
        rows: Vec::new(),
        right: Vec::new(),
        width: terminal::width(),
    }
}

impl TextTable {
    /// Adds a row with a value for each column.
    pub(crate) fn add_row<T: Into<String>>(&mut self, row: impl IntoIterator<Item = T>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// Puts the values of a column, which are numbers, to its right.
    pub(crate) fn align_right(&mut self, column: usize) {
        self.right.push(column);
    }

    /// Leaves the last column out.
    pub(crate) fn without_last(&mut self) {
        self.header.pop();
        for row in &mut self.rows {
            row.truncate(self.header.len());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Says whether the columns have room side by side.
    fn is_wide_enough(&self, width: u16) -> bool {
        let needed = |(index, name): (usize, &&str)| {
            let values = self.rows.iter().filter_map(|row| row.get(index));
            let longest = values.map(|value| value.width()).max().unwrap_or(0);
            longest.min(LEAST).max(name.width().min(LEAST)) + usize::from(GAP)
        };
        let needed: usize = self.header.iter().enumerate().map(needed).sum();
        needed <= usize::from(width)
    }

    fn side_by_side(&self) -> Table {
        let mut table = self.empty();
        table.set_header(&self.header);
        for row in &self.rows {
            table.add_row(row);
        }
        for column in &self.right {
            if let Some(column) = table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        pad(&mut table);
        table
    }

    /// A row as lines, a value each.
    fn block(&self, row: &[String]) -> Table {
        let mut table = self.empty();
        for (name, value) in self.header.iter().zip(row) {
            if !value.is_empty() {
                table.add_row([*name, value.trim()]);
            }
        }
        pad(&mut table);
        table
    }

    fn empty(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .force_no_tty()
            .set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = self.width {
            // The gap after the last column is blank.
            table.set_width(width.saturating_add(GAP));
        }
        table
    }
}

fn pad(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_wide_enough = self.width.is_none_or(|width| self.is_wide_enough(width));
        if is_wide_enough || self.rows.is_empty() {
            return f.write_str(&self.side_by_side().trim_fmt());
        }
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            f.write_str(&self.block(row).trim_fmt())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: u16) -> String {
        let mut columns = table(["SEVERITY", "LAST EVENT (UTC)", "COUNT", "TITLE", "RULE"]);
        columns.width = Some(width);
        columns.align_right(2);
        for title in [
            "powershell downloads and runs a file".repeat(8),
            "日本語のとても長い題名".repeat(20),
            "e\u{301}".repeat(300),
            "short".to_owned(),
        ] {
            columns.add_row([
                "critical".to_owned(),
                "2026-03-01 10:00:00".to_owned(),
                "12".to_owned(),
                title,
                "a-rule-with-a-name".to_owned(),
            ]);
        }
        columns.to_string()
    }

    #[test]
    fn no_line_is_wider_than_its_terminal() {
        for width in [20, 40, 80, 120, 200] {
            let text = shown(width);
            for line in text.lines() {
                assert!(line.width() <= usize::from(width), "{width}: {line:?}");
                assert_eq!(line, line.trim_end(), "{width}");
            }
            let letters = |of: &str| text.matches(of).count();
            assert_eq!(letters("\u{301}"), 300, "{width}: nothing is lost");
            assert_eq!(letters("日"), 20, "{width}: nothing is lost");
        }
    }

    #[test]
    fn rows_stand_below_each_other_where_columns_have_no_room() {
        let narrow = shown(40);
        assert!(
            narrow.starts_with("SEVERITY          critical\n"),
            "{narrow}"
        );
        assert_eq!(narrow.matches("\n\n").count(), 3, "{narrow}");
        let wide = shown(200);
        assert_eq!(wide.matches("SEVERITY").count(), 1, "{wide}");
    }

    #[test]
    fn a_table_into_a_file_has_its_own_width() {
        let mut columns = table(["A", "B"]);
        columns.width = None;
        let long = "x y ".repeat(200);
        columns.add_row([long.as_str(), "b"]);
        let text = columns.to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
