//! Packs in one file for machines without network: an OCI image layout in a tar archive, which tools for images read too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use tar::{Archive, Builder, EntryType, Header};

use super::image::{
    self, DOCUMENT_BYTES, Descriptor, Image, ImageError, ImageManifest, Index, PACK, SIGNATURE,
    check, read_manifest, signature_layer,
};
use crate::{Bounds, Digest, Excess, VerifiedPack};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Why packs cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The archive cannot be read or written.
    #[error(
        "it cannot be read or written as an archive of `yagura save`, which is a tar file without compression"
    )]
    Io(#[from] io::Error),
    /// An entry has no place in an image layout.
    #[error(
        "`{0}` has no place in an image layout: it holds `oci-layout`, `index.json` and `blobs/sha256/…`, as regular files, \
             each once"
    )]
    Entry(String),
    /// Too many or too large entries.
    #[error("`{name}` is too much for a file of packs")]
    Excess {
        /// The entry.
        name: String,
        /// The bound.
        source: Excess,
    },
    /// A blob's name is not its digest.
    #[error("the blob {0} is not what its name says: it was changed")]
    Blob(String),
    /// It is not a layout of packs.
    #[error("this is not a file that `yagura save` wrote: {0}")]
    NotALayout(&'static str),
    /// One of its packs is none.
    #[error("the image {image}")]
    Image {
        /// The digest.
        image: String,
        /// What is wrong.
        source: ImageError,
    },
}

/// Saves packs with their signatures; the same packs give the same bytes.
///
/// # Errors
/// [`LayoutError`] when writing fails.
pub fn save(packs: &[&VerifiedPack], out: impl Write) -> Result<(), LayoutError> {
    let mut entries: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut index: Vec<Descriptor> = Vec::new();
    let mut add = |image: Image, name: Option<String>| {
        let mut descriptor = image.descriptor();
        descriptor.annotations = name
            .map(|name| (REF_NAME.to_owned(), name))
            .into_iter()
            .collect();
        index.push(descriptor);
        entries.insert(format!("blobs/sha256/{}", image.digest()), image.manifest);
        let blobs = image.blobs.into_iter();
        entries.extend(blobs.map(|(digest, bytes)| (format!("blobs/sha256/{digest}"), bytes)));
    };
    for pack in packs {
        let wrong = |source| LayoutError::Image {
            image: pack.name().to_owned(),
            source,
        };
        let image = Image::of(pack).map_err(wrong)?;
        let mut signatures = Vec::new();
        for (name, bytes) in &pack.contents().signatures {
            signatures.push(Image::of_signature(&image, name, bytes).map_err(wrong)?);
        }
        let identity = &pack.pack().pack;
        add(
            image,
            Some(format!("{}:{}", identity.name, identity.version)),
        );
        for signature in signatures {
            add(signature, None);
        }
    }
    index.sort_by(|a, b| a.digest.cmp(&b.digest));
    index.dedup_by(|a, b| a.digest == b.digest);
    let index = serde_json::to_vec(&Index::new(index)).map_err(io::Error::from)?;
    entries.insert("index.json".to_owned(), index);
    entries.insert("oci-layout".to_owned(), LAYOUT.to_vec());
    let mut archive = Builder::new(out);
    for (name, bytes) in &entries {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, bytes.as_slice())?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

/// Loads packs with their signatures, each verified; `origin` is for messages. `bounds` hold for all packs together.
///
/// # Errors
/// [`LayoutError`] with the first entry or image that is wrong.
pub fn load(
    input: impl Read,
    origin: &str,
    bounds: &Bounds,
) -> Result<Vec<VerifiedPack>, LayoutError> {
    let entries = read_entries(input, bounds)?;
    if !entries.contains_key("oci-layout") {
        return Err(LayoutError::NotALayout("it has no `oci-layout`"));
    }
    let index = entries.get("index.json");
    let index: Index = index
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .ok_or(LayoutError::NotALayout("it has no index"))?;
    let blob = |descriptor: &Descriptor| {
        let digest = Digest::parse_tagged(&descriptor.digest)?;
        entries.get(&format!("blobs/sha256/{digest}"))
    };
    let mut packs = Vec::new();
    let mut signatures: Vec<ImageManifest> = Vec::new();
    for descriptor in &index.manifests {
        let wrong = |source| LayoutError::Image {
            image: descriptor.digest.clone(),
            source,
        };
        let no_blob = || wrong(ImageError::NoBlob(descriptor.digest.clone()));
        let bytes = blob(descriptor).ok_or_else(no_blob)?;
        check(descriptor, bytes).map_err(wrong)?;
        let manifest = read_manifest(bytes).map_err(wrong)?;
        match manifest.artifact_type.as_deref() {
            Some(SIGNATURE) => signatures.push(manifest),
            Some(PACK) => packs.push((descriptor, bytes)),
            other => {
                let other = other.unwrap_or("no type").to_owned();
                return Err(wrong(ImageError::NotAPack(other)));
            }
        }
    }
    let mut loaded = Vec::new();
    for (descriptor, bytes) in packs {
        let wrong = |source| LayoutError::Image {
            image: descriptor.digest.clone(),
            source,
        };
        let manifest = image::read_pack_manifest(bytes, bounds).map_err(wrong)?;
        let digest = Digest::of(bytes);
        let mut blobs = BTreeMap::new();
        for descriptor in manifest.layers.iter().chain([&manifest.config]) {
            if let Some(bytes) = blob(descriptor) {
                check(descriptor, bytes).map_err(wrong)?;
                blobs.insert(descriptor.digest.clone(), bytes.clone());
            }
        }
        let own = signatures.iter().filter_map(|signature| {
            let (path, layer) = signature_layer(signature, &digest)?;
            Some((path, blob(&layer)?.clone()))
        });
        let pack = image::read_pack(&manifest, &blobs, own.collect(), origin, bounds);
        loaded.push(pack.map_err(wrong)?);
    }
    Ok(loaded)
}

/// Reads the entries of a layout: names that a layout has, each once, and blobs with the digests that are their names.
fn read_entries(
    input: impl Read,
    bounds: &Bounds,
) -> Result<BTreeMap<String, Vec<u8>>, LayoutError> {
    let mut archive = Archive::new(input);
    let mut entries = BTreeMap::new();
    let mut folders = BTreeSet::new();
    let mut total = 0_u64;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let refuse = || LayoutError::Entry(name.escape_debug().to_string());
        if kind == EntryType::Directory
            && ["blobs", "blobs/sha256"].contains(&name.trim_end_matches('/'))
            && folders.insert(name.clone())
        {
            continue;
        }
        let digest = name.strip_prefix("blobs/sha256/").map(Digest::parse);
        let is_document = ["oci-layout", "index.json"].contains(&name.as_str());
        let is_known = is_document || matches!(digest, Some(Some(_)));
        if kind != EntryType::Regular || !is_known || entries.contains_key(&name) {
            return Err(refuse());
        }
        let most = if is_document {
            DOCUMENT_BYTES
        } else {
            bounds.file_bytes
        };
        let most_of = Bounds {
            file_bytes: most,
            ..*bounds
        };
        total = total.saturating_add(entry.size());
        if let Some(source) = most_of.excess(entries.len() + 1, entry.size(), total) {
            return Err(LayoutError::Excess { name, source });
        }
        let mut bytes = Vec::new();
        let size = entry.size();
        entry.by_ref().take(size).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(Some(digest)) = digest
            && digest != Digest::of(&bytes)
        {
            return Err(LayoutError::Blob(digest.tagged()));
        }
        entries.insert(name, bytes);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
