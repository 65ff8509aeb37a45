//! Rules that fail again and again, or take the time of others, in a service: they rest, it is seen, and it ends.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use yagura_core::Timestamp;
use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::guests;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::time;

/// A place with a pack of one plugin, of which one rule does what it should, and another does not.
struct Place {
    files: Scratch,
    service: Option<Child>,
}

impl Place {
    fn new(rule: &str, limits: &str, serve: &str) -> Self {
        let files = Scratch::new();
        files.write(
            "pack/pack.toml",
            &format!("[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"hostile.wasm\"\nworld = \"detector\"\n[plugin.limits]\n{limits}\n"),
        );
        fs::write(files.path("pack/hostile.wasm"), guests::hostile()).unwrap();
        for id in [rule, "well-behaved"] {
            files.write(
                &format!("pack/rules/{id}.toml"),
                &format!("[rule]\nid = \"{id}\"\ntitle = \"{id}\"\ntable = \"t\"\nplugin = \"hostile.wasm\"\ncolumns = [\"name\", \"number\"]\n[rule.alert]\nwindow = \"1000d\"\n"),
            );
        }
        files.write(
            "yagura.toml",
            &format!(
                "packs = [\"pack\"]\n[lake]\nurl = \"lake\"\n[serve]\npoll = \"100ms\"\nfirst_load = \"100ms\"\n{serve}\n"
            ),
        );
        Self {
            files,
            service: None,
        }
    }

    /// Adds an object of so many events.
    fn add(&self, from: i64, events: i64) {
        let lines = (from..from + events).map(|number| {
            format!(
                "{{\"time\":\"{}\",\"name\":\"n\",\"number\":{number}}}\n",
                time(number)
            )
        });
        let raw = format!("raw-{from}.ndjson");
        self.files.write(&raw, &lines.collect::<String>());
        let (lake, raw) = (self.files.path("lake"), self.files.path(&raw));
        yagura(&["ingest", "--table", "t", "--to", &lake, &raw]).must_work();
    }

