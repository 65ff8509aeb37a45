//! The index of a table: hits are the same with it and without, whatever it covers.

use std::fs;

use serde_json::{Value, json};
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::{Dice, time};

use super::search::{Lake, pick};

/// Observables in every form that makers write, by the columns that hold them.
const VALUES: [(&str, &[&str]); 12] = [
    (
        "src_ip",
        &[
            "192.0.2.1",
            "2001:DB8::0:1",
            "[2001:db8::1%eth0]",
            "::ffff:192.0.2.1",
            "unknown",
            "010.0.0.1",
        ],
    ),
    ("dst_ip", &["192.0.2.1", "198.51.100.7", "192.0.2.10", ""]),
    ("domain", &["A.example.", "a.example", "b.example"]),
    ("hostname", &["Web1.example", "web1", "WEB2"]),
    (
        "user",
        &[
            r"CORP\Kim",
            "kim",
            "Ma\u{df}",
            r#"["kim","lee"]"#,
            "{\"name\":\"kim\"}",
        ],
    ),
    ("email", &["Kim@Example.org", "kim@example.org"]),
    (
        "Hashes",
        &[
            "MD5=D41D8CD98F00B204E9800998ECF8427E,SHA1=DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
            "d41d8cd98f00b204e9800998ecf8427e",
            "xd41d8cd98f00b204e9800998ecf8427e",
        ],
    ),
    ("url", &["http://a.example/x?y=1", "HTTP://A.example/X?y=1"]),
    (
        "Image",
        &[r"C:\Windows\CMD.exe", "/bin/sh", "sh", r"a\b/sh"],
    ),
    ("file_path", &[r"C:\x\y", "/etc/passwd", "passwd"]),
    (
        "mac",
        &[
            "AA-BB-CC-00-11-22",
            "aabb.cc00.1122",
            "aa:bb:cc:00:11:22",
            "aa",
        ],
    ),
    (
        "text",
        &[
            "from 192.0.2.1:443 to x",
            "v192.0.2.1",
            "1.192.0.2.1",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709.",
            "\u{e9}192.0.2.1",
            "kim",
        ],
    ),
];

/// Terms that an index answers, and some that it does not.
const TERMS: [&str; 32] = [
    "ip:192.0.2.1",
    "ip:2001:db8::1",
    "ip:198.51.100.7",
    "ip:192.0.2.0/24",
    "ip:::ffff:192.0.2.1",
    "domain:a.example",
    "domain:A.EXAMPLE.",
    "domain:*.example",
    "host:web1",
    "host:web1.example",
    "user:kim",
    r"user:corp\kim",
    "user:lee",
    "user:ma\u{1e9e}",
    "email:KIM@example.org",
    "hash:d41d8cd98f00b204e9800998ecf8427e",
    "hash:d41d8cd9",
    "hash:DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
    "url:http://a.example/x?y=1",
    "process:cmd.exe",
    "process:sh",
    "file:passwd",
    "mac:aa:bb:cc:00:11:22",
    "mac:AABBCC001122",
    "port:22",
    "port:ssh",
    "src_ip:192.0.2.1",
    "user:absent",
    "192.0.2.1",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "kim",
    "d41d8cd98f00b204e9800998ecf8427e",
];

/// Events with some of the values: as text, in lists, in objects and in keys without a column.
fn events(dice: &mut Dice, from: i64, count: i64) -> Vec<Value> {
    let event = |number: i64, dice: &mut Dice| {
        let mut event = json!({"time": time(number * 60), "number": number});
        for (name, values) in VALUES {
            let value = json!(values[pick(dice, values.len())]);
            match pick(dice, 12) {
                0 => event[name] = value,
                1 => event[name] = json!([value, null, 7]),
                2 => event["deep"] = json!({ name: value }),
                3 => event["note"] = json!(value.to_string()),
                _ => {}
            }
        }
        match pick(dice, 8) {
            0 => event["dst_port"] = json!(22),
            1 => event["dst_port"] = json!("22.0"),
            2 => event["dst_port"] = json!("ssh"),
            3 => event["dst_port"] = json!(22.5),
            _ => {}
        }
        event
    };
    (from..from + count)
        .map(|number| event(number, dice))
        .collect()
}

