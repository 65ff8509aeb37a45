//! A rule's `where`, from SQL text to a physical expression over the scan.
//!
//! Identifiers keep their case. A dotted name is looked up as a path ([`yagura_rules::resolve`]): a column whose name
//! holds dots, a field of a struct, or a place inside JSON text. Text out of JSON takes the type of the number or
//! truth value that it is compared with. NULL is SQL's: a comparison with it is unknown, and unknown does not match.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility, lit, try_cast};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, Ident, VisitMut, VisitorMut};
use yagura_core::FieldPath;
use yagura_rules::{Predicate, ResolveError, Resolved, resolve};

use crate::event_path::EventPath;
use crate::growth::excess;
use crate::predicate::{physical, predicate, prunable};
use crate::sql;

/// Why a `where` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// Not a SQL expression.
    #[error("is not a SQL condition: {0}")]
    Syntax(String),
    /// A path leads nowhere and is not among the rule's `optional` ones.
    #[error("{0} (add it to `optional` if some tables lack it)")]
    Unknown(#[from] ResolveError),
    /// Not a truth value.
    #[error("is of type {0}, not a truth value: compare it with something")]
    NotBoolean(DataType),
    /// Subqueries, aggregates, the wall clock.
    #[error("{0}")]
    NotAllowed(String),
    /// Types that cannot be compared, unknown functions.
    #[error("cannot be evaluated: {0}")]
    Types(String),
}

/// A `where` whose names were looked up but whose columns are still those of the whole table.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    sql: ast::Expr,
    /// Place-holder names in `sql` and what they stand for.
    paths: Vec<(FieldPath, Option<Resolved>)>,
}

/// What a condition comes to.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// For the prefilter.
    pub(crate) predicate: Predicate,
    /// A weaker condition that statistics can refute, if there is one.
    pub(crate) prunable: Option<Expr>,
}

const PLACEHOLDER: &str = "\u{1}path ";

impl Condition {
    /// Reads `text` and looks up its names in the table's schema; the paths in `optional` may be missing there.
    pub(crate) fn parse(
        text: &str,
        table: &Schema,
        optional: &[FieldPath],
    ) -> Result<Self, ConditionError> {
        let mut sql = sql::expression(text).map_err(ConditionError::Syntax)?;
        let mut names = Names {
            table,
            optional,
            paths: Vec::new(),
        };
        match VisitMut::visit(&mut sql, &mut names) {
            ControlFlow::Continue(()) => Ok(Self {
                sql,
                paths: names.paths,
            }),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Returns the indexes of the table's columns that the condition reads.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.paths
            .iter()
            .filter_map(|(_, resolved)| resolved.as_ref().map(|resolved| resolved.column))
    }

    /// Returns what the condition comes to over `scan`, a schema with at least the columns that it reads.
    pub(crate) fn compile(
        &self,
        state: &SessionState,
        scan: &Schema,
    ) -> Result<Compiled, ConditionError> {
        // Names are planned as columns of their final type, then replaced by what reads them.
        let mut fields = Vec::new();
        let mut readers = Vec::new();
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
                    let reader = column
                        .name
                        .strip_prefix(PLACEHOLDER)
                        .and_then(|index| readers.get(index.parse::<usize>().ok()?));
                    Ok(match reader {
                        Some(reader) => Transformed::yes(reader.clone()),
                        None => Transformed::no(expr),
                    })
                }
                _ => Ok(Transformed::no(expr)),
            })
            .and_then(|expr| expr.data.transform_up(|expr| Ok(typed_json(expr))))
            .map_err(types)?
            .data;
        let scan = Arc::new(scan.clone());
        let whole = physical(state, expr.clone(), Arc::clone(&scan)).map_err(types)?;
        can_be_evaluated(&*whole, &scan).map_err(types)?;
        match whole.data_type(&scan).map_err(types)? {
            DataType::Boolean => Ok(Compiled {
                predicate: predicate(state, &expr, &scan).map_err(types)?,
                prunable: prunable(&expr),
            }),
            other => Err(ConditionError::NotBoolean(other)),
        }
    }
}

