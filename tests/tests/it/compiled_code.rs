//! Compiled code is kept in a private directory, and what others wrote or changed there never runs.

use std::path::PathBuf;

use yagura_core::pack::Limits;
use yagura_host::{CacheError, CacheOutcome, DetectorPlugin, Host, HostConfig, HostError};
use yagura_tests::guests;

/// A directory for compiled code, and hosts that share it as processes would.
struct CacheDir(tempfile::TempDir);

impl CacheDir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn load(&self, bytes: &[u8]) -> DetectorPlugin {
        let host = Host::new(HostConfig {
            cache_dir: Some(self.0.path().to_owned()),
            ..HostConfig::default()
        });
        host.unwrap()
            .load_detector_bytes("hostile.wasm", bytes, &Limits::default())
            .unwrap()
    }

    fn outcome(&self, bytes: &[u8]) -> CacheOutcome {
        let plugin = self.load(bytes);
        assert!(plugin.rule_ids().unwrap().contains(&"echo".to_owned()));
        plugin.cache_outcome()
    }

    /// The compiled files, sorted.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "code")
            })
            .collect();
        files.sort();
        files
    }
}

#[test]
fn compiled_code_is_kept_and_taken() {
    let dir = CacheDir::new();
    assert_eq!(dir.outcome(guests::hostile()), CacheOutcome::Miss);
    assert_eq!(dir.outcome(guests::hostile()), CacheOutcome::Hit);
    assert_eq!(dir.files().len(), 1);

    let host = Host::new(HostConfig::default()).unwrap();
    let plugin = host.load_detector_bytes("hostile.wasm", guests::hostile(), &Limits::default());
    assert_eq!(plugin.unwrap().cache_outcome(), CacheOutcome::Off);
}

#[test]
fn changed_compiled_code_is_refused() {
    let dir = CacheDir::new();
    dir.load(guests::hostile());
    let file = &dir.files()[0];
    let good = std::fs::read(file).unwrap();

    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for bad in [changed, good[..good.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(file, bad).unwrap();
        assert_eq!(dir.outcome(guests::hostile()), CacheOutcome::Refused);
        assert_eq!(std::fs::read(file).unwrap().len(), good.len());
        assert_eq!(dir.outcome(guests::hostile()), CacheOutcome::Hit);
    }
}

#[test]
fn swapped_compiled_code_is_refused() {
    // Another component's code under this one's name, with a tag that is right for the other name.
    let other = [guests::hostile(), b"\0\x02\x01x"].concat();
    let dir = CacheDir::new();
    dir.load(guests::hostile());
    let mine = dir.files()[0].clone();
    dir.load(&other);
    let files = dir.files();
    let theirs = files.iter().find(|file| **file != mine).unwrap();
    std::fs::copy(theirs, &mine).unwrap();
    assert_eq!(dir.outcome(guests::hostile()), CacheOutcome::Refused);

    // Code that another directory's key signed.
    let elsewhere = CacheDir::new();
    elsewhere.load(guests::hostile());
    std::fs::copy(&elsewhere.files()[0], &mine).unwrap();
    assert_eq!(dir.outcome(guests::hostile()), CacheOutcome::Refused);
}

#[cfg(unix)]
#[test]
fn a_directory_open_to_others_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let config = HostConfig {
        cache_dir: Some(dir.path().to_owned()),
        ..HostConfig::default()
    };
    let error = Host::new(config).unwrap_err();
    assert!(
        matches!(error, HostError::Cache(CacheError::NotPrivate { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("chmod go-w"), "{error}");
}
