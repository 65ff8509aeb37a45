//! Hints for authors: comparisons of types that are never equal, patterns that may mean something else than their author thinks.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use yagura_rules::predicate::Number;

use super::literal::{
    TypeClass, is_comparison, literal_number, literal_text, time_of_type, truth_of,
};
use crate::type_name::plain_type;

/// Returns hints for the author of a condition over these columns.
pub(crate) fn hints(expr: &Expr, scan: &Schema) -> Vec<String> {
    let Ok(schema) = DFSchema::try_from(scan.clone()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let truths = |expr: &Expr, found: &mut Vec<String>| {
        if let Some(DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) =
            expr.get_type(&schema).ok().map(value_type)
        {
            found.push(format!(
                "takes `{}`, which is text, for a truth value: it is true for the text `true` alone",
                name(expr)
            ));
        }
    };
    truths(expr, &mut found);
    // Only the closure can fail.
    let _ = expr.apply(|expr| {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => {
                    truths(left, &mut found);
                    truths(right, &mut found);
                }
                op if is_comparison(*op) => {
                    found.extend(never(left, right, &schema));
                    found.extend(never(right, left, &schema));
                }
                _ => {}
            },
            Expr::Not(inner) => truths(inner, &mut found),
            Expr::InList(InList { expr, list, .. }) => {
                found.extend(list.iter().filter_map(|value| never(expr, value, &schema)));
            }
            Expr::Between(Between {
                expr, low, high, ..
            }) => found.extend(
                [low, high]
                    .into_iter()
                    .filter_map(|to| never(expr, to, &schema)),
            ),
            Expr::Like(like) => found.extend(pattern(like)),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found.dedup();
    found
}

fn value_type(data_type: DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => *value,
        other => other,
    }
}

/// Returns a hint if no value of the type of `of` equals the literal.
fn never(of: &Expr, literal: &Expr, schema: &DFSchema) -> Option<String> {
    let Expr::Literal(value, _) = literal else {
        // A minus may stand before a number.
        return None;
    };
    if value.is_null() || matches!(of, Expr::Literal(..)) {
        return None;
    }
    let data_type = value_type(of.get_type(schema).ok()?);
    let text = literal_text(literal);
    let is_truth = matches!(value, ScalarValue::Boolean(_));
    let is_number = literal_number(literal).is_some();
    let lacks = match (TypeClass::of(&data_type), text) {
        (TypeClass::Number, Some(text)) => Number::parse(text).is_none().then_some("a number"),
        (TypeClass::Truth, Some(text)) => truth_of(text).is_none().then_some("true or false"),
        (TypeClass::Time, Some(text)) => {
            time_of_type(text, &data_type).is_none().then_some("a time")
        }
        (TypeClass::Number, None) => is_truth.then_some("a number"),
        (TypeClass::Truth, None) => is_number.then_some("true or false"),
        (TypeClass::Time, None) => (is_number || is_truth).then_some("a time"),
        (TypeClass::Other, None) => (is_number || is_truth).then_some("text"),
        _ => None,
    }?;
    let written = match text {
        Some(text) => format!("'{text}'"),
        None => {
            literal_number(literal).map_or_else(|| value.to_string(), |number| number.to_string())
        }
    };
    Some(format!(
        "compares `{}` ({}) with {written}, which is not {lacks}: no event is equal to it",
        name(of),
        plain_type(&data_type)
    ))
}

fn pattern(like: &Like) -> Option<String> {
    let text = literal_text(&like.pattern)?;
    if like.escape_char.is_some() {
        return None;
    }
    let word = if like.case_insensitive {
        "ILIKE"
    } else {
        "LIKE"
    };
    // A path is full of backslashes; a single one before a sign looks like an escape, but not that of a drive.
    let is_escape = |sign: &str| text.contains(sign) && !text.contains(&format!(":{sign}"));
    if text.matches('\\').count() == 1 && (is_escape("\\%") || is_escape("\\_")) {
        return Some(format!(
            "has a backslash before `%` or `_` in {word} '{text}': a backslash is a character like any other there; \
             write {word} '{text}' ESCAPE '\\' if the sign itself is meant"
        ));
    }
    text.contains("\\\\").then(|| {
        format!(
            "has two backslashes in {word} '{text}', which find two: a backslash is a character like any other there; \
             write one to find one"
        )
    })
}

fn name(expr: &Expr) -> String {
    let text = expr.human_display().to_string();
    let path = text
        .strip_prefix("path(")
        .and_then(|rest| rest.split_once(')'));
    path.map_or_else(|| text.clone(), |(path, _)| path.to_owned())
}