/// Returns what a search prints, sorted, and what it says.
fn found(lake: &Lake, arguments: &[&str]) -> (Vec<String>, String) {
    let mut all = vec!["--format", "json", "--limit", "0"];
    all.extend(arguments);
    let ran = lake.search(&all).must_work();
    let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    (lines, ran.stderr)
}

/// Checks that a query has the same hits with and without an index, and returns what the search says.
fn check(lake: &Lake, query: &str) -> String {
    let (with, said) = found(lake, &[query]);
    let (without, _) = found(lake, &["--no-index", query]);
    assert_eq!(with, without, "{query}");
    said
}

fn index(lake: &Lake, more: &[&str]) -> Ran {
    let path = lake.0.path("lake");
    let mut all = vec!["table", "index", "--lake", &path];
    all.extend(more);
    yagura(&all)
}

fn segments(lake: &Lake, table: &str) -> Vec<std::path::PathBuf> {
    let folder = lake.0.path(&format!("lake/{table}/_index"));
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut segments: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    segments.sort();
    segments
}

#[test]
fn hits_are_the_same_with_an_index_and_without() {
    let mut dice = Dice::new(20_261_202);
    let lake = Lake(Scratch::new());
    // Each ingest adds an object or more, in ever more columns.
    for part in 0..6 {
        lake.ingest_with(&["--index"], "odd", &events(&mut dice, part * 20, 20));
    }
    lake.ingest_with(&["--index"], "others", &events(&mut dice, 0, 30));
    let mut left_out = 0;
    for term in TERMS {
        let (hits, _) = found(&lake, &["--no-index", term]);
        left_out += usize::from(check(&lake, term).contains("the index leaves out"));
        assert!(
            !hits.is_empty() || ["user:absent", "ip:::ffff:192.0.2.1"].contains(&term),
            "{term} finds nothing"
        );
    }
    assert!(left_out >= 12, "{left_out}");
    for _ in 0..40 {
        let mut term = || TERMS[pick(&mut dice, TERMS.len())];
        let [a, b, c] = [term(), term(), term()];
        let query = match pick(&mut dice, 4) {
            0 => format!("{a} AND {b}"),
            1 => format!("{a} OR {b}"),
            2 => format!("({a} OR {b}) AND NOT {c}"),
            _ => format!("NOT {a} OR ({b} AND {c})"),
        };
        check(&lake, &query);
    }
    for mode in ["--histogram", "--pivot"] {
        let counted = |more: &[&str]| {
            let mut all = vec![mode, "--format", "json", "user:kim"];
            all.extend(more);
            lake.search(&all).must_work().stdout
        };
        assert_eq!(counted(&[]), counted(&["--no-index"]));
    }
}

