//! Runs over a real S3 server, and what they ask of it.

use std::fmt::Write as _;
use std::fs;

use yagura_core::TimeRange;
use yagura_engine::RunOptions;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_tests::azurite::Azurite;
use yagura_tests::fixture::{Fixture, Outcome, full_message, table_config};
use yagura_tests::s3::S3Server;

/// Ten days of events with a wide column that no rule names.
fn events() -> String {
    let mut lines = String::new();
    for day in 1..=10 {
        for index in 0..2_000u64 {
            let (hour, minute) = (index / 100, index % 60);
            // Text that does not compress, so that reading it would show.
            let noise: String = (0..20u64)
                .map(|n| {
                    let mixed = (index * 31 + day * 7 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    format!("{mixed:016x}")
                })
                .collect();
            writeln!(
                lines,
                r#"{{"timestamp":"2026-03-{day:02}T{hour:02}:{minute:02}:00Z","name":"n{}","user":"u{}","noise":"{noise}"}}"#,
                index % 50,
                index % 7,
            )
            .unwrap();
        }
    }
    lines
}

struct Lake {
    server: S3Server,
    _root: tempfile::TempDir,
}

impl Lake {
    async fn filled() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        let server = S3Server::start(root.path()).await.unwrap();
        let file = root.path().join("events.ndjson");
        fs::write(&file, events()).unwrap();
        let to = server.location("s3://logs/lake").unwrap();
        let report = ingest(IngestOptions::new("events", to), &[file], |_| {}).await;
        assert_eq!(report.unwrap().events, 20_000);
        server.take_traffic();
        Self {
            server,
            _root: root,
        }
    }

    async fn run(&self, condition: &str, range: TimeRange) -> Outcome {
        let mut fixture =
            Fixture::default().rule("r", "events", condition, "[rule.alert]\nkey = [\"user\"]");
        let mut table = table_config("events", "memory://unused");
        table.location = self.server.location("s3://logs/lake/events").unwrap();
        fixture.input.tables.push(table);
        let options = RunOptions {
            range,
            ..RunOptions::default()
        };
        fixture.run(&options).await.unwrap()
    }
}

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange::new(Some(from.parse().unwrap()), Some(to.parse().unwrap())).unwrap()
}

