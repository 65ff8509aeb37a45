//! Where in a text something stands: line and column.

use std::ops::Range;

use serde::Serialize;

/// A place between two characters of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The line, from one.
    pub line: usize,
    /// The column, from one, in characters (Unicode code points).
    pub column: usize,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Before its first character.
    pub start: Position,
    /// Behind its last character.
    pub end: Position,
    /// The line in which it starts, without its end of line: what is shown of the file.
    pub source_line: String,
}

impl Span {
    /// Returns the span of a range of bytes; one that leaves the text, or splits a character, is cut to it.
    pub fn of(text: &str, range: Range<usize>) -> Self {
        let start = boundary(text, range.start);
        let end = boundary(text, range.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &text[line_start..];
        let line = rest.split('\n').next().unwrap_or_default();
        Self {
            start: position(text, start),
            end: position(text, end),
            source_line: line.trim_end_matches('\r').to_owned(),
        }
    }

    /// Returns the span of a whole line, from one, without the blanks around it; nothing where there is no such line.
    pub fn of_line(text: &str, line: usize) -> Option<Self> {
        let mut start = 0;
        for (index, content) in text.split_inclusive('\n').enumerate() {
            if index + 1 == line {
                let trimmed = content.trim_start();
                let from = start + content.len() - trimmed.len();
                return Some(Self::of(text, from..from + trimmed.trim_end().len()));
            }
            start += content.len();
        }
        None
    }

    /// Returns the start of a line, from one, of a text that is not at hand.
    pub fn at_line(line: usize) -> Self {
        let start = Position { line, column: 1 };
        Self {
            start,
            end: start,
            source_line: String::new(),
        }
    }

    /// Returns the part of [`Self::source_line`] that the span covers, in bytes.
    pub fn in_source_line(&self) -> Range<usize> {
        let offset = |column: usize| {
            let mut characters = self.source_line.char_indices();
            characters
                .nth(column.saturating_sub(1))
                .map_or(self.source_line.len(), |(at, _)| at)
        };
        let start = offset(self.start.column);
        match self.end.line == self.start.line {
            true => start..offset(self.end.column).max(start),
            false => start..self.source_line.len(),
        }
    }
}

/// Returns the nearest boundary of characters that is not behind `offset`.
fn boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn position(text: &str, offset: usize) -> Position {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a = 1\r\nö = \"é\"\r\n";
        let at = text.find('"').unwrap();
        let span = Span::of(text, at..at + "\"é\"".len());
        assert_eq!((span.start.line, span.start.column), (2, 5));
        assert_eq!((span.end.line, span.end.column), (2, 8));
        assert_eq!(span.source_line, "ö = \"é\"");
        assert_eq!(&span.source_line[span.in_source_line()], "\"é\"");
    }

    #[test]
    fn a_range_outside_of_the_text_is_cut() {
        let span = Span::of("aé", 2..99);
        assert_eq!((span.start.column, span.end.column), (2, 3));
        let end = Span::of("a\n", 2..2);
        assert_eq!((end.start.line, end.start.column), (2, 1));
        assert_eq!(end.source_line, "");
    }

    #[test]
    fn a_line_is_covered_without_its_indent() {
        let span = Span::of_line("a\n  b: c \nd", 2).unwrap();
        assert_eq!(&span.source_line[span.in_source_line()], "b: c");
        assert_eq!(Span::of_line("a", 2), None);
    }

    #[test]
    fn of_several_lines_the_first_is_shown() {
        let text = "x = [\n 1,\n]";
        let span = Span::of(text, 4..text.len());
        assert_eq!(span.source_line, "x = [");
        assert_eq!(&span.source_line[span.in_source_line()], "[");
        assert_eq!(span.end.line, 3);
    }
}
