//! What belongs to a pack: a walk of its directory that is the same on every system.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::names::{FileRole, NameError, NameSet, PACK_TOML, PackPath};

/// Folders that builds, editors and version control leave behind. They are no part of a pack.
const LEFTOVER_FOLDERS: [&str; 14] = [
    ".git",
    ".hg",
    ".idea",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".venv",
    ".vscode",
    ".yagura",
    "__pycache__",
    "node_modules",
    "target",
    "venv",
];

/// Files that systems leave behind.
const LEFTOVER_FILES: [&str; 2] = [".DS_Store", "Thumbs.db"];

/// Says whether a file is one that a system or an editor leaves behind: copies and swap files. None has an ending under which
/// anything of a pack is read.
fn is_leftover_file(name: &str) -> bool {
    let is_hidden = |ending| name.starts_with('.') && name.ends_with(ending);
    LEFTOVER_FILES.contains(&name)
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || [".swp", ".swo", ".swx"].into_iter().any(is_hidden)
}

/// Folders at the top of a pack from which rules, tables and tests are read, whatever the folders below are called.
const READ_WHOLE: [&str; 3] = ["lookups", "rules", "tests"];

/// How large a pack may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Files.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            files: 50_000,
            file_bytes: 256 << 20,
            total_bytes: 512 << 20,
        }
    }
}

impl Bounds {
    /// Says what `files` files with `total` bytes, the last of which has `bytes`, go beyond.
    pub(crate) fn excess(&self, files: usize, bytes: u64, total: u64) -> Option<Excess> {
        if files > self.files {
            Some(Excess::Files(self.files))
        } else if bytes > self.file_bytes {
            Some(Excess::FileBytes(self.file_bytes))
        } else if total > self.total_bytes {
            Some(Excess::TotalBytes(self.total_bytes))
        } else {
            None
        }
    }
}

/// A bound that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Too many files.
    #[error("the pack has more than {0} files")]
    Files(usize),
    /// One file is too large.
    #[error("the file has more than {0} bytes")]
    FileBytes(u64),
    /// All files together are too large.
    #[error("the files of the pack have more than {0} bytes together")]
    TotalBytes(u64),
}

/// The files of a pack's directory.
#[derive(Debug, Clone)]
pub struct PackFiles {
    /// The directory.
    pub dir: PathBuf,
    /// What the manifest lists, in order of path by bytes.
    pub files: Vec<PackPath>,
    /// Whether there is a manifest.
    pub has_manifest: bool,
    /// The signatures of the manifest, in order of name.
    pub signatures: Vec<PackPath>,
    /// What was left out because builds, editors or systems leave it behind: paths with `/`.
    pub left_out: BTreeSet<String>,
}

/// Why a directory cannot be a pack. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// What was read.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be written or removed.
    #[error("cannot write {}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no `pack.toml`.
    #[error("{} is not a pack: it has no {PACK_TOML}", .dir.display())]
    NotAPack {
        /// The directory.
        dir: PathBuf,
    },
    /// A name that not every system has.
    #[error("in the pack {}", .dir.display())]
    Name {
        /// The directory.
        dir: PathBuf,
        /// The name, and what is wrong.
        source: NameError,
    },
    /// A link, device, socket or pipe.
    #[error("{} is a {kind}: a pack has only files and folders; put a copy there", .file.display())]
    Kind {
        /// The file.
        file: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A folder of leftovers where all files count.
    #[error("{} is a folder that builds leave behind, and lies where rules or tables are read: remove or rename it", .file.display())]
    Leftover {
        /// The folder.
        file: PathBuf,
    },
    /// A secret key.
    #[error("{} is a secret key: move it out of the pack, and do not publish what holds it", .file.display())]
    SecretKey {
        /// The file.
        file: PathBuf,
    },
    /// Too much.
    #[error("{} is too much for a pack", .file.display())]
    Excess {
        /// The file that was too much.
        file: PathBuf,
        /// The bound.
        source: Excess,
    },
}

impl PackFiles {
    /// Lists the files of the pack in `dir`.
    ///
    /// # Errors
    /// [`FilesError`] with the first file that cannot be in a pack.
    pub fn list(dir: &Path, bounds: &Bounds) -> Result<Self, FilesError> {
        let mut walk = FolderWalk {
            bounds,
            names: NameSet::default(),
            total: 0,
            found: Self {
                dir: dir.to_owned(),
                files: Vec::new(),
                has_manifest: false,
                signatures: Vec::new(),
                left_out: BTreeSet::new(),
            },
        };
        if !dir.join(PACK_TOML).is_file() && dir.is_dir() {
            return Err(FilesError::NotAPack {
                dir: dir.to_owned(),
            });
        }
        walk.folder(dir, "")?;
        let mut found = walk.found;
        found.files.sort();
        found.signatures.sort();
        Ok(found)
    }

