//! Packs for tests.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A manifest of a pack.
pub(crate) const PACK: &str = "[pack]\nname = \"demo\"\nversion = \"1.2.0\"\napi = \"0.1.0\"\n";

/// Writes a pack with these files beside `pack.toml`.
pub(crate) fn pack_dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pack.toml"), PACK).unwrap();
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    dir
}

/// Writes a file and the folders that it lies in.
pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    let file = dir.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Returns a verified pack of this name and version with one rule of this text.
pub(crate) fn verified(name: &str, version: &str, rule: &str) -> crate::VerifiedPack {
    let toml = format!("[pack]\nname = \"{name}\"\nversion = \"{version}\"\napi = \"0.1.0\"\n");
    verified_of(&toml, &[("rules/a.toml", rule)])
}

/// Returns a verified pack with this `pack.toml` and these files.
pub(crate) fn verified_of(toml: &str, files: &[(&str, &str)]) -> crate::VerifiedPack {
    let dir = pack_dir(files);
    write(dir.path(), "pack.toml", toml);
    let mut contents = crate::Contents::read_dir(dir.path(), &crate::Bounds::default()).unwrap();
    contents.seal();
    contents.verify().unwrap()
}

/// Makes a key without password; the directory holds its files.
pub(crate) fn key() -> (TempDir, crate::sign::SecretKey) {
    let dir = tempfile::tempdir().unwrap();
    let made = crate::sign::keygen(&dir.path().join("test"), None).unwrap();
    let secret = crate::sign::SecretKey::read(&made.secret_file, None).unwrap();
    (dir, secret)
}
