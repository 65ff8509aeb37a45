//! One schema for objects that drift apart: columns are widened, and every two types have one that holds both.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType::Struct;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};

/// Columns of several objects, in the order in which they appeared.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    columns: BTreeMap<String, Field>,
    order: Vec<String>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

impl Merged {
    /// Adds the columns of `footer`, the schema of `object`.
    pub(crate) fn add(&mut self, footer: &Schema, object: &str) {
        for (at, field) in footer.fields().iter().enumerate() {
            let name = field.name();
            if footer.fields()[..at]
                .iter()
                .any(|before| before.name() == name)
            {
                self.notes.push(format!(
                    "{object} has two columns `{name}`: rules see the first alone; give the other another name"
                ));
                continue;
            }
            match self.columns.get_mut(name) {
                None => {
                    self.order.push(name.clone());
                    self.columns.insert(name.clone(), field.as_ref().clone());
                }
                Some(known) => {
                    if known.data_type() != field.data_type() {
                        known.set_data_type(widen(known.data_type(), field.data_type()));
                    }
                }
            }
        }
    }

    /// Returns the columns, and notes of those that are hard to tell apart.
    pub(crate) fn finish(mut self) -> (Schema, Vec<String>) {
        let fields: Fields = self
            .order
            .iter()
            .filter_map(|name| self.columns.remove(name))
            .collect();
        self.notes.extend(differ_in_case(&fields));
        (Schema::new(fields), self.notes)
    }
}

/// Returns a note for all columns whose names differ in case only.
pub(crate) fn differ_in_case(fields: &Fields) -> Vec<String> {
    let mut same: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for field in fields {
        let names = same.entry(field.name().to_lowercase()).or_default();
        names.push(field.name());
    }
    let several = same.into_values().filter(|names| names.len() > 1);
    let notes = several.map(|names| {
        format!(
            "the names of the columns {} differ in case only: a rule reads the one that it writes exactly so",
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )
    });
    notes.collect()
}

/// Returns the narrowest type that holds the values of both: text where no other does.
pub(crate) fn widen(a: &DataType, b: &DataType) -> DataType {
    use DataType::{
        Binary, Dictionary, Float64, Int64, List, Map, Null, RunEndEncoded, Timestamp, Utf8,
    };
    if a == b {
        return a.clone();
    }
    match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (Dictionary(_, value), other) | (other, Dictionary(_, value)) => widen(value, other),
        (RunEndEncoded(_, value), other) | (other, RunEndEncoded(_, value)) => {
            widen(value.data_type(), other)
        }
        (Struct(left), Struct(right)) => Struct(widen_fields(left, right)),
        (Map(left, is_sorted), Map(right, other_sorted)) => match widen_entries(left, right) {
            Some(entries) => Map(entries, *is_sorted && *other_sorted),
            None => Utf8,
        },
        (Timestamp(_, zone), Timestamp(_, other)) => Timestamp(
            TimeUnit::Microsecond,
            zone.clone().or_else(|| other.clone()),
        ),
        (a, b) if is_bytes(a) && is_bytes(b) => Binary,
        // Not every 64-bit unsigned integer fits in 63 bits.
        (a, b) if a.is_integer() && b.is_integer() => {
            if *a == DataType::UInt64 || *b == DataType::UInt64 {
                DataType::Decimal128(20, 0)
            } else {
                Int64
            }
        }
        (a, b) if a.is_numeric() && b.is_numeric() && (a.is_floating() || b.is_floating()) => {
            Float64
        }
        (a, b) => match (items(a), items(b)) {
            (Some(left), Some(right)) => List(widen_field(left, right)),
            _ => decimal(a, b).unwrap_or(Utf8),
        },
    }
}

