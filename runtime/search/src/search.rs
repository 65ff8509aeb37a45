//! A search over several tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::DataFusionError;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use futures::{StreamExt, stream};
use object_store::path::Path;
use yagura_core::columns::UNMAPPED_COLUMN;
use yagura_core::names::did_you_mean;
use yagura_core::{FieldPath, TimeRange, Timestamp};
use yagura_lake::table::{Table, TableConfig, TableError};
use yagura_plan::{CLASS_COLUMN, PlanError, footer_cache};

use crate::counting_store::CountingStore;
use crate::histogram::Histogram;
use crate::hits::{HitCounters, Wanted};
use crate::index::{Indexed, narrowed};
use crate::kinds::Kind;
use crate::lower::lower;
use crate::merge::{self, Hits};
use crate::pivot::Pivot;
use crate::query::{Query, QueryError};
use crate::table_scan::{ScanKind, TableScan};

/// A table to search.
#[derive(Debug, Clone)]
pub struct SearchTable {
    /// Where it is.
    pub config: TableConfig,
    /// Columns that hold observables, by kind, instead of those found by name.
    pub observables: BTreeMap<String, Vec<FieldPath>>,
}

/// Bytes in which the hits of one table are sorted at least.
pub const MIN_SORT_MEMORY: usize = 4 << 20;

/// In which order hits come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HitOrder {
    /// The latest first.
    #[default]
    NewestFirst,
    /// The earliest first.
    OldestFirst,
}

/// How a search is made.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// Event times: the start lies inside, the end does not. Events without a time are in no range but the unbounded one.
    pub range: TimeRange,
    /// The order of hits.
    pub order: HitOrder,
    /// Hits that are wanted; all if it is not set.
    pub limit: Option<usize>,
    /// Hits come with the source text of the event (`raw`).
    pub with_raw: bool,
    /// Scans of a table side by side.
    pub partitions: usize,
    /// Bytes in which the hits of all tables are sorted, though at least [`MIN_SORT_MEMORY`] for each. What does not fit is sorted in
    /// temporary files.
    pub sort_memory: usize,
    /// Read only what the tables' indexes say may hold hits. Hits are the same without.
    pub use_index: bool,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            range: TimeRange::default(),
            order: HitOrder::default(),
            limit: None,
            with_raw: false,
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            sort_memory: 512 << 20,
            use_index: true,
        }
    }
}

/// Why a search cannot be made, or breaks off.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query is wrong.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// A field of the query is in none of the tables.
    #[error(
        "`{field}` is neither a kind of observable ({kinds}) nor a field of a table that is searched{hint}"
    )]
    UnknownField {
        /// As written.
        field: FieldPath,
        /// The kinds.
        kinds: String,
        /// `; did you mean …?` or nothing.
        hint: String,
    },
    /// A table cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The query does not fit a table.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A store or the disk fails while a table is read.
    #[error("cannot search table `{table}`")]
    Scan {
        /// The table.
        table: String,
        /// The cause.
        source: DataFusionError,
    },
}

/// What has been read so far.
#[derive(Debug, Default)]
pub struct SearchProgress {
    /// Objects to be read.
    pub objects: AtomicU64,
    /// Objects that were read.
    pub objects_read: AtomicU64,
    /// Objects that an index says hold no hit. They are not read.
    pub left_out: AtomicU64,
    /// Bytes of all objects of the tables in the range of time.
    pub bytes: AtomicU64,
    /// Bytes that were fetched from the store, those of footers and indexes among them.
    pub bytes_read: AtomicU64,
    /// Requests to the store.
    pub requests: AtomicU64,
    /// Objects that cannot be read, with the reason.
    unreadable: std::sync::Mutex<Vec<(String, String)>>,
}

