//! Names that a field map found in a schema: thousands of rules ask for the same few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arrow::datatypes::Fields;

use crate::predicate::FieldNames;

/// The names under which events may have a field.
#[derive(Debug, Clone)]
pub(crate) struct NamesOfField {
    /// The names, if there are any.
    pub(crate) names: Option<FieldNames>,
    /// How many of the first ones events have elsewhere than in `unmapped`, or of which nobody can say.
    pub(crate) certain: usize,
}

/// How many schemas are remembered.
const SCHEMAS: usize = 8;

/// What was found, for the schemas that were asked for last.
#[derive(Debug, Default)]
pub(crate) struct Memo(Mutex<Vec<OfSchema>>);

#[derive(Debug)]
struct OfSchema {
    /// Held, so that no other schema lies at the same address.
    fields: Fields,
    /// By the number of a log source, and the field.
    found: HashMap<(Option<usize>, String), NamesOfField>,
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Memo {
    /// Returns what was found for a field of a log source in a schema, and looks it up the first time.
    pub(crate) fn get_or(
        &self,
        fields: &Fields,
        (source, field): (Option<usize>, &str),
        look_up: impl FnOnce() -> NamesOfField,
    ) -> NamesOfField {
        let mut schemas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |of: &OfSchema| std::ptr::eq(&raw const *of.fields, &raw const **fields);
        let of_schema = match schemas.iter().position(is_same) {
            Some(at) => schemas.remove(at),
            None => OfSchema {
                fields: fields.clone(),
                found: HashMap::new(),
            },
        };
        schemas.truncate(SCHEMAS - 1);
        schemas.insert(0, of_schema);
        let found = &mut schemas[0].found;
        let found = found.entry((source, field.to_owned()));
        found.or_insert_with(look_up).clone()
    }
}
