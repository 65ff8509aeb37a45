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
        poison(),
        (0..4_000_000_000u32).prop_map(|n| n.to_string()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| format!("[{}]", v.join(" , "))),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..3).prop_map(object),
        ]
    })
}

/// Values at which readers of JSON give up, and with them on the whole document.
fn poison() -> impl Strategy<Value = String> {
    prop_oneof![
        "[1-9][0-9]{19,60}",
        "-?[1-9][0-9]{0,30}[eE][+-]?[0-9]{1,5}",
        Just(r#""\udc00""#.to_owned()),
        Just(r#""x\ud800\u0041y""#.to_owned()),
        Just(r#""C:\Windows\System32""#.to_owned()),
        Just(r#""\u12""#.to_owned()),
        Just("\"a\0b\u{1}\tc\"".to_owned()),
        Just("NaN".to_owned()),
        Just("-Infinity".to_owned()),
        Just("tru".to_owned()),
        Just("007".to_owned()),
        Just("0x1F".to_owned()),
        (1..400usize).prop_map(|depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth))),
        (1..400usize).prop_map(|depth| format!(
            "{}null{}",
            r#"{"x":"#.repeat(depth),
            "}".repeat(depth)
        )),
    ]
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

    /// Whatever stands between events, and however they are cut into lines.
    #[test]
    fn events_are_found_between_marks_and_holes(
        events in prop::collection::vec(an_event(), 1..12),
        between in prop::collection::vec(
            prop::sample::select(vec!["", "\n", " ", "\r\n", "\0\0\0", "\n\0\0", "\u{feff}", "\n\u{feff}", "\n\u{1e}", "\n\n", "\0\n"]),
            13,
        ),
        bytes in 0..3usize,
    ) {
        let mut content = String::new();
        for (event, between) in events.iter().zip(&between) {
            content.push_str(between);
            content.push_str(event);
        }
        content.push_str(between[12]);
        // The mark of UTF-16 before a NUL is the mark of UTF-32, which is refused by name.
        let content = match bytes {
            0 => content,
            _ => content.trim_start_matches('\0').to_owned(),
        };
        let content = match bytes {
            0 => content.into_bytes(),
            1 => [vec![0xff, 0xfe], content.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat(),
            _ => [vec![0xfe, 0xff], content.encode_utf16().flat_map(u16::to_be_bytes).collect()].concat(),
        };
        let (report, stored) = Lake::new().ingested("t", content);
        prop_assert_eq!(report.events, events.len() as u64);
        check(&stored, &events);
    }

    /// Lines that are not events cost none of the others, and are kept.
    #[test]
    fn wrong_lines_cost_no_event(
        events in prop::collection::vec((an_event(), "[a-z]{0,9}"), 1..12),
        at_end in any::<bool>(),
    ) {
        let lake = Lake::new();
        let mut content = String::from("{}\n");
        for (event, wrong) in &events {
            for line in [wrong, event] {
                content.push_str(line);
                content.push('\n');
            }
        }
        if at_end {
            content.push_str("end");
        }
        let file = lake.file("input", content);
        let options = IngestOptions { strict: false, format: Format::Ndjson, ..lake.options("t") };
        let report = lake.run(options, &[file]).unwrap();
        let wrong = events.iter().filter(|(_, wrong)| !wrong.is_empty()).count();
        prop_assert_eq!(report.rejected, wrong as u64 + u64::from(at_end));
        let expected: Vec<String> = std::iter::once("{}".to_owned()).chain(events.into_iter().map(|(event, _)| event)).collect();
        check(&lake.stored("t"), &expected);
    }
}
