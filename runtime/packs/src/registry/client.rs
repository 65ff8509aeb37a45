//! A connection to a registry, and what it can fail with.

use std::time::Duration;

use semver::Version;
use tokio::time::timeout;
use yagura_core::names::grouped;

use super::Reference;
use super::http::{ANOTHER_WAY, AnswerError, Http, Kind};
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
    pub(super) http: Http,
    pub(super) place: Reference,
    pub(super) bounds: Bounds,
    pub(super) search_time: Duration,
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
    Client(#[source] reqwest::Error),
    /// The registry did not answer, or refused.
    #[error("cannot {doing} {place}{}", hint(.source))]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// To what.
        place: String,
        /// The cause.
        source: AnswerError,
    },
    /// The registry lists, or asks to look up, more than is looked at.
    #[error("{place} {what}{ANOTHER_WAY}")]
    Bound {
        /// The place.
        place: String,
        /// What there is too much of, and the maximum.
        what: String,
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

fn hint(source: &AnswerError) -> &'static str {
    match source {
        AnswerError::Status {
            status: 401 | 403, ..
        } => ": give a user and password, or a token, that may",
        AnswerError::Connection { source, .. } if source.is_connect() => {
            ": there is no such registry, or it speaks plain HTTP, which is spoken to other machines only when told"
        }
        source if source.is_missing() => ": it is not there",
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
    pub async fn connect(
        place: &Reference,
        options: &RegistryOptions,
    ) -> Result<Self, RegistryError> {
        let is_plain = options.plain_http || place.is_loopback();
        Ok(Self {
            http: Http::new(options, is_plain).map_err(RegistryError::Client)?,
            place: place.clone(),
            bounds: options.bounds,
            search_time: options.search_time,
        })
    }

    /// Runs a search for versions, no longer than it may take.
    pub(super) async fn search<T>(
        &self,
        place: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        match timeout(self.search_time, work).await {
            Ok(found) => found,
            Err(_) => Err(bound(
                place,
                format!(
                    "needs more than {} s to say which versions there are and what they need, the maximum",
                    self.search_time.as_secs_f32()
                ),
            )),
        }
    }

    pub(super) async fn manifest(
        &self,
        place: &Reference,
        at: &str,
        media_type: &str,
    ) -> Result<Vec<u8>, AnswerError> {
        let url = self.http.url(place, &format!("manifests/{at}"))?;
        let answer = self
            .http
            .get(
                place,
                &url,
                Some(media_type),
                Kind::Document,
                DOCUMENT_BYTES,
            )
            .await?;
        Ok(answer.bytes)
    }

    /// Pulls a blob: no more bytes than its descriptor says, and with its digest.
    pub(super) async fn blob(
        &self,
        place: &Reference,
        descriptor: &Descriptor,
        kind: Kind,
    ) -> Result<Vec<u8>, RegistryError> {
        let wrong = |source| RegistryError::Image {
            place: place.to_string(),
            source,
        };
        let cannot = |error| refused("pull a part of", place, error);
        let most = self.bounds.file_bytes.max(DOCUMENT_BYTES);
        if descriptor.size > most {
            return Err(wrong(Excess::FileBytes(most).into()));
        }
        // It becomes part of an address.
        let Some(digest) = Digest::parse_tagged(&descriptor.digest) else {
            return Err(wrong(ImageError::NoBlob(descriptor.digest.clone())));
        };
        let url = self.http.url(place, &format!("blobs/{}", digest.tagged()));
        let url = url.map_err(cannot)?;
        let answer = self.http.get(place, &url, None, kind, descriptor.size);
        let bytes = answer.await.map_err(cannot)?.bytes;
        check(descriptor, &bytes).map_err(wrong)?;
        Ok(bytes)
    }
}

pub(super) fn bound(place: &Reference, what: String) -> RegistryError {
    RegistryError::Bound {
        place: place.to_string(),
        what,
    }
}

/// Says that there is more of something than is looked at.
pub(super) fn more_than(place: &Reference, maximum: u64, what: &str) -> RegistryError {
    bound(
        place,
        format!("has more than {} {what}, the maximum", grouped(maximum)),
    )
}

pub(super) fn refused(
    doing: &'static str,
    place: &Reference,
    source: AnswerError,
) -> RegistryError {
    RegistryError::Refused {
        doing,
        place: place.to_string(),
        source,
    }
}
