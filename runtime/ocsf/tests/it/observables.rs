//! What is found, by type, attribute and object.

use serde_json::{Value, json};
use yagura_ocsf::{Schema, observables, validate};

use crate::events;

fn found(class: &str, event: &Value) -> Vec<(String, u32, &'static str, Option<String>)> {
    let class = Schema::shipped().class(class).unwrap();
    let mut found = observables(class, event);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
        .into_iter()
        .map(|one| (one.name, one.type_id, one.type_caption, one.value))
        .collect()
}

fn one(
    name: &str,
    id: u32,
    caption: &'static str,
    value: Option<&str>,
) -> (String, u32, &'static str, Option<String>) {
    (name.to_owned(), id, caption, value.map(str::to_owned))
}

#[test]
fn an_authentication_has_users_and_endpoints() {
    let found = found("authentication", &events::authentication());
    assert_eq!(
        found,
        [
            one("actor.user", 21, "User", None),
            one("actor.user.name", 4, "User Name", Some("SYSTEM")),
            one("dst_endpoint", 20, "Endpoint", None),
            one(
                "dst_endpoint.hostname",
                1,
                "Hostname",
                Some("dc01.example.com")
            ),
            one("src_endpoint", 20, "Endpoint", None),
            one("src_endpoint.ip", 2, "IP Address", Some("198.51.100.7")),
            one("src_endpoint.port", 11, "Port", Some("50122")),
            one("user", 21, "User", None),
            one("user.name", 4, "User Name", Some("mallory")),
            one("user.uid", 31, "User Object: uid", Some("S-1-5-21-7")),
        ]
    );
}

/// By type, by attribute of the dictionary, by object, by attribute of one object, and in lists.
#[test]
fn each_way_to_mark_an_observable_counts() {
    let process = found("process_activity", &events::process_activity());
    for wanted in [
        one("process", 25, "Process", None),
        one("process.name", 9, "Process Name", Some("cmd.exe")),
        one(
            "process.cmd_line",
            13,
            "Command Line",
            Some("cmd.exe /c whoami"),
        ),
        one("process.pid", 15, "Process ID", Some("4711")),
        one("process.file", 24, "File", None),
        one("process.file.name", 7, "File Name", Some("cmd.exe")),
        one("process.file.hashes[0]", 30, "Fingerprint", None),
        one(
            "process.file.hashes[0].value",
            8,
            "Hash",
            Some("0123456789abcdef"),
        ),
        one(
            "process.parent_process.parent_process.pid",
            15,
            "Process ID",
            Some("1"),
        ),
    ] {
        assert!(process.contains(&wanted), "{wanted:?} in {process:#?}");
    }
    let http = found("http_activity", &events::http_activity());
    for wanted in [
        one("http_request.url", 23, "Uniform Resource Locator", None),
        one(
            "http_request.url.url_string",
            6,
            "URL String",
            Some("https://www.example.com/a?b=c"),
        ),
        one(
            "http_request.user_agent",
            16,
            "HTTP User-Agent",
            Some("curl/8.0"),
        ),
    ] {
        assert!(http.contains(&wanted), "{wanted:?} in {http:#?}");
    }
}

#[test]
fn what_is_not_of_its_type_is_left_out() {
    let event = json!({
        "src_endpoint": { "ip": "-", "port": 70_000, "hostname": "", "mac": null },
        "dst_endpoint": {},
        "user": "mallory",
        "observables": [{ "name": "user.name", "type_id": 4, "value": "bob" }],
        "unmapped": { "src_endpoint": { "ip": "192.0.2.1" } },
    });
    let found = found("authentication", &event);
    assert_eq!(found, [one("src_endpoint", 20, "Endpoint", None)]);
    assert!(
        observables(
            Schema::shipped().class("authentication").unwrap(),
            &json!(7)
        )
        .is_empty()
    );
}

/// What is found may be written into the event: it names what is there.
#[test]
fn events_with_their_observables_are_valid() {
    for (name, mut event) in events::all() {
        let class = Schema::shipped().class(name).unwrap();
        let found = observables(class, &event);
        assert!(!found.is_empty(), "{name}");
        for one in &found {
            let pointer = format!("/{}", one.name.replace(['.', '['], "/").replace(']', ""));
            let value = event.pointer(&pointer).unwrap();
            match &one.value {
                Some(text) => assert_eq!(
                    value.as_str().map_or(value.to_string(), str::to_owned),
                    *text
                ),
                None => assert!(value.is_object()),
            }
        }
        event["observables"] = found.iter().map(yagura_ocsf::Observable::to_json).collect();
        let problems = validate(class, &event);
        assert!(problems.is_empty(), "{name}: {problems:#?}");
        assert_eq!(
            observables(class, &event),
            found,
            "those of the event are not counted again"
        );
    }
}
