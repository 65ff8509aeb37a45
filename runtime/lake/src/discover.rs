//! New objects of a table that was opened before.

use chrono::NaiveDate;
use futures::TryStreamExt;
use object_store::ObjectMeta;

use crate::table::{DataFile, Table, TableError, is_data, partition_values};

impl Table {
    /// Lists the objects whose names `known` does not know, by name. With `since`, a table that is partitioned by day is listed
    /// from that day on alone; others are listed whole.
    ///
    /// # Errors
    /// [`TableError::List`].
    pub async fn list_new(
        &self,
        known: &(dyn Fn(&str) -> bool + Sync),
        since: Option<NaiveDate>,
    ) -> Result<Vec<DataFile>, TableError> {
        let found = match since {
            Some(since) => self.list_since(since).await,
            None => self.list_whole().await,
        };
        let found = found.map_err(|source| TableError::List {
            table: self.name.clone(),
            location: self.location.to_string(),
            source,
        })?;
        let mut files: Vec<DataFile> = found
            .into_iter()
            .filter(is_data)
            .filter(|meta| !known(&self.location.name_of(&meta.location)))
            .map(|meta| DataFile {
                partition_values: partition_values(&self.location, &meta),
                meta,
            })
            .collect();
        files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
        Ok(files)
    }

    async fn list_whole(&self) -> Result<Vec<ObjectMeta>, object_store::Error> {
        let location = &self.location;
        location
            .store
            .list(Some(&location.prefix))
            .try_collect()
            .await
    }

    /// Lists the day folders that begin at `since`, if the table's first folders are days.
    async fn list_since(&self, since: NaiveDate) -> Result<Vec<ObjectMeta>, object_store::Error> {
        let Some((name, form)) = &self.day_partition else {
            return self.list_whole().await;
        };
        let location = &self.location;
        let top = location
            .store
            .list_with_delimiter(Some(&location.prefix))
            .await?;
        let mut found = top.objects;
        for folder in top.common_prefixes {
            let day = folder.filename().and_then(|text| text.split_once('='));
            let is_before = match day {
                Some((key, value)) if key == name => {
                    NaiveDate::parse_from_str(value, form).is_ok_and(|day| day < since)
                }
                // Another partition comes first: days are below it.
                Some(_) => return self.list_whole().await,
                None => false,
            };
            if !is_before {
                let below: Vec<ObjectMeta> =
                    location.store.list(Some(&folder)).try_collect().await?;
                found.extend(below);
            }
        }
        Ok(found)
    }
}
