//! A service under faults of every kind at random: objects, stores, the database, plugins, clocks, kills, a full disk.
//!
//! Honest events come all the while. Each must lead to its alerts, once, with the ids that `yagura run` gives, and within two
//! polls, unless the whole service or the store of its own table was away.
//!
//! `YAGURA_CHAOS_SECONDS` says how long (120 by default), `YAGURA_CHAOS_SEED` which faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_tests::command::{binary, yagura};
use yagura_tests::database::Database;
use yagura_tests::gate::Gate;
use yagura_tests::guests;
use yagura_tests::s3::{Fault, S3Server};
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::Dice;

const TABLES: [&str; 3] = ["one", "two", "three"];
const POLL: Duration = Duration::from_secs(3);
/// What a table's plugin does to events of the kind `poison`.
const HOSTILE: [(&str, &str); 3] = [
    ("one", "memory-hog"),
    ("two", "panics"),
    ("three", "endless-loop"),
];

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Store(&'static str),
    Database,
    Down,
    FullDisk,
}

/// When an honest event was there, and when its alerts were.
#[derive(Debug)]
struct Honest {
    table: &'static str,
    written: Instant,
    seen: Option<Instant>,
}

struct Chaos {
    files: Scratch,
    server: S3Server,
    gate: Gate,
    _database: Database,
    /// State and alerts; a file system of its own, where this process may make one.
    disk: PathBuf,
    has_disk: bool,
    service: Option<Child>,
    dice: Dice,
    /// By user.
    honest: BTreeMap<String, Honest>,
    /// What was wrong from when to when; nothing while it goes on.
    troubles: Vec<(Trouble, Instant, Option<Instant>)>,
    done: BTreeMap<&'static str, u32>,
    /// Objects that hold nothing good yet, by table, with what will be in them.
    broken: Vec<(&'static str, PathBuf, Instant)>,
    numbers: u64,
    read: u64,
}

impl Chaos {
    async fn new(database: &str, seed: u64) -> Self {
        let files = Scratch::new();
        files.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"hostile.wasm\"\nworld = \"detector\"\n[plugin.limits]\ntime = \"500ms\"\n",
        );
        fs::write(files.path("pack/hostile.wasm"), guests::hostile()).unwrap();
        for table in TABLES {
            fs::create_dir_all(files.path(&format!("s3/{table}/lake"))).unwrap();
            let rule = format!(
                "[rule]\nid = \"bad-{table}\"\ntitle = \"bad\"\ntable = \"{table}\"\nwhere = \"kind = 'bad'\"\n[rule.alert]\nkey = [\"user\"]\nwindow = \"1m\"\n"
            );
            files.write(&format!("pack/rules/bad-{table}.toml"), &rule);
            let many = format!(
                "[rule]\nid = \"many-{table}\"\ntitle = \"many\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"bad-{table}\"]\nby = [\"user\"]\nwithin = \"5m\"\ncondition = {{ gte = 2 }}\n[rule.alert]\nwindow = \"5m\"\n"
            );
            files.write(&format!("pack/rules/many-{table}.toml"), &many);
        }
        for (table, id) in HOSTILE {
            let rule = format!(
                "[rule]\nid = \"{id}\"\ntitle = \"{id}\"\ntable = \"{table}\"\nplugin = \"hostile.wasm\"\ncolumns = [\"user\", \"number\"]\nwhere = \"kind = 'poison'\"\n[rule.alert]\nkey = [\"user\"]\n"
            );
            files.write(&format!("pack/rules/{id}.toml"), &rule);
        }
        let server = S3Server::start(files.path("s3").as_ref()).await.unwrap();
        let disk = PathBuf::from(files.path("disk"));
        fs::create_dir_all(&disk).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(&disk)
            .stderr(Stdio::null())
            .status();
        let has_disk = mounted.is_ok_and(|status| status.success());
        if !has_disk {
            println!("skipped: the full disk, since this process may not mount one");
        }
        let own = Database::new(database);
        let (gate, store) = Gate::to_database(&own.url);
        let mut config = format!(
            "packs = [\"pack\"]\npolicy = \"policy.toml\"\nstore = \"{store}\"\n[serve]\nstate = \"disk/state\"\nalerts = \"disk/alerts.ndjson\"\npoll = \"3s\"\nfirst_load = \"1s\"\nlateness = \"2m\"\npatience = \"20s\"\n"
        );
        for table in TABLES {
            let is_local = table == "three";
            let url = match is_local {
                true => files.path("s3/three/lake/three"),
                false => format!("s3://{table}/lake/{table}"),
            };
            write!(config, "[table.{table}]\nurl = \"{url}\"\n").unwrap();
            if !is_local {
                writeln!(config, "[table.{table}.options]").unwrap();
                for (key, value) in server.options() {
                    writeln!(config, "{key} = \"{value}\"").unwrap();
                }
            }
        }
        files.write("policy.toml", "");
        files.write("yagura.toml", &config);
        Self {
            files,
            server,
            gate,
            _database: own,
            disk,
            has_disk,
            service: None,
            dice: Dice::new(seed),
            honest: BTreeMap::new(),
            troubles: Vec::new(),
            done: BTreeMap::new(),
            broken: Vec::new(),
            numbers: 0,
            read: 0,
        }
    }

