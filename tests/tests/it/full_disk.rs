//! A service whose disk is full: it keeps what it has, says so, and goes on when there is room, without a hand.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::time;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service whose state, alerts and store of alerts are on a small disk.
struct Place {
    files: Scratch,
    disk: PathBuf,
    service: Option<Child>,
}

impl Place {
    fn new() -> Self {
        let files = Scratch::new();
        files.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
        );
        files.write(
            "pack/rules/failed.toml",
            "[rule]\nid = \"failed\"\ntitle = \"{user} failed\"\ntable = \"logins\"\nwhere = \"outcome = 'failure'\"\n[rule.alert]\nkey = [\"user\"]\nwindow = \"1m\"\n",
        );
        files.write("policy.toml", "");
        files.write(
            "yagura.toml",
            "packs = [\"pack\"]\npolicy = \"policy.toml\"\n[lake]\nurl = \"lake\"\n[serve]\nstate = \"disk/state\"\nalerts = \"disk/alerts.ndjson\"\nlateness = \"1m\"\npoll = \"100ms\"\nfirst_load = \"100ms\"\n",
        );
        let disk = PathBuf::from(files.path("disk"));
        fs::create_dir_all(&disk).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(&disk)
            .status();
        assert!(mounted.unwrap().success(), "only root may mount a disk");
        Self {
            files,
            disk,
            service: None,
        }
    }

    /// Adds a failed login of a user.
    fn failure(&self, user: &str, second: i64) {
        let time = time(second);
        self.files.write(
            "raw.ndjson",
            &format!("{{\"time\":\"{time}\",\"user\":\"{user}\",\"outcome\":\"failure\"}}\n"),
        );
        let (lake, raw) = (self.files.path("lake"), self.files.path("raw.ndjson"));
        yagura(&["ingest", "--table", "logins", "--to", &lake, &raw]).must_work();
    }

    fn fill(&self) {
        let mut filler = File::create(self.disk.join("filler")).unwrap();
        for bytes in [1 << 16, 1 << 12, 1] {
            let chunk = vec![0; bytes];
            while filler.write_all(&chunk).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.disk.join("filler")).unwrap();
    }

    fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.files.path("serve.log"));
        let service = Command::new(binary())
            .args(["serve", "--config", &self.files.path("yagura.toml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.service = Some(service.unwrap());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path("serve.log")).unwrap()
    }

    fn wait(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            let log = self.log();
            if let Some(Some(status)) = self.service.as_mut().map(|one| one.try_wait().unwrap()) {
                panic!("the service ended ({status}) before {what}:\n{log}");
            }
            assert!(start.elapsed() < PATIENCE, "no {what} in time:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the service to end, and returns its exit code.
    fn end(&mut self) -> Option<i32> {
        let mut service = self.service.take().unwrap();
        let id = service.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = service.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn status(&self) -> Ran {
        yagura(&["status", "--config", &self.files.path("yagura.toml")])
    }

    /// Returns the users of all alerts, after looking that no line is missing or there twice.
    fn users(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.disk.join("alerts.ndjson")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        for (number, line) in (1..).zip(&lines) {
            assert_eq!(line["seq"], number, "{text}");
        }
        let users = lines.iter().map(|line| line["alert"]["key"].to_string());
        users.map(|user| user.replace('"', "")).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
        let _ = Command::new("umount").arg(&self.disk).status();
    }
}

#[test]
#[ignore = "mounts a small disk, which only root may"]
fn a_service_whose_disk_is_full_goes_on_when_there_is_room() {
    let mut place = Place::new();
    place.failure("ann", 0);
    place.start();
    place.wait("the first alert", |place| place.users().contains("ann"));

    // Full while it runs. What was there of a journal may take a few steps.
    place.fill();
    let mut users = 0;
    while !place.log().contains("cannot be written now") {
        assert!(users < 200, "{}", place.log());
        place.failure(&format!("b{users}"), 100 * (users + 1));
        users += 1;
    }
    let status = place.status();
    assert_eq!(status.code, Some(1), "{}", status.stdout);
    assert!(
        status.stdout.contains("the state cannot be written"),
        "{}{}",
        status.stdout,
        status.stderr
    );
    place.failure("cat", 100 * (users + 1));
    place.make_room();
    place.wait("all alerts", |place| {
        let found = place.users();
        found.contains("cat") && (0..users).all(|number| found.contains(&format!("b{number}")))
    });
    assert!(place.log().contains("the state can be written again"));
    place.wait("a good status", |place| {
        let status = place.status();
        status.code == Some(0) && status.stdout.contains("the state can be written again")
    });

    // Asked to end while it is full, and started so.
    place.fill();
    let told = |place: &Place| place.log().matches("cannot be written now").count();
    let before = told(&place);
    let mut more = 0;
    while told(&place) == before {
        assert!(more < 200, "{}", place.log());
        place.failure(&format!("d{more}"), 100 * (users + more + 2));
        more += 1;
    }
    assert_eq!(place.end(), Some(0));
    place.start();
    place.wait("a word of it", |place| {
        place.log().contains("the service starts again in")
    });
    assert_eq!(place.end(), Some(0));
    place.start();
    place.make_room();
    place.wait("all alerts", |place| {
        let found = place.users();
        (0..more).all(|number| found.contains(&format!("d{number}")))
    });
    assert_eq!(place.end(), Some(0));
}

#[test]
#[ignore = "mounts a small disk, which only root may"]
fn a_file_of_alerts_that_has_no_room_holds_up_nothing_else() {
    let mut place = Place::new();
    let config = fs::read_to_string(place.files.path("yagura.toml")).unwrap();
    place.files.write(
        "yagura.toml",
        &config.replace("state = \"disk/state\"", "state = \"state\""),
    );
    place.failure("ann", 0);
    place.start();
    place.wait("the first alert", |place| place.users().contains("ann"));
    place.fill();
    // What is left of the last block of the file may hold a few lines.
    let mut users = 0;
    while !place.log().contains("cannot write alerts to") {
        assert!(users < 200, "{}", place.log());
        place.failure(&format!("b{users}"), 100 * (users + 1));
        users += 1;
    }
    place.failure("bob", 100 * (users + 1));
    place.failure("cat", 100 * (users + 2));
    // The policy hears of it meanwhile.
    let config = place.files.path("yagura.toml");
    place.wait("both incidents", |_| {
        let ran = yagura(&["alerts", "--config", &config, "list", "--limit", "1000"]);
        ran.stdout.contains("bob failed") && ran.stdout.contains("cat failed")
    });
    assert!(!place.users().contains("cat"));
    place.make_room();
    place.wait("the alerts in their file", |place| {
        let users = place.users();
        users.contains("bob") && users.contains("cat")
    });
    assert_eq!(place.end(), Some(0));
}
