//! What an ingest did, and what in its input deserves a look.

use std::collections::BTreeMap;
use std::fmt;

use super::{Delays, IngestError, KeysWithoutColumn};

/// How many examples, names of files and messages a report keeps of each kind.
pub const SHOWN: usize = 10;

/// A place in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What stands there.
    pub value: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, line {}: {}", self.file, self.line, self.value)
    }
}

/// How many events something is true of, and where it was seen first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Option<Example>,
}

impl Tally {
    pub(crate) fn add(&mut self, example: impl FnOnce() -> Example) {
        self.count += 1;
        self.first.get_or_insert_with(example);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

/// What was counted among events that are written together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events, each of them a row now.
    pub events: u64,
    /// Events that are counted in the row of an equal one.
    pub repeated: u64,
    /// Lines, or values, that are not events.
    pub rejected: u64,
    /// The first of them: file, line, column and reason.
    pub bad_lines: Vec<String>,
    /// Events without a time that could be read.
    pub without_time: Tally,
    /// Events later than a day from now.
    pub in_future: Tally,
    /// Events before 1990.
    pub before_1990: Tally,
    /// Events whose time is not where the table says, and was found under a usual name.
    pub elsewhere: Tally,
    /// Events that have a key more than once.
    pub duplicate_keys: Tally,
    /// Events with bytes that are not UTF-8.
    pub not_utf8: Tally,
    /// Records of which a source's parser says that they hold no event.
    pub without_event: Tally,
    /// Values of events that are not of their column's type, by column; rules find them under the maker's name alone.
    pub unfit: BTreeMap<String, Tally>,
    /// How long after their times events arrived: when their file was changed last, or when a listener received them.
    pub delays: Delays,
    /// Events of a source, by class; those of no class under the empty name.
    pub classes: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn merge(&mut self, other: Self) {
        self.events += other.events;
        self.repeated += other.repeated;
        self.rejected += other.rejected;
        let room = SHOWN.saturating_sub(self.bad_lines.len());
        self.bad_lines
            .extend(other.bad_lines.into_iter().take(room));
        self.without_time.merge(other.without_time);
        self.in_future.merge(other.in_future);
        self.before_1990.merge(other.before_1990);
        self.elsewhere.merge(other.elsewhere);
        self.duplicate_keys.merge(other.duplicate_keys);
        self.not_utf8.merge(other.not_utf8);
        self.without_event.merge(other.without_event);
        for (column, tally) in other.unfit {
            self.unfit.entry(column).or_default().merge(tally);
        }
        self.delays.merge(&other.delays);
        for (class, events) in other.classes {
            *self.classes.entry(class).or_default() += events;
        }
    }
}

/// Where a row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The file.
    pub file: String,
    /// The line in which its record begins, from 1.
    pub line: u64,
    /// The source text, as the row has it.
    pub raw: String,
}

/// What an ingest did.
#[derive(Debug, Default)]
pub struct IngestReport {
    /// Where each row comes from, in the order of the input, where [`super::IngestOptions::trace`] asks for it.
    pub trace: Vec<Traced>,
    /// Files whose events were read, those that were passed over not counted.
    pub files: usize,
    /// Those that are not JSON, by the name of their format.
    pub formats: BTreeMap<&'static str, Vec<String>>,
    /// Names of those without an event.
    pub empty_files: Vec<String>,
    /// Events read, each of them a row now.
    pub events: u64,
    /// Objects written.
    pub written_files: usize,
    /// Bytes taken from the files, still compressed.
    pub bytes: u64,
    /// Bytes of the objects.
    pub written_bytes: u64,
    /// Lines that are not events.
    pub rejected: u64,
    /// Where these lines are kept, unless a file was given for them.
    pub kept: Vec<String>,
    /// Events without a time that could be read.
    pub without_time: u64,
    /// What else was counted among the events.
    pub counts: Counts,
    /// Files all of whose events were in the table before.
    pub ingested_before: Vec<String>,
    /// Files that have grown since they were ingested; only what is new was read.
    pub grown: Vec<String>,
    /// Files that begin like one that was ingested before but are shorter: they may be older copies of it. Files under
    /// 2 KiB are not found so.
    pub shorter: Vec<String>,
    /// Files of folders that hold no events, and what they are.
    pub passed_over: Vec<(String, String)>,
    /// Files that were rewritten, whose earlier rows left the table.
    pub replaced: Vec<String>,
    /// Files that were rewritten, whose earlier rows stay, because another file has the same content.
    pub kept_for_others: Vec<String>,
    /// Files that could not be read, or not to their end. Not in a strict ingest, which ends there.
    pub failed: Vec<IngestError>,
    /// Files, with the line, whose last event is not complete: more of it may come.
    pub incomplete: Vec<(String, u64)>,
    /// Files with zeros between events, and how many.
    pub zeros: Vec<(String, u64)>,
    /// Compressed files with other bytes behind the compressed data, and how many.
    pub trailing: Vec<(String, u64)>,
    /// Columns whose kind changed to hold every value, such as `port: int64 to text`.
    pub widened: Vec<String>,
    /// New columns whose names differ from another's in case only, such as `User, user`.
    pub alike: Vec<String>,
    /// Keys that have no column, because there was no room.
    pub without_column: KeysWithoutColumn,
    /// Columns of the table now, besides `event_time`, `unmapped` and `raw`.
    pub columns: usize,
}
