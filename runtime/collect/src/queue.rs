//! Queues in which the store's cloud announces new objects: Amazon SQS, Google Pub/Sub, Azure Storage Queue.
//!
//! Three small clients behind one trait. They sign with the credentials of the store whose objects are announced.

mod pubsub;
mod sqs;
mod storage_queue;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, ReqwestConnector,
};
use url::{Host, Url};
use yagura_lake::{CloudCredentials, Location};

/// For how long a message that was received stays hidden from others. If it is not deleted by then, it comes again.
pub(crate) const HIDDEN: Duration = Duration::from_secs(120);
/// For how long a request waits for a message, where the queue can wait.
const WAIT: Duration = Duration::from_secs(10);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(45);
/// An answer of more bytes is refused.
const MAX_ANSWER: usize = 64 << 20;
/// Characters of a refusal that are shown.
const SHOWN: usize = 300;

/// A message of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: String,
    /// What stands beside the text, in Pub/Sub.
    pub(crate) attributes: BTreeMap<String, String>,
    /// What deletes it.
    pub(crate) receipt: String,
}

/// A queue of a cloud.
pub(crate) trait Queue: fmt::Debug + Send + Sync {
    /// Receives messages, none if there are none for a while. They come again unless they are deleted.
    fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, QueueError>>;

    /// Deletes messages by their receipts. A message may be gone already.
    fn delete<'q>(&'q self, receipts: &'q [String]) -> BoxFuture<'q, Result<(), QueueError>>;

    /// Returns how long to wait after an empty answer.
    fn pause(&self) -> Duration;
}

/// Why a queue cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The configuration names something else.
    #[error("`events = \"{text}\"` is not the queue of {place}: {reason}")]
    NotAQueue {
        /// What the configuration says.
        text: String,
        /// Where the objects lie.
        place: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// The store has no client that signs requests to the queue, or no credentials.
    #[error("cannot sign a request to the queue {queue}")]
    Store {
        /// The queue.
        queue: String,
        /// What is wrong.
        source: object_store::Error,
    },
    /// The queue does not answer.
    #[error("cannot reach the queue {queue}")]
    Call {
        /// The queue.
        queue: String,
        /// What is wrong.
        source: HttpError,
    },
    /// The queue refuses.
    #[error("the queue {queue} answers with status {status}: {text}")]
    Refused {
        /// The queue.
        queue: String,
        /// The status of HTTP.
        status: u16,
        /// The start of the answer.
        text: String,
    },
    /// The answer is not that of a queue.
    #[error("the queue {queue} gives an answer that cannot be read: {reason}")]
    Answer {
        /// The queue.
        queue: String,
        /// What is wrong.
        reason: String,
    },
}

