//! What a call can end in, told apart by what a caller can do about it.

use wasmtime::{Trap as Code, WasmBacktrace, WasmtimeBug};
use yagura_core::TimeSpan;
use yagura_core::names::did_you_mean;
use yagura_core::pack::Limits;

use crate::bindings::v0_1_0::wit;
use crate::budget::Holder;
use crate::host::STACK_BYTES;
use crate::limits::{HostState, MOST_TABLE_ENTRIES, Refused};
use crate::log::readable;
use crate::meter::FUEL_OF_A_CALL;

/// Why a call of a plugin gave no answer. Messages name the call; plugin, rule and batch are known to the caller.
///
/// After anything but [`CallError::Guest`], [`CallError::UnknownRule`] and [`CallError::Misuse`] the instance is spent:
/// open a new one.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin answered that it cannot do its work; its instance is well.
    #[error("the plugin answered: {0}")]
    Guest(PluginError),
    /// The pack has a rule that the component has no code for.
    #[error("the component has no code for the rule `{rule}`{}; it has: {}", did_you_mean(.rule, .known.iter().map(String::as_str)), names(.known))]
    UnknownRule {
        /// The rule's id.
        rule: String,
        /// The rules that the component has code for.
        known: Vec<String>,
    },
    /// The plugin crashed.
    #[error(transparent)]
    Trap(Trap),
    /// The plugin used more than it may.
    #[error(transparent)]
    Limit(LimitExceeded),
    /// The plugin's answer breaks the contract.
    #[error("the plugin's answer from `{call}` is invalid: {reason}")]
    Garbage {
        /// The function of the contract.
        call: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The host failed, not the plugin.
    #[error("the host failed in `{call}`")]
    Host {
        /// The function of the contract.
        call: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller broke the contract: a rule that was not opened, or not as many columns as its schema.
    #[error("cannot call `{call}`: {reason}")]
    Misuse {
        /// The function of the contract.
        call: &'static str,
        /// What was handed over.
        reason: String,
    },
    /// An earlier call spent this instance.
    #[error("this instance of the plugin failed earlier; open a new one")]
    Poisoned,
}

/// What a plugin answers when it cannot do its work; the text is the plugin's, cut to 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The configuration or the rules are wrong.
    #[error("the configuration is wrong: {0}")]
    Config(String),
    /// These events cannot be evaluated.
    #[error("the events cannot be evaluated: {0}")]
    Data(String),
    /// Worth one more try with the same input.
    #[error("try again: {0}")]
    Retry(String),
}

impl PluginError {
    pub(crate) fn config(text: &str) -> Self {
        Self::Config(readable(text))
    }

    pub(crate) fn data(text: &str) -> Self {
        Self::Data(readable(text))
    }

    pub(crate) fn retry(text: &str) -> Self {
        Self::Retry(readable(text))
    }
}

impl From<wit::PluginError> for PluginError {
    fn from(error: wit::PluginError) -> Self {
        match error {
            wit::PluginError::Config(text) => Self::config(&text),
            wit::PluginError::Data(text) => Self::data(&text),
            wit::PluginError::Retry(text) => Self::retry(&text),
        }
    }
}

/// A crash of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plugin crashed in `{call}`: {reason}{}{}", said(.last_error), trace(.backtrace))]
pub struct Trap {
    /// The function of the contract.
    pub call: &'static str,
    /// What Wasm says.
    pub reason: String,
    /// What the plugin wrote at level error in this call, on one line, such as the message of a panic.
    pub last_error: Option<String>,
    /// Where it was, innermost first.
    pub backtrace: Vec<Frame>,
}

/// More than a plugin may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plugin used more than {allowed} in `{call}`; {advice}{}", trace(.backtrace))]
pub struct LimitExceeded {
    /// The function of the contract.
    pub call: &'static str,
    /// Which limit.
    pub kind: LimitKind,
    /// How much it may use, with its unit.
    pub allowed: String,
    /// What to do: the line of pack.toml that raises the limit, where one does.
    pub advice: String,
    /// Where it was, innermost first.
    pub backtrace: Vec<Frame>,
}

/// The limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Wall-clock time of the call.
    Time,
    /// Linear memory of the instance.
    Memory,
    /// Linear memory of all instances of the host together.
    Pool,
    /// What the call hands to the host.
    Output,
    /// Depth of calls inside the plugin.
    Stack,
    /// Table entries of the instance.
    Tables,
    /// Fuel of the call, where fuel is metered.
    Fuel,
}

/// A function of the plugin, on the way to where it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name, or its number when the component keeps no names.
    pub function: String,
    /// File and line, when the component keeps debug information.
    pub location: Option<String>,
}

