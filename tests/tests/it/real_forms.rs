//! SigmaHQ's rules over real Windows events in every form in which tools write them, against rsigma.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value, json};
use yagura_engine::{RunOptions, SigmaInput};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_rules::predicate::Reading;
use yagura_rules::sigma::{FieldMap, Load};
use yagura_tests::fixture::Fixture;

use crate::real_sigma::{events, oracle, rules};

/// An event as its parts.
struct Parts {
    system: Value,
    provider: String,
    time: String,
    data: Map<String, Value>,
}

fn parts(event: &Value) -> Option<Parts> {
    let system = event["Event"]["System"].clone();
    let data = match (&event["Event"]["EventData"], &event["Event"]["UserData"]) {
        (Value::Object(data), _) => data.clone(),
        (_, Value::Object(user)) => user.values().find_map(Value::as_object)?.clone(),
        _ => Map::new(),
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Parts {
        provider: text(&system["Provider"]["#attributes"]["Name"])?,
        time: text(&system["TimeCreated"]["#attributes"]["SystemTime"])?,
        // What is no text is an unnamed or nested value, which most forms cannot tell.
        data: data
            .into_iter()
            .filter(|(name, value)| value.is_string() && name != "#attributes")
            .collect(),
        system,
    })
}

const FORMS: [&str; 7] = [
    "flat",
    "evtx_dump",
    "evtx_dump with an object as id",
    "xmltodict",
    "Winlogbeat",
    "Winlogbeat with dotted keys",
    "EvtxECmd",
];

