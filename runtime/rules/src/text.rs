//! Values of every Arrow type as text. Nothing here fails because of a type or of one value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericByteArray, GenericByteViewArray, RunArray, StringArray,
    StringBuilder, UInt64Array, UnionArray, make_array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{
    ByteArrayType, ByteViewType, DataType, Field, FieldRef, Int16Type, Int32Type, Int64Type,
    RunEndIndexType,
};
use arrow::error::ArrowError;
use arrow::json::EncoderOptions;
use arrow::json::writer::{Encoder, EncoderFactory, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::column::strict_cast;

/// Renders every value as text, whatever the type:
///
/// * text as it is; bytes as UTF-8, with U+FFFD in place of what is not UTF-8;
/// * 16 bytes of fixed size as a UUID, other fixed sizes as hexadecimal digits;
/// * structs, lists and maps as JSON, without the null fields of structs;
/// * a time in a zone that only a name describes in UTC; a date or time that no calendar has as its number;
/// * a union's value as the member that it is; the rest as Arrow writes it.
///
/// # Errors
/// When the texts of one array are more than 2 GiB.
pub fn render_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8 => Ok(Arc::clone(array)),
        DataType::LargeUtf8 | DataType::Utf8View => strict_cast(array, &DataType::Utf8),
        DataType::Null => Ok(new_null_array(&DataType::Utf8, array.len())),
        DataType::Binary => Ok(bytes_text(array.as_binary::<i32>())),
        DataType::LargeBinary => Ok(bytes_text(array.as_binary::<i64>())),
        DataType::BinaryView => Ok(views_text(array.as_binary_view())),
        DataType::FixedSizeBinary(_) => Ok(fixed_text(array)),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            take(&render_text(dictionary.values())?, dictionary.keys(), None)
        }
        DataType::RunEndEncoded(_, _) => runs_text(array),
        DataType::Union(_, _) => match array.as_any().downcast_ref::<UnionArray>() {
            Some(union) => union_text(union),
            None => formatted(array),
        },
        other if other.is_nested() => json_text(array),
        _ => match strict_cast(array, &DataType::Utf8) {
            Ok(texts) => Ok(texts),
            Err(_) => formatted(array),
        },
    }
}

/// Returns how many values of an array of bytes, or of a dictionary of bytes, are not UTF-8; none of other types.
pub fn not_utf8(array: &dyn Array) -> usize {
    fn count<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> usize {
        let wrong = |bytes: &&[u8]| std::str::from_utf8(bytes).is_err();
        values.flatten().filter(wrong).count()
    }
    match array.data_type() {
        DataType::Binary => count(array.as_binary::<i32>().iter()),
        DataType::LargeBinary => count(array.as_binary::<i64>().iter()),
        DataType::BinaryView => count(array.as_binary_view().iter()),
        DataType::Dictionary(_, value) if value.is_binary() => {
            let dictionary = array.as_any_dictionary();
            if not_utf8(dictionary.values()) == 0 || dictionary.values().is_empty() {
                return 0;
            }
            let rows = take(dictionary.values(), dictionary.keys(), None);
            rows.map_or(0, |rows| not_utf8(&rows))
        }
        _ => 0,
    }
}

fn texts(values: impl Iterator<Item = Option<impl AsRef<str>>>) -> ArrayRef {
    let mut texts = StringBuilder::with_capacity(values.size_hint().0, 0);
    for value in values {
        texts.append_option(value);
    }
    Arc::new(texts.finish())
}

fn bytes_text<T: ByteArrayType<Native = [u8]>>(array: &GenericByteArray<T>) -> ArrayRef {
    texts(array.iter().map(|value| value.map(String::from_utf8_lossy)))
}

fn views_text<T: ByteViewType<Native = [u8]>>(array: &GenericByteViewArray<T>) -> ArrayRef {
    texts(array.iter().map(|value| value.map(String::from_utf8_lossy)))
}

