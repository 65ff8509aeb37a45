//! Why an answer of a registry cannot be used.

use std::time::Duration;

use yagura_core::names::grouped;

/// Bytes a second that a registry sends at least, once [`super::RegistryOptions::timeout`] has passed.
pub(super) const PACE: u64 = 16 << 10;

/// Why a request to a registry has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// No connection, or it broke.
    #[error("{url} does not answer")]
    Connection {
        /// What was asked for.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The registry refused.
    #[error("{url} answers {status}{}", detail(.message))]
    Status {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What the registry says, without control characters.
        message: String,
        /// Whether it says that what was asked for is not there.
        is_missing: bool,
    },
    /// An answer is too large.
    #[error(
        "{url} answers with more than {} bytes, the maximum of such an answer{ANOTHER_WAY}",
        grouped(*.maximum)
    )]
    Bytes {
        /// What was asked for.
        url: String,
        /// The maximum.
        maximum: u64,
    },
    /// All answers together are too large.
    #[error(
        "{url} answers with more than {} bytes of lists and manifests together, the maximum of one call{ANOTHER_WAY}",
        grouped(*.maximum)
    )]
    AllBytes {
        /// What was asked for.
        url: String,
        /// The maximum.
        maximum: u64,
    },
    /// An answer takes too long.
    #[error(
        "{url} sent {} bytes in {} s, and {} bytes a second are the minimum{ANOTHER_WAY}",
        grouped(*.bytes), .elapsed.as_secs(), grouped(PACE)
    )]
    Slow {
        /// What was asked for.
        url: String,
        /// The bytes that came.
        bytes: u64,
        /// The time that it took.
        elapsed: Duration,
    },
    /// An answer is not the JSON that it should be.
    #[error(
        "{url} answers with something else than the JSON of {what}: check that it is a registry"
    )]
    Json {
        /// What was asked for.
        url: String,
        /// Which document.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// The registry sends the client to an address that cannot be used.
    #[error("{url} leads to `{to}`, {why}: ask who runs the registry")]
    Address {
        /// What was asked for.
        url: String,
        /// The address.
        to: String,
        /// Why it cannot be used.
        why: &'static str,
    },
    /// An answer lacks what the request was for.
    #[error("{url} answers without {what}: check that it is a registry")]
    Lacks {
        /// What was asked for.
        url: String,
        /// What is not there.
        what: &'static str,
    },
}

/// What can be done where a registry goes beyond a bound.
pub(super) const ANOTHER_WAY: &str =
    "; use another registry, or bring the pack as a file (`yagura save`, `yagura load`)";

fn detail(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(": {message}"),
    }
}

impl AnswerError {
    /// Says whether the registry says that what was asked for is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Status {
                is_missing: true,
                ..
            }
        )
    }
}
