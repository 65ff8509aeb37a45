//! Plugins that parse raw logs, through the real binary: each line is a row or is kept with the reason, whatever a plugin does.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::guests;
use yagura_tests::scratch::Scratch;

const PACK: &str = r#"
[pack]
name = "p"
version = "0.1.0"
api = "0.1.0"
[[plugin]]
file = "hostile.wasm"
world = "normalizer"
[plugin.limits]
time = "1s"
memory_mib = 64
"#;

const SOURCE: &str = r#"
[source]
name = "lines"
title = "Lines"
plugin = "hostile.wasm"
[[class]]
name = "base_event"
[class.columns]
time = "'2026-02-03T04:05:06Z'"
message = "coalesce(line, n)"
[[source.mask]]
pattern = "[0-9]{4}-[0-9]{4}"
[[test]]
name = "lines"
raw = "lines.log"
rows = "lines.rows"
rejected = 12
"#;

/// Records that fail in every way but by their time, among others that do not.
const LOG: [&str; 22] = [
    "first 1234-5678",
    "malformed",
    "three-events",
    "panic",
    "",
    "between \u{e9}",
    "not-json",
    "array",
    "no-event",
    "one-too-few",
    "descending",
    "not-utf8",
    "memory",
    "data",
    "leak",
    "leak",
    "leak",
    "flood",
    "offset-beyond",
    "malformed-with-events",
    "key-twice",
    "last",
];
/// Those that are kept apart, with a part of the reason.
const REJECTED: [(&str, &str); 12] = [
    (
        "malformed",
        "the plugin reports it as malformed: it says so",
    ),
    ("panic", "the plugin crashed in `normalize`"),
    ("not-json", "is not a JSON object"),
    ("array", "is not a JSON object"),
    ("one-too-few", "answer from `normalize` is invalid"),
    ("descending", "answer from `normalize` is invalid"),
    ("not-utf8", "is not UTF-8"),
    ("memory", "memory"),
    ("data", "one of them is malformed"),
    ("flood", "output_mib"),
    ("offset-beyond", "the last offset"),
    ("malformed-with-events", "is malformed and has events"),
];
struct Place(Scratch);

impl Place {
    fn new() -> Self {
        let place = Scratch::new();
        place.write("pack/pack.toml", PACK);
        place.write("pack/sources/lines/lines.toml", SOURCE);
        place.write("pack/sources/lines/lines.log", &(LOG.join("\n") + "\n"));
        let plugin = place.path("pack/hostile.wasm");
        fs::write(plugin, guests::hostile_normalizer()).unwrap();
        Self(place)
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    fn ingest(&self, log: &str, more: &[&str]) -> Ran {
        let (lake, pack) = (self.path("lake"), self.path("pack"));
        let mut arguments = vec![
            "ingest", "--source", "lines", "--pack", &pack, "--to", &lake, log,
        ];
        arguments.extend(more);
        yagura(&arguments)
    }
}

#[test]
fn each_line_is_a_row_or_is_kept_with_the_reason() {
    let place = Place::new();
    let log = place.path("pack/sources/lines/lines.log");
    let kept = place.path("kept");
    let ran = place.ingest(&log, &["--rejects", &kept]);
    // The blank line is none.
    let rows = LOG.len() - 1 - REJECTED.len() - 1 + 2;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains(&format!("lines: {rows} events from 1 file")),
        "{said}"
    );
    assert!(
        said.contains("1 line holds no event, as the plugin reports"),
        "{said}"
    );
    assert!(said.contains("12 lines are not events"), "{said}");
    let kept = fs::read_to_string(kept).unwrap();
    let lines: Vec<&str> = kept.lines().collect();
    let expected: Vec<&str> = REJECTED.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, expected);
    // As many as are shown.
    for (line, reason) in &REJECTED[..10] {
        let number = LOG.iter().position(|of| of == line).unwrap() + 1;
        let shown = ran
            .stderr
            .lines()
            .find(|of| of.contains(&format!("line {number}, ")));
        let shown = shown.unwrap_or_else(|| panic!("{line}: {said}"));
        assert!(shown.contains(reason), "{line}: {shown}");
    }
    let again = place.ingest(&log, &[]);
    assert!(again.stdout.starts_with("lines: 0 events"), "{again:?}");
}

