//! No type, value or object hides an event: every Arrow type under every kind of rule, objects that differ, text that is not
//! UTF-8, folders that hold no data, times of every type, and hashes that depend on the event alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::*;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::data_type::{ByteArray, ByteArrayType, Int64Type as Long};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use yagura_engine::{EngineError, Hasher, RunOptions};
use yagura_lake::OddTimes;
use yagura_lake::table::{EpochUnit, OnProblem};
use yagura_plan::{PlanError, SigmaInput};
use yagura_rules::sigma::{FieldMap, load_dir};
use yagura_tests::fixture::{Fixture, Outcome, full_message};

const START: i64 = 1_772_323_200_000_000;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Three events named `hit`, with the values `v`.
fn object(path: &Path, v: ArrayRef) {
    let rows = i64::try_from(v.len()).unwrap();
    let times =
        TimestampMicrosecondArray::from_iter_values((0..rows).map(|row| START + row * 1_000_000));
    let names = StringArray::from(vec!["hit"; v.len()]);
    write(
        path,
        vec![
            ("event_time", Arc::new(times)),
            ("name", Arc::new(names)),
            ("v", v),
        ],
    );
}

fn over(dir: &Path) -> Fixture {
    Fixture::over("t", dir.to_str().unwrap()).rule("hit", "t", "name = 'hit'", "")
}

async fn run(fixture: &Fixture) -> Outcome {
    let outcome = fixture.run(&RunOptions::default()).await;
    outcome.unwrap_or_else(|error| panic!("{}", full_message(&error)))
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("item", data_type, true))
}

/// Three values of every type that Parquet stores, one of them NULL.
fn values() -> Vec<ArrayRef> {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(-7)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None, Some("10.1.2.3")]));
    let raw = [Some(&b"abc"[..]), None, Some(b"a\xffb")];
    let ids = [Some(vec![7u8; 16]), None, Some(vec![255u8; 16])];
    let bytes = [Some(vec![1u8; 5]), None, Some(vec![255u8; 5])];
    let fixed = |values: [Option<Vec<u8>>; 3], size| -> ArrayRef {
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), size).unwrap(),
        )
    };
    let mut all: Vec<ArrayRef> = vec![
        Arc::clone(&numbers),
        Arc::clone(&texts),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(3)])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.5)])),
        Arc::new(BinaryArray::from_iter(raw)),
        Arc::new(LargeBinaryArray::from_iter(raw)),
        Arc::new(BinaryViewArray::from_iter(raw)),
        fixed(ids.clone(), 16),
        fixed(bytes, 5),
        Arc::new(TimestampSecondArray::from(vec![
            Some(i64::MAX / 2_000),
            None,
            Some(3),
        ])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            Some(i64::MAX),
            None,
            Some(3),
        ])),
        Arc::new(
            TimestampNanosecondArray::from(vec![Some(3), None, Some(3)])
                .with_timezone("Europe/Berlin"),
        ),
        Arc::new(Date32Array::from(vec![Some(i32::MAX), None, Some(20_000)])),
        Arc::new(Date64Array::from(vec![Some(86_400_000), None, Some(0)])),
        Arc::new(Time64NanosecondArray::from(vec![
            Some(86_399_000_000_000),
            None,
            Some(0),
        ])),
        Arc::new(Time32SecondArray::from(vec![Some(86_399), None, Some(0)])),
        Arc::new(DurationMicrosecondArray::from(vec![
            Some(i64::MAX),
            None,
            Some(61),
        ])),
        Arc::new(
            Decimal128Array::from(vec![Some(12_345), None, Some(3)])
                .with_precision_and_scale(38, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal256Array::from(vec![Some(i256::from(12_345)), None, Some(i256::from(3))])
                .with_precision_and_scale(50, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal32Array::from(vec![Some(12_345), None, Some(3)])
                .with_precision_and_scale(9, 2)
                .unwrap(),
        ),
        Arc::new(NullArray::new(3)),
    ];
    for data_type in [
        DataType::Int8,
        DataType::Int32,
        DataType::UInt32,
        DataType::Float32,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
    ] {
        let from = if data_type.is_numeric() {
            &numbers
        } else {
            &texts
        };
        all.push(cast(from, &data_type).unwrap());
    }
    // Each of them inside of others.
    let flat = all.clone();
    for inner in flat {
        let of = inner.data_type().clone();
        if of == DataType::Null {
            continue;
        }
        let field = Field::new("a", of.clone(), true);
        let one = StructArray::new(
            vec![field].into(),
            vec![Arc::clone(&inner)],
            Some(vec![true, false, true].into()),
        );
        let one: ArrayRef = Arc::new(one);
        let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([2, 0, 1]);
        let list = ListArray::new(
            item(of.clone()),
            offsets.clone(),
            inner,
            Some(vec![true, false, true].into()),
        );
        let list: ArrayRef = Arc::new(list);
        let large = cast(&list, &DataType::LargeList(item(of)));
        let nested = ListArray::new(
            item(one.data_type().clone()),
            offsets,
            Arc::clone(&one),
            None,
        );
        all.extend([one, list, Arc::new(nested)]);
        all.extend(large);
    }
    let mut map = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    map.keys().append_value("k");
    map.values().append_value(b"a\xff");
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    all.push(Arc::new(map.finish()));
    all
}

