//! New objects that a queue announces are rows that rules have seen, each record once, whatever happens to the messages.

mod rewritten;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use yagura_lake::Location;
use yagura_tests::azurite::Azurite;
use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::moto::Moto;
use yagura_tests::pubsub::PubSub;
use yagura_tests::s3::S3Server;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::Dice;

const GATE: &str = r#"
[source]
name = "gate"
title = "Gates of a network"
format = "logfmt"
time = ["ts"]

[[class]]
name = "authentication"

[class.columns]
activity_id = "1"
status_id = "2"
user.name = "user"
"#;

const REFUSED: &str = r#"
[rule]
id = "refused"
title = "{user.name} was refused"
class = "authentication"
where = "status_id = 2"
[rule.alert]
key = ["user.name"]
"#;

/// A service with a source `gates`, whose tables and state are local.
struct Place(Scratch);

/// A service that runs; it is killed with this.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    fn new() -> Self {
        let place = Scratch::new();
        let pack = "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n";
        place.write("pack/pack.toml", pack);
        place.write("pack/rules/refused.toml", REFUSED);
        place.write("pack/sources/gate.toml", GATE);
        Self(place)
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    /// Writes a configuration. `of_sources` are sections.
    fn configure(&self, serve: &str, of_sources: &str) {
        self.0.write(
            "yagura.toml",
            &format!(
                "packs = [\"pack\"]\n[serve]\nfirst_load = \"1s\"\nlateness = \"1s\"\n{serve}\
                 [lake]\nurl = \"lake\"\n{of_sources}"
            ),
        );
    }

    fn serve(&self) -> Service {
        let said = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("serve.err"))
            .unwrap();
        let started = Command::new(binary())
            .args(["serve", "--quiet", "--config", &self.path("yagura.toml")])
            .stdout(Stdio::null())
            .stderr(said)
            .spawn();
        Service(started.unwrap())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("serve.err")).unwrap_or_default()
    }

    fn status(&self) -> (Ran, Vec<Value>) {
        let config = self.path("yagura.toml");
        let ran = yagura(&["source", "status", "--format", "json", "--config", &config]);
        let lines = ran.stdout.lines();
        let lines = lines.map(|line| serde_json::from_str(line).unwrap());
        let lines = lines.collect();
        (ran, lines)
    }

    /// Returns what status says of a source or a queue, by its name.
    fn status_of(&self, name: &str) -> Value {
        let (_, lines) = self.status();
        let mut lines = lines.into_iter();
        lines
            .find(|line| line["source"] == name || line["queue"] == name)
            .unwrap_or_default()
    }

    /// Waits until something is so, and fails with what the service said.
    async fn until(&self, seconds: u64, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !is_so() {
            assert!(
                Instant::now() < end,
                "not in {seconds} s: {what}\n{:?}\n{}",
                self.status().1,
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Checks that each record is one row and one alert, and that there are no others.
    fn has_each_once(&self, expected: &BTreeSet<String>) {
        let alerts = self.alerts();
        assert_eq!(alerts.keys().cloned().collect::<BTreeSet<_>>(), *expected);
        assert!(alerts.values().all(|count| *count == 1), "{alerts:?}");
        assert_eq!(self.rows().len(), expected.len());
    }

    /// Returns how many records the alerts count, by user. Only the first line of each alert counts.
    fn alerts(&self) -> BTreeMap<String, u64> {
        let lines = fs::read_to_string(self.path("alerts.ndjson")).unwrap_or_default();
        let mut found = BTreeMap::new();
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let alert = &line["alert"];
            if alert["rule"] == "refused.gate" {
                let user = alert["key"].as_str().unwrap().to_owned();
                found
                    .entry(user)
                    .or_insert_with(|| alert["count"].as_u64().unwrap());
            }
        }
        found
    }

    /// Returns the source text of each row of the table.
    fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for file in walk(std::path::Path::new(&self.path("lake/gate"))) {
            if file.extension().is_none_or(|of| of != "parquet") {
                continue;
            }
            let file = fs::File::open(file).unwrap();
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let mask = ProjectionMask::columns(builder.parquet_schema(), ["raw"]);
            for batch in builder.with_projection(mask).build().unwrap() {
                let raw = cast(batch.unwrap().column(0), &DataType::Utf8).unwrap();
                let texts = raw.as_string::<i32>().iter();
                rows.extend(texts.map(|text| text.unwrap().to_owned()));
            }
        }
        rows.sort();
        rows
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

fn record(user: &str) -> String {
    format!("ts=2026-02-03T04:10:00Z user={user} peer=192.0.2.7 result=denied")
}

/// Returns the records of an object: one to three.
fn users(number: usize) -> Vec<String> {
    (0..=number % 3)
        .map(|of| format!("u{number}-{of}"))
        .collect()
}

fn content(number: usize) -> String {
    let records = users(number).into_iter();
    records.map(|user| record(&user) + "\n").collect()
}

/// Returns a message of S3 for an object.
fn s3_message(bucket: &str, key: &str) -> String {
    json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": {
        "bucket": {"name": bucket}, "object": {"key": key}}}]})
    .to_string()
}

