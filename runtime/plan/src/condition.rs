//! A rule's `where`, from SQL text to a physical expression over the scan.
//!
//! Identifiers keep their case. A dotted name is looked up as a path ([`yagura_rules::resolve`]): a column whose name
//! holds dots, a field of a struct, or a place inside JSON text. What is compared need not be of one type: `typed` defines
//! what each pair of types means. NULL is SQL's: a comparison with it is unknown, and unknown does not match.

mod costly;
mod error;
mod event_path;
mod field_expression;
mod functions;
mod growth;
mod hints;
mod literal;
mod pattern;
mod physical;
mod predicate;
mod prunable;
mod regex;
mod sql;
mod steps;
mod typed;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, Ident, VisitMut, VisitorMut};
use yagura_core::FieldPath;
use yagura_rules::pattern_cost::PatternCost;
use yagura_rules::predicate::Number;
use yagura_rules::resolve::places;
use yagura_rules::{Predicate, Resolved, resolve};

use self::costly::{bounded, costly, patterns, share};
pub use self::error::ConditionError;
use self::error::{PLACEHOLDER, first_line};
use self::event_path::EventPath;
pub use self::field_expression::FieldExpression;
use self::growth::excess;
pub(crate) use self::hints::hints;
use self::literal::{EXACT, TypeClass, is_comparison};
use self::physical::physical;
use self::predicate::predicate;
pub(crate) use self::prunable::comparisons;
use self::prunable::prunable;
use self::regex::wrong_regex;
pub use self::sql::{Bound, SyntaxError};

/// A `where` whose names were looked up but whose columns are still those of the whole table.
#[derive(Debug, Clone)]
pub(crate) struct WhereCondition {
    sql: ast::Expr,
    /// Place-holder names in `sql` and what they stand for.
    paths: Vec<(FieldPath, Option<Resolved>)>,
    /// The table's columns in which events may have these, by index.
    columns: BTreeSet<usize>,
    /// The same for numbers that a double does not hold.
    numbers: Vec<String>,
}

/// What a condition comes to.
#[derive(Debug)]
pub(crate) struct CompiledCondition {
    /// For the prefilter.
    pub(crate) predicate: Predicate,
    /// The cost of compiling its patterns.
    pub(crate) patterns: PatternCost,
    /// A weaker condition that statistics can refute, if there is one.
    pub(crate) prunable: Option<Expr>,
}

const NUMBER: &str = "\u{1}number ";

impl WhereCondition {
    /// Reads `text` and looks up its names in the table's schema; the paths in `optional` may be missing there.
    pub(crate) fn parse(
        text: &str,
        table: &Schema,
        optional: &[FieldPath],
    ) -> Result<Self, ConditionError> {
        let may_lack = |path: &FieldPath| optional.contains(path);
        Self::parse_names(text, table, &may_lack)
    }

    /// Reads `text` and looks up its names in a schema, which may lack those that `may_lack` says.
    fn parse_names(
        text: &str,
        table: &Schema,
        may_lack: &dyn Fn(&FieldPath) -> bool,
    ) -> Result<Self, ConditionError> {
        let mut sql = sql::expression(text)?;
        let mut names = NamePlaceholders {
            table,
            may_lack,
            paths: Vec::new(),
            numbers: Vec::new(),
        };
        match VisitMut::visit(&mut sql, &mut names) {
            ControlFlow::Continue(()) => Ok(Self {
                sql,
                columns: names
                    .paths
                    .iter()
                    .flat_map(|(path, found)| places(table, path).into_iter().chain(found.clone()))
                    .map(|place| place.column)
                    .collect(),
                paths: names.paths,
                numbers: names.numbers,
            }),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Returns the indexes of the table's columns that the condition reads.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().copied()
    }

    /// Returns the paths that the condition names and the table has.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        let found = self.paths.iter().filter(|(_, found)| found.is_some());
        found.map(|(path, _)| path)
    }

    /// Returns what the condition comes to over `scan`, a schema with at least the columns that it reads.
    pub(crate) fn compile(
        &self,
        state: &SessionState,
        scan: &Schema,
    ) -> Result<CompiledCondition, ConditionError> {
        // The planner copies and walks the tree by recursion, as deep as the condition has operators.
        sql::with_stack(|| self.compile_on_stack(state, scan))
    }

