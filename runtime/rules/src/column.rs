//! Arrow arrays as the byte columns that plugins receive.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, GenericByteViewArray, MAX_INLINE_VIEW_LEN,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ByteViewType, DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

pub use crate::text::{not_utf8, render_text};

/// The types of the plugin contract (`data-type` in `wit/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PluginType {
    /// One bit a row.
    Boolean,
    /// Integers of every width; unsigned ones must fit in 63 bits.
    Int64,
    /// Floats of every width.
    Float64,
    /// Timestamps of every unit and zone, and dates, as microseconds in UTC.
    TimestampMicros,
    /// Text; decimals, times of day, durations and unions as text; structs, lists and maps as JSON text.
    Utf8,
    /// Bytes.
    Binary,
}

/// A column as a plugin receives it: little-endian, rows from zero.
#[derive(Debug, Clone)]
pub struct PluginColumn {
    /// One bit a row, least significant first, 1 for a value; empty when every row has one.
    pub validity: Buffer,
    /// `rows + 1` unsigned 32-bit offsets, from zero, for text and bytes; empty for fixed widths.
    pub offsets: Buffer,
    /// The values.
    pub values: Buffer,
}

/// Why an array cannot be handed to a plugin.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The type has no form in the contract.
    #[error("a value of type {0} cannot be handed to a plugin")]
    Unsupported(DataType),
    /// A value does not fit: an unsigned integer above 2^63 - 1, a time outside the range of 64-bit microseconds.
    #[error("a value does not fit the type that plugins receive")]
    Value(#[from] ArrowError),
}

impl PluginType {
    /// Returns the type in which values of `data_type` reach a plugin.
    ///
    /// # Errors
    /// None at present: every type has a form.
    pub fn of(data_type: &DataType) -> Result<Self, ColumnError> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean,
            other if other.is_integer() => Self::Int64,
            other if other.is_floating() => Self::Float64,
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
                Self::TimestampMicros
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Binary,
            DataType::Dictionary(_, value) => Self::of(value)?,
            DataType::RunEndEncoded(_, value) => Self::of(value.data_type())?,
            _ => Self::Utf8,
        })
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::TimestampMicros => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Utf8 => DataType::Utf8,
            Self::Binary => DataType::Binary,
        }
    }
}

/// Converts an array to the column that a plugin receives. Arrays that already have the layout are not copied.
///
/// # Errors
/// [`ColumnError`]: a value that does not fit is an error, never another value.
pub fn project(array: &ArrayRef) -> Result<PluginColumn, ColumnError> {
    match array.data_type() {
        DataType::Utf8View => return project_views(array.as_string_view()),
        DataType::BinaryView => return project_views(array.as_binary_view()),
        _ => {}
    }
    let plugin_type = PluginType::of(array.data_type())?;
    let array = if is_nested(array.data_type()) {
        render_text(array)?
    } else {
        strict_cast(array, &plugin_type.arrow())?
    };
    let validity = validity(&array);
    let (offsets, values) = match plugin_type {
        PluginType::Boolean => (Buffer::default(), bits(array.as_boolean().values())),
        PluginType::Int64 => (
            Buffer::default(),
            array.as_primitive::<Int64Type>().values().inner().clone(),
        ),
        PluginType::Float64 => (
            Buffer::default(),
            array.as_primitive::<Float64Type>().values().inner().clone(),
        ),
        PluginType::TimestampMicros => (
            Buffer::default(),
            array
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .inner()
                .clone(),
        ),
        PluginType::Utf8 => {
            let text = array.as_string::<i32>();
            rebase(
                text.value_offsets(),
                text.offsets().inner().inner(),
                text.values(),
            )
        }
        PluginType::Binary => {
            let bytes = array.as_binary::<i32>();
            rebase(
                bytes.value_offsets(),
                bytes.offsets().inner().inner(),
                bytes.values(),
            )
        }
    };
    Ok(PluginColumn {
        validity,
        offsets,
        values,
    })
}

fn validity(array: &dyn Array) -> Buffer {
    match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => bits(nulls.inner()),
        _ => Buffer::default(),
    }
}

