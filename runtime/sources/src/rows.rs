//! The rows that a source makes of raw logs, for tests and explanations: an ingest into a table in memory, read back.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use serde_json::{Map, Value};
use yagura_core::Timestamp;
use yagura_lake::ingest::{
    IngestOptions, IngestReport, RecordParser, Repeats, SourceTable, Traced, ingest,
};
use yagura_lake::{ColumnDefinition, ColumnKind, IngestError, LakeError, Location};

use crate::SourceFile;
use crate::mapping::Mapping;
use crate::normalizer::texts;

/// Why rows cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The raw logs cannot be read.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The table in memory cannot be reached.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// An object of it cannot be read.
    #[error("cannot read the rows back")]
    Store(#[from] object_store::Error),
    /// An object of it is not what was written.
    #[error("cannot read the rows back")]
    Parquet(#[from] ParquetError),
    /// A column of it is not what was written.
    #[error("cannot read the rows back")]
    Arrow(#[from] ArrowError),
}

/// The attribute that holds when a row was ingested, apart from when its event happened.
const PROCESSED_TIME: &str = "metadata.processed_time";

/// Returns a source as ingest needs it. A source with a plugin needs the parser that the plugin is.
pub fn source_table(
    source: &SourceFile,
    mapping: Arc<Mapping>,
    parser: Option<Arc<dyn RecordParser>>,
) -> SourceTable {
    let mut columns = mapping.columns().to_vec();
    // A maker may know better.
    let is_mapped = columns.iter().any(|column| column.name == PROCESSED_TIME);
    if !is_mapped {
        columns.push(ColumnDefinition::of_key(PROCESSED_TIME, ColumnKind::Int64));
    }
    let repeats = source.source.repeats.as_ref().map(|repeats| Repeats {
        fields: repeats.fields.clone(),
        within: repeats.within.micros(),
    });
    SourceTable {
        repeats,
        name: source.source.name.clone(),
        time_paths: source.source.time.clone(),
        grok: source.grok().and_then(Result::ok),
        parser,
        each: source.each(),
        processed_time: (!is_mapped).then(|| PROCESSED_TIME.to_owned()),
        columns,
        normalizer: mapping,
    }
}

/// Returns the rows that a source makes of files of raw logs, each as a JSON object without columns that are NULL, in order of
/// time; and the report of the ingest, with the place of each row. `written` is until when the files were written, for times without a
/// year; absent for when each of them was changed last.
///
/// # Errors
/// [`RowsError`].
pub async fn rows_of(
    source: &SourceFile,
    table: SourceTable,
    files: &[PathBuf],
    written: Option<Timestamp>,
) -> Result<(Vec<Map<String, Value>>, IngestReport), RowsError> {
    static LAKES: AtomicU64 = AtomicU64::new(0);
    let number = LAKES.fetch_add(1, Ordering::Relaxed);
    let url = format!("memory://source-{}-{number}", std::process::id());
    let lake = Location::parse(&url, &Default::default())?;
    let mut options = IngestOptions::new(&table.name, lake.clone());
    options.strict = false;
    options.format = source.format();
    options.timezone = source.zone();
    options.written_until = written;
    options.trace = true;
    let location = lake.join(&table.name);
    let of_json = table.columns.iter();
    let of_json = of_json.filter(|column| column.kind == ColumnKind::Json);
    let mut json: BTreeSet<String> = of_json.map(|column| column.name.clone()).collect();
    json.insert("unmapped".to_owned());
    options.source = Some(table);
    let report = ingest(options, files, |_| {}).await?;
    let mut objects: Vec<_> = location
        .store
        .list(Some(&location.prefix))
        .try_collect()
        .await?;
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    let mut rows = Vec::new();
    for object in objects {
        if object.location.extension() != Some("parquet") {
            continue;
        }
        let bytes = location.store.get(&object.location).await?.bytes().await?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
            add_rows(&batch?, &json, &mut rows)?;
        }
    }
    rows.sort_by(|a, b| {
        let time = |row: &Map<String, Value>| {
            row.get("event_time")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        time(a).cmp(&time(b))
    });
    Ok((rows, report))
}

/// A row, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedRow {
    /// The how-manieth record of the input it is, from 1.
    pub record: usize,
    /// The line in which the record begins, from 1.
    pub line: u64,
    /// Its columns.
    pub row: Map<String, Value>,
}

/// Brings rows of [`rows_of`] into the order of the input. Rows of one source text are alike.
pub fn in_order(rows: Vec<Map<String, Value>>, trace: &[Traced]) -> Vec<PlacedRow> {
    let mut places: HashMap<&str, VecDeque<(usize, u64)>> = HashMap::new();
    for (record, traced) in (1..).zip(trace) {
        let of_text = places.entry(&traced.raw).or_default();
        of_text.push_back((record, traced.line));
    }
    let placed = rows.into_iter().map(|row| {
        let raw = row.get("raw").and_then(Value::as_str).unwrap_or_default();
        let place = places.get_mut(raw).and_then(VecDeque::pop_front);
        let (record, line) = place.unwrap_or_default();
        PlacedRow { record, line, row }
    });
    let mut placed: Vec<PlacedRow> = placed.collect();
    placed.sort_by_key(|row| row.record);
    placed
}

fn add_rows(
    batch: &RecordBatch,
    json: &BTreeSet<String>,
    rows: &mut Vec<Map<String, Value>>,
) -> Result<(), ArrowError> {
    let first = rows.len();
    rows.resize_with(first + batch.num_rows(), Map::new);
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let values = texts(array)?;
        for row in (0..batch.num_rows()).filter(|row| values.is_valid(*row)) {
            let text = values.value(row);
            let value = match field.data_type() {
                DataType::Int64 | DataType::Float64 | DataType::Boolean => {
                    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
                }
                DataType::Utf8 if json.contains(field.name()) => {
                    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
                }
                _ => Value::from(text),
            };
            rows[first + row].insert(field.name().clone(), value);
        }
    }
    Ok(())
}
