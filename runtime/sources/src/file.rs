//! `sources/NAME.toml`: which logs a source is made of, and what its columns come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::names::did_you_mean;
use yagura_core::source::SourceText;
use yagura_core::{Diagnostics, FieldPath, TimeSpan};
use yagura_formats::{Grok, GrokError, LineFormat, Zone};
use yagura_lake::Format;
use yagura_lake::ingest::{Apart, Each, is_envelope};

use crate::mask::MaskFile;

/// A source as its file declares it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// What the source is.
    pub source: SourceHead,
    /// What its events are, by `[[class]]`. An event is of the first class whose `where` is true.
    #[serde(default, rename = "class")]
    pub classes: Vec<ClassFile>,
    /// Its test cases, by `[[test]]`.
    #[serde(default, rename = "test")]
    pub tests: Vec<SourceCase>,
}

/// `[source]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceHead {
    /// Name, and that of its table unless another is given: lower-case letters, digits and `_`.
    pub name: String,
    /// What it is, in one line.
    pub title: String,
    /// The form of its files, as `--format` names it; absent for what each file's start looks like.
    #[serde(default)]
    pub format: Option<String>,
    /// The shape of its lines as a grok pattern, such as `%{IP:client} %{GREEDYDATA:message}`; in place of `format`.
    #[serde(default)]
    pub grok: Option<String>,
    /// File of a plugin of the same pack, of the world `normalizer`, which makes events of the lines; in place of `format`.
    #[serde(default)]
    pub plugin: Option<String>,
    /// Patterns that `grok` uses, by name, beside the standard ones.
    #[serde(default)]
    pub patterns: BTreeMap<String, String>,
    /// Where its events keep their time, the best place first; absent for the usual names.
    #[serde(default)]
    pub time: Vec<FieldPath>,
    /// The zone of its times that name none: a name of the IANA database or an offset; absent for UTC.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Arrays whose elements are the events, as a path from the outermost, or several: of a report with many findings each is an event
    /// then. The array's place holds the one element, and what stands beside the arrays stays. Of XML, the elements that are events.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    pub each: Vec<FieldPath>,
    /// Parts of a report that not every event needs, by `[[source.apart]]`: they stand in one event of their own.
    #[serde(default)]
    pub apart: Vec<ApartFile>,
    /// Pages that describe its logs.
    #[serde(default)]
    pub references: Vec<String>,
    /// What must not be stored, by `[[source.mask]]`: it is masked before anything is written.
    #[serde(default)]
    pub mask: Vec<MaskFile>,
    /// Which events are the same message again: they become one row with their number.
    #[serde(default)]
    pub repeats: Option<RepeatsFile>,
    /// Names for expressions that others use like fields, these among them. A name hides a maker's field of the same name.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub fields: toml::Table,
    /// Columns of all its classes; those of a class come before them.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub columns: toml::Table,
}

/// `[source.repeats]`: which events are the same message again.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepeatsFile {
    /// The fields of the maker's whose values must be equal; the others may differ, and only those of the first event are kept.
    pub fields: Vec<FieldPath>,
    /// How long after the first of them an event is still counted in its row, such as `5m`.
    pub within: TimeSpan,
}

/// `[[source.apart]]`: a part of a report that would be too much to be repeated in each event.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApartFile {
    /// The path of the part, from the outermost.
    pub path: FieldPath,
    /// Where in an element of the part its name is: each event keeps the element that it names. Absent if events need none.
    #[serde(default)]
    pub key: Option<FieldPath>,
    /// Where in the events that name is, the best place first.
    #[serde(default)]
    pub by: Vec<FieldPath>,
}

/// A path or a list of paths, for the schema of the file.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described")]
enum OneOrMany {
    One(FieldPath),
    Many(Vec<FieldPath>),
}

/// Reads a path or a list of paths.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FieldPath>, D::Error> {
    struct Paths;
    impl<'de> Visitor<'de> for Paths {
        type Value = Vec<FieldPath>;

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a path or a list of paths")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.parse().map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut paths = Vec::new();
            while let Some(path) = from.next_element()? {
                paths.push(path);
            }
            Ok(paths)
        }
    }
    from.deserialize_any(Paths)
}

/// `[[class]]`: events of one OCSF class.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassFile {
    /// Name of the class in OCSF, such as `authentication`.
    pub name: String,
    /// SQL condition over the maker's fields: which events are of this class. Absent for all that are left.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
    /// Each column, an attribute of the class, and the SQL expression over the maker's fields that it comes from.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub columns: toml::Table,
}

/// `[[test]]`: raw logs, and the rows that must come of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceCase {
    /// Name, unique in the source.
    pub name: String,
    /// File of raw logs, relative to the source's file.
    pub raw: std::path::PathBuf,
    /// File of the expected rows, relative to the source's file; a JSON object a line.
    pub rows: std::path::PathBuf,
    /// Until when the raw logs were written, for times without a year.
    #[serde(default)]
    pub written: Option<String>,
    /// How many lines of the raw logs are not events.
    #[serde(default)]
    pub rejected: u64,
}

