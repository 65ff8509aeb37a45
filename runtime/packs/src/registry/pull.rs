//! Packs out of a registry: one, or one with all that it needs.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde::Deserialize;

use super::client::{more_than, refused};
use super::http::{AnswerError, Kind, json};
use super::image::{self, DOCUMENT_BYTES, IMAGE_MANIFEST, ImageError, ImageManifest};
use super::reference::{tag, version};
use super::resolve::{Missing, Outcome, Universe, resolve};
use super::{At, Lock, Reference, Registry, RegistryError};
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
type Found = (
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
        self.search(&self.place, self.versions_at(&self.place))
            .await
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
        let search = self.find(roots, lock);
        let (found, images) = self.search(&self.place, search).await?;
        let mut pulled = Vec::new();
        let mut bytes = 0;
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
            let files = pack.pack.contents().files.values();
            bytes += files.map(|file| file.len() as u64).sum::<u64>();
            let maximum = self.bounds.total_bytes.saturating_mul(PACKS_TOGETHER);
            if bytes > maximum {
                return Err(more_than(
                    &place,
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
        lock: &Lock,
    ) -> Result<Found, RegistryError> {
        let mut universe = Universe::default();
        let mut images: BTreeMap<(String, Version), Digest> = BTreeMap::new();
        let locked = lock.versions();
        for _ in 0..=LOOKUPS {
            match resolve(&universe, roots, &locked)? {
                Outcome::Found(found) => return Ok((found, images)),
                Outcome::Unknown(Missing::Versions(name)) => {
                    let place = self.place.beside(&name, At::Newest);
                    let versions = match self.versions_at(&place).await {
                        Err(RegistryError::Refused { source, .. }) if source.is_missing() => {
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
        }
        Err(more_than(
            &self.place,
            LOOKUPS,
            "packs and versions to look at before some are found that fit together",
        ))
    }

    async fn versions_at(&self, place: &Reference) -> Result<Vec<Version>, RegistryError> {
        let cannot = |error| refused("list the versions of", place, error);
        let first = self.http.url(place, &format!("tags/list?n={PAGE_TAGS}"));
        let first = first.map_err(cannot)?;
        let mut url = first.clone();
        let mut pages = BTreeSet::new();
        let mut tags: BTreeSet<String> = BTreeSet::new();
        let mut versions = BTreeSet::new();
        loop {
            if pages.len() == PAGES {
                return Err(more_than(place, PAGES as u64, "pages of tags"));
            }
            let answer = self
                .http
                .get(place, &url, None, Kind::Document, DOCUMENT_BYTES)
                .await
                .map_err(cannot)?;
            pages.insert(url.clone());
            let page: Tags = json(&answer.bytes, &url, "a list of tags").map_err(cannot)?;
            let page = page.tags.unwrap_or_default();
            let (count, last, known) = (page.len(), page.last().cloned(), tags.len());
            versions.extend(page.iter().filter_map(|tag| version(tag)));
            tags.extend(page);
            if tags.len() > TAGS {
                return Err(more_than(place, TAGS as u64, "tags"));
            }
            if versions.len() > VERSIONS {
                return Err(more_than(place, VERSIONS as u64, "versions"));
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

    async fn pull_at(&self, place: &Reference) -> Result<Pulled, RegistryError> {
        let wrong = |source| RegistryError::Image {
            place: place.to_string(),
            source,
        };
        let (digest, manifest) = self.pack_manifest(place).await?;
        let mut blobs = BTreeMap::new();
        for descriptor in manifest.layers.iter().chain([&manifest.config]) {
            let bytes = self.blob(place, descriptor, Kind::Blob).await?;
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
    async fn pack_manifest(
        &self,
        place: &Reference,
    ) -> Result<(Digest, ImageManifest), RegistryError> {
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
        place: &Reference,
        manifest: &ImageManifest,
    ) -> Result<Vec<(String, VersionReq)>, RegistryError> {
        let bytes = self.blob(place, &manifest.config, Kind::Document).await?;
        let config = image::read_config(&bytes).map_err(|source| RegistryError::Image {
            place: place.to_string(),
            source,
        })?;
        let needs = config.pack.requirements().into_iter();
        Ok(needs
            .map(|(name, versions)| (name.to_owned(), versions))
            .collect())
    }
}

fn other(place: &Reference, pulled: &Pulled) -> RegistryError {
    let identity = &pulled.pack.pack().pack;
    RegistryError::Other {
        place: place.to_string(),
        name: identity.name.clone(),
        version: identity.version.clone(),
    }
}
