//! Intervals of Parquet: months, days and milliseconds, of which Arrow's reader would drop the months.
//!
//! The footer is given a schema in which they are 12 bytes, before the reader sees it; the bytes then become text such as `P1M2DT3.004S`.
//!
//! Source: <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#interval>.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait,
    RecordBatch, StringArray, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::basic::{ConvertedType, Type as Physical};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::parquet::schema::types::Type;
use yagura_formats::duration;

use crate::bytes::{with_schemas, without_mark};

/// Which columns of a file hold intervals.
#[derive(Debug)]
pub(crate) struct Intervals {
    /// As Arrow would read the file.
    schema: Schema,
}

impl Intervals {
    /// Returns the footer in which intervals are bytes; nothing for a file without intervals.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Result<Option<(Arc<ParquetMetaData>, Self)>> {
        let file = metadata.file_metadata();
        let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
        if !schema
            .fields()
            .iter()
            .any(|field| has_interval(field.data_type()))
        {
            return Ok(None);
        }
        let root = without_mark(&file.schema_descr().root_schema_ptr(), &is_interval)?;
        let metadata = with_schemas(metadata, &schema, Some(root));
        Ok(Some((metadata, Self { schema })))
    }

    /// Returns the rows with text in place of the bytes of intervals.
    pub(crate) fn to_text(
        &self,
        batch: &RecordBatch,
    ) -> std::result::Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns: Vec<ArrayRef> = columns
            .map(|(array, field)| to_text(array, field.data_type()))
            .collect::<std::result::Result<_, _>>()?;
        let fields = self.schema.fields().iter().zip(&columns);
        let fields: Vec<FieldRef> = fields.map(|(field, array)| as_in(field, array)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

fn is_interval(of: &Type) -> bool {
    of.get_physical_type() == Physical::FIXED_LEN_BYTE_ARRAY
        && of.get_basic_info().converted_type() == ConvertedType::INTERVAL
}

fn has_interval(of: &DataType) -> bool {
    match of {
        DataType::Interval(_) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_interval(item.data_type())
        }
        DataType::Map(entries, _) => has_interval(entries.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        _ => false,
    }
}

/// Returns the field with the type of an array.
fn as_in(field: &FieldRef, array: &ArrayRef) -> FieldRef {
    Arc::new(Field::new(
        field.name(),
        array.data_type().clone(),
        field.is_nullable(),
    ))
}

/// Returns an array with text in place of intervals. `wanted` is its type with intervals.
fn to_text(array: &ArrayRef, wanted: &DataType) -> std::result::Result<ArrayRef, ArrowError> {
    if !has_interval(wanted) {
        return Ok(Arc::clone(array));
    }
    Ok(match (wanted, array.data_type()) {
        (DataType::Interval(_), DataType::FixedSizeBinary(12)) => {
            let bytes = array.as_fixed_size_binary();
            let texts = bytes.iter().map(|bytes| bytes.map(text));
            Arc::new(texts.collect::<StringArray>())
        }
        (DataType::Struct(fields), DataType::Struct(_)) => {
            Arc::new(struct_to_text(array.as_struct(), fields)?)
        }
        (DataType::List(item), DataType::List(_)) => list_to_text::<i32>(array, item)?,
        (DataType::LargeList(item), DataType::LargeList(_)) => list_to_text::<i64>(array, item)?,
        (DataType::FixedSizeList(item, length), DataType::FixedSizeList(..)) => {
            let list = array.as_fixed_size_list();
            let values = to_text(list.values(), item.data_type())?;
            let item = as_in(item, &values);
            Arc::new(FixedSizeListArray::try_new(
                item,
                *length,
                values,
                list.nulls().cloned(),
            )?)
        }
        (DataType::Map(entries, is_sorted), DataType::Map(..)) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Ok(Arc::clone(array));
            };
            let inner = struct_to_text(map.entries(), fields)?;
            let entries = Field::new(entries.name(), inner.data_type().clone(), false);
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(
                Arc::new(entries),
                offsets,
                inner,
                nulls,
                *is_sorted,
            )?)
        }
        // Read as intervals after all.
        _ => Arc::clone(array),
    })
}

fn struct_to_text(
    array: &StructArray,
    wanted: &Fields,
) -> std::result::Result<StructArray, ArrowError> {
    let columns = array.columns().iter().zip(wanted);
    let columns: Vec<ArrayRef> = columns
        .map(|(array, field)| to_text(array, field.data_type()))
        .collect::<std::result::Result<_, _>>()?;
    let fields = wanted
        .iter()
        .zip(&columns)
        .map(|(field, array)| as_in(field, array));
    StructArray::try_new(fields.collect(), columns, array.nulls().cloned())
}

fn list_to_text<O: OffsetSizeTrait>(
    array: &ArrayRef,
    item: &FieldRef,
) -> std::result::Result<ArrayRef, ArrowError> {
    let list = array.as_list::<O>();
    let values = to_text(list.values(), item.data_type())?;
    let item = as_in(item, &values);
    let list = GenericListArray::<O>::try_new(
        item,
        list.offsets().clone(),
        values,
        list.nulls().cloned(),
    )?;
    Ok(Arc::new(list))
}

fn text(bytes: &[u8]) -> String {
    match bytes.as_chunks::<4>().0 {
        [months, days, milliseconds] => {
            let [months, days, milliseconds] =
                [months, days, milliseconds].map(|bytes| u32::from_le_bytes(*bytes));
            duration(months, days, milliseconds)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use datafusion::parquet::data_type::{ByteArray, FixedLenByteArray, FixedLenByteArrayType};
    use datafusion::parquet::file::properties::WriterProperties;
    use datafusion::parquet::file::writer::SerializedFileWriter;
    use datafusion::parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::ingest::rows::Rows;

    fn interval(parts: [u32; 3]) -> FixedLenByteArray {
        let bytes: Vec<u8> = parts.into_iter().flat_map(u32::to_le_bytes).collect();
        ByteArray::from(bytes).into()
    }

    #[test]
    fn no_part_of_an_interval_is_lost() {
        let schema = "message m {
            optional fixed_len_byte_array(12) length (INTERVAL);
            optional group inner { required fixed_len_byte_array(12) length (INTERVAL); }
            optional group all (LIST) { repeated group list { optional fixed_len_byte_array(12) element (INTERVAL); } }
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = tempfile::tempfile().unwrap();
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer =
            SerializedFileWriter::new(file.try_clone().unwrap(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        /// Values of a column, with their levels of definition and repetition.
        type Levels<'a> = (&'a [[u32; 3]], &'a [i16], &'a [i16]);
        let columns: [Levels<'_>; 3] = [
            (&[[1, 2, 3_004]], &[1, 0], &[0, 0]),
            (&[[14, 0, 0]], &[1, 0], &[0, 0]),
            (&[[0, 1, 0], [0, 0, 0]], &[3, 3, 0], &[0, 1, 0]),
        ];
        for (values, definition, repetition) in columns {
            let values: Vec<_> = values.iter().copied().map(interval).collect();
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<FixedLenByteArrayType>();
            typed
                .write_batch(&values, Some(definition), Some(repetition))
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        let mut text = String::new();
        Rows::open(file).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "{\"length\":\"P1M2DT3.004S\",\"inner\":{\"length\":\"P14M\"},\"all\":[\"P1D\",\"PT0S\"]}\n{}\n"
        );
    }
}
