//! Why a test cannot be compiled.

use aho_corasick::BuildError;

/// Why a test cannot be compiled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TestError {
    /// Not a regular expression, or too large a one.
    #[error("`{pattern}` is not a regular expression that can run here: {reason}")]
    Regex {
        /// The pattern.
        pattern: String,
        /// What the compiler of expressions says, in one line.
        reason: String,
    },
    /// The automaton would be too large.
    #[error("the patterns of one field do not fit one automaton: {0}")]
    Automaton(String),
}

impl From<BuildError> for TestError {
    fn from(error: BuildError) -> Self {
        Self::Automaton(error.to_string())
    }
}
