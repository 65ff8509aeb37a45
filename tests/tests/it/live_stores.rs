//! What a slow or failing store does to its own table and to others, and what a wrong clock does.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use yagura_correlate::store::{StateStore, StoreLimits};
use yagura_engine::live::{Live, LiveOptions};
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::OnProblem;
use yagura_tests::fixture::Fixture;
use yagura_tests::s3::{Fault, S3Server};
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::Dice;

/// Longer than anything here takes on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// Two buckets with a table each, and a rule for each.
struct Stores {
    files: Scratch,
    server: S3Server,
}

impl Stores {
    async fn new() -> Self {
        let files = Scratch::new();
        for bucket in ["one", "two"] {
            fs::create_dir_all(files.path(&format!("s3/{bucket}"))).unwrap();
        }
        let server = S3Server::start(files.path("s3").as_ref()).await.unwrap();
        Self { files, server }
    }

    async fn ingest(&self, bucket: &str, day: u32, user: &str) {
        let more = format!("\"kind\":\"bad\",\"user\":\"{user}\"");
        self.ingest_keys(bucket, day, &more).await;
    }

    async fn ingest_keys(&self, bucket: &str, day: u32, more: &str) {
        let line = format!("{{\"event_time\":\"2026-03-{day:02}T10:00:00Z\",{more}}}\n");
        self.files.write("raw.ndjson", &line);
        let to = self.server.location(&format!("s3://{bucket}")).unwrap();
        let raw = self.files.path("raw.ndjson");
        ingest(IngestOptions::new("app", to), &[raw.into()], |_| {})
            .await
            .unwrap();
    }

    async fn live(&self, on_bad_file: OnProblem, options: LiveOptions) -> Live {
        let mut fixture = Fixture::default();
        for bucket in ["one", "two"] {
            let url = format!("s3://{bucket}/app");
            fixture = fixture.table(bucket, "memory://none").rule(
                bucket,
                bucket,
                "kind = 'bad' OR cmd = 'evil'",
                "optional = [\"cmd\"]\n[rule.alert]\nkey = [\"user\"]",
            );
            let table = fixture.input.tables.last_mut().unwrap();
            table.location = self.server.location(&url).unwrap();
            table.on_bad_file = on_bad_file;
        }
        let store =
            StateStore::open(self.files.path("state").as_ref(), StoreLimits::default()).unwrap();
        Live::open(fixture.input, options, store, 0)
            .await
            .unwrap()
            .0
    }
}

