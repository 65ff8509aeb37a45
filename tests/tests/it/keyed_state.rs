//! Detectors with state: what a key remembers, who sees it, and what is left of it when a call fails.
//!
//! The guest is `tests/guests/stateful`, in Rust, and there are its likes in Go and Python; the events say what they do to
//! their state.

use std::path::PathBuf;
use std::sync::OnceLock;

use yagura_core::pack::Limits;
use yagura_core::{KeyState, Timestamp};
use yagura_host::{
    BatchRef, CallError, ColumnRef, DataType, Detector, DetectorPlugin, Field, Host, HostConfig,
    RawFinding, RuleSpec,
};
use yagura_tests::guests;

fn stateful() -> &'static DetectorPlugin {
    static PLUGIN: OnceLock<DetectorPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let limits = Limits {
            time: "2s".parse().unwrap(),
            state_kib: 8,
            ..Limits::default()
        };
        Host::new(HostConfig::default())
            .unwrap()
            .load_detector_bytes("stateful.wasm", guests::stateful(), &limits)
            .unwrap()
    })
}

/// Loads the guest of another language, a pack that `cargo xtask guests` builds.
fn load(language: &str) -> DetectorPlugin {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/guests");
    let file = PathBuf::from(guests).join(format!("stateful-{language}/stateful.wasm"));
    let host = Host::new(HostConfig {
        cache_dir: yagura_host::default_cache_dir(),
        ..HostConfig::default()
    });
    host.unwrap()
        .load_detector(&file, &Limits::default())
        .unwrap_or_else(|error| panic!("{error}; `cargo xtask guests` builds the guests"))
}

fn rule(id: &str) -> RuleSpec {
    let columns = [("step", DataType::Utf8), ("time", DataType::TimestampUs)];
    RuleSpec {
        id: id.to_owned(),
        config_json: "{}".to_owned(),
        schema: columns
            .map(|(name, data_type)| Field {
                name: name.to_owned(),
                data_type,
                nullable: true,
            })
            .to_vec(),
    }
}

fn open() -> Detector {
    open_rules(stateful())
}

/// Opens both rules: 0 is `other-steps`, 1 is `steps`.
fn open_rules(plugin: &DetectorPlugin) -> Detector {
    let rules = [rule("other-steps"), rule("steps")];
    plugin.open("{}", &rules).unwrap()
}

const RULE: u32 = 1;

/// The bytes of events, a step a microsecond.
struct Events {
    rows: u32,
    offsets: Vec<u8>,
    texts: Vec<u8>,
    times: Vec<u8>,
}

impl Events {
    fn new(first: i64, steps: &[&str]) -> Self {
        let mut offsets = 0_u32.to_le_bytes().to_vec();
        let mut texts = Vec::new();
        for step in steps {
            texts.extend(step.as_bytes());
            offsets.extend(u32::try_from(texts.len()).unwrap().to_le_bytes());
        }
        let times = (first..).take(steps.len()).flat_map(i64::to_le_bytes);
        Self {
            rows: u32::try_from(steps.len()).unwrap(),
            offsets,
            texts,
            times: times.collect(),
        }
    }

