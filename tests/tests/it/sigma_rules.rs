//! Files of Sigma rules as people keep them, and correlations as the specification writes them, through the real binary.

use serde_json::Value;
use yagura_tests::command::{Ran, yagura};
use yagura_tests::scratch::Scratch;

const MAP: &str =
    "name = \"lab\"\ntables = [\"lab\"]\nkey = [\"S\"]\n[[source]]\nproduct = \"lab\"\n";

struct Lab {
    files: Scratch,
}

impl Lab {
    fn new(tables: &[(&str, &str)]) -> Self {
        let lab = Self {
            files: Scratch::new(),
        };
        lab.files.write("map.toml", MAP);
        for (table, events) in tables {
            let file = format!("{table}.ndjson");
            lab.files.write(&file, events);
            let (lake, events) = (lab.files.path("lake"), lab.files.path(&file));
            yagura(&["ingest", "--table", table, "--to", &lake, &events]).must_work();
        }
        lab
    }

    fn rule(&self, name: &str, text: &str) {
        self.files.write(&format!("rules/{name}"), text);
    }

    fn with(&self, command: &str, more: &[&str]) -> Ran {
        let (lake, rules, map) = (
            self.files.path("lake"),
            self.files.path("rules"),
            self.files.path("map.toml"),
        );
        let mut all = vec![
            command,
            "--lake",
            &lake,
            "--sigma",
            &rules,
            "--field-map",
            &map,
        ];
        all.extend(more);
        yagura(&all)
    }

    /// Returns title, severity, key and rule of each alert, sorted, and what stood on stderr.
    fn run(&self) -> (Vec<[String; 4]>, String) {
        let ran = self.with("run", &["--format", "json"]);
        let text = |alert: &Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
        let mut alerts: Vec<[String; 4]> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .map(|alert: Value| ["title", "severity", "key", "rule"].map(|key| text(&alert, key)))
            .collect();
        alerts.sort_unstable();
        (alerts, ran.stderr)
    }
}

fn rule(title: &str, id: &str, level: &str, selection: &str) -> String {
    let id = match id {
        "" => String::new(),
        id => format!("id: {id}\n"),
    };
    format!(
        "title: {title}\n{id}level: {level}\nlogsource:\n  product: lab\ndetection:\n  sel: {selection}\n  condition: sel\n"
    )
}

const EVENTS: &str = "{\"@timestamp\":\"2026-03-01T00:00:00Z\",\"lab\":1,\"S\":\"a\"}\n{\"@timestamp\":\"2026-03-01T00:00:01Z\",\"lab\":1,\"S\":\"b\"}\n";

#[test]
fn rules_run_from_files_of_all_kinds_and_say_what_is_wrong_beside_them() {
    let lab = Lab::new(&[("lab", EVENTS)]);
    lab.rule(
        "mark.yml",
        &format!("\u{feff}{}", rule("mark", "r1", "high", "{S: a}")),
    );
    lab.rule("UPPER.YML", &rule("upper", "r2", "high", "{S: a}"));
    lab.rule(
        "deep/er/lines.Yaml",
        &rule("lines", "r3", "high", "{S: a}").replace('\n', "\r\n"),
    );
    lab.rule("level.yml", &rule("level", "r4", "severe", "{S: a}"));
    lab.rule(
        "several.yml",
        &format!(
            "{}---\ntitle: bad\nlogsource: {{product: lab}}\n---\n{}",
            rule("first", "r5", "low", "{S: a}"),
            rule("second", "r6", "low", "{S: a}")
        ),
    );
    lab.rule("tab.yml", "title: tab\n\tid: x\n");
    let (alerts, told) = lab.run();
    let titles: Vec<&str> = alerts.iter().map(|alert| alert[0].as_str()).collect();
    assert_eq!(
        titles,
        ["first", "level", "lines", "mark", "second", "upper"],
        "{told}"
    );
    assert_eq!(alerts[1][1], "medium");
    for want in [
        "several.yml:10: Missing required field 'detection'",
        "tab.yml:2: a tab indents this line",
        "level.yml:3: `level` is `severe`, and must be informational, low, medium, high or critical; the rule runs as medium",
    ] {
        assert!(told.contains(want), "{want}: {told}");
    }
    let (_, not_run) = told.split_once("did not run").unwrap();
    assert_eq!(told.matches("did not run").count(), 2, "{not_run}");
    let checked = lab.with("check", &[]);
    let all = format!("{}{}", checked.stdout, checked.stderr);
    assert!(
        all.contains("level.yml:3: warning: `level` is `severe`"),
        "{all}"
    );
    assert!(all.contains("several.yml:10: error:"), "{all}");
}

