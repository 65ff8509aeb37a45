//! A store of a server as a file, and the way back: both have the same tables, so every row is the same there.
//!
//! ```text
//! nobody writes ├──────────────▶ the store is read as it was then, as long as that takes
//!  begin_copy    the state is read too │ let_write
//! ```

use std::path::Path;

use futures::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Row, Transaction};

use super::{
    AlertStore, AlertStoreError, Lead, StoreLocation, Write, deliveries, schema, set_number,
};

/// A store as it is at one moment.
pub struct StoreCopy {
    then: Transaction<'static, Any>,
    /// Keeps others from writing.
    turn: Option<Write>,
    store: AlertStore,
}

impl std::fmt::Debug for StoreCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreCopy").finish_non_exhaustive()
    }
}

/// A table, with its columns, and of each whether it holds numbers.
struct TableShape {
    name: String,
    columns: Vec<(String, bool)>,
}

impl TableShape {
    fn names(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| format!("\"{name}\""));
        names.collect::<Vec<_>>().join(", ")
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM \"{}\"", self.names(), self.name)
    }

    fn insert(&self) -> String {
        let places = (1..=self.columns.len()).map(|place| format!("${place}"));
        let places = places.collect::<Vec<_>>().join(", ");
        let names = self.names();
        format!("INSERT INTO \"{}\" ({names}) VALUES ({places})", self.name)
    }

    /// Writes a row as it was read.
    async fn put(
        &self,
        insert: &str,
        row: &AnyRow,
        to: &mut AnyConnection,
    ) -> Result<(), AlertStoreError> {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert.to_owned()));
        for (place, (_, is_number)) in self.columns.iter().enumerate() {
            query = match is_number {
                true => query.bind(row.try_get::<Option<i64>, _>(place)?),
                false => query.bind(row.try_get::<Option<String>, _>(place)?),
            };
        }
        query.execute(to).await?;
        Ok(())
    }
}

/// Returns the tables of a store that is a file; all but that of the schema's version, which a new store has.
async fn shapes(file: &mut AnyConnection) -> Result<Vec<TableShape>, AlertStoreError> {
    let names = sqlx::query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version'
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(&mut *file)
    .await?;
    let mut shapes = Vec::new();
    for row in names {
        let name: String = row.try_get("name")?;
        let columns = sqlx::query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
            .bind(name.clone())
            .fetch_all(&mut *file)
            .await?;
        let column = |row: &AnyRow| -> Result<(String, bool), AlertStoreError> {
            let kind: String = row.try_get("type")?;
            Ok((row.try_get("name")?, kind == "BIGINT"))
        };
        let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
        shapes.push(TableShape { name, columns });
    }
    Ok(shapes)
}

/// Copies all rows of a table, and returns how many.
async fn copy_rows(
    shape: &TableShape,
    from: &mut AnyConnection,
    to: &mut AnyConnection,
) -> Result<u64, AlertStoreError> {
    let (select, insert) = (shape.select(), shape.insert());
    // What a new store has of its own gives way.
    let clear = format!("DELETE FROM \"{}\"", shape.name);
    sqlx::query(sqlx::AssertSqlSafe(clear))
        .execute(&mut *to)
        .await?;
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(select)).fetch(from);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        shape.put(&insert, &row, to).await?;
        count += 1;
    }
    Ok(count)
}

impl AlertStore {
    /// Reads the store as it is now. Nobody writes to it until [`StoreCopy::let_write`].
    ///
    /// # Errors
    /// [`AlertStoreError`].
    pub async fn begin_copy(&self) -> Result<StoreCopy, AlertStoreError> {
        let turn = self.write().await?;
        let mut then = if self.location().is_sqlite() {
            self.0.pool.begin().await?
        } else {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            self.0.pool.begin_with(begin).await?
        };
        // It begins with the first row that is read.
        sqlx::query("SELECT COUNT(*) AS count FROM meta")
            .fetch_one(&mut *then)
            .await?;
        Ok(StoreCopy {
            then,
            turn: Some(turn),
            store: self.clone(),
        })
    }

    /// Says whether nothing was ever kept in it.
    ///
    /// # Errors
    /// [`AlertStoreError`].
    pub async fn is_new(&self) -> Result<bool, AlertStoreError> {
        let mut connection = self.read().await?;
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM alerts) + (SELECT COUNT(*) FROM incidents) AS count",
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(row.try_get::<i64, _>("count")? == 0)
    }

    /// Takes all that a copy holds in place of what it has, as [`AlertStore::mark_restored`] says: all of it or nothing. `aside` names
    /// the schema of the server into which its own tables are moved.
    ///
    /// # Errors
    /// [`AlertStoreError`]: also where another process works with it.
    pub async fn take_copy(
        &self,
        copy: &Self,
        aside: Option<&str>,
    ) -> Result<u64, AlertStoreError> {
        let lead = Lead::take(self).await?;
        let mut from = copy.read().await?;
        let shapes = shapes(&mut from).await?;
        let mut write = self.write().await?;
        if let Some(aside) = aside {
            let tables = shapes.iter().map(|shape| shape.name.as_str());
            let moved = tables.chain(["schema_version"]);
            let moved = moved.map(|name| format!("ALTER TABLE \"{name}\" SET SCHEMA \"{aside}\""));
            for statement in [format!("CREATE SCHEMA \"{aside}\"")]
                .into_iter()
                .chain(moved)
            {
                let statement = sqlx::query(sqlx::AssertSqlSafe(statement));
                statement.execute(&mut *write).await?;
            }
            schema::migrate(&mut write).await?;
        }
        let mut count = 0;
        for shape in &shapes {
            count += copy_rows(shape, &mut from, &mut write).await?;
        }
        lead.keep(&mut write).await?;
        set_number(&mut write, deliveries::RESTORED, self.now()).await?;
        deliveries::doubt(&mut write).await?;
        write.commit().await?;
        Ok(count)
    }
}

impl StoreCopy {
    /// Lets others write to the store again: what they write is not in the copy.
    pub fn let_write(&mut self) {
        self.turn = None;
    }

    /// Writes the copy into a new file, which is a store itself, and returns how many rows it has.
    ///
    /// # Errors
    /// [`AlertStoreError`].
    pub async fn write_to(mut self, file: &Path) -> Result<u64, AlertStoreError> {
        let clock = self.store.clock().clone();
        let target = AlertStore::open(&StoreLocation::Sqlite(file.to_owned()), clock).await?;
        let mut write = target.write().await?;
        let mut count = 0;
        for shape in shapes(&mut write).await? {
            count += copy_rows(&shape, &mut self.then, &mut write).await?;
        }
        write.commit().await?;
        // The last connection takes the journal with it.
        target.close().await;
        Ok(count)
    }
}
