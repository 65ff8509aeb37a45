//! A pack as an OCI artifact: one form, made from the pack and read back from its blobs.

use std::collections::{BTreeMap, BTreeSet};

pub(super) use oci_client::manifest::{
    OCI_IMAGE_INDEX_MEDIA_TYPE as IMAGE_INDEX, OCI_IMAGE_MEDIA_TYPE as IMAGE_MANIFEST,
};
use serde::{Deserialize, Serialize};
use yagura_core::pack::Manifest;

use crate::archive::{ArchiveProblem, read_entries, write_entries};
use crate::names::{FileRole, NameError, PackPath};
use crate::{Bounds, Contents, Digest, Excess, VerifiedPack, VerifyError};

/// The type of a pack's artifact.
pub const PACK: &str = "application/vnd.yagura.pack.v1";

/// The type of a signature's artifact.
pub const SIGNATURE: &str = "application/vnd.yagura.pack.signature.v1";

const CONFIG: &str = "application/vnd.yagura.pack.config.v1+json";
const FILES: &str = "application/vnd.yagura.pack.files.v1.tar+zstd";
const WASM: &str = "application/wasm";
const MINISIG: &str = "application/vnd.yagura.pack.minisig.v1";
const SIGSTORE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const LICENSES: &str = "org.opencontainers.image.licenses";
const DESCRIPTION: &str = "org.opencontainers.image.description";

/// Bytes of a manifest, an index, or a config that are still read.
pub(super) const DOCUMENT_BYTES: u64 = 4 << 20;

/// Bytes of a signature that are still read.
const SIGNATURE_BYTES: u64 = 256 << 10;

/// Type, digest and size of a blob or manifest.
///
/// These types are not those of `oci-client`: there a size may be negative, an entry of an index has no artifact type, and other
/// fields in another order would give packs that are published already another digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// A manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageManifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A list of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

impl Index {
    pub(super) fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: IMAGE_INDEX.to_owned(),
            manifests,
        }
    }
}

/// A manifest with the blobs that it names.
#[derive(Debug, Clone)]
pub struct Image {
    pub(super) manifest: Vec<u8>,
    pub(super) artifact_type: &'static str,
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
}

