//! Which objects of a source were ingested, and what came of them: SQLite beside the state of a service.

mod queues;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rusqlite_migration::{M, Migrations};
use serde::Serialize;
use yagura_core::Timestamp;
use yagura_lake::ingest::Delays;

use crate::drift::{Hour, Hours, KEPT};
use crate::habits::{Habits, by_hour, hour_of};

pub(crate) use self::queues::{Parked, QueueCounted};
pub use self::queues::{ParkedMessage, QueueTotals};

/// What the ledger is made of, each step once.
const STEPS: &[M<'_>] = &[OBJECTS, HOURS, queues::QUEUES];

const OBJECTS: M<'_> = M::up(
    "CREATE TABLE object (
        source TEXT NOT NULL,
        key TEXT NOT NULL,
        version TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        ingested INTEGER NOT NULL,
        problem TEXT,
        PRIMARY KEY (source, key, version)
    ) WITHOUT ROWID;
    CREATE TABLE total (
        source TEXT PRIMARY KEY,
        records INTEGER NOT NULL DEFAULT 0,
        events INTEGER NOT NULL DEFAULT 0,
        rejected INTEGER NOT NULL DEFAULT 0,
        without_time INTEGER NOT NULL DEFAULT 0,
        of_no_class INTEGER NOT NULL DEFAULT 0,
        unfit INTEGER NOT NULL DEFAULT 0,
        first_ingest INTEGER,
        last_ingest INTEGER,
        waiting INTEGER NOT NULL DEFAULT 0,
        trouble TEXT
    ) WITHOUT ROWID;",
);

const HOURS: M<'_> = M::up(
    "ALTER TABLE total ADD COLUMN repeated INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE hour (
        source TEXT NOT NULL,
        hour INTEGER NOT NULL,
        objects INTEGER NOT NULL DEFAULT 0,
        events INTEGER NOT NULL DEFAULT 0,
        rejected INTEGER NOT NULL DEFAULT 0,
        without_time INTEGER NOT NULL DEFAULT 0,
        of_no_class INTEGER NOT NULL DEFAULT 0,
        unfit INTEGER NOT NULL DEFAULT 0,
        delays TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (source, hour)
    ) WITHOUT ROWID;",
);

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refuses.
    #[error("cannot use the ledger of sources {}", .file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// It is of a newer version.
    #[error("cannot use the ledger of sources {}; it may be of a newer version of this program", .file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: rusqlite_migration::Error,
    },
}

/// What was ingested of the sources of a service.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
    connection: Mutex<Connection>,
}

/// An object as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known<'o> {
    pub(crate) key: &'o str,
    pub(crate) version: &'o str,
    pub(crate) bytes: u64,
    /// When the store last changed it, in microseconds since 1970.
    pub(crate) modified: i64,
    /// Why it could not be read.
    pub(crate) problem: Option<String>,
}

/// What an ingest found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) events: u64,
    pub(crate) repeated: u64,
    pub(crate) rejected: u64,
    pub(crate) without_time: u64,
    pub(crate) of_no_class: u64,
    pub(crate) unfit: u64,
    pub(crate) delays: Delays,
    /// Objects whose earlier rows left the table.
    pub(crate) replaced: u64,
}

/// What became of all objects of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceTotals {
    /// Name of the source in the configuration.
    pub source: String,
    /// Objects that were ingested, each version of one counted.
    pub objects: u64,
    /// Their bytes, still compressed.
    pub bytes: u64,
    /// Objects that could not be read.
    pub unreadable: u64,
    /// The newest of these and its reason.
    pub problem: Option<String>,
    /// Records in them: events and what is none.
    pub records: u64,
    /// Rows of the table.
    pub events: u64,
    /// Events that are counted in the row of an equal one.
    pub repeated: u64,
    /// Lines that are not events, kept below `_rejected` of the table.
    pub rejected: u64,
    /// Rows without a time.
    pub without_time: u64,
    /// Rows of no class.
    pub of_no_class: u64,
    /// Values that did not fit their column.
    pub unfit: u64,
    /// When the first object was ingested.
    pub first_ingest: Option<Timestamp>,
    /// When the newest object was ingested.
    pub last_ingest: Option<Timestamp>,
    /// When the store last changed an object that was ingested.
    pub last_modified: Option<Timestamp>,
    /// Objects that were listed and not yet ingested.
    pub waiting: u64,
    /// Objects of which a later version replaced the rows of an earlier one.
    pub replaced: u64,
    /// Names below the prefix that no object can have. What has them cannot be read.
    pub odd_names: u64,
    /// One of these.
    pub odd_name: Option<String>,
    /// Why the last attempt ended early.
    pub trouble: Option<String>,
}

