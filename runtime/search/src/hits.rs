//! The operator that turns a scan into hits: the events of a table that a query selects.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;
use yagura_core::columns::RAW_COLUMN;
use yagura_core::{TimeRange, Timestamp};
use yagura_lake::guard::Guarded;
use yagura_plan::TablePlan;
use yagura_rules::{FieldValues, PrefilterState, addresses, render_text};

use crate::event_json::EventWriter;
use crate::kinds::Kind;

/// What is wanted of each event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Time, object, row and the event as JSON.
    Events {
        /// With its source text.
        with_raw: bool,
    },
    /// The second of its time alone.
    Times,
    /// Observables: a row for each, with its kind and value.
    Observables(Arc<Vec<(Kind, FieldValues)>>),
}

impl Wanted {
    pub(crate) fn schema(&self) -> SchemaRef {
        let time = Field::new(TIME, DataType::Timestamp(TimeUnit::Microsecond, None), true);
        let text = |name| Field::new(name, DataType::Utf8, false);
        let fields = match self {
            Self::Events { .. } => vec![
                time,
                text(OBJECT),
                Field::new(ROW, DataType::Int64, false),
                text(EVENT),
            ],
            Self::Times => vec![time],
            Self::Observables(_) => vec![text(KIND), text(VALUE)],
        };
        Arc::new(Schema::new(fields))
    }
}

pub(crate) const TIME: &str = "time";
pub(crate) const OBJECT: &str = "object";
pub(crate) const ROW: &str = "row";
pub(crate) const EVENT: &str = "event";
const KIND: &str = "kind";
const VALUE: &str = "value";

/// What was seen while hits were looked for.
#[derive(Debug, Default)]
pub(crate) struct HitCounters {
    /// Events that the query selects and that have no time, so that they lie in no range.
    pub(crate) without_time: AtomicU64,
}

/// Yields what is wanted of the events of its input that the query selects.
#[derive(Debug)]
pub(crate) struct HitExec {
    input: Arc<dyn ExecutionPlan>,
    plan: Arc<TablePlan>,
    range: TimeRange,
    wanted: Wanted,
    counters: Arc<HitCounters>,
    properties: Arc<PlanProperties>,
}

impl HitExec {
    /// Returns the operator over `input`, a scan of the plan's columns; the plan has one rule, the query.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        plan: Arc<TablePlan>,
        range: TimeRange,
        wanted: Wanted,
        counters: Arc<HitCounters>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(wanted.schema()),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            plan,
            range,
            wanted,
            counters,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for HitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HitExec: table={}", self.plan.table.name)
    }
}

impl ExecutionPlan for HitExec {
    fn name(&self) -> &'static str {
        "HitExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop();
        let input = input.ok_or_else(|| internal_datafusion_err!("HitExec has one child"))?;
        Ok(Arc::new(Self::new(
            input,
            Arc::clone(&self.plan),
            self.range,
            self.wanted.clone(),
            Arc::clone(&self.counters),
        )))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        // A reader that panics on an object's bytes is an error of that object.
        let input = Guarded::new(self.input.execute(partition, context)?);
        let mut search = BatchSearch {
            state: PrefilterState::new(&self.plan.program),
            plan: Arc::clone(&self.plan),
            range: self.range,
            wanted: self.wanted.clone(),
            counters: Arc::clone(&self.counters),
        };
        let hits = input.filter_map(move |batch| {
            let hits = batch.and_then(|batch| Ok(search.hits(&batch)?)).transpose();
            std::future::ready(hits)
        });
        let schema = self.wanted.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, hits)))
    }
}

/// The query at work on batches.
struct BatchSearch {
    plan: Arc<TablePlan>,
    state: PrefilterState,
    range: TimeRange,
    wanted: Wanted,
    counters: Arc<HitCounters>,
}

impl BatchSearch {
    /// Returns the hits of a batch, if there are any.
    fn hits(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        let selected =
            self.plan
                .program
                .evaluate_any(&mut self.state, batch.num_rows(), &|index| {
                    Arc::clone(batch.column(index))
                })?;
        if selected.count_set_bits() == 0 {
            return Ok(None);
        }
        let times = self.plan.table.event_times(batch.column(self.plan.time))?;
        let is_in_range = |row: usize| match times[row] {
            Some(time) => self.range.contains(time),
            None if self.range.is_unbounded() => true,
            None => {
                self.counters.without_time.fetch_add(1, Ordering::Relaxed);
                false
            }
        };
        let mut kept = vec![false; batch.num_rows()];
        for row in selected.set_indices() {
            kept[row] = is_in_range(row);
        }
        let mask = BooleanArray::from(BooleanBuffer::from(kept));
        let count = mask.true_count();
        if count == 0 {
            return Ok(None);
        }
        let hits = filter_record_batch(batch, &mask)?;
        let micros: TimestampMicrosecondArray = mask
            .values()
            .set_indices()
            .map(|row| times[row].map(Timestamp::micros))
            .collect();
        let schema = self.wanted.schema();
        let columns: Vec<ArrayRef> = match &self.wanted {
            Wanted::Times => {
                let second = |micros: i64| micros - micros.rem_euclid(1_000_000);
                vec![Arc::new(
                    micros.unary::<_, TimestampMicrosecondType>(second),
                )]
            }
            Wanted::Events { with_raw } => {
                let width = hits.num_columns();
                let objects = cast(hits.column(width - 2), &DataType::Utf8)?;
                let rows = cast(hits.column(width - 1), &DataType::Int64)?;
                let events = hits.project(&(0..width - 2).collect::<Vec<_>>())?;
                // The day of its folder says nothing that the time does not.
                let day = self.plan.table.day_partition.as_ref();
                let is_wanted = |name: &str| {
                    (*with_raw || name != RAW_COLUMN) && day.is_none_or(|(day, _)| day != name)
                };
                let writer = EventWriter::new(&events, is_wanted)?;
                let events: StringArray = (0..count).map(|row| Some(writer.event(row))).collect();
                vec![Arc::new(micros), objects, rows, Arc::new(events)]
            }
            Wanted::Observables(fields) => {
                let (mut kinds, mut values) = (Vec::new(), Vec::new());
                for (kind, field) in fields.iter() {
                    let texts =
                        render_text(&field.values(|index| Ok(Arc::clone(hits.column(index))))?)?;
                    // Answers of DNS are names too.
                    let is_of_kind = |value: &str| *kind != Kind::Ip || addresses(value).is_some();
                    crate::pivot::values_of(&texts, |value| {
                        if is_of_kind(&value) {
                            kinds.push(kind.name());
                            values.push(value);
                        }
                    });
                }
                vec![
                    Arc::new(StringArray::from(kinds)),
                    Arc::new(StringArray::from(values)),
                ]
            }
        };
        RecordBatch::try_new(schema, columns).map(Some)
    }
}
