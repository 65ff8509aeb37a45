//! One process at a time works with a state.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::StateStoreError;

/// The directory's lock, until it is dropped.
#[derive(Debug)]
pub(super) struct StateLock(File);

impl StateLock {
    /// Takes the lock of a directory.
    pub(super) fn take(dir: &Path) -> Result<Self, StateStoreError> {
        let directory = |source| StateStoreError::Directory {
            dir: dir.to_owned(),
            source,
        };
        let file = File::create(dir.join("lock")).map_err(directory)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StateStoreError::Busy {
                dir: dir.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(directory(source)),
        }
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is just being started has the file too until it runs its program.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_owner_whoever_else_has_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StateLock::take(dir.path()).unwrap();
        assert!(matches!(
            StateLock::take(dir.path()),
            Err(StateStoreError::Busy { .. })
        ));
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        StateLock::take(dir.path()).unwrap();
        drop(inherited);
    }
}
