//! The names that files of a pack may have: the same file on every system, and never outside the pack.

use std::collections::HashMap;
use std::fmt;

use caseless::Caseless;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use yagura_core::shown::is_invisible;

/// The list of all files of a pack, with their digests.
pub const MANIFEST: &str = "MANIFEST.sha256";

/// The file that makes a directory a pack.
pub const PACK_TOML: &str = "pack.toml";

/// Folders below each other, the file included.
const DEPTH: usize = 16;

/// Bytes of one part of a path, and of what precedes it: what a plain tar header has room for.
const PART_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;

/// Bytes of a signer's name in the name of a signature.
const SIGNER_BYTES: usize = 64;

/// The path of a file in a pack: relative, with `/`, in Unicode's composed form, and valid on every system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackPath(String);

impl PackPath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`NameError`] with what is wrong.
    pub fn parse(path: &str) -> Result<Self, NameError> {
        match problem(path) {
            None => Ok(Self(path.to_owned())),
            Some(problem) => Err(NameError {
                name: path.to_owned(),
                problem,
            }),
        }
    }

    /// Returns the path, with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the file lies at the top of the pack.
    pub fn is_top(&self) -> bool {
        !self.0.contains('/')
    }
}

impl fmt::Display for PackPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for PackPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A name that no file of a pack may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {problem}", .name.escape_debug())]
pub struct NameError {
    /// The path as it was found.
    pub name: String,
    /// What is wrong.
    pub problem: NameProblem,
}

/// What can be wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Not UTF-8; the name holds a replacement character.
    #[error("is not UTF-8: rename it")]
    NotUtf8,
    /// Empty, or with two slashes in a row or one at its end.
    #[error("has an empty part: a path is names joined by single slashes")]
    Empty,
    /// Begins at a root or a drive.
    #[error("is absolute: paths of a pack begin at its directory")]
    Absolute,
    /// Has `.` or `..` as a part.
    #[error("leads out of its folder by `.` or `..`")]
    Traversal,
    /// Has a character that some system forbids or that cannot be seen.
    #[error("has the character {}, which not every system allows in names: rename it", .0.escape_unicode())]
    Character(char),
    /// Ends a part in a dot or a space, which Windows drops.
    #[error("has a part that ends in a dot or a space, which Windows drops: rename it")]
    Ending,
    /// A part is a device's name on Windows.
    #[error("has the part `{0}`, which is a device on Windows: rename it")]
    Device(String),
    /// Not in Unicode's composed form.
    #[error("is not in Unicode's composed form (NFC): rename it to `{0}` written so")]
    NotComposed(String),
    /// Too many folders.
    #[error("lies {0} folders deep, and {DEPTH} are allowed")]
    Deep(usize),
    /// Too long for a tar header.
    #[error(
        "is too long: a part may have {PART_BYTES} bytes, and all folders together {PREFIX_BYTES}"
    )]
    Long,
    /// The same file as another on a system that ignores case or Unicode forms.
    #[error("is the same name as `{}` where case and Unicode forms do not count: rename one", .0.escape_debug())]
    Clash(String),
    /// The same path twice.
    #[error("is there twice")]
    Twice,
    /// A file has the name of a folder.
    #[error("is both a file and a folder")]
    FileAndFolder,
    /// Almost [`MANIFEST`], or a signature that is none.
    #[error(
        "has a name that is kept for the manifest and its signatures (`{MANIFEST}.NAME.minisig`): rename it"
    )]
    Reserved,
}

/// Names that belong together: none may be another's twin on a system that ignores case or Unicode forms.
#[derive(Debug, Default)]
pub struct NameSet {
    /// By folded path: the path as it is, and whether it is a file.
    seen: HashMap<String, (String, bool)>,
}

