//! Normalizers that misbehave: a call ends in events for exactly its records, or in an error of its own.
//!
//! The guest is `tests/guests/hostile-normalizer`; a record says what it does.

use std::sync::OnceLock;

use yagura_host::{
    CallError, LimitKind, LoadError, NormalizedRecords, Normalizer, NormalizerPlugin, PluginError,
    RawRecords, RecordContent,
};

use crate::guests::{guest, host, limits};

fn plugin() -> &'static NormalizerPlugin {
    static PLUGIN: OnceLock<NormalizerPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let bytes = guest("hostile_normalizer");
        host().load_normalizer("n.wasm", &bytes, &limits()).unwrap()
    })
}

fn normalize(records: &[&str]) -> (Normalizer, Result<NormalizedRecords, CallError>) {
    let mut normalizer = plugin().open("{}").unwrap();
    let raw = RawRecords::new(records.iter().map(|of| of.as_bytes())).unwrap();
    assert_eq!(
        (raw.len(), raw.is_empty()),
        (records.len(), records.is_empty())
    );
    let answer = normalizer.normalize(&raw);
    (normalizer, answer)
}

/// Returns the events of each record, or the reason in brackets.
fn contents(records: &[&str]) -> Vec<Vec<String>> {
    let (normalizer, answer) = normalize(records);
    assert!(!normalizer.is_poisoned());
    let answer = answer.unwrap();
    let contents = answer.iter().map(|content| match content {
        RecordContent::Events(events) => events.into_iter().map(str::to_owned).collect(),
        RecordContent::Malformed(reason) => vec![format!("<{reason}>")],
    });
    contents.collect()
}

#[test]
fn each_record_has_its_events_or_a_reason() {
    let found = contents(&["a \"b\"", "malformed", "three-events", "", "no-event", "é"]);
    assert_eq!(
        found,
        [
            vec![r#"{"line":"a \"b\""}"#],
            vec!["<it says so>"],
            vec![r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#],
            vec![r#"{"line":""}"#],
            vec![],
            vec![r#"{"line":"é"}"#],
        ]
    );
    assert!(contents(&[]).is_empty());
    // What the host does not look into, and whoever reads the events must.
    for behaviour in ["not-json", "array", "deep", "key-twice", "counts"] {
        let found = contents(&["a", behaviour, "b"]);
        assert_eq!(found.len(), 3, "{behaviour}");
        assert_eq!(found[2], [r#"{"line":"b"}"#], "{behaviour}");
    }
    let reason = &contents(&["reason-huge"])[0][0];
    assert!(reason.len() < 5_000, "{}", reason.len());
}

#[test]
fn an_answer_that_is_not_about_these_records_is_garbage() {
    for behaviour in [
        "one-too-few",
        "one-too-many",
        "descending",
        "offset-beyond",
        "not-utf8",
        "validity",
        "malformed-beyond",
        "malformed-twice",
        "malformed-with-events",
    ] {
        for records in [&[behaviour][..], &["a", behaviour, "b"]] {
            let (normalizer, answer) = normalize(records);
            let error = answer.unwrap_err();
            assert!(
                matches!(
                    &error,
                    CallError::Garbage {
                        call: "normalize",
                        ..
                    }
                ),
                "{behaviour}: {error}"
            );
            assert!(normalizer.is_poisoned(), "{behaviour}");
        }
    }
}

#[test]
fn a_call_that_uses_too_much_ends_at_its_limit() {
    for (behaviour, kind) in [
        ("loop", LimitKind::Time),
        ("memory", LimitKind::Memory),
        ("stack", LimitKind::Stack),
        ("flood", LimitKind::Output),
        // More than the 8 MiB that these limits allow.
        ("ten-megabytes", LimitKind::Output),
    ] {
        let (normalizer, answer) = normalize(&["a", behaviour]);
        let error = answer.unwrap_err();
        assert!(
            matches!(&error, CallError::Limit(limit) if limit.kind == kind),
            "{behaviour}: {error}"
        );
        assert!(normalizer.is_poisoned(), "{behaviour}");
    }
    let (mut normalizer, answer) = normalize(&["leak"]);
    answer.unwrap();
    let raw = RawRecords::new([b"leak".as_slice()]).unwrap();
    normalizer.normalize(&raw).unwrap();
    let error = normalizer.normalize(&raw).unwrap_err();
    assert!(
        matches!(&error, CallError::Limit(limit) if limit.kind == LimitKind::Memory),
        "{error}"
    );
}

#[test]
fn its_own_errors_do_not_spend_it_and_a_trap_does() {
    for (behaviour, text) in [
        (
            "config",
            "the configuration is wrong: no configuration fits",
        ),
        ("data", "one of them is malformed"),
        ("retry", "try again: later"),
    ] {
        let (mut normalizer, answer) = normalize(&["a", behaviour]);
        let error = answer.unwrap_err();
        assert!(
            matches!(&error, CallError::Guest(_)),
            "{behaviour}: {error}"
        );
        assert!(error.to_string().contains(text), "{behaviour}: {error}");
        let raw = RawRecords::new([b"a".as_slice()]).unwrap();
        assert_eq!(normalizer.normalize(&raw).unwrap().iter().count(), 1);
    }
    let (mut normalizer, answer) = normalize(&["retry-once"]);
    assert!(matches!(
        answer.unwrap_err(),
        CallError::Guest(PluginError::Retry(_))
    ));
    let raw = RawRecords::new([b"retry-once".as_slice()]).unwrap();
    normalizer.normalize(&raw).unwrap();
    let (mut normalizer, answer) = normalize(&["a", "panic"]);
    let error = answer.unwrap_err();
    assert!(matches!(&error, CallError::Trap(_)), "{error}");
    assert!(matches!(
        normalizer.normalize(&raw),
        Err(CallError::Poisoned)
    ));
}

#[test]
fn a_configuration_that_it_refuses_and_other_worlds_are_named() {
    let error = plugin().open("{\"refuse\":1}").unwrap_err();
    assert!(
        matches!(&error, CallError::Guest(PluginError::Config(_))),
        "{error}"
    );
    let bytes = guest("hostile_reviewer");
    let error = host().load_normalizer("r.wasm", &bytes, &limits());
    assert!(matches!(error, Err(LoadError::WrongWorld { .. })));
}
