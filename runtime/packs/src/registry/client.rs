//! A connection to a registry, and what it can fail with.

use std::time::Duration;

use semver::Version;
use tokio::time::timeout;
use yagura_core::names::grouped;

use super::Reference;
use super::answer::{ANOTHER_WAY, AnswerError};
use super::http::{AnswerKind, Http};
use super::image::{DOCUMENT_BYTES, Descriptor, ImageError, check};
use super::options::RegistryOptions;
use super::resolve::Conflict;
use crate::{Bounds, Digest, Excess};

/// A connection to the registry of a reference.
pub struct Registry {
    pub(super) http: Http,
    pub(super) reference: Reference,
    pub(super) bounds: Bounds,
    pub(super) search_time: Duration,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.reference)
    }
}

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The client cannot be made.
    #[error("cannot make a client for registries")]
    Client(#[source] reqwest::Error),
    /// The registry did not answer, or refused.
    #[error("cannot {doing} {reference}{}", hint(.source))]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// To what.
        reference: String,
        /// The cause.
        source: AnswerError,
    },
    /// The registry lists, or asks to look up, more than is looked at.
    #[error("{reference} {what}{ANOTHER_WAY}")]
    Bound {
        /// The reference.
        reference: String,
        /// What there is too much of, and the maximum.
        what: String,
    },
    /// The pack has another name than the reference.
    #[error("`{pack}` cannot be at {reference}: the path must end in the pack's name")]
    Name {
        /// The pack.
        pack: String,
        /// The reference.
        reference: String,
    },
    /// The version is there already, with other contents.
    #[error(
        "{reference} is there already with other contents ({there}): a version is published once, so raise `version` in pack.toml"
    )]
    Exists {
        /// The reference.
        reference: String,
        /// The digest of the image that is there.
        there: String,
    },
    /// There is no version.
    #[error("{reference} has no version{}", but(.previews))]
    NoVersion {
        /// The reference.
        reference: String,
        /// Previews that are there.
        previews: Vec<Version>,
    },
    /// What came back is no pack.
    #[error("{reference} is not a usable pack")]
    Image {
        /// The reference.
        reference: String,
        /// What is wrong.
        source: ImageError,
    },
    /// What came back is another pack.
    #[error("{reference} holds `{name}` {version}: somebody put another pack there")]
    Other {
        /// The reference.
        reference: String,
        /// Name of the pack that came back.
        name: String,
        /// Its version.
        version: String,
    },
    /// What came back is not what the lock file has.
    #[error("{reference} has the digest {found}, and the lock file has {locked}: it was exchanged")]
    Locked {
        /// The reference.
        reference: String,
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
            ": there is no such registry, or it uses plain HTTP, which Yagura uses for other machines only with `--plain-http`"
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
    /// Makes a connection to the registry of `reference`; nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`].
    pub async fn connect(
        reference: &Reference,
        options: &RegistryOptions,
    ) -> Result<Self, RegistryError> {
        let is_plain = options.plain_http || reference.is_loopback();
        Ok(Self {
            http: Http::new(options, is_plain).map_err(RegistryError::Client)?,
            reference: reference.clone(),
            bounds: options.bounds,
            search_time: options.search_time,
        })
    }

    /// Runs a search for versions, no longer than it may take.
    pub(super) async fn search<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        match timeout(self.search_time, work).await {
            Ok(found) => found,
            Err(_) => Err(bound(
                reference,
                format!(
                    "needs more than {} s to say which versions there are and what they need, the maximum",
                    self.search_time.as_secs_f32()
                ),
            )),
        }
    }

    pub(super) async fn manifest(
        &self,
        reference: &Reference,
        at: &str,
        media_type: &str,
    ) -> Result<Vec<u8>, AnswerError> {
        let url = self.http.url(reference, &format!("manifests/{at}"))?;
        let answer = self
            .http
            .get(
                reference,
                &url,
                Some(media_type),
                AnswerKind::Document,
                DOCUMENT_BYTES,
            )
            .await?;
        Ok(answer.bytes)
    }

    /// Pulls a blob: no more bytes than its descriptor says, and with its digest.
    pub(super) async fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        kind: AnswerKind,
    ) -> Result<Vec<u8>, RegistryError> {
        let wrong = |source| RegistryError::Image {
            reference: reference.to_string(),
            source,
        };
        let cannot = |error| refused("pull a part of", reference, error);
        let most = self.bounds.file_bytes.max(DOCUMENT_BYTES);
        if descriptor.size > most {
            return Err(wrong(Excess::FileBytes(most).into()));
        }
        // It becomes part of an address.
        let Some(digest) = Digest::parse_tagged(&descriptor.digest) else {
            return Err(wrong(ImageError::NoBlob(descriptor.digest.clone())));
        };
        let url = self
            .http
            .url(reference, &format!("blobs/{}", digest.tagged()));
        let url = url.map_err(cannot)?;
        let answer = self.http.get(reference, &url, None, kind, descriptor.size);
        let bytes = answer.await.map_err(cannot)?.bytes;
        check(descriptor, &bytes).map_err(wrong)?;
        Ok(bytes)
    }
}

pub(super) fn bound(reference: &Reference, what: String) -> RegistryError {
    RegistryError::Bound {
        reference: reference.to_string(),
        what,
    }
}

/// Says that there is more of something than is looked at.
pub(super) fn more_than(reference: &Reference, maximum: u64, what: &str) -> RegistryError {
    bound(
        reference,
        format!("has more than {} {what}, the maximum", grouped(maximum)),
    )
}

pub(super) fn refused(
    doing: &'static str,
    reference: &Reference,
    source: AnswerError,
) -> RegistryError {
    RegistryError::Refused {
        doing,
        reference: reference.to_string(),
        source,
    }
}
