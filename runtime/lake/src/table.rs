//! Tables as a run sees them: which objects, which columns, which time.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::file::metadata::PageIndexPolicy;
use futures::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use yagura_core::columns::{KEYS_WITHOUT_COLUMN, UNMAPPED_COLUMN};
use yagura_core::{TimeRange, TimeSpan, Timestamp};

use crate::Location;
use crate::bytes::with_views;
pub use crate::definition::OnNullTime as OnProblem;
use crate::definition::TableDefinition;
use crate::discover::{
    HIVE_DEFAULT, SortedListing, hive_parts, is_stray, partition_names, partition_values,
};
pub use crate::epoch_unit::EpochUnit;
use crate::event_time::{self, EventTime, time_column};
pub use crate::event_time::{EVENT_TIME, event_times, plain_type};
use crate::guard::guarded;
use crate::list::list_all;
pub use crate::passed_over::{PassedObjects, PassedOver};
use crate::schema::{Merged, differ_in_case, widen};
pub use crate::table_config::TableConfig;
pub use crate::table_error::TableError;
pub use crate::table_listing::ListedTable;

/// A table that was looked at: its objects in range and the columns they share.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name that rules refer to.
    pub name: String,
    /// Where its objects lie.
    pub location: Location,
    /// Columns stored in the objects, each nullable, strings and bytes as views.
    pub file_schema: SchemaRef,
    /// Hive partition columns, as text.
    pub partitions: Vec<String>,
    /// Those that take the place of a stored column: every object lies in a folder of theirs.
    pub stored_partitions: Vec<String>,
    /// Name of the time column.
    pub time: String,
    /// What the numbers of the time column count, where that is set.
    pub time_unit: Option<EpochUnit>,
    /// Hive partition that holds the event time's UTC day, and its form.
    pub day_partition: Option<(String, String)>,
    /// Its columns are those of a definition, and not those that its objects have.
    pub is_defined: bool,
    /// How far behind the latest event time an event may come, by the definition.
    pub lateness: Option<TimeSpan>,
    /// The objects that may hold events of the range, sorted by path.
    pub files: Vec<DataFile>,
    /// How many further objects lie outside the range, by their day partition.
    pub files_out_of_range: usize,
    /// What to do with a row without a usable time.
    pub on_null_time: OnProblem,
    /// What to do with an object that cannot be read.
    pub on_bad_file: OnProblem,
    /// Objects that were left out because they cannot be read, with the reason.
    pub bad_files: Vec<(String, String)>,
    /// What lies there besides and is not read.
    pub passed_over: PassedOver,
    /// What a person should know about the table's columns.
    pub notes: Vec<String>,
}

/// An object of a table.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Path, size and version.
    pub meta: ObjectMeta,
    /// Values of the partition columns; nothing for Hive's default partition, and where the object lies in no such folder.
    pub partition_values: Vec<Option<String>>,
}

impl DataFile {
    /// Returns what tells this object from one of the same name that takes its place: its size, and its tag or else the time of
    /// its last change.
    pub fn version(&self) -> String {
        let meta = &self.meta;
        match &meta.e_tag {
            Some(tag) => format!("{} {tag}", meta.size),
            None => format!("{} {}", meta.size, meta.last_modified.timestamp_micros()),
        }
    }
}

const FOOTERS_AT_ONCE: usize = 16;