    fn compile_on_stack(
        &self,
        state: &SessionState,
        scan: &Schema,
    ) -> Result<CompiledCondition, ConditionError> {
        let types = |error: DataFusionError| ConditionError::Types(first_line(&error));
        let expr = self.expression(state, scan)?;
        if let Some(wrong) = wrong_regex(&expr) {
            return Err(ConditionError::Types(wrong));
        }
        let scan = Arc::new(scan.clone());
        let steps = share(&expr);
        let whole = bounded(expr.clone(), steps)
            .and_then(|expr| physical(state, expr, Arc::clone(&scan)))
            .map_err(types)?;
        can_be_evaluated(&*whole, &scan).map_err(types)?;
        match whole.data_type(&scan).map_err(types)? {
            DataType::Boolean => Ok(CompiledCondition {
                predicate: predicate(state, &expr, &scan, steps).map_err(types)?,
                patterns: patterns(&expr),
                prunable: prunable(&expr, &scan),
            }),
            other => Err(ConditionError::NotBoolean(other)),
        }
    }

    /// Returns the condition as the author wrote it, over the columns of `scan`.
    pub(crate) fn expression(
        &self,
        state: &SessionState,
        scan: &Schema,
    ) -> Result<Expr, ConditionError> {
        sql::with_stack(|| self.expression_on_stack(state, scan))
    }

    fn expression_on_stack(
        &self,
        state: &SessionState,
        scan: &Schema,
    ) -> Result<Expr, ConditionError> {
        // NamePlaceholders are planned as columns of their final type, then replaced by what reads them.
        let mut fields = Vec::new();
        let mut readers = Vec::new();
        let mut long_numbers = Vec::new();
        for (index, (path, found)) in self.paths.iter().enumerate() {
            let (data_type, reader) = match found {
                None => (DataType::Utf8, lit(ScalarValue::Utf8(None))),
                Some(_) => {
                    let resolved = resolve(scan, path)?;
                    let name = scan.field(resolved.column).name();
                    let data_type = resolved.data_type.clone();
                    let reader = if resolved.is_column() {
                        Expr::Column(Column::from_name(name))
                    } else {
                        EventPath::below(name, resolved, path)
                    };
                    (data_type, reader)
                }
            };
            fields.push(Field::new(placeholder(index), data_type, true));
            readers.push(reader);
        }
        for (index, number) in self.numbers.iter().enumerate() {
            let literal = long_number(number);
            let (Expr::Literal(value, _), name) = (&literal, format!("{NUMBER}{index}")) else {
                continue;
            };
            fields.push(Field::new(name, value.data_type(), true));
            long_numbers.push(literal);
        }
        let types = |error: DataFusionError| ConditionError::Types(first_line(&error));
        let planned = DFSchema::try_from(Schema::new(fields)).map_err(types)?;
        let with_alias = ast::ExprWithAlias {
            expr: self.sql.clone(),
            alias: None,
        };
        let expr = state
            .create_logical_expr_from_sql_expr(with_alias, &planned)
            .map_err(types)?;
        allowed(&expr)?;
        let expr = expr
            .transform_up(|expr| match &expr {
                Expr::Column(column) => {
                    let at = |prefix| column.name.strip_prefix(prefix)?.parse::<usize>().ok();
                    let reader = match (at(PLACEHOLDER), at(NUMBER)) {
                        (Some(index), _) => readers.get(index),
                        (_, Some(index)) => long_numbers.get(index),
                        (None, None) => None,
                    };
                    Ok(match reader {
                        Some(reader) => Transformed::yes(reader.clone()),
                        None => Transformed::no(expr),
                    })
                }
                _ => Ok(Transformed::no(expr)),
            })
            .and_then(|expr| expr.data.transform_up(|expr| Ok(negated(expr))))
            .map_err(types)?
            .data;
        Ok(expr)
    }
}

/// Evaluates an expression of an event without values, to find what no event can be asked: functions that exist for some types
/// only, which is not known before. What fails on an event for its values is for the evaluation of each event.
fn can_be_evaluated(expr: &dyn PhysicalExpr, scan: &SchemaRef) -> Result<(), DataFusionError> {
    let nothing = scan.fields().iter();
    let nothing = nothing.map(|field| new_null_array(field.data_type(), 1));
    let fields = scan.fields().iter();
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
    let nullable = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let event = RecordBatch::try_new_with_options(nullable, nothing.collect(), &options)?;
    let Err(error) = expr.evaluate(&event) else {
        return Ok(());
    };
    match error.find_root() {
        DataFusionError::Internal(_) | DataFusionError::NotImplemented(_) => Err(error),
        _ => Ok(()),
    }
}

fn placeholder(index: usize) -> String {
    format!("{PLACEHOLDER}{index}")
}

