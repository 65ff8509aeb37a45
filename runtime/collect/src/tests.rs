//! Each record is one row, whatever happens to the objects, the ledger and the process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use tokio::sync::mpsc;
use yagura_lake::ingest::{Normalize, Normalized, SourceTable};
use yagura_lake::{ColumnDefinition, ColumnKind, Format, Location};

use crate::{Announced, CollectReport, Collector, CollectorOptions, Ledger, SourceTotals};

/// Gives every event a class.
#[derive(Debug)]
struct Same;

impl Normalize for Same {
    fn normalize(&self, events: &[&str]) -> Vec<Normalized> {
        let row = Normalized {
            members: "\"class_uid\":0".to_owned(),
            class: "base_event",
            ..Normalized::default()
        };
        vec![row; events.len()]
    }
}

struct Raw {
    name: String,
    from: Location,
    state: tempfile::TempDir,
}

impl Raw {
    fn new(name: &str) -> Self {
        let url = format!("memory://collect-{name}/raw");
        Self {
            name: name.to_owned(),
            from: Location::parse(&url, &BTreeMap::new()).unwrap(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    async fn put(&self, key: &str, text: &str) {
        let path = self.from.join(key).prefix;
        let bytes = text.as_bytes().to_vec();
        self.from.store.put(&path, bytes.into()).await.unwrap();
    }

    fn ledger(&self) -> Arc<Ledger> {
        Arc::new(Ledger::open(self.state.path()).unwrap())
    }

    fn collector(&self, ledger: &Arc<Ledger>) -> Collector {
        let options = CollectorOptions {
            name: "web".to_owned(),
            from: self.from.clone(),
            to: Location::parse(
                &format!("memory://collect-{}-lake", self.name),
                &BTreeMap::new(),
            )
            .unwrap(),
            table: "web".to_owned(),
            source: SourceTable {
                name: "web".to_owned(),
                time_paths: Vec::new(),
                grok: None,
                parser: None,
                each: None,
                repeats: None,
                processed_time: None,
                columns: vec![ColumnDefinition::of_key("class_uid", ColumnKind::Int64)],
                normalizer: Arc::new(Same),
            },
            format: Format::Auto,
            timezone: Default::default(),
            replaces: true,
        };
        Collector::new(options, Arc::clone(ledger)).unwrap()
    }

    async fn turn(&self) -> CollectReport {
        self.collector(&self.ledger()).turn().await.unwrap()
    }

    fn totals(&self) -> SourceTotals {
        self.ledger().totals().unwrap().swap_remove(0)
    }

    /// Returns how many objects the table has.
    async fn objects(&self) -> usize {
        let url = format!("memory://collect-{}-lake/web", self.name);
        let table = Location::parse(&url, &BTreeMap::new()).unwrap();
        let listed: Vec<_> = table
            .store
            .list(Some(&table.prefix))
            .try_collect()
            .await
            .unwrap();
        let mut names = listed.iter().map(|object| object.location.as_ref());
        let is_data = |name: &&str| name.ends_with(".parquet");
        names.by_ref().filter(is_data).count()
    }
}

fn event(n: usize) -> String {
    format!(
        "{{\"time\":\"2026-01-02T03:04:{:02}Z\",\"n\":{n}}}\n",
        n % 60
    )
}

fn events(range: std::ops::Range<usize>) -> String {
    range.map(event).collect()
}

#[tokio::test]
async fn each_object_is_ingested_once() {
    let raw = Raw::new("once");
    raw.put("a/1.ndjson", &events(0..3)).await;
    raw.put("a/2.ndjson", &events(3..5)).await;
    let report = raw.turn().await;
    assert_eq!((report.objects, report.events, report.waiting), (2, 5, 0));
    assert_eq!(raw.turn().await, CollectReport::default());
    raw.put("b/3.ndjson", &events(5..6)).await;
    let report = raw.turn().await;
    assert_eq!((report.objects, report.events), (1, 1));
    let totals = raw.totals();
    assert_eq!((totals.objects, totals.records, totals.events), (3, 6, 6));
    assert!(totals.last_ingest.is_some() && totals.trouble.is_none());
}

#[tokio::test]
async fn a_lost_ledger_doubles_nothing() {
    let mut raw = Raw::new("lost");
    raw.put("1.ndjson", &events(0..50)).await;
    assert_eq!(raw.turn().await.events, 50);
    let objects = raw.objects().await;
    // As after a kill between the commit of the rows and the note in the ledger.
    raw.state = tempfile::tempdir().unwrap();
    let report = raw.turn().await;
    assert_eq!((report.objects, report.events), (1, 0));
    assert_eq!(raw.objects().await, objects);
}

#[tokio::test]
async fn an_announced_object_is_ingested_once_and_its_message_ends_then() {
    let raw = Raw::new("announced");
    let ledger = raw.ledger();
    let collector = raw.collector(&ledger);
    let (done, mut ended) = mpsc::unbounded_channel();
    let announced = |key: &str, tag: Option<&str>| Announced::of_test(key, tag, &done);
    raw.put("1.ndjson", &events(0..3)).await;
    raw.put("2.ndjson", &events(3..4)).await;
    // Twice, in another order, and one that is gone.
    let messages = ["raw/2.ndjson", "raw/1.ndjson", "raw/gone", "raw/2.ndjson"];
    let messages = messages.map(|key| announced(key, None));
    let report = collector.turn_of(messages.into()).await.unwrap();
    assert_eq!((report.objects, report.events), (2, 4));
    let mut receipts = Vec::new();
    while let Ok(receipt) = ended.try_recv() {
        receipts.push(receipt);
    }
    receipts.sort();
    let expected = ["1.ndjson", "2.ndjson", "2.ndjson", "gone"];
    assert_eq!(
        receipts,
        expected.map(|key| format!("receipt of raw/{key}"))
    );
    // The listing knows what was announced, and the other way round.
    assert_eq!(collector.turn().await.unwrap(), CollectReport::default());
    raw.put("3.ndjson", &events(4..5)).await;
    assert_eq!(collector.turn().await.unwrap().events, 1);
    let late = announced("raw/3.ndjson", Some("another"));
    let report = collector.turn_of(vec![late]).await.unwrap();
    assert_eq!(report, CollectReport::default());
    assert!(ended.try_recv().is_ok());
    let totals = raw.totals();
    assert_eq!((totals.objects, totals.events), (3, 5));
}

#[tokio::test]
async fn a_rewritten_object_replaces_its_rows_and_is_counted() {
    let raw = Raw::new("rewritten");
    raw.put("1.ndjson", &events(0..30)).await;
    raw.put("2.ndjson", &events(30..40)).await;
    assert_eq!(raw.turn().await.events, 40);
    raw.put("1.ndjson", &events(50..55)).await;
    let report = raw.turn().await;
    assert_eq!((report.events, report.replaced), (5, 1), "{report:?}");
    let said = report.messages.join("\n");
    assert!(
        said.contains("memory://collect-rewritten/raw/1.ndjson was rewritten"),
        "{said}"
    );
    assert_eq!(raw.totals().replaced, 1);
    assert_eq!(raw.turn().await, CollectReport::default());
    // What was there before comes back, and is not taken for what was read long ago.
    raw.put("1.ndjson", &events(0..30)).await;
    let report = raw.turn().await;
    assert_eq!((report.events, report.replaced), (30, 1), "{report:?}");
    assert_eq!(raw.turn().await, CollectReport::default());
    // Without the ledger of sources, too: the table knows where its rows came from.
    let mut raw = raw;
    raw.put("2.ndjson", &events(60..61)).await;
    raw.state = tempfile::tempdir().unwrap();
    let report = raw.turn().await;
    assert_eq!((report.objects, report.events, report.replaced), (2, 1, 1));
}

#[tokio::test]
async fn an_object_that_grew_or_was_copied_gives_only_what_is_new() {
    let raw = Raw::new("grew");
    raw.put("1.ndjson", &events(0..40)).await;
    assert_eq!(raw.turn().await.events, 40);
    raw.put("1.ndjson", &events(0..60)).await;
    assert_eq!(raw.turn().await.events, 20);
    raw.put("copy.ndjson", &events(0..60)).await;
    let report = raw.turn().await;
    assert_eq!((report.objects, report.events), (1, 0));
    assert_eq!(raw.totals().events, 60);
}

#[tokio::test]
async fn an_object_may_have_the_name_of_another_ones_folder() {
    let raw = Raw::new("nested");
    raw.put("a/b", &events(0..1)).await;
    assert_eq!(raw.turn().await.events, 1);
    raw.put("a", &events(1..2)).await;
    raw.put("a/b/c", &events(2..3)).await;
    assert_eq!(raw.turn().await.events, 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_holds_nothing_up() {
    let raw = Raw::new("bad");
    raw.put("1.ndjson", &format!("{}no event\n", events(0..2)))
        .await;
    raw.put("2.ndjson.gz", "\u{1f}\u{8b}").await;
    raw.put("3.parquet", "PAR1 and no more").await;
    raw.put("4.ndjson", &events(2..3)).await;
    let report = raw.turn().await;
    assert_eq!(report.events, 3, "{report:?}");
    let said = report.messages.join("\n");
    assert!(said.contains("memory://collect-bad/raw/1.ndjson"), "{said}");
    assert!(said.contains("3.parquet"), "{said}");
    let totals = raw.totals();
    assert_eq!(
        totals.rejected,
        1 + u64::from(totals.records > 4),
        "{totals:?}"
    );
    assert!(totals.unreadable >= 1, "{totals:?}");
    assert_eq!(totals.records, totals.events + totals.rejected);
    // It is not tried again before it is another object.
    assert_eq!(raw.turn().await.objects, 0);
    let unreadable = raw.totals().unreadable;
    raw.put("3.parquet", &events(3..4)).await;
    assert_eq!(raw.turn().await.events, 1);
    assert_eq!(raw.totals().unreadable, unreadable - 1, "it is mended");
}

#[tokio::test]
async fn a_store_that_is_away_is_trouble_until_it_is_back() {
    let state = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("file");
    std::fs::write(&away, "x").unwrap();
    let mut raw = Raw::new("away");
    raw.state = state;
    let below = away.join("below");
    raw.from = Location::parse(&below.to_string_lossy(), &BTreeMap::new()).unwrap();
    let ledger = raw.ledger();
    let failed = raw.collector(&ledger).turn().await;
    match failed {
        // A folder below a file does not exist, which some systems say as an error.
        Ok(report) => assert_eq!(report, CollectReport::default()),
        Err(error) => {
            assert!(error.to_string().contains("source `web`"), "{error}");
            assert!(raw.totals().trouble.is_some());
        }
    }
}

#[tokio::test]
async fn a_local_file_is_left_alone_while_it_may_be_written() {
    let mut raw = Raw::new("local");
    let folder = tempfile::tempdir().unwrap();
    raw.from = Location::parse(&folder.path().to_string_lossy(), &BTreeMap::new()).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("new.ndjson", &events(0..1));
    write("old.ndjson", &events(1..2));
    set_old(&folder.path().join("old.ndjson"));
    let report = raw.turn().await;
    assert_eq!((report.objects, report.events, report.waiting), (1, 1, 1));
    set_old(&folder.path().join("new.ndjson"));
    assert_eq!(raw.turn().await.events, 1);
}

fn set_old(file: &Path) {
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(before).unwrap();
}
