//! Parquet's dictionaries, kept: text columns that rules test are read as dictionaries, whoever wrote the objects.
//!
//! A reader decides by the Arrow schema that it finds in an object's footer. Here the footer is given one with the type
//! dictionary for the columns that are wanted so, before the reader sees it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use yagura_lake::bytes::{text_as_bytes, with_schemas, with_views};

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
    /// Names of the columns of text, where text is read as bytes because some of it is not UTF-8.
    pub(crate) bytes: Option<Arc<HashSet<String>>>,
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
            needs_pages: file.extension::<ParquetRowSelection>().is_some(),
            fetching: Arc::clone(&self.fetching),
            inner: self
                .inner
                .create_reader(partition, file, metadata_size_hint, metrics)?,
            columns: Arc::clone(&self.columns),
            bytes: self.bytes.clone(),
        }))
    }
}

struct DictionaryReader {
    object: Path,
    /// Only some rows are read, so that it must be known where pages begin.
    needs_pages: bool,
    fetching: Arc<Fetching>,
    inner: Box<dyn AsyncFileReader + Send>,
    columns: Arc<HashSet<String>>,
    bytes: Option<Arc<HashSet<String>>>,
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
        let bytes = self.bytes.clone();
        let (object, fetching) = (self.object.clone(), Arc::clone(&self.fetching));
        let options = match self.needs_pages {
            true => {
                let options = options.cloned().unwrap_or_default();
                Some(options.with_page_index_policy(PageIndexPolicy::Optional))
            }
            false => options.cloned(),
        };
        let inner = &mut self.inner;
        async move {
            let turn = fetching.turn(&object).await;
            let metadata = inner.get_metadata(options.as_ref()).await;
            drop(turn);
            match bytes {
                Some(bytes) => text_as_bytes(metadata?.as_ref(), &|name| bytes.contains(name)),
                None => with_dictionaries(metadata?.as_ref(), &columns),
            }
        }
        .boxed()
    }
}

fn with_dictionaries(
    metadata: &ParquetMetaData,
    columns: &HashSet<String>,
) -> Result<Arc<ParquetMetaData>> {
    let file = metadata.file_metadata();
    let found = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let is_text = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    };
    let fields: Vec<Field> = found
        .fields()
        .iter()
        .map(|field| {
            let wanted = columns.contains(field.name()) && is_text(field.data_type());
            let data_type = match wanted {
                true => text_dictionary(),
                // What is nested is copied for each row otherwise, however many share it.
                false => with_views(field.data_type()),
            };
            field.as_ref().clone().with_data_type(data_type)
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, found.metadata().clone());
    Ok(with_schemas(metadata, &schema, None))
}
