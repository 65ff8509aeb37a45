//! What an author types: a new pack in every language, and the commands around it.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use yagura_tests::command::{binary, yagura};
use yagura_tests::pack::{Pack, lines};

/// From an empty folder to a passing test, to a failing one, and back.
fn works(language: &str, file: &str, root: &str, nobody: &str) {
    let pack = Pack::new(language);
    let first = pack.test(&[]);
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);
    assert!(
        first.stdout.contains("3 cases: 3 passed, 0 failed"),
        "{}",
        first.stdout
    );
    assert!(!first.stderr.contains("warning"), "{}", first.stderr);
    pack.replace(file, root, nobody);
    let failing = pack.test(&["--format", "json"]);
    assert_eq!(failing.code, Some(1), "{}", failing.stderr);
    let failed: Vec<String> = lines(&failing)
        .iter()
        .filter(|line| line["passed"] == false)
        .map(|line| format!("{}: {}", line["name"], line["message"]))
        .collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(
        failed[0].contains("expected a match, found none"),
        "{failed:?}"
    );
    pack.replace(file, nobody, root);
    pack.test(&[]).must_work();
    // The same alerts on logs that the pack has never seen.
    let lake = pack.path.join("../lake");
    let logs = pack.path.join("../logs.ndjson");
    let line = |user: &str| {
        format!(
            r#"{{"eventTime":"2026-04-01T10:00:00Z","eventName":"ConsoleLogin","recipientAccountId":"1","sourceIPAddress":"192.0.2.1","userIdentity":{{"type":"{user}"}},"responseElements":{{"ConsoleLogin":"Success"}},"additionalEventData":{{"MFAUsed":"No"}}}}"#
        )
    };
    fs::write(&logs, format!("{}\n{}\n", line("Root"), line("IAMUser"))).unwrap();
    let [lake, logs, path] = [&lake, &logs, &pack.path].map(|path| path.to_str().unwrap());
    yagura(&["ingest", "--table", "aws_cloudtrail", "--to", lake, logs]).must_work();
    let run = yagura(&["run", "--lake", lake, "--pack", path, "--format", "json"]).must_work();
    let alerts = lines(&run);
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["severity"], "critical");
}

#[test]
fn a_rust_pack_works_at_once() {
    works(
        "rust",
        "detector/src/lib.rs",
        "Some(\"Root\")",
        "Some(\"Toor\")",
    );
}

#[test]
fn a_go_pack_works_at_once() {
    works("go", "detector/main.go", "\"Root\"", "\"Toor\"");
}

#[test]
fn a_python_pack_works_at_once() {
    works("python", "detector/root_login.py", "\"Root\"", "\"Toor\"");
}

/// The packs that answer alerts pass their own first test, which is complete: `--update` has nothing to add to it.
fn answering_packs_work(language: &str) {
    for world in ["enricher", "reviewer", "notifier"] {
        let pack = Pack::of_world(language, world);
        let first = pack.test(&[]);
        let said = format!("{language} {world}: {}{}", first.stdout, first.stderr);
        assert_eq!(first.code, Some(0), "{said}");
        assert!(
            first.stdout.contains("1 case: 1 passed, 0 failed"),
            "{said}"
        );
        let case = format!("tests/{world}/first.json");
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let before = parsed(&pack.read(&case));
        pack.test(&["--update"]).must_work();
        assert_eq!(
            parsed(&pack.read(&case)),
            filled(before),
            "{language} {world}"
        );
    }
}

/// Returns a case with what is written into it where it is left out: the status of an answer.
fn filled(mut case: Value) -> Value {
    let exchanges = case.get_mut("http").and_then(Value::as_array_mut);
    for exchange in exchanges.into_iter().flatten() {
        let exchange = exchange.as_object_mut().unwrap();
        exchange.entry("status").or_insert(200.into());
    }
    case
}

#[test]
fn rust_packs_that_answer_alerts_work_at_once() {
    answering_packs_work("rust");
}

#[test]
fn go_packs_that_answer_alerts_work_at_once() {
    answering_packs_work("go");
}

#[test]
fn python_packs_that_answer_alerts_work_at_once() {
    answering_packs_work("python");
}

