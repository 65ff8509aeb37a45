//! A rule's `where` as a predicate of the prefilter: what has an atom form, atoms; the rest, expressions.
//!
//! SQL has three truth values and a `where` takes only true ones. So each part is asked for twice over: when is it
//! true, and, below a `NOT`, when is it false. Unknown is neither. `NOT (a = 'x')` is false AND not unknown: `a` has a
//! value, and it is not `x`.

use std::sync::Arc;

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, try_cast};
use yagura_core::FieldPath;
use yagura_rules::Predicate;
use yagura_rules::predicate::{FieldReading, Number, NumberOp, OtherExpr, Test, TextOp};
use yagura_rules::resolve::places;

use super::costly::bounded;
use super::event_path::EventPath;
use super::literal::{TypeClass, literal_number, literal_text, number_of_type};
use super::pattern::{fold, fold_char, pattern_parts};
use super::physical::{PhysicalCondition, physical};

/// Translates `expr`, a truth value over the columns of `scan`, to the predicate that is true where it is. Each of its costly calls
/// may take so many steps for one event.
pub(crate) fn predicate(
    state: &SessionState,
    expr: &Expr,
    scan: &Schema,
    steps: u64,
) -> Result<Predicate, DataFusionError> {
    Translation { state, scan, steps }.truth(expr, true)
}

struct Translation<'a> {
    state: &'a SessionState,
    scan: &'a Schema,
    steps: u64,
}

/// A field that an atom can test.
struct TestedField {
    path: FieldPath,
    is_text: bool,
    is_integer: bool,
    /// Whether the prefilter reads the type as text without fail.
    is_plain: bool,
    folded: bool,
}

impl TestedField {
    fn new(path: FieldPath, data_type: &DataType) -> Self {
        let value = match data_type {
            DataType::Dictionary(_, value) => value,
            other => other,
        };
        let class = TypeClass::of(value);
        Self {
            path,
            is_text: class == TypeClass::Text,
            is_integer: value.is_integer(),
            is_plain: matches!(class, TypeClass::Text | TypeClass::Truth)
                || value.is_integer()
                || value.is_floating(),
            folded: false,
        }
    }
}

/// Tests of a field, and for which values their answer is defined.
struct FieldTests {
    tests: Vec<Test>,
    known: DefinedFor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DefinedFor {
    /// Of every value.
    Any,
    /// Of numbers, also as text.
    Number,
    /// Of truth values, also as text.
    Truth,
}

impl FieldTests {
    fn of_any(tests: Vec<Test>) -> Self {
        let known = DefinedFor::Any;
        Self { tests, known }
    }

    fn of_number(op: NumberOp, number: Number) -> Self {
        Self {
            tests: vec![Test::Number(op, number)],
            known: DefinedFor::Number,
        }
    }

