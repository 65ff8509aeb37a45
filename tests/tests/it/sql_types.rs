//! SQL rules over columns of other types than their author thought of, through the real binary: nothing fails, every rule beside
//! them still matches, and `check` says what cannot match.

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

struct Place {
    files: Scratch,
}

impl Place {
    /// Makes a lake of these events, one line each, and a pack of these conditions over the table `t`, by id.
    fn new(events: &[&str], conditions: &[(&str, &str)]) -> Self {
        let place = Self {
            files: Scratch::new(),
        };
        let time = |row: usize| format!("2026-03-01T00:00:{row:02}Z");
        let lines: Vec<String> = events
            .iter()
            .enumerate()
            .map(|(row, event)| format!("{{\"time\":\"{}\",\"nr\":{row},{event}}}", time(row)))
            .collect();
        place.files.write("events.ndjson", &lines.join("\n"));
        place.files.write(
            "pack/pack.toml",
            "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n",
        );
        for (id, condition) in conditions {
            place.rule(id, condition);
        }
        let (lake, events) = (place.files.path("lake"), place.files.path("events.ndjson"));
        yagura(&["ingest", "--table", "t", "--to", &lake, &events]).must_work();
        place
    }

    fn rule(&self, id: &str, condition: &str) {
        let condition = Value::from(condition);
        let text = format!(
            "[rule]\nid = \"{id}\"\ntitle = \"t\"\ntable = \"t\"\nwhere = {condition}\n[rule.alert]\nkey = [\"nr\"]\n"
        );
        self.files.write(&format!("pack/rules/{id}.toml"), &text);
    }

    fn with(&self, arguments: &[&str]) -> Ran {
        let (lake, pack) = (self.files.path("lake"), self.files.path("pack"));
        let mut all = arguments.to_vec();
        all.extend(["--lake", &lake, "--pack", &pack]);
        yagura(&all)
    }

    /// Returns the rows that each rule matches.
    fn rows(&self, id: &str) -> Vec<u64> {
        let ran = self.with(&["run", "--format", "json"]).must_work();
        assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
        let alerts = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let of_rule = alerts.filter(|alert: &Value| alert["rule"] == id);
        let mut rows: Vec<u64> = of_rule
            .map(|alert| alert["key"].as_str().unwrap().parse().unwrap())
            .collect();
        rows.sort_unstable();
        rows
    }
}

#[test]
fn a_column_and_a_path_read_numbers_alike() {
    let events = [
        r#""n":4688,"o":{"n":4688}"#,
        r#""n":"4688","o":{"n":"4688"}"#,
        r#""n":" 4688","o":{"n":" 4688"}"#,
        r#""n":"4688.0","o":{"n":"4688.0"}"#,
        r#""n":"0x1250","o":{"n":"0x1250"}"#,
        r#""n":"inf","o":{"n":"inf"}"#,
        r#""n":18446744073709551615,"o":{"n":18446744073709551615}"#,
        r#""n":9223372036854775788,"o":{"n":9223372036854775788}"#,
        r#""n":9223372036854775789,"o":{"n":9223372036854775789}"#,
        r#""n":null,"o":{}"#,
    ];
    let tests = [
        ("equal", "= 4688", vec![0, 1, 3]),
        ("longest", "= 18446744073709551615", vec![6]),
        ("near", "= 9223372036854775789", vec![8]),
        ("other", "<> 4688", vec![6, 7, 8]),
        ("more", "> 9223372036854775788", vec![6, 8]),
        ("less", "< 1e4", vec![0, 1, 3]),
        ("among", "IN (4688, 9223372036854775788)", vec![0, 1, 3, 7]),
        ("none", "NOT IN (4688, 1)", vec![6, 7, 8]),
        ("between", "BETWEEN 4687.5 AND 4688.5", vec![0, 1, 3]),
    ];
    let place = Place::new(&events, &[]);
    for (id, condition, _) in &tests {
        place.rule(&format!("{id}-column"), &format!("n {condition}"));
        place.rule(&format!("{id}-path"), &format!("o.n {condition}"));
        place.rule(
            &format!("{id}-expression"),
            &format!("coalesce(n, 'x') {condition}"),
        );
    }
    for (id, condition, rows) in &tests {
        for form in ["column", "path", "expression"] {
            assert_eq!(
                place.rows(&format!("{id}-{form}")),
                *rows,
                "{form} {condition}"
            );
        }
    }
}

