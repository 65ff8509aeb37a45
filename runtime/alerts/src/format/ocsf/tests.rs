use yagura_ocsf::{Schema, validate};

use super::*;
use crate::format::tests as example;

fn line(state: AlertState) -> AlertLine {
    AlertLine {
        seq: 1,
        state,
        reason: None,
        replaced_by: None,
        alert: example::alert(),
    }
}

fn now() -> Timestamp {
    "2026-01-30T08:02:00Z".parse().unwrap()
}

/// Asserts that a finding is valid by the schema, and that its observables are in it.
fn check(finding: &Value) {
    let schema = Schema::shipped();
    assert_eq!(VERSION, schema.version());
    let class = schema.find_class("detection_finding").unwrap();
    let problems = validate(class, finding);
    assert!(problems.is_empty(), "{problems:#?} in {finding:#}");
    // Nothing that follows from the ids was left out or is different.
    let mut completed = finding.as_object().unwrap().clone();
    yagura_ocsf::completed(class, &mut completed);
    assert_eq!(*finding, Value::from(completed));
    for one in finding["observables"].as_array().unwrap() {
        // An observable points to an attribute that holds its value.
        let pointer = format!("/{}", one["name"].as_str().unwrap().replace('.', "/"));
        let values = finding.pointer(&pointer).unwrap().as_array().unwrap();
        assert!(values.contains(&one["value"]), "{one}");
    }
}

#[test]
fn an_alert_is_a_detection_finding() {
    let finding = alert(&line(AlertState::Provisional), true, now());
    check(&finding);
    assert_eq!(finding["activity_id"], 1);
    assert_eq!(finding["severity_id"], 4);
    assert_eq!(finding["status_id"], 1);
    assert_eq!(finding["is_alert"], true);
    assert_eq!(finding["time"], 1_769_760_120_000_i64);
    assert_eq!(finding["start_time"], 1_769_760_000_500_i64);
    assert_eq!(finding["end_time"], 1_769_760_090_500_i64);
    assert_eq!(finding["count"], 3);
    assert_eq!(finding["finding_info"]["uid"], example::alert().id);
    assert_eq!(finding["metadata"]["version"], "1.8.0");
    assert!(finding["metadata"]["profiles"].is_null());
    let attacks = finding["finding_info"]["attacks"].as_array().unwrap();
    assert_eq!(attacks[0]["tactic"]["name"], "Initial Access");
    assert_eq!(attacks[1]["technique"]["uid"], "T1078");
    assert_eq!(attacks[1]["sub_technique"]["uid"], "T1078.004");
    assert_eq!(attacks.len(), 2);
    let types: Vec<_> = finding["observables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["type_id"])
        .collect();
    assert_eq!(types, [2, 4]);
}

#[test]
fn an_alert_is_created_updated_and_closed() {
    let activity = |state, is_first| {
        let finding = alert(&line(state), is_first, now());
        check(&finding);
        (
            finding["type_uid"].as_u64(),
            finding["status_id"].as_u64(),
            finding["is_alert"].as_bool(),
        )
    };
    assert_eq!(
        activity(AlertState::Final, true),
        (Some(200_401), Some(1), Some(true))
    );
    assert_eq!(
        activity(AlertState::Final, false),
        (Some(200_402), Some(1), Some(false))
    );
    assert_eq!(
        activity(AlertState::Withdrawn, false),
        (Some(200_403), Some(4), Some(false))
    );
}

#[test]
fn an_alert_that_was_not_reported_is_suppressed_and_no_alert() {
    let row = AlertRow {
        seq: 1,
        state: AlertState::Final,
        outcome: Outcome::Suppressed,
        why: Some("office-addresses".to_owned()),
        silencer: Some("alice".to_owned()),
        incident: None,
        reason: None,
        replaced_by: None,
        assessed: None,
        verdict: None,
        alert: example::alert(),
        created_at: now(),
        changed_at: now(),
    };
    let finding = recorded(&row);
    check(&finding);
    assert_eq!(finding["is_alert"], false);
    assert_eq!(finding["status_id"], 3);
    assert_eq!(finding["unmapped"]["why"], "office-addresses");
}

#[test]
fn an_incident_has_facts_and_a_verdict() {
    let mut report = example::report();
    let finding = incident(&report);
    check(&finding);
    assert_eq!(finding["activity_id"], 2);
    assert_eq!(finding["severity_id"], 2);
    assert_eq!(finding["verdict_id"], 5);
    assert_eq!(finding["metadata"]["profiles"], json!(["incident"]));
    assert_eq!(finding["enrichments"][0]["provider"], "AbuseIPDB");
    assert_eq!(finding["enrichments"][0]["data"]["value"], "97");
    assert_eq!(
        finding["unmapped"]["assessments"][0]["reason"],
        "an office address"
    );
    assert_eq!(finding["finding_info"]["desc"], "short lines");
    for verdict in [Verdict::Undecided, Verdict::Suspicious, Verdict::Malicious] {
        report.assessments[0].1.verdict = verdict;
        check(&incident(&report));
    }

    let activity = |report: &Report| incident(report)["activity_id"].clone();
    report.revision = 1;
    assert_eq!(activity(&report), 1);
    report.status = IncidentStatus::Acknowledged;
    assert_eq!(incident(&report)["status_id"], 2);
    report.status = IncidentStatus::Closed;
    assert_eq!(activity(&report), 3);
}

#[test]
fn kinds_of_observables_have_their_type() {
    for (kind, type_id) in [
        ("domain", 1),
        ("host", 1),
        ("ip", 2),
        ("user", 4),
        ("email", 5),
        ("url", 6),
        ("hash", 8),
        ("process", 9),
        ("badge", 99),
    ] {
        let one = Observable {
            kind: kind.to_owned(),
            value: "v".to_owned(),
        };
        let one = observable(&one);
        assert_eq!(one["type_id"], type_id, "{kind}");
        if type_id != 99 {
            let caption = Schema::shipped().observable_caption(type_id);
            assert_eq!(one["type"].as_str(), caption, "{kind}");
        }
    }
    assert_eq!(
        attack("attack.t1059"),
        Some(json!({ "technique": { "uid": "T1059" } }))
    );
    assert_eq!(
        attack("attack.command-and-control"),
        Some(json!({ "tactic": { "name": "Command and Control" } }))
    );
    for tag in ["aws", "attack.g0016", "attack.s0002", "attack.t1059.x"] {
        assert_eq!(attack(tag), None, "{tag}");
    }
}
