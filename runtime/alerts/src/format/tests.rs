use serde_json::{Value, json};
use yagura_core::alert::{ContextEntry, Observable};
use yagura_core::report::Verdict;
use yagura_core::{Evidence, EvidenceEvent};

use super::*;

/// An alert with all that one can have.
pub(crate) fn alert() -> Alert {
    let time: Timestamp = "2026-01-30T08:00:00.5Z".parse().unwrap();
    let observable = |kind: &str, value: &str| Observable {
        kind: kind.to_owned(),
        value: value.to_owned(),
    };
    Alert {
        id: "7c3f4e0a6b1d4a52a3b1c5d6e7f80912".to_owned(),
        rule: "aws-console-login-without-mfa".to_owned(),
        title: "Console login without MFA by alice".to_owned(),
        severity: Severity::High,
        key: "alice".to_owned(),
        window_start: time,
        first_time: time,
        last_time: time.saturating_add(90_000_000),
        count: 3,
        observables: vec![
            observable("ip", "198.51.100.7"),
            observable("user", "alice"),
        ],
        context: vec![ContextEntry {
            name: "region".to_owned(),
            value: "eu-west-1".to_owned(),
        }],
        tags: vec![
            "attack.initial-access".to_owned(),
            "attack.t1078.004".to_owned(),
            "aws".to_owned(),
        ],
        evidence: Evidence {
            total: 3,
            events: vec![EvidenceEvent {
                object: "s3://lake/aws/date=2026-01-30/a.parquet".to_owned(),
                row: 17,
                time,
                hash: "ab".repeat(32),
            }],
        },
    }
}

/// A report with all that one can have.
pub(crate) fn report() -> Report {
    Report {
        id: "incident-1".to_owned(),
        revision: 2,
        status: IncidentStatus::Open,
        title: "Console login without MFA by alice".to_owned(),
        severity: Severity::Low,
        text: "short lines".to_owned(),
        time: "2026-01-30T08:02:00Z".parse().unwrap(),
        alerts: vec![ReportAlert {
            state: AlertState::Provisional,
            alert: alert(),
        }],
        alert_count: 1,
        attributes: vec![Attribute {
            name: "abuse score".to_owned(),
            value: "97".to_owned(),
            source: "AbuseIPDB".to_owned(),
        }],
        assessments: vec![(
            "travel".to_owned(),
            Assessment {
                severity: Severity::Low,
                verdict: Verdict::Benign,
                reason: "an office address".to_owned(),
            },
        )],
        earlier: Some("receipt".to_owned()),
        uncertain: true,
    }
}

fn errors(document: &Value) -> Vec<String> {
    let schema = serde_json::to_value(schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = validator.iter_errors(document);
    errors.map(|error| error.to_string()).collect()
}

#[test]
fn what_is_written_fits_the_schema_and_is_read_again() {
    let line = AlertLine {
        seq: 3,
        state: AlertState::Withdrawn,
        reason: Some("late events".to_owned()),
        replaced_by: Some("7c".to_owned()),
        alert: alert(),
    };
    // What `run` and `serve` write, and the records made of it.
    for (document, is_incident) in [
        (serde_json::to_value(alert()).unwrap(), false),
        (serde_json::to_value(&line).unwrap(), false),
        (
            serde_json::to_value(AlertRecord::Alert(alert())).unwrap(),
            false,
        ),
        (
            serde_json::to_value(IncidentRecord::from(&report())).unwrap(),
            true,
        ),
    ] {
        assert_eq!(errors(&document), Vec::<String>::new());
        let record: Record = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(matches!(record, Record::Incident(_)), is_incident);
        assert_eq!(serde_json::to_value(record).unwrap(), document);
    }
    let record = AlertRecord::Line(line.clone());
    assert_eq!(
        serde_json::to_value(&record).unwrap(),
        serde_json::to_value(&line).unwrap()
    );
    assert_eq!(record.into_line(3), line);
}

#[test]
fn an_incident_says_nothing_of_receipts() {
    let document = serde_json::to_value(IncidentRecord::from(&report())).unwrap();
    let text = document.to_string();
    assert!(
        !text.contains("receipt") && !text.contains("uncertain"),
        "{text}"
    );
    assert_eq!(document["assessments"][0]["reviewer"], "travel");
    assert_eq!(document["assessments"][0]["verdict"], "benign");
}

#[test]
fn the_schema_refuses_what_is_no_alert() {
    let good = serde_json::to_value(alert()).unwrap();
    for (key, value) in [
        ("severity", json!("severe")),
        ("first_time", json!(17)),
        ("count", json!(-1)),
        ("observables", json!({"ip": "10.0.0.1"})),
    ] {
        let mut document = good.clone();
        document[key] = value;
        assert!(!errors(&document).is_empty(), "{key}");
    }
    let line = json!({ "seq": 1, "state": "final", "alert": good });
    assert_eq!(errors(&line), Vec::<String>::new());
    for (key, value) in [("state", json!("gone")), ("alert", json!({ "id": "7c" }))] {
        let mut document = line.clone();
        document[key] = value;
        assert!(!errors(&document).is_empty(), "{key}");
    }
    for key in ["id", "rule", "title", "key", "evidence", "window_start"] {
        let mut document = good.clone();
        document.as_object_mut().unwrap().remove(key);
        assert!(!errors(&document).is_empty(), "{key}");
    }
}

#[test]
fn the_schema_describes_every_key() {
    let schema = serde_json::to_value(schema()).unwrap();
    for (of, keys) in [
        ("AlertLine", vec!["seq", "state", "reason", "alert"]),
        ("Alert", vec!["id", "window_start", "evidence"]),
        (
            "IncidentRecord",
            vec![
                "incident",
                "revision",
                "alert_count",
                "attributes",
                "assessments",
            ],
        ),
    ] {
        for key in keys {
            let described = &schema["$defs"][of]["properties"][key]["description"];
            assert!(
                described.as_str().is_some_and(|text| text.len() > 7),
                "{of} {key}"
            );
        }
    }
}
