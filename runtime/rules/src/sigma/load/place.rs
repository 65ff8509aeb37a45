//! Places in files that were read before.

use std::path::Path;

use yagura_core::diagnostic::{Code, Diagnostic, Key, Span};

use super::documents::documents;
use super::spans::Spans;
use super::text::text_in;
use crate::sigma::lower::LowerError;

/// Returns the span of a key of the document that begins on a line of a file, or that of the line.
///
/// The file is read again: rules keep no text, since few of them are wrong.
pub fn span_in(file: &Path, line: usize, key: Option<&Key>) -> Span {
    let text = text_in(file).unwrap_or_default();
    let of_key = || {
        let documents = documents(&text);
        let document = documents.iter().rev().find(|one| one.line <= line)?;
        let range = Spans::of(&document.text).range(key?)?;
        Some(document.span(range))
    };
    of_key()
        .or_else(|| Span::of_line(&text, line))
        .unwrap_or_else(|| Span::at_line(line))
}

impl LowerError {
    /// Returns the error with its file and its place.
    pub fn in_file(&self, file: &Path) -> Diagnostic {
        let mut key = Key::top("detection");
        let (name, item) = match self.key.split_once('.') {
            Some((name, item)) => (name, Some(item)),
            None => (self.key.as_str(), None),
        };
        key = key.name(name);
        let mut span = None;
        let line = self.line.unwrap_or(1);
        if let Ok(text) = text_in(file) {
            let documents = documents(&text);
            let document = documents.iter().rev().find(|one| one.line <= line);
            if let Some(document) = document {
                let spans = Spans::of(&document.text);
                let found = item.and_then(|item| spans.below(&key, item)).cloned();
                let range = spans.range(found.as_ref().unwrap_or(&key));
                span = range.map(|range| document.span(range));
            }
            span = span.or_else(|| Span::of_line(&text, line));
        }
        if let Some(item) = item {
            key = key.name(item);
        }
        Diagnostic::error(Code::SigmaDetection, self.message.clone())
            .at(key)
            .in_file(file)
            .with_span(span)
    }
}
