//! The port for sources: what makes rows of one form out of the events of a maker.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use yagura_core::{FieldPath, Timestamp};
use yagura_formats::Grok;

use super::each::Each;
use super::parse::RecordParser;
use super::repeats::Repeats;
use crate::ColumnDefinition;

/// Makes rows of one form out of events. Ingest calls it with many events at once, and keeps each event beside what is made of it.
pub trait Normalize: fmt::Debug + Send + Sync {
    /// Returns what each event comes to, in their order; the events are JSON objects.
    ///
    /// An event that fits nothing comes to [`Normalized::default`]; it is a row all the same.
    fn normalize(&self, events: &[&str]) -> Vec<Normalized>;

    /// Returns a line that is no event without what must not be stored.
    fn masked_line<'t>(&self, line: &'t str) -> Cow<'t, str> {
        Cow::Borrowed(line)
    }

    /// Returns an event, and its source text where that is another, without what must not be stored. It is called before
    /// [`Self::normalize`]. An event whose source text is left out is its own.
    fn masked_event(&self, event: String, raw: Option<String>) -> (String, Option<String>) {
        (event, raw)
    }
}

/// What an event comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Normalized {
    /// The members of the row as the inside of a JSON object, without its braces: `"class_uid":3002,"user.name":"eve"`.
    pub members: String,
    /// The class of the row, for the report; empty where the event has none.
    pub class: &'static str,
    /// The event's time, where an expression says it.
    pub time: Option<Timestamp>,
    /// Values that are not of their column's type, each with the column's name. They are not in `members`.
    pub unfit: Vec<(String, String)>,
}

/// A source as ingest needs it.
#[derive(Debug, Clone)]
pub struct SourceTable {
    /// Name of the source, which the table keeps.
    pub name: String,
    /// Where its events keep their time, the best place first; empty for the usual names.
    pub time_paths: Vec<FieldPath>,
    /// What reads the lines, where the source has a shape of its own.
    pub grok: Option<Grok>,
    /// What reads the records, where no format and no pattern does. Each line is a record then.
    pub parser: Option<Arc<dyn RecordParser>>,
    /// Arrays whose elements are the events; absent where an event is what stands in a line or an array of a file.
    pub each: Option<Arc<Each>>,
    /// Which events are the same message again; absent where each event is a row.
    pub repeats: Option<Repeats>,
    /// The column that receives when a row was ingested, in milliseconds since 1970; absent where there is none, or the source fills it.
    pub processed_time: Option<String>,
    /// The columns that its rows may have. A new table has them from the start.
    pub columns: Vec<ColumnDefinition>,
    /// Makes its rows.
    pub normalizer: Arc<dyn Normalize>,
}
