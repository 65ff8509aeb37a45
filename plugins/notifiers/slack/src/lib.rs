//! Slack: one message an incident, edited as more becomes known.
//!
//! `chat.postMessage` has no key that would keep a second attempt from making a second message. So each message carries the
//! incident's id in its metadata, and after an attempt without an answer the channel's history is searched for it.

mod message;

use serde::Deserialize;
use serde_json::json;
use yagura_sdk::http::Response;
use yagura_sdk::prelude::*;

use plugin_common::{Receive, base_url, parse, secret};

yagura_sdk::notifier!(Slack);

/// Pages of 200 messages that are searched for one that may be there.
const PAGES: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    channel: String,
    #[serde(default = "slack_token")]
    secret: String,
    #[serde(default = "slack")]
    base_url: String,
}

fn slack_token() -> String {
    "slack_token".to_owned()
}

fn slack() -> String {
    "https://slack.com/api".to_owned()
}

struct Slack {
    channel: String,
    authorization: String,
    base_url: String,
}

impl Notifier for Slack {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        let is_id = settings.channel.len() > 1
            && settings.channel.starts_with(['C', 'G', 'D'])
            && settings
                .channel
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !is_id {
            return Err(PluginError::Config(format!(
                "`channel` is \"{}\": write the channel's id, like `C024BE91L`; Slack shows it below the channel's details",
                settings.channel
            )));
        }
        Ok(Self {
            channel: settings.channel,
            authorization: format!("Bearer {}", secret(&settings.secret)?),
            base_url: base_url(&settings.base_url)?,
        })
    }

    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let earlier = match &report.earlier {
            Some(receipt) => Some(receipt.clone()),
            None if report.uncertain => self.find(&report.id)?,
            None => None,
        };
        if let Some(receipt) = earlier
            && let Some(receipt) = self.update(report, &receipt)?
        {
            return Ok(receipt);
        }
        self.post(report)
    }
}

impl Slack {
    fn post(&self, report: &Report) -> Result<String, PluginError> {
        let body = message::body(report, &self.channel);
        let answer = self.call("chat.postMessage", &body)?;
        let answer = checked("chat.postMessage", &answer)?;
        let text = |key| answer.get(key).and_then(Json::string);
        match (text("channel"), text("ts")) {
            (Some(channel), Some(ts)) => Ok(format!("{channel}:{ts}")),
            _ => Err(PluginError::Retry(
                "chat.postMessage answered no `ts`".to_owned(),
            )),
        }
    }

    /// Returns the receipt, or nothing where the message is not there any more.
    fn update(&self, report: &Report, receipt: &str) -> Result<Option<String>, PluginError> {
        let Some((channel, ts)) = receipt.split_once(':') else {
            log::warn(&format!(
                "`{receipt}` is no receipt of Slack's: a new message is posted"
            ));
            return Ok(None);
        };
        let mut body = message::body(report, channel);
        body["ts"] = json!(ts);
        let answer = self.call("chat.update", &body)?;
        match checked("chat.update", &answer) {
            Ok(_) => Ok(Some(receipt.to_owned())),
            Err(error) => match error_of(&answer).as_deref() {
                Some(
                    gone @ ("message_not_found" | "cant_update_message" | "edit_window_closed"),
                ) => {
                    log::info(&format!(
                        "the message cannot be edited ({gone}): a new one is posted"
                    ));
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Looks for the message of an incident among the channel's latest.
    fn find(&self, incident: &str) -> Result<Option<String>, PluginError> {
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let mut request = http::get(format!("{}/conversations.history", self.base_url))
                .query("channel", &self.channel)
                .query("include_all_metadata", "true")
                .query("limit", "200");
            if !cursor.is_empty() {
                request = request.query("cursor", &cursor);
            }
            let answer = request
                .header("Authorization", &self.authorization)
                .receive()?
                .success()?;
            let page = checked("conversations.history", &answer)?;
            let messages = page.get("messages").into_iter().flat_map(Json::elements);
            for message in messages {
                let id = message
                    .at("metadata.event_payload.id")
                    .and_then(Json::string);
                let event = message.at("metadata.event_type").and_then(Json::string);
                if id.as_deref() == Some(incident)
                    && event.as_deref() == Some(message::EVENT)
                    && let Some(ts) = message.get("ts").and_then(Json::string)
                {
                    return Ok(Some(format!("{}:{ts}", self.channel)));
                }
            }
            let next = page
                .at("response_metadata.next_cursor")
                .and_then(Json::string);
            match next.filter(|next| !next.is_empty()) {
                Some(next) => cursor = next.into_owned(),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    fn call(&self, method: &str, body: &serde_json::Value) -> Result<Response, PluginError> {
        http::post(format!("{}/{method}", self.base_url))
            .header("Authorization", &self.authorization)
            .json(body)
            .receive()?
            .success()
    }
}

/// Slack answers 200 to almost everything, and says in the body whether it worked.
fn checked<'r>(method: &str, answer: &'r Response) -> Result<Json<'r>, PluginError> {
    let body = answer.json()?;
    if body.get("ok").and_then(Json::bool) == Some(true) {
        return Ok(body);
    }
    let error = error_of(answer).unwrap_or_else(|| "no reason".to_owned());
    let mut message = format!("{method} answered `{error}`");
    if let Some(scope) = body.get("needed").and_then(Json::text) {
        message.push_str(&format!(
            ": give the app the scope `{scope}` and install it again"
        ));
    }
    Err(match error.as_str() {
        "ratelimited"
        | "rate_limited"
        | "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org"
        | "no reason" => PluginError::Retry(message),
        "msg_too_long"
        | "msg_blocks_too_long"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "no_text"
        | "invalid_arguments"
        | "invalid_metadata_format"
        | "invalid_metadata_schema" => PluginError::Data(message),
        _ => PluginError::Config(message),
    })
}

fn error_of(answer: &Response) -> Option<String> {
    let error = Json::new(answer.text()).get("error")?;
    error.string().map(String::from)
}

#[cfg(test)]
mod tests;
