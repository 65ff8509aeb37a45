//! Valid events, and each kind of problem.

use serde_json::{Value, json};
use yagura_ocsf::ProblemKind::{
    Constraint, MissingRequired, NotInEnum, UnknownAttribute, WrongType,
};
use yagura_ocsf::{ProblemKind, Schema, validate};

use crate::events;

/// Returns path and kind of the problems of an event, and their messages.
fn problems(class: &str, event: &Value) -> (Vec<(String, ProblemKind)>, Vec<String>) {
    let found = validate(Schema::shipped().class(class).unwrap(), event);
    found
        .into_iter()
        .map(|problem| ((problem.path, problem.kind), problem.message))
        .unzip()
}

/// Sets a value, by its JSON pointer, in an event.
fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    event
}

#[test]
fn valid_events_have_no_problem() {
    for (class, event) in events::all() {
        let (_, messages) = problems(class, &event);
        assert!(messages.is_empty(), "{class}: {messages:#?}");
    }
}

/// One change of a valid event makes one problem, with the path of what was changed and a message in plain words.
#[test]
fn each_wrong_value_is_one_problem() {
    let cases = [
        (
            "authentication",
            events::authentication(),
            "/usr",
            json!({ "name": "x" }),
            "usr",
            UnknownAttribute,
            "`usr`: class `authentication` has no attribute `usr`; did you mean `user`",
        ),
        (
            "authentication",
            events::authentication(),
            "/user/nmae",
            json!("x"),
            "user.nmae",
            UnknownAttribute,
            "`user.nmae`: object `user` has no attribute `nmae`; did you mean `name`",
        ),
        (
            "authentication",
            events::authentication(),
            "/cloud",
            json!({ "provider": "AWS" }),
            "cloud",
            UnknownAttribute,
            "`cloud` is only in events with the profile `cloud`: add it to `metadata.profiles`",
        ),
        (
            "authentication",
            events::authentication(),
            "/time",
            json!("2026-01-30T08:00:00Z"),
            "time",
            WrongType,
            "`time` must be a whole number of milliseconds since 1970-01-01, but is a string",
        ),
        (
            "authentication",
            events::authentication(),
            "/src_endpoint/ip",
            json!("300.1.1.1"),
            "src_endpoint.ip",
            WrongType,
            "`src_endpoint.ip` must be of type ip_t (IP Address), but is \"300.1.1.1\"",
        ),
        (
            "authentication",
            events::authentication(),
            "/src_endpoint/port",
            json!(65_536),
            "src_endpoint.port",
            WrongType,
            "`src_endpoint.port` must be from 0 to 65535, but is 65536",
        ),
        (
            "authentication",
            events::authentication(),
            "/src_endpoint/port",
            json!("443"),
            "src_endpoint.port",
            WrongType,
            "`src_endpoint.port` must be a whole number, but is a string",
        ),
        (
            "authentication",
            events::authentication(),
            "/is_mfa",
            json!("false"),
            "is_mfa",
            WrongType,
            "`is_mfa` must be true or false, but is a string",
        ),
        (
            "authentication",
            events::authentication(),
            "/user",
            json!("mallory"),
            "user",
            WrongType,
            "`user` must be an object of type user, but is a string",
        ),
        (
            "authentication",
            events::authentication(),
            "/user/email_addr",
            json!("mallory"),
            "user.email_addr",
            WrongType,
            "`user.email_addr` must be of type email_t (Email Address), but is \"mallory\"",
        ),
        (
            "api_activity",
            events::api_activity(),
            "/resources",
            json!({ "uid": "x" }),
            "resources",
            WrongType,
            "`resources` must be a list of resource_details, but is an object",
        ),
        (
            "network_activity",
            events::network_activity(),
            "/src_endpoint/mac",
            json!("005300AABBCC"),
            "src_endpoint.mac",
            WrongType,
            "`src_endpoint.mac` must be of type mac_t (MAC Address), but is \"005300AABBCC\"",
        ),
        (
            "network_activity",
            events::network_activity(),
            "/traffic/bytes_in",
            json!(1.5),
            "traffic.bytes_in",
            WrongType,
            "`traffic.bytes_in` must be a whole number, but is a number with a fraction",
        ),
        (
            "authentication",
            events::authentication(),
            "/severity_id",
            json!(7),
            "severity_id",
            NotInEnum,
            "`severity_id` is 7, but must be one of 0 (Unknown), 1 (Informational), 2 (Low)",
        ),
        (
            "dns_activity",
            events::dns_activity(),
            "/answers/0/flag_ids",
            json!([1, 42]),
            "answers[0].flag_ids[1]",
            NotInEnum,
            "`answers[0].flag_ids[1]` is 42, but must be one of 0 (Unknown)",
        ),
        (
            "authentication",
            events::authentication(),
            "/class_uid",
            json!(3003),
            "class_uid",
            NotInEnum,
            "`class_uid` is 3003, but must be one of 3002 (Authentication)",
        ),
        (
            "authentication",
            events::authentication(),
            "/metadata/profiles",
            json!(["clod"]),
            "metadata.profiles[0]",
            NotInEnum,
            "`metadata.profiles[0]`: there is no profile `clod`; did you mean `cloud`",
        ),
        (
            "authentication",
            events::authentication(),
            "/user",
            json!(null),
            "user",
            MissingRequired,
            "`user` is missing, but class `authentication` requires it",
        ),
        (
            "authentication",
            events::authentication(),
            "/metadata/product",
            json!(null),
            "metadata.product",
            MissingRequired,
            "`metadata.product` is missing, but object `metadata` requires it",
        ),
        (
            "process_activity",
            events::process_activity(),
            "/process/file/hashes/0/value",
            json!(null),
            "process.file.hashes[0].value",
            MissingRequired,
            "`process.file.hashes[0].value` is missing, but object `fingerprint` requires it",
        ),
        (
            "authentication",
            events::authentication(),
            "/metadata/profiles",
            json!(["cloud"]),
            "cloud",
            MissingRequired,
            "`cloud` is missing, but class `authentication` requires it",
        ),
        (
            "authentication",
            events::authentication(),
            "/user",
            json!({ "full_name": "M" }),
            "user",
            Constraint,
            "`user`: object `user` must have at least one of `account`, `name`, `uid`, but has none",
        ),
        (
            "authentication",
            events::authentication(),
            "/dst_endpoint",
            json!(null),
            "",
            Constraint,
            "class `authentication` must have at least one of `service`, `dst_endpoint`, but has none",
        ),
        (
            "detection_finding",
            events::detection_finding(),
            "/observables/0/name",
            json!("evidences.ip"),
            "observables[0].name",
            UnknownAttribute,
            "`observables[0].name` leads to no attribute: `evidences.ip`: object `evidences` has no attribute `ip`",
        ),
    ];
    for (class, event, pointer, value, path, kind, message) in cases {
        let (found, messages) = problems(class, &with(event, pointer, value));
        assert_eq!(found, [(path.to_owned(), kind)], "{messages:#?}");
        assert!(
            messages[0].starts_with(message),
            "{} is not {message}",
            messages[0]
        );
    }
}

