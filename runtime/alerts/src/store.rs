//! The store: alerts, incidents, facts, assessments and deliveries, in SQLite or PostgreSQL by the same statements.
//!
//! ```text
//! read  ─▶ any process, any time
//! write ─▶ one transaction at a time: BEGIN IMMEDIATE │ an advisory lock
//! lead  ─▶ one process: the triage and its workers; a number that only the latest leader has fences older ones off
//! ```

mod act;
pub(crate) mod alerts;
pub(crate) mod calls;
mod check;
pub(crate) mod columns;
mod copy;
pub(crate) mod deliveries;
pub(crate) mod incidents;
mod lead;
mod list;
mod location;
mod read;
pub(crate) mod rounds;
pub mod rows;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyConnection, AnyPool, Row, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::Clock;
pub use act::{Pruned, Who};
pub use calls::CallFilter;
pub use copy::StoreCopy;
pub(crate) use lead::Lead;
pub use lead::hold;
pub use list::{AlertFilter, IncidentFilter};
pub use location::StoreLocation;
pub use read::{StoredAlert, StoredIncident};

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AlertStoreError {
    /// The database reports an error.
    #[error("the database of the store of alerts reports an error")]
    Database(#[from] sqlx::Error),
    /// It cannot be opened.
    #[error("cannot open the store of alerts {location}")]
    Open {
        /// Where it is, without a password.
        location: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// The location names no store.
    #[error(
        "`{found}` is not a store of alerts: write `sqlite://FILE` or `postgres://USER@HOST/DATABASE`"
    )]
    Location {
        /// What was given, without a password.
        found: String,
    },
    /// The file beside the store that keeps others out cannot be used.
    #[error("cannot lock the store of alerts by {}", .file.display())]
    Lock {
        /// The file.
        file: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process works with it.
    #[error(
        "another yagura works with the store of alerts {location}; stop it, or name another store"
    )]
    Busy {
        /// Where it is, without a password.
        location: String,
    },
    /// Another process has taken over.
    #[error("another yagura has taken over the store of alerts; this one must stop")]
    TakenOver,
    /// There is no store.
    #[error(
        "cannot find an alert store at {location}: `yagura serve` creates it if the configuration names a policy; without one, alerts are in the alert file only"
    )]
    Absent {
        /// Where it would be.
        location: String,
    },
    /// A later version wrote it.
    #[error(
        "the store of alerts has schema version {found}, but this yagura reads version {known}; run the yagura that wrote it, or name another store"
    )]
    Version {
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// An earlier version wrote it, and it was opened for reading only.
    #[error(
        "the store of alerts has schema version {found}, but this yagura reads version {known}; start `yagura serve` once, which converts it"
    )]
    Outdated {
        /// What it has.
        found: i64,
        /// What this version reads.
        known: i64,
    },
    /// Its file is damaged.
    #[error(
        "the store of alerts {location} is damaged ({what}); restore a backup with `yagura restore`, or move the file away to begin anew"
    )]
    Unusable {
        /// Where it is.
        location: String,
        /// What is wrong with it.
        what: String,
    },
    /// What is stored cannot be read back.
    #[error("the store of alerts is damaged ({what}); restore a backup with `yagura restore`")]
    Damaged {
        /// What cannot be read.
        what: String,
    },
    /// There is no incident with this id.
    #[error("there is no incident `{id}`{near}")]
    NoIncident {
        /// What was asked for.
        id: String,
        /// What may have been meant.
        near: String,
    },
    /// An incident is not where an act needs it to be.
    #[error("incident {id} is {found}: {hint}")]
    NotNow {
        /// The incident.
        id: String,
        /// Where it is.
        found: String,
        /// What can be done instead.
        hint: &'static str,
    },
}

impl AlertStoreError {
    /// Says whether the store is only away, and may answer later.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Database(source) => check::is_away(source),
            _ => false,
        }
    }
}

/// The store, open. Clones share it.
#[derive(Debug, Clone)]
pub struct AlertStore(Arc<StoreParts>);

#[derive(Debug)]
struct StoreParts {
    pool: AnyPool,
    location: StoreLocation,
    clock: Clock,
    /// Writers of this process stand in line here and do not wait inside the database.
    writer: Arc<Mutex<()>>,
}

impl AlertStore {
    /// Opens the store, makes it where there is none, and brings an older one to the newest schema version.
    ///
    /// # Errors
    /// [`AlertStoreError`]: it cannot be opened, its file is damaged, or a later version wrote it.
    pub async fn open(location: &StoreLocation, clock: Clock) -> Result<Self, AlertStoreError> {
        install_default_drivers();
        check::check(location, true).await?;
        let store = Self::connect(location, clock, true).await?;
        let migrate = async {
            let mut write = store.write().await?;
            schema::migrate(&mut write).await?;
            write.commit().await
        };
        match migrate.await {
            Ok(()) => Ok(store),
            Err(AlertStoreError::Database(source)) => Err(check::open_error(location, source)),
            Err(error) => Err(error),
        }
    }

