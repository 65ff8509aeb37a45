//! What the rule writes out, and what types hold: numbers, times and truth values of a type.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator, lit};
use yagura_rules::predicate::Number;

/// Key of a literal's metadata: the number as the rule writes it, where a double does not hold it.
pub(super) const EXACT: &str = "yagura.number";

/// What a type holds, as far as comparisons go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeClass {
    /// Nothing but NULL.
    Null,
    /// Text, also out of JSON.
    Text,
    /// Whole numbers, floats and decimals.
    Number,
    /// True and false.
    Truth,
    /// Moments, dates and times of day.
    Time,
    /// Bytes, lists, structs, durations and the like.
    Other,
}

impl TypeClass {
    /// Returns the class of a type.
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Dictionary(_, value) => Self::of(value),
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Truth,
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_) => Self::Time,
            other if other.is_string() => Self::Text,
            other if other.is_numeric() => Self::Number,
            _ => Self::Other,
        }
    }
}

/// Returns the text that a literal holds.
pub(crate) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// Returns the number that a literal holds, exactly as it is written.
pub(crate) fn literal_number(expr: &Expr) -> Option<Number> {
    match expr {
        Expr::Literal(_, Some(metadata)) if metadata.inner().contains_key(EXACT) => {
            Number::parse(metadata.inner().get(EXACT)?)
        }
        Expr::Literal(value, _) if value.data_type().is_numeric() => {
            Number::parse(&value.to_string())
        }
        Expr::Negative(inner) => {
            let text = literal_number(inner)?.to_string();
            match text.strip_prefix('-') {
                Some(positive) => Number::parse(positive),
                None => Number::parse(&format!("-{text}")),
            }
        }
        _ => None,
    }
}

/// Returns the literal of a type that is exactly this number; `None` where the type has none.
pub(crate) fn number_of_type(number: &Number, data_type: &DataType) -> Option<Expr> {
    let text = number.to_string();
    macro_rules! whole {
        ($native:ty) => {
            text.parse::<$native>().ok().map(lit)
        };
    }
    match data_type {
        DataType::Dictionary(_, value) => number_of_type(number, value),
        DataType::Int8 => whole!(i8),
        DataType::Int16 => whole!(i16),
        DataType::Int32 => whole!(i32),
        DataType::Int64 => whole!(i64),
        DataType::UInt8 => whole!(u8),
        DataType::UInt16 => whole!(u16),
        DataType::UInt32 => whole!(u32),
        DataType::UInt64 => whole!(u64),
        other if other.is_floating() => {
            let float = number.as_f64();
            (Number::from_f64(float).as_ref() == Some(number)).then(|| lit(float))
        }
        _ => None,
    }
}

/// Returns the time of a type that a text writes; `None` where it writes none.
pub(crate) fn time_of_type(text: &str, data_type: &DataType) -> Option<Expr> {
    // Arrow takes a bare number for units since the epoch or midnight, which nobody can see in it.
    if Number::parse(text.trim()).is_some() {
        return None;
    }
    let value = ScalarValue::from(text);
    let time = value.cast_to(data_type).ok().filter(|time| !time.is_null());
    let finest = match data_type {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
        other => other.clone(),
    };
    // A fraction that the column's unit cannot hold still counts. Years that nanoseconds cannot hold have none.
    let fine = value.cast_to(&finest).ok().filter(|time| !time.is_null());
    match (time, fine) {
        (Some(time), Some(fine)) => {
            let is_exact = time.cast_to(&finest).is_ok_and(|same| same == fine);
            Some(lit(if is_exact { time } else { fine }))
        }
        (time, fine) => time.or(fine).map(lit),
    }
}

/// Reads `true` and `false`, in any case; other text is not a truth value.
pub(crate) fn truth_of(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Returns whether an operator compares two values.
pub(crate) fn is_comparison(op: Operator) -> bool {
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

/// Returns whether a type holds whole numbers.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_integer(),
        other => other.is_integer(),
    }
}
