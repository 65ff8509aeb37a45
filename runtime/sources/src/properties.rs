//! A row depends on its event alone, whichever events are normalized together with it.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use yagura_lake::ingest::{Normalize, Normalized};

use crate::{Mapping, SourceFile};

/// A source with two conditions and a class for all that is left, and with columns of every type.
const SOURCE: &str = r#"
[source]
name = "door"
title = "Door controllers"

[source.fields]
who = "lower(badge.owner)"

[source.columns]
metadata.product.name = "'Door'"
src_endpoint.ip = "reader.addr"
src_endpoint.port = "n"
time = "at"

[[class]]
name = "authentication"
where = "what IN ('open', 'refused') OR n > 50"

[class.columns]
activity_id = "n"
status_id = "CASE what WHEN 'open' THEN 1 WHEN 'refused' THEN 2 END"
user.name = "who"
is_mfa = "badge.second"

[[class]]
name = "http_activity"
where = "what LIKE 'G%' OR badge.owner = 'eve'"

[class.columns]
http_request.http_method = "what"
http_response.code = "n"

[[class]]
name = "base_event"

[class.columns]
message = "coalesce(what, badge.\"0\".owner, 'nothing')"
"#;

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let file = Path::new("door.toml");
    let source = SourceFile::read(file, SOURCE).unwrap();
    Mapping::new(file, SOURCE, &source).unwrap()
});

/// A value of JSON: of every type, with values that fit an attribute and values that do not.
fn value() -> impl Strategy<Value = String> {
    let known = [
        "null",
        "true",
        "false",
        "\"open\"",
        "\"refused\"",
        "\"GET\"",
        "\"Eve\"",
        "\"eve\"",
        "\"\"",
        "\"192.0.2.7\"",
        "\"::1\"",
        "\"the door itself\"",
        "\"2026-02-03T04:05:06Z\"",
        "\"a \\\"b\\\" \\u00e9 \\ud800\"",
    ];
    let leaf = prop_oneof![
        4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        2 => (-3_i64..120).prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f32>().prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| number.to_string()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            2 => object(inner.clone()),
            1 => prop::collection::vec(inner, 0..3)
                .prop_map(|values| format!("[{}]", values.join(","))),
        ]
    })
}

/// An object; a key may stand in it twice.
fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let keys = [
        "what",
        "n",
        "badge",
        "owner",
        "second",
        "reader",
        "addr",
        "badge.owner",
        "at",
        "other",
    ];
    let member = (prop::sample::select(keys.to_vec()), value);
    prop::collection::vec(member, 0..6).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

/// An event: of the source's shape, so that it reaches a class and has observables, or of any.
fn event() -> impl Strategy<Value = String> {
    let text = |texts: &'static [&'static str]| prop::sample::select(texts);
    let shaped = (
        text(&["open", "refused", "GET /", "battery"]),
        -1_i64..4,
        text(&["Ann", "eve", ""]),
        text(&["true", "1", "[]"]),
        text(&["192.0.2.7", "::1", "local", ""]),
    );
    let shaped = shaped.prop_map(|(what, n, owner, second, addr)| {
        format!(
            "{{\"what\":\"{what}\",\"n\":{n},\"badge\":{{\"owner\":\"{owner}\",\"second\":{second}}},\"reader\":{{\"addr\":\"{addr}\"}}}}"
        )
    });
    prop_oneof![1 => shaped, 1 => object(value())]
}

fn rows(events: &[String]) -> Vec<Normalized> {
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    MAPPING.normalize(&events)
}

proptest! {
    #[test]
    fn a_batch_gives_the_rows_of_its_parts(events in prop::collection::vec(event(), 1..16)) {
        let whole = rows(&events);
        prop_assert_eq!(whole.len(), events.len());
        for (event, row) in events.iter().zip(&whole) {
            let alone = rows(std::slice::from_ref(event));
            prop_assert_eq!(&alone[..], std::slice::from_ref(row), "{}", event);
        }
        for place in 0..=events.len() {
            let (first, second) = events.split_at(place);
            let mut parts = rows(first);
            parts.extend(rows(second));
            prop_assert_eq!(&parts, &whole, "split at {}", place);
        }
    }
}

/// The events of the property reach each class, and each kind of value that does not fit.
#[test]
fn the_mapping_of_the_property_has_rows_of_each_class() {
    let events = [
        r#"{"what":"open","n":1,"badge":{"owner":"Eve","second":true},"reader":{"addr":"::1"}}"#,
        r#"{"what":"GET","n":-1,"reader":{"addr":"x"}}"#,
        r#"{"badge":[{"owner":"ann"}]}"#,
    ];
    let rows = rows(&events.map(str::to_owned));
    let classes: Vec<&str> = rows.iter().map(|row| row.class).collect();
    assert_eq!(classes, ["authentication", "http_activity", "base_event"]);
    assert!(rows[0].unfit.is_empty(), "{:?}", rows[0]);
    assert_eq!(rows[1].unfit.len(), 2, "{:?}", rows[1]);
    assert!(
        rows[2].members.contains("\"message\":\"ann\""),
        "{:?}",
        rows[2]
    );
}
