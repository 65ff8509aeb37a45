//! What an author does: pack a directory, and sign a directory or an archive.

use std::collections::BTreeSet;
use std::path::Path;

use crate::archive::{self, ArchiveError};
use crate::names::PackPath;
use crate::sbom::SbomError;
use crate::sign::{self, SecretKey, SignError};
use crate::{Bounds, Contents, FilesError, VerifiedPack, VerifyError};

/// A directory that was packed.
#[derive(Debug, Clone)]
pub struct PackedDirectory {
    /// The pack.
    pub pack: VerifiedPack,
    /// Signatures of the directory that were for other contents, and were not taken along.
    pub dropped: Vec<PackPath>,
    /// What was left out because builds, editors or systems leave it behind.
    pub left_out: BTreeSet<String>,
}

/// A pack that was signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The pack.
    pub pack: VerifiedPack,
    /// The signature's file name.
    pub signature: PackPath,
    /// Signatures that were for other contents, and were taken out.
    pub dropped: Vec<PackPath>,
}

/// Why a pack cannot be packed or signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// Its directory cannot be a pack.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Its archive cannot be read or written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It differs from its manifest, or is not a pack.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The list of what it is made of cannot be written.
    #[error(transparent)]
    Sbom(#[from] SbomError),
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A plugin is not there.
    #[error("{dir} has no `{file}`, which its pack.toml names: make it with `yagura build {dir}`")]
    NoPlugin {
        /// The directory.
        dir: String,
        /// The plugin's file.
        file: String,
    },
}

/// Packs a directory into an archive file; `with_sbom` adds the list of what it is made of, which changes its digest, so
/// sign the archive then. Nothing is written to the directory.
///
/// # Errors
/// [`AuthorError`].
pub fn pack(
    dir: &Path,
    out: &Path,
    with_sbom: bool,
    bounds: &Bounds,
) -> Result<PackedDirectory, AuthorError> {
    let mut contents = Contents::read_dir(dir, bounds)?;
    complete(&contents)?;
    if with_sbom {
        contents.add_sbom()?;
    }
    let dropped = contents.seal();
    let left_out = contents.left_out.clone();
    let pack = contents.verify()?;
    archive::write_file(pack.contents(), out, bounds)?;
    Ok(PackedDirectory {
        pack,
        dropped,
        left_out,
    })
}

/// Signs the pack at a path and writes the signature into it. The manifest of a directory is written anew where its files
/// were changed; an archive must agree with its manifest.
///
/// # Errors
/// [`AuthorError`].
pub fn sign(
    path: &Path,
    key: &SecretKey,
    signer: Option<&str>,
    bounds: &Bounds,
) -> Result<Signed, AuthorError> {
    let is_dir = path.is_dir();
    let mut contents = match is_dir {
        true => Contents::read_dir(path, bounds)?,
        false => archive::read_file(path, bounds)?,
    };
    complete(&contents)?;
    let dropped = match is_dir {
        true => contents.seal(),
        false => Vec::new(),
    };
    let mut pack = contents.verify()?;
    let signature = sign::sign(&mut pack, key, signer)?;
    match is_dir {
        true => pack.contents().write_seal(path, bounds)?,
        false => archive::write_file(pack.contents(), path, bounds)?,
    }
    Ok(Signed {
        pack,
        signature,
        dropped,
    })
}

/// Makes sure that all plugins are there: a version is published once.
fn complete(contents: &Contents) -> Result<(), AuthorError> {
    match contents.missing_plugin()? {
        None => Ok(()),
        Some(file) => Err(AuthorError::NoPlugin {
            dir: contents.origin.clone(),
            file,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, pack_dir, write};

    #[test]
    fn a_directory_is_packed_with_its_signatures_and_the_archive_signed_again() {
        let dir = pack_dir(&[("rules/a.toml", "a"), ("target/x", "x")]);
        let bounds = Bounds::default();
        let ((_a, one), (_b, two)) = (key(), key());
        let signed = sign(dir.path(), &one, None, &bounds).unwrap();
        assert_eq!(signed.signature.as_str(), "MANIFEST.sha256.minisig");
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("demo.tar.zst");
        let packed = pack(dir.path(), &file, false, &bounds).unwrap();
        assert_eq!(packed.dropped, []);
        assert_eq!(packed.left_out.into_iter().collect::<Vec<_>>(), ["target"]);
        let again = sign(&file, &two, Some("review"), &bounds).unwrap();
        assert_eq!(again.pack.digest(), signed.pack.digest());
        let read = archive::read_file(&file, &bounds).unwrap();
        assert_eq!(read.signatures.len(), 2);

        let listed = pack(dir.path(), &file, true, &bounds).unwrap();
        assert_eq!(listed.dropped.len(), 1);
        assert!(listed.pack.manifest().files().contains_key("sbom.cdx.json"));
        assert!(!dir.path().join("sbom.cdx.json").exists());
    }

    #[test]
    fn a_changed_directory_is_signed_anew_and_a_changed_archive_is_not() {
        let dir = pack_dir(&[("rules/a.toml", "a")]);
        let bounds = Bounds::default();
        let (_a, one) = key();
        sign(dir.path(), &one, Some("old"), &bounds).unwrap();
        write(dir.path(), "rules/a.toml", "b");
        let signed = sign(dir.path(), &one, None, &bounds).unwrap();
        assert_eq!(signed.dropped.len(), 1);
        assert!(!dir.path().join("MANIFEST.sha256.old.minisig").exists());

        let mut contents = Contents::read_dir(dir.path(), &bounds).unwrap();
        let path = PackPath::parse("rules/a.toml").unwrap();
        contents.files.insert(path, b"c".to_vec());
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("demo.tar.zst");
        archive::write_file(&contents, &file, &bounds).unwrap();
        let error = sign(&file, &one, None, &bounds).unwrap_err();
        assert!(matches!(
            error,
            AuthorError::Verify(VerifyError::Differs { .. })
        ));
    }

    #[test]
    fn a_pack_without_its_plugin_is_refused() {
        let dir = pack_dir(&[]);
        let toml = format!(
            "{}[[plugin]]\nfile = \"d.wasm\"\nworld = \"detector\"\n",
            crate::testing::PACK
        );
        write(dir.path(), "pack.toml", &toml);
        let out = dir.path().join("x.tar.zst");
        let error = pack(dir.path(), &out, false, &Bounds::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has no `d.wasm`, which its pack.toml names")
        );
        assert!(!out.exists());
    }
}
