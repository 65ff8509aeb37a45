//! Why a plugin gets no answer from a server.

/// Why a plugin gets no answer. The texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Manifest, grant or contract do not allow the request.
    #[error("denied: {0}")]
    Denied(String),
    /// The call limit for this host is used up for now.
    #[error("too many calls: {0}")]
    Limited(String),
    /// The answer did not come in time.
    #[error("there was no answer in time")]
    Timeout,
    /// The answer is larger than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// Connection, TLS or protocol failed.
    #[error("failed: {0}")]
    Failed(String),
}
