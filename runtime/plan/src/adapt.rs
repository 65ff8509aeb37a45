//! An object's columns as the table has them, whatever type the object stores them in.
//!
//! ```text
//! column of the object ──same type──▶ as it is
//!                      ──wider number, finer time──▶ Arrow's cast, through which statistics can be compared
//!                      ──anything else──▶ converted value by value: at worst to text
//! ```
//!
//! A cast of Arrow fails for a whole batch where it does not exist, or where one value does not fit. Nothing here does.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, DictionaryArray, Int32Array,
    ListArray, MapArray, RecordBatch, StringViewBuilder, StructArray, make_array, new_null_array,
};
use datafusion::arrow::compute::{
    CastOptions, can_cast_types, cast, cast_with_options, nullif, take,
};
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Fields, Int32Type, Schema, SchemaRef, TimeUnit,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use yagura_lake::nested_sizes;
use yagura_rules::{not_utf8, render_text};

use crate::prefilter::PrefilterExpr;

/// Values that rules see otherwise than they are stored, by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConvertedValues {
    /// Values that are not UTF-8: compared with U+FFFD in place of what is not.
    pub not_utf8: BTreeMap<String, u64>,
    /// Values that the column's type does not hold: seen as NULL.
    pub lost: BTreeMap<String, u64>,
    /// Values of nested columns that take more than [`MAX_NESTED_BYTES`]: seen as NULL.
    pub too_large: BTreeMap<String, u64>,
}

impl ConvertedValues {
    /// Returns messages for a person about a table's values.
    pub fn messages(&self, table: &str) -> Vec<String> {
        let values = |count: u64| match count {
            1 => "1 value".to_owned(),
            _ => format!("{count} values"),
        };
        let are = |count: u64| if count == 1 { "is" } else { "are" };
        let not_utf8 = self.not_utf8.iter().map(|(column, count)| {
            format!(
                "{} of column `{column}` of table `{table}` {} not UTF-8; compared with the replacement character U+FFFD",
                values(*count),
                are(*count)
            )
        });
        let lost = self.lost.iter().map(|(column, count)| {
            format!(
                "{} of column `{column}` of table `{table}` {} not of the column's type, and rules do not see {}; write the objects again with the type of the table",
                values(*count),
                are(*count),
                if *count == 1 { "it" } else { "them" }
            )
        });
        let too_large = self.too_large.iter().map(|(column, count)| {
            format!(
                "{} of column `{column}` of table `{table}` {} more than {} MiB, and rules do not see {}; write the events again without what makes them so large",
                values(*count),
                if *count == 1 { "takes" } else { "take, each," },
                MAX_NESTED_BYTES >> 20,
                if *count == 1 { "it" } else { "them" }
            )
        });
        not_utf8.chain(lost).chain(too_large).collect()
    }

    /// Adds what was counted elsewhere.
    pub fn join(&mut self, more: Self) {
        for (column, count) in more.not_utf8 {
            *self.not_utf8.entry(column).or_default() += count;
        }
        for (column, count) in more.lost {
            *self.lost.entry(column).or_default() += count;
        }
        for (column, count) in more.too_large {
            *self.too_large.entry(column).or_default() += count;
        }
    }
}

/// The most that the value of a nested column may take, written out, in bytes.
const MAX_NESTED_BYTES: u64 = 16 << 20;

/// The most that the values of one batch may take where a nested column is made text, in bytes.
const MAX_TEXT_BYTES: u64 = 512 << 20;

/// Counts converted values, for all partitions of a scan.
#[derive(Debug, Default)]
pub struct Conversions(Mutex<ConvertedValues>);

