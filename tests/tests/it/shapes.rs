//! The same events in every shape in which tools write them give the same alerts, whatever stands beside them.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use yagura_engine::{RunOptions, run};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_plan::SigmaInput;
use yagura_rules::sigma::{FieldMap, load_text};
use yagura_tests::fixture::table_config;
use yagura_tests::random::runner;

const RULES: &str = r#"
title: Encoded command
id: 7b3f0a52-0000-4000-8000-000000000001
logsource: {product: windows, category: process_creation}
detection:
  selection:
    Image|endswith: '\powershell.exe'
    CommandLine|contains: ' -enc '
  filter:
    ParentImage|endswith: '\agent.exe'
  condition: selection and not filter
fields: [User]
level: high
---
title: Logon by a service account
id: 7b3f0a52-0000-4000-8000-000000000002
logsource: {product: windows, service: security}
detection:
  selection:
    EventID: 4624
    LogonType: 10
    TargetUserName|startswith: 'svc-'
  filter:
    IpAddress|cidr: '10.0.0.0/8'
  condition: selection and not filter
level: medium
---
title: Service installed
id: 7b3f0a52-0000-4000-8000-000000000003
logsource: {product: windows, service: system}
detection:
  selection:
    EventID: 7045
    Provider_Name: Service Control Manager
    ServiceName: 'evil*'
  condition: selection
level: low
---
title: Tool by name
id: 7b3f0a52-0000-4000-8000-000000000004
logsource: {product: windows, category: process_creation}
detection:
  keywords: ['C:\Tools\mimi']
  condition: keywords
level: critical
---
title: No parent
id: 7b3f0a52-0000-4000-8000-000000000005
logsource: {product: windows, category: process_creation}
detection:
  selection:
    Image|endswith: '\orphan.exe'
    ParentImage: null
  condition: selection
level: high
---
title: Several logons
id: 7b3f0a52-0000-4000-8000-000000000006
logsource: {product: windows, service: security}
detection:
  selection: {EventID: 4625}
  condition: selection
name: failed
level: low
---
title: Many failed logons
id: 7b3f0a52-0000-4000-8000-000000000007
correlation:
  type: event_count
  rules: [failed]
  group-by: [TargetUserName]
  timespan: 1h
  condition: {gte: 3}
level: high
"#;

/// An event: channel, id, provider, host, minute, and what is in its data.
struct Event {
    channel: &'static str,
    id: u32,
    provider: &'static str,
    host: &'static str,
    data: Vec<(&'static str, &'static str)>,
}

const SYSMON: (&str, &str) = (
    "Microsoft-Windows-Sysmon/Operational",
    "Microsoft-Windows-Sysmon",
);
const SECURITY: (&str, &str) = ("Security", "Microsoft-Windows-Security-Auditing");

