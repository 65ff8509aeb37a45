//! Conditions without an atom form, as expressions of DataFusion that are evaluated row by row where a batch fails.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanBufferBuilder, BooleanBuilder, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, TryCastExpr};
use yagura_core::shown::without_controls;
use yagura_rules::predicate::{Evaluated, FailedRows, RowEvaluator};

use super::error::first_line;
use super::typed::{typed, typed_value};

/// An expression of DataFusion over some columns.
#[derive(Debug)]
pub(crate) struct PhysicalCondition {
    pub(crate) expr: Arc<dyn PhysicalExpr>,
    pub(crate) schema: SchemaRef,
}

impl PhysicalCondition {
    /// Evaluates the expression for the rows from `first` on and adds the truth of each. A row that fails does not change the
    /// truth of the others.
    fn evaluate_each(&self, batch: &RecordBatch, first: usize, truths: &mut RowTruths) {
        let rows = batch.num_rows();
        if rows == 0 {
            return;
        }
        let evaluated = self
            .expr
            .evaluate(batch)
            .and_then(|value| value.into_array(rows));
        match evaluated {
            // A part that is NULL for every event has no type of its own.
            Ok(evaluated) => match evaluated.as_boolean_opt() {
                Some(evaluated) => truths.truth.append_array(evaluated),
                None => truths.truth.append_nulls(rows),
            },
            Err(error) if rows == 1 => {
                truths.truth.append_nulls(rows);
                truths.failed.push(first);
                // It may quote the event.
                let reason = || without_controls(&first_line(&error));
                let short = || reason().chars().take(MAX_REASON_CHARS).collect();
                truths.reason.get_or_insert_with(short);
            }
            Err(_) => {
                let half = rows / 2;
                self.evaluate_each(&batch.slice(0, half), first, truths);
                self.evaluate_each(&batch.slice(half, rows - half), first + half, truths);
            }
        }
    }
}

/// Characters of the reason why an expression fails, at most.
const MAX_REASON_CHARS: usize = 200;

/// The truth of each row of a batch, as far as it was evaluated.
#[derive(Default)]
struct RowTruths {
    truth: BooleanBuilder,
    failed: Vec<usize>,
    /// Why the first of these failed.
    reason: Option<String>,
}

impl RowEvaluator for PhysicalCondition {
    fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Result<Evaluated, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns.to_vec(),
            &options,
        )?;
        let mut truths = RowTruths::default();
        self.evaluate_each(&batch, 0, &mut truths);
        Ok(Evaluated {
            truth: truths.truth.finish(),
            failed: truths.reason.map(|reason| {
                let mut failed = BooleanBufferBuilder::new(rows);
                failed.append_n(rows, false);
                for row in truths.failed {
                    failed.set_bit(row, true);
                }
                FailedRows {
                    rows: failed.finish(),
                    reason,
                }
            }),
        })
    }
}

/// Plans a condition over the columns of `schema`. A conversion in it gives NULL for what it cannot convert.
pub(crate) fn physical(
    state: &SessionState,
    expr: Expr,
    schema: SchemaRef,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let schema = Arc::new(DFSchema::try_from(schema)?);
    planned(state, typed(expr, &schema)?, schema)
}

/// Does the same with an expression that need not be a truth value.
pub(crate) fn physical_value(
    state: &SessionState,
    expr: Expr,
    schema: SchemaRef,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let schema = Arc::new(DFSchema::try_from(schema)?);
    planned(state, typed_value(expr, &schema)?, schema)
}

fn planned(
    state: &SessionState,
    typed: Expr,
    schema: Arc<DFSchema>,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let coerced = ExprSimplifier::new(context.clone()).coerce(typed, &schema)?;
    // `coalesce` and others are nothing but names for other expressions, and cannot be evaluated themselves.
    let spelled_out = coerced.transform_up(|expr| {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
            return Ok(Transformed::no(expr));
        };
        Ok(match func.simplify(args, &context)? {
            ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
            ExprSimplifyResult::Original(args) => {
                Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))
            }
        })
    })?;
    trying(state.create_physical_expr(spelled_out.data, &schema)?)
}

/// Makes every conversion of the expression give NULL for what it cannot convert.
fn trying(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let tried = expr.transform_up(|expr| {
        Ok(match expr.downcast_ref::<CastExpr>() {
            Some(cast) => Transformed::yes(Arc::new(TryCastExpr::new(
                Arc::clone(cast.expr()),
                cast.cast_type().clone(),
            )) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(expr),
        })
    })?;
    Ok(tried.data)
}
