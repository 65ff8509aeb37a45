//! The state that lasts: one SQLite file, in which progress, states and outgoing alerts change together.
//!
//! ```text
//! step ─▶ changed states · waiting findings · objects read · outgoing lines ─▶ one transaction, on a thread of its own
//! ```
//!
//! A shard of a node's keys is stored as a snapshot and the changelog since; when that outweighs it, the snapshot is written anew.

mod changes;
mod copy;
mod detector_state;
mod error;
mod load;
mod lock;
mod schema;
mod sign;
mod status;
mod stored_rule;
mod write_detectors;
mod write_error;
mod writer;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use yagura_core::Alert;

use crate::correlation_engine::CorrelationEngine;
use crate::hashing::Hashing;
use crate::node::Size;
use crate::spill::{CorrelationError, SpillStore, SpilledKey};

pub use changes::{Deferred, DeferredRows, DetectorState, KnownObject, StepChanges};
pub use copy::{Copied, STATE_COPY, STORE_COPY};
pub use detector_state::DetectorKeys;
pub use error::{StatePart, StateStoreError, Unreadable};
use lock::StateLock;
use sign::Sign;
pub use status::{LogEntry, QuarantinedRule, RuleState, SkippedByRule, Status, TableStatus};
use write_error::WriteError;
use writer::{CommitBatch, ShardWrite, StateWriter};

/// How much may be stored.
#[derive(Debug, Clone, Copy)]
pub struct StoreLimits {
    /// Bytes of states in memory, about; what is over is moved to disk.
    pub memory: usize,
    /// Keys on disk; what is over is forgotten, and counted.
    pub spilled_keys: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            spilled_keys: 50_000_000,
        }
    }
}

/// The state of a service in a directory.
#[derive(Debug)]
pub struct StateStore {
    dir: PathBuf,
    file: PathBuf,
    reader: Connection,
    writer: StateWriter,
    limits: StoreLimits,
    /// How keys are hashed, for as long as the state lives.
    hashing: Hashing,
    /// How much detectors remember, by rule.
    detectors: BTreeMap<String, Size>,
    /// For each rule its lasting number.
    numbers: Vec<u32>,
    /// Bytes of each stored shard: its snapshot, and the changelog since.
    shards: HashMap<(String, usize), (usize, usize)>,
    spilled_keys: usize,
    /// Keys that came back from disk and are still there: node, shard, hash and key.
    reloaded: BTreeSet<(String, usize, u64, String)>,
    last_line: i64,
    id: i64,
    /// Where it says that it cannot be written.
    sign: Sign,
    /// The last to go: what was handed to the writer is on disk before another process may work with it.
    _lock: StateLock,
}

/// A state that no process works with until this is dropped.
#[derive(Debug)]
pub struct ReservedState(#[expect(dead_code, reason = "it is held, not read")] StateLock);

/// How long a step waited for its checkpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pause {
    /// For the checkpoint before to be on disk.
    pub waited: Duration,
    /// To collect what changed.
    pub collected: Duration,
    /// Bytes handed to the writer.
    pub bytes: usize,
}

/// The file's name in the directory.
pub const FILE: &str = "state.sqlite";

/// Bytes of changelog that a shard may always have: rewriting less gains nothing.
const LEAST_CHANGELOG: usize = 16 << 10;

