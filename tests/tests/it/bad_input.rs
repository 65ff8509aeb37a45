//! Objects and rows that are not as they should be: a clear error that names them, or a counted skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use yagura_core::Timestamp;
use yagura_engine::RunOptions;
use yagura_lake::table::OnProblem;
use yagura_tests::fixture::{Fixture, Outcome, full_message, ingest_lines};

/// Writes an object with `rows` events, one a second from `start`, named `n0`, `n1` …
fn object(path: &Path, start: i64, rows: i64) {
    let times: Vec<i64> = (0..rows).map(|i| start + i * 1_000_000).collect();
    let names: Vec<String> = (0..rows).map(|i| format!("n{i}")).collect();
    write(
        path,
        vec![
            (
                "event_time",
                Arc::new(TimestampMicrosecondArray::from(times)),
            ),
            ("name", Arc::new(StringArray::from(names))),
        ],
    );
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(1_000))
        .build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

struct Table {
    dir: tempfile::TempDir,
}

impl Table {
    fn of(objects: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let table = Self { dir };
        for index in 0..objects {
            let start = i64::try_from(index).unwrap() * 1_000_000_000;
            object(&table.path(index), start, 5_000);
        }
        table
    }

    fn path(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("part-{index}.parquet"))
    }

    fn fixture(&self) -> Fixture {
        Fixture::over("t", self.dir.path().to_str().unwrap()).rule("r", "t", "name = 'n7'", "")
    }

    async fn error(&self) -> String {
        let error = self
            .fixture()
            .run(&RunOptions::default())
            .await
            .unwrap_err();
        full_message(&error)
    }

    async fn skipping(&self) -> Outcome {
        let mut fixture = self.fixture();
        fixture.input.tables[0].on_bad_file = OnProblem::Skip;
        fixture.run(&RunOptions::default()).await.unwrap()
    }
}

