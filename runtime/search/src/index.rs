//! The index of a table: which blocks of which objects hold an observable.
//!
//! ```text
//! object of the table ──build──▶ values of its observables, with blocks, count, first and last time
//!                                  └─▶ segment (Parquet, sorted by value) below `_index/`
//! query ──lookup──▶ keys ──▶ few pages of each segment ──▶ objects left out, rows of the others ──▶ table_scan
//! ```
//!
//! An index only narrows what is read: each event that it leaves is compared again, and an object that no segment covers in the
//! version that is there now is read as a whole. So an index may be old, lack objects or be gone, and hits are the same.

mod build;
mod keys;
mod lookup;
mod segment;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::Utc;
use datafusion::common::DataFusionError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::errors::ParquetError;
use futures::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt};
use yagura_core::{FieldPath, TimeRange, Timestamp};
use yagura_lake::Location;
use yagura_lake::table::{DataFile, OnProblem, Table, TableError, reason_of, store_failure};
use yagura_plan::{PlanError, footer_cache};

use crate::query::Query;
use crate::search::SearchTable;
use build::{ObjectReader, digests, fields_of};
pub(crate) use keys::is_hash;
use lookup::{Asked, Narrowed, Segment, Segments, look_up, narrow, path_of};
use segment::{CoveredObject, FOLDER, SegmentBuilder, SegmentRow};

/// Objects that are read at once.
const OBJECTS_AT_ONCE: usize = 2;
/// A segment that is being made is written when it takes so much memory.
const SEGMENT_BYTES: usize = 192 << 20;
/// So many small segments are merged into one.
const MERGED_AT_ONCE: usize = 8;
/// Rows of the segments that are merged at once.
const MERGED_ROWS: u64 = 1_000_000;

/// Why an index cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The table cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table's columns cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The store fails.
    #[error("the index of table `{table}` cannot be read or written below {location}")]
    Store {
        /// The table.
        table: String,
        /// Where the index lies.
        location: String,
        /// The cause.
        source: object_store::Error,
    },
    /// A segment or an object cannot be read because the store fails.
    #[error("table `{table}` cannot be read for its index")]
    Read {
        /// The table.
        table: String,
        /// The cause.
        source: DataFusionError,
    },
    /// A segment cannot be written.
    #[error("a segment of the index of table `{table}` cannot be made")]
    Write {
        /// The table.
        table: String,
        /// The cause.
        source: ParquetError,
    },
}

/// What was done for an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Objects that were read for it.
    pub objects: usize,
    /// Their events.
    pub events: u64,
    /// Objects that the index covered before.
    pub covered_before: usize,
    /// Segments that the index has now.
    pub segments: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Objects that cannot be read, with the reason. They are not in the index.
    pub unreadable: Vec<(String, String)>,
}

/// Adds to the index of a table what it does not cover yet, and merges small segments. `rebuild` makes all of it anew.
///
/// What dies in between leaves an index that covers less, or some objects twice: both cost time alone.
///
/// # Errors
/// [`IndexError`]. An object that cannot be read is named in the report.
pub async fn update_index(table: SearchTable, rebuild: bool) -> Result<IndexReport, IndexError> {
    Update::open(table, rebuild).await?.run().await
}

struct Update {
    table: Arc<Table>,
    cache: Arc<FileMetadataCache>,
    reader: Arc<ObjectReader>,
    digests: BTreeMap<String, String>,
    segments: Vec<Segment>,
    /// Names of segments to be deleted.
    old: Vec<object_store::path::Path>,
    report: IndexReport,
}

impl Update {
    async fn open(table: SearchTable, rebuild: bool) -> Result<Self, IndexError> {
        let cache = footer_cache();
        let mut config = table.config;
        config.on_bad_file = OnProblem::Skip;
        let opened = Arc::new(Table::open(config, TimeRange::default(), Arc::clone(&cache)).await?);
        let fields = fields_of(&opened, &table.observables);
        let digests = digests(&opened, &fields);
        let found = Segments::open(&opened.location, &cache)
            .await
            .map_err(|source| store_error(&opened, source))?;
        let mut old: Vec<_> = found
            .unusable
            .into_iter()
            .map(|(meta, _)| meta.location)
            .collect();
        let (segments, others): (Vec<_>, Vec<_>) = found
            .all
            .into_iter()
            .partition(|segment| !rebuild && segment.coverage.kinds == digests);
        old.extend(others.into_iter().map(|segment| segment.meta.location));
        let report = IndexReport {
            unreadable: opened.bad_files.clone(),
            ..IndexReport::default()
        };
        Ok(Self {
            reader: Arc::new(ObjectReader::new(
                Arc::clone(&opened),
                Arc::clone(&cache),
                &fields,
            )?),
            table: opened,
            cache,
            digests,
            segments,
            old,
            report,
        })
    }

