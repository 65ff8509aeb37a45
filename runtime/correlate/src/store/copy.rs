//! A copy of the state while a service works with it, and with it the file of the store that takes its lines.
//!
//! ```text
//! store of alerts  ──┤ nobody writes ├──────────────▶ both are read as they were then, as long as that takes
//!                       snapshot of the state
//!                       snapshot of the store
//! ```
//!
//! A line is in the state before the store takes it, and leaves the state after that. So while nobody writes to the store, each
//! moment of the state goes with it: the state has all lines that the store lacks, and none is missing between them.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{FILE, StateStore, StateStoreError, schema};

/// The copies' names in their directory: of the state, and of the store of alerts.
pub const STATE_COPY: &str = FILE;
/// The name of the copy of the store of alerts.
pub const STORE_COPY: &str = "alerts.db";

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The number of the last line.
    pub last_line: i64,
    /// The lines after this one are in the state; those before have been delivered.
    pub delivered: i64,
    /// Whether there is a copy of the store of alerts.
    pub has_store: bool,
}

impl StateStore {
    /// Copies the state in `dir`, and the store of alerts in the file `alerts` if there is one, into the directory `to`, as both
    /// are at one moment. A service may work with them meanwhile. `is_read` is called when later changes are not seen any more: a store
    /// elsewhere that nobody may write to until then goes with the copy too.
    ///
    /// # Errors
    /// [`StateStoreError`]: also where a page of them cannot be read.
    pub fn copy(
        dir: &Path,
        alerts: Option<&Path>,
        to: &Path,
        is_read: impl FnOnce(),
    ) -> Result<Copied, StateStoreError> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Err(StateStoreError::Absent {
                dir: dir.to_owned(),
            });
        }
        let of = |file: &Path| {
            let file = file.to_owned();
            move |source| StateStoreError::Sqlite {
                file: file.clone(),
                source,
            }
        };
        let alerts = alerts.filter(|file| file.exists());
        let pause = match alerts {
            Some(file) => Some(pause(file).map_err(of(file))?),
            None => None,
        };
        let state = snapshot(&file).map_err(of(&file))?;
        let store = match alerts {
            Some(file) => Some((file, snapshot(file).map_err(of(file))?)),
            None => None,
        };
        // The store is written to again.
        drop(pause);
        is_read();
        let number = |name: &str| {
            state
                .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                    row.get::<_, i64>(0)
                })
                .optional()
                .map(Option::unwrap_or_default)
                .map_err(of(&file))
        };
        let copied = Copied {
            last_line: number("last_line")?,
            delivered: number("delivered")?,
            has_store: store.is_some(),
        };
        write(&state, &to.join(STATE_COPY)).map_err(of(&file))?;
        if let Some((file, store)) = &store {
            write(store, &to.join(STORE_COPY)).map_err(of(file))?;
        }
        Ok(copied)
    }
}

/// Keeps others from writing to a file until it is dropped.
fn pause(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE")?;
    Ok(connection)
}

/// Opens a file as it is now: what others write from now on is not seen.
fn snapshot(file: &Path) -> rusqlite::Result<Connection> {
    let connection = schema::open_to_read(file)?;
    connection.execute_batch("BEGIN")?;
    // It begins with the first page that is read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(connection)
}

/// Writes all that a connection sees into a new file: every record is read for that, so that a damaged one is found.
fn write(from: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut target = Connection::open(to)?;
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let transaction = target.transaction()?;
    let mut statement = from.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY type <> 'table', rowid",
    )?;
    let parts = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
        ))
    })?;
    for part in parts {
        let (kind, name, text) = part?;
        transaction.execute_batch(&text)?;
        if kind == "table" {
            copy_rows(from, &transaction, &name)?;
        }
    }
    for pragma in ["user_version", "application_id"] {
        let value: i64 = from.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        transaction.execute_batch(&format!("PRAGMA {pragma} = {value}"))?;
    }
    transaction.commit()
}

