//! A listing of a table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::object_store::path::Path;
use futures::{StreamExt, stream};
use tokio::time::timeout;
use yagura_core::{TimeRange, Timestamp};
use yagura_lake::TableDefinition;
use yagura_lake::table::{DataFile, OnProblem, Table, TableConfig, TableError};

use super::messages::problem;
use super::objects::{ReadObjects, WaitingObject};
use crate::table_run::FOOTERS_AT_ONCE;
use yagura_plan::footer_cache;

/// How long a listing waits for an object's footer. One that the store does not give by then is read by itself.
const FOOTER: Duration = Duration::from_secs(2);

/// A table that was opened, with its footers.
pub(super) type OpenTable = (Arc<Table>, Arc<FileMetadataCache>);

/// Opens a table. Objects that cannot be read, and events without a time, are left for the steps, which report each.
///
/// # Errors
/// As [`Table::open`].
pub(super) async fn open(config: TableConfig, range: TimeRange) -> Result<OpenTable, TableError> {
    let cache = footer_cache();
    let config = TableConfig {
        on_bad_file: OnProblem::Skip,
        on_null_time: Some(OnProblem::Skip),
        ..config
    };
    let table = Table::open(config, range, Arc::clone(&cache)).await?;
    Ok((Arc::new(table), cache))
}

/// The input of a listing.
#[derive(Debug)]
pub(super) struct ListingInput {
    pub(super) config: TableConfig,
    pub(super) range: TimeRange,
    pub(super) table: Arc<Table>,
    pub(super) cache: Arc<FileMetadataCache>,
    pub(super) known: ReadObjects,
    /// Objects that wait; with their versions, if it is known that the table has all of their columns.
    pub(super) waiting: BTreeMap<String, Option<String>>,
    /// The first day to list; `None` for all.
    pub(super) since: Option<NaiveDate>,
    /// Events after it are ahead of the clock.
    pub(super) limit: Timestamp,
}

/// The result of a listing.
#[derive(Debug, Default)]
pub(super) struct ListingResult {
    /// How many objects are there, if all were listed.
    pub(super) all: Option<usize>,
    /// Objects that were not there before, or were replaced before they were read.
    pub(super) new: Vec<WaitingObject>,
    /// Objects that were replaced after they had been read.
    pub(super) replaced: Vec<WaitingObject>,
    /// Objects that waited and are gone.
    pub(super) gone: Vec<String>,
    /// Versions of objects of which none was noted.
    pub(super) adopted: Vec<(String, String)>,
    /// Objects of 0 bytes.
    pub(super) empty: Vec<String>,
    /// Objects in folders in which the table has none.
    pub(super) strays: Vec<String>,
    /// Files and folders with names that no object can have.
    pub(super) odd_names: Vec<String>,
    /// The table as it is now, if it has other columns or partitions.
    pub(super) other: Option<OpenTable>,
    /// Why objects with other columns or partitions cannot be taken in.
    pub(super) problem: Option<String>,
}