impl NameSet {
    /// Adds a file and the folders that it lies in.
    ///
    /// # Errors
    /// [`NameProblem::Clash`], [`NameProblem::Twice`] or [`NameProblem::FileAndFolder`].
    pub fn add(&mut self, path: &PackPath) -> Result<(), NameError> {
        let path = path.as_str();
        let ends = path.match_indices('/').map(|(index, _)| index);
        for end in ends.chain([path.len()]) {
            let (part, is_file) = (&path[..end], end == path.len());
            let problem = match self.seen.get(&fold(part)) {
                None => {
                    self.seen.insert(fold(part), (part.to_owned(), is_file));
                    continue;
                }
                Some((first, _)) if first != part => NameProblem::Clash(first.clone()),
                Some((_, true)) if is_file => NameProblem::Twice,
                Some((_, was_file)) if *was_file || is_file => NameProblem::FileAndFolder,
                Some(_) => continue,
            };
            return Err(NameError {
                name: part.to_owned(),
                problem,
            });
        }
        Ok(())
    }
}

/// What a file at the top of a pack is to signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRole {
    /// Listed in the manifest.
    Content,
    /// The manifest itself.
    Manifest,
    /// A signature of the manifest.
    Signature,
}

impl FileRole {
    /// Tells what a file is from its path.
    ///
    /// # Errors
    /// [`NameProblem::Reserved`] for names that only look like the manifest's.
    pub fn of(path: &PackPath) -> Result<Self, NameError> {
        let name = path.as_str();
        if name == MANIFEST {
            return Ok(Self::Manifest);
        }
        if is_signature(name) {
            return Ok(Self::Signature);
        }
        let is_near = fold(name).starts_with(&fold(MANIFEST));
        match path.is_top() && is_near {
            false => Ok(Self::Content),
            true => Err(NameError {
                name: name.to_owned(),
                problem: NameProblem::Reserved,
            }),
        }
    }
}

/// Returns the file name of a signature in minisign's format: the first one's, or a further one's under a signer's name.
pub fn minisig_name(signer: Option<&str>) -> String {
    match signer {
        None => format!("{MANIFEST}.minisig"),
        Some(signer) => format!("{MANIFEST}.{signer}.minisig"),
    }
}

/// Says whether a signer's name can stand in the name of a signature: lower-case letters, digits, `-` and `_`.
pub fn is_signer(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= SIGNER_BYTES
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        })
}

fn is_signature(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(MANIFEST) else {
        return false;
    };
    [".minisig", ".sigstore.json"].iter().any(|ending| {
        rest.strip_suffix(ending).is_some_and(|signer| {
            signer.is_empty() || signer.strip_prefix('.').is_some_and(is_signer)
        })
    })
}

/// Returns a form that is equal for names which some file system takes for the same.
fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.chars()
        .nfd()
        .default_case_fold()
        .nfkd()
        .default_case_fold()
        .nfkd()
        .collect()
}

fn problem(path: &str) -> Option<NameProblem> {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    if path.starts_with('/') || path.starts_with('\\') || drive {
        return Some(NameProblem::Absolute);
    }
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return Some(NameProblem::NotUtf8);
    }
    if let Some(character) = path.chars().find(|c| is_forbidden(*c)) {
        return Some(NameProblem::Character(character));
    }
    for part in path.split('/') {
        match part {
            "" => return Some(NameProblem::Empty),
            "." | ".." => return Some(NameProblem::Traversal),
            part if part.ends_with(['.', ' ']) => return Some(NameProblem::Ending),
            part if is_device(part) => return Some(NameProblem::Device(part.to_owned())),
            part if part.len() > PART_BYTES => return Some(NameProblem::Long),
            _ => {}
        }
    }
    if !is_nfc(path) {
        return Some(NameProblem::NotComposed(path.nfc().collect()));
    }
    let depth = path.split('/').count();
    if depth > DEPTH {
        return Some(NameProblem::Deep(depth));
    }
    let folders = path.rfind('/').unwrap_or(0);
    (folders > PREFIX_BYTES).then_some(NameProblem::Long)
}

/// Says whether a character is forbidden in names on some system, or changes how others are shown.
fn is_forbidden(c: char) -> bool {
    is_invisible(c)
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\')
        // The signs for what cannot be shown, and no characters at all.
        || matches!(c, '\u{fffc}'..='\u{ffff}')
}

