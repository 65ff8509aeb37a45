//! Arguments of the commands that talk to a registry.

use std::env;

use yagura_packs::registry::{Credentials, Reference, RegistryOptions};

/// How to reach a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct RegistryAccess {
    /// Use plain HTTP for a registry on another machine too; one on this machine is always reached by plain HTTP
    #[arg(long)]
    plain_http: bool,
}

impl RegistryAccess {
    /// Returns the options, with credentials from the environment.
    pub(crate) fn options(&self) -> RegistryOptions {
        let variable = |name| env::var(name).ok();
        let credentials = match (
            variable("YAGURA_REGISTRY_TOKEN"),
            variable("YAGURA_REGISTRY_USER"),
            variable("YAGURA_REGISTRY_PASSWORD"),
        ) {
            (Some(token), ..) => Credentials::Token(token),
            (None, Some(user), Some(password)) => Credentials::Basic { user, password },
            _ => Credentials::Anonymous,
        };
        RegistryOptions {
            plain_http: self.plain_http,
            credentials,
            ..RegistryOptions::default()
        }
    }
}

/// Reads a reference; for arguments.
pub(crate) fn parse_reference(text: &str) -> Result<Reference, String> {
    Reference::parse(text).map_err(|error| error.to_string())
}
