//! A table, and the field maps that know a Sigma rule's log source in it.

use datafusion::arrow::datatypes::Schema;
use yagura_core::FieldPath;
use yagura_rules::Predicate;
use yagura_rules::sigma::{FieldMap, LowerError, SigmaFilter, SigmaSource, Translated, translate};

/// A table, and the field maps that know a rule's log source in it.
pub(super) struct MappedTable<'a> {
    pub(super) table: &'a str,
    pub(super) schema: &'a Schema,
    pub(super) maps: Vec<&'a FieldMap>,
    /// Whether further maps are for the table.
    pub(super) is_shared: bool,
}

impl MappedTable<'_> {
    /// Returns what a rule asks of the table's events, whichever of the maps an event is of.
    pub(super) fn translate(
        &self,
        source: &SigmaSource,
        filters: &[&SigmaFilter],
    ) -> Result<Translated, LowerError> {
        let mut predicates = Vec::new();
        let mut missing: Option<Vec<String>> = None;
        let mut tested: Vec<FieldPath> = Vec::new();
        for map in &self.maps {
            let translated = translate(source, filters, map, self.schema, self.is_shared)?;
            if translated.predicate == Predicate::Always(false) {
                continue;
            }
            predicates.push(translated.predicate);
            // What one of the maps finds is there.
            missing = Some(match missing {
                None => translated.missing,
                Some(known) => {
                    let both = known.into_iter();
                    both.filter(|field| translated.missing.contains(field))
                        .collect()
                }
            });
            for path in translated.tested {
                if !tested.contains(&path) {
                    tested.push(path);
                }
            }
        }
        Ok(Translated {
            predicate: Predicate::any(predicates),
            missing: missing.unwrap_or_default(),
            tested,
        })
    }

    /// Returns all names under which events have a field of Sigma's, the most certain ones first.
    pub(super) fn names(&self, field: &str) -> Vec<FieldPath> {
        distinct(
            self.maps
                .iter()
                .flat_map(|map| map.names(field, self.schema)),
        )
    }
}

pub(super) fn distinct(paths: impl Iterator<Item = FieldPath>) -> Vec<FieldPath> {
    let mut all = Vec::new();
    for path in paths {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}
