//! The forms that are not text: they are recognised by their first bytes, and `--format` has no name for them.

#![expect(clippy::unwrap_used, reason = "a test without its files must fail")]

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use yagura_lake::ingest::Format;

use super::{Form, Make, Record, Sample, mark};

mod evtx;

pub(super) fn forms() -> [Form; 2] {
    let form = |name, make| Form {
        name,
        format: Format::Auto,
        make: Make::Binary(make),
        ends_at_fault: true,
        is_headed: false,
    };
    [form("evtx", evtx::sample), form("parquet", parquet)]
}

/// A Parquet file is one piece: its footer, at the end, says where everything is.
fn parquet(number: u32) -> Sample {
    let marks: Vec<String> = (0..3).map(|record| mark(number, record)).collect();
    let times = StringArray::from(vec!["2026-03-01T10:11:12Z"; 3]);
    let users = StringArray::from(marks.clone());
    let columns: [(&str, ArrayRef); 2] = [("time", Arc::new(times)), ("user", Arc::new(users))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let range = 0..bytes.len();
    let records = marks.into_iter().map(|mark| Record {
        mark,
        range: range.clone(),
    });
    Sample {
        records: records.collect(),
        bytes,
    }
}