#[test]
fn whatever_an_index_covers_nothing_is_missing() {
    let mut dice = Dice::new(7);
    let lake = Lake(Scratch::new());
    let query = "user:kim OR ip:192.0.2.1";
    lake.ingest_with(&["--index"], "t", &events(&mut dice, 0, 40));
    assert_eq!(segments(&lake, "t").len(), 1);
    // An object that came since.
    lake.ingest("t", &events(&mut dice, 40, 40));
    assert!(check(&lake, "user:kim").contains("objects of table `t` are not in its index"));
    index(&lake, &[]).must_work();
    assert!(!check(&lake, query).contains("not in its index"));
    // A segment that is damaged, or is of another version.
    let segment = segments(&lake, "t").pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    for wrong in [&b"PAR1 no segment PAR1"[..], &whole[..whole.len() / 2], &[]] {
        fs::write(&segment, wrong).unwrap();
        check(&lake, query);
    }
    // Its pages alone: the footer is read, and then nothing else.
    let mut broken = whole.clone();
    broken[4..whole.len() / 4].fill(0xff);
    fs::write(&segment, broken).unwrap();
    let said = check(&lake, query);
    assert!(
        said.contains("the index of table `t` cannot be read") && said.contains("--rebuild"),
        "{said}"
    );
    let said = index(&lake, &["--rebuild"]).must_work().stdout;
    assert!(
        said.contains("t: added ") && said.contains("1 segment of"),
        "{said}"
    );
    assert!(!check(&lake, query).contains("cannot be read"));
    // An object that is gone, and one of its name with other content.
    let day = lake.0.path("lake/t/date=2026-03-01");
    let mut objects: Vec<_> = fs::read_dir(day)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    objects.sort();
    let (one, other) = (objects[0].clone(), objects[1].clone());
    fs::copy(&other, &one).unwrap();
    assert!(check(&lake, query).contains("not in its index"));
    fs::remove_file(&one).unwrap();
    check(&lake, query);
    // None at all.
    fs::remove_dir_all(lake.0.path("lake/t/_index")).unwrap();
    check(&lake, query);
    let said = index(&lake, &[]).must_work().stdout;
    assert!(said.contains("t: added "), "{said}");
    let said = index(&lake, &[]).must_work().stdout;
    assert!(said.contains("t: nothing to add"), "{said}");
}

#[test]
fn small_segments_are_merged_and_prevalence_counts_each_event_once() {
    let lake = Lake(Scratch::new());
    for part in 0..20 {
        let event = |number: i64| {
            let second = part * 100 + number;
            // The same address in two columns and in the text.
            json!({"time": time(second), "user": "kim", "src_ip": "192.0.2.1", "dst_ip": "192.0.2.1", "note": "192.0.2.1", "n": second})
        };
        lake.ingest_with(&["--index"], "t", &(0..3).map(event).collect::<Vec<_>>());
    }
    let count = segments(&lake, "t").len();
    assert!((1..8).contains(&count), "{count} segments");
    let ran = lake
        .search(&[
            "--prevalence",
            "--format",
            "json",
            "ip:192.0.2.1 OR user:absent",
        ])
        .must_work();
    let row: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert_eq!(
        row,
        json!({"table": "t", "kind": "ip", "value": "192.0.2.1", "events": 60, "objects": 20, "first": "2026-03-01T00:00:00.000000Z", "last": "2026-03-01T00:31:42.000000Z"})
    );
    assert_eq!(ran.stderr, "");
    lake.ingest("t", &[json!({"time": time(5_000), "user": "kim", "n": 0})]);
    let ran = lake.search(&["--prevalence", "user:kim"]).must_work();
    assert!(ran.stdout.contains(" 60 "), "{}", ran.stdout);
    assert!(
        ran.stderr
            .contains("1 of 21 objects of table `t` are not in its index"),
        "{}",
        ran.stderr
    );
    let ran = lake.search(&["--prevalence", "user:nobody"]).must_work();
    assert_eq!(ran.stdout, "no table knows it\n");
    let ran = lake.search(&["--prevalence", "kim"]);
    assert!(
        ran.code == Some(3) && ran.stderr.contains("no index knows such values"),
        "{}",
        ran.stderr
    );
    // Columns of the operator's own.
    lake.0.write(
        "yagura.toml",
        &format!(
            "[lake]\nurl = {:?}\n\n[table.t.observables]\nuser = [\"note\"]\n",
            lake.0.path("lake")
        ),
    );
    let config = lake.0.path("yagura.toml");
    let search = |query: &str, more: &[&str]| {
        let mut all = vec!["search", "--config", &config, "--format", "json", query];
        all.extend(more);
        yagura(&all).must_work().stdout
    };
    assert_eq!(
        search("user:192.0.2.1", &[]),
        search("user:192.0.2.1", &["--no-index"])
    );
    yagura(&["table", "index", "--config", &config]).must_work();
    let with = search("user:192.0.2.1", &[]);
    assert_eq!(with.lines().count(), 60);
    assert_eq!(with, search("user:192.0.2.1", &["--no-index"]));
}