impl Ledger {
    /// Opens the ledger in a folder of state, or makes it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let file = folder.join("sources.db");
        let sqlite = |source| LedgerError::Sqlite {
            file: file.clone(),
            source,
        };
        let mut connection = Connection::open(&file).map_err(sqlite)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            .and_then(|()| connection.busy_timeout(std::time::Duration::from_secs(10)))
            .map_err(sqlite)?;
        Migrations::from_slice(STEPS)
            .to_latest(&mut connection)
            .map_err(|source| LedgerError::Version {
                file: file.clone(),
                source,
            })?;
        Ok(Self {
            file,
            connection: Mutex::new(connection),
        })
    }

    /// Opens the ledger in a folder of state; nothing where there is none.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open_if_there(folder: &Path) -> Result<Option<Self>, LedgerError> {
        match folder.join("sources.db").exists() {
            true => Self::open(folder).map(Some),
            false => Ok(None),
        }
    }

    /// Says whether an object was ingested last, or found to be unreadable, as one of these versions. An earlier version that comes
    /// back is another content than the last one.
    pub(crate) fn knows(
        &self,
        source: &str,
        key: &str,
        versions: &[String],
    ) -> Result<bool, LedgerError> {
        self.with(|connection| {
            let mut query = connection.prepare_cached(
                "SELECT version FROM object WHERE source = ?1 AND key = ?2 ORDER BY ingested DESC LIMIT 1",
            )?;
            let last: Option<String> = query
                .query_row(params![source, key], |row| row.get(0))
                .optional()?;
            Ok(last.is_some_and(|last| versions.contains(&last)))
        })
    }

    /// Returns when the newest objects of a source were last changed by their store, in microseconds since 1970.
    pub(crate) fn arrivals(&self, source: &str) -> Result<Vec<i64>, LedgerError> {
        const NEWEST: i64 = 1_000;
        self.with(|connection| {
            let mut query = connection.prepare(
                "SELECT modified FROM object WHERE source = ?1 ORDER BY modified DESC LIMIT ?2",
            )?;
            let rows = query.query_map(params![source, NEWEST], |row| row.get(0))?;
            rows.collect()
        })
    }

    /// Notes objects that were ingested together, and what was counted in them.
    pub(crate) fn note(
        &self,
        source: &str,
        objects: &[Known<'_>],
        counted: &Counted,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for object in objects {
                // Later than all of its versions, also where the clock was set back.
                transaction.execute(
                    "INSERT OR REPLACE INTO object VALUES (?1, ?2, ?3, ?4, ?5,
                        (SELECT max(?6, coalesce(max(ingested) + 1, ?6)) FROM object WHERE source = ?1 AND key = ?2), ?7)",
                    params![
                        source,
                        object.key,
                        object.version,
                        i64::try_from(object.bytes).unwrap_or(i64::MAX),
                        object.modified,
                        now.micros(),
                        object.problem
                    ],
                )?;
            }
            transaction.execute(
                "INSERT INTO total (source) VALUES (?1) ON CONFLICT DO NOTHING",
                [source],
            )?;
            let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            transaction.execute(
                "UPDATE total SET records = records + ?2 + ?3 + ?8, events = events + ?2, repeated = repeated + ?8, rejected = rejected + ?3,
                    without_time = without_time + ?4, of_no_class = of_no_class + ?5, unfit = unfit + ?6,
                    replaced = replaced + ?9, first_ingest = coalesce(first_ingest, ?7), last_ingest = ?7
                 WHERE source = ?1",
                params![
                    source,
                    int(counted.events),
                    int(counted.rejected),
                    int(counted.without_time),
                    int(counted.of_no_class),
                    int(counted.unfit),
                    now.micros(),
                    int(counted.repeated),
                    int(counted.replaced)
                ],
            )?;
            for (hour, of) in by_hour(objects, counted) {
                note_hour(&transaction, source, hour, &of)?;
            }
            transaction.execute(
                "DELETE FROM hour WHERE source = ?1 AND hour < ?2",
                params![source, hour_of(now) - KEPT - 1],
            )?;
            transaction.commit()
        })
    }

    /// Notes what a listing found: how many objects wait, and which names no object can have.
    pub(crate) fn note_listing(
        &self,
        source: &str,
        waiting: usize,
        odd_names: &[String],
    ) -> Result<(), LedgerError> {
        let int = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.with(|connection| {
            connection.execute(
                "INSERT INTO total (source, waiting, odd_names, odd_name) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET waiting = ?2, odd_names = ?3, odd_name = ?4, trouble = NULL",
                params![source, int(waiting), int(odd_names.len()), odd_names.first()],
            )?;
            Ok(())
        })
    }

    /// Notes why the last attempt ended early.
    pub(crate) fn note_trouble(&self, source: &str, trouble: &str) -> Result<(), LedgerError> {
        self.with(|connection| {
            connection.execute(
                "INSERT INTO total (source, trouble) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET trouble = ?2",
                params![source, trouble],
            )?;
            Ok(())
        })
    }

    /// Returns what became of each source, in order of their names.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn totals(&self) -> Result<Vec<SourceTotals>, LedgerError> {
        self.with(|connection| {
            let mut query = connection.prepare(
                "SELECT t.source, t.records, t.events, t.rejected, t.without_time, t.of_no_class, t.unfit,
                    t.first_ingest, t.last_ingest, t.waiting, t.trouble, t.repeated,
                    t.replaced, t.odd_names, t.odd_name,
                    count(o.key) FILTER (WHERE o.problem IS NULL), coalesce(sum(o.bytes), 0), max(o.modified)
                 FROM total t LEFT JOIN object o ON o.source = t.source GROUP BY t.source ORDER BY t.source",
            )?;
            let count = |value: i64| u64::try_from(value).unwrap_or_default();
            let rows = query.query_map([], |row| {
                let time = |at| -> rusqlite::Result<Option<Timestamp>> {
                    let micros: Option<i64> = row.get(at)?;
                    Ok(micros.map(Timestamp::clamped))
                };
                Ok(SourceTotals {
                    source: row.get(0)?,
                    records: count(row.get(1)?),
                    events: count(row.get(2)?),
                    rejected: count(row.get(3)?),
                    without_time: count(row.get(4)?),
                    of_no_class: count(row.get(5)?),
                    unfit: count(row.get(6)?),
                    first_ingest: time(7)?,
                    last_ingest: time(8)?,
                    waiting: count(row.get(9)?),
                    trouble: row.get(10)?,
                    repeated: count(row.get(11)?),
                    replaced: count(row.get(12)?),
                    odd_names: count(row.get(13)?),
                    odd_name: row.get(14)?,
                    objects: count(row.get(15)?),
                    bytes: count(row.get(16)?),
                    last_modified: time(17)?,
                    unreadable: 0,
                    problem: None,
                })
            })?;
            let mut all: Vec<SourceTotals> = rows.collect::<Result<_, _>>()?;
            for totals in &mut all {
                // An object that came again, whole or mended, is no problem any more.
                let mut query = connection.prepare_cached(
                    "SELECT problem FROM object o WHERE source = ?1 AND problem IS NOT NULL
                        AND NOT EXISTS (SELECT 1 FROM object n
                            WHERE n.source = o.source AND n.key = o.key AND n.ingested > o.ingested)
                     ORDER BY ingested DESC",
                )?;
                let problems = query.query_map([&totals.source], |row| row.get(0))?;
                let problems: Vec<String> = problems.collect::<Result<_, _>>()?;
                totals.unreadable = problems.len() as u64;
                totals.problem = problems.into_iter().next();
            }
            Ok(all)
        })
    }

    /// Returns what a source usually does, as its hours show it at a time.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn habits(&self, source: &str, now: Timestamp) -> Result<Habits, LedgerError> {
        let hours = self.with(|connection| {
            let mut query = connection.prepare_cached(
                "SELECT hour, objects, events, rejected, without_time, of_no_class, unfit, delays
                 FROM hour WHERE source = ?1",
            )?;
            let rows = query.query_map([source], |row| {
                let count = |at| -> rusqlite::Result<u64> {
                    let value: i64 = row.get(at)?;
                    Ok(u64::try_from(value).unwrap_or_default())
                };
                let delays: String = row.get(7)?;
                let hour = Hour {
                    objects: count(1)?,
                    events: count(2)?,
                    rejected: count(3)?,
                    without_time: count(4)?,
                    of_no_class: count(5)?,
                    unfit: count(6)?,
                    delays: Delays::of_text(&delays),
                };
                Ok((row.get(0)?, hour))
            })?;
            rows.collect::<Result<Hours, _>>()
        })?;
        Ok(Habits::of(&hours, now))
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        // A statement that panicked left no transaction open.
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|source| LedgerError::Sqlite {
            file: self.file.clone(),
            source,
        })
    }
}

