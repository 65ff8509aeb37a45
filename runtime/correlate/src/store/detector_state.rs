//! What detectors remember: the state of each key is a row, found by its hash, so that a key need not be in memory.

use rusqlite::{Connection, params};

use super::{DetectorState, StatePart, StateStore, StateStoreError, schema};
use crate::hashing::Hashing;

/// Reads the states of keys that have no room in memory. It sees what was committed.
#[derive(Debug)]
pub struct DetectorKeys {
    reader: Connection,
    table: String,
    hashing: Hashing,
}

impl DetectorKeys {
    /// Returns the hash by which a key is found.
    pub fn hash(&self, key: &str) -> u64 {
        self.hashing.of(key)
    }

    /// Returns the keys of a rule with this hash, and what is kept of them.
    ///
    /// # Errors
    /// [`StateStoreError::DetectorKeys`].
    pub fn read(&self, rule: &str, hash: u64) -> Result<Vec<(String, Vec<u8>)>, StateStoreError> {
        let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
            let mut statement = self.reader.prepare_cached(
                "SELECT key, value FROM detector_keys WHERE name = ?1 AND rule = ?2 AND hash = ?3",
            )?;
            let rows = statement
                .query_map(params![self.table, rule, hash.cast_signed()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            rows.collect()
        };
        read().map_err(|source| StateStoreError::DetectorKeys {
            rule: rule.to_owned(),
            source,
        })
    }
}

impl StateStore {
    /// Returns a reader of the states of a table's keys, for detectors that keep some of them on disk only.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn detector_keys(&self, table: &str) -> Result<DetectorKeys, StateStoreError> {
        Ok(DetectorKeys {
            reader: schema::open_to_read(&self.file).map_err(self.sqlite())?,
            table: table.to_owned(),
            hashing: self.hashing,
        })
    }

    /// Hands out the states of a table's keys, one by one: rule, hash, key, and what is kept of it.
    ///
    /// # Errors
    /// [`StateStoreError`], and those of `each`.
    pub fn each_detector_key<E: From<StateStoreError>>(
        &self,
        table: &str,
        mut each: impl FnMut(&str, u64, &str, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self
            .reader
            .prepare("SELECT rule, hash, key, value FROM detector_keys WHERE name = ?1")
            .map_err(self.sqlite())?;
        let mut rows = statement.query([table]).map_err(self.sqlite())?;
        let part = || StatePart::DetectorKeys(table.to_owned());
        while let Some(row) = rows.next().map_err(self.sqlite())? {
            let text = |at: usize| -> Result<&str, StateStoreError> {
                let value = row.get_ref(at).map_err(self.sqlite())?;
                value.as_str().map_err(self.damaged(part()))
            };
            let hash: i64 = row.get(1).map_err(self.sqlite())?;
            let value = row.get_ref(3).map_err(self.sqlite())?;
            let value = value.as_blob().map_err(self.damaged(part()))?;
            each(text(0)?, hash.cast_unsigned(), text(2)?, value)?;
        }
        Ok(())
    }

    /// Returns what detectors of a table remember besides the states of their keys: rows that wait, plugins' memories.
    ///
    /// # Errors
    /// [`StateStoreError`].
    pub fn detectors_of(&self, table: &str) -> Result<DetectorState, StateStoreError> {
        let read = || -> rusqlite::Result<DetectorState> {
            let mut state = DetectorState {
                table: table.to_owned(),
                ..DetectorState::default()
            };
            let mut statement = self.reader.prepare(
                "SELECT rule, last, value FROM detector_rows WHERE name = ?1 ORDER BY id",
            )?;
            let rows =
                statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            state.rows = rows.collect::<rusqlite::Result<_>>()?;
            let mut statement = self
                .reader
                .prepare("SELECT rule, value FROM detector_memory WHERE name = ?1")?;
            let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
            state.memories = rows.collect::<rusqlite::Result<_>>()?;
            Ok(state)
        };
        read().map_err(self.sqlite())
    }
}