impl Table {
    /// Lists the table's objects, leaves out the days outside `range`, and finds the columns that they share.
    ///
    /// Footers are read only where the table has no definition; they go into `cache`, from which the scan takes them.
    ///
    /// # Errors
    /// [`TableError`], naming the object where one is at fault.
    pub async fn open(
        config: TableConfig,
        range: TimeRange,
        cache: Arc<FileMetadataCache>,
    ) -> Result<Self, TableError> {
        let table = config.name.clone();
        let definition = TableDefinition::read(&config.location)
            .await
            .map_err(|source| TableError::Lake {
                table: table.clone(),
                source,
            })?;
        let mut listing = list(&config).await?;
        if let Some(definition) = &definition {
            let partition = &definition.partition.column;
            listing.leave_out(&config.location, |meta| {
                is_stray(&config.location, meta, partition)
            });
        }
        if listing.data.is_empty() {
            return Err(TableError::Empty {
                location: config.location.to_string(),
                found: listing.passed.hint(),
                table,
            });
        }
        let mut partitions = partition_names(&config.location, &listing.data);
        let day_partition = config
            .day_partition
            .clone()
            .or_else(|| {
                Some((
                    definition.as_ref()?.partition.column.clone(),
                    "%Y-%m-%d".into(),
                ))
            })
            .filter(|(name, _)| partitions.contains(name));
        let listed = listing.data.len();
        let location = &config.location;
        let mut files: Vec<DataFile> = listing
            .data
            .iter()
            .filter(|meta| may_hold(location, meta, day_partition.as_ref(), range))
            .map(|meta| DataFile {
                partition_values: partition_values(location, &meta.location, &partitions),
                meta: meta.clone(),
            })
            .collect();
        let files_out_of_range = listed - files.len();
        let (stored, bad_files, mut notes) = match &definition {
            Some(definition) => {
                let schema = definition.arrow_schema();
                let notes = differ_in_case(schema.fields());
                (schema, Vec::new(), notes)
            }
            None => {
                let (schema, bad, notes) = shared_schema(&config, &mut files, cache).await?;
                (Arc::new(schema), bad, notes)
            }
        };
        let stored_partitions =
            settle_partitions(location, &stored, &mut partitions, &mut listing, &mut files);
        let day_partition = day_partition.filter(|(name, _)| partitions.contains(name));
        let passed_over = listing.passed;
        let file_schema = read_schema(&stored, &partitions);
        let EventTime { column, note } = time_column(&config, definition.as_ref(), &file_schema)?;
        notes.extend(note);
        Ok(Self {
            on_null_time: config
                .on_null_time
                .or_else(|| {
                    definition
                        .as_ref()
                        .map(|definition| definition.on_null_time)
                })
                .unwrap_or(OnProblem::Fail),
            on_bad_file: config.on_bad_file,
            name: config.name,
            location: config.location,
            file_schema,
            partitions,
            stored_partitions,
            time: column,
            time_unit: config.time_unit,
            day_partition,
            is_defined: definition.is_some(),
            lateness: definition.map(|definition| definition.lateness),
            files,
            files_out_of_range,
            bad_files,
            passed_over,
            notes,
        })
    }

    /// Returns the columns that rules can name: stored ones, then partitions.
    pub fn schema(&self) -> Schema {
        let partitions = self.partition_fields();
        let fields = self.file_schema.fields().iter().cloned();
        Schema::new(fields.chain(partitions.iter().cloned()).collect::<Fields>())
    }

    /// Says whether the table was opened with the columns of this definition.
    pub fn has_columns_as(&self, definition: &TableDefinition) -> bool {
        let stored = definition.arrow_schema();
        self.is_defined && read_schema(&stored, &self.partitions) == self.file_schema
    }

    /// Says whether the table's columns hold all that an object has: those of a table without a definition follow its objects.
    /// The footer goes into `cache`.
    ///
    /// # Errors
    /// When the footer cannot be read.
    pub async fn has_columns_of(
        &self,
        file: &DataFile,
        cache: Arc<FileMetadataCache>,
    ) -> Result<bool, DataFusionError> {
        if self.is_defined {
            return Ok(true);
        }
        let footer = DFParquetMetadata::new(self.location.store.as_ref(), &file.meta)
            .with_file_metadata_cache(Some(cache))
            .with_metadata_size_hint(Some(64 * 1024))
            .with_page_index_policy(Some(PageIndexPolicy::Skip));
        let schema = guarded(footer.fetch_schema()).await?;
        let mut fields = schema.fields().iter();
        Ok(fields.all(|field| {
            let known = self.file_schema.field_with_name(field.name());
            self.partitions.contains(field.name())
                || known.is_ok_and(|known| {
                    let is_known = |of: &DataType| read_type(of) == *known.data_type();
                    is_known(field.data_type())
                        || is_known(&widen(known.data_type(), field.data_type()))
                })
        }))
    }

