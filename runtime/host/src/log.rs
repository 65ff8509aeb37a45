//! The lines that a plugin writes: bounded in number and length, sent to `tracing`, kept until the next call.

use std::sync::Arc;

use yagura_core::shown::one_line;

use crate::bindings::v0_1_0::log;
use crate::http::masked;
use crate::limits::HostState;

/// Longest text of a plugin, in bytes, that reaches a log line or an error message.
const LONGEST_TEXT: usize = 4096;

/// Longest explanation of a trap, in bytes: a runtime's own backtrace may follow its first words.
const LONGEST_EXPLANATION: usize = 600;

/// Most lines that are kept for [`Detector::last_log`](crate::Detector::last_log), whatever the limit is.
const MOST_KEPT: usize = 1000;

/// How much a line of a plugin's log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd, the work goes on.
    Warn,
    /// Something failed.
    Error,
}

/// A line that a plugin wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// Its text on one line, at most 4 KiB, with what a reader would not see written out.
    pub message: String,
}

/// The log of one instance during one call.
pub(crate) struct CallLog {
    plugin: Arc<str>,
    allowed: u32,
    written: u32,
    dropped: u64,
    lines: Vec<LogLine>,
}

impl CallLog {
    pub(crate) fn new(plugin: Arc<str>, allowed: u32) -> Self {
        Self {
            plugin,
            allowed,
            written: 0,
            dropped: 0,
            lines: Vec::new(),
        }
    }

    /// Forgets the last call.
    pub(crate) fn begin(&mut self) {
        self.written = 0;
        self.dropped = 0;
        self.lines.clear();
    }

    /// Reports in one line what the limit dropped.
    pub(crate) fn end(&self) {
        if self.dropped > 0 {
            tracing::warn!(
                target: "plugin",
                plugin = %self.plugin,
                dropped = self.dropped,
                "log lines over `limits.log_lines = {}` were dropped",
                self.allowed
            );
        }
    }

    pub(crate) fn lines(&self) -> &[LogLine] {
        &self.lines
    }

    /// Returns how many lines of the call were over the limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns what was written at level error, on one line, which says why a plugin then traps. Some runtimes write a
    /// message piece by piece.
    pub(crate) fn errors(&self) -> Option<String> {
        let lines = self.lines.iter();
        let errors = lines.filter(|line| line.level == LogLevel::Error);
        let words: Vec<&str> = errors
            .flat_map(|line| line.message.split_whitespace())
            .collect();
        if words.is_empty() {
            return None;
        }
        let mut text = words.join(" ");
        let end = text.floor_char_boundary(LONGEST_EXPLANATION);
        if end < text.len() {
            text.truncate(end);
            text.push('…');
        }
        Some(text)
    }

    fn write(&mut self, level: LogLevel, message: &str) {
        if self.written >= self.allowed {
            self.dropped += 1;
            return;
        }
        self.written += 1;
        let message = readable(message);
        let plugin: &str = &self.plugin;
        match level {
            LogLevel::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            LogLevel::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            LogLevel::Error => tracing::error!(target: "plugin", plugin, "{message}"),
        }
        if self.lines.len() < MOST_KEPT {
            self.lines.push(LogLine { level, message });
        }
    }
}

impl log::Host for HostState {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.write(level, &message);
    }
}

/// Returns a plugin's text fit for a log or a terminal: cut to 4 KiB, on one line, without what acts upon a terminal and without
/// what stands in a URL to let its bearer in.
pub(crate) fn readable(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_TEXT);
    let mut readable = one_line(&masked(&text[..end]));
    if end < text.len() {
        readable.push_str(&format!("… ({} bytes)", text.len()));
    }
    readable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_are_counted() {
        let mut log = CallLog::new("p".into(), 2);
        for number in 0..5 {
            log.write(LogLevel::Info, &number.to_string());
        }
        assert_eq!((log.lines().len(), log.dropped()), (2, 3));
        log.begin();
        assert_eq!((log.lines().len(), log.dropped()), (0, 0));
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_cannot_steer_a_terminal() {
        let long = "語".repeat(2000);
        let cut = readable(&long);
        assert_eq!(cut, format!("{}… (6000 bytes)", "語".repeat(1365)));
        assert_eq!(readable("a\u{1b}[2Jb:\r\nc\td"), "a\\u{1b}[2Jb: c d");
        assert_eq!(readable("a\u{202e}\u{2028}b"), "a\\u{202e}\\u{2028}b");
        assert_eq!(
            readable("GET https://a.example/x?sig=abc&n=1 failed"),
            "GET https://a.example/x?sig=***&n=1 failed"
        );
    }

    #[test]
    fn errors_are_put_together_between_other_lines() {
        let mut log = CallLog::new("p".into(), 9);
        assert_eq!(log.errors(), None);
        log.write(LogLevel::Error, "fatal error: ");
        log.write(LogLevel::Info, "between");
        log.write(LogLevel::Error, "all goroutines are asleep\n");
        assert_eq!(
            log.errors().unwrap(),
            "fatal error: all goroutines are asleep"
        );
        log.write(LogLevel::Error, &"é".repeat(400));
        assert!(log.errors().unwrap().ends_with("é…"));
    }
}
