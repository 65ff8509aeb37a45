//! The SDKs, which the command carries with it, so that a pack is built against the contract of the host that runs it.
//!
//! A pack refers to them as `.yagura/sdk/LANGUAGE`. That directory is written by `yagura new` and by every build that finds
//! it missing or of another version; it does not belong into version control.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest, Sha256};

static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust");
static GO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/go");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/python");

/// The directory inside a pack that holds what Yagura writes there.
pub const DIRECTORY: &str = ".yagura";

/// An SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// The crate `yagura-sdk`.
    Rust,
    /// The module `github.com/yagura/yagura/sdk/go`.
    Go,
    /// The package `yagura`.
    Python,
}

impl Sdk {
    /// Returns the name of its directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
        }
    }

    fn dir(self) -> &'static Dir<'static> {
        match self {
            Self::Rust => &RUST,
            Self::Go => &GO,
            Self::Python => &PYTHON,
        }
    }

    /// Returns its files, in order of path.
    fn files(self) -> Vec<(&'static Path, &'static [u8])> {
        let mut files = Vec::new();
        collect(self.dir(), &mut files);
        files.sort();
        files
    }

    /// Returns the SHA-256 of all its files, in hexadecimal.
    pub fn digest(self) -> String {
        let mut hash = Sha256::new();
        for (path, bytes) in self.files() {
            let path = path.to_string_lossy();
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path.as_bytes());
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hex(&hash.finalize())
    }

    /// Writes it to `.yagura/sdk/LANGUAGE` of a pack, unless this very version is there, and returns the directory.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn place(self, pack: &Path) -> io::Result<PathBuf> {
        let base = pack.join(DIRECTORY);
        let dir = base.join("sdk").join(self.name());
        let stamp = dir.join("digest");
        let digest = self.digest();
        if fs::read_to_string(&stamp).is_ok_and(|found| found == digest) {
            return Ok(dir);
        }
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        // Whoever copies the pack sees at once that this directory is not the author's.
        fs::write(base.join(".gitignore"), "*\n")?;
        self.write(&dir)?;
        fs::write(stamp, digest)?;
        Ok(dir)
    }

    /// Writes its files below `dir`.
    fn write(self, dir: &Path) -> io::Result<()> {
        self.write_below("", dir)
    }

    /// Writes those of its files that are below `part` to `dir`.
    pub(crate) fn write_below(self, part: &str, dir: &Path) -> io::Result<()> {
        for (path, bytes) in self.files() {
            let Ok(path) = path.strip_prefix(part) else {
                continue;
            };
            let file = dir.join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, bytes)?;
        }
        Ok(())
    }
}

/// What a developer's own runs leave beside the sources.
const LEFTOVERS: [&str; 5] = [
    "target",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    "benchmarks",
];

fn collect(dir: &'static Dir<'static>, files: &mut Vec<(&'static Path, &'static [u8])>) {
    for entry in dir.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        if LEFTOVERS.iter().any(|leftover| name == *leftover) {
            continue;
        }
        match entry {
            DirEntry::Dir(dir) => collect(dir, files),
            DirEntry::File(file) => files.push((file.path(), file.contents())),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sdk_is_placed_once_and_replaced_when_it_differs() {
        let pack = tempfile::tempdir().unwrap();
        for (sdk, file) in [
            (Sdk::Rust, "src/lib.rs"),
            (Sdk::Go, "go.mod"),
            (Sdk::Python, "pyproject.toml"),
        ] {
            let dir = sdk.place(pack.path()).unwrap();
            assert_eq!(dir, pack.path().join(".yagura/sdk").join(sdk.name()));
            assert!(dir.join(file).is_file(), "{}", dir.join(file).display());
            let changed = dir.join("changed");
            fs::write(&changed, "").unwrap();
            sdk.place(pack.path()).unwrap();
            assert!(changed.exists(), "the same version was written twice");
            fs::write(dir.join("digest"), "another").unwrap();
            sdk.place(pack.path()).unwrap();
            assert!(!changed.exists(), "the old version was left");
        }
        let ignored = fs::read_to_string(pack.path().join(".yagura/.gitignore"));
        assert_eq!(ignored.unwrap(), "*\n");
    }
}
