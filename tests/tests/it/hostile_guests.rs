//! Every way in which a plugin breaks its promises has its own error, and the next instance works.
//!
//! The guest is `tests/guests/hostile`; the rule's id says what it does.

use std::sync::atomic::AtomicUsize;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use yagura_core::Timestamp;
use yagura_core::pack::Limits;
use yagura_host::{
    BatchRef, CallError, ColumnRef, DataType, Detector, DetectorPlugin, Field, Host, HostConfig,
    LimitExceeded, LimitKind, LogLevel, Pace, PluginError, RawFinding, RuleSpec,
};
use yagura_tests::guests;

const ROWS: u32 = 4;

fn limits() -> Limits {
    Limits {
        time: "2s".parse().unwrap(),
        memory_mib: 32,
        output_mib: 4,
        log_lines: 20,
        ..Limits::default()
    }
}

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(HostConfig::default()).unwrap())
}

fn hostile() -> &'static DetectorPlugin {
    static PLUGIN: OnceLock<DetectorPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        host()
            .load_detector_bytes("hostile.wasm", guests::hostile(), &limits())
            .unwrap()
    })
}

/// Opens an instance with one rule of one column without values to speak of.
fn try_open(behaviour: &str) -> Result<Detector, CallError> {
    open_of(hostile(), behaviour)
}

fn open_of(plugin: &DetectorPlugin, behaviour: &str) -> Result<Detector, CallError> {
    let rule = RuleSpec {
        id: behaviour.to_owned(),
        config_json: "{}".to_owned(),
        schema: vec![field("number", DataType::Int64)],
    };
    plugin.open("{\"a\":1}", &[rule])
}

fn open(behaviour: &str) -> Detector {
    try_open(behaviour).unwrap()
}

fn field(name: &str, data_type: DataType) -> Field {
    Field {
        name: name.to_owned(),
        data_type,
        nullable: true,
    }
}

fn batch(detector: &mut Detector) -> Result<Vec<RawFinding>, CallError> {
    let column = ColumnRef {
        values: &[0; 8 * ROWS as usize],
        ..ColumnRef::default()
    };
    let sent = BatchRef {
        rows: ROWS,
        columns: &[column],
    };
    detector.on_batch(0, sent)
}

/// Runs `work` and fails when it does not end: a broken limit must not hang the tests.
fn bounded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the call did not end in a minute"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

/// Makes one call, checks that it spends the instance and that the next instance works, and returns the error.
fn fails(detector: Detector) -> CallError {
    fails_after(detector, 0)
}

fn fails_after(mut detector: Detector, good_batches: usize) -> CallError {
    bounded(move || {
        for _ in 0..good_batches {
            batch(&mut detector).unwrap();
        }
        let error = batch(&mut detector).unwrap_err();
        assert!(detector.is_poisoned());
        assert!(matches!(batch(&mut detector), Err(CallError::Poisoned)));
        drop(detector);
        works();
        error
    })
}

fn works() {
    let findings = batch(&mut open("well-behaved")).unwrap();
    assert_eq!(findings.len(), ROWS as usize);
}

fn limit(error: CallError, kind: LimitKind) -> LimitExceeded {
    match error {
        CallError::Limit(limit) if limit.kind == kind => limit,
        other => panic!("expected the limit {kind:?}, got {other}"),
    }
}

fn garbage(error: CallError) -> String {
    match error {
        CallError::Garbage { reason, .. } => reason,
        other => panic!("expected garbage, got {other}"),
    }
}

#[test]
fn time_is_that_of_the_clock_or_of_the_processor() {
    static NOBODY: AtomicUsize = AtomicUsize::new(0);
    // Whoever is never done keeps nobody waiting for ever.
    static SOMEBODY: AtomicUsize = AtomicUsize::new(1);
    // Work that ends is given more than it needs on any machine.
    let limits = Limits {
        time: "5m".parse().unwrap(),
        ..limits()
    };
    let patient = host()
        .load_detector_bytes("hostile.wasm", guests::hostile(), &limits)
        .unwrap();
    let paces = [
        Pace::OfProcessor(&NOBODY),
        Pace::OfProcessor(&SOMEBODY),
        Pace::Limit,
    ];
    let stopped = paces.map(|pace| (hostile(), pace));
    let hurried = (&patient, Pace::AtMost(Duration::from_millis(50)));
    for (plugin, pace) in stopped.into_iter().chain([hurried]) {
        let mut detector = open_of(plugin, "endless-loop").unwrap();
        detector.set_pace(pace);
        let error = bounded(move || batch(&mut detector).unwrap_err());
        assert!(
            matches!(&error, CallError::Limit(limit) if limit.kind == LimitKind::Time),
            "{pace:?}: {error}"
        );
    }
    let long = Pace::AtMost(Duration::from_secs(240));
    for pace in paces.into_iter().chain([long]) {
        for behaviour in ["slow", "slow-rare", "log-flood-rare"] {
            let mut detector = open_of(&patient, behaviour).unwrap();
            detector.set_pace(pace);
            let found = batch(&mut detector).unwrap();
            assert_eq!(found.len(), 4, "{pace:?}: {behaviour}");
        }
    }
}

