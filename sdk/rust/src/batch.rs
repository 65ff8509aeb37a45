//! Batches of events from the host.

use std::cell::OnceCell;

use crate::bindings::yagura::plugin::types::{Batch as RawBatch, Column as RawColumn, Field};
use crate::column::{Encoding, Kind, type_name};
use crate::state::State;
use crate::{Binary, Boolean, Column, DataType, Float64, Int64, PluginError, Text, Time};

/// Events in columns: the rows that match the rule's `where`, with the columns that the rule lists.
///
/// Values are decoded only when you read them.
pub struct Batch<'a> {
    rows: u32,
    schema: &'a [Field],
    columns: &'a [RawColumn],
    /// For a text column, whether its bytes are text; set on first use.
    encodings: Vec<OnceCell<Encoding<'a>>>,
}

impl<'a> Batch<'a> {
    /// Takes the batch of the host, and checks that every column has enough bytes for the number of rows.
    ///
    /// # Errors
    /// [`PluginError::Data`] with the name of the column: host and plugin use different contracts.
    pub(crate) fn new(schema: &'a [Field], raw: &'a RawBatch) -> Result<Self, PluginError> {
        if raw.columns.len() != schema.len() {
            let message = format!(
                "a batch has {} columns where the rule's schema has {}",
                raw.columns.len(),
                schema.len()
            );
            return Err(PluginError::Data(message));
        }
        for (field, column) in schema.iter().zip(&raw.columns) {
            check(field, column, raw.rows as usize)?;
        }
        Ok(Self::checked(schema, raw))
    }

    /// Takes a batch that [`Batch::new`] would accept.
    pub(crate) fn checked(schema: &'a [Field], raw: &'a RawBatch) -> Self {
        Self {
            rows: raw.rows,
            schema,
            columns: &raw.columns,
            encodings: vec![OnceCell::new(); raw.columns.len()],
        }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the state of the partition key of these rows, for a rule with `partition_by`.
    pub fn state(&self) -> State {
        State::new()
    }

    /// Returns a view of one column: the fastest way to read many rows.
    #[inline(always)]
    pub fn column<K: Kind>(&self, column: Column<K>) -> K::View<'a> {
        K::view(self, column.index())
    }

    /// Returns the rows in order. A row decodes a value only when you read it.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_, 'a>> {
        (0..self.rows).map(|index| Row { batch: self, index })
    }

    #[inline(always)]
    pub(crate) fn raw(&self, index: usize) -> &'a RawColumn {
        // A `Column` is only made by a rule whose schema this batch was checked against, except in a detector that
        // keeps a column of another rule.
        &self.columns[index]
    }

    /// Returns whether the column's bytes are text, which is checked on the first call per batch.
    #[inline(always)]
    pub(crate) fn encoding(&self, index: usize) -> Encoding<'a> {
        *self.encodings[index].get_or_init(|| Encoding::of(&self.columns[index].values))
    }

    fn named<K: Kind>(&self, name: &str) -> Result<Column<K>, PluginError> {
        find(self.schema, name)
    }
}

/// One event of a batch.
#[derive(Clone, Copy)]
pub struct Row<'b, 'a> {
    batch: &'b Batch<'a>,
    index: u32,
}

