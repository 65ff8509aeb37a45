//! Events by object and row, as evidence names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use datafusion::parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::bytes::text_as_bytes;
use crate::definition::RAW_COLUMN;
use crate::guard::guarded;
use crate::hash;
use crate::sizes::nested_sizes;
use crate::table::{DataFile, Table};

/// A reader of one object's events.
type EventStream = ParquetRecordBatchStreamBuilder<Box<dyn AsyncFileReader>>;

/// Why an event cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The object is not among those that were read.
    #[error("{object} is not an object of table `{table}`")]
    Unknown {
        /// The table.
        table: String,
        /// The object.
        object: String,
    },
    /// The object cannot be read any more.
    #[error("cannot read the events of {object} again")]
    Read {
        /// The object.
        object: String,
        /// The cause.
        source: DataFusionError,
    },
    /// The event would take too much memory.
    #[error("row {row} of {object} takes {mib} MiB written out, which is too much to hash it")]
    TooLarge {
        /// The object.
        object: String,
        /// The row.
        row: u64,
        /// How much it takes.
        mib: u64,
    },
    /// The object has fewer rows than before.
    #[error(
        "{object} holds {found} of the {wanted} events looked for; it was replaced while it was read"
    )]
    Changed {
        /// The object.
        object: String,
        /// Rows asked for.
        wanted: usize,
        /// Rows there.
        found: usize,
    },
}

impl Table {
    /// Reads rows of an object and returns the SHA-256 of each event in hexadecimal: of its raw text where this event has one,
    /// else of the canonical form of all its columns (JSON with sorted keys, without nulls). Only the pages that hold the rows
    /// are fetched.
    ///
    /// # Errors
    /// [`RowsError`], naming the object.
    pub async fn event_hashes(
        &self,
        object: &str,
        rows: &[u64],
    ) -> Result<BTreeMap<u64, String>, RowsError> {
        let mut files = self.files.iter();
        let known = files.find(|file| self.location.name_of(&file.meta.location) == object);
        let file = match known {
            Some(file) => file.clone(),
            // Of an earlier step: the table need not have listed it again.
            None => self.look_up(object).await?,
        };
        let file = &file;
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        let mut hashes = BTreeMap::new();
        if let Some(batch) = self.read_rows(object, file, &rows, true).await? {
            let raw = batch.column(0);
            for (at, row) in rows.iter().enumerate() {
                if let Some(raw) = hash::raw_at(raw.as_ref(), at) {
                    hashes.insert(*row, hash::of_raw(raw));
                }
            }
        }
        rows.retain(|row| !hashes.contains_key(row));
        if rows.is_empty() {
            return Ok(hashes);
        }
        if let Some(batch) = self.read_rows(object, file, &rows, false).await? {
            let sizes: Vec<Vec<u64>> = batch
                .columns()
                .iter()
                .filter_map(|column| nested_sizes(column))
                .collect();
            for (at, row) in rows.iter().enumerate() {
                let size = sizes
                    .iter()
                    .fold(0, |size: u64, of| size.saturating_add(of[at]));
                if size > MOST_HASHED {
                    return Err(RowsError::TooLarge {
                        object: object.to_owned(),
                        row: *row,
                        mib: size >> 20,
                    });
                }
                hashes.insert(*row, hash::of_row(&batch, at));
            }
        }
        Ok(hashes)
    }

    /// Returns what an event says of where it comes from: column and value.
    pub(crate) async fn source_of(&self, file: &DataFile, row: u64) -> Option<String> {
        let object = self.location.name_of(&file.meta.location);
        let batch = self.read_rows(&object, file, &[row], false).await.ok()??;
        let schema = batch.schema();
        let plain = |name: &str| {
            let last = name.rsplit('.').next().unwrap_or(name);
            last.to_ascii_lowercase().replace('_', "")
        };
        let columns = SOURCES.iter().flat_map(|wanted| {
            let fields = schema.fields().iter().enumerate();
            fields.filter(move |(_, field)| plain(field.name()) == *wanted)
        });
        let mut values = columns.filter_map(|(at, field)| {
            let value = text_at(batch.column(at))?;
            let value: String = value.chars().take(MOST_SHOWN).collect();
            Some(format!("`{}` `{value}`", field.name()))
        });
        values.next()
    }