    async fn run(mut self) -> Result<IndexReport, IndexError> {
        let versions: HashSet<(String, String)> = self
            .table
            .files
            .iter()
            .map(|file| (path_of(&self.table.location, file), file.version()))
            .collect();
        self.drop_what_is_gone(&versions);
        let covered: HashSet<(&str, &str)> = self
            .segments
            .iter()
            .flat_map(|segment| &segment.coverage.objects)
            .map(|object| (object.path.as_str(), object.version.as_str()))
            .collect();
        let is_new = |file: &&DataFile| {
            let path = path_of(&self.table.location, file);
            !covered.contains(&(path.as_str(), file.version().as_str()))
        };
        let new: Vec<DataFile> = self.table.files.iter().filter(is_new).cloned().collect();
        self.report.covered_before = self.table.files.len() - new.len();
        self.add(new).await?;
        self.merge().await?;
        self.delete().await?;
        self.report.segments = self.segments.len();
        self.report.bytes = self.segments.iter().map(|segment| segment.meta.size).sum();
        Ok(self.report)
    }

    /// Drops segments that cover no object which is there, or only such that others cover.
    fn drop_what_is_gone(&mut self, versions: &HashSet<(String, String)>) {
        let mut known = HashSet::new();
        let segments = std::mem::take(&mut self.segments);
        for segment in segments {
            let mut is_needed = false;
            for object in &segment.coverage.objects {
                let version = (object.path.clone(), object.version.clone());
                is_needed |= versions.contains(&version) && known.insert(version);
            }
            match is_needed {
                true => self.segments.push(segment),
                false => self.old.push(segment.meta.location),
            }
        }
    }

    /// Reads objects, and writes segments of them.
    async fn add(&mut self, files: Vec<DataFile>) -> Result<(), IndexError> {
        let mut builder = SegmentBuilder::default();
        let reader = Arc::clone(&self.reader);
        let mut read = stream::iter(files)
            .map(|file| {
                let (reader, of_file) = (Arc::clone(&reader), file.clone());
                // On a thread of its own: it is work more than waiting.
                let read = SpawnedTask::spawn(async move { reader.read(&of_file).await });
                async move {
                    let read = read
                        .await
                        .map_err(|error| DataFusionError::External(error.into()));
                    (file, read.and_then(|read| read))
                }
            })
            .buffered(OBJECTS_AT_ONCE);
        while let Some((file, read)) = read.next().await {
            let name = self.table.location.name_of(&file.meta.location);
            let (entries, lacks) = match read {
                Ok(read) => read,
                Err(source) if store_failure(&source).is_some() => {
                    let table = self.table.name.clone();
                    return Err(IndexError::Read { table, source });
                }
                Err(error) => {
                    self.report.unreadable.push((name, reason_of(&error)));
                    continue;
                }
            };
            self.report.objects += 1;
            self.report.events += entries.rows;
            let object = builder.add_object(CoveredObject {
                path: path_of(&self.table.location, &file),
                version: file.version(),
                rows: entries.rows,
                lacks,
            });
            for (kind, values) in entries.kinds {
                for (value, entry) in values.into_values() {
                    builder.add_row(SegmentRow {
                        kind,
                        value,
                        object,
                        entry,
                    });
                }
            }
            if builder.bytes() > SEGMENT_BYTES {
                let full = std::mem::take(&mut builder);
                self.write(full).await?;
            }
        }
        match builder.objects() {
            0 => Ok(()),
            _ => self.write(builder).await,
        }
    }

