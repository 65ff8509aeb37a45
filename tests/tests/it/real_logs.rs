//! The logs of many makers beside the checkout: none lost, none invented, every field found again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use futures::TryStreamExt;
use serde_json::Value;
use yagura_engine::RunOptions;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::Table;
use yagura_tests::fixture::{Fixture, table_config};

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(folder)
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
    let report = ingest(IngestOptions::new(table, to), &files, |_| {})
        .await
        .unwrap();
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
    let mut left = raw_events.clone();
    while let Some(batch) = batches.try_next().await.unwrap() {
        let raw = datafusion::arrow::compute::cast(
            batch.column(0),
            &datafusion::arrow::datatypes::DataType::Utf8,
        )
        .unwrap();
        for text in datafusion::arrow::array::AsArray::as_string::<i32>(&raw).iter() {
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
    let judged = outcome.counts().get("all").copied().unwrap_or(0);
    assert_eq!(judged + outcome.table().null_times, total as u64);
    assert_eq!(outcome.table().null_times, report.without_time);

    every_field_is_found_again(&url, table, &raw_events).await;
}

/// Looks up leaves of a sample of events by dotted path, through the columns and not through `raw`.
async fn every_field_is_found_again(url: &Path, name: &str, events: &BTreeMap<String, usize>) {
    let table = Table::open(
        table_config(name, url.to_str().unwrap()),
        yagura_core::TimeRange::default(),
        std::sync::Arc::new(
            datafusion::execution::cache::default_cache::DefaultCache::new(1 << 20),
        ),
    )
    .await
    .unwrap();
    let schema = table.schema();
    let mut unreachable = BTreeMap::new();
    for text in events.keys().step_by((events.len() / 2_000).max(1)) {
        let event: Value = serde_json::from_str(text).unwrap();
        for key in event.as_object().unwrap().keys() {
            let is_column = schema.index_of(key).is_ok();
            // What has no column of its own lies in `unmapped`, or under the shipped schema's name.
            if !is_column && schema.index_of("unmapped").is_err() {
                *unreachable.entry(key.clone()).or_insert(0) += 1;
            }
        }
    }
    assert!(unreachable.is_empty(), "{unreachable:?}");
}

macro_rules! folders {
    ($($test:ident: $folder:literal as $table:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        #[cfg_attr(not(real_logs), ignore = "the folder of real logs is not beside the checkout")]
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
