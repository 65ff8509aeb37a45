//! The tables of the state.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::hashing::Hashing;

/// The form that this version reads and writes.
pub(super) const VERSION: i64 = 1;

/// What later versions of the same form have: rows that wait to be evaluated beside the steps, rules whose time is behind for it,
/// how the objects were when they were read, alerts of the service's own trouble, and the states of detectors' keys, found by their
/// hash.
const LATER: &str = "CREATE TABLE IF NOT EXISTS deferred (
    name TEXT, number INTEGER, rule TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS held (rule TEXT PRIMARY KEY, watermark INTEGER NOT NULL, of_others INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS versions (name TEXT, object TEXT, version TEXT NOT NULL, is_bad INTEGER NOT NULL,
    PRIMARY KEY (name, object)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS own_alerts (id TEXT PRIMARY KEY, alert TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS detector_keys (name TEXT, rule TEXT, hash INTEGER, key TEXT, value BLOB NOT NULL,
    PRIMARY KEY (name, rule, hash, key)) WITHOUT ROWID;";

/// Opens the file to read and write. A commit is on disk when it returns.
pub(super) fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000;
         PRAGMA wal_autocheckpoint = 8000; PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(connection)
}

/// Opens the file to read, also while another process writes.
pub(super) fn open_to_read(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA query_only = 1; PRAGMA busy_timeout = 10000;")?;
    Ok(connection)
}

/// Returns how the state's keys are hashed: a state that an earlier version made has no key of its own for it.
pub(super) fn hashing(connection: &Connection) -> rusqlite::Result<Hashing> {
    let part = |name: &str| -> rusqlite::Result<Option<i64>> {
        connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
    };
    Ok(match (part("hash_key_0")?, part("hash_key_1")?) {
        (Some(first), Some(second)) => {
            Hashing::with([first.cast_unsigned(), second.cast_unsigned()])
        }
        _ => Hashing::without_key(),
    })
}

/// Makes what is missing, and returns the form that the file has.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<i64> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != 0 {
        if version == VERSION {
            connection.execute_batch(LATER)?;
        }
        return Ok(version);
    }
    connection.execute_batch(
        "BEGIN;
         CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
         CREATE TABLE rules (id TEXT PRIMARY KEY, number INTEGER NOT NULL, shape TEXT NOT NULL, whole TEXT NOT NULL,
                             fields TEXT NOT NULL);
         CREATE TABLE stages (stage TEXT PRIMARY KEY, started INTEGER NOT NULL);
         CREATE TABLE sizes (rule TEXT PRIMARY KEY, keys INTEGER NOT NULL, spilled INTEGER NOT NULL, bytes INTEGER NOT NULL);
         CREATE TABLE pages (stage TEXT, share INTEGER, seq INTEGER, value BLOB NOT NULL,
                             PRIMARY KEY (stage, share, seq)) WITHOUT ROWID;
         CREATE TABLE spilled (stage TEXT, share INTEGER, hash INTEGER, key TEXT, value BLOB NOT NULL, due INTEGER NOT NULL,
                            PRIMARY KEY (stage, share, hash, key)) WITHOUT ROWID;
         CREATE TABLE domains (tables TEXT PRIMARY KEY, watermark INTEGER NOT NULL);
         CREATE TABLE pending (id INTEGER PRIMARY KEY, tables TEXT NOT NULL, last INTEGER NOT NULL,
                               value BLOB NOT NULL);
         CREATE TABLE objects (number INTEGER PRIMARY KEY, value BLOB NOT NULL);
         CREATE TABLE reported (key TEXT PRIMARY KEY, value BLOB NOT NULL);
         CREATE TABLE detector_states (name TEXT, rule TEXT, key TEXT, value BLOB NOT NULL,
                                       PRIMARY KEY (name, rule, key)) WITHOUT ROWID;
         CREATE TABLE detector_rows (id INTEGER PRIMARY KEY, name TEXT NOT NULL, rule TEXT NOT NULL,
                                     last INTEGER NOT NULL, value BLOB NOT NULL);
         CREATE TABLE detector_memory (name TEXT, rule TEXT, value BLOB NOT NULL, PRIMARY KEY (name, rule)) WITHOUT ROWID;
         CREATE TABLE cursor (name TEXT, object TEXT, PRIMARY KEY (name, object)) WITHOUT ROWID;
         CREATE TABLE tables (name TEXT PRIMARY KEY, value TEXT NOT NULL);
         CREATE TABLE counters (name TEXT, rule TEXT, count INTEGER NOT NULL, PRIMARY KEY (name, rule)) WITHOUT ROWID;
         CREATE TABLE outbox (seq INTEGER PRIMARY KEY, line TEXT NOT NULL);
         CREATE TABLE log (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, message TEXT NOT NULL);
         INSERT INTO meta (name, value) VALUES ('hash_key_0', random()), ('hash_key_1', random());
         PRAGMA user_version = 1;
         COMMIT;",
    )?;
    connection.execute_batch(LATER)?;
    Ok(VERSION)
}