/// Polls and steps until so many alerts were told, or it took too long. Returns their keys.
async fn told(live: &mut Live, count: usize, limit: Duration) -> Vec<String> {
    let start = Instant::now();
    let mut found = BTreeSet::new();
    while found.len() < count && start.elapsed() < limit {
        assert!(!live.poll().await.unwrap(), "nothing has other columns");
        while live.step().await.unwrap().is_some() {}
        found.extend(keys(live));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found.into_iter().collect()
}

/// Returns the keys of the alerts that were reported since the last call.
fn keys(live: &mut Live) -> BTreeSet<String> {
    let lines = live.take_lines().unwrap();
    if let Some(last) = lines.last() {
        live.delivered(last.seq());
    }
    lines.into_iter().map(|line| line.line.alert.key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_delays_no_other_table() {
    let stores = Stores::new().await;
    for bucket in ["one", "two"] {
        stores.ingest(bucket, 1, bucket).await;
    }
    let mut live = stores.live(OnProblem::Fail, LiveOptions::default()).await;
    assert_eq!(told(&mut live, 2, WAIT).await, ["one", "two"]);
    stores.ingest("two", 2, "during").await;
    stores.server.fail("one/", Some(Fault::Silent));
    let start = Instant::now();
    assert_eq!(told(&mut live, 1, WAIT).await, ["during"]);
    // The store is given half a second for each of listing and reading, and its client waits for half a minute.
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_table_is_one_request_to_list_it() {
    let stores = Stores::new().await;
    for bucket in ["one", "two"] {
        for day in 1..=5 {
            stores.ingest(bucket, day, &format!("{bucket}-{day}")).await;
        }
    }
    let mut live = stores.live(OnProblem::Fail, LiveOptions::default()).await;
    assert_eq!(told(&mut live, 10, WAIT).await.len(), 10);
    let lists = || {
        let (requests, _) = stores.server.take_traffic();
        let is_list = |request: &&String| request.contains("list-type=2");
        requests.iter().filter(is_list).count()
    };
    lists();
    for poll in 1..=10 {
        assert!(!live.poll().await.unwrap());
        while live.step().await.unwrap().is_some() {}
        assert_eq!(lists(), 2, "poll {poll}: one for each table");
    }
    // What is new costs no more of them.
    stores.ingest("one", 6, "new").await;
    lists();
    assert!(!live.poll().await.unwrap());
    while live.step().await.unwrap().is_some() {}
    assert_eq!(lists(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_of_a_store_makes_no_object_bad() {
    let faults = [
        (Fault::Status(403), OnProblem::Skip),
        (Fault::Status(403), OnProblem::Fail),
        (Fault::Status(503), OnProblem::Skip),
        (Fault::Cut, OnProblem::Skip),
        (Fault::Half, OnProblem::Skip),
    ];
    for (fault, on_bad_file) in faults {
        let stores = Stores::new().await;
        stores.ingest("one", 1, "before").await;
        stores.ingest("two", 1, "other").await;
        let options = LiveOptions {
            patience: Duration::from_millis(100),
            ..LiveOptions::default()
        };
        let mut live = stores.live(on_bad_file, options).await;
        let both = told(&mut live, 2, WAIT).await;
        assert_eq!(both, ["before", "other"], "{fault:?}");
        stores.server.fail("one/", Some(fault));
        stores.ingest("one", 2, "during").await;
        let start = Instant::now();
        let of = loop {
            let nothing = told(&mut live, 1, Duration::from_millis(500)).await;
            assert_eq!(nothing, [] as [&str; 0], "{fault:?}");
            let statuses = live.statuses();
            let of = statuses.into_iter().find(|of| of.name == "one").unwrap();
            if of.problem.is_some() || start.elapsed() > Duration::from_secs(40) {
                break of;
            }
        };
        assert!(of.problem.is_some(), "{fault:?}: {of:?}");
        assert_eq!((of.bad, of.waiting), (0, 1), "{fault:?}: {of:?}");
        stores.server.fail("one/", None);
        let during = told(&mut live, 1, WAIT).await;
        assert_eq!(during, ["during"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_event_is_never_late_whoever_is_ahead() {
    // Honest events come up to their lateness after they happened; others are up to a day ahead of the clock.
    let mut dice = Dice::new(7);
    let files = Scratch::new();
    let lake = files.path("lake");
    let to = yagura_lake::Location::parse(&lake, &Default::default()).unwrap();
    let now = || {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    };
    let put = async |dice: &mut Dice, number: u64| {
        let honest = now() - dice.roll(50);
        let mut lines =
            format!("{{\"event_time\":{honest},\"kind\":\"bad\",\"user\":\"u{number}\"}}\n");
        for _ in 0..dice.roll(3) {
            let most = [30, 3_000, 90_000][usize::try_from(dice.roll(3)).unwrap()];
            let ahead = now() + 1 + dice.roll(most);
            lines.push_str(&format!(
                "{{\"event_time\":{ahead},\"kind\":\"good\",\"user\":\"w\"}}\n"
            ));
        }
        files.write("raw.ndjson", &lines);
        let raw = files.path("raw.ndjson");
        let options = IngestOptions::new("app", to.clone());
        ingest(options, &[raw.into()], |_| {}).await.unwrap();
    };
    put(&mut dice, 0).await;
    let fixture = Fixture::over("app", &format!("{lake}/app")).rule(
        "bad",
        "app",
        "kind = 'bad'",
        "[rule.alert]\nkey = [\"user\"]",
    );
    let store = StateStore::open(files.path("state").as_ref(), StoreLimits::default()).unwrap();
    let options = LiveOptions {
        every_lateness: Some(60_000_000),
        first_load: None,
        ..LiveOptions::default()
    };
    let mut live = Live::open(fixture.input, options, store, 0)
        .await
        .unwrap()
        .0;
    for number in 1..60 {
        put(&mut dice, number).await;
        assert!(!live.poll().await.unwrap());
        while let Some(report) = live.step().await.unwrap() {
            assert_eq!(report.late, 0);
        }
        let mark = live.statuses()[0].watermark.unwrap();
        let clock = i64::try_from(now()).unwrap() * 1_000_000;
        assert!(mark.micros() <= clock - 60_000_000, "{mark}");
    }
}

/// A table whose rule reads the column `cmd`, which comes with the second object, while the store fails for `fault`.
async fn column_that_comes_in_a_fault(fault: &str, is_defined: bool) {
    let stores = Stores::new().await;
    for bucket in ["one", "two"] {
        stores.ingest(bucket, 1, bucket).await;
    }
    let definition = stores.files.path("s3/one/app/_table.json");
    if !is_defined {
        fs::remove_file(&definition).unwrap();
    }
    let mut live = stores.live(OnProblem::Fail, LiveOptions::default()).await;
    assert_eq!(told(&mut live, 2, WAIT).await, ["one", "two"]);
    stores
        .ingest_keys("one", 2, "\"cmd\":\"evil\",\"user\":\"new\"")
        .await;
    if !is_defined {
        fs::remove_file(&definition).unwrap();
    }
    stores.server.fail(fault, Some(Fault::Status(403)));
    // It looks at the object while the store fails, and does not take it for one without the column.
    let nothing = told(&mut live, 1, Duration::from_secs(3)).await;
    assert_eq!(nothing, [] as [&str; 0], "{fault}");
    stores.server.fail(fault, None);
    let start = Instant::now();
    // Others of these lines are final alerts of before.
    while !keys(&mut live).contains("new") {
        assert!(start.elapsed() < WAIT, "{fault}: {:?}", live.statuses());
        if live.poll().await.unwrap() {
            live = live.reopen().await.unwrap().0;
            continue;
        }
        while live.step().await.unwrap().is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_store_hides_no_new_column() {
    column_that_comes_in_a_fault("one/app/_table.json", true).await;
    column_that_comes_in_a_fault("one/app/date=2026-03-02", false).await;
}