impl StateStore {
    /// Opens the state in `dir`, or makes it. One process at a time can.
    ///
    /// # Errors
    /// [`StateStoreError`], naming the directory.
    pub fn open(dir: &Path, limits: StoreLimits) -> Result<Self, StateStoreError> {
        let directory = |source| StateStoreError::Directory {
            dir: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(directory)?;
        let lock = StateLock::take(dir)?;
        let file = dir.join(FILE);
        let sqlite = |source| StateStoreError::Sqlite {
            file: file.clone(),
            source,
        };
        let mut connection = schema::open(&file).map_err(sqlite)?;
        let found = schema::version(&connection).map_err(sqlite)?;
        let known = schema::VERSION;
        if found > known {
            let dir = dir.to_owned();
            return Err(StateStoreError::Version { dir, found, known });
        }
        schema::migrate(&mut connection).map_err(|source| StateStoreError::Migration {
            dir: dir.to_owned(),
            found,
            known,
            source,
        })?;
        connection
            .execute(
                "INSERT OR IGNORE INTO meta (name, value) VALUES ('id', random())",
                [],
            )
            .map_err(sqlite)?;
        let hashing = schema::hashing(&connection).map_err(sqlite)?;
        let reader = schema::open(&file).map_err(sqlite)?;
        let number = |text: &str| -> Result<i64, StateStoreError> {
            reader.query_row(text, [], |row| row.get(0)).map_err(sqlite)
        };
        let last_line = number("SELECT coalesce(max(seq), 0) FROM outbox")?.max(number(
            "SELECT coalesce(max(value), 0) FROM meta WHERE name = 'last_line'",
        )?);
        let spilled_keys = number("SELECT count(*) FROM spilled")?;
        let id = number("SELECT value FROM meta WHERE name = 'id'")?;
        Ok(Self {
            writer: StateWriter::start(connection, hashing),
            reader,
            limits,
            hashing,
            detectors: BTreeMap::new(),
            numbers: Vec::new(),
            shards: HashMap::new(),
            spilled_keys: usize::try_from(spilled_keys).unwrap_or_default(),
            reloaded: BTreeSet::new(),
            last_line,
            id,
            dir: dir.to_owned(),
            sign: Sign::open(dir),
            file: file.clone(),
            _lock: lock,
        })
    }

    fn sqlite(&self) -> impl Fn(rusqlite::Error) -> StateStoreError + Copy + '_ {
        |source| StateStoreError::Sqlite {
            file: self.file.clone(),
            source,
        }
    }