impl Conversions {
    /// Returns and forgets what was counted.
    pub fn take(&self) -> ConvertedValues {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, column: &str, not_utf8: usize, lost: usize, too_large: usize) {
        if not_utf8 == 0 && lost == 0 && too_large == 0 {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if not_utf8 > 0 {
            *all.not_utf8.entry(column.to_owned()).or_default() += not_utf8 as u64;
        }
        if lost > 0 {
            *all.lost.entry(column.to_owned()).or_default() += lost as u64;
        }
        if too_large > 0 {
            *all.too_large.entry(column.to_owned()).or_default() += too_large as u64;
        }
    }
}

/// Makes the adapters of a scan, one for each object.
#[derive(Debug)]
pub(crate) struct Adapters {
    pub(crate) counts: Arc<Conversions>,
    /// Columns of bytes that rules compare as text.
    pub(crate) bytes: Arc<HashSet<String>>,
    /// Columns that the prefilter reads, if there is one: their values are counted there, and not again in what it leaves.
    pub(crate) prefiltered: HashSet<String>,
}

impl PhysicalExprAdapterFactory for Adapters {
    fn create(&self, table: SchemaRef, object: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(Adapter {
            table,
            object,
            counts: Arc::clone(&self.counts),
            bytes: Arc::clone(&self.bytes),
            prefiltered: self.prefiltered.clone(),
        }))
    }
}

#[derive(Debug)]
struct Adapter {
    table: SchemaRef,
    object: SchemaRef,
    counts: Arc<Conversions>,
    bytes: Arc<HashSet<String>>,
    prefiltered: HashSet<String>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            let is_counted = !self.prefiltered.contains(column.name());
            return Ok(self.adapted(column, is_counted)?.unwrap_or(expr));
        }
        let parts = split_conjunction(&expr).into_iter().map(|part| {
            let is_counted = part.downcast_ref::<PrefilterExpr>().is_some();
            let rewritten = Arc::clone(part).transform(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                Ok(match self.adapted(column, is_counted)? {
                    Some(adapted) => Transformed::yes(adapted),
                    None => Transformed::no(expr),
                })
            })?;
            Ok(rewritten.data)
        });
        Ok(conjunction(parts.collect::<Result<Vec<_>>>()?))
    }
}

impl Adapter {
    /// Returns what stands for a column of the table over the object's columns; nothing if it is the same.
    fn adapted(&self, column: &Column, is_counted: bool) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let name = column.name();
        let (Ok(wanted), found) = (self.table.field_with_name(name), self.object.index_of(name))
        else {
            // A column of the object that the table does not know is nobody's but the reader's.
            return Ok(None);
        };
        let Ok(index) = found else {
            let null = ScalarValue::try_new_null(wanted.data_type())?;
            return Ok(Some(Arc::new(Literal::new(null))));
        };
        let stored = self.object.field(index);
        let is_bytes = is_counted && self.bytes.contains(name);
        // What is nested is looked at in any case: how large it is.
        let is_nested = stored.data_type().is_nested();
        if stored == wanted && !is_bytes && !is_nested {
            let is_same = index == column.index();
            return Ok((!is_same).then(|| Arc::new(Column::new(name, index)) as _));
        }
        let child: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, index));
        let target = Arc::new(wanted.clone());
        if !is_bytes && !is_nested && is_plain_cast(stored.data_type(), wanted.data_type()) {
            return Ok(Some(Arc::new(CastExpr::new_with_target_field(
                child, target, None,
            ))));
        }
        Ok(Some(Arc::new(Converted {
            child,
            target,
            counts: is_counted.then(|| Arc::clone(&self.counts)),
        })))
    }
}

/// Returns whether Arrow's cast holds every value, so that statistics may be compared through it.
fn is_plain_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Dictionary, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16,
        UInt32,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Int64) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 | Float16 | Float32, Float64) => true,
        (Timestamp(TimeUnit::Nanosecond, from), Timestamp(TimeUnit::Microsecond, to)) => from == to,
        (from, Dictionary(_, to)) => from.is_string() && to.is_string(),
        (from, to) => from.is_string() && to.is_string(),
    }
}