/// The bad object is named, and left out with a count where the configuration allows it.
async fn assert_named_or_skipped(table: &Table, bad: &Path, good_findings: u64) {
    let message = table.error().await;
    assert!(message.contains(bad.to_str().unwrap()), "{message}");
    assert!(message.contains("table `t`"), "{message}");
    assert!(message.contains("on_bad_file = \"skip\""), "{message}");
    let outcome = table.skipping().await;
    assert_eq!(outcome.counts()["r"], good_findings);
    let left_out: Vec<&str> = outcome
        .table()
        .bad_files
        .iter()
        .map(|(file, _)| file.as_str())
        .collect();
    assert_eq!(left_out, [bad.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_object() {
    let table = Table::of(3);
    let bad = table.path(1);
    let bytes = fs::read(&bad).unwrap();
    fs::write(&bad, &bytes[..bytes.len() - 100]).unwrap();
    assert_named_or_skipped(&table, &bad, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_no_parquet() {
    let table = Table::of(2);
    fs::write(table.path(0), "time,name\n1,n7\n").unwrap();
    assert_named_or_skipped(&table, &table.path(0), 1).await;
}

/// Found by fuzzing: the reader subtracts more than there is.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_on_which_the_reader_panics() {
    let table = Table::of(2);
    let found = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fuzz/corpus/parquet/footer-that-panics"
    );
    fs::write(table.path(0), fs::read(found).unwrap()).unwrap();
    assert_named_or_skipped(&table, &table.path(0), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_a_byte() {
    let table = Table::of(2);
    fs::write(table.path(1), "").unwrap();
    let outcome = table.fixture().run(&RunOptions::default()).await.unwrap();
    assert_eq!(outcome.counts()["r"], 1);
    let empty = &outcome.table().table.passed_over.empty;
    assert_eq!(empty.count, 1);
    assert_eq!(empty.first.as_deref(), table.path(1).to_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_pages_are_damaged() {
    let table = Table::of(3);
    let bad = table.path(2);
    let mut bytes = fs::read(&bad).unwrap();
    // The footer stays whole: only reading the pages finds it.
    let middle = bytes.len() / 3;
    bytes[4..middle].fill(0xa5);
    fs::write(&bad, &bytes).unwrap();
    assert_named_or_skipped(&table, &bad, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_disappears_after_it_was_listed() {
    let table = Table::of(3);
    // The scan's own store answers as if another process had removed the object after the listing.
    let gone = table.path(1);
    let fixture = table.fixture();
    let options = RunOptions::default();
    let error = yagura_engine::run(fixture.input.clone(), &options, |_, _| {
        fs::remove_file(&gone).unwrap();
    })
    .await
    .unwrap_err();
    let message = full_message(&error);
    assert!(message.contains(gone.to_str().unwrap()), "{message}");
    assert!(message.contains("table `t`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_whose_columns_drift() {
    let table = Table::of(1);
    let time = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![5_000_000_000])) };
    // One object holds numbers where the others hold text, and one has a column more.
    write(
        &table.path(1),
        vec![
            ("event_time", time()),
            ("name", Arc::new(Int64Array::from(vec![42]))),
        ],
    );
    write(
        &table.path(2),
        vec![
            ("event_time", time()),
            ("name", Arc::new(StringArray::from(vec!["x"]))),
            ("extra", Arc::new(StringArray::from(vec!["more"]))),
        ],
    );
    let outcome = Fixture::over("t", table.dir.path().to_str().unwrap())
        .rule("text", "t", "name = 'n7'", "")
        .rule("number", "t", "name = '42'", "")
        .rule("more", "t", "extra = 'more'", "")
        .rule("less", "t", "extra IS NULL AND name = 'n3'", "")
        .run(&RunOptions::default())
        .await
        .unwrap();
    let counts: Vec<(String, u64)> = outcome.counts().into_iter().collect();
    let want = [("less", 1), ("more", 1), ("number", 1), ("text", 1)];
    assert_eq!(counts, want.map(|(id, count)| (id.to_owned(), count)));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_whose_columns_differ_are_one_table() {
    let table = Table::of(1);
    let lists = datafusion::arrow::array::ListArray::from_iter_primitive::<
        datafusion::arrow::datatypes::Int64Type,
        _,
        _,
    >([Some([Some(1)])]);
    write(
        &table.path(1),
        vec![
            (
                "event_time",
                Arc::new(TimestampMicrosecondArray::from(vec![1])),
            ),
            ("name", Arc::new(lists)),
        ],
    );
    let fixture = table.fixture().rule("list", "t", "name = '[1]'", "");
    let outcome = fixture.run(&RunOptions::default()).await.unwrap();
    assert_eq!((outcome.counts()["r"], outcome.counts()["list"]), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_are_null_or_absurd() {
    let table = Table::of(1);
    let good = Timestamp::default().micros();
    write(
        &table.path(1),
        vec![
            (
                "event_time",
                Arc::new(TimestampMicrosecondArray::from(vec![
                    Some(good),
                    None,
                    Some(i64::MAX),
                    Some(i64::MIN),
                ])),
            ),
            ("name", Arc::new(StringArray::from(vec!["n7"; 4]))),
        ],
    );
    let message = table.error().await;
    assert!(message.contains("row 1 of"), "{message}");
    assert!(message.contains("part-1.parquet"), "{message}");
    assert!(message.contains("on_null_time = \"skip\""), "{message}");
    let mut fixture = table.fixture();
    fixture.input.tables[0].on_null_time = Some(OnProblem::Skip);
    let outcome = fixture.run(&RunOptions::default()).await.unwrap();
    assert_eq!(outcome.counts()["r"], 2);
    assert_eq!(outcome.table().null_times, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8() {
    let table = Table::of(1);
    let bytes = datafusion::arrow::array::BinaryArray::from(vec![&b"n\xff7"[..]]);
    // A writer that labels bytes as text without looking: the file says UTF-8 and is not.
    let data = datafusion::arrow::array::ArrayData::builder(DataType::Utf8)
        .len(1)
        .buffers(vec![
            datafusion::arrow::buffer::Buffer::from_slice_ref(bytes.value_offsets()),
            datafusion::arrow::buffer::Buffer::from_slice_ref(bytes.value_data()),
        ]);
    // SAFETY: the array is only written to a file, which copies its bytes; nothing reads them as text here.
    let text = StringArray::from(unsafe { data.build_unchecked() });
    let schema = Arc::new(Schema::new(vec![
        Field::new(
            "event_time",
            DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, None),
            true,
        ),
        Field::new("name", DataType::Utf8, true),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![1])),
            Arc::new(text),
        ],
    )
    .unwrap();
    let file = fs::File::create(table.path(1)).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut fixture = table.fixture();
    fixture.input.rules.clear();
    let fixture = fixture.rule("r", "t", "name <> 'x'", "[rule.alert]\nkey = [\"name\"]");
    let outcome = fixture.run(&RunOptions::default()).await.unwrap();
    assert_eq!(outcome.counts()["r"], 5_001);
    let mut alerts = outcome.alerts.iter();
    assert!(alerts.any(|alert| alert.key == "n\u{fffd}7"));
    assert_eq!(outcome.table().converted.not_utf8["name"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_fifty_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    let huge = "x".repeat(50 << 20);
    let lines = format!(
        "{{\"time\":\"2026-01-01T00:00:00Z\",\"name\":\"small\"}}\n{{\"time\":\"2026-01-01T00:00:01Z\",\"name\":\"{huge}\"}}\n"
    );
    let report = ingest_lines(dir.path(), "t", &lines).await.unwrap();
    assert_eq!((report.events, report.rejected), (2, 0));
    let url = dir.path().join("lake/t");
    let outcome = Fixture::over("t", url.to_str().unwrap())
        .rule("small", "t", "name = 'small'", "")
        .rule("huge", "t", "character_length(name) = 52428800", "")
        .run(&RunOptions::default())
        .await
        .unwrap();
    assert_eq!(outcome.counts()["small"], 1);
    assert_eq!(outcome.counts()["huge"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_objects() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::over("t", dir.path().to_str().unwrap()).rule("r", "t", "a = 1", "");
    let error = fixture.run(&RunOptions::default()).await.unwrap_err();
    let message = full_message(&error);
    assert!(
        message.contains("table `t` has no Parquet objects"),
        "{message}"
    );
    assert!(message.contains("yagura ingest"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_do_not_fit_the_table() {
    let table = Table::of(1);
    let over = || Fixture::over("t", table.dir.path().to_str().unwrap());
    for (condition, more, want) in [
        ("nam = 'x'", "", "did you mean `name`?"),
        ("name = ", "", "is not a SQL condition"),
        ("event_time", "", "not a truth value"),
        (
            "name = 'x'",
            "[rule.alert]\nkey = [\"user\"]",
            "`alert.key` cannot be used with table `t`",
        ),
        ("event_time > now()", "", "not the same in every run"),
        ("count(name) > 1", "", "evaluates one event"),
        ("name IN (SELECT 1)", "", "subquery"),
        ("no_such_function(name)", "", "no_such_function"),
        ("event_time.hour = 1", "", "has no fields"),
    ] {
        let fixture = over().rule("r", "t", condition, more);
        let error = fixture.run(&RunOptions::default()).await.unwrap_err();
        let message = full_message(&error);
        assert!(
            message.starts_with("rules/test.toml: rule `r`: `"),
            "{message}"
        );
        assert!(message.contains(want), "{condition}: {message}");
    }
    let optional = over().rule(
        "r",
        "t",
        "name = 'n1' AND nam IS NULL",
        "optional = [\"nam\"]",
    );
    let outcome = optional.run(&RunOptions::default()).await.unwrap();
    assert_eq!(outcome.counts()["r"], 1);
}