/// A column as it is written: its name, its key in the file, and its expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WrittenColumn {
    pub(crate) name: String,
    pub(crate) key: Key,
    pub(crate) expression: String,
}

impl SourceFile {
    /// Reads a source and checks it by itself; what its expressions say is checked by [`crate::Mapping::new`].
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn read(file: &Path, text: &str) -> Result<Self, Diagnostics> {
        let source = SourceText::new(file, text);
        let read: Self = source.toml()?;
        let problems = read.problems();
        match problems.is_empty() {
            true => Ok(read),
            false => Err(source.refuse(problems)),
        }
    }

    fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut wrong = |code, key: Key, message: String| {
            problems.push(Diagnostic::error(code, message).at(key));
        };
        let head = &self.source;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if head.name.is_empty() || !head.name.chars().all(is_plain) {
            let message = format!(
                "`{}` is not a name: use lower-case letters, digits and `_`",
                head.name
            );
            wrong(Code::InvalidName, Key::written("source.name"), message);
        }
        if head.title.trim().is_empty() {
            let message = "is empty: say in one line what the source is".to_owned();
            wrong(Code::EmptyValue, Key::written("source.title"), message);
        }
        if let Some(format) = &head.format
            && format_of(format).is_none()
        {
            let names = format_names();
            let near = did_you_mean(format, names.iter().copied());
            let message = format!(
                "`{format}` is not a format{near}; the formats are {}",
                names.join(", ")
            );
            wrong(Code::InvalidValue, Key::written("source.format"), message);
        }
        if let Some(Err(error)) = head.timezone.as_deref().map(str::parse::<Zone>) {
            let message = error.to_string();
            wrong(Code::InvalidValue, Key::written("source.timezone"), message);
        }
        if let Some(Err(error)) = self.grok() {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            let message = format!(
                "cannot be read: {error}{}",
                cause.lines().last().unwrap_or_default().trim()
            );
            wrong(Code::InvalidPattern, Key::written("source.grok"), message);
        }
        if head.grok.is_some() && head.format.is_some() {
            let message =
                "is given beside `format`: a pattern says the whole shape of a line".to_owned();
            wrong(Code::ConflictingKeys, Key::written("source.grok"), message);
        }
        if head.plugin.is_some() && head.grok.is_some() {
            let message = "is given beside `grok`: the plugin reads the lines".to_owned();
            wrong(
                Code::ConflictingKeys,
                Key::written("source.plugin"),
                message,
            );
        }
        if head.plugin.is_some() && head.format.as_deref().is_some_and(|of| of != "text") {
            let message =
                "is given beside `plugin`, which reads the lines itself: leave `format` out"
                    .to_owned();
            wrong(
                Code::ConflictingKeys,
                Key::written("source.format"),
                message,
            );
        }
        if head.grok.is_none() && !head.patterns.is_empty() {
            let message = "is given without `grok`, which would use the patterns".to_owned();
            wrong(
                Code::ConflictingKeys,
                Key::written("source.patterns"),
                message,
            );
        }
        if let Some(repeats) = &head.repeats {
            let key = Key::top("source").name("repeats");
            if repeats.fields.is_empty() {
                let message =
                    "is empty, so that all events would be one: name the fields whose values must be equal"
                        .to_owned();
                wrong(Code::EmptyValue, key.name("fields"), message);
            }
            let all =
                std::iter::once(&head.columns).chain(self.classes.iter().map(|of| &of.columns));
            for name in all.flat_map(toml::Table::keys) {
                if REPEAT_COLUMNS.contains(&name.as_str()) {
                    let message = format!(
                        "fills the column `{name}`, which is mapped too: leave the column out, or `[source.repeats]`"
                    );
                    wrong(Code::ConflictingKeys, key.clone(), message);
                }
            }
        }
        let envelopes = head.each.iter().map(|path| path.segments()[0].as_str());
        for envelope in envelopes.filter(|key| is_envelope(key)) {
            let message = format!(
                "begins with `{envelope}`, whose elements are read as events anyway: leave `{envelope}` out, and `each` too if nothing is left"
            );
            wrong(Code::InvalidValue, Key::written("source.each"), message);
        }
        for (index, apart) in head.apart.iter().enumerate() {
            let key = Key::written("source.apart").index(index);
            if head.each.is_empty() {
                let message =
                    "is given without `each`: only what is split has parts that stand apart"
                        .to_owned();
                wrong(Code::ConflictingKeys, key.name("path"), message);
            } else if apart.key.is_some() == apart.by.is_empty() {
                let message = "`key` and `by` belong together: where an element has its name, and where events name it".to_owned();
                wrong(Code::ConflictingKeys, key.name("path"), message);
            }
        }
        if self.classes.is_empty() {
            let message =
                "has no [[class]]: say of which OCSF class its events are, and what their columns come from"
                    .to_owned();
            wrong(Code::MissingKey, Key::top("source"), message);
        }
        for (index, class) in self.classes.iter().enumerate() {
            let is_last = index + 1 == self.classes.len();
            if class.condition.is_none() && !is_last {
                let message = "is missing: without it this class takes all events, and none is left for the classes below"
                    .to_owned();
                let key = Key::top("class").index(index).name("where");
                wrong(Code::MissingKey, key, message);
            }
        }
        for (index, test) in self.tests.iter().enumerate() {
            if self.tests[..index]
                .iter()
                .any(|other| other.name == test.name)
            {
                let message = format!("`{}` is also the name of another case", test.name);
                let key = Key::top("test").index(index).name("name");
                wrong(Code::DuplicateName, key, message);
            }
        }
        problems
    }

    /// Returns what reads its lines, where a pattern says it.
    pub(crate) fn grok(&self) -> Option<Result<Grok, GrokError>> {
        let pattern = self.source.grok.as_deref()?;
        let extra = self.source.patterns.iter();
        let extra = extra.map(|(name, pattern)| (name.as_str(), pattern.as_str()));
        Some(Grok::new(pattern, extra))
    }

    /// Returns the zone of its times that name none.
    pub fn zone(&self) -> Zone {
        let zone = self.source.timezone.as_deref();
        // It was checked.
        zone.and_then(|zone| zone.parse().ok()).unwrap_or_default()
    }

    /// Returns what splits its reports into events, if it has reports.
    pub(crate) fn each(&self) -> Option<Arc<Each>> {
        let apart = self.source.apart.iter().map(|part| Apart {
            path: part.path.clone(),
            key: part.key.clone(),
            by: part.by.clone(),
        });
        let apart: Vec<Apart> = apart.collect();
        Each::new(&self.source.each, &apart).map(Arc::new)
    }

    /// Has files read in this form in place of its own.
    pub fn read_as(&mut self, format: Format) {
        self.source.grok = None;
        let names = format_names().into_iter();
        let mut names = names.filter(|name| format_of(name) == Some(format));
        self.source.format = names.next().map(str::to_owned);
    }

    /// Returns the form of its files.
    pub fn format(&self) -> Format {
        if self.source.grok.is_some() || self.source.plugin.is_some() {
            return Format::Lines(LineFormat::Text);
        }
        let format = self.source.format.as_deref().and_then(format_of);
        format.unwrap_or_default()
    }
}

