//! Components that are made to cost their host: to compile, to start, to hold. Each is refused with its own message, within the
//! limits that any plugin has.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use yagura_core::pack::Limits;
use yagura_host::{CallError, Host, HostConfig, LimitKind, LoadError};
use yagura_tests::guests;

/// Much longer than a refusal takes on a busy machine, and much shorter than what the bombs are for.
const PATIENCE: Duration = Duration::from_secs(30);

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(HostConfig::default()).unwrap())
}

fn limits() -> Limits {
    Limits {
        time: "200ms".parse().unwrap(),
        memory_mib: 64,
        ..Limits::default()
    }
}

/// Loads a component that must be refused.
fn refused(component: &[u8]) -> LoadError {
    let start = Instant::now();
    let error = host()
        .load_detector_bytes("bomb.wasm", component, &limits())
        .expect_err("the bomb was loaded");
    assert!(start.elapsed() < PATIENCE, "{error}");
    error
}

/// A detector with one module more, in text, that is instantiated when it starts.
fn with_module(text: &str) -> Vec<u8> {
    let module = wat::parse_str(text).unwrap();
    let mut component = guests::dummy_of_contract("detector").unwrap();
    let index = guests::core_modules(&component);
    let mut section = |id: u8, body: &[u8]| {
        component.push(id);
        component.extend(leb(body.len()));
        component.extend_from_slice(body);
    };
    section(1, &module);
    // One core instance: of the module, with no arguments.
    let mut instance = vec![1, 0];
    instance.extend(leb(index));
    instance.push(0);
    section(2, &instance);
    component
}

/// A number as Wasm writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The same where a sign belongs to the number: types are written so, beside those that have names, which are negative.
fn signed_leb(number: usize) -> Vec<u8> {
    let mut bytes = leb(number);
    if let Some(last) = bytes.last_mut()
        && *last & 0x40 != 0
    {
        *last |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn limit_at_start(error: LoadError) -> LimitKind {
    match error {
        LoadError::Start {
            source: CallError::Limit(limit),
            ..
        } => limit.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_module_more_does_no_harm_by_itself() {
    let component = with_module("(module (memory 1) (func $start) (start $start))");
    host()
        .load_detector_bytes("harmless.wasm", &component, &limits())
        .unwrap();
}

#[test]
fn a_hundred_thousand_functions_are_not_compiled() {
    let mut text = "(module".to_owned();
    text.push_str(&"(func)".repeat(100_000));
    text.push(')');
    let error = refused(&with_module(&text));
    assert!(matches!(error, LoadError::TooMany { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.starts_with("bomb.wasm has 1000")
            && message.contains("functions; the maximum is 65536"),
        "{message}"
    );
}

#[test]
fn two_thousand_modules_are_not_compiled() {
    let mut component = guests::dummy_of_contract("detector").unwrap();
    for _ in 0..2_000 {
        component.extend([1, 8]);
        component.extend(b"\0asm\x01\0\0\0");
    }
    let error = refused(&component);
    assert!(
        error.to_string().contains("modules; the maximum is 1000"),
        "{error}"
    );
}

#[test]
fn types_nested_a_thousand_deep_are_refused() {
    let mut component = guests::dummy_of_contract("detector").unwrap();
    let first = guests::types(&component);
    // `list<string>`, then a thousand times a list of the one before.
    let mut body = leb(1_001);
    body.extend([0x70, 0x73]);
    for depth in 0..1_000 {
        body.push(0x70);
        body.extend(signed_leb(first + depth));
    }
    component.push(7);
    component.extend(leb(body.len()));
    component.extend(body);
    let error = refused(&component);
    let LoadError::Compile { source, .. } = &error else {
        panic!("{error:?}");
    };
    let mut causes = source.to_string();
    let mut next = source.source();
    while let Some(cause) = next {
        causes.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    assert!(causes.contains("nesting is too deep"), "{causes}");
}

#[test]
fn four_gibibytes_at_the_start_are_refused() {
    let error = refused(&with_module("(module (memory 65536))"));
    assert_eq!(limit_at_start(error), LimitKind::Memory);
}

#[test]
fn a_start_that_never_ends_is_stopped() {
    let error = refused(&with_module(
        "(module (func $start (loop $again (br $again))) (start $start))",
    ));
    assert_eq!(limit_at_start(error), LimitKind::Time);
}

#[test]
fn a_table_that_grows_for_ever_is_stopped() {
    // It crashes when it gets no more, and so tells of the table rather than of the time.
    let error = refused(&with_module(
        "(module (table $t 1 funcref) (func $start (loop $again
           (if (i32.eq (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1)) (then unreachable))
           (br $again))) (start $start))",
    ));
    assert_eq!(limit_at_start(error), LimitKind::Tables);
    // One that is as large at once.
    let error = refused(&with_module("(module (table 100000000 funcref))"));
    assert_eq!(limit_at_start(error), LimitKind::Tables);
}

#[test]
fn what_all_plugins_have_together_is_bounded() {
    let host = Host::new(HostConfig {
        most_memory: Some(40 << 20),
        ..HostConfig::default()
    })
    .unwrap();
    let component = with_module("(module (memory 256))");
    let plugin = host
        .load_detector_bytes("large.wasm", &component, &limits())
        .unwrap();
    assert_eq!(host.memory(), 0, "a trial start gives back what it took");
    let open = || plugin.open("{}", &[]);
    // The dummy traps when it is opened, so that nothing is left of it; what matters is that it is told by its trap, not by
    // memory, while there is some.
    assert!(matches!(open().unwrap_err(), CallError::Trap(_)));
    assert_eq!(host.memory(), 0);
    let greedy = with_module("(module (memory 641))");
    let error = host
        .load_detector_bytes("greedy.wasm", &greedy, &limits())
        .unwrap_err();
    assert_eq!(limit_at_start(error), LimitKind::Pool);
    assert_eq!(host.memory(), 0, "what was refused is not counted");
}