fn events() -> Vec<Event> {
    let of = |(channel, provider), id, host, data: &[(&'static str, &'static str)]| Event {
        channel,
        id,
        provider,
        host,
        data: data.to_vec(),
    };
    let shell = r"C:\Windows\System32\powershell.exe";
    let failed = |host| {
        of(
            SECURITY,
            4625,
            host,
            &[("TargetUserName", "bob"), ("LogonType", "3")],
        )
    };
    let process = |image, line, parent, user| {
        [
            ("Image", image),
            ("CommandLine", line),
            ("ParentImage", parent),
            ("User", user),
        ]
    };
    vec![
        of(
            SYSMON,
            1,
            "a",
            &process(shell, "powershell -enc AAAA", r"C:\x\cmd.exe", "ann"),
        ),
        of(
            SYSMON,
            1,
            "b",
            &process(shell, "powershell -enc BBBB", r"C:\x\agent.exe", "ann"),
        ),
        of(
            SYSMON,
            1,
            "c",
            &process(shell, "powershell -file x", r"C:\x\cmd.exe", "ann"),
        ),
        of(
            SYSMON,
            1,
            "d",
            &process(r"C:\Tools\mimi.exe", "mimi \"x\"", r"C:\x\cmd.exe", "é"),
        ),
        of(
            SYSMON,
            1,
            "e",
            &[("Image", r"C:\orphan.exe"), ("CommandLine", "orphan")],
        ),
        of(
            SYSMON,
            1,
            "f",
            &process(r"C:\orphan.exe", "orphan", r"C:\x\cmd.exe", "ann"),
        ),
        of(
            SECURITY,
            4624,
            "a",
            &[
                ("TargetUserName", "svc-x"),
                ("LogonType", "10"),
                ("IpAddress", "203.0.113.7"),
            ],
        ),
        of(
            SECURITY,
            4624,
            "b",
            &[
                ("TargetUserName", "svc-y"),
                ("LogonType", "10"),
                ("IpAddress", "10.2.3.4"),
            ],
        ),
        of(
            SECURITY,
            4624,
            "c",
            &[
                ("TargetUserName", "ann"),
                ("LogonType", "10"),
                ("IpAddress", "203.0.113.7"),
            ],
        ),
        of(
            ("System", "Service Control Manager"),
            7045,
            "a",
            &[("ServiceName", "evil-1"), ("ImagePath", r"C:\e.exe")],
        ),
        of(
            ("System", "Another"),
            7045,
            "b",
            &[("ServiceName", "evil-2")],
        ),
        of(
            ("Application", "Service Control Manager"),
            7045,
            "c",
            &[("ServiceName", "evil-3")],
        ),
        failed("a"),
        failed("b"),
        failed("c"),
    ]
}

const SHAPES: usize = 9;

/// Writes an event as the tool of this number does.
fn shaped(event: &Event, minute: usize, shape: usize) -> Value {
    let time = format!("2026-03-01T00:{minute:02}:00Z");
    let data: Map<String, Value> = event
        .data
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let (channel, id, provider, host) = (event.channel, event.id, event.provider, event.host);
    let pairs = |name: &str, value: &str| -> Vec<Value> {
        let pair = |(of, text): &(&str, &str)| json!({name: of, value: text});
        event.data.iter().map(pair).collect()
    };
    match shape {
        // Flat, as NXLog.
        0 => {
            let mut all = data;
            all.insert("TimeCreated".into(), json!(time));
            all.insert("Channel".into(), json!(channel));
            all.insert("EventID".into(), json!(id));
            all.insert("SourceName".into(), json!(provider));
            all.insert("Hostname".into(), json!(host));
            Value::Object(all)
        }
        // evtx_dump; the id with its qualifiers.
        1 => json!({"Event": {"System": {
            "Provider": {"#attributes": {"Name": provider}},
            "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": id},
            "Channel": channel, "Computer": host,
            "TimeCreated": {"#attributes": {"SystemTime": time}}}, "EventData": data}}),
        // The same with the id as text, and the channel in another case.
        2 => json!({"Event": {"System": {
            "Provider": {"#attributes": {"Name": provider.to_uppercase()}},
            "EventID": id.to_string(), "Channel": channel.to_lowercase(), "Computer": host,
            "TimeCreated": {"#attributes": {"SystemTime": time}}}, "EventData": data}}),
        // xmltodict.
        3 => json!({"Event": {"System": {
            "Provider": {"@Name": provider}, "EventID": {"@Qualifiers": "0", "#text": id.to_string()},
            "Channel": channel, "Computer": host, "TimeCreated": {"@SystemTime": time}},
            "EventData": {"Data": pairs("@Name", "#text")}}}),
        // Winlogbeat, nested.
        4 => json!({"@timestamp": time, "winlog": {"event_id": id, "channel": channel,
            "provider_name": provider, "computer_name": host, "event_data": data}}),
        // The same with dotted keys.
        5 => {
            let mut all = Map::new();
            all.insert("@timestamp".into(), json!(time));
            all.insert("winlog.event_id".into(), json!(id.to_string()));
            all.insert("winlog.channel".into(), json!(channel));
            all.insert("winlog.provider_name".into(), json!(provider));
            all.insert("winlog.computer_name".into(), json!(host));
            for (name, value) in data {
                all.insert(format!("winlog.event_data.{name}"), value);
            }
            Value::Object(all)
        }
        // EvtxECmd.
        6 => {
            let payload = json!({"EventData": {"Data": pairs("@Name", "#text")}});
            json!({"TimeCreated": time, "EventId": id, "Channel": channel, "Provider": provider,
                "Computer": host, "Payload": payload.to_string()})
        }
        // Velociraptor.
        7 => json!({"EventTime": time, "System": {"Provider": {"Name": provider},
            "EventID": {"Value": id}, "Channel": channel, "Computer": host}, "EventData": data}),
        // User data, below an element of any name.
        _ => json!({"Event": {"System": {
            "Provider": {"#attributes": {"Name": provider}}, "EventID": id, "Channel": channel,
            "Computer": host, "TimeCreated": {"#attributes": {"SystemTime": time}}},
            "UserData": {"EventXML": data}}}),
    }
}

