//! Backups of a service that runs, what comes back, and starts beside what does not fit or does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::database::Database;
use yagura_tests::gate::Gate;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::time;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lake, a rule that reports failed logins, and a policy that tells nobody.
struct Place(Scratch);

impl Place {
    /// `first` comes before all sections of the configuration, `serve` into that of the service.
    fn new(first: &str, serve: &str) -> Self {
        let place = Self(Scratch::new());
        place.0.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
        );
        place.0.write(
            "pack/rules/failed.toml",
            "[rule]\nid = \"failed\"\ntitle = \"{user} failed\"\nseverity = \"medium\"\ntable = \"logins\"\nwhere = \"outcome = 'failure'\"\n[rule.observables]\nuser = [\"user\"]\n[rule.alert]\nkey = [\"user\"]\nwindow = \"1m\"\n",
        );
        place.0.write("policy.toml", "");
        place.0.write(
            "yagura.toml",
            &format!(
                "packs = [\"pack\"]\npolicy = \"policy.toml\"\n{first}\n[lake]\nurl = \"lake\"\n[serve]\nlateness = \"1m\"\npoll = \"100ms\"\nfirst_load = \"100ms\"\n{serve}"
            ),
        );
        place
    }

    fn config(&self) -> String {
        self.0.path("yagura.toml")
    }

    /// Adds a failed login of a user at a second.
    fn failure(&self, user: &str, second: i64) {
        let time = time(second);
        self.0.write(
            "raw.ndjson",
            &format!("{{\"time\":\"{time}\",\"user\":\"{user}\",\"outcome\":\"failure\"}}\n"),
        );
        let (lake, raw) = (self.0.path("lake"), self.0.path("raw.ndjson"));
        yagura(&["ingest", "--table", "logins", "--to", &lake, &raw]).must_work();
    }

    fn serve(&self) -> Service {
        let log = self.0.path("serve.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let child = Command::new(binary())
            .args(["serve", "--config", &self.config()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file.unwrap())
            .spawn()
            .unwrap();
        Service { child, log }
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        let config = self.config();
        let mut all = vec![command, "--config", &config];
        all.extend(arguments);
        yagura(&all)
    }

    /// Returns what `yagura alerts` prints as JSON; nothing while there is no store.
    fn alerts(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--format", "json"];
        all.extend(arguments);
        let ran = self.run("alerts", &all);
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Returns the titles of all incidents, with their states.
    fn incidents(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let incidents = self.alerts(&["list", "--limit", "1000"]).into_iter();
        let incidents: Vec<_> = incidents
            .map(|one| (text(&one["title"]), text(&one["status"])))
            .collect();
        let count = incidents.len();
        let by_title: BTreeMap<_, _> = incidents.into_iter().collect();
        assert_eq!(by_title.len(), count, "an incident is there twice");
        by_title
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.path("alerts.ndjson")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    fn status(&self) -> Value {
        let ran = self.run("status", &["--format", "json"]);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

/// A running service; killed when it is dropped.
struct Service {
    child: Child,
    log: String,
}

impl Service {
    fn wait(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended ({status}) before {what}:\n{log}");
            }
            assert!(start.elapsed() < PATIENCE, "no {what} in time:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and returns its exit code and how long that took.
    fn end(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn titles(users: &[&str]) -> BTreeSet<String> {
    users.iter().map(|user| format!("{user} failed")).collect()
}

#[test]
fn a_backup_of_a_running_service_brings_back_incidents_and_doubles_nothing() {
    let place = Place::new("", "");
    for (number, user) in ["ann", "bob", "cat"].into_iter().enumerate() {
        place.failure(user, 100 * i64::try_from(number).unwrap());
    }
    let mut service = place.serve();
    service.wait("three incidents", || place.incidents().len() == 3);
    let list = place.alerts(&["list"]);
    let bob = list.iter().find(|one| one["title"] == "bob failed");
    let bob = bob.unwrap()["id"].as_str().unwrap().to_owned();
    place.alerts(&["ack", &bob, "--by", "ann"]);
    let backup = place.0.path("backup");
    let ran = place.run("backup", &["--to", &backup]).must_work();
    assert!(
        ran.stdout.contains("state, alerts and incidents"),
        "{}",
        ran.stdout
    );
    let ran = place.run("backup", &["--to", &backup]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);

    // What comes after it: two alerts, and one that settles.
    place.failure("dan", 300);
    place.failure("eve", 10_000);
    service.wait("five incidents", || place.incidents().len() == 5);
    service.wait("final alerts", || {
        place.lines().iter().any(|line| line["state"] == "final")
    });
    // It is not put in place under a service.
    let ran = place.run("restore", &["--from", &backup, "--force"]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("another yagura works with the state"),
        "{}",
        ran.stderr
    );
    service.kill();
    let ran = place.run("restore", &["--from", &backup]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("state.sqlite") && ran.stderr.contains("--force"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.incidents().len(), 5, "nothing was changed");

    // One byte of any file.
    for name in ["state.sqlite", "alerts.db", "backup.json", "SHA256SUMS"] {
        let file = place.0.path(&format!("backup/{name}"));
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        fs::write(&file, damaged).unwrap();
        let ran = place.run("restore", &["--from", &backup, "--force"]);
        assert_eq!(ran.code, Some(3), "{name}: {}", ran.stdout);
        assert!(
            ran.stderr.contains("the backup") && ran.stderr.contains("cannot be used"),
            "{name}: {}",
            ran.stderr
        );
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(place.incidents().len(), 5, "nothing was changed");

    let ran = place
        .run("restore", &["--from", &backup, "--force"])
        .must_work();
    assert!(ran.stdout.contains("is in place, as of"), "{}", ran.stdout);
    let restored = place.incidents();
    assert_eq!(
        restored.keys().cloned().collect::<BTreeSet<_>>(),
        titles(&["ann", "bob", "cat"])
    );
    assert_eq!(restored["bob failed"], "acknowledged");
    let mut service = place.serve();
    service.wait("what came after the backup", || {
        place.incidents().len() == 5
    });
    place.failure("fay", 10_500);
    service.wait("what comes now", || place.incidents().len() == 6);
    let incidents = place.incidents();
    assert_eq!(incidents["bob failed"], "acknowledged");
    assert_eq!(incidents["ann failed"], "open");
    assert_eq!(service.end().0, Some(0));
    // The lines go on without a gap, and each alert is there as in the first file.
    let lines = place.lines();
    let numbers: Vec<i64> = lines
        .iter()
        .map(|line| line["seq"].as_i64().unwrap())
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{numbers:?}"
    );
    let alerts = place.alerts(&["list", "--alerts", "--limit", "1000"]);
    assert_eq!(alerts.len(), 6);
}

#[test]
fn a_backup_without_alerts_and_into_an_empty_place() {
    let place = Place::new("", "");
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(
        place.config(),
        config.replace("policy = \"policy.toml\"\n", ""),
    )
    .unwrap();
    place.failure("ann", 0);
    place.run("serve", &["--once"]).must_work();
    let backup = place.0.path("deep/backup");
    place.run("backup", &["--to", &backup]).must_work();
    fs::remove_dir_all(place.0.path("state")).unwrap();
    // The file of alerts stays, for it is no newer.
    place.run("restore", &["--from", &backup]).must_work();
    let before = place.lines();
    assert!(!before.is_empty());
    place.run("serve", &["--once"]).must_work();
    assert_eq!(place.lines(), before);
    let ran = place.run("restore", &["--from", &place.0.path("lake"), "--force"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("is not a backup"), "{}", ran.stderr);
}

#[test]
fn a_new_state_beside_an_old_store_of_alerts_is_heard() {
    let place = Place::new("", "");
    for (number, user) in ["ann", "bob", "cat"].into_iter().enumerate() {
        place.failure(user, 100 * i64::try_from(number).unwrap());
    }
    let mut service = place.serve();
    service.wait("three incidents", || place.incidents().len() == 3);
    let first = place.incidents();
    let list = place.alerts(&["list"]);
    let id = list[0]["id"].as_str().unwrap();
    place.alerts(&["close", id, "--by", "ann", "--reason", "drill"]);
    let open = place.incidents();
    assert_eq!(open.len(), 2);
    assert_eq!(service.end().0, Some(0));
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        let _ = fs::remove_file(place.0.path(&format!("state/{name}")));
    }
    fs::remove_file(place.0.path("alerts.ndjson")).unwrap();
    place.failure("dan", 300);
    let mut service = place.serve();
    service.wait("the new incident", || {
        place.incidents().contains_key("dan failed")
    });
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(log.contains("it goes on with line 1"), "{log}");
    // What was known is known still.
    let now = place.incidents();
    assert_eq!(now.len(), 3);
    assert!(open.keys().all(|title| now.contains_key(title)), "{now:?}");
    assert_eq!(first.len(), 3);
    assert_eq!(place.alerts(&["list", "--alerts"]).len(), 4);
}

#[test]
fn a_damaged_store_of_alerts_is_refused_at_once_with_its_reason() {
    let place = Place::new("", "");
    place.failure("ann", 0);
    place.run("serve", &["--once"]).must_work();
    let file = place.0.path("state/alerts.db");
    let whole = fs::read(&file).unwrap();
    for bytes in [
        &b"no database, but long enough to be read as one"[..],
        &whole[..whole.len() / 2],
    ] {
        // A log that was not moved into the file yet would mend it: SQLite reads all pages that it holds from there.
        for log in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{file}{log}"));
        }
        fs::write(&file, bytes).unwrap();
        let start = Instant::now();
        let ran = place.run("serve", &["--once"]);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("alerts.db is damaged") && ran.stderr.contains("yagura restore"),
            "{}",
            ran.stderr
        );
        // It does not try again and again: a pool of connections would, for 30 seconds.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(25), "{took:?}");
    }
}

#[test]
fn detection_begins_while_the_database_of_alerts_is_away() {
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let place = Place::new(&format!("store = \"postgres://nobody@{address}/none\""), "");
    place.failure("ann", 0);
    let mut service = place.serve();
    service.wait("the first alert", || !place.lines().is_empty());
    place.failure("bob", 10_000);
    service.wait("the next ones", || {
        let lines = place.lines();
        lines.iter().any(|line| line["state"] == "final")
    });
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(
        log.contains("the store of alerts cannot be used") && log.contains("detection goes on"),
        "{log}"
    );
    let lines = place.lines().len() as u64;
    let undelivered = place.status()["undelivered"].as_u64().unwrap();
    assert!(undelivered >= lines, "{undelivered} of {lines}");
    let (code, took) = service.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    // What waits is there after a restart, and the store is no condition of it.
    let mut service = place.serve();
    place.failure("cat", 20_000);
    service.wait("the rest", || place.lines().len() as u64 > lines);
    assert!(place.status()["undelivered"].as_u64().unwrap() > lines);
}

#[test]
fn a_start_ends_at_once_when_it_is_asked_to() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let place = Place::new(&format!("store = \"postgres://nobody@{address}/none\""), "");
    place.failure("ann", 0);
    let mut service = place.serve();
    let (_held, _) = silent.accept().unwrap();
    let (code, took) = service.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(
        log.contains("asked to end before the start was complete"),
        "{log}"
    );
}

#[test]
fn a_table_that_waits_is_an_incident_until_it_goes_on() {
    let place = Place::new("", "report_trouble = \"1s\"\n");
    place.failure("ann", 0);
    let mut service = place.serve();
    service.wait("the first incident", || place.incidents().len() == 1);
    place.0.write(
        "lake/logins/date=2026-03-01/part-0-broken.parquet",
        "no parquet",
    );
    let title = "table `logins` waits: rules miss what comes into it";
    service.wait("the trouble", || place.incidents().contains_key(title));
    let own = |line: &&Value| line["alert"]["rule"] == "yagura.self.table-waits";
    let lines = place.lines();
    let alert = &lines.iter().find(own).unwrap()["alert"];
    assert_eq!(alert["key"], "logins");
    assert!(
        alert["context"].to_string().contains("part-0-broken"),
        "{alert}"
    );
    // It goes on as one, over a restart too.
    assert_eq!(service.end().0, Some(0));
    let mut service = place.serve();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(place.lines().iter().filter(own).count(), 1);
    fs::remove_file(
        place
            .0
            .path("lake/logins/date=2026-03-01/part-0-broken.parquet"),
    )
    .unwrap();
    service.wait("its end", || !place.incidents().contains_key(title));
    let lines = place.lines();
    let states: Vec<&Value> = lines
        .iter()
        .filter(own)
        .map(|line| &line["state"])
        .collect();
    assert_eq!(states, ["provisional", "withdrawn"]);
}

#[test]
#[ignore = "needs YAGURA_TEST_POSTGRES, the address of a database (postgres://USER@HOST/DATABASE)"]
fn what_waits_since_the_start_is_handed_over_when_the_database_is_back() {
    let database = Database::new(&std::env::var("YAGURA_TEST_POSTGRES").unwrap());
    let (gate, store) = Gate::to_database(&database.url);
    gate.set(false);
    let place = Place::new(&format!("store = \"{store}\""), "");
    let has = |user: &str| {
        let lines = place.lines();
        lines.iter().any(|line| line["alert"]["key"] == user)
    };
    let undelivered = || place.status()["undelivered"].as_u64().unwrap();
    place.failure("ann", 0);
    let mut service = place.serve();
    service.wait("the first alert", || has("ann"));
    // What waits outlasts a restart, and the database is no condition of that either.
    assert_eq!(service.end().0, Some(0));
    let mut service = place.serve();
    place.failure("bob", 10_000);
    service.wait("the next alert", || has("bob"));
    let log = || fs::read_to_string(place.0.path("serve.log")).unwrap();
    assert!(log().contains("detection goes on"), "{}", log());
    service.wait("both in the state", || {
        undelivered() >= place.lines().len() as u64
    });
    gate.set(true);
    service.wait("the database", || {
        log().contains("the store of alerts answers")
    });
    service.wait("both incidents", || place.incidents().len() == 2);
    service.wait("nothing left to hand over", || undelivered() == 0);
    // From then on as ever, and nothing twice.
    place.failure("cat", 20_000);
    service.wait("the next incident", || place.incidents().len() == 3);
    assert_eq!(place.alerts(&["list", "--alerts"]).len(), 3);
    assert_eq!(service.end().0, Some(0));
}

#[test]
#[ignore = "needs YAGURA_TEST_POSTGRES, the address of a database (postgres://USER@HOST/DATABASE)"]
fn a_backup_has_the_alerts_of_a_database_and_puts_them_back() {
    let server = std::env::var("YAGURA_TEST_POSTGRES").unwrap();
    let database = Database::new(&server);
    let place = Place::new(&format!("store = \"{}\"", database.url), "");
    for (number, user) in ["ann", "bob", "cat"].into_iter().enumerate() {
        place.failure(user, 100 * i64::try_from(number).unwrap());
    }
    let mut service = place.serve();
    service.wait("three incidents", || place.incidents().len() == 3);
    let list = place.alerts(&["list"]);
    let bob = list.iter().find(|one| one["title"] == "bob failed");
    let bob = bob.unwrap()["id"].as_str().unwrap().to_owned();
    place.alerts(&["ack", &bob, "--by", "ann"]);
    // Backups while alerts come: none lacks a line.
    for round in 0..5 {
        place.failure(&format!("u{round}"), 1_000 * (round + 1));
        let to = place.0.path(&format!("backup-{round}"));
        let ran = place.run("backup", &["--to", &to]).must_work();
        assert!(
            ran.stdout.contains("state, alerts and incidents"),
            "{}",
            ran.stdout
        );
    }
    let backup = place.0.path("backup");
    place.run("backup", &["--to", &backup]).must_work();
    // Later than the backup, in which there may be more than a moment before it.
    let before = place.incidents();
    let mut names: Vec<String> = fs::read_dir(&backup)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "SHA256SUMS",
            "alerts.db",
            "backup.json",
            "installed.toml",
            "state.sqlite"
        ]
    );
    place.failure("dan", 20_000);
    service.wait("what comes after it", || {
        place.incidents().contains_key("dan failed")
    });
    // Not under a service that runs.
    let ran = place.run("restore", &["--from", &backup, "--force"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    service.kill();
    let ran = place.run("restore", &["--from", &backup]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("alerts in postgres://") && ran.stderr.contains("--force"),
        "{}",
        ran.stderr
    );
    assert!(
        place.incidents().contains_key("dan failed"),
        "nothing was changed"
    );
    let ran = place
        .run("restore", &["--from", &backup, "--force"])
        .must_work();
    assert!(
        ran.stdout.contains("schema yagura_replaced_"),
        "{}",
        ran.stdout
    );
    let restored = place.incidents();
    let titles =
        |of: &BTreeMap<String, String>| -> BTreeSet<String> { of.keys().cloned().collect() };
    assert!(
        titles(&restored).is_subset(&titles(&before)),
        "{restored:?}"
    );
    assert_eq!(restored["bob failed"], "acknowledged");
    let mut service = place.serve();
    service.wait("all that was there", || place.incidents().len() == 9);
    place.failure("eve", 21_000);
    service.wait("what comes now", || place.incidents().len() == 10);
    assert_eq!(place.incidents()["bob failed"], "acknowledged");
    assert_eq!(
        place.alerts(&["list", "--alerts", "--limit", "1000"]).len(),
        10
    );
    assert_eq!(service.end().0, Some(0));

    // From each of the backups that were made while alerts came, in a new database, or without one.
    let config = fs::read_to_string(place.config()).unwrap();
    for round in 0..5 {
        let other = Database::new(&server);
        let store = match round {
            4 => String::new(),
            _ => format!("store = \"{}\"", other.url),
        };
        let old = format!("store = \"{}\"", database.url);
        assert!(config.contains(&old));
        fs::write(place.config(), config.replace(&old, &store)).unwrap();
        let backup = place.0.path(&format!("backup-{round}"));
        place
            .run("restore", &["--from", &backup, "--force"])
            .must_work();
        assert_eq!(place.incidents()["bob failed"], "acknowledged");
        let mut service = place.serve();
        service.wait("all that was there", || place.incidents().len() == 10);
        assert_eq!(place.incidents()["bob failed"], "acknowledged");
        assert_eq!(
            place.alerts(&["list", "--alerts", "--limit", "1000"]).len(),
            10
        );
        assert_eq!(service.end().0, Some(0));
    }
}
