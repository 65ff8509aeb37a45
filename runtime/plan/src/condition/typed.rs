//! What a condition compares, brought to types that can be compared.
//!
//! DataFusion converts one side to the type of the other, and a conversion that is not possible is an error of the plan or of
//! the whole scan. Here every pair of types has an answer, the same that the prefilter's atoms give (`docs/authors/types.md`):
//!
//! * Text and a number are compared as numbers, exactly; text that is not a number is unknown.
//! * Text and a truth value are compared as truth values; text that is not one is unknown.
//! * A text in the rule is read as a time where it meets one.
//! * Anything else meets text as text.
//! * What the rule writes out and no value of the other type can equal, equals none of them.

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::{Between, Case, Cast, InList, Like, ScalarFunction, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit, not};
use yagura_rules::predicate::Number;

use super::functions::Function;
use super::literal::{
    TypeClass, is_comparison, literal_number, literal_text, number_of_type, time_of_type, truth_of,
};
use super::pattern::LikePattern;
use super::steps::STEPS;

/// Functions of DataFusion whose first argument is text, and may be of any type.
const OF_TEXT: [&str; 21] = [
    "btrim",
    "character_length",
    "contains",
    "ends_with",
    "left",
    "lower",
    "ltrim",
    "octet_length",
    "regexp_count",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "upper",
];

/// Rewrites a condition over the columns of `schema` so that every comparison in it can be evaluated.
pub(crate) fn typed(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let typed = Typed { schema };
    Ok(typed.truth(typed_value(expr, schema)?))
}

/// Does the same with an expression that need not be a truth value.
pub(crate) fn typed_value(expr: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let typed = Typed { schema };
    let expr = expr.transform_up(|expr| Ok(Transformed::yes(typed.node(expr)?)))?;
    Ok(expr.data)
}

struct Typed<'a> {
    schema: &'a DFSchema,
}

