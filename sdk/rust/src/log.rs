//! The plugin's log. The host limits its lines and bytes per call.

use crate::bindings::yagura::plugin::log::Level;

/// Logs a message for the plugin's author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Logs a message that an operator may want to read.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Logs a message that an operator should read.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Logs a failure.
pub fn error(message: &str) {
    write(Level::Error, message);
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    crate::bindings::yagura::plugin::log::log(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
#[expect(
    clippy::print_stderr,
    reason = "unit tests have no host that would keep the log"
)]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

/// Logs the message and place of a panic before the plugin traps; the trap itself has neither.
pub(crate) fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        match panic.location() {
            Some(at) => error(&format!(
                "panicked at {}:{}: {message}",
                at.file(),
                at.line()
            )),
            None => error(&format!("panicked: {message}")),
        }
    }));
}
