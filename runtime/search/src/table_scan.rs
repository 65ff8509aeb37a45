//! One table of a search: its objects in slices of time, and what is read of each.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{Days, NaiveDate};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::context::SessionContext;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, stream};
use object_store::path::Path;
use tokio::sync::mpsc;
use yagura_core::rule::ReportMode;
use yagura_core::{AlertPolicy, FieldPath, Rule, TimeRange, Timestamp};
use yagura_lake::table::{DataFile, Table, reason_of, store_failure};
use yagura_plan::{ReadOptions, RuleSource, TablePlan, Tuning, object_store_url, scan};
use yagura_rules::{FieldValues, Predicate};

use crate::hits::{HitCounters, HitExec, OBJECT, ROW, TIME, Wanted};
use crate::kinds::Kind;
use crate::merge::{self, Lane};
use crate::search::{HitOrder, SearchError, SearchOptions, SearchProgress};

/// A table with the query planned over it.
pub(crate) struct TableScan {
    plan: Arc<TablePlan>,
    cache: Arc<FileMetadataCache>,
    session: SessionContext,
    range: TimeRange,
    observables: Arc<BTreeMap<String, Vec<FieldPath>>>,
    progress: Arc<SearchProgress>,
    counters: Arc<HitCounters>,
    with_raw: bool,
    /// The rows of objects that may be hits, where an index says so.
    rows: Arc<HashMap<Path, RowSelection>>,
}

impl fmt::Debug for TableScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TableScan");
        shown
            .field("table", &self.plan.table.name)
            .finish_non_exhaustive()
    }
}

/// What is read of a table.
#[derive(Debug, Clone)]
pub(crate) enum ScanKind {
    /// Events in order of time, at most so many of a slice.
    Sorted(Wanted, HitOrder, Option<usize>),
    /// Different rows, each with its count.
    Counted(Wanted),
}

/// Objects of a table, and the first and last event time that they may have.
struct Slice {
    first: Timestamp,
    last: Timestamp,
    files: Vec<DataFile>,
}

/// The objects of a table by time.
struct Slices {
    /// Earliest first; the times of two of them do not overlap.
    in_order: Vec<Vec<DataFile>>,
    /// Objects of which it is not known what times they have.
    unknown: Vec<DataFile>,
}

/// Footers that are read at once.
const FOOTERS_AT_ONCE: usize = 16;
/// Batches that a table may be ahead of what is taken.
const BATCHES_AHEAD: usize = 2;

type Batches = mpsc::Receiver<Result<RecordBatch, SearchError>>;