fn fixed_text(array: &ArrayRef) -> ArrayRef {
    texts(
        array
            .as_fixed_size_binary()
            .iter()
            .map(|value| value.map(hexadecimal)),
    )
}

/// Sixteen bytes are what a UUID has; nothing in the type says whether they are one.
fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2 + 4);
    for (at, byte) in bytes.iter().enumerate() {
        if bytes.len() == 16 && matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn runs_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    fn of<R: RunEndIndexType>(array: &ArrayRef) -> Option<Result<ArrayRef, ArrowError>> {
        let runs = array.as_any().downcast_ref::<RunArray<R>>()?;
        let number = |row| u64::try_from(runs.get_physical_index(row)).unwrap_or(u64::MAX);
        let at: UInt64Array = (0..runs.len()).map(number).collect();
        Some(render_text(runs.values()).and_then(|values| take(&values, &at, None)))
    }
    of::<Int16Type>(array)
        .or_else(|| of::<Int32Type>(array))
        .or_else(|| of::<Int64Type>(array))
        .unwrap_or_else(|| formatted(array))
}

fn union_text(union: &UnionArray) -> Result<ArrayRef, ArrowError> {
    let DataType::Union(fields, _) = union.data_type() else {
        return Ok(new_null_array(&DataType::Utf8, union.len()));
    };
    let mut members = Vec::with_capacity(fields.len());
    for (id, _) in fields.iter() {
        members.push((id, render_text(union.child(id))?));
    }
    let value = |row: usize| {
        let id = union.type_id(row);
        let member = members
            .iter()
            .find(|(known, _)| *known == id)?
            .1
            .as_string::<i32>();
        let at = union.value_offset(row);
        member.is_valid(at).then(|| member.value(at))
    };
    Ok(texts((0..union.len()).map(value)))
}

/// Writes value by value, so that one that cannot be written costs no other.
fn formatted(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::new().with_display_error(false);
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options);
    let formatter = match (&formatter, array.data_type()) {
        (Ok(formatter), _) => Some(formatter),
        // A zone of which only the name is known: the stored value is UTC.
        (Err(_), DataType::Timestamp(unit, Some(zone))) if &**zone != "+00:00" => {
            return render_text(&with_type(
                array,
                DataType::Timestamp(*unit, Some("+00:00".into())),
            )?);
        }
        (Err(_), _) => None,
    };
    let number = number_of(array);
    let value = |row: usize| {
        if array.is_null(row) {
            return None;
        }
        let written = formatter.and_then(|formatter| formatter.value(row).try_to_string().ok());
        Some(written.unwrap_or_else(|| match &number {
            Some(numbers) => numbers.value(row).to_owned(),
            None => format!("{:?}", array.slice(row, 1)),
        }))
    };
    Ok(texts((0..array.len()).map(value)))
}

/// Returns the same values under a type with the same layout.
fn with_type(array: &ArrayRef, data_type: DataType) -> Result<ArrayRef, ArrowError> {
    Ok(make_array(
        array
            .to_data()
            .into_builder()
            .data_type(data_type)
            .build()?,
    ))
}

/// Returns the numbers by which times are stored, as text.
fn number_of(array: &ArrayRef) -> Option<StringArray> {
    let integer = match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => DataType::Int32,
        DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_) => DataType::Int64,
        _ => return None,
    };
    let numbers = cast(&with_type(array, integer).ok()?, &DataType::Utf8).ok()?;
    Some(numbers.as_string::<i32>().clone())
}

fn json_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let field = Arc::new(Field::new("value", array.data_type().clone(), true));
    let rows = json_rows(&field, array)?;
    Ok(texts(rows.into_iter()))
}