    fn evaluated<T>(&self, evaluate: impl FnOnce(BatchRef<'_>) -> T) -> T {
        let text = ColumnRef {
            offsets: &self.offsets,
            values: &self.texts,
            ..ColumnRef::default()
        };
        let time = ColumnRef {
            values: &self.times,
            ..ColumnRef::default()
        };
        evaluate(BatchRef {
            rows: self.rows,
            columns: &[text, time],
        })
    }
}

fn try_evaluate(
    detector: &mut Detector,
    state: &mut KeyState,
    first: i64,
    steps: &[&str],
) -> Result<Vec<RawFinding>, CallError> {
    Events::new(first, steps).evaluated(|batch| detector.on_keyed_batch(RULE, batch, state))
}

fn evaluate(
    detector: &mut Detector,
    state: &mut KeyState,
    first: i64,
    steps: &[&str],
) -> Vec<String> {
    titles(try_evaluate(detector, state, first, steps).unwrap())
}

fn titles(findings: Vec<RawFinding>) -> Vec<String> {
    let titles = findings.into_iter().map(|finding| finding.title);
    titles.map(Option::unwrap).collect()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::clamped(micros)
}

fn times(state: &KeyState) -> Vec<i64> {
    state.wakes.iter().map(|time| time.micros()).collect()
}

#[test]
fn counts_are_of_one_key_and_any_instance_goes_on_with_them() {
    let (mut alice, mut bob) = (KeyState::default(), KeyState::default());
    let mut detector = open();
    assert_eq!(
        evaluate(&mut detector, &mut alice, 0, &["count", "count"]),
        ["1", "2"]
    );
    assert_eq!(
        evaluate(&mut detector, &mut bob, 1, &["read", "count"]),
        ["0", "1"]
    );
    let mut another = open();
    assert_eq!(
        evaluate(&mut another, &mut alice, 2, &["count", "read"]),
        ["3", "3"]
    );
    assert_eq!(
        evaluate(&mut detector, &mut bob, 3, &["read", "forget", "read"]),
        ["1", "done", "0"]
    );
    assert!(bob.is_empty());
    assert_eq!(alice.entries["n"].value, 3_i64.to_le_bytes());
}

#[test]
fn what_has_expired_is_absent_however_rows_are_cut_into_batches() {
    let steps = [
        "count for ten",
        "count",
        "write",
        "text",
        "count text",
        "read",
        "read",
        "read",
        "read",
        "read",
        "read",
        "count",
        "text",
        "read",
    ];
    let told = [
        "1",
        "2",
        "done",
        "名",
        "the entry is not a counter: it is not eight bytes long",
        "2",
        "2",
        "2",
        "2",
        "2",
        "0",
        "1",
        "",
        "1",
    ];
    let mut detector = open();
    for size in 1..=steps.len() {
        let mut state = KeyState::default();
        let mut titles = Vec::new();
        for (number, part) in steps.chunks(size).enumerate() {
            let first = i64::try_from(number * size).unwrap();
            titles.extend(evaluate(&mut detector, &mut state, first, part));
        }
        assert_eq!(titles, told, "in batches of {size}");
        assert_eq!(state.entries.len(), 1, "the text is dropped");
    }
}

#[test]
fn a_key_is_woken_with_its_own_state_and_time() {
    let mut detector = open();
    let mut state = KeyState::default();
    evaluate(
        &mut detector,
        &mut state,
        0,
        &["count", "wake", "wake", "wake"],
    );
    assert_eq!(times(&state), [6, 7, 8]);
    // Of two rules the one that asked answers.
    let findings = detector.on_wake(RULE, at(6), &mut state).unwrap();
    assert_eq!(titles(findings), ["steps: 1 at 6, done"]);
    assert_eq!(times(&state), [7, 8]);
    evaluate(&mut detector, &mut state, 6, &["count"]);
    let findings = detector.on_wake(RULE, at(7), &mut state).unwrap();
    assert_eq!(titles(findings), ["steps: 2 at 7, done"]);
    assert_eq!(times(&state), [8, 107]);
    // Outside of a key every rule hears of the time, and this one has no state to look at.
    let error = detector.on_wake(7, at(8), &mut state).unwrap_err();
    assert!(matches!(error, CallError::Misuse { .. }), "{error}");
    assert!(detector.on_watermark(at(8)).unwrap().is_empty());
    assert_eq!(times(&state), [8, 107]);
}

#[test]
fn limits_refuse_openly_and_are_counted() {
    let mut detector = open();
    let mut state = KeyState::default();
    for step in ["large value", "large value"] {
        // The second takes the place of the first.
        assert_eq!(evaluate(&mut detector, &mut state, 0, &[step]), ["done"]);
        assert_eq!(detector.last_state_refusals(), 0);
    }
    assert_eq!(state.bytes(), 2005);
    for (step, limit, refusals) in [
        ("many entries", "which is the maximum", 1),
        ("many wake-ups", "which is the maximum", 1),
        ("read", "0", 0),
    ] {
        let mut state = KeyState::default();
        let told = evaluate(&mut detector, &mut state, 0, &[step]);
        assert!(told[0].contains(limit), "{told:?}");
        assert_eq!(detector.last_state_refusals(), refusals, "{step}");
    }
    // What comes and goes takes no room.
    let mut state = KeyState::default();
    assert_eq!(
        evaluate(&mut detector, &mut state, 0, &["come and go"]),
        ["done"]
    );
    assert!(state.is_empty());
}

#[test]
fn bytes_are_bounded_by_the_manifest() {
    let limits = Limits {
        state_kib: 1,
        ..Limits::default()
    };
    let plugin = Host::new(HostConfig::default())
        .unwrap()
        .load_detector_bytes("stateful.wasm", guests::stateful(), &limits)
        .unwrap();
    let mut detector = plugin.open("{}", &[rule("steps")]).unwrap();
    let mut state = KeyState::default();
    let told = Events::new(0, &["count", "large value", "read"])
        .evaluated(|batch| detector.on_keyed_batch(0, batch, &mut state))
        .unwrap();
    assert_eq!(
        titles(told),
        [
            "1",
            "the state is full: the entries of the key would have 2014 bytes; the maximum is 1024 (`limits.state_kib = 1` in pack.toml)",
            "1"
        ]
    );
    assert_eq!(detector.last_state_refusals(), 1);
    assert_eq!(state.entries.len(), 1);
}

#[test]
fn there_is_no_state_outside_of_a_key() {
    let mut detector = open();
    let mut state = KeyState::default();
    evaluate(&mut detector, &mut state, 0, &["count"]);
    for step in ["count", "read", "write", "text", "wake", "forget"] {
        let told = Events::new(0, &[step]).evaluated(|batch| detector.on_batch(RULE, batch));
        let told = titles(told.unwrap());
        assert!(told[0].contains("there is no state here"), "{told:?}");
    }
    assert_eq!(detector.last_state_refusals(), 0);
    assert_eq!(evaluate(&mut detector, &mut state, 1, &["count"]), ["2"]);
}

#[test]
fn a_call_that_fails_leaves_the_state_as_it_was() {
    let mut state = KeyState::default();
    evaluate(&mut open(), &mut state, 0, &["count", "wake", "write"]);
    let before = state.clone();
    for step in ["error", "panic", "loop", "unknown"] {
        let mut detector = open();
        let steps = [
            "count",
            "forget",
            "wake",
            "large value",
            "come and go",
            step,
        ];
        let error = try_evaluate(&mut detector, &mut state, 3, &steps).unwrap_err();
        assert_eq!(state, before, "after {error}");
        // Neither the instance, where it lives on, nor another has seen anything.
        if !detector.is_poisoned() {
            assert_eq!(
                evaluate(&mut detector, &mut state.clone(), 3, &["count"]),
                ["2"]
            );
        } else {
            let again = try_evaluate(&mut detector, &mut state, 3, &["count"]);
            assert!(matches!(again, Err(CallError::Poisoned)));
            assert_eq!(state, before);
        }
    }
    let mut detector = open();
    evaluate(&mut detector, &mut state, 3, &["count", "count"]);
    let before = state.clone();
    detector.on_wake(RULE, at(6), &mut state).unwrap_err();
    assert_eq!(state, before, "the wake-up is still awaited");
}

#[test]
fn a_batch_that_does_not_fit_the_rule_changes_nothing() {
    let mut detector = open();
    let mut state = KeyState::default();
    evaluate(&mut detector, &mut state, 0, &["count"]);
    let sent = BatchRef {
        rows: 0,
        columns: &[],
    };
    let before = state.clone();
    let error = detector.on_keyed_batch(RULE, sent, &mut state).unwrap_err();
    assert!(matches!(error, CallError::Misuse { .. }), "{error}");
    assert_eq!(state, before);
}

/// Lets a detector do all that can be done to a state, in small batches, and returns what it said and what is left.
fn remembered(mut detector: Detector) -> (Vec<String>, KeyState) {
    let mut state = KeyState::default();
    let mut told = Vec::new();
    let no_key = Events::new(0, &["count", "text", "wake"])
        .evaluated(|batch| detector.on_batch(RULE, batch))
        .unwrap();
    told.extend(titles(no_key));
    for (first, steps) in [
        (
            0,
            &["count for ten", "count", "write", "text", "count text"][..],
        ),
        (
            9,
            &["read", "read", "count", "text", "text", "many wake-ups"],
        ),
        (20, &["many entries", "read", "come and go", "forget"]),
        (
            30,
            &[
                "large value",
                "write",
                "count",
                "count",
                "forget",
                "count",
                "wake",
            ],
        ),
    ] {
        told.extend(evaluate(&mut detector, &mut state, first, steps));
        told.push(detector.last_state_refusals().to_string());
    }
    let before = state.clone();
    let failed = try_evaluate(&mut detector, &mut state, 40, &["count", "wake", "error"]);
    told.push(failed.unwrap_err().to_string());
    assert_eq!(state, before);
    for time in [15, 41] {
        let findings = detector.on_wake(RULE, at(time), &mut state).unwrap();
        told.extend(titles(findings));
    }
    assert!(detector.on_watermark(at(50)).unwrap().is_empty());
    (told, state)
}

#[test]
fn the_other_languages_remember_alike() {
    let rust = remembered(open_rules(
        &Host::new(HostConfig::default())
            .unwrap()
            .load_detector_bytes("stateful.wasm", guests::stateful(), &Limits::default())
            .unwrap(),
    ));
    assert!(
        rust.0.contains(&"steps: 1 at 41, done".to_owned()),
        "{:#?}",
        rust.0
    );
    for language in ["go", "python"] {
        let (told, state) = remembered(open_rules(&load(language)));
        assert_eq!(told, rust.0, "{language}");
        assert!(state == rust.1, "what {language} keeps differs");
    }
}

#[test]
fn a_component_shows_whether_it_may_remember() {
    let state = "yagura:plugin/state@0.1.0".to_owned();
    assert!(stateful().info().imports.contains(&state));
    let info = yagura_host::inspect("hostile.wasm", guests::hostile()).unwrap();
    assert!(!info.imports.contains(&state), "{:?}", info.imports);
}
