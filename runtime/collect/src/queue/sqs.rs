//! Amazon SQS, by its JSON protocol.

use std::time::Duration;

use futures::future::BoxFuture;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use serde::Deserialize;
use serde_json::json;
use url::{Host, Url};

use super::{Client, HIDDEN, Message, Queue, QueueError, WAIT};

/// SQS gives and deletes at most so many messages a request.
const TOGETHER: usize = 10;

/// A queue of SQS.
#[derive(Debug)]
pub(crate) struct Sqs {
    client: Client,
    /// The queue's URL.
    queue: Url,
    /// Absent where requests are not signed.
    credentials: Option<AwsCredentialProvider>,
    region: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    /// Absent where there are none.
    #[serde(default)]
    messages: Option<Vec<SqsMessage>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SqsMessage {
    receipt_handle: String,
    #[serde(default)]
    body: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    #[serde(default)]
    failed: Option<Vec<NotDeleted>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotDeleted {
    #[serde(default)]
    code: String,
    /// Whether the receipt is wrong, for instance because it is too old: the message comes again.
    #[serde(default)]
    sender_fault: bool,
}

/// Returns the region that stands in the host of a queue's URL.
pub(crate) fn region_of(queue: &Url) -> Option<String> {
    let Some(Host::Domain(host)) = queue.host() else {
        return None;
    };
    let mut parts = host.split('.');
    let region = match (parts.next()?, parts.next()?, parts.next()?) {
        ("sqs" | "sqs-fips", region, "amazonaws") => region,
        (region, "queue", "amazonaws") => region,
        _ => return None,
    };
    Some(region.to_owned())
}

impl Sqs {
    pub(super) fn new(
        client: Client,
        queue: Url,
        credentials: Option<AwsCredentialProvider>,
        region: String,
    ) -> Self {
        Self {
            client,
            queue,
            credentials,
            region,
        }
    }

    async fn call(&self, action: &str, body: serde_json::Value) -> Result<Vec<u8>, QueueError> {
        let mut endpoint = self.queue.clone();
        endpoint.set_path("/");
        let target = format!("AmazonSQS.{action}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        let body = body.to_string().into_bytes();
        let mut request = self.client.request("POST", &endpoint, &headers, body)?;
        if let Some(credentials) = &self.credentials {
            let credential = credentials.get_credential().await;
            let credential = credential.map_err(|error| self.client.unsigned(error))?;
            AwsAuthorizer::new(&credential, "sqs", &self.region).authorize(&mut request, None);
        }
        self.client.send(request).await
    }

    async fn receive_some(&self) -> Result<Vec<Message>, QueueError> {
        let body = json!({
            "QueueUrl": self.queue.as_str(),
            "MaxNumberOfMessages": TOGETHER,
            "WaitTimeSeconds": WAIT.as_secs(),
            "VisibilityTimeout": HIDDEN.as_secs(),
        });
        let answer = self.call("ReceiveMessage", body).await?;
        let received: Received =
            serde_json::from_slice(&answer).map_err(|error| self.client.unreadable(&error))?;
        let messages = received.messages.unwrap_or_default().into_iter();
        let messages = messages.map(|message| Message {
            text: message.body,
            receipt: message.receipt_handle,
            ..Message::default()
        });
        Ok(messages.collect())
    }

    async fn delete_all(&self, receipts: &[String]) -> Result<(), QueueError> {
        for some in receipts.chunks(TOGETHER) {
            let entries = some
                .iter()
                .enumerate()
                .map(|(id, receipt)| json!({"Id": id.to_string(), "ReceiptHandle": receipt}));
            let body = json!({
                "QueueUrl": self.queue.as_str(),
                "Entries": entries.collect::<Vec<_>>(),
            });
            let answer = self.call("DeleteMessageBatch", body).await?;
            let deleted: Deleted =
                serde_json::from_slice(&answer).map_err(|error| self.client.unreadable(&error))?;
            let mut failed = deleted.failed.unwrap_or_default().into_iter();
            if let Some(other) = failed.find(|failed| !failed.sender_fault) {
                return Err(self
                    .client
                    .unreadable(&format!("a message was not deleted: {}", other.code)));
            }
        }
        Ok(())
    }
}

impl Queue for Sqs {
    fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, QueueError>> {
        Box::pin(self.receive_some())
    }

    fn delete<'q>(&'q self, receipts: &'q [String]) -> BoxFuture<'q, Result<(), QueueError>> {
        Box::pin(self.delete_all(receipts))
    }

    fn pause(&self) -> Duration {
        // The request itself waits.
        Duration::ZERO
    }
}
