//! One scan of a table for all its rules: the union of their columns, and the prefilter inside the reader.
//!
//! What is pushed down only narrows the scan. Every condition and the time range are evaluated again on what comes out,
//! so a filter that the reader cannot apply costs time and never a wrong answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetRowSelection,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Operator;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::RowNumber;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_plan::ExecutionPlan;
use yagura_core::{TimeRange, Timestamp};
use yagura_lake::Location;
use yagura_lake::table::{DataFile, Table};

use crate::adapt::{Adapters, Conversions};
use crate::dictionary::{DictionaryReaders, text_dictionary};
use crate::prefilter::PrefilterExpr;
use crate::table_plan::TablePlan;

/// Name of the column that holds each row's object.
const OBJECT: &str = "yagura.object";
/// Name of the column that holds each row's number in its object.
const ROW: &str = "yagura.row";

/// How objects are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The event times to read.
    pub range: TimeRange,
    /// Read text as bytes, and what of it is not UTF-8 as U+FFFD.
    pub text_as_bytes: bool,
    /// Push down what narrows the scan.
    pub is_narrowed: bool,
    /// Where values are counted that rules see otherwise than they are stored.
    pub counts: Arc<Conversions>,
    /// The store to read from, where it is not the table's.
    pub store: Option<Arc<dyn ObjectStore>>,
    /// The rows to read of some objects, by their paths. Of all others all are read.
    pub rows: Arc<HashMap<Path, RowSelection>>,
}

/// Returns the scan of `files`, at most `options.execution.target_partitions` ways in parallel. It yields the plan's columns, then
/// two that name the object and row of each event.
///
/// # Errors
/// A location that is not a URL, or a plan that does not fit its table's columns.
pub fn scan(
    plan: &TablePlan,
    files: &[DataFile],
    reading: &ReadOptions,
    cache: Arc<FileMetadataCache>,
    options: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let table = &plan.table;
    let schema = table_schema(plan);
    let mut source = ParquetSource::new(schema.clone())
        .with_pushdown_filters(true)
        .with_reorder_filters(true)
        .with_metadata_size_hint(64 * 1024)
        .with_parquet_file_reader_factory(Arc::new(DictionaryReaders {
            inner: Arc::new(CachedParquetFileReaderFactory::new(
                Arc::clone(reading.store.as_ref().unwrap_or(&table.location.store)),
                cache,
            )),
            columns: Arc::clone(&plan.dictionaries),
            bytes: reading.text_as_bytes.then(|| text_columns(&schema)),
            fetching: Arc::default(),
        }));
    let predicate = predicate(plan, reading.range).filter(|_| reading.is_narrowed);
    let mut prefiltered = HashSet::new();
    if let Some(predicate) = predicate {
        let columns = plan.program.columns();
        let mut fields = columns.iter().map(|at| plan.scan_schema.field(*at));
        // The reader evaluates no filter on what is nested.
        if has_prefilter(plan) && fields.clone().all(|field| !field.data_type().is_nested()) {
            prefiltered.extend(fields.by_ref().map(|field| field.name().clone()));
        }
        let predicate = reassign_expr_columns(predicate, schema.table_schema())?;
        source = source.with_predicate(predicate);
    }
    let width = schema.table_schema().fields().len();
    let mut projection = plan.columns.clone();
    projection.extend([width - 2, width - 1]);

    let rows_of = |file: &DataFile| {
        let whole = partitioned(table, file);
        match reading.rows.get(&file.meta.location) {
            Some(rows) => whole.with_extension(ParquetRowSelection::new(rows.clone())),
            None => whole,
        }
    };
    let files: Vec<PartitionedFile> = files.iter().map(rows_of).collect();
    let config = FileScanConfigBuilder::new(object_store_url(table)?, Arc::new(source))
        .with_projection_indices(Some(projection))?
        .with_file_groups(vec![FileGroup::new(files.clone())])
        .with_expr_adapter(Some(Arc::new(Adapters {
            counts: Arc::clone(&reading.counts),
            bytes: Arc::clone(&plan.bytes),
            prefiltered,
        })))
        .build();
    let whole = DataSourceExec::from_data_source(config.clone());
    let partitions = options.execution.target_partitions;
    if let Some(split) = whole.repartitioned(partitions, options)? {
        return Ok(split);
    }
    // Too small to cut objects into ranges: whole objects side by side.
    let groups = FileGroup::new(files).split_files(partitions);
    Ok(DataSourceExec::from_data_source(
        FileScanConfigBuilder::from(config)
            .with_file_groups(groups)
            .build(),
    ))
}

/// Returns the URL under which the table's store is registered.
///
/// # Errors
/// A location that is not a URL.
pub fn object_store_url(table: &Table) -> Result<ObjectStoreUrl> {
    location_url(&table.location)
}