    /// Returns the event times of an array of the time column: nothing where it is NULL, cannot be read as a time, or cannot be
    /// written as RFC 3339.
    ///
    /// # Errors
    /// [`ArrowError`], for a type that holds no times.
    pub fn event_times(&self, array: &ArrayRef) -> Result<Vec<Option<Timestamp>>, ArrowError> {
        event_time::read(array, self.time_unit)
    }

    /// Returns the objects that may hold events of a range, by their day partition.
    pub fn files_in(&self, range: TimeRange) -> Vec<DataFile> {
        let day = self.day_partition.as_ref();
        let may_hold = |file: &&DataFile| may_hold(&self.location, &file.meta, day, range);
        self.files.iter().filter(may_hold).cloned().collect()
    }

    /// Returns the partition columns' fields: text in a dictionary, one value an object.
    pub fn partition_fields(&self) -> Fields {
        let text = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
        self.partitions
            .iter()
            .map(|name| Field::new(name, text.clone(), true))
            .collect()
    }
}

async fn list(config: &TableConfig) -> Result<SortedListing, TableError> {
    let list_error = |source| TableError::List {
        table: config.name.clone(),
        location: config.location.to_string(),
        source,
    };
    let store = &config.location.store;
    let prefix = &config.location.prefix;
    let found = list_all(&config.location).await.map_err(list_error)?;
    let is_empty = found.objects.is_empty();
    let mut listing = SortedListing::sort_out(&config.location, found).own(&config.name)?;
    if is_empty {
        // The location is one object, not a folder of them.
        match store.head(prefix).await {
            Ok(meta) => listing.data.push(meta),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(list_error(source)),
        }
    }
    Ok(listing)
}

/// Says whether an object may hold events of the range, by its day; a day that cannot be read may be any.
fn may_hold(
    location: &Location,
    meta: &ObjectMeta,
    day: Option<&(String, String)>,
    range: TimeRange,
) -> bool {
    let Some((name, form)) = day else {
        return true;
    };
    let mut parts = hive_parts(location, &meta.location);
    match parts.find(|(known, _)| known == name) {
        // Events without a time lie in no range; without one they are looked at and counted.
        Some((_, HIVE_DEFAULT)) => range.is_unbounded(),
        Some((_, text)) => match NaiveDate::parse_from_str(text, form) {
            Ok(day) => range.touches_day(day),
            Err(_) => true,
        },
        None => true,
    }
}

/// Decides about partitions that are stored columns too, where not all objects lie in such folders: what most objects do is the
/// table's way, and the others are left out as strays. Returns the partitions that take the place of a stored column.
fn settle_partitions(
    location: &Location,
    stored: &Schema,
    partitions: &mut Vec<String>,
    listing: &mut SortedListing,
    files: &mut Vec<DataFile>,
) -> Vec<String> {
    let lies_in = |meta: &ObjectMeta, name: &str| {
        hive_parts(location, &meta.location).any(|(known, _)| known == name)
    };
    let mut required = Vec::new();
    for name in partitions.clone() {
        if stored.index_of(&name).is_err() {
            continue;
        }
        let inside = listing
            .data
            .iter()
            .filter(|meta| lies_in(meta, &name))
            .count();
        let is_partition = 2 * inside > listing.data.len();
        listing.leave_out(location, |meta| lies_in(meta, &name) != is_partition);
        files.retain(|file| lies_in(&file.meta, &name) == is_partition);
        match is_partition {
            true => required.push(name),
            false => partitions.retain(|known| *known != name),
        }
    }
    for file in files {
        file.partition_values = partition_values(location, &file.meta.location, partitions);
    }
    required
}

type BadFiles = Vec<(String, String)>;

