//! The real binary: what a user types, what it prints where, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

const EVENTS: &str = r#"{"ts":"2026-02-03T04:05:06Z","user":"ann","id.orig_h":"10.0.0.1","request":{"bytes":1200,"path":"/a"}}
{"ts":"2026-02-03T04:06:06Z","user":"bob","id.orig_h":"10.0.0.2","request":{"bytes":7,"path":"/b"}}
{"ts":"2026-02-04T00:00:00Z","user":"ann","id.orig_h":"10.0.0.1","request":{"bytes":"many","path":"/c"}}
"#;

struct Place {
    files: Scratch,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            files: Scratch::new(),
        };
        place.write("events.ndjson", EVENTS);
        place.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n",
        );
        place.rule("request.bytes > 1000");
        place
    }

    fn rule(&self, condition: &str) {
        let text = format!(
            "[rule]\nid = \"large\"\ntitle = \"{{user}} sent {{request.bytes}} bytes from {{id.orig_h}}\"\nseverity = \"high\"\ntable = \"web\"\nwhere = {condition:?}\n[rule.observables]\nip = [\"id.orig_h\"]\n[rule.alert]\nkey = [\"user\"]\n"
        );
        self.write("pack/rules/large.toml", &text);
    }

    fn write(&self, name: &str, text: &str) {
        self.files.write(name, text);
    }

    fn path(&self, name: &str) -> String {
        self.files.path(name)
    }

    fn ingest(&self) -> Ran {
        let (lake, events) = (self.path("lake"), self.path("events.ndjson"));
        yagura(&["ingest", "--table", "web", "--to", &lake, &events])
    }

    fn run(&self, more: &[&str]) -> Ran {
        let (lake, pack) = (self.path("lake"), self.path("pack"));
        let mut arguments = vec!["run", "--lake", &lake, "--pack", &pack];
        arguments.extend(more);
        yagura(&arguments)
    }
}

#[test]
fn from_logs_to_alerts_for_people_and_programs() {
    let place = Place::new();
    let ingested = place.ingest().must_work();
    assert!(
        ingested.stdout.starts_with("web: 3 events from 1 file, "),
        "{}",
        ingested.stdout
    );

    let text = place.run(&[]).must_work().stdout;
    assert!(text.contains("ann sent 1200 bytes from 10.0.0.1"), "{text}");
    assert!(text.contains("2026-02-03 04:05:06"), "{text}");
    assert!(text.ends_with("1 alert: 1 high\n"), "{text}");

    let json = place.run(&["--format", "json"]).must_work();
    let alert: Value = serde_json::from_str(json.stdout.trim()).unwrap();
    assert_eq!(alert["rule"], "large");
    assert_eq!(alert["severity"], "high");
    assert_eq!(alert["key"], "ann");
    assert_eq!(alert["count"], 1);
    assert_eq!(alert["window_start"], "2026-02-03T04:05:06.000000Z");
    assert_eq!(alert["observables"][0]["value"], "10.0.0.1");
    let event = &alert["evidence"]["events"][0];
    assert_eq!(event["row"], 0);
    assert!(Path::new(event["object"].as_str().unwrap()).is_file());
    // The hash is that of the line as it was ingested.
    let line = EVENTS.lines().next().unwrap();
    let expected = sha256(line);
    assert_eq!(event["hash"], expected);

    // A changed rule, as a user would try it; text that is no number does not match.
    place.rule("request.bytes > 1");
    let json = place.run(&["--format", "json"]).must_work().stdout;
    assert_eq!(json.lines().count(), 2, "{json}");
    // The folders' names are columns too.
    place.rule("date = '2026-02-03' AND user = 'bob'");
    let day = place.run(&["--format", "json"]).must_work().stdout;
    assert_eq!(day.lines().count(), 1, "{day}");
    place.rule("request.bytes > 1");
    let early = place.run(&["--format", "json", "--to", "2026-02-03T04:06:00Z"]);
    assert_eq!(early.must_work().stdout.lines().count(), 1);
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    yagura_core::alert::hex(&sha2::Sha256::digest(text))
}

#[test]
fn the_same_command_gives_the_same_bytes() {
    let place = Place::new();
    place.ingest().must_work();
    let objects = |dir: &str| -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from(place.path(dir))];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.display().to_string(), fs::read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    };
    let first = objects("lake");
    let alerts = place.run(&["--format", "json"]).must_work().stdout;
    place.ingest().must_work();
    assert_eq!(objects("lake"), first);
    assert_eq!(place.run(&["--format", "json"]).must_work().stdout, alerts);
    let other = place.run(&["--format", "json", "--partitions", "7", "--batch-rows", "1"]);
    assert_eq!(other.must_work().stdout, alerts);
}

