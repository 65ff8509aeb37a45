//! Where the log sources and fields of Sigma's taxonomy are in a table.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use rsigma_parser::LogSource;
use serde::Deserialize;
use yagura_core::columns::{OWN_COLUMNS, UNMAPPED_COLUMN};
use yagura_core::source::SourceText;
use yagura_core::{Diagnostics, FieldPath};

use super::lower::Fields;
use super::memo::{Memo, NamesOfField};
use super::placeholders::Placeholders;
use crate::case_folding::fold;
use crate::predicate::{FieldNames, FieldReading, Number, NumberOp, Predicate, Test, TextOp};
use crate::resolve;

/// A field map: the tables that it is for, and what rules call the things in them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMap {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    #[serde(default)]
    pub description: String,
    /// A table is meant when it has every one of these fields; of several in a list, one.
    pub tables: Vec<Names>,
    /// Sigma's name of a field, and the table's; of several, each event is asked for all of them. A field that is not listed
    /// has the name that Sigma gives it, or that name in `snake_case`, at the top or below one of `prefixes`: an event is asked
    /// for each of these too.
    #[serde(default)]
    pub fields: BTreeMap<String, Names>,
    /// Further names that events may have for a field that is not listed, besides those above.
    #[serde(default)]
    pub aliases: BTreeMap<String, Names>,
    /// Where fields that are not listed may lie. In JSON, the segment `*` is any key, and what follows the segment `[Name]` is the
    /// name that a pair of a list has.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Observable kind, and the fields that hold such values.
    #[serde(default)]
    pub observables: BTreeMap<String, Vec<String>>,
    /// What an alert is about: of each list the first field that the event has.
    #[serde(default)]
    pub key: Vec<Names>,
    /// The values of place-holders for `expand`.
    #[serde(default)]
    pub placeholders: Placeholders,
    /// The log sources that lie in such a table.
    #[serde(rename = "source")]
    pub sources: Vec<MappedSource>,
    #[serde(skip)]
    memo: Memo,
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// All that there are.
    Several(Vec<String>),
}

impl Names {
    /// Returns the names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
        .iter()
        .map(String::as_str)
    }
}

/// A log source: the events of a table that rules for it are about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedSource {
    /// Sigma's `product`; `*` for any or none.
    #[serde(default)]
    pub product: Option<String>,
    /// Sigma's `category`.
    #[serde(default)]
    pub category: Option<String>,
    /// Sigma's `service`.
    #[serde(default)]
    pub service: Option<String>,
    /// Field and the values that it has in events of this source; absent means all events.
    #[serde(default)]
    pub when: BTreeMap<String, Values>,
    /// Names of fields that differ from those of the map.
    #[serde(default)]
    pub fields: BTreeMap<String, Names>,
}

/// One value or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
    /// Any of these.
    Several(Vec<Values>),
}

/// Why a field map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FieldMapError {
    /// The file cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not TOML, or has a key or a value that is not allowed.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

const SHIPPED: [(&str, &str); 19] = [
    ("windows", include_str!("../../maps/windows.toml")),
    ("linux", include_str!("../../maps/linux.toml")),
    ("auditd", include_str!("../../maps/auditd.toml")),
    ("syslog", include_str!("../../maps/syslog.toml")),
    ("agents", include_str!("../../maps/agents.toml")),
    ("zeek", include_str!("../../maps/zeek.toml")),
    (
        "aws_cloudtrail",
        include_str!("../../maps/aws_cloudtrail.toml"),
    ),
    ("proxy", include_str!("../../maps/proxy.toml")),
    ("dns", include_str!("../../maps/dns.toml")),
    ("okta", include_str!("../../maps/okta.toml")),
    ("github", include_str!("../../maps/github.toml")),
    ("google", include_str!("../../maps/google.toml")),
    ("azure", include_str!("../../maps/azure.toml")),
    ("m365", include_str!("../../maps/m365.toml")),
    ("opencanary", include_str!("../../maps/opencanary.toml")),
    ("kubernetes", include_str!("../../maps/kubernetes.toml")),
    ("bitbucket", include_str!("../../maps/bitbucket.toml")),
    ("cisco", include_str!("../../maps/cisco.toml")),
    ("fortigate", include_str!("../../maps/fortigate.toml")),
];

