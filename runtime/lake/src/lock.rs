//! Locks beside a table, so that processes that write to it at once do not undo each other's work.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use object_store::local::LocalFileSystem;
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::{LakeError, Location};

/// A lock object that did not change for so long belongs to a process that is gone.
const STALE: Duration = Duration::from_secs(30);
/// How often an owner changes its lock object.
const RENEWAL: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A lock of a table, held until it is released.
///
/// On the local file system it is a lock of the operating system on a file, which ends with its process, however that ends. On
/// an object store it is an object that is created if it is not there, renewed while it is held, and taken over if it was
/// not renewed for half a minute. A store that cannot create conditionally has no lock.
#[derive(Debug)]
pub(crate) struct TableLock {
    held: HeldLock,
}

#[derive(Debug)]
enum HeldLock {
    /// Closing the file gives it up.
    File {
        _file: File,
    },
    Object(Box<Lease>),
    /// The store has no locks.
    Nothing,
}

impl TableLock {
    /// Waits for the lock `name` of a table.
    pub(crate) async fn take(table: &Location, name: &str) -> Result<Self, LakeError> {
        let object = table.join(name);
        let held = if table.base.scheme() == "file" {
            file(object).await?
        } else {
            lease(object, STALE).await?
        };
        Ok(Self { held })
    }

    /// Gives the lock up. Without it, a lock object stays until others find that it is stale.
    pub(crate) async fn release(self) {
        if let HeldLock::Object(lease) = self.held {
            lease.end().await;
        }
    }
}

fn failed(lock: &Location, source: impl std::error::Error + Send + Sync + 'static) -> LakeError {
    LakeError::Lock {
        lock: lock.to_string(),
        source: Box::new(source),
    }
}

async fn file(object: Location) -> Result<HeldLock, LakeError> {
    let path = LocalFileSystem::new()
        .path_to_filesystem(&object.prefix)
        .map_err(|error| failed(&object, error))?;
    let opened = spawn_blocking(move || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Never truncated or removed: others may wait for the same file.
        let file = File::options().create(true).append(true).open(&path)?;
        match file.lock() {
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                tracing::warn!(path = %path.display(), "the file system has no locks: let one process write to the table at a time");
                Ok(file)
            }
            other => other.map(|()| file),
        }
    });
    match opened.await {
        Ok(Ok(file)) => Ok(HeldLock::File { _file: file }),
        Ok(Err(error)) => Err(failed(&object, error)),
        Err(error) => Err(failed(&object, error)),
    }
}

/// A lock object and the task that renews it.
#[derive(Debug)]
struct Lease {
    object: Location,
    version: Arc<Mutex<Option<UpdateVersion>>>,
    renewal: JoinHandle<()>,
}

async fn lease(object: Location, stale: Duration) -> Result<HeldLock, LakeError> {
    let owner = owner();
    let (mut wait, mut seen) = (FIRST_WAIT, None);
    loop {
        let mode = match &seen {
            // Nobody renewed it: whoever replaces this very version owns it.
            Some((version, since)) if Instant::now().duration_since(*since) > stale => {
                let version: &Option<String> = version;
                PutMode::Update(UpdateVersion {
                    e_tag: version.clone(),
                    version: None,
                })
            }
            _ => PutMode::Create,
        };
        match put(&object, &owner, mode).await {
            Ok(version) => {
                let lease = Lease::new(object, owner, version);
                return Ok(HeldLock::Object(Box::new(lease)));
            }
            Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
                return Ok(HeldLock::Nothing);
            }
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => return Err(failed(&object, error)),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        match object.store.head(&object.prefix).await {
            Ok(now) => {
                if seen
                    .as_ref()
                    .is_none_or(|(version, _)| *version != now.e_tag)
                {
                    seen = Some((now.e_tag, Instant::now()));
                }
            }
            Err(StoreError::NotFound { .. }) => seen = None,
            Err(error) => return Err(failed(&object, error)),
        }
    }
}

impl Lease {
    fn new(object: Location, owner: String, version: UpdateVersion) -> Self {
        let version = Arc::new(Mutex::new(Some(version)));
        let renewed = (object.clone(), Arc::clone(&version));
        let renewal = tokio::spawn(async move {
            let (object, version) = renewed;
            for count in 1u64.. {
                tokio::time::sleep(RENEWAL).await;
                let mut version = version.lock().await;
                let Some(last) = version.clone() else { return };
                let text = format!("{owner} {count}");
                // Whoever took it over keeps it.
                *version = put(&object, &text, PutMode::Update(last)).await.ok();
            }
        });
        Self {
            object,
            version,
            renewal,
        }
    }

    async fn end(self) {
        // Waits for a renewal that is under way, so that none comes after the removal.
        let held = self.version.lock().await.take();
        self.renewal.abort();
        if held.is_some() {
            let removed = self.object.store.delete(&self.object.prefix).await;
            if let Err(error) = removed {
                tracing::warn!(%error, lock = %self.object, "the lock could not be removed and is stale in half a minute");
            }
        }
    }
}

async fn put(object: &Location, text: &str, mode: PutMode) -> Result<UpdateVersion, StoreError> {
    let put = object.store.put_opts(
        &object.prefix,
        text.to_owned().into(),
        PutOptions::from(mode),
    );
    let done = put.await?;
    Ok(UpdateVersion {
        e_tag: done.e_tag,
        version: done.version,
    })
}

/// Returns a text that no other lock of this or another process has.
fn owner() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{} {nanos} {count}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Runs eight tasks that count up together, each step under the lock.
    async fn count_together(table: Location) -> usize {
        let count = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (table, count) = (table.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    for _ in 0..5 {
                        let lock = TableLock::take(&table, "_lock").await.unwrap();
                        let before = count.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        count.store(before + 1, Ordering::SeqCst);
                        lock.release().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        count.load(Ordering::SeqCst)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_at_a_time_on_every_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lake/table");
        for place in [path.to_str().unwrap(), "memory://lock/table"] {
            let table = Location::parse(place, &Default::default()).unwrap();
            assert_eq!(count_together(table).await, 40, "{place}");
        }
    }

    #[tokio::test]
    async fn a_lock_that_nobody_renews_is_taken_over() {
        let table = Location::parse("memory://stale/table", &Default::default()).unwrap();
        let object = table.join("_lock");
        put(&object, "somebody who is gone", PutMode::Create)
            .await
            .unwrap();
        // Without a takeover this never ends.
        let held = lease(object.clone(), Duration::from_millis(1)).await;
        TableLock {
            held: held.unwrap(),
        }
        .release()
        .await;
        assert!(matches!(
            object.store.head(&object.prefix).await,
            Err(StoreError::NotFound { .. })
        ));
    }
}