/// The pack of a normalizer passes its own tests, the unit tests of its code among them, and a broken parser fails them.
fn normalizer_pack_works(language: &str, file: &str, from: &str, to: &str) {
    let pack = Pack::of_world(language, "normalizer");
    let first = pack.test(&[]);
    let said = format!("{language}: {}{}", first.stdout, first.stderr);
    assert_eq!(first.code, Some(0), "{said}");
    assert!(
        first.stdout.contains("ok    source door: people at a door"),
        "{said}"
    );
    let rows = "sources/door/door.rows.ndjson";
    let before = pack.read(rows);
    pack.test(&["--update"]).must_work();
    assert_eq!(pack.read(rows), before, "{language}");
    pack.replace(file, from, to);
    let broken = pack.test(&[]);
    assert_eq!(broken.code, Some(1), "{language}: {}", broken.stdout);
}

#[test]
fn a_rust_pack_with_a_normalizer_works_at_once() {
    normalizer_pack_works("rust", "normalizer/src/lib.rs", "\"who\"", "\"whose\"");
}

#[test]
fn a_go_pack_with_a_normalizer_works_at_once() {
    normalizer_pack_works("go", "normalizer/main.go", "\"who\"", "\"whose\"");
}

#[test]
fn a_python_pack_with_a_normalizer_works_at_once() {
    normalizer_pack_works("python", "normalizer/door.py", "\"who\"", "\"whose\"");
}

#[test]
fn packs_without_code_work_at_once() {
    for language in ["sql", "sigma"] {
        let pack = Pack::new(language);
        let ran = pack.test(&[]).must_work();
        assert!(ran.stdout.contains("2 cases: 2 passed"), "{}", ran.stdout);
        assert_eq!(ran.stderr, "", "{language}");
        yagura(&["check", "--pack", pack.path.to_str().unwrap()]).must_work();
    }
    // What is there already is nobody's to overwrite.
    let pack = Pack::new("sql");
    let again = yagura(&["new", "--lang", "sql", pack.path.to_str().unwrap()]);
    assert_eq!(again.code, Some(3));
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
}

/// A detector by hand: it finds the first event of every batch. It asks WASI for the time, as a C library would.
const BY_HAND: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    ;; At 0 the answer of `rules`, at 16 its one text; at 64 an answer without error and list; at 128 one with a finding.
    (data (i32.const 0) "\10\00\00\00\01\00\00\00")
    (data (i32.const 16) "\20\00\00\00\0a\00\00\00")
    (data (i32.const 32) "root-login")
    (data (i32.const 128) "\00\00\00\00\a0\00\00\00\01\00\00\00")
    (data (i32.const 160) "\80\01\00\00\01\00\00\00")
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        local.get $at)
    (func (export "yagura:plugin/detection@0.1.0#rules") (result i32) i32.const 0)
    (func (export "yagura:plugin/detection@0.1.0#open") (param i32 i32 i32 i32) (result i32)
        (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 512)))
        i32.const 64)
    (func (export "yagura:plugin/detection@0.1.0#on-batch") (param i32 i32 i32 i32) (result i32) i32.const 128)
    (func (export "yagura:plugin/detection@0.1.0#on-watermark") (param i64) (result i32) i32.const 64)
    (func (export "yagura:plugin/detection@0.1.0#snapshot") (result i32) i32.const 64)
    (func (export "yagura:plugin/detection@0.1.0#restore") (param i32 i32) (result i32) i32.const 64))"#;