impl FieldMap {
    /// Returns the maps that are part of Yagura.
    ///
    /// # Errors
    /// None, as long as the shipped files are right, which a test says.
    pub fn shipped() -> Result<Vec<Self>, FieldMapError> {
        SHIPPED
            .iter()
            .map(|(name, text)| Self::parse(Path::new(&format!("{name}.toml")), text))
            .collect()
    }

    /// Reads a map of one's own.
    ///
    /// # Errors
    /// [`FieldMapError`] naming file, line and key.
    pub fn read(file: &Path) -> Result<Self, FieldMapError> {
        let text = std::fs::read_to_string(file).map_err(|source| FieldMapError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, FieldMapError> {
        Ok(SourceText::new(file, text).toml()?)
    }

    /// Returns the keys of events, at their top, that the map knows.
    pub fn keys(&self) -> BTreeSet<String> {
        let of_sources = self.sources.iter().flat_map(|source| {
            let asked = source.when.keys().map(String::as_str);
            let named = source.fields.values().flat_map(Names::iter);
            asked
                .chain(source.fields.keys().map(String::as_str))
                .chain(named)
        });
        let names = (self.tables.iter().chain(&self.key))
            .chain(self.fields.values())
            .chain(self.aliases.values())
            .flat_map(Names::iter)
            .chain(
                self.fields
                    .keys()
                    .chain(self.aliases.keys())
                    .map(String::as_str),
            )
            .chain(self.prefixes.iter().map(String::as_str))
            .chain(self.observables.values().flatten().map(String::as_str))
            .chain(of_sources);
        let mut keys = BTreeSet::new();
        for name in names {
            // A key may hold dots itself.
            keys.insert(name.to_owned());
            keys.insert(snake_case(name));
            let first = name.split(['.', '[']).next().unwrap_or_default();
            keys.insert(first.to_owned());
        }
        keys.retain(|key| !key.is_empty() && !key.ends_with('.'));
        keys
    }

    /// Returns the map's sources that a rule is about, the nearest ones only.
    pub fn sources_of(&self, rule: &LogSource) -> Vec<&MappedSource> {
        self.sources
            .iter()
            .filter(|source| source.is_of(rule))
            .collect()
    }

    /// Says whether the map is for a table of this schema: its events have every one of the fields in `tables`.
    ///
    /// That a key may lie in `unmapped` says so only of a table that has no room left for columns.
    pub fn fits(&self, table: &Schema) -> bool {
        let has = |name: &str| {
            let found = self.find(name, table, None);
            found.certain > 0
        };
        self.tables.iter().all(|names| names.iter().any(has))
    }

    /// Returns every name under which events in a table of this schema may have a field of Sigma's taxonomy, because events of
    /// several makers in one table have it in different places; nothing where the table has none of them. Where an event has it for
    /// certain comes first: that is what alerts show.
    pub(crate) fn find(
        &self,
        field: &str,
        table: &Schema,
        source: Option<&MappedSource>,
    ) -> NamesOfField {
        let mut sources = self.sources.iter();
        let number = source.map(|of| sources.position(|known| std::ptr::eq(known, of)));
        match number {
            Some(None) => self.look_up(field, table, source),
            number => {
                let key = (number.flatten(), field);
                let look_up = || self.look_up(field, table, source);
                self.memo.get_or(table.fields(), key, look_up)
            }
        }
    }

    fn look_up(&self, field: &str, table: &Schema, source: Option<&MappedSource>) -> NamesOfField {
        let of_source = source.and_then(|source| source.fields.get(field));
        let names: Vec<String> = match (of_source, self.fields.get(field)) {
            (Some(names), _) => names
                .iter()
                .flat_map(|name| self.everywhere(name))
                .collect(),
            (None, Some(names)) => names.iter().map(str::to_owned).collect(),
            (None, None) => {
                let mut names = self.everywhere(field);
                names.insert(1, snake_case(field));
                let aliases = self.aliases.get(field).into_iter().flat_map(Names::iter);
                names.extend(aliases.flat_map(|name| self.everywhere(name)));
                names
            }
        };
        let (mut certain, mut others) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for name in names {
            let Some(path) = path_of(&name).map(|path| of_event(path, table)) else {
                continue;
            };
            if seen.insert(path.clone()) {
                match is_certain(&path, table) {
                    Some(true) => certain.push(path),
                    Some(false) => others.push(path),
                    None => {}
                }
            }
        }
        let count = certain.len();
        certain.append(&mut others);
        NamesOfField {
            names: FieldNames::new(certain),
            certain: count,
        }
    }

    /// Returns those of the names from [`FieldMap::find`] that events have, as far as the schema can say.
    pub(crate) fn found(
        &self,
        field: &str,
        table: &Schema,
        source: Option<&MappedSource>,
    ) -> Vec<FieldPath> {
        let found = self.find(field, table, source);
        let names = found.names.iter().flat_map(FieldNames::all);
        names.take(found.certain).cloned().collect()
    }

    /// Returns a name at the top and below each prefix.
    fn everywhere(&self, name: &str) -> Vec<String> {
        let below = self.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
        std::iter::once(name.to_owned()).chain(below).collect()
    }

    /// Returns the condition that makes a table's events those of `source`.
    ///
    /// `is_shared` says that other maps are for the table too. Then the events of a source that names no values are those that
    /// have every one of the fields in `tables`.
    pub(crate) fn when(&self, source: &MappedSource, table: &Schema, is_shared: bool) -> Predicate {
        let atom = |field: &str, test: Test| {
            let found = self.find(field, table, Some(source));
            Predicate::atom_of(found.names.as_ref(), FieldReading::Members, test)
        };
        if source.when.is_empty() && is_shared {
            let has_one = |names: &Names| {
                Predicate::any(names.iter().map(|name| atom(name, Test::Exists)).collect())
            };
            return Predicate::all(self.tables.iter().map(has_one).collect());
        }
        let parts = source.when.iter().map(|(field, values)| {
            let mut tests = Vec::new();
            values.tests(&mut tests);
            Predicate::any(tests.into_iter().map(|test| atom(field, test)).collect())
        });
        Predicate::all(parts.collect())
    }
}

/// Returns where an event has a key that is named as a column which `yagura ingest` makes of its own: in `unmapped`.
fn of_event(path: FieldPath, table: &Schema) -> FieldPath {
    let is_own = OWN_COLUMNS.contains(&path.segments()[0].as_str());
    if !is_own || !resolve::is_ingested(table) {
        return path;
    }
    let inside = std::iter::once(UNMAPPED_COLUMN.to_owned()).chain(path.segments().iter().cloned());
    FieldPath::new(inside.collect()).unwrap_or(path)
}

/// Says whether events have a path elsewhere than in `unmapped`, or whether nobody can say; nothing where they have it nowhere.
fn is_certain(path: &FieldPath, table: &Schema) -> Option<bool> {
    let is_unmapped = |column: usize| table.field(column).name() == UNMAPPED_COLUMN;
    let places = resolve::places(table, path);
    let is_elsewhere = places.iter().any(|place| !is_unmapped(place.column));
    (!places.is_empty()).then(|| is_elsewhere || resolve::has_overflowed(table))
}

impl MappedSource {
    fn is_of(&self, rule: &LogSource) -> bool {
        let same = |mine: &Option<String>, rules: &Option<String>| match (mine, rules) {
            (Some(mine), _) if mine == "*" => true,
            (Some(mine), Some(rules)) => mine.eq_ignore_ascii_case(rules),
            (None, None) => true,
            _ => false,
        };
        same(&self.product, &rule.product)
            && same(&self.category, &rule.category)
            && same(&self.service, &rule.service)
    }
}

impl Values {
    fn tests(&self, tests: &mut Vec<Test>) {
        match self {
            Self::Number(number) => {
                tests.push(Test::Number(NumberOp::Equal, Number::from(*number)));
            }
            // Tools write names of channels and providers as they like.
            Self::Text(text) => tests.push(Test::Text {
                op: TextOp::Equals,
                value: fold(text).into_owned(),
                cased: false,
            }),
            Self::Several(values) => values.iter().for_each(|value| value.tests(tests)),
        }
    }
}

/// The fields of one rule in one table.
pub(crate) struct TableFields<'a> {
    pub(crate) map: &'a FieldMap,
    pub(crate) source: &'a MappedSource,
    pub(crate) table: &'a Schema,
    pub(crate) searched: Vec<FieldPath>,
    /// Fields that the table lacks.
    pub(crate) missing: std::cell::RefCell<BTreeSet<String>>,
}

impl Fields for TableFields<'_> {
    fn names(&self, field: &str) -> Option<FieldNames> {
        let found = self.map.find(field, self.table, Some(self.source));
        // Keys with the names of a table's own columns are in `unmapped`, which says nothing of its keys.
        let is_own = OWN_COLUMNS.contains(&field) && resolve::is_ingested(self.table);
        if !is_own && found.certain == 0 {
            self.missing.borrow_mut().insert(field.to_owned());
        }
        found.names
    }