impl<'a> Row<'_, 'a> {
    /// Returns the row's index in its batch, from zero.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Returns the value in a column, or `None` if it is NULL.
    #[inline(always)]
    pub fn get<K: Kind>(self, column: Column<K>) -> Option<K::Value<'a>> {
        K::value(&self.batch.column(column), self.index as usize)
    }

    /// Returns the text in the column of this name.
    ///
    /// # Errors
    /// [`PluginError::Config`] if the rule does not list this column, or its type is another. The same holds for the
    /// methods below. They look up the name on every call: [`Row::get`] is faster, and its errors occur when the plugin is opened.
    pub fn str(self, name: &str) -> Result<Option<&'a str>, PluginError> {
        Ok(self.get(self.batch.named::<Text>(name)?))
    }

    /// Returns the integer in the column of this name.
    ///
    /// # Errors
    /// See [`Row::str`].
    pub fn i64(self, name: &str) -> Result<Option<i64>, PluginError> {
        Ok(self.get(self.batch.named::<Int64>(name)?))
    }

    /// Returns the number in the column of this name.
    ///
    /// # Errors
    /// See [`Row::str`].
    pub fn f64(self, name: &str) -> Result<Option<f64>, PluginError> {
        Ok(self.get(self.batch.named::<Float64>(name)?))
    }

    /// Returns the truth value in the column of this name.
    ///
    /// # Errors
    /// See [`Row::str`].
    pub fn bool(self, name: &str) -> Result<Option<bool>, PluginError> {
        Ok(self.get(self.batch.named::<Boolean>(name)?))
    }

    /// Returns the time in the column of this name, in microseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// See [`Row::str`].
    pub fn time(self, name: &str) -> Result<Option<i64>, PluginError> {
        Ok(self.get(self.batch.named::<Time>(name)?))
    }

    /// Returns the value in the column of this name, whatever its type, as text for a human: times as RFC 3339, bytes in
    /// hexadecimal; `None` if it is NULL.
    ///
    /// # Errors
    /// [`PluginError::Config`] if there is no such column.
    pub fn display(self, name: &str) -> Result<Option<String>, PluginError> {
        let field = self.batch.schema.iter().find(|field| field.name == name);
        Ok(match field.map(|field| field.data_type) {
            Some(DataType::Boolean) => self.bool(name)?.map(|value| value.to_string()),
            Some(DataType::Int64) => self.i64(name)?.map(|value| value.to_string()),
            Some(DataType::Float64) => self.f64(name)?.map(|value| value.to_string()),
            Some(DataType::TimestampUs) => self.time(name)?.map(crate::time::rfc3339),
            Some(DataType::Binary) => self
                .get(self.batch.named::<Binary>(name)?)
                .map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            // What is missing is text's to report.
            Some(DataType::Utf8) | None => self.str(name)?.map(str::to_owned),
        })
    }
}

/// A row of a batch: a [`Row`] or its index.
pub trait RowIndex: Copy {
    /// Returns the row's index in its batch, from zero.
    fn row_index(self) -> usize;
}

impl RowIndex for usize {
    fn row_index(self) -> usize {
        self
    }
}

impl RowIndex for u32 {
    fn row_index(self) -> usize {
        self as usize
    }
}

impl RowIndex for Row<'_, '_> {
    fn row_index(self) -> usize {
        self.index as usize
    }
}

/// Finds a column by name and checks its type.
pub(crate) fn find<K: Kind>(schema: &[Field], name: &str) -> Result<Column<K>, PluginError> {
    let Some(index) = schema.iter().position(|field| field.name == name) else {
        let known: Vec<String> = schema
            .iter()
            .map(|field| format!("`{}`", field.name))
            .collect();
        return Err(PluginError::Config(format!(
            "the rule hands over no column `{name}`: add it to the rule's `columns`, which are {}",
            known.join(", ")
        )));
    };
    let found = schema[index].data_type;
    if found != K::TYPE {
        return Err(PluginError::Config(format!(
            "column `{name}` is of type {} where the detector reads {}",
            type_name(found),
            type_name(K::TYPE)
        )));
    }
    Ok(Column::at(index))
}

