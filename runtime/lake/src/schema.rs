//! One schema for objects that drift apart: columns are widened, never lost.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

/// Two objects hold values of one column that no common type can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConflict {
    column: String,
    first: (String, DataType),
    second: (String, DataType),
}

impl fmt::Display for SchemaConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first_object, first_type) = &self.first;
        let (second_object, second_type) = &self.second;
        write!(
            f,
            "column `{}` is {first_type} in {first_object} and {second_type} in {second_object}",
            self.column
        )
    }
}

/// Adds the columns of `footer`, the schema of `object`, to `merged`; `order` keeps the columns as they appeared.
pub(crate) fn merge(
    merged: &mut BTreeMap<String, (Field, String)>,
    order: &mut Vec<String>,
    footer: &Schema,
    object: &str,
) -> Result<(), SchemaConflict> {
    for field in footer.fields() {
        match merged.get_mut(field.name()) {
            None => {
                order.push(field.name().clone());
                let entry = (field.as_ref().clone(), object.to_owned());
                merged.insert(field.name().clone(), entry);
            }
            Some((known, _)) if known.data_type() == field.data_type() => {}
            Some((known, first)) => match widen(known.data_type(), field.data_type()) {
                Some(wider) => known.set_data_type(wider),
                None => {
                    return Err(SchemaConflict {
                        column: field.name().clone(),
                        first: (first.clone(), known.data_type().clone()),
                        second: (object.to_owned(), field.data_type().clone()),
                    });
                }
            },
        }
    }
    Ok(())
}

/// Returns the narrowest type that holds the values of both, or nothing.
fn widen(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Dictionary, Float64, Int64, Null, Struct, Timestamp, Utf8};
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (Dictionary(_, value), other) | (other, Dictionary(_, value)) => widen(value, other)?,
        (Struct(left), Struct(right)) => Struct(widen_fields(left, right)?),
        (Timestamp(_, zone), Timestamp(_, other)) => Timestamp(
            TimeUnit::Microsecond,
            zone.clone().or_else(|| other.clone()),
        ),
        // Not every 64-bit unsigned integer fits in 63 bits: the text of the number does.
        (a, b) if a.is_integer() && b.is_integer() => {
            if *a == DataType::UInt64 || *b == DataType::UInt64 {
                Decimal128(20, 0)
            } else {
                Int64
            }
        }
        (a, b) if a.is_numeric() && b.is_numeric() && (a.is_floating() || b.is_floating()) => {
            Float64
        }
        (a, b) if is_scalar(a) && is_scalar(b) => Utf8,
        _ => return None,
    })
}

fn widen_fields(left: &Fields, right: &Fields) -> Option<Fields> {
    let mut fields: Vec<Field> = left.iter().map(|field| field.as_ref().clone()).collect();
    for other in right {
        match fields.iter_mut().find(|field| field.name() == other.name()) {
            Some(field) => {
                let wider = widen(field.data_type(), other.data_type())?;
                field.set_data_type(wider);
            }
            None => fields.push(other.as_ref().clone()),
        }
    }
    for field in &mut fields {
        field.set_nullable(true);
    }
    Some(fields.into())
}

fn is_scalar(data_type: &DataType) -> bool {
    data_type.is_primitive() || data_type.is_string() || *data_type == DataType::Boolean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(types: &[DataType]) -> Result<DataType, String> {
        let mut all = BTreeMap::new();
        let mut order = Vec::new();
        for (index, data_type) in types.iter().enumerate() {
            let schema = Schema::new(vec![Field::new("c", data_type.clone(), true)]);
            merge(&mut all, &mut order, &schema, &format!("{index}.parquet"))
                .map_err(|conflict| conflict.to_string())?;
        }
        Ok(all["c"].0.data_type().clone())
    }

    #[test]
    fn columns_widen_without_losing_values() {
        use DataType::{Boolean, Float32, Float64, Int8, Int32, Int64, List, UInt64, Utf8};
        assert_eq!(merged(&[Int8, Int32]), Ok(Int64));
        assert_eq!(merged(&[Int64, UInt64]), Ok(DataType::Decimal128(20, 0)));
        assert_eq!(merged(&[Int64, Float32]), Ok(Float64));
        assert_eq!(merged(&[Int64, Utf8]), Ok(Utf8));
        assert_eq!(merged(&[Boolean, Int64]), Ok(Utf8));
        let list = List(Field::new("item", Int64, true).into());
        assert_eq!(
            merged(&[Int64, list]).unwrap_err(),
            "column `c` is Int64 in 0.parquet and List(Int64) in 1.parquet"
        );
    }
}
