//! Compiled code on disk. Whoever can change such a file runs code in the host. So a file is only used with a tag that was made with
//! the key in the same private directory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Name of the key's file.
const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// Whether the compiled code of a plugin came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// The compiled code was in the cache.
    Hit,
    /// The code was compiled and stored.
    Miss,
    /// The cache had a file that this host did not write, or that was changed. The file was deleted and the plugin compiled again.
    Refused,
    /// The host has no cache.
    Off,
}

/// Why a directory cannot be used for compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory cannot be created, read or written.
    #[error("cannot use {} for compiled plugins; set YAGURA_CACHE_DIR to a writable directory", .path.display())]
    Unusable {
        /// The directory or the file in it.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Other users could put code there.
    #[error("refused {} for compiled plugins: {found}; {remedy}", .path.display())]
    NotPrivate {
        /// The directory or the file in it.
        path: PathBuf,
        /// The fault.
        found: String,
        /// The remedy.
        remedy: String,
    },
}

/// Returns the default directory for compiled code: `$YAGURA_CACHE_DIR/components`, else
/// `$XDG_CACHE_HOME/yagura/components`, else `~/.cache/yagura/components`; `None` if none of these is set.
pub fn default_cache_dir() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("YAGURA_CACHE_DIR")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("yagura")))
        .or_else(|| Some(set("HOME")?.join(".cache/yagura")))
        .map(|dir| dir.join("components"))
}

/// A private directory of compiled code, and its key.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
}

impl Cache {
    /// Opens the directory, and creates it and its key if they are missing.
    pub(crate) fn open(dir: &Path) -> Result<Self, CacheError> {
        let unusable = |source| CacheError::Unusable {
            path: dir.to_owned(),
            source,
        };
        create_private(dir).map_err(unusable)?;
        // Its owner is the user of this process, so the owners of the others can be compared with it.
        let probe = tempfile::NamedTempFile::new_in(dir).map_err(unusable)?;
        check_private(dir, dir, probe.as_file(), Others::MayRead)?;
        let key_file = dir.join(KEY_FILE);
        if !key_file.exists() {
            make_key(dir, &key_file).map_err(unusable)?;
        }
        check_private(dir, &key_file, probe.as_file(), Others::MayNothing)?;
        let key = std::fs::read(&key_file).map_err(unusable)?;
        let key = key.try_into().map_err(|_| CacheError::NotPrivate {
            path: key_file.clone(),
            found: format!("it is not a key of {KEY_BYTES} bytes"),
            remedy: "delete it, and a new key is created".to_owned(),
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
        })
    }

    /// Returns the compiled code of the component with this digest; compiles and stores it if it is missing.
    pub(crate) fn get_or_compile<E>(
        &self,
        engine: &Engine,
        digest: &str,
        compile: impl FnOnce() -> Result<Component, E>,
    ) -> Result<(Component, CacheOutcome), E> {
        let name = file_name(engine, digest);
        let path = self.dir.join(&name);
        let outcome = match std::fs::read(&path) {
            Err(_) => CacheOutcome::Miss,
            Ok(file) => match self.authentic(&name, &file).map(|code| {
                // SAFETY: the bytes are what `Component::serialize` gave: `store` alone makes tags with the key, which
                // only this user can read, and the tag covers every byte and the name, which holds the engine's version
                // and configuration. Wasmtime compares those once more.
                unsafe { Component::deserialize(engine, code) }
            }) {
                Some(Ok(component)) => return Ok((component, CacheOutcome::Hit)),
                found => {
                    let reason = match found {
                        Some(Err(error)) => error.to_string(),
                        _ => "its tag does not match".to_owned(),
                    };
                    tracing::warn!(file = %path.display(), reason, "refused compiled code; compiling again");
                    if let Err(error) = std::fs::remove_file(&path) {
                        tracing::warn!(file = %path.display(), %error, "cannot delete refused code");
                    }
                    CacheOutcome::Refused
                }
            },
        };
        let component = compile()?;
        if let Err(error) = self.store(&name, &component) {
            tracing::warn!(file = %path.display(), %error, "cannot store compiled code");
        }
        Ok((component, outcome))
    }