impl SearchProgress {
    /// Returns the objects that cannot be read, with the reason.
    pub fn unreadable(&self) -> Vec<(String, String)> {
        let unreadable = self.unreadable.lock();
        unreadable
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn add_unreadable(&self, object: String, reason: String) {
        let unreadable = self.unreadable.lock();
        let mut unreadable = unreadable.unwrap_or_else(std::sync::PoisonError::into_inner);
        unreadable.push((object, reason));
    }
}

/// A search, ready to read.
#[derive(Debug)]
pub struct Search {
    tables: Vec<Arc<TableScan>>,
    order: HitOrder,
    limit: Option<usize>,
    progress: Arc<SearchProgress>,
    counters: Arc<HitCounters>,
    notes: Vec<String>,
    without_index: Vec<String>,
}

/// Tables that are opened at once.
const OPENED_AT_ONCE: usize = 8;

impl Search {
    /// Opens the tables and plans the query over each. Tables without an object in the range are left out; so are those without
    /// the class, if one is given.
    ///
    /// # Errors
    /// [`SearchError`]: a table that cannot be opened, a field that no table has.
    pub async fn open(
        tables: Vec<SearchTable>,
        query: &Query,
        class: Option<&str>,
        options: &SearchOptions,
    ) -> Result<Self, SearchError> {
        let progress = Arc::<SearchProgress>::default();
        let counters = Arc::<HitCounters>::default();
        let opened: Vec<_> = stream::iter(tables)
            .map(|table| (table, Arc::clone(&progress)))
            .map(|(mut table, progress)| async move {
                let cache = footer_cache();
                let store = &mut table.config.location.store;
                *store = Arc::new(CountingStore::new(Arc::clone(store), progress));
                let location = table.config.location.to_string();
                let opened = Table::open(table.config, options.range, Arc::clone(&cache)).await;
                (opened, cache, table.observables, location)
            })
            .buffered(OPENED_AT_ONCE)
            .collect()
            .await;
        let mut query = query.clone();
        if let Some(class) = class {
            query = with_class(query, class)?;
        }
        let mut missing: Option<BTreeSet<String>> = None;
        let mut has_unmapped = false;
        let mut names = BTreeSet::new();
        let mut by_text: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        let (mut scans, mut notes, mut without_index) = (Vec::new(), Vec::new(), Vec::new());
        let sort_memory = (options.sort_memory / opened.len().max(1)).max(MIN_SORT_MEMORY);
        let options = &SearchOptions {
            sort_memory,
            ..options.clone()
        };
        let can_none = opened.iter().all(|(opened, ..)| opened.is_err());
        for (opened, cache, observables, location) in opened {
            let table = match opened {
                Ok(table) => Arc::new(table),
                Err(TableError::Empty { table, .. }) => {
                    notes.push(format!("table `{table}` has no objects yet"));
                    continue;
                }
                Err(error) if can_none => return Err(error.into()),
                // It hides no event of another table.
                Err(error) => {
                    progress.add_unreadable(location, error.to_string());
                    continue;
                }
            };
            for (object, reason) in &table.bad_files {
                progress.add_unreadable(object.clone(), reason.clone());
            }
            notes.extend(table.passed_over.messages(&table.name));
            notes.extend(table.notes.iter().cloned());
            let schema = table.schema();
            if class.is_some() && schema.index_of(CLASS_COLUMN).is_err() {
                continue;
            }
            has_unmapped |= schema.index_of(UNMAPPED_COLUMN).is_ok();
            names.extend(schema.fields().iter().map(|field| field.name().clone()));
            let lowered = lower(&query, &schema, &observables);
            let lacks = lowered
                .without_field
                .iter()
                .map(ToString::to_string)
                .collect();
            missing = Some(match missing {
                Some(missing) => missing.intersection(&lacks).cloned().collect(),
                None => lacks,
            });
            for kind in lowered.without_column {
                by_text.entry(kind).or_default().push(table.name.clone());
            }
            if table.files.is_empty() {
                continue;
            }
            let bytes = table.files.iter().map(|file| file.meta.size).sum();
            progress.bytes.fetch_add(bytes, Ordering::Relaxed);
            let (table, rows) = match options.use_index {
                true => {
                    let indexed = narrowed(&table, &query, &observables, &cache).await;
                    if matches!(indexed, Indexed::None) {
                        without_index.push(table.name.clone());
                    }
                    apply(table, indexed, &progress, &mut notes)
                }
                false => (table, HashMap::new()),
            };
            let progress = Arc::clone(&progress);
            let counters = Arc::clone(&counters);
            let observables = Arc::new(observables);
            let scan = TableScan::new(
                table,
                cache,
                lowered.predicate,
                observables,
                options,
                progress,
                counters,
            )?;
            scans.push(Arc::new(scan.with_rows(rows)));
        }
        for field in missing.iter().flatten() {
            let Ok(path) = field.parse::<FieldPath>() else {
                continue;
            };
            let kinds: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
            let known = names
                .iter()
                .map(String::as_str)
                .chain(kinds.iter().copied());
            let hint = did_you_mean(field, known);
            if !has_unmapped {
                return Err(SearchError::UnknownField {
                    hint,
                    field: path,
                    kinds: kinds.join(", "),
                });
            }
            notes.push(format!(
                "`{field}` is neither a kind of observable nor a column of a table, so it is looked for in the keys of events without a column{hint}"
            ));
        }
        notes.extend(by_text.into_iter().map(|(kind, tables)| {
            format!(
                "no column of {} is known to hold a `{}`, so all text of their events is searched; name such columns under `[table.NAME.observables]` of the configuration",
                listed(&tables),
                kind.name()
            )
        }));
        Ok(Self {
            tables: scans,
            order: options.order,
            limit: options.limit,
            progress,
            counters,
            notes,
            without_index,
        })
    }

