//! Azure Storage Queue.

use std::time::Duration;

use futures::future::BoxFuture;
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use url::{Host, Url};

use super::{Client, HIDDEN, Message, Queue, QueueError};

/// The service gives at most so many messages a request.
const TOGETHER: usize = 32;

/// A queue of an account for storage.
#[derive(Debug)]
pub(crate) struct StorageQueue {
    client: Client,
    queue: Url,
    /// Absent where requests are not signed.
    credentials: Option<AzureCredentialProvider>,
    account: String,
}

/// Returns the account that a queue's URL names: in its host, or first in its path at an address.
pub(crate) fn account_of(queue: &Url) -> Option<String> {
    let parts: Vec<&str> = queue.path().trim_matches('/').split('/').collect();
    let account = match (queue.host()?, parts.as_slice()) {
        (Host::Domain(host), [name]) if !name.is_empty() => host.split('.').next()?,
        (_, [account, name]) if !account.is_empty() && !name.is_empty() => *account,
        _ => return None,
    };
    Some(account.to_owned())
}

impl StorageQueue {
    pub(super) fn new(
        client: Client,
        queue: Url,
        credentials: Option<AzureCredentialProvider>,
        account: String,
    ) -> Self {
        Self {
            client,
            queue,
            credentials,
            account,
        }
    }

    async fn call(&self, method: &str, url: &Url) -> Result<Vec<u8>, QueueError> {
        let mut request = self.client.request(method, url, &[], Vec::new())?;
        if let Some(credentials) = &self.credentials {
            let credential = credentials.get_credential().await;
            let credential = credential.map_err(|error| self.client.unsigned(error))?;
            AzureAuthorizer::new(&credential, &self.account).authorize(&mut request);
        }
        self.client.send(request).await
    }

    fn messages(&self) -> Url {
        let mut url = self.queue.clone();
        url.set_path(&format!(
            "{}/messages",
            self.queue.path().trim_end_matches('/')
        ));
        url
    }

    async fn receive_some(&self) -> Result<Vec<Message>, QueueError> {
        let mut url = self.messages();
        url.query_pairs_mut()
            .append_pair("numofmessages", &TOGETHER.to_string())
            .append_pair("visibilitytimeout", &HIDDEN.as_secs().to_string());
        let answer = self.call("GET", &url).await?;
        let text = String::from_utf8_lossy(&answer);
        messages_of(&text).map_err(|reason| self.client.unreadable(&reason))
    }

    async fn delete_all(&self, receipts: &[String]) -> Result<(), QueueError> {
        for receipt in receipts {
            let Some((id, pop)) = receipt.split_once(' ') else {
                continue;
            };
            let mut url = self.messages();
            url.set_path(&format!("{}/{id}", url.path()));
            url.query_pairs_mut().append_pair("popreceipt", pop);
            match self.call("DELETE", &url).await {
                // Somebody else received it since: it comes again.
                Ok(_) | Err(QueueError::Refused { status: 404, .. }) => {}
                Err(QueueError::Refused {
                    status: 400, text, ..
                }) if text.contains("PopReceiptMismatch") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Queue for StorageQueue {
    fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, QueueError>> {
        Box::pin(self.receive_some())
    }

    fn delete<'q>(&'q self, receipts: &'q [String]) -> BoxFuture<'q, Result<(), QueueError>> {
        Box::pin(self.delete_all(receipts))
    }

    fn pause(&self) -> Duration {
        // The service does not wait for messages, and each request costs.
        Duration::from_secs(2)
    }
}

/// Reads the list of messages.
fn messages_of(text: &str) -> Result<Vec<Message>, String> {
    // The service begins with a mark of the encoding.
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut messages = Vec::new();
    let [mut id, mut pop, mut body, mut value]: [String; 4] = Default::default();
    let take = |value: &mut String| std::mem::take(value);
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(_) => value.clear(),
            Event::Text(text) => {
                let text = text.xml10_content().map_err(|error| error.to_string())?;
                value.push_str(&text);
            }
            Event::CData(text) => {
                let text = text.xml10_content().map_err(|error| error.to_string())?;
                value.push_str(&text);
            }
            Event::GeneralRef(reference) => {
                value.push(character(&reference).ok_or("an unknown entity")?)
            }
            Event::End(end) => match end.local_name().as_ref() {
                b"MessageId" => id = take(&mut value),
                b"PopReceipt" => pop = take(&mut value),
                b"MessageText" => body = take(&mut value),
                b"QueueMessage" => messages.push(Message {
                    text: take(&mut body),
                    receipt: format!("{} {}", take(&mut id), take(&mut pop)),
                    ..Message::default()
                }),
                _ => {}
            },
            Event::Eof => return Ok(messages),
            _ => {}
        }
    }
}

fn character(reference: &BytesRef<'_>) -> Option<char> {
    if let Some(c) = reference.resolve_char_ref().ok()? {
        return Some(c);
    }
    let text = resolve_xml_entity(reference.decode().ok()?.as_ref())?;
    text.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_from_xml() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><QueueMessagesList><QueueMessage>\
            <MessageId>5974b586</MessageId><InsertionTime>Fri, 09 Oct 2009 21:04:30 GMT</InsertionTime>\
            <PopReceipt>YzQ4Yzg1MDI+/A==</PopReceipt><DequeueCount>1</DequeueCount>\
            <MessageText>{&quot;a&quot;:&#x31;}</MessageText></QueueMessage>\
            <QueueMessage><MessageId>2</MessageId><PopReceipt>r</PopReceipt><MessageText>e30=</MessageText></QueueMessage></QueueMessagesList>";
        let messages = messages_of(text).unwrap();
        let found: Vec<(&str, &str)> = messages
            .iter()
            .map(|of| (of.text.as_str(), of.receipt.as_str()))
            .collect();
        assert_eq!(
            found,
            [("{\"a\":1}", "5974b586 YzQ4Yzg1MDI+/A=="), ("e30=", "2 r")]
        );
        assert!(messages_of("<QueueMessagesList />").unwrap().is_empty());
        assert!(messages_of("<a><b></a>").is_err());
    }

    #[test]
    fn the_account_stands_in_the_host_or_in_the_path() {
        let account = |url: &str| account_of(&Url::parse(url).unwrap());
        let of = |name: &str| Some(name.to_owned());
        assert_eq!(
            account("https://acct.queue.core.windows.net/raw"),
            of("acct")
        );
        assert_eq!(
            account("http://127.0.0.1:1/devstoreaccount1/raw"),
            of("devstoreaccount1")
        );
        assert_eq!(account("https://acct.queue.core.windows.net/"), None);
        assert_eq!(account("http://127.0.0.1:1/raw"), None);
    }
}