#[test]
fn a_test_that_does_not_fit_hides_nothing() {
    let events = [
        r#""n":3,"flag":true,"f":1.5"#,
        r#""n":7,"flag":false,"f":3.0"#,
        r#""n":null,"flag":null,"f":null"#,
    ];
    let odd = [
        ("text", "n = 'abc' OR n = '7'", vec![1]),
        ("mixed", "n IN ('3', 'NXDOMAIN')", vec![0]),
        ("not-mixed", "n NOT IN ('3', 'NXDOMAIN')", vec![1]),
        ("between", "n BETWEEN 'a' AND 'b'", vec![]),
        ("truth", "n = true", vec![]),
        ("flag", "flag = 'true' OR flag = 'maybe'", vec![0]),
        ("flag-number", "flag = 1", vec![]),
        ("time", "event_time = 'abc'", vec![]),
        ("since", "event_time >= '2026-03-01T00:00:01Z'", vec![1, 2]),
        ("time-number", "event_time > 5", vec![]),
        ("float", "f = '1.50' OR f = 'x'", vec![0]),
        ("like", "n LIKE '3%'", vec![0]),
        ("control", "n = 7", vec![1]),
    ];
    let conditions: Vec<(&str, &str)> = odd.iter().map(|(id, text, _)| (*id, *text)).collect();
    let place = Place::new(&events, &conditions);
    for (id, condition, rows) in odd {
        assert_eq!(place.rows(id), rows, "{condition}");
    }
}