/// Says whether Windows takes a name for a device, whatever its extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let stem = stem.to_uppercase();
    let number = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            let mut rest = rest.chars();
            let digit = rest.next();
            digit.is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'))
                && rest.next().is_none()
        })
    };
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) || number("COM")
        || number("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &str) -> String {
        PackPath::parse(path).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_paths_are_right() {
        for path in [
            "pack.toml",
            "rules/windows/über.toml",
            ".github/workflows/test.yml",
            "detector/src/main.rs",
            "lookups/日本.csv",
            "tests/a b.json",
            "console.toml",
            "com10.toml",
            "a..b",
        ] {
            assert_eq!(PackPath::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn paths_that_leave_the_pack_or_differ_by_system_are_refused() {
        for path in ["/etc/passwd", "\\\\server\\x", "C:/x", "c:x"] {
            assert!(message(path).contains("is absolute"), "{path}");
        }
        for path in ["../x", "a/../../x", "./a", "a/.", ".."] {
            assert!(message(path).contains("leads out"), "{path}");
        }
        for path in ["", "a//b", "a/"] {
            assert!(message(path).contains("has an empty part"), "{path}");
        }
        for path in [
            "a\\b",
            "a\nb",
            "a\0",
            "x\u{202e}gnp.toml",
            "a\u{200b}b",
            "a*",
        ] {
            assert!(message(path).contains("has the character"), "{path:?}");
        }
        for path in ["NUL", "rules/con.toml", "Com1.x.y", "lpt¹", "aux .toml"] {
            assert!(message(path).contains("is a device on Windows"), "{path}");
        }
        for path in ["a.", "a /b", "..."] {
            assert!(message(path).contains("ends in a dot or a space"), "{path}");
        }
        assert_eq!(
            message("cafe\u{301}"),
            "`cafe\u{301}` is not in Unicode's composed form (NFC): rename it to `café` written so"
        );
        assert!(message(&format!("{}x", "a/".repeat(16))).contains("17 folders deep"));
        assert!(message(&"a".repeat(101)).contains("too long"));
        let folders = format!("{0}/{0}/x", "a".repeat(90));
        assert!(message(&folders).contains("too long"));
    }

    #[test]
    fn names_that_meet_on_some_system_are_refused() {
        let message = |names: &[&str]| {
            let mut set = NameSet::default();
            let mut last = None;
            for name in names {
                last = set.add(&PackPath::parse(name).unwrap()).err();
            }
            last.map(|error| error.to_string()).unwrap_or_default()
        };
        for pair in [
            ["rules/a.toml", "rules/A.toml"],
            ["Rules/a.toml", "rules/b.toml"],
            ["straße", "STRASSE"],
            ["ﬁle", "file"],
            ["Å", "å"],
            ["K", "k"],
        ] {
            assert!(message(&pair).contains("is the same name as"), "{pair:?}");
        }
        assert_eq!(message(&["a", "a"]), "`a` is there twice");
        assert_eq!(message(&["a", "a/b"]), "`a` is both a file and a folder");
        assert_eq!(message(&["a/b", "a"]), "`a` is both a file and a folder");
        assert_eq!(message(&["a/b", "a/c", "ab"]), "");
    }

    #[test]
    fn the_manifest_and_its_signatures_have_their_names() {
        let role = |path: &str| FileRole::of(&PackPath::parse(path).unwrap());
        assert_eq!(role("MANIFEST.sha256"), Ok(FileRole::Manifest));
        for path in [
            "MANIFEST.sha256.minisig",
            "MANIFEST.sha256.acme-2026.minisig",
            "MANIFEST.sha256.sigstore.json",
            "MANIFEST.sha256.ci.sigstore.json",
        ] {
            assert_eq!(role(path), Ok(FileRole::Signature), "{path}");
        }
        assert_eq!(role("rules/MANIFEST.sha256"), Ok(FileRole::Content));
        for path in [
            "manifest.SHA256",
            "MANIFEST.sha256.bak",
            "MANIFEST.sha256.A.minisig",
            "MANIFEST.sha256..minisig",
        ] {
            assert!(
                role(path).unwrap_err().to_string().contains("is kept for"),
                "{path}"
            );
        }
    }
}
