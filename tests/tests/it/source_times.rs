//! What a source declares of its times and repetitions: zones, years, the time of ingest, messages as one row.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

const PACK: &str = "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n";

/// A source of syslog with more of its head.
fn source(head: &str) -> String {
    format!(
        "[source]\nname = \"door\"\ntitle = \"Door controllers\"\nformat = \"syslog\"\n{head}\n\
         [[class]]\nname = \"base_event\"\n[class.columns]\nmessage = \"message\"\ndevice.hostname = \"hostname\"\n"
    )
}

struct Place(Scratch);

impl Place {
    fn new(head: &str, log: &str) -> Self {
        let place = Self(Scratch::new());
        place.0.write("pack/pack.toml", PACK);
        place.0.write("pack/sources/door.toml", &source(head));
        place.0.write("door.log", log);
        place
    }

    fn ingest(&self, more: &[&str]) -> Ran {
        let (lake, pack) = (self.0.path("lake"), self.0.path("pack"));
        let log = self.0.path("door.log");
        let mut arguments = vec![
            "ingest", "--source", "door", "--pack", &pack, "--to", &lake, &log,
        ];
        arguments.extend(more);
        yagura(&arguments).must_work()
    }

    /// Writes a rule with this condition.
    fn rule(&self, condition: &str, title: &str) {
        let rule = format!(
            "[rule]\nid = \"one\"\ntitle = \"{title}\"\ntable = \"door\"\nwhere = {condition:?}\n[rule.alert]\nkey = [\"message\", \"event_time\"]\n"
        );
        self.0.write("pack/rules/one.toml", &rule);
    }

    /// Returns the titles of the alerts of a rule with this condition, in order.
    fn titles(&self, condition: &str, title: &str) -> Vec<String> {
        self.rule(condition, title);
        let (lake, pack) = (self.0.path("lake"), self.0.path("pack"));
        let ran =
            yagura(&["run", "--lake", &lake, "--pack", &pack, "--format", "json"]).must_work();
        let lines = ran.stdout.lines();
        let mut titles: Vec<String> = lines
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|alert| alert["title"].as_str().unwrap().to_owned())
            .collect();
        titles.sort();
        titles
    }
}

/// Lines of Berlin around both changes of clocks in 2026, one of UTC, and one of another zone.
const BERLIN: &str = "<38>2026-03-29T01:59:59 gate door: a\n\
                      <38>2026-03-29T02:30:00 gate door: b\n\
                      <38>2026-03-29T03:00:00 gate door: c\n\
                      <38>2026-10-25T02:30:00 gate door: d\n\
                      <38>2026-10-25T03:00:00 gate door: e\n\
                      <38>2026-07-01T12:00:00Z gate door: f\n\
                      <38>2026-07-01T12:00:00+09:00 gate door: g\n";
const IN_UTC: [&str; 7] = [
    "a 2026-03-29T00:59:59",
    "b 2026-03-29T01:30:00",
    "c 2026-03-29T01:00:00",
    "d 2026-10-25T00:30:00",
    "e 2026-10-25T02:00:00",
    "f 2026-07-01T12:00:00",
    "g 2026-07-01T03:00:00",
];

#[test]
fn a_source_declares_the_zone_of_times_that_name_none() {
    let seconds = |place: &Place| -> Vec<String> {
        let titles = place.titles("true", "{message} {event_time}");
        titles.iter().map(|title| title[..21].to_owned()).collect()
    };
    let declared = Place::new("timezone = \"Europe/Berlin\"", BERLIN);
    declared.ingest(&[]);
    assert_eq!(seconds(&declared), IN_UTC);
    let overridden = Place::new("timezone = \"Asia/Tokyo\"", BERLIN);
    overridden.ingest(&["--timezone", "Europe/Berlin"]);
    assert_eq!(seconds(&overridden), IN_UTC);
    // In a service.
    let served = Place::new("", BERLIN);
    served.rule("true", "{message} {event_time}");
    served.0.write("raw/door.log", BERLIN);
    served.0.write(
        "yagura.toml",
        "packs = [\"pack\"]\n[lake]\nurl = \"lake\"\n[source.door]\nurl = \"raw\"\ntimezone = \"Europe/Berlin\"\n",
    );
    yagura(&["serve", "--once", "--config", &served.0.path("yagura.toml")]).must_work();
    assert_eq!(seconds(&served), IN_UTC);
    // Without a zone: UTC.
    let plain = Place::new("", BERLIN);
    plain.ingest(&[]);
    assert_eq!(seconds(&plain)[1], "b 2026-03-29T02:30:00");
    let wrong = Place::new("timezone = \"Berlin\"", BERLIN);
    let pack = wrong.0.path("pack");
    let ran = yagura(&["check", "--pack", &pack]);
    assert!(
        ran.stdout
            .contains("`source.timezone` 'Berlin' is not a time zone")
            || ran.stdout.contains("'Berlin' is not a time zone"),
        "{ran:?}"
    );
}

