//! The hash of an event, which depends on the event alone.
//!
//! An event that has its source text (`raw`) is hashed by it. Every other is hashed by its canonical form: one JSON object of all
//! stored columns, keys sorted, nulls left out. So neither the order of columns, nor how a writer stored them, nor any other row
//! changes it. Partition folders are no part of it: they are where an object lies, not what it holds.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RunArray, UnionArray};
use datafusion::arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    RunEndIndexType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

/// Returns the SHA-256 of a source text.
pub(crate) fn of_raw(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw))
}

/// Returns the SHA-256 of a row's canonical form.
pub(crate) fn of_row(batch: &RecordBatch, row: usize) -> String {
    hex(&Sha256::digest(canonical(batch, row).as_bytes()))
}

/// Returns the source text of a row: the bytes of text or of a binary column.
pub(crate) fn raw_at(array: &dyn Array, row: usize) -> Option<&[u8]> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => Some(array.as_string_view().value(row).as_bytes()),
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            raw_at(dictionary.values().as_ref(), key_at(array, row)?)
        }
        _ => None,
    }
}

fn canonical(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    object(
        names
            .zip(batch.columns())
            .map(|(name, column)| (name, value(column, row))),
    )
}

/// Members by name, and those of one name by value; members that are NULL left out.
fn object(members: impl Iterator<Item = (String, Option<String>)>) -> String {
    let mut members: Vec<(String, String)> = members
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    members.sort();
    let members = members
        .into_iter()
        .map(|(name, value)| format!("{}:{value}", quoted(&name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn list(items: &ArrayRef) -> String {
    let items = (0..items.len()).map(|row| value(items, row).unwrap_or_else(|| "null".to_owned()));
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn bytes(bytes: &[u8]) -> String {
    format!("{{\"bytes\":\"{}\"}}", hex(bytes))
}

fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        quoted(&value.to_string())
    }
}

/// Returns a value's canonical form; nothing for NULL.
fn value(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Null => return None,
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Float16 => number(array.as_primitive::<Float16Type>().value(row).into()),
        DataType::Float32 => {
            // Its own digits, not those of the nearest double.
            let value = array.as_primitive::<Float32Type>().value(row);
            if value.is_finite() {
                value.to_string()
            } else {
                quoted(&value.to_string())
            }
        }
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row)),
        DataType::Timestamp(unit, _) => timestamp(array, *unit, row),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let names = fields.iter().map(|field| field.name().clone());
            object(
                names
                    .zip(columns)
                    .map(|(name, column)| (name, value(column, row))),
            )
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row)),
        DataType::ListView(_) => list(&array.as_list_view::<i32>().value(row)),
        DataType::LargeListView(_) => list(&array.as_list_view::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row)),
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let [keys, values] = entries.columns() else {
                return None;
            };
            object((0..entries.len()).map(|at| (plain(keys, at), value(values, at))))
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            return value(dictionary.values(), key_at(array, row)?);
        }
        DataType::RunEndEncoded(_, _) => {
            return run_value::<Int16Type>(array, row)
                .or_else(|| run_value::<Int32Type>(array, row))
                .or_else(|| run_value::<Int64Type>(array, row));
        }
        DataType::Union(_, _) => {
            let union = array.as_any().downcast_ref::<UnionArray>()?;
            let member = union.child(union.type_id(row));
            return value(member, union.value_offset(row));
        }
        other => match raw_at(array, row) {
            Some(raw) => std::str::from_utf8(raw).map_or_else(|_| bytes(raw), quoted),
            None if other.is_integer() => plain(array, row),
            None if other.is_numeric() => decimal(&plain(array, row)),
            None => quoted(&plain(array, row)),
        },
    })
}

fn run_value<R: RunEndIndexType>(array: &ArrayRef, row: usize) -> Option<String> {
    let runs = array.as_any().downcast_ref::<RunArray<R>>()?;
    value(runs.values(), runs.get_physical_index(row))
}

fn key_at(array: &dyn Array, row: usize) -> Option<usize> {
    let dictionary = array.as_any_dictionary();
    let one = dictionary.keys().slice(row, 1);
    let key = datafusion::arrow::compute::cast(&one, &DataType::UInt64).ok()?;
    let key = key.as_primitive::<datafusion::arrow::datatypes::UInt64Type>();
    usize::try_from(key.is_valid(0).then(|| key.value(0))?).ok()
}

/// Returns a value as Arrow writes it; of text, the text.
fn plain(array: &ArrayRef, row: usize) -> String {
    if let Some(raw) = raw_at(array, row) {
        return String::from_utf8_lossy(raw).into_owned();
    }
    let options = FormatOptions::new().with_display_error(false);
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options);
    let written = formatter.and_then(|formatter| formatter.value(row).try_to_string());
    written.unwrap_or_else(|_| format!("{:?}", array.slice(row, 1)))
}

/// Zeros at the end of a fraction are the column's scale, not the value's.
fn decimal(text: &str) -> String {
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text.to_owned(),
    }
}

/// Returns the moment in UTC, the same for every unit and zone in which it is stored.
fn timestamp(array: &ArrayRef, unit: TimeUnit, row: usize) -> String {
    let (value, per_second) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
        TimeUnit::Millisecond => (
            array.as_primitive::<TimestampMillisecondType>().value(row),
            1_000,
        ),
        TimeUnit::Microsecond => (
            array.as_primitive::<TimestampMicrosecondType>().value(row),
            1_000_000,
        ),
        TimeUnit::Nanosecond => (
            array.as_primitive::<TimestampNanosecondType>().value(row),
            1_000_000_000,
        ),
    };
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let moment = u32::try_from(nanos)
        .ok()
        .and_then(|nanos| chrono::DateTime::from_timestamp(value.div_euclid(per_second), nanos));
    let Some(moment) = moment else {
        return value.to_string();
    };
    let fraction = format!("{nanos:09}");
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    quoted(&format!(
        "{}{dot}{fraction}Z",
        moment.format("%Y-%m-%dT%H:%M:%S")
    ))
}
