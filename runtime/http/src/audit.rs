//! The record of every call, refused calls included.

use std::time::Duration;

use yagura_core::Timestamp;

/// A plugin, by its pack and its file.
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
    /// Start of the call, by the host's clock.
    pub time: Timestamp,
    /// The plugin that called.
    pub plugin: PluginId,
    /// Id of the alert or the incident that the plugin was called for; `None` while the plugin is opened.
    pub subject: Option<String>,
    /// Method.
    pub method: String,
    /// URL, with placeholders in place of secrets; at most 2 KiB.
    pub url: String,
    /// Status, if a server answered.
    pub status: Option<u16>,
    /// Bytes of the body that was sent.
    pub request_bytes: u64,
    /// Bytes of the body that came back.
    pub response_bytes: u64,
    /// Time from the start to the answer.
    pub duration: Duration,
    /// Why there was no answer, or why the call was refused.
    pub error: Option<String>,
    /// True if the answer came from the cache and nothing was sent.
    pub cached: bool,
}

/// Records calls. It runs on the thread that makes the call, so it should only pass the record on.
pub trait CallLog: Send + Sync {
    /// Records a call.
    fn record(&self, call: HttpCall);
}

/// Records nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCallLog;

impl CallLog for NoCallLog {
    fn record(&self, _: HttpCall) {}
}
