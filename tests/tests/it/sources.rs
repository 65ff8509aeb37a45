//! Sources: raw logs of several makers end under one set of names, and one rule reads them all.

mod service;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use datafusion::arrow::datatypes::Field;
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::Value;
use yagura_lake::Location;
use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::s3::S3Server;
use yagura_tests::scratch::Scratch;

/// A maker that writes JSON.
const DOOR: &str = r#"
[source]
name = "door"
title = "Door controllers"
time = ["at"]

[source.fields]
owner = "badge.owner"
person = "lower(owner)"

[source.columns]
metadata.product.name = "'Door'"
metadata.product.vendor_name = "'Example'"
src_endpoint.ip = "CASE WHEN reader.addr <> 'local' THEN reader.addr END"

[[class]]
name = "authentication"
where = "what IN ('open', 'refused')"

[class.columns]
activity_id = "1"
status_id = "CASE what WHEN 'open' THEN 1 ELSE 2 END"
user.name = "person"

[[class]]
name = "base_event"

[class.columns]
message = "what"

[[test]]
name = "people at a door"
raw = "door.log"
rows = "door.rows"
rejected = 1
"#;

const DOOR_LOG: &str = r#"{"at":"2026-02-03T04:05:06Z","what":"open","badge":{"owner":"ANN"},"reader":{"addr":"192.0.2.1"},"status":"green"}
{"at":"2026-02-03T04:06:06Z","what":"refused","badge":{"owner":"Eve"},"reader":{"addr":"192.0.2.7"},"status":"red"}
{"at":"2026-02-03T04:07:06Z","what":"refused","badge":{"owner":"Eve"},"reader":{"addr":"the door itself"}}
{"at":"2026-02-03T04:08:06Z","what":"battery low","reader":{"addr":"local"}}
no event at all
"#;

/// One that writes pairs.
const GATE: &str = r#"
[source]
name = "gate"
title = "Gates of a network"
format = "logfmt"
time = ["ts"]

[[class]]
name = "authentication"

[class.columns]
metadata.product.name = "'Gate'"
activity_id = "1"
status_id = "CASE WHEN result = 'ok' THEN 1 ELSE 2 END"
user.name = "user"
src_endpoint.ip = "peer"
"#;

const GATE_LOG: &str = "ts=2026-02-03T04:10:00Z user=eve peer=192.0.2.7 result=denied code=7\n\
                        ts=2026-02-03T04:11:00Z user=bob peer=192.0.2.8 result=ok code=0\n";

/// One that writes columns.
const SAFE: &str = r#"
[source]
name = "safe"
title = "Safes"
format = "csv"

[[class]]
name = "authentication"

[class.columns]
metadata.product.name = "'Safe'"
activity_id = "1"
status_id = "CASE WHEN opened = 'yes' THEN 1 ELSE 2 END"
user.name = "who"
"#;

const SAFE_LOG: &str =
    "time,who,opened\n2026-02-03T04:20:00Z,eve,no\n2026-02-03T04:21:00Z,ann,yes\n";

const REFUSED: &str = r#"
[rule]
id = "refused"
title = "{user.name} was refused, from {src_endpoint.ip}"
tags = ["attack.t1110"]
class = "authentication"
where = "status_id = 2"
[rule.alert]
key = ["user.name"]

[[test]]
name = "refused"
event = { time = "2026-01-01T00:00:00Z", status_id = 2, user = { name = "eve" } }
matches = true

[[test]]
name = "let in"
event = { time = "2026-01-01T00:00:00Z", status_id = 1, user = { name = "eve" } }
matches = false
"#;

const EVERYWHERE: &str = r#"
[rule]
id = "everywhere"
title = "{user} was refused by many"
tags = ["attack.t1110"]
[rule.correlation]
type = "count"
rules = ["refused"]
by = ["user"]
within = "1h"
condition = { gte = 4 }
[rule.correlation.aliases.user]
refused = "user.name"
"#;

