//! Why a condition cannot be used.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use yagura_rules::ResolveError;

use super::sql::SyntaxError;

/// Begins the names that stand for paths while a condition is planned.
pub(super) const PLACEHOLDER: &str = "\u{1}path ";

/// Why a `where` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// Not a SQL expression.
    #[error("is not a SQL condition: {0}")]
    Syntax(#[from] SyntaxError),
    /// A path leads nowhere and is not among the rule's `optional` ones.
    #[error("{0} (add it to `optional` if some tables lack it)")]
    Unknown(#[from] ResolveError),
    /// Not a truth value.
    #[error("is of type {0}, not a truth value: compare it with something")]
    NotBoolean(DataType),
    /// Subqueries, aggregates, the wall clock.
    #[error("{0}")]
    NotAllowed(String),
    /// Types that cannot be compared, unknown functions.
    #[error("cannot be evaluated: {0}")]
    Types(String),
}

/// Returns the text of an error in one line: DataFusion appends hints and backtraces on further ones.
pub(super) fn first_line(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let line = text.lines().next().unwrap_or_default();
    line.replace(PLACEHOLDER, "path ")
        .trim_end_matches('.')
        .to_owned()
}
