//! `yagura.lock`: which packs were taken, byte for byte, so that the next pull takes the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};
use yagura_core::diagnostic::{Code, Diagnostic, Diagnostics, Key};
use yagura_core::source::SourceText;

use super::Pulled;
use crate::Digest;
use crate::contents::replace;

/// The packs that were taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackLock {
    /// By name.
    #[serde(default, rename = "pack")]
    pub packs: Vec<LockedPack>,
}

/// A pack that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPack {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Digest of its manifest: `sha256:…`.
    pub digest: String,
    /// Digest of its image in the registry.
    pub image: String,
    /// The repository.
    pub source: String,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is not TOML, or has a key or a value that is not allowed.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

impl PackLock {
    /// Returns the lock of packs that were pulled, in order of name.
    pub fn of(pulled: &[Pulled]) -> Self {
        let packs = pulled.iter().filter_map(|pulled| {
            let identity = &pulled.pack.pack().pack;
            Some(LockedPack {
                name: identity.name.clone(),
                version: identity.semver()?,
                digest: pulled.pack.digest().tagged(),
                image: pulled.image.tagged(),
                source: pulled.source.clone(),
            })
        });
        let mut packs: Vec<LockedPack> = packs.collect();
        packs.sort_by(|a, b| a.name.cmp(&b.name));
        Self { packs }
    }

    /// Reads a lock file; there need be none.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn read(file: &Path) -> Result<Self, LockError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LockError::Read {
                file: file.to_owned(),
                source,
            }),
        }
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// [`LockError::Invalid`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, LockError> {
        let source = SourceText::new(file, text);
        let lock: Self = source.toml()?;
        let mut problems = Vec::new();
        for (index, pack) in lock.packs.iter().enumerate() {
            for (name, value) in [("digest", &pack.digest), ("image", &pack.image)] {
                if Digest::parse_tagged(value).is_none() {
                    let message = format!(
                        "is `{value}`, which is not a digest: remove the file, and it is written anew"
                    );
                    let key = Key::top("pack").index(index).name(name);
                    problems.push(Diagnostic::error(Code::InvalidDigest, message).at(key));
                }
            }
        }
        match problems.is_empty() {
            true => Ok(lock),
            false => Err(source.refuse(problems).into()),
        }
    }

    /// Writes the lock file, in full or not at all.
    ///
    /// # Errors
    /// [`LockError::Write`].
    pub fn write(&self, file: &Path) -> Result<(), LockError> {
        let write = || {
            let text = toml::to_string(self).map_err(io::Error::other)?;
            let head =
                "# Written by yagura: the packs that were taken. Keep it under version control.\n";
            replace(file, format!("{head}{text}").as_bytes())
        };
        write().map_err(|source| LockError::Write {
            file: file.to_owned(),
            source,
        })
    }

    /// Returns the versions by name.
    pub fn versions(&self) -> BTreeMap<String, Version> {
        let packs = self.packs.iter();
        packs
            .map(|pack| (pack.name.clone(), pack.version.clone()))
            .collect()
    }

    /// Returns the pack of this name and version.
    pub(super) fn find(&self, name: &str, version: &Version) -> Option<&LockedPack> {
        let mut packs = self.packs.iter();
        packs.find(|pack| pack.name == name && pack.version == *version)
    }
}