/// Gathers views, in which DataFusion reads text from Parquet; as Arrow's cast does, in less time.
#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths are 32 bits of a view; their sum is checked"
)]
fn project_views<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
) -> Result<PluginColumn, ColumnError> {
    const SHORT: usize = MAX_INLINE_VIEW_LEN as usize;
    let length = |view: u128| view as u32 as usize;
    let total: usize = array.views().iter().map(|view| length(*view)).sum();
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total).into());
    }
    let mut offsets: Vec<i32> = Vec::with_capacity(array.len() + 1);
    let mut values = vec![0; total + SHORT];
    let mut end = 0;
    offsets.push(0);
    for (row, view) in array.views().iter().enumerate() {
        if array.is_valid(row) {
            let length = length(*view);
            if length <= SHORT {
                // The value lies in the view. All of its room is copied, which takes two instructions and not a call; the
                // next value overwrites what is too much.
                values[end..end + SHORT].copy_from_slice(&view.to_le_bytes()[4..]);
            } else {
                values[end..end + length].copy_from_slice(array.value(row).as_ref());
            }
            end += length;
        }
        offsets.push(end as i32);
    }
    values.truncate(end);
    Ok(PluginColumn {
        validity: validity(array),
        offsets: Buffer::from_vec(offsets),
        values: Buffer::from_vec(values),
    })
}

/// Slices keep their parent's offsets: plugins get offsets from zero and only the bytes they point at.
fn rebase(offsets: &[i32], buffer: &Buffer, values: &Buffer) -> (Buffer, Buffer) {
    let first = offsets.first().copied().unwrap_or_default();
    let last = offsets.last().copied().unwrap_or_default();
    let (Ok(start), Ok(end)) = (usize::try_from(first), usize::try_from(last)) else {
        // Arrow guarantees offsets that are not negative.
        return (buffer.clone(), values.clone());
    };
    let values = values.slice_with_length(start, end - start);
    if first == 0 {
        (buffer.clone(), values)
    } else {
        let moved: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
        (Buffer::from_vec(moved), values)
    }
}

/// Bits from bit zero of the first byte on.
fn bits(bits: &BooleanBuffer) -> Buffer {
    if bits.offset() == 0 {
        bits.inner().slice_with_length(0, bits.len().div_ceil(8))
    } else {
        bits.sliced()
    }
}

fn is_nested(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_nested(value),
        other => other.is_nested() && !matches!(other, DataType::RunEndEncoded(_, _)),
    }
}

pub(crate) fn strict_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    // Arrow casts a zoned timestamp to one without a zone by its local time; what is stored is UTC, and stays.
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) if matches!(to, DataType::Timestamp(_, None)) => {
            let without_zone = array
                .to_data()
                .into_builder()
                .data_type(DataType::Timestamp(*unit, None))
                .build()?;
            cast_with_options(&arrow::array::make_array(without_zone), to, &strict)
        }
        _ => cast_with_options(array, to, &strict),
    }
}

