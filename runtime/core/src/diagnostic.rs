//! What is wrong, or looks wrong, in a file of a user: one type for every kind of file.
//!
//! Configuration, policies, packs, rules, Sigma files, grants, trust policies, locks, field maps and lookup tables are all reported
//! by a [`Diagnostic`]. A check returns it with the key that it is about; [`crate::source::SourceText`] adds the file and finds the
//! key's span with the parser's own spans, so that no text is searched. How it is shown (source line, JSON, SARIF) is the
//! binary's matter. Codes are listed in one registry, [`Code`], from which `docs/contributors/diagnostics.md` is generated.

mod code;
mod key;
mod span;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

pub use code::Code;
pub use key::{Key, KeyPart};
pub use span::{Position, Span};

/// An error, a warning or a note about a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file; nothing before a reader has added it.
    pub file: Option<PathBuf>,
    /// Where in the file, where that is known.
    pub span: Option<Span>,
    /// How bad it is.
    pub level: Level,
    /// What kind of thing it is, by its stable name.
    pub code: Code,
    /// Id of the rule that it is about, where it is about one.
    pub rule: Option<String>,
    /// The key that it is about, where it is about one.
    pub key: Option<Key>,
    /// What was found and what to write instead; after a key it goes on as its predicate.
    pub message: String,
    /// More that helps to mend it.
    pub help: Option<String>,
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file, or the rule, cannot be used.
    Error,
    /// It can be used, and does not do what its author meant.
    Warning,
    /// It can be used; worth knowing.
    Note,
}

/// What keeps a file from being used: at least one error, and what was found beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostic {
    /// Returns a diagnostic without file, key and rule.
    pub fn new(level: Level, code: Code, message: impl Into<String>) -> Self {
        Self {
            file: None,
            span: None,
            level,
            code,
            rule: None,
            key: None,
            message: message.into(),
            help: None,
        }
    }

    /// Returns an error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Level::Error, code, message)
    }

    /// Returns a warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, code, message)
    }

    /// Returns a note.
    pub fn note(code: Code, message: impl Into<String>) -> Self {
        Self::new(Level::Note, code, message)
    }

    /// Returns it with the key that it is about.
    #[must_use]
    pub fn at(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns it with the key that its own key lies below.
    #[must_use]
    pub fn under(mut self, outer: &Key) -> Self {
        self.key = Some(match &self.key {
            Some(inner) => outer.join(inner),
            None => outer.clone(),
        });
        self
    }

    /// Returns it with its file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// Returns it with its place in the file, where that is known.
    #[must_use]
    pub fn with_span(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// Returns it with the rule that it is about.
    #[must_use]
    pub fn of_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Returns it with more that helps to mend it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the line, from one, where it is known.
    pub fn line(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.start.line)
    }

    /// Returns the message with the key before it, without file and line.
    pub fn text(&self) -> String {
        match &self.key {
            Some(key) => format!("`{key}` {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Returns file and line as a terminal makes a link of them: `FILE:LINE`.
    pub fn location(&self) -> Option<String> {
        let file = self.file.as_ref()?.display();
        Some(match self.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        })
    }
}

/// `FILE:LINE: message`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = self.location() {
            write!(f, "{location}: ")?;
        }
        f.write_str(&self.text())
    }
}

impl std::error::Error for Diagnostic {}

impl Level {
    /// Returns the name that people and programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One flat object, so that a program finds a line without knowing of spans.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            file: Option<&'a PathBuf>,
            line: Option<usize>,
            column: Option<usize>,
            end_line: Option<usize>,
            end_column: Option<usize>,
            level: Level,
            code: Code,
            rule: Option<&'a str>,
            key: Option<&'a Key>,
            message: &'a str,
            help: Option<&'a str>,
        }
        let span = self.span.as_ref();
        let flat = Flat {
            file: self.file.as_ref(),
            line: span.map(|span| span.start.line),
            column: span.map(|span| span.start.column),
            end_line: span.map(|span| span.end.line),
            end_column: span.map(|span| span.end.column),
            level: self.level,
            code: self.code,
            rule: self.rule.as_deref(),
            key: self.key.as_ref(),
            message: &self.message,
            help: self.help.as_deref(),
        };
        flat.serialize(serializer)
    }
}

impl Diagnostics {
    /// Returns them with the key that their own keys lie below.
    #[must_use]
    pub fn under(self, outer: &Key) -> Self {
        Self(self.0.into_iter().map(|one| one.under(outer)).collect())
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// One diagnostic a line.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_is_one_line_and_one_flat_object() {
        let text = "[pack]\nname = \"A\"\n";
        let diagnostic = Diagnostic::error(Code::InvalidName, "`A` is not a name")
            .at(Key::written("pack.name"))
            .in_file(Path::new("pack.toml"))
            .with_span(Span::of(text, 14..17));
        assert_eq!(
            diagnostic.to_string(),
            "pack.toml:2: `pack.name` `A` is not a name"
        );
        let json = serde_json::to_value(&diagnostic).unwrap();
        let expected = serde_json::json!({
            "file": "pack.toml", "line": 2, "column": 8, "end_line": 2, "end_column": 11, "level": "error",
            "code": "invalid-name", "rule": null, "key": "pack.name", "message": "`A` is not a name", "help": null,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn errors_come_first() {
        let mut levels = [Level::Note, Level::Error, Level::Warning];
        levels.sort();
        assert_eq!(levels, [Level::Error, Level::Warning, Level::Note]);
    }
}
