//! How a registry is reached, and as whom.

use std::time::Duration;

use crate::Bounds;

/// How to reach a registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Whether plain HTTP is used to reach a registry on another machine too. A registry on this machine is always reached so.
    pub plain_http: bool,
    /// As whom.
    pub credentials: Credentials,
    /// How large packs may be.
    pub bounds: Bounds,
    /// How long a connection may take, and an answer; a large one a second more for each 16 KiB.
    pub timeout: Duration,
    /// How long it may take to find out which versions there are, and which of them fit together.
    pub search_time: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            plain_http: false,
            credentials: Credentials::Anonymous,
            bounds: Bounds::default(),
            timeout: Duration::from_secs(30),
            search_time: Duration::from_secs(300),
        }
    }
}

/// As whom a registry is asked.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    Anonymous,
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Who has this token.
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::Token(_) => "Token",
        })
    }
}