/// Values that some readers of JSON give up on, as they stand in the text.
fn poison() -> Vec<String> {
    let odd = [
        "18446744073709551616",
        "1e999",
        r#""\ud800""#,
        r#""\x""#,
        r#""\u0000""#,
        "NaN",
        r#"{"a":1,"a":2}"#,
    ];
    let mut all: Vec<String> = odd.map(str::to_owned).to_vec();
    all.push("9".repeat(400));
    all.push(format!("{}{}", "[".repeat(300), "]".repeat(300)));
    all
}

/// Puts such values before and after the members of every object of an event's text.
fn poisoned(text: &str, first: usize) -> String {
    let poison = poison();
    let mut number = first;
    let mut out = String::new();
    let mut in_string = false;
    let mut escaped = false;
    for letter in text.chars() {
        let is_open = letter == '{' && !in_string;
        match (in_string, letter) {
            (true, _) if escaped => escaped = false,
            (true, '\\') => escaped = true,
            (_, '"') => in_string = !in_string,
            (false, '}') => {
                number += 1;
                out.push_str(&format!(
                    ",\"odd{number}\":{}",
                    poison[number % poison.len()]
                ));
            }
            _ => {}
        }
        out.push(letter);
        if is_open {
            number += 1;
            out.push_str(&format!(
                "\"odd{number}\":{},",
                poison[number % poison.len()]
            ));
        }
    }
    out
}

/// What an alert says that does not depend on where its events lie.
type Said = (String, String, String, String, u64, String, String);

async fn alerts(lake: &Path, table: &str) -> Vec<Said> {
    let load = load_text(Path::new("rules.yml"), RULES.to_owned());
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    let input = yagura_engine::RunInput {
        tables: vec![table_config(table, lake.join(table).to_str().unwrap())],
        sigma: SigmaInput {
            load,
            maps: FieldMap::shipped().unwrap(),
        },
        ..Default::default()
    };
    let mut outcome = run(input, &RunOptions::default(), |_, _| {}).await.unwrap();
    assert!(outcome.not_run.is_empty(), "{:?}", outcome.not_run);
    let (alerts, _) = outcome.alerts(1).unwrap();
    let mut said: Vec<Said> = alerts
        .into_iter()
        .map(|alert| {
            (
                alert.id,
                alert.rule,
                alert.title,
                alert.key,
                alert.count,
                alert.first_time.to_string(),
                alert.last_time.to_string(),
            )
        })
        .collect();
    said.sort();
    said
}

