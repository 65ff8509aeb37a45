//! The text of a user's file in TOML or JSON: read into a type, with every diagnostic brought to its key's place.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Key, KeyPart, Span};
use crate::names::did_you_mean;
use crate::shown::without_controls;

/// A file's text and its name for messages.
#[derive(Debug, Clone, Copy)]
pub struct SourceText<'a> {
    file: &'a Path,
    text: &'a str,
}

impl<'a> SourceText<'a> {
    /// Returns the text of a file.
    pub fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text }
    }

    /// Reads the text as TOML into a type.
    ///
    /// # Errors
    /// What is wrong with the syntax, an unknown key with near ones, a missing key or a value of another type, with its span.
    pub fn toml<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        toml::from_str(self.text).map_err(|error| self.toml_error(&error).into())
    }

    /// Reads the text as JSON into a type.
    ///
    /// # Errors
    /// As [`Self::toml`]; the span is the place that the parser stopped at.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        serde_json::from_str(self.text).map_err(|error| self.json_error(&error).into())
    }

    fn json_error(&self, error: &serde_json::Error) -> Diagnostic {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = without_controls(text.strip_suffix(&place).unwrap_or(&text));
        let diagnostic = match error.classify() {
            Category::Data => of_serde(&message, &Key::default()),
            _ => Diagnostic::error(Code::JsonSyntax, message),
        };
        let before = self
            .text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1));
        let start = before.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
        diagnostic
            .in_file(self.file)
            .with_span(Span::of(self.text, start..start + 1))
    }

    /// Adds the file, and the span of the key in the TOML text, where the diagnostic has none.
    pub fn place(&self, diagnostic: Diagnostic) -> Diagnostic {
        let Some(table) = self.table() else {
            return diagnostic.in_file(self.file);
        };
        self.placed(&table, diagnostic)
    }

    /// As [`Self::place`], for many: the text is parsed once.
    pub fn place_all(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let Some(table) = self.table() else {
            let diagnostics = diagnostics.into_iter();
            return diagnostics.map(|one| one.in_file(self.file)).collect();
        };
        let diagnostics = diagnostics.into_iter();
        diagnostics.map(|one| self.placed(&table, one)).collect()
    }

    /// Returns why the file cannot be used, with each diagnostic in its place.
    pub fn refuse(&self, diagnostics: impl Into<Vec<Diagnostic>>) -> Diagnostics {
        Diagnostics(self.place_all(diagnostics.into()))
    }

    fn table(&self) -> Option<DeTable<'a>> {
        Some(DeTable::parse(self.text).ok()?.into_inner())
    }

    fn placed(&self, table: &DeTable<'_>, diagnostic: Diagnostic) -> Diagnostic {
        let span = diagnostic.span.clone().or_else(|| {
            let range = range_in(table, self.text, diagnostic.key.as_ref()?)?;
            Some(Span::of(self.text, range))
        });
        diagnostic.in_file(self.file).with_span(span)
    }

    /// Translates serde's and the parser's messages into the words of the other diagnostics.
    fn toml_error(&self, error: &toml::de::Error) -> Diagnostic {
        let message = without_controls(error.message().trim());
        let place = |diagnostic: Diagnostic| {
            let span = error.span().map(|range| Span::of(self.text, range));
            diagnostic.in_file(self.file).with_span(span)
        };
        let Some(table) = self.table() else {
            return place(Diagnostic::error(Code::TomlSyntax, message));
        };
        let key = match error.span() {
            Some(range) => key_at(&table, range.start),
            None => Key::default(),
        };
        if let Some((name, text)) = about_key(&message) {
            // A key inside the table that could not be read: it has a place of its own.
            let diagnostic = Diagnostic::error(code_of(text), text);
            return self.placed(&table, diagnostic.at(key.name(name)));
        }
        place(of_serde(&message, &key))
    }
}

