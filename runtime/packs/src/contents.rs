//! A pack in memory: read once, then verified and used, so that nothing can be swapped in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use yagura_core::Diagnostics;
use yagura_core::pack::{Identity, Manifest, PackError};

use crate::manifest::{FileDifference, FileManifest};
use crate::names::{MANIFEST, PACK_TOML, PackPath};
use crate::{Bounds, Digest, FilesError, PackFiles};

/// Differences that a message lists one by one.
const LISTED: usize = 10;

/// The files of a pack, as they were found: nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Where it was found, for messages.
    pub origin: String,
    /// What a manifest lists.
    pub files: BTreeMap<PackPath, Vec<u8>>,
    /// `MANIFEST.sha256`, where there is one.
    pub manifest: Option<Vec<u8>>,
    /// Signatures of the manifest.
    pub signatures: BTreeMap<PackPath, Vec<u8>>,
    /// What a walk of the directory left out.
    pub left_out: BTreeSet<String>,
}

/// A pack whose files are those of its manifest. Who made it is another question: see [`crate::trust`].
#[derive(Debug, Clone)]
pub struct VerifiedPack {
    contents: Contents,
    pack: Manifest,
    files: FileManifest,
}

/// Why a pack differs from its manifest.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no manifest.
    #[error(
        "{origin} has no {MANIFEST}: write it and sign it with `yagura sign`, or get the pack from who signed it"
    )]
    NoManifest {
        /// Where the pack was found.
        origin: String,
    },
    /// The manifest cannot be read.
    #[error("the manifest of {origin} is damaged or not made by `yagura`: get the pack again")]
    Manifest {
        /// Where the pack was found.
        origin: String,
        /// The line and what is wrong.
        source: Diagnostics,
    },
    /// Files are not those of the manifest.
    #[error("{origin} differs from its {MANIFEST}: {}; if these changes are yours, sign the pack again, otherwise get it \
             again and do not use this copy", listed(.differences))]
    Differs {
        /// Where the pack was found.
        origin: String,
        /// All differences.
        differences: Vec<FileDifference>,
    },
    /// `pack.toml` is missing or invalid.
    #[error("the pack {origin} cannot be used")]
    Pack {
        /// Where the pack was found.
        origin: String,
        /// What is wrong in the file.
        source: PackError,
    },
    /// `pack.toml` is missing or not UTF-8.
    #[error("{origin} is not a pack: it has no {PACK_TOML} in UTF-8")]
    NotAPack {
        /// Where the pack was found.
        origin: String,
    },
}

fn listed(differences: &[FileDifference]) -> String {
    let texts = differences.iter().take(LISTED).map(ToString::to_string);
    let mut texts: Vec<String> = texts.collect();
    if let Some(more) = differences.len().checked_sub(LISTED + 1) {
        texts.push(format!("and {} more", more + 1));
    }
    texts.join(", ")
}

impl Contents {
    /// Reads the pack in `dir`, on all cores.
    ///
    /// # Errors
    /// [`FilesError`] with the first file that cannot be in a pack.
    pub fn read_dir(dir: &Path, bounds: &Bounds) -> Result<Self, FilesError> {
        let found = PackFiles::list(dir, bounds)?;
        let read = |path: &PackPath| Ok((path.clone(), found.read(path, bounds)?));
        let files: Result<_, FilesError> = found.files.par_iter().map(read).collect();
        let signatures: Result<_, FilesError> = found.signatures.iter().map(read).collect();
        let manifest = match found.has_manifest.then(|| PackPath::parse(MANIFEST)) {
            Some(Ok(path)) => Some(found.read(&path, bounds)?),
            _ => None,
        };
        Ok(Self {
            origin: dir.display().to_string(),
            files: files?,
            manifest,
            signatures: signatures?,
            left_out: found.left_out,
        })
    }

    /// Writes the manifest anew where the files are not those of the one that is there, and takes out the signatures that
    /// were for another one; returns their names.
    pub fn seal(&mut self) -> Vec<PackPath> {
        let text = FileManifest::of(&self.files).text().into_bytes();
        if self.manifest.as_ref() == Some(&text) {
            return Vec::new();
        }
        self.manifest = Some(text);
        std::mem::take(&mut self.signatures).into_keys().collect()
    }

    /// Returns the plugin that `pack.toml` names and that is not there, if one is not.
    ///
    /// # Errors
    /// [`VerifyError::NotAPack`] or [`VerifyError::Pack`].
    pub fn missing_plugin(&self) -> Result<Option<String>, VerifyError> {
        let plugins = self.pack_toml()?.plugins.into_iter();
        let mut files = plugins.map(|plugin| plugin.file);
        Ok(files.find(|file| !self.files.contains_key(file.as_str())))
    }

