//! One process works with a store at a time: the triage and its workers.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection, Row};
use tokio::sync::Mutex;

use super::{AlertStore, AlertStoreError, StoreLocation, Write, number, set_number};

/// How long a server may take to see that a process died, and let go of what it held.
const LINGERING: Duration = Duration::from_secs(3);

/// The right to work with a store, for as long as it is held.
///
/// A file lock or a session's lock keeps a second process out at once and is free again when the process dies. Should it be
/// lost while the process lives (a server that was restarted), the number that each leader counts up keeps the older one from
/// writing.
#[derive(Debug)]
pub(crate) struct Lead {
    store: AlertStore,
    term: i64,
    _lock: LeadLock,
}

#[derive(Debug)]
enum LeadLock {
    File { _held: File },
    Session { _held: Mutex<AnyConnection> },
    None,
}

impl Lead {
    /// Takes the lead.
    ///
    /// # Errors
    /// [`AlertStoreError::Busy`] where another process has it.
    pub(crate) async fn take(store: &AlertStore) -> Result<Self, AlertStoreError> {
        let lock = lock(store).await?;
        let mut write = store.write().await?;
        let term = number(&mut write, "term")
            .await?
            .unwrap_or(0)
            .wrapping_add(1);
        set_number(&mut write, "term", term).await?;
        write.commit().await?;
        Ok(Self {
            store: store.clone(),
            term,
            _lock: lock,
        })
    }

    pub(crate) fn store(&self) -> &AlertStore {
        &self.store
    }

    /// Begins a transaction of the leader.
    ///
    /// # Errors
    /// [`AlertStoreError::TakenOver`] where there is a newer one.
    pub(crate) async fn write(&self) -> Result<Write, AlertStoreError> {
        let mut write = self.store.write().await?;
        if number(&mut write, "term").await? == Some(self.term) {
            Ok(write)
        } else {
            Err(AlertStoreError::TakenOver)
        }
    }

    /// Takes note of the leader in a store whose rows have been replaced.
    pub(crate) async fn keep(&self, write: &mut Write) -> Result<(), AlertStoreError> {
        let found = number(write, "term").await?.unwrap_or(0);
        set_number(write, "term", found.max(self.term)).await
    }
}

async fn lock(store: &AlertStore) -> Result<LeadLock, AlertStoreError> {
    let location = store.location();
    let busy = || AlertStoreError::Busy {
        location: location.to_string(),
    };
    match location {
        StoreLocation::Memory => Ok(LeadLock::None),
        StoreLocation::Sqlite(file) => Ok(LeadLock::File { _held: hold(file)? }),
        StoreLocation::Postgres(_) => {
            let mut held = AnyConnection::connect(&location.url(false)).await?;
            let begin = Instant::now();
            loop {
                // By schema, so that one database can hold several stores.
                let row = sqlx::query(
                    "SELECT pg_try_advisory_lock(2004, hashtext(current_schema()::text)) AS held",
                )
                .fetch_one(&mut held)
                .await?;
                if row.try_get("held")? {
                    return Ok(LeadLock::Session {
                        _held: Mutex::new(held),
                    });
                }
                if begin.elapsed() > LINGERING {
                    return Err(busy());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Keeps all processes from working with the store in a file, for as long as what it returns is there.
///
/// # Errors
/// [`AlertStoreError::Busy`] where a process works with it.
pub fn hold(file: &Path) -> Result<File, AlertStoreError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let cannot = |source| AlertStoreError::Lock {
        file: name.clone(),
        source,
    };
    let lock = File::create(&name).map_err(cannot)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(AlertStoreError::Busy {
            location: file.display().to_string(),
        }),
        Err(TryLockError::Error(source)) => Err(cannot(source)),
    }
}