fn source(name: &str, url: &str, events: &str, poll: &str, options: &str) -> String {
    format!(
        "[source.{name}]\nurl = {url:?}\nsource = \"gate\"\nevents = {events:?}\npoll = {poll:?}\n\
         [source.{name}.options]\n{options}"
    )
}

/// Returns a name that no other run of a test has used.
fn unique(name: &str) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{name}-{}", since.unwrap_or_default().as_micros())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs YAGURA_TEST_MOTO, the address of a moto server (http://127.0.0.1:5000)"]
async fn amazon_announces_objects_and_rules_see_them_at_once() {
    let moto = Moto::of_environment();
    let place = Place::new();
    let (plain, fanned) = (unique("plain"), unique("fanned"));
    let queue = moto.queue(&plain);
    for bucket in [&plain, &fanned] {
        moto.bucket(bucket);
    }
    moto.put(&plain, "gates/before.log", content(100).as_bytes());
    moto.announce(&plain, &moto.arn(&queue));
    let topic = moto.topic(&fanned, &queue);
    moto.announce(&fanned, &topic);
    let options = moto.option_lines();
    // Nothing is found by listing again: both polls are an hour.
    let sources = source(
        "gates",
        &format!("s3://{plain}/gates"),
        &queue,
        "1h",
        &options,
    ) + &source("others", &format!("s3://{fanned}"), &queue, "1h", &options);
    place.configure("poll = \"1h\"\n", &sources);
    let service = place.serve();
    place
        .until(60, "the first object", || {
            place.alerts().contains_key("u100-0")
        })
        .await;
    // A space and a plus sign are encoded in the message.
    moto.put(&plain, "gates/day%20one/a%2Bb.log", content(1).as_bytes());
    moto.put(&fanned, "x.log", content(2).as_bytes());
    let expected = ["u1-0", "u1-1", "u2-0", "u2-1", "u2-2"];
    place
        .until(60, "announced objects", || {
            let alerts = place.alerts();
            expected.iter().all(|user| alerts.contains_key(*user))
        })
        .await;
    moto.put(&plain, "elsewhere/y.log", content(3).as_bytes());
    moto.send(
        &queue,
        &[
            "no event".to_owned(),
            s3_message(&plain, "gates/day+one/a%2Bb.log"),
            s3_message(&plain, "gates/never-there.log"),
            json!({"detail-type": "Object Created", "detail": {
                "bucket": {"name": plain}, "object": {"key": "gates/bridged.log"}}})
            .to_string(),
        ],
    );
    place
        .until(60, "all messages deleted", || moto.left(&queue) == 0)
        .await;
    drop(service);
    let of_queue = place.status_of(&queue);
    assert_eq!(of_queue["parked"], 1, "{of_queue}");
    assert_eq!(of_queue["malformed"], 1, "{of_queue}");
    assert_eq!(of_queue["known"], 3, "{of_queue}");
    let kept = of_queue["kept"].to_string();
    assert!(kept.contains("elsewhere/y.log"), "{kept}");
    assert!(kept.contains("no event"), "{kept}");
    let said = place.said();
    assert!(said.contains("elsewhere/y.log"), "{said}");
    let config = place.path("yagura.toml");
    let shown = yagura(&["source", "status", "--config", &config]).must_work();
    assert!(shown.stdout.contains("MALFORMED"), "{shown:?}");
    assert_eq!(place.rows().len(), 2 + 2 + 3);
}