    /// Returns what a person should know before the first hit.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the tables of which an index could leave out most, if they had one.
    pub fn without_index(&self) -> &[String] {
        &self.without_index
    }

    /// Returns how many tables are searched.
    pub fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Returns what has been read so far.
    pub fn progress(&self) -> Arc<SearchProgress> {
        Arc::clone(&self.progress)
    }

    /// Returns how many events the query selects that have no time, and so lie in no range.
    pub fn without_time(&self) -> u64 {
        self.counters.without_time.load(Ordering::Relaxed)
    }

    /// Returns the hits of all tables as one timeline. Dropping it ends the search.
    pub fn hits(&self) -> Hits {
        let fetch = self.limit;
        let lanes = self
            .tables
            .iter()
            .flat_map(|table| table.lanes(self.order, fetch));
        Hits::new(lanes.collect(), self.order, self.limit)
    }

    /// Returns how many hits there are in each stretch of time.
    ///
    /// # Errors
    /// [`SearchError::Scan`].
    pub async fn histogram(&self) -> Result<Histogram, SearchError> {
        let mut histogram = Histogram::default();
        for table in &self.tables {
            let mut batches = table.batches(ScanKind::Counted(Wanted::Times));
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let counts = merge::counts(&batch, 1);
                merge::times(&batch)
                    .zip(counts)
                    .for_each(|(time, count)| histogram.add(time, count));
            }
        }
        Ok(histogram)
    }

    /// Returns the observables of all hits, counted.
    ///
    /// # Errors
    /// [`SearchError::Scan`].
    pub async fn pivot(&self) -> Result<Pivot, SearchError> {
        let mut pivot = Pivot::default();
        for table in &self.tables {
            let mut batches = table.batches(ScanKind::Counted(table.observables()));
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let (kinds, values) = (merge::texts(&batch, 0), merge::texts(&batch, 1));
                let counts = merge::counts(&batch, 2);
                kinds
                    .zip(values.zip(counts))
                    .for_each(|(kind, (value, count))| pivot.add(kind, value, count));
            }
        }
        Ok(pivot)
    }

    /// Returns the time of an event, by its object and row; nothing if no table has it, or it has no time.
    ///
    /// # Errors
    /// [`SearchError::Scan`].
    pub async fn time_of(&self, object: &str, row: u64) -> Result<Option<Timestamp>, SearchError> {
        for table in self.tables.iter().filter(|table| table.holds(object)) {
            if let Some(time) = table.time_of(object, row).await? {
                return Ok(Some(time));
            }
        }
        Ok(None)
    }
}

/// Leaves out of a table what its index says holds no hit. Returns also the rows of its objects that may be hits.
fn apply(
    table: Arc<Table>,
    indexed: Indexed,
    progress: &SearchProgress,
    notes: &mut Vec<String>,
) -> (Arc<Table>, HashMap<Path, RowSelection>) {
    let narrowed = match indexed {
        Indexed::Narrowed(narrowed) => narrowed,
        Indexed::NotAsked | Indexed::None => return (table, HashMap::new()),
        Indexed::Unreadable(reason) => {
            notes.push(format!(
                "the index of table `{}` cannot be read, so all of its objects are: {reason}; `yagura table index --rebuild` makes it anew",
                table.name
            ));
            return (table, HashMap::new());
        }
    };
    if narrowed.not_indexed > 0 {
        notes.push(format!(
            "{} of {} objects of table `{}` are not in its index, so they are read as a whole; `yagura table index` adds them",
            narrowed.not_indexed,
            table.files.len(),
            table.name
        ));
    }
    let left_out = narrowed.left_out as u64;
    progress.left_out.fetch_add(left_out, Ordering::Relaxed);
    let table = Table {
        files: narrowed.files,
        ..Arc::unwrap_or_clone(table)
    };
    (Arc::new(table), narrowed.rows)
}

/// Returns a query for events of a class.
fn with_class(query: Query, class: &str) -> Result<Query, SearchError> {
    use crate::query::{Term, TermPlace, TermValue};
    let ocsf = yagura_ocsf::Schema::shipped();
    let found = ocsf.find_class(class).map_err(|unknown| QueryError {
        column: 1,
        message: unknown.to_string(),
    })?;
    let place = FieldPath::new(vec![CLASS_COLUMN.to_owned()]);
    let of_class = place.map(|path| {
        Query::Term(Term {
            place: TermPlace::Field(path),
            value: TermValue::Text(found.uid().to_string()),
        })
    });
    Ok(Query::All(of_class.into_iter().chain([query]).collect()))
}

fn listed(tables: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> = tables
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    if tables.len() > SHOWN {
        shown.push(format!("{} more", tables.len() - SHOWN));
    }
    format!(
        "table{} {}",
        if tables.len() == 1 { "" } else { "s" },
        shown.join(", ")
    )
}