fn copy_rows(from: &Connection, to: &Connection, table: &str) -> rusqlite::Result<()> {
    let name = table.replace('"', "\"\"");
    let mut rows = from.prepare(&format!("SELECT * FROM \"{name}\""))?;
    let columns = rows.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut add = to.prepare(&format!("INSERT INTO \"{name}\" VALUES ({places})"))?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get_ref(column));
        let values = values.collect::<rusqlite::Result<Vec<_>>>()?;
        let values = values
            .into_iter()
            .map(rusqlite::types::ToSqlOutput::Borrowed);
        add.execute(params_from_iter(values))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rusqlite::params;

    use super::*;
    use crate::store::StoreLimits;

    /// Commits lines, hands them to a store, and forgets them, as a service does.
    fn serve(dir: &Path, alerts: &Path, must_stop: &AtomicBool) {
        let mut state = schema::open(&dir.join(FILE)).unwrap();
        let store = schema::open(alerts).unwrap();
        let mut line = 0;
        while !must_stop.load(Ordering::SeqCst) {
            let set = |name: &str, value: i64| {
                format!("INSERT OR REPLACE INTO meta (name, value) VALUES ('{name}', {value});")
            };
            let step = state.transaction().unwrap();
            for _ in 0..3 {
                line += 1;
                step.execute(
                    "INSERT INTO outbox (seq, line) VALUES (?, 'x')",
                    params![line],
                )
                .unwrap();
            }
            step.execute_batch(&set("last_line", line)).unwrap();
            step.commit().unwrap();
            store.execute_batch(&set("taken", line - 1)).unwrap();
            let delivered = line - 1;
            state
                .execute_batch(&format!(
                    "BEGIN; DELETE FROM outbox WHERE seq <= {delivered}; {} COMMIT;",
                    set("delivered", delivered)
                ))
                .unwrap();
        }
    }

    #[test]
    fn copies_of_a_service_that_works_lack_no_line() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("state");
        let alerts = dir.join("alerts.db");
        drop(StateStore::open(&dir, StoreLimits::default()).unwrap());
        schema::open(&alerts)
            .unwrap()
            .execute_batch(
                "CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
                 CREATE TABLE \"odd \"\" name\" (a, b); CREATE INDEX of_odd ON \"odd \"\" name\" (b);
                 INSERT INTO \"odd \"\" name\" VALUES (x'00ff', 0.5), (NULL, 'text');",
            )
            .unwrap();
        let must_stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| serve(&dir, &alerts, &must_stop));
            for number in 0..40 {
                let to = place.path().join(format!("copy-{number}"));
                std::fs::create_dir(&to).unwrap();
                let copied = StateStore::copy(&dir, Some(&alerts), &to, || {});
                let copied = copied.inspect_err(|_| must_stop.store(true, Ordering::SeqCst));
                let copied = copied.unwrap();
                assert!(copied.has_store);
                let store = Connection::open(to.join(STORE_COPY)).unwrap();
                let one = |connection: &Connection, text: &str| -> i64 {
                    connection.query_row(text, [], |row| row.get(0)).unwrap()
                };
                let taken = one(
                    &store,
                    "SELECT coalesce(max(value), 0) FROM meta WHERE name = 'taken'",
                );
                let Copied {
                    last_line,
                    delivered,
                    ..
                } = copied;
                let ok = delivered <= taken && taken <= last_line;
                let state = Connection::open(to.join(STATE_COPY)).unwrap();
                let kept = one(
                    &state,
                    &format!("SELECT count(*) FROM outbox WHERE seq > {delivered}"),
                );
                if !ok || kept != last_line - delivered {
                    must_stop.store(true, Ordering::SeqCst);
                }
                assert!(ok, "{delivered} <= {taken} <= {last_line}");
                assert_eq!(kept, last_line - delivered);
                assert_eq!(one(&store, "SELECT count(*) FROM \"odd \"\" name\""), 2);
                assert_eq!(one(&state, "PRAGMA user_version"), schema::VERSION);
                let check: String = state
                    .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                    .unwrap();
                assert_eq!(check, "ok");
            }
            must_stop.store(true, Ordering::SeqCst);
        });
        // A copy is a state that a service works with.
        let store =
            StateStore::open(&place.path().join("copy-39"), StoreLimits::default()).unwrap();
        let first = StateStore::open(&dir, StoreLimits::default()).unwrap();
        assert_eq!(store.id(), first.id());
        assert!(store.last_line() > 0);
    }

    #[test]
    fn a_state_that_is_not_there_or_damaged_is_not_copied() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("state");
        let error = StateStore::copy(&dir, None, place.path(), || {}).unwrap_err();
        assert!(matches!(error, StateStoreError::Absent { .. }), "{error}");
        drop(StateStore::open(&dir, StoreLimits::default()).unwrap());
        let file = dir.join(FILE);
        let mut bytes = std::fs::read(&file).unwrap();
        // The page of a table: its head is no page's any more.
        let page = bytes.len() / 4_096 / 2 * 4_096;
        bytes[page..page + 8].fill(0xff);
        std::fs::write(&file, bytes).unwrap();
        let error = StateStore::copy(&dir, None, place.path(), || {}).unwrap_err();
        assert!(matches!(error, StateStoreError::Sqlite { .. }), "{error}");
    }
}