    /// Says whether an object, by its name, lies in the table.
    pub fn holds(&self, object: &str) -> bool {
        let path = self.location.object_of(object);
        path.is_some_and(|path| path.prefix_matches(&self.location.prefix))
    }

    async fn look_up(&self, object: &str) -> Result<DataFile, RowsError> {
        let unknown = || RowsError::Unknown {
            table: self.name.clone(),
            object: object.to_owned(),
        };
        let path = self.location.object_of(object).ok_or_else(unknown)?;
        let meta = self
            .location
            .store
            .head(&path)
            .await
            .map_err(|_| unknown())?;
        Ok(DataFile {
            meta,
            partition_values: Vec::new(),
        })
    }

    /// Returns a reader of an object's bytes.
    pub(crate) fn reader(
        &self,
        file: &DataFile,
    ) -> Result<Box<dyn AsyncFileReader>, DataFusionError> {
        let object = PartitionedFile::new_from_meta(file.meta.clone());
        let store = Arc::clone(&self.location.store);
        let reader = DefaultParquetFileReaderFactory::new(store).create_reader(
            0,
            object,
            None,
            &ExecutionPlanMetricsSet::new(),
        )?;
        Ok(reader)
    }

    /// Opens an object so that text is read as the bytes that it is.
    pub(crate) async fn bytes_of(&self, file: &DataFile) -> Result<EventStream, DataFusionError> {
        let mut reader = self.reader(file)?;
        let options = ArrowReaderOptions::new();
        let metadata = reader.get_metadata(Some(&options)).await?;
        let metadata = text_as_bytes(&metadata, &|_| false)?;
        let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
        Ok(EventStream::new_with_metadata(reader, metadata))
    }

    /// Reads rows of an object: their source texts, nothing if the object has none, or all their columns.
    async fn read_rows(
        &self,
        object: &str,
        file: &DataFile,
        rows: &[u64],
        is_raw: bool,
    ) -> Result<Option<RecordBatch>, RowsError> {
        let read = async {
            let builder = self.bytes_of(file).await?;
            let mask = if !is_raw {
                ProjectionMask::all()
            } else if builder.schema().index_of(RAW_COLUMN).is_ok() {
                ProjectionMask::columns(builder.parquet_schema(), [RAW_COLUMN])
            } else {
                return Ok(None);
            };
            let stream = builder
                .with_projection(mask)
                .with_row_selection(selection(rows))
                .build()?;
            let schema = Arc::clone(stream.schema());
            let batches: Vec<RecordBatch> = stream.try_collect().await?;
            Ok::<_, DataFusionError>(Some(concat_batches(&schema, &batches)?))
        };
        let batch = guarded(read).await.map_err(|source| RowsError::Read {
            object: object.to_owned(),
            source,
        })?;
        match batch {
            Some(batch) if batch.num_rows() != rows.len() => Err(RowsError::Changed {
                object: object.to_owned(),
                wanted: rows.len(),
                found: batch.num_rows(),
            }),
            batch => Ok(batch),
        }
    }
}

/// The most that the nested columns of an event may take that is hashed, written out.
const MOST_HASHED: u64 = 256 << 20;

/// Characters of such a value that are shown.
const MOST_SHOWN: usize = 100;

/// Columns that say which machine or program wrote an event, in lower case and without `_`; the first that an event has counts.
const SOURCES: [&str; 12] = [
    "hostname",
    "host",
    "computername",
    "computer",
    "devicehostname",
    "devicename",
    "device",
    "agentname",
    "agent",
    "sensor",
    "sourcehost",
    "source",
];

/// Returns the only value of a column as text; nothing for what is nested or absent.
fn text_at(column: &dyn Array) -> Option<String> {
    if column.is_null(0) || column.data_type().is_nested() {
        return None;
    }
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        return Some(String::from_utf8_lossy(bytes.value(0)).into_owned());
    }
    array_value_to_string(column, 0).ok()
}

fn selection(rows: &[u64]) -> RowSelection {
    let mut next = 0;
    let mut selectors = Vec::new();
    for row in rows.iter().filter_map(|row| usize::try_from(*row).ok()) {
        if row > next {
            selectors.push(RowSelector::skip(row - next));
        }
        selectors.push(RowSelector::select(1));
        next = row + 1;
    }
    RowSelection::from(selectors)
}