struct Place(Scratch);

impl Place {
    fn new() -> Self {
        let place = Scratch::new();
        let pack = "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n";
        place.write("pack/pack.toml", pack);
        place.write("pack/rules/refused.toml", REFUSED);
        for (name, source, log) in [
            ("door", DOOR, DOOR_LOG),
            ("gate", GATE, GATE_LOG),
            ("safe", SAFE, SAFE_LOG),
        ] {
            place.write(&format!("pack/sources/{name}.toml"), source);
            place.write(&format!("pack/sources/{name}.log"), log);
        }
        Self(place)
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    fn ingest(&self, source: &str) -> Ran {
        let (lake, pack) = (self.path("lake"), self.path("pack"));
        let log = self.path(&format!("pack/sources/{source}.log"));
        yagura(&[
            "ingest", "--source", source, "--pack", &pack, "--to", &lake, &log,
        ])
    }

    fn run(&self, more: &[&str]) -> Vec<Value> {
        let (lake, pack) = (self.path("lake"), self.path("pack"));
        let mut arguments = vec!["run", "--lake", &lake, "--pack", &pack, "--format", "json"];
        arguments.extend(more);
        let ran = yagura(&arguments);
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn texts(alerts: &[Value], key: &str) -> Vec<String> {
    let texts = alerts
        .iter()
        .map(|alert| alert[key].as_str().unwrap_or_default());
    let mut texts: Vec<String> = texts.map(str::to_owned).collect();
    texts.sort();
    texts
}

#[test]
fn a_row_has_the_names_of_its_class_and_of_its_maker() {
    let place = Place::new();
    let ran = place.ingest("door");
    assert!(
        ran.stdout.starts_with("door: 4 events from 1 file"),
        "{ran:?}"
    );
    let said = &ran.stderr;
    assert!(
        said.contains("events by class: authentication 3, base_event 1"),
        "{said}"
    );
    assert!(
        said.contains("1 value does not fit `src_endpoint.ip`"),
        "{said}"
    );
    assert!(said.contains("the door itself"), "{said}");
    assert!(said.contains("1 line is not an event"), "{said}");

    // Names of OCSF, of the maker, and one that both have.
    for (condition, expected) in [
        (
            "class_uid = 3002 AND status_id = 2 AND user.name = 'eve'",
            2,
        ),
        ("class_name = 'Base Event' AND message = 'battery low'", 1),
        ("badge.owner = 'ANN' AND src_endpoint.ip = '192.0.2.1'", 1),
        ("status = 'red' AND status = 'Failure'", 1),
        ("unmapped.status = 'red' AND status = 'Failure'", 1),
        (
            "reader.addr = 'the door itself' AND src_endpoint.ip IS NULL",
            1,
        ),
        ("observables LIKE '%192.0.2.7%'", 1),
        (
            "severity_id = 0 AND activity_name = 'Logon' AND type_uid = 300201",
            3,
        ),
        ("raw LIKE '%battery low%' AND metadata.version = '1.8.0'", 1),
    ] {
        let rule = format!(
            "[rule]\nid = \"one\"\ntitle = \"{{event_time}}\"\ntable = \"door\"\nwhere = {condition:?}\n[rule.alert]\nkey = [\"event_time\"]\n"
        );
        place.0.write("pack/rules/one.toml", &rule);
        let alerts = place.run(&[]);
        let of_rule = alerts.iter().filter(|alert| alert["rule"] == "one");
        assert_eq!(of_rule.count(), expected, "{condition}");
    }
    let again = place.ingest("door");
    assert!(again.stdout.starts_with("door: 0 events"), "{again:?}");
    let lake = place.path("lake");
    let log = place.path("pack/sources/gate.log");
    let mixed = yagura(&["ingest", "--table", "door", "--to", &lake, &log]);
    assert!(
        mixed
            .stderr
            .contains("holds events of the source `door`: give --source door"),
        "{mixed:?}"
    );
}

#[test]
fn one_rule_reads_every_maker() {
    let place = Place::new();
    place.0.write("pack/rules/everywhere.toml", EVERYWHERE);
    let pack = place.path("pack");
    let checked = yagura(&["check", "--strict", "--pack", &pack]).must_work();
    assert!(
        checked
            .stdout
            .contains("2 rules, 3 sources: 0 errors, 0 warnings"),
        "{checked:?}"
    );
    for source in ["door", "gate", "safe"] {
        place.ingest(source);
    }
    let alerts = place.run(&[]);
    assert_eq!(
        texts(&alerts, "rule"),
        ["everywhere", "refused.door", "refused.gate", "refused.safe"]
    );
    let titles = texts(&alerts, "title");
    assert!(
        titles.contains(&"eve was refused by many".to_owned()),
        "{titles:?}"
    );
    let gate = alerts
        .iter()
        .find(|alert| alert["rule"] == "refused.gate")
        .unwrap();
    assert!(
        gate["observables"].to_string().contains("192.0.2.7"),
        "{gate}"
    );

    let lake = place.path("lake");
    let explained = yagura(&["explain", "--pack", &pack, "--lake", &lake, "refused"]).must_work();
    assert!(explained.stdout.contains("status_id"), "{explained:?}");
    let check = yagura(&["check", "--pack", &pack, "--lake", &lake]).must_work();
    assert!(check.stdout.contains("0 errors, 0 warnings"), "{check:?}");
}

#[test]
fn the_tests_of_a_source_and_of_a_rule_for_a_class() {
    let place = Place::new();
    let pack = place.path("pack");
    let missing = yagura(&["test", &pack]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(
        missing.stdout.contains("door.rows does not exist"),
        "{missing:?}"
    );
    assert!(
        missing.stderr.contains("source `gate` has no [[test]]"),
        "{missing:?}"
    );
    yagura(&["test", &pack, "--update"]).must_work();
    let tested = yagura(&["test", &pack]).must_work();
    assert!(
        tested
            .stdout
            .contains("ok    source door: people at a door"),
        "{tested:?}"
    );
    assert!(
        tested.stdout.contains("ok    refused: let in, refused"),
        "{tested:?}"
    );
    let rows = fs::read_to_string(place.path("pack/sources/door.rows")).unwrap();
    assert_eq!(rows.lines().count(), 4, "{rows}");
    place.0.write(
        "pack/sources/door.toml",
        &DOOR.replace("lower(owner)", "owner"),
    );
    let changed = yagura(&["test", &pack]);
    assert_eq!(changed.code, Some(1));
    assert!(
        changed
            .stdout
            .contains("FAIL  source door: people at a door"),
        "{changed:?}"
    );
    assert!(
        changed.stdout.contains("+") && changed.stdout.contains("ANN"),
        "{changed:?}"
    );
}

/// A line of no known format, and a report that holds many events.
#[test]
fn a_line_of_any_shape_and_a_report_are_read() {
    let place = Place::new();
    let shape = r#"
[source]
name = "vault"
title = "A vault"
grok = "%{TIMESTAMP_ISO8601:at} <%{WORD:verb}> %{USERNAME:who}@%{IP:from}( %{GREEDYDATA:rest})?"
time = ["at"]

[[class]]
name = "authentication"
[class.columns]
user.name = "who"
src_endpoint.ip = "from"
activity_id = "map_value(verb, 'enter', '1', 'leave', '2', '99')"
"#;
    place.0.write("vault.toml", shape);
    place.0.write(
        "vault.log",
        "2026-02-03T04:05:06Z <enter> eve@192.0.2.9 by the back\nno such line\n2026-02-03T05:05:06Z <leave> eve@192.0.2.9\n",
    );
    let (lake, file) = (place.path("lake"), place.path("vault.toml"));
    let ran = yagura(&[
        "ingest",
        "--source",
        &file,
        "--to",
        &lake,
        &place.path("vault.log"),
    ]);
    assert!(ran.stdout.starts_with("vault: 2 events"), "{ran:?}");
    assert!(
        ran.stderr
            .contains("line 2, column 1: the line does not match the pattern"),
        "{ran:?}"
    );

    place
        .0
        .write("typo.toml", &shape.replace("= \"who\"", "= \"whoo\""));
    let typo = yagura(&[
        "ingest",
        "--source",
        &place.path("typo.toml"),
        "--to",
        &lake,
        &place.path("vault.log"),
    ]);
    assert!(
        typo.stderr
            .contains("names the field `whoo`, which no line has; did you mean `who`?"),
        "{typo:?}"
    );
    place.0.write(
        "away.toml",
        "packs = [\"pack\"]\n[lake]\nurl = \"lake\"\n[source.okta]\nurl = \"nowhere\"\n",
    );
    let away = yagura(&["serve", "--once", "--config", &place.path("away.toml")]);
    assert!(
        away.stderr.contains("source `okta`: the folder"),
        "{away:?}"
    );

    let report = r#"
[source]
name = "scan"
title = "A scanner"
each = "results.findings"

[[class]]
name = "vulnerability_finding"
where = "results.findings.id IS NOT NULL"
[class.columns]
finding_info.uid = "results.findings.id"
finding_info.title = "results.host || ': ' || results.findings.id"
time = "at"
"#;
    place.0.write("scan.toml", report);
    place.0.write(
        "scan.json",
        r#"{"at":"2026-02-03T04:05:06Z","results":[{"host":"a","findings":[{"id":"F-1"},{"id":"F-2"}]},{"host":"b","findings":[{"id":"F-1"}]}]}"#,
    );
    let (log, file) = (place.path("scan.json"), place.path("scan.toml"));
    let ran = yagura(&[
        "source", "explain", "--format", "json", "--source", &file, &log,
    ])
    .must_work();
    let titles: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["event_time"], "2026-02-03T04:05:06Z", "{event}");
            let columns = event["columns"].as_array().unwrap();
            let title = columns.iter().find(|of| of["name"] == "finding_info.title");
            title.unwrap()["value"].clone()
        })
        .collect();
    assert_eq!(titles, ["a: F-1", "a: F-2", "b: F-1"]);
}

#[test]
fn what_must_not_be_stored_is_masked_everywhere() {
    let place = Place::new();
    let masks = "[[source.mask]]\nfield = \"badge.owner\"\nhash = true\n[[source.mask]]\npattern = '[0-9]{13,19}'\ncheck = \"luhn\"\n[source.columns]";
    place.0.write(
        "pack/sources/door.toml",
        &DOOR.replace("[source.columns]", masks),
    );
    place.0.write(
        "pack/sources/door.log",
        "{\"at\":\"2026-02-03T04:05:06Z\",\"what\":\"open\",\"badge\":{\"owner\":\"ANN\"},\"note\":\"paid 4111111111111111\"}\nno event, 4111111111111111\n",
    );
    let keyless = place.ingest("door");
    assert!(keyless.stderr.contains("YAGURA_MASK_KEY"), "{keyless:?}");
    let (lake, pack) = (place.path("lake"), place.path("pack"));
    let ran = Command::new(binary())
        .args(["ingest", "--source", "door", "--pack", &pack, "--to", &lake])
        .arg(place.path("pack/sources/door.log"))
        .env("YAGURA_MASK_KEY", "a key of the operator")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("authentication 1"), "{said}");
    let mut seen = 0;
    for entry in walk(std::path::Path::new(&lake)) {
        let bytes = fs::read(&entry).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("4111111111111111"), "{}", entry.display());
        seen += usize::from(text.contains("no event, ***"));
    }
    assert_eq!(seen, 1, "the line that is no event is kept, and masked");
    for (condition, expected) in [
        ("raw LIKE '%paid ***%' AND raw LIKE '%hash:%'", 1),
        (
            "raw LIKE '%ANN%' OR user.name = 'ann' OR badge.owner = 'ANN'",
            0,
        ),
        ("user.name LIKE 'hash:%'", 1),
    ] {
        let rule = format!(
            "[rule]\nid = \"one\"\ntitle = \"{{event_time}}\"\ntable = \"door\"\nwhere = {condition:?}\n"
        );
        place.0.write("pack/rules/one.toml", &rule);
        let alerts = place.run(&[]);
        let of_rule = alerts.iter().filter(|alert| alert["rule"] == "one");
        assert_eq!(of_rule.count(), expected, "{condition}");
    }
}