/// A column of an object, converted to the table's type.
#[derive(Debug)]
struct Converted {
    child: Arc<dyn PhysicalExpr>,
    target: FieldRef,
    counts: Option<Arc<Conversions>>,
}

impl PhysicalExpr for Converted {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.target))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let stored = self.child.evaluate(batch)?.into_array(batch.num_rows())?;
        let (stored, too_large) = without_large(stored)?;
        let converted = convert(&stored, self.target.data_type())?;
        if let Some(counts) = &self.counts {
            let lost = converted
                .logical_null_count()
                .saturating_sub(stored.logical_null_count());
            let not_utf8 = not_utf8(stored.as_ref());
            counts.add(self.target.name(), not_utf8, lost, too_large);
        }
        Ok(ColumnarValue::Array(converted))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.child]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let child = children
            .pop()
            .ok_or_else(|| internal_datafusion_err!("a conversion has one child"))?;
        Ok(Arc::new(Self {
            child,
            target: Arc::clone(&self.target),
            counts: self.counts.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "convert({} as {})", self.child, self.target.data_type())
    }
}

impl PartialEq for Converted {
    fn eq(&self, other: &Self) -> bool {
        *self.child == *other.child && self.target == other.target
    }
}

impl Eq for Converted {}

impl Hash for Converted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.child.hash(state);
        self.target.hash(state);
    }
}

/// Returns a nested column without the values that are too large, and how many these are.
fn without_large(array: ArrayRef) -> Result<(ArrayRef, usize), ArrowError> {
    let Some(sizes) = nested_sizes(&array) else {
        return Ok((array, 0));
    };
    let too_large = sizes
        .iter()
        .filter(|size| **size > MAX_NESTED_BYTES)
        .count();
    if too_large == 0 {
        return Ok((array, 0));
    }
    let is_large = sizes.iter().map(|size| Some(*size > MAX_NESTED_BYTES));
    let is_large: BooleanArray = is_large.collect();
    Ok((nullif(&array, &is_large)?, too_large))
}

/// Converts an array of any type to any type. What the type cannot hold is NULL, and no other value's matter.
///
/// # Errors
/// When texts are longer than an array may hold.
pub(crate) fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Dictionary(_, _), DataType::Dictionary(key, value))
            if **key == DataType::Int32 =>
        {
            let dictionary = array.as_any_dictionary();
            let values = convert(dictionary.values(), value)?;
            let keys = cast(&make_array(dictionary.keys().to_data()), &DataType::Int32)?;
            let keys: Int32Array = keys.as_primitive::<Int32Type>().clone();
            Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
        }
        (DataType::Dictionary(_, _), _) => {
            let dictionary = array.as_any_dictionary();
            let values = convert(dictionary.values(), to)?;
            take(&values, dictionary.keys(), None)
        }
        (_, DataType::Dictionary(_, value)) => safe_cast(&convert(array, value)?, to),
        (DataType::BinaryView, DataType::Utf8View) => Ok(text_views(array.as_binary_view())),
        (from, to) if to.is_string() && from.is_nested() => {
            let sizes = nested_sizes(array).unwrap_or_default();
            let all = sizes.iter().copied().fold(0, u64::saturating_add);
            if all > MAX_TEXT_BYTES {
                return Err(ArrowError::ComputeError(format!(
                    "{} values of type {from} take {} MiB as text, more than {} MiB; write the object again with the type of the table",
                    array.len(),
                    all >> 20,
                    MAX_TEXT_BYTES >> 20
                )));
            }
            safe_cast(&render_text(array)?, to)
        }
        (_, to) if to.is_string() => safe_cast(&render_text(array)?, to),
        (DataType::Struct(_), DataType::Struct(fields)) => convert_struct(array, fields),
        (DataType::Map(_, _), DataType::Map(entries, is_sorted)) => {
            convert_map(array, entries, *is_sorted)
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), item.data_type())?;
            let item = Arc::new(item.as_ref().clone().with_nullable(true));
            let made =
                ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?;
            with_type(Arc::new(made), to)
        }
        (from, DataType::List(_)) if items_of(from).is_some() => {
            let item = items_of(from).map(Arc::clone);
            let list = item.map_or_else(|| to.clone(), DataType::List);
            match cast(array, &list) {
                Ok(list) => convert(&list, to),
                Err(_) => Ok(new_null_array(to, array.len())),
            }
        }
        // A zone is how a time is shown: what is stored is UTC.
        (DataType::Timestamp(unit, _), DataType::Timestamp(wanted, zone)) => {
            let plain = with_type(Arc::clone(array), &DataType::Timestamp(*unit, None))?;
            let scaled = safe_cast(&plain, &DataType::Timestamp(*wanted, None))?;
            with_type(scaled, &DataType::Timestamp(*wanted, zone.clone()))
        }
        _ => safe_cast(array, to),
    }
}

