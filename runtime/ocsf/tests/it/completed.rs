//! What follows from what an event has.

use serde_json::{Value, json};
use yagura_ocsf::{Schema, completed, validate};

use crate::events;

fn complete(class: &str, mut event: Value) -> Value {
    let class = Schema::shipped().class(class).unwrap();
    completed(class, event.as_object_mut().unwrap());
    event
}

#[test]
fn an_event_gets_class_type_and_captions() {
    let event = complete(
        "authentication",
        json!({ "activity_id": 1, "severity_id": 4, "status_id": 2, "time": 1, "metadata": { "uid": "7" } }),
    );
    assert_eq!(
        event,
        json!({
            "activity_id": 1,
            "activity_name": "Logon",
            "category_name": "Identity & Access Management",
            "category_uid": 3,
            "class_name": "Authentication",
            "class_uid": 3002,
            "metadata": { "uid": "7", "version": "1.8.0" },
            "severity": "High",
            "severity_id": 4,
            "status": "Failure",
            "status_id": 2,
            "time": 1,
            "type_name": "Authentication: Logon",
            "type_uid": 300_201,
        })
    );
}

#[test]
fn ids_follow_from_captions_in_any_case() {
    let event = complete(
        "authentication",
        json!({ "activity_name": "LOGOFF", "severity": "critical", "user": { "name": "a", "type": "admin" } }),
    );
    assert_eq!(event["activity_id"], 2);
    assert_eq!(event["type_uid"], 300_202);
    assert_eq!(event["severity_id"], 5);
    // What the source wrote stays.
    assert_eq!(event["severity"], "critical");
    assert_eq!(event["user"]["type_id"], 2);
}

#[test]
fn a_caption_of_the_source_is_other() {
    let event = complete(
        "authentication",
        json!({ "activity_name": "Shrug", "severity_id": 99 }),
    );
    assert_eq!(event["activity_id"], 99);
    assert_eq!(event["activity_name"], "Shrug");
    assert_eq!(event["type_name"], "Authentication: Other");
    // Nobody knows the source's word.
    assert_eq!(event["severity"], Value::Null);
}

#[test]
fn only_required_ids_become_unknown() {
    let event = complete(
        "authentication",
        json!({ "severity_id": null, "user": { "name": "a" } }),
    );
    assert_eq!(
        (&event["activity_id"], &event["activity_name"]),
        (&json!(0), &json!("Unknown"))
    );
    assert_eq!(
        (&event["severity_id"], &event["severity"]),
        (&json!(0), &json!("Unknown"))
    );
    assert_eq!(event["type_uid"], 300_200);
    for name in ["status_id", "status", "logon_type_id", "auth_protocol_id"] {
        assert_eq!(event.get(name), None, "{name}");
    }
    assert_eq!(event["user"], json!({ "name": "a" }));
    // Required in an object that is there.
    let event = complete(
        "process_activity",
        json!({ "device": { "hostname": "pc7" } }),
    );
    assert_eq!(
        event["device"],
        json!({ "hostname": "pc7", "type_id": 0, "type": "Unknown" })
    );
}

#[test]
fn lists_and_deep_objects_are_completed() {
    let event = complete(
        "dns_activity",
        json!({
            "answers": [{ "rdata": "192.0.2.1", "flag_ids": [1, 3] }, { "rdata": "192.0.2.2", "flag_ids": [1, 99] }],
            "query": { "hostname": "example.com", "opcode": "Query" },
        }),
    );
    let flags = &event["answers"][0]["flags"];
    assert_eq!(flags.as_array().map(Vec::len), Some(2), "{flags}");
    assert_eq!(
        event["answers"][1]["flags"],
        Value::Null,
        "99 has no caption of the schema"
    );
    let event = complete(
        "process_activity",
        json!({ "process": { "parent_process": { "integrity_id": 4, "pid": 1 } } }),
    );
    assert_eq!(event["process"]["parent_process"]["integrity"], "High");
}

#[test]
fn nothing_that_is_there_is_changed_and_profiles_count() {
    let before = json!({
        "class_uid": 1, "class_name": "x", "type_uid": 7, "activity_id": 1, "activity_name": "Custom",
        "severity_id": 1, "severity": "x", "metadata": { "version": "1.0.0" }, "action_id": 2,
    });
    let event = complete("authentication", before.clone());
    for (name, value) in before.as_object().unwrap() {
        assert_eq!(&event[name], value, "{name}");
    }
    assert_eq!(event.get("type_name"), None, "that of another type");
    assert_eq!(
        event.get("action"),
        None,
        "of a profile that the event does not name"
    );
    let event = complete(
        "authentication",
        json!({ "action_id": 2, "metadata": { "profiles": ["security_control"] } }),
    );
    assert_eq!(event["action"], "Denied");
}

/// A completed event stays valid, and completing it again adds nothing.
#[test]
fn completed_events_are_valid() {
    for (name, event) in events::all() {
        let event = complete(name, event);
        let problems = validate(Schema::shipped().class(name).unwrap(), &event);
        assert!(problems.is_empty(), "{name}: {problems:#?}");
        assert_eq!(complete(name, event.clone()), event);
    }
}

#[test]
fn an_activity_of_any_size_does_no_harm() {
    for activity in [u64::MAX, u64::MAX - 1] {
        let event = complete("authentication", json!({ "activity_id": activity }));
        assert_eq!(event.get("type_uid"), None);
        let problems = validate(Schema::shipped().class("authentication").unwrap(), &event);
        assert!(problems.iter().any(|problem| problem.path == "activity_id"));
    }
}
