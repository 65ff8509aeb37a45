//! A table listed again: its objects now, among them new ones.

use chrono::NaiveDate;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore};

use crate::azure::odd_name;
use crate::definition::PARTITION_COLUMN;
use crate::discover::{SortedListing, hive_parts, is_stray, partition_values};
use crate::list::{LocationContents, is_of_a_name, list_all};
use crate::table::{DataFile, Table};
use crate::table_error::TableError;

/// What a listing of a table found.
#[derive(Debug, Default)]
pub struct ListedTable {
    /// The objects that hold events, by name.
    pub files: Vec<DataFile>,
    /// Names of objects of 0 bytes. A writer may have only begun them: they are listed again.
    pub empty: Vec<String>,
    /// Names of objects in stray folders.
    pub strays: Vec<String>,
    /// Files and folders with names that no object can have.
    pub odd_names: Vec<String>,
    /// Folders of days that were not listed.
    skipped: Vec<Path>,
}

impl ListedTable {
    /// Says whether the whole table was listed.
    pub fn is_whole(&self) -> bool {
        self.skipped.is_empty()
    }

    /// Says whether an object would have been found if it were there.
    pub fn covers(&self, object: &Path) -> bool {
        let mut skipped = self.skipped.iter();
        !skipped.any(|folder| object.prefix_matches(folder))
    }
}

impl Table {
    /// Lists the table's objects. With `since`, a table that is partitioned by day is listed from that day on alone; others are
    /// listed whole.
    ///
    /// # Errors
    /// [`TableError::List`]; [`TableError::Foreign`] where the log of another format has appeared.
    pub async fn list(&self, since: Option<NaiveDate>) -> Result<ListedTable, TableError> {
        let found = match since {
            Some(since) => match self.list_since(since).await {
                Err(error) if is_of_a_name(&error) => self.list_whole().await,
                other => other,
            },
            None => self.list_whole().await,
        };
        let (found, skipped) = found.map_err(|source| TableError::List {
            table: self.name.clone(),
            location: self.location.to_string(),
            source,
        })?;
        let mut listing = SortedListing::sort_out(&self.location, found).own(&self.name)?;
        listing.leave_out(&self.location, |meta| self.is_stray(meta));
        let (location, names) = (&self.location, &self.partitions);
        let files = listing.data.into_iter().map(|meta| DataFile {
            partition_values: partition_values(location, &meta.location, names),
            meta,
        });
        Ok(ListedTable {
            files: files.collect(),
            empty: listing.empty,
            strays: listing.strays,
            odd_names: listing.odd_names,
            skipped,
        })
    }

    /// Says whether an object lies where the table has none.
    fn is_stray(&self, meta: &ObjectMeta) -> bool {
        if self.is_defined {
            return is_stray(&self.location, meta, PARTITION_COLUMN);
        }
        let names: Vec<&str> = hive_parts(&self.location, &meta.location)
            .map(|(name, _)| name)
            .collect();
        // A folder's value would take the place of a column, or a column that of a folder's value.
        let is_column = |name: &&str| self.file_schema.index_of(name).is_ok();
        let mut required = self.stored_partitions.iter();
        names.iter().any(is_column) || required.any(|of| !names.contains(&of.as_str()))
    }

    /// Says whether an object lies in partition folders that the table does not know.
    pub fn has_other_partitions(&self, file: &DataFile) -> bool {
        let mut parts = hive_parts(&self.location, &file.meta.location);
        parts.any(|(name, _)| !self.partitions.iter().any(|known| known == name))
    }

    async fn list_whole(&self) -> Result<(LocationContents, Vec<Path>), StoreError> {
        Ok((list_all(&self.location).await?, Vec::new()))
    }

    /// Lists the day folders that begin at `since`, if the table's first folders are days, and returns those that it left out.
    async fn list_since(
        &self,
        since: NaiveDate,
    ) -> Result<(LocationContents, Vec<Path>), StoreError> {
        let Some((name, form)) = &self.day_partition else {
            return self.list_whole().await;
        };
        let location = &self.location;
        let top = location
            .store
            .list_with_delimiter(Some(&location.prefix))
            .await?;
        let (mut found, mut skipped) = (top.objects, Vec::new());
        let mut odd_folders = Vec::new();
        for folder in top.common_prefixes {
            if let Some(name) = odd_name(&folder) {
                odd_folders.push(name);
                continue;
            }
            let day = folder.filename().and_then(|text| text.split_once('='));
            let is_before = match day {
                Some((key, value)) if key == name => {
                    NaiveDate::parse_from_str(value, form).is_ok_and(|day| day < since)
                }
                // Another partition comes first: days are below it.
                Some(_) => return self.list_whole().await,
                None => false,
            };
            if is_before {
                skipped.push(folder);
                continue;
            }
            let below: Vec<ObjectMeta> = location.store.list(Some(&folder)).try_collect().await?;
            found.extend(below);
        }
        let mut found = LocationContents::of(found);
        found.odd_names.append(&mut odd_folders);
        Ok((found, skipped))
    }
}
