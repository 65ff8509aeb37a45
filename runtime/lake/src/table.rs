//! Tables as a run sees them: which objects, which columns, which time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use yagura_core::names::did_you_mean;
use yagura_core::{TimeRange, Timestamp};

pub use crate::definition::OnNullTime as OnProblem;
use crate::definition::TableDefinition;
use crate::guard::guarded;
use crate::schema::{self, SchemaConflict};
use crate::{LakeError, Location};

/// What the operator says about a table; everything else is found out.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// Name that rules refer to.
    pub name: String,
    /// Where its objects lie.
    pub location: Location,
    /// The time column, if it is not the definition's or the only one that can be meant.
    pub time: Option<String>,
    /// Hive partition that holds the event time's UTC day, and its form (`%Y-%m-%d`), so that days can be left out.
    pub day_partition: Option<(String, String)>,
    /// What to do with a row without a usable time; absent: as the definition says, else fail.
    pub on_null_time: Option<OnProblem>,
    /// What to do with an object that cannot be read.
    pub on_bad_file: OnProblem,
}

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
    /// Name of the time column.
    pub time: String,
    /// Hive partition that holds the event time's UTC day, and its form.
    pub day_partition: Option<(String, String)>,
    /// How far behind the latest event time an event may come, by the definition.
    pub lateness: Option<String>,
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
}

/// An object of a table.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Path, size and version.
    pub meta: ObjectMeta,
    /// Values of the partition columns; nothing for Hive's default partition.
    pub partition_values: Vec<Option<String>>,
}

/// Why a table cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The location or the definition cannot be used.
    #[error("table `{table}` cannot be opened")]
    Lake {
        /// The table.
        table: String,
        /// The cause.
        source: LakeError,
    },
    /// The store refused or failed to list.
    #[error("cannot list the objects of table `{table}` under {location}")]
    List {
        /// The table.
        table: String,
        /// Its location.
        location: String,
        /// The cause.
        source: object_store::Error,
    },
    /// There is not one Parquet object.
    #[error(
        "table `{table}` has no Parquet objects under {location}; `yagura ingest --table {table} --to LAKE FILE…` makes some"
    )]
    Empty {
        /// The table.
        table: String,
        /// Its location.
        location: String,
    },
    /// An object's footer cannot be read.
    #[error(
        "{file} of table `{table}` is not a readable Parquet object: {reason}; mend or remove it, or set `on_bad_file = \"skip\"` for the table"
    )]
    BadFile {
        /// The table.
        table: String,
        /// The object.
        file: String,
        /// What the reader said.
        reason: String,
    },
    /// Two objects disagree about a column in a way that no type can hold.
    #[error(
        "the objects of table `{table}` do not fit together: {conflict}; move the one that is wrong out of the table"
    )]
    Conflict {
        /// The table.
        table: String,
        /// Column, types and objects.
        conflict: SchemaConflict,
    },
    /// Objects lie in different partition folders.
    #[error(
        "{file} of table `{table}` lies in partitions [{found}], the others in [{expected}]; a table has the same partition folders everywhere"
    )]
    Partitions {
        /// The table.
        table: String,
        /// The object.
        file: String,
        /// Its partition names.
        found: String,
        /// Those of the first object.
        expected: String,
    },
    /// The time column is not given and cannot be guessed, or is no time.
    #[error("table `{table}`: {reason}; set `time = \"COLUMN\"` for the table")]
    Time {
        /// The table.
        table: String,
        /// What was looked for and found.
        reason: String,
    },
}