fn written(parts: &Parts, number: usize, form: &str) -> Value {
    let Parts {
        system,
        provider,
        time,
        data,
    } = parts;
    let (channel, computer) = (&system["Channel"], &system["Computer"]);
    let id = &system["EventID"];
    let code = match id {
        Value::Object(of) => &of["#text"],
        other => other,
    };
    let code: u64 = match code {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_u64().unwrap(),
    };
    let pairs = || -> Vec<Value> {
        let pair = |(name, value): (&String, &Value)| json!({"@Name": name, "#text": value});
        data.iter().map(pair).collect()
    };
    let nested = |id: Value, channel: Value, provider: Value, data: Value| {
        json!({"_n": number, "Event": {"System": {
            "Provider": {"#attributes": {"Name": provider}}, "EventID": id, "Channel": channel,
            "Computer": computer, "TimeCreated": {"#attributes": {"SystemTime": time}}}, "EventData": data}})
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_uppercase();
    match form {
        "flat" => {
            let mut all = data.clone();
            all.insert("EventID".into(), json!(code));
            all.insert("Channel".into(), channel.clone());
            all.insert("SourceName".into(), json!(provider));
            all.insert("Computer".into(), computer.clone());
            all.insert("TimeCreated".into(), json!(time));
            all.insert("_n".into(), json!(number));
            Value::Object(all)
        }
        "evtx_dump" => nested(id.clone(), channel.clone(), json!(provider), json!(data)),
        "evtx_dump with an object as id" => nested(
            json!({"#attributes": {"Qualifiers": 0}, "#text": code}),
            channel.clone(),
            json!(provider),
            json!(data),
        ),
        "channels and providers in capitals" => nested(
            id.clone(),
            json!(text(channel)),
            json!(provider.to_uppercase()),
            json!(data),
        ),
        "xmltodict" => json!({"_n": number, "Event": {"System": {
            "Provider": {"@Name": provider}, "EventID": {"@Qualifiers": "0", "#text": code.to_string()}, "Channel": channel,
            "Computer": computer, "TimeCreated": {"@SystemTime": time}}, "EventData": {"Data": pairs()}}}),
        "Winlogbeat" => {
            json!({"_n": number, "@timestamp": time, "winlog": {"event_id": code.to_string(), "channel": channel,
            "provider_name": provider, "computer_name": computer, "event_data": data}})
        }
        "Winlogbeat with dotted keys" => {
            let mut all: Map<String, Value> = data
                .iter()
                .map(|(name, value)| (format!("winlog.event_data.{name}"), value.clone()))
                .collect();
            all.insert("winlog.event_id".into(), json!(code));
            all.insert("winlog.channel".into(), channel.clone());
            all.insert("winlog.provider_name".into(), json!(provider));
            all.insert("winlog.computer_name".into(), computer.clone());
            all.insert("@timestamp".into(), json!(time));
            all.insert("_n".into(), json!(number));
            Value::Object(all)
        }
        "EvtxECmd" => {
            json!({"_n": number, "EventId": code, "Channel": channel, "Provider": provider,
            "Computer": computer, "TimeCreated": time,
            "Payload": json!({"EventData": {"Data": pairs()}}).to_string()})
        }
        _ => {
            json!({"_n": number, "System": {"Provider": {"Name": provider}, "EventID": {"Value": code},
            "Channel": channel, "Computer": computer, "TimeCreated": {"SystemTime": time}}, "EventData": data})
        }
    }
}

/// What matched: event and rule.
type Hits = BTreeSet<(u64, String)>;

/// Ingests the events in one form, and returns what the rules match and which rules ran.
async fn hits(load: &Load, windows: &FieldMap, lines: &str) -> (Hits, BTreeSet<String>) {
    let lake = tempfile::tempdir().unwrap();
    let file = lake.path().join("events.ndjson");
    std::fs::write(&file, lines).unwrap();
    let to = Location::parse(lake.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    let report = ingest(IngestOptions::new("windows", to), &[file], |_| {})
        .await
        .unwrap();
    assert_eq!((report.rejected, report.without_time), (0, 0));
    let mut fixture = Fixture::over("windows", lake.path().join("windows").to_str().unwrap());
    fixture.input.sigma = SigmaInput {
        load: load.clone(),
        maps: vec![windows.clone()],
    };
    let outcome = yagura_engine::run(fixture.input, &RunOptions::default(), |_, _| {})
        .await
        .unwrap();
    let mut numbers: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for file in &outcome.tables[0].table.files {
        let name = outcome.tables[0]
            .table
            .location
            .name_of(&file.meta.location);
        let path = Path::new("/").join(file.meta.location.as_ref());
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
        let mut row = 0;
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let raw = cast(batch.column_by_name("raw").unwrap(), &DataType::Utf8).unwrap();
            let raw = raw.as_string::<i32>();
            for index in 0..raw.len() {
                let event: Value = serde_json::from_str(raw.value(index)).unwrap();
                numbers.insert((name.clone(), row), event["_n"].as_u64().unwrap());
                row += 1;
            }
        }
    }
    let mut found = Hits::new();
    for finding in &outcome.findings {
        let id = &outcome.rules[finding.rule].id;
        let id = id.strip_suffix("-events").unwrap_or(id);
        for event in &finding.events {
            let number = numbers[&(event.object.to_string(), event.row)];
            found.insert((number, id.to_owned()));
        }
    }
    let ran = outcome.rules.iter().map(|rule| rule.id.clone()).collect();
    (found, ran)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
async fn every_form_of_real_windows_events_matches_as_rsigma_does() {
    let (_dir, mut load) = rules();
    // Keywords are searched in all that an event holds, of which each form holds another part.
    let before = load.rules.len();
    load.rules.retain(|source| {
        let bare = yagura_rules::sigma::translate_bare(source, &[], &BTreeMap::new());
        bare.is_ok_and(|predicate| {
            let mut searches = false;
            predicate.atoms(&mut |atom| searches |= atom.reading == Reading::Anywhere);
            !searches
        })
    });
    println!(
        "{} rules with keywords or without values are left out",
        before - load.rules.len()
    );
    let maps = FieldMap::shipped().unwrap();
    let windows = maps.iter().find(|map| map.name == "windows").unwrap();
    let mut all: Vec<Parts> = Vec::new();
    for file in events("windows-evtx-mitre") {
        let reader = BufReader::new(MultiGzDecoder::new(std::fs::File::open(file).unwrap()));
        for line in reader.lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            all.extend(parts(&event));
        }
    }
    assert!(all.len() > 5_000, "{} events", all.len());
    let lines = |form: &str| {
        let of = |(number, parts)| written(parts, number, form).to_string();
        all.iter()
            .enumerate()
            .map(of)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (flat, ran) = hits(&load, windows, &lines("flat")).await;
    let ran: BTreeSet<&str> = ran.iter().map(String::as_str).collect();
    let oracle = oracle(&load, windows, &ran);
    let mut theirs = Hits::new();
    for (number, parts) in (0..).zip(&all) {
        let mut event = written(parts, usize::try_from(number).unwrap(), "flat");
        for (sigma, own) in [
            ("ComputerName", "Computer"),
            ("Hostname", "Computer"),
            ("Provider_Name", "SourceName"),
            ("Source", "SourceName"),
        ] {
            if event.get(sigma).is_none() {
                event[sigma] = event[own].clone();
            }
        }
        let of_event = oracle.iter().filter(|rule| rule.matches(&event));
        theirs.extend(of_event.map(|rule| (number, rule.id.clone())));
    }
    let known: BTreeSet<&str> = oracle.iter().map(|rule| rule.id.as_str()).collect();
    println!(
        "{} rules, {} events, {} matches by rsigma",
        oracle.len(),
        all.len(),
        theirs.len()
    );
    assert!(theirs.len() > 700, "{} matches", theirs.len());
    for form in FORMS {
        let (ours, _) = match form {
            "flat" => (flat.clone(), BTreeSet::new()),
            form => hits(&load, windows, &lines(form)).await,
        };
        let ours: Hits = ours
            .into_iter()
            .filter(|(_, id)| known.contains(id.as_str()))
            .collect();
        // A field of PowerShell is named `Payload`, as is the column in which EvtxECmd writes all fields of an event.
        let missed: Vec<_> = theirs.difference(&ours).take(5).collect();
        let extra: Vec<_> = ours.difference(&theirs).take(5).collect();
        println!("{form}: {} matches", ours.len());
        assert!(
            missed.is_empty() && (extra.is_empty() || form == "EvtxECmd"),
            "{form}: missed {missed:?}, extra {extra:?}"
        );
    }
}