/// Why an artifact is not a pack.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not the JSON that it should be.
    #[error("the {what} is not the JSON that it should be")]
    Json {
        /// Which document.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// It is something else.
    #[error("it is of the type `{0}`, and a pack is of `{PACK}`")]
    NotAPack(String),
    /// Its layers are not those of a pack.
    #[error("its layers are not those of a pack: {0}")]
    Layers(&'static str),
    /// A blob is not what its digest says.
    #[error("the blob {digest} has the digest {found}: it was changed on the way")]
    Digest {
        /// The digest that was asked for.
        digest: String,
        /// The digest of what came.
        found: String,
    },
    /// A blob is not there.
    #[error("the blob {0} is not there")]
    NoBlob(String),
    /// Too much.
    #[error("it is too much for a pack")]
    Excess(#[from] Excess),
    /// The layer of files is not an archive of a pack.
    #[error("its layer of files is not an archive of a pack")]
    Archive(#[from] ArchiveProblem),
    /// A name that no file of a pack may have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What it holds is not what its manifest says.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Its config differs from its pack.toml.
    #[error(
        "its config differs from its pack.toml: versions were chosen by the one, and the other is the pack's"
    )]
    Config,
    /// It cannot be put together.
    #[error("cannot write its archive")]
    Write(#[from] std::io::Error),
}

impl Image {
    /// Makes the artifact of a pack, without its signatures: the same pack gives the same digest.
    ///
    /// # Errors
    /// When its archive cannot be made.
    pub fn of(pack: &VerifiedPack) -> Result<Self, ImageError> {
        let mut blobs = BTreeMap::new();
        let mut blob = |media_type: &str, title: Option<&str>, bytes: Vec<u8>| {
            let descriptor = descriptor(media_type, title, &bytes);
            blobs.insert(Digest::of(&bytes), bytes);
            descriptor
        };
        let identity = &pack.pack().pack;
        let config = serde_json::to_vec(pack.pack()).map_err(|source| ImageError::Json {
            what: "config",
            source,
        })?;
        let config = blob(CONFIG, None, config);
        let mut rest = pack.contents().all();
        rest.retain(|path, bytes| {
            let is_signature = pack.contents().signatures.contains_key(*path);
            !is_signature && !is_component(path, bytes)
        });
        let mut files = Vec::new();
        write_entries(&rest, &mut files)?;
        read_entries(files.as_slice(), &Bounds::default())?;
        let mut layers = vec![blob(FILES, None, files)];
        for (path, bytes) in &pack.contents().files {
            if is_component(path.as_str(), bytes) {
                layers.push(blob(WASM, Some(path.as_str()), bytes.clone()));
            }
        }
        let mut annotations = BTreeMap::from([
            (TITLE.to_owned(), identity.name.clone()),
            (VERSION.to_owned(), identity.version.clone()),
        ]);
        for (key, value) in [
            (LICENSES, &identity.license),
            (DESCRIPTION, &identity.description),
        ] {
            if !value.is_empty() {
                annotations.insert(key.to_owned(), value.clone());
            }
        }
        Self::new(PACK, config, layers, None, annotations, blobs)
    }

    /// Makes the artifact of a signature of a pack whose image is `subject`.
    pub(super) fn of_signature(
        subject: &Self,
        name: &PackPath,
        bytes: &[u8],
    ) -> Result<Self, ImageError> {
        let empty = b"{}".to_vec();
        let media_type = match name.as_str().ends_with(".json") {
            true => SIGSTORE,
            false => MINISIG,
        };
        let config = descriptor(EMPTY, None, &empty);
        let layer = descriptor(media_type, Some(name.as_str()), bytes);
        let blobs = [empty, bytes.to_vec()];
        let blobs = blobs.map(|bytes| (Digest::of(&bytes), bytes)).into();
        let subject = descriptor(IMAGE_MANIFEST, None, &subject.manifest);
        Self::new(
            SIGNATURE,
            config,
            vec![layer],
            Some(subject),
            BTreeMap::new(),
            blobs,
        )
    }

    fn new(
        artifact_type: &'static str,
        config: Descriptor,
        layers: Vec<Descriptor>,
        subject: Option<Descriptor>,
        annotations: BTreeMap<String, String>,
        blobs: BTreeMap<Digest, Vec<u8>>,
    ) -> Result<Self, ImageError> {
        let manifest = serde_json::to_vec(&ImageManifest {
            schema_version: 2,
            media_type: IMAGE_MANIFEST.to_owned(),
            artifact_type: Some(artifact_type.to_owned()),
            config,
            layers,
            subject,
            annotations,
        });
        let manifest = manifest.map_err(|source| ImageError::Json {
            what: "manifest",
            source,
        })?;
        Ok(Self {
            manifest,
            artifact_type,
            blobs,
        })
    }

    /// Returns the digest by which a registry knows the artifact.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Returns what an index says of the artifact.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: Some(self.artifact_type.to_owned()),
            ..descriptor(IMAGE_MANIFEST, None, &self.manifest)
        }
    }
}

/// Reads the manifest of a pack's artifact, and checks that its blobs are not too much.
pub(super) fn read_pack_manifest(
    bytes: &[u8],
    bounds: &Bounds,
) -> Result<ImageManifest, ImageError> {
    let manifest = read_manifest(bytes)?;
    let found = manifest.artifact_type.as_deref();
    // Registries before OCI 1.1 drop the type; the config's stays.
    if found.is_some_and(|found| found != PACK) || manifest.config.media_type != CONFIG {
        let found = found.unwrap_or(&manifest.config.media_type);
        return Err(ImageError::NotAPack(found.to_owned()));
    }
    let total = manifest.layers.iter();
    let total = total.fold(0_u64, |total, layer| total.saturating_add(layer.size));
    let largest = manifest.layers.iter().map(|layer| layer.size).max();
    if let Some(excess) = bounds.excess(manifest.layers.len(), largest.unwrap_or(0), total) {
        return Err(excess.into());
    }
    if manifest.config.size > DOCUMENT_BYTES {
        return Err(Excess::FileBytes(DOCUMENT_BYTES).into());
    }
    Ok(manifest)
}

