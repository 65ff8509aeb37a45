//! What is kept of every call, also of those that were refused.

use std::time::Duration;

use yagura_core::Timestamp;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginId {
    /// The pack's name.
    pub pack: String,
    /// The plugin's file in the pack.
    pub file: String,
}

impl std::fmt::Display for PluginId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pack, self.file)
    }
}

/// A call of a plugin to a server; each redirect is one more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// When it began, by the host's clock.
    pub time: Timestamp,
    /// Who called.
    pub plugin: PluginId,
    /// Id of the alert or the incident that the plugin was called for; nothing while it is opened.
    pub subject: Option<String>,
    /// Method.
    pub method: String,
    /// URL, with placeholders in place of secrets; at most 2 KiB.
    pub url: String,
    /// Status, if there was an answer.
    pub status: Option<u16>,
    /// Bytes of the body that was sent.
    pub request_bytes: u64,
    /// Bytes of the body that came back.
    pub response_bytes: u64,
    /// How long it took.
    pub duration: Duration,
    /// Why there was no answer, or why the call was refused.
    pub error: Option<String>,
    /// True when the answer was in the cache, and nothing was sent.
    pub cached: bool,
}

/// Keeps calls. It is called by the thread that calls, so it should only hand them on.
pub trait CallLog: Send + Sync {
    /// Keeps a call.
    fn record(&self, call: HttpCall);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCallLog;

impl CallLog for NoCallLog {
    fn record(&self, _: HttpCall) {}
}
