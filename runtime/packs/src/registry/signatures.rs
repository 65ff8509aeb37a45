//! The signatures that refer to an image.

use std::collections::BTreeMap;

use super::answer::AnswerError;
use super::client::refused;
use super::http::{AnswerKind, json};
use super::image::{
    self, DOCUMENT_BYTES, Descriptor, IMAGE_INDEX, IMAGE_MANIFEST, ImageError, Index,
    signature_layer,
};
use super::{Reference, Registry, RegistryError};
use crate::Digest;
use crate::names::PackPath;

/// Signatures of one pack that are still looked at.
const SIGNATURES: usize = 64;

impl Registry {
    /// Reads the signatures that refer to an image: from the tag that stands for the list, and from the list of registries
    /// that keep one.
    pub(super) async fn signatures(
        &self,
        reference: &Reference,
        subject: &Digest,
    ) -> Result<BTreeMap<PackPath, Vec<u8>>, RegistryError> {
        let mut digests: Vec<String> = self.referrers(reference, subject).await?;
        match self.native_referrers(reference, subject).await {
            Ok(index) => digests.extend(index.manifests.into_iter().map(|entry| entry.digest)),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(refused("look for signatures of", reference, error)),
        }
        // A digest becomes part of an address.
        digests.retain(|digest| Digest::parse_tagged(digest).is_some());
        digests.sort();
        digests.dedup();
        let mut signatures = BTreeMap::new();
        for digest in digests.iter().take(SIGNATURES) {
            let bytes = self.manifest(reference, digest, IMAGE_MANIFEST).await;
            let bytes = bytes.map_err(|error| refused("pull a signature of", reference, error))?;
            // Other things may refer to a pack too.
            let Ok(manifest) = image::read_manifest(&bytes) else {
                continue;
            };
            let is_named = Digest::of(&bytes).tagged() == *digest;
            if let Some((path, layer)) = signature_layer(&manifest, subject)
                && is_named
            {
                let bytes = self.blob(reference, &layer, AnswerKind::Document).await?;
                signatures.insert(path, bytes);
            }
        }
        Ok(signatures)
    }

    /// Reads the list that the registry keeps.
    async fn native_referrers(
        &self,
        reference: &Reference,
        subject: &Digest,
    ) -> Result<Index, AnswerError> {
        let rest = format!("referrers/{}", subject.tagged());
        let url = self.http.url(reference, &rest)?;
        let answer = self
            .http
            .get(
                reference,
                &url,
                Some(IMAGE_INDEX),
                AnswerKind::Document,
                DOCUMENT_BYTES,
            )
            .await?;
        json(&answer.bytes, &url, "a list of what refers to a pack")
    }

    /// Reads the digests in the list that a tag stands for.
    async fn referrers(
        &self,
        reference: &Reference,
        subject: &Digest,
    ) -> Result<Vec<String>, RegistryError> {
        let index = self.index(reference, subject).await?;
        Ok(index.into_iter().map(|entry| entry.digest).collect())
    }

    /// Reads the list that a tag stands for.
    pub(super) async fn index(
        &self,
        reference: &Reference,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        match self
            .manifest(reference, &fallback(subject), IMAGE_INDEX)
            .await
        {
            Ok(bytes) => {
                let index: Index =
                    serde_json::from_slice(&bytes).map_err(|source| RegistryError::Image {
                        reference: reference.to_string(),
                        source: ImageError::Json {
                            what: "list of signatures",
                            source,
                        },
                    })?;
                Ok(index.manifests)
            }
            Err(error) if error.is_missing() => Ok(Vec::new()),
            Err(error) => Err(refused("look for signatures of", reference, error)),
        }
    }
}

/// The tag that stands for the list of what refers to an image, where a registry keeps none.
pub(super) fn fallback(subject: &Digest) -> String {
    format!("sha256-{subject}")
}
