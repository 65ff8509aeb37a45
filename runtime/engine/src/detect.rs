//! Detect: the operator that turns a scan into findings, partition by partition.
//!
//! Findings leave it as record batches, also where a run decodes them in the same process. It is an operator of a physical plan:
//! DataFusion runs its partitions in parallel by their streams, and an engine that distributes such plans can run it on another
//! machine, from which findings come back to one correlation engine. What crosses is findings, never events, so the copy costs
//! little.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, stream};
use yagura_core::TimeRange;
use yagura_lake::guard::Guarded;
use yagura_plan::TablePlan;

use crate::evaluate::Evaluator;
use crate::findings;
use crate::runtime::DetectRuntime;

/// Evaluates the batches of its input by every rule of a table and yields batches of findings.
///
/// Its partitions are those of the input; each has its own plugin instances. It finds its [`DetectRuntime`] in the
/// session that executes it.
#[derive(Debug)]
pub struct DetectExec {
    input: Arc<dyn ExecutionPlan>,
    plan: Arc<TablePlan>,
    range: TimeRange,
    batch_rows: usize,
    properties: Arc<PlanProperties>,
}

impl DetectExec {
    /// Returns the operator over `input`, a scan of the plan's columns; plugins get batches of `batch_rows` rows.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        plan: Arc<TablePlan>,
        range: TimeRange,
        batch_rows: usize,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(findings::schema()),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            plan,
            range,
            batch_rows,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for DetectExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DetectExec: table={}, rules={}",
            self.plan.table.name,
            self.plan.rules.len()
        )
    }
}

impl ExecutionPlan for DetectExec {
    fn name(&self) -> &'static str {
        "DetectExec"
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
        let input = children
            .pop()
            .ok_or_else(|| internal_datafusion_err!("DetectExec has one child"))?;
        Ok(Arc::new(Self::new(
            input,
            Arc::clone(&self.plan),
            self.range,
            self.batch_rows,
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
        let runtime = context
            .session_config()
            .get_extension::<DetectRuntime>()
            .ok_or_else(|| internal_datafusion_err!("the session holds no DetectRuntime"))?;
        let evaluate = Evaluator::new(Arc::clone(&self.plan), runtime, self.range, self.batch_rows);
        // A reader that panics on an object's bytes is an error of that object.
        let input = Guarded::new(self.input.execute(partition, context)?);
        let state = Some((input, Box::new(evaluate)));
        let batches = stream::try_unfold(state, |state| async move {
            let Some((mut input, mut evaluate)) = state else {
                return Ok::<_, DataFusionError>(None);
            };
            loop {
                let batch = input.next().await.transpose()?;
                let last = batch.is_none();
                // Plugins may use their whole time limit: never on a thread that drives other streams.
                let (returned, findings) = SpawnedTask::spawn_blocking(move || {
                    let findings = step(&mut evaluate, batch);
                    (evaluate, findings)
                })
                .join_unwind()
                .await
                .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
                evaluate = returned;
                match (findings?, last) {
                    (Some(findings), true) => return Ok(Some((findings, None))),
                    (Some(findings), false) => {
                        return Ok(Some((findings, Some((input, evaluate)))));
                    }
                    (None, true) => return Ok(None),
                    (None, false) => {}
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            findings::schema(),
            batches,
        )))
    }
}

fn step(evaluate: &mut Evaluator, batch: Option<RecordBatch>) -> Result<Option<RecordBatch>> {
    let found = match &batch {
        Some(batch) => evaluate.push(batch)?,
        None => evaluate.finish()?,
    };
    if found.is_empty() {
        return Ok(None);
    }
    Ok(Some(findings::encode(&found)?))
}