    /// Returns how an error while a part is read back becomes one of the state.
    fn damaged<E: Into<Unreadable>>(
        &self,
        part: StatePart,
    ) -> impl FnOnce(E) -> StateStoreError + '_ {
        |source| StateStoreError::Damaged {
            dir: self.dir.clone(),
            part,
            source: source.into(),
        }
    }

    fn each<T>(
        &self,
        text: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateStoreError> {
        let mut statement = self.reader.prepare(text).map_err(self.sqlite())?;
        let rows = statement.query_map([], read).map_err(self.sqlite())?;
        rows.collect::<rusqlite::Result<Vec<T>>>()
            .map_err(self.sqlite())
    }

    fn count(&self, text: &str) -> Result<i64, StateStoreError> {
        self.reader
            .query_row(text, [], |row| row.get(0))
            .map_err(self.sqlite())
    }

    /// Returns the objects of a table that were read or left out.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn objects_of(&self, table: &str) -> Result<Vec<KnownObject>, StateStoreError> {
        let mut statement = self
            .reader
            .prepare(
                "SELECT object, version, coalesce(is_bad, 0) FROM cursor LEFT JOIN versions USING (name, object)
                 WHERE name = ?1",
            )
            .map_err(self.sqlite())?;
        let rows = statement
            .query_map([table], |row| {
                Ok(KnownObject {
                    name: row.get(0)?,
                    version: row.get(1)?,
                    is_bad: row.get(2)?,
                })
            })
            .map_err(self.sqlite())?;
        rows.collect::<rusqlite::Result<_>>().map_err(self.sqlite())
    }

    /// Returns the rows of a table that wait to be evaluated beside its steps, in order of their numbers.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn deferred_of(&self, table: &str) -> Result<Vec<DeferredRows>, StateStoreError> {
        let mut statement = self
            .reader
            .prepare("SELECT number, rule, value FROM deferred WHERE name = ?1 ORDER BY number")
            .map_err(self.sqlite())?;
        let rows = statement
            .query_map([table], |row| {
                Ok(DeferredRows {
                    number: row.get(0)?,
                    rule: row.get(1)?,
                    rows: row.get(2)?,
                })
            })
            .map_err(self.sqlite())?;
        rows.collect::<rusqlite::Result<_>>().map_err(self.sqlite())
    }

    /// Returns the last status of a table.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn table(&self, name: &str) -> Result<Option<TableStatus>, StateStoreError> {
        status::table(&self.reader, name).map_err(self.sqlite())
    }

    /// Returns the alerts of the service's own trouble that are not over.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn own_alerts(&self) -> Result<Vec<Alert>, StateStoreError> {
        let texts = self.each("SELECT alert FROM own_alerts ORDER BY id", |row| {
            row.get::<_, String>(0)
        })?;
        let alerts = texts.iter().map(|text| serde_json::from_str(text));
        alerts
            .collect::<Result<_, _>>()
            .map_err(self.damaged::<serde_json::Error>(StatePart::OwnAlert))
    }

    /// Returns the lines of the outbox after this number, at most so many, with their numbers.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn outbox(&self, after: i64, most: usize) -> Result<Vec<(i64, String)>, StateStoreError> {
        let mut statement = self
            .reader
            .prepare_cached("SELECT seq, line FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2")
            .map_err(self.sqlite())?;
        let rows = statement
            .query_map([after, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(self.sqlite())?;
        rows.collect::<rusqlite::Result<_>>().map_err(self.sqlite())
    }

    /// Returns the number that names this state: another one has another.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Keeps all processes from working with the state in `dir`, for as long as what it returns is there.
    ///
    /// # Errors
    /// [`StateStoreError::Busy`] where a process works with it.
    pub fn hold(dir: &Path) -> Result<ReservedState, StateStoreError> {
        fs::create_dir_all(dir).map_err(|source| StateStoreError::Directory {
            dir: dir.to_owned(),
            source,
        })?;
        StateLock::take(dir).map(ReservedState)
    }

    /// Returns how many bytes of what is remembered may be in memory, about.
    pub fn memory(&self) -> usize {
        self.limits.memory
    }

    /// Returns the number of the last line that was committed.
    pub fn last_line(&self) -> i64 {
        self.last_line
    }

    /// Returns the number that the next line of the outbox gets.
    pub fn next_line(&self) -> i64 {
        self.last_line + 1
    }

    /// Commits what a step did, all of it or nothing. The transaction goes on while the next step works; the next commit
    /// waits for it.
    ///
    /// # Errors
    /// [`StateStoreError`], also of the commit before.
    pub fn commit(
        &mut self,
        engine: &mut CorrelationEngine,
        progress: StepChanges,
    ) -> Result<Pause, StateStoreError> {
        let start = Instant::now();
        self.flush()?;
        let waited = start.elapsed();
        if let Some(sizes) = progress.sizes {
            self.detectors = sizes;
        }
        let of_detectors: usize = self.detectors.values().map(|size| size.bytes).sum();
        let memory = self.limits.memory.saturating_sub(of_detectors);
        let checkpoint = engine.checkpoint(&self.numbers, memory);
        let mut batch = CommitBatch::default();
        for change in checkpoint.shards {
            let key = (change.node.clone(), change.shard);
            let (snapshot, changelog) = self.shards.entry(key).or_default();
            *changelog += change.bytes.len();
            // The thread that writes joins them, which holds nobody up.
            let is_joined = *changelog > (*snapshot).max(LEAST_CHANGELOG);
            if is_joined {
                (*snapshot, *changelog) = (*snapshot + *changelog, 0);
            }
            batch.shards.push(ShardWrite {
                node: change.node,
                shard: change.shard,
                bytes: change.bytes,
                is_joined,
            });
        }
        batch.spilled_gone = std::mem::take(&mut self.reloaded).into_iter().collect();
        self.spilled_keys = self.spilled_keys.saturating_sub(batch.spilled_gone.len());
        batch.counters = progress.counters;
        for (node, shard, spilled) in checkpoint.spilled {
            if self.spilled_keys >= self.limits.spilled_keys {
                let is_windows = node.starts_with("alerts ");
                let name = if is_windows { String::new() } else { node };
                *batch.counters.capped.entry(name).or_default() += 1;
                continue;
            }
            self.spilled_keys += 1;
            batch.spilled.push((node, shard, spilled));
        }
        batch.pending = checkpoint.pending;
        batch.objects = checkpoint.objects;
        batch.objects_gone = checkpoint.objects_gone;
        batch.provisional = checkpoint.provisional;
        batch.started = checkpoint.started;
        batch.watermarks = checkpoint.watermarks;
        batch.held = checkpoint.held;
        batch.cursor = progress.objects;
        batch.tables = progress.tables;
        batch.log = progress.log;
        batch.detectors = progress.detectors;
        batch.deferred = progress.deferred;
        batch.own_alerts = progress.own_alerts;
        batch.delivered = progress.delivered;
        for line in progress.lines {
            self.last_line += 1;
            batch.lines.push((self.last_line, line));
        }
        batch.last_line = self.last_line;
        let detectors = self.detectors.iter();
        let detectors = detectors.map(|(rule, size)| (rule.clone(), *size));
        batch.sizes = engine.sizes().into_iter().chain(detectors).collect();
        batch.provisional_count = engine.provisional();
        batch.pending_count = engine.pending();
        let bytes = batch.bytes();
        self.writer.send(Box::new(batch));
        Ok(Pause {
            waited,
            collected: start.elapsed().saturating_sub(waited),
            bytes,
        })
    }

    /// Waits until what was committed is on disk. What had no room is tried again.
    ///
    /// # Errors
    /// [`StateStoreError::Write`], and [`StateStoreError::NoRoom`] after which nothing is lost and it may be called again.
    pub fn flush(&mut self) -> Result<(), StateStoreError> {
        let dir = || self.dir.clone();
        let joined = match self.writer.wait() {
            Ok(joined) => joined,
            Err(WriteError::Passing(source)) => {
                let reason = source.to_string();
                self.sign.put(&reason);
                return Err(StateStoreError::NoRoom { dir: dir(), reason });
            }
            Err(source) => return Err(StateStoreError::Write { dir: dir(), source }),
        };
        self.sign.clear();
        for (node, shard, bytes) in joined {
            self.shards.insert((node, shard), (bytes, 0));
        }
        Ok(())
    }

    fn write(&mut self, batch: CommitBatch) -> Result<(), StateStoreError> {
        self.flush()?;
        self.writer.send(Box::new(batch));
        self.flush()
    }

    /// Reads the status of a service from its state, whether it runs or not.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn status(dir: &Path) -> Result<Status, StateStoreError> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Err(StateStoreError::Absent {
                dir: dir.to_owned(),
            });
        }
        let sqlite = |source| StateStoreError::Sqlite {
            file: file.clone(),
            source,
        };
        let connection = schema::open_to_read(&file).map_err(sqlite)?;
        let found = schema::version(&connection).map_err(sqlite)?;
        let (dir, known) = (dir.to_owned(), schema::VERSION);
        match found.cmp(&known) {
            Ordering::Less => Err(StateStoreError::Outdated { dir, found, known }),
            Ordering::Greater => Err(StateStoreError::Version { dir, found, known }),
            Ordering::Equal => {
                let mut status = status::read(&connection).map_err(sqlite)?;
                status.problem = Sign::read(&dir);
                Ok(status)
            }
        }
    }
}