impl Typed<'_> {
    fn node(&self, expr: Expr) -> Result<Expr, DataFusionError> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => binary(self.truth(*left), op, self.truth(*right)),
                op if is_comparison(op) => self.compare(*left, op, *right),
                Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo => self.arithmetic(*left, op, *right),
                Operator::RegexMatch
                | Operator::RegexIMatch
                | Operator::RegexNotMatch
                | Operator::RegexNotIMatch => binary(self.text(*left), op, *right),
                Operator::LikeMatch
                | Operator::ILikeMatch
                | Operator::NotLikeMatch
                | Operator::NotILikeMatch => self.like(Like {
                    negated: matches!(op, Operator::NotLikeMatch | Operator::NotILikeMatch),
                    expr: left,
                    pattern: right,
                    escape_char: None,
                    case_insensitive: matches!(op, Operator::ILikeMatch | Operator::NotILikeMatch),
                })?,
                _ => binary(*left, op, *right),
            },
            Expr::Not(inner) => not(self.truth(*inner)),
            Expr::IsTrue(inner) => Expr::IsTrue(Box::new(self.truth(*inner))),
            Expr::IsNotTrue(inner) => Expr::IsNotTrue(Box::new(self.truth(*inner))),
            Expr::IsFalse(inner) => Expr::IsFalse(Box::new(self.truth(*inner))),
            Expr::IsNotFalse(inner) => Expr::IsNotFalse(Box::new(self.truth(*inner))),
            Expr::IsUnknown(inner) => Expr::IsUnknown(Box::new(self.truth(*inner))),
            Expr::IsNotUnknown(inner) => Expr::IsNotUnknown(Box::new(self.truth(*inner))),
            Expr::Like(like) => self.like(like)?,
            Expr::SimilarTo(mut like) => {
                like.expr = Box::new(self.text(*like.expr));
                Expr::SimilarTo(like)
            }
            Expr::InList(list) => self.in_list(list),
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let from = self.compare((*expr).clone(), Operator::GtEq, *low);
                let to = self.compare(*expr, Operator::LtEq, *high);
                either(binary(from, Operator::And, to), negated)
            }
            Expr::Case(case) => Expr::Case(self.case(case)),
            Expr::Cast(Cast { expr, field }) => Expr::Cast(Cast {
                expr: Box::new(self.castable(*expr, field.data_type())),
                field,
            }),
            Expr::TryCast(TryCast { expr, field }) => Expr::TryCast(TryCast {
                expr: Box::new(self.castable(*expr, field.data_type())),
                field,
            }),
            Expr::ScalarFunction(ScalarFunction { func, mut args }) => {
                let of_text = || OF_TEXT.contains(&func.name()).then_some(0);
                let read = yagura_functions::argument_that_is_read(&func).or_else(of_text);
                if let Some(read) = read.and_then(|read| args.get_mut(read)) {
                    *read = self.text(std::mem::take(read));
                }
                Expr::ScalarFunction(ScalarFunction { func, args })
            }
            other => other,
        })
    }

    fn class(&self, expr: &Expr) -> Option<(DataType, TypeClass)> {
        let data_type = expr.get_type(self.schema).ok()?;
        let class = TypeClass::of(&data_type);
        Some((data_type, class))
    }

    /// Reads text as a truth value, where one is asked for.
    fn truth(&self, expr: Expr) -> Expr {
        match self.class(&expr) {
            Some((_, TypeClass::Text)) => Function::Truth.of(vec![expr]),
            _ => expr,
        }
    }

    fn text(&self, expr: Expr) -> Expr {
        match self.class(&expr) {
            None | Some((_, TypeClass::Text | TypeClass::Null)) => expr,
            Some(_) => Function::Text.of(vec![expr]),
        }
    }

    /// Renders what Arrow does not convert to text.
    fn castable(&self, expr: Expr, to: &DataType) -> Expr {
        match self.class(&expr) {
            Some((from, _)) if to.is_string() && !can_cast_types(&from, to) => {
                Function::Text.of(vec![expr])
            }
            _ => expr,
        }
    }

    fn compare(&self, left: Expr, op: Operator, right: Expr) -> Expr {
        let (Some((left_type, left_class)), Some((right_type, right_class))) =
            (self.class(&left), self.class(&right))
        else {
            return binary(left, op, right);
        };
        let coerces = || {
            let coercer = BinaryTypeCoercer::new(&left_type, &op, &right_type);
            coercer.get_input_types().is_ok()
        };
        match (left_class, right_class) {
            (TypeClass::Null, _) | (_, TypeClass::Null) => match op {
                Operator::IsDistinctFrom => {
                    binary(left.is_not_null(), Operator::Or, right.is_not_null())
                }
                Operator::IsNotDistinctFrom => {
                    binary(left.is_null(), Operator::And, right.is_null())
                }
                _ => unknown(),
            },
            (TypeClass::Text, TypeClass::Text) | (TypeClass::Truth, TypeClass::Truth) => {
                binary(left, op, right)
            }
            (TypeClass::Number, TypeClass::Number) => {
                numbers(left, &left_type, op, right, &right_type)
            }
            (TypeClass::Time, TypeClass::Time) if coerces() => binary(left, op, right),
            (TypeClass::Other, TypeClass::Other) if coerces() => binary(left, op, right),
            (TypeClass::Text, TypeClass::Number) => match literal_text(&left).map(Number::parse) {
                Some(Some(number)) => {
                    numbers(lit(number.to_string()), &left_type, op, right, &right_type)
                }
                Some(None) => never(left, op, right),
                None => Function::Compare(op).of(vec![left, written(right)]),
            },
            (TypeClass::Number, TypeClass::Text) => match literal_text(&right).map(Number::parse) {
                Some(Some(number)) => {
                    numbers(left, &left_type, op, lit(number.to_string()), &right_type)
                }
                Some(None) => never(left, op, right),
                None => Function::Compare(op).of(vec![written(left), right]),
            },
            (TypeClass::Text, TypeClass::Truth) => match literal_text(&left).map(truth_of) {
                Some(Some(truth)) => binary(lit(truth), op, right),
                Some(None) => never(left, op, right),
                None => binary(Function::Truth.of(vec![left]), op, right),
            },
            (TypeClass::Truth, TypeClass::Text) => match literal_text(&right).map(truth_of) {
                Some(Some(truth)) => binary(left, op, lit(truth)),
                Some(None) => never(left, op, right),
                None => binary(left, op, Function::Truth.of(vec![right])),
            },
            (TypeClass::Text, TypeClass::Time) => {
                match literal_text(&left).map(|text| time_of_type(text, &right_type)) {
                    Some(Some(time)) => binary(time, op, right),
                    Some(None) => never(left, op, right),
                    None if coerces() => binary(left, op, right),
                    None => binary(left, op, self.text(right)),
                }
            }
            (TypeClass::Time, TypeClass::Text) => {
                match literal_text(&right).map(|text| time_of_type(text, &left_type)) {
                    Some(Some(time)) => binary(left, op, time),
                    Some(None) => never(left, op, right),
                    None if coerces() => binary(left, op, right),
                    None => binary(self.text(left), op, right),
                }
            }
            (TypeClass::Text, TypeClass::Other)
            | (TypeClass::Other, TypeClass::Text | TypeClass::Other) => {
                binary(self.text(left), op, self.text(right))
            }
            _ => never(left, op, right),
        }
    }

    fn arithmetic(&self, left: Expr, op: Operator, right: Expr) -> Expr {
        let class = |expr: &Expr| self.class(expr).map(|(_, class)| class);
        let (left_class, right_class) = (class(&left), class(&right));
        let is_number = |class| {
            matches!(
                class,
                Some(TypeClass::Text | TypeClass::Number | TypeClass::Null)
            )
        };
        let number = |expr: Expr, class| match class {
            Some(TypeClass::Text) => Function::Number.of(vec![expr]),
            _ => expr,
        };
        if is_number(left_class) && is_number(right_class) {
            binary(number(left, left_class), op, number(right, right_class))
        } else {
            binary(left, op, right)
        }
    }

    fn like(&self, like: Like) -> Result<Expr, DataFusionError> {
        let Like {
            negated,
            expr,
            pattern,
            escape_char,
            case_insensitive,
        } = like;
        let is_null = |expr: &Expr| {
            matches!(self.class(expr), Some((_, TypeClass::Null)))
                || matches!(expr, Expr::Literal(value, _) if value.is_null())
        };
        if is_null(&expr) || is_null(&pattern) {
            return Ok(unknown());
        }
        let matched = match literal_text(&pattern) {
            Some(text) => {
                let pattern = LikePattern::new(text, escape_char, case_insensitive)
                    .map_err(|error| DataFusionError::Plan(error.to_string()))?;
                Function::Like(pattern).of(vec![*expr])
            }
            None => {
                let function = Function::LikeOf {
                    escape: escape_char,
                    folded: case_insensitive,
                    steps: STEPS,
                };
                function.of(vec![*expr, *pattern])
            }
        };
        Ok(either(matched, negated))
    }

    fn in_list(&self, list: InList) -> Expr {
        let InList {
            expr,
            list: members,
            negated,
        } = list;
        let Some((data_type, class)) = self.class(&expr) else {
            return Expr::InList(InList::new(expr, members, negated));
        };
        let (mut same, mut numbers, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for member in members {
            let of_member = self.class(&member).map(|(_, class)| class);
            match (class, of_member) {
                _ if matches!(&member, Expr::Literal(value, _) if value.is_null()) => {
                    same.push(member)
                }
                (TypeClass::Text, Some(TypeClass::Text)) => same.push(member),
                (
                    TypeClass::Text | TypeClass::Number,
                    Some(TypeClass::Number | TypeClass::Text),
                ) => {
                    let number = match of_member {
                        Some(TypeClass::Number) => literal_number(&member).map(Some),
                        _ => literal_text(&member).map(Number::parse),
                    };
                    match number {
                        // No number is this text.
                        Some(None) => {}
                        Some(Some(number)) => match number_of_type(&number, &data_type) {
                            Some(literal) => same.push(literal),
                            None => numbers.push(number),
                        },
                        None => rest.push(self.compare((*expr).clone(), Operator::Eq, member)),
                    }
                }
                (TypeClass::Time, Some(TypeClass::Text)) if literal_text(&member).is_some() => {
                    let text = literal_text(&member).unwrap_or_default();
                    same.extend(time_of_type(text, &data_type));
                }
                (TypeClass::Truth, Some(TypeClass::Text)) if literal_text(&member).is_some() => {
                    same.extend(literal_text(&member).and_then(truth_of).map(lit));
                }
                (TypeClass::Truth, Some(TypeClass::Truth)) => same.push(member),
                _ => rest.push(self.compare((*expr).clone(), Operator::Eq, member)),
            }
        }
        let mut parts = rest;
        if !numbers.is_empty() {
            numbers.sort_unstable();
            parts.push(Function::Among(numbers).of(vec![(*expr).clone()]));
        }
        if !same.is_empty() {
            parts.push(Expr::InList(InList::new(expr.clone(), same, false)));
        }
        let any = any_of(parts).unwrap_or_else(|| {
            let nothing = lit(false);
            never(*expr, Operator::Eq, nothing)
        });
        either(any, negated)
    }

    fn case(&self, mut case: Case) -> Case {
        let compared = case.expr.as_deref().and_then(|expr| self.class(expr));
        let is_same = |when: &Expr| {
            let class = self.class(when);
            class.is_none_or(|(_, class)| {
                class == TypeClass::Null || compared.as_ref().is_none_or(|(_, of)| *of == class)
            })
        };
        if case.expr.is_some() && case.when_then_expr.iter().all(|(when, _)| is_same(when)) {
            return case;
        }
        let expr = case.expr.take();
        for (when, _) in &mut case.when_then_expr {
            let condition = std::mem::take(&mut **when);
            **when = match &expr {
                Some(expr) => self.compare((**expr).clone(), Operator::Eq, condition),
                None => self.truth(condition),
            };
        }
        case
    }
}