async fn ingested(lake: &Path, name: &str, lines: &str) {
    let file = lake.join(format!("{name}.ndjson"));
    std::fs::write(&file, lines).unwrap();
    let to = Location::parse(lake.to_str().unwrap(), &BTreeMap::new()).unwrap();
    let options = IngestOptions::new("windows", to);
    let report = ingest(options, &[file], |_| {}).await.unwrap();
    assert_eq!((report.rejected, report.without_time), (0, 0), "{name}");
}

fn lines(shape: impl Fn(usize) -> usize, change: impl Fn(&str, usize) -> String) -> Vec<String> {
    let events = events();
    let all = events.iter().enumerate();
    all.map(|(number, event)| {
        let text = shaped(event, number, shape(number)).to_string();
        change(&text, number)
    })
    .collect()
}

async fn expected() -> Vec<Said> {
    let lake = tempfile::tempdir().unwrap();
    let flat = lines(|_| 0, |text, _| text.to_owned());
    ingested(lake.path(), "flat", &flat.join("\n")).await;
    let said = alerts(lake.path(), "windows").await;
    let rules: Vec<(&str, &str)> = said
        .iter()
        .map(|of| (of.2.as_str(), of.3.as_str()))
        .collect();
    let mut rules = rules;
    rules.sort_unstable();
    assert_eq!(
        rules,
        [
            ("Encoded command", "a"),
            ("Logon by a service account", "a"),
            ("Many failed logons", "bob"),
            ("No parent", "e"),
            ("Service installed", "a"),
            ("Tool by name", "d"),
        ]
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shape_by_itself_gives_the_same_alerts() {
    let expected = expected().await;
    for shape in 1..SHAPES {
        let lake = tempfile::tempdir().unwrap();
        let text = lines(|_| shape, |text, _| text.to_owned());
        ingested(lake.path(), "one", &text.join("\n")).await;
        assert_eq!(
            alerts(lake.path(), "windows").await,
            expected,
            "shape {shape}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_beside_them_change_nothing() {
    let expected = expected().await;
    for shape in 0..SHAPES {
        let lake = tempfile::tempdir().unwrap();
        let text = lines(|_| shape, poisoned);
        ingested(lake.path(), "odd", &text.join("\n")).await;
        assert_eq!(
            alerts(lake.path(), "windows").await,
            expected,
            "shape {shape}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_has_no_room_for_columns_hides_nothing() {
    let expected = expected().await;
    for shape in 0..SHAPES {
        let lake = tempfile::tempdir().unwrap();
        let wide: Map<String, Value> = (0..1_200)
            .map(|number| (format!("k{number}"), json!(number)))
            .chain([("timestamp".to_owned(), json!("2026-03-01T00:00:00Z"))])
            .collect();
        ingested(lake.path(), "wide", &Value::Object(wide).to_string()).await;
        let text = lines(|_| shape, |text, _| text.to_owned());
        ingested(lake.path(), "late", &text.join("\n")).await;
        assert_eq!(
            alerts(lake.path(), "windows").await,
            expected,
            "shape {shape}"
        );
    }
}

#[test]
fn shapes_mixed_in_one_table_and_split_over_objects_give_the_same_alerts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let expected = runtime.block_on(expected());
    let count = events().len();
    let shapes = prop::collection::vec((0..SHAPES, any::<bool>()), count);
    runner(24)
        .run(&(shapes, any::<bool>()), |(shapes, is_split)| {
            let lake = tempfile::tempdir().unwrap();
            let change = |text: &str, number: usize| match shapes[number].1 {
                true => poisoned(text, number),
                false => text.to_owned(),
            };
            let text = lines(|number| shapes[number].0, change);
            let said = runtime.block_on(async {
                if is_split {
                    for (number, line) in text.iter().enumerate() {
                        ingested(lake.path(), &format!("part{number}"), line).await;
                    }
                } else {
                    ingested(lake.path(), "all", &text.join("\n")).await;
                }
                alerts(lake.path(), "windows").await
            });
            prop_assert_eq!(said, expected.clone(), "{:?}", shapes);
            Ok(())
        })
        .unwrap();
}
