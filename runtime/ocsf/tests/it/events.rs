//! One valid event of each of seven classes.

use serde_json::{Value, json};

/// Returns the name of a class and a valid event of it.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("authentication", authentication()),
        ("api_activity", api_activity()),
        ("network_activity", network_activity()),
        ("dns_activity", dns_activity()),
        ("process_activity", process_activity()),
        ("http_activity", http_activity()),
        ("detection_finding", detection_finding()),
    ]
}

fn event(class_uid: u64, activity_id: u64, rest: Value) -> Value {
    let mut event = json!({
        "class_uid": class_uid,
        "category_uid": class_uid / 1000,
        "activity_id": activity_id,
        "type_uid": class_uid * 100 + activity_id,
        "severity_id": 1,
        "time": 1_769_760_000_500_i64,
        "metadata": { "version": "1.8.0", "product": { "name": "Example", "vendor_name": "Example" } },
    });
    let (Value::Object(map), Value::Object(rest)) = (&mut event, rest) else {
        panic!("an event is an object");
    };
    map.extend(rest);
    event
}

pub(crate) fn authentication() -> Value {
    event(
        3002,
        1,
        json!({
            "user": { "name": "mallory", "uid": "S-1-5-21-7", "type_id": 1 },
            "actor": { "user": { "name": "SYSTEM" } },
            "src_endpoint": { "ip": "198.51.100.7", "port": 50_122 },
            "dst_endpoint": { "hostname": "dc01.example.com" },
            "status_id": 2,
            "logon_type_id": 3,
            "auth_protocol_id": 1,
            "is_mfa": false,
            "unmapped": { "anything": [1, { "goes": null }] },
        }),
    )
}

pub(crate) fn api_activity() -> Value {
    let mut event = event(
        6003,
        1,
        json!({
            "actor": { "user": { "name": "alice", "type_id": 1 } },
            "api": { "operation": "CreateUser", "service": { "name": "iam.amazonaws.com" } },
            "src_endpoint": { "ip": "2001:db8::7" },
            "cloud": { "provider": "AWS", "region": "eu-central-1" },
            "resources": [{ "uid": "arn:aws:iam::123456789012:user/bob", "type": "user" }],
        }),
    );
    event["metadata"]["profiles"] = json!(["cloud"]);
    event
}

pub(crate) fn network_activity() -> Value {
    event(
        4001,
        6,
        json!({
            "src_endpoint": { "ip": "192.0.2.10", "port": 50_000, "mac": "00:53:00:AA:BB:CC" },
            "dst_endpoint": { "ip": "203.0.113.9", "port": 443 },
            "connection_info": { "protocol_num": 6, "direction_id": 2 },
            "traffic": { "bytes_in": 1_024, "bytes_out": 7_000_000_000_i64 },
        }),
    )
}

pub(crate) fn dns_activity() -> Value {
    event(
        4003,
        2,
        json!({
            "src_endpoint": { "ip": "192.0.2.10" },
            "query": { "hostname": "www.example.com", "type": "A" },
            "answers": [{ "rdata": "203.0.113.9", "type": "A", "ttl": 300, "flag_ids": [1, 3] }],
            "rcode_id": 0,
        }),
    )
}

pub(crate) fn process_activity() -> Value {
    event(
        1007,
        1,
        json!({
            "actor": { "process": { "name": "explorer.exe", "pid": 4_000 } },
            "device": { "hostname": "pc7", "type_id": 2 },
            "process": {
                "name": "cmd.exe",
                "pid": 4_711,
                "cmd_line": "cmd.exe /c whoami",
                "file": {
                    "name": "cmd.exe",
                    "path": "C:\\Windows\\System32\\cmd.exe",
                    "type_id": 1,
                    "hashes": [{ "algorithm_id": 3, "value": "0123456789abcdef" }],
                },
                "parent_process": { "pid": 4_000, "parent_process": { "pid": 1 } },
            },
        }),
    )
}

pub(crate) fn http_activity() -> Value {
    event(
        4002,
        3,
        json!({
            "src_endpoint": { "ip": "192.0.2.10" },
            "http_request": {
                "http_method": "GET",
                "user_agent": "curl/8.0",
                "url": { "url_string": "https://www.example.com/a?b=c", "hostname": "www.example.com" },
            },
            "http_response": { "code": 404 },
        }),
    )
}

pub(crate) fn detection_finding() -> Value {
    let mut event = event(
        2004,
        1,
        json!({
            "severity_id": 4,
            "status_id": 1,
            "is_alert": true,
            "verdict_id": 2,
            "finding_info": {
                "uid": "f-1",
                "title": "Many failed logons",
                "analytic": { "type_id": 1, "name": "failed_logons" },
                "attacks": [{ "technique": { "uid": "T1110" } }],
            },
            "evidences": [{ "data": { "row": 7 }, "src_endpoint": { "ip": "198.51.100.7" } }],
            "observables": [
                { "name": "evidences[0].src_endpoint.ip", "type_id": 2, "value": "198.51.100.7" },
                { "name": "unmapped.badge", "type_id": 99, "value": "b-7" },
            ],
            "unmapped": { "badge": "b-7" },
        }),
    );
    event["metadata"]["profiles"] = json!(["incident"]);
    event
}