    /// Reads a file of the pack.
    ///
    /// # Errors
    /// When it cannot be read, or has more bytes than a file may have.
    pub fn read(&self, path: &PackPath, bounds: &Bounds) -> Result<Vec<u8>, FilesError> {
        let file = self.dir.join(path.as_str());
        let read = |file: &Path| {
            let mut bytes = Vec::new();
            let limit = bounds.file_bytes.saturating_add(1);
            File::open(file)?.take(limit).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read(&file) {
            Ok(bytes) if is_secret_key(&bytes) => Err(FilesError::SecretKey { file }),
            Ok(bytes) if bytes.len() as u64 > bounds.file_bytes => Err(FilesError::Excess {
                file,
                source: Excess::FileBytes(bounds.file_bytes),
            }),
            Ok(bytes) => Ok(bytes),
            Err(source) => Err(FilesError::Read { file, source }),
        }
    }
}

/// A walk on its way.
struct FolderWalk<'a> {
    bounds: &'a Bounds,
    names: NameSet,
    total: u64,
    found: PackFiles,
}

impl FolderWalk<'_> {
    fn folder(&mut self, dir: &Path, prefix: &str) -> Result<(), FilesError> {
        let read_error = |source| FilesError::Read {
            file: dir.to_owned(),
            source,
        };
        for entry in fs::read_dir(dir).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            let name = entry.file_name();
            let path = format!("{prefix}{}", name.to_string_lossy());
            // A link is not followed, wherever it leads: it is an error.
            let kind = entry.file_type().map_err(read_error)?;
            let name = name.to_string_lossy();
            let is_leftover = match kind.is_file() {
                true => is_leftover_file(&name),
                false => LEFTOVER_FOLDERS.contains(&&*name),
            };
            if is_leftover {
                let top = path.split('/').next().unwrap_or_default();
                if !kind.is_file() && READ_WHOLE.contains(&top) {
                    return Err(FilesError::Leftover { file: entry.path() });
                }
                self.found.left_out.insert(path);
            } else if kind.is_dir() {
                // An empty folder is no part of a pack, but its name would be one of its files' names.
                self.path(&path)?;
                self.folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                self.file(&entry, &path)?;
            } else {
                return Err(FilesError::Kind {
                    file: entry.path(),
                    kind: match kind.is_symlink() {
                        true => "link",
                        false => "device, socket or pipe",
                    },
                });
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &fs::DirEntry, path: &str) -> Result<(), FilesError> {
        let file = entry.path();
        let read_error = |source| FilesError::Read {
            file: file.clone(),
            source,
        };
        let path = self.path(path)?;
        let role = FileRole::of(&path);
        let role = role.map_err(|source| self.name_error(source))?;
        let added = self.names.add(&path);
        added.map_err(|source| self.name_error(source))?;
        let bytes = entry.metadata().map_err(read_error)?.len();
        self.total = self.total.saturating_add(bytes);
        let files = self.found.files.len() + self.found.signatures.len() + 1;
        if let Some(source) = self.bounds.excess(files, bytes, self.total) {
            return Err(FilesError::Excess { file, source });
        }
        match role {
            FileRole::Content => self.found.files.push(path),
            FileRole::Manifest => self.found.has_manifest = true,
            FileRole::Signature => self.found.signatures.push(path),
        }
        Ok(())
    }

    fn path(&self, path: &str) -> Result<PackPath, FilesError> {
        PackPath::parse(path).map_err(|source| self.name_error(source))
    }

    fn name_error(&self, source: NameError) -> FilesError {
        FilesError::Name {
            dir: self.found.dir.clone(),
            source,
        }
    }
}