#[test]
fn a_module_made_in_any_other_way_is_a_plugin_too() {
    let pack = Pack::new("go");
    fs::remove_dir_all(pack.path.join("detector")).unwrap();
    fs::write(
        pack.path.join("by-hand.wasm"),
        wat::parse_str(BY_HAND).unwrap(),
    )
    .unwrap();
    pack.replace(
        "pack.toml",
        "source = \"detector\"",
        "source = \"by-hand.wasm\"",
    );
    let ran = pack.test(&["--format", "json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let cases = lines(&ran);
    let case = |name: &str| cases.iter().find(|line| line["name"] == name).unwrap();
    // It finds whatever comes first.
    assert_eq!(case("root with a second factor")["passed"], true);
    let message = case("somebody else")["message"].as_str().unwrap();
    assert!(
        message.starts_with("expected no match, found:"),
        "{message}"
    );
    // What is no Wasm is told so.
    fs::write(pack.path.join("by-hand.wasm"), "text").unwrap();
    let ran = pack.test(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("by-hand.wasm does not become a component"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_a_compiler_says_reaches_the_author() {
    for (language, file, from, to, says) in [
        (
            "go",
            "detector/main.go",
            "d.mfa.Or",
            "d.mfaa.Or",
            "main.go:27:8: d.mfaa undefined",
        ),
        (
            "python",
            "detector/root_login.py",
            "from yagura import Event",
            "import pip\nfrom yagura import Event",
            "No module named 'pip' (root_login.py:7",
        ),
    ] {
        let pack = Pack::new(language);
        pack.replace(file, from, to);
        let ran = pack.test(&[]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn check_finds_what_would_not_run() {
    let check = |pack: &Pack| yagura(&["check", "--pack", pack.path.to_str().unwrap()]);
    let pack = Pack::new("sql");
    let rule = "rules/root-login.toml";
    for (from, to, says) in [
        (
            "user_type = 'Root'",
            "usr_type = 'Root'",
            "did you mean `user_type`?",
        ),
        (
            "user_type = 'Root'",
            "user_type == = 'Root'",
            "is not a SQL condition",
        ),
        ("user_type = 'Root'", "event_time > now()", "now"),
        ("table = \"aws_cloudtrail\"", "table = \"my_own\"", ""),
    ] {
        pack.replace(rule, from, to);
        let ran = check(&pack);
        let code = if says.is_empty() { 0 } else { 2 };
        assert_eq!(ran.code, Some(code), "{to}: {}", ran.stdout);
        assert!(ran.stdout.contains(says), "{to}: {}", ran.stdout);
        pack.replace(rule, to, from);
    }
    // Of a table that nobody knows, the condition's form is looked at.
    pack.replace(rule, "table = \"aws_cloudtrail\"", "table = \"my_own\"");
    pack.replace(rule, "user_type = 'Root'", "user_type == = 'Root'");
    assert_eq!(check(&pack).code, Some(2));

    let pack = Pack::new("sigma");
    pack.replace(
        "rules/root_login.yml",
        "service: cloudtrail",
        "service: cloudtrial",
    );
    let ran = check(&pack).must_work();
    assert!(
        ran.stdout
            .contains("no field map knows the log source product=aws service=cloudtrial"),
        "{}",
        ran.stdout
    );

    let pack = Pack::new("go");
    let ran = check(&pack).must_work();
    assert!(
        ran.stdout.contains("`detector.wasm` is not built yet"),
        "{}",
        ran.stdout
    );
    yagura(&["build", pack.path.to_str().unwrap()]).must_work();
    pack.replace(rule, "id = \"root-login\"", "id = \"root-logins\"");
    let ran = check(&pack);
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("has no code for this rule; did you mean `root-login`?"),
        "{}",
        ran.stdout
    );
}

#[test]
fn bench_compares_with_a_baseline() {
    let pack = Pack::new("go");
    let path = pack.path.to_str().unwrap();
    let file = pack.path.join("baseline.json");
    let file = file.to_str().unwrap();
    let saved = yagura(&[
        "bench", path, "--events", "3000", "--save", file, "--format", "json",
    ])
    .must_work();
    let figures = &lines(&saved)[0];
    assert_eq!(figures["rule"], "root-login");
    // Three cases, of which all pass `where`.
    assert_eq!(figures["rows"], 3000);
    for key in [
        "rows_per_second",
        "boundary_ns",
        "guest_ns",
        "fuel",
        "memory_bytes",
    ] {
        assert!(figures[key].as_f64().unwrap() > 0.0, "{key}: {figures}");
    }
    let same = yagura(&[
        "bench",
        path,
        "--no-build",
        "--events",
        "3000",
        "--baseline",
        file,
    ])
    .must_work();
    assert!(same.stdout.contains("1.00 × fuel"), "{}", same.stdout);
    // Twice the work is told, whatever the machine is doing.
    let text = fs::read_to_string(file).unwrap();
    let fuel = figures["fuel"].as_f64().unwrap();
    let mut before: Value = serde_json::from_str(&text).unwrap();
    before[0]["fuel"] = (fuel / 2.0).into();
    fs::write(file, before.to_string()).unwrap();
    let slower = yagura(&[
        "bench",
        path,
        "--no-build",
        "--events",
        "3000",
        "--baseline",
        file,
    ]);
    assert_eq!(slower.code, Some(1));
    assert!(
        slower.stderr.contains("error: rule `root-login` uses"),
        "{}",
        slower.stderr
    );
}

#[test]
fn the_columns_of_a_table_can_be_seen() {
    let pack = Pack::new("sql");
    let logs = pack.path.join("logs.ndjson");
    fs::write(
        &logs,
        "{\"time\":\"2026-01-01T00:00:00Z\",\"host\":\"a\",\"port\":1}\n",
    )
    .unwrap();
    let lake = pack.path.join("lake");
    let [lake, logs] = [&lake, &logs].map(|path| path.to_str().unwrap());
    yagura(&["ingest", "--table", "flows", "--to", lake, logs]).must_work();
    let all = yagura(&["table", "--lake", lake]).must_work();
    assert!(
        all.stdout.contains("flows") && all.stdout.contains("event_time"),
        "{}",
        all.stdout
    );
    let one = yagura(&["table", "--lake", lake, "flows", "--format", "json"]).must_work();
    let columns = lines(&one)[0]["columns"].clone();
    let type_of = |name: &str| {
        let mut columns = columns.as_array().unwrap().iter();
        columns.find(|column| column["name"] == name).unwrap()["type"].clone()
    };
    assert_eq!(type_of("port"), "integer");
    assert_eq!(type_of("host"), "text");
    let wrong = yagura(&["table", "--lake", lake, "flow"]);
    assert_eq!(wrong.code, Some(3));
    assert!(
        wrong.stderr.contains("did you mean `flows`?"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn doctor_names_every_toolchain_and_how_to_get_it() {
    let ran = yagura(&["doctor", "--format", "json"]).must_work();
    let names: Vec<String> = lines(&ran)
        .iter()
        .map(|line| line["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["plugins", "rust", "go", "python"]);
    // The tests of the other languages need them all.
    assert!(
        lines(&ran).iter().all(|line| line["found"] == true),
        "{}",
        ran.stdout
    );
    // Without anything on the path, each says what to type.
    let bare = Command::new(binary())
        .args(["doctor"])
        .env("PATH", "/nowhere")
        .env("XDG_CACHE_HOME", "/nowhere/cache")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&bare.stdout).into_owned();
    for part in [
        "rustup target add",
        "https://go.dev/dl",
        "apt-get install -y python3",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The same without the doctor: one error, with the command.
    for (language, parts) in [
        ("rust", ["no Rust toolchain here", "rustup target add"]),
        ("go", ["there is no go on the path", "https://go.dev/dl"]),
        (
            "python",
            [
                "there is no python3 on the path",
                "apt-get install -y python3",
            ],
        ),
    ] {
        let pack = Pack::new(language);
        let build = Command::new(binary())
            .args(["build", pack.path.to_str().unwrap()])
            .env("PATH", "/nowhere")
            .env("XDG_CACHE_HOME", pack.path.join("cache"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&build.stderr).into_owned();
        // Where Debian's compiler is installed, it is found without a path.
        let is_system = language == "rust" && Path::new("/usr/bin/rustc").exists();
        for part in parts {
            assert!(
                is_system || text.contains(part),
                "{language}: {part}: {text}"
            );
        }
    }
}

/// A process that ends with the test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn dev_tests_again_on_every_save() {
    let pack = Pack::new("sql");
    let log = pack.path.join("../log");
    let out = fs::File::create(&log).unwrap();
    let child = Command::new(binary())
        .args(["dev", pack.path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let _watching = Watching(child);
    wait_for(&log, "waiting for a change", 1);
    pack.replace(
        "rules/root-login.toml",
        "user_type = 'Root'",
        "user_type = 'Toor'",
    );
    wait_for(&log, "waiting for a change", 2);
    assert!(text(&log).contains("1 failed"), "{}", text(&log));
    pack.replace(
        "rules/root-login.toml",
        "user_type = 'Toor'",
        "user_type = 'Root'",
    );
    wait_for(&log, "waiting for a change", 3);
    assert!(
        text(&log).matches("0 failed").count() == 2,
        "{}",
        text(&log)
    );
}

fn text(file: &Path) -> String {
    let mut text = String::new();
    fs::File::open(file)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn wait_for(file: &Path, part: &str, times: usize) {
    let start = Instant::now();
    while text(file).matches(part).count() < times {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", text(file));
        std::thread::sleep(Duration::from_millis(20));
    }
}