    /// Compares the files with the manifest, and reads `pack.toml`.
    ///
    /// # Errors
    /// [`VerifyError`] with every difference.
    pub fn verify(self) -> Result<VerifiedPack, VerifyError> {
        let origin = || self.origin.clone();
        let Some(text) = &self.manifest else {
            return Err(VerifyError::NoManifest { origin: origin() });
        };
        let listed = FileManifest::parse(text).map_err(|source| VerifyError::Manifest {
            origin: origin(),
            source,
        })?;
        let differences = listed.differences(&FileManifest::of(&self.files));
        if !differences.is_empty() {
            return Err(VerifyError::Differs {
                origin: origin(),
                differences,
            });
        }
        Ok(VerifiedPack {
            pack: self.pack_toml()?,
            files: listed,
            contents: self,
        })
    }

    /// Reads `pack.toml`.
    ///
    /// # Errors
    /// [`VerifyError::NotAPack`] or [`VerifyError::Pack`].
    pub fn pack_toml(&self) -> Result<Manifest, VerifyError> {
        let text = self.files.get(PACK_TOML);
        let Some(text) = text.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
            return Err(VerifyError::NotAPack {
                origin: self.origin.clone(),
            });
        };
        Manifest::read(Path::new(PACK_TOML), text).map_err(|source| VerifyError::Pack {
            origin: self.origin.clone(),
            source,
        })
    }

    /// Returns every file in order of path, the manifest and the signatures among them.
    pub fn all(&self) -> BTreeMap<&str, &[u8]> {
        let named = self.files.iter().chain(&self.signatures);
        let named = named.map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        let manifest = self.manifest.as_deref().map(|bytes| (MANIFEST, bytes));
        named.chain(manifest).collect()
    }

    /// Writes the manifest and the signatures into the pack's directory, and removes signatures that are no longer there.
    ///
    /// # Errors
    /// [`FilesError::Write`] with the file that cannot be written.
    pub fn write_seal(&self, dir: &Path, bounds: &Bounds) -> Result<(), FilesError> {
        let present = PackFiles::list(dir, bounds)?.signatures;
        for name in present {
            if !self.signatures.contains_key(&name) {
                let file = dir.join(name.as_str());
                fs::remove_file(&file).map_err(|source| FilesError::Write { file, source })?;
            }
        }
        let manifest = self.manifest.iter().map(|bytes| (MANIFEST, bytes));
        let signatures = self.signatures.iter();
        let signatures = signatures.map(|(path, bytes)| (path.as_str(), bytes));
        for (name, bytes) in manifest.chain(signatures) {
            let file = dir.join(name);
            replace(&file, bytes).map_err(|source| FilesError::Write { file, source })?;
        }
        Ok(())
    }
}

impl VerifiedPack {
    /// Returns `pack.toml`.
    pub fn pack(&self) -> &Manifest {
        &self.pack
    }

    /// Returns its `pack.toml`.
    pub fn identity(&self) -> &Identity {
        &self.pack.pack
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.pack.pack.name
    }

    /// Returns the digest of the manifest, which is that of the pack.
    pub fn digest(&self) -> Digest {
        self.files.digest()
    }

    /// Returns the files and their digests.
    pub fn manifest(&self) -> &FileManifest {
        &self.files
    }

    /// Returns the files' bytes.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Adds or replaces a signature; `name` comes from [`crate::names::minisig_name`].
    pub fn add_signature(&mut self, name: PackPath, bytes: Vec<u8>) {
        self.contents.signatures.insert(name, bytes);
    }

    /// Writes the pack to a directory that is not there yet: into a directory beside it first, which is then renamed.
    ///
    /// # Errors
    /// When the directory is there, or something cannot be written.
    pub fn unpack(&self, dir: &Path) -> io::Result<()> {
        if dir.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let parent = match dir.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent)?;
        let fresh = tempfile::Builder::new()
            .prefix(".unpack-")
            .tempdir_in(parent)?;
        for (name, bytes) in self.contents.all() {
            let file = fresh.path().join(name);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create_new(&file)?.write_all(bytes)?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o755))?;
        }
        fs::rename(fresh.path(), dir)?;
        // It has another name now.
        let _ = fresh.keep();
        Ok(())
    }

    /// Returns the directory of this pack below `store`, unpacked where it is not yet: one a digest, named
    /// `NAME-VERSION-DIGEST`. What is there already is verified again, and made anew where it was changed.
    ///
    /// # Errors
    /// [`UnpackError`].
    pub fn open_in(&self, store: &Path, bounds: &Bounds) -> Result<PathBuf, UnpackError> {
        let digest = self.digest().to_string();
        let identity = &self.pack.pack;
        let dir = store.join(format!(
            "{}-{}-{}",
            identity.name,
            identity.version,
            &digest[..16]
        ));
        if dir.symlink_metadata().is_err() {
            match self.unpack(&dir) {
                Ok(()) => return Ok(dir),
                // Another process was faster.
                Err(_) if dir.is_dir() => {}
                Err(source) => return Err(UnpackError::Write { dir, source }),
            }
        }
        if self.is_at(&dir, bounds) {
            return Ok(dir);
        }
        // It is our own copy of what was just verified: what became of it does not matter.
        let unpacked = fs::remove_dir_all(&dir).and_then(|()| self.unpack(&dir));
        unpacked.map_err(|source| UnpackError::Write {
            dir: dir.clone(),
            source,
        })?;
        match self.is_at(&dir, bounds) {
            true => Ok(dir),
            false => Err(UnpackError::Changed { dir }),
        }
    }
}