/// 10,000 objects and 50 kills: `YAGURA_TEST_ARRIVALS=10000x50`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs YAGURA_TEST_MOTO, the address of a moto server (http://127.0.0.1:5000)"]
async fn lost_doubled_and_reordered_messages_and_kills_cost_no_record() {
    let asked = std::env::var("YAGURA_TEST_ARRIVALS").unwrap_or_else(|_| "300x10".to_owned());
    let (objects, kills) = asked.split_once('x').unwrap();
    let (objects, kills): (usize, u64) = (objects.parse().unwrap(), kills.parse().unwrap());
    let moto = Moto::of_environment();
    let place = Place::new();
    let bucket = unique("killed");
    moto.bucket(&bucket);
    let queue = moto.queue(&bucket);
    let url = format!("s3://{bucket}/gates");
    let sources = source("gates", &url, &queue, "5s", &moto.option_lines());
    place.configure("poll = \"1s\"\n", &sources);

    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (moto, bucket, queue) = (moto.clone(), bucket.clone(), queue.clone());
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut dice = Dice::new(11);
            let mut held: Vec<String> = Vec::new();
            for number in 0..objects {
                let key = format!("gates/{number:05}.log");
                moto.put(&bucket, &key, content(number).as_bytes());
                let message = s3_message(&bucket, &key);
                // One in ten is lost, three in ten come twice, and all of them late and in another order.
                let copies = match dice.roll(10) {
                    0 => 0,
                    1..=3 => 2,
                    _ => 1,
                };
                held.extend((0..copies).map(|_| message.clone()));
                match dice.roll(100) {
                    0 => held.push("no event".to_owned()),
                    1 => held.push(s3_message(&bucket, "unknown/x.log")),
                    _ => {}
                }
                while held.len() > 50 {
                    let at = usize::try_from(dice.roll(held.len() as u64)).unwrap();
                    let some = vec![held.swap_remove(at); 1];
                    moto.send(&queue, &some);
                }
            }
            moto.send(&queue, &held);
            is_over.store(true, Ordering::Release);
        })
    };
    let began = Instant::now();
    let mut dice = Dice::new(12);
    let mut points = BTreeSet::new();
    for _ in 0..kills {
        let mut service = place.serve();
        tokio::time::sleep(Duration::from_millis(300 + dice.roll(2_500))).await;
        if let Some(ended) = service.0.try_wait().unwrap() {
            panic!("it ended by itself, {ended}: {}", place.said());
        }
        drop(service);
        points.insert(place.rows().len());
    }
    let service = place.serve();
    let wait = 120 + objects as u64 / 10;
    let expected: BTreeSet<String> = (0..objects).flat_map(users).collect();
    place
        .until(wait, "all records", || {
            is_over.load(Ordering::Acquire) && place.alerts().len() == expected.len()
        })
        .await;
    // What a killed service had received is hidden for 2 minutes.
    place
        .until(wait + 300, "all messages deleted", || {
            moto.left(&queue) == 0
        })
        .await;
    writer.join().unwrap();
    drop(service);
    let config = place.path("yagura.toml");
    yagura(&["serve", "--once", "--quiet", "--config", &config]).must_work();

    let alerts = place.alerts();
    assert_eq!(alerts.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(
        alerts.values().all(|count| *count == 1),
        "an alert counts a record twice"
    );
    let mut rows: Vec<String> = expected.iter().map(|user| record(user)).collect();
    rows.sort();
    assert!(place.rows() == rows, "the table differs from the objects");
    let (_, status) = place.status();
    println!(
        "{objects} objects, {} records, {kills} kills at {} points, {:?}: {status:?}",
        rows.len(),
        points.len(),
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs YAGURA_TEST_AZURITE and YAGURA_TEST_AZURITE_QUEUE, the addresses of an Azurite server"]
async fn microsoft_announces_objects_in_a_storage_queue() {
    let (store, queues) = (Azurite::of_environment(), Azurite::queues_of_environment());
    let place = Place::new();
    let name = unique("raw");
    store.make(&name);
    let queue = queues.queue(&name);
    let options = store.settings();
    let url = format!("az://{name}/gates");
    place.configure(
        "poll = \"1h\"\n",
        &source("gates", &url, &queue, "1h", &options),
    );
    store.put(&name, "gates/0.log", content(0).as_bytes());
    let mut service = place.serve();
    place
        .until(60, "the first object", || place.alerts().len() == 1)
        .await;
    let announce = |key: &str| {
        let subject = format!("/blobServices/default/containers/{name}/blobs/{key}");
        let event = json!({"eventType": "Microsoft.Storage.BlobCreated", "subject": subject,
            "data": {"api": "PutBlob"}});
        queues.send(&name, &event.to_string());
    };
    let mut expected: BTreeSet<String> = users(0).into_iter().collect();
    for number in 1..20 {
        let key = format!("gates/{number}.log");
        store.put(&name, &key, content(number).as_bytes());
        announce(&key);
        announce(&key);
        expected.extend(users(number));
        if number % 7 == 0 {
            drop(service);
            service = place.serve();
        }
    }
    announce("elsewhere/x.log");
    queues.send(&name, "{}");
    place
        .until(60, "all records", || place.alerts().len() == expected.len())
        .await;
    // What a killed service had received is hidden for 2 minutes.
    place
        .until(200, "all messages deleted", || queues.left(&name) == 0)
        .await;
    drop(service);
    place.has_each_once(&expected);
    let of_queue = place.status_of(&queue);
    assert_eq!(of_queue["parked"], 1, "{of_queue}");
    assert_eq!(of_queue["malformed"], 1, "{of_queue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn google_announces_objects_in_a_subscription() {
    let place = Place::new();
    place.0.write("store/raw/gates/.keep", "");
    // The same requests as those of S3, without a signature.
    let store = S3Server::start_open(place.path("store").as_ref())
        .await
        .unwrap();
    let subscription = PubSub::start().await.unwrap();
    let options = format!(
        "base_url = {:?}\nskip_signature = \"true\"\nallow_http = \"true\"\n",
        store.url()
    );
    place.configure(
        "poll = \"1h\"\n",
        &source(
            "gates",
            "gs://raw/gates",
            &subscription.url(),
            "1h",
            &options,
        ),
    );
    let mut unsigned = store.options();
    unsigned.insert("skip_signature".to_owned(), "true".to_owned());
    let raw = Location::parse("s3://raw/gates", &unsigned).unwrap();
    put(&raw, "0.log", 0).await;
    let mut service = place.serve();
    place
        .until(60, "the first object", || place.alerts().len() == 1)
        .await;
    let mut expected: BTreeSet<String> = users(0).into_iter().collect();
    for number in 1..30 {
        let key = format!("{number}.log");
        put(&raw, &key, number).await;
        subscription.announce("raw", &format!("gates/{key}"));
        if number % 3 == 0 {
            subscription.announce("raw", &format!("gates/{key}"));
        }
        expected.extend(users(number));
        if number % 10 == 0 {
            drop(service);
            service = place.serve();
        }
    }
    subscription.announce("raw", "elsewhere/x.log");
    subscription.send(json!({"data": "%%%"}));
    subscription.send(json!({"attributes": {
        "eventType": "OBJECT_DELETE", "bucketId": "raw", "objectId": "gates/0.log"}}));
    place
        .until(60, "all records", || place.alerts().len() == expected.len())
        .await;
    place
        .until(60, "all messages acknowledged", || subscription.left() == 0)
        .await;
    drop(service);
    place.has_each_once(&expected);
    let of_queue = place.status_of(&subscription.url());
    let counts = ["parked", "malformed", "others"].map(|name| of_queue[name].clone());
    assert_eq!(counts, [1, 1, 1].map(Value::from), "{of_queue}");
    assert!(
        subscription
            .verbs()
            .iter()
            .any(|verb| verb == "modifyAckDeadline")
    );
}

async fn put(raw: &Location, key: &str, number: usize) {
    let path = raw.join(key).prefix;
    let bytes = content(number).into_bytes();
    let stored = raw.store.put_opts(&path, bytes.into(), Default::default());
    stored.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_answer_delays_objects_and_loses_none() {
    let place = Place::new();
    place.0.write("store/raw/gates/.keep", "");
    let store = S3Server::start(place.path("store").as_ref()).await.unwrap();
    let options = store.settings();
    let events = "http://127.0.0.1:1/123456789012/raw";
    place.configure(
        "poll = \"1h\"\n",
        &source("gates", "s3://raw/gates", events, "200ms", &options),
    );
    let raw = store.location("s3://raw/gates").unwrap();
    let service = place.serve();
    place
        .until(60, "the trouble", || {
            place
                .said()
                .contains("cannot reach the queue http://127.0.0.1:1/")
        })
        .await;
    put(&raw, "1.log", 1).await;
    place
        .until(60, "the listed object", || place.alerts().len() == 2)
        .await;
    // The table has no object at the first start, which is said as it is.
    let said = place.said();
    assert!(
        said.contains("the table `gate` has no objects yet; if they hold the class"),
        "{said}"
    );
    drop(service);
    let (ran, _) = place.status();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(place.status_of(events)["trouble"].is_string());

    place.configure(
        "",
        "[source.gates]\nurl = \"raw\"\nsource = \"gate\"\nevents = \"https://sqs.eu-central-1.amazonaws.com/1/raw\"\n",
    );
    let config = place.path("yagura.toml");
    let refused = yagura(&["serve", "--once", "--config", &config]);
    assert!(refused.stderr.contains("[source.gates]"), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("only s3://, gs:// and az:// have arrival events"),
        "{refused:?}"
    );
}
