//! `yagura ingest` as several processes, killed processes and cron jobs call it: each event once, no column lost.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use yagura_tests::command::{Ran, binary, yagura};
use yagura_tests::scratch::Scratch;

/// Fails of one user, of which a rule counts four.
fn lines(range: std::ops::Range<usize>) -> String {
    range
        .map(|n| {
            format!(
                "{{\"timestamp\":\"2026-03-01T00:{:02}:{:02}Z\",\"user\":\"ann\",\"n\":{n},\"only{n}\":{n}}}\n",
                n / 60 % 60,
                n % 60
            )
        })
        .collect()
}

fn ingest(place: &Scratch, arguments: &[&str]) -> Ran {
    let lake = place.path("lake");
    let mut all = vec!["ingest", "--table", "auth", "--to", &lake];
    all.extend(arguments);
    yagura(&all)
}

fn start(place: &Scratch, arguments: &[&str]) -> Child {
    Command::new(binary())
        .args(["ingest", "--table", "auth", "--to", &place.path("lake")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The numbers of all events of the table, in order, as a run of a rule that finds all of them says.
fn numbers(place: &Scratch) -> Vec<usize> {
    place.write(
        "pack/rules/all.toml",
        "[rule]\nid = \"all\"\ntitle = \"all\"\ntable = \"auth\"\nseverity = \"low\"\nwhere = \"user = 'ann'\"\n[rule.alert]\nkey = [\"n\"]\n",
    );
    place.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n",
    );
    let ran = yagura(&[
        "run",
        "--lake",
        &place.path("lake"),
        "--pack",
        &place.path("pack"),
        "--format",
        "json",
    ])
    .must_work();
    let mut numbers = Vec::new();
    for line in ran.stdout.lines() {
        let alert: serde_json::Value = serde_json::from_str(line).unwrap();
        let key: usize = alert["key"].as_str().unwrap().parse().unwrap();
        let count = alert["count"].as_u64().unwrap();
        numbers.extend(vec![key; usize::try_from(count).unwrap()]);
    }
    numbers.sort_unstable();
    numbers
}

fn columns(place: &Scratch) -> BTreeSet<String> {
    let text = fs::read_to_string(place.path("lake/auth/_table.json")).unwrap();
    let definition: serde_json::Value = serde_json::from_str(&text).unwrap();
    let columns = definition["columns"].as_array().unwrap().iter();
    columns
        .map(|column| column["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn processes_at_once_lose_no_column_and_double_no_event() {
    let place = Scratch::new();
    let files: Vec<String> = (0..12)
        .map(|n| {
            let name = format!("f{n}.ndjson");
            place.write(&name, &lines(n * 3..n * 3 + 3));
            place.path(&name)
        })
        .collect();
    // Each file is given to two processes, beside different others.
    let mut children = Vec::new();
    for n in 0..12 {
        children.push(start(&place, &[&files[n], &files[(n + 5) % 12]]));
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(numbers(&place), (0..36).collect::<Vec<_>>());
    let columns = columns(&place);
    for n in 0..36 {
        assert!(columns.contains(&format!("only{n}")), "{columns:?}");
    }
}

#[test]
fn killed_ingests_that_are_repeated_lose_and_double_nothing() {
    let place = Scratch::new();
    let mut held = 0;
    for round in 0..12u64 {
        // The file grows between the kills, and another one comes before it.
        let end = held + 400;
        place.write("in/b.ndjson", &lines(0..end));
        place.write(
            &format!("in/a{round}.ndjson"),
            &lines(end + 100_000..end + 100_001),
        );
        let mut child = start(&place, &[&place.path("in")]);
        std::thread::sleep(std::time::Duration::from_millis(round * 9));
        child.kill().unwrap();
        child.wait().unwrap();
        held = end;
    }
    let ran = ingest(&place, &[&place.path("in")]).must_work();
    assert!(ran.stdout.starts_with("auth: "), "{}", ran.stdout);
    let mut expected: Vec<usize> = (0..held).collect();
    expected.extend((1..=12).map(|round| round * 400 + 100_000));
    assert_eq!(numbers(&place), expected);
    let again = ingest(&place, &[&place.path("in")]).must_work();
    assert!(
        again.stdout.starts_with("auth: 0 events from 0 files"),
        "{}",
        again.stdout
    );
    assert!(
        again
            .stderr
            .contains("13 files passed over, because all of it was ingested before"),
        "{}",
        again.stderr
    );
}

#[test]
fn the_same_events_come_once_whatever_their_file_is_called() {
    let place = Scratch::new();
    place.write("in/a.ndjson", &lines(0..2));
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    fs::write(place.path("a.gz"), gzip(&lines(0..2))).unwrap();
    ingest(&place, &[&place.path("in")]).must_work();
    for again in ["in/a.ndjson", "in/../in/./a.ndjson", "a.gz", "in"] {
        let ran = ingest(&place, &[&place.path(again)]).must_work();
        assert!(
            ran.stderr.contains("1 file passed over"),
            "{again}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains("--again"), "{}", ran.stderr);
    }
    place.write("in/b.ndjson", &lines(2..4));
    place.write("in/a.ndjson", &lines(0..3));
    ingest(&place, &[&place.path("in")]).must_work();
    // `b` and the new line of `a` have an event in common, which is another place of another source.
    assert_eq!(numbers(&place), [0, 1, 2, 2, 3]);
    ingest(&place, &["--again", &place.path("in/b.ndjson")]).must_work();
    assert_eq!(numbers(&place), [0, 1, 2, 2, 2, 3, 3]);
}

#[test]
fn standard_input_is_a_source_like_others() {
    let place = Scratch::new();
    let feed = |text: &str| {
        let mut child = Command::new(binary())
            .args([
                "ingest",
                "--table",
                "auth",
                "--to",
                &place.path("lake"),
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
    };
    feed(&lines(0..40));
    feed(&lines(0..40));
    feed(&lines(0..50));
    place.write("a.ndjson", &lines(0..55));
    ingest(&place, &[&place.path("a.ndjson")]).must_work();
    assert_eq!(numbers(&place), (0..55).collect::<Vec<_>>());
}

#[test]
fn wrong_lines_and_files_end_nothing_and_are_named() {
    let place = Scratch::new();
    place.write(
        "in/a.ndjson",
        &format!("{}broken\n{}", lines(0..1), lines(1..2)),
    );
    place.write("in/.DS_Store", "x");
    place.write("in/b.csv", "time,user\n1,ann\n");
    place.write("c.log", "Failed, at midnight\nagain\n");
    let (folder, log) = (place.path("in"), place.path("c.log"));
    let strict = ingest(&place, &["--strict", &folder]);
    assert_eq!(strict.code, Some(3));
    assert!(
        strict.stderr.contains("a.ndjson`, line 2, column 1"),
        "{}",
        strict.stderr
    );
    let ran = ingest(&place, &[&log, &folder]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.starts_with("auth: 2 events"), "{}", ran.stdout);
    for said in [
        "error: `",
        "c.log` cannot be read, because it is plain text: name its format with --format",
        "a.ndjson`, line 2, column 1: an event is a JSON object",
        "1 line is not an event; it is kept in",
        ".DS_Store was passed over: hidden",
        "b.csv was passed over: a table such as CSV",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    assert_eq!(numbers(&place), [0, 1]);

    place.write("bad", "before\n");
    place.write(
        "d.ndjson",
        "broken too\n{\"timestamp\":\"2026-03-01T01:00:00Z\",\"user\":\"ann\",\"n\":9}\n",
    );
    let ran = ingest(
        &place,
        &["--rejects", &place.path("bad"), &place.path("d.ndjson")],
    )
    .must_work();
    assert!(
        ran.stderr.contains("1 line is not an event; it went to"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        fs::read_to_string(place.path("bad")).unwrap(),
        "before\nbroken too\n"
    );
}

#[test]
fn a_time_field_and_bounds_are_checked() {
    let place = Scratch::new();
    place.write(
        "a.ndjson",
        "{\"timestamp\":\"20260301010203\",\"user\":\"ann\",\"n\":1,\"ticks\":86400}\n",
    );
    let file = place.path("a.ndjson");
    let ran = ingest(&place, &["--time-field", "timestmp", &file]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.stderr.contains("did you mean `timestamp`"),
        "{}",
        ran.stderr
    );
    let ran = ingest(&place, &["--time-bounds", "2100-01-01..1990-01-01", &file]);
    assert_ne!(ran.code, Some(0));
    ingest(
        &place,
        &[
            "--time-field",
            "ticks",
            "--time-bounds",
            "1970-01-01..2100-01-01",
            &file,
        ],
    )
    .must_work();
    assert!(fs::exists(place.path("lake/auth/date=1970-01-02")).unwrap());
    let other = Scratch::new();
    ingest(&other, &[&file]).must_work();
    assert!(fs::exists(other.path("lake/auth/date=2026-03-01")).unwrap());
}