    fn of_truth(truth: bool) -> Self {
        Self {
            tests: vec![truth_test(truth)],
            known: DefinedFor::Truth,
        }
    }
}

/// Combinations of places that one condition is evaluated in.
const MAX_PLACES: usize = 64;

/// Returns a condition that is true of an event if `expr` is, with any of the values that the event has for each field: a field may
/// lie in a column, inside another one, and in `unmapped`. Where an event has a field nowhere, it is NULL.
///
/// Beyond [`MAX_PLACES`] combinations further fields are read at the first of their places.
fn in_any_place(expr: &Expr, scan: &Schema) -> Result<Expr, DataFusionError> {
    let mut fields: Vec<(Expr, Vec<Expr>)> = Vec::new();
    let mut combinations = 1;
    expr.apply(|part| {
        let Some(path) = path_of(part) else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let readers = readers(scan, &path);
        let is_new = !fields.iter().any(|(field, _)| field == part);
        if is_new && readers.len() > 1 && combinations * readers.len() <= MAX_PLACES {
            combinations *= readers.len();
            fields.push((part.clone(), readers));
        }
        Ok(TreeNodeRecursion::Jump)
    })?;
    let mut alternatives: Vec<(Vec<Expr>, Expr)> = vec![(Vec::new(), expr.clone())];
    for (field, readers) in &fields {
        let mut next = Vec::with_capacity(alternatives.len() * readers.len());
        for (at, reader) in readers.iter().enumerate() {
            // The first place also stands for an event that has the field nowhere.
            let is_here = match at {
                0 => readers[1..]
                    .iter()
                    .map(|other| other.clone().is_null())
                    .reduce(Expr::and)
                    .map_or_else(
                        || reader.clone().is_not_null(),
                        |nowhere_else| reader.clone().is_not_null().or(nowhere_else),
                    ),
                _ => reader.clone().is_not_null(),
            };
            for (guards, expr) in &alternatives {
                let read_here = expr.clone().transform_down(|part| {
                    let is_field = part == *field;
                    let is_leaf = path_of(&part).is_some();
                    let part = if is_field { reader.clone() } else { part };
                    let next = match is_leaf {
                        true => TreeNodeRecursion::Jump,
                        false => TreeNodeRecursion::Continue,
                    };
                    Ok(Transformed::new(part, is_field, next))
                })?;
                let mut guards = guards.clone();
                guards.push(is_here.clone());
                next.push((guards, read_here.data));
            }
        }
        alternatives = next;
    }
    let any = alternatives.into_iter().map(|(guards, expr)| {
        let guards = guards.into_iter().reduce(Expr::and);
        guards.map_or(expr.clone(), |guards| guards.and(expr))
    });
    Ok(any.reduce(Expr::or).unwrap_or_else(|| expr.clone()))
}

/// Returns the path that an expression reads, if it only reads a field.
fn path_of(expr: &Expr) -> Option<FieldPath> {
    match expr {
        Expr::Column(column) => FieldPath::new(vec![column.name.clone()]),
        Expr::ScalarFunction(call) => EventPath::of(call).map(|(path, _)| path.clone()),
        _ => None,
    }
}

/// Returns what reads a field at each of its places, as values of the type that it has at the first.
fn readers(scan: &Schema, path: &FieldPath) -> Vec<Expr> {
    let plain = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    };
    let found = places(scan, path);
    let Some(first) = found.first().map(|place| plain(&place.data_type)) else {
        return Vec::new();
    };
    let readers = found.into_iter().filter_map(|place| {
        let of = plain(&place.data_type);
        let name = scan.field(place.column).name();
        let reader = match place.is_column() {
            true => Expr::Column(Column::from_name(name)),
            false => EventPath::below(name, place, path),
        };
        match of == first {
            true => Some(reader),
            false => can_cast_types(&of, &first).then(|| try_cast(reader, first.clone())),
        }
    });
    readers.collect()
}

