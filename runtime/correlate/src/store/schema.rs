//! The tables of the state, and how those of earlier versions become them.
//!
//! SQLite's `user_version` is the state format: the number of migrations that were applied.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use rusqlite_migration::{HookResult, M, Migrations};

use crate::hashing::Hashing;

/// The state format that this version reads and writes.
pub(super) const VERSION: i64 = 2;

/// Format 1, as its first version made it.
const FORMAT_1: &str = "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
         CREATE TABLE rules (id TEXT PRIMARY KEY, number INTEGER NOT NULL, shape TEXT NOT NULL, whole TEXT NOT NULL,
                             fields TEXT NOT NULL);
         CREATE TABLE stages (stage TEXT PRIMARY KEY, started INTEGER NOT NULL);
         CREATE TABLE sizes (rule TEXT PRIMARY KEY, keys INTEGER NOT NULL, cold INTEGER NOT NULL, bytes INTEGER NOT NULL);
         CREATE TABLE pages (stage TEXT, share INTEGER, seq INTEGER, value BLOB NOT NULL,
                             PRIMARY KEY (stage, share, seq)) WITHOUT ROWID;
         CREATE TABLE cold (stage TEXT, share INTEGER, hash INTEGER, key TEXT, value BLOB NOT NULL, due INTEGER NOT NULL,
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
         INSERT INTO meta (name, value) VALUES ('hash_key_0', random()), ('hash_key_1', random());";

/// What later versions of format 1 added: a state of that format may lack any of it.
const FORMAT_1_LATER: &str = "CREATE TABLE IF NOT EXISTS deferred (
    name TEXT, number INTEGER, rule TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS held (rule TEXT PRIMARY KEY, watermark INTEGER NOT NULL, of_others INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS versions (name TEXT, object TEXT, version TEXT NOT NULL, is_bad INTEGER NOT NULL,
    PRIMARY KEY (name, object)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS own_alerts (id TEXT PRIMARY KEY, alert TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS detector_keys (name TEXT, rule TEXT, hash INTEGER, key TEXT, value BLOB NOT NULL,
    PRIMARY KEY (name, rule, hash, key)) WITHOUT ROWID;";

/// Format 2: names of today, and fingerprints that are marked as those of format 1.
const FORMAT_2: &str = "ALTER TABLE stages RENAME TO nodes;
    ALTER TABLE nodes RENAME COLUMN stage TO node;
    ALTER TABLE pages RENAME TO shards;
    ALTER TABLE shards RENAME COLUMN stage TO node;
    ALTER TABLE shards RENAME COLUMN share TO shard;
    ALTER TABLE cold RENAME TO spilled;
    ALTER TABLE spilled RENAME COLUMN stage TO node;
    ALTER TABLE spilled RENAME COLUMN share TO shard;
    ALTER TABLE sizes RENAME COLUMN cold TO spilled;
    ALTER TABLE domains RENAME TO watermark_groups;
    ALTER TABLE held RENAME TO held_rules;
    ALTER TABLE reported RENAME TO provisional_alerts;
    ALTER TABLE rules RENAME COLUMN shape TO state_fingerprint;
    ALTER TABLE rules RENAME COLUMN whole TO rule_fingerprint;
    UPDATE rules SET state_fingerprint = '1:' || state_fingerprint, rule_fingerprint = '';";

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

/// Returns the state format of a file; nought for a new one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Makes the tables of today, from whatever earlier format the file has. Each format is a transaction.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite_migration::Result<()> {
    let migrations = [
        M::up(FORMAT_1),
        M::up_with_hook(FORMAT_1_LATER, |transaction: &Transaction<'_>| {
            transaction.execute_batch(FORMAT_2)?;
            to_format_2(transaction)
        }),
    ];
    Migrations::from_slice(&migrations).to_latest(connection)
}

/// Moves the states of detectors' keys to where they are found by hash, and renames the keys of the tables' status.
fn to_format_2(transaction: &Transaction<'_>) -> HookResult {
    let hashing = hashing(transaction)?;
    {
        let mut statement =
            transaction.prepare("SELECT name, rule, key, value FROM detector_states")?;
        let mut rows = statement.query([])?;
        let mut add = transaction.prepare(
            "INSERT OR REPLACE INTO detector_keys (name, rule, hash, key, value) VALUES (?, ?, ?, ?, ?)",
        )?;
        while let Some(row) = rows.next()? {
            let (name, rule): (String, String) = (row.get(0)?, row.get(1)?);
            let (key, value): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
            let hash = hashing.of(&key).cast_signed();
            add.execute(params![name, rule, hash, key, value])?;
        }
    }
    transaction.execute_batch("DROP TABLE detector_states")?;
    let tables: Vec<(String, String)> = {
        let mut statement = transaction.prepare("SELECT name, value FROM tables")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (name, status) in tables {
        let status = renamed_status(&status).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(
                1,
                rusqlite::types::Type::Text,
                Box::new(error),
            )
        })?;
        transaction.execute(
            "UPDATE tables SET value = ?2 WHERE name = ?1",
            [name, status],
        )?;
    }
    Ok(())
}

/// The names of format 1 in the status of a table and of its quarantined rules, with those of format 2.
const NAMES_OF_FORMAT_1: &str = include_str!("schema/format_1.json");

/// See [`NAMES_OF_FORMAT_1`].
#[derive(serde::Deserialize)]
struct NamesOfFormat1 {
    table: BTreeMap<String, String>,
    rule: BTreeMap<String, String>,
}

/// Renames the keys of a table's status that format 1 had under other names.
fn renamed_status(text: &str) -> serde_json::Result<String> {
    let names: NamesOfFormat1 = serde_json::from_str(NAMES_OF_FORMAT_1)?;
    let mut status: serde_json::Value = serde_json::from_str(text)?;
    let rename = |object: &mut serde_json::Value, names: &BTreeMap<String, String>| {
        let Some(object) = object.as_object_mut() else {
            return;
        };
        for (old, new) in names {
            if let Some(value) = object.remove(old) {
                object.insert(new.clone(), value);
            }
        }
    };
    rename(&mut status, &names.table);
    let rules = status.get_mut("quarantine");
    for rule in rules
        .and_then(|rules| rules.as_array_mut())
        .into_iter()
        .flatten()
    {
        rename(rule, &names.rule);
    }
    serde_json::to_string(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_format_1_has_the_names_of_today() {
        let old = r#"{"name":"t","aside":3,"rests":[{"rule":"r","is_resting":true,"rests":2}],"undecided":{"r":{"events":1}}}"#;
        let new: serde_json::Value = serde_json::from_str(&renamed_status(old).unwrap()).unwrap();
        let expected = serde_json::json!({
            "name": "t", "background": 3, "skipped": { "r": { "events": 1 } },
            "quarantine": [{ "rule": "r", "is_quarantined": true, "repeats": 2 }],
        });
        assert_eq!(new, expected);
    }
}
