//! What statistics can refute of a condition.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, lit};
use yagura_rules::predicate::Number;

use super::literal::{
    TypeClass, is_integer, literal_number, literal_text, number_of_type, time_of_type,
};

/// Returns a weaker condition that statistics can refute, for pruning: comparisons of columns with literals that are, or can be
/// brought exactly to, the column's type. A conversion inside the scan could fail, and would blame the object.
pub(crate) fn prunable(expr: &Expr, scan: &Schema) -> Option<Expr> {
    let column = |expr: &Expr| match expr {
        Expr::Column(column) => Some(scan.field_with_name(&column.name).ok()?.data_type()),
        _ => None,
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => match (prunable(left, scan), prunable(right, scan)) {
            (Some(left), Some(right)) => Some(left.and(right)),
            (left, right) => left.or(right),
        },
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => Some(prunable(left, scan)?.or(prunable(right, scan)?)),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq),
            right,
        }) => {
            let (left, right) = match (column(left), column(right)) {
                (Some(of), None) => (left.as_ref().clone(), exactly(right, of).literal()?),
                (None, Some(of)) => (exactly(left, of).literal()?, right.as_ref().clone()),
                _ => return None,
            };
            Some(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                *op,
                Box::new(right),
            )))
        }
        Expr::InList(InList {
            expr: inner,
            list,
            negated: false,
        }) if list.len() <= 32 => {
            let of = column(inner)?;
            let mut values = Vec::with_capacity(list.len());
            for value in list {
                match exactly(value, of) {
                    ColumnLiteral::Literal(value) => values.push(value),
                    ColumnLiteral::Never => {}
                    ColumnLiteral::Unsure => return None,
                }
            }
            (!values.is_empty()).then(|| Expr::InList(InList::new(inner.clone(), values, false)))
        }
        Expr::Between(Between {
            expr: inner,
            negated: false,
            low,
            high,
        }) => {
            let of = column(inner)?;
            Some(Expr::Between(Between::new(
                inner.clone(),
                false,
                Box::new(exactly(low, of).literal()?),
                Box::new(exactly(high, of).literal()?),
            )))
        }
        _ => None,
    }
}

/// A literal as a value of a column.
enum ColumnLiteral {
    /// This one.
    Literal(Expr),
    /// None of them.
    Never,
    /// Unknown before the values are read.
    Unsure,
}

impl ColumnLiteral {
    fn literal(self) -> Option<Expr> {
        match self {
            Self::Literal(literal) => Some(literal),
            Self::Never | Self::Unsure => None,
        }
    }
}

/// Returns the literal as one of the column's type.
fn exactly(literal: &Expr, of: &DataType) -> ColumnLiteral {
    let or_never = |found: Option<Expr>| found.map_or(ColumnLiteral::Never, ColumnLiteral::Literal);
    let (text, number) = (literal_text(literal), literal_number(literal));
    match (TypeClass::of(of), literal) {
        (_, Expr::Literal(value, _)) if value.is_null() => ColumnLiteral::Unsure,
        (TypeClass::Text, _) => text.map_or(ColumnLiteral::Unsure, |text| {
            ColumnLiteral::Literal(lit(text))
        }),
        (TypeClass::Number, _) => match (number.or_else(|| Number::parse(text?)), text) {
            (Some(number), _) => {
                let found = number_of_type(&number, of);
                let is_whole = is_integer(of);
                found.map_or(
                    if is_whole {
                        ColumnLiteral::Never
                    } else {
                        ColumnLiteral::Unsure
                    },
                    ColumnLiteral::Literal,
                )
            }
            (None, Some(_)) => ColumnLiteral::Never,
            (None, None) => ColumnLiteral::Unsure,
        },
        (TypeClass::Truth, Expr::Literal(ScalarValue::Boolean(_), _)) => {
            ColumnLiteral::Literal(literal.clone())
        }
        (TypeClass::Time, Expr::Literal(value, _)) if value.data_type() == *of => {
            ColumnLiteral::Literal(literal.clone())
        }
        (TypeClass::Time, _) => match text {
            Some(text) => or_never(time_of_type(text, of)),
            None => ColumnLiteral::Unsure,
        },
        _ => ColumnLiteral::Unsure,
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