/// Returns the decimal that holds two numbers that are not floating.
fn decimal(a: &DataType, b: &DataType) -> Option<DataType> {
    let digits = |data_type: &DataType| match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision), i16::from(*scale)))
        }
        other if other.is_integer() => Some((20, 0)),
        _ => None,
    };
    let ((left, left_scale), (right, right_scale)) = (digits(a)?, digits(b)?);
    let scale = left_scale.max(right_scale);
    let whole = (left - left_scale).max(right - right_scale);
    let precision = u8::try_from(whole.saturating_add(scale)).ok()?;
    let scale = i8::try_from(scale).ok()?;
    match precision {
        0..=38 => Some(DataType::Decimal128(precision.max(1), scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

fn items(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

fn widen_field(left: &FieldRef, right: &FieldRef) -> FieldRef {
    let wider = widen(left.data_type(), right.data_type());
    let is_nullable = left.is_nullable() || right.is_nullable();
    Arc::new(
        left.as_ref()
            .clone()
            .with_data_type(wider)
            .with_nullable(is_nullable),
    )
}

/// Keys and values go by their place, not by their names.
fn widen_entries(left: &FieldRef, right: &FieldRef) -> Option<FieldRef> {
    let (Struct(one), Struct(other)) = (left.data_type(), right.data_type()) else {
        return None;
    };
    let ([key, value], [other_key, other_value]) = (&one[..], &other[..]) else {
        return None;
    };
    let key = widen_field(key, other_key)
        .as_ref()
        .clone()
        .with_nullable(false);
    let value = widen_field(value, other_value)
        .as_ref()
        .clone()
        .with_nullable(true);
    let entries = Struct(vec![key, value].into());
    Some(Arc::new(left.as_ref().clone().with_data_type(entries)))
}

fn widen_fields(left: &Fields, right: &Fields) -> Fields {
    let mut fields: Vec<Field> = left.iter().map(|field| field.as_ref().clone()).collect();
    for other in right {
        match fields.iter_mut().find(|field| field.name() == other.name()) {
            Some(field) => {
                let wider = widen(field.data_type(), other.data_type());
                field.set_data_type(wider);
            }
            None => fields.push(other.as_ref().clone()),
        }
    }
    for field in &mut fields {
        field.set_nullable(true);
    }
    fields.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(types: &[DataType]) -> DataType {
        let mut all = Merged::default();
        for (index, data_type) in types.iter().enumerate() {
            let schema = Schema::new(vec![Field::new("c", data_type.clone(), true)]);
            all.add(&schema, &format!("{index}.parquet"));
        }
        all.finish().0.field(0).data_type().clone()
    }

    #[test]
    fn columns_widen_without_losing_values() {
        use DataType::{
            Binary, Boolean, Decimal128, FixedSizeBinary, Float32, Float64, Int8, Int32, Int64,
            LargeBinary, List, Struct, UInt64, Utf8,
        };
        assert_eq!(merged(&[Int8, Int32]), Int64);
        assert_eq!(merged(&[Int64, UInt64]), Decimal128(20, 0));
        assert_eq!(merged(&[Int64, Float32]), Float64);
        assert_eq!(merged(&[Int64, Utf8]), Utf8);
        assert_eq!(merged(&[Boolean, Int64]), Utf8);
        assert_eq!(merged(&[Binary, LargeBinary]), Binary);
        assert_eq!(merged(&[Binary, Utf8]), Utf8);
        assert_eq!(merged(&[FixedSizeBinary(16), Utf8]), Utf8);
        assert_eq!(
            merged(&[Decimal128(9, 2), Decimal128(9, 4)]),
            Decimal128(11, 4)
        );
        assert_eq!(merged(&[Decimal128(9, 2), Int64]), Decimal128(22, 2));
        let item = |data_type: DataType| Arc::new(Field::new("item", data_type, true));
        assert_eq!(merged(&[Int64, List(item(Int64))]), Utf8);
        assert_eq!(
            merged(&[List(item(Int64)), DataType::LargeList(item(Utf8))]),
            List(item(Utf8))
        );
        let one = |name: &str, data_type| Struct(vec![Field::new(name, data_type, true)].into());
        assert_eq!(merged(&[one("a", Int64), Utf8]), Utf8);
        assert_eq!(
            merged(&[List(item(one("a", Int64))), List(item(one("b", Utf8)))]),
            List(item(Struct(
                vec![Field::new("a", Int64, true), Field::new("b", Utf8, true)].into()
            )))
        );
    }

    #[test]
    fn names_that_are_hard_to_tell_apart_are_noted() {
        let mut all = Merged::default();
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        all.add(
            &Schema::new(vec![field("User"), field("a"), field("a")]),
            "one",
        );
        all.add(&Schema::new(vec![field("user")]), "two");
        let (schema, notes) = all.finish();
        assert_eq!(schema.fields().len(), 3);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("one has two columns `a`"), "{notes:?}");
        assert!(notes[1].contains("`User`, `user`"), "{notes:?}");
    }
}