#[test]
fn a_time_without_a_year_takes_that_of_its_file() {
    let log = "<38>Feb  3 04:05:06 gate door: a\n<38>Dec 31 23:59:59 gate door: b\n";
    let place = Place::new("", log);
    let file = File::options()
        .append(true)
        .open(place.0.path("door.log"))
        .unwrap();
    // 15 June 2021.
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_623_715_200);
    file.set_modified(written).unwrap();
    place.ingest(&[]);
    assert_eq!(
        place.titles("true", "{message} {event_time}"),
        [
            "a 2021-02-03T04:05:06.000000Z",
            "b 2020-12-31T23:59:59.000000Z"
        ]
    );
    // Where the source says that the field is a time.
    let head = "time = [\"at\"]\ngrok = \"%{SYSLOGTIMESTAMP:at} %{GREEDYDATA:message}\"";
    let place = Place::new("", "Feb  3 04:05:06 a\n");
    let text = source(head)
        .replace("format = \"syslog\"\n", "")
        .replace("device.hostname = \"hostname\"\n", "");
    place.0.write("pack/sources/door.toml", &text);
    let file = File::options()
        .append(true)
        .open(place.0.path("door.log"))
        .unwrap();
    file.set_modified(written).unwrap();
    place.ingest(&[]);
    assert_eq!(
        place.titles("true", "{message} {event_time}"),
        ["a 2021-02-03T04:05:06.000000Z"]
    );
    // In the test of a source, for ever.
    let case = "\n[[test]]\nname = \"doors\"\nraw = \"door.log\"\nrows = \"door.rows\"\nwritten = \"2019-06-01T00:00:00Z\"\n";
    place
        .0
        .write("pack/sources/door.toml", &(source("") + case));
    place.0.write("pack/sources/door.log", log);
    let rows = concat!(
        r#"{"event_time":"2018-12-31T23:59:59Z","activity_id":0,"category_name":"Uncategorized","category_uid":0,"class_name":"Base Event","class_uid":0,"device.hostname":"gate","message":"b","metadata.profiles":["host"],"metadata.version":"1.8.0","observables":[{"name":"device.hostname","type":"Hostname","type_id":1,"value":"gate"}],"severity":"Unknown","severity_id":0,"type_name":"Base Event: Unknown","type_uid":0,"activity_name":"Unknown"}"#,
        "\n"
    );
    place.0.write("pack/sources/door.rows", rows);
    let ran = yagura(&["test", &place.0.path("pack"), "--update"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rows = std::fs::read_to_string(place.0.path("pack/sources/door.rows")).unwrap();
    assert!(rows.contains("2019-02-03T04:05:06Z"), "{rows}");
    assert!(rows.contains("2018-12-31T23:59:59Z"), "{rows}");
    assert!(!rows.contains("processed_time"), "{rows}");
    yagura(&["test", &place.0.path("pack")]).must_work();
}

#[test]
fn a_row_has_the_time_of_its_ingest_beside_that_of_its_event() {
    let place = Place::new("", "<38>2026-02-03T04:05:06Z gate door: a\n");
    place.ingest(&[]);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let shown = place.titles("true", "{metadata.processed_time}");
    let processed: u128 = shown[0].parse().unwrap();
    assert!(now.as_millis().abs_diff(processed) < 120_000, "{shown:?}");
    for (condition, matches) in [
        (
            "to_timestamp_millis(metadata.processed_time) > event_time + INTERVAL '1 day'",
            1,
        ),
        (
            "to_timestamp_millis(metadata.processed_time) < event_time",
            0,
        ),
    ] {
        let found = place.titles(condition, "{message}");
        assert_eq!(found.len(), matches, "{condition}");
    }
}

#[test]
fn repeated_messages_are_one_row_with_their_number_where_the_source_asks() {
    let mut log = String::new();
    for second in 0..50 {
        log += &format!("<38>2026-02-03T04:05:{second:02}Z gate door[{second}]: again\n");
        if second % 10 == 0 {
            log += &format!("<38>2026-02-03T04:05:{second:02}Z gate door[1]: other {second}\n");
        }
    }
    log += "<38>2026-02-03T05:00:00Z gate door[1]: again\n";
    log += "<38>2026-02-03T05:00:01Z gate door[1]: message repeated 6 times: [ again]\n";
    let shown = "{message} {count} {start_time} {end_time}";
    let place = Place::new(
        "[source.repeats]\nfields = [\"hostname\", \"message\"]\nwithin = \"5m\"",
        &log,
    );
    let ran = place.ingest(&[]);
    assert!(ran.stdout.starts_with("door: 7 events"), "{ran:?}");
    assert!(
        ran.stderr
            .contains("50 events are counted in the row of an equal one"),
        "{ran:?}"
    );
    let titles = place.titles("message = 'again'", shown);
    assert_eq!(
        titles,
        [
            "again 50 1770091500000 1770091549000",
            "again 7 1770094800000 1770094801000"
        ]
    );
    assert_eq!(place.titles("count >= 10", "{message}"), ["again"]);
    assert_eq!(place.titles("count = 1", "{message}").len(), 5);
    // Once more: nothing is new.
    let again = place.ingest(&[]);
    assert!(again.stdout.starts_with("door: 0 events"), "{again:?}");
    // Off unless the source asks for it.
    let place = Place::new("", &log);
    let ran = place.ingest(&[]);
    assert!(ran.stdout.starts_with("door: 57 events"), "{ran:?}");
    assert_eq!(place.titles("repeated = 6", "{message}"), ["again"]);

    let wrong = Place::new("[source.repeats]\nfields = []\nwithin = \"5m\"", &log);
    let ran = yagura(&["check", "--pack", &wrong.0.path("pack")]);
    assert!(ran.stdout.contains("all events would be one"), "{ran:?}");
}
