//! `yagura search`: events of all tables in one timeline.

use std::fs;

use serde_json::{Value, json};
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;
use yagura_tests::stream::{Dice, time};

/// A lake whose tables are searched.
pub(crate) struct Lake(pub(crate) Scratch);

impl Lake {
    /// Returns one with logins, DNS queries and web requests.
    fn new() -> Self {
        let lake = Self(Scratch::new());
        lake.ingest(
            "logins",
            &[
                json!({"time": "2026-03-01T10:00:00Z", "user": "alice", "src_ip": "192.0.2.1", "outcome": "failure"}),
                json!({"time": "2026-03-01T10:05:00Z", "user": "CORP\\alice", "src_ip": "192.0.2.10", "outcome": "success"}),
                json!({"time": "2026-03-02T00:00:00Z", "user": "bob", "src_ip": "2001:DB8::1", "outcome": "success"}),
                json!({"time": "2026-03-03T00:00:00Z", "user": "alice.smith", "src_ip": "198.51.100.7", "note": "came from 192.0.2.1."}),
            ],
        );
        lake.ingest(
            "dns",
            &[
                json!({"time": "2026-03-01T10:01:00Z", "query": "Evil.Example.org.", "client_ip": "192.0.2.1", "answers": ["203.0.113.9", "203.0.113.10"]}),
                json!({"time": "2026-03-01T10:02:00Z", "query": "example.org", "client_ip": "192.0.2.11", "answers": []}),
            ],
        );
        lake.ingest(
            "web",
            &[
                json!({"time": "2026-03-01T10:03:00Z", "request": {"line": "GET /a?user=alice HTTP/1.1", "peer": "192.0.2.1"}, "bytes": 4625}),
            ],
        );
        lake
    }

    pub(crate) fn ingest(&self, table: &str, events: &[Value]) {
        self.ingest_with(&[], table, events);
    }

    pub(crate) fn ingest_with(&self, more: &[&str], table: &str, events: &[Value]) {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        self.0.write("raw.ndjson", &lines);
        let (lake, raw) = (self.0.path("lake"), self.0.path("raw.ndjson"));
        let mut all = vec!["ingest", "--table", table, "--to", &lake, &raw];
        all.extend(more);
        yagura(&all).must_work();
    }

    pub(crate) fn search(&self, arguments: &[&str]) -> Ran {
        let lake = self.0.path("lake");
        let mut all = vec!["search", "--lake", &lake];
        all.extend(arguments);
        yagura(&all)
    }

