//! A connection to a registry, and what it can fail with.

use std::time::Duration;

use futures::TryStreamExt;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use semver::Version;

use super::Place;
use super::image::{DOCUMENT_BYTES, Descriptor, ImageError, check};
use super::resolve::Conflict;
use crate::{Bounds, Digest, Excess};

/// How to speak to a registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Whether plain HTTP is spoken to a registry on another machine too. To one on this machine it always is.
    pub plain_http: bool,
    /// Who is speaking.
    pub credentials: Credentials,
    /// How large packs may be.
    pub bounds: Bounds,
    /// How long a connection may take, and how long a registry may say nothing.
    pub timeout: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            plain_http: false,
            credentials: Credentials::Anonymous,
            bounds: Bounds::default(),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Who is speaking to a registry.
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

/// A connection to the registry of one place.
pub struct Registry {
    pub(super) client: Client,
    pub(super) auth: RegistryAuth,
    pub(super) place: Place,
    pub(super) bounds: Bounds,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.place)
    }
}

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The client cannot be made.
    #[error("cannot speak to registries")]
    Client(#[source] OciDistributionError),
    /// The registry did not answer, or refused.
    #[error("cannot {doing} {place}{}", hint(.source))]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// To what.
        place: String,
        /// The cause.
        source: OciDistributionError,
    },
    /// The pack has another name than the place.
    #[error("`{pack}` cannot lie at {place}: the path must end in the pack's name")]
    Name {
        /// The pack.
        pack: String,
        /// The place.
        place: String,
    },
    /// The version is there already, with other contents.
    #[error(
        "{place} is there already with other contents ({there}): a version is published once, so raise `version` in pack.toml"
    )]
    Exists {
        /// The place.
        place: String,
        /// The digest of the image that is there.
        there: String,
    },
    /// There is no version.
    #[error("{place} has no version{}", but(.previews))]
    NoVersion {
        /// The place.
        place: String,
        /// Previews that are there.
        previews: Vec<Version>,
    },
    /// What came back is no pack.
    #[error("{place} is not a pack that can be used")]
    Image {
        /// The place.
        place: String,
        /// What is wrong.
        source: ImageError,
    },
    /// What came back is another pack.
    #[error("{place} holds `{name}` {version}: somebody put another pack there")]
    Other {
        /// The place.
        place: String,
        /// Name of the pack that came back.
        name: String,
        /// Its version.
        version: String,
    },
    /// What came back is not what the lock file has.
    #[error("{place} has the digest {found}, and the lock file has {locked}: it was exchanged")]
    Locked {
        /// The place.
        place: String,
        /// The digest of what came back.
        found: String,
        /// The digest in the lock file.
        locked: String,
    },
    /// No versions fit together.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

fn hint(source: &OciDistributionError) -> &'static str {
    match source {
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => {
            ": give a user and password, or a token, that may"
        }
        OciDistributionError::RequestError(error) if error.is_connect() => {
            ": there is no such registry, or it speaks plain HTTP, which is spoken to other machines only when told"
        }
        source if is_not_found(source) => ": it is not there",
        _ => "",
    }
}

fn but(previews: &[Version]) -> String {
    match previews {
        [] => String::new(),
        previews => {
            let previews: Vec<String> = previews.iter().map(ToString::to_string).collect();
            format!(
                " but previews ({}): name the one that you want",
                previews.join(", ")
            )
        }
    }
}

impl Registry {
    /// Makes a connection to the registry of `place`; nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`].
    pub async fn connect(place: &Place, options: &RegistryOptions) -> Result<Self, RegistryError> {
        let is_plain = options.plain_http || place.is_loopback();
        let client = Client::try_from(ClientConfig {
            protocol: if is_plain {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            connect_timeout: Some(options.timeout),
            read_timeout: Some(options.timeout),
            platform_resolver: None,
            user_agent: concat!("yagura/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        let client = client.map_err(RegistryError::Client)?;
        let auth = match &options.credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Basic { user, password } => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
            Credentials::Token(token) => RegistryAuth::Bearer(token.clone()),
        };
        client.store_auth_if_needed(&place.registry, &auth).await;
        Ok(Self {
            client,
            auth,
            place: place.clone(),
            bounds: options.bounds,
        })
    }

    pub(super) async fn manifest(
        &self,
        place: &Place,
        at: &str,
        media_type: &str,
    ) -> Result<Vec<u8>, OciDistributionError> {
        let reference = match Digest::parse_tagged(at) {
            Some(digest) => place.digested(&digest),
            None => place.tagged(at),
        };
        let pulled = self
            .client
            .pull_manifest_raw(&reference, &self.auth, &[media_type])
            .await;
        Ok(pulled?.0)
    }

    /// Pulls a blob: no more bytes than its descriptor says, and with its digest.
    pub(super) async fn blob(
        &self,
        place: &Place,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let wrong = |source| RegistryError::Image {
            place: place.to_string(),
            source,
        };
        let most = self.bounds.file_bytes.max(DOCUMENT_BYTES);
        if descriptor.size > most {
            return Err(wrong(Excess::FileBytes(most).into()));
        }
        let reference = place.tagged("latest");
        let stream = self
            .client
            .pull_blob_stream(&reference, descriptor.digest.as_str());
        let mut stream = stream
            .await
            .map_err(|error| refused("pull a part of", place, error))?;
        let mut bytes = Vec::new();
        loop {
            let next = stream.try_next().await;
            let next = next.map_err(|error| refused("pull a part of", place, error.into()))?;
            let Some(chunk) = next else {
                break;
            };
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > descriptor.size {
                return Err(wrong(Excess::FileBytes(descriptor.size).into()));
            }
        }
        check(descriptor, &bytes).map_err(wrong)?;
        Ok(bytes)
    }
}

pub(super) fn refused(
    doing: &'static str,
    place: &Place,
    source: OciDistributionError,
) -> RegistryError {
    RegistryError::Refused {
        doing,
        place: place.to_string(),
        source,
    }
}

pub(super) fn is_not_found(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| {
                matches!(
                    error.code,
                    OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                )
            })
        }
        _ => false,
    }
}