const HIVE_DEFAULT: &str = "__HIVE_DEFAULT_PARTITION__";
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
        let all = list(&config).await?;
        if all.is_empty() {
            return Err(TableError::Empty {
                location: config.location.to_string(),
                table,
            });
        }
        let partitions = partition_names(&config, &all)?;
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
        let day = day_partition.as_ref().and_then(|(name, form)| {
            Some((partitions.iter().position(|p| p == name)?, form.clone()))
        });
        let listed = all.len();
        let mut files: Vec<DataFile> = all
            .into_iter()
            .map(|meta| DataFile {
                partition_values: partition_values(&config.location, &meta),
                meta,
            })
            .filter(|file| day.as_ref().is_none_or(|day| may_hold(file, day, range)))
            .collect();
        let files_out_of_range = listed - files.len();
        let mut bad_files = Vec::new();
        let stored = match &definition {
            Some(definition) => definition.arrow_schema(),
            None => {
                let (schema, bad) = shared_schema(&config, &mut files, cache).await?;
                bad_files = bad;
                Arc::new(schema)
            }
        };
        let file_schema = read_schema(&stored, &partitions);
        let time = time_column(&config, definition.as_ref(), &file_schema)?;
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
            time,
            day_partition,
            lateness: definition.map(|definition| definition.lateness),
            files,
            files_out_of_range,
            bad_files,
        })
    }

    /// Returns the columns that rules can name: stored ones, then partitions.
    pub fn schema(&self) -> Schema {
        let partitions = self.partition_fields();
        let fields = self.file_schema.fields().iter().cloned();
        Schema::new(fields.chain(partitions.iter().cloned()).collect::<Fields>())
    }

    /// Returns the objects that may hold events of a range, by their day partition.
    pub fn files_in(&self, range: TimeRange) -> Vec<DataFile> {
        let day = self.day_partition.as_ref().and_then(|(name, form)| {
            let index = self.partitions.iter().position(|p| p == name)?;
            Some((index, form.clone()))
        });
        let may_hold = |file: &&DataFile| day.as_ref().is_none_or(|day| may_hold(file, day, range));
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

async fn list(config: &TableConfig) -> Result<Vec<ObjectMeta>, TableError> {
    let list_error = |source| TableError::List {
        table: config.name.clone(),
        location: config.location.to_string(),
        source,
    };
    let store = &config.location.store;
    let prefix = &config.location.prefix;
    let mut found: Vec<ObjectMeta> = store
        .list(Some(prefix))
        .try_filter(|meta| futures::future::ready(is_data(meta)))
        .try_collect()
        .await
        .map_err(list_error)?;
    if found.is_empty() && prefix.as_ref().ends_with(".parquet") {
        // The location is one object, not a folder of them.
        match store.head(prefix).await {
            Ok(meta) => found.push(meta),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(list_error(source)),
        }
    }
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

/// Says whether an object is one of a table's.
pub(crate) fn is_data(meta: &ObjectMeta) -> bool {
    let name = meta.location.filename().unwrap_or_default();
    name.ends_with(".parquet") && !name.starts_with(['.', '_'])
}

/// Returns the `name=value` folders between the table's location and the object.
fn hive_parts<'a>(
    location: &Location,
    meta: &'a ObjectMeta,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let below = meta
        .location
        .as_ref()
        .strip_prefix(location.prefix.as_ref())
        .unwrap_or_default();
    let folders = below.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|part| part.split_once('='))
}