    fn searched(&self) -> &[FieldPath] {
        &self.searched
    }
}

/// The fields of a rule by the rule's own names.
pub(crate) struct OwnNames {
    anywhere: Vec<FieldPath>,
}

impl Default for OwnNames {
    fn default() -> Self {
        Self {
            anywhere: FieldPath::new(vec!["(any field)".to_owned()])
                .into_iter()
                .collect(),
        }
    }
}

impl Fields for OwnNames {
    fn names(&self, field: &str) -> Option<FieldNames> {
        path_of(field).map(FieldNames::from)
    }

    fn searched(&self) -> &[FieldPath] {
        &self.anywhere
    }
}

/// Returns the columns that keywords are searched in: all that hold values of events. Of those that `yagura ingest` makes of its
/// own that is `unmapped`; `raw` holds nothing that the others do not.
pub fn searched_columns(table: &Schema) -> Vec<FieldPath> {
    let is_ingested = resolve::is_ingested(table);
    let is_own = |name: &str| name != UNMAPPED_COLUMN && OWN_COLUMNS.contains(&name);
    table
        .fields()
        .iter()
        .filter(|field| !(is_ingested && is_own(field.name())))
        .filter_map(|field| FieldPath::new(vec![field.name().clone()]))
        .collect()
}

/// Reads a name of Sigma's: dots lead into an event, `[0]` is a place in a list.
fn path_of(name: &str) -> Option<FieldPath> {
    let mut segments = Vec::new();
    for segment in name.split('.') {
        match segment.split_once('[') {
            Some((name, places))
                if !name.is_empty() && !name.ends_with('\\') && places.ends_with(']') =>
            {
                segments.push(name.to_owned());
                segments.extend(places.trim_end_matches(']').split("][").map(str::to_owned));
            }
            // A bracket that belongs to the name is escaped.
            _ => segments.push(segment.replace("\\[", "[").replace("\\]", "]")),
        }
    }
    if segments.iter().any(String::is_empty) {
        segments = vec![name.to_owned()];
    }
    FieldPath::new(segments)
}

