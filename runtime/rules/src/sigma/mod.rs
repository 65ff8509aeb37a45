//! Sigma rules: read as they are, translated to predicates over a table. `load` reads files, `lower` translates a detection into a
//! predicate, `field_map` finds the columns of its fields, `correlation` translates correlations.
//!
//! Truth has two values here. An absent field passes no test, and `not` of that is true; `field: null` and
//! `exists: false` are how a rule asks for absence. Text is compared without case, by Unicode's simple case folding
//! ([`crate::case_folding`]), unless `cased` says otherwise; a regular expression with case, unless its flag `i` does. Numbers and truth values are also
//! compared as they are written. Of a list any member may match. In `*` and `?` line ends are characters like others.

mod correlation;
mod field_map;
mod load;
mod lower;
mod memo;
mod placeholders;
mod selector;

use std::collections::BTreeSet;

pub use correlation::{
    CorrelationProblem, Correlations, Joined, JoinedMember, Target, correlations, field_name,
    severity,
};
pub use field_map::{FieldMap, FieldMapError, MappedSource, Names, Values, searched_columns};
pub use load::{
    Load, SigmaCorrelation, SigmaCount, SigmaFilter, SigmaSource, load_dir, load_file, load_text,
    span_in,
};
pub use lower::LowerError;
pub use placeholders::Placeholders;
pub use rsigma_parser::{LogSource, SigmaRule};

use arrow::datatypes::Schema;
use yagura_core::FieldPath;

use crate::pattern_cost;
use crate::predicate::Predicate;

/// A rule over one table.
#[derive(Debug, Clone)]
pub struct Translated {
    /// What it asks of an event.
    pub predicate: Predicate,
    /// The fields that it names and the table lacks.
    pub missing: Vec<String>,
    /// The fields that it tests, where the table has them, in order of name.
    pub tested: Vec<FieldPath>,
}

/// Translates a rule for a table of this schema, with the log sources of `map`, and the filters that are for it. `is_shared` says
/// that the table holds the log sources of other maps too.
///
/// # Errors
/// [`LowerError`] naming the key.
pub fn translate(
    source: &SigmaSource,
    filters: &[&SigmaFilter],
    map: &FieldMap,
    table: &Schema,
    is_shared: bool,
) -> Result<Translated, LowerError> {
    let rule = &source.rule;
    let at_line = |error: LowerError| LowerError {
        line: Some(source.line),
        ..error
    };
    let searched = if has_keywords(rule)
        || filters
            .iter()
            .any(|filter| has_keywords_in(&filter.rule.detection))
    {
        searched_columns(table)
    } else {
        Vec::new()
    };
    let mut missing = BTreeSet::new();
    let mut variants = Vec::new();
    for of_map in map.sources_of(&rule.logsource) {
        let fields = field_map::TableFields {
            map,
            source: of_map,
            table,
            searched: searched.clone(),
            missing: std::cell::RefCell::default(),
        };
        let mut parts = vec![map.when(of_map, table, is_shared)];
        if parts[0] != Predicate::Always(false) {
            let own = lower::lower(&rule.detection, &fields, &map.placeholders);
            parts.push(own.map_err(at_line)?);
            for filter in filters {
                parts.push(lower::lower(
                    &filter.rule.detection,
                    &fields,
                    &map.placeholders,
                )?);
            }
            missing.extend(fields.missing.into_inner());
        }
        variants.push(Predicate::all(parts));
    }
    let predicate = Predicate::any(variants);
    check_patterns(&predicate).map_err(at_line)?;
    let tested = predicate
        .fields()
        .into_iter()
        .filter(|path| !searched.contains(path) && crate::resolve::find(table, path).is_some())
        .collect();
    Ok(Translated {
        predicate,
        missing: missing.into_iter().collect(),
        tested,
    })
}