/// Returns the URL under which a location's store is registered.
///
/// # Errors
/// A location that is not a URL.
pub fn location_url(location: &Location) -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(location.base.as_str())
}

fn object_field() -> FieldRef {
    let text = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    Arc::new(Field::new(OBJECT, text, false))
}

fn row_field() -> FieldRef {
    Arc::new(Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber))
}

fn table_schema(plan: &TablePlan) -> TableSchema {
    let table = &plan.table;
    let stored = table.file_schema.fields().iter().map(|field| {
        if plan.dictionaries.contains(field.name()) {
            Arc::new(field.as_ref().clone().with_data_type(text_dictionary()))
        } else {
            Arc::clone(field)
        }
    });
    let stored = Arc::new(Schema::new(stored.collect::<Vec<FieldRef>>()));
    let partitions: Vec<FieldRef> = table
        .partition_fields()
        .iter()
        .cloned()
        .chain([object_field()])
        .collect();
    TableSchema::builder(stored)
        .with_table_partition_cols(partitions)
        .with_virtual_columns(vec![row_field()])
        .build()
}

/// A partition's value is the same for a whole object: so is its name.
fn partitioned(table: &Table, file: &DataFile) -> PartitionedFile {
    let text = |value: Option<String>| {
        ScalarValue::Dictionary(
            Box::new(DataType::UInt16),
            Box::new(ScalarValue::Utf8(value)),
        )
    };
    let object = table.location.name_of(&file.meta.location);
    let values = file.partition_values.iter().cloned().chain([Some(object)]);
    PartitionedFile::new_from_meta(file.meta.clone())
        .with_partition_values(values.map(text).collect())
}

/// Returns the names of the stored columns that the scan reads as text.
fn text_columns(schema: &TableSchema) -> Arc<HashSet<String>> {
    let is_text = |field: &&FieldRef| match field.data_type() {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    };
    let fields = schema.file_schema().fields().iter();
    Arc::new(
        fields
            .filter(is_text)
            .map(|field| field.name().clone())
            .collect(),
    )
}

fn has_prefilter(plan: &TablePlan) -> bool {
    let all = (0..plan.program.rules()).any(|rule| plan.program.is_certain(rule));
    plan.tuning.late_decoding && !all
}

/// The time range AND what statistics can refute of the rules AND the prefilter, as far as each narrows anything.
fn predicate(plan: &TablePlan, range: TimeRange) -> Option<Arc<dyn PhysicalExpr>> {
    let prefilter = || -> Arc<dyn PhysicalExpr> {
        Arc::new(PrefilterExpr::new(
            Arc::clone(&plan.program),
            &plan.scan_schema,
        ))
    };
    [
        range
            .from
            .and_then(|from| bound(plan, Operator::GtEq, from)),
        range.to.and_then(|to| bound(plan, Operator::Lt, to)),
        plan.prunable.clone(),
        has_prefilter(plan).then(prefilter),
    ]
    .into_iter()
    .flatten()
    .reduce(|left, right| binary(left, Operator::And, right))
}

fn bound(plan: &TablePlan, operator: Operator, time: Timestamp) -> Option<Arc<dyn PhysicalExpr>> {
    let field = plan.scan_schema.field(plan.time);
    let micros = time.micros();
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), plan.time));
    let bounded = |value| Some(binary(column, operator, Arc::new(Literal::new(value))));
    let (unit, zone) = match field.data_type() {
        DataType::Timestamp(unit, zone) => (unit, zone),
        DataType::Date32 => {
            let days = i32::try_from(units(micros, 86_400_000_000, operator)).ok()?;
            return bounded(ScalarValue::Date32(Some(days)));
        }
        // Text and numbers are compared after they were read as times.
        _ => return None,
    };
    let zone = zone.clone();
    let value = match unit {
        // Rounding must not narrow: whole units below for a start, above for an end.
        TimeUnit::Second => {
            ScalarValue::TimestampSecond(Some(units(micros, 1_000_000, operator)), zone)
        }
        TimeUnit::Millisecond => {
            ScalarValue::TimestampMillisecond(Some(units(micros, 1_000, operator)), zone)
        }
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(micros), zone),
        TimeUnit::Nanosecond => {
            ScalarValue::TimestampNanosecond(Some(micros.checked_mul(1_000)?), zone)
        }
    };
    bounded(value)
}

fn units(micros: i64, unit: i64, operator: Operator) -> i64 {
    let below = micros.div_euclid(unit);
    if operator == Operator::Lt && micros.rem_euclid(unit) != 0 {
        below + 1
    } else {
        below
    }
}

fn binary(
    left: Arc<dyn PhysicalExpr>,
    operator: Operator,
    right: Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, operator, right))
}
