//! The live mode through the real binary.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::Value;
use yagura_core::Timestamp;
use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::random::batch_of;
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::time;

/// A place with a lake, a pack of a rule that tells failures and one that counts them, and a configuration.
struct Place(Scratch);

impl Place {
    fn new(more: &str) -> Self {
        let place = Self(Scratch::new());
        place.0.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
        );
        place.rule(
            "failed",
            "title = \"{user} failed\"\ntable = \"logins\"\nwhere = \"outcome = 'failure'\"\n[rule.alert]\nkey = [\"user\"]\nwindow = \"1m\"\n",
        );
        place.count("{ gte = 3 }", "user");
        place.0.write(
            "yagura.toml",
            &format!("packs = [\"pack\"]\n[lake]\nurl = \"lake\"\n[serve]\nlateness = \"2m\"\npoll = \"100ms\"\nfirst_load = \"100ms\"\n{more}"),
        );
        place
    }

    fn rule(&self, id: &str, text: &str) {
        let file = format!("pack/rules/{id}.toml");
        self.0
            .write(&file, &format!("[rule]\nid = \"{id}\"\n{text}"));
    }

    fn count(&self, condition: &str, by: &str) {
        self.rule(
            "many",
            &format!("title = \"{{count}} failures\"\n[rule.correlation]\ntype = \"count\"\nrules = [\"failed\"]\nby = [\"{by}\"]\nwithin = \"5m\"\ncondition = {condition}\n[rule.alert]\nwindow = \"5m\"\n"),
        );
    }

    /// Adds failures of a user at these seconds to the table.
    fn failures(&self, table: &str, user: &str, seconds: &[i64]) {
        let lines: Vec<String> = seconds
            .iter()
            .map(|second| {
                let time = time(*second);
                format!("{{\"time\":\"{time}\",\"user\":\"{user}\",\"ip\":\"10.0.0.1\",\"outcome\":\"failure\"}}")
            })
            .collect();
        self.0.write("raw.ndjson", &(lines.join("\n") + "\n"));
        let (lake, raw) = (self.0.path("lake"), self.0.path("raw.ndjson"));
        yagura(&["ingest", "--table", table, "--to", &lake, &raw]).must_work();
    }

    fn once(&self) -> Ran {
        yagura(&["serve", "--once", "--config", &self.0.path("yagura.toml")])
    }

    fn status(&self) -> Value {
        let config = self.0.path("yagura.toml");
        let ran = yagura(&["status", "--format", "json", "--config", &config]);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Returns state, rule and number of findings of each line of the file of alerts.
    fn told(&self) -> Vec<(String, String, u64)> {
        let text = fs::read_to_string(self.0.path("alerts.ndjson")).unwrap();
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let alert = &line["alert"];
            (
                text(&line["state"]),
                text(&alert["rule"]),
                alert["count"].as_u64().unwrap(),
            )
        });
        lines.collect()
    }

    /// The same without the numbers of lines, of one state.
    fn of_state(&self, state: &str) -> Vec<(String, u64)> {
        let told = self.told().into_iter();
        told.filter(|(of, ..)| of == state)
            .map(|(_, rule, count)| (rule, count))
            .collect()
    }
}

fn pair(rule: &str, count: u64) -> (String, u64) {
    (rule.to_owned(), count)
}

#[test]
fn alerts_come_up_at_once_and_settle_when_their_time_has_passed() {
    let place = Place::new("");
    place.failures("logins", "u", &[0, 10, 20]);
    let ran = place.once().must_work();
    assert!(
        ran.stderr
            .contains("logins: 1 object, 3 events; alerts: 2 provisional"),
        "{}",
        ran.stderr
    );
    // Nothing new: nothing is told again.
    place.once().must_work();
    assert_eq!(place.told().len(), 2);
    place.failures("logins", "v", &[400]);
    place.once().must_work();
    assert_eq!(place.of_state("final"), [pair("failed", 3)]);
    place.failures("logins", "v", &[900]);
    place.once().must_work();
    assert_eq!(
        place.of_state("final"),
        [pair("failed", 3), pair("many", 1), pair("failed", 1)]
    );
    let status = place.status();
    assert_eq!(status["tables"][0]["objects"], 3);
    assert_eq!(status["tables"][0]["waiting"], 0);
    assert_eq!(status["undelivered"], 0);
    assert_eq!(
        status["tables"][0]["watermark"],
        "2026-03-01T00:13:00.000000Z"
    );
    let text = yagura(&["status", "--state", &place.0.path("state")]).must_work();
    assert!(
        text.stdout.contains("2026-03-01 00:13:00"),
        "{}",
        text.stdout
    );
}