#[test]
fn rules_of_one_title_are_two_and_keep_their_ids_when_files_move() {
    let lab = Lab::new(&[("lab", EVENTS)]);
    lab.rule("a.yml", &rule("同じ題名", "", "critical", "{S: a}"));
    lab.rule("b.yml", &rule("別の題名", "", "low", "{S: b}"));
    lab.rule("c.yml", &rule("Same title", "", "high", "{S: a}"));
    lab.rule("d.yml", &rule("Same title", "", "low", "{S: [a, x]}"));
    lab.rule("copy.yml", &rule("Same title", "", "high", "{S: a}"));
    let (alerts, told) = lab.run();
    let read: Vec<[&str; 3]> = alerts
        .iter()
        .map(|alert| [&*alert[0], &*alert[1], &*alert[2]])
        .collect();
    assert_eq!(
        read,
        [
            ["Same title", "high", "a"],
            ["Same title", "low", "a"],
            ["別の題名", "low", "b"],
            ["同じ題名", "critical", "a"],
        ],
        "{told}"
    );
    assert!(
        told.contains("the rule is the same as the one in"),
        "{told}"
    );
    // Elsewhere, in another layout, with another level: the same rules.
    let moved = Lab::new(&[("lab", EVENTS)]);
    moved.rule(
        "new/1.yml",
        &format!(
            "# moved\n---\n{}",
            rule("同じ題名", "", "low", "\n    S: 'a'")
        ),
    );
    moved.rule("new/2.yml", &rule("Same title", "", "high", "{S: a}"));
    let (again, _) = moved.run();
    let id_of = |alerts: &[[String; 4]], title: &str, severity: &str| {
        let found = alerts
            .iter()
            .find(|alert| alert[0] == title && alert[1] == severity);
        found.map(|alert| alert[3].clone())
    };
    assert_eq!(
        id_of(&again, "同じ題名", "low"),
        id_of(&alerts, "同じ題名", "critical")
    );
    assert_eq!(
        id_of(&again, "Same title", "high"),
        id_of(&alerts, "Same title", "high")
    );
}

/// Failed logins of two users at one computer, then logins that work.
fn logins() -> String {
    let event = |second: u32, id: u32, user: &str| {
        format!(
            "{{\"@timestamp\":\"2026-03-01T10:{:02}:{:02}Z\",\"lab\":1,\"EventID\":{id},\"ComputerName\":\"pc\",\"User\":\"{user}\"}}\n",
            second / 60,
            second % 60
        )
    };
    let failed = (0..10).map(|at| event(at, 4625, "ann"));
    let few = (10..13).map(|at| event(at, 4625, "bob"));
    let worked = [
        event(60, 4624, "bob"),
        event(61, 4624, "ann"),
        event(62, 4624, "eve"),
    ];
    failed.chain(few).chain(worked).collect()
}

#[test]
fn the_chained_example_of_the_specification_runs_as_it_is_written() {
    let documents = |inner: &str| {
        format!(
            "title: Multiple Failed Logins Followed by Successful Login\nid: whole\nlevel: high\ncorrelation:\n    type: temporal_ordered\n    rules:\n        - many_failed_logins\n        - successful_login\n    group-by:\n        - User\n    timespan: 1h\n---\n\
            title: Many failed logins\nid: many\nname: many_failed_logins\ncorrelation:\n    type: event_count\n    rules:\n        - failed_login\n    group-by:\n        - {inner}\n    timespan: 10m\n    condition:\n        gte: 10\n---\n\
            title: Single failed login\nname: failed_login\nlogsource: {{product: lab}}\ndetection:\n    selection:\n        EventID:\n            - 529\n            - 4625\n    condition: selection\n---\n\
            title: Successful login\nname: successful_login\nlogsource: {{product: lab}}\ndetection:\n    selection:\n        EventID:\n            - 528\n            - 4624\n    condition: selection\n"
        )
    };
    for inner in ["User", "ComputerName"] {
        let lab = Lab::new(&[("lab", &logins())]);
        lab.rule("chained.yml", &documents(inner));
        let (alerts, told) = lab.run();
        assert_eq!(alerts.len(), 1, "{inner}: {alerts:?}\n{told}");
        assert_eq!(
            (&*alerts[0][2], &*alerts[0][3]),
            ("ann", "whole"),
            "{inner}"
        );
        assert!(!told.contains("warning"), "{told}");
        let checked = lab.with("check", &[]);
        assert!(
            checked.stdout.contains("0 errors"),
            "{}{}",
            checked.stdout,
            checked.stderr
        );
    }
}

