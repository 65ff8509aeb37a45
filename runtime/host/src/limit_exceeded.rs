//! A call that used more than its limits: which limit it was, and what to do about it.

use yagura_core::TimeSpan;
use yagura_core::pack::Limits;

use crate::backtrace::{Frame, trace};
use crate::budget::PluginMemory;
use crate::limits::{FUEL_PER_CALL, MAX_TABLE_ENTRIES, STACK_BYTES};
use crate::text::readable;

/// A call used more than a limit allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plugin used more than {allowed} in `{call}`; {advice}{}", trace(.backtrace))]
pub struct LimitExceeded {
    /// The function of the contract.
    pub call: &'static str,
    /// Which limit.
    pub kind: LimitKind,
    /// The limit, with its unit.
    pub allowed: String,
    /// What to do: the line of pack.toml that raises the limit, if there is one.
    pub advice: String,
    /// Where it stopped, innermost function first.
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
    /// Data that the call passes to the host.
    Output,
    /// Depth of calls inside the plugin.
    Stack,
    /// Table entries of the instance.
    Tables,
    /// Fuel of the call, if fuel is metered.
    Fuel,
}

impl LimitExceeded {
    pub(crate) fn new(
        call: &'static str,
        kind: LimitKind,
        limits: &Limits,
        (together, largest): (usize, &[PluginMemory]),
        backtrace: Vec<Frame>,
    ) -> Self {
        let usual = Limits::default();
        let raise = |line: String, is_over_usual: bool| {
            let grant = match is_over_usual {
                true => ", and grant that under [pack.NAME.limits] in the grants file",
                false => "",
            };
            format!("if it needs more, write `{line}` for it in pack.toml{grant}")
        };
        let mebibytes = |key: &str, number: u64, usual: u64| {
            let more = number.saturating_mul(2).min(MAX_MEBIBYTES);
            if more > number {
                raise(format!("limits.{key} = {more}"), more > usual)
            } else {
                "this is the maximum".to_owned()
            }
        };
        let (allowed, advice) = match kind {
            LimitKind::Time => (
                format!("its time of {}", limits.time),
                format!(
                    "look for an endless loop; {}",
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
                    "the rest of the {} MiB of all plugins together",
                    together >> 20
                ),
                format!(
                    "{}; bound its `memory_mib` under [pack.NAME.limits] in the grants file, or raise `plugin_memory_mib` in [serve]",
                    holding(largest)
                ),
            ),
            LimitKind::Output => (
                format!("its output of {} MiB", limits.output_mib),
                mebibytes("output_mib", limits.output_mib, usual.output_mib),
            ),
            LimitKind::Stack => (
                format!("its stack of {} KiB", STACK_BYTES >> 10),
                "the size is fixed: look for an endless recursion".to_owned(),
            ),
            LimitKind::Fuel => (
                format!("its fuel of {FUEL_PER_CALL} instructions"),
                "look for an endless loop".to_owned(),
            ),
            LimitKind::Tables => (
                format!("its {MAX_TABLE_ENTRIES} table entries"),
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

/// Names the plugins with the largest memory.
fn holding(largest: &[PluginMemory]) -> String {
    let size = |memory: &PluginMemory| {
        format!(
            "`{}` ({} MiB)",
            readable(&memory.plugin),
            memory.bytes.div_ceil(1 << 20)
        )
    };
    let names: Vec<String> = largest.iter().map(size).collect();
    match names.as_slice() {
        [] => "no plugin has any memory".to_owned(),
        [one] => format!("{one} has the largest memory"),
        many => format!("{} have the largest memory", many.join(", ")),
    }
}

/// The maximum of `limits.memory_mib` and `limits.output_mib`.
const MAX_MEBIBYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_the_line_that_raises_it() {
        let largest = [("a.wasm", 3 << 30), ("b.wasm", 1)].map(|(name, bytes)| PluginMemory {
            plugin: name.into(),
            bytes,
        });
        let message = |kind, limits: &Limits| {
            LimitExceeded::new("on-batch", kind, limits, (4096 << 20, &largest), Vec::new())
                .to_string()
        };
        let limits = Limits::default();
        assert_eq!(
            message(LimitKind::Time, &limits),
            "the plugin used more than its time of 10s in `on-batch`; look for an endless loop; if it needs more, write `limits.time = \"20s\"` \
             for it in pack.toml, and grant that under [pack.NAME.limits] in the grants file"
        );
        assert!(message(LimitKind::Memory, &limits).contains("`limits.memory_mib = 512`"));
        assert!(message(LimitKind::Output, &limits).contains("`limits.output_mib = 32`"));
        assert!(message(LimitKind::Stack, &limits).contains("512 KiB"));
        let pool = message(LimitKind::Pool, &limits);
        assert!(
            pool.contains("`a.wasm` (3072 MiB), `b.wasm` (1 MiB) have the largest memory; "),
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
        let maximum = Limits {
            memory_mib: 4096,
            ..limits
        };
        assert!(message(LimitKind::Memory, &maximum).contains("this is the maximum"));
    }
}
