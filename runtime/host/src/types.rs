//! What crosses the edge, in plain types: the contract's own ones stay inside `bindings`.

use yagura_core::Severity;

/// The type of a column, as the contract lays it out in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// One bit per row, least significant bit first.
    Boolean,
    /// Eight bytes per row, little-endian, two's complement.
    Int64,
    /// Eight bytes per row, little-endian, IEEE 754.
    Float64,
    /// Eight bytes per row: microseconds since 1970-01-01T00:00:00Z.
    TimestampUs,
    /// UTF-8 text: rows + 1 offsets of four bytes into the values.
    Utf8,
    /// Bytes, laid out like [`DataType::Utf8`].
    Binary,
}

/// A column that every batch of a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// Dotted path, as the rule lists it.
    pub name: String,
    /// Type of its values.
    pub data_type: DataType,
    /// False promises that the column's validity is empty in every batch.
    pub nullable: bool,
}

/// A rule that a detector is opened with; its index in the list is its number in later calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// The rule's id, which the component must have code for.
    pub id: String,
    /// The rule's configuration as JSON text, `{}` when it has none.
    pub config_json: String,
    /// The columns of every batch for this rule, in order.
    pub schema: Vec<Field>,
}

/// The bytes of one column, borrowed from the host's buffers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ColumnRef<'a> {
    /// One bit per row, least significant bit first, 1 for a value; empty if every row has one.
    pub validity: &'a [u8],
    /// Unsigned 32-bit little-endian integers; empty for fixed-width types.
    pub offsets: &'a [u8],
    /// The values, laid out as described at [`DataType`].
    pub values: &'a [u8],
}

/// The rows of one rule, by column in the order of the rule's schema.
#[derive(Debug, Clone, Copy)]
pub struct BatchRef<'a> {
    /// Number of rows.
    pub rows: u32,
    /// One for each field of the schema.
    pub columns: &'a [ColumnRef<'a>],
}

/// A finding as the plugin returned it; its row numbers were checked against the batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawFinding {
    /// Rows of the batch; empty only for a finding from a watermark.
    pub rows: Vec<u32>,
    /// In place of the rule's title.
    pub title: Option<String>,
    /// In place of the rule's severity.
    pub severity: Option<Severity>,
    /// In place of the rule's key columns.
    pub key: Option<String>,
    /// Kind and value of each observable.
    pub observables: Vec<(String, String)>,
    /// Further facts for a reader.
    pub context: Vec<(String, String)>,
}