/// Reads all footers and widens their columns into one schema; unreadable objects fail or are left out.
async fn shared_schema(
    config: &TableConfig,
    files: &mut Vec<DataFile>,
    cache: Arc<FileMetadataCache>,
) -> Result<(Schema, BadFiles, Vec<String>), TableError> {
    let metas: Vec<ObjectMeta> = files.iter().map(|file| file.meta.clone()).collect();
    let footers: Vec<_> = stream::iter(metas.into_iter().map(|meta| {
        let cache = Arc::clone(&cache);
        let store: Arc<dyn ObjectStore> = Arc::clone(&config.location.store);
        async move {
            let footer = DFParquetMetadata::new(store.as_ref(), &meta)
                .with_file_metadata_cache(Some(cache))
                .with_metadata_size_hint(Some(64 * 1024));
            guarded(footer.fetch_schema()).await
        }
    }))
    .buffered(FOOTERS_AT_ONCE)
    .collect()
    .await;
    let mut merged = Merged::default();
    let mut kept = Vec::with_capacity(files.len());
    let mut bad = Vec::new();
    for (file, footer) in files.drain(..).zip(footers) {
        let url = config.location.name_of(&file.meta.location);
        let footer = match footer {
            Ok(footer) => footer,
            // A store that fails says nothing of its objects.
            Err(error) if let Some(source) = store_failure(&error) => {
                return Err(TableError::Store {
                    table: config.name.clone(),
                    file: url,
                    reason: source,
                });
            }
            Err(error) => {
                let reason = reason_of(&error);
                if config.on_bad_file == OnProblem::Skip {
                    bad.push((url, reason));
                    continue;
                }
                return Err(TableError::BadFile {
                    table: config.name.clone(),
                    file: url,
                    reason,
                });
            }
        };
        merged.add(&footer, &url);
        kept.push(file);
    }
    *files = kept;
    // Without one that can be read it is not known which columns there are.
    if files.is_empty()
        && let Some((file, reason)) = bad.first()
    {
        return Err(TableError::BadFile {
            table: config.name.clone(),
            file: file.clone(),
            reason: reason.clone(),
        });
    }
    let (schema, notes) = merged.finish();
    Ok((schema, bad, notes))
}

/// Returns what a store said that failed; nothing where what it holds is at fault. An object that is gone cannot be read.
pub fn store_failure(error: &DataFusionError) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<object_store::Error>() {
            let is_gone = matches!(failure, object_store::Error::NotFound { .. });
            return (!is_gone).then(|| failure.to_string());
        }
        cause = error.source();
    }
    None
}

/// Returns why an object cannot be read, without the names of the libraries that it passed through.
pub fn reason_of(error: &DataFusionError) -> String {
    const LAYERS: [&str; 7] = [
        "Parquet error: ",
        "Arrow error: ",
        "External error: ",
        "External: ",
        "Arrow: ",
        "Parquet argument error: ",
        "Execution error: ",
    ];
    let text = error.strip_backtrace();
    let mut rest = text.as_str();
    while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    if rest.is_empty() {
        text
    } else {
        rest.to_owned()
    }
}

/// What the scan asks the reader for: everything may be NULL, text and bytes as views. A partition column that is also
/// stored is taken from the folder.
fn read_schema(stored: &Schema, partitions: &[String]) -> SchemaRef {
    let fields: Fields = stored
        .fields()
        .iter()
        .filter(|field| !partitions.contains(field.name()))
        .map(|field| {
            let read = Field::new(field.name(), read_type(field.data_type()), true);
            // That keys of events are in `unmapped` is what rules must know of it.
            let mark = field.metadata().get_key_value(KEYS_WITHOUT_COLUMN);
            match mark.filter(|_| field.name() == UNMAPPED_COLUMN) {
                Some((key, value)) => read.with_metadata([(key.clone(), value.clone())].into()),
                None => read,
            }
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn read_type(stored: &DataType) -> DataType {
    match stored {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        // The scan decides which columns it reads as dictionaries, whatever the writer's schema says.
        DataType::Dictionary(_, value) if value.is_string() => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => with_views(other),
    }
}
