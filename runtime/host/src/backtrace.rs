//! Where a plugin stopped: its functions, innermost first.

use wasmtime::WasmBacktrace;

use crate::text::readable;

/// A function of the plugin, on the way to where it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name, or its number when the component keeps no names.
    pub function: String,
    /// File and line, when the component keeps debug information.
    pub location: Option<String>,
}

/// Returns the functions in the backtrace of an error of the engine.
pub(crate) fn frames(error: &wasmtime::Error) -> Vec<Frame> {
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

/// Returns a readable name. Names come from the plugin, like its messages.
fn demangled(name: &str) -> String {
    readable(&format!("{:#}", rustc_demangle::demangle(name)))
}

/// Lists the functions, one per line, without the runtime functions of a Rust panic, and with repetitions counted.
pub(crate) fn trace(frames: &[Frame]) -> String {
    let runtime = ["__rustc::", "alloc::", "core::", "std::"];
    let is_runtime = |frame: &&Frame| {
        let function = frame.function.trim_start_matches('<');
        runtime.iter().any(|name| function.starts_with(name))
    };
    let own = frames.iter().skip_while(is_runtime).count();
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
