//! Expressions that make a value out of the fields of an event, as the columns of a source are.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use yagura_core::FieldPath;
use yagura_rules::resolve;

use super::costly::{bounded, share};
use super::error::{ConditionError, first_line};
use super::physical::{physical, physical_value};
use super::regex::wrong_regex;
use super::{WhereCondition, can_be_evaluated, sql};
use crate::author::planning;

/// An expression over fields of events, all of which are texts: a value that is not text in the event is its JSON text. What it
/// means to compare two of them is what it means in a rule's `where`.
#[derive(Debug, Clone)]
pub struct FieldExpression {
    expr: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// For each column of `schema`, which of the fields it is.
    columns: Vec<usize>,
    data_type: DataType,
    /// The field that it is, where it is nothing but a name.
    field: Option<usize>,
}

impl FieldExpression {
    /// Returns the fields that an expression names, in order of their first place in it.
    ///
    /// # Errors
    /// [`ConditionError::Syntax`] where it is no expression, [`ConditionError::NotAllowed`] for a subquery.
    pub fn fields_of(text: &str) -> Result<Vec<FieldPath>, ConditionError> {
        let read = WhereCondition::parse_names(text, &Schema::empty(), &|_| true)?;
        Ok(read.paths.into_iter().map(|(path, _)| path).collect())
    }

    /// Reads an expression over `fields`, which must hold all that it names.
    ///
    /// # Errors
    /// [`ConditionError`]; also for what would take too long or grow too large on some event.
    pub fn new(text: &str, fields: &[FieldPath]) -> Result<Self, ConditionError> {
        sql::with_stack(|| Self::on_stack(text, fields, physical_value))
    }

    /// Reads an expression whose values are truth values, as a rule's `where` is one.
    ///
    /// # Errors
    /// As [`Self::new`], and [`ConditionError::NotBoolean`].
    pub fn condition(text: &str, fields: &[FieldPath]) -> Result<Self, ConditionError> {
        let read = sql::with_stack(|| Self::on_stack(text, fields, physical))?;
        match read.data_type {
            DataType::Boolean => Ok(read),
            other => Err(ConditionError::NotBoolean(other)),
        }
    }

    fn on_stack(
        text: &str,
        fields: &[FieldPath],
        plan: impl FnOnce(
            &SessionState,
            Expr,
            SchemaRef,
        ) -> Result<Arc<dyn PhysicalExpr>, DataFusionError>,
    ) -> Result<Self, ConditionError> {
        // `a.b` and `"a.b"` are one field.
        let mut names = BTreeSet::new();
        let columns: Vec<usize> = Self::fields_of(text)?
            .iter()
            .filter(|path| names.insert(column_name(path)))
            .filter_map(|path| fields.iter().position(|field| field == path))
            .collect();
        let columns_of = columns.iter().map(|at| column_name(&fields[*at]));
        let schema: SchemaRef = Arc::new(Schema::new(
            columns_of
                .map(|name| Field::new(name, DataType::Utf8, true))
                .collect::<Vec<Field>>(),
        ));
        let mut condition = WhereCondition::parse_names(text, &Schema::empty(), &|_| true)?;
        for (path, found) in &mut condition.paths {
            *found = Some(resolve(&schema, path)?);
        }
        let types = |error: DataFusionError| ConditionError::Types(first_line(&error));
        let expr = condition.expression(planning(), &schema)?;
        if let Some(problem) = wrong_regex(&expr) {
            return Err(ConditionError::Types(problem));
        }
        let field = match &expr {
            Expr::Column(column) => schema.index_of(&column.name).ok(),
            _ => None,
        };
        let steps = share(&expr);
        let expr = bounded(expr, steps)
            .and_then(|expr| plan(planning(), expr, Arc::clone(&schema)))
            .map_err(types)?;
        can_be_evaluated(&*expr, &schema).map_err(types)?;
        Ok(Self {
            data_type: expr.data_type(&schema).map_err(types)?,
            field: field.and_then(|column| columns.get(column).copied()),
            expr,
            schema,
            columns,
        })
    }

    /// Returns the type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Returns the index of the one field that the expression is, where it is nothing but a name.
    pub fn is_field(&self) -> Option<usize> {
        self.field
    }

