//! Where the log sources and fields of Sigma's taxonomy are in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use rsigma_parser::LogSource;
use serde::Deserialize;
use yagura_core::FieldPath;

use super::Placeholders;
use super::lower::Fields;
use crate::predicate::{Number, NumberOp, Predicate, Reading, Test, TextOp};
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
    /// Sigma's name of a field, and the table's; of several, all that the table has. A field that is not listed
    /// has the name that Sigma gives it, or that name in `snake_case`, below one of `prefixes` or at the top.
    #[serde(default)]
    pub fields: BTreeMap<String, Names>,
    /// Where fields that are not listed may lie.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Observable kind, and the fields that hold such values.
    #[serde(default)]
    pub observables: BTreeMap<String, Vec<String>>,
    /// What an alert is about: of each list the first field that the table has.
    #[serde(default)]
    pub key: Vec<Names>,
    /// The values of place-holders for `expand`.
    #[serde(default)]
    pub placeholders: Placeholders,
    /// The log sources that lie in such a table.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
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
pub struct Source {
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
    /// Not TOML of this form; the message holds line and text.
    #[error("{}: {message}", .file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Place and reason.
        message: String,
    },
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
        toml::from_str(text).map_err(|error| FieldMapError::Toml {
            file: file.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })
    }

    /// Returns the map's sources that a rule is about, the nearest ones only.
    pub fn sources_of(&self, rule: &LogSource) -> Vec<&Source> {
        self.sources
            .iter()
            .filter(|source| source.is_of(rule))
            .collect()
    }

    /// Says whether the map is for a table of this schema.
    pub fn fits(&self, table: &Schema) -> bool {
        self.tables.iter().all(|names| {
            names
                .iter()
                .any(|name| !self.find(name, table, None).is_empty())
        })
    }

    /// Returns where a field of Sigma's taxonomy is in a table of this schema: every place, because events of several
    /// makers in one table have it in different ones.
    pub(crate) fn find(
        &self,
        field: &str,
        table: &Schema,
        source: Option<&Source>,
    ) -> Vec<FieldPath> {
        let listed = source
            .and_then(|source| source.fields.get(field))
            .or_else(|| self.fields.get(field));
        let in_table = |name: String| {
            let path = path_of(&name)?;
            resolve::find(table, &path).map(|_| path)
        };
        let listed = listed.into_iter().flat_map(Names::iter);
        let mut found: Vec<FieldPath> = listed
            .filter_map(|name| in_table(name.to_owned()))
            .collect();
        if found.is_empty() {
            let own = in_table(field.to_owned()).or_else(|| in_table(snake_case(field)));
            found.extend(own);
        }
        if found.is_empty() {
            let below = self
                .prefixes
                .iter()
                .map(|prefix| format!("{prefix}{field}"));
            found.extend(below.filter_map(in_table));
        }
        let mut seen = BTreeSet::new();
        found.retain(|path| seen.insert(path.clone()));
        found
    }

    /// Returns the condition that makes a table's events those of `source`.
    pub(crate) fn when(&self, source: &Source, table: &Schema) -> Predicate {
        let parts = source.when.iter().map(|(field, values)| {
            let paths = self.find(field, table, Some(source));
            let mut tests = Vec::new();
            values.tests(&mut tests);
            let atoms = paths.iter().flat_map(|path| {
                let atom = |test: &Test| Predicate::atom(path.clone(), Reading::One, test.clone());
                tests.iter().map(atom).collect::<Vec<_>>()
            });
            Predicate::any(atoms.collect())
        });
        Predicate::all(parts.collect())
    }
}

impl Source {
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
            Self::Text(text) => tests.push(Test::Text {
                op: TextOp::Equals,
                value: text.clone(),
                cased: true,
            }),
            Self::Several(values) => values.iter().for_each(|value| value.tests(tests)),
        }
    }
}

/// The fields of one rule in one table.
pub(crate) struct TableFields<'a> {
    pub(crate) map: &'a FieldMap,
    pub(crate) source: &'a Source,
    pub(crate) table: &'a Schema,
    pub(crate) searched: Vec<FieldPath>,
    /// Fields that the table lacks.
    pub(crate) missing: std::cell::RefCell<BTreeSet<String>>,
}

impl Fields for TableFields<'_> {
    fn paths(&self, field: &str) -> Vec<FieldPath> {
        let found = self.map.find(field, self.table, Some(self.source));
        if found.is_empty() {
            self.missing.borrow_mut().insert(field.to_owned());
            return path_of(field).into_iter().collect();
        }
        found
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
    fn paths(&self, field: &str) -> Vec<FieldPath> {
        path_of(field).into_iter().collect()
    }

    fn searched(&self) -> &[FieldPath] {
        &self.anywhere
    }
}

/// Returns the fields that hold text, which keywords are searched in: but the event as it was, which `yagura ingest`
/// keeps in `raw` beside `unmapped`, and which holds nothing that they do not.
pub(crate) fn text_columns(table: &Schema) -> Vec<FieldPath> {
    let is_copy = |name: &str| name == "raw" && table.fields().find("unmapped").is_some();
    let is_text = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string() || other.is_nested(),
    };
    table
        .fields()
        .iter()
        .filter(|field| is_text(field.data_type()) && !is_copy(field.name()))
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
