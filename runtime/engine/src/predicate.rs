//! A rule's `where` as a predicate of the prefilter: what has an atom form, atoms; the rest, expressions.
//!
//! SQL has three truth values and a `where` takes only true ones. So each part is asked for twice over: when is it
//! true, and, below a `NOT`, when is it false. Unknown is neither. `NOT (a = 'x')` is false AND not unknown: `a` has a
//! value, and it is not `x`.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanBufferBuilder, BooleanBuilder, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, TryCastExpr};
use yagura_core::FieldPath;
use yagura_core::pack::without_controls;
use yagura_rules::Predicate;
use yagura_rules::predicate::{
    FailedRows, GlobPart, Judged, OtherExpr, Reading, RowJudge, Test, TextOp,
};

use crate::condition::first_line;
use crate::event_path::EventPath;

/// Translates `expr`, a truth value over the columns of `scan`, to the predicate that is true where it is.
pub(crate) fn predicate(
    state: &SessionState,
    expr: &Expr,
    scan: &Schema,
) -> Result<Predicate, DataFusionError> {
    Translate { state, scan }.truth(expr, true)
}

struct Translate<'a> {
    state: &'a SessionState,
    scan: &'a Schema,
}

/// A field that an atom can test.
struct Tested {
    path: FieldPath,
    is_text: bool,
    is_integer: bool,
    folded: bool,
}