/// Returns each value as JSON; nothing for null.
fn json_rows(field: &FieldRef, array: &ArrayRef) -> Result<Vec<Option<String>>, ArrowError> {
    let options = EncoderOptions::default().with_encoder_factory(Arc::new(EveryType));
    let mut encoder = make_encoder(field, array, &options)?;
    let mut rows = Vec::with_capacity(array.len());
    let mut text = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            rows.push(None);
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        rows.push(Some(String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(rows)
}

/// Writes what Arrow's encoder of JSON refuses, or writes otherwise than a column of that type is rendered.
#[derive(Debug)]
struct EveryType;

impl EncoderFactory for EveryType {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let rows: Vec<Option<String>> = match array.data_type() {
            DataType::Map(entries, _) if !is_plain_map(entries) => map_rows(array, entries)?,
            other if is_written_as_text(other) => {
                let texts = render_text(&make_array(array.to_data()))?;
                let texts = texts.as_string::<i32>().iter();
                texts.map(|text| text.map(quoted)).collect()
            }
            _ => return Ok(None),
        };
        let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
        let rows = rows.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Some(NullableEncoder::new(
            Box::new(WrittenJson(rows)),
            Some(nulls),
        )))
    }
}

fn is_written_as_text(data_type: &DataType) -> bool {
    data_type.is_binary()
        || data_type.is_temporal()
        || matches!(
            data_type,
            DataType::FixedSizeBinary(_) | DataType::Union(_, _)
        )
}

/// Arrow's encoder takes these keys.
fn is_plain_map(entries: &FieldRef) -> bool {
    let DataType::Struct(fields) = entries.data_type() else {
        return false;
    };
    fields
        .first()
        .is_some_and(|key| key.data_type().is_string())
}

fn map_rows(array: &dyn Array, entries: &FieldRef) -> Result<Vec<Option<String>>, ArrowError> {
    let map = array.as_map();
    let keys = render_text(map.keys())?;
    let keys = keys.as_string::<i32>();
    let value = match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Arc::clone(&fields[1]),
        _ => Arc::new(Field::new("value", map.values().data_type().clone(), true)),
    };
    let values = json_rows(&value, map.values())?;
    let row = |row: usize| {
        if map.is_null(row) {
            return None;
        }
        let (from, to) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
        let range = usize::try_from(from).ok()?..usize::try_from(to).ok()?;
        let members = range.map(|at| {
            let value = values.get(at).and_then(Option::as_deref).unwrap_or("null");
            let key = if keys.is_valid(at) {
                keys.value(at)
            } else {
                ""
            };
            format!("{}:{value}", quoted(key))
        });
        Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    };
    Ok((0..map.len()).map(row).collect())
}

fn quoted(text: impl AsRef<str>) -> String {
    serde_json::Value::from(text.as_ref()).to_string()
}

/// JSON that is written already.
struct WrittenJson(Vec<String>);

impl Encoder for WrittenJson {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0[row].as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::*;
    use arrow::buffer::{OffsetBuffer, ScalarBuffer};
    use arrow::datatypes::*;

    use super::*;

