//! Where the fields of a rule are.

use yagura_core::FieldPath;

use crate::predicate::FieldNames;

/// Where the fields of a rule are in a table.
pub(crate) trait Fields {
    /// Returns the names that events have for a Sigma field; nothing where they have none.
    fn names(&self, field: &str) -> Option<FieldNames>;
    /// Returns the fields that a keyword is searched in.
    fn searched(&self) -> &[FieldPath];
}
