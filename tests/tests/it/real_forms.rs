//! SigmaHQ's rules over real Windows events in every form in which tools write them, against rsigma.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value, json};
use yagura_rules::predicate::FieldReading;
use yagura_rules::sigma::{FieldMap, Load, SigmaSource, translate_bare};

use crate::real_sigma::{Matched, add_other_names, events, matched, oracle, rules};

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

const FORMS: [&str; 9] = [
    "flat",
    "evtx_dump",
    "evtx_dump with an object as id",
    "xmltodict",
    "Winlogbeat",
    "Winlogbeat with dotted keys",
    "EvtxECmd",
    "Velociraptor",
    "channels and providers in capitals",
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
        "Velociraptor" => {
            json!({"_n": number, "System": {"Provider": {"Name": provider}, "EventID": {"Value": code},
            "Channel": channel, "Computer": computer, "TimeCreated": {"SystemTime": time}}, "EventData": data})
        }
        other => unreachable!("{other}"),
    }
}

/// What matched: event and rule.
type Hits = BTreeSet<(u64, String)>;

/// Ingests the events in one form, and returns what the rules match and which rules ran.
async fn hits(load: &Load, windows: &FieldMap, lines: &str) -> (Hits, BTreeSet<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, lines).unwrap();
    let (matched, ran) = matched(load, windows, &[file]).await;
    let mut hits = Hits::new();
    for Matched { raw, rules } in matched {
        if !rules.is_empty() {
            let event: Value = serde_json::from_str(&raw).unwrap();
            let number = event["_n"].as_u64().unwrap();
            hits.extend(rules.into_iter().map(|rule| (number, rule)));
        }
    }
    (hits, ran)
}

/// Says whether a rule, as it is written, tests `field`.
fn tests_field(source: &SigmaSource, field: &str) -> bool {
    let mut tests = false;
    if let Ok(predicate) = translate_bare(source, &[], &BTreeMap::new()) {
        predicate.atoms(&mut |atom| tests |= atom.names.first().segments() == [field]);
    }
    tests
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
async fn every_form_of_real_windows_events_matches_as_rsigma_does() {
    let (_dir, mut load) = rules();
    // Keywords are searched in all that an event holds, of which each form holds another part.
    let before = load.rules.len();
    load.rules.retain(|source| {
        let bare = translate_bare(source, &[], &BTreeMap::new());
        bare.is_ok_and(|predicate| {
            let mut searches = false;
            predicate.atoms(&mut |atom| searches |= atom.reading == FieldReading::Anywhere);
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
    let oracle = oracle(&load, windows, &ran);
    let mut theirs = Hits::new();
    for (number, parts) in (0..).zip(&all) {
        let mut event = written(parts, usize::try_from(number).unwrap(), "flat");
        add_other_names(&mut event);
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
    assert!(theirs.len() > 800, "{} matches", theirs.len());
    // A field of PowerShell is named `Payload`, as is the column in which EvtxECmd writes all fields of an event.
    let of_payload = load
        .rules
        .iter()
        .filter(|rule| tests_field(rule, "Payload"));
    let of_payload: BTreeSet<String> = of_payload.map(SigmaSource::id).collect();
    for form in FORMS {
        let (ours, _) = match form {
            "flat" => (flat.clone(), BTreeSet::new()),
            form => hits(&load, windows, &lines(form)).await,
        };
        let ours: Hits = ours
            .into_iter()
            .filter(|(_, id)| known.contains(id.as_str()))
            .collect();
        let missed: Vec<_> = theirs.difference(&ours).take(5).collect();
        let is_excused =
            |(_, id): &&(u64, String)| form == "EvtxECmd" && of_payload.contains(id.as_str());
        let extra: Vec<_> = ours
            .difference(&theirs)
            .filter(|hit| !is_excused(hit))
            .take(5)
            .collect();
        println!("{form}: {} matches", ours.len());
        assert!(
            missed.is_empty() && extra.is_empty(),
            "{form}: missed {missed:?}, extra {extra:?}"
        );
    }
}