#[test]
fn one_odd_value_changes_a_columns_type_and_no_rule() {
    let tests = [
        ("equal", "port = 22", vec![0, 1]),
        ("more", "port > 21", vec![0, 1]),
        ("among", "port IN (22, 23)", vec![0, 1]),
        ("between", "port BETWEEN 20 AND 30", vec![0, 1]),
        ("bare", "flag", vec![0]),
        ("not", "NOT flag AND port = 22", vec![1]),
        ("and", "flag AND port = 22", vec![0]),
        ("sum", "bytes + 1 > 100", vec![0]),
        ("minus", "-bytes < -90", vec![0]),
        ("like", "port LIKE '2_'", vec![0, 1]),
    ];
    let conditions: Vec<(&str, &str)> = tests.iter().map(|(id, text, _)| (*id, *text)).collect();
    let good = [
        r#""port":22,"flag":true,"bytes":100"#,
        r#""port":22,"flag":false,"bytes":5"#,
    ];
    for odd in [
        None,
        Some(r#""port":"-","flag":"abc","bytes":"x""#),
        Some(r#""port":"","flag":"","bytes":"N/A""#),
        Some(r#""port":{"a":1},"flag":[1],"bytes":{}"#),
        Some(r#""port":"eighty","flag":0,"bytes":true"#),
    ] {
        let events: Vec<&str> = good.into_iter().chain(odd).collect();
        let place = Place::new(&events, &conditions);
        for (id, condition, rows) in &tests {
            assert_eq!(place.rows(id), *rows, "{condition} beside {odd:?}");
        }
    }
}

#[test]
fn check_says_what_no_event_can_pass() {
    let events = [
        r#""rcode":3,"flag":true,"path":"C:\\Windows\\System32\\cmd.exe","body":"{\"user\":{\"name\":\"a\"}}""#,
        r#""rcode":0,"flag":false,"path":"x","body":"{\"user\":{\"name\":\"b\",\"id\":7}}""#,
    ];
    let place = Place::new(
        &events,
        &[
            ("never", "rcode = 'NXDOMAIN'"),
            ("list", "rcode IN (3, 'NXDOMAIN')"),
            ("moment", "event_time > 'yesterday'"),
            ("truth", "flag = 2"),
            ("escape", r"path LIKE '%100\%%'"),
            ("doubled", r"path LIKE '%\\System32\\%'"),
            ("misspelt", "body.user.nmae = 'a'"),
            (
                "good",
                r"path LIKE '%\System32\%' AND body.user.name = 'a' AND rcode IN ('3')",
            ),
        ],
    );
    let ran = place.with(&["check"]).must_work();
    for want in [
        "compares `rcode` (integer) with 'NXDOMAIN', which is not a number: no event is equal to it [type-mismatch, never]",
        "compares `rcode` (integer) with 'NXDOMAIN', which is not a number: no event is equal to it [type-mismatch, list]",
        "compares `event_time` (time) with 'yesterday', which is not a time: no event is equal to it [type-mismatch, moment]",
        "compares `flag` (true/false) with 2, which is not true or false: no event is equal to it [type-mismatch, truth]",
        "has a backslash before `%` or `_` in LIKE",
        "has two backslashes in LIKE",
        "names `body.user.nmae`, which none of the newest events of table `t` has (2 events were looked at); did you mean `body.user.name`",
    ] {
        assert!(ran.stdout.contains(want), "no `{want}` in {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("[type-mismatch, good]"),
        "{}",
        ran.stdout
    );
    assert!(
        !ran.stdout.contains("[invalid-condition, good]"),
        "{}",
        ran.stdout
    );
    place.rule("regex", "path ~ 'a('");
    let ran = place.with(&["check"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    let want = "`rule.where` cannot be evaluated: 'a(' is not a regular expression [invalid-condition, regex]";
    assert!(ran.stdout.contains(want), "{}", ran.stdout);
}

#[test]
fn a_table_shows_what_it_holds() {
    let events = [
        "\"n\":3,\"s\":\"a\u{202e}b\\u001b[31m\",\"o\":{\"k\":1,\"deep\":{\"x\":true}}",
        r#""n":null,"s":"c","o":{"k":2}"#,
        r#""n":4,"s":"d","o":{"k":null}"#,
        r#""n":4,"s":"e","o":{"k":5}"#,
    ];
    let place = Place::new(&events, &[]);
    let lake = place.files.path("lake");
    let shown = yagura(&["table", "--lake", &lake, "t"]).must_work().stdout;
    for want in [
        "n           integer",
        "25 %",
        "o.k",
        "o.deep.x",
        "a\\u{202e}b\\u{1b}[31m",
        "4 events were looked at",
    ] {
        assert!(shown.contains(want), "no `{want}` in {shown}");
    }
    assert!(!shown.contains(['\u{202e}', '\u{1b}']), "{shown:?}");
    let ran = yagura(&["table", "--lake", &lake, "t", "--format", "json"]).must_work();
    let table: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(table["sampled"], 4);
    let column = |name: &str| {
        let columns = table["columns"].as_array().unwrap();
        columns
            .iter()
            .find(|column| column["name"] == name)
            .unwrap()
            .clone()
    };
    let n = column("n");
    assert_eq!(
        (&n["type"], &n["arrow_type"]),
        (&"integer".into(), &"Int64".into())
    );
    assert_eq!(n["null_rate"], 0.25);
    assert_eq!(n["values"], serde_json::json!(["3", "4"]));
    let keys = column("o")["keys"].clone();
    let wanted = serde_json::json!([
        {"path": "o.deep", "null_rate": 0.75},
        {"path": "o.deep.x", "null_rate": 0.75},
        {"path": "o.k", "null_rate": 0.25},
    ]);
    assert_eq!(keys, wanted);
    assert_eq!(column("event_time")["type"], "time");
}

#[test]
fn explain_knows_no_such_rule_and_what_code_decides() {
    let place = Place::new(&[r#""n":3"#], &[("alpha", "n = 4 AND nr = 0")]);
    let wrong = place.with(&["explain", "alhpa"]);
    assert_eq!(wrong.code, Some(3));
    assert!(
        wrong
            .stderr
            .contains("no such rule: `alhpa`; did you mean `alpha`?"),
        "{}",
        wrong.stderr
    );
    let pack = place.files.path("pack");
    let without = yagura(&["explain", "alhpa", "--pack", &pack]);
    assert!(
        without.stderr.contains("no such rule"),
        "{}",
        without.stderr
    );
    let near = place.with(&["explain", "alpha"]).must_work().stdout;
    assert!(near.contains("1 of 2 outermost parts are true"), "{near}");
    assert!(!near.contains("the code in"), "{near}");
    place.files.write(
        "pack/pack.toml",
        "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"detector.wasm\"\nworld = \"detector\"\nsource = \"detector\"\n",
    );
    place.files.write(
        "pack/rules/alpha.toml",
        "[rule]\nid = \"alpha\"\ntitle = \"t\"\ntable = \"t\"\nwhere = \"n = 3\"\ncolumns = [\"n\"]\nplugin = \"detector.wasm\"\n",
    );
    let with_code = place.with(&["explain", "alpha"]).must_work().stdout;
    let want = "the code in `detector.wasm` gets this event and decides on it";
    assert!(with_code.contains(want), "{with_code}");
    let json = place
        .with(&["explain", "alpha", "--format", "json"])
        .must_work()
        .stdout;
    assert!(json.contains(r#""code":"detector.wasm""#), "{json}");
}

#[test]
fn titles_do_not_speak_to_a_terminal() {
    let long = "x".repeat(5_000);
    let events = [
        "\"file\":\"\u{202e}fdp.exe\u{2069}\u{61c}\"".to_owned(),
        format!("\"file\":\"{long}\""),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let place = Place::new(&events, &[]);
    place.files.write(
        "pack/rules/opened.toml",
        "[rule]\nid = \"opened\"\ntitle = \"Opened {file}\"\ntable = \"t\"\nwhere = \"file IS NOT NULL\"\n[rule.alert]\nkey = [\"nr\"]\n",
    );
    let text = place.with(&["run"]).must_work().stdout;
    assert!(
        text.contains("Opened \\u{202e}fdp.exe\\u{2069}\\u{61c}"),
        "{text}"
    );
    assert!(
        text.chars()
            .all(|c| c == '\n' || c == '…' || c.is_ascii_graphic() || c == ' '),
        "{text:?}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() < 250),
        "{text}"
    );
    let json = place.with(&["run", "--format", "json"]).must_work().stdout;
    assert!(json.is_ascii(), "{json:?}");
    let titles: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(titles[0]["title"], "Opened \u{202e}fdp.exe\u{2069}\u{61c}");
    // Of a long one the beginning.
    let title = titles[1]["title"].as_str().unwrap();
    assert!(
        title.starts_with("Opened xxx") && title.contains("... (5000 bytes, SHA-256 "),
        "{title}"
    );
    for command in ["explain", "check"] {
        let shown = place.with(&[command]).stdout;
        assert!(
            !shown.contains(['\u{202e}', '\u{2069}', '\u{61c}']),
            "{command}: {shown:?}"
        );
    }
}