/// Sorts an error of the engine by its cause.
pub(crate) fn classify(
    call: &'static str,
    error: wasmtime::Error,
    state: &HostState,
    limits: &Limits,
) -> CallError {
    let backtrace = || frames(&error);
    let limit = |kind| {
        CallError::Limit(LimitExceeded::new(
            call,
            kind,
            limits,
            (state.limiter.pool_most(), &state.limiter.holders),
            backtrace(),
        ))
    };
    let code = error.downcast_ref::<Code>().copied();
    match (code, state.limiter.refused) {
        (Some(Code::Interrupt), _) => limit(LimitKind::Time),
        (Some(Code::OutOfFuel), _) => limit(LimitKind::Fuel),
        (Some(Code::StackOverflow), _) => limit(LimitKind::Stack),
        // A guest that got no memory aborts by a trap, or does not even start.
        (_, Some(Refused::Memory)) => limit(LimitKind::Memory),
        (_, Some(Refused::Pool)) => limit(LimitKind::Pool),
        (_, Some(Refused::Table)) => limit(LimitKind::Tables),
        (Some(code), None) if is_garbage(code) => garbage(call, &error),
        (Some(code), None) => CallError::Trap(Trap {
            call,
            reason: code
                .to_string()
                .trim_start_matches("wasm trap: ")
                .to_owned(),
            last_error: state.log.errors(),
            backtrace: backtrace(),
        }),
        // The engine keeps the type to itself; `output-flood` among the hostile guests fails when the text changes.
        (None, None)
            if error
                .root_cause()
                .to_string()
                .contains("fuel allocated for hostcalls") =>
        {
            limit(LimitKind::Output)
        }
        (None, None) if is_host_fault(&error) => CallError::Host {
            call,
            source: error.into(),
        },
        // Neither a trap nor a fault of ours: the answer cannot be read.
        (None, None) => garbage(call, &error),
    }
}

fn garbage(call: &'static str, error: &wasmtime::Error) -> CallError {
    CallError::Garbage {
        call,
        reason: error.root_cause().to_string(),
    }
}

/// Traps of the canonical ABI: a value that no guest that keeps to its types can hand over.
fn is_garbage(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidChar
            | Code::InvalidDiscriminant
            | Code::ListOutOfBounds
            | Code::StringOutOfBounds
            | Code::UnalignedPointer
    )
}

fn is_host_fault(error: &wasmtime::Error) -> bool {
    error.is::<WasmtimeBug>() || error.is::<wasmtime::OutOfMemory>() || error.is::<std::io::Error>()
}

impl LimitExceeded {
    fn new(
        call: &'static str,
        kind: LimitKind,
        limits: &Limits,
        (together, holders): (usize, &[Holder]),
        backtrace: Vec<Frame>,
    ) -> Self {
        let usual = Limits::default();
        let raise = |line: String, is_over_usual: bool| {
            let grant = match is_over_usual {
                true => ", and grant it that under [pack.NAME.limits] of the grants file",
                false => "",
            };
            format!("if it needs more, write `{line}` for it in pack.toml{grant}")
        };
        let mebibytes = |key: &str, number: u64, usual: u64| {
            let more = number.saturating_mul(2).min(MOST_MEBIBYTES);
            if more > number {
                raise(format!("limits.{key} = {more}"), more > usual)
            } else {
                "there is no more to have".to_owned()
            }
        };
        let (allowed, advice) = match kind {
            LimitKind::Time => (
                format!("its time of {}", limits.time),
                format!(
                    "look for a loop that does not end; {}",
                    raise(
                        format!(
                            "limits.time = \"{}\"",
                            TimeSpan::clamped(limits.time.micros().saturating_mul(2))
                        ),
                        limits.time.micros().saturating_mul(2) > usual.time.micros(),
                    )
                ),
            ),
            LimitKind::Memory => (
                format!("its memory of {} MiB", limits.memory_mib),
                mebibytes("memory_mib", limits.memory_mib, usual.memory_mib),
            ),
            LimitKind::Pool => (
                format!(
                    "what is left of the {} MiB of all plugins together",
                    together >> 20
                ),
                format!(
                    "{}; bound its `memory_mib` under [pack.NAME.limits] of the grants file, or raise `plugin_memory_mib` of [serve]",
                    holding(holders)
                ),
            ),
            LimitKind::Output => (
                format!("its output of {} MiB", limits.output_mib),
                mebibytes("output_mib", limits.output_mib, usual.output_mib),
            ),
            LimitKind::Stack => (
                format!("its stack of {} KiB", STACK_BYTES >> 10),
                "the size is fixed: look for a recursion that does not end".to_owned(),
            ),
            LimitKind::Fuel => (
                format!("its fuel of {FUEL_OF_A_CALL} instructions"),
                "look for a loop that does not end".to_owned(),
            ),
            LimitKind::Tables => (
                format!("its {MOST_TABLE_ENTRIES} table entries"),
                "the number is fixed".to_owned(),
            ),
        };
        Self {
            call,
            kind,
            allowed,
            advice,
            backtrace,
        }
    }
}

/// Names the plugins that have the most memory.
fn holding(holders: &[Holder]) -> String {
    let held = |holder: &Holder| {
        format!(
            "`{}` ({} MiB)",
            readable(&holder.plugin),
            holder.bytes.div_ceil(1 << 20)
        )
    };
    let names: Vec<String> = holders.iter().map(held).collect();
    match names.as_slice() {
        [] => "no plugin has any".to_owned(),
        [one] => format!("{one} has the most"),
        many => format!("{} have the most", many.join(", ")),
    }
}