fn partition_names(config: &TableConfig, files: &[ObjectMeta]) -> Result<Vec<String>, TableError> {
    let names = |meta| -> Vec<String> {
        hive_parts(&config.location, meta)
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    let first = files.first().map(names).unwrap_or_default();
    match files.iter().find(|meta| names(meta) != first) {
        None => Ok(first),
        Some(other) => Err(TableError::Partitions {
            table: config.name.clone(),
            file: config.location.name_of(&other.location),
            found: names(other).join(", "),
            expected: first.join(", "),
        }),
    }
}

pub(crate) fn partition_values(location: &Location, meta: &ObjectMeta) -> Vec<Option<String>> {
    hive_parts(location, meta)
        .map(|(_, value)| (value != HIVE_DEFAULT).then(|| percent_decode(value)))
        .collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escaped = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                decoded.push(byte);
                index += 3;
            }
            None => {
                decoded.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Says whether the object's day lies in the range; a day that cannot be read may be any.
fn may_hold(file: &DataFile, (index, form): &(usize, String), range: TimeRange) -> bool {
    match file.partition_values.get(*index) {
        Some(Some(text)) => match NaiveDate::parse_from_str(text, form) {
            Ok(day) => range.touches_day(day),
            Err(_) => true,
        },
        // Events without a time lie in no range; without one they are looked at and counted.
        Some(None) => range.is_unbounded(),
        None => true,
    }
}

type BadFiles = Vec<(String, String)>;

/// Reads all footers and widens their columns into one schema; unreadable objects fail or are left out.
async fn shared_schema(
    config: &TableConfig,
    files: &mut Vec<DataFile>,
    cache: Arc<FileMetadataCache>,
) -> Result<(Schema, BadFiles), TableError> {
    let store: &Arc<dyn ObjectStore> = &config.location.store;
    let footers: Vec<_> = stream::iter(files.iter().map(|file| {
        let cache = Arc::clone(&cache);
        async move {
            let footer = DFParquetMetadata::new(store.as_ref(), &file.meta)
                .with_file_metadata_cache(Some(cache))
                .with_metadata_size_hint(Some(64 * 1024));
            guarded(footer.fetch_schema()).await
        }
    }))
    .buffered(FOOTERS_AT_ONCE)
    .collect()
    .await;
    let mut merged: BTreeMap<String, (Field, String)> = BTreeMap::new();
    let mut order = Vec::new();
    let mut kept = Vec::with_capacity(files.len());
    let mut bad = Vec::new();
    for (file, footer) in files.drain(..).zip(footers) {
        let url = config.location.name_of(&file.meta.location);
        let footer = match footer {
            Ok(footer) => footer,
            Err(error) => {
                let reason = error.strip_backtrace();
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
        schema::merge(&mut merged, &mut order, &footer, &url).map_err(|conflict| {
            TableError::Conflict {
                table: config.name.clone(),
                conflict,
            }
        })?;
        kept.push(file);
    }
    *files = kept;
    let fields: Fields = order
        .iter()
        .filter_map(|name| merged.remove(name).map(|(field, _)| field))
        .collect();
    Ok((Schema::new(fields), bad))
}

/// What the scan asks the reader for: everything may be NULL, text and bytes as views. A partition column that is also
/// stored is taken from the folder.
fn read_schema(stored: &Schema, partitions: &[String]) -> SchemaRef {
    let fields: Fields = stored
        .fields()
        .iter()
        .filter(|field| !partitions.contains(field.name()))
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
                DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
                other => other.clone(),
            };
            Field::new(field.name(), data_type, true)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

const TIME_NAMES: [&str; 6] = [
    "event_time",
    "time_dt",
    "time",
    "timestamp",
    "@timestamp",
    "ts",
];

fn time_column(
    config: &TableConfig,
    definition: Option<&TableDefinition>,
    schema: &Schema,
) -> Result<String, TableError> {
    let is_time = |field: &Field| matches!(field.data_type(), DataType::Timestamp(_, _));
    let wrong = |reason| TableError::Time {
        table: config.name.clone(),
        reason,
    };
    let times: Vec<&str> = schema
        .fields()
        .iter()
        .filter(|field| is_time(field))
        .map(|field| field.name().as_str())
        .collect();
    let given = config
        .time
        .as_deref()
        .or_else(|| definition.map(|definition| definition.time_column.as_str()));
    if let Some(name) = given {
        return match schema.field_with_name(name) {
            Ok(field) if is_time(field) => Ok(name.to_owned()),
            Ok(field) => Err(wrong(format!(
                "the time column `{name}` is of type {}, not a timestamp",
                field.data_type()
            ))),
            Err(_) => {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                Err(wrong(format!(
                    "there is no time column `{name}`{}",
                    did_you_mean(name, names)
                )))
            }
        };
    }
    let known = TIME_NAMES.iter().find(|name| times.contains(name));
    match (known, times.as_slice()) {
        (Some(name), _) => Ok((*name).to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => Err(wrong("it has no column of a timestamp type".into())),
        (None, several) => Err(wrong(format!(
            "it has several timestamp columns ({})",
            several.join(", ")
        ))),
    }
}

/// The type in which event time is compared.
pub const EVENT_TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Returns the event times of a batch's time column: nothing where it is NULL or cannot be written as RFC 3339.
pub fn event_times(
    array: &datafusion::arrow::array::ArrayRef,
) -> Result<Vec<Option<Timestamp>>, datafusion::arrow::error::ArrowError> {
    use datafusion::arrow::array::{Array, AsArray, make_array};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::TimestampMicrosecondType;
    let without_zone = match array.data_type() {
        // What is stored is UTC whatever the zone; a cast would shift it to local time.
        DataType::Timestamp(unit, Some(_)) => make_array(
            array
                .to_data()
                .into_builder()
                .data_type(DataType::Timestamp(*unit, None))
                .build()?,
        ),
        _ => Arc::clone(array),
    };
    let micros = cast(&without_zone, &EVENT_TIME)?;
    Ok(micros
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|value| value.and_then(Timestamp::from_micros))
        .collect())
}