/// Translates a rule by itself, its fields as it names them, to be read and compared rather than run.
///
/// # Errors
/// [`LowerError`] naming the key.
pub fn translate_bare(
    source: &SigmaSource,
    filters: &[&SigmaFilter],
    placeholders: &Placeholders,
) -> Result<Predicate, LowerError> {
    let own = lower::lower(
        &source.rule.detection,
        &field_map::OwnNames::default(),
        placeholders,
    );
    let mut parts = vec![own.map_err(|error| LowerError {
        line: Some(source.line),
        ..error
    })?];
    for filter in filters {
        parts.push(lower::lower(
            &filter.rule.detection,
            &field_map::OwnNames::default(),
            placeholders,
        )?);
    }
    let predicate = Predicate::all(parts);
    check_patterns(&predicate).map_err(|error| LowerError {
        line: Some(source.line),
        ..error
    })?;
    Ok(predicate)
}

/// Checks what it costs to compile the patterns of a rule.
fn check_patterns(predicate: &Predicate) -> Result<(), LowerError> {
    let cost = pattern_cost::of_predicate(predicate, pattern_cost::RULE);
    cost.within(pattern_cost::RULE)
        .map_err(|error| LowerError {
            key: "detection".to_owned(),
            message: error.to_string(),
            line: None,
        })?;
    Ok(())
}

/// Gives each map the values of all maps for a placeholder: a rule that runs over several tables has one meaning.
pub fn share_placeholders(maps: &mut [FieldMap]) {
    let mut all = Placeholders::new();
    for (name, values) in maps.iter().flat_map(|map| &map.placeholders) {
        let of_name = all.entry(name.clone()).or_default();
        for value in values {
            if !of_name.contains(value) {
                of_name.push(value.clone());
            }
        }
    }
    for map in maps {
        map.placeholders.clone_from(&all);
    }
}

impl FieldMap {
    /// Returns all names under which events in a table of this schema have a field of Sigma's taxonomy, the most certain ones
    /// first; nothing if the table lacks it.
    pub fn names(&self, field: &str, table: &Schema) -> Vec<FieldPath> {
        self.found(field, table, None)
    }

    /// Returns the same for the events of a rule's log source: by the names that its sources have for the field, where they have
    /// names of their own.
    pub fn names_of(&self, field: &str, of: &LogSource, table: &Schema) -> Vec<FieldPath> {
        let mut all = Vec::new();
        for source in self.sources_of(of) {
            for path in self.found(field, table, Some(source)) {
                if !all.contains(&path) {
                    all.push(path);
                }
            }
        }
        match all.is_empty() {
            true => self.names(field, table),
            false => all,
        }
    }
}

/// Returns the detections of a rule that its condition does not use.
pub fn unused_detections(rule: &SigmaRule) -> Vec<String> {
    use rsigma_parser::ConditionExpr;
    fn uses(condition: &ConditionExpr, name: &str) -> bool {
        match condition {
            ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
                parts.iter().any(|part| uses(part, name))
            }
            ConditionExpr::Not(inner) => uses(inner, name),
            ConditionExpr::Identifier(known) => known == name,
            ConditionExpr::Selector { pattern, .. } => selector::is_named(pattern, name),
        }
    }
    let conditions = &rule.detection.conditions;
    let names = rule.detection.named.keys();
    let mut unused: Vec<String> = names
        .filter(|name| !conditions.iter().any(|condition| uses(condition, name)))
        .cloned()
        .collect();
    unused.sort_unstable();
    unused
}

fn has_keywords(rule: &SigmaRule) -> bool {
    has_keywords_in(&rule.detection)
}

fn has_keywords_in(detections: &rsigma_parser::Detections) -> bool {
    fn within(detection: &rsigma_parser::Detection) -> bool {
        use rsigma_parser::Detection;
        match detection {
            Detection::Keywords(_) => true,
            Detection::AllOf(items) => items
                .iter()
                .any(|item| item.field.name.as_deref().is_none_or(str::is_empty)),
            Detection::AnyOf(parts) | Detection::And(parts) => parts.iter().any(within),
            Detection::ArrayMatch { .. } | Detection::Conditional { .. } => false,
        }
    }
    detections.named.values().any(within)
}
