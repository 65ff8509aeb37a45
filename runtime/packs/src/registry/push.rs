//! A pack into a registry.

use super::client::refused;
use super::image::{Descriptor, IMAGE_INDEX, IMAGE_MANIFEST, Image, ImageError, Index};
use super::reference::tag;
use super::signatures::fallback;
use super::{Reference, Registry, RegistryError, VersionSelector};
use crate::names::PackPath;
use crate::{Digest, VerifiedPack};

/// A pack that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where it lies now, by version.
    pub reference: Reference,
    /// The digest of its image.
    pub image: Digest,
    /// The signatures that were pushed with it.
    pub signatures: Vec<PackPath>,
}

impl Registry {
    /// Pushes a pack with its signatures, under its version. Pushing the same again adds signatures.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] where the version has other contents.
    pub async fn push(&self, pack: &VerifiedPack) -> Result<Pushed, RegistryError> {
        let identity = &pack.pack().pack;
        let (Some(version), true) = (identity.semver(), identity.name == self.reference.pack())
        else {
            return Err(RegistryError::Name {
                pack: identity.name.clone(),
                reference: self.reference.to_string(),
            });
        };
        let reference = self.reference.at(VersionSelector::Version(version.clone()));
        let wrong = |source| RegistryError::Image {
            reference: reference.to_string(),
            source,
        };
        let image = Image::of(pack).map_err(wrong)?;
        let digest = image.digest();
        match self
            .manifest(&reference, &tag(&version), IMAGE_MANIFEST)
            .await
        {
            Ok(there) if Digest::of(&there) == digest => {}
            Ok(there) => {
                return Err(RegistryError::Exists {
                    reference: reference.to_string(),
                    there: Digest::of(&there).tagged(),
                });
            }
            Err(error) if error.is_missing() => {
                self.push_image(&reference, &image, Some(&tag(&version)))
                    .await?
            }
            Err(error) => return Err(refused("look for", &reference, error)),
        }
        let mut signatures = Vec::new();
        let mut descriptors = Vec::new();
        for (name, bytes) in &pack.contents().signatures {
            let signature = Image::of_signature(&image, name, bytes).map_err(wrong)?;
            self.push_image(&reference, &signature, None).await?;
            descriptors.push(signature.descriptor());
            signatures.push(name.clone());
        }
        self.refer(&reference, &digest, descriptors).await?;
        Ok(Pushed {
            reference,
            image: digest,
            signatures,
        })
    }

    /// Adds signatures to the list that a tag stands for. Registries of OCI 1.1 keep such a list by themselves; others need
    /// this one, and it does no harm there.
    async fn refer(
        &self,
        reference: &Reference,
        subject: &Digest,
        added: Vec<Descriptor>,
    ) -> Result<(), RegistryError> {
        let mut manifests = self.index(reference, subject).await?;
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
                reference: reference.to_string(),
                source: ImageError::Json {
                    what: "list of signatures",
                    source,
                },
            })?;
        self.push_manifest(reference, &fallback(subject), index, IMAGE_INDEX)
            .await
    }

    async fn push_image(
        &self,
        reference: &Reference,
        image: &Image,
        tag: Option<&str>,
    ) -> Result<(), RegistryError> {
        for (digest, bytes) in &image.blobs {
            let pushed = self.http.upload(reference, &digest.tagged(), bytes).await;
            pushed.map_err(|error| refused("push to", reference, error))?;
        }
        let digest = image.digest().tagged();
        let at = tag.unwrap_or(&digest);
        self.push_manifest(reference, at, image.manifest.clone(), IMAGE_MANIFEST)
            .await
    }

    async fn push_manifest(
        &self,
        reference: &Reference,
        at: &str,
        bytes: Vec<u8>,
        media_type: &str,
    ) -> Result<(), RegistryError> {
        let cannot = |error| refused("push to", reference, error);
        let url = self.http.url(reference, &format!("manifests/{at}"));
        let url = url.map_err(cannot)?;
        let pushed = self.http.put(reference, &url, media_type, bytes).await;
        pushed.map_err(cannot)
    }
}