impl Translation<'_> {
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

    /// Returns the atoms that are true when `expr` is true, or false; `None` where there is no atom form.
    fn leaf(&self, expr: &Expr, wanted: bool) -> Option<Predicate> {
        match expr {
            Expr::Column(_) => {
                let field = self.field(expr).filter(|field| field.is_text)?;
                Some(atoms(&field, FieldTests::of_truth(true), wanted))
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                let field = self.field(inner)?;
                let exists = Predicate::atom(field.path, FieldReading::One, Test::Exists);
                let is_not_null = matches!(expr, Expr::IsNotNull(_));
                Some(if is_not_null == wanted {
                    exists
                } else {
                    Predicate::not(exists)
                })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (field, op, value) = match (self.field(left), self.field(right)) {
                    (Some(field), None) => (field, *op, right),
                    (None, Some(field)) => (field, op.swap()?, left),
                    _ => return None,
                };
                let tests_of_field = match op {
                    Operator::Eq | Operator::NotEq => equals(&field, value)?,
                    op => FieldTests::of_number(number_op(op)?, number(&field, value)?),
                };
                Some(atoms(
                    &field,
                    tests_of_field,
                    wanted == (op != Operator::NotEq),
                ))
            }
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let field = self.field(expr)?;
                let from = Test::Number(NumberOp::GreaterOrEqual, number(&field, low)?);
                let to = Test::Number(NumberOp::LessOrEqual, number(&field, high)?);
                let within = Predicate::all(vec![field.atom(from), field.atom(to)]);
                Some(when_known(
                    &field,
                    DefinedFor::Number,
                    within,
                    wanted != *negated,
                ))
            }
            Expr::InList(InList {
                expr,
                list,
                negated,
            }) => {
                let field = self.field(expr)?;
                let mut tests_of_field = FieldTests::of_any(Vec::with_capacity(list.len()));
                let mut has_null = false;
                for value in list {
                    if matches!(value, Expr::Literal(value, _) if value.is_null()) {
                        has_null = true;
                        continue;
                    }
                    let one = equals(&field, value)?;
                    tests_of_field.tests.extend(one.tests);
                    tests_of_field.known = match (tests_of_field.known, one.known) {
                        (DefinedFor::Any, other) | (other, DefinedFor::Any) => other,
                        (one, other) if one == other => one,
                        _ => return None,
                    };
                }
                let wanted = wanted != *negated;
                if has_null && !wanted {
                    // "None of these, one of which is unknown" is never known.
                    return Some(Predicate::Always(false));
                }
                Some(atoms(&field, tests_of_field, wanted))
            }
            Expr::Like(Like {
                negated,
                expr,
                pattern,
                escape_char,
                case_insensitive,
            }) => {
                let field = self.field(expr).filter(|field| field.is_plain)?;
                let test = like(
                    literal_text(pattern)?,
                    *escape_char,
                    *case_insensitive,
                    &field,
                )?;
                Some(atoms(
                    &field,
                    FieldTests::of_any(vec![test]),
                    wanted != *negated,
                ))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                if let Some(field) = self.field(expr).filter(|field| field.is_text) {
                    return Some(atoms(&field, FieldTests::of_truth(true), wanted));
                }
                let [field, value] = args.as_slice() else {
                    return None;
                };
                let op = match func.name() {
                    "contains" => TextOp::Contains,
                    "starts_with" => TextOp::StartsWith,
                    "ends_with" => TextOp::EndsWith,
                    _ => return None,
                };
                let field = self.field(field).filter(|field| field.is_plain)?;
                let test = text_test(op, literal_text(value)?, &field)?;
                Some(atoms(&field, FieldTests::of_any(vec![test]), wanted))
            }
            _ => None,
        }
    }

    /// Returns the field that `expr` is, or is the lower case of.
    fn field(&self, expr: &Expr) -> Option<TestedField> {
        match expr {
            Expr::Column(column) => {
                let data_type = self.scan.field_with_name(&column.name).ok()?.data_type();
                Some(TestedField::new(
                    FieldPath::new(vec![column.name.clone()])?,
                    data_type,
                ))
            }
            Expr::ScalarFunction(call) if call.func.name() == "lower" && call.args.len() == 1 => {
                let field = self.field(&call.args[0])?;
                field.is_text.then_some(TestedField {
                    folded: true,
                    ..field
                })
            }
            Expr::ScalarFunction(call) => {
                let (path, resolved) = EventPath::of(call)?;
                Some(TestedField::new(path.clone(), &resolved.data_type))
            }
            _ => None,
        }
    }

    fn other(&self, expr: &Expr, wanted: bool) -> Result<Predicate, DataFusionError> {
        let of_event = in_any_place(expr, self.scan)?;
        let as_wanted = |expr: Expr| match wanted {
            true => expr,
            false => Expr::Not(Box::new(expr)),
        };
        let text = as_wanted(expr.clone()).human_display().to_string();
        let expr = as_wanted(of_event);
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
                // What evaluates a dictionary gets its values.
                Ok(match field.data_type() {
                    DataType::Dictionary(_, value) => {
                        Field::new(name, value.as_ref().clone(), true)
                    }
                    _ => field.clone().with_nullable(true),
                })
            })
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let bounded = bounded(expr.clone(), self.steps)?;
        let evaluate = physical(self.state, bounded, Arc::clone(&schema))?;
        let key = format!("{} {expr:?}", self.steps);
        Ok(Predicate::Other(OtherExpr {
            text,
            key,
            columns,
            evaluate: Arc::new(PhysicalCondition {
                expr: evaluate,
                schema,
            }),
        }))
    }
}

