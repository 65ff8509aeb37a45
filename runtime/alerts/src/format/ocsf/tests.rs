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

/// What the schema asks of a Detection Finding: what is required, and the values that ids may have.
fn check(finding: &Value) {
    for pointer in [
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/finding_info/uid",
        "/metadata/product/name",
        "/metadata/version",
        "/severity_id",
        "/time",
        "/type_uid",
    ] {
        assert!(
            finding.pointer(pointer).is_some(),
            "{pointer} in {finding:#}"
        );
    }
    let id = |name: &str| finding[name].as_u64().unwrap();
    assert_eq!((id("category_uid"), id("class_uid")), (2, 2004));
    assert_eq!(id("type_uid"), 200_400 + id("activity_id"));
    for (name, ids) in [
        ("activity_id", [0, 1, 2, 3, 99].as_slice()),
        ("severity_id", &[0, 1, 2, 3, 4, 5, 6, 99]),
        ("status_id", &[0, 1, 2, 3, 4, 5, 6, 99]),
    ] {
        assert!(ids.contains(&id(name)), "{name}");
    }
    for one in finding["observables"].as_array().unwrap() {
        assert!(one["type_id"].is_u64() && one["value"].is_string(), "{one}");
        // An observable points to an attribute that holds its value.
        let pointer = format!("/{}", one["name"].as_str().unwrap().replace('.', "/"));
        let values = finding.pointer(&pointer).unwrap().as_array().unwrap();
        assert!(values.contains(&one["value"]), "{one}");
    }
    for one in finding["evidences"].as_array().unwrap() {
        assert!(one["data"].is_object(), "at least one artifact: {one}");
    }
    for one in finding["enrichments"].as_array().into_iter().flatten() {
        for name in ["name", "value", "data"] {
            assert!(!one[name].is_null(), "{name} of {one}");
        }
    }
    for one in finding["finding_info"]["attacks"].as_array().unwrap() {
        let has = |name: &str| one[name]["uid"].is_string() || one[name]["name"].is_string();
        assert!(
            ["tactic", "technique", "sub_technique"]
                .into_iter()
                .any(has),
            "{one}"
        );
    }
    assert!(finding["finding_info"]["analytic"]["type_id"].is_u64());
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
    assert_eq!(finding["metadata"]["version"], "1.9.0");
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
        assert_eq!(observable(&one)["type_id"], type_id, "{kind}");
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