#[test]
fn the_lines_of_a_source_are_tested_together_and_alone() {
    let place = Place::new();
    let pack = place.path("pack");
    let source = "pack/sources/lines/lines.toml";
    yagura(&["test", &pack, "--update"]).must_work();
    let tested = yagura(&["test", &pack]).must_work();
    assert!(
        tested.stdout.contains("ok    source lines: lines"),
        "{tested:?}"
    );
    assert!(
        tested
            .stderr
            .contains("the plugin finds no event in 1 of the lines"),
        "{tested:?}"
    );
    let rows = fs::read_to_string(place.path("pack/sources/lines/lines.rows")).unwrap();
    let mut messages: Vec<String> = rows
        .lines()
        .map(|row| serde_json::from_str::<Value>(row).unwrap())
        .map(|row| row["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    messages.sort();
    let mut expected = ["1", "1", "2", "3", "between \u{e9}", "first ***", "last"]
        .map(str::to_owned)
        .to_vec();
    expected.splice(0..0, ["", "", ""].map(str::to_owned));
    assert_eq!(messages, expected, "{rows}");

    // Rows that depend on which lines came before.
    place
        .0
        .write("pack/sources/lines/lines.log", "counts\ncounts\n");
    place
        .0
        .write(source, &SOURCE.replace("rejected = 12", "rejected = 0"));
    yagura(&["test", &pack, "--update"]);
    let stateful = yagura(&["test", &pack]);
    assert_eq!(stateful.code, Some(1), "{stateful:?}");
    assert!(
        stateful.stdout.contains("lines that come one at a time"),
        "{stateful:?}"
    );
}

#[test]
fn a_line_that_takes_for_ever_stops_no_other() {
    let place = Place::new();
    let log = place.path("log");
    let lines = (0..2_000).map(|number| match number {
        700 => "loop\n".to_owned(),
        _ => format!("line {number}\n"),
    });
    fs::write(&log, lines.collect::<String>()).unwrap();
    let start = Instant::now();
    let ran = place.ingest(&log, &[]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("lines: 1,999 events"), "{said}");
    assert!(said.contains("line 701, column 1: "), "{said}");
    assert!(said.contains("limits.time"), "{said}");
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_plugin_that_cannot_be_used_loses_nothing() {
    let place = Place::new();
    let log = place.path("log");
    for fault in ["config", "retry"] {
        place.0.write("log", &format!("a\n{fault}\nb\n"));
        let ran = place.ingest(&log, &[]);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(
            ran.stderr
                .contains("the plugin p/hostile.wasm cannot be used"),
            "{ran:?}"
        );
        place.0.write("log", &format!("a {fault}\nretry-once\nb\n"));
        let ran = place.ingest(&log, &[]);
        assert!(ran.stdout.starts_with("lines: 3 events"), "{ran:?}");
    }
    // What is wrong with the pack is said before any line is read.
    place.0.write("log", "a\n");
    for (from, to, said) in [
        (
            "world = \"normalizer\"",
            "world = \"enricher\"",
            "lines.toml:5: `source.plugin` `hostile.wasm` is of the world `enricher`: a source needs a `normalizer`",
        ),
        (
            "file = \"hostile.wasm\"",
            "file = \"hostille.wasm\"",
            "has no [[plugin]] in pack.toml; did you mean `hostille.wasm`?",
        ),
        (
            "[plugin.limits]",
            "config = { refuse = true }\n[plugin.limits]",
            "it refuses",
        ),
    ] {
        place.0.write("pack/pack.toml", &PACK.replace(from, to));
        let ran = place.ingest(&log, &[]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
        let checked = yagura(&["check", "--pack", &place.path("pack")]);
        assert_eq!(checked.code, Some(2), "{checked:?}");
        assert!(
            checked
                .stdout
                .contains(said.rsplit("toml:5: ").next().unwrap()),
            "{checked:?}"
        );
    }
    place.0.write("pack/pack.toml", PACK);
    let checked = yagura(&["check", "--pack", &place.path("pack")]).must_work();
    assert!(checked.stdout.contains("1 source: 0 errors"), "{checked:?}");
    fs::remove_file(place.path("pack/hostile.wasm")).unwrap();
    let checked = yagura(&["check", "--pack", &place.path("pack")]).must_work();
    assert!(checked.stdout.contains("is not built yet"), "{checked:?}");
    let ran = place.ingest(&log, &[]);
    assert!(ran.stderr.contains("hostile.wasm"), "{ran:?}");
    assert_ne!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_line_is_explained_with_the_fields_of_the_plugin() {
    let place = Place::new();
    place.0.write("log", "opened 1111-2222\nmalformed\n");
    let (log, file) = (
        place.path("log"),
        place.path("pack/sources/lines/lines.toml"),
    );
    let ran = yagura(&["source", "explain", &log, "--source", &file]);
    assert!(ran.stdout.contains("coalesce(line, n)"), "{ran:?}");
    assert!(ran.stdout.contains("opened ***"), "{ran:?}");
    assert!(!ran.stdout.contains("1111-2222"), "{ran:?}");
    assert!(
        ran.stderr.contains("line 2, column 1: the plugin reports"),
        "{ran:?}"
    );
    let listed = yagura(&["source", "list", "--pack", &place.path("pack")]).must_work();
    let line = listed.stdout.lines().find(|line| line.contains("Lines"));
    assert!(
        line.is_some_and(|line| line.contains("plugin")),
        "{listed:?}"
    );
}

#[test]
fn a_service_ingests_what_arrives_through_a_plugin() {
    let place = Place::new();
    let rule = "[rule]\nid = \"last\"\ntitle = \"{message}\"\ntags = [\"attack.t1110\"]\ntable = \"lines\"\n\
                where = \"message = 'last'\"\n[rule.alert]\nkey = [\"message\"]\n";
    place.0.write("pack/rules/last.toml", rule);
    place.0.write("raw/a.log", &(LOG.join("\n") + "\n"));
    place.0.write(
        "yagura.toml",
        "packs = [\"pack\"]\n[serve]\n[lake]\nurl = \"lake\"\n[source.lines]\nurl = \"raw\"\n",
    );
    let config = place.path("yagura.toml");
    let served = yagura(&["serve", "--once", "--config", &config]).must_work();
    assert!(
        served.stderr.contains("1 object ingested, 10 events"),
        "{served:?}"
    );
    assert!(
        served
            .stderr
            .contains("line 4, column 1: the plugin crashed"),
        "{served:?}"
    );
    let status = yagura(&["source", "status", "--format", "json", "--config", &config]);
    let totals: Value = serde_json::from_str(status.stdout.trim()).unwrap();
    assert_eq!(totals["events"], 10, "{totals}");
    assert_eq!(totals["rejected"], 12, "{totals}");
    let alerts = fs::read_to_string(place.path("alerts.ndjson")).unwrap();
    assert!(alerts.contains("\"rule\":\"last\""), "{alerts}");
    // A plugin that cannot be opened keeps a service from starting.
    let refuse = PACK.replace(
        "[plugin.limits]",
        "config = { refuse = true }\n[plugin.limits]",
    );
    place.0.write("pack/pack.toml", &refuse);
    let served = yagura(&["serve", "--once", "--config", &config]);
    assert!(
        served
            .stderr
            .contains("[source.lines] of the configuration"),
        "{served:?}"
    );
    assert!(served.stderr.contains("it refuses"), "{served:?}");
}