#[test]
fn only_one_means_neither_none_nor_two() {
    let finding = json!({ "cve": { "uid": "CVE-2026-1" } });
    let event = |vulnerability: Value| {
        with(
            events::detection_finding(),
            "/vulnerabilities",
            json!([vulnerability]),
        )
    };
    assert!(
        problems("detection_finding", &event(finding.clone()))
            .0
            .is_empty()
    );
    let two = json!({ "cve": { "uid": "CVE-2026-1" }, "cwe": { "uid": "CWE-79" } });
    for (vulnerability, message) in [
        (two, "must have only one of `cve`, `cwe`"),
        (
            json!({ "title": "x" }),
            "must have exactly one of `advisory`, `cve`, `cwe`, but has none",
        ),
    ] {
        let (found, messages) = problems("detection_finding", &event(vulnerability));
        assert_eq!(found, [("vulnerabilities[0]".to_owned(), Constraint)]);
        assert!(messages[0].ends_with(message), "{}", messages[0]);
    }
}

#[test]
fn the_type_follows_from_class_and_activity() {
    let event = with(events::authentication(), "/type_uid", json!(300_202));
    let (found, messages) = problems("authentication", &event);
    assert_eq!(found, [("type_uid".to_owned(), Constraint)]);
    assert_eq!(
        messages[0],
        "`type_uid` must be 300201 (class_uid * 100 + activity_id), but is 300202"
    );
}

/// A constraint may name an attribute below another.
#[test]
fn a_constraint_looks_into_objects() {
    let class = Schema::shipped().class("patch_state").unwrap();
    let has = |os: Value| {
        let event = json!({ "device": { "type_id": 1, "os": os } });
        let found = validate(class, &event);
        found
            .iter()
            .any(|one| one.kind == Constraint && one.path.is_empty())
    };
    assert!(has(json!({ "type_id": 100 })));
    assert!(!has(json!({ "type_id": 100, "version": "24.04" })));
}

#[test]
fn what_is_not_an_object_is_one_problem() {
    let (found, messages) = problems("authentication", &json!([1]));
    assert_eq!(found, [(String::new(), WrongType)]);
    assert_eq!(messages[0], "an event must be an object, but is a list");
}

/// Addresses of both versions, and what is none.
#[test]
fn addresses_are_those_of_the_standard() {
    let is_valid = |ip: &str| {
        let event = with(events::authentication(), "/src_endpoint/ip", json!(ip));
        problems("authentication", &event).0.is_empty()
    };
    for ip in [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "2001:db8::1",
        "fe80::1%eth0",
        "::ffff:192.0.2.1",
    ] {
        assert!(is_valid(ip), "{ip}");
    }
    for ip in [
        "",
        "-",
        "1.2.3",
        "256.1.1.1",
        "1.2.3.4/24",
        "1.2.3.4:80",
        "host",
        "2001:db8::g",
    ] {
        assert!(!is_valid(ip), "{ip}");
    }
}