#[test]
fn every_behaviour_of_the_guest_has_a_test() {
    let source = include_str!("hostile_guests.rs");
    let behaviours = hostile().rule_ids().unwrap().into_iter();
    // Those are for `crowd.rs`.
    for behaviour in behaviours.filter(|id| !id.starts_with("honest-")) {
        let quoted = format!("\"{behaviour}\"");
        assert!(source.contains(&quoted), "no test opens `{behaviour}`");
    }
}

#[test]
fn odd_events_fail_and_others_do_not() {
    for (behaviour, is_spent) in [("odd-event-data", false), ("odd-event-panic", true)] {
        let mut detector = open(behaviour);
        assert_eq!(batch(&mut detector).unwrap().len(), 4);
        let column = ColumnRef {
            values: &777_i64.to_le_bytes(),
            ..ColumnRef::default()
        };
        let sent = BatchRef {
            rows: 1,
            columns: &[column],
        };
        let error = detector.on_batch(0, sent).unwrap_err();
        assert!(error.to_string().contains("an event is odd"), "{error}");
        assert_eq!(detector.is_poisoned(), is_spent);
    }
}

#[test]
fn a_good_rule_finds_each_row() {
    let mut detector = open("well-behaved");
    let findings = batch(&mut detector).unwrap();
    let rows: Vec<Vec<u32>> = findings.into_iter().map(|finding| finding.rows).collect();
    assert_eq!(rows, [[0], [1], [2], [3]]);
    assert!(!detector.is_poisoned());
}

#[test]
fn a_batch_arrives_as_it_was_sent() {
    let types = [
        ("boolean", DataType::Boolean),
        ("int64", DataType::Int64),
        ("float64", DataType::Float64),
        ("timestamp", DataType::TimestampUs),
        ("utf8", DataType::Utf8),
        ("binary", DataType::Binary),
    ];
    let rule = |id: &str, types: &[(&str, DataType)]| RuleSpec {
        id: id.to_owned(),
        config_json: "{}".to_owned(),
        schema: types
            .iter()
            .map(|(name, kind)| field(name, *kind))
            .collect(),
    };
    // The second of two rules, so that the rule's number matters.
    let rules = [rule("well-behaved", &types[..1]), rule("echo", &types)];
    let mut detector = hostile().open("{}", &rules).unwrap();

    let int64 = [-1_i64, 7].map(i64::to_le_bytes).concat();
    let float64 = [0.5_f64, -2.0].map(f64::to_le_bytes).concat();
    let offsets = [0_u32, 6, 6].map(u32::to_le_bytes).concat();
    let fixed = |validity, values| ColumnRef {
        validity,
        offsets: &[],
        values,
    };
    let columns = [
        fixed(&[], &[0b10]),
        fixed(&[0b01], &int64),
        fixed(&[], &float64),
        fixed(&[0b10], &int64),
        ColumnRef {
            validity: &[],
            offsets: &offsets,
            values: "火見".as_bytes(),
        },
        ColumnRef {
            validity: &[0b00],
            offsets: &offsets,
            values: b"secret",
        },
    ];
    let sent = BatchRef {
        rows: 2,
        columns: &columns,
    };
    let findings = detector.on_batch(1, sent).unwrap();
    let echoed: Vec<(&str, &str)> = findings[0]
        .context
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("boolean[0]", "false"),
        ("boolean[1]", "true"),
        ("int64[0]", "-1"),
        ("float64[0]", "0.5"),
        ("float64[1]", "-2"),
        ("timestamp[1]", "7"),
        ("utf8[0]", "火見"),
        ("utf8[1]", ""),
    ];
    assert_eq!(echoed, expected);
    assert_eq!(findings[0].rows, [0, 1]);
}