/// Returns views of bytes as views of text, with U+FFFD in place of what is not UTF-8. What rows share is looked at once.
fn text_views(bytes: &BinaryViewArray) -> ArrayRef {
    let mut known: HashMap<u128, Cow<'_, str>> = HashMap::new();
    let mut texts = StringViewBuilder::with_capacity(bytes.len()).with_deduplicate_strings();
    for (view, value) in bytes.views().iter().zip(bytes) {
        match value {
            None => texts.append_null(),
            Some(value) => {
                let text = known.entry(*view);
                texts.append_value(text.or_insert_with(|| String::from_utf8_lossy(value)));
            }
        }
    }
    Arc::new(texts.finish())
}

fn safe_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    if !can_cast_types(array.data_type(), to) {
        return Ok(new_null_array(to, array.len()));
    }
    match cast_with_options(array, to, &options) {
        Ok(made) => Ok(made),
        // Text that does not fit into 32 bits of offsets is not the fault of one value, and hides nothing.
        Err(error) if to.is_string() => Err(error),
        Err(_) => Ok(new_null_array(to, array.len())),
    }
}

/// Returns the array under a type with the same layout.
fn with_type(array: ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array);
    }
    Ok(make_array(
        array
            .to_data()
            .into_builder()
            .data_type(to.clone())
            .build()?,
    ))
}

fn items_of(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

fn convert_struct(array: &ArrayRef, fields: &Fields) -> Result<ArrayRef, ArrowError> {
    let stored = array.as_struct();
    let columns = fields
        .iter()
        .map(|field| match stored.column_by_name(field.name()) {
            Some(column) => convert(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), stored.len())),
        });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let nullable: Fields = fields
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let made: ArrayRef = if columns.is_empty() {
        Arc::new(StructArray::new_empty_fields(
            stored.len(),
            stored.nulls().cloned(),
        ))
    } else {
        Arc::new(StructArray::try_new(
            nullable,
            columns,
            stored.nulls().cloned(),
        )?)
    };
    with_type(made, &DataType::Struct(fields.clone()))
}

/// Keys and values go by their place, not by their names.
fn convert_map(
    array: &ArrayRef,
    entries: &FieldRef,
    is_sorted: bool,
) -> Result<ArrayRef, ArrowError> {
    let to = DataType::Map(Arc::clone(entries), is_sorted);
    let map = array.as_map();
    let DataType::Struct(fields) = entries.data_type() else {
        return Ok(new_null_array(&to, array.len()));
    };
    let [key, value] = &fields[..] else {
        return Ok(new_null_array(&to, array.len()));
    };
    let keys = convert(map.keys(), key.data_type())?;
    let values = convert(map.values(), value.data_type())?;
    let made = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let map = MapArray::try_new(
        Arc::clone(entries),
        map.offsets().clone(),
        made,
        map.nulls().cloned(),
        is_sorted,
    )?;
    Ok(Arc::new(map))
}