/// Adds what arrived in an hour to what is known of it.
fn note_hour(
    transaction: &Transaction<'_>,
    source: &str,
    hour: i64,
    of: &Hour,
) -> rusqlite::Result<()> {
    let mut query =
        transaction.prepare_cached("SELECT delays FROM hour WHERE source = ?1 AND hour = ?2")?;
    let known: Option<String> = query
        .query_row(params![source, hour], |row| row.get(0))
        .optional()?;
    let mut delays = Delays::of_text(&known.unwrap_or_default());
    delays.merge(&of.delays);
    let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    transaction.execute(
        "INSERT INTO hour VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET objects = objects + ?3, events = events + ?4, rejected = rejected + ?5,
            without_time = without_time + ?6, of_no_class = of_no_class + ?7, unfit = unfit + ?8, delays = ?9",
        params![
            source,
            hour,
            int(of.objects),
            int(of.events),
            int(of.rejected),
            int(of.without_time),
            int(of.of_no_class),
            int(of.unfit),
            delays.to_text()
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Drift;

    const HOUR: i64 = 3_600_000_000;
    /// 2026-06-01T00:00:00Z.
    const START: i64 = 494_520 * HOUR;

    fn note(ledger: &Ledger, hour: i64, events: u64, delay: i64) {
        let at = START + hour * HOUR + HOUR / 2;
        let key = format!("k{hour}");
        let object = Known {
            key: &key,
            version: "v",
            bytes: 100,
            modified: at,
            problem: None,
        };
        let mut delays = Delays::default();
        for _ in 0..200 {
            delays.add(delay);
        }
        let counted = Counted {
            events,
            repeated: 3,
            delays,
            ..Counted::default()
        };
        let now = Timestamp::clamped(at);
        ledger.note("a", &[object], &counted, now).unwrap();
    }

    #[test]
    fn the_hours_of_a_source_are_kept_and_show_what_is_unusual() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        for hour in 0..24 * 40 {
            note(&ledger, hour, 1_000, 60_000_000);
        }
        let at = |hour: i64| Timestamp::clamped(START + hour * HOUR + HOUR / 4);
        let usual = ledger.habits("a", at(24 * 40)).unwrap();
        assert!(usual.drifts.is_empty(), "{usual:?}");
        assert_eq!(usual.events_per_hour, 1_003);
        assert!((48_000_000..=60_000_000).contains(&usual.lag.unwrap()));
        assert_eq!(usual.ahead, None);
        // Nothing came for an hour; and then far too much, from a clock that is ahead.
        let fewer = ledger.habits("a", at(24 * 40 + 1)).unwrap();
        assert!(
            matches!(
                fewer.drifts[..],
                [Drift::Volume {
                    events: 0,
                    usual: 1_003,
                    ..
                }]
            ),
            "{fewer:?}"
        );
        note(&ledger, 24 * 40 + 1, 30_000, -120_000_000);
        // The hour is not over, and a little later not all of it is there.
        let drifts = |at| ledger.habits("a", at).unwrap().drifts;
        let minutes =
            |minutes: i64| Timestamp::clamped(START + (24 * 40 + 2) * HOUR + minutes * HOUR / 60);
        assert!(drifts(minutes(4)) == fewer.drifts);
        let more = ledger.habits("a", minutes(6)).unwrap();
        assert_eq!(
            more.drifts[0].to_string(),
            "30003 events in the hour from 2026-07-11T01:00Z; hours like it have 1003"
        );
        assert!(
            (96_000_000..=120_000_000).contains(&more.ahead.unwrap()),
            "{more:?}"
        );
        // Four weeks are kept, over a restart too.
        drop(ledger);
        let ledger = Ledger::open(folder.path()).unwrap();
        let hours: i64 = ledger
            .with(|connection| {
                connection.query_row("SELECT count(*) FROM hour", [], |row| row.get(0))
            })
            .unwrap();
        assert_eq!(hours, KEPT + 1);
        let totals = ledger.totals().unwrap();
        let of = &totals[0];
        assert_eq!(of.records, of.events + of.repeated + of.rejected);
        assert_eq!(of.repeated, 3 * 961);
    }
}