/// Returns all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

#[test]
fn what_is_wrong_with_a_source_is_said_at_its_place() {
    let place = Place::new();
    for (from, to, expected) in [
        (
            "name = \"door\"",
            "name = \"The Door\"",
            "door.toml:3: `source.name`",
        ),
        (
            "name = \"authentication\"",
            "name = \"autentication\"",
            "did you mean `authentication`?",
        ),
        ("user.name =", "user.nmae =", "did you mean `name`?"),
        (
            "lower(owner)",
            "lowr(owner)",
            "door.toml:9: `source.fields.person`",
        ),
        ("\"person\"\n", "\"owner =\"\n", "is not a SQL condition"),
        (
            "activity_id = \"1\"",
            "activity_id = 1",
            "is integer: write a SQL expression in quotes",
        ),
        (
            "activity_id = \"1\"",
            "class_uid = \"1\"",
            "follows from the class",
        ),
        (
            "where = \"what IN ('open', 'refused')\"",
            "",
            "`class[1].where` is missing",
        ),
        (
            "time = [\"at\"]",
            "format = \"logfmd\"",
            "did you mean `logfmt`?",
        ),
        (
            "time = [\"at\"]",
            "each = \"records.x\"",
            "whose elements are read as events anyway",
        ),
        (
            "time = [\"at\"]",
            "each = [\"x\", 5]",
            "`source.each[2]` is integer `5`",
        ),
        (
            "time = [\"at\"]",
            "each = \"x\"\n[[source.apart]]\npath = \"y\"\nkey = \"k\"",
            "`key` and `by` belong together",
        ),
        (
            "time = [\"at\"]",
            "[[source.apart]]\npath = \"y\"",
            "is given without `each`",
        ),
        (
            "user.name = \"person\"",
            "user.name = \"person\"\n\"user.name\" = \"what\"",
            "is written twice",
        ),
        (
            "= \"person\"\n",
            "= \"struct(what)\"\n",
            "no form as a text",
        ),
        (
            "time = [\"at\"]",
            "grok = \"%{NOSUCH:x}\"",
            "`source.grok` cannot be read",
        ),
        ("[[test]]", "[[tset]]", "did you mean `test`?"),
    ] {
        assert!(DOOR.contains(from), "{from}");
        place
            .0
            .write("pack/sources/door.toml", &DOOR.replacen(from, to, 1));
        let ran = place.ingest("door");
        assert_ne!(ran.code, Some(0), "{to}");
        assert!(ran.stderr.contains("door.toml:"), "{to}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{to}: {ran:?}");
    }
    let lake = place.path("lake");
    let log = place.path("pack/sources/door.log");
    let unknown = yagura(&["ingest", "--source", "okat", "--to", &lake, &log]);
    assert!(
        unknown
            .stderr
            .contains("there is no source `okat`; did you mean `okta`?"),
        "{unknown:?}"
    );
}