impl TestedField {
    fn atom(&self, test: Test) -> Predicate {
        Predicate::atom(self.path.clone(), FieldReading::One, test)
    }
}

/// Returns when one of the tests is passed, or, `wanted` false, when it is known that none is.
fn atoms(field: &TestedField, tests_of_field: FieldTests, wanted: bool) -> Predicate {
    let tests = tests_of_field
        .tests
        .into_iter()
        .map(|test| field.atom(test));
    when_known(
        field,
        tests_of_field.known,
        Predicate::any(tests.collect()),
        wanted,
    )
}

/// Returns when `truth` holds of a field, or, `wanted` false, when it is known not to.
fn when_known(field: &TestedField, known: DefinedFor, truth: Predicate, wanted: bool) -> Predicate {
    if wanted {
        return truth;
    }
    let known = match known {
        DefinedFor::Any => field.atom(Test::Exists),
        DefinedFor::Number => Predicate::any(vec![
            field.atom(Test::Number(NumberOp::Less, Number::from(0))),
            field.atom(Test::Number(NumberOp::GreaterOrEqual, Number::from(0))),
        ]),
        DefinedFor::Truth => Predicate::any(vec![
            field.atom(truth_test(true)),
            field.atom(truth_test(false)),
        ]),
    };
    Predicate::all(vec![known, Predicate::not(truth)])
}

fn truth_test(truth: bool) -> Test {
    Test::Text {
        op: TextOp::Equals,
        value: truth.to_string(),
        cased: false,
    }
}

/// Returns the number of a literal that text is compared with.
fn number(field: &TestedField, value: &Expr) -> Option<Number> {
    literal_number(value).filter(|_| field.is_text)
}

fn number_op(op: Operator) -> Option<NumberOp> {
    match op {
        Operator::Lt => Some(NumberOp::Less),
        Operator::LtEq => Some(NumberOp::LessOrEqual),
        Operator::Gt => Some(NumberOp::Greater),
        Operator::GtEq => Some(NumberOp::GreaterOrEqual),
        _ => None,
    }
}

fn equals(field: &TestedField, value: &Expr) -> Option<FieldTests> {
    let number = literal_number(value);
    if field.is_text {
        return match (literal_text(value), number, value) {
            (Some(text), ..) => Some(FieldTests::of_any(vec![text_test(
                TextOp::Equals,
                text,
                field,
            )?])),
            (_, Some(number), _) => Some(FieldTests::of_number(NumberOp::Equal, number)),
            (.., Expr::Literal(ScalarValue::Boolean(Some(truth)), _)) => {
                Some(FieldTests::of_truth(*truth))
            }
            _ => None,
        };
    }
    if !field.is_integer {
        return None;
    }
    let number = match literal_text(value) {
        Some(text) => Number::parse(text),
        None => Some(number?),
    };
    // A whole number is written in one way only, and nothing else is one.
    let whole = number.and_then(|number| {
        let signed = number_of_type(&number, &DataType::Int64);
        signed.or_else(|| number_of_type(&number, &DataType::UInt64))?;
        Some(number.to_string())
    });
    Some(FieldTests::of_any(
        whole
            .map(|value| Test::Text {
                op: TextOp::Equals,
                value,
                cased: true,
            })
            .into_iter()
            .collect(),
    ))
}

/// Returns whether a text may be the lower case of another, and is compared so without case.
fn is_folded(text: &str) -> bool {
    text.to_lowercase() == text && fold(text, true) == text
}

fn text_test(op: TextOp, value: &str, field: &TestedField) -> Option<Test> {
    // Text in lower case never equals a value that is not.
    (!field.folded || is_folded(value)).then(|| Test::Text {
        op,
        value: value.to_owned(),
        cased: !field.folded,
    })
}

fn like(pattern: &str, escape: Option<char>, folded: bool, field: &TestedField) -> Option<Test> {
    if field.folded && !folded && !is_folded(pattern) {
        return None;
    }
    let folded = folded || field.folded;
    let escape = escape.map(|escape| fold_char(escape, folded));
    let parts = pattern_parts(&fold(pattern, folded), escape).ok()?;
    Some(Test::glob(parts, !folded))
}
