//! Slack: `chat.postMessage`, `chat.update`, `conversations.history`.

use serde_json::{Value, json};

use super::{Reply, Seen, Service};

/// A workspace that holds channels as they are asked for.
#[derive(Debug)]
pub struct Slack {
    token: String,
    clock: u64,
    /// Messages in the order in which they were posted.
    pub messages: Vec<Message>,
    /// Messages of a page of the history.
    pub page: usize,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// Its name in the channel.
    pub ts: String,
    /// The fallback text.
    pub text: String,
    /// Blocks, metadata and what else came.
    pub arguments: Value,
    /// How often it was edited.
    pub edits: usize,
}

impl Slack {
    /// A workspace that takes this token.
    pub fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            clock: 1_767_323_045,
            messages: Vec::new(),
            page: 200,
        }
    }

    fn post(&mut self, arguments: Value) -> Value {
        let channel = arguments["channel"].as_str().unwrap_or_default().to_owned();
        let text = arguments["text"].as_str().unwrap_or_default().to_owned();
        if text.is_empty() && arguments["blocks"].is_null() {
            return error("no_text");
        }
        self.clock += 1;
        let ts = format!("{}.000100", self.clock);
        self.messages.push(Message {
            channel: channel.clone(),
            ts: ts.clone(),
            text,
            arguments,
            edits: 0,
        });
        json!({"ok": true, "channel": channel, "ts": ts, "message": {"type": "message", "ts": ts}})
    }

    fn update(&mut self, arguments: Value) -> Value {
        let (channel, ts) = (arguments["channel"].clone(), arguments["ts"].clone());
        let is_it = |message: &&mut Message| channel == message.channel && ts == message.ts;
        let Some(message) = self.messages.iter_mut().find(is_it) else {
            return error("message_not_found");
        };
        message.edits += 1;
        message.text = arguments["text"].as_str().unwrap_or_default().to_owned();
        message.arguments = arguments;
        json!({"ok": true, "channel": channel, "ts": ts, "text": message.text})
    }

    fn history(&self, request: &Seen) -> Value {
        let channel = request.parameter("channel").unwrap_or_default();
        let wants_metadata = request.parameter("include_all_metadata") == Some("true");
        let start: usize = request
            .parameter("cursor")
            .and_then(|cursor| cursor.parse().ok())
            .unwrap_or_default();
        let of_channel = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.channel == channel);
        let total = of_channel.clone().count();
        let messages: Vec<Value> = of_channel
            .skip(start)
            .take(self.page)
            .map(|message| {
                let mut shown = json!({"type": "message", "ts": message.ts, "text": message.text});
                if wants_metadata {
                    shown["metadata"] = message.arguments["metadata"].clone();
                }
                shown
            })
            .collect();
        let next = start + self.page;
        let cursor = if next < total {
            next.to_string()
        } else {
            String::new()
        };
        json!({"ok": true, "messages": messages, "has_more": next < total, "response_metadata": {"next_cursor": cursor}})
    }
}

impl Service for Slack {
    fn answer(&mut self, request: &Seen) -> Reply {
        let body = if request.header("authorization") != Some(&format!("Bearer {}", self.token)) {
            error("invalid_auth")
        } else {
            match request.path.rsplit('/').next() {
                Some("chat.postMessage") => self.post(request.json()),
                Some("chat.update") => self.update(request.json()),
                Some("conversations.history") => self.history(request),
                _ => error("unknown_method"),
            }
        };
        Reply::json(200, &body)
    }
}

fn error(name: &str) -> Value {
    json!({"ok": false, "error": name})
}