#[test]
fn check_looks_at_the_sources_of_packs() {
    let place = Place::new();
    let pack = place.path("pack");
    place.ingest("gate");
    let check = ["check", "--pack", &pack];
    let whole = yagura(&check).must_work();
    assert!(
        whole.stdout.contains("1 rule, 3 sources: 0 errors"),
        "{whole:?}"
    );
    place.0.write(
        "yagura.toml",
        "packs = [\"pack\"]\n[lake]\nurl = \"lake\"\n[source.okta]\nurl = \"raw\"\n[source.gates]\nurl = \"raw\"\nsource = \"okat\"\n",
    );
    let configured = yagura(&["check", "--config", &place.path("yagura.toml")]);
    assert_eq!(configured.code, Some(2), "{configured:?}");
    assert!(
        configured
            .stdout
            .contains("yagura.toml:8: error: `source.gates.source`")
            && configured.stdout.contains("did you mean `okta`?"),
        "{configured:?}"
    );
    // One names a function that does not exist, the other a format.
    place.0.write(
        "pack/sources/door.toml",
        &DOOR.replace("lower(owner)", "lowr(owner)"),
    );
    place.0.write(
        "pack/sources/gate.toml",
        &GATE.replace("\"logfmt\"", "\"logfmd\""),
    );
    let ran = yagura(&check);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for expected in [
        "door.toml:9: error: `source.fields.person`",
        "gate.toml:5: error: `source.format`",
        "did you mean `logfmt`?",
        "1 rule, 3 sources: ",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {ran:?}");
    }
    let json = yagura(&[&check[..], &["--format", "json"]].concat());
    let found = json.stdout.lines().next().unwrap();
    let found: Value = serde_json::from_str(found).unwrap();
    assert_eq!(
        (&found["line"], &found["key"]),
        (&9.into(), &"source.fields.person".into())
    );
}

