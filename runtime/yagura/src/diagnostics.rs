//! Diagnostics for people: the message on one line, as compilers write it, and the source line underlined below it.
//!
//! The line is laid out by `annotate-snippets`, which knows wide characters and long lines. It brings no other crate: it needs
//! `anstyle` and `unicode-width`, which clap and the tables have. `miette` would bring seven, and an error type of its own.

pub(crate) mod sarif;

use std::error::Error;
use std::io::{Result, Write};

use annotate_snippets::{AnnotationKind, Group, Level as Shade, Renderer, Snippet};
use yagura_core::diagnostic::{Diagnostic, Diagnostics, Level};
use yagura_core::shown::{VisibilityCheck, one_line};
use yagura_core::{Fault, PackError};
use yagura_packs::registry::LockError;
use yagura_packs::trust::TrustError;
use yagura_rules::sigma::FieldMapError;

/// Stands for a character that a reader would not see.
const UNSEEN: char = '\u{fffd}';

/// Returns the diagnostics that an error or one of its causes is made of.
pub(crate) fn of_error(error: &anyhow::Error) -> Option<&Diagnostics> {
    error.chain().find_map(held)
}

/// Returns the diagnostics that an error stands for.
fn held<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Diagnostics> {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return held(fault.error());
    }
    if let Some(PackError::Invalid(found)) = error.downcast_ref() {
        return Some(found);
    }
    if let Some(TrustError::Invalid(found)) = error.downcast_ref() {
        return Some(found);
    }
    if let Some(LockError::Invalid(found)) = error.downcast_ref() {
        return Some(found);
    }
    if let Some(FieldMapError::Invalid(found)) = error.downcast_ref() {
        return Some(found);
    }
    error.downcast_ref()
}

/// Writes diagnostics as results: `FILE:LINE: LEVEL: MESSAGE [CODE, RULE]`. Errors and warnings show their source line; notes,
/// of which there can be many, do not.
pub(crate) fn write(out: &mut impl Write, found: &[Diagnostic]) -> Result<()> {
    for diagnostic in found {
        if let Some(location) = diagnostic.location() {
            write!(out, "{}: ", one_line(&location))?;
        }
        let text = one_line(&diagnostic.text());
        write!(out, "{}: {text} [{}", diagnostic.level, diagnostic.code)?;
        match &diagnostic.rule {
            Some(rule) => writeln!(out, ", {}]", one_line(rule))?,
            None => writeln!(out, "]")?,
        }
        if diagnostic.level != Level::Note
            && let Some(snippet) = snippet(diagnostic)
        {
            writeln!(out, "{snippet}")?;
        }
    }
    Ok(())
}

/// Returns diagnostics as an error is printed: `FILE:LINE: MESSAGE`, each with its source line.
pub(crate) fn text(found: &Diagnostics) -> String {
    let mut lines = Vec::new();
    for diagnostic in &found.0 {
        lines.push(one_line(&diagnostic.to_string()));
        lines.extend(snippet(diagnostic));
    }
    lines.join("\n")
}

/// Returns the source line with the span underlined and the help below it; nothing where neither is known.
fn snippet(diagnostic: &Diagnostic) -> Option<String> {
    let shade = match diagnostic.level {
        Level::Error => Shade::ERROR,
        Level::Warning => Shade::WARNING,
        Level::Note => Shade::NOTE,
    };
    let mut group = Group::with_level(shade);
    let span = diagnostic.span.as_ref();
    if let Some(span) = span.filter(|span| !span.source_line.is_empty()) {
        let range = span.in_source_line();
        // Each character stays one, so that what is underlined stays in its place.
        let (line, range) = seen(&span.source_line, range);
        group = group.element(
            Snippet::source(line)
                .line_start(span.start.line)
                .annotation(AnnotationKind::Primary.span(range)),
        );
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Shade::HELP.message(one_line(help)));
    }
    (!group.is_empty()).then(|| Renderer::plain().render(&[group]))
}

/// Returns a line with a sign for each character that a reader would not see, and where a range of its bytes is then.
fn seen(line: &str, range: std::ops::Range<usize>) -> (String, std::ops::Range<usize>) {
    let mut check = VisibilityCheck::default();
    let mut text = String::with_capacity(line.len());
    let (mut start, mut end) = (None, None);
    for (at, c) in line.char_indices() {
        if at >= range.start {
            start = start.or(Some(text.len()));
        }
        if at >= range.end {
            end = end.or(Some(text.len()));
        }
        let is_seen = check.is_visible(c) || c == '\t';
        text.push(if is_seen { c } else { UNSEEN });
    }
    let start = start.unwrap_or(text.len());
    let end = end.unwrap_or(text.len());
    (text, start..end.max(start))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use yagura_core::diagnostic::{Code, Key, Span};

    use super::*;

    fn wrong(text: &str, range: std::ops::Range<usize>) -> Diagnostic {
        Diagnostic::error(Code::UnknownKey, "is not a known key")
            .at(Key::written("rule.wehre"))
            .in_file(Path::new("rules/a.toml"))
            .with_span(Span::of(text, range))
    }

    #[test]
    fn the_source_line_is_underlined() {
        let source = "[rule]\nwehre = \"権限\" # why\n";
        let at = source.find("wehre").unwrap();
        let diagnostic = wrong(source, at..at + 5).with_help("known keys: `where`");
        let mut out = Vec::new();
        write(&mut out, &[diagnostic.clone().of_rule("a")]).unwrap();
        let expected = "rules/a.toml:2: error: `rule.wehre` is not a known key [unknown-key, a]
  |
2 | wehre = \"権限\" # why
  | ^^^^^
  |
  = help: known keys: `where`
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let printed = text(&diagnostic.into());
        assert!(printed.starts_with("rules/a.toml:2: `rule.wehre` is not a known key\n  |\n2 | "));
    }

    #[test]
    fn a_file_does_not_speak_to_the_terminal() {
        let source = "a = \"\u{1b}[2J\u{202e}x\"";
        let from = source.find('x').unwrap();
        let shown = text(&wrong(source, from..from + 1).into());
        assert!(
            !shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("\u{fffd}[2J\u{fffd}x"),
            "{shown:?}"
        );
        let underlined = shown.lines().last().unwrap();
        assert_eq!(
            underlined.chars().count(),
            "1 | a = \"?[2J?".chars().count() + 1
        );
    }

    #[test]
    fn the_diagnostics_of_an_error_are_found_through_what_wraps_it() {
        use yagura_core::OrFault;
        let error: std::result::Result<(), _> = Err(PackError::Invalid(wrong("a", 0..1).into()));
        let error = anyhow::Error::from(error.or_fault().unwrap_err()).context("cannot load");
        assert_eq!(of_error(&error).unwrap().0.len(), 1);
        assert!(of_error(&anyhow::anyhow!("other")).is_none());
    }
}