/// Opens the queue `text` of the cloud that holds `from`. Nothing is requested.
///
/// # Errors
/// [`QueueError::NotAQueue`] and [`QueueError::Store`].
pub(crate) fn open(
    text: &str,
    from: &Location,
    allow_http: bool,
) -> Result<Box<dyn Queue>, QueueError> {
    let wrong = |reason: &str| QueueError::NotAQueue {
        text: text.to_owned(),
        place: from.to_string(),
        reason: reason.to_owned(),
    };
    let Some(credentials) = from.credentials() else {
        return Err(wrong(
            "only s3://, gs:// and az:// have arrival events; leave `events` out, and the prefix is listed",
        ));
    };
    let expected = match credentials {
        CloudCredentials::Aws { .. } => {
            "write the URL of the SQS queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/raw-logs"
        }
        CloudCredentials::Google(_) => {
            "write the name of the Pub/Sub subscription, such as projects/PROJECT/subscriptions/raw-logs"
        }
        CloudCredentials::Azure(_) => {
            "write the URL of the Storage Queue, such as https://ACCOUNT.queue.core.windows.net/raw-logs"
        }
    };
    let is_google_name = matches!(credentials, CloudCredentials::Google(_))
        && pubsub::is_subscription(text)
        && !text.contains("://");
    let full = match is_google_name {
        true => format!("https://pubsub.googleapis.com/v1/{text}"),
        false => text.to_owned(),
    };
    let url = Url::parse(&full).map_err(|_| wrong(expected))?;
    if url.query().is_some() || url.host().is_none() {
        return Err(wrong(expected));
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(&url) => {}
        "http" => {
            return Err(wrong(
                "plain http is for the loopback interface: write https, or set `allow_http = \"true\"` in `options`",
            ));
        }
        _ => return Err(wrong(expected)),
    }
    let client = Client::new(text)?;
    match credentials {
        CloudCredentials::Aws { provider, region } => {
            let Some(region) = sqs::region_of(&url).or_else(|| region.clone()) else {
                return Err(wrong("its region is not known: set `region` in `options`"));
            };
            Ok(Box::new(sqs::Sqs::new(
                client,
                url,
                provider.clone(),
                region,
            )))
        }
        CloudCredentials::Google(provider) if pubsub::is_subscription(url.path()) => Ok(Box::new(
            pubsub::Subscription::new(client, url, provider.clone()),
        )),
        CloudCredentials::Azure(provider) => match storage_queue::account_of(&url) {
            Some(account) => Ok(Box::new(storage_queue::StorageQueue::new(
                client,
                url,
                provider.clone(),
                account,
            ))),
            None => Err(wrong(expected)),
        },
        CloudCredentials::Google(_) => Err(wrong(expected)),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Sends requests to one queue.
#[derive(Debug)]
struct Client {
    http: HttpClient,
    /// The queue as the configuration names it, for messages.
    queue: String,
}

impl Client {
    fn new(queue: &str) -> Result<Self, QueueError> {
        // Which addresses may be asked without TLS was checked.
        let options = ClientOptions::new()
            .with_allow_http(true)
            .with_timeout(TIMEOUT);
        let http = ReqwestConnector::default().connect(&options);
        Ok(Self {
            http: http.map_err(|source| QueueError::Store {
                queue: queue.to_owned(),
                source,
            })?,
            queue: queue.to_owned(),
        })
    }

    /// Makes a request.
    fn request(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<HttpRequest, QueueError> {
        let body = match body.is_empty() {
            true => HttpRequestBody::empty(),
            false => HttpRequestBody::from(body),
        };
        let mut request = HttpRequest::new(body);
        *request.method_mut() = self.parsed(method)?;
        *request.uri_mut() = self.parsed(url.as_str())?;
        for (name, value) in headers {
            let value = self.parsed(value)?;
            request.headers_mut().insert(*name, value);
        }
        Ok(request)
    }

    /// Sends a signed request and returns the answer.
    async fn send(&self, request: HttpRequest) -> Result<Vec<u8>, QueueError> {
        let call = |source| QueueError::Call {
            queue: self.queue.clone(),
            source,
        };
        let response = self.http.execute(request).await.map_err(call)?;
        let status = response.status();
        let mut stream = response.into_body().bytes_stream();
        let mut body = Vec::new();
        while let Some(part) = stream.try_next().await.map_err(call)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER {
                return Err(self.unreadable(&"it is longer than 64 MiB"));
            }
        }
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let text: String = text.chars().take(SHOWN).collect();
        Err(QueueError::Refused {
            queue: self.queue.clone(),
            status: status.as_u16(),
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }

    /// Reads a part of a request.
    fn parsed<T: FromStr<Err: fmt::Display>>(&self, text: &str) -> Result<T, QueueError> {
        text.parse()
            .map_err(|error: T::Err| self.unreadable(&error))
    }

    fn unreadable(&self, reason: &dyn fmt::Display) -> QueueError {
        QueueError::Answer {
            queue: self.queue.clone(),
            reason: reason.to_string(),
        }
    }

    fn unsigned(&self, source: object_store::Error) -> QueueError {
        QueueError::Store {
            queue: self.queue.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str, from: &str, options: &[(&str, &str)]) -> Result<String, String> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let from = Location::parse(from, &options.collect()).unwrap();
        let queue = open(text, &from, false);
        queue
            .map(|queue| format!("{queue:?}"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_queue_is_that_of_the_stores_cloud() {
        let key = [
            ("access_key_id", "k"),
            ("secret_access_key", "s"),
            ("region", "eu-west-1"),
        ];
        let of_host = opened(
            "https://sqs.eu-central-1.amazonaws.com/123456789012/raw",
            "s3://raw",
            &key,
        );
        assert!(of_host.unwrap().contains("eu-central-1"));
        let of_options = opened("http://127.0.0.1:9/123456789012/raw", "s3://raw", &key);
        assert!(of_options.unwrap().contains("eu-west-1"));
        let account = [("account_name", "acct"), ("account_key", "a2V5")];
        let azure = opened(
            "https://acct.queue.core.windows.net/raw",
            "az://raw",
            &account,
        );
        assert!(azure.unwrap().contains("acct"));
        for (text, from, expected) in [
            (
                "https://sqs.eu-central-1.amazonaws.com/1/raw",
                "/tmp/raw",
                "only s3://",
            ),
            ("sqs", "s3://raw", "the URL of the SQS queue"),
            (
                "http://sqs.example.com/1/raw",
                "s3://raw",
                "plain http is for the loopback",
            ),
            (
                "ftp://sqs.example.com/1/raw",
                "s3://raw",
                "the URL of the SQS queue",
            ),
        ] {
            let options: &[(&str, &str)] = if from.starts_with("s3") { &key } else { &[] };
            let error = opened(text, from, options).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains(text), "{error}");
        }
    }
}
