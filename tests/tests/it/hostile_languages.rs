//! Go and Python plugins that break their promises: the same limits as for Rust, and messages with the author's own line.
//!
//! The guests are `tests/guests/hostile-go` and `tests/guests/hostile-python`; the rule's id says what it does.

use std::path::PathBuf;
use std::sync::OnceLock;

use yagura_core::pack::Limits;
use yagura_host::{
    BatchRef, CallError, ColumnRef, DataType, Detector, DetectorPlugin, Field, Host, HostConfig,
    LimitKind, LogLevel, PluginError, RawFinding, RuleSpec,
};

fn limits() -> Limits {
    Limits {
        time: "2s".parse().unwrap(),
        memory_mib: 128,
        ..Limits::default()
    }
}

fn load(language: &str) -> DetectorPlugin {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/guests");
    let file = PathBuf::from(guests).join(format!("hostile-{language}/hostile.wasm"));
    let host = Host::new(HostConfig {
        cache_dir: yagura_host::default_cache_dir(),
        ..HostConfig::default()
    });
    host.unwrap()
        .load_detector(&file, &limits())
        .unwrap_or_else(|error| panic!("{error}; `cargo xtask test` builds the guests"))
}

fn go() -> &'static DetectorPlugin {
    static PLUGIN: OnceLock<DetectorPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| load("go"))
}

fn python() -> &'static DetectorPlugin {
    static PLUGIN: OnceLock<DetectorPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| load("python"))
}

/// An instance that does one thing, and what it is asked.
struct Guest(Detector);

impl Guest {
    fn new(plugin: &DetectorPlugin, behaviour: &str) -> Self {
        let rule = RuleSpec {
            id: behaviour.to_owned(),
            config_json: "{}".to_owned(),
            schema: vec![Field {
                name: "name".to_owned(),
                data_type: DataType::Utf8,
                nullable: true,
            }],
        };
        Self(plugin.open("{}", &[rule]).unwrap())
    }

    /// Hands over two events: `a` and `bc`.
    fn evaluate(&mut self) -> Result<Vec<RawFinding>, CallError> {
        let offsets: Vec<u8> = [0_u32, 1, 3]
            .iter()
            .flat_map(|at| at.to_le_bytes())
            .collect();
        let column = ColumnRef {
            offsets: &offsets,
            values: b"abc",
            ..ColumnRef::default()
        };
        self.0.on_batch(
            0,
            BatchRef {
                rows: 2,
                columns: &[column],
            },
        )
    }
}

fn fails(plugin: &DetectorPlugin, behaviour: &str) -> CallError {
    let error = Guest::new(plugin, behaviour).evaluate().unwrap_err();
    // Whatever one instance did, the next one works.
    assert_eq!(Guest::new(plugin, "print").evaluate().unwrap().len(), 2);
    error
}

fn is_limited(plugin: &DetectorPlugin, behaviour: &str, kinds: &[LimitKind]) {
    match fails(plugin, behaviour) {
        CallError::Limit(limit) => assert!(kinds.contains(&limit.kind), "{behaviour}: {limit}"),
        other => panic!("{behaviour}: {other}"),
    }
}

/// Checks that the plugin answers in its own words, and goes on working.
fn says(plugin: &DetectorPlugin, behaviour: &str, parts: &[&str]) {
    let mut guest = Guest::new(plugin, behaviour);
    for _ in 0..2 {
        match guest.evaluate().unwrap_err() {
            CallError::Guest(PluginError::Data(text)) => {
                for part in parts {
                    assert!(text.contains(part), "{behaviour}: {text}");
                }
            }
            other => panic!("{behaviour}: {other}"),
        }
    }
}

fn crashes(plugin: &DetectorPlugin, behaviour: &str, part: &str) {
    match fails(plugin, behaviour) {
        CallError::Trap(trap) => assert!(trap.to_string().contains(part), "{behaviour}: {trap}"),
        other => panic!("{behaviour}: {other}"),
    }
}

/// Returns the context that a behaviour gives, which must be the same in every instance.
fn same_every_time(plugin: &DetectorPlugin, behaviour: &str) -> Vec<(String, String)> {
    let context = || {
        Guest::new(plugin, behaviour).evaluate().unwrap()[0]
            .context
            .clone()
    };
    let first = context();
    assert!(first.len() >= 4, "{first:?}");
    assert_eq!(context(), first);
    first
}

#[test]
fn go_is_held_to_its_limits() {
    is_limited(go(), "endless-loop", &[LimitKind::Time]);
    is_limited(go(), "memory-hog", &[LimitKind::Memory]);
    is_limited(
        go(),
        "stack-overflow",
        &[LimitKind::Memory, LimitKind::Stack],
    );
}

#[test]
fn a_go_panic_is_told_with_the_authors_file_and_line() {
    says(
        go(),
        "panic",
        &[
            "index out of range [1000] with length 1",
            "main.go:101",
            "characterAt",
        ],
    );
    says(
        go(),
        "nil-map",
        &["assignment to entry in nil map", "main.go:", "nilMap"],
    );
}

#[test]
fn what_go_cannot_recover_from_is_told_in_its_own_words() {
    crashes(go(), "deadlock", "all goroutines are asleep - deadlock!");
    crashes(go(), "goroutine-panic", "in a goroutine of its own");
    crashes(go(), "exit", "");
}

#[test]
fn go_prints_to_the_log_and_has_no_clock_of_its_own() {
    let mut guest = Guest::new(go(), "print");
    guest.evaluate().unwrap();
    let log: Vec<(LogLevel, &str)> = guest
        .0
        .last_log()
        .iter()
        .map(|line| (line.level, line.message.trim()))
        .collect();
    assert!(log.contains(&(LogLevel::Info, "printed: bc")), "{log:?}");
    assert!(
        log.iter()
            .any(|(level, text)| *level == LogLevel::Error && text.ends_with("logged: a")),
        "{log:?}"
    );
    let context = same_every_time(go(), "clock");
    let now = context.iter().find(|(name, _)| name == "now").unwrap();
    assert!(now.1.starts_with("1970-01-01T00:00:00"), "{now:?}");
}

#[test]
fn python_is_held_to_its_limits() {
    is_limited(python(), "endless-loop", &[LimitKind::Time]);
    // Python learns that there is no more, and what it had is free again.
    says(python(), "memory-hog", &["MemoryError (uses_too_much.py:"]);
    assert_eq!(Guest::new(python(), "print").evaluate().unwrap().len(), 2);
}

#[test]
fn a_python_exception_is_told_with_the_authors_file_and_line() {
    says(python(), "exception", &["IndexError: ", ".py:", " in "]);
    says(python(), "recursion", &["RecursionError: ", ".py:"]);
    says(python(), "exit", &["SystemExit: 3"]);
    crashes(python(), "os-abort", "on-batch");
}

#[test]
fn python_reaches_neither_files_nor_network() {
    says(python(), "files", &["Error", ".py:"]);
    says(python(), "socket", &["Error", ".py:"]);
}

#[test]
fn python_prints_to_the_log_and_has_no_clock_of_its_own() {
    let mut guest = Guest::new(python(), "print");
    guest.evaluate().unwrap();
    let log = guest.0.last_log();
    assert!(
        log.iter()
            .any(|line| line.level == LogLevel::Info && line.message.contains("bc")),
        "{log:?}"
    );
    same_every_time(python(), "clock");
}
