//! Which times the events of an object have, as its writer says or its column, and objects that have none.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use datafusion::parquet::arrow::{ArrowWriter, ProjectionMask, parquet_to_arrow_schema};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use yagura_core::Timestamp;

use crate::guard::guarded;
use crate::table::{DataFile, Table, event_times};
use crate::{Location, TableDefinition};

impl Table {
    /// Returns the earliest and the latest event time of an object by its footer's statistics, and where these are missing by
    /// its time column; nothing if no event has a time. The footer goes into `cache`.
    ///
    /// # Errors
    /// When the footer or the time column cannot be read.
    pub async fn times_of(
        &self,
        file: &DataFile,
        cache: Arc<FileMetadataCache>,
    ) -> Result<Option<(Timestamp, Timestamp)>, DataFusionError> {
        guarded(self.read_times(file, cache)).await
    }

    async fn read_times(
        &self,
        file: &DataFile,
        cache: Arc<FileMetadataCache>,
    ) -> Result<Option<(Timestamp, Timestamp)>, DataFusionError> {
        let metadata = DFParquetMetadata::new(self.location.store.as_ref(), &file.meta)
            .with_file_metadata_cache(Some(cache))
            .with_metadata_size_hint(Some(64 * 1024))
            .fetch_metadata()
            .await?;
        let descriptor = metadata.file_metadata().schema_descr();
        let schema =
            parquet_to_arrow_schema(descriptor, metadata.file_metadata().key_value_metadata())?;
        let Ok(converter) = StatisticsConverter::try_new(&self.time, &schema, descriptor) else {
            return Ok(None);
        };
        let groups = metadata.row_groups();
        let (earliest, latest) = (
            converter.row_group_mins(groups)?,
            converter.row_group_maxes(groups)?,
        );
        let mut bounds = Vec::with_capacity(2);
        for (side, array) in [&earliest, &latest].into_iter().enumerate() {
            let times = event_times(array)?;
            // A group without statistics may hold anything; one of NULLs alone holds no event.
            let of = if side == 0 {
                times.iter().flatten().min()
            } else {
                times.iter().flatten().max()
            };
            let unknown = times.iter().zip(groups).any(|(time, group)| {
                time.is_none() && group.num_rows() > 0 && !is_all_null(&converter, group)
            });
            if unknown {
                return self.times_in(file).await;
            }
            bounds.extend(of.copied());
        }
        Ok(match bounds.as_slice() {
            [earliest, latest] => Some((*earliest, *latest)),
            _ => None,
        })
    }

    /// Reads an object's time column, and returns its earliest and its latest event time.
    async fn times_in(
        &self,
        file: &DataFile,
    ) -> Result<Option<(Timestamp, Timestamp)>, DataFusionError> {
        let builder = ParquetRecordBatchStreamBuilder::new(self.reader(file)?).await?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [self.time.as_str()]);
        let mut batches = builder.with_projection(mask).build()?;
        let mut bounds: Option<(Timestamp, Timestamp)> = None;
        while let Some(batch) = batches.try_next().await? {
            for time in event_times(batch.column(0))?.into_iter().flatten() {
                let (earliest, latest) = bounds.unwrap_or((time, time));
                bounds = Some((earliest.min(time), latest.max(time)));
            }
        }
        Ok(bounds)
    }
}

impl TableDefinition {
    /// Writes an object without events, so that a table in which nothing happened is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write_empty_object(&self, table: &Location) -> Result<(), DataFusionError> {
        let mut bytes = Vec::new();
        ArrowWriter::try_new(&mut bytes, self.arrow_schema(), None)?.close()?;
        let path = table.join("empty.parquet").prefix;
        table.store.put(&path, bytes.into()).await?;
        Ok(())
    }
}

fn is_all_null(
    converter: &StatisticsConverter<'_>,
    group: &datafusion::parquet::file::metadata::RowGroupMetaData,
) -> bool {
    let nulls = converter.row_group_null_counts([group]);
    nulls.is_ok_and(|nulls| nulls.iter().flatten().next() == u64::try_from(group.num_rows()).ok())
}