#[test]
fn an_earlier_event_moves_a_window_and_the_alert_before_is_withdrawn() {
    let place = Place::new("");
    place.failures("logins", "u", &[100, 110]);
    place.once().must_work();
    place.failures("logins", "u", &[50]);
    place.once().must_work();
    let text = fs::read_to_string(place.0.path("alerts.ndjson")).unwrap();
    let withdrawn: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["state"] == "withdrawn")
        .collect();
    assert_eq!(withdrawn.len(), 1, "{text}");
    let reason = withdrawn[0]["reason"].as_str().unwrap();
    assert!(reason.contains("happened earlier"), "{reason}");
    assert!(withdrawn[0]["replaced_by"].is_string(), "{text}");
}

#[test]
fn late_events_are_evaluated_by_rules_alone_and_counted() {
    let place = Place::new("");
    place.failures("logins", "u", &[0, 1_000]);
    place.once().must_work();
    // Three at a time that is final: the rule tells them, the count does not see them.
    place.failures("logins", "u", &[300, 310, 320]);
    let ran = place.once().must_work();
    assert!(
        ran.stderr
            .contains("alerts: 1 final; 3 too late to be put in order"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        place.of_state("final"),
        [pair("failed", 1), pair("failed", 3)]
    );
    let text = fs::read_to_string(place.0.path("alerts.ndjson")).unwrap();
    assert!(text.contains("correlations did not see it"), "{text}");
    let rules = place.status()["rules"].clone();
    let failed = rules
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["rule"] == "failed")
        .unwrap();
    assert_eq!(failed["late"], 3);
}

#[test]
fn events_ahead_of_the_clock_do_not_move_time_on() {
    let place = Place::new("");
    place.failures("logins", "u", &[0, 10]);
    place.once().must_work();
    // In the year 2126.
    place.0.write("raw.ndjson", "{\"time\":\"2126-01-01T00:00:00Z\",\"user\":\"w\",\"ip\":\"10.0.0.9\",\"outcome\":\"failure\"}\n");
    let (lake, raw) = (place.0.path("lake"), place.0.path("raw.ndjson"));
    yagura(&["ingest", "--table", "logins", "--to", &lake, &raw]).must_work();
    let ran = place.once().must_work();
    assert!(
        ran.stderr
            .contains("1 event ahead of the clock: they do not move time on"),
        "{}",
        ran.stderr
    );
    place.failures("logins", "u", &[20]);
    place.once().must_work();
    let status = place.status();
    assert_eq!(status["tables"][0]["future"], 1);
    assert_eq!(status["tables"][0]["latest"], "2026-03-01T00:00:20.000000Z");
    assert!(
        place.told().iter().any(|told| told.1 == "many"),
        "{:?}",
        place.told()
    );
}

/// Where a table of other makers lies, with failures that another writer wrote.
const OTHERS: &str = "[table.logins]\nurl = \"others\"\n";

