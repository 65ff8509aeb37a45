//! What detectors remember, written.

use rusqlite::{Connection, params};

use super::changes::DetectorState;
use crate::hashing::Hashing;

/// Writes what changed in what detectors of a table remember.
pub(super) fn write(
    connection: &Connection,
    state: &DetectorState,
    hashing: Hashing,
) -> rusqlite::Result<()> {
    let table = &state.table;
    for (rule, hash) in &state.gone {
        connection
            .prepare_cached("DELETE FROM detector_keys WHERE name = ? AND rule = ? AND hash = ?")?
            .execute(params![table, rule, hash.cast_signed()])?;
    }
    for (rule, key, value) in &state.states {
        let hash = hashing.of(key).cast_signed();
        match value {
            Some(value) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO detector_keys (name, rule, hash, key, value) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![table, rule, hash, key, value])?,
            None => connection
                .prepare_cached(
                    "DELETE FROM detector_keys WHERE name = ? AND rule = ? AND hash = ? AND key = ?",
                )?
                .execute(params![table, rule, hash, key])?,
        };
    }
    connection
        .prepare_cached("DELETE FROM detector_rows WHERE name = ? AND last < ?")?
        .execute(params![table, state.watermark])?;
    for (rule, last, value) in &state.rows {
        connection
            .prepare_cached(
                "INSERT INTO detector_rows (name, rule, last, value) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![table, rule, last, value])?;
    }
    for (rule, value) in &state.memories {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO detector_memory (name, rule, value) VALUES (?, ?, ?)",
            )?
            .execute(params![table, rule, value])?;
    }
    Ok(())
}
