//! What was used here before: the newest version of each pack, and what it was allowed to ask for.
//!
//! The file is written by Yagura and read by people: from it follows that an older version is refused, and that an upgrade
//! which asks for more waits for an answer.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};
use yagura_core::diagnostic::{Code, Diagnostic, Diagnostics, Key};
use yagura_core::source::SourceText;

use crate::contents::replace;
use crate::grants::PackRequests;
use crate::{Digest, VerifiedPack};

/// `installed.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Packs by name.
    #[serde(default)]
    pub pack: BTreeMap<String, InstalledVersion>,
}

/// The pack that was used last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstalledVersion {
    /// Its version.
    pub version: String,
    /// Digest of its manifest: `sha256:…`.
    pub digest: String,
    /// What its plugins ask for, as it was accepted.
    #[serde(default)]
    pub asks: PackRequests,
}

/// Why a pack is older than, or other than, the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollback {
    /// A newer version was used.
    Older {
        /// The pack.
        pack: String,
        /// Its version.
        found: String,
        /// The version that was used.
        used: String,
    },
    /// The same version had other contents.
    Replaced {
        /// The pack.
        pack: String,
        /// Its version.
        version: String,
        /// Its digest.
        found: String,
        /// The digest that was used.
        used: String,
    },
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { pack, found, used } => write!(
                f,
                "`{pack}` {found} is older than {used}, which was used here before: an old version can bring back what was \
                 mended since; if that is meant, `yagura run` and `serve` take it with `--allow-rollback`"
            ),
            Self::Replaced {
                pack,
                version,
                found,
                used,
            } => write!(
                f,
                "`{pack}` {version} has the digest {found}, and was {used} when it was used here before: a version is \
                 published once; ask who made it, or have `yagura run` or `serve` take it with `--allow-rollback`"
            ),
        }
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstalledError {
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
    /// It is damaged. It is not passed over: without it, old versions would be taken.
    #[error("{} is damaged, and without it old versions would be taken: mend it, or remove it to begin anew", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Diagnostics,
    },
}

impl Installed {
    /// Reads the file; there need be none.
    ///
    /// # Errors
    /// [`InstalledError::Read`] or [`InstalledError::Damaged`].
    pub fn read(file: &Path) -> Result<Self, InstalledError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(InstalledError::Read {
                file: file.to_owned(),
                source,
            }),
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`InstalledError::Damaged`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, InstalledError> {
        let damaged = |source| InstalledError::Damaged {
            file: file.to_owned(),
            source,
        };
        if text.trim().is_empty() {
            let message = "the file is empty, and was not when it was written";
            let empty = Diagnostic::error(Code::DamagedFile, message).in_file(file);
            return Err(damaged(empty.into()));
        }
        let source = SourceText::new(file, text);
        let read: Self = source.toml().map_err(damaged)?;
        for (pack, used) in &read.pack {
            let wrong = if Version::parse(&used.version).is_err() {
                Some((Code::InvalidVersion, "version", "a version"))
            } else if Digest::parse_tagged(&used.digest).is_none() {
                Some((Code::InvalidDigest, "digest", "a digest"))
            } else {
                None
            };
            if let Some((code, key, what)) = wrong {
                let key = Key::top("pack").name(pack).name(key);
                let problem = Diagnostic::error(code, format!("is not {what}")).at(key);
                return Err(damaged(source.refuse([problem])));
            }
        }
        Ok(read)
    }

    /// Writes the file, in full or not at all.
    ///
    /// # Errors
    /// [`InstalledError::Write`].
    pub fn write(&self, file: &Path) -> Result<(), InstalledError> {
        let write = || {
            let text = toml::to_string(self).map_err(io::Error::other)?;
            let head = "# Written by yagura: the packs that were used here, and what they were allowed to ask for.\n";
            replace(file, format!("{head}{text}").as_bytes())
        };
        write().map_err(|source| InstalledError::Write {
            file: file.to_owned(),
            source,
        })
    }

    /// Says whether a pack is older than, or other than, the one before it.
    pub fn rollback(&self, pack: &VerifiedPack) -> Option<Rollback> {
        let identity = &pack.pack().pack;
        let used = self.pack.get(&identity.name)?;
        let found = identity.semver()?;
        let newest = Version::parse(&used.version).ok()?;
        let digest = pack.digest().tagged();
        let name = identity.name.clone();
        match found.cmp_precedence(&newest) {
            std::cmp::Ordering::Less => Some(Rollback::Older {
                pack: name,
                found: identity.version.clone(),
                used: used.version.clone(),
            }),
            std::cmp::Ordering::Equal if digest != used.digest => Some(Rollback::Replaced {
                pack: name,
                version: identity.version.clone(),
                found: digest,
                used: used.digest.clone(),
            }),
            _ => None,
        }
    }

    /// Remembers a pack that is used from now on, with what it asks for. Call it when the verdict was good and the upgrade is
    /// not held back, or when an operator accepted it.
    pub fn record(&mut self, pack: &VerifiedPack) {
        let used = InstalledVersion {
            version: pack.pack().pack.version.clone(),
            digest: pack.digest().tagged(),
            asks: PackRequests::of(pack.pack()),
        };
        self.pack.insert(pack.name().to_owned(), used);
    }
}
