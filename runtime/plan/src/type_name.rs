//! Types of columns, as a reader calls them.

use datafusion::arrow::datatypes::DataType;

/// Returns what a reader calls a type.
pub fn plain_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::Null => "nothing",
        DataType::Boolean => "true/false",
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => "time",
        DataType::Time32(_) | DataType::Time64(_) => "time of day",
        DataType::Duration(_) | DataType::Interval(_) => "duration",
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => "object",
        other if other.is_integer() => "integer",
        other if other.is_numeric() => "number",
        other if other.is_string() => "text",
        other if other.is_list() => "list",
        _ => "binary",
    }
}
