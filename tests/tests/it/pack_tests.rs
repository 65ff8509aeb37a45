//! `yagura test`: what passes, what fails, and what is said of it.

use std::fs;

use yagura_tests::command::{Ran, yagura};
use yagura_tests::pack::{Pack, lines};

#[test]
fn a_column_that_the_rule_does_not_list_is_told_with_those_it_lists() {
    for (language, file, column) in [
        ("go", "detector/main.go", "rule.Text(\"user_type\")"),
        ("python", "detector/root_login.py", "event[\"user_type\"]"),
    ] {
        let pack = Pack::new(language);
        let wrong = column.replace("user_type", "user_typ");
        pack.replace(file, column, &wrong);
        let ran = pack.test(&[]);
        // In Go the plugin is not even opened; a function in Python asks for columns as it goes.
        let code = if language == "go" { 2 } else { 1 };
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(
            ran.stdout.contains("user_typ") && ran.stdout.contains("`user_type`"),
            "{language}: {}",
            ran.stdout
        );
    }
}

#[test]
fn golden_alerts_are_compared_updated_and_read() {
    let pack = Pack::new("sigma");
    let golden = "tests/root_login/positive.alerts.ndjson";
    let before = pack.read(golden);
    pack.replace("rules/root_login.yml", "level: high", "level: low");
    let ran = pack.test(&[]);
    assert_eq!(ran.code, Some(1));
    for part in ["-   \"severity\": \"high\"", "+   \"severity\": \"low\""] {
        assert!(ran.stdout.contains(part), "{}", ran.stdout);
    }
    let updated = pack.test(&["--update"]).must_work();
    assert!(updated.stdout.contains("wrote "), "{}", updated.stdout);
    assert_eq!(pack.read(golden), before.replace("\"high\"", "\"low\""));
    pack.test(&[]).must_work();
    // A negative case that matches is told with what was found.
    let positive = pack.path.join("tests/root_login/positive.ndjson");
    fs::copy(
        &positive,
        pack.path.join("tests/root_login/negative.ndjson"),
    )
    .unwrap();
    let ran = pack.test(&[]);
    assert!(
        ran.stdout.contains("expected no alert, found:"),
        "{}",
        ran.stdout
    );
    // `--update` does not make a negative case positive.
    assert_eq!(pack.test(&["--update"]).code, Some(1));
    // Nor does it take it for right that nothing is found any more.
    pack.replace("rules/root_login.yml", "type: Root", "type: Toor");
    let before = pack.read(golden);
    let ran = pack.test(&["--update"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("found none"), "{}", ran.stdout);
    assert_eq!(pack.read(golden), before);
}

#[test]
fn what_cannot_be_tested_does_not_pass() {
    let pack = Pack::new("sigma");
    let junit = pack.path.join("results.xml");
    let junit = junit.to_str().unwrap();
    let fails = |code: i32, arguments: &[&str], part: &str| {
        let ran = pack.test(arguments);
        assert_eq!(ran.code, Some(code), "{part}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        ran
    };
    fails(
        1,
        &["--rule", "zzz"],
        "no rule whose id contains `zzz` has a case",
    );
    let orphan = pack.path.join("tests/root_login/orphan.alerts.ndjson");
    fs::write(&orphan, "").unwrap();
    fails(2, &[], "orphan.alerts.ndjson is what is expected of orphan");
    fs::remove_file(orphan).unwrap();
    let empty = pack.path.join("tests/root_login/negative-empty.ndjson");
    fs::write(&empty, "").unwrap();
    let ran = pack.test(&[]);
    assert!(
        ran.stdout.contains("negative-empty.ndjson holds no events"),
        "{}",
        ran.stdout
    );
    fs::remove_file(empty).unwrap();
    // A rule that does not parse is no rule without cases; CI's reports say so too.
    pack.replace("rules/root_login.yml", "level: high", " level: high");
    let ran = fails(
        2,
        &["--junit", junit, "--format", "json"],
        "root_login.yml:21: YAML parse error",
    );
    assert_eq!(lines(&ran)[0]["passed"], false);
    assert_eq!(lines(&ran)[0]["path"], pack.path.to_str().unwrap());
    assert!(pack.read("results.xml").contains("YAML parse error"));
    pack.replace("rules/root_login.yml", " level: high", "level: high");
    fs::remove_dir_all(pack.path.join("tests")).unwrap();
    fails(1, &[], "there is nothing to test");
}

#[test]
fn a_case_may_be_an_object_of_a_lake() {
    let pack = Pack::new("sql");
    let logs = pack.path.join("../logs.ndjson");
    let event = r#"{"eventTime":"2026-04-01T10:00:00Z","eventName":"ConsoleLogin","recipientAccountId":"7","sourceIPAddress":"192.0.2.9","userIdentity":{"type":"Root"},"responseElements":{"ConsoleLogin":"Success"}}"#;
    fs::write(&logs, event).unwrap();
    let lake = pack.path.join("../lake");
    let [lake_name, logs] = [&lake, &logs].map(|path| path.to_str().unwrap());
    yagura(&[
        "ingest",
        "--table",
        "aws_cloudtrail",
        "--to",
        lake_name,
        logs,
    ])
    .must_work();
    let day = lake.join("aws_cloudtrail/date=2026-04-01");
    let object = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let folder = pack.path.join("tests/root-login");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(object, folder.join("recorded.parquet")).unwrap();
    assert_eq!(
        pack.test(&[]).code,
        Some(1),
        "there are no expected alerts yet"
    );
    pack.test(&["--update"]).must_work();
    let golden = pack.read("tests/root-login/recorded.alerts.ndjson");
    assert!(golden.contains("Root login from 192.0.2.9"), "{golden}");
    let ran = pack.test(&[]).must_work();
    assert!(ran.stdout.contains("3 cases: 3 passed"), "{}", ran.stdout);
}

#[test]
fn junit_holds_what_failed_and_why() {
    let pack = Pack::new("sql");
    pack.replace(
        "rules/root-login.toml",
        "title = \"Root login from 198.51.100.23\"",
        "title = \"Another <title>\"",
    );
    let file = pack.path.join("results.xml");
    let ran = pack.test(&["--junit", file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    let xml = pack.read("results.xml");
    for part in [
        "tests=\"2\"",
        "failures=\"1\"",
        "classname=\"logins.root-login\"",
        "title: expected `Another &lt;title&gt;`, found `Root login from 198.51.100.23`",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    // The same words for the same failure, whenever it is run.
    pack.test(&["--junit", file.to_str().unwrap()]);
    assert_eq!(pack.read("results.xml"), xml);
}

#[test]
fn missing_cases_are_warnings_and_wrong_ones_are_errors() {
    let pack = Pack::new("sql");
    let rule = pack.read("rules/root-login.toml");
    let cut = rule.find("[[test]]\nname = \"root who failed\"").unwrap();
    fs::write(pack.path.join("rules/root-login.toml"), &rule[..cut]).unwrap();
    let ran = pack.test(&[]).must_work();
    assert!(
        ran.stderr
            .contains("warning: rule `root-login` has no negative case"),
        "{}",
        ran.stderr
    );
    // An event that no rule can evaluate is a failure, not a pass.
    fs::write(
        pack.path.join("rules/root-login.toml"),
        rule.replace("eventTime = \"2026-03-09T08:06:47Z\"\n", ""),
    )
    .unwrap();
    let ran = pack.test(&[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("no event has a time"), "{}", ran.stdout);
    for (from, to, says) in [
        (
            "matches = true",
            "machtes = true",
            "did you mean `matches`?",
        ),
        (
            "matches = false",
            "matches = false\nalert = {}",
            "without a match there is no alert",
        ),
        (
            "name = \"root who failed\"",
            "name = \"root\"",
            "is also the name of another case",
        ),
        (
            "[test.event]\n",
            "event = \"{\"\n[test.x]\n",
            ".x` is not a known key",
        ),
    ] {
        fs::write(
            pack.path.join("rules/root-login.toml"),
            rule.replacen(from, to, 1),
        )
        .unwrap();
        let ran = pack.test(&[]);
        assert_eq!(ran.code, Some(2), "{says}: {}", ran.stdout);
        assert!(
            ran.stderr.contains(says) && ran.stderr.contains("root-login.toml"),
            "{says}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_rule_over_its_fuel_fails_and_so_does_an_endless_loop_at_the_same_place_every_time() {
    let pack = Pack::new("go");
    let ran = pack.test(&["--format", "json"]).must_work();
    let fuel = |ran: &Ran| -> Vec<u64> {
        let used = lines(ran);
        let used = used
            .iter()
            .map(|line| line["fuel_per_event"].as_u64().unwrap());
        used.collect()
    };
    let first = fuel(&ran);
    assert!(
        first.iter().all(|fuel| (100..100_000).contains(fuel)),
        "{first:?}"
    );
    assert_eq!(fuel(&pack.test(&["--format", "json"])), first);
    pack.replace(
        "rules/root-login.toml",
        "fuel_per_event = 100_000",
        "fuel_per_event = 100",
    );
    let ran = pack.test(&["--no-build"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("over `fuel_per_event = 100`"),
        "{}",
        ran.stdout
    );
    pack.replace(
        "detector/main.go",
        "\tfor row := range batch.Rows() {\n",
        "\tfor row := range batch.Rows() {\n\t\tfor d.userType.Or(row, \"\") == \"Root\" {\n\t\t}\n",
    );
    let ran = pack.test(&[]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout
            .contains("its fuel of 2000000000 instructions in `on-batch`"),
        "{}",
        ran.stdout
    );
}
