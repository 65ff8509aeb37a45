//! Whatever the events are, none of them and no value of theirs is lost.

use proptest::prelude::*;
use serde_json::Value;

use super::{Lake, check};
use crate::ingest::{Format, IngestOptions};

/// JSON values as logs hold them, and as they should not.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-1000..1000i64).prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no infinity", |f| f.is_finite())
            .prop_map(|f| format!("{f:e}")),
        "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,20}([eE][+-]?[0-9]{1,3})?",
        "\\PC{0,12}".prop_map(|s| Value::from(s).to_string()),
        Just(r#""\ud800\n\u0041""#.to_owned()),
        (0..4_000_000_000u32).prop_map(|n| n.to_string()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| format!("[{}]", v.join(" , "))),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..3).prop_map(object),
        ]
    })
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(k, v)| format!("{}: {v}", Value::from(k.as_str())))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn an_event() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "[a-e]",
        Just("time".to_owned()),
        Just("raw".to_owned()),
        Just("date".to_owned()),
        Just("readOnly".to_owned()),
        Just("userIdentity".to_owned()),
        Just("eventTime".to_owned()),
        "\\PC{0,3}",
    ];
    prop::collection::vec((key, value()), 0..8).prop_map(object)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_event_and_no_value_is_ever_lost(
        events in prop::collection::vec(an_event(), 1..30),
        chunk_events in 1..10usize,
        mapped in any::<bool>(),
        format in prop_oneof![Just(Format::Ndjson), Just(Format::Json)],
    ) {
        let table = if mapped { "aws_cloudtrail" } else { "t" };
        let lake = Lake::new();
        let content = match format {
            Format::Json => format!("[{}]", events.join(",\n")),
            _ => events.join("\n"),
        };
        let file = lake.file("input", content);
        let options = IngestOptions { chunk_events, format, ..lake.options(table) };
        let report = lake.run(options, &[file]).unwrap();
        prop_assert_eq!(report.events, events.len() as u64);
        check(&lake.stored(table), &events);
    }
}