    /// Stores a segment.
    async fn write(&mut self, builder: SegmentBuilder) -> Result<(), IndexError> {
        let made = builder.finish(&self.digests);
        let made = made.map_err(|source| IndexError::Write {
            table: self.table.name.clone(),
            source,
        })?;
        let object = self.table.location.join(FOLDER).join(&made.name);
        let size = made.bytes.len() as u64;
        let put = object.store.put(&object.prefix, made.bytes.into()).await;
        let put = put.map_err(|source| store_error(&self.table, source))?;
        // What is made anew may have the bytes that it had.
        self.old.retain(|old| *old != object.prefix);
        self.segments.push(Segment {
            meta: ObjectMeta {
                location: object.prefix,
                last_modified: Utc::now(),
                size,
                e_tag: put.e_tag,
                version: put.version,
            },
            rows: made.rows,
            coverage: Arc::new(made.coverage),
        });
        Ok(())
    }

    /// Merges small segments, as long as there are many.
    async fn merge(&mut self) -> Result<(), IndexError> {
        loop {
            self.segments.sort_by_key(|segment| segment.rows);
            let mut rows = 0;
            let is_small = |segment: &&Segment| {
                rows += segment.rows;
                rows <= MERGED_ROWS
            };
            let small = self.segments.iter().take_while(is_small).count();
            if small < MERGED_AT_ONCE {
                return Ok(());
            }
            let merged: Vec<Segment> = self.segments.drain(..small).collect();
            let mut builder = SegmentBuilder::default();
            let mut known = HashSet::new();
            for segment in &merged {
                let places: HashMap<u32, u32> = (0..)
                    .zip(&segment.coverage.objects)
                    .filter(|(_, object)| {
                        known.insert((object.path.clone(), object.version.clone()))
                    })
                    .map(|(place, object)| (place, builder.add_object(object.clone())))
                    .collect();
                let rows = look_up(&self.table.location, segment, None, &self.cache)
                    .await
                    .map_err(|source| IndexError::Read {
                        table: self.table.name.clone(),
                        source,
                    })?;
                for row in rows {
                    if let Some(object) = places.get(&row.object) {
                        builder.add_row(SegmentRow {
                            object: *object,
                            ..row
                        });
                    }
                }
            }
            self.write(builder).await?;
            self.old
                .extend(merged.into_iter().map(|segment| segment.meta.location));
        }
    }

    async fn delete(&self) -> Result<(), IndexError> {
        for segment in &self.old {
            match self.table.location.store.delete(segment).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(store_error(&self.table, source)),
            }
        }
        Ok(())
    }
}

fn store_error(table: &Table, source: object_store::Error) -> IndexError {
    IndexError::Store {
        table: table.name.clone(),
        location: folder_of(&table.location),
        source,
    }
}

fn folder_of(location: &Location) -> String {
    location.join(FOLDER).to_string()
}

/// What the index of a table says of a query.
#[derive(Debug)]
pub(crate) enum Indexed {
    /// The query asks nothing that an index knows.
    NotAsked,
    /// The table has no index.
    None,
    /// It cannot be read, and why.
    Unreadable(String),
    Narrowed(Narrowed),
}

/// Asks the index of a table which of its objects and rows may hold hits.
pub(crate) async fn narrowed(
    table: &Table,
    query: &Query,
    configured: &BTreeMap<String, Vec<FieldPath>>,
    cache: &Arc<FileMetadataCache>,
) -> Indexed {
    let fields = fields_of(table, configured);
    let asked = Asked::of(query, &fields, configured);
    if !asked.is_narrow() {
        return Indexed::NotAsked;
    }
    let segments = match Segments::open(&table.location, cache).await {
        Ok(segments) => segments,
        Err(error) => return Indexed::Unreadable(error.to_string()),
    };
    if segments.all.is_empty() {
        return match segments.unusable.first() {
            Some((meta, reason)) => Indexed::Unreadable(format!(
                "{}: {reason}",
                table.location.name_of(&meta.location)
            )),
            None => Indexed::None,
        };
    }
    match narrow(table, &segments, &digests(table, &fields), &asked, cache).await {
        Ok(narrowed) => Indexed::Narrowed(narrowed),
        Err(error) => Indexed::Unreadable(reason_of(&error)),
    }
}

/// What the index of a table knows of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownValue {
    /// The table.
    pub table: String,
    /// The kind of observable, or `address in text` and `hash in text` for what stands in events' text and in no column of the kind.
    pub kind: &'static str,
    /// The value, as the index has it: in lower case.
    pub value: String,
    /// Events that have it.
    pub events: u64,
    /// Objects of the table that hold such events.
    pub objects: usize,
    /// The first and the last time of such an event, without parts of seconds; nothing where none has a time.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// What indexes know of the values of a query.