fn gets(lines: &[String]) -> usize {
    lines
        .iter()
        .filter(|line| line.starts_with("GET") && line.contains(".parquet"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_that_of_a_local_run() {
    let lake = Lake::filled().await;
    let remote = lake.run("name = 'n7'", TimeRange::default()).await;
    let findings: u64 = remote.alerts.iter().map(|alert| alert.count).sum();
    assert_eq!(findings, 10 * 2_000 / 50);

    let local = tempfile::tempdir().unwrap();
    let file = local.path().join("events.ndjson");
    fs::write(&file, events()).unwrap();
    let to = Location::parse(local.path().to_str().unwrap(), &Default::default()).unwrap();
    ingest(IngestOptions::new("events", to), &[file], |_| {})
        .await
        .unwrap();
    let url = local.path().join("events");
    let here = Fixture::over("events", url.to_str().unwrap())
        .rule(
            "r",
            "events",
            "name = 'n7'",
            "[rule.alert]\nkey = [\"user\"]",
        )
        .run(&RunOptions::default())
        .await
        .unwrap();
    let plain = |outcome: &Outcome| -> Vec<String> {
        outcome
            .alerts
            .iter()
            .map(|alert| {
                format!(
                    "{} {} {} {}",
                    alert.id, alert.key, alert.count, alert.last_time
                )
            })
            .collect()
    };
    assert_eq!(plain(&remote), plain(&here));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_days_of_the_range_are_opened() {
    let lake = Lake::filled().await;
    let all = lake.run("name = 'n7'", TimeRange::default()).await;
    let (lines, all_bytes) = lake.server.take_traffic();
    let all_gets = gets(&lines);
    assert_eq!(all.table().table.files.len(), 10);
    assert!(all_gets >= 10, "{lines:#?}");

    let two_days = range("2026-03-04T00:00:00Z", "2026-03-06T00:00:00Z");
    let some = lake.run("name = 'n7'", two_days).await;
    let (lines, bytes) = lake.server.take_traffic();
    assert_eq!(some.table().table.files.len(), 2);
    assert_eq!(some.table().table.files_out_of_range, 8);
    let other_days = lines
        .iter()
        .filter(|line| line.contains("date%3D2026") || line.contains("date=2026"))
        .filter(|line| line.starts_with("GET") && !line.contains("-04/") && !line.contains("-05/"))
        .filter(|line| line.contains(".parquet"))
        .count();
    assert_eq!(other_days, 0, "{lines:#?}");
    assert!(
        gets(&lines) * 4 <= all_gets,
        "{} of {all_gets}: {lines:#?}",
        gets(&lines)
    );
    assert!(bytes * 4 <= all_bytes, "{bytes} of {all_bytes}");
    // A footer and the pages of an object are few requests, not one a column or page.
    assert!(gets(&lines) <= 2 * 5, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_no_rule_names_are_not_fetched() {
    let lake = Lake::filled().await;
    lake.run("name = 'n7'", TimeRange::default()).await;
    let (_, narrow) = lake.server.take_traffic();
    lake.run("name = 'n7' AND noise <> ''", TimeRange::default())
        .await;
    let (_, wide) = lake.server.take_traffic();
    assert!(
        narrow * 3 < wide,
        "{narrow} bytes without the wide column, {wide} with it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_that_cannot_match_are_not_fetched() {
    let lake = Lake::filled().await;
    lake.run("name = 'n7'", TimeRange::default()).await;
    let (_, some) = lake.server.take_traffic();
    // Above every value in the objects' statistics.
    let outcome = lake.run("name = 'zzz'", TimeRange::default()).await;
    let (_, none) = lake.server.take_traffic();
    assert_eq!(outcome.alerts, []);
    assert_eq!(outcome.table().scanned, 0);
    assert!(none < some, "{none} bytes, {some} when something can match");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_with_the_table() {
    let lake = Lake::filled().await;
    let mut options = lake.server.options();
    options.insert("secret_access_key".into(), "wrong".into());
    let mut table = table_config("events", "memory://unused");
    table.location = Location::parse("s3://logs/lake/events", &options).unwrap();
    let mut fixture = Fixture::default().rule("r", "events", "name = 'n7'", "");
    fixture.input.tables.push(table);
    let error = fixture.run(&RunOptions::default()).await.unwrap_err();
    let message = full_message(&error);
    assert!(message.contains("table `events`"), "{message}");
    assert!(message.contains("SignatureDoesNotMatch"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_an_odd_name_hides_no_other() {
    let lake = Lake::filled().await;
    let folder = lake._root.path().join("logs/lake/events/date=2026-03-04");
    let object = fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::copy(&object, folder.join("a\tb.parquet")).unwrap();
    let outcome = lake.run("name = 'n1'", TimeRange::default()).await;
    let table = &outcome.table().table;
    assert_eq!(table.files.len(), 10);
    let odd = &table.passed_over.odd_names;
    assert_eq!(odd.count, 1);
    assert!(
        odd.first.as_ref().unwrap().ends_with("a\\tb.parquet"),
        "{odd:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs YAGURA_TEST_AZURITE, the address of an Azurite server (http://127.0.0.1:10000/devstoreaccount1)"]
async fn an_odd_name_in_azure_is_told_and_hides_no_other() {
    let azurite = Azurite::of_environment();
    let container = format!("lake-{}", std::process::id());
    azurite.make(&container);
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("events.ndjson");
    fs::write(&file, events()).unwrap();
    let location = |below: &str| {
        let url = format!("az://{container}/{below}");
        Location::parse(&url, &azurite.options()).unwrap()
    };
    let options = IngestOptions::new("events", location("lake"));
    let report = ingest(options, &[file], |_| {}).await;
    assert_eq!(report.unwrap().events, 20_000);
    let run = async || {
        let mut fixture = Fixture::default().rule(
            "r",
            "events",
            "name = 'n7'",
            "[rule.alert]\nkey = [\"user\"]",
        );
        let mut table = table_config("events", "memory://unused");
        table.location = location("lake/events");
        fixture.input.tables.push(table);
        fixture.run(&RunOptions::default()).await.unwrap()
    };
    let before = run().await;
    assert_eq!(before.alerts.iter().map(|of| of.count).sum::<u64>(), 400);

    let odd = [
        (
            "date=2026-03-01/tab%09.parquet",
            "date=2026-03-01/tab\\t.parquet",
        ),
        (
            "date=2026-03-02/line%0Aend.parquet",
            "date=2026-03-02/line\\nend.parquet",
        ),
        (
            "date=2026-03-03/%7F.parquet",
            "date=2026-03-03/\\u{7f}.parquet",
        ),
        ("date=2026-03-04//a.parquet", "date=2026-03-04//a.parquet"),
        (
            "date=2026-03-05/../up.parquet",
            "date=2026-03-05/../up.parquet",
        ),
        (
            "date=2026-03-05/./here.parquet",
            "date=2026-03-05/./here.parquet",
        ),
        ("new%0Aline/a.parquet", "new\\nline/a.parquet"),
    ];
    for (name, _) in odd {
        azurite.put(&container, &format!("lake/events/{name}"), b"no parquet");
    }
    // Odd to look at, but names of objects: they are read.
    let local = root.path().join("local");
    let to = Location::parse(local.to_str().unwrap(), &Default::default()).unwrap();
    let file = root.path().join("events.ndjson");
    let again = ingest(IngestOptions::new("events", to), &[file], |_| {}).await;
    assert_eq!(again.unwrap().events, 20_000);
    let day = local.join("events/date=2026-03-10");
    let good = fs::read_dir(day).unwrap().next().unwrap().unwrap();
    let bytes = fs::read(good.path()).unwrap();
    for name in [
        "100%25.parquet",
        "a%2525b%26%3C.parquet",
        "%C3%A9%E6%97%A5.parquet",
    ] {
        let name = format!("lake/events/date=2026-03-10/{name}");
        azurite.put(&container, &name, &bytes);
    }
    let after = run().await;
    // The last day has its 40 events four times.
    assert_eq!(
        after.alerts.iter().map(|of| of.count).sum::<u64>(),
        400 + 3 * 40
    );
    let table = &after.table().table;
    assert_eq!(table.passed_over.odd_names.count, odd.len() as u64);

    // A service names each, whether it lists all or the last days alone.
    let told = |names: Vec<String>| -> Vec<String> {
        let below = |name: String| name.strip_prefix("lake/events/").unwrap().to_owned();
        let mut names: Vec<String> = names.into_iter().map(below).collect();
        names.sort();
        names
    };
    let mut expected: Vec<&str> = odd.iter().map(|(_, shown)| *shown).collect();
    expected.sort_unstable();
    assert_eq!(told(table.list(None).await.unwrap().odd_names), expected);
    let since = "2026-03-04".parse().unwrap();
    let late = told(table.list(Some(since)).await.unwrap().odd_names);
    assert_eq!(late.len(), 4, "{late:?}");
    assert!(
        late.iter().any(|name| name.starts_with("new\\nline")),
        "{late:?}"
    );
}
