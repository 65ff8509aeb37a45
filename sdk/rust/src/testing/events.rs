//! Events from plain values, as columns like those of a host.

use crate::bindings::enricher::yagura::plugin::search::Events as RawEvents;
use crate::bindings::yagura::plugin::types::{Batch as RawBatch, Column as RawColumn, Field};
use crate::{DataType, PluginError};

/// Events for a test, column by column. Every column has a value, or `None`, for each event.
#[derive(Clone, Default)]
pub struct Events {
    rows: Option<usize>,
    pub(super) schema: Vec<Field>,
    columns: Vec<RawColumn>,
}

impl Events {
    /// Returns events without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text column.
    ///
    /// # Panics
    /// If the number of values differs from earlier columns. The same holds for the methods below.
    #[must_use]
    pub fn text<'v>(
        self,
        name: &str,
        values: impl IntoIterator<Item: Into<Option<&'v str>>>,
    ) -> Self {
        self.variable(name, DataType::Utf8, values, str::as_bytes)
    }

    /// Adds a column of bytes.
    #[must_use]
    pub fn binary<'v>(
        self,
        name: &str,
        values: impl IntoIterator<Item: Into<Option<&'v [u8]>>>,
    ) -> Self {
        self.variable(name, DataType::Binary, values, |bytes| bytes)
    }

    /// Adds a column of whole numbers.
    #[must_use]
    pub fn int64(self, name: &str, values: impl IntoIterator<Item: Into<Option<i64>>>) -> Self {
        self.fixed(name, DataType::Int64, values, i64::to_le_bytes)
    }

    /// Adds a column of floating-point numbers.
    #[must_use]
    pub fn float64(self, name: &str, values: impl IntoIterator<Item: Into<Option<f64>>>) -> Self {
        self.fixed(name, DataType::Float64, values, f64::to_le_bytes)
    }

    /// Adds a column of times, in microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn time(self, name: &str, values: impl IntoIterator<Item: Into<Option<i64>>>) -> Self {
        self.fixed(name, DataType::TimestampUs, values, i64::to_le_bytes)
    }

    /// Adds a column of truth values.
    #[must_use]
    pub fn boolean(self, name: &str, values: impl IntoIterator<Item: Into<Option<bool>>>) -> Self {
        let values: Vec<Option<bool>> = values.into_iter().map(Into::into).collect();
        let column = RawColumn {
            validity: bitmap(values.iter().map(Option::is_some)),
            offsets: Vec::new(),
            values: bitmap(values.iter().map(|value| *value == Some(true))),
        };
        self.add(name, DataType::Boolean, values.len(), column)
    }

    fn variable<'v, V: ?Sized + 'v>(
        self,
        name: &str,
        data_type: DataType,
        values: impl IntoIterator<Item: Into<Option<&'v V>>>,
        bytes: impl Fn(&'v V) -> &'v [u8],
    ) -> Self {
        let values: Vec<Option<&'v V>> = values.into_iter().map(Into::into).collect();
        let mut column = RawColumn {
            validity: bitmap(values.iter().map(Option::is_some)),
            offsets: vec![0; 4],
            values: Vec::new(),
        };
        for value in &values {
            column.values.extend(value.map(&bytes).unwrap_or_default());
            let end = u32::try_from(column.values.len()).unwrap_or(u32::MAX);
            column.offsets.extend(end.to_le_bytes());
        }
        self.add(name, data_type, values.len(), column)
    }

    fn fixed<T: Default>(
        self,
        name: &str,
        data_type: DataType,
        values: impl IntoIterator<Item: Into<Option<T>>>,
        bytes: impl Fn(T) -> [u8; 8],
    ) -> Self {
        let values: Vec<Option<T>> = values.into_iter().map(Into::into).collect();
        let rows = values.len();
        let column = RawColumn {
            validity: bitmap(values.iter().map(Option::is_some)),
            offsets: Vec::new(),
            values: values
                .into_iter()
                .flat_map(|value| bytes(value.unwrap_or_default()))
                .collect(),
        };
        self.add(name, data_type, rows, column)
    }

    fn add(mut self, name: &str, data_type: DataType, rows: usize, column: RawColumn) -> Self {
        let expected = *self.rows.get_or_insert(rows);
        assert_eq!(
            rows, expected,
            "column `{name}` has {rows} values where the columns before have {expected}"
        );
        self.schema.push(Field {
            name: name.to_owned(),
            data_type,
            nullable: true,
        });
        self.columns.push(column);
        self
    }

    /// Returns the result of a search for these columns.
    #[cfg_attr(
        target_arch = "wasm32",
        allow(dead_code, reason = "for unit tests, which are native")
    )]
    pub(super) fn found(&self, columns: &[String], limit: u32) -> Result<RawEvents, PluginError> {
        let total = self.batch().rows;
        if total > limit {
            return Err(PluginError::Data(format!(
                "the test has {total} events where {limit} are asked for: give it fewer"
            )));
        }
        let mut found = RawEvents {
            schema: Vec::new(),
            batch: RawBatch {
                rows: total,
                columns: Vec::new(),
            },
            truncated: total == limit,
        };
        // A value without events has no columns to check.
        for name in columns.iter().filter(|_| total > 0) {
            let Some(index) = self.schema.iter().position(|field| field.name == *name) else {
                return Err(PluginError::Config(format!(
                    "the events have no column `{name}`"
                )));
            };
            found.schema.push(self.schema[index].clone());
            found.batch.columns.push(self.columns[index].clone());
        }
        Ok(found)
    }

    pub(super) fn batch(&self) -> RawBatch {
        RawBatch {
            rows: u32::try_from(self.rows.unwrap_or_default()).unwrap_or(u32::MAX),
            columns: self.columns.clone(),
        }
    }
}

fn bitmap(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (row, bit) in bits.enumerate() {
        if row % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(bit) << (row % 8);
        }
    }
    bytes
}