const CONDITIONS: [&str; 10] = [
    "v = 'abc'",
    "v IN ('3', 'NXDOMAIN')",
    "v LIKE '%b%'",
    "v < 5",
    "v IS NULL",
    "v IS NOT NULL AND NOT (v = '3')",
    "v = 3 OR name = 'no'",
    "lower(v) = 'abc'",
    "coalesce(v, '') = ''",
    "v BETWEEN '1' AND '5'",
];

const SIGMA: [&str; 10] = [
    "sel: {v: abc}",
    "sel: {v|contains: '-'}",
    "sel: {v|cidr: 10.0.0.0/8}",
    "sel: {v|gte: 3}",
    "sel: {v|exists: true}",
    "sel: {v: null}",
    "sel: {v|fieldref: name}",
    "sel: {v|re: '^a.*b$'}",
    "sel: ['abc']",
    "sel: {v: [3, 'true', '*']}",
];

fn with_sigma(mut fixture: Fixture, dir: &Path) -> Fixture {
    let rules = dir.join("sigma");
    fs::create_dir_all(&rules).unwrap();
    for (number, selection) in SIGMA.iter().enumerate() {
        let rule = format!(
            "title: s{number}\nid: dddddddd-0000-0000-0000-0000000000{number:02}\nlogsource: {{product: any}}\ndetection:\n  {selection}\n  condition: sel\nlevel: high\n"
        );
        fs::write(rules.join(format!("{number}.yml")), rule).unwrap();
    }
    let file = rules.join("any.toml");
    let map =
        "name = \"any\"\ntables = [\"name\"]\nkey = [[\"name\"]]\n[[source]]\nproduct = \"any\"\n";
    fs::write(&file, map).unwrap();
    fixture.input.sigma = SigmaInput {
        load: load_dir(&rules).unwrap(),
        maps: vec![FieldMap::read(&file).unwrap()],
    };
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn no_type_hides_an_event_from_rules_of_any_kind() {
    let rules = tempfile::tempdir().unwrap();
    for v in values() {
        let data_type = v.data_type().clone();
        let dir = tempfile::tempdir().unwrap();
        object(&dir.path().join("a.parquet"), v);
        let fixture = with_sigma(over(dir.path()), rules.path()).rule(
            "text",
            "t",
            "name = 'hit'",
            "context = [\"v\"]\n[rule.alert]\nkey = [\"v\"]\n[rule.observables]\nip = [\"v\"]",
        );
        let outcome = run(&fixture).await;
        assert_eq!(outcome.counts().get("hit"), Some(&3), "{data_type}: Sigma");
        assert_eq!(
            outcome.counts().get("text"),
            Some(&3),
            "{data_type}: key and context"
        );
        assert!(
            outcome.run.not_run.is_empty(),
            "{data_type}: {:?}",
            outcome.run.not_run
        );
        for condition in CONDITIONS {
            match over(dir.path())
                .rule("r", "t", condition, "")
                .run(&RunOptions::default())
                .await
            {
                Ok(outcome) => {
                    assert_eq!(
                        outcome.counts().get("hit"),
                        Some(&3),
                        "{data_type}: {condition}"
                    );
                    assert!(
                        outcome.table().bad_files.is_empty(),
                        "{data_type}: {condition}"
                    );
                }
                // A rule that does not fit is named before anything is read.
                Err(EngineError::Plan(PlanError::Rule { rule, .. })) => {
                    assert_eq!(rule, "r", "{data_type}: {condition}")
                }
                Err(error) => panic!("{data_type}: {condition}: {}", full_message(&error)),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_uuids_are_compared_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let ids = [Some(vec![7u8; 16]), None, Some(vec![255u8; 16])];
    let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap();
    object(&dir.path().join("a.parquet"), Arc::new(ids));
    let rules = tempfile::tempdir().unwrap();
    let counts = run(&with_sigma(over(dir.path()), rules.path()))
        .await
        .counts();
    assert_eq!(
        counts.get("dddddddd-0000-0000-0000-000000000001"),
        Some(&2),
        "{counts:?}"
    );
    let raw = [Some(&b"abc"[..]), Some(b"a\xffb"), Some(b"\xff-")];
    object(
        &dir.path().join("a.parquet"),
        Arc::new(BinaryArray::from_iter(raw)),
    );
    let outcome = run(&with_sigma(over(dir.path()), rules.path())).await;
    let counts = outcome.counts();
    for rule in ["00", "01", "07"] {
        let id = format!("dddddddd-0000-0000-0000-0000000000{rule}");
        assert_eq!(counts.get(&id), Some(&1), "{rule}: {counts:?}");
    }
    assert_eq!(outcome.table().converted.not_utf8.get("v"), Some(&2));
}

/// Writes an object whose column `v` says that it is text, as ClickHouse and parquet-go do without looking.
fn text_that_is_none(path: &Path, values: &[&[u8]]) {
    let schema = "message t { required int64 event_time (TIMESTAMP(MICROS, true)); required binary name (UTF8); required binary v (UTF8); optional group n { optional binary x (UTF8); } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let times: Vec<i64> = (0..)
        .take(values.len())
        .map(|row| START + row * 1_000_000)
        .collect();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Long>()
        .write_batch(&times, None, None)
        .unwrap();
    column.close().unwrap();
    let names = vec![ByteArray::from("hit"); values.len()];
    let bytes: Vec<ByteArray> = values
        .iter()
        .map(|value| ByteArray::from(value.to_vec()))
        .collect();
    for texts in [&names, &bytes] {
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<ByteArrayType>()
            .write_batch(texts, None, None)
            .unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    let levels = vec![2; values.len()];
    column
        .typed::<ByteArrayType>()
        .write_batch(&bytes, Some(&levels), None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8_is_compared_with_a_mark_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    text_that_is_none(&dir.path().join("a.parquet"), &[b"abc", b"a\xffb", b"c"]);
    object(
        &dir.path().join("b.parquet"),
        Arc::new(StringArray::from(vec!["abc", "x", "y"])),
    );
    let fixture = over(dir.path())
        .rule("equal", "t", "v = 'abc'", "context = [\"v\"]")
        .rule("mark", "t", "v LIKE 'a\u{fffd}%'", "context = [\"v\"]")
        .rule("nested", "t", "n.x LIKE 'a_b'", "");
    for partitions in [1, 4] {
        let options = RunOptions {
            partitions,
            ..RunOptions::default()
        };
        let mut outcome = fixture
            .run(&options)
            .await
            .unwrap_or_else(|error| panic!("{}", full_message(&error)));
        let counts = outcome.counts();
        assert_eq!(counts.get("hit"), Some(&6), "{counts:?}");
        assert_eq!(counts.get("equal"), Some(&2), "{counts:?}");
        assert_eq!(counts.get("mark"), Some(&1), "{counts:?}");
        assert_eq!(counts.get("nested"), Some(&1), "{counts:?}");
        assert_eq!(outcome.table().converted.not_utf8.get("v"), Some(&1));
        assert!(outcome.table().bad_files.is_empty());
        let tables = [Arc::clone(&outcome.table().table)];
        let unread = Hasher::default()
            .fill(&tables, outcome.alerts.iter_mut())
            .await;
        assert!(unread.is_empty(), "{unread:?}");
        let mut events = outcome
            .alerts
            .iter()
            .flat_map(|alert| &alert.evidence.events);
        assert!(events.all(|event| event.hash.len() == 64));
    }
    // A rule on another column does not read the text, and hashes do.
    let mut outcome = run(&over(dir.path())).await;
    assert_eq!(outcome.counts()["hit"], 6);
    let tables = [Arc::clone(&outcome.table().table)];
    assert!(
        Hasher::default()
            .fill(&tables, outcome.alerts.iter_mut())
            .await
            .is_empty()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever types the objects have, every event is seen, and a text that only one object has is found in it.
    #[test]
    fn objects_that_differ_hide_no_event(picks in prop::collection::vec(any::<prop::sample::Index>(), 1..5)) {
        let all = values();
        let dir = tempfile::tempdir().unwrap();
        for (number, pick) in picks.iter().enumerate() {
            object(&dir.path().join(format!("{number}.parquet")), Arc::clone(pick.get(&all)));
        }
        object(&dir.path().join("z.parquet"), Arc::new(StringArray::from(vec!["needle", "\u{e9}", ""])));
        text_that_is_none(&dir.path().join("y.parquet"), &[b"\xff"]);
        let types: Vec<String> = picks.iter().map(|pick| pick.get(&all).data_type().to_string()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let rules = tempfile::tempdir().unwrap();
        let fixture = with_sigma(over(dir.path()), rules.path()).rule("needle", "t", "v = 'needle'", "");
        let outcome = runtime.block_on(run(&fixture));
        let events = picks.len() as u64 * 3 + 4;
        let counts = outcome.counts();
        prop_assert_eq!(counts.get("hit"), Some(&events), "{:?}", types);
        prop_assert_eq!(counts.get("needle"), Some(&1), "{:?}", types);
        prop_assert!(outcome.table().bad_files.is_empty());
        prop_assert!(outcome.table().converted.lost.is_empty(), "{:?}: {:?}", types, outcome.table().converted);
    }

    /// The hash of a row is the same alone, among others, and in other batches and orders of columns.
    #[test]
    fn a_hash_depends_on_its_event_alone(
        rows in prop::collection::vec((any::<Option<i64>>(), prop::option::of("[a-c\u{e9}\"]{0,3}"), prop::option::of("[a-b]{0,2}")), 1..12),
        keep in any::<prop::sample::Index>(),
    ) {
        let columns = |rows: &[(Option<i64>, Option<String>, Option<String>)]| -> Vec<(&'static str, ArrayRef)> {
            let n: Int64Array = rows.iter().map(|row| row.0).collect();
            let s: StringArray = rows.iter().map(|row| row.1.as_deref()).collect();
            let raw: StringArray = rows.iter().map(|row| row.2.as_deref()).collect();
            let times = TimestampMicrosecondArray::from(vec![START; rows.len()]);
            vec![("event_time", Arc::new(times)), ("n", Arc::new(n)), ("s", Arc::new(s)), ("raw", Arc::new(raw))]
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let hashes = |columns: Vec<(&str, ArrayRef)>| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.parquet");
            let count = columns[0].1.len() as u64;
            write(&path, columns);
            let fixture = Fixture::over("t", dir.path().to_str().unwrap()).rule("r", "t", "event_time IS NOT NULL", "");
            let outcome = runtime.block_on(run(&fixture));
            let rows: Vec<u64> = (0..count).collect();
            let table = &outcome.table().table;
            runtime.block_on(table.event_hashes(path.to_str().unwrap(), &rows)).unwrap()
        };
        let together = hashes(columns(&rows));
        let at = keep.index(rows.len());
        let alone = hashes(columns(&rows[at..=at]));
        prop_assert_eq!(&together[&(at as u64)], &alone[&0]);
        // Other types for the same values, and another order of columns.
        let mut other = columns(&rows);
        other.reverse();
        for (name, column) in &mut other {
            let to = match *name {
                "s" => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
                "raw" => DataType::LargeUtf8,
                "event_time" => DataType::Timestamp(TimeUnit::Nanosecond, None),
                _ => continue,
            };
            *column = cast(column, &to).unwrap();
        }
        prop_assert_eq!(&hashes(other), &together);
        // Two events with the same hash hold the same.
        let raw_or_all = |row: &(Option<i64>, Option<String>, Option<String>)| match &row.2 {
            Some(raw) => format!("raw {raw}"),
            None => format!("{:?} {:?}", row.0, row.1),
        };
        let distinct: BTreeSet<String> = rows.iter().map(raw_or_all).collect();
        let hashed: BTreeSet<&String> = together.values().collect();
        prop_assert_eq!(distinct.len(), hashed.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_data_is_passed_over_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1, 2, 3])) };
    object(&dir.path().join("a.parquet"), one());
    object(&dir.path().join("B.PARQUET"), one());
    for hidden in [
        "_temporary/0/_temporary/attempt_1/part-0.parquet",
        ".hidden/x.parquet",
        "_spark_metadata/x.parquet",
        ".staging/x.parquet",
    ] {
        object(&dir.path().join(hidden), one());
    }
    fs::write(dir.path().join("b.parquet"), "").unwrap();
    fs::write(dir.path().join("c.parquet"), "").unwrap();
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    let outcome = run(&over(dir.path())).await;
    assert_eq!(outcome.counts()["hit"], 6);
    let passed = &outcome.table().table.passed_over;
    assert_eq!((passed.empty.count, passed.other.count), (2, 1));
    assert!(passed.empty.first.as_ref().unwrap().ends_with("b.parquet"));
    assert!(passed.other.first.as_ref().unwrap().ends_with("notes.txt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_other_formats_and_folders_without_parquet_are_refused_by_name() {
    let message = |files: &'static [&'static str]| async move {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let error = over(dir.path())
            .run(&RunOptions::default())
            .await
            .unwrap_err();
        full_message(&error)
    };
    let delta = message(&["part-0.parquet", "_delta_log/00000000000000000000.json"]).await;
    assert!(delta.contains("is a table of Delta Lake"), "{delta}");
    let iceberg = message(&["data/a.parquet", "metadata/v1.metadata.json"]).await;
    assert!(
        iceberg.contains("is a table of Apache Iceberg"),
        "{iceberg}"
    );
    let other = message(&["a.parq", "b.parquet.gz"]).await;
    assert!(
        other.contains("2 objects' names there do not end in `.parquet`"),
        "{other}"
    );
    let empty = message(&[]).await;
    assert!(empty.contains("has no Parquet objects"), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_outside_a_partition_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1, 2, 3])) };
    object(&dir.path().join("region=eu/a.parquet"), one());
    object(&dir.path().join("b.parquet"), one());
    object(
        &dir.path().join("day=2026-03-01/region=us/c.parquet"),
        one(),
    );
    let fixture = over(dir.path())
        .rule("eu", "t", "region = 'eu'", "")
        .rule("none", "t", "region IS NULL", "")
        .rule("day", "t", "day = '2026-03-01'", "");
    let counts = run(&fixture).await.counts();
    let of = |rule: &str| counts.get(rule).copied();
    assert_eq!(
        [of("hit"), of("eu"), of("none"), of("day")],
        [Some(9), Some(3), Some(3), Some(3)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_in_the_place_of_a_column_are_strays_unless_most_objects_lie_in_them() {
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1, 2, 3])) };
    for (paths, hits, said) in [
        // `name` is a column; a copy lies in a folder that would take its place.
        (
            &["region=eu/a", "region=us/b", "region=eu/name=x/c"][..],
            6,
            "name=x/c",
        ),
        // The time column itself.
        (&["a", "b", "event_time=1/c"], 6, "event_time=1/c"),
        (&["a", "event_time=1/b"], 3, "event_time=1/b"),
        // Most objects have the column from their folders.
        (&["v=1/a", "v=2/b", "c"], 6, "/c.parquet"),
        (&["region=eu/a", "b"], 6, ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            object(&dir.path().join(format!("{path}.parquet")), one());
        }
        let outcome = run(&over(dir.path())).await;
        assert_eq!(outcome.counts()["hit"], hits, "{paths:?}");
        let stray = &outcome.table().table.passed_over.stray;
        assert_eq!(stray.count, u64::from(!said.is_empty()), "{paths:?}");
        assert!(stray.first.as_deref().unwrap_or_default().contains(said));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_time_is_read_from_text_numbers_and_dates() {
    let times = [Some(START), None, Some(START + 1_000_000)];
    let text = |time: Option<i64>| {
        time.map(|time| {
            yagura_core::Timestamp::from_micros(time)
                .unwrap()
                .to_string()
        })
    };
    let texts: StringArray = times.iter().map(|time| text(*time)).collect();
    let number = |per: i64| -> ArrayRef {
        Arc::new(
            times
                .iter()
                .map(|time| time.map(|time| time / per))
                .collect::<Int64Array>(),
        )
    };
    let days: Date32Array = times.iter().map(|time| time.map(|_| 20_513)).collect();
    let columns: Vec<(ArrayRef, Option<EpochUnit>)> = vec![
        (Arc::new(texts.clone()), None),
        (
            cast(
                &texts,
                &DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
            )
            .unwrap(),
            None,
        ),
        (number(1), None),
        (number(1_000), None),
        (number(1_000_000), None),
        (number(1_000_000), Some(EpochUnit::Seconds)),
        (Arc::new(days), None),
    ];
    for (column, unit) in columns {
        let data_type = column.data_type().clone();
        for name in ["time", "when"] {
            let dir = tempfile::tempdir().unwrap();
            let names = StringArray::from(vec!["hit"; 3]);
            write(
                &dir.path().join("a.parquet"),
                vec![(name, Arc::clone(&column)), ("name", Arc::new(names))],
            );
            let mut fixture = over(dir.path());
            fixture.input.tables[0].on_null_time = Some(OnProblem::Skip);
            fixture.input.tables[0].time_unit = unit;
            if name == "when" {
                let error = fixture.run(&RunOptions::default()).await.unwrap_err();
                let message = full_message(&error);
                assert!(
                    message.contains("set `time = \"COLUMN\"`") && message.contains("`when`"),
                    "{message}"
                );
                fixture.input.tables[0].time = Some("when".to_owned());
            }
            let outcome = run(&fixture).await;
            assert_eq!(outcome.counts()["hit"], 2, "{data_type}");
            assert_eq!(outcome.table().odd_times.without.count, 1, "{data_type}");
            let first = outcome.alerts[0].evidence.events[0].time;
            assert!(
                first.to_string().starts_with("2026-03-01T00:00:00"),
                "{data_type}: {first}"
            );
            let range = |from: &str, to: &str| {
                yagura_core::TimeRange::new(Some(from.parse().unwrap()), Some(to.parse().unwrap()))
                    .unwrap()
            };
            for (range, wanted) in [
                (
                    range("2026-03-01T00:00:00Z", "2026-03-01T00:00:00.5Z"),
                    true,
                ),
                (range("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"), false),
            ] {
                let options = RunOptions {
                    range,
                    ..RunOptions::default()
                };
                let outcome = fixture.run(&options).await.unwrap();
                assert_eq!(
                    outcome.counts().contains_key("hit"),
                    wanted,
                    "{data_type} {range:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_times_are_counted_with_an_example() {
    let dir = tempfile::tempdir().unwrap();
    let times = vec![
        Some(START),
        None,
        Some(0),
        Some(4_102_444_800_000_000 * 2),
        Some(1),
    ];
    let names = StringArray::from(vec!["other"; 5]);
    write(
        &dir.path().join("a.parquet"),
        vec![
            (
                "event_time",
                Arc::new(TimestampMicrosecondArray::from(times)),
            ),
            ("name", Arc::new(names)),
        ],
    );
    let OddTimes {
        without,
        future,
        old,
    } = run(&over(dir.path())).await.table().odd_times.clone();
    assert_eq!((without.count, future.count, old.count), (1, 1, 2));
    assert_eq!(old.example.as_ref().unwrap().1, 2);
    assert!(without.example.unwrap().0.ends_with("a.parquet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_unreadable_by_its_bytes_whatever_rules_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1, 2, 3])) };
    object(&dir.path().join("a.parquet"), one());
    object(&dir.path().join("b.parquet"), one());
    let bytes = fs::read(dir.path().join("b.parquet")).unwrap();
    fs::write(dir.path().join("b.parquet"), &bytes[..bytes.len() - 20]).unwrap();
    let mut fixture = over(dir.path()).rule("int", "t", "v IN ('3', 'x')", "");
    fixture.input.tables[0].on_bad_file = OnProblem::Skip;
    let outcome = run(&fixture).await;
    assert_eq!(outcome.counts()["hit"], 3);
    let [(bad, reason)] = &outcome.table().bad_files[..] else {
        panic!("{:?}", outcome.table().bad_files);
    };
    assert!(bad.ends_with("b.parquet"));
    assert!(!reason.contains("Parquet error: Parquet error"), "{reason}");
}