pub(super) fn read_manifest(bytes: &[u8]) -> Result<ImageManifest, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Json {
        what: "manifest",
        source,
    })
}

/// Reads the config of a pack's artifact: its `pack.toml`, not yet checked against anything.
pub(super) fn read_config(bytes: &[u8]) -> Result<Manifest, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Json {
        what: "config",
        source,
    })
}

/// Reads a pack from the blobs of its artifact, and verifies it; `blobs` are already those of their digests.
pub(super) fn read_pack(
    manifest: &ImageManifest,
    blobs: &BTreeMap<String, Vec<u8>>,
    signatures: BTreeMap<PackPath, Vec<u8>>,
    origin: &str,
    bounds: &Bounds,
) -> Result<VerifiedPack, ImageError> {
    let blob = |descriptor: &Descriptor| {
        let bytes = blobs.get(&descriptor.digest);
        bytes.ok_or_else(|| ImageError::NoBlob(descriptor.digest.clone()))
    };
    let mut contents = Contents {
        origin: origin.to_owned(),
        files: BTreeMap::new(),
        manifest: None,
        signatures,
        left_out: BTreeSet::new(),
    };
    let mut has_files = false;
    for layer in &manifest.layers {
        let bytes = blob(layer)?;
        match layer.media_type.as_str() {
            FILES if has_files => return Err(ImageError::Layers("two are archives of files")),
            FILES => {
                has_files = true;
                for (path, bytes) in read_entries(bytes.as_slice(), bounds)? {
                    match FileRole::of(&path)? {
                        FileRole::Content => contents.files.insert(path, bytes),
                        FileRole::Manifest => contents.manifest.replace(bytes),
                        FileRole::Signature => {
                            return Err(ImageError::Layers("a signature is among the files"));
                        }
                    };
                }
            }
            WASM => {
                let title = layer.annotations.get(TITLE);
                let title = title.ok_or(ImageError::Layers("a component has no name"))?;
                let path = PackPath::parse(title)?;
                if FileRole::of(&path)? != FileRole::Content
                    || contents.files.insert(path, bytes.clone()).is_some()
                {
                    return Err(ImageError::Layers("two have the same name"));
                }
            }
            _ => return Err(ImageError::Layers("one is of a kind that is not known")),
        }
    }
    let config = read_config(blob(&manifest.config)?)?;
    let pack = contents.verify()?;
    match config.pack == pack.pack().pack {
        true => Ok(pack),
        false => Err(ImageError::Config),
    }
}

/// Returns the one layer of a signature's artifact and the name of its file, if it is for `subject`.
pub(super) fn signature_layer(
    manifest: &ImageManifest,
    subject: &Digest,
) -> Option<(PackPath, Descriptor)> {
    let [layer] = manifest.layers.as_slice() else {
        return None;
    };
    let is_ours = matches!(layer.media_type.as_str(), MINISIG | SIGSTORE);
    let is_subject = manifest.subject.as_ref()?.digest == subject.tagged();
    let path = PackPath::parse(layer.annotations.get(TITLE)?).ok()?;
    let is_signature = FileRole::of(&path) == Ok(FileRole::Signature);
    (is_ours && is_subject && is_signature && layer.size <= SIGNATURE_BYTES)
        .then(|| (path, layer.clone()))
}

/// Compares a blob with the digest that it was asked for by.
pub(super) fn check(descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
    let found = Digest::of(bytes).tagged();
    match found == descriptor.digest {
        true => Ok(()),
        false => Err(ImageError::Digest {
            digest: descriptor.digest.clone(),
            found,
        }),
    }
}

fn descriptor(media_type: &str, title: Option<&str>, bytes: &[u8]) -> Descriptor {
    let title = title.map(|title| (TITLE.to_owned(), title.to_owned()));
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes).tagged(),
        size: bytes.len() as u64,
        artifact_type: None,
        annotations: title.into_iter().collect(),
    }
}

/// Says whether a file is a layer of its own. Registries take no empty layer.
fn is_component(path: &str, bytes: &[u8]) -> bool {
    path.ends_with(".wasm") && !bytes.is_empty()
}