/// The columns of rows that stand for several events.
pub(crate) const REPEAT_COLUMNS: [&str; 3] = ["count", "start_time", "end_time"];

/// Returns the form of raw logs of a name, as `format` of a source and `yagura ingest --format` have it.
pub fn format_of(name: &str) -> Option<Format> {
    match name {
        "json" => Some(Format::Json),
        "ndjson" => Some(Format::Ndjson),
        _ => LineFormat::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .map(Format::Lines),
    }
}

/// Returns the names that [`format_of`] knows.
pub fn format_names() -> Vec<&'static str> {
    let lines = LineFormat::ALL.into_iter().map(LineFormat::name);
    ["ndjson", "json"].into_iter().chain(lines).collect()
}

/// Returns the columns of a table of columns; `a.b = "…"` and `"a.b" = "…"` say the same. What is not text is wrong.
pub(crate) fn columns(table: &toml::Table, at: &Key) -> (Vec<WrittenColumn>, Vec<Diagnostic>) {
    let mut found = (Vec::new(), Vec::new());
    collect(table, "", at, &mut found);
    found
}

fn collect(
    table: &toml::Table,
    prefix: &str,
    at: &Key,
    found: &mut (Vec<WrittenColumn>, Vec<Diagnostic>),
) {
    for (name, value) in table {
        let key = at.name(name);
        let name = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        match value {
            toml::Value::Table(below) => collect(below, &name, &key, found),
            toml::Value::String(_) if found.0.iter().any(|known| known.name == name) => {
                let message = format!("`{name}` is written twice, once with quotes: leave one out");
                found
                    .1
                    .push(Diagnostic::error(Code::DuplicateName, message).at(key));
            }
            toml::Value::String(expression) => found.0.push(WrittenColumn {
                name,
                key,
                expression: expression.clone(),
            }),
            other => {
                let message = format!(
                    "is {}: write a SQL expression in quotes, such as \"'{}'\" for a text or \"{}\" for a number",
                    other.type_str(),
                    "text",
                    "1"
                );
                found
                    .1
                    .push(Diagnostic::error(Code::WrongType, message).at(key));
            }
        }
    }
}