    /// Returns the indices of the fields that the expression reads: of all others [`Self::evaluate`] looks at no value.
    pub fn reads(&self) -> &[usize] {
        &self.columns
    }

    /// Evaluates the expression for events whose fields are `fields`, one array for each that [`Self::new`] was given. An event for
    /// which it fails has NULL, and no other event is changed by that.
    ///
    /// # Errors
    /// When the arrays are not as many or not as long as they should be.
    pub fn evaluate(&self, fields: &[ArrayRef], rows: usize) -> Result<ArrayRef, ArrowError> {
        let arrays = self.columns.iter().map(|at| Arc::clone(&fields[*at]));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays.collect(),
            &options,
        )?;
        let mut parts = Vec::new();
        self.evaluate_parts(&batch, &mut parts)?;
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        match parts.is_empty() {
            true => Ok(new_empty_array(&self.data_type)),
            false => concat(&parts),
        }
    }

    fn evaluate_parts(
        &self,
        batch: &RecordBatch,
        parts: &mut Vec<ArrayRef>,
    ) -> Result<(), ArrowError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let evaluated = self
            .expr
            .evaluate(batch)
            .and_then(|value| value.into_array(rows));
        match evaluated {
            Ok(array) => parts.push(array),
            Err(_) if rows == 1 => {
                let null = ScalarValue::try_from(&self.data_type)?;
                parts.push(null.to_array()?);
            }
            Err(_) => {
                let half = rows / 2;
                self.evaluate_parts(&batch.slice(0, half), parts)?;
                self.evaluate_parts(&batch.slice(half, rows - half), parts)?;
            }
        }
        Ok(())
    }
}

/// Returns the name of a field's column, under which [`resolve`] finds it.
fn column_name(field: &FieldPath) -> String {
    field.segments().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{AsArray, StringArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::Int64Type;

    fn paths(names: &[&str]) -> Vec<FieldPath> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn an_expression_reads_fields_by_their_paths() {
        let text_of = "coalesce(client.ip, \"a.b\".c, event_time)";
        let fields = FieldExpression::fields_of(text_of).unwrap();
        assert_eq!(fields, paths(&["client.ip", "\"a.b\".c", "event_time"]));
        let expression = FieldExpression::new(text_of, &fields).unwrap();
        let arrays = [
            text(&[Some("1"), None, None]),
            text(&[Some("2"), Some("3"), None]),
            text(&[Some("4"), None, Some("5")]),
        ];
        let values = expression.evaluate(&arrays, 3).unwrap();
        let values = cast(&values, &DataType::Utf8).unwrap();
        let values: Vec<_> = values.as_string::<i32>().iter().collect();
        assert_eq!(values, [Some("1"), Some("3"), Some("5")]);
        let twice = FieldExpression::new("a.b = 'x' OR \"a.b\" = 'x'", &paths(&["a.b", "\"a.b\""]));
        assert!(twice.is_ok(), "{twice:?}");
    }

    #[test]
    fn numbers_compare_as_in_a_rule_and_a_name_alone_is_a_field() {
        let fields = paths(&["other", "level"]);
        let expression =
            FieldExpression::new("CASE WHEN level >= 9 THEN 5 ELSE 1 END", &fields).unwrap();
        let arrays = [text(&[None; 3]), text(&[Some("10"), Some("8"), Some("-")])];
        let values = expression.evaluate(&arrays, 3).unwrap();
        let values: Vec<_> = values.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(values, [Some(5), Some(1), Some(1)]);
        assert_eq!(expression.is_field(), None);
        let name = FieldExpression::new("level", &fields).unwrap();
        assert_eq!(name.is_field(), Some(1));
        let constant = FieldExpression::new("'Okta'", &fields).unwrap();
        assert_eq!(constant.evaluate(&arrays, 3).unwrap().len(), 3);
        assert_eq!(
            constant.evaluate(&[text(&[]), text(&[])], 0).unwrap().len(),
            0
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in ["a =", "(select 1)", "no_such_function(a)", "a ~ '('"] {
            assert!(
                FieldExpression::new(wrong, &paths(&["a"])).is_err(),
                "{wrong}"
            );
        }
    }
}
