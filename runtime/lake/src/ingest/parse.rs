//! The port for parsers: what makes events of raw records in a form that no format describes.

use std::error::Error;
use std::fmt;

/// Makes events of raw records. Ingest calls it with many records at once, of one file, in their order. What a record becomes must
/// depend on its bytes alone.
pub trait RecordParser: fmt::Debug + Send + Sync {
    /// Returns what each record holds, in the order of the records.
    ///
    /// # Errors
    /// No record can be parsed at present. The ingest ends there; what was written before stays, and nothing is lost: the records
    /// are read again by the next ingest.
    fn parse(&self, records: &[&[u8]]) -> Result<Vec<ParsedRecord>, Box<dyn Error + Send + Sync>>;
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedRecord {
    /// Events, each the text of a JSON object; none for a header, for instance.
    Events(Vec<String>),
    /// It cannot be parsed, with the reason. It is kept with lines that are not events.
    Wrong(String),
}
