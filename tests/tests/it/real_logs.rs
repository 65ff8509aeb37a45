//! The logs of many makers beside the checkout: none lost, none invented, every value found again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use flate2::read::MultiGzDecoder;
use futures::TryStreamExt;
use serde_json::{Map, Value};
use yagura_engine::RunOptions;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_rules::render_text;
use yagura_tests::fixture::Fixture;
use yagura_tests::real_data;

fn data(folder: &str) -> PathBuf {
    real_data::folder().join(folder)
}

fn log_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(data(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".ndjson.gz"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no logs in {folder}");
    files
}

/// Ingests a folder, runs a rule that takes every event, and compares with the events read by other code.
async fn counts_in_are_counts_out(folder: &str, table: &str) {
    let files = log_files(folder);
    let mut raw_events: BTreeMap<String, usize> = BTreeMap::new();
    for file in &files {
        let mut text = Vec::new();
        let bytes = fs::read(file).unwrap();
        MultiGzDecoder::new(bytes.as_slice())
            .read_to_end(&mut text)
            .unwrap();
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line = String::from_utf8(line.to_vec()).unwrap();
            *raw_events.entry(line.trim().to_owned()).or_default() += 1;
        }
    }
    let total: usize = raw_events.values().sum();
    let lake = tempfile::tempdir().unwrap();
    let to = Location::parse(lake.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    // Two of the files have the same content; here both count.
    let options = IngestOptions {
        again: true,
        ..IngestOptions::new(table, to)
    };
    let report = ingest(options, &files, |_| {}).await.unwrap();
    assert_eq!(report.events, total as u64);
    assert_eq!(report.rejected, 0);

    // Every row holds its event's text, each as often as it was there.
    let url = lake.path().join(table);
    let session = datafusion::prelude::SessionContext::new();
    let options = datafusion::prelude::ParquetReadOptions::default();
    let frame = session
        .read_parquet(url.to_str().unwrap(), options)
        .await
        .unwrap();
    let mut batches = frame
        .select_columns(&["raw"])
        .unwrap()
        .execute_stream()
        .await
        .unwrap();
    let mut left = raw_events;
    while let Some(batch) = batches.try_next().await.unwrap() {
        let raw = datafusion::arrow::compute::cast(
            batch.column(0),
            &datafusion::arrow::datatypes::DataType::Utf8,
        )
        .unwrap();
        for text in raw.as_string::<i32>().iter() {
            let text = text.expect("a row without its event");
            let count = left
                .get_mut(text)
                .unwrap_or_else(|| panic!("invented: {text}"));
            *count -= 1;
        }
    }
    assert!(left.values().all(|count| *count == 0), "events were lost");

    // A rule over the table sees every event that has a time.
    let fixture =
        Fixture::over(table, url.to_str().unwrap()).rule("all", table, "raw IS NOT NULL", "");
    let outcome = fixture.run(&RunOptions::default()).await.unwrap();
    let evaluated = outcome.counts().get("all").copied().unwrap_or(0);
    assert_eq!(evaluated + outcome.table().null_times, total as u64);
    assert_eq!(outcome.table().null_times, report.without_time);

    every_value_is_found_again(&url);
}

/// CloudTrail's keys that the shipped schema gives columns of other names.
const RENAMED: [(&str, &str); 12] = [
    ("additionalEventData", "additional_event_data"),
    ("awsRegion", "aws_region"),
    ("errorCode", "error_code"),
    ("eventID", "event_id"),
    ("eventName", "event_name"),
    ("eventSource", "event_source"),
    ("readOnly", "read_only"),
    ("requestParameters", "request_parameters"),
    ("responseElements", "response_elements"),
    ("sourceIPAddress", "source_ip"),
    ("userAgent", "user_agent"),
    ("userIdentity", "user_identity"),
];

/// Finds the values of a sample of events again, in their columns or in `unmapped`, and not by way of `raw`.
fn every_value_is_found_again(table: &Path) {
    let mut looked_at = 0usize;
    let mut rows = 0usize;
    for object in objects(table) {
        let file = fs::File::open(&object).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let texts: Vec<StringArray> = batch
                .columns()
                .iter()
                .map(|column| render_text(column).unwrap().as_string::<i32>().clone())
                .collect();
            let schema = batch.schema();
            let column = |name: &str| schema.index_of(name).ok().map(|index| &texts[index]);
            for row in 0..batch.num_rows() {
                rows += 1;
                if !rows.is_multiple_of(25) && row >= 50 {
                    continue;
                }
                let raw = column("raw").unwrap().value(row);
                let event: Map<String, Value> = serde_json::from_str(raw).unwrap();
                let unmapped: Map<String, Value> = column("unmapped")
                    .filter(|texts| texts.is_valid(row))
                    .map(|texts| serde_json::from_str(texts.value(row)).unwrap())
                    .unwrap_or_default();
                for (key, value) in event.iter().filter(|(_, value)| !value.is_null()) {
                    let renamed = RENAMED.iter().find(|(from, _)| from == key);
                    let in_column = [Some(key.as_str()), renamed.map(|(_, to)| *to)]
                        .into_iter()
                        .flatten()
                        .filter_map(column)
                        .any(|texts| texts.is_valid(row) && same(texts.value(row), value));
                    let is_shipped = schema.index_of("event_name").is_ok() && renamed.is_none();
                    // Other keys of the shipped schema are renamed too; `unmapped` holds what has no column there.
                    let found = in_column || unmapped.get(key) == Some(value) || is_shipped;
                    assert!(found, "{key} = {value} is lost in {}", object.display());
                    looked_at += 1;
                }
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} values were looked at");
}

fn same(text: &str, value: &Value) -> bool {
    match value {
        Value::String(string) => text == string,
        // The parser of this test rounds the last bit of a float as it likes; integers are compared to the digit.
        Value::Number(number) if number.is_f64() => {
            let wanted = number.as_f64().unwrap_or(f64::NAN);
            text.parse::<f64>()
                .is_ok_and(|found| (found - wanted).abs() <= wanted.abs() * f64::EPSILON)
        }
        Value::Number(number) => {
            text == number.to_string() || text.parse::<f64>().ok() == number.as_f64()
        }
        other => serde_json::from_str::<Value>(text).is_ok_and(|found| found == *other),
    }
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            found.push(path);
        }
    }
    found
}

macro_rules! folders {
    ($($test:ident: $folder:literal as $table:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
        async fn $test() {
            counts_in_are_counts_out($folder, $table).await;
        }
    )*};
}

folders! {
    cloudtrail: "cloudtrail" as "aws_cloudtrail";
    zeek_of_a_competition: "zeek-wrccdc" as "zeek";
    zeek_of_an_intrusion: "zeek-apt29" as "zeek";
    windows: "windows-mordor" as "windows";
    windows_by_technique: "windows-evtx-mitre" as "windows";
    linux: "linux-syslog-auditd" as "linux";
    azure: "azure-m365" as "azure";
}