/// Returns a number that a double does not hold, with the text that holds all of it.
fn long_number(text: &str) -> Expr {
    if let Ok(number) = text.parse::<u64>() {
        return lit(number);
    }
    let float = text.parse::<f64>().unwrap_or(f64::NAN);
    let exact = [(EXACT.to_owned(), text.to_owned())];
    let exact = FieldMetadata::new(exact.into_iter().collect());
    Expr::Literal(ScalarValue::from(float), Some(exact))
}

/// Replaces every name by a place-holder, and so the numbers that a double does not hold.
struct NamePlaceholders<'a> {
    table: &'a Schema,
    may_lack: &'a dyn Fn(&FieldPath) -> bool,
    paths: Vec<(FieldPath, Option<Resolved>)>,
    numbers: Vec<String>,
}

impl NamePlaceholders<'_> {
    fn placeholder_for(&mut self, segments: Vec<String>) -> Result<ast::Expr, ConditionError> {
        let Some(path) = FieldPath::new(segments) else {
            return Err(SyntaxError::Parser("an empty name".into()).into());
        };
        let known = self.paths.iter().position(|(known, _)| *known == path);
        let index = match known {
            Some(index) => index,
            None => {
                let found = match resolve(self.table, &path) {
                    Ok(found) => Some(found),
                    Err(_) if (self.may_lack)(&path) => None,
                    Err(error) => return Err(error.into()),
                };
                self.paths.push((path, found));
                self.paths.len() - 1
            }
        };
        Ok(ast::Expr::Identifier(Ident::with_quote(
            '"',
            placeholder(index),
        )))
    }

    /// Returns the place-holder of a number that a double does not hold.
    fn long_number(&mut self, text: &str) -> Option<ast::Expr> {
        let text = text.replace('_', "");
        let number = Number::parse(&text)?;
        let is_held = text.parse::<i64>().is_ok()
            || Number::from_f64(number.as_f64()).is_some_and(|held| held == number);
        if is_held {
            return None;
        }
        self.numbers.push(text);
        let name = format!("{NUMBER}{}", self.numbers.len() - 1);
        Some(ast::Expr::Identifier(Ident::with_quote('"', name)))
    }

    /// Returns whether an expression is only a name of text, which `NOT` and `-` read as what they need.
    fn is_text(&self, expr: &ast::Expr) -> bool {
        match expr {
            ast::Expr::Nested(inner) => self.is_text(inner),
            ast::Expr::Identifier(name) => {
                let index = name.value.strip_prefix(PLACEHOLDER);
                let index = index.and_then(|index| index.parse::<usize>().ok());
                let path = index.and_then(|index| self.paths.get(index));
                path.is_some_and(|(_, found)| {
                    let found = found.as_ref().map(|found| TypeClass::of(&found.data_type));
                    found.is_none_or(|class| class == TypeClass::Text)
                })
            }
            _ => false,
        }
    }
}

