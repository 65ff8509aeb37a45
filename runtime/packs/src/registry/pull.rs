//! Packs out of a registry: one, or one with all that it needs.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde::Deserialize;

use super::answer::AnswerError;
use super::client::{more_than, refused};
use super::http::{AnswerKind, json};
use super::image::{self, DOCUMENT_BYTES, IMAGE_MANIFEST, ImageError, ImageManifest};
use super::reference::{tag, version};
use super::resolve::{MissingFact, Resolution, Universe, resolve};
use super::{PackLock, Reference, Registry, RegistryError, VersionSelector};
use crate::{Digest, VerifiedPack};

/// Tags that are asked for at once.
const PAGE_TAGS: usize = 1_000;

/// Pages of a list of tags that are read.
const PAGES: usize = 200;

/// Tags of one repository, whatever they name.
const TAGS: usize = 100_000;

/// Versions of one pack.
const VERSIONS: usize = 10_000;

/// Lists and manifests that are read to find versions that fit together.
const LOOKUPS: u64 = 500;

/// The packs of one pull have so many times the bytes that one may have, at most.
const PACKS_TOGETHER: u64 = 4;

/// What a registry answers to a question for tags.
#[derive(Debug, Deserialize)]
struct Tags {
    /// Some registries have `null` for none.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Versions that fit together, and the images of all that were looked at.
type ResolvedVersions = (
    BTreeMap<String, Version>,
    BTreeMap<(String, Version), Digest>,
);

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

impl Registry {
    /// Returns the versions of the pack, oldest first.
    ///
    /// # Errors
    /// [`RegistryError::Refused`].
    pub async fn versions(&self) -> Result<Vec<Version>, RegistryError> {
        self.search(&self.reference, self.versions_at(&self.reference))
            .await
    }

    /// Pulls the pack of the reference: the one with its digest or version, or the newest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn pull(&self) -> Result<Pulled, RegistryError> {
        let reference = match &self.reference.at {
            VersionSelector::Newest => {
                let versions = self.versions().await?;
                let newest = versions.iter().rev().find(|version| version.pre.is_empty());
                let newest = newest.ok_or_else(|| RegistryError::NoVersion {
                    reference: self.reference.to_string(),
                    previews: versions.clone(),
                })?;
                self.reference.at(VersionSelector::Version(newest.clone()))
            }
            _ => self.reference.clone(),
        };
        self.pull_at(&reference).await
    }

    /// Pulls packs that lie beside the reference and all that they need, in versions that fit together; those in `lock` are
    /// taken byte for byte where they meet the requirements. In order of name.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] where no versions fit together.
    pub async fn pull_all(
        &self,
        roots: &[(String, VersionReq)],
        lock: &PackLock,
    ) -> Result<Vec<Pulled>, RegistryError> {
        let search = self.find(roots, lock);
        let (found, images) = self.search(&self.reference, search).await?;
        let mut pulled = Vec::new();
        let mut bytes = 0;
        for (name, version) in found {
            let key = (name, version);
            let at = images.get(&key).copied().map(VersionSelector::Digest);
            let at = at.unwrap_or_else(|| VersionSelector::Version(key.1.clone()));
            let reference = self.reference.beside(&key.0, at);
            let pack = self.pull_at(&reference).await?;
            let identity = &pack.pack.pack().pack;
            if identity.name != key.0 || identity.semver().as_ref() != Some(&key.1) {
                return Err(other(&reference, &pack));
            }
            if let Some(locked) = lock.find(&key.0, &key.1)
                && locked.digest != pack.pack.digest().tagged()
            {
                return Err(RegistryError::Locked {
                    reference: reference.to_string(),
                    found: pack.pack.digest().tagged(),
                    locked: locked.digest.clone(),
                });
            }
            let files = pack.pack.contents().files.values();
            bytes += files.map(|file| file.len() as u64).sum::<u64>();
            let maximum = self.bounds.total_bytes.saturating_mul(PACKS_TOGETHER);
            if bytes > maximum {
                return Err(more_than(
                    &reference,
                    maximum,
                    "bytes, with the packs that are pulled with it",
                ));
            }
            pulled.push(pack);
        }
        Ok(pulled)
    }

    /// Finds versions that fit together, and the images of those that were looked at.
    async fn find(
        &self,
        roots: &[(String, VersionReq)],
        lock: &PackLock,
    ) -> Result<ResolvedVersions, RegistryError> {
        let mut universe = Universe::default();
        let mut images: BTreeMap<(String, Version), Digest> = BTreeMap::new();
        let locked = lock.versions();
        for _ in 0..=LOOKUPS {
            match resolve(&universe, roots, &locked)? {
                Resolution::Complete(found) => return Ok((found, images)),
                Resolution::Unknown(MissingFact::Versions(name)) => {
                    let reference = self.reference.beside(&name, VersionSelector::Newest);
                    let versions = match self.versions_at(&reference).await {
                        Err(RegistryError::Refused { source, .. }) if source.is_missing() => {
                            Vec::new()
                        }
                        other => other?,
                    };
                    universe.versions.insert(name, versions);
                }
                Resolution::Unknown(MissingFact::Needs(name, version)) => {
                    let at = match lock.find(&name, &version) {
                        Some(locked) => {
                            Digest::parse_tagged(&locked.image).map(VersionSelector::Digest)
                        }
                        None => None,
                    };
                    let at = at.unwrap_or_else(|| VersionSelector::Version(version.clone()));
                    let reference = self.reference.beside(&name, at);
                    let (digest, manifest) = self.pack_manifest(&reference).await?;
                    let needs = self.needs(&reference, &manifest).await?;
                    images.insert((name.clone(), version.clone()), digest);
                    universe.needs.insert((name, version), needs);
                }
            }
        }
        Err(more_than(
            &self.reference,
            LOOKUPS,
            "packs and versions to look at before some are found that fit together",
        ))
    }