/// One whose own `user` is an object without the members that OCSF's has.
const SHOP: &str = r#"
[source]
name = "shop"
title = "Shops"

[[class]]
name = "authentication"

[class.columns]
activity_id = "1"
status_id = "2"
user.name = "user.login"
"#;

const SHOP_LOG: &str =
    "{\"time\":\"2026-02-03T04:10:00Z\",\"user\":{\"login\":\"eve\",\"uuid\":\"7\"}}\n";

#[test]
fn check_knows_that_a_table_need_not_have_each_attribute_of_a_class() {
    let place = Place::new();
    place.0.write("pack/sources/shop.toml", SHOP);
    place.0.write("pack/sources/shop.log", SHOP_LOG);
    for source in ["door", "gate", "safe", "shop"] {
        place.ingest(source);
    }
    let (pack, lake) = (place.path("pack"), place.path("lake"));
    let check = |condition: &str| {
        let rule = REFUSED.replace("status_id = 2\"", &format!("{condition}\""));
        place.0.write("pack/rules/refused.toml", &rule);
        yagura(&["check", "--strict", "--pack", &pack, "--lake", &lake])
    };
    let whole = check(
        "status_id = 2 AND (user.uid = 'x' OR user.email_addr = 'y' OR src_endpoint.port > 1)",
    )
    .must_work();
    assert!(
        whole.stdout.contains("0 errors, 0 warnings, 0 notes"),
        "{whole:?}"
    );
    // What is not of the class is named, as before.
    let wrong = check("status_id = 2 AND user.uiid = 'x'");
    assert_ne!(wrong.code, Some(0), "{wrong:?}");
    assert!(
        wrong.stdout.contains("names `user.uiid`") || wrong.stdout.contains("no `user.uiid`"),
        "{wrong:?}"
    );
}

