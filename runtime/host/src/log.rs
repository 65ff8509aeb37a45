//! The log lines of a plugin: bounded in number and length, sent to `tracing`, kept until the next call.

use std::sync::Arc;

use crate::text::readable;

/// Maximum length of the explanation of a trap, in bytes: a language runtime may add its own backtrace.
const MAX_EXPLANATION: usize = 600;

/// Maximum number of lines for [`Detector::last_log`](crate::Detector::last_log), whatever the limit of the plugin.
const MAX_LINES: usize = 1000;

/// The level of a log line of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// An event of interest.
    Info,
    /// Something is unusual; the work goes on.
    Warn,
    /// Something failed.
    Error,
}

/// A line that a plugin wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// Its text on one line of at most 4 KiB, with escaped control characters.
    pub message: String,
}

/// The log of one instance during one call.
pub(crate) struct GuestLog {
    plugin: Arc<str>,
    allowed: u32,
    written: u32,
    dropped: u64,
    lines: Vec<LogLine>,
}

impl GuestLog {
    pub(crate) fn new(plugin: Arc<str>, allowed: u32) -> Self {
        Self {
            plugin,
            allowed,
            written: 0,
            dropped: 0,
            lines: Vec::new(),
        }
    }

    /// Drops the lines of the last call.
    pub(crate) fn begin(&mut self) {
        self.written = 0;
        self.dropped = 0;
        self.lines.clear();
    }

    /// Logs how many lines the limit dropped.
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

    /// Returns all lines at level error, joined on one line: they explain a trap. Some language runtimes write a message piece by
    /// piece.
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
        let end = text.floor_char_boundary(MAX_EXPLANATION);
        if end < text.len() {
            text.truncate(end);
            text.push('…');
        }
        Some(text)
    }

    /// Adds a line, or counts it if there are too many.
    pub(crate) fn write(&mut self, level: LogLevel, message: &str) {
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
        if self.lines.len() < MAX_LINES {
            self.lines.push(LogLine { level, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_are_counted() {
        let mut log = GuestLog::new("p".into(), 2);
        for number in 0..5 {
            log.write(LogLevel::Info, &number.to_string());
        }
        assert_eq!((log.lines().len(), log.dropped()), (2, 3));
        log.begin();
        assert_eq!((log.lines().len(), log.dropped()), (0, 0));
    }

    #[test]
    fn error_lines_are_joined() {
        let mut log = GuestLog::new("p".into(), 9);
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