/// Translates a message of serde's about the value of a key into the words of the other diagnostics.
fn of_serde(message: &str, key: &Key) -> Diagnostic {
    let at = |key: &Key, diagnostic: Diagnostic| match key.steps() {
        [] => diagnostic,
        _ => diagnostic.at(key.clone()),
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let list = || {
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let near = || did_you_mean(first, known.iter().copied());
    if message.starts_with("unknown field") {
        let key = match key.steps().last() {
            Some(KeyPart::Name(name)) if name == first => key.clone(),
            _ => key.name(first),
        };
        let text = format!("is not a known key{}", near());
        let diagnostic = Diagnostic::error(Code::UnknownKey, text);
        let diagnostic = match known.is_empty() {
            true => diagnostic,
            false => diagnostic.with_help(format!("known keys: {}", list())),
        };
        at(&key, diagnostic)
    } else if message.starts_with("missing field") {
        at(
            &key.name(first),
            Diagnostic::error(Code::MissingKey, "is missing"),
        )
    } else if message.starts_with("unknown variant") {
        let text = match known.is_empty() {
            true => format!("is `{first}`, which is not known"),
            false => format!("is `{first}`: write one of {}{}", list(), near()),
        };
        at(key, Diagnostic::error(Code::InvalidValue, text))
    } else if let Some(types) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
    {
        let text = match types.split_once(", expected ") {
            Some((found, expected)) => format!("is {found}: expected {expected}"),
            None => format!("is {types}"),
        };
        at(key, Diagnostic::error(Code::WrongType, text))
    } else if message.starts_with("data did not match any variant") {
        let text = "has a value of a type that is not allowed here";
        at(key, Diagnostic::error(Code::WrongType, text))
    } else if message.contains("` is not a duration: ") {
        at(key, Diagnostic::error(Code::InvalidDuration, message))
    } else {
        let text = match key.steps() {
            [] => message.to_owned(),
            _ => format!("is wrong: {message}"),
        };
        at(key, Diagnostic::error(Code::InvalidValue, text))
    }
}

/// Splits what a type with rules of its own says of a key inside it: key `KEY` TEXT.
fn about_key(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix("key `")?.split_once("` ")
}

fn code_of(text: &str) -> Code {
    if text.starts_with("is missing") {
        Code::MissingKey
    } else if text.contains("` is not a duration: ") {
        Code::InvalidDuration
    } else {
        Code::InvalidCorrelation
    }
}

/// Returns the range of bytes of a key's value in a TOML text, or that of the nearest table around it that is written there.
///
/// Of a table it is the name in its header, of a value over several lines its key.
pub fn range_of(text: &str, key: &Key) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    range_in(table.get_ref(), text, key)
}

fn range_in(table: &DeTable<'_>, text: &str, key: &Key) -> Option<Range<usize>> {
    let mut nearest = None;
    let mut within = Within::Table(table);
    for step in key.steps() {
        let (range, value) = match (step, within) {
            (KeyPart::Name(name), Within::Table(table)) => {
                let entry = table.iter().find(|(key, _)| key.get_ref() == name);
                let Some((key, value)) = entry else {
                    return nearest;
                };
                let is_short = text
                    .get(value.span())
                    .is_some_and(|written| !written.contains('\n'));
                let is_leaf = !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
                let range = match is_short && is_leaf {
                    true => value.span(),
                    false => key.span(),
                };
                (range, value.get_ref())
            }
            (KeyPart::Index(index), Within::Array(array)) => {
                let Some(element) = array.get(*index) else {
                    return nearest;
                };
                (element.span(), element.get_ref())
            }
            _ => return nearest,
        };
        nearest = Some(range);
        within = match value {
            DeValue::Table(table) => Within::Table(table),
            DeValue::Array(array) => Within::Array(array),
            _ => Within::Leaf,
        };
    }
    nearest
}

/// The value that a step begins in.
enum Within<'a, 'i> {
    Table(&'a DeTable<'i>),
    Array(&'a toml::de::DeArray<'i>),
    Leaf,
}

/// Returns the key of the innermost value, or name of one, that covers an offset.
fn key_at(table: &DeTable<'_>, offset: usize) -> Key {
    let mut best: Option<(usize, Key)> = None;
    let mut open: Vec<(Key, Within<'_, '_>)> = vec![(Key::default(), Within::Table(table))];
    let mut offer = |range: Range<usize>, key: &Key| {
        let is_better = best
            .as_ref()
            .is_none_or(|(length, _)| range.len() <= *length);
        if range.contains(&offset) && is_better {
            best = Some((range.len(), key.clone()));
        }
    };
    while let Some((key, within)) = open.pop() {
        let mut inner = Vec::new();
        match within {
            Within::Table(table) => {
                for (name, value) in table {
                    let key = key.name(name.get_ref());
                    offer(name.span(), &key);
                    offer(value.span(), &key);
                    inner.push((key, value.get_ref()));
                }
            }
            Within::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    let key = key.index(index);
                    offer(value.span(), &key);
                    inner.push((key, value.get_ref()));
                }
            }
            Within::Leaf => {}
        }
        open.extend(inner.into_iter().filter_map(|(key, value)| match value {
            DeValue::Table(table) => Some((key, Within::Table(table))),
            DeValue::Array(array) => Some((key, Within::Array(array))),
            _ => None,
        }));
    }
    best.map(|(_, key)| key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = r#"[pack]
name = "p"

[[plugin]]
file = "a.wasm"
[plugin.limits]
time = "10s"

[[plugin]]
file = "b.wasm"
limits.time = "soon"
[plugin.request]
http = [
  "https://a.example",
  "b.example",
]
secrets."on.call" = ["x"]
"#;

    fn at(key: &Key) -> Option<(usize, &'static str)> {
        let range = range_of(PACK, key)?;
        let line = PACK[..range.start].matches('\n').count() + 1;
        Some((line, &PACK[range]))
    }

    #[test]
    fn a_key_path_leads_to_its_value() {
        for (key, expected) in [
            ("pack.name", (2, "\"p\"")),
            ("plugin[1].limits.time", (7, "\"10s\"")),
            ("plugin[2].limits.time", (11, "\"soon\"")),
            ("plugin[2].request.http[2]", (15, "\"b.example\"")),
            ("plugin[2].request.http", (13, "http")),
        ] {
            assert_eq!(at(&Key::written(key)), Some(expected), "{key}");
        }
        let dotted = Key::written("plugin[2].request.secrets").name("on.call");
        assert_eq!(at(&dotted), Some((17, "\"on.call\"")));
    }

    #[test]
    fn a_key_that_is_not_written_leads_to_the_table_around_it() {
        let line = |key: &str| at(&Key::written(key)).map(|(line, _)| line);
        assert_eq!(line("plugin[1].limits.memory_mib"), Some(6));
        assert_eq!(line("pack.version"), Some(1));
        assert_eq!(line("plugin[1].request"), Some(4));
        assert_eq!(line("plugin[7].file"), Some(4));
        assert_eq!(line("none"), None);
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what cannot be read is looked at")]
    struct File {
        table: Vec<Table>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what cannot be read is looked at")]
    struct Table {
        name: String,
        size: Option<u8>,
        kind: Option<Kind>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Red,
        Green,
    }

    fn error(text: &str) -> Diagnostic {
        let source = SourceText::new(Path::new("a.toml"), text);
        source.toml::<File>().unwrap_err().0.remove(0)
    }

    #[test]
    fn what_cannot_be_read_has_code_key_and_span() {
        let first = "[[table]]\nname = \"a\"\n[[table]]\n";
        for (line, code, expected) in [
            (
                "nmae = \"b\"",
                Code::UnknownKey,
                "a.toml:4: `table[2].nmae` is not a known key; did you mean `name`?",
            ),
            ("", Code::MissingKey, "a.toml:3: `table[2].name` is missing"),
            (
                "name = 7",
                Code::WrongType,
                "a.toml:4: `table[2].name` is integer `7`: expected a string",
            ),
            (
                "name = \"b\"\nsize = 256",
                Code::WrongType,
                "a.toml:5: `table[2].size` is integer `256`: expected u8",
            ),
            (
                "name = \"b\"\nkind = \"gren\"",
                Code::InvalidValue,
                "a.toml:5: `table[2].kind` is `gren`: write one of `red`, `green`; did you mean `green`?",
            ),
        ] {
            let error = error(&format!("{first}{line}\n"));
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.code, code, "{error}");
        }
        let near = error(&format!("{first}nmae = 1\n"));
        let help = near.help.unwrap();
        assert!(help.contains("`size`"), "{help}");
        let syntax = error("table = [\n");
        assert_eq!(syntax.code, Code::TomlSyntax);
        assert!(syntax.key.is_none() && syntax.span.is_some(), "{syntax}");
    }

    #[test]
    fn json_is_reported_alike() {
        let error = |text: &str| {
            let source = SourceText::new(Path::new("a.json"), text);
            source.json::<File>().unwrap_err().0.remove(0)
        };
        let unknown = error("{\"table\": [\n  {\"nmae\": \"a\"}\n]}");
        assert_eq!(
            unknown.to_string(),
            "a.json:2: `nmae` is not a known key; did you mean `name`?"
        );
        assert_eq!(unknown.code, Code::UnknownKey);
        let syntax = error("{\"table\": [\n");
        assert_eq!(
            (syntax.code, syntax.line()),
            (Code::JsonSyntax, Some(2)),
            "{syntax}"
        );
    }

    #[test]
    fn a_diagnostic_keeps_the_span_that_it_has() {
        let source = SourceText::new(Path::new("pack.toml"), PACK);
        let own = Diagnostic::error(Code::InvalidValue, "is wrong")
            .at(Key::written("pack.name"))
            .with_span(Span::of(PACK, 0..6));
        assert_eq!(source.place(own).line(), Some(1));
        let found = Diagnostic::error(Code::InvalidValue, "is wrong").at(Key::written("pack.name"));
        assert_eq!(source.place(found).line(), Some(2));
    }
}
