//! Where each member of an event goes: into the column of its key, or where a shipped mapping sends it.

use std::collections::HashMap;

use serde::Deserialize;
use yagura_core::FieldPath;
use yagura_core::names::did_you_mean;

use super::IngestError;
use super::event::{Member, kind_of, members};
use crate::{ColumnDefinition, ColumnKind, TableDefinition};

/// The shipped mappings: name and content.
const SHIPPED: [(&str, &str); 1] = [(
    "aws_cloudtrail",
    include_str!("../../mappings/aws_cloudtrail.toml"),
)];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    time: Vec<FieldPath>,
    column: Vec<MappedColumn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappedColumn {
    name: String,
    kind: ColumnKind,
    from: Vec<FieldPath>,
}

/// Says whether a mapping of this name is shipped.
pub fn is_shipped(name: &str) -> bool {
    SHIPPED.iter().any(|(shipped, _)| *shipped == name)
}

/// Returns the definition of a table `table` with the columns of a shipped mapping.
pub(crate) fn definition(table: &str, schema: &str) -> Result<TableDefinition, IngestError> {
    let Some((_, text)) = SHIPPED.iter().find(|(name, _)| *name == schema) else {
        let names = SHIPPED.map(|(name, _)| name);
        return Err(IngestError::UnknownSchema {
            name: schema.to_owned(),
            known: format!("{}{}", names.join(", "), did_you_mean(schema, names)),
        });
    };
    let mapping: Mapping = toml::from_str(text).map_err(|source| IngestError::Schema {
        name: schema.to_owned(),
        source,
    })?;
    let mut definition = TableDefinition::new(table);
    definition.schema = Some(schema.to_owned());
    definition.time_paths = mapping.time;
    definition.columns = mapping
        .column
        .into_iter()
        .map(|column| ColumnDefinition {
            name: column.name,
            kind: column.kind,
            paths: column.from,
            wide_ints: false,
        })
        .collect();
    Ok(definition)
}

/// A step of the columns' paths: what ends here, and what lies below.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Column and the rank of the path among the column's paths.
    ends: Vec<(usize, usize)>,
    below: HashMap<String, Routes>,
}

impl Routes {
    /// Builds the tree of the definition's paths.
    pub(crate) fn new(definition: &TableDefinition) -> Self {
        let mut root = Self::default();
        for (column, definition) in definition.columns.iter().enumerate() {
            for (rank, path) in definition.paths.iter().enumerate() {
                let mut node = &mut root;
                for segment in path.segments() {
                    node = node.below.entry(segment.clone()).or_default();
                }
                node.ends.push((column, rank));
            }
        }
        root
    }

    /// Puts into `found`, which has a place for each column, the value that the column takes from the event: that of
    /// the first of its paths that leads to one that is not `null`. Returns the members in which a path met a key more than once,
    /// each with that key.
    pub(crate) fn follow<'a>(
        &self,
        event: &[Member<'a>],
        found: &mut [Option<(usize, &'a str)>],
    ) -> Vec<(usize, String)> {
        let mut ambiguous = Vec::new();
        for (at, member) in event.iter().enumerate() {
            if let Some(key) = self.follow_member(member, found) {
                ambiguous.push((at, key));
            }
        }
        ambiguous
    }

    /// Follows the paths through one member, and returns a key that stands more than once below it.
    fn follow_member<'a>(
        &self,
        (key, value): &Member<'a>,
        found: &mut [Option<(usize, &'a str)>],
    ) -> Option<String> {
        let node = self.below.get(key.as_ref())?;
        if *value == "null" {
            return None;
        }
        for (column, rank) in &node.ends {
            // The first of several values goes into the column.
            if found[*column].is_none_or(|(other, _)| *rank < other) {
                found[*column] = Some((*rank, value));
            }
        }
        if node.below.is_empty() || !value.starts_with('{') {
            return None;
        }
        let nested = members(value).ok()?;
        let mut duplicate = None;
        for (at, member) in nested.iter().enumerate() {
            let below = node.follow_member(member, found);
            let is_again = node.below.contains_key(member.0.as_ref())
                && nested[..at].iter().any(|(key, _)| *key == member.0);
            let own = is_again.then(|| member.0.as_ref().to_owned());
            duplicate = duplicate.or(own).or(below);
        }
        duplicate
    }
}

/// Says whether a column of a fixed kind holds a JSON value as it is.
pub(crate) fn fits(kind: ColumnKind, value: &str) -> bool {
    match kind {
        ColumnKind::Text | ColumnKind::Json => true,
        ColumnKind::Timestamp => false,
        kind => {
            let (own, wide) = kind_of(value);
            kind.widened(own, wide) == kind
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_mapping_is_a_definition() {
        for (name, _) in SHIPPED {
            let definition = definition("t", name).unwrap();
            assert!(!definition.columns.is_empty());
            assert!(!definition.time_paths.is_empty());
            let schema = definition.arrow_schema();
            let mut names: Vec<_> = schema.fields().iter().map(|f| f.name()).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), schema.fields().len(), "{name}: a column twice");
        }
        let error = definition("t", "aws_cloud_trail").unwrap_err().to_string();
        assert!(error.contains("did you mean `aws_cloudtrail`"), "{error}");
    }

    #[test]
    fn the_first_path_with_a_value_wins() {
        let definition = definition("t", "aws_cloudtrail").unwrap();
        let routes = Routes::new(&definition);
        let user_name = definition
            .columns
            .iter()
            .position(|c| c.name == "user_name")
            .unwrap();
        let at = |event: &str| {
            let mut found = vec![None; definition.columns.len()];
            let event = members(event).unwrap();
            let _ = routes.follow(&event, &mut found);
            found[user_name].map(|(_, value)| value.to_owned())
        };
        let issuer = r#""sessionContext":{"sessionIssuer":{"userName":"role"}}"#;
        let both = format!(r#"{{"userIdentity":{{{issuer},"userName":"user"}}}}"#);
        let null = format!(r#"{{"userIdentity":{{"userName":null,{issuer}}}}}"#);
        assert_eq!(at(&both).as_deref(), Some("\"user\""));
        assert_eq!(at(&null).as_deref(), Some("\"role\""));
        assert_eq!(at(r#"{"userIdentity":"x"}"#), None);
        assert_eq!(at(r#"{"userName":"x"}"#), None);
    }

    #[test]
    fn fixed_kinds_refuse_what_they_would_change() {
        assert!(fits(ColumnKind::Boolean, "true"));
        assert!(!fits(ColumnKind::Boolean, "\"true\""));
        assert!(fits(ColumnKind::Text, "{}"));
        assert!(!fits(ColumnKind::Int64, "1.5"));
        assert!(fits(ColumnKind::Float64, "1"));
    }
}
