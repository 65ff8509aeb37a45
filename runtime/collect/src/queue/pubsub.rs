//! Google Pub/Sub: a subscription from which messages are pulled.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use object_store::gcp::GcpCredentialProvider;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{Client, HIDDEN, Message, Queue, QueueError};

/// Messages that are pulled together at most.
const TOGETHER: usize = 100;

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    client: Client,
    /// Its URL, without a verb.
    url: Url,
    /// Absent where requests are not signed, as for an emulator.
    credentials: Option<GcpCredentialProvider>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pulled {
    #[serde(default)]
    received_messages: Vec<Received>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    ack_id: String,
    #[serde(default)]
    message: PubsubMessage,
}

#[derive(Debug, Default, Deserialize)]
struct PubsubMessage {
    #[serde(default)]
    data: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// Says whether a text ends with the name of a subscription.
pub(crate) fn is_subscription(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    matches!(
        parts.as_slice(),
        [.., "projects", project, "subscriptions", name] if !project.is_empty() && !name.is_empty()
    )
}

impl Subscription {
    pub(super) fn new(
        client: Client,
        url: Url,
        credentials: Option<GcpCredentialProvider>,
    ) -> Self {
        Self {
            client,
            url,
            credentials,
        }
    }

    async fn call(&self, verb: &str, body: Value) -> Result<Vec<u8>, QueueError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}:{verb}", self.url.path()));
        let bearer = match &self.credentials {
            None => None,
            Some(credentials) => {
                let credential = credentials.get_credential().await;
                let credential = credential.map_err(|error| self.client.unsigned(error))?;
                Some(format!("Bearer {}", credential.bearer))
            }
        };
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let body = body.to_string().into_bytes();
        let request = self.client.request("POST", &url, &headers, body)?;
        self.client.send(request).await
    }

    async fn pull(&self) -> Result<Vec<Message>, QueueError> {
        let answer = self.call("pull", json!({"maxMessages": TOGETHER})).await?;
        let pulled: Pulled =
            serde_json::from_slice(&answer).map_err(|error| self.client.unreadable(&error))?;
        let received = pulled.received_messages;
        if received.is_empty() {
            return Ok(Vec::new());
        }
        // A subscription's own deadline may be 10 s, which is shorter than an ingest.
        let ids: Vec<&str> = received.iter().map(|of| of.ack_id.as_str()).collect();
        let longer = json!({"ackIds": ids, "ackDeadlineSeconds": HIDDEN.as_secs()});
        self.call("modifyAckDeadline", longer).await?;
        let messages = received.into_iter().map(|of| {
            let data = of.message.data;
            // What is not encoded as it should be is shown as it came.
            let text = STANDARD.decode(&data).unwrap_or_else(|_| data.into());
            Message {
                text: String::from_utf8_lossy(&text).into_owned(),
                attributes: of.message.attributes,
                receipt: of.ack_id,
            }
        });
        Ok(messages.collect())
    }

    async fn acknowledge(&self, receipts: &[String]) -> Result<(), QueueError> {
        self.call("acknowledge", json!({"ackIds": receipts}))
            .await?;
        Ok(())
    }
}

impl Queue for Subscription {
    fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, QueueError>> {
        Box::pin(self.pull())
    }

    fn delete<'q>(&'q self, receipts: &'q [String]) -> BoxFuture<'q, Result<(), QueueError>> {
        Box::pin(self.acknowledge(receipts))
    }

    fn pause(&self) -> Duration {
        // The service waits for messages, an emulator may not.
        Duration::from_secs(1)
    }
}