impl TableScan {
    pub(crate) fn new(
        table: Arc<Table>,
        cache: Arc<FileMetadataCache>,
        predicate: Predicate,
        observables: Arc<BTreeMap<String, Vec<FieldPath>>>,
        options: &SearchOptions,
        progress: Arc<SearchProgress>,
        counters: Arc<HitCounters>,
    ) -> Result<Self, SearchError> {
        let scan_error = |source| SearchError::Scan {
            table: table.name.clone(),
            source,
        };
        let config = SessionConfig::new()
            .with_target_partitions(options.partitions.max(1))
            // A batch holds whole events.
            .with_batch_size(2_048)
            .with_sort_spill_reservation_bytes(options.sort_memory / 8);
        let memory = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(options.sort_memory)))
            .build_arc()
            .map_err(scan_error)?;
        let session = SessionContext::new_with_config_rt(config, memory);
        let url = object_store_url(&table).map_err(scan_error)?;
        session
            .runtime_env()
            .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
        let columns = 0..table.schema().fields().len();
        let source = query_as_rule(&table.name, predicate);
        let plan = TablePlan::with_columns(
            &session.state(),
            table,
            &[(0, source)],
            columns,
            Tuning::default(),
        )?;
        progress
            .objects
            .fetch_add(plan.table.files.len() as u64, Ordering::Relaxed);
        Ok(Self {
            plan: Arc::new(plan),
            cache,
            session,
            range: options.range,
            observables,
            progress,
            counters,
            with_raw: options.with_raw,
            rows: Arc::default(),
        })
    }

    /// Reads only these rows of some objects, by their paths.
    pub(crate) fn with_rows(self, rows: HashMap<Path, RowSelection>) -> Self {
        Self {
            rows: Arc::new(rows),
            ..self
        }
    }

    fn table(&self) -> &Table {
        &self.plan.table
    }

    /// Returns the table's hits as streams in order of time: one for the objects whose times are known, and one for all others.
    pub(crate) fn lanes(self: &Arc<Self>, order: HitOrder, fetch: Option<usize>) -> Vec<Lane> {
        let wanted = Wanted::Events {
            with_raw: self.with_raw,
        };
        let kind = ScanKind::Sorted(wanted, order, fetch);
        let name: Arc<str> = self.table().name.as_str().into();
        [true, false]
            .map(|is_known| Lane::new(Arc::clone(&name), self.read(kind.clone(), Some(is_known))))
            .into()
    }

    /// Returns what is read of all objects.
    pub(crate) fn batches(
        self: &Arc<Self>,
        kind: ScanKind,
    ) -> impl futures::Stream<Item = Result<RecordBatch, SearchError>> + Unpin {
        let (task, receiver) = self.read(kind, None);
        Box::pin(stream::unfold(
            (task, receiver),
            |(task, mut receiver)| async move {
                let batch = receiver.recv().await?;
                Some((batch, (task, receiver)))
            },
        ))
    }

    /// Returns what a search for observables wants of the table's events.
    pub(crate) fn observables(&self) -> Wanted {
        let schema: &Schema = &self.plan.scan_schema;
        let fields = Kind::ALL.into_iter().flat_map(|kind| {
            let fields = kind.fields(schema, &self.observables);
            fields.into_iter().filter_map(move |path| {
                Some((kind, FieldValues::of(schema, std::slice::from_ref(&path))?))
            })
        });
        Wanted::Observables(Arc::new(fields.collect()))
    }

    /// Says whether an object, by its name, is one of the table's.
    pub(crate) fn holds(&self, object: &str) -> bool {
        self.table().holds(object)
    }

    /// Returns the time of an event of the table.
    pub(crate) async fn time_of(
        self: &Arc<Self>,
        object: &str,
        row: u64,
    ) -> Result<Option<Timestamp>, SearchError> {
        let of_name =
            |file: &&DataFile| self.table().location.name_of(&file.meta.location) == object;
        let Some(file) = self.table().files.iter().find(of_name) else {
            return Ok(None);
        };
        let kind = ScanKind::Sorted(
            Wanted::Events { with_raw: false },
            HitOrder::OldestFirst,
            None,
        );
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let (scan, files) = (Arc::clone(self), vec![file.clone()]);
        let _task = SpawnedTask::spawn(async move { scan.send_slice(files, &kind, &sender).await });
        while let Some(batch) = receiver.recv().await {
            for hit in merge::decode(&"".into(), &batch?) {
                if hit.row == row {
                    return Ok(hit.time);
                }
            }
        }
        Ok(None)
    }

    /// Reads in the background until what it returns is dropped: slice by slice, all of them or those whose times are known or not.
    fn read(self: &Arc<Self>, kind: ScanKind, known: Option<bool>) -> (SpawnedTask<()>, Batches) {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let scan = Arc::clone(self);
        let task = SpawnedTask::spawn(async move {
            let slices = scan.slices().await;
            let mut all = match known {
                Some(false) => Vec::new(),
                _ => slices.in_order,
            };
            if matches!(kind, ScanKind::Sorted(_, HitOrder::NewestFirst, _)) {
                all.reverse();
            }
            if known != Some(true) && !slices.unknown.is_empty() {
                all.push(slices.unknown);
            }
            for files in all {
                // Nobody waits for more, or it failed.
                if !scan.send_slice(files, &kind, &sender).await {
                    return;
                }
            }
        });
        (task, receiver)
    }

    /// Sorts the objects by the times that their folders or footers give.
    async fn slices(&self) -> Slices {
        let table = self.table();
        let day = table.day_partition.as_ref();
        let timed: Vec<(DataFile, Option<(Timestamp, Timestamp)>)> = match day {
            Some((name, form)) => {
                let at = table.partitions.iter().position(|known| known == name);
                let times =
                    |file: &DataFile| day_of(file.partition_values.get(at?)?.as_ref()?, form);
                let files = table.files.iter();
                files.map(|file| (file.clone(), times(file))).collect()
            }
            None => {
                stream::iter(table.files.clone())
                    .map(|file| async {
                        let times = table.times_of(&file, Arc::clone(&self.cache)).await;
                        // One that cannot be read is named when its events are read.
                        (file, times.ok().flatten())
                    })
                    .buffered(FOOTERS_AT_ONCE)
                    .collect()
                    .await
            }
        };
        let mut unknown = Vec::new();
        let mut known = Vec::new();
        for (file, times) in timed {
            match times {
                Some((first, last)) => known.push(Slice {
                    first,
                    last,
                    files: vec![file],
                }),
                None => unknown.push(file),
            }
        }
        Slices {
            in_order: joined(known),
            unknown,
        }
    }

    /// Sends what is read of some objects. Returns whether more is wanted.
    async fn send_slice(
        &self,
        mut files: Vec<DataFile>,
        kind: &ScanKind,
        sender: &mpsc::Sender<Result<RecordBatch, SearchError>>,
    ) -> bool {
        let mut reading = ReadOptions {
            range: self.range,
            text_as_bytes: false,
            is_narrowed: true,
            counts: Arc::default(),
            store: None,
            rows: Arc::clone(&self.rows),
        };
        let all = files.len() as u64;
        while !files.is_empty() {
            let (error, sent) = match self.send_once(&files, &reading, kind, sender).await {
                Ok(is_wanted) => {
                    self.progress.objects_read.fetch_add(all, Ordering::Relaxed);
                    return is_wanted;
                }
                Err(failed) => failed,
            };
            let is_new_way = !reading.text_as_bytes || reading.is_narrowed;
            if sent || store_failure(&error).is_some() {
                return self.fail(error, sender).await;
            }
            if is_new_way {
                // Text that is not UTF-8, then a filter that cannot be evaluated inside the reader.
                reading.is_narrowed = !reading.text_as_bytes;
                reading.text_as_bytes = true;
                continue;
            }
            match self.without_unreadable(&files, &reading).await {
                Ok(readable) if readable.len() < files.len() => files = readable,
                Ok(_) => return self.fail(error, sender).await,
                Err(error) => return self.fail(error, sender).await,
            }
        }
        self.progress.objects_read.fetch_add(all, Ordering::Relaxed);
        true
    }

    async fn fail(
        &self,
        source: DataFusionError,
        sender: &mpsc::Sender<Result<RecordBatch, SearchError>>,
    ) -> bool {
        let error = SearchError::Scan {
            table: self.table().name.clone(),
            source,
        };
        let _ = sender.send(Err(error)).await;
        false
    }

    /// Sends what is read of some objects in one way. Returns whether more is wanted; of an error also whether something was sent
    /// before.
    async fn send_once(
        &self,
        files: &[DataFile],
        reading: &ReadOptions,
        kind: &ScanKind,
        sender: &mpsc::Sender<Result<RecordBatch, SearchError>>,
    ) -> Result<bool, (DataFusionError, bool)> {
        let plan = self
            .plan_of(files, reading, kind)
            .map_err(|error| (error, false))?;
        let task = self.session.task_ctx();
        let mut batches: SendableRecordBatchStream =
            plan.execute(0, task).map_err(|error| (error, false))?;
        // Sorting and counting yield nothing before all objects were read, so what cannot be read is known before.
        let mut sent = false;
        let mut is_wanted = true;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| (error, sent))?;
            is_wanted = sender.send(Ok(batch)).await.is_ok();
            sent = true;
            if !is_wanted {
                break;
            }
        }
        Ok(is_wanted)
    }

    fn plan_of(
        &self,
        files: &[DataFile],
        reading: &ReadOptions,
        kind: &ScanKind,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let state = self.session.state();
        let cache = Arc::clone(&self.cache);
        let input = scan(&self.plan, files, reading, cache, state.config_options())?;
        let (ScanKind::Sorted(wanted, ..) | ScanKind::Counted(wanted)) = kind;
        let hits = HitExec::new(
            input,
            Arc::clone(&self.plan),
            self.range,
            wanted.clone(),
            Arc::clone(&self.counters),
        );
        let hits: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::new(hits)));
        let ScanKind::Sorted(wanted, order, fetch) = kind else {
            return counted(hits);
        };
        let schema = wanted.schema();
        let columns = [TIME, OBJECT, ROW].into_iter().map(|name| {
            let column = Column::new_with_schema(name, &schema)?;
            // Events without a time come last in either order.
            let options = SortOptions::new(*order == HitOrder::NewestFirst, false);
            Ok(PhysicalSortExpr::new(Arc::new(column), options))
        });
        let columns: Vec<PhysicalSortExpr> = columns.collect::<Result<_, DataFusionError>>()?;
        match LexOrdering::new(columns) {
            Some(ordering) => Ok(Arc::new(SortExec::new(ordering, hits).with_fetch(*fetch))),
            None => Ok(hits),
        }
    }

    /// Reads each object by itself, and returns those that can be read. The others are named.
    async fn without_unreadable(
        &self,
        files: &[DataFile],
        reading: &ReadOptions,
    ) -> Result<Vec<DataFile>, DataFusionError> {
        let mut readable = Vec::with_capacity(files.len());
        let kind = ScanKind::Counted(Wanted::Times);
        for file in files {
            let read = async {
                let plan = self.plan_of(std::slice::from_ref(file), reading, &kind)?;
                let mut batches = plan.execute(0, self.session.task_ctx())?;
                while let Some(batch) = batches.next().await {
                    batch?;
                }
                Ok::<_, DataFusionError>(())
            };
            match read.await {
                Ok(()) => readable.push(file.clone()),
                Err(error) if store_failure(&error).is_some() => return Err(error),
                Err(error) => {
                    let object = self.table().location.name_of(&file.meta.location);
                    self.progress.add_unreadable(object, reason_of(&error));
                }
            }
        }
        Ok(readable)
    }
}

