//! A service that is killed at hundreds of points over an S3 server loses no alert and doubles none.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_tests::command::{binary, yagura};
use yagura_tests::s3::S3Server;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::{Dice, StreamEvent, events, time, write_pack};

const KILLS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_comes_twice() {
    let place = Scratch::new();
    place.write("store/logs/.keep", "");
    let server = S3Server::start(place.path("store").as_ref()).await.unwrap();
    let lake = server.location("s3://logs/lake").unwrap();
    write_pack(&place, "pack");
    for name in ["crashed", "calm"] {
        place.write(&format!("{name}.toml"), &config(&server, name));
    }
    let mut dice = Dice::new(7);
    let mut events = events(&mut dice, 2_500, 9_000);
    // The last event of each table comes long after all the others, so that everything before it is final.
    for (table, key) in [("logins", "outcome"), ("flows", "client")] {
        events.push(StreamEvent {
            table,
            second: 100_000,
            line: format!("{{\"time\":\"{}\",\"{key}\":\"none\"}}", time(100_000)),
        });
    }
    let files = objects(&place, &events);
    let (first, rest) = files.split_at(120);
    for (table, file) in first {
        put(&lake, table, file).await;
    }
    let mut rest = rest.iter();

    let mut kills = 0;
    let mut points = std::collections::BTreeSet::new();
    while kills < KILLS {
        let mut service = serve("crashed", &place);
        // At some moment during one of its first commits, wherever that finds it.
        let before = commits(&place);
        let after = before + dice.roll(4);
        let give_up = Instant::now() + Duration::from_millis(800);
        while commits(&place) < after && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(dice.roll(30_000))).await;
        // New objects come while it runs, about as fast as it reads.
        for (table, file) in rest.by_ref().take(usize::try_from(dice.roll(8)).unwrap()) {
            put(&lake, table, file).await;
        }
        if service.try_wait().unwrap().is_some() {
            let said = fs::read_to_string(place.path("crashed.err")).unwrap_or_default();
            panic!("it ended by itself: {said}");
        }
        service.kill().unwrap();
        service.wait().unwrap();
        kills += 1;
        let written = fs::metadata(place.path("crashed.ndjson")).map_or(0, |file| file.len());
        points.insert((commits(&place), written));
    }
    for (table, file) in rest {
        put(&lake, table, file).await;
    }
    yagura(&[
        "serve",
        "--once",
        "--quiet",
        "--config",
        &place.path("crashed.toml"),
    ])
    .must_work();
    yagura(&[
        "serve",
        "--once",
        "--quiet",
        "--config",
        &place.path("calm.toml"),
    ])
    .must_work();

    let crashed = lines(&place, "crashed");
    let calm = lines(&place, "calm");
    let settled = |lines: &[Value]| -> Vec<String> {
        let settled = lines.iter().filter(|line| line["state"] == "final");
        let mut settled: Vec<String> = settled.map(|line| line["alert"].to_string()).collect();
        settled.sort();
        settled
    };
    assert_eq!(settled(&crashed), settled(&calm));
    assert!(
        settled(&calm).len() > 200,
        "{} alerts",
        settled(&calm).len()
    );
    let numbers: Vec<i64> = crashed
        .iter()
        .filter_map(|line| line["seq"].as_i64())
        .collect();
    let expected: Vec<i64> = (1..).take(crashed.len()).collect();
    assert_eq!(numbers, expected, "each line once and in order");
    assert_ends(&crashed);
    assert!(
        points.len() > KILLS / 2,
        "the kills hit only {} different points",
        points.len()
    );
    // And the same as one run over all of it.
    let run = yagura(&[
        "run",
        "--format",
        "json",
        "--config",
        &place.path("calm.toml"),
    ])
    .must_work();
    let mut one: Vec<String> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string())
        .collect();
    one.sort();
    assert_eq!(settled(&calm), one);
}

/// Returns a number that grows with each commit.
fn commits(place: &Scratch) -> u64 {
    let wal = fs::metadata(place.path("crashed.state/state.sqlite-wal"));
    let changed = wal.and_then(|file| file.modified()).ok();
    let since = changed.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    static SEEN: Mutex<(u128, u64)> = Mutex::new((0, 0));
    let mut seen = SEEN.lock().unwrap();
    let now = since.map_or(0, |since| since.as_nanos());
    if seen.0 != now {
        *seen = (now, seen.1 + 1);
    }
    seen.1
}

/// Every provisional alert is final or withdrawn with its reason.
fn assert_ends(lines: &[Value]) {
    let mut open = BTreeMap::new();
    for line in lines {
        let id = line["alert"]["id"].as_str().unwrap().to_owned();
        match line["state"].as_str().unwrap() {
            "provisional" => {
                open.insert(id, line);
            }
            "withdrawn" => {
                assert!(line["reason"].is_string(), "{line}");
                assert!(open.remove(&id).is_some(), "withdrawn and not told: {line}");
            }
            _ => {
                open.remove(&id);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn config(server: &S3Server, name: &str) -> String {
    let options: String = server
        .options()
        .iter()
        .map(|(key, value)| format!("{key} = \"{value}\"\n"))
        .collect();
    format!(
        "packs = [\"pack\"]\n[lake]\nurl = \"s3://logs/lake\"\n[lake.options]\n{options}[serve]\nstate = \"{name}.state\"\nalerts = \"{name}.ndjson\"\npoll = \"50ms\"\nfirst_load = \"50ms\"\nlateness = \"5m\"\nstep_objects = 1\nlist_all = \"1ms\"\n"
    )
}

fn serve(name: &str, place: &Scratch) -> std::process::Child {
    let err = fs::File::create(place.path(&format!("{name}.err"))).unwrap();
    Command::new(binary())
        .args([
            "serve",
            "--quiet",
            "--config",
            &place.path(&format!("{name}.toml")),
        ])
        .env_remove("YAGURA_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(err)
        .spawn()
        .unwrap()
}

/// Writes the events into files of half a minute, one for each table, in order of time.
fn objects(place: &Scratch, events: &[StreamEvent]) -> Vec<(&'static str, PathBuf)> {
    let mut files: BTreeMap<(i64, &'static str), Vec<&str>> = BTreeMap::new();
    for event in events {
        let lines = files.entry((event.second / 30, event.table)).or_default();
        lines.push(&event.line);
    }
    files
        .into_iter()
        .map(|((number, table), lines)| {
            let name = format!("raw/{number}-{table}.ndjson");
            place.write(&name, &(lines.join("\n") + "\n"));
            (table, PathBuf::from(place.path(&name)))
        })
        .collect()
}

async fn put(lake: &Location, table: &str, file: &PathBuf) {
    ingest(
        IngestOptions::new(table, lake.clone()),
        std::slice::from_ref(file),
        |_| {},
    )
    .await
    .unwrap();
}

fn lines(place: &Scratch, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(&format!("{name}.ndjson"))).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