/// Evaluates an expression of an event without values, to find what no event can be asked: functions that exist for some types
/// only, which is not known before. What fails on an event for its values is for [`crate::report::Cause::Condition`].
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

/// Returns what an error says, in a line: DataFusion appends hints and backtraces on further ones.
pub(crate) fn first_line(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let line = text.lines().next().unwrap_or_default();
    line.replace(PLACEHOLDER, "path ")
        .trim_end_matches('.')
        .to_owned()
}

/// Replaces every name by a place-holder.
struct Names<'a> {
    table: &'a Schema,
    optional: &'a [FieldPath],
    paths: Vec<(FieldPath, Option<Resolved>)>,
}

impl Names<'_> {
    fn placeholder_for(&mut self, segments: Vec<String>) -> Result<ast::Expr, ConditionError> {
        let Some(path) = FieldPath::new(segments) else {
            return Err(ConditionError::Syntax("an empty name".into()));
        };
        let known = self.paths.iter().position(|(known, _)| *known == path);
        let index = match known {
            Some(index) => index,
            None => {
                let found = match resolve(self.table, &path) {
                    Ok(found) => Some(found),
                    Err(_) if self.optional.contains(&path) => None,
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
}

impl VisitorMut for Names<'_> {
    type Break = ConditionError;

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<ConditionError> {
        ControlFlow::Break(ConditionError::NotAllowed(
            "holds a subquery; a `where` judges one event by itself".into(),
        ))
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<ConditionError> {
        if let Some(name) = bare_function(expr) {
            *expr = ast::Expr::Identifier(name);
        } else if let ast::Expr::CompoundFieldAccess { root, access_chain } = expr
            && let Some(first) = bare_function(root)
        {
            let rest = access_chain.iter().map(|access| match access {
                ast::AccessExpr::Dot(ast::Expr::Identifier(name)) => Some(name.clone()),
                _ => None,
            });
            let names: Option<Vec<Ident>> = std::iter::once(Some(first)).chain(rest).collect();
            if let Some(names) = names {
                *expr = ast::Expr::CompoundIdentifier(names);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<ConditionError> {
        let segments = match expr {
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

/// Returns the name where SQL reads a word such as `user` as a call without parentheses: in logs it is a column. The
/// clock's words stay calls, to be refused as such.
fn bare_function(expr: &ast::Expr) -> Option<Ident> {
    let ast::Expr::Function(call) = expr else {
        return None;
    };
    let [ast::ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else {
        return None;
    };
    let word = name.value.to_ascii_lowercase();
    let is_clock = ["date", "time"].iter().any(|part| word.contains(part));
    (matches!(call.args, ast::FunctionArguments::None) && !is_clock).then(|| name.clone())
}

/// Aggregates need more than one event; the clock and random numbers would make two runs differ.
fn allowed(expr: &Expr) -> Result<(), ConditionError> {
    let mut problem = None;
    let visited = expr.apply(|expr| {
        problem = match expr {
            Expr::AggregateFunction(call) => Some(format!(
                "calls the aggregate `{}`; a `where` judges one event by itself",
                call.func.name()
            )),
            Expr::WindowFunction(call) => Some(format!(
                "calls the window function `{}`; a `where` judges one event by itself",
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
    match (problem.or_else(|| excess(expr)), visited) {
        (Some(problem), _) => Err(ConditionError::NotAllowed(problem)),
        (None, Err(error)) => Err(ConditionError::Types(first_line(&error))),
        (None, Ok(_)) => Ok(()),
    }
}

/// Gives text out of JSON the type of the literal it is compared with; text that is no such value reads as NULL.
fn typed_json(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (left, right) = match (EventPath::is_json(&left), EventPath::is_json(&right)) {
                (true, false) => typed_pair(*left, *right),
                (false, true) => {
                    let (right, left) = typed_pair(*right, *left);
                    (left, right)
                }
                _ => (*left, *right),
            };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                op,
                Box::new(right),
            )))
        }
        Expr::InList(InList {
            expr,
            mut list,
            negated,
        }) if EventPath::is_json(&expr) && list.iter().any(is_number) => {
            list = list.into_iter().map(as_float).collect();
            let expr = Box::new(try_cast(*expr, DataType::Float64));
            Transformed::yes(Expr::InList(InList::new(expr, list, negated)))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) if EventPath::is_json(&expr) && (is_number(&low) || is_number(&high)) => {
            Transformed::yes(Expr::Between(Between::new(
                Box::new(try_cast(*expr, DataType::Float64)),
                negated,
                Box::new(as_float(*low)),
                Box::new(as_float(*high)),
            )))
        }
        other => Transformed::no(other),
    }
}

fn typed_pair(json: Expr, other: Expr) -> (Expr, Expr) {
    match &other {
        Expr::Literal(ScalarValue::Boolean(Some(truth)), _) => {
            let text = if *truth { "true" } else { "false" };
            (json, lit(text))
        }
        number if is_number(number) => (try_cast(json, DataType::Float64), as_float(other)),
        _ => (json, other),
    }
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.data_type().is_numeric(),
        Expr::Negative(inner) => is_number(inner),
        _ => false,
    }
}

fn as_float(expr: Expr) -> Expr {
    try_cast(expr, DataType::Float64)
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use datafusion::arrow::array::{
        ArrayRef, DictionaryArray, Int64Array, StringArray, StringViewArray, StructArray,
    };
    use datafusion::arrow::buffer::BooleanBuffer;
    use datafusion::arrow::datatypes::Int32Type;
    use datafusion::execution::context::SessionContext;
    use yagura_rules::{Matches, Methods, PrefilterState, Program};

    fn events() -> RecordBatch {
        let who = StructArray::from(vec![(
            Arc::new(Field::new("name", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![
                Some("ann"),
                None,
                Some("bob"),
                None,
            ])) as ArrayRef,
        )]);
        RecordBatch::try_from_iter_with_nullable(vec![
            (
                "Name",
                Arc::new(StringViewArray::from(vec![
                    Some("a"),
                    Some("b"),
                    None,
                    Some("d"),
                ])) as ArrayRef,
                true,
            ),
            (
                "id.port",
                Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None])),
                true,
            ),
            ("who", Arc::new(who), true),
            (
                "user",
                Arc::new(StringArray::from(vec![
                    Some("ann"),
                    Some("bob"),
                    None,
                    None,
                ])),
                true,
            ),
            (
                "body",
                Arc::new(StringArray::from(vec![
                    Some(r#"{"n": 5, "ok": true, "s": "x"}"#),
                    Some(r#"{"n": "40", "ok": false, "s": null}"#),
                    Some("not json"),
                    None,
                ])),
                true,
            ),
        ])
        .unwrap()
    }

    fn judge(text: &str) -> Result<Vec<usize>, ConditionError> {
        let matches = matches(text, &events())?;
        Ok(matches
            .rules
            .first()
            .map(|(_, rows)| rows.set_indices().collect())
            .unwrap_or_default())
    }

    fn matches(text: &str, batch: &RecordBatch) -> Result<Matches, ConditionError> {
        let state = SessionContext::new().state();
        let optional = ["missing.path".parse().unwrap()];
        let condition = Condition::parse(text, &batch.schema(), &optional)?;
        let compiled = condition.compile(&state, &batch.schema())?;
        let rules = [compiled.predicate];
        let program = Program::compile(&batch.schema(), &rules, Methods::default()).unwrap();
        let mut prefilter = PrefilterState::new(&program);
        let all = |index: usize| Arc::clone(batch.column(index));
        let any = program.evaluate_any(&mut prefilter, batch.num_rows(), &all);
        let matches = program.evaluate(&mut prefilter, batch).unwrap();
        // What is looked for in a scan is what is told of afterwards.
        let told = matches.rules.iter().map(|(_, rows)| rows);
        let told = told.chain(matches.undecided.iter().map(|undecided| &undecided.rows));
        let told = told.fold(BooleanBuffer::new_unset(batch.num_rows()), |all, rows| {
            &all | rows
        });
        assert_eq!(any.unwrap(), told, "{text}");
        Ok(matches)
    }

    /// Returns the rows that a condition cannot decide on, and why.
    fn undecided(text: &str, batch: &RecordBatch) -> (Vec<usize>, String) {
        let matches = matches(text, batch).unwrap();
        let Some(undecided) = matches.undecided.into_iter().next() else {
            return (Vec::new(), String::new());
        };
        (undecided.rows.set_indices().collect(), undecided.reason)
    }

    #[test]
    fn names_keep_their_case_and_lead_through_columns_structs_and_json() {
        assert_eq!(judge("Name = 'a'").unwrap(), [0]);
        assert_eq!(judge("id.port >= 2").unwrap(), [1, 2]);
        assert_eq!(judge("\"id.port\" >= 2").unwrap(), [1, 2]);
        assert_eq!(judge("who.name = 'bob' OR Name = 'd'").unwrap(), [2, 3]);
        assert_eq!(judge("lower(body.s) = 'x'").unwrap(), [0]);
        assert!(
            judge("name = 'a'")
                .unwrap_err()
                .to_string()
                .contains("`Name`")
        );
    }

    #[test]
    fn words_that_sql_takes_for_calls_are_names() {
        assert_eq!(judge("user = 'ann'").unwrap(), [0]);
        assert_eq!(judge("user IS NULL AND Name = 'd'").unwrap(), [3]);
        assert!(judge("user.x = 'ann'").unwrap().is_empty());
        let clock = judge("CURRENT_TIMESTAMP IS NULL").unwrap_err().to_string();
        assert!(clock.contains("not the same in every run"), "{clock}");
    }

    #[test]
    fn text_out_of_json_takes_the_type_it_is_compared_with() {
        assert_eq!(judge("body.n > 4").unwrap(), [0, 1]);
        assert_eq!(judge("10 < body.n").unwrap(), [1]);
        assert_eq!(judge("body.n BETWEEN 5 AND 6").unwrap(), [0]);
        assert_eq!(judge("body.n IN (40, 41)").unwrap(), [1]);
        assert_eq!(judge("body.n = -5").unwrap(), [0usize; 0]);
        assert_eq!(judge("body.n = '5'").unwrap(), [0]);
        assert_eq!(judge("body.ok = true").unwrap(), [0]);
        assert_eq!(judge("body.ok = false").unwrap(), [1]);
        assert_eq!(judge("body.s > 1").unwrap(), [0usize; 0]);
    }

    #[test]
    fn null_is_unknown_as_in_sql() {
        assert_eq!(judge("Name <> 'a'").unwrap(), [1, 3]);
        assert_eq!(judge("NOT (Name = 'a')").unwrap(), [1, 3]);
        assert_eq!(judge("Name IS DISTINCT FROM 'a'").unwrap(), [1, 2, 3]);
        assert_eq!(judge("body.s IS NULL").unwrap(), [1, 2, 3]);
        assert_eq!(judge("missing.path IS NULL AND Name = 'd'").unwrap(), [3]);
        assert_eq!(judge("missing.path = 'x'").unwrap(), [0usize; 0]);
        assert_eq!(judge("Name IN ('a', NULL)").unwrap(), [0]);
    }

    #[test]
    fn what_fails_for_an_event_is_unknown_for_it_alone() {
        // The ports are 1, 2, 3 and NULL.
        assert_eq!(judge("6 / (id.port - 2) >= 6").unwrap(), [2]);
        assert_eq!(judge("NOT (6 / (id.port - 2) >= 6)").unwrap(), [0]);
        assert_eq!(
            judge("6 / (id.port - 2) >= 6 OR Name = 'b'").unwrap(),
            [1, 2]
        );
        assert_eq!(judge("Name = 1").unwrap(), [0usize; 0]);
        assert_eq!(judge("Name <> 1 OR Name = 'a'").unwrap(), [0]);
        assert_eq!(judge("CAST(Name AS INT) IS NULL").unwrap(), [0, 1, 2, 3]);
        assert_eq!(judge("lpad(Name, 2, '0') = '0a'").unwrap(), [0]);
    }

    #[test]
    fn functions_that_stand_for_other_expressions_are_evaluated() {
        for (text, want) in [
            ("coalesce(Name, 'z') = 'z'", &[2][..]),
            ("coalesce(body.s, Name, 'none') = 'none'", &[2]),
            ("coalesce(id.port, 9) > 2", &[2, 3]),
            ("nvl(Name, 'z') = 'z'", &[2]),
            ("nvl2(Name, 'known', 'unknown') = 'unknown'", &[2]),
            ("NOT (coalesce(Name, 'z') = 'z')", &[0, 1, 3]),
            ("arrow_cast(id.port, 'Utf8') = '2'", &[1]),
            ("arrow_try_cast(Name, 'Int64') IS NULL", &[0, 1, 2, 3]),
            ("regexp_like(Name, '^[ab]$')", &[0, 1]),
            ("starts_with(Name, 'd')", &[3]),
            ("concat(Name, '-', who.name) = 'a-ann'", &[0]),
        ] {
            assert_eq!(judge(text).unwrap(), want, "{text}");
            assert_eq!(undecided(text, &events()).0, [0_usize; 0], "{text}");
        }
    }

    #[test]
    fn what_fails_is_told_where_it_would_have_decided() {
        let batch = events();
        let of = |text: &str| undecided(text, &batch).0;
        assert_eq!(of("6 / (id.port - 2) >= 6"), [1]);
        assert_eq!(of("NOT (6 / (id.port - 2) >= 6)"), [1]);
        assert_eq!(of("6 / (id.port - 2) >= 6 AND Name = 'b'"), [1]);
        // Something else decides.
        let none = [0_usize; 0];
        assert_eq!(of("6 / (id.port - 2) >= 6 OR Name = 'b'"), none);
        assert_eq!(of("id.port <> 2 AND 6 / (id.port - 2) >= 6"), none);
        assert_eq!(of("6 / (id.port - 2) >= 6 AND Name = 'a'"), none);
        assert_eq!(of("Name = 'q' AND 6 / (id.port - 2) >= 6"), none);
        // Unknown is not true, so it is not what fails that keeps an event from matching here, or it is.
        let not_true = "(6 / (id.port - 2) >= 6) IS NOT TRUE";
        assert_eq!(judge(not_true).unwrap(), [0, 1, 3]);
        assert_eq!(of(not_true), none);
        let and_small = format!("{not_true} AND 6 / (id.port - 2) < 3");
        assert_eq!(of(&and_small), [1]);
        // What cannot be converted is NULL, and NULL is no failure.
        assert_eq!(of("CAST(Name AS INT) > 1 OR id.port > 2"), none);
        let (_, reason) = undecided("6 / (id.port - 2) >= 6", &batch);
        assert_eq!(reason, "Arrow error: Divide by zero error");
    }

    #[test]
    fn what_fails_for_a_value_fails_for_each_event_with_it() {
        let texts = ["ff", "zz", "ff", "0f", "zz", "ff"];
        let mut texts: Vec<Option<&str>> = texts.into_iter().map(Some).collect();
        texts.push(None);
        let values: DictionaryArray<Int32Type> = texts.into_iter().collect();
        let batch = RecordBatch::try_from_iter_with_nullable(vec![(
            "hex",
            Arc::new(values) as ArrayRef,
            true,
        )]);
        let batch = batch.unwrap();
        let rows = |text: &str| undecided(text, &batch).0;
        assert_eq!(rows("encode(decode(hex, 'hex'), 'hex') <> ''"), [1, 4]);
        assert_eq!(
            rows("encode(decode(coalesce(hex, 'x'), 'hex'), 'hex') <> ''"),
            [1, 4, 6]
        );
        assert_eq!(
            rows("encode(decode(coalesce(hex, 'ff'), 'hex'), 'hex') <> ''"),
            [1, 4]
        );
        assert_eq!(rows("6 / (octet_length(hex) - 2) = 1"), [0, 1, 2, 3, 4, 5]);
        let matched = matches("encode(decode(hex, 'hex'), 'hex') <> ''", &batch).unwrap();
        let matched: Vec<usize> = matched.rules[0].1.set_indices().collect();
        assert_eq!(matched, [0, 2, 3, 5]);
    }

    #[test]
    fn what_cannot_be_judged_says_why() {
        for (text, want) in [
            ("Name =", "is not a SQL condition"),
            ("Name", "not a truth value"),
            ("Nmae = 'a'", "did you mean `Name`?"),
            ("Name = 'a' AND random() > 0.5", "`random`"),
            ("sum(id.port) > 1", "aggregate `sum`"),
            ("EXISTS (SELECT 1)", "subquery"),
            (
                "repeat(Name, 2000000000) = 'a'",
                "more of an event than memory",
            ),
            (
                "lpad(Name, 2000000000) = 'a'",
                "more of an event than memory",
            ),
            (
                "list_repeat(Name, 2000000000) IS NULL",
                "more of an event than memory",
            ),
            ("rpad(Name, -1) = 'a'", "more of an event than memory"),
            ("encode(Name, Name) = 'a'", "not yet supported"),
            ("ceil(id.port, 2) = 1", "CEIL with scale is not supported"),
            ("id.port.x = 1", "has no fields"),
            ("frobnicate(Name) = 'a'", "frobnicate"),
        ] {
            let message = judge(text).unwrap_err().to_string();
            assert!(message.contains(want), "{text}: {message}");
        }
    }

    #[test]
    fn what_a_condition_makes_of_an_event_has_a_bound() {
        let within = |outer: &str, rest: &str, times: usize| {
            format!("{}Name{}", outer.repeat(times), rest.repeat(times))
        };
        let long = "x".repeat(200);
        for text in [
            within("replace(", ", 'a', 'abc')", 4),
            within("replace(", ", '^', ' ')", 40),
            within("replace(", ", 'a', '')", 40),
            within("encode(", ", 'hex')", 6),
            within("regexp_replace(", ", '[0-9]+', '#', 'g')", 6),
            within("regexp_replace(", ", '[0-9]+', '<number>')", 6),
            "regexp_match(Name, '^(a)(b(c))')[1]".to_owned(),
            "to_char(CAST(id.port AS TIMESTAMP), '%H:%M')".to_owned(),
            "split_part(Name, '/', 2)".to_owned(),
            "CASE WHEN Name = 'a' THEN upper(user) ELSE coalesce(user, Name) END".to_owned(),
            format!(
                "array_has(make_array({}), Name)",
                vec!["'10.0.0.1'"; 5_000].join(", ")
            ),
            within("upper(", ")", 40),
            within("concat('a', ", ")", 40),
            "concat_ws('/', Name, user, who.name)".to_owned(),
            "Name || user || body".to_owned(),
            "array_to_string(string_to_array(Name, ','), '; ')".to_owned(),
            "lpad(Name, 1000)".to_owned(),
            vec!["Name = 'a'"; 400].join(" OR "),
            "arrow_cast(id.port, 'Utf8')".to_owned(),
            "CAST(id.port AS VARCHAR)".to_owned(),
        ] {
            let judged = matches(&format!("({text}) IS NOT NULL"), &events());
            assert!(judged.is_ok(), "{text}: {judged:?}");
        }
        for text in [
            within("replace(", ", 'a', 'abc')", 5),
            within("encode(", ", 'hex')", 7),
            within("regexp_replace(", ", '', 'ab', 'g')", 5),
            within("regexp_replace(", ", '(.*)', '\\1\\1\\1')", 5),
            within("regexp_replace(", ", '', 'ab', 'g')", 20).replace("Name", "''"),
            within("array_to_string(regexp_match(", ", '((((.*))))'), '')", 4),
            within("CAST(string_to_array(", ", NULL) AS VARCHAR)", 5),
            within("arrow_cast(string_to_array(", ", NULL), 'Utf8')", 5),
            vec!["body"; 101].join(" || "),
            format!(
                "array_to_string(make_array({}), '{long}')",
                vec!["''"; 2_000].join(", ")
            ),
            format!(
                "arrays_zip(string_to_array(Name, NULL), {})",
                vec!["make_array()"; 101].join(", ")
            ),
            within("concat_ws(", ", 'a', 'b', 'c', 'd')", 4),
            within("array_to_string(string_to_array(", ", NULL), '---')", 4),
            format!("replace(Name, 'a', '{long}')"),
            "replace(Name, 'a', user)".to_owned(),
            "regexp_replace(Name, '.', 1111111111111111111, 'g')".to_owned(),
            "regexp_match(Name, user)".to_owned(),
            "regexp_replace(Name, 'a', user)".to_owned(),
            "array_to_string(string_to_array(Name, NULL), user)".to_owned(),
            "array_replace_all(string_to_array(Name, NULL), 'a', user)".to_owned(),
            within("replace(", ", 'a', lpad('', 1000, 'a'))", 4),
            "concat(repeat(Name, 3), 'a')".to_owned(),
            "lpad(Name, 1001)".to_owned(),
            "lpad(Name, id.port)".to_owned(),
            "arrow_cast(Name, 'FixedSizeBinary(2000000000)')".to_owned(),
            "arrow_cast(Name, 'List(FixedSizeList(2000000000 x Utf8))')".to_owned(),
            "[1]::int[2000000000]".to_owned(),
        ] {
            let error = matches(&format!("({text}) IS NOT NULL"), &events()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("than memory holds"), "{text}: {error}");
        }
    }

    #[test]
    fn no_call_of_a_function_panics() {
        let few = ["Name", "id.port", "-1", "9223372036854775807"];
        let many = [
            "who",
            "CAST(id.port AS TIMESTAMP)",
            "[1, 2]",
            "'day'",
            "NULL",
        ];
        let all = few.iter().chain(&many);
        let mut calls = vec![String::new()];
        for a in all.clone() {
            calls.push((*a).to_owned());
            calls.extend(all.clone().map(|b| format!("{a}, {b}")));
        }
        for a in few {
            for b in few {
                calls.extend(few.map(|c| format!("{a}, {b}, {c}")));
            }
        }
        let batch = events();
        let state = SessionContext::new().state();
        let functions = state.scalar_functions();
        assert!(functions.len() > 200);
        for name in functions.keys() {
            for call in &calls {
                let text = format!("{name}({call}) IS NOT NULL");
                let judged = catch_unwind(AssertUnwindSafe(|| matches(&text, &batch)));
                let judged = judged.unwrap_or_else(|_| panic!("{text} panics"));
                for undecided in judged.map_or_else(|_| Vec::new(), |judged| judged.undecided) {
                    let reason = undecided.reason;
                    assert!(!reason.contains("Internal error"), "{text}: {reason}");
                }
            }
        }
    }
}