impl Translate<'_> {
    /// Returns when `expr` is true, or, `wanted` false, when it is false.
    fn truth(&self, expr: &Expr, wanted: bool) -> Result<Predicate, DataFusionError> {
        let both = |left: &Expr, right: &Expr| -> Result<Vec<Predicate>, DataFusionError> {
            Ok(vec![self.truth(left, wanted)?, self.truth(right, wanted)?])
        };
        let either = |inner: &Expr, of: bool| -> Result<Predicate, DataFusionError> {
            let inner = self.truth(inner, of)?;
            Ok(if wanted { inner } else { Predicate::not(inner) })
        };
        let unless = |inner: &Expr, of: bool| -> Result<Predicate, DataFusionError> {
            let inner = self.truth(inner, of)?;
            Ok(if wanted { Predicate::not(inner) } else { inner })
        };
        match expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::And,
                right,
            }) => {
                let parts = both(left, right)?;
                Ok(if wanted {
                    Predicate::all(parts)
                } else {
                    Predicate::any(parts)
                })
            }
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Or,
                right,
            }) => {
                let parts = both(left, right)?;
                Ok(if wanted {
                    Predicate::any(parts)
                } else {
                    Predicate::all(parts)
                })
            }
            Expr::Not(inner) => self.truth(inner, !wanted),
            Expr::IsTrue(inner) => either(inner, true),
            Expr::IsFalse(inner) => either(inner, false),
            Expr::IsNotTrue(inner) => unless(inner, true),
            Expr::IsNotFalse(inner) => unless(inner, false),
            Expr::Literal(value, _) if value.is_null() => Ok(Predicate::Always(false)),
            Expr::Literal(ScalarValue::Boolean(truth), _) => {
                Ok(Predicate::Always(*truth == Some(wanted)))
            }
            other => match self.leaf(other, wanted) {
                Some(predicate) => Ok(predicate),
                None => self.other(other, wanted),
            },
        }
    }

    /// Returns the atoms that say when `expr` is true or false; nothing where there is no atom form.
    fn leaf(&self, expr: &Expr, wanted: bool) -> Option<Predicate> {
        let atoms = |field: &Tested, tests: Vec<Test>, wanted: bool| {
            let atom = |test| Predicate::atom(field.path.clone(), Reading::One, test);
            let any = Predicate::any(tests.into_iter().map(atom).collect());
            if wanted {
                any
            } else {
                Predicate::all(vec![atom(Test::Exists), Predicate::not(any)])
            }
        };
        match expr {
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                let field = self.field(inner)?;
                let exists = Predicate::atom(field.path, Reading::One, Test::Exists);
                let is_not_null = matches!(expr, Expr::IsNotNull(_));
                Some(if is_not_null == wanted {
                    exists
                } else {
                    Predicate::not(exists)
                })
            }
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::Eq | Operator::NotEq),
                right,
            }) => {
                let (field, value) = match (self.field(left), self.field(right)) {
                    (Some(field), None) => (field, right),
                    (None, Some(field)) => (field, left),
                    _ => return None,
                };
                let tests = equals(&field, value)?;
                Some(atoms(&field, tests, wanted == (*op == Operator::Eq)))
            }
            Expr::InList(InList {
                expr,
                list,
                negated,
            }) => {
                let field = self.field(expr)?;
                let mut tests = Vec::with_capacity(list.len());
                let mut has_null = false;
                for value in list {
                    match value {
                        Expr::Literal(value, _) if value.is_null() => has_null = true,
                        value => tests.extend(equals(&field, value)?),
                    }
                }
                let wanted = wanted != *negated;
                if has_null && !wanted {
                    // "None of these, one of which is unknown" is never known.
                    return Some(Predicate::Always(false));
                }
                Some(atoms(&field, tests, wanted))
            }
            Expr::Like(Like {
                negated,
                expr,
                pattern,
                escape_char: None,
                case_insensitive: false,
            }) => {
                let field = self.field(expr).filter(|field| field.is_text)?;
                let pattern = text(pattern)?;
                if pattern.contains('\\') {
                    return None;
                }
                let tests = vec![like(pattern, &field)?];
                Some(atoms(&field, tests, wanted != *negated))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let [field, value] = args.as_slice() else {
                    return None;
                };
                let op = match func.name() {
                    "contains" => TextOp::Contains,
                    "starts_with" => TextOp::StartsWith,
                    "ends_with" => TextOp::EndsWith,
                    _ => return None,
                };
                let field = self.field(field).filter(|field| field.is_text)?;
                let test = text_test(op, text(value)?, &field)?;
                Some(atoms(&field, vec![test], wanted))
            }
            _ => None,
        }
    }

    /// Returns the field that `expr` is, or is the lower case of.
    fn field(&self, expr: &Expr) -> Option<Tested> {
        match expr {
            Expr::Column(column) => {
                let data_type = self.scan.field_with_name(&column.name).ok()?.data_type();
                let value = match data_type {
                    DataType::Dictionary(_, value) => value,
                    other => other,
                };
                Some(Tested {
                    path: FieldPath::new(vec![column.name.clone()])?,
                    is_text: value.is_string(),
                    is_integer: value.is_integer(),
                    folded: false,
                })
            }
            Expr::ScalarFunction(call) if call.func.name() == "lower" && call.args.len() == 1 => {
                let field = self.field(&call.args[0])?;
                field.is_text.then_some(Tested {
                    folded: true,
                    ..field
                })
            }
            Expr::ScalarFunction(call) => {
                let (path, resolved) = EventPath::of(call)?;
                Some(Tested {
                    path: path.clone(),
                    is_text: resolved.data_type.is_string(),
                    is_integer: resolved.data_type.is_integer(),
                    folded: false,
                })
            }
            _ => None,
        }
    }

    fn other(&self, expr: &Expr, wanted: bool) -> Result<Predicate, DataFusionError> {
        let expr = if wanted {
            expr.clone()
        } else {
            Expr::Not(Box::new(expr.clone()))
        };
        let mut columns: Vec<String> = expr
            .column_refs()
            .into_iter()
            .map(|column| column.name.clone())
            .collect();
        columns.sort_unstable();
        let fields = columns
            .iter()
            .map(|name| {
                let field = self.scan.field_with_name(name)?;
                // What judges a dictionary gets its values.
                Ok(match field.data_type() {
                    DataType::Dictionary(_, value) => {
                        Field::new(name, value.as_ref().clone(), true)
                    }
                    _ => field.clone().with_nullable(true),
                })
            })
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let judge = physical(self.state, expr.clone(), Arc::clone(&schema))?;
        let key = format!("{expr:?}");
        Ok(Predicate::Other(OtherExpr {
            text: expr.human_display().to_string(),
            key,
            columns,
            judge: Arc::new(Physical {
                expr: judge,
                schema,
            }),
        }))
    }
}

