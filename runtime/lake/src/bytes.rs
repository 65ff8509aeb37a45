//! Text columns read as the bytes that they are.
//!
//! A reader refuses a whole page of text where one value is not UTF-8, and some writers of Parquet do not look. Here the
//! footer is given a schema that says "bytes" for text, before the reader sees it, so that who reads decides what such a value is.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::parquet::arrow::{
    ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema,
};
use datafusion::parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder,
};
use datafusion::parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

/// Returns the footer under a schema in which no column is text: a text column that `is_dictionary` names, or a column of bytes, is
/// a dictionary of bytes, all others are plain bytes, and inside of nested columns views of bytes.
///
/// # Errors
/// When the footer's schema is not one of Arrow.
pub fn text_as_bytes(
    metadata: &ParquetMetaData,
    is_dictionary: &dyn Fn(&str) -> bool,
) -> Result<Arc<ParquetMetaData>> {
    let file = metadata.file_metadata();
    let found = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let fields: Vec<Field> = found
        .fields()
        .iter()
        .map(|field| {
            let bytes = match (field.data_type(), bytes_type(field.data_type())) {
                (DataType::Dictionary(key, _), DataType::BinaryView) => {
                    DataType::Dictionary(key.clone(), Box::new(DataType::Binary))
                }
                (_, DataType::BinaryView) => DataType::Binary,
                (_, other) => other,
            };
            let is_bytes = matches!(value_type(&bytes), DataType::Binary);
            let data_type = if is_bytes && is_dictionary(field.name()) {
                bytes_dictionary()
            } else {
                bytes
            };
            field.as_ref().clone().with_data_type(data_type)
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, found.metadata().clone());
    let root = without_text(&file.schema_descr().root_schema_ptr())?;
    Ok(with_schemas(metadata, &schema, Some(root)))
}

/// Returns the footer with another Arrow schema for readers to follow, and where given another one of Parquet.
pub fn with_schemas(
    metadata: &ParquetMetaData,
    schema: &Schema,
    root: Option<TypePtr>,
) -> Arc<ParquetMetaData> {
    let file = metadata.file_metadata();
    let mut pairs: Vec<KeyValue> = file.key_value_metadata().cloned().unwrap_or_default();
    pairs.retain(|pair| pair.key != ARROW_SCHEMA_META_KEY);
    pairs.push(KeyValue::new(
        ARROW_SCHEMA_META_KEY.to_owned(),
        encode_arrow_schema(schema),
    ));
    let descriptor = match root {
        Some(root) => Arc::new(SchemaDescriptor::new(root)),
        None => file.schema_descr_ptr(),
    };
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        Some(pairs),
        descriptor,
        file.column_orders().cloned(),
    );
    let rebuilt = ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned());
    Arc::new(rebuilt.build())
}

/// Returns the type with text and bytes inside it as views, so that rows share what they have in common; of one that is not nested,
/// the type itself.
pub fn with_views(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(_) | DataType::Map(_, _) => in_children(data_type, &view_type),
        other if other.is_list() => in_children(data_type, &view_type),
        other => other.clone(),
    }
}

fn view_type(data_type: &DataType) -> DataType {
    match value_type(data_type) {
        text if text.is_string() => DataType::Utf8View,
        bytes if is_bytes(bytes) => DataType::BinaryView,
        _ => with_views(data_type),
    }
}

/// Returns the type in which bytes are read that stand for the text of a column.
pub fn bytes_dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary))
}

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

fn bytes_type(data_type: &DataType) -> DataType {
    match data_type {
        other if other.is_string() || is_bytes(other) => DataType::BinaryView,
        DataType::Dictionary(_, value) if value.is_string() || is_bytes(value) => {
            DataType::BinaryView
        }
        other => in_children(other, &bytes_type),
    }
}

/// Returns the type with other types of what it holds.
fn in_children(data_type: &DataType, of: &dyn Fn(&DataType) -> DataType) -> DataType {
    let child = |field: &FieldRef| -> FieldRef {
        let data_type = of(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    match data_type {
        DataType::List(item) => DataType::List(child(item)),
        DataType::LargeList(item) => DataType::LargeList(child(item)),
        DataType::ListView(item) => DataType::ListView(child(item)),
        DataType::LargeListView(item) => DataType::LargeListView(child(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(child(item), *length),
        DataType::Map(entries, is_sorted) => DataType::Map(child(entries), *is_sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect::<Fields>()),
        other => other.clone(),
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// Returns the type without the mark of text on what is stored as bytes.
fn without_text(of: &TypePtr) -> Result<TypePtr> {
    without_mark(of, &|of| {
        let info = of.get_basic_info();
        of.get_physical_type() == Physical::BYTE_ARRAY
            && (matches!(
                info.logical_type_ref(),
                Some(LogicalType::String | LogicalType::Json)
            ) || matches!(
                info.converted_type(),
                ConvertedType::UTF8 | ConvertedType::JSON
            ))
    })
}

/// Returns the type without the mark of what its bytes stand for, where they are marked so.
///
/// # Errors
/// When the type cannot be one of Parquet.
pub(crate) fn without_mark(of: &TypePtr, is_marked: &dyn Fn(&Type) -> bool) -> Result<TypePtr> {
    let info = of.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if let Type::PrimitiveType {
        physical_type,
        type_length,
        ..
    } = of.as_ref()
    {
        if !is_marked(of) {
            return Ok(Arc::clone(of));
        }
        let plain = Type::primitive_type_builder(of.name(), *physical_type)
            .with_repetition(info.repetition())
            .with_length(*type_length)
            .with_id(id)
            .build()?;
        return Ok(Arc::new(plain));
    }
    let fields = of
        .get_fields()
        .iter()
        .map(|field| without_mark(field, is_marked));
    let mut group = Type::group_type_builder(of.name())
        .with_fields(fields.collect::<Result<_>>()?)
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(id);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    Ok(Arc::new(group.build()?))
}
