//! Why an answer cannot be searched for secrets.

/// Why an answer cannot be searched for secrets and so does not reach the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsearchable {
    /// Its compressed data is too large.
    #[error(
        "the answer holds compressed data that is too large to be searched for secrets; ask the server for an answer without compression"
    )]
    Packed,
    /// There are more secrets than can be searched for.
    #[error(
        "the configuration has too many secrets to search answers for; remove those that are not used"
    )]
    TooMany,
}