    async fn versions_at(&self, reference: &Reference) -> Result<Vec<Version>, RegistryError> {
        let cannot = |error| refused("list the versions of", reference, error);
        let first = self
            .http
            .url(reference, &format!("tags/list?n={PAGE_TAGS}"));
        let first = first.map_err(cannot)?;
        let mut url = first.clone();
        let mut pages = BTreeSet::new();
        let mut tags: BTreeSet<String> = BTreeSet::new();
        let mut versions = BTreeSet::new();
        loop {
            if pages.len() == PAGES {
                return Err(more_than(reference, PAGES as u64, "pages of tags"));
            }
            let answer = self
                .http
                .get(reference, &url, None, AnswerKind::Document, DOCUMENT_BYTES)
                .await
                .map_err(cannot)?;
            pages.insert(url.clone());
            let page: Tags = json(&answer.bytes, &url, "a list of tags").map_err(cannot)?;
            let page = page.tags.unwrap_or_default();
            let (count, last, known) = (page.len(), page.last().cloned(), tags.len());
            versions.extend(page.iter().filter_map(|tag| version(tag)));
            tags.extend(page);
            if tags.len() > TAGS {
                return Err(more_than(reference, TAGS as u64, "tags"));
            }
            if versions.len() > VERSIONS {
                return Err(more_than(reference, VERSIONS as u64, "versions"));
            }
            url = match (answer.next, last) {
                (Some(next), _) if pages.contains(&next) => {
                    return Err(cannot(AnswerError::Address {
                        url: url.to_string(),
                        to: next.to_string(),
                        why: "a page of tags that was read before",
                    }));
                }
                (Some(next), _) => next,
                // Some registries have no links; some give all tags at once, whatever they are asked for.
                (None, Some(last)) if count == PAGE_TAGS && tags.len() > known => {
                    let mut next = first.clone();
                    next.query_pairs_mut().append_pair("last", &last);
                    next
                }
                (None, _) => return Ok(versions.into_iter().collect()),
            };
        }
    }

    async fn pull_at(&self, reference: &Reference) -> Result<Pulled, RegistryError> {
        let wrong = |source| RegistryError::Image {
            reference: reference.to_string(),
            source,
        };
        let (digest, manifest) = self.pack_manifest(reference).await?;
        let mut blobs = BTreeMap::new();
        for descriptor in manifest.layers.iter().chain([&manifest.config]) {
            let bytes = self.blob(reference, descriptor, AnswerKind::Blob).await?;
            blobs.insert(descriptor.digest.clone(), bytes);
        }
        let signatures = self.signatures(reference, &digest).await?;
        let by_digest = reference.at(VersionSelector::Digest(digest)).to_string();
        let pack = image::read_pack(&manifest, &blobs, signatures, &by_digest, &self.bounds);
        let pulled = Pulled {
            pack: pack.map_err(wrong)?,
            image: digest,
            source: reference.at(VersionSelector::Newest).to_string(),
        };
        let identity = &pulled.pack.pack().pack;
        let is_version = match &reference.at {
            VersionSelector::Version(version) => identity.semver().as_ref() == Some(version),
            _ => true,
        };
        match is_version && identity.name == reference.pack() {
            true => Ok(pulled),
            false => Err(other(reference, &pulled)),
        }
    }

    /// Reads the manifest of a pack's image, with its digest.
    async fn pack_manifest(
        &self,
        reference: &Reference,
    ) -> Result<(Digest, ImageManifest), RegistryError> {
        let wrong = |source| RegistryError::Image {
            reference: reference.to_string(),
            source,
        };
        let at = match &reference.at {
            VersionSelector::Version(version) => tag(version),
            VersionSelector::Digest(digest) => digest.tagged(),
            VersionSelector::Newest => "latest".to_owned(),
        };
        let bytes = self.manifest(reference, &at, IMAGE_MANIFEST).await;
        let bytes = bytes.map_err(|error| refused("pull", reference, error))?;
        let digest = Digest::of(&bytes);
        if let VersionSelector::Digest(asked) = &reference.at
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
        reference: &Reference,
        manifest: &ImageManifest,
    ) -> Result<Vec<(String, VersionReq)>, RegistryError> {
        let bytes = self
            .blob(reference, &manifest.config, AnswerKind::Document)
            .await?;
        let config = image::read_config(&bytes).map_err(|source| RegistryError::Image {
            reference: reference.to_string(),
            source,
        })?;
        let needs = config.pack.requirements().into_iter();
        Ok(needs
            .map(|(name, versions)| (name.to_owned(), versions))
            .collect())
    }
}

fn other(reference: &Reference, pulled: &Pulled) -> RegistryError {
    let identity = &pulled.pack.pack().pack;
    RegistryError::Other {
        reference: reference.to_string(),
        name: identity.name.clone(),
        version: identity.version.clone(),
    }
}