#[test]
fn what_was_not_opened_cannot_be_called() {
    let mut detector = open("well-behaved");
    let sent = BatchRef {
        rows: 0,
        columns: &[],
    };
    for (rule, words) in [
        (0, "the schema has 1 columns, the batch 0"),
        (1, "rule 1 of 1"),
    ] {
        let error = detector.on_batch(rule, sent).unwrap_err();
        assert!(matches!(error, CallError::Misuse { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    batch(&mut detector).unwrap();
}

#[test]
fn watermarks_and_state_pass() {
    let time = Timestamp::from_micros(42).unwrap();
    let mut detector = open("watermark");
    let findings = detector.on_watermark(time).unwrap();
    assert_eq!(findings[0].0, 0);
    assert_eq!(findings[0].1.title.as_deref(), Some("at 42"));

    batch(&mut detector).unwrap();
    let state = detector.snapshot().unwrap();
    let mut next = open("watermark");
    next.restore(&state).unwrap();
    batch(&mut next).unwrap();
    assert_eq!(next.snapshot().unwrap(), 2_u64.to_le_bytes());
    let error = next.restore(b"short").unwrap_err();
    assert!(
        error.to_string().contains("a state has eight bytes"),
        "{error}"
    );
}

#[test]
fn an_endless_loop_is_stopped() {
    let limit = limit(fails(open("endless-loop")), LimitKind::Time);
    assert_eq!(limit.call, "on-batch");
    assert!(limit.to_string().contains("its time of 2s"), "{limit}");
    assert!(
        limit.to_string().contains("`limits.time = \"4s\"`"),
        "{limit}"
    );
    assert!(
        limit.backtrace[0].function.contains("endless_loop"),
        "{limit}"
    );
}

#[test]
fn a_memory_hog_is_stopped() {
    let limit = limit(fails(open("memory-hog")), LimitKind::Memory);
    assert!(
        limit.to_string().contains("its memory of 32 MiB"),
        "{limit}"
    );
    assert!(
        limit.to_string().contains("`limits.memory_mib = 64`"),
        "{limit}"
    );
    let hog = |frame: &yagura_host::Frame| frame.function.contains("memory_hog");
    assert!(limit.backtrace.iter().any(hog), "{limit}");
}

#[test]
fn the_memory_of_all_plugins_is_taken_from_who_holds_it() {
    let size = {
        let host = Host::new(HostConfig::default()).unwrap();
        let plugin = load(&host, "one.wasm");
        let mut detector = open_of(&plugin, "well-behaved").unwrap();
        batch(&mut detector).unwrap();
        host.memory()
    };
    let host = Host::new(HostConfig {
        most_memory: Some(size * 9 / 2),
        ..HostConfig::default()
    })
    .unwrap();
    let [first, second] = ["first.wasm", "second.wasm"].map(|name| load(&host, name));
    let open = |plugin| open_of(plugin, "well-behaved");
    let mut busy: Vec<Detector> = (0..3).map(|_| open(&first).unwrap()).collect();
    // It holds more than its part, and that of the other is kept.
    let error = limit(open(&first).unwrap_err(), LimitKind::Pool).to_string();
    assert!(
        error.contains("`first.wasm` (") && error.contains("plugin_memory_mib"),
        "{error}"
    );
    let mut others = vec![open(&second).unwrap()];
    let error = limit(open(&second).unwrap_err(), LimitKind::Pool).to_string();
    let named = |name: &str| error.find(name);
    assert!(named("`first.wasm`") < named("`second.wasm`"), "{error}");
    // What waits for its next call gives its memory to another's.
    let waiting = first.instance_pool();
    waiting.give_back(busy.pop().unwrap());
    others.push(open(&second).unwrap());
    assert!(waiting.is_empty() && waiting.take().is_none());
    for detector in busy.iter_mut().chain(&mut others) {
        assert_eq!(batch(detector).unwrap().len(), ROWS as usize);
    }
    drop((busy, others));
    assert_eq!(host.memory(), 0);
}

fn load(host: &Host, name: &str) -> DetectorPlugin {
    host.load_detector_bytes(name, guests::hostile(), &limits())
        .unwrap()
}

#[test]
fn deep_recursion_is_stopped() {
    let limit = limit(fails(open("deep-recursion")), LimitKind::Stack);
    assert!(
        limit.to_string().contains("its stack of 512 KiB"),
        "{limit}"
    );
    assert!(
        limit.backtrace[0].function.contains("deep_recursion"),
        "{limit}"
    );
}

#[test]
fn an_output_flood_is_stopped() {
    // A gigabyte of text that is the same megabyte a thousand times.
    let limit = limit(fails(open("output-flood")), LimitKind::Output);
    assert!(limit.to_string().contains("its output of 4 MiB"), "{limit}");
    assert!(
        limit.to_string().contains("`limits.output_mib = 8`"),
        "{limit}"
    );
}

#[test]
fn a_huge_text_is_more_than_memory_or_output() {
    // 64 MiB do not fit the 32 MiB of memory; with enough memory the output is the limit.
    limit(fails(open("output-huge")), LimitKind::Memory);
    let roomy = Limits {
        memory_mib: 256,
        ..limits()
    };
    let plugin = host()
        .load_detector_bytes("hostile.wasm", guests::hostile(), &roomy)
        .unwrap();
    let rule = RuleSpec {
        id: "output-huge".to_owned(),
        config_json: "{}".to_owned(),
        schema: vec![field("number", DataType::Int64)],
    };
    limit(
        fails(plugin.open("{}", &[rule]).unwrap()),
        LimitKind::Output,
    );
}

#[test]
fn a_log_flood_is_cut_and_the_findings_count() {
    let (findings, detector) = bounded(|| {
        let mut detector = open("log-flood");
        (batch(&mut detector), detector)
    });
    assert_eq!(findings.unwrap().len(), ROWS as usize);
    let lines = detector.last_log();
    assert_eq!(lines.len(), 20);
    assert_eq!(detector.last_log_dropped(), 100_001 - 20);
    assert_eq!(lines[0].level, LogLevel::Debug);
    assert!(lines[0].message.len() < 4200, "{}", lines[0].message.len());
    assert!(lines[0].message.ends_with("(50000 bytes)"));
    assert_eq!(lines[1].message, "line 0");
}

#[test]
fn a_panic_tells_its_message_and_place() {
    let error = fails(open("panics"));
    let message = error.to_string();
    let CallError::Trap(trap) = error else {
        panic!("{error}");
    };
    let said = trap.last_error.unwrap();
    assert!(said.contains("did not expect 4 rows"), "{said}");
    assert!(said.contains("src/lib.rs:"), "{said}");
    assert!(message.contains("did not expect 4 rows"), "{message}");
    let panics = |frame: &yagura_host::Frame| frame.function == "hostile::panics";
    assert!(trap.backtrace.iter().any(panics), "{message}");
}

#[test]
fn a_trap_on_the_third_batch_leaves_the_first_two() {
    let error = fails_after(open("trap-on-third-batch"), 2);
    let CallError::Trap(trap) = &error else {
        panic!("{error}");
    };
    assert_eq!(trap.reason, "wasm `unreachable` instruction executed");
    assert_eq!(trap.backtrace[0].function, "hostile::trap_on_third_batch");
    assert_eq!(trap.last_error, None);
}

#[test]
fn rows_outside_the_batch_are_garbage() {
    let reason = garbage(fails(open("garbage-rows")));
    assert_eq!(reason, "a finding names row 4, and the batch has 4 rows");
    let reason = garbage(fails(open("garbage-empty-rows")));
    assert_eq!(reason, "a finding has no rows");
}

#[test]
fn text_that_is_none_is_garbage() {
    let reason = garbage(fails(open("garbage-text")));
    assert!(reason.contains("utf-8"), "{reason}");
    let reason = garbage(fails(open("garbage-pointer")));
    assert!(reason.contains("out of bounds"), "{reason}");
}

#[test]
fn watermark_findings_without_sense_are_garbage() {
    for (mut detector, words) in [
        (open("garbage-watermark-rows"), "has rows"),
        (
            open("garbage-watermark-rule"),
            "for rule 1000, and 1 were opened",
        ),
    ] {
        let error = detector.on_watermark(Timestamp::default()).unwrap_err();
        let reason = garbage(error);
        assert!(reason.contains(words), "{reason}");
        assert!(detector.is_poisoned());
    }
    works();
}

#[test]
fn a_guests_own_errors_do_not_spend_it() {
    let mut detector = open("guest-error-data");
    for _ in 0..2 {
        let error = batch(&mut detector).unwrap_err();
        let expected = PluginError::Data("row 7 holds no address".to_owned());
        assert!(
            matches!(&error, CallError::Guest(found) if *found == expected),
            "{error}"
        );
    }
    let mut detector = open("guest-error-retry-once");
    let error = batch(&mut detector).unwrap_err();
    assert!(
        matches!(error, CallError::Guest(PluginError::Retry(_))),
        "{error}"
    );
    assert_eq!(batch(&mut detector).unwrap().len(), ROWS as usize);
}

#[test]
fn a_refused_configuration_is_the_guests_word() {
    let error = try_open("refuses-open").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin answered: the configuration is wrong: `{\"a\":1}` is not to my taste"
    );
    works();
}

#[test]
fn a_rule_without_code_names_near_ones() {
    let error = try_open("well-behavd").unwrap_err();
    assert!(matches!(error, CallError::UnknownRule { .. }), "{error}");
    assert!(
        error.to_string().contains("did you mean `well-behaved`?"),
        "{error}"
    );
}
