//! Events by object and row, as evidence names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

use crate::definition::RAW_COLUMN;
use crate::guard::guarded;
use crate::table::{DataFile, Table};

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
    /// The rows have no form as text.
    #[error("cannot write the events of {object} as text")]
    Text {
        /// The object.
        object: String,
        /// The cause.
        source: ArrowError,
    },
}

impl Table {
    /// Reads rows of an object and returns the SHA-256 of each event in hexadecimal: of its raw text where the table keeps
    /// it, else of the row as JSON without nulls. Only the pages that hold the rows are fetched.
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
        let batch = guarded(self.read_rows(file, &rows))
            .await
            .map_err(|source| RowsError::Read {
                object: object.to_owned(),
                source,
            })?;
        if batch.num_rows() != rows.len() {
            return Err(RowsError::Changed {
                object: object.to_owned(),
                wanted: rows.len(),
                found: batch.num_rows(),
            });
        }
        let texts = event_texts(&batch).map_err(|source| RowsError::Text {
            object: object.to_owned(),
            source,
        })?;
        let hashes = texts.iter().map(|text| hex(&Sha256::digest(text)));
        Ok(rows.into_iter().zip(hashes).collect())
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

    async fn read_rows(
        &self,
        file: &DataFile,
        rows: &[u64],
    ) -> Result<RecordBatch, DataFusionError> {
        let builder = ParquetRecordBatchStreamBuilder::new(self.reader(file)?).await?;
        let has_raw = builder.schema().index_of(RAW_COLUMN).is_ok();
        let mask = if has_raw {
            ProjectionMask::columns(builder.parquet_schema(), [RAW_COLUMN])
        } else {
            ProjectionMask::all()
        };
        let stream = builder
            .with_projection(mask)
            .with_row_selection(selection(rows))
            .build()?;
        let schema = Arc::clone(stream.schema());
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        Ok(concat_batches(&schema, &batches)?)
    }
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

fn event_texts(batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ArrowError> {
    if let Some(raw) = batch.column_by_name(RAW_COLUMN) {
        let raw = cast(raw, &DataType::Utf8View)?;
        let raw = raw.as_string_view();
        if raw.null_count() == 0 {
            return Ok(raw
                .iter()
                .flatten()
                .map(|text| text.as_bytes().to_vec())
                .collect());
        }
    }
    (0..batch.num_rows())
        .map(|row| {
            let mut writer = LineDelimitedWriter::new(Vec::new());
            writer.write(&batch.slice(row, 1))?;
            writer.finish()?;
            let mut text = writer.into_inner();
            while text.last() == Some(&b'\n') {
                text.pop();
            }
            Ok(text)
        })
        .collect()
}