impl SpillStore for StateStore {
    fn take(
        &mut self,
        node: &str,
        wanted: &[(usize, u64)],
    ) -> Result<Vec<SpilledKey>, CorrelationError> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| CorrelationError::Read {
            node: node.to_owned(),
            source,
        };
        // A key that was just moved may still be on its way.
        self.flush().map_err(|error| wrong(error.into()))?;
        let read = |(shard, hash): &(usize, u64)| -> rusqlite::Result<Vec<SpilledKey>> {
            let mut statement = self.reader.prepare_cached(
                "SELECT key, value, due FROM spilled WHERE node = ?1 AND shard = ?2 AND hash = ?3",
            )?;
            let number = i64::try_from(*shard).unwrap_or_default();
            let rows = statement.query_map(params![node, number, hash.cast_signed()], |row| {
                Ok(SpilledKey {
                    shard: *shard,
                    hash: *hash,
                    key: row.get(0)?,
                    state: row.get(1)?,
                    due: row.get(2)?,
                })
            })?;
            rows.collect()
        };
        let mut spilled = Vec::new();
        for key in wanted {
            let keys = read(key).map_err(|error| wrong(error.into()))?;
            for key in keys {
                // Not what was taken already since the last commit.
                let taken = (node.to_owned(), key.shard, key.hash, key.key.clone());
                if self.reloaded.insert(taken) {
                    spilled.push(key);
                }
            }
        }
        Ok(spilled)
    }

    fn provisional(&mut self, key: &str) -> Result<Option<Vec<u8>>, CorrelationError> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| CorrelationError::Read {
            node: "alerts".to_owned(),
            source,
        };
        self.flush().map_err(|error| wrong(error.into()))?;
        let read = || {
            self.reader
                .prepare_cached("SELECT value FROM provisional_alerts WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()
        };
        read().map_err(|error| wrong(error.into()))
    }
}

impl StateStore {
    /// Returns a setting that was stored under this name.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn meta(&self, name: &str) -> Result<Option<i64>, StateStoreError> {
        self.reader
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
            .map_err(self.sqlite())
    }
}