    /// Returns the code after the tag, if the tag was made with the key of this cache for this name and code.
    fn authentic<'a>(&self, name: &str, file: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, code) = file.split_at_checked(TAG_BYTES)?;
        self.tag(name, code)?.verify_slice(tag).ok()?;
        Some(code)
    }

    fn store(&self, name: &str, component: &Component) -> std::io::Result<()> {
        let code = component.serialize().map_err(std::io::Error::other)?;
        let tag = self
            .tag(name, &code)
            .ok_or_else(|| std::io::Error::other("no tag"))?
            .finalize()
            .into_bytes();
        // A reader sees the whole file or none.
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&tag)?;
        file.write_all(&code)?;
        file.persist(self.dir.join(name))?;
        Ok(())
    }

    /// The tag covers the name, so that no file can stand in for another.
    fn tag(&self, name: &str, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut tag = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        tag.update(&(name.len() as u64).to_le_bytes());
        tag.update(name.as_bytes());
        tag.update(code);
        Some(tag)
    }
}

/// Writes a new key that only this user can read. If another process was faster, its key is used.
fn make_key(dir: &Path, key_file: &Path) -> std::io::Result<()> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&key)?;
    match file.persist_noclobber(key_file) {
        Ok(_) => Ok(()),
        Err(_) if key_file.exists() => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

/// Returns a file name that depends on the content and on the version and configuration of the engine.
fn file_name(engine: &Engine, digest: &str) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.code", hasher.finish())
}

/// What other users may do with a file or directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    MayRead,
    MayNothing,
}

#[cfg(unix)]
fn create_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// Checks that `path`, which is `dir` or lies in it, belongs to the owner of `probe` and is closed to others.
#[cfg(unix)]
fn check_private(
    dir: &Path,
    path: &Path,
    probe: &std::fs::File,
    others: Others,
) -> Result<(), CacheError> {
    use std::os::unix::fs::MetadataExt;
    let unusable = |source| CacheError::Unusable {
        path: path.to_owned(),
        source,
    };
    let own = probe.metadata().map_err(unusable)?.uid();
    // The directory may be a link to one of the same owner; the key must not be a link.
    let found = if path == dir {
        std::fs::metadata(path)
    } else {
        std::fs::symlink_metadata(path)
    }
    .map_err(unusable)?;
    let refused = |found: String, remedy: String| {
        Err(CacheError::NotPrivate {
            path: path.to_owned(),
            found,
            remedy,
        })
    };
    if found.is_symlink() {
        return refused("it is a link".to_owned(), "delete it".to_owned());
    }
    if found.uid() != own {
        let remedy = "set YAGURA_CACHE_DIR to a directory of your own".to_owned();
        return refused(
            format!("it belongs to user {}, not to user {own}", found.uid()),
            remedy,
        );
    }
    let (forbidden, mode) = match others {
        Others::MayRead => (0o022, "go-w"),
        Others::MayNothing => (0o077, "go="),
    };
    if found.mode() & forbidden != 0 {
        return refused(
            format!("its mode {:o} opens it to others", found.mode() & 0o777),
            format!("`chmod {mode} {}`", path.display()),
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn create_private(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)
}

/// Nothing to check: the user's profile is private by the system's own rules.
#[cfg(not(unix))]
fn check_private(_: &Path, _: &Path, _: &std::fs::File, _: Others) -> Result<(), CacheError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_for_one_name_and_one_content() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let tag = cache.tag("a", b"code").unwrap().finalize().into_bytes();
        let file = [tag.as_slice(), b"code"].concat();
        assert_eq!(cache.authentic("a", &file), Some(&b"code"[..]));
        assert_eq!(cache.authentic("b", &file), None);
        let mut changed = file.clone();
        changed[TAG_BYTES] ^= 1;
        assert_eq!(cache.authentic("a", &changed), None);
        assert_eq!(cache.authentic("a", &file[..10]), None);
    }

    #[test]
    fn the_key_outlives_the_process_and_differs_by_directory() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let key = Cache::open(dir.path()).unwrap().key;
        assert_eq!(Cache::open(dir.path()).unwrap().key, key);
        assert_ne!(Cache::open(other.path()).unwrap().key, key);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let chmod = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let cache = dir.path().join("new/components");
        Cache::open(&cache).unwrap();
        let mode = std::fs::metadata(&cache).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        chmod(&cache, 0o770);
        let message = Cache::open(&cache).err().unwrap().to_string();
        assert!(
            message.contains("mode 770") && message.contains("chmod go-w"),
            "{message}"
        );
        chmod(&cache, 0o755);
        Cache::open(&cache).unwrap();

        chmod(&cache.join(KEY_FILE), 0o640);
        let message = Cache::open(&cache).err().unwrap().to_string();
        assert!(message.contains("chmod go="), "{message}");
        std::fs::remove_file(cache.join(KEY_FILE)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", cache.join(KEY_FILE)).unwrap();
        let message = Cache::open(&cache).err().unwrap().to_string();
        assert!(message.contains("it is a link"), "{message}");
    }
}