/// An expression of DataFusion over some columns.
#[derive(Debug)]
struct Physical {
    expr: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl Physical {
    /// Evaluates the expression of the rows from `first` on, and adds the truth of each, with those that it fails on,
    /// whatever stands beside them, to what is told.
    fn judge_each(&self, batch: &RecordBatch, first: usize, told: &mut Told) {
        let rows = batch.num_rows();
        if rows == 0 {
            return;
        }
        let judged = self
            .expr
            .evaluate(batch)
            .and_then(|value| value.into_array(rows));
        match judged {
            // A part that is NULL whatever the event says has no type of its own.
            Ok(judged) => match judged.as_boolean_opt() {
                Some(judged) => told.truth.append_array(judged),
                None => told.truth.append_nulls(rows),
            },
            Err(error) if rows == 1 => {
                told.truth.append_nulls(rows);
                told.failed.push(first);
                // It may quote the event.
                let reason = || without_controls(&first_line(&error));
                let short = || reason().chars().take(LONGEST_REASON).collect();
                told.reason.get_or_insert_with(short);
            }
            Err(_) => {
                let half = rows / 2;
                self.judge_each(&batch.slice(0, half), first, told);
                self.judge_each(&batch.slice(half, rows - half), first + half, told);
            }
        }
    }
}

/// Characters that are told of why an expression fails.
const LONGEST_REASON: usize = 200;

/// What was judged of a batch so far.
#[derive(Default)]
struct Told {
    truth: BooleanBuilder,
    failed: Vec<usize>,
    /// Why the first of these failed.
    reason: Option<String>,
}

impl RowJudge for Physical {
    fn judge(&self, columns: &[ArrayRef], rows: usize) -> Result<Judged, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns.to_vec(),
            &options,
        )?;
        let mut told = Told::default();
        self.judge_each(&batch, 0, &mut told);
        Ok(Judged {
            truth: told.truth.finish(),
            failed: told.reason.map(|reason| {
                let mut failed = BooleanBufferBuilder::new(rows);
                failed.append_n(rows, false);
                for row in told.failed {
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

/// Plans an expression over the columns of `schema`. A conversion in it gives NULL for what it cannot convert.
pub(crate) fn physical(
    state: &SessionState,
    expr: Expr,
    schema: SchemaRef,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let schema = Arc::new(DFSchema::try_from(schema)?);
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let coerced = ExprSimplifier::new(context.clone()).coerce(expr, &schema)?;
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

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
            _,
        ) => Some(text),
        _ => None,
    }
}

fn equals(field: &Tested, value: &Expr) -> Option<Vec<Test>> {
    if field.is_text {
        return Some(vec![text_test(TextOp::Equals, text(value)?, field)?]);
    }
    let number = match value {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => number.to_string(),
        Expr::Literal(ScalarValue::UInt64(Some(number)), _) => number.to_string(),
        _ => return None,
    };
    // A whole number is written in one way only.
    field.is_integer.then(|| {
        vec![Test::Text {
            op: TextOp::Equals,
            value: number,
            cased: true,
        }]
    })
}

fn text_test(op: TextOp, value: &str, field: &Tested) -> Option<Test> {
    // Text in lower case never equals a value that is not.
    (!field.folded || value.to_lowercase() == value).then(|| Test::Text {
        op,
        value: value.to_owned(),
        cased: !field.folded,
    })
}

fn like(pattern: &str, field: &Tested) -> Option<Test> {
    if field.folded && pattern.to_lowercase() != pattern {
        return None;
    }
    let mut parts: Vec<GlobPart> = Vec::new();
    for letter in pattern.chars() {
        match (letter, parts.last_mut()) {
            ('%', Some(GlobPart::Any)) => {}
            ('%', _) => parts.push(GlobPart::Any),
            ('_', _) => parts.push(GlobPart::One),
            (letter, Some(GlobPart::Literal(text))) => text.push(letter),
            (letter, _) => parts.push(GlobPart::Literal(letter.to_string())),
        }
    }
    Some(Test::glob(parts, !field.folded))
}

/// Returns a weaker condition that statistics can refute, for pruning: comparisons of columns with literals.
pub(crate) fn prunable(expr: &Expr) -> Option<Expr> {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
    let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if !value.is_null());
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => match (prunable(left), prunable(right)) {
            (Some(left), Some(right)) => Some(left.and(right)),
            (left, right) => left.or(right),
        },
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => Some(prunable(left)?.or(prunable(right)?)),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq,
            right,
        }) => ((is_column(left) && is_literal(right)) || (is_literal(left) && is_column(right)))
            .then(|| expr.clone()),
        Expr::InList(InList {
            expr: inner,
            list,
            negated: false,
        }) => (is_column(inner) && list.len() <= 32 && list.iter().all(is_literal))
            .then(|| expr.clone()),
        Expr::Between(Between {
            expr: inner,
            negated: false,
            low,
            high,
        }) => (is_column(inner) && is_literal(low) && is_literal(high)).then(|| expr.clone()),
        _ => None,
    }
}

/// Returns how many comparisons a condition holds.
pub(crate) fn comparisons(expr: &Expr) -> usize {
    let mut count = 0;
    let _ = expr.apply(|expr| {
        count += usize::from(matches!(expr, Expr::InList(_) | Expr::Between(_))
            || matches!(expr, Expr::BinaryExpr(binary) if !matches!(binary.op, Operator::And | Operator::Or)));
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    count
}