    pub(crate) fn hits(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--format", "json"];
        all.extend(arguments);
        let ran = self.search(&all).must_work();
        let lines = ran.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Returns the minute and the table of each hit, the earliest first.
    fn found(&self, query: &str) -> Vec<String> {
        let hits = self.hits(&["--oldest-first", query]);
        let short = |hit: &Value| {
            format!(
                "{} {}",
                &hit["time"].as_str().unwrap()[8..16],
                hit["table"].as_str().unwrap()
            )
        };
        hits.iter().map(short).collect()
    }
}

#[test]
fn terms_find_events_in_all_tables() {
    let lake = Lake::new();
    for (query, found) in [
        // A whole word, wherever it is, and not a part of another address.
        (
            "192.0.2.1",
            vec![
                "01T10:00 logins",
                "01T10:01 dns",
                "01T10:03 web",
                "03T00:00 logins",
            ],
        ),
        (
            "ip:192.0.2.1",
            vec!["01T10:00 logins", "01T10:01 dns", "01T10:03 web"],
        ),
        ("ip:203.0.113.10", vec!["01T10:01 dns"]),
        ("ip:2001:db8::1", vec!["02T00:00 logins"]),
        ("2001:db8::1", vec!["02T00:00 logins"]),
        ("ip:192.0.2.8/29", vec!["01T10:02 dns", "01T10:05 logins"]),
        ("192.0.2.8/29", vec!["01T10:02 dns", "01T10:05 logins"]),
        // In a table without such a column all text is searched.
        (
            "user:ALICE",
            vec!["01T10:00 logins", "01T10:03 web", "01T10:05 logins"],
        ),
        (
            "user:alice*",
            vec!["01T10:00 logins", "01T10:03 web", "03T00:00 logins"],
        ),
        ("domain:evil.example.org", vec!["01T10:01 dns"]),
        ("domain:*example.org", vec!["01T10:02 dns"]),
        ("domain:*example.org*", vec!["01T10:01 dns", "01T10:02 dns"]),
        ("\"GET /a?\"", vec!["01T10:03 web"]),
        ("4625", vec!["01T10:03 web"]),
        (
            "outcome:success",
            vec!["01T10:05 logins", "02T00:00 logins"],
        ),
        ("outcome:success AND NOT user:bob", vec!["01T10:05 logins"]),
        (
            "alice 192.0.2.1 NOT (web OR failure)",
            vec!["01T10:03 web", "03T00:00 logins"],
        ),
        ("request.peer:192.0.2.1", vec!["01T10:03 web"]),
        ("nobody", vec![]),
    ] {
        assert_eq!(lake.found(query), found, "{query}");
    }
}

#[test]
fn the_newest_come_first_and_a_limit_is_said() {
    let lake = Lake::new();
    let ran = lake.search(&["--limit", "2", "192.0.2.1"]).must_work();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(
        lines[0].starts_with("2026-03-03T00:00:00") && lines[0].contains("logins"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("2026-03-01T10:03:00") && lines[1].contains("web"),
        "{}",
        lines[1]
    );
    assert!(
        ran.stderr.contains("these are the first 2"),
        "{}",
        ran.stderr
    );
    let all = lake.search(&["--limit", "4", "192.0.2.1"]).must_work();
    assert!(!all.stderr.contains("There are more"), "{}", all.stderr);
    assert_eq!(lake.hits(&["--limit", "0", "192.0.2.1"]).len(), 4);
}

#[test]
fn ranges_tables_and_events_around_another_narrow_a_search() {
    let lake = Lake::new();
    let tables = |arguments: &[&str]| -> Vec<String> {
        let hits = lake.hits(arguments);
        hits.iter()
            .map(|hit| hit["table"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        tables(&[
            "--from",
            "2026-03-01T10:01:00Z",
            "--to",
            "2026-03-01T10:03:00Z",
            "192.0.2.1"
        ]),
        ["dns"]
    );
    assert_eq!(
        tables(&["--table", "web", "--table", "dns", "192.0.2.1"]),
        ["web", "dns"]
    );
    assert_eq!(
        tables(&["--around", "2026-03-01T10:02:00Z ±1m", "192.0.2.*"]),
        ["web", "dns", "dns"]
    );
    let hit = &lake.hits(&["evil.example.org"])[0];
    let event = format!("{}#{}", hit["object"].as_str().unwrap(), hit["row"]);
    assert_eq!(
        tables(&["--around", &event, "--within", "1m", "192.0.2.0/24"]),
        ["dns", "dns", "logins"]
    );
    let ran = lake.search(&["usr:alice"]).must_work();
    assert!(
        ran.stderr.contains("did you mean `user`?"),
        "{}",
        ran.stderr
    );
    for (arguments, says) in [
        (vec!["--table", "login", "a"], "did you mean `logins`?"),
        (vec!["--around", "yesterday", "a"], "neither a time"),
        (vec!["--around", "s3://b/o#1", "a"], "no table has an event"),
        (vec!["a AND"], "column 6 of the query: a term is missing"),
        (vec!["--class", "autentication", "a"], "authentication"),
        (vec!["--format", "parquet", "a"], "--output"),
    ] {
        let ran = lake.search(&arguments);
        assert_eq!(ran.code, Some(3), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn hits_go_into_files_and_counts_are_printed() {
    let lake = Lake::new();
    let file = lake.0.path("hits.parquet");
    lake.search(&["--format", "parquet", "--output", &file, "192.0.2.1"])
        .must_work();
    let again = lake.search(&["--format", "parquet", "--output", &file, "192.0.2.1"]);
    assert!(
        again.stderr.contains("is there already"),
        "{}",
        again.stderr
    );
    // What was written is a table that can be searched.
    fs::create_dir(lake.0.path("other")).unwrap();
    fs::create_dir(lake.0.path("other/hits")).unwrap();
    fs::rename(&file, lake.0.path("other/hits/hits.parquet")).unwrap();
    let other = lake.0.path("other");
    let ran = yagura(&["search", "--lake", &other, "--format", "json", "table:web"]).must_work();
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let csv = lake
        .search(&["--format", "timesketch", "--oldest-first", "192.0.2.1"])
        .must_work()
        .stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "message,timestamp,datetime,timestamp_desc,data_type,object,row,event"
    );
    assert!(
        lines[1].contains(",1772359200000000,2026-03-01T10:00:00.000000Z,Event Time,logins,"),
        "{}",
        lines[1]
    );
    assert_eq!(lines.len(), 5);
    let counts = lake
        .search(&["--histogram", "--format", "json", "192.0.2.1"])
        .must_work()
        .stdout;
    let counts: Vec<Value> = counts
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sum: u64 = counts
        .iter()
        .map(|one| one["count"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 4);
    assert_eq!(counts[0]["from"], "2026-03-01T10:00:00.000000Z");
    let text = lake
        .search(&["--histogram", "192.0.2.1"])
        .must_work()
        .stdout;
    assert!(text.contains("4 events"), "{text}");
    let pivot = lake
        .search(&["--pivot", "--format", "json", "192.0.2.1"])
        .must_work()
        .stdout;
    let pivot: Vec<Value> = pivot
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        pivot[0],
        json!({"kind": "ip", "value": "192.0.2.1", "count": 2})
    );
    assert!(
        pivot.contains(&json!({"kind": "ip", "value": "203.0.113.9", "count": 1})),
        "{pivot:?}"
    );
    assert!(
        pivot.contains(&json!({"kind": "user", "value": "alice", "count": 1})),
        "{pivot:?}"
    );
}

#[test]
fn what_cannot_be_read_is_named_and_hides_nothing_else() {
    let lake = Lake::new();
    let day = lake.0.path("lake/logins/date=2026-03-01");
    let whole = fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&whole).unwrap();
    // The footer is whole, the pages are not.
    let half = bytes.len() / 2;
    bytes[4..half].fill(0xff);
    fs::write(format!("{day}/part-bad.parquet"), bytes).unwrap();
    let ran = lake.search(&["--format", "json", "192.0.2.1"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    assert!(
        ran.stderr
            .contains("part-bad.parquet cannot be read, so its events are missing"),
        "{}",
        ran.stderr
    );
    for mode in ["--pivot", "--histogram"] {
        let ran = lake.search(&[mode, "--format", "json", "192.0.2.1"]);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(ran.stderr.contains("part-bad.parquet"), "{}", ran.stderr);
    }
}

#[test]
fn hits_that_do_not_fit_into_memory_come_in_order() {
    let lake = Lake(Scratch::new());
    let events: Vec<Value> = (0..20_000)
        .map(|number| {
            let second = (number * 7_919) % 86_400;
            json!({"time": time(second), "user": "alice", "text": format!("{number} {}", "x".repeat(200))})
        })
        .collect();
    for part in events.chunks(2_000) {
        lake.ingest("many", part);
    }
    let hits = lake.hits(&["--limit", "0", "user:alice"]);
    assert_eq!(hits.len(), events.len());
    let times: Vec<&str> = hits
        .iter()
        .map(|hit| hit["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
}

/// Rolls the dice for a place in a list.
pub(crate) fn pick(dice: &mut Dice, sides: usize) -> usize {
    usize::try_from(dice.roll(sides as u64)).unwrap()
}

/// A query as a tree, for which it is known what it finds.
enum Asked {
    Term(&'static str, &'static str),
    Not(Box<Self>),
    Both(Box<Self>, Box<Self>),
    Either(Box<Self>, Box<Self>),
}

impl Asked {
    fn random(dice: &mut Dice, depth: u32) -> Self {
        const TERMS: [(&str, &str); 9] = [
            ("user", "ann"),
            ("user", "bob"),
            ("ip", "192.0.2.1"),
            ("ip", "192.0.2.12"),
            ("host", "web"),
            ("", "ann"),
            ("", "192.0.2.1"),
            ("", "denied"),
            ("deep.state", "open"),
        ];
        let mut below = || Box::new(Self::random(dice, depth - 1));
        if depth == 0 {
            let (name, value) = TERMS[pick(dice, TERMS.len())];
            return Self::Term(name, value);
        }
        let (first, second) = (below(), below());
        match pick(dice, 4) {
            0 => Self::Not(first),
            1 => Self::Both(first, second),
            2 => Self::Either(first, second),
            _ => *first,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Term("", value) => (*value).to_owned(),
            Self::Term(name, value) => format!("{name}:{value}"),
            Self::Not(of) => format!("NOT ({})", of.text()),
            Self::Both(a, b) => format!("({} AND {})", a.text(), b.text()),
            Self::Either(a, b) => format!("({} OR {})", a.text(), b.text()),
        }
    }

    fn holds(&self, event: &Value) -> bool {
        let is = |field: &str, value: &str| {
            event[field]
                .as_str()
                .is_some_and(|text| text.eq_ignore_ascii_case(value))
        };
        match self {
            Self::Term("user", value) => is("user", value),
            Self::Term("ip", value) => is("src_ip", value) || is("dst_ip", value),
            Self::Term("host", value) => is("host", value),
            Self::Term("deep.state", value) => event["deep"]["state"] == *value,
            Self::Term(_, word) => {
                let all = ["user", "src_ip", "dst_ip", "host", "text"]
                    .map(|field| event[field].as_str().unwrap_or_default());
                let deep = event["deep"]["state"].as_str().unwrap_or_default();
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                all.iter().chain([&deep]).any(|text| {
                    text.to_lowercase().match_indices(word).any(|(at, _)| {
                        let before = text[..at].chars().next_back();
                        let after = text[at + word.len()..].chars().next();
                        !before.is_some_and(is_part) && !after.is_some_and(is_part)
                    })
                })
            }
            Self::Not(of) => !of.holds(event),
            Self::Both(a, b) => a.holds(event) && b.holds(event),
            Self::Either(a, b) => a.holds(event) || b.holds(event),
        }
    }
}

#[test]
fn whatever_is_asked_is_what_reading_every_event_finds() {
    let mut dice = Dice::new(20_261_201);
    let lake = Lake(Scratch::new());
    let mut events = Vec::new();
    for table in ["one", "two"] {
        let of_table: Vec<Value> = (0..60)
            .map(|number| {
                let mut event =
                    json!({"time": time(number), "number": format!("{table}-{number}")});
                let values: [(&str, &[&str]); 5] = [
                    ("user", &["ann", "BOB", "joann"]),
                    ("src_ip", &["192.0.2.1", "192.0.2.12"]),
                    ("dst_ip", &["192.0.2.1", "192.0.2.100"]),
                    ("host", &["web", "web2"]),
                    (
                        "text",
                        &[
                            "Ann was denied",
                            "from 192.0.2.1: denied",
                            "annulled",
                            "192.0.2.10",
                        ],
                    ),
                ];
                for (name, of) in values {
                    if pick(&mut dice, 3) > 0 {
                        event[name] = of[pick(&mut dice, of.len())].into();
                    }
                }
                if pick(&mut dice, 2) == 0 {
                    let state = ["open", "closed"][pick(&mut dice, 2)];
                    event["deep"] = json!({ "state": state });
                }
                event
            })
            .collect();
        lake.ingest(table, &of_table);
        events.extend(of_table);
    }
    for _ in 0..25 {
        let asked = Asked::random(&mut dice, 3);
        let hits = lake.hits(&["--limit", "0", &asked.text()]);
        let mut found: Vec<&str> = hits
            .iter()
            .map(|hit| hit["event"]["number"].as_str().unwrap())
            .collect();
        let mut wanted: Vec<&str> = events
            .iter()
            .filter(|event| asked.holds(event))
            .map(|event| event["number"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{}", asked.text());
    }
}
