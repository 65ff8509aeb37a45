//! `MANIFEST.sha256`: every file of a pack with its digest, in the format of `sha256sum`.
//!
//! One pack has one manifest, byte for byte: lines in order of path by bytes, each of 64 lower-case digits, two spaces, the
//! path and a line feed. So the digest of the manifest is the digest of the pack, and what is signed.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::Path;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use yagura_core::diagnostic::{Code, Diagnostic, Diagnostics, Span};

use crate::Digest;
use crate::names::{FileRole, MANIFEST, NameSet, PACK_TOML, PackPath};

/// Bytes of a manifest that is still read.
pub const MANIFEST_BYTES: u64 = 16 << 20;

/// The files of a pack and their digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileManifest {
    files: BTreeMap<PackPath, Digest>,
}

/// How the files of a pack differ from its manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileDifference {
    /// The file has other bytes.
    Changed(PackPath),
    /// The file is listed, and is not there.
    Missing(PackPath),
    /// The file is there, and is not listed.
    Added(PackPath),
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(path) => write!(f, "`{path}` was changed"),
            Self::Missing(path) => write!(f, "`{path}` is missing"),
            Self::Added(path) => write!(f, "`{path}` was added"),
        }
    }
}

/// What each line must be.
const LINE_FORM: &str =
    "a line is 64 lower-case hexadecimal digits, two spaces, a path and a line feed";

fn wrong(text: &str, line: usize, message: impl Into<String>) -> Diagnostics {
    let diagnostic = Diagnostic::error(Code::InvalidManifest, message);
    let diagnostic = diagnostic.in_file(Path::new(MANIFEST));
    let span = Span::of_line(text, line).unwrap_or_else(|| Span::of(text, 0..0));
    diagnostic.with_span(span).into()
}

impl FileManifest {
    /// Makes the manifest of files, on all cores.
    pub fn of(files: &BTreeMap<PackPath, Vec<u8>>) -> Self {
        let files = files.par_iter();
        Self {
            files: files
                .map(|(path, bytes)| (path.clone(), Digest::of(bytes)))
                .collect(),
        }
    }

    /// Reads a manifest; only what [`FileManifest::text`] writes is one.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, Diagnostics> {
        let is_short = text.len() as u64 <= MANIFEST_BYTES;
        let Some(text) = std::str::from_utf8(text).ok().filter(|_| is_short) else {
            return Err(wrong("", 1, "this is not the text of a manifest"));
        };
        let fail = |line: usize, message: String| Err(wrong(text, line, message));
        let mut files = BTreeMap::new();
        let mut names = NameSet::default();
        let mut lines = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            lines = index + 1;
            let parts = line
                .strip_suffix('\n')
                .and_then(|line| line.split_once("  "));
            let Some((digest, path)) = parts else {
                return fail(lines, LINE_FORM.to_owned());
            };
            let Some(digest) = Digest::parse(digest) else {
                return fail(lines, LINE_FORM.to_owned());
            };
            let path = PackPath::parse(path).and_then(|path| Ok((FileRole::of(&path)?, path)));
            let path = match path {
                Ok((FileRole::Content, path)) => path,
                Ok((_, path)) => {
                    let message =
                        format!("`{path}` is not covered by the manifest, and must not be in it");
                    return fail(lines, message);
                }
                Err(error) => return fail(lines, error.to_string()),
            };
            if let Err(error) = names.add(&path) {
                return fail(lines, error.to_string());
            }
            if let Some((last, _)) = files.last_key_value()
                && *last > path
            {
                let message = format!(
                    "`{path}` is not in order: lines are sorted by the bytes of their paths"
                );
                return fail(lines, message);
            }
            files.insert(path, digest);
        }
        match files.contains_key(PACK_TOML) {
            true => Ok(Self { files }),
            false => fail(lines, format!("{PACK_TOML} is not listed")),
        }
    }

    /// Returns the text, which `sha256sum --check` reads too.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.files.len() * 128);
        for (path, digest) in &self.files {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{digest}  {path}");
        }
        text
    }

    /// Returns the digest of the text: the digest of the pack.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// Returns the files and their digests, in order of path.
    pub fn files(&self) -> &BTreeMap<PackPath, Digest> {
        &self.files
    }

    /// Returns how `found` differs from this, in order of path within each kind.
    pub fn differences(&self, found: &Self) -> Vec<FileDifference> {
        let listed = self.files.iter();
        let mut differences: Vec<FileDifference> = listed
            .filter_map(|(path, digest)| match found.files.get(path) {
                None => Some(FileDifference::Missing(path.clone())),
                Some(other) if other != digest => Some(FileDifference::Changed(path.clone())),
                Some(_) => None,
            })
            .collect();
        let added = found.files.keys();
        let added = added.filter(|path| !self.files.contains_key(*path));
        differences.extend(added.cloned().map(FileDifference::Added));
        differences.sort();
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parse(paths: &[&str]) -> Result<FileManifest, Diagnostics> {
        let lines: Vec<String> = paths
            .iter()
            .map(|path| format!("{LINE}  {path}\n"))
            .collect();
        FileManifest::parse(lines.concat().as_bytes())
    }

    fn message(paths: &[&str]) -> String {
        parse(paths).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_is_what_sha256sum_writes() {
        let files = BTreeMap::from([
            (PackPath::parse("pack.toml").unwrap(), b"abc".to_vec()),
            (PackPath::parse("a b").unwrap(), b"abc".to_vec()),
        ]);
        let manifest = FileManifest::of(&files);
        assert_eq!(manifest.text(), format!("{LINE}  a b\n{LINE}  pack.toml\n"));
        assert_eq!(
            FileManifest::parse(manifest.text().as_bytes()),
            Ok(manifest)
        );
    }

    #[test]
    fn a_text_that_is_not_a_manifest_is_refused_with_its_line() {
        assert_eq!(
            message(&["rules/a"]),
            "MANIFEST.sha256:1: pack.toml is not listed"
        );
        assert_eq!(
            message(&["pack.toml", "a"]),
            "MANIFEST.sha256:2: `a` is not in order: lines are sorted by the bytes of their paths"
        );
        assert_eq!(
            message(&["pack.toml", "pack.toml"]),
            "MANIFEST.sha256:2: `pack.toml` is there twice"
        );
        assert!(message(&["a/../b", "pack.toml"]).contains(":1: `a/../b` leads out of its folder"));
        assert!(message(&["PACK.toml", "pack.toml"]).contains("is the same name as `PACK.toml`"));
        assert_eq!(
            message(&["MANIFEST.sha256", "pack.toml"]),
            "MANIFEST.sha256:1: `MANIFEST.sha256` is not covered by the manifest, and must not be in it"
        );
        for text in [
            format!("{LINE}  pack.toml"),
            format!("{LINE}  pack.toml\r\n"),
            format!("{LINE} *pack.toml\n"),
            format!("{}  pack.toml\n", LINE.to_uppercase()),
            format!("\\{LINE}  pack.toml\n"),
            format!("{LINE}  pack.toml\n\n"),
        ] {
            FileManifest::parse(text.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn differences_are_listed_by_kind() {
        let other = |path: &str, bytes: &[u8]| (PackPath::parse(path).unwrap(), bytes.to_vec());
        let listed = [other("a", b"1"), other("b", b"2"), other("c", b"3")];
        let found = [other("a", b"1"), other("b", b"x"), other("d", b"4")];
        let differences =
            FileManifest::of(&listed.into()).differences(&FileManifest::of(&found.into()));
        let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["`b` was changed", "`c` is missing", "`d` was added"]
        );
    }
}
