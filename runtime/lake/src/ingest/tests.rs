//! Whole ingests: every event is a row, every value of it is found again, and the same input gives the same bytes.

mod again;
mod archives;
mod converted;
mod inputs;
mod parsed;
mod property;
mod records;
mod rewritten;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use super::*;
use crate::definition::{PARTITION_COLUMN, RAW_COLUMN, TIME_COLUMN, UNMAPPED_COLUMN};
use crate::{ColumnKind, OnNullTime};

/// A lake in a directory of its own, and files to put into it.
struct Lake {
    directory: tempfile::TempDir,
}

impl Lake {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn options(&self, table: &str) -> IngestOptions {
        let lake = self.directory.path().join("lake");
        let location = Location::parse(lake.to_str().unwrap(), &BTreeMap::new()).unwrap();
        IngestOptions::new(table, location)
    }

    fn run(&self, options: IngestOptions, files: &[PathBuf]) -> Result<IngestReport, IngestError> {
        block_on(ingest(options, files, |_| {}))
    }

    /// Ingests one file of this content and returns the report and the table.
    fn ingested(&self, table: &str, content: impl AsRef<[u8]>) -> (IngestReport, Stored) {
        let file = self.file("input", content);
        let report = self.run(self.options(table), &[file]).unwrap();
        (report, self.stored(table))
    }

    fn stored(&self, table: &str) -> Stored {
        Stored::read(&self.options(table).to.join(table))
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
        .block_on(future)
}

/// A table as its reader sees it.
struct Stored {
    definition: TableDefinition,
    /// Path below the table, bytes and rows of each file.
    files: BTreeMap<String, (Vec<u8>, RecordBatch)>,
}

impl Stored {
    fn read(table: &Location) -> Self {
        block_on(async {
            let definition = TableDefinition::read(table).await.unwrap().unwrap();
            let objects: Vec<_> = table
                .store
                .list(Some(&table.prefix))
                .try_collect()
                .await
                .unwrap();
            let mut files = BTreeMap::new();
            for object in objects {
                let path = object.location.as_ref()[table.prefix.as_ref().len() + 1..].to_owned();
                if path.ends_with(".parquet") {
                    let bytes = table
                        .store
                        .get(&object.location)
                        .await
                        .unwrap()
                        .bytes()
                        .await
                        .unwrap();
                    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
                    let reader = reader.with_batch_size(1 << 20).build().unwrap();
                    let batches: Vec<_> = reader.map(Result::unwrap).collect();
                    assert_eq!(batches.len(), 1);
                    files.insert(path, (bytes.to_vec(), batches[0].clone()));
                }
            }
            Self { definition, files }
        })
    }

    fn rows(&self) -> usize {
        self.files.values().map(|(_, batch)| batch.num_rows()).sum()
    }

    /// The column's values as text, in the order of the files, after the cast that a reader does.
    fn texts(&self, column: &str) -> Vec<Option<String>> {
        let schema = self.definition.arrow_schema();
        let data_type = schema.field_with_name(column).unwrap().data_type();
        let mut texts = Vec::new();
        for (_, batch) in self.files.values() {
            match batch.column_by_name(column) {
                None => texts.extend(vec![None; batch.num_rows()]),
                Some(array) => {
                    let array = cast(&cast(array, data_type).unwrap(), &DataType::Utf8).unwrap();
                    texts.extend(
                        array
                            .as_string::<i32>()
                            .iter()
                            .map(|t| t.map(str::to_owned)),
                    );
                }
            }
        }
        texts
    }