/// What `limits.memory_mib` and `limits.output_mib` may be at most.
const MOST_MEBIBYTES: u64 = 4096;

/// Doubles a duration as a manifest writes it: `10s` to `20s`.
fn frames(error: &wasmtime::Error) -> Vec<Frame> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let mut frames = Vec::new();
    for frame in backtrace.frames() {
        let name = || match frame.func_name() {
            Some(name) => demangled(name),
            None => format!("function {}", frame.func_index()),
        };
        if frame.symbols().is_empty() {
            frames.push(Frame {
                function: name(),
                location: None,
            });
        }
        for symbol in frame.symbols() {
            let line = symbol.line().map(|line| format!(":{line}"));
            frames.push(Frame {
                function: symbol.name().map_or_else(name, demangled),
                location: symbol
                    .file()
                    .map(|file| file.to_owned() + &line.unwrap_or_default()),
            });
        }
    }
    frames
}

/// Names come from the plugin, as its messages do.
fn demangled(name: &str) -> String {
    readable(&format!("{:#}", rustc_demangle::demangle(name)))
}

/// Lists the functions, a line each, without the machinery of a Rust panic and with repetitions counted.
fn trace(frames: &[Frame]) -> String {
    let machinery = ["__rustc::", "alloc::", "core::", "std::"];
    let is_machinery = |frame: &&Frame| {
        let function = frame.function.trim_start_matches('<');
        machinery.iter().any(|name| function.starts_with(name))
    };
    let own = frames.iter().skip_while(is_machinery).count();
    let shown = match own {
        0 => frames,
        own => &frames[frames.len() - own..],
    };
    let mut text = String::new();
    for same in shown.chunk_by(|a, b| a == b) {
        text.push_str(&format!("\n  at {}", same[0].function));
        if let Some(location) = &same[0].location {
            text.push_str(&format!(" ({location})"));
        }
        if same.len() > 1 {
            text.push_str(&format!(" ({} times)", same.len()));
        }
    }
    text
}

fn said(last_error: &Option<String>) -> String {
    match last_error {
        Some(text) => format!(": {text}"),
        None => String::new(),
    }
}

fn names(known: &[String]) -> String {
    match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_the_line_that_raises_it() {
        let holders = [("a.wasm", 3 << 30), ("b.wasm", 1)].map(|(name, bytes)| Holder {
            plugin: name.into(),
            bytes,
        });
        let message = |kind, limits: &Limits| {
            LimitExceeded::new("on-batch", kind, limits, (4096 << 20, &holders), Vec::new())
                .to_string()
        };
        let limits = Limits::default();
        assert_eq!(
            message(LimitKind::Time, &limits),
            "the plugin used more than its time of 10s in `on-batch`; look for a loop that does not end; if it needs more, write `limits.time = \"20s\"` \
             for it in pack.toml, and grant it that under [pack.NAME.limits] of the grants file"
        );
        assert!(message(LimitKind::Memory, &limits).contains("`limits.memory_mib = 512`"));
        assert!(message(LimitKind::Output, &limits).contains("`limits.output_mib = 32`"));
        assert!(message(LimitKind::Stack, &limits).contains("512 KiB"));
        let pool = message(LimitKind::Pool, &limits);
        assert!(
            pool.contains("`a.wasm` (3072 MiB), `b.wasm` (1 MiB) have the most; "),
            "{pool}"
        );
        let small = Limits {
            memory_mib: 64,
            ..limits.clone()
        };
        let small = message(LimitKind::Memory, &small);
        assert!(
            small.ends_with("`limits.memory_mib = 128` for it in pack.toml"),
            "{small}"
        );
        let most = Limits {
            memory_mib: 4096,
            ..limits
        };
        assert!(message(LimitKind::Memory, &most).contains("no more to have"));
    }

    #[test]
    fn a_backtrace_shows_the_plugins_own_functions() {
        let frames = |names: &[&str]| -> Vec<Frame> {
            let frame = |name: &&str| Frame {
                function: (*name).to_owned(),
                location: None,
            };
            names.iter().map(frame).collect()
        };
        let panic = frames(&[
            "__rustc::__rust_abort",
            "core::panicking::panic_fmt",
            "a",
            "core::b",
        ]);
        assert_eq!(trace(&panic), "\n  at a\n  at core::b");
        assert_eq!(
            trace(&frames(&["a", "a", "b"])),
            "\n  at a (2 times)\n  at b"
        );
        assert_eq!(trace(&frames(&["std::a"])), "\n  at std::a");
        assert_eq!(trace(&[]), "");
    }

    #[test]
    fn an_unknown_rule_names_near_ones() {
        let error = CallError::UnknownRule {
            rule: "console-logn".to_owned(),
            known: vec!["console-login".to_owned(), "root-use".to_owned()],
        };
        assert_eq!(
            error.to_string(),
            "the component has no code for the rule `console-logn`; did you mean `console-login`?; it has: \
             console-login, root-use"
        );
    }
}