fn check(field: &Field, column: &RawColumn, rows: usize) -> Result<(), PluginError> {
    let bits = rows.div_ceil(8);
    let fits = match field.data_type {
        DataType::Boolean => column.values.len() >= bits,
        DataType::Int64 | DataType::Float64 | DataType::TimestampUs => {
            column.values.len() == rows * 8
        }
        DataType::Utf8 | DataType::Binary => column.offsets.len() == (rows + 1) * 4,
    };
    if fits && (column.validity.is_empty() || column.validity.len() >= bits) {
        return Ok(());
    }
    Err(PluginError::Data(format!(
        "column `{}` of type {} came with {} bytes of values, {} of offsets and {} of validity for {rows} rows",
        field.name,
        type_name(field.data_type),
        column.values.len(),
        column.offsets.len(),
        column.validity.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: DataType) -> Field {
        Field {
            name: name.to_owned(),
            data_type,
            nullable: true,
        }
    }

    fn column(validity: &[u8], offsets: &[u32], values: &[u8]) -> RawColumn {
        RawColumn {
            validity: validity.to_vec(),
            offsets: offsets.iter().flat_map(|o| o.to_le_bytes()).collect(),
            values: values.to_vec(),
        }
    }

    #[test]
    fn a_batch_of_bytes_reads_as_the_contract_says() {
        let schema = [
            field("name", DataType::Utf8),
            field("count", DataType::Int64),
            field("flag", DataType::Boolean),
            field("at", DataType::TimestampUs),
        ];
        let numbers: Vec<u8> = [7_i64, -1, 0]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        let raw = RawBatch {
            rows: 3,
            columns: vec![
                column(&[0b101], &[0, 2, 2, 5], "héabc"[..].as_bytes()),
                column(&[], &[], &numbers),
                column(&[], &[], &[0b110]),
                column(&[0b110], &[], &numbers),
            ],
        };
        // "hé" is three bytes: the offsets above cut it, which is not text.
        let batch = Batch::new(&schema, &raw).unwrap();
        let rows: Vec<Row> = batch.rows().collect();
        assert_eq!(rows[0].str("name").unwrap(), None);
        assert_eq!(rows[1].str("name").unwrap(), None);
        assert_eq!(rows[0].i64("count").unwrap(), Some(7));
        assert_eq!(rows[1].i64("count").unwrap(), Some(-1));
        assert_eq!(rows[0].bool("flag").unwrap(), Some(false));
        assert_eq!(rows[2].bool("flag").unwrap(), Some(true));
        assert_eq!(rows[0].time("at").unwrap(), None);
        assert_eq!(rows[1].time("at").unwrap(), Some(-1));
        let missing = rows[0].str("nmae").unwrap_err().to_string();
        assert!(missing.contains("no column `nmae`"), "{missing}");
        let wrong = rows[0].str("count").unwrap_err().to_string();
        assert!(wrong.contains("int64") && wrong.contains("utf8"), "{wrong}");
    }

    #[test]
    fn invalid_utf8_costs_only_its_own_value() {
        let schema = [field("name", DataType::Utf8)];
        let raw = RawBatch {
            rows: 3,
            columns: vec![column(&[], &[0, 2, 4, 6], b"ok\xff\xfeok")],
        };
        let batch = Batch::new(&schema, &raw).unwrap();
        let names: Vec<Option<&str>> = batch.rows().map(|row| row.str("name").unwrap()).collect();
        assert_eq!(names, [Some("ok"), None, Some("ok")]);
    }

    #[test]
    fn a_column_with_too_few_bytes_is_refused_by_name() {
        let schema = [
            field("name", DataType::Utf8),
            field("count", DataType::Int64),
        ];
        for columns in [
            vec![column(&[], &[0], b""), column(&[], &[], &[0; 16])],
            vec![column(&[], &[0, 0, 0], b""), column(&[], &[], &[0; 15])],
            vec![column(&[], &[0, 0, 0], b"")],
        ] {
            let raw = RawBatch { rows: 2, columns };
            let error = Batch::new(&schema, &raw).err().unwrap();
            assert!(matches!(&error, PluginError::Data(_)), "{error}");
        }
        // Offsets past the end of the values give no value, not a trap.
        let raw = RawBatch {
            rows: 2,
            columns: vec![column(&[], &[0, 9, 4], b"abc"), column(&[], &[], &[0; 16])],
        };
        let batch = Batch::new(&schema, &raw).unwrap();
        assert!(batch.rows().all(|row| row.str("name").unwrap().is_none()));
    }
}
