//! What became of files: rows, rejected lines, and what the report says.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read what was written must fail"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use datafusion::arrow::array::AsArray;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use yagura_lake::ingest::{IngestOptions, IngestReport, ingest};
use yagura_lake::{IngestError, Location};

/// A line that is kept because it is not an event.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The name of its file, without the folder.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// Why it is not an event.
    pub reason: String,
    /// What stood there.
    pub text: String,
}

/// What an ingest left in a table.
#[derive(Debug)]
pub struct Outcome {
    /// The source text of each row.
    pub rows: Vec<String>,
    /// What is kept beside the table.
    pub rejected: Vec<Rejected>,
    /// Names of files of which a part was not read, each with the reason.
    pub unread: BTreeMap<String, String>,
    /// The report of the last ingest.
    pub report: IngestReport,
    /// In how many rows each mark stands.
    marks: HashMap<String, usize>,
}

/// Ingests files into the table `t` of a lake below `dir`, nothing strict, and reads back what is in it.
///
/// # Errors
/// [`IngestError`]: none of them may end an ingest that is not strict.
pub async fn ingested(
    dir: &Path,
    files: &[PathBuf],
    change: impl FnOnce(&mut IngestOptions),
) -> Result<Outcome, IngestError> {
    let lake = dir.join("lake");
    let to = Location::parse(lake.to_str().unwrap(), &BTreeMap::new()).unwrap();
    let mut options = IngestOptions::new("t", to);
    options.strict = false;
    change(&mut options);
    let report = ingest(options, files, |_| {}).await?;
    let mut outcome = Outcome {
        rows: Vec::new(),
        rejected: Vec::new(),
        unread: unread(&report),
        report,
        marks: HashMap::new(),
    };
    outcome.read(&lake.join("t"));
    Ok(outcome)
}

/// Returns the last part of a path.
fn name_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn unread(report: &IngestReport) -> BTreeMap<String, String> {
    let mut unread = BTreeMap::new();
    for error in &report.failed {
        let text = error.to_string();
        // Messages put the file's name first, in backquotes or bare.
        let words = text.split(['`', ' ', ',', ':']);
        let name = words.map(name_of).find(|word| word.starts_with("in-"));
        unread.insert(name.unwrap_or_default(), text);
    }
    for (file, line) in &report.incomplete {
        unread.insert(name_of(file), format!("line {line} is not complete"));
    }
    for (file, reason) in &report.passed_over {
        unread.insert(name_of(file), reason.clone());
    }
    for file in &report.empty_files {
        unread
            .entry(name_of(file))
            .or_insert_with(|| "it holds no events".to_owned());
    }
    unread
}

impl Outcome {
    fn read(&mut self, dir: &Path) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.to_str().unwrap();
            if path.is_dir() {
                self.read(&path);
            } else if name.ends_with(".parquet") {
                self.read_rows(&path);
            } else if name.contains("/_rejected/") {
                let text = fs::read_to_string(&path).unwrap();
                self.rejected.extend(text.lines().map(rejected));
            }
        }
    }

    fn read_rows(&mut self, path: &Path) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            let raw = batch.column_by_name("raw").unwrap();
            let raw = raw.as_string::<i32>().iter();
            for text in raw.map(Option::unwrap) {
                let found: BTreeSet<&str> = marks(text).collect();
                for mark in found {
                    *self.marks.entry(mark.to_owned()).or_default() += 1;
                }
                self.rows.push(text.to_owned());
            }
        }
    }

    /// Returns how many rows hold a mark.
    pub fn rows_with(&self, mark: &str) -> usize {
        if marks(mark).next() == Some(mark) {
            return self.marks.get(mark).copied().unwrap_or_default();
        }
        self.rows.iter().filter(|row| row.contains(mark)).count()
    }

    /// Says whether a rejected line holds a mark.
    pub fn is_rejected(&self, mark: &str) -> bool {
        self.rejected.iter().any(|line| line.text.contains(mark))
    }

    /// Checks that the report counts what is there, and that each rejected line says where it stood and why it is not an event.
    ///
    /// # Panics
    /// If not.
    pub fn reconcile(&self, form: &str) {
        assert_eq!(self.report.events, self.rows.len() as u64, "{form}");
        assert_eq!(self.report.rejected, self.rejected.len() as u64, "{form}");
        for line in &self.rejected {
            let is_named = line.line > 0 && line.column > 0 && !line.reason.is_empty();
            assert!(is_named && !line.file.is_empty(), "{form}: {line:?}");
        }
        let shown: BTreeSet<&String> = self.report.counts.bad_lines.iter().collect();
        assert_eq!(
            shown.is_empty(),
            self.rejected.is_empty(),
            "{form}: {shown:?}"
        );
    }
}

/// Returns the marks in a text: see [`super::mark`].
fn marks(text: &str) -> impl Iterator<Item = &str> {
    const LENGTH: usize = 10;
    let is_mark = |mark: &&str| {
        let bytes = mark.as_bytes();
        bytes[7] == b'r' && bytes[9] == b'q' && bytes[1..7].iter().all(u8::is_ascii_digit)
    };
    let starts = text.match_indices('k');
    let found = starts.filter_map(|(at, _)| text.get(at..at + LENGTH));
    found.filter(is_mark)
}

fn rejected(line: &str) -> Rejected {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    Rejected {
        file: name_of(&text("file")),
        line: line["line"].as_u64().unwrap(),
        column: line["column"].as_u64().unwrap(),
        reason: text("reason"),
        text: text("text"),
    }
}