#[test]
fn the_aliased_example_of_the_specification_runs_as_it_is_written() {
    let lab = Lab::new(&[(
        "lab",
        "{\"@timestamp\":\"2026-03-01T10:00:00Z\",\"lab\":1,\"http\":{\"response\":{\"status_code\":500}},\"source\":{\"ip\":\"1.1.1.1\"},\"destination\":{\"ip\":\"10.0.0.1\"}}\n\
         {\"@timestamp\":\"2026-03-01T10:00:05Z\",\"lab\":1,\"event\":{\"category\":\"network\",\"type\":\"connection\",\"outcome\":\"success\"},\"source\":{\"ip\":\"10.0.0.1\"},\"destination\":{\"ip\":\"1.1.1.1\"}}\n\
         {\"@timestamp\":\"2026-03-01T10:00:06Z\",\"lab\":1,\"event\":{\"category\":\"network\",\"type\":\"connection\",\"outcome\":\"success\"},\"source\":{\"ip\":\"10.0.0.1\"},\"destination\":{\"ip\":\"9.9.9.9\"}}\n",
    )]);
    lab.rule(
        "aliased.yml",
        "name: internal_error\nlogsource: {product: lab}\ndetection:\n    selection:\n        http.response.status_code: 500\n    condition: selection\n---\n\
         name: new_network_connection\nlogsource: {product: lab}\ndetection:\n    selection:\n        event.category: network\n        event.type: connection\n        event.outcome: success\n    condition: selection\n---\n\
         title: —\nid: —\ncorrelation:\n    type: temporal\n    rules:\n        - internal_error\n        - new_network_connection\n    group-by:\n        - internal_ip\n        - remote_ip\n    timespan: 10s\n    aliases:\n        internal_ip:\n            internal_error: destination.ip\n            new_network_connection: source.ip\n        remote_ip:\n            internal_error: source.ip\n            new_network_connection: destination.ip\n",
    );
    let (alerts, told) = lab.run();
    assert_eq!(alerts.len(), 1, "{alerts:?}\n{told}");
    assert_eq!(alerts[0][2], "10.0.0.1|1.1.1.1", "{told}");
}

#[test]
fn a_correlation_runs_over_the_tables_that_have_its_field_and_names_the_others() {
    let lab = Lab::new(&[
        ("lab", &logins()),
        (
            "other",
            "{\"@timestamp\":\"2026-03-01T10:00:00Z\",\"lab\":1,\"EventID\":4625,\"Host\":\"x\"}\n",
        ),
    ]);
    lab.rule(
        "failed.yml",
        &rule("failed", "failed", "low", "{EventID: 4625}").replace("title", "name: failed\ntitle"),
    );
    lab.rule(
        "many.yml",
        "title: many\nid: many\ncorrelation:\n  type: event_count\n  rules: [failed]\n  group-by: [User]\n  timespan: 10m\n  condition: {gte: 10}\n",
    );
    let (alerts, told) = lab.run();
    assert_eq!(alerts.len(), 1, "{alerts:?}\n{told}");
    assert_eq!(alerts[0][2], "ann");
    assert!(
        told.contains("rule `many`: it runs without the events of one table"),
        "{told}"
    );
    assert!(told.contains("whose table `other` lacks it"), "{told}");
    let checked = lab.with("check", &[]);
    assert!(
        checked
            .stdout
            .contains("it runs without the events of one table"),
        "{}",
        checked.stdout
    );
}

#[test]
fn explain_asks_every_table_of_a_rule_and_shows_the_nearest_first() {
    let event = |more: &str| {
        format!("{{\"@timestamp\":\"2026-03-01T10:00:00Z\",\"lab\":1,\"S\":1{more}}}\n")
    };
    let far = event(",\"EventID\":1,\"User\":\"bob\"");
    let near = event(",\"EventID\":4625,\"User\":\"ann\"");
    let lab = Lab::new(&[("far", &far), ("near", &near)]);
    lab.rule(
        "both.yml",
        &rule("both", "both", "low", "{EventID: 4625, User: ann}"),
    );
    let tables = |more: &[&str]| -> Vec<(String, bool)> {
        let arguments = [&["both", "--format", "json"], more].concat();
        let shown = lab.with("explain", &arguments).must_work().stdout;
        let of = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        shown
            .lines()
            .map(of)
            .map(|one| {
                (
                    one["table"].as_str().unwrap().to_owned(),
                    one["matched"].as_bool().unwrap(),
                )
            })
            .collect()
    };
    let wanted = [("near".to_owned(), true), ("far".to_owned(), false)];
    assert_eq!(tables(&[]), wanted);
    // A table without an event in the range is named; where all are, that is an error.
    let later = lab.with("explain", &["both", "--from", "2026-03-02"]);
    assert_ne!(later.code, Some(0));
    assert!(
        later.stderr.contains("`far`, `near`") && later.stderr.contains("no events in the range"),
        "{}",
        later.stderr
    );
}