/// Compares numbers of any types, exactly.
fn numbers(
    left: Expr,
    left_type: &DataType,
    op: Operator,
    right: Expr,
    right_type: &DataType,
) -> Expr {
    let literal = |expr: &Expr| literal_number(expr).or_else(|| Number::parse(literal_text(expr)?));
    let exact = |a: &DataType, b: &DataType| {
        let is_decimal = |of: &DataType| of.is_decimal() || of.is_integer();
        (is_decimal(a) && is_decimal(b)) || (a.is_floating() && b.is_floating())
    };
    let compared = match (literal(&left), literal(&right)) {
        (None, Some(number)) => {
            number_of_type(&number, left_type).map(|right| (left.clone(), right))
        }
        (Some(number), None) => {
            number_of_type(&number, right_type).map(|left| (left, right.clone()))
        }
        (Some(_), Some(_)) => None,
        (None, None) => exact(left_type, right_type).then(|| (left.clone(), right.clone())),
    };
    match compared {
        Some((left, right)) => binary(left, op, right),
        None => Function::Compare(op).of(vec![written(left), written(right)]),
    }
}

/// Returns a number of the rule as it is written, so that none of it is lost on the way.
fn written(expr: Expr) -> Expr {
    match literal_number(&expr) {
        Some(number) => lit(number.to_string()),
        None => expr,
    }
}