/// Says whether a file begins like a secret key: of minisign, or in PEM as others are.
fn is_secret_key(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
    let mut lines = start.trim_start().lines();
    let (first, second) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    // `Ed`, then how the password becomes a key or nothing, then how sums are made.
    let is_minisign = first.starts_with("untrusted comment:")
        && ["RWRTY0Iy", "RWQAAEIy"]
            .iter()
            .any(|start| second.starts_with(start));
    is_minisign || (first.starts_with("-----BEGIN ") && first.contains("PRIVATE KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pack_dir, write};

    fn list(dir: &Path) -> Result<PackFiles, FilesError> {
        PackFiles::list(dir, &Bounds::default())
    }

    fn message(dir: &Path) -> String {
        let error = list(dir).unwrap_err();
        let source = std::error::Error::source(&error);
        let source = source.map(|source| format!(": {source}"));
        format!("{error}{}", source.unwrap_or_default())
    }

    #[test]
    fn a_pack_is_listed_in_order_of_bytes_without_leftovers() {
        let dir = pack_dir(&[
            ("rules/b.toml", "b"),
            ("rules/B/a.toml", "a"),
            (".github/test.yml", "x"),
            ("a.wasm", "\0asm"),
            (".yagura/schema/pack.json", "x"),
            ("detector/target/debug/x", "x"),
            ("detector/__pycache__/x.pyc", "x"),
            (".DS_Store", "x"),
            ("MANIFEST.sha256", "x"),
            ("MANIFEST.sha256.minisig", "x"),
            ("detector/src/lib.rs", "x"),
        ]);
        let found = list(dir.path()).unwrap();
        let names: Vec<&str> = found.files.iter().map(PackPath::as_str).collect();
        assert_eq!(
            names,
            [
                ".github/test.yml",
                "a.wasm",
                "detector/src/lib.rs",
                "pack.toml",
                "rules/B/a.toml",
                "rules/b.toml"
            ]
        );
        assert!(found.has_manifest);
        assert_eq!(found.signatures.len(), 1);
        let left: Vec<&str> = found.left_out.iter().map(String::as_str).collect();
        assert_eq!(
            left,
            [
                ".DS_Store",
                ".yagura",
                "detector/__pycache__",
                "detector/target"
            ]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_differ_by_case_are_refused() {
        let dir = pack_dir(&[("rules/a.toml", "x"), ("Rules/b.toml", "x")]);
        let message = message(dir.path());
        assert!(message.contains("is the same name as"), "{message}");
    }

    #[test]
    fn copies_of_editors_are_left_out_and_nothing_that_is_read() {
        for name in [
            "login.toml~",
            ".login.toml.swp",
            "#login.toml#",
            ".DS_Store",
        ] {
            assert!(is_leftover_file(name), "{name}");
        }
        for name in [
            "login.toml",
            ".#login.toml",
            "a.swp",
            "~login.toml",
            "#1.toml",
        ] {
            assert!(!is_leftover_file(name), "{name}");
        }
    }

    #[test]
    fn a_leftover_where_rules_are_read_is_refused() {
        let dir = pack_dir(&[("rules/target/evil.toml", "x")]);
        let message = message(dir.path());
        assert!(
            message.contains("rules/target is a folder that builds leave behind"),
            "{message}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_refused() {
        let dir = pack_dir(&[]);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("rules.toml")).unwrap();
        assert!(message(dir.path()).contains("rules.toml is a link: a pack has only files"));
        fs::remove_file(dir.path().join("rules.toml")).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(message(dir.path()).contains("socket is a device, socket or pipe"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let dir = pack_dir(&[]);
        let name = std::ffi::OsStr::from_bytes(b"a\xff.toml");
        fs::write(dir.path().join(name), "x").unwrap();
        assert!(message(dir.path()).ends_with("is not UTF-8: rename it"));
    }

    #[test]
    fn a_secret_key_and_what_is_too_much_are_refused() {
        let dir = pack_dir(&[(
            "release.key",
            "untrusted comment: minisign encrypted secret key\nRWRTY0IyAAAA\n",
        )]);
        let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n";
        write(dir.path(), "tests/note.txt", pem);
        let read = |name: &str| {
            let found = list(dir.path()).unwrap();
            let path = PackPath::parse(name).unwrap();
            found
                .read(&path, &Bounds::default())
                .unwrap_err()
                .to_string()
        };
        assert!(read("release.key").contains("release.key is a secret key"));
        assert!(read("tests/note.txt").contains("note.txt is a secret key"));
        let dir = pack_dir(&[("a", "12345"), ("b", "12345")]);
        let excess = |bounds: Bounds| match PackFiles::list(dir.path(), &bounds).unwrap_err() {
            FilesError::Excess { source, .. } => source,
            other => panic!("{other}"),
        };
        let all = Bounds::default();
        assert_eq!(excess(Bounds { files: 2, ..all }), Excess::Files(2));
        assert_eq!(
            excess(Bounds {
                file_bytes: 4,
                ..all
            }),
            Excess::FileBytes(4)
        );
        assert_eq!(
            excess(Bounds {
                total_bytes: 9,
                ..all
            }),
            Excess::TotalBytes(9)
        );
    }

    #[test]
    fn a_directory_that_is_not_a_pack_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(message(dir.path()).ends_with("is not a pack: it has no pack.toml"));
        assert!(message(&dir.path().join("none")).starts_with("cannot read"));
    }
}