    fn kind(&self, column: &str) -> Option<ColumnKind> {
        let mut columns = self.definition.columns.iter();
        columns.find(|c| c.name == column).map(|c| c.kind)
    }
}

/// What the checker found of a row: every column's text after the reader's cast, and the object of the unmapped.
fn check(stored: &Stored, expected: &[String]) {
    let mut raws = stored.texts(RAW_COLUMN);
    let mut wanted: Vec<_> = expected.iter().cloned().map(Some).collect();
    raws.sort();
    wanted.sort();
    assert_eq!(raws, wanted, "every event is one row");

    let schema = stored.definition.arrow_schema();
    let columns: HashMap<&str, Vec<Option<String>>> = schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), stored.texts(field.name())))
        .collect();
    for row in 0..stored.rows() {
        let raw = columns[RAW_COLUMN][row].as_deref().unwrap();
        let unmapped = columns[UNMAPPED_COLUMN][row].as_deref().unwrap_or("{}");
        let unmapped = event::members(unmapped).expect("unmapped is an object");
        for (key, value) in event::members(raw).unwrap() {
            if value == "null" {
                continue;
            }
            let in_unmapped = unmapped.iter().any(|(k, v)| *k == key && *v == value);
            let column = match &stored.definition.schema {
                None => columns.get(key.as_ref()),
                Some(_) => stored
                    .definition
                    .columns
                    .iter()
                    .find(|c| c.paths.iter().any(|p| p.segments() == [key.as_ref()]))
                    .and_then(|c| columns.get(c.name.as_str())),
            };
            let in_column = column
                .and_then(|texts| texts[row].as_deref())
                .is_some_and(|text| same(text, value));
            let in_time = columns[TIME_COLUMN][row].as_deref().is_some_and(|time| {
                time.trim_end_matches('Z') == event::text_of(value).trim_end_matches('Z')
            });
            assert!(
                in_unmapped || in_column || in_time,
                "`{key}`: {value} is lost: column {:?}, unmapped {unmapped:?}",
                column.map(|texts| &texts[row])
            );
        }
    }
}