    fn text_of(array: impl Array + 'static) -> Vec<Option<String>> {
        let array: ArrayRef = Arc::new(array);
        let texts = render_text(&array).unwrap();
        assert_eq!(texts.len(), array.len());
        let texts = texts.as_string::<i32>().iter();
        texts.map(|text| text.map(str::to_owned)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn bytes_are_text_with_a_mark_where_they_are_none() {
        let values = [Some(&b"ab"[..]), Some(b"a\xffb"), None];
        let wanted = [some("ab"), some("a\u{fffd}b"), None];
        assert_eq!(text_of(BinaryArray::from_iter(values)), wanted);
        assert_eq!(text_of(LargeBinaryArray::from_iter(values)), wanted);
        assert_eq!(text_of(BinaryViewArray::from_iter(values)), wanted);
        let keys = Int8Array::from(vec![1, 0, 2]);
        let dictionary = DictionaryArray::new(keys, Arc::new(BinaryArray::from_iter(values)));
        assert_eq!(not_utf8(&dictionary), 1);
        assert_eq!(text_of(dictionary), [some("a\u{fffd}b"), some("ab"), None]);
        assert_eq!(not_utf8(&BinaryArray::from_iter(values)), 1);
        assert_eq!(not_utf8(&StringArray::from(vec!["x"])), 0);
    }

    #[test]
    fn sixteen_bytes_are_a_uuid_and_others_digits() {
        let id: Vec<u8> = (0..16).collect();
        let ids = FixedSizeBinaryArray::try_from_iter([id].into_iter()).unwrap();
        assert_eq!(text_of(ids), [some("00010203-0405-0607-0809-0a0b0c0d0e0f")]);
        let short = FixedSizeBinaryArray::try_from_iter([vec![255u8, 1]].into_iter()).unwrap();
        assert_eq!(text_of(short), [some("ff01")]);
    }

    #[test]
    fn a_time_that_no_calendar_has_is_its_number() {
        let times = TimestampSecondArray::from(vec![0, i64::MAX]);
        let wanted = [some("1970-01-01T00:00:00"), some("9223372036854775807")];
        assert_eq!(text_of(times.clone()), wanted);
        let named = times.with_timezone("Mars/Base");
        assert_eq!(
            text_of(named),
            [some("1970-01-01T00:00:00Z"), some("9223372036854775807")]
        );
        assert_eq!(text_of(Date32Array::from(vec![i32::MAX])).len(), 1);
        assert_eq!(
            text_of(Time64NanosecondArray::from(vec![i64::MAX, 0]))[1],
            some("00:00:00")
        );
    }

    #[test]
    fn decimals_of_every_width_and_durations_are_text() {
        let d = |array: ArrayRef| {
            render_text(&array)
                .unwrap()
                .as_string::<i32>()
                .value(0)
                .to_owned()
        };
        let wide = Decimal256Array::from(vec![i256::from(12_345)]);
        let of = [
            d(Arc::new(
                Decimal32Array::from(vec![12_345])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            )),
            d(Arc::new(
                Decimal64Array::from(vec![12_345])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            )),
            d(Arc::new(
                Decimal128Array::from(vec![12_345])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            )),
            d(Arc::new(wide.with_precision_and_scale(9, 2).unwrap())),
        ];
        assert_eq!(of, ["123.45"; 4]);
        assert!(!d(Arc::new(DurationSecondArray::from(vec![61]))).is_empty());
        assert!(
            !d(Arc::new(IntervalMonthDayNanoArray::from(vec![
                IntervalMonthDayNano::new(1, 2, 3)
            ])))
            .is_empty()
        );
        assert_eq!(text_of(NullArray::new(2)), [None, None]);
    }

    #[test]
    fn what_is_nested_is_json_with_the_same_text_inside() {
        let item = |data_type: DataType| Arc::new(Field::new("item", data_type, true));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"a\xff"[..], b"b"]));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2]));
        let list = ListArray::new(item(DataType::Binary), offsets, Arc::clone(&bytes), None);
        assert_eq!(text_of(list), [some("[\"a\u{fffd}\",\"b\"]")]);
        let view = ListViewArray::new(
            item(DataType::Binary),
            ScalarBuffer::from(vec![0, 1]),
            ScalarBuffer::from(vec![2, 0]),
            bytes,
            None,
        );
        assert_eq!(text_of(view), [some("[\"a\u{fffd}\",\"b\"]"), some("[]")]);

        let id = FixedSizeBinaryArray::try_from_iter([vec![0u8; 16]].into_iter()).unwrap();
        let time = TimestampSecondArray::from(vec![i64::MAX]);
        let fields: Fields = vec![
            Field::new("id", id.data_type().clone(), true),
            Field::new("at", time.data_type().clone(), true),
            Field::new("n", DataType::Int64, true),
        ]
        .into();
        let number = Int64Array::from(vec![None]);
        let of = StructArray::new(
            fields,
            vec![Arc::new(id), Arc::new(time), Arc::new(number)],
            None,
        );
        assert_eq!(
            text_of(of),
            [some(
                r#"{"id":"00000000-0000-0000-0000-000000000000","at":"9223372036854775807"}"#
            )]
        );

        let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
        map.keys().append_value(7);
        map.values().append_value("x\"");
        map.append(true).unwrap();
        map.append(false).unwrap();
        assert_eq!(text_of(map.finish()), [some(r#"{"7":"x\""}"#), None]);
    }

    #[test]
    fn unions_and_runs_are_the_values_in_them() {
        let mut union = UnionBuilder::new_dense();
        union.append::<Int32Type>("n", 1).unwrap();
        union.append::<Float64Type>("f", 2.5).unwrap();
        union.append_null::<Int32Type>("n").unwrap();
        assert_eq!(
            text_of(union.build().unwrap()),
            [some("1"), some("2.5"), None]
        );
        let runs = RunArray::<Int32Type>::try_new(
            &Int32Array::from(vec![2, 3]),
            &BinaryArray::from(vec![&b"x"[..], b"\xff"]),
        );
        let runs = runs.unwrap();
        assert_eq!(
            text_of(runs.clone()),
            [some("x"), some("x"), some("\u{fffd}")]
        );
        assert_eq!(text_of(runs.slice(1, 2)), [some("x"), some("\u{fffd}")]);
    }

    #[test]
    fn no_type_fails() {
        let item = |data_type: DataType| Arc::new(Field::new("item", data_type, true));
        let pair = |key: DataType, value: DataType| {
            let fields = vec![Field::new("k", key, false), Field::new("v", value, true)];
            Arc::new(Field::new(
                "entries",
                DataType::Struct(fields.into()),
                false,
            ))
        };
        let union = UnionFields::try_new(
            vec![0, 1],
            vec![
                Field::new("a", DataType::Binary, true),
                Field::new("b", DataType::Int8, true),
            ],
        );
        let union = union.unwrap();
        let unit = [
            TimeUnit::Second,
            TimeUnit::Millisecond,
            TimeUnit::Microsecond,
            TimeUnit::Nanosecond,
        ];
        let mut types = vec![
            DataType::Null,
            DataType::Boolean,
            DataType::Int8,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Date32,
            DataType::Date64,
            DataType::Binary,
            DataType::LargeBinary,
            DataType::BinaryView,
            DataType::FixedSizeBinary(16),
            DataType::FixedSizeBinary(4),
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            DataType::Time32(TimeUnit::Second),
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Interval(IntervalUnit::DayTime),
            DataType::Interval(IntervalUnit::YearMonth),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Decimal32(9, 2),
            DataType::Decimal64(18, -2),
            DataType::Decimal128(38, 3),
            DataType::Decimal256(76, 10),
            DataType::Union(union.clone(), UnionMode::Sparse),
            DataType::Union(union, UnionMode::Dense),
        ];
        types.extend(unit.map(DataType::Duration));
        types.extend(unit.map(|unit| DataType::Timestamp(unit, None)));
        types.extend(unit.map(|unit| DataType::Timestamp(unit, Some("Europe/Berlin".into()))));
        let flat = types.clone();
        for inner in flat {
            types.extend([
                DataType::List(item(inner.clone())),
                DataType::LargeList(item(inner.clone())),
                DataType::ListView(item(inner.clone())),
                DataType::LargeListView(item(inner.clone())),
                DataType::FixedSizeList(item(inner.clone()), 2),
                DataType::Struct(vec![Field::new("a", inner.clone(), true)].into()),
            ]);
            if !matches!(inner, DataType::Null | DataType::Union(..)) {
                types.push(DataType::Map(pair(inner.clone(), inner.clone()), false));
            }
            if !matches!(inner, DataType::Union(..)) {
                types.push(DataType::Dictionary(
                    Box::new(DataType::Int8),
                    Box::new(inner),
                ));
            }
        }
        for data_type in types {
            for rows in [0, 3] {
                let nulls = new_null_array(&data_type, rows);
                let texts =
                    render_text(&nulls).unwrap_or_else(|error| panic!("{data_type}: {error}"));
                assert_eq!(texts.len(), rows, "{data_type}");
                assert_eq!(texts.data_type(), &DataType::Utf8, "{data_type}");
            }
        }
    }
}