impl VerifiedPack {
    /// Says whether a directory holds this pack and nothing else.
    fn is_at(&self, dir: &Path, bounds: &Bounds) -> bool {
        let there = Contents::read_dir(dir, bounds).map(Contents::verify);
        matches!(there, Ok(Ok(there)) if there.digest() == self.digest() && there.contents.left_out.is_empty())
    }
}

/// Why a pack cannot be opened in a store of packs.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It cannot be written.
    #[error("cannot unpack to {}", .dir.display())]
    Write {
        /// The directory.
        dir: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What is there already is something else.
    #[error("{} was changed after it was unpacked: remove it, and it is unpacked anew", .dir.display())]
    Changed {
        /// The directory.
        dir: PathBuf,
    },
}

/// Writes a file in full or not at all.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut fresh = tempfile::Builder::new()
        .prefix(".write-")
        .tempfile_in(parent)?;
    fresh.write_all(bytes)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(file).map_or(0o644, |data| data.permissions().mode() & 0o777);
        fresh
            .as_file()
            .set_permissions(fs::Permissions::from_mode(mode))?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pack_dir, write};

    const ALL: Bounds = Bounds {
        files: 100,
        file_bytes: 1 << 20,
        total_bytes: 1 << 20,
    };

    #[test]
    fn a_sealed_directory_is_verified_and_every_difference_listed() {
        let dir = pack_dir(&[("rules/a.toml", "a"), ("rules/b.toml", "b")]);
        let read = || Contents::read_dir(dir.path(), &ALL).unwrap();
        let message = || read().verify().unwrap_err().to_string();
        assert!(message().contains("has no MANIFEST.sha256"));

        let mut contents = read();
        assert_eq!(contents.seal(), []);
        contents.write_seal(dir.path(), &ALL).unwrap();
        let verified = read().verify().unwrap();
        assert_eq!(verified.name(), "demo");
        assert_eq!(verified.manifest().files().len(), 3);

        write(dir.path(), "rules/a.toml", "A");
        write(dir.path(), "rules/c.toml", "c");
        fs::remove_file(dir.path().join("rules/b.toml")).unwrap();
        assert!(
            message().contains(
                "differs from its MANIFEST.sha256: `rules/a.toml` was changed, `rules/b.toml` is missing, \
                 `rules/c.toml` was added; if these changes are yours, sign the pack again"
            ),
            "{}",
            message()
        );
    }

    #[test]
    fn sealing_anew_takes_out_signatures_of_other_contents() {
        let dir = pack_dir(&[("MANIFEST.sha256.minisig", "of something else")]);
        let mut contents = Contents::read_dir(dir.path(), &ALL).unwrap();
        assert_eq!(contents.seal().len(), 1);
        contents.write_seal(dir.path(), &ALL).unwrap();
        assert!(!dir.path().join("MANIFEST.sha256.minisig").exists());
        assert_eq!(contents.seal(), []);
    }

    #[test]
    fn a_store_makes_anew_what_was_changed_in_it() {
        let dir = pack_dir(&[("rules/a.toml", "a")]);
        let mut contents = Contents::read_dir(dir.path(), &ALL).unwrap();
        contents.seal();
        let verified = contents.verify().unwrap();
        let store = tempfile::tempdir().unwrap();
        let open = || verified.open_in(store.path(), &ALL);
        let opened = open().unwrap();
        assert!(opened.join("rules/a.toml").is_file());
        assert_eq!(open().unwrap(), opened);
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);

        // What was put there or changed meanwhile is gone.
        write(&opened, ".yagura/x", "x");
        write(&opened, "rules/more.toml", "b");
        assert_eq!(open().unwrap(), opened);
        assert!(!opened.join(".yagura").exists() && !opened.join("rules/more.toml").exists());
        write(&opened, "rules/a.toml", "b");
        assert_eq!(open().unwrap(), opened);
        assert_eq!(fs::read(opened.join("rules/a.toml")).unwrap(), b"a");
    }

    #[test]
    fn unpacking_never_writes_over_anything() {
        let dir = pack_dir(&[]);
        let mut contents = Contents::read_dir(dir.path(), &ALL).unwrap();
        contents.seal();
        let error = contents.verify().unwrap().unpack(dir.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
