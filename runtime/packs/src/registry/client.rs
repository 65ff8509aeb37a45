//! Speaking to a registry: push, versions, pull, and pull with all that is needed.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use semver::{Version, VersionReq};

use super::image::{
    self, DOCUMENT_BYTES, Descriptor, IMAGE_INDEX, IMAGE_MANIFEST, Image, ImageError,
    ImageManifest, Index, check, signature_layer,
};
use super::place::{tag, version};
use super::resolve::{Conflict, Missing, Outcome, Universe, resolve};
use super::{At, Lock, Place};
use crate::names::PackPath;
use crate::{Bounds, Digest, Excess, VerifiedPack};

/// Signatures of one pack that are still looked at.
const SIGNATURES: usize = 64;

/// Tags that are asked for at once.
const TAGS: usize = 1_000;

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
    client: Client,
    auth: RegistryAuth,
    place: Place,
    bounds: Bounds,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.place)
    }
}

/// A pack that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where it lies now, by version.
    pub place: Place,
    /// The digest of its image.
    pub image: Digest,
    /// The signatures that were pushed with it.
    pub signatures: Vec<PackPath>,
}

/// A pack that was pulled: what its manifest says, and not yet trusted.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The pack with its signatures.
    pub pack: VerifiedPack,
    /// The digest of its image.
    pub image: Digest,
    /// The repository that it came from.
    pub source: String,
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

    /// Pushes a pack with its signatures, under its version. Pushing the same again adds signatures.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] where the version has other contents.
    pub async fn push(&self, pack: &VerifiedPack) -> Result<Pushed, RegistryError> {
        let identity = &pack.pack().pack;
        let (Some(version), true) = (identity.semver(), identity.name == self.place.pack()) else {
            return Err(RegistryError::Name {
                pack: identity.name.clone(),
                place: self.place.to_string(),
            });
        };
        let place = self.place.at(At::Version(version.clone()));
        let wrong = |source| RegistryError::Image {
            place: place.to_string(),
            source,
        };
        let image = Image::of(pack).map_err(wrong)?;
        let digest = image.digest();
        match self.manifest(&place, &tag(&version), IMAGE_MANIFEST).await {
            Ok(there) if Digest::of(&there) == digest => {}
            Ok(there) => {
                return Err(RegistryError::Exists {
                    place: place.to_string(),
                    there: Digest::of(&there).tagged(),
                });
            }
            Err(error) if is_not_found(&error) => {
                self.push_image(&place, &image, Some(&tag(&version)))
                    .await?
            }
            Err(error) => return Err(refused("look for", &place, error)),
        }
        let mut signatures = Vec::new();
        let mut descriptors = Vec::new();
        for (name, bytes) in &pack.contents().signatures {
            let signature = Image::of_signature(&image, name, bytes).map_err(wrong)?;
            self.push_image(&place, &signature, None).await?;
            descriptors.push(signature.descriptor());
            signatures.push(name.clone());
        }
        self.refer(&place, &digest, descriptors).await?;
        Ok(Pushed {
            place,
            image: digest,
            signatures,
        })
    }

    /// Returns the versions of the pack, oldest first.
    ///
    /// # Errors
    /// [`RegistryError::Refused`].
    pub async fn versions(&self) -> Result<Vec<Version>, RegistryError> {
        self.versions_at(&self.place).await
    }

    /// Pulls the pack of the place: the one with its digest or version, or the newest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn pull(&self) -> Result<Pulled, RegistryError> {
        let place = match &self.place.at {
            At::Newest => {
                let versions = self.versions().await?;
                let newest = versions.iter().rev().find(|version| version.pre.is_empty());
                let newest = newest.ok_or_else(|| RegistryError::NoVersion {
                    place: self.place.to_string(),
                    previews: versions.clone(),
                })?;
                self.place.at(At::Version(newest.clone()))
            }
            _ => self.place.clone(),
        };
        self.pull_at(&place).await
    }

    /// Pulls packs that lie beside the place and all that they need, in versions that fit together; those in `lock` are
    /// taken byte for byte where they will do. In order of name.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] where no versions fit together.
    pub async fn pull_all(
        &self,
        roots: &[(String, VersionReq)],
        lock: &Lock,
    ) -> Result<Vec<Pulled>, RegistryError> {
        let mut universe = Universe::default();
        let mut images: BTreeMap<(String, Version), Digest> = BTreeMap::new();
        let locked = lock.versions();
        let found = loop {
            match resolve(&universe, roots, &locked)? {
                Outcome::Found(found) => break found,
                Outcome::Unknown(Missing::Versions(name)) => {
                    let place = self.place.beside(&name, At::Newest);
                    let versions = match self.versions_at(&place).await {
                        Err(RegistryError::Refused { source, .. }) if is_not_found(&source) => {
                            Vec::new()
                        }
                        other => other?,
                    };
                    universe.versions.insert(name, versions);
                }
                Outcome::Unknown(Missing::Needs(name, version)) => {
                    let at = match lock.find(&name, &version) {
                        Some(locked) => Digest::parse_tagged(&locked.image).map(At::Digest),
                        None => None,
                    };
                    let at = at.unwrap_or_else(|| At::Version(version.clone()));
                    let place = self.place.beside(&name, at);
                    let (digest, manifest) = self.pack_manifest(&place).await?;
                    let needs = self.needs(&place, &manifest).await?;
                    images.insert((name.clone(), version.clone()), digest);
                    universe.needs.insert((name, version), needs);
                }
            }
        };
        let mut pulled = Vec::new();
        for (name, version) in found {
            let key = (name, version);
            let at = images.get(&key).copied().map(At::Digest);
            let at = at.unwrap_or_else(|| At::Version(key.1.clone()));
            let place = self.place.beside(&key.0, at);
            let pack = self.pull_at(&place).await?;
            let identity = &pack.pack.pack().pack;
            if identity.name != key.0 || identity.semver().as_ref() != Some(&key.1) {
                return Err(other(&place, &pack));
            }
            if let Some(locked) = lock.find(&key.0, &key.1)
                && locked.digest != pack.pack.digest().tagged()
            {
                return Err(RegistryError::Locked {
                    place: place.to_string(),
                    found: pack.pack.digest().tagged(),
                    locked: locked.digest.clone(),
                });
            }
            pulled.push(pack);
        }
        Ok(pulled)
    }

    async fn versions_at(&self, place: &Place) -> Result<Vec<Version>, RegistryError> {
        let mut tags: Vec<String> = Vec::new();
        let mut versions = Vec::new();
        loop {
            let reference = place.tagged("latest");
            let last = tags.last().cloned();
            let page = self
                .client
                .list_tags(&reference, &self.auth, Some(TAGS), last.as_deref());
            let page = page
                .await
                .map_err(|error| refused("list the versions of", place, error))?;
            // Some registries give all tags at once, whatever they are asked for.
            let is_new = page.tags.iter().any(|tag| !tags.contains(tag));
            let is_full = page.tags.len() == TAGS;
            versions.extend(page.tags.iter().filter_map(|tag| version(tag)));
            tags.extend(page.tags);
            if !is_full || !is_new {
                break;
            }
        }
        versions.sort();
        versions.dedup();
        Ok(versions)
    }

    async fn pull_at(&self, place: &Place) -> Result<Pulled, RegistryError> {
        let wrong = |source| RegistryError::Image {
            place: place.to_string(),
            source,
        };
        let (digest, manifest) = self.pack_manifest(place).await?;
        let mut blobs = BTreeMap::new();
        for descriptor in manifest.layers.iter().chain([&manifest.config]) {
            let bytes = self.blob(place, descriptor).await?;
            blobs.insert(descriptor.digest.clone(), bytes);
        }
        let signatures = self.signatures(place, &digest).await?;
        let by_digest = place.at(At::Digest(digest)).to_string();
        let pack = image::read_pack(&manifest, &blobs, signatures, &by_digest, &self.bounds);
        let pulled = Pulled {
            pack: pack.map_err(wrong)?,
            image: digest,
            source: place.at(At::Newest).to_string(),
        };
        let identity = &pulled.pack.pack().pack;
        let is_version = match &place.at {
            At::Version(version) => identity.semver().as_ref() == Some(version),
            _ => true,
        };
        match is_version && identity.name == place.pack() {
            true => Ok(pulled),
            false => Err(other(place, &pulled)),
        }
    }

    /// Reads the manifest of a pack's image, with its digest.
    async fn pack_manifest(&self, place: &Place) -> Result<(Digest, ImageManifest), RegistryError> {
        let wrong = |source| RegistryError::Image {
            place: place.to_string(),
            source,
        };
        let at = match &place.at {
            At::Version(version) => tag(version),
            At::Digest(digest) => digest.tagged(),
            At::Newest => "latest".to_owned(),
        };
        let bytes = self.manifest(place, &at, IMAGE_MANIFEST).await;
        let bytes = bytes.map_err(|error| refused("pull", place, error))?;
        let digest = Digest::of(&bytes);
        if let At::Digest(asked) = &place.at
            && *asked != digest
        {
            return Err(wrong(ImageError::Digest {
                digest: asked.tagged(),
                found: digest.tagged(),
            }));
        }
        let manifest = image::read_pack_manifest(&bytes, &self.bounds).map_err(wrong)?;
        Ok((digest, manifest))
    }

    /// Reads what a pack needs, from its config alone.
    async fn needs(
        &self,
        place: &Place,
        manifest: &ImageManifest,
    ) -> Result<Vec<(String, VersionReq)>, RegistryError> {
        let bytes = self.blob(place, &manifest.config).await?;
        let config = image::read_config(&bytes).map_err(|source| RegistryError::Image {
            place: place.to_string(),
            source,
        })?;
        let needs = config.pack.requirements().into_iter();
        Ok(needs
            .map(|(name, versions)| (name.to_owned(), versions))
            .collect())
    }

    /// Reads the signatures that refer to an image: from the tag that stands for the list, and from the list of registries
    /// that keep one.
    async fn signatures(
        &self,
        place: &Place,
        subject: &Digest,
    ) -> Result<BTreeMap<PackPath, Vec<u8>>, RegistryError> {
        let mut digests: Vec<String> = self.referrers(place, subject).await?;
        let native = self
            .client
            .pull_referrers(&place.digested(subject), None)
            .await;
        match native {
            Ok(index) => digests.extend(index.manifests.into_iter().map(|entry| entry.digest)),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(refused("look for signatures of", place, error)),
        }
        digests.sort();
        digests.dedup();
        let mut signatures = BTreeMap::new();
        for digest in digests.iter().take(SIGNATURES) {
            let bytes = self.manifest(place, digest, IMAGE_MANIFEST).await;
            let bytes = bytes.map_err(|error| refused("pull a signature of", place, error))?;
            // Other things may refer to a pack too.
            let Ok(manifest) = image::read_manifest(&bytes) else {
                continue;
            };
            let is_named = Digest::of(&bytes).tagged() == *digest;
            if let Some((path, layer)) = signature_layer(&manifest, subject)
                && is_named
            {
                signatures.insert(path, self.blob(place, &layer).await?);
            }
        }
        Ok(signatures)
    }

    /// Reads the digests in the list that a tag stands for.
    async fn referrers(
        &self,
        place: &Place,
        subject: &Digest,
    ) -> Result<Vec<String>, RegistryError> {
        let index = self.index(place, subject).await?;
        Ok(index.into_iter().map(|entry| entry.digest).collect())
    }

    async fn index(
        &self,
        place: &Place,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        match self.manifest(place, &fallback(subject), IMAGE_INDEX).await {
            Ok(bytes) => {
                let index: Index =
                    serde_json::from_slice(&bytes).map_err(|source| RegistryError::Image {
                        place: place.to_string(),
                        source: ImageError::Json {
                            what: "list of signatures",
                            source,
                        },
                    })?;
                Ok(index.manifests)
            }
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            Err(error) => Err(refused("look for signatures of", place, error)),
        }
    }

    /// Adds signatures to the list that a tag stands for. Registries of OCI 1.1 keep such a list by themselves; others need
    /// this one, and it does no harm there.
    async fn refer(
        &self,
        place: &Place,
        subject: &Digest,
        added: Vec<Descriptor>,
    ) -> Result<(), RegistryError> {
        let mut manifests = self.index(place, subject).await?;
        let before = manifests.len();
        for descriptor in added {
            if !manifests
                .iter()
                .any(|entry| entry.digest == descriptor.digest)
            {
                manifests.push(descriptor);
            }
        }
        if manifests.len() == before {
            return Ok(());
        }
        let index =
            serde_json::to_vec(&Index::new(manifests)).map_err(|source| RegistryError::Image {
                place: place.to_string(),
                source: ImageError::Json {
                    what: "list of signatures",
                    source,
                },
            })?;
        self.push_manifest(place, &fallback(subject), index, IMAGE_INDEX)
            .await
    }

    async fn push_image(
        &self,
        place: &Place,
        image: &Image,
        tag: Option<&str>,
    ) -> Result<(), RegistryError> {
        let reference = place.digested(&image.digest());
        for (digest, bytes) in &image.blobs {
            let pushed = self
                .client
                .push_blob(&reference, bytes, &digest.tagged())
                .await;
            pushed.map_err(|error| refused("push to", place, error))?;
        }
        let digest = image.digest().tagged();
        let at = tag.unwrap_or(&digest);
        self.push_manifest(place, at, image.manifest.clone(), IMAGE_MANIFEST)
            .await
    }

    async fn push_manifest(
        &self,
        place: &Place,
        at: &str,
        bytes: Vec<u8>,
        media_type: &str,
    ) -> Result<(), RegistryError> {
        let reference = match Digest::parse_tagged(at) {
            Some(digest) => place.digested(&digest),
            None => place.tagged(at),
        };
        let Ok(media_type) = media_type.parse() else {
            return Ok(());
        };
        let pushed = self
            .client
            .push_manifest_raw(&reference, bytes, media_type)
            .await;
        pushed.map_err(|error| refused("push to", place, error))?;
        Ok(())
    }

    async fn manifest(
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
    async fn blob(&self, place: &Place, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
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

/// The tag that stands for the list of what refers to an image, where a registry keeps none.
fn fallback(subject: &Digest) -> String {
    format!("sha256-{subject}")
}

fn refused(doing: &'static str, place: &Place, source: OciDistributionError) -> RegistryError {
    RegistryError::Refused {
        doing,
        place: place.to_string(),
        source,
    }
}

fn other(place: &Place, pulled: &Pulled) -> RegistryError {
    let identity = &pulled.pack.pack().pack;
    RegistryError::Other {
        place: place.to_string(),
        name: identity.name.clone(),
        version: identity.version.clone(),
    }
}

fn is_not_found(error: &OciDistributionError) -> bool {
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