/// Says whether a column's text is the value: the same text, or the same number.
fn same(text: &str, value: &str) -> bool {
    if event::text_of(value) == text {
        return true;
    }
    let is_number = value.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    is_number && matches!((text.parse::<f64>(), value.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}

/// Ingests the events into a table and checks that nothing is missing.
fn round_trip(table: &str, events: &[String]) -> (IngestReport, Stored) {
    let (report, stored) = Lake::new().ingested(table, events.join("\n"));
    assert_eq!(report.events, events.len() as u64);
    check(&stored, events);
    (report, stored)
}

fn texts(events: &[Value]) -> Vec<String> {
    events.iter().map(Value::to_string).collect()
}

#[test]
fn kinds_widen_and_no_value_is_lost() {
    let wide = 9_007_199_254_740_993_i64;
    let events = texts(&[
        json!({"time": 1_600_000_000, "a": 1, "b": 1, "c": wide, "d": true, "e": "x", "f": 1.5, "n": null}),
        json!({"time": 1_600_000_001, "a": 1.5, "b": "b", "c": 0.5, "d": 0, "e": {"y": [1]}, "f": wide}),
        json!({"time": 1_600_000_002, "a": [1, {"z": null}], "e": "{\"text\": 1}", "n": null}),
    ]);
    let (report, stored) = round_trip("t", &events);
    assert_eq!(stored.kind("a"), Some(ColumnKind::Json));
    assert_eq!(stored.kind("b"), Some(ColumnKind::Text));
    assert_eq!(stored.kind("c"), Some(ColumnKind::Text));
    assert_eq!(stored.kind("d"), Some(ColumnKind::Text));
    assert_eq!(stored.kind("e"), Some(ColumnKind::Json));
    assert_eq!(stored.kind("f"), Some(ColumnKind::Text));
    assert_eq!(stored.kind("n"), None);
    assert_eq!(stored.kind("time"), Some(ColumnKind::Int64));
    assert!(
        report.widened.contains(&"b: int64 to text".to_owned()),
        "{:?}",
        report.widened
    );
    assert_eq!(report.widened.len(), 6);
}

#[test]
fn a_second_ingest_widens_what_the_first_left() {
    let lake = Lake::new();
    let first = texts(&[json!({"ts": 1_600_000_000.25, "port": 80, "ok": true, "x": 0.1})]);
    let second =
        texts(&[json!({"ts": "2020-09-13T12:26:41Z", "port": 80.5, "ok": "maybe", "x": {}})]);
    let files = [
        lake.file("1", first.concat()),
        lake.file("2", second.concat()),
    ];
    lake.run(lake.options("t"), &files[..1]).unwrap();
    assert_eq!(lake.stored("t").kind("port"), Some(ColumnKind::Int64));
    let report = lake.run(lake.options("t"), &files[1..]).unwrap();
    assert_eq!(report.widened.len(), 4, "{:?}", report.widened);
    let stored = lake.stored("t");
    check(&stored, &[first, second].concat());
    assert_eq!(stored.kind("port"), Some(ColumnKind::Float64));
    assert_eq!(stored.rows(), 2);
}

#[test]
fn odd_keys_have_a_place() {
    let long = "k".repeat(300);
    let events = vec![
        r#"{"event_time":"2020-01-01T00:00:00Z","raw":"r","date":1,"unmapped":{"a":1},"id.orig_h":"h"}"#.to_owned(),
        r#"{"a":1,"a":"two","a":[3],"":"empty","A":"case","\u0061":4,"sp ace":" ","時":"刻"}"#.to_owned(),
        format!(r#"{{"{long}":1,"s":"x\ud800y","nul":"a\u0000b","quote\"key":1}}"#),
        "{}".to_owned(),
    ];
    let (report, stored) = round_trip("t", &events);
    assert_eq!(report.without_time, 3);
    assert_eq!(stored.definition.on_null_time, OnNullTime::Skip);
    for name in [
        "id.orig_h",
        "a",
        "A",
        "sp ace",
        "時",
        "s",
        "nul",
        "quote\"key",
    ] {
        assert!(stored.kind(name).is_some(), "{name}");
    }
    for name in ["", "raw", "date", "unmapped", "event_time", &long] {
        assert_eq!(stored.kind(name), None, "{name}");
    }
    assert_eq!(stored.kind("a"), Some(ColumnKind::Int64));
}

/// An event with `count` keys `{prefix}{n}`.
fn wide(prefix: &str, count: usize) -> String {
    let members = (0..count).map(|i| format!(r#""{prefix}{i}":{i}"#));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[test]
fn an_event_of_many_keys_leaves_columns_to_the_others() {
    let attack = format!(
        "{},\"time\":1600000000}}",
        wide("k", 1_000).trim_end_matches('}')
    );
    let honest = r#"{"time":1600000001,"cmd":"evil","CommandLine":"x"}"#.to_owned();
    let (report, stored) = round_trip("t", &[attack.clone(), honest.clone(), honest.clone()]);
    assert_eq!(report.columns, 500);
    assert_eq!(stored.kind("cmd"), Some(ColumnKind::Text));
    assert_eq!(stored.kind("k0"), Some(ColumnKind::Int64));
    assert_eq!(stored.kind("k999"), None);
    assert!(stored.definition.has_keys_without_column);
    let left = report.without_column;
    assert_eq!((left.count, left.is_more), (1_003 - 500, false));
    assert_eq!(left.most.len(), SHOWN);

    // In a table that it came into first, what rules know still gets a column at once, and what is frequent when it is.
    let lake = Lake::new();
    let known = IngestOptions {
        known_keys: Arc::new(["CommandLine".to_owned()].into()),
        ..lake.options("t")
    };
    lake.run(known.clone(), &[lake.file("1", &attack)]).unwrap();
    assert_eq!(lake.stored("t").definition.columns.len(), 500);
    lake.run(known.clone(), &[lake.file("2", &honest)]).unwrap();
    let stored = lake.stored("t");
    assert_eq!(stored.kind("CommandLine"), Some(ColumnKind::Text));
    assert_eq!(stored.kind("cmd"), None);
    check(&stored, &[attack.clone(), honest.clone()]);
    let many: Vec<String> = (0..150)
        .map(|n| {
            format!(
                r#"{{"time":{},"cmd":"x{n}","odd{n}":1}}"#,
                1_600_000_000 + n
            )
        })
        .collect();
    let report = lake.run(known, &[lake.file("3", many.join("\n"))]).unwrap();
    let stored = lake.stored("t");
    assert_eq!(stored.kind("cmd"), Some(ColumnKind::Text));
    assert_eq!(
        (stored.definition.columns.len(), stored.kind("odd7")),
        (503, None)
    );
    assert_eq!(report.without_column.count, 150);
    check(&stored, &[vec![attack, honest], many].concat());
}

#[test]
fn columns_stop_at_the_limit_whatever_comes() {
    let lake = Lake::new();
    let events: Vec<String> = (0..120)
        .flat_map(|_| [wide("a", 700), wide("b", 700)])
        .collect();
    let options = |chunk_events| IngestOptions {
        chunk_events,
        ..lake.options("t")
    };
    let file = lake.file("1", events.join("\n"));
    let report = lake.run(options(7), std::slice::from_ref(&file)).unwrap();
    assert_eq!(
        report.columns, 900,
        "the last are for names that rules know"
    );
    assert_eq!(report.without_column.count, 500);
    assert_eq!(report.without_column.most[0].1, 120);
    check(&lake.stored("t"), &events);
}

#[test]
fn kinds_follow_from_the_values_of_all_rows_whenever_a_key_gets_its_column() {
    let events: Vec<String> = (0..40)
        .map(|n| match n % 4 {
            0 => format!(r#"{{"time":1600000000,"a":{n}}}"#),
            1 => format!(r#"{{"time":1600000000,"a":{n}.5,"b":true}}"#),
            2 => format!(r#"{{"time":1600000000,"b":"x","late{n}":[{n}],"a":1,"a":2}}"#),
            _ => r#"{"time":1600000000,"b":false,"raw":"r"}"#.to_owned(),
        })
        .collect();
    for chunk_events in [1, 3, 100] {
        let lake = Lake::new();
        let options = IngestOptions {
            chunk_events,
            ..lake.options("t")
        };
        let report = lake
            .run(options, &[lake.file("input", events.join("\n"))])
            .unwrap();
        let stored = lake.stored("t");
        check(&stored, &events);
        assert_eq!(stored.kind("a"), Some(ColumnKind::Float64));
        assert_eq!(stored.kind("b"), Some(ColumnKind::Text));
        assert_eq!(report.counts.duplicate_keys.count, 10);
        assert_eq!(report.columns, 13);
        assert!(!stored.definition.has_keys_without_column);
    }
}

#[test]
fn cloudtrail_has_its_columns_and_keeps_the_rest() {
    let issuer = json!({"type": "Role", "arn": "arn:role", "userName": "admin"});
    let session = json!({"sessionIssuer": issuer, "attributes": {"mfaAuthenticated": "false"}});
    let events = texts(&[
        json!({"eventTime": "2023-07-10T11:42:36Z", "eventName": "GetObject", "readOnly": true,
               "userIdentity": {"type": "AssumedRole", "sessionContext": session},
               "requestParameters": {"bucketName": "b"}, "tlsDetails": {"v": 1}, "eventVersion": "1.08"}),
        json!({"eventTime": "2023-07-10T11:42:36.123456789Z", "readOnly": "maybe", "eventName": ["odd"],
               "userIdentity": "none", "responseElements": null, "requestParameters": "text"}),
        json!({"@timestamp": "2023-07-11T00:00:00.000Z", "errorCode": 404}),
    ]);
    let (report, stored) = round_trip("aws_cloudtrail", &events);
    assert_eq!(report.without_time, 0);
    assert_eq!(stored.definition.schema.as_deref(), Some("aws_cloudtrail"));
    let at = |column: &str| stored.texts(column);
    assert_eq!(at("user_name")[0].as_deref(), Some("admin"));
    assert_eq!(at("mfa_authenticated")[0].as_deref(), Some("false"));
    assert_eq!(at("read_only"), [Some("true".to_owned()), None, None]);
    assert_eq!(
        at(UNMAPPED_COLUMN)[0].as_deref(),
        Some(r#"{"tlsDetails":{"v":1},"eventVersion":"1.08"}"#)
    );
    assert_eq!(
        at(UNMAPPED_COLUMN)[1].as_deref(),
        Some(r#"{"eventTime":"2023-07-10T11:42:36.123456789Z","readOnly":"maybe"}"#)
    );
    assert_eq!(at("error_code")[2].as_deref(), Some("404"));
    assert_eq!(stored.files.len(), 2);
}

#[test]
fn files_hold_a_day_each_in_the_order_of_time() {
    let events = texts(&[
        json!({"time": "2020-01-02T00:00:00Z", "n": 0}),
        json!({"time": "2020-01-01T23:59:59.999999Z", "n": 1}),
        json!({"time": "2020-01-01T10:00:00Z", "n": 2}),
        json!({"time": "2020-01-02T01:00:00+01:00", "n": 3}),
        json!({"time": "1985-01-01T00:00:00Z", "n": 4}),
        json!({"time": "never", "n": 5}),
    ]);
    let (report, stored) = round_trip("t", &events);
    assert_eq!((report.written_files, report.without_time), (4, 1));
    let counts = &report.counts;
    assert_eq!((counts.before_1990.count, counts.in_future.count), (1, 0));
    let shown = counts.without_time.first.as_ref().unwrap();
    assert_eq!(
        (shown.line, shown.value.as_str()),
        (6, "\"never\" is not a time")
    );
    let days: Vec<_> = stored
        .files
        .keys()
        .map(|path| path.split('/').next().unwrap())
        .collect();
    let day = |text: &str| format!("{PARTITION_COLUMN}={text}");
    assert_eq!(
        days,
        [
            day("2020-01-01"),
            day("2020-01-02"),
            day("__HIVE_DEFAULT_PARTITION__"),
            day("other")
        ]
    );
    let numbers: Vec<_> = stored.texts("n").into_iter().flatten().collect();
    assert_eq!(numbers, ["2", "1", "0", "3", "5", "4"]);
    for (_, batch) in stored.files.values() {
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        assert!(times.iter().is_sorted());
        let schema = batch.schema();
        assert_eq!(schema.field(0).name(), TIME_COLUMN);
        assert_eq!(schema.fields().last().unwrap().name(), RAW_COLUMN);
    }
}

/// Events at noon of each of these days, so many of each.
fn on_days(days: impl IntoIterator<Item = (i64, usize)>) -> Vec<String> {
    let of_day = |(day, count): (i64, usize)| {
        let time = Timestamp::clamped(day * DAY + DAY / 2);
        (0..count).map(move |n| format!(r#"{{"time":"{time}","day":{day},"n":{n}}}"#))
    };
    days.into_iter().flat_map(of_day).collect()
}

#[test]
fn odd_times_make_no_object_a_day_and_no_time_range_hides_them() {
    // 20,000 days, from 1927 to 2036, an event each; a day of many events among them, and a clock that is days ahead.
    let today = now().micros() / DAY;
    let odd = on_days((-15_700..24_000).step_by(2).map(|day| (day, 1)));
    let busy = on_days([(18_000, 150), (17_999, 3), (today + 9, 500)]);
    let events = [odd, busy].concat();
    let lake = Lake::new();
    let file = lake.file("input", events.join("\n"));
    let report = lake.run(lake.options("t"), &[file]).unwrap();
    assert_eq!(report.events, events.len() as u64);
    let stored = lake.stored("t");
    check(&stored, &events);
    assert_eq!(report.written_files, 65, "64 days and the others");
    for day in ["date=2019-04-14/", "date=2019-04-13/", "date=other/"] {
        assert!(
            stored.files.keys().any(|path| path.starts_with(day)),
            "{day}"
        );
    }
    // Every object that may hold events of a range is opened for it.
    for day in [-15_700, 7_306, 9_000, 17_999, 18_000, today + 9, 23_998] {
        let at = |day: i64| Some(Timestamp::clamped(day * DAY));
        let range = yagura_core::TimeRange::new(at(day), at(day + 1)).unwrap();
        let config = crate::table::TableConfig {
            name: "t".to_owned(),
            location: lake.options("t").to.join("t"),
            time: None,
            time_unit: None,
            day_partition: None,
            on_null_time: None,
            on_bad_file: OnNullTime::Fail,
        };
        let cache =
            Arc::new(datafusion::execution::cache::default_cache::DefaultCache::new(1 << 20));
        let table = block_on(crate::table::Table::open(config, range, cache)).unwrap();
        let opened: Vec<&str> = table
            .files
            .iter()
            .map(|file| file.meta.location.as_ref())
            .collect();
        let wanted = format!(r#""day":{day},"#);
        for (path, (_, batch)) in &stored.files {
            let raws = batch.column_by_name(RAW_COLUMN).unwrap().as_string::<i32>();
            if raws.iter().flatten().any(|raw| raw.contains(&wanted)) {
                assert!(
                    opened.iter().any(|name| name.ends_with(path)),
                    "{day}: {path}"
                );
            }
        }
        assert!(table.files_out_of_range >= 63);
    }
}

#[test]
fn times_that_the_operator_expects_have_objects_of_their_own() {
    let lake = Lake::new();
    let file = lake.file(
        "input",
        on_days([(-400, 2), (60_000, 1), (30_000, 1)]).join("\n"),
    );
    let at = |day: i64| Timestamp::clamped(day * DAY);
    let options = IngestOptions {
        time_bounds: Some(TimeBounds {
            from: at(-500),
            to: at(40_000),
        }),
        ..lake.options("t")
    };
    lake.run(options, &[file]).unwrap();
    let files = lake.stored("t").files;
    let days: Vec<_> = files
        .keys()
        .filter_map(|path| path.split('/').next())
        .collect();
    assert_eq!(days, ["date=1968-11-27", "date=2052-02-20", "date=other"]);
}

#[test]
fn the_same_command_writes_the_same_bytes_again() {
    let events: Vec<String> = (0..1_000)
        .map(|i| {
            format!(
                r#"{{"time":{},"n":{i},"mixed":{}}}"#,
                1_600_000_000 + i * 97,
                if i % 7 == 0 { "\"x\"" } else { "1" }
            )
        })
        .collect();
    let run = || {
        let lake = Lake::new();
        let file = lake.file("input", events.join("\n"));
        let options = IngestOptions {
            chunk_events: 128,
            ..lake.options("t")
        };
        let files = [file];
        let report = lake.run(options.clone(), &files).unwrap();
        let first = lake.stored("t");
        assert_eq!(first.files.len(), report.written_files);
        let report = lake.run(options, &files).unwrap();
        assert_eq!((report.events, report.ingested_before.len()), (0, 1));
        let second = lake.stored("t");
        let names = |stored: &Stored| stored.files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&first),
            names(&second),
            "the second run passes it over"
        );
        check(&second, &events);
        (lake, first)
    };
    let (lake, first) = run();
    let copy = tempfile::tempdir().unwrap();
    let location = Location::parse(copy.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    let options = IngestOptions {
        chunk_events: 128,
        to: location.clone(),
        ..lake.options("t")
    };
    lake.run(options, &[lake.directory.path().join("input")])
        .unwrap();
    let again = Stored::read(&location.join("t"));
    let bytes = |stored: &Stored| {
        stored
            .files
            .iter()
            .map(|(k, v)| (k.clone(), v.0.clone()))
            .collect::<Vec<_>>()
    };
    assert!(
        bytes(&first) == bytes(&again),
        "another lake gets the same bytes"
    );
}

#[test]
fn chunks_split_by_bytes_too_and_a_huge_event_is_one() {
    let lake = Lake::new();
    let huge = format!(r#"{{"time":1600000000,"s":"{}"}}"#, "x".repeat(3 << 20));
    let small = r#"{"time":1600000000,"s":"y"}"#.to_owned();
    let events = [
        small.clone(),
        huge,
        small.replace('y', "z"),
        small.replace('y', "w"),
    ];
    let file = lake.file("input", events.join("\n"));
    let options = IngestOptions {
        chunk_bytes: 1 << 20,
        ..lake.options("t")
    };
    let report = lake.run(options, &[file]).unwrap();
    assert_eq!(report.written_files, 3);
    check(&lake.stored("t"), &events);
}

#[test]
fn a_table_keeps_its_schema_and_its_time_field() {
    let lake = Lake::new();
    let file = lake.file(
        "input",
        r#"{"time":1600000000,"seen":"2021-01-01T00:00:00Z"}"#,
    );
    let files = [file];
    let by_seen = IngestOptions {
        time_field: Some("seen".parse().unwrap()),
        ..lake.options("t")
    };
    lake.run(by_seen, &files).unwrap();
    lake.run(lake.options("t"), &files).unwrap();
    let stored = lake.stored("t");
    assert_eq!(stored.files.len(), 1);
    assert!(stored.files.keys().all(|path| path.contains("2021-01-01")));

    let other = IngestOptions {
        schema: Some("aws_cloudtrail".to_owned()),
        ..lake.options("t")
    };
    let error = lake.run(other, &files).unwrap_err();
    assert!(
        matches!(error, IngestError::OtherSchema { .. }),
        "{error:?}"
    );
    let other = IngestOptions {
        schema: Some("aws_cloudtrail".to_owned()),
        ..lake.options("trail")
    };
    lake.run(other, &files).unwrap();
    assert_eq!(
        lake.stored("trail").definition.schema.as_deref(),
        Some("aws_cloudtrail")
    );
}

#[test]
fn a_key_that_is_added_does_not_move_an_event() {
    let lake = Lake::new();
    let honest = r#"{"ts":"2026-03-01T00:00:00Z"}"#;
    let forged = r#"{"eventTime":"2020-01-01T00:00:00Z","ts":"2026-03-01T00:00:00Z"}"#;
    // One of many, that was there from the beginning, does not fix the table's place.
    lake.ingested("t", format!("{}\n{forged}", [honest; 40].join("\n")));
    let keys = lake.stored("t").definition.time_keys;
    assert_eq!(keys, ["ts".parse().unwrap()]);
    let (_, stored) = lake.ingested("t", format!("{forged}\n{forged}"));
    let days: Vec<&String> = stored.files.keys().collect();
    let in_march = days.iter().filter(|day| day.contains("2026-03-01"));
    // Only the one that came before the place was known.
    assert_eq!(days.len() - in_march.count(), 1, "{days:?}");
    // Another source of the same table has its time elsewhere.
    let (_, stored) = lake.ingested("t", r#"{"time":"2026-03-02T00:00:00Z"}"#);
    let keys = ["ts".parse().unwrap(), "time".parse().unwrap()];
    assert_eq!(stored.definition.time_keys, keys);
}

#[test]
fn nothing_to_read_still_makes_the_table() {
    let (report, stored) = Lake::new().ingested("aws_cloudtrail", "");
    assert_eq!((report.events, report.written_files), (0, 0));
    assert_eq!(report.empty_files.len(), 1);
    assert!(stored.definition.columns.len() > 20);
}

#[test]
fn progress_reaches_the_end() {
    let lake = Lake::new();
    let event = format!("{{\"time\":1600000000,\"s\":\"{}\"}}\n", "x".repeat(1_000));
    let file = lake.file("input", event.repeat(4_000));
    let mut seen = Vec::new();
    block_on(ingest(lake.options("t"), &[file], |progress| {
        seen.push(progress)
    }))
    .unwrap();
    assert!(seen.len() >= 3, "{seen:?}");
    let last = seen.last().unwrap();
    assert_eq!(
        (last.events, last.files, Some(last.bytes)),
        (4_000, 1, last.bytes_total)
    );
}

#[test]
fn names_of_directories_may_be_odd() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("a b%20#é");
    let location = Location::parse(odd.to_str().unwrap(), &BTreeMap::new()).unwrap();
    let file = directory.path().join("input");
    std::fs::write(&file, r#"{"time":1600000000}"#).unwrap();
    block_on(ingest(
        IngestOptions::new("t", location.clone()),
        &[file],
        |_| {},
    ))
    .unwrap();
    assert!(Path::new(&odd).join("t/_table.json").is_file());
    assert_eq!(Stored::read(&location.join("t")).rows(), 1);
}