/// Returns a query as the rule that a plan needs.
pub(crate) fn query_as_rule(table: &str, predicate: Predicate) -> RuleSource {
    RuleSource {
        rule: Arc::new(Rule {
            id: "search".to_owned(),
            title: "search".to_owned(),
            table: table.to_owned(),
            alert: AlertPolicy {
                report: ReportMode::None,
                ..AlertPolicy::default()
            },
            ..Rule::default()
        }),
        file: "search".into(),
        plugin: None,
        predicate: Some(Arc::new(predicate)),
        fields: Vec::new(),
        alternatives: BTreeMap::default(),
    }
}

/// Returns the first and the last moment of a day.
fn day_of(text: &str, form: &str) -> Option<(Timestamp, Timestamp)> {
    let day = NaiveDate::parse_from_str(text, form).ok()?;
    let next = Timestamp::start_of(day.checked_add_days(Days::new(1))?)?;
    Some((Timestamp::start_of(day)?, next.saturating_add(-1)))
}

/// Joins the objects whose times overlap, and returns them in order of time.
fn joined(mut slices: Vec<Slice>) -> Vec<Vec<DataFile>> {
    slices.sort_by_key(|slice| slice.first);
    let mut joined: Vec<Slice> = Vec::new();
    for slice in slices {
        match joined.last_mut() {
            Some(last) if slice.first <= last.last => {
                last.last = last.last.max(slice.last);
                last.files.extend(slice.files);
            }
            _ => joined.push(slice),
        }
    }
    joined.into_iter().map(|slice| slice.files).collect()
}

/// Returns the different rows of a plan, each with its count.
fn counted(input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let schema = input.schema();
    let groups = schema.fields().iter().enumerate().map(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        (column, field.name().clone())
    });
    let one: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::Int64(Some(1))));
    let count = AggregateExprBuilder::new(count_udaf(), vec![one])
        .schema(Arc::clone(&schema))
        .alias("count")
        .build()?;
    Ok(Arc::new(AggregateExec::try_new(
        AggregateMode::Single,
        PhysicalGroupBy::new_single(groups.collect()),
        vec![Arc::new(count)],
        vec![None],
        input,
        schema,
    )?))
}