/// Writes an object with failures of a user at these times, in microseconds.
fn other_writer(place: &Place, name: &str, times: &[i64], statistics: EnabledStatistics) {
    let times = TimestampMicrosecondArray::from(times.to_vec());
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; times.len()])) };
    let (user, outcome) = (text("u"), text("failure"));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(times)),
        ("user", user),
        ("outcome", outcome),
    ];
    let batch = batch_of(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_statistics_enabled(statistics)
        .build();
    fs::create_dir_all(place.0.path("others")).unwrap();
    let file = fs::File::create(place.0.path(&format!("others/{name}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn micros(second: i64) -> i64 {
    time(second).parse::<Timestamp>().unwrap().micros()
}

#[test]
fn objects_without_statistics_settle_by_their_time_column() {
    let place = Place::new(OTHERS);
    let times = [20, 0, 10].map(micros);
    other_writer(&place, "a", &times, EnabledStatistics::None);
    place.once().must_work();
    let status = place.status();
    assert_eq!(status["tables"][0]["latest"], "2026-03-01T00:00:20.000000Z");
    other_writer(&place, "b", &[micros(400)], EnabledStatistics::None);
    place.once().must_work();
    assert_eq!(place.of_state("final"), [pair("failed", 3)]);
}

#[test]
fn one_wrong_clock_does_not_stop_the_time_of_a_table() {
    let place = Place::new(OTHERS);
    let ahead = micros(0) + 100 * 365 * 86_400_000_000;
    for (name, second) in [("a", 0), ("b", 400)] {
        let times = [ahead, micros(second), micros(second + 10)];
        other_writer(&place, name, &times, EnabledStatistics::Chunk);
        place.once().must_work();
    }
    let status = place.status();
    assert_eq!(status["tables"][0]["future"], 2);
    assert_eq!(status["tables"][0]["latest"], "2026-03-01T00:06:40.000000Z");
    assert_eq!(place.of_state("final"), [pair("failed", 2)]);
}

#[test]
fn a_changed_rule_keeps_its_state_or_starts_anew_and_says_so() {
    let place = Place::new("");
    place.failures("logins", "u", &[0, 10]);
    place.once().must_work();
    // Two are enough now, and one more comes: three with what was remembered.
    place.count("{ gte = 2 }", "user");
    place.failures("logins", "u", &[20]);
    let ran = place.once().must_work();
    assert!(
        ran.stderr
            .contains("rule `many` has changed and keeps its state"),
        "{}",
        ran.stderr
    );
    place.count("{ gte = 2 }", "ip");
    let ran = place.once().must_work();
    assert!(
        ran.stderr
            .contains("rule `many` correlates something else now"),
        "{}",
        ran.stderr
    );
    fs::remove_file(place.0.path("pack/rules/many.toml")).unwrap();
    let ran = place.once().must_work();
    assert!(ran.stderr.contains("rule `many` is gone"), "{}", ran.stderr);
    let log = place.status()["log"].to_string();
    assert!(
        log.contains("is gone") && log.contains("starts anew"),
        "{log}"
    );
}

#[test]
fn one_process_at_a_time_works_with_a_state() {
    let place = Place::new("");
    place.failures("logins", "u", &[0]);
    let mut first = Command::new(binary())
        .args(["serve", "--config", &place.0.path("yagura.toml")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| fs::metadata(place.0.path("alerts.ndjson")).is_ok_and(|file| file.len() > 0));
    let second = place.once();
    // `status` reads all the same.
    let status = place.status();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, Some(3));
    assert!(
        second
            .stderr
            .contains("another yagura works with the state in"),
        "{}",
        second.stderr
    );
    assert_eq!(status["tables"][0]["objects"], 1);
}

#[test]
fn an_idle_table_does_not_hold_another_up() {
    let place = Place::new("idle = \"4s\"\n");
    place.rule(
        "seen",
        "title = \"seen\"\ntable = \"flows\"\nwhere = \"outcome = 'failure'\"\n[rule.alert]\nreport = \"none\"\n",
    );
    place.rule(
        "both",
        "title = \"both\"\n[rule.correlation]\ntype = \"any-order\"\nrules = [\"failed\", \"seen\"]\nby = [\"user\"]\nwithin = \"5m\"\n[rule.alert]\nwindow = \"1m\"\n",
    );
    place.failures("logins", "u", &[0]);
    place.failures("flows", "u", &[5]);
    place.failures("logins", "x", &[10_000]);
    place.once().must_work();
    assert_eq!(
        place.of_state("final"),
        [],
        "flows may still have events of that time"
    );
    let mut service = Command::new(binary())
        .args(["serve", "--quiet", "--config", &place.0.path("yagura.toml")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| !place.of_state("final").is_empty());
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(
        place.of_state("final"),
        [pair("failed", 1), pair("both", 1)]
    );
}

#[test]
fn a_table_that_cannot_be_read_waits_and_goes_on_when_it_is_mended() {
    let place = Place::new("");
    place.failures("logins", "u", &[0]);
    place.once().must_work();
    place.0.write(
        "lake/logins/date=2026-03-01/part-0-broken.parquet",
        "no parquet",
    );
    place.failures("logins", "u", &[10, 20]);
    let ran = place.once().must_work();
    assert!(
        ran.stderr.contains("table `logins` waits") && ran.stderr.contains("part-0-broken"),
        "{}",
        ran.stderr
    );
    let problem = place.status()["tables"][0]["problem"].to_string();
    assert!(problem.contains("part-0-broken"), "{problem}");
    fs::remove_file(
        place
            .0
            .path("lake/logins/date=2026-03-01/part-0-broken.parquet"),
    )
    .unwrap();
    place.once().must_work();
    assert!(
        place.told().iter().any(|told| told.1 == "many"),
        "{:?}",
        place.told()
    );
    assert!(place.status()["tables"][0]["problem"].is_null());
}

#[test]
fn a_table_may_appear_later_and_must_not_vanish() {
    let place = Place::new("");
    place.rule(
        "seen",
        "title = \"seen\"\ntable = \"flows\"\nwhere = \"outcome = 'failure'\"\n",
    );
    place.failures("logins", "u", &[0]);
    let ran = place.once().must_work();
    assert!(
        ran.stderr.contains("there is no table `flows`"),
        "{}",
        ran.stderr
    );
    place.failures("flows", "u", &[5]);
    place.once().must_work();
    assert!(
        place.told().iter().any(|told| told.1 == "seen"),
        "{:?}",
        place.told()
    );
    fs::remove_dir_all(place.0.path("lake/flows/date=2026-03-01")).unwrap();
    let ran = place.once();
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr
            .contains("table `flows` had objects when its state was made"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_condition_that_fails_is_told_now_and_then_and_counted() {
    let place = Place::new("step_objects = 1\n");
    place.rule(
        "divides",
        "title = \"divides\"\ntable = \"logins\"\nwhere = \"100 / (length(user) - 3) = 100\"\n",
    );
    for (first, events) in [(0, 3), (10, 4), (20, 5)] {
        let seconds: Vec<i64> = (first..first + events).collect();
        place.failures("logins", "ann", &seconds);
        place.failures("logins", "anna", &[first]);
    }
    let told = place.once().must_work().stderr;
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("divides"))
        .collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].contains("rule `divides` did not evaluate 3 events from row ")
            && lines[0].ends_with(": its `where` fails: Arrow error: Divide by zero error"),
        "{told}"
    );
    assert!(
        lines[1].contains("did not evaluate 5 events") && lines[1].ends_with(" (12 so far)"),
        "{told}"
    );
    let status = place.status();
    let skipped = &status["tables"][0]["skipped"]["divides"];
    assert_eq!(skipped["events"], 12, "{status:#}");
    let config = place.0.path("yagura.toml");
    let shown = yagura(&["status", "--config", &config]).must_work().stdout;
    assert!(
        shown.contains("SKIPPED") && shown.contains("Divide by zero"),
        "{shown}"
    );
    // The others are evaluated, and a service counts from its beginning.
    assert!(place.of_state("provisional").contains(&pair("divides", 3)));
    place.failures("logins", "bob", &[10_000]);
    place.once().must_work();
    assert_eq!(
        place.status()["tables"][0]["skipped"]["divides"]["events"],
        1
    );
}

#[test]
fn what_is_wrong_with_a_state_is_told() {
    let place = Place::new("");
    let config = place.0.path("yagura.toml");
    let ran = yagura(&["status", "--config", &config]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("there is no state in"),
        "{}",
        ran.stderr
    );
    place.failures("logins", "u", &[0]);
    place.once().must_work();
    fs::write(
        place.0.path("state/state.sqlite"),
        "no database, but long enough to be read as one",
    )
    .unwrap();
    let ran = place.once();
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("cannot use the state in"),
        "{}",
        ran.stderr
    );
    fs::remove_dir_all(place.0.path("state")).unwrap();
    let ran = place.once();
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("they do not belong together"),
        "{}",
        ran.stderr
    );
    place.0.write("alerts.ndjson", "not ours\n");
    let ran = place.once();
    assert!(
        ran.stderr.contains("is not an alert of yagura"),
        "{}",
        ran.stderr
    );
}

fn until(mut is_done: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !is_done() {
        assert!(Instant::now() < give_up, "it takes longer than a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
