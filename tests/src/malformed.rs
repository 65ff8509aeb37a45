//! Raw logs in every form that `yagura ingest` reads, whole and in every way in which they may be wrong. Nothing is stored: all of it is
//! generated from one table, [`forms`]. A form that is not in this table fails the test `malformed::every_form_is_in_the_corpus`.
//!
//! Each record holds a mark that no other record of any file holds, so that a test can look for it among rows and rejected lines.

mod binary;
mod outcome;
mod packed;
mod text;

use std::ops::Range;

use yagura_lake::ingest::Format;

pub use outcome::{Outcome, Rejected, ingested};
pub use packed::{Packing, nested, pack, tar_of, zip_of};

/// Raw logs, and where their records lie.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The content of a file.
    pub bytes: Vec<u8>,
    /// The records, in their order.
    pub records: Vec<Record>,
}

/// A record of a sample.
#[derive(Debug, Clone)]
pub struct Record {
    /// What stands in this record alone.
    pub mark: String,
    /// Its place. A file that is cut behind its end holds all of it.
    pub range: Range<usize>,
}

impl Sample {
    /// Says whether the record's mark stands whole in these bytes.
    pub fn has_mark(bytes: &[u8], mark: &str) -> bool {
        let mut windows = bytes.windows(mark.len());
        windows.any(|window| window == mark.as_bytes())
    }
}

/// A form of raw logs.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Its name, as in `--format`, or that of a binary form.
    pub name: &'static str,
    /// How ingest is asked to read it.
    pub format: Format,
    /// How its files are made.
    pub make: Make,
    /// Whether the reading of a file ends at a fault, because nobody knows where the next record begins.
    pub ends_at_fault: bool,
    /// Whether the first line names the columns, whatever it is.
    pub is_headed: bool,
}

/// How the files of a form are made.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    /// Of texts.
    Text(&'static Text),
    /// As a whole, with marks of this number.
    Binary(fn(u32) -> Sample),
}

/// A form that is text. `MARK` stands for the mark of a record.
#[derive(Debug)]
pub struct Text {
    /// What stands before the records.
    pub head: &'static str,
    /// Records that are right.
    pub records: [&'static str; 3],
    /// What stands between two records.
    pub between: &'static str,
    /// What stands behind them.
    pub tail: &'static str,
    /// Records that are wrong, or odd: duplicate keys, quotes that are not closed, half of escapes.
    pub odd: &'static [&'static str],
    /// Where values nest: what stands before, what opens a level, what closes it, and what stands behind.
    pub nested: Option<[&'static str; 4]>,
    /// A record that can have any length: what stands before and behind what makes it long.
    pub long: [&'static str; 2],
}

/// Returns all forms.
pub fn forms() -> Vec<Form> {
    let mut forms = text::forms();
    forms.extend(binary::forms());
    forms
}

/// Returns the mark of a record: as long as every other, and no part of it.
pub fn mark(file: u32, record: usize) -> String {
    format!("k{file:06}r{record}q")
}

impl Form {
    /// Returns a file with three records, whose marks hold the number.
    pub fn sample(&self, number: u32) -> Sample {
        match self.make {
            Make::Text(text) => text.sample(number, &text.records.map(str::to_owned)),
            Make::Binary(make) => make(number),
        }
    }

    /// Returns what makes its files, if they are text.
    pub fn text(&self) -> Option<&'static Text> {
        match self.make {
            Make::Text(text) => Some(text),
            Make::Binary(_) => None,
        }
    }
}

impl Text {
    /// Returns a file of these records.
    pub fn sample(&self, number: u32, records: &[String]) -> Sample {
        let mut text = self.head.to_owned();
        let mut found = Vec::new();
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                text.push_str(self.between);
            }
            let mark = mark(number, index);
            let start = text.len();
            text.push_str(&record.replace("MARK", &mark));
            found.push(Record {
                mark,
                range: start..text.len(),
            });
        }
        text.push_str(self.tail);
        Sample {
            bytes: text.into_bytes(),
            records: found,
        }
    }

    /// Returns a file with an odd record between two that are right.
    pub fn around(&self, number: u32, odd: &str) -> Sample {
        let [first, .., last] = self.records;
        self.sample(number, &[first.to_owned(), odd.to_owned(), last.to_owned()])
    }

    /// Returns its odd records: those of the table, and one whose values nest as deep as this.
    pub fn odd(&self, depth: usize) -> Vec<String> {
        let mut odd: Vec<String> = self.odd.iter().map(|text| (*text).to_owned()).collect();
        let nested = self.nested.map(|[before, open, close, behind]| {
            format!(
                "{before}{}{}{behind}",
                open.repeat(depth),
                close.repeat(depth)
            )
        });
        odd.extend(nested);
        odd
    }
}