/// Returns which rows are true; NULL counts as false, as in SQL's `WHERE`.
pub fn true_rows(mask: &BooleanArray) -> BooleanBuffer {
    match mask.nulls() {
        Some(nulls) => mask.values() & NullBuffer::inner(nulls),
        None => mask.values().clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::{Field, Int8Type, Int32Type};

    fn i64s(column: &PluginColumn) -> Vec<i64> {
        column
            .values
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b))
            .collect()
    }

    fn texts(column: &PluginColumn) -> Vec<&str> {
        let offsets: Vec<usize> = column
            .offsets
            .as_chunks()
            .0
            .iter()
            .map(|b| u32::from_le_bytes(*b) as usize)
            .collect();
        offsets
            .windows(2)
            .map(|w| std::str::from_utf8(&column.values[w[0]..w[1]]).unwrap())
            .collect()
    }

    fn of(array: impl Array + 'static) -> PluginColumn {
        project(&(Arc::new(array) as ArrayRef)).unwrap()
    }

    #[test]
    fn integers_of_every_width_become_64_bits() {
        assert_eq!(i64s(&of(Int8Array::from(vec![-1, 2]))), [-1, 2]);
        assert_eq!(i64s(&of(UInt16Array::from(vec![65_535]))), [65_535]);
        assert_eq!(
            i64s(&of(UInt32Array::from(vec![u32::MAX]))),
            [4_294_967_295]
        );
        assert_eq!(i64s(&of(UInt64Array::from(vec![7]))), [7]);
        let too_large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(matches!(project(&too_large), Err(ColumnError::Value(_))));
    }

    #[test]
    fn times_of_every_unit_and_zone_become_microseconds_in_utc() {
        assert_eq!(i64s(&of(TimestampSecondArray::from(vec![1]))), [1_000_000]);
        assert_eq!(i64s(&of(TimestampNanosecondArray::from(vec![1_500]))), [1]);
        let zoned = TimestampMillisecondArray::from(vec![3]).with_timezone("+09:00");
        assert_eq!(i64s(&of(zoned)), [3_000]);
        assert_eq!(i64s(&of(Date32Array::from(vec![1]))), [86_400_000_000]);
        let absurd: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        assert!(project(&absurd).is_err());
    }

    #[test]
    fn text_of_every_layout_looks_the_same() {
        let want = ["alpha", "", "a text longer than twelve bytes"];
        let dictionary: DictionaryArray<Int8Type> = want.into_iter().collect();
        for array in [
            Arc::new(StringArray::from(want.to_vec())) as ArrayRef,
            Arc::new(LargeStringArray::from(want.to_vec())),
            Arc::new(StringViewArray::from(want.to_vec())),
            Arc::new(dictionary),
        ] {
            assert_eq!(
                texts(&project(&array).unwrap()),
                want,
                "{}",
                array.data_type()
            );
            let sliced = project(&array.slice(1, 2)).unwrap();
            assert_eq!(texts(&sliced), want[1..], "{}", array.data_type());
        }
    }

    #[test]
    fn views_are_gathered_as_arrow_casts_them() {
        let all = "twelve bytes, and on";
        let values = (0..200).map(|row: usize| match row % 7 {
            0 => None,
            n => Some(&all[..(n * 5 + row) % (all.len() + 1)]),
        });
        let text = StringViewArray::from_iter(values);
        for (from, length) in [(0, 200), (1, 150), (77, 1), (13, 0)] {
            let views: ArrayRef = Arc::new(text.slice(from, length));
            let cast = arrow::compute::cast(&views, &DataType::Utf8).unwrap();
            let binary = arrow::compute::cast(&views, &DataType::BinaryView).unwrap();
            let wanted = project(&cast).unwrap();
            for column in [project(&views).unwrap(), project(&binary).unwrap()] {
                assert_eq!(column.offsets, wanted.offsets);
                assert_eq!(column.values, wanted.values);
                assert_eq!(column.validity, wanted.validity);
            }
        }
        // A view may point at any bytes where it is NULL: they are not handed over.
        let (views, buffers, _) = text.slice(1, 2).into_parts();
        let hidden = StringViewArray::new(views, buffers, Some(vec![false, true].into()));
        let column = of(hidden);
        assert_eq!(texts(&column), ["", text.value(2)]);
        assert_eq!(column.values.len(), text.value(2).len());
    }

    #[test]
    fn slices_start_at_bit_zero() {
        let flags = BooleanArray::from(vec![Some(true), None, Some(true), Some(false), None]);
        let sliced: ArrayRef = Arc::new(flags.slice(1, 4));
        let column = project(&sliced).unwrap();
        assert_eq!(column.validity.as_slice()[0] & 0b1111, 0b0110);
        assert_eq!(column.values.as_slice()[0] & 0b0110, 0b0010);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]).slice(1, 2));
        assert_eq!(i64s(&project(&numbers).unwrap()), [2, 3]);
        assert!(project(&numbers).unwrap().validity.is_empty());
    }

    #[test]
    fn nested_values_become_json() {
        let mut list = ListBuilder::new(Int32Builder::new());
        list.append_value([Some(1), None]);
        list.append_null();
        let column = of(list.finish());
        assert_eq!(texts(&column), ["[1,null]", ""]);
        assert_eq!(column.validity.as_slice()[0] & 3, 1);
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(5);
        map.append(true).unwrap();
        assert_eq!(texts(&of(map.finish())), [r#"{"k":5}"#]);
        let fields = vec![Field::new("a", DataType::Utf8, true)];
        let inner: ArrayRef = Arc::new(StringArray::from(vec!["\"q\""]));
        let column = of(StructArray::new(fields.into(), vec![inner], None));
        assert_eq!(texts(&column), [r#"{"a":"\"q\""}"#]);
    }

    #[test]
    fn the_rest_is_text_or_bytes() {
        let decimal = Decimal128Array::from(vec![12_345])
            .with_precision_and_scale(9, 2)
            .unwrap();
        assert_eq!(texts(&of(decimal)), ["123.45"]);
        assert_eq!(
            of(BinaryViewArray::from(vec![&b"\xff\x00"[..]]))
                .values
                .as_slice(),
            b"\xff\x00"
        );
        assert_eq!(texts(&of(NullArray::new(2))), ["", ""]);
        let halves = Float32Array::from(vec![0.5]);
        assert_eq!(of(halves).values.as_slice(), 0.5f64.to_le_bytes());
        let runs = RunArray::<Int32Type>::try_new(
            &Int32Array::from(vec![2, 3]),
            &StringArray::from(vec!["x", "y"]),
        );
        assert_eq!(texts(&of(runs.unwrap())), ["x", "x", "y"]);
    }
}