    /// Opens a store that is there and keeps its schema version: for commands beside the service.
    ///
    /// # Errors
    /// [`AlertStoreError`]: there is none, or another version wrote it.
    pub async fn open_existing(
        location: &StoreLocation,
        clock: Clock,
    ) -> Result<Self, AlertStoreError> {
        let absent = || AlertStoreError::Absent {
            location: location.to_string(),
        };
        if location.file().is_some_and(|file| !file.exists()) {
            return Err(absent());
        }
        install_default_drivers();
        check::check(location, false).await?;
        let store = Self::connect(location, clock, false).await?;
        let found = match sqlx::query("SELECT MAX(version) AS version FROM schema_version")
            .fetch_one(&store.0.pool)
            .await
        {
            Ok(row) => row.try_get::<Option<i64>, _>("version")?.unwrap_or(0),
            Err(sqlx::Error::Database(_)) => return Err(absent()),
            Err(error) => return Err(error.into()),
        };
        let known = schema::known();
        match found {
            0 => Err(absent()),
            _ if found > known => Err(AlertStoreError::Version { found, known }),
            _ if found < known => Err(AlertStoreError::Outdated { found, known }),
            _ => Ok(store),
        }
    }

    /// Returns how many reports were given up, by notifier.
    ///
    /// # Errors
    /// [`AlertStoreError`].
    pub async fn count_dead_letters(
        &self,
    ) -> Result<std::collections::BTreeMap<String, u64>, AlertStoreError> {
        let mut connection = self.read().await?;
        deliveries::count_dead(&mut connection).await
    }

    /// Takes note that the store is a copy of an earlier time, put in place now. What it has not reported may have been reported
    /// since: notifiers look for it before they report it.
    ///
    /// # Errors
    /// [`AlertStoreError`].
    pub async fn mark_restored(&self) -> Result<(), AlertStoreError> {
        let mut write = self.write().await?;
        set_number(&mut write, deliveries::RESTORED, self.now()).await?;
        deliveries::doubt(&mut write).await?;
        write.commit().await
    }

    async fn connect(
        location: &StoreLocation,
        clock: Clock,
        may_create: bool,
    ) -> Result<Self, AlertStoreError> {
        let is_sqlite = location.is_sqlite();
        let options = AnyPoolOptions::new()
            .max_connections(location.connections())
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime((!is_sqlite).then_some(Duration::from_secs(30 * 60)))
            .test_before_acquire(!is_sqlite)
            .acquire_timeout(Duration::from_secs(30))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        for pragma in [
                            "PRAGMA busy_timeout = 30000",
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            // Ids are hashes, so every line changes pages all over the file: they are moved from the log
                            // to their places less often than every 4 MB, and kept in 32 MB of memory.
                            "PRAGMA wal_autocheckpoint = 8000",
                            "PRAGMA cache_size = -32000",
                        ] {
                            sqlx::query(pragma).fetch_all(&mut *connection).await?;
                        }
                    }
                    Ok(())
                })
            });
        let pool = options
            .connect(&location.url(may_create))
            .await
            .map_err(|source| check::open_error(location, source))?;
        Ok(Self(Arc::new(StoreParts {
            pool,
            location: location.clone(),
            clock,
            writer: Arc::default(),
        })))
    }

    /// Returns the clock that stamps what is written.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Closes all connections; what is being written is finished or undone.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }

    pub(crate) fn location(&self) -> &StoreLocation {
        &self.0.location
    }

    pub(crate) fn now(&self) -> i64 {
        self.0.clock.micros()
    }

    /// Returns a connection for reading. Never ask for one while a [`Write`] is held: in memory there is only one.
    pub(crate) async fn read(&self) -> Result<sqlx::pool::PoolConnection<Any>, AlertStoreError> {
        Ok(self.0.pool.acquire().await?)
    }

    /// Begins a transaction that no other writer runs beside, in this process or another.
    pub(crate) async fn write(&self) -> Result<Write, AlertStoreError> {
        let turn = Arc::clone(&self.0.writer).lock_owned().await;
        let transaction = if self.0.location.is_sqlite() {
            self.0.pool.begin_with("BEGIN IMMEDIATE").await?
        } else {
            let mut transaction = self.0.pool.begin().await?;
            // Other writers wait here: the order of transactions is one, as in SQLite.
            sqlx::query(
                "SELECT pg_advisory_xact_lock(2005, hashtext(current_schema()::text))::text AS turn",
            )
            .execute(&mut *transaction)
            .await?;
            transaction
        };
        Ok(Write {
            transaction,
            _turn: turn,
        })
    }
}

/// A transaction that writes; undone unless committed.
pub(crate) struct Write {
    transaction: Transaction<'static, Any>,
    _turn: OwnedMutexGuard<()>,
}

impl Write {
    pub(crate) async fn commit(self) -> Result<(), AlertStoreError> {
        Ok(self.transaction.commit().await?)
    }
}

impl std::ops::Deref for Write {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl std::ops::DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

/// Returns a number that is kept under a name.
pub(crate) async fn number(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<Option<i64>, AlertStoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1")
        .bind(name.to_owned())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("value")).transpose()?)
}

/// Keeps a number under a name.
pub(crate) async fn set_number(
    connection: &mut AnyConnection,
    name: &str,
    value: i64,
) -> Result<(), AlertStoreError> {
    sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(name.to_owned())
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}
