//! Microsoft Teams: the webhook of a workflow.

use serde_json::Value;

use super::{Reply, Seen, Service};

/// A channel.
#[derive(Debug)]
pub struct Teams {
    signature: String,
    /// Cards in the order in which they were posted.
    pub cards: Vec<Value>,
}

impl Teams {
    /// A channel whose webhook has this signature in its query: `/workflows/1/invoke?sig=SIGNATURE`.
    pub fn new(signature: &str) -> Self {
        Self {
            signature: signature.to_owned(),
            cards: Vec::new(),
        }
    }
}

impl Service for Teams {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.line() != "POST /workflows/1/invoke" {
            return Reply::text(404, "");
        }
        if request.parameter("sig") != Some(&self.signature) {
            return Reply::text(
                401,
                "{\"error\":{\"code\":\"DirectApiAuthorizationRequired\"}}",
            );
        }
        if request.body.len() > 28 * 1024 {
            return Reply::text(413, "");
        }
        let attachment = &request.json()["attachments"][0];
        let is_card = attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
            && attachment["content"]["type"] == "AdaptiveCard";
        if !is_card {
            return Reply::text(400, "");
        }
        self.cards.push(attachment["content"].clone());
        Reply::text(202, "")
    }
}