/// Returns the name with its first segment in `snake_case`: `userIdentity.type` is `user_identity.type`.
fn snake_case(name: &str) -> String {
    let (first, rest) = match name.find('.') {
        Some(dot) => name.split_at(dot),
        None => (name, ""),
    };
    let mut snake = String::with_capacity(name.len() + 4);
    let letters: Vec<char> = first.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let begins = letter.is_uppercase()
            && at > 0
            && (letters[at - 1].is_lowercase()
                || letters[at - 1].is_ascii_digit()
                || letters.get(at + 1).is_some_and(|next| next.is_lowercase())
                    && letters[at - 1] != '_');
        if begins {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake.push_str(rest);
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_snake_case() {
        for (name, want) in [
            ("eventName", "event_name"),
            ("userIdentity.type", "user_identity.type"),
            ("sourceIPAddress", "source_ip_address"),
            ("EventID", "event_id"),
            ("query", "query"),
            ("Provider_Name", "provider_name"),
        ] {
            assert_eq!(snake_case(name), want);
        }
    }

    #[test]
    fn names_lead_into_events_and_lists() {
        let of = |name| path_of(name).unwrap().segments().to_vec();
        assert_eq!(of("a.b"), ["a", "b"]);
        assert_eq!(of("args[0]"), ["args", "0"]);
        assert_eq!(of("a[1][2].b"), ["a", "1", "2", "b"]);
        assert_eq!(of("args\\[0\\]"), ["args[0]"]);
        assert_eq!(of("@timestamp"), ["@timestamp"]);
    }

    #[test]
    fn the_shipped_maps_are_right() {
        let maps = FieldMap::shipped().unwrap();
        for (map, (name, _)) in maps.iter().zip(SHIPPED) {
            assert_eq!(map.name, name);
            assert!(!map.sources.is_empty() && !map.tables.is_empty(), "{name}");
            for kind in map.observables.keys() {
                assert!(
                    yagura_core::rule::OBSERVABLE_KINDS.contains(&kind.as_str()),
                    "{name}: {kind}"
                );
            }
        }
    }
}