impl VisitorMut for NamePlaceholders<'_> {
    type Break = ConditionError;

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<ConditionError> {
        ControlFlow::Break(ConditionError::NotAllowed(
            "holds a subquery; a `where` evaluates one event by itself".into(),
        ))
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<ConditionError> {
        if let Some(names) = bare_function(expr) {
            *expr = ast::Expr::CompoundIdentifier(names);
        } else if let ast::Expr::CompoundFieldAccess { root, access_chain } = expr {
            // A word such as `user` may also stand inside a path.
            let first = match root.as_ref() {
                ast::Expr::Identifier(name) => Some(vec![name.clone()]),
                ast::Expr::CompoundIdentifier(names) => Some(names.clone()),
                other => bare_function(other),
            };
            let rest = access_chain.iter().map(|access| match access {
                ast::AccessExpr::Dot(ast::Expr::Identifier(name)) => Some(vec![name.clone()]),
                ast::AccessExpr::Dot(other) => bare_function(other),
                ast::AccessExpr::Subscript(_) => None,
            });
            let rest = rest.collect::<Option<Vec<Vec<Ident>>>>();
            if let (Some(mut names), Some(rest)) = (first, rest) {
                names.extend(rest.into_iter().flatten());
                *expr = ast::Expr::CompoundIdentifier(names);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<ConditionError> {
        let segments = match expr {
            ast::Expr::Value(value) => {
                if let ast::Value::Number(text, _) = &value.value
                    && let Some(placeholder) = self.long_number(text)
                {
                    *expr = placeholder;
                }
                return ControlFlow::Continue(());
            }
            // The planner wants the type of their operand before `typed` can change it.
            ast::Expr::UnaryOp { op, expr: inner } => {
                let with = match op {
                    ast::UnaryOperator::Not if self.is_text(inner) || !is_name(inner) => {
                        Some((ast::BinaryOperator::Eq, ast::Value::Boolean(false)))
                    }
                    ast::UnaryOperator::Minus if self.is_text(inner) || is_operation(inner) => {
                        let minus_one = ast::Value::Number("-1".into(), false);
                        Some((ast::BinaryOperator::Multiply, minus_one))
                    }
                    _ => None,
                };
                if let Some((op, with)) = with {
                    *expr = ast::Expr::BinaryOp {
                        left: inner.clone(),
                        op,
                        right: Box::new(ast::Expr::value(with)),
                    };
                }
                return ControlFlow::Continue(());
            }
            ast::Expr::Identifier(name) => vec![name.value.clone()],
            ast::Expr::CompoundIdentifier(names) => {
                names.iter().map(|name| name.value.clone()).collect()
            }
            _ => return ControlFlow::Continue(()),
        };
        match self.placeholder_for(segments) {
            Ok(placeholder) => {
                *expr = placeholder;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn is_name(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => is_name(inner),
        other => matches!(other, ast::Expr::Identifier(_)),
    }
}

fn is_operation(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => is_operation(inner),
        other => matches!(other, ast::Expr::BinaryOp { .. }),
    }
}

/// Makes `NOT` again of what stood in for it until types are known: a condition that is compared with `false`.
fn negated(expr: Expr) -> Transformed<Expr> {
    let is_condition = |expr: &Expr| match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            is_comparison(*op) || matches!(op, Operator::And | Operator::Or)
        }
        Expr::ScalarFunction(call) => {
            matches!(call.func.name(), "contains" | "starts_with" | "ends_with")
        }
        other => matches!(
            other,
            Expr::Not(_)
                | Expr::IsTrue(_)
                | Expr::IsNotTrue(_)
                | Expr::IsFalse(_)
                | Expr::IsNotFalse(_)
                | Expr::IsUnknown(_)
                | Expr::IsNotUnknown(_)
                | Expr::IsNull(_)
                | Expr::IsNotNull(_)
                | Expr::InList(_)
                | Expr::Between(_)
                | Expr::Like(_)
                | Expr::SimilarTo(_)
                | Expr::Literal(ScalarValue::Boolean(_), _)
        ),
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) if is_condition(&left)
            && matches!(*right, Expr::Literal(ScalarValue::Boolean(Some(false)), _)) =>
        {
            Transformed::yes(Expr::Not(left))
        }
        other => Transformed::no(other),
    }
}

/// Returns the name where SQL reads a word such as `user` as a call without parentheses: in logs it is a column. The
/// clock's words stay calls, to be refused as such.
fn bare_function(expr: &ast::Expr) -> Option<Vec<Ident>> {
    let ast::Expr::Function(call) = expr else {
        return None;
    };
    let names = call.name.0.iter().map(|part| match part {
        ast::ObjectNamePart::Identifier(name) => Some(name.clone()),
        ast::ObjectNamePart::Function(_) => None,
    });
    let names = names.collect::<Option<Vec<Ident>>>()?;
    let is_clock = |name: &Ident| {
        let word = name.value.to_ascii_lowercase();
        ["date", "time"].iter().any(|part| word.contains(part))
    };
    let is_call = matches!(names.as_slice(), [] | [_]) && names.iter().all(is_clock);
    (matches!(call.args, ast::FunctionArguments::None) && !is_call).then_some(names)
}

/// Aggregates need more than one event; the clock and random numbers would make two runs differ.
fn allowed(expr: &Expr) -> Result<(), ConditionError> {
    let mut problem = None;
    let visited = expr.apply(|expr| {
        problem = match expr {
            Expr::AggregateFunction(call) => Some(format!(
                "calls the aggregate `{}`; a `where` evaluates one event by itself",
                call.func.name()
            )),
            Expr::WindowFunction(call) => Some(format!(
                "calls the window function `{}`; a `where` evaluates one event by itself",
                call.fun.name()
            )),
            Expr::ScalarFunction(call)
                if call.func.signature().volatility != Volatility::Immutable =>
            {
                Some(format!(
                    "calls `{}`, whose answer is not the same in every run; compare with event times instead",
                    call.func.name()
                ))
            }
            _ => None,
        };
        Ok(match problem {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    let problem = problem
        .or_else(|| excess(expr).map(|error| error.to_string()))
        .or_else(|| costly(expr));
    match (problem, visited) {
        (Some(problem), _) => Err(ConditionError::NotAllowed(problem)),
        (None, Err(error)) => Err(ConditionError::Types(first_line(&error))),
        (None, Ok(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