/// Compares what is never equal: unknown where one is absent.
fn never(left: Expr, op: Operator, right: Expr) -> Expr {
    let absent = |expr: &Expr| match expr {
        Expr::Literal(value, _) => lit(value.is_null()),
        expr => expr.clone().is_null(),
    };
    let (left, right) = (absent(&left), absent(&right));
    match op {
        Operator::IsDistinctFrom => not(binary(left, Operator::And, right)),
        Operator::IsNotDistinctFrom => binary(left, Operator::And, right),
        Operator::Eq | Operator::NotEq => {
            let any = binary(left, Operator::Or, right);
            either(binary(any, Operator::And, unknown()), op == Operator::NotEq)
        }
        _ => unknown(),
    }
}

fn unknown() -> Expr {
    lit(ScalarValue::Boolean(None))
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn either(expr: Expr, negated: bool) -> Expr {
    if negated { not(expr) } else { expr }
}

/// Joins conditions to a tree that is no deeper than it must be.
fn any_of(mut parts: Vec<Expr>) -> Option<Expr> {
    while parts.len() > 1 {
        let mut pairs = parts.into_iter();
        let mut joined = Vec::with_capacity(pairs.len().div_ceil(2));
        while let Some(one) = pairs.next() {
            joined.push(match pairs.next() {
                Some(other) => binary(one, Operator::Or, other),
                None => one,
            });
        }
        parts = joined;
    }
    parts.pop()
}