#[test]
fn errors_go_to_stderr_with_a_code_and_a_next_step() {
    let place = Place::new();
    place.ingest().must_work();
    for (condition, want) in [
        ("usr = 'ann'", "did you mean `user`?"),
        ("user = ", "is not a SQL condition"),
    ] {
        place.rule(condition);
        let ran = place.run(&[]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert!(ran.stderr.contains("large.toml"), "{}", ran.stderr);
        assert!(ran.stderr.contains(want), "{}", ran.stderr);
    }
    place.write("pack/rules/large.toml", "[rule]\nid = 7\n");
    let ran = place.run(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("large.toml:2: `rule.id` is integer `7`: expected a string"),
        "{}",
        ran.stderr
    );

    let nowhere = yagura(&["run", "--lake", "nowhere", "--pack", &place.path("nothing")]);
    assert_eq!(nowhere.code, Some(2));
    let unknown = yagura(&["run", "--lake", "ftp://x/y", "--pack", &place.path("pack")]);
    assert_ne!(unknown.code, Some(0));
    let flags = yagura(&["run", "--lak", "x"]);
    assert_eq!(flags.code, Some(3));
    assert!(flags.stderr.contains("--lake"), "{}", flags.stderr);
    let range = place.run(&["--from", "2026-02-04", "--to", "2026-02-03"]);
    assert_eq!(range.code, Some(3));
    assert!(
        range.stderr.contains("the time range is empty"),
        "{}",
        range.stderr
    );
}

#[test]
fn a_line_that_is_no_event_is_named_or_kept_aside() {
    let place = Place::new();
    place.write("events.ndjson", &format!("{EVENTS}{{\"ts\": broken\n"));
    let ran = place.ingest();
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("events.ndjson`, line 4"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--rejects"), "{}", ran.stderr);

    // The other lines were ingested, and would be passed over in the same lake.
    let (lake, events, rejects) = (
        place.path("other"),
        place.path("events.ndjson"),
        place.path("bad"),
    );
    let ran = yagura(&[
        "ingest",
        "--table",
        "web",
        "--to",
        &lake,
        "--rejects",
        &rejects,
        &events,
    ]);
    let ran = ran.must_work();
    assert!(ran.stdout.starts_with("web: 3 events"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("1 line is not an event"),
        "{}",
        ran.stderr
    );
    assert!(fs::read_to_string(rejects).unwrap().contains("broken"));
}

#[test]
fn what_is_left_out_of_a_folder_is_named_and_told_by_the_code() {
    let good = "{\"ts\":\"2026-02-03T04:05:06Z\",\"user\":\"ann\"}\n";
    for (name, content, code, said) in [
        (
            "b.zip",
            b"PK\x03\x04\x14\0\x01\0".as_slice(),
            3,
            "b.zip` is cut short",
        ),
        (
            "b.json",
            b"\x89PNG\r\n\x1a\n",
            3,
            "b.json` cannot be read, because it is a PNG image",
        ),
        (
            "b\nerror: forged.gz",
            b"\x1f\x8b\x08\0",
            3,
            "b\\nerror: forged.gz` is cut short",
        ),
        (
            "b.png",
            b"\x89PNG\r\n\x1a\n",
            0,
            "b.png was passed over: a PNG image",
        ),
    ] {
        let place = Place::new();
        place.write("logs/a.json", good);
        place.write("logs/c.json", &good.replace("ann", "bob"));
        fs::write(place.path("logs") + "/" + name, content).unwrap();
        let (lake, logs) = (place.path("lake"), place.path("logs"));
        let ran = yagura(&["ingest", "--table", "web", "--to", &lake, &logs]);
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stdout.starts_with("web: 2 events"), "{}", ran.stdout);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(
            !ran.stderr
                .lines()
                .any(|line| line.starts_with("error: forged")),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn keys_without_a_column_are_counted_with_the_most_frequent_ones() {
    let place = Place::new();
    let keys: Vec<String> = (0..600).map(|key| format!("\"k{key}\":{key}")).collect();
    let event = |more: &str| format!("{{\"ts\":\"2026-02-03T04:05:06Z\",{more}}}\n");
    place.write(
        "events.ndjson",
        &(event(&keys.join(",")) + &event("\"user\":\"ann\"")),
    );
    let ran = place.ingest().must_work();
    assert!(ran.stdout.contains(", 500 columns, "), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("note: 102 keys have no column of their own, and are in `unmapped`, where rules find them; the most frequent: `"),
        "{}",
        ran.stderr
    );
}

#[test]
fn rules_whose_table_is_missing_are_named() {
    let place = Place::new();
    place.ingest().must_work();
    place.write(
        "pack/rules/other.toml",
        "[rule]\nid = \"other\"\ntitle = \"t\"\ntable = \"webs\"\nwhere = \"a = 1\"\n",
    );
    let ran = place.run(&[]).must_work();
    assert!(
        ran.stderr
            .contains("1 rule did not run: there is no table `webs`; did you mean `web`? (other)"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_configuration_file_names_tables_and_packs() {
    let place = Place::new();
    place.ingest().must_work();
    place.write(
        "yagura.toml",
        "packs = [\"pack\"]\n[table.web]\nurl = \"lake/web\"\non_bad_file = \"skip\"\n",
    );
    place.write("lake/web/date=2026-02-03/part-broken.parquet", "PAR1 no");
    let ran = yagura(&[
        "run",
        "--config",
        &place.path("yagura.toml"),
        "--format",
        "json",
    ]);
    // The alerts of all other objects are printed, and what was skipped shows in the exit code.
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(
        ran.stderr
            .contains("part-broken.parquet was skipped for all rules"),
        "{}",
        ran.stderr
    );
    let strict = place.run(&[]);
    assert_eq!(strict.code, Some(3));
    assert!(
        strict.stderr.contains("part-broken.parquet"),
        "{}",
        strict.stderr
    );
}

#[test]
fn inspect_shows_a_pack_and_says_what_is_missing() {
    let place = Place::new();
    let text = yagura(&["inspect", &place.path("pack")]).must_work().stdout;
    assert!(
        text.contains("pack p 0.1.0") && text.contains("large"),
        "{text}"
    );
    let json = yagura(&["inspect", "--format", "json", &place.path("pack")])
        .must_work()
        .stdout;
    let view: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(view["rules"][0]["id"], "large");
    place.write("x.wasm", "not wasm");
    let wrong = yagura(&["inspect", &place.path("x.wasm")]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
}

/// Answers every request as Azure does for a container that does not exist.
fn missing_container() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ContainerNotFound</Code><Message>The specified \
        container does not exist.\nRequestId:f1\nTime:2026-01-01T00:00:00Z</Message></Error>";
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let request = BufReader::new(&stream).lines();
            // A request without body ends with an empty line.
            let _ = request
                .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                .count();
            let _ = write!(
                stream,
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn the_answer_of_a_store_is_said_once_by_its_code_and_message() {
    let files = Scratch::new();
    let address = missing_container();
    files.write(
        "yagura.toml",
        &format!(
            "sigma = [\"rules\"]\n[lake]\nurl = \"az://gone/lake\"\n[lake.options]\naccount_name = \"logs\"\n\
             endpoint = \"http://{address}\"\nallow_http = \"true\"\nskip_signature = \"true\"\n"
        ),
    );
    fs::create_dir_all(files.path("rules")).unwrap();
    let ran = yagura(&["run", "--config", &files.path("yagura.toml")]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let times = |part: &str| ran.stderr.matches(part).count();
    assert_eq!(times("ContainerNotFound"), 1, "{}", ran.stderr);
    assert_eq!(
        times("ContainerNotFound: The specified container does not exist."),
        1,
        "{}",
        ran.stderr
    );
    for hidden in ["<Error>", "RequestId"] {
        assert_eq!(times(hidden), 0, "{}", ran.stderr);
    }
}

#[test]
fn a_service_gives_freed_memory_back_at_once_unless_the_operator_says_otherwise() {
    // The allocator prints its settings where it starts: of a service twice, because that replaces itself.
    let delays = |set: Option<&str>, arguments: &[&str]| -> Vec<String> {
        let mut command = Command::new(yagura_tests::command::binary());
        command.env_remove("MIMALLOC_PURGE_DELAY");
        command.env_remove("MIMALLOC_ALLOW_THP");
        command.args(arguments).env("MIMALLOC_VERBOSE", "1");
        command.envs(set.map(|value| ("MIMALLOC_PURGE_DELAY", value)));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines = text.lines();
        let values = lines.filter_map(|line| line.split("option 'purge_delay': ").nth(1));
        values.map(|value| value.trim().to_owned()).collect()
    };
    let place = Scratch::new();
    let config = place.path("none.toml");
    let serve = ["serve", "--config", &config];
    let of_a_service = delays(None, &serve);
    assert_eq!(of_a_service.len(), 2, "{of_a_service:?}");
    assert_eq!(of_a_service[1], "0");
    assert_ne!(of_a_service[0], "0");
    assert_eq!(delays(Some("25"), &serve), ["25"]);
    assert_eq!(delays(None, &["--version"]), of_a_service[..1]);
}
