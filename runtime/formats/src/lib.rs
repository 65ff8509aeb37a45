//! Formats of logs that are not JSON: a line of text becomes an event.
//!
//! ```text
//! line ──Decode::line──▶ Decoded::Event: members of one JSON object │ Decoded::Nothing: a header or a comment │ Wrong
//! ```
//!
//! Most records are one line. For the others [`Gather`] says which lines belong together, and the decoder is given all of them.
//!
//! A decoder belongs to one file, because a header says what the lines after it mean. The names of members are those of the
//! maker's documentation. Text stays text, unless the format itself says that a value is a number. Nothing of a line is lost: what a
//! format does not name goes into a member of its own.

mod access;
mod auditd;
mod avro;
mod aws;
mod binxml;
mod cef;
mod clock;
mod csv;
mod evtx;
mod gather;
mod grok;
mod leef;
mod logfmt;
mod member;
mod modsecurity;
mod parts;
#[cfg(test)]
mod properties;
mod received;
mod registry;
mod syslog;
mod text;
mod times;
mod w3c;
mod windows_xml;
mod xml;
mod zeek;
mod zone;

pub use avro::{Avro, Unpack};
pub use evtx::Evtx;
pub use gather::{Gather, MOST_BYTES, MOST_LINES, Record, Rest, Taken};
pub use grok::{GROK_PATTERNS, Grok, GrokError, GrokPattern, field_name as grok_field_name};
pub use received::received;
pub use registry::LineFormat;
pub use times::duration;
pub use xml::XmlRecords;
pub use zone::{Zone, ZoneError};

use serde_json::{Map, Value};

/// What a line begins with that stands for a part of a file that could not be read; the reason and `?>` follow.
pub const DAMAGED: &str = windows_xml::DAMAGED;

/// What a line holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// An event: the members of a JSON object, in order.
    Event(Map<String, Value>),
    /// A header, a comment or nothing.
    Nothing,
}

/// Why a line is not an event of its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong, as the end of a sentence: "the header has 5 columns, and this line 6".
    pub reason: String,
    /// Where, in bytes from the start of the line.
    pub at: usize,
}

/// Reads the lines of one file.
pub trait Decode: Send {
    /// Reads a line, without its line end; a record of several lines has line ends between them.
    ///
    /// # Errors
    /// [`Wrong`]: the line is not an event of this format. The next line is read as if this one did not exist.
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong>;

    /// Says until when the lines that follow were written, in microseconds since 1970: a time without a year is at most 1 day after it.
    fn written_until(&mut self, _micros: i64) {}
}
