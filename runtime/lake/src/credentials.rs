//! The credentials of a store, for requests to other services of its cloud, such as a queue.

use std::fmt;

use object_store::aws::AwsCredentialProvider;
use object_store::azure::AzureCredentialProvider;
use object_store::gcp::GcpCredentialProvider;

/// Whose cloud a store is part of, and what signs requests there; nothing signs them if the options say `skip_signature`.
#[derive(Clone)]
pub enum CloudCredentials {
    /// Amazon's.
    Aws {
        /// Gives the keys, and new ones before they expire.
        provider: Option<AwsCredentialProvider>,
        /// The region that the options or the environment name.
        region: Option<String>,
    },
    /// Google's.
    Google(Option<GcpCredentialProvider>),
    /// Microsoft's.
    Azure(Option<AzureCredentialProvider>),
}

impl fmt::Debug for CloudCredentials {
    /// Writes the cloud's name, and nothing that is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws { .. } => "Aws",
            Self::Google(_) => "Google",
            Self::Azure(_) => "Azure",
        })
    }
}