impl ListingInput {
    /// Lists the table. Objects with columns or partitions that the table lacks are held back until it could be opened with these:
    /// read before, they would hide what they bring.
    ///
    /// # Errors
    /// Why it cannot be listed, or not be opened again because its store fails.
    pub(super) async fn run(self) -> Result<ListingResult, TableError> {
        let listed = self.table.list(self.since).await?;
        let mut found = ListingResult {
            all: listed.is_whole().then_some(listed.files.len()),
            ..ListingResult::default()
        };
        let location = &self.table.location;
        let mut missing = self.waiting.clone();
        let (mut new, mut replaced) = (Vec::new(), Vec::new());
        let is_covered = |name: &str| {
            let path = location.object_of(name);
            path.is_none_or(|path| listed.covers(&path))
        };
        missing.retain(|name, _| is_covered(name));
        for file in listed.files {
            let (name, version) = (location.name_of(&file.meta.location), file.version());
            if missing.remove(&name).flatten().as_ref() == Some(&version) {
                continue;
            }
            match self.known.get(&name) {
                None => new.push(file),
                Some(known) => match &known.version {
                    None => found.adopted.push((name, version)),
                    Some(before) if *before == version => {}
                    Some(_) if known.is_bad => new.push(file),
                    Some(_) => replaced.push(file),
                },
            }
        }
        found.gone = missing.into_keys().collect();
        found.empty = listed.empty;
        found.strays = listed.strays;
        found.odd_names = listed.odd_names;
        if !new.is_empty() || !replaced.is_empty() {
            let others = self.with_other_columns(new.iter().chain(&replaced)).await?;
            if !others.is_empty() {
                match open(self.config.clone(), self.range).await {
                    Ok((opened, cache)) if self.differs(&opened) => {
                        found.other = Some((opened, cache));
                        return Ok(found);
                    }
                    // It was opened so before: the columns are those of an object that cannot be read, for instance.
                    Ok(_) => {}
                    Err(error @ (TableError::List { .. } | TableError::Store { .. })) => {
                        return Err(error);
                    }
                    Err(error) => {
                        found.problem = Some(problem(&error));
                        let is_held = |file: &DataFile| others.contains(&file.meta.location);
                        new.retain(|file| !is_held(file));
                        replaced.retain(|file| !is_held(file));
                    }
                }
            }
        }
        found.new = self.look_at(new).await;
        found.replaced = self.look_at(replaced).await;
        Ok(found)
    }

    fn differs(&self, opened: &Table) -> bool {
        let table = &self.table;
        opened.file_schema != table.file_schema
            || opened.partitions != table.partitions
            || opened.time != table.time
    }

    /// Returns the objects that have, or by the table's definition may have, columns or partitions that the table lacks.
    async fn with_other_columns(
        &self,
        files: impl Iterator<Item = &DataFile>,
    ) -> Result<BTreeSet<Path>, TableError> {
        let table = &self.table;
        let files: Vec<DataFile> = files.cloned().collect();
        let definition = TableDefinition::read(&self.config.location).await;
        let definition = definition.map_err(|source| TableError::Lake {
            table: table.name.clone(),
            source,
        })?;
        // A definition lists all columns.
        let all = match &definition {
            Some(definition) => Some(!table.has_columns_as(definition)),
            None => table.is_defined.then_some(true),
        };
        let looks = files.into_iter().map(|file| {
            let (table, cache) = (Arc::clone(table), Arc::clone(&self.cache));
            async move {
                let has_others = match all {
                    Some(has_others) => has_others,
                    // Whether an object can be read is for a read to find out.
                    None => table
                        .has_columns_of(&file, cache)
                        .await
                        .is_ok_and(|has| !has),
                };
                let is_other = has_others || table.has_other_partitions(&file);
                is_other.then_some(file.meta.location)
            }
        });
        let looks = stream::iter(looks).buffered(FOOTERS_AT_ONCE);
        let others: Vec<Option<Path>> = looks.collect().await;
        Ok(others.into_iter().flatten().collect())
    }

    /// Finds the times of objects by their footers.
    async fn look_at(&self, files: Vec<DataFile>) -> Vec<WaitingObject> {
        let limit = self.limit;
        let looks = files.into_iter().map(|file| {
            let (table, cache) = (Arc::clone(&self.table), Arc::clone(&self.cache));
            async move {
                let times = timeout(FOOTER, table.look_at_times(&file, cache, limit)).await;
                WaitingObject {
                    name: table.location.name_of(&file.meta.location),
                    version: file.version(),
                    file,
                    // Whether an object can be read is for a read to find out, and what to do if not.
                    times: times.ok().and_then(Result::ok),
                    trouble: None,
                }
            }
        });
        stream::iter(looks)
            .buffered(FOOTERS_AT_ONCE)
            .collect()
            .await
    }
}