/// One event of each maker, and a rule of SigmaHQ's kind for it.
#[test]
fn shipped_field_maps_know_the_makers_that_rules_are_about() {
    let cases = [
        (
            "opencanary",
            "product: opencanary\n  category: application",
            "logtype: 5001",
            r#"{"@timestamp":"2026-03-01T00:00:00Z","dst_host":"10.0.0.9","dst_port":22,"utc_time":"2026-03-01 00:00:00.000000","logdata":{"USERNAME":"root"},"logtype":5001,"node_id":"canary-1","src_host":"10.0.0.5","src_port":4}"#,
            "10.0.0.5",
        ),
        (
            "kubernetes",
            "product: kubernetes\n  service: audit",
            "verb: create\n    objectRef.resource: pods\n    apiGroup: ''\n    capabilities: '*'",
            r#"{"@timestamp":"2026-03-01T00:00:00Z","kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a-1","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"create","user":{"username":"eve"},"sourceIPs":["10.0.0.5"],"objectRef":{"resource":"pods","apiGroup":""},"requestObject":{"spec":{"containers":[{"name":"c","securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}]}},"requestReceivedTimestamp":"2026-03-01T00:00:00.000000Z"}"#,
            "eve",
        ),
        (
            "bitbucket",
            "product: bitbucket\n  service: audit",
            "auditType.category: Auditing\n    auditType.action: 'Audit log configuration updated'",
            r#"{"auditType":{"action":"Audit log configuration updated","category":"Auditing","area":"AUDIT_LOG"},"author":{"id":"3","name":"eve","type":"user"},"source":"10.0.0.5","time":"2026-03-01T00:00:00Z"}"#,
            "eve",
        ),
        (
            "cisco",
            "product: cisco\n  service: aaa",
            "CmdSet|contains: 'clear logging'",
            r#"{"@timestamp":"2026-03-01T00:00:00Z","CmdSet":"[ CmdAV=clear logging CmdArgAV=<cr> ]","User":"eve","Privilege-Level":15,"Remote-Address":"10.0.0.5"}"#,
            "eve",
        ),
        (
            "fortigate",
            "product: fortigate\n  service: event",
            "action: Add\n    cfgpath: system.admin",
            r#"{"@timestamp":"2026-03-01T00:00:00Z","devname":"fw","devid":"FG1","logid":"0100044547","type":"event","subtype":"system","user":"eve","ui":"GUI(10.0.0.5)","action":"Add","cfgpath":"system.admin"}"#,
            "eve",
        ),
    ];
    for (name, source, selection, event, key) in cases {
        let lab = Lab::new(&[("events", event)]);
        lab.rule(
            "rule.yml",
            &format!(
                "title: {name}\nid: {name}\nlogsource:\n  {source}\ndetection:\n  sel:\n    {selection}\n  condition: sel\n"
            ),
        );
        let (alerts, told) = lab.run();
        assert_eq!(alerts.len(), 1, "{name}: {told}");
        assert_eq!(alerts[0][2], key, "{name}");
    }
}

#[test]
fn windows_events_of_no_known_form_are_a_warning() {
    let event = r#"{"lab":"x","timestamp":"2026-03-01T00:00:00Z","event_id":4688,"provider_name":"Security"}"#;
    let lab = Lab::new(&[("odd", event)]);
    lab.rule(
        "a.yml",
        "title: t\nlogsource: {product: windows, service: security}\ndetection:\n  sel: {EventID: 4688}\n  condition: sel\n",
    );
    let warning = "table `odd` has `event_id` and `provider_name` as Windows events do";
    let (alerts, told) = lab.run();
    assert!(alerts.is_empty(), "{alerts:?}");
    assert!(told.contains(warning), "{told}");
    let checked = lab.with("check", &[]);
    assert!(checked.stdout.contains(warning), "{}", checked.stdout);
    // Under names that are known it is read.
    let known = event
        .replace("event_id", "EventID")
        .replace("provider_name", "Channel");
    let lab = Lab::new(&[("well", &known)]);
    lab.rule(
        "a.yml",
        "title: t\nlogsource: {product: windows, service: security}\ndetection:\n  sel: {EventID: 4688}\n  condition: sel\n",
    );
    let (alerts, told) = lab.run();
    assert_eq!(alerts.len(), 1, "{told}");
    assert!(!told.contains("as Windows events do"), "{told}");
}