    fn config(&self) -> String {
        self.files.path("yagura.toml")
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn table(&mut self) -> &'static str {
        TABLES[usize::try_from(self.dice.roll(3)).unwrap()]
    }

    fn start(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.files.path("serve.log"));
        let service = Command::new(binary())
            .args(["serve", "--quiet", "--config", &self.config()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.service = Some(service.unwrap());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path("serve.log")).unwrap_or_default()
    }

    fn kill(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }

    fn begin(&mut self, trouble: Trouble) {
        self.troubles.push((trouble, Instant::now(), None));
    }

    fn end(&mut self, trouble: Trouble) {
        let mut troubles = self.troubles.iter_mut();
        if let Some(last) = troubles.rfind(|(of, _, end)| *of == trouble && end.is_none()) {
            last.2 = Some(Instant::now());
        }
    }

    fn is_under(&self, trouble: Trouble) -> bool {
        let mut troubles = self.troubles.iter();
        troubles.any(|(of, _, end)| *of == trouble && end.is_none())
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// Puts an object with these events into a table, past the faults of its store.
    async fn put(&self, table: &str, lines: &str) {
        self.files.write("raw.ndjson", lines);
        let lake = self.files.path(&format!("s3/{table}/lake"));
        let to = Location::parse(&lake, &BTreeMap::new()).unwrap();
        let raw = self.files.path("raw.ndjson");
        let options = IngestOptions::new(table, to);
        ingest(options, &[raw.into()], |_| {}).await.unwrap();
    }

    /// Returns two events of a user of whom nobody has heard, a second apart, of the last half minute.
    fn honest_lines(&mut self, more: &str) -> (String, String) {
        let number = self.number();
        let user = format!("u{number}");
        let at = clock() - 2 - self.dice.roll(30);
        let line = |at: u64| {
            format!(
                "{{\"time\":{at},\"kind\":\"bad\",\"user\":\"{user}\",\"number\":{number}{more}}}\n"
            )
        };
        let lines = line(at) + &line(at + 1);
        (user, lines)
    }

    async fn put_honest(&mut self, table: &'static str, more: &str) {
        let (user, lines) = self.honest_lines(more);
        self.put(table, &lines).await;
        self.note(user, table);
    }

    fn note(&mut self, user: String, table: &'static str) {
        let honest = Honest {
            table,
            written: Instant::now(),
            seen: None,
        };
        self.honest.insert(user, honest);
    }

    async fn put_other(&mut self, table: &str, kind: &str, at: u64, more: &str) {
        let number = self.number();
        let line = format!(
            "{{\"time\":{at},\"kind\":\"{kind}\",\"user\":\"o{number}\",\"number\":{number}{more}}}\n"
        );
        self.put(table, &line).await;
    }

    /// Returns an object of a table of which nobody has heard, on the day of now.
    fn new_object(&mut self, table: &str) -> PathBuf {
        let number = self.number();
        let today = chrono_day(clock());
        let day = self
            .files
            .path(&format!("s3/{table}/lake/{table}/date={today}"));
        fs::create_dir_all(&day).unwrap();
        Path::new(&day).join(format!("odd-{number}.parquet"))
    }

    /// Writes an honest object somewhere else and returns its bytes with its user.
    async fn honest_object(&mut self, table: &'static str) -> (String, Vec<u8>) {
        let (user, lines) = self.honest_lines("");
        let number = self.number();
        let aside = self.files.path(&format!("aside-{number}"));
        self.files.write("raw.ndjson", &lines);
        let to = Location::parse(&aside, &BTreeMap::new()).unwrap();
        let raw = self.files.path("raw.ndjson");
        ingest(IngestOptions::new(table, to), &[raw.into()], |_| {})
            .await
            .unwrap();
        let mut objects = parquet(Path::new(&aside));
        (user, fs::read(objects.remove(0)).unwrap())
    }

    async fn one_fault(&mut self) {
        let table = self.table();
        match self.dice.roll(15) {
            0 | 1 => {
                self.count("killed");
                self.begin(Trouble::Down);
                self.kill();
                self.start();
            }
            2 | 3 if table != "three" => {
                let faults = [
                    Fault::Status(503),
                    Fault::Status(403),
                    Fault::Cut,
                    Fault::Half,
                    Fault::Silent,
                ];
                let fault = faults[usize::try_from(self.dice.roll(5)).unwrap()];
                self.count("store");
                self.begin(Trouble::Store(table));
                self.server.fail(&format!("{table}/"), Some(fault));
            }
            4 => {
                self.count("garbage");
                let object = self.new_object(table);
                let bytes: Vec<u8> = (0..self.dice.roll(3_000))
                    .map(|_| u8::try_from(self.dice.roll(256)).unwrap())
                    .collect();
                fs::write(&object, bytes).unwrap();
                self.broken.push((table, object, Instant::now()));
            }
            5 => {
                self.count("cut object");
                let object = self.new_object(table);
                let (_, bytes) = self.honest_object(table).await;
                fs::write(&object, &bytes[..bytes.len() / 2]).unwrap();
                self.broken.push((table, object, Instant::now()));
            }
            6 => {
                self.count("ahead of the clock");
                let ahead = clock() + 60 + self.dice.roll(90_000);
                self.put_other(table, "good", ahead, "").await;
            }
            7 => {
                self.count("new column");
                let number = self.number();
                self.put_honest(table, &format!(",\"column{number}\":{number}"))
                    .await;
            }
            8 => {
                self.count("text in a number");
                self.put_other(table, "good", clock(), ",\"port\":\"-\"")
                    .await;
                self.put_honest(table, ",\"port\":443").await;
            }
            9 => {
                self.count("poison");
                self.put_other(table, "poison", clock(), "").await;
            }
            10 if !self.is_under(Trouble::Database) => {
                self.count("database");
                self.begin(Trouble::Database);
                self.gate.set(false);
            }
            11 => {
                self.count("huge value");
                let huge = "x".repeat(usize::try_from(self.dice.roll(2_000_000)).unwrap());
                self.put_other(table, "bad", clock(), &format!(",\"cmd\":\"{huge}\""))
                    .await;
            }
            12 if self.has_disk && !self.is_under(Trouble::FullDisk) => {
                self.count("full disk");
                self.begin(Trouble::FullDisk);
                let filler = fs::File::create(self.disk.join("filler")).unwrap();
                let chunk = vec![0; 1 << 16];
                while std::io::Write::write_all(&mut &filler, &chunk).is_ok() {}
            }
            13 => {
                self.count("hangup");
                if let Some(service) = &self.service {
                    let id = service.id().to_string();
                    let sent = Command::new("kill").args(["-HUP", &id]).status();
                    assert!(sent.unwrap().success());
                }
            }
            14 => {
                self.count("late day");
                self.put_other(table, "good", clock() - 3 * 86_400, "")
                    .await;
            }
            _ => {}
        }
    }

    /// Ends what has lasted long enough, or all of it.
    async fn mend(&mut self, all: bool) {
        let now = Instant::now();
        let open = self.troubles.iter().filter(|(_, _, end)| end.is_none());
        let open: Vec<(Trouble, Instant)> = open.map(|(of, since, _)| (*of, *since)).collect();
        for (trouble, since) in open {
            let lasts = Duration::from_millis(500 + self.dice.roll(5_000));
            if !all && now.duration_since(since) < lasts {
                continue;
            }
            match trouble {
                Trouble::Store(table) => self.server.fail(&format!("{table}/"), None),
                Trouble::Database => self.gate.set(true),
                Trouble::FullDisk => fs::remove_file(self.disk.join("filler")).unwrap(),
                // Until what waited for it was seen.
                Trouble::Down => continue,
            }
            self.end(trouble);
        }
        for (table, object, since) in std::mem::take(&mut self.broken) {
            let lasts = Duration::from_millis(500 + self.dice.roll(30_000));
            if !all && now.duration_since(since) < lasts {
                self.broken.push((table, object, since));
            } else if self.dice.roll(2) == 0 {
                self.count("object deleted");
                fs::remove_file(object).unwrap();
            } else {
                self.count("object mended");
                let (user, bytes) = self.honest_object(table).await;
                // As an uploader does it: the object is there at once.
                let part = object.with_extension("part");
                fs::write(&part, bytes).unwrap();
                fs::rename(part, object).unwrap();
                self.note(user, table);
            }
        }
    }

    /// Looks whether the service ended by itself, which nothing here is a reason for.
    fn supervise(&mut self) {
        let ended = self.service.as_mut().map(|service| service.try_wait());
        if let Some(Ok(Some(status))) = ended {
            panic!("it ended by itself ({status}): {}", self.log());
        }
    }

    /// Takes note of the alerts that were written since the last call.
    fn look(&mut self) {
        for line in self.new_lines() {
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let rule = line["alert"]["rule"].as_str().unwrap_or_default();
            let user = line["alert"]["key"].as_str().unwrap_or_default();
            if rule.starts_with("bad-")
                && let Some(honest) = self.honest.get_mut(user)
            {
                honest.seen.get_or_insert_with(Instant::now);
            }
        }
        // A service is up again when it has told of something that came after it started.
        let seen = self
            .honest
            .values()
            .filter_map(|of| of.seen.map(|_| of.written));
        let latest = seen.max();
        let mut ended = Vec::new();
        for (of, since, end) in &self.troubles {
            if *of == Trouble::Down && end.is_none() && latest > Some(*since) {
                ended.push(*of);
            }
        }
        for of in ended {
            self.end(of);
        }
    }

    /// Returns the whole lines of the file of alerts that were not returned before.
    fn new_lines(&mut self) -> Vec<String> {
        let text = fs::read(self.disk.join("alerts.ndjson")).unwrap_or_default();
        let from = usize::try_from(self.read).unwrap().min(text.len());
        let new = &text[from..];
        let whole = new.iter().rposition(|byte| *byte == b'\n');
        let whole = &new[..whole.map_or(0, |at| at + 1)];
        self.read += whole.len() as u64;
        let text = String::from_utf8_lossy(whole);
        text.lines().map(str::to_owned).collect()
    }

    /// Returns how long each honest alert took whose table's store and service were there all the while.
    fn waits(&self) -> Vec<(Duration, String)> {
        let excused = |honest: &Honest, seen: Instant| {
            self.troubles.iter().any(|(of, since, end)| {
                let concerns = match of {
                    Trouble::Store(table) => *table == honest.table,
                    Trouble::Down | Trouble::FullDisk => true,
                    Trouble::Database => false,
                };
                // A fault of a store is tried again with backoff: its effect ends a poll after it.
                let end = end.map_or(seen, |end| end + POLL);
                concerns && *since <= seen && end >= honest.written
            })
        };
        let mut waits: Vec<(Duration, String)> = self
            .honest
            .iter()
            .filter_map(|(user, honest)| {
                let seen = honest.seen?;
                (!excused(honest, seen))
                    .then(|| (seen - honest.written, format!("{user} of {}", honest.table)))
            })
            .collect();
        waits.sort();
        waits
    }

    /// Returns of each alert of honest events that was reported and not withdrawn its rule and user, by id.
    fn alerts(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.disk.join("alerts.ndjson")).unwrap();
        let mut alerts = BTreeMap::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (id, told) = self.told(&line["alert"]);
            match line["state"] == "withdrawn" {
                true => alerts.remove(&id),
                false => told.and_then(|told| alerts.insert(id, told)),
            };
        }
        alerts
    }

    fn told(&self, alert: &Value) -> (String, Option<String>) {
        let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
        let is_honest = self.honest.contains_key(&text("key"));
        let told = is_honest.then(|| format!("{} {}", text("rule"), text("key")));
        (text("id"), told)
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
        if self.has_disk {
            let _ = Command::new("umount").arg(&self.disk).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes, and needs YAGURA_TEST_POSTGRES, the address of a database (postgres://USER@HOST/DATABASE)"]
async fn every_honest_alert_is_there_once_whatever_happens() {
    let number = |name: &str, default| -> u64 {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| text.parse().unwrap())
    };
    let length = Duration::from_secs(number("YAGURA_CHAOS_SECONDS", 120));
    let seed = number("YAGURA_CHAOS_SEED", 1);
    let database = std::env::var("YAGURA_TEST_POSTGRES").unwrap();
    let mut chaos = Chaos::new(&database, seed).await;
    for table in TABLES {
        chaos.put_honest(table, ",\"port\":1").await;
    }
    chaos.begin(Trouble::Down);
    chaos.start();
    let start = Instant::now();
    let (mut next_event, mut next_fault) = (start, start + Duration::from_secs(10));
    while start.elapsed() < length {
        let now = Instant::now();
        if now >= next_event {
            let table = chaos.table();
            chaos.put_honest(table, "").await;
            next_event = now + Duration::from_millis(100 + chaos.dice.roll(800));
        }
        if now >= next_fault {
            chaos.one_fault().await;
            next_fault = now + Duration::from_millis(300 + chaos.dice.roll(3_000));
        }
        chaos.mend(false).await;
        chaos.supervise();
        chaos.look();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    chaos.mend(true).await;
    let end = Instant::now();
    while chaos.honest.values().any(|of| of.seen.is_none()) {
        assert!(
            end.elapsed() < Duration::from_secs(180),
            "seed {seed}: no alert of {:?}\n{:?}\n{}\n{}",
            chaos
                .honest
                .iter()
                .filter(|(_, of)| of.seen.is_none())
                .collect::<Vec<_>>(),
            chaos.done,
            yagura(&["status", "--config", &chaos.config()]).stdout,
            chaos.log()
        );
        chaos.supervise();
        chaos.look();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The correlations of the last events come with them, but perhaps not in the same write.
    tokio::time::sleep(2 * POLL).await;
    chaos.kill();
    let waits = chaos.waits();
    let slowest = waits.last().map(|(wait, _)| *wait).unwrap_or_default();
    println!(
        "seed {seed}: {} honest users, faults {:?}; {} waited for nothing but the poll: half of them up to {:?}, the slowest {:?}",
        chaos.honest.len(),
        chaos.done,
        waits.len(),
        waits.get(waits.len() / 2).map(|(wait, _)| *wait),
        waits.last(),
    );

    let alerts = chaos.alerts();
    let told: Vec<&String> = alerts.values().collect();
    let once: BTreeSet<&String> = alerts.values().collect();
    assert_eq!(told.len(), once.len(), "seed {seed}: twice: {told:?}");
    let ran = yagura(&["run", "--format", "json", "--config", &chaos.config()]);
    let of_run: BTreeMap<String, String> = ran
        .stdout
        .lines()
        .filter_map(|line| {
            let alert: Value = serde_json::from_str(line).unwrap();
            let (id, told) = chaos.told(&alert);
            Some((id, told?))
        })
        .collect();
    assert_eq!(of_run.len(), 2 * chaos.honest.len(), "{}", ran.stderr);
    assert_eq!(alerts, of_run, "seed {seed}: {}", chaos.log());
    assert!(
        slowest <= 2 * POLL,
        "seed {seed}: an honest alert took {slowest:?}\n{}",
        chaos.log()
    );
}

/// Returns the seconds since 1970.
fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn chrono_day(second: u64) -> String {
    let time = yagura_core::Timestamp::clamped(i64::try_from(second).unwrap() * 1_000_000);
    time.to_string()[..10].to_owned()
}

fn parquet(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet(&path));
        } else if path.extension().is_some_and(|of| of == "parquet") {
            found.push(path);
        }
    }
    found
}
