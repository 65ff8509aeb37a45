//! Why a rule's detection cannot run.

/// Why a rule's detection cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowerError {
    /// The key below `detection` that it is about, as far as known: `selection.CommandLine|contains`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The line of its file, from one, on which the rule begins, where it is known.
    pub line: Option<usize>,
}

/// Returns the error of a key.
pub(super) fn wrong<T>(key: &str, message: impl Into<String>) -> Result<T, LowerError> {
    Err(LowerError {
        key: key.to_owned(),
        message: message.into(),
        line: None,
    })
}