    fn start(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.files.path("log"))
            .unwrap();
        let service = Command::new(binary())
            .args(["serve", "--config", &self.files.path("yagura.toml")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.service = Some(service.unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path("log")).unwrap()
    }

    fn call(&self, command: &str, more: &[&str]) -> Ran {
        let config = self.files.path("yagura.toml");
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--config", &config]);
        arguments.extend(more);
        yagura(&arguments)
    }

    fn table(&self) -> Value {
        let ran = yagura(&[
            "status",
            "--format",
            "json",
            "--state",
            &self.files.path("state"),
        ]);
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        status["tables"][0].clone()
    }

    /// Waits until the table is as it should be.
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        // What is evaluated in the background gives way to whatever else the machine does.
        let give_up = Instant::now() + Duration::from_secs(240);
        loop {
            let table = self.table();
            if is_so(&table) {
                return table;
            }
            assert!(
                Instant::now() < give_up,
                "not {what} in four minutes: {table:#}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns how many events the alerts of a rule have that are not withdrawn.
    fn count(&self, rule: &str) -> u64 {
        let text = fs::read_to_string(self.files.path("alerts.ndjson")).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let alert = &line["alert"];
            if alert["rule"] == rule {
                let count = alert["count"]
                    .as_u64()
                    .filter(|_| line["state"] != "withdrawn");
                counts.insert(alert["id"].to_string(), count.unwrap_or_default());
            }
        }
        counts.values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_rule_that_fails_rests_over_a_crash_relapses_for_longer_and_is_released() {
    let mut place = Place::new(
        "endless-loop",
        "time = \"50ms\"",
        "step_objects = 1\ncooldown = \"4s\"",
    );
    for object in 0..4 {
        place.add(object * 10, 2);
    }
    place.start();
    let table = place.until("resting", |table| {
        table["objects"] == 4 && table["quarantine"][0]["is_quarantined"] == true
    });
    // Three objects are three faults; the fourth is left out by name.
    assert_eq!(table["quarantine"][0]["rule"], "endless-loop");
    assert_eq!(table["quarantine"][0]["events"], 2);
    assert!(
        place
            .log()
            .contains("warning: rule `endless-loop` is quarantined for 4 s: "),
        "{}",
        place.log()
    );
    let ran = place.call("status", &[]);
    assert_eq!(ran.code, Some(1), "a health check sees it");
    let text = ran.stdout;
    assert!(
        text.contains("QUARANTINED") && text.contains("endless-loop") && text.contains("50ms"),
        "{text}"
    );

    place.kill();
    place.start();
    place.add(40, 2);
    // Its time is over only later: tried then with what comes, and found to be no better.
    place.until("read on", |table| table["objects"] == 5);
    let log = place.log();
    assert!(
        log.contains("rule `endless-loop` is still quarantined, until "),
        "{log}"
    );
    place.until("due", |table| {
        let until = table["quarantine"][0]["until"].as_str().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i128::from(until.parse::<Timestamp>().unwrap().micros()) < now.as_micros().cast_signed()
    });
    place.add(50, 2);
    place.until("relapsed", |table| table["quarantine"][0]["repeats"] == 2);
    let log = place.log();
    assert!(
        log.contains("warning: rule `endless-loop` is quarantined for 8 s: "),
        "{log}"
    );
    // Nothing of it touched the other rule.
    place.until("all evaluated", |_| place.count("well-behaved") == 12);
    assert_eq!(place.count("endless-loop"), 0);

    let listed = place.call("quarantine list", &[]).must_work().stdout;
    assert!(listed.contains("endless-loop"), "{listed}");
    let listed = place.call("quarantine list", &["--format", "json"]);
    let listed: Value = serde_json::from_str(&listed.must_work().stdout).unwrap();
    assert_eq!(listed["rule"], "endless-loop");
    let wrong = place.call("quarantine clear", &["endless-lop"]);
    assert_eq!(wrong.code, Some(3));
    assert!(
        wrong
            .stderr
            .contains("rule `endless-lop` is not in quarantine; did you mean `endless-loop`?"),
        "{}",
        wrong.stderr
    );
    let cleared = place.call("quarantine clear", &["endless-loop"]);
    let cleared = cleared.must_work().stdout;
    assert!(
        cleared.contains("rule `endless-loop` is retried with the service's next step")
            && cleared.contains("it skipped 4 events; to evaluate them: `yagura run --from 2026-"),
        "{cleared}"
    );
    place.until("cleared", |table| {
        table["quarantine"] == Value::Array(vec![])
    });
    let log = place.log();
    assert!(
        log.contains(
            "rule `endless-loop` was cleared from quarantine; 4 events were not evaluated"
        ),
        "{log}"
    );
    let none = place
        .call("quarantine clear", &["--all"])
        .must_work()
        .stdout;
    assert_eq!(none, "no rule is in quarantine\n");
}

#[test]
fn a_rule_that_takes_the_time_of_others_delays_only_itself_and_loses_nothing_on_a_crash() {
    let mut place = Place::new("slow", "time = \"60s\"", "rule_time = \"100ms\"");
    // More time than is usual is the operator's to give.
    let config = place.files.path("yagura.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("grants = \"grants.toml\"\n{text}")).unwrap();
    place
        .files
        .write("grants.toml", "[limits]\ntime = \"60s\"\n");
    place.add(0, 3_000);
    place.start();
    // The other rule's alert is there while the slow one is still at work.
    let table = place.until("evaluated in the background", |table| {
        // Nor does the time of others wait for it.
        let passed = table["watermark"].as_str().unwrap_or_default();
        table["background"] == 3_000
            && place.count("well-behaved") == 3_000
            && passed > time(2_000).as_str()
    });
    assert_eq!(table["quarantine"], Value::Array(vec![]));
    assert_eq!(place.count("slow"), 0);
    let text = place.call("status", &[]).must_work().stdout;
    assert!(
        text.contains("3,000 events in background evaluation"),
        "{text}"
    );
    assert!(
        place
            .log()
            .contains("warning: rule `slow` is evaluated in the background for a while: "),
        "{}",
        place.log()
    );
    place.kill();

    place.add(3_000, 1);
    let ran = place.call("serve", &["--once"]).must_work();
    assert_eq!(place.table()["background"], 0, "{}", ran.stderr);
    assert_eq!(place.count("slow"), 3_001);
    assert_eq!(place.count("well-behaved"), 3_001);
    // Its own time has.
    let alerts = fs::read_to_string(place.files.path("alerts.ndjson")).unwrap();
    assert!(!alerts.contains("\"late\""), "{alerts}");
}

#[test]
fn an_operator_bounds_what_a_plugin_may_use() {
    let place = Place::new("endless-loop", "time = \"1m\"", "");
    place.add(0, 2);
    let config = place.files.path("yagura.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("grants = \"grants.toml\"\n{text}")).unwrap();
    place.files.write(
        "grants.toml",
        "[pack.p.limits]\ntime = \"70ms\"\nmemory_mib = 9000\n[pack.q.limits]\n",
    );
    let shown = place.call("grants", &[]).must_work().stdout;
    assert!(
        shown.contains("hostile.wasm has limits.time = 70ms by the grants, and asks for 1m")
            && !shown.contains("9000")
            && shown.contains("`[pack.q]` grants to a pack that is not loaded"),
        "{shown}"
    );
    let ran = place.call("run", &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("70ms"), "{}", ran.stderr);
    let told = place.call("serve", &["--once"]).must_work().stderr;
    assert!(told.contains("70ms") && !told.contains("1m"), "{told}");

    // What nobody grants is as usual, and told.
    place.files.write("grants.toml", "");
    let shown = place.call("grants", &[]).must_work().stdout;
    assert!(
        shown.contains("hostile.wasm has limits.time = 10s, as usual, and asks for 1m"),
        "{shown}"
    );
    let told = place.call("serve", &["--once"]).must_work().stderr;
    assert!(
        told.contains(
            "`hostile.wasm` of the pack `p` asks for `limits.time = \"1m\"` and has \"10s\""
        ) && told.contains("write `time = \"1m\"` under [pack.p.limits]"),
        "{told}"
    );

    place
        .files
        .write("grants.toml", "[pack.p.limits]\ntime = \"soon\"\n");
    let wrong = place.call("grants", &[]);
    assert_ne!(wrong.code, Some(0));
    assert!(
        wrong.stderr.contains("grants.toml:2: `pack.p.limits.time`"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_rule_that_its_plugin_does_not_accept_is_named_and_left_out_alone() {
    let mut place = Place::new("refuses-open", "", "");
    place.files.write(
        "pack/rules/honest-1.toml",
        "[rule]\nid = \"honest-1\"\ntitle = \"t\"\ntable = \"t\"\nplugin = \"hostile.wasm\"\ncolumns = [\"name\", \"number\"]\npartition_by = [\"name\"]\n[rule.alert]\nwindow = \"1000d\"\n",
    );
    place.files.write(
        "pack/rules/joins.toml",
        "[rule]\nid = \"joins\"\ntitle = \"t\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"refuses-open\"]\nwithin = \"5m\"\ncondition = { gte = 1 }\n[rule.alert]\nwindow = \"5m\"\n",
    );
    place.add(0, 5);
    let plugin = place.files.path("pack/hostile.wasm");
    let reason = format!(
        "plugin {plugin} does not accept it: the plugin answered: the configuration is wrong: `{{}}` is not to my taste"
    );
    let ran = place.call("run", &["--format", "json"]);
    assert_eq!(ran.code, Some(2), "a rule is wrong: {}", ran.stderr);
    let refused = format!("warning: 1 rule did not run: {reason} (refuses-open)");
    assert!(ran.stderr.contains(&refused), "{}", ran.stderr);
    let joined = "1 rule did not run: it joins rules that do not run: `refuses-open` (joins)";
    assert!(ran.stderr.contains(joined), "{}", ran.stderr);
    let alerts = ran.stdout.lines().map(|line| {
        let alert: Value = serde_json::from_str(line).unwrap();
        (
            alert["rule"].as_str().unwrap().to_owned(),
            alert["count"].as_u64().unwrap(),
        )
    });
    let counts: BTreeMap<_, _> = alerts.collect();
    assert_eq!(counts["well-behaved"], 5, "{counts:?}");
    assert!(!counts.contains_key("refuses-open") && !counts.contains_key("joins"));

    place.start();
    place.until("read", |table| table["objects"] == 1);
    let log = place.log();
    let refused = format!("rule `refuses-open` does not run: {reason}");
    assert_eq!(log.matches(&refused).count(), 1, "{log}");
    assert!(
        log.contains("rule `joins` does not run: it joins rules that do not run"),
        "{log}"
    );
    place.until("told", |_| place.count("well-behaved") == 5);
    // One that comes later is evaluated by the others too, after a restart as well.
    place.kill();
    place.start();
    place.add(10, 3);
    place.until("told", |_| place.count("well-behaved") == 8);
    assert_eq!(place.count("refuses-open"), 0);

    // Of a pack of which no rule is accepted nothing runs.
    for rule in ["well-behaved", "honest-1", "joins"] {
        fs::remove_file(place.files.path(&format!("pack/rules/{rule}.toml"))).unwrap();
    }
    let ran = place.call("run", &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&reason) && ran.stderr.contains("no rule could run"),
        "{}",
        ran.stderr
    );
}
