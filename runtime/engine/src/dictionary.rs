//! Parquet's dictionaries, kept: text columns that rules test are read as dictionaries, whoever wrote the objects.
//!
//! A reader decides by the Arrow schema that it finds in an object's footer. Here the footer is given one that says
//! "dictionary" for the columns that are wanted so, before the reader sees it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::arrow::{
    ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema,
};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder,
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Returns the type in which a text column that rules test is read.
pub(crate) fn text_dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Makes readers that read some columns as dictionaries.
#[derive(Debug)]
pub(crate) struct DictionaryReaders {
    pub(crate) inner: Arc<dyn ParquetFileReaderFactory>,
    /// Names of the columns.
    pub(crate) columns: Arc<HashSet<String>>,
    /// Footers that are being fetched.
    pub(crate) fetching: Arc<Fetching>,
}

/// Footers that are being fetched. An object is opened once for each of its ranges, at the same time by several partitions:
/// the first fetches the footer into the cache, the others wait for it.
#[derive(Debug, Default)]
pub(crate) struct Fetching(Mutex<HashMap<Path, Weak<tokio::sync::Mutex<()>>>>);

impl Fetching {
    /// Waits until nobody else fetches the footer of this object.
    async fn turn(&self, object: &Path) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, turn| turn.strong_count() > 0);
            let known = all.get(object).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                all.insert(object.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

impl ParquetFileReaderFactory for DictionaryReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(DictionaryReader {
            object: file.object_meta.location.clone(),
            fetching: Arc::clone(&self.fetching),
            inner: self
                .inner
                .create_reader(partition, file, metadata_size_hint, metrics)?,
            columns: Arc::clone(&self.columns),
        }))
    }
}

struct DictionaryReader {
    object: Path,
    fetching: Arc<Fetching>,
    inner: Box<dyn AsyncFileReader + Send>,
    columns: Arc<HashSet<String>>,
}

impl AsyncFileReader for DictionaryReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let columns = Arc::clone(&self.columns);
        let (object, fetching) = (self.object.clone(), Arc::clone(&self.fetching));
        let metadata = self.inner.get_metadata(options);
        async move {
            let turn = fetching.turn(&object).await;
            let metadata = metadata.await;
            drop(turn);
            with_dictionaries(&metadata?, &columns)
        }
        .boxed()
    }
}

fn with_dictionaries(
    metadata: &Arc<ParquetMetaData>,
    columns: &HashSet<String>,
) -> Result<Arc<ParquetMetaData>> {
    let file = metadata.file_metadata();
    let found = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let fields: Vec<Field> = found
        .fields()
        .iter()
        .map(|field| {
            let wanted = columns.contains(field.name()) && field.data_type().is_string();
            let field = field.as_ref().clone();
            if wanted {
                field.with_data_type(text_dictionary())
            } else {
                field
            }
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, found.metadata().clone());
    let mut pairs: Vec<KeyValue> = file.key_value_metadata().cloned().unwrap_or_default();
    pairs.retain(|pair| pair.key != ARROW_SCHEMA_META_KEY);
    pairs.push(KeyValue::new(
        ARROW_SCHEMA_META_KEY.to_owned(),
        encode_arrow_schema(&schema),
    ));
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        Some(pairs),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let rebuilt = ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned());
    Ok(Arc::new(rebuilt.build()))
}
