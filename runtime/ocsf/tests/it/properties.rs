//! Events that nobody wrote: names of the schema with values of any kind.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};
use yagura_ocsf::{Schema, completed, observables, validate};

const CLASSES: [&str; 5] = [
    "authentication",
    "base_event",
    "detection_finding",
    "dns_activity",
    "process_activity",
];

const NAMES: [&str; 30] = [
    "activity_id",
    "activity_name",
    "severity_id",
    "severity",
    "status_id",
    "status",
    "metadata",
    "profiles",
    "version",
    "user",
    "type",
    "type_id",
    "src_endpoint",
    "ip",
    "port",
    "process",
    "parent_process",
    "file",
    "hashes",
    "value",
    "algorithm_id",
    "algorithm",
    "answers",
    "flag_ids",
    "flags",
    "observables",
    "name",
    "unmapped",
    "time",
    "not.a[name",
];

const WORDS: [&str; 8] = [
    "",
    "high",
    "Logon",
    "Other",
    "192.0.2.1",
    "host",
    "security_control",
    "SHA-256",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..120).prop_map(Value::from),
        prop_oneof![any::<u64>(), Just(u64::MAX), Just(1 << 63)].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(&WORDS[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((select(&NAMES[..]), values), 0..8).prop_map(|all| {
        all.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

/// Asserts that each value of the first is in the second, in its place.
fn is_kept(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Null, _) => true,
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .all(|(name, value)| after.get(name).is_some_and(|after| is_kept(value, after))),
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(a, b)| is_kept(a, b))
        }
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn completing_keeps_what_is_there_and_is_done_at_once(
        class in select(&CLASSES[..]),
        event in object(any_json()),
    ) {
        let class = Schema::shipped().class(class).unwrap();
        let mut once = event.clone();
        completed(class, &mut once);
        prop_assert!(is_kept(&event.into(), &once.clone().into()));
        let mut twice = once.clone();
        completed(class, &mut twice);
        prop_assert_eq!(once, twice);
    }

    /// A problem and an observable name a place: the attribute, or where it is missing, the object that lacks it.
    #[test]
    fn what_is_found_has_a_place_in_the_event(class in select(&CLASSES[..]), event in object(any_json())) {
        let class = Schema::shipped().class(class).unwrap();
        let event = Value::from(event);
        for one in validate(class, &event) {
            prop_assert!(!one.message.is_empty());
            let is_missing = one.kind == yagura_ocsf::ProblemKind::MissingRequired;
            // A name of the event may hold what separates the names of a path.
            if !is_missing && !one.path.contains("not.a[name") {
                prop_assert!(at(&event, &one.path).is_some(), "{one:?}");
            }
        }
        for one in observables(class, &event) {
            let found = at(&event, &one.name);
            prop_assert!(found.is_some_and(|value| value.is_object() == one.value.is_none()), "{one:?}");
            prop_assert!(class.attribute(&one.name).is_some(), "{one:?}");
        }
    }

    #[test]
    fn no_path_makes_it_fail(path in "[a-z_.\\[\\]0-9]{0,30}|\\PC{0,20}") {
        for class in Schema::shipped().classes().take(5) {
            let found = class.find_attribute(&path);
            prop_assert_eq!(found.clone().ok(), class.attribute(&path));
            if let Err(unknown) = found {
                prop_assert!(unknown.to_string().contains("has no attribute"));
            }
        }
    }
}

/// Returns what is at a path with places in lists.
fn at<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    match pointer.as_str() {
        "" => Some(event),
        pointer => event.pointer(&format!("/{pointer}")),
    }
}