#[derive(Debug, Default)]
pub struct KnownValues {
    /// A row for each table and value, in the order of the tables.
    pub rows: Vec<KnownValue>,
    /// Tables whose index does not cover all of their objects, with how many it lacks and how many there are.
    pub not_covered: Vec<(String, usize, usize)>,
    /// Tables or indexes that cannot be read, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// Returns what the indexes of tables know of the values that a query names, without reading any event.
///
/// # Errors
/// A query that names no value which an index knows.
pub async fn known_values(
    tables: Vec<SearchTable>,
    query: &Query,
) -> Result<KnownValues, crate::QueryError> {
    let mut known = KnownValues::default();
    let mut is_asked = false;
    for table in tables {
        let name = table.config.name.clone();
        let cache = footer_cache();
        let opened = Table::open(table.config, TimeRange::default(), Arc::clone(&cache)).await;
        let opened = match opened {
            Ok(opened) => opened,
            Err(TableError::Empty { .. }) => continue,
            Err(error) => {
                known.unreadable.push((name, error.to_string()));
                continue;
            }
        };
        let fields = fields_of(&opened, &table.observables);
        let mut keys = BTreeSet::new();
        Asked::of(query, &fields, &table.observables).keys(&mut keys);
        if keys.is_empty() {
            continue;
        }
        is_asked = true;
        let read = known_of(
            &opened,
            &keys,
            &digests(&opened, &fields),
            &cache,
            &mut known,
        )
        .await;
        if let Err(reason) = read {
            known.unreadable.push((folder_of(&opened.location), reason));
        }
    }
    if is_asked {
        return Ok(known);
    }
    Err(crate::QueryError {
        column: 1,
        message: "no index knows such values: ask for an observable as a whole, such as `ip:192.0.2.1` or `user:alice`"
            .to_owned(),
    })
}

async fn known_of(
    table: &Table,
    keys: &BTreeSet<keys::Key>,
    digests: &BTreeMap<String, String>,
    cache: &Arc<FileMetadataCache>,
    known: &mut KnownValues,
) -> Result<(), String> {
    let segments = Segments::open(&table.location, cache)
        .await
        .map_err(|error| error.to_string())?;
    let versions: HashSet<(String, String)> = table
        .files
        .iter()
        .map(|file| (path_of(&table.location, file), file.version()))
        .collect();
    let mut rows: BTreeMap<&keys::Key, KnownValue> = BTreeMap::new();
    let mut covered = HashSet::new();
    for segment in segments
        .all
        .iter()
        .filter(|segment| segment.coverage.kinds == *digests)
    {
        let objects = (0..).zip(&segment.coverage.objects);
        // An object that two segments cover counts once.
        let places: HashSet<u32> = objects
            .map(|(place, object)| (place, (object.path.clone(), object.version.clone())))
            .filter(|(_, version)| versions.contains(version) && covered.insert(version.clone()))
            .map(|(place, _)| place)
            .collect();
        if places.is_empty() {
            continue;
        }
        let asked: Vec<&keys::Key> = keys.iter().collect();
        let found = look_up(&table.location, segment, Some(&asked), cache).await;
        for row in found.map_err(|error| reason_of(&error))? {
            let key = keys
                .iter()
                .find(|key| key.kind == row.kind && *key.value == *row.value);
            let Some(key) = key.filter(|_| places.contains(&row.object)) else {
                continue;
            };
            let value = rows.entry(key).or_insert_with(|| KnownValue {
                table: table.name.clone(),
                kind: key.kind,
                value: key.value.clone(),
                events: 0,
                objects: 0,
                times: None,
            });
            value.events += row.entry.count;
            value.objects += 1;
            if let Some((first, last)) = row.entry.seconds {
                let moment = |second: i64| Timestamp::clamped(second.saturating_mul(1_000_000));
                let (first, last) = (moment(first), moment(last));
                let (earliest, latest) = value.times.get_or_insert((first, last));
                (*earliest, *latest) = ((*earliest).min(first), (*latest).max(last));
            }
        }
    }
    known.rows.extend(rows.into_values());
    if covered.len() < versions.len() {
        let missing = versions.len() - covered.len();
        known
            .not_covered
            .push((table.name.clone(), missing, versions.len()));
    }
    Ok(())
}