#[test]
fn an_event_is_explained_column_by_column() {
    let place = Place::new();
    let (log, source) = (
        place.path("pack/sources/door.log"),
        place.path("pack/sources/door.toml"),
    );
    let explain = [
        "source", "explain", "--source", &source, "--format", "json", &log,
    ];
    let ran = yagura(&explain);
    assert_eq!(ran.code, Some(3), "a line is no event: {ran:?}");
    let first: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["class"], "authentication");
    let columns = first["columns"].as_array().unwrap();
    let user = columns
        .iter()
        .find(|column| column["name"] == "user.name")
        .unwrap();
    assert_eq!(
        (&user["value"], &user["from"]),
        (&"ann".into(), &"person".into())
    );
    let listed = yagura(&["source", "list"]).must_work();
    assert!(listed.stdout.contains("okta"), "{listed:?}");
}

#[test]
fn first_party_sources_and_rules_for_classes_pass_their_tests() {
    let plugins = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    for (pack, least) in [("sources", 85), ("ocsf", 60)] {
        let dir = plugins.join(pack);
        let dir = dir.to_str().unwrap();
        let tested = yagura(&["test", "--no-build", "--format", "json", dir]).must_work();
        assert!(tested.stdout.lines().count() >= least, "{pack}: {tested:?}");
        yagura(&["check", "--strict", "--pack", dir]).must_work();
    }
}

/// Amazon Security Lake: `ext/SOURCE/region=…/accountId=…/eventDay=…`, with the objects of OCSF as structs.
#[test]
fn a_rule_for_a_class_reads_the_lakes_of_others() {
    let place = Place::new();
    let text = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let one = |name: &str, values: ArrayRef| {
        let field = Arc::new(Field::new(name, values.data_type().clone(), true));
        Arc::new(StructArray::from(vec![(field, values)])) as ArrayRef
    };
    let object = |time: i64, users: [&str; 2]| {
        RecordBatch::try_from_iter([
            (
                "class_uid",
                Arc::new(Int32Array::from(vec![3002, 4001])) as ArrayRef,
            ),
            ("time", Arc::new(Int64Array::from(vec![time, time + 1_000]))),
            ("status_id", Arc::new(Int32Array::from(vec![2, 2]))),
            ("user", one("name", text(users))),
            ("src_endpoint", one("ip", text(["192.0.2.7", "192.0.2.8"]))),
        ])
        .unwrap()
    };
    for (folder, batch) in [
        (
            "region=eu-central-1/accountId=111122223333/eventDay=20260203",
            object(1_770_091_506_000, ["eve", "bob"]),
        ),
        (
            "region=us-east-1/accountId=444455556666/eventDay=20260204",
            object(1_770_177_906_000, ["mia", "bob"]),
        ),
    ] {
        let object = format!("ext/idp/{folder}/a.parquet");
        place.0.write(&object, "");
        let file = fs::File::create(place.path(&object)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    place.0.write(
        "yagura.toml",
        "packs = [\"pack\"]\n[table.idp]\nurl = \"ext/idp\"\ntime = \"time\"\ntime_unit = \"milliseconds\"\n\
         day_partition = { column = \"eventDay\", format = \"%Y%m%d\" }\n",
    );
    let config = place.path("yagura.toml");
    let run = |more: &[&str]| {
        let ran = yagura(&[&["run", "--config", &config, "--format", "json"], more].concat());
        let lines = ran.stdout.lines();
        let alerts: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut rules = texts(&alerts, "rule");
        rules.dedup();
        assert_eq!(rules, ["refused.idp"], "{ran:?}");
        texts(&alerts, "title")
    };
    let [eve, mia] = ["eve", "mia"].map(|user| format!("{user} was refused, from 192.0.2.7"));
    assert_eq!(run(&[]), [eve, mia.clone()]);
    // Only the folders of that day are read; folders are columns.
    assert_eq!(run(&["--from", "2026-02-04"]), std::slice::from_ref(&mia));
    let of_account = REFUSED.replace(
        "where = \"status_id = 2\"",
        "where = \"status_id = 2 AND accountId = '444455556666'\"",
    );
    place.0.write(
        "pack/rules/refused.toml",
        &of_account.replace("[rule.alert]", "optional = [\"accountId\"]\n[rule.alert]"),
    );
    assert_eq!(run(&[]), [mia]);
}
