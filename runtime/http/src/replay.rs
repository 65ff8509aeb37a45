//! Recordings of calls, and answers from a recording.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use yagura_core::names::near;

use crate::error::HttpError;
use crate::mask::masked;
use crate::request::{HttpRequest, HttpResponse};
use crate::transport::{ExchangeError, Outgoing, Transport};

/// A request and its answer or error: one line of a recording. Secrets are placeholders, and tokens in URLs are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Method.
    #[serde(default = "get", skip_serializing_if = "is_get")]
    pub method: String,
    /// URL, normalised.
    pub url: String,
    /// Body of the request.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub body: Bytes,
    /// Status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers of the answer, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Body of the answer.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub answer: Bytes,
    /// Why there was no answer, instead of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
}

/// Bytes as text, or as an object `{"base64": …}` if they are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    /// No bytes.
    #[default]
    #[serde(skip)]
    Empty,
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64 {
        /// The bytes in base64.
        base64: String,
    },
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedError {
    /// The answer did not come in time.
    Timeout,
    /// The answer was larger than allowed.
    TooLarge,
    /// Connection, TLS or protocol failed.
    Failed(String),
}

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened or read.
    #[error("cannot read or write the recorded calls in {}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line is not an exchange.
    #[error("{}:{line}: this is not a recorded call; each line must be a JSON object with at least `url`", .file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
}

/// Records what another transport does, one line per exchange. Requests that the host refuses are not recorded.
pub struct Record {
    inner: Arc<dyn Transport>,
    file: Mutex<std::fs::File>,
}

impl Record {
    /// Begins a new recording.
    ///
    /// # Errors
    /// [`RecordingError::File`]
    pub fn create(inner: Arc<dyn Transport>, path: &Path) -> Result<Self, RecordingError> {
        let file = std::fs::File::create(path).map_err(|source| RecordingError::File {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self {
            inner,
            file: Mutex::new(file),
        })
    }

    fn write(&self, exchange: &Exchange) {
        let written = serde_json::to_string(exchange)
            .map_err(std::io::Error::from)
            .and_then(|mut line| {
                line.push('\n');
                // One write per line, so that the file only holds whole lines even if a thread panicked.
                let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all(line.as_bytes())
            });
        if let Err(error) = written {
            tracing::error!(%error, "a call cannot be recorded");
        }
    }
}

impl Transport for Record {
    fn exchange<'a>(
        &'a self,
        outgoing: &'a Outgoing,
    ) -> BoxFuture<'a, Result<HttpResponse, ExchangeError>> {
        Box::pin(async {
            let result = self.inner.exchange(outgoing).await;
            if let Some(exchange) = Exchange::of(outgoing.request(), &result) {
                self.write(&exchange);
            }
            result
        })
    }
}

/// Answers from a recording. Requests match by method, URL and body, in any order. Several answers to one request come in the
/// order of the recording; the last of them repeats. Nothing is sent and no secret is read. Masked parameters of URLs are not
/// compared, because a recording does not hold them.
#[derive(Debug)]
pub struct Replay {
    exchanges: Vec<Exchange>,
    /// The request of each exchange, as it is compared.
    requests: Vec<HttpRequest>,
    learns_bodies: bool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// How often each request was made, by the index of its first exchange.
    used: HashMap<usize, usize>,
    /// Bodies of requests that were recorded without one, by the index of the exchange.
    learned: HashMap<usize, Vec<u8>>,
    unmatched: Vec<String>,
}

impl Replay {
    /// Replays exchanges, in order.
    pub fn new(exchanges: Vec<Exchange>) -> Self {
        let requests = exchanges.iter().map(|exchange| HttpRequest {
            method: exchange.method.clone(),
            ..HttpRequest::compared(&exchange.url, &exchange.body.bytes())
        });
        Self {
            requests: requests.collect(),
            exchanges,
            learns_bodies: false,
            progress: Mutex::default(),
        }
    }

    /// Replays exchanges, in order. An exchange without a body answers the first request with its method and URL, and learns
    /// the body of that request.
    pub fn learning(exchanges: Vec<Exchange>) -> Self {
        Self {
            learns_bodies: true,
            ..Self::new(exchanges)
        }
    }

    /// Returns the exchanges with the learned bodies.
    pub fn learned(&self) -> Vec<Exchange> {
        let progress = self.progress();
        let mut exchanges = self.exchanges.clone();
        for (index, body) in &progress.learned {
            exchanges[*index].body = Bytes::of(body);
        }
        exchanges
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// [`RecordingError`]
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecordingError::File {
            file: path.to_owned(),
            source,
        })?;
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let exchanges = lines.map(|(number, line)| {
            serde_json::from_str(line).map_err(|source| RecordingError::Line {
                file: path.to_owned(),
                line: number + 1,
                source,
            })
        });
        Ok(Self::new(exchanges.collect::<Result<_, _>>()?))
    }

    /// Returns a message for each request that is not in the recording.
    pub fn unmatched(&self) -> Vec<String> {
        self.progress().unmatched.clone()
    }

    /// Returns the exchanges that were not used.
    pub fn unused(&self) -> Vec<Exchange> {
        let progress = self.progress();
        let is_used = |index: usize| {
            if progress.learned.contains_key(&index) {
                return true;
            }
            let request = &self.requests[index];
            let same = self.same_as(&request.method, &request.url, &request.body);
            let nth = same.iter().position(|other| *other == index);
            let count = same.first().and_then(|first| progress.used.get(first));
            nth < count.copied()
        };
        let all = self.exchanges.iter().enumerate();
        all.filter(|(index, _)| !is_used(*index))
            .map(|(_, exchange)| exchange.clone())
            .collect()
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ExchangeError> {
        let request = &HttpRequest {
            method: request.method.clone(),
            ..HttpRequest::compared(&request.url, &request.body)
        };
        if let Some(index) = self.learn(request) {
            return self.exchanges[index].result();
        }
        let same = self.same_as(&request.method, &request.url, &request.body);
        let Some(first) = same.first() else {
            let message = self.message(request);
            self.progress().unmatched.push(message.clone());
            return Err(ExchangeError::unsent(HttpError::Failed(message)));
        };
        let mut progress = self.progress();
        let used = progress.used.entry(*first).or_default();
        let index = same[(*used).min(same.len() - 1)];
        *used += 1;
        self.exchanges[index].result()
    }

    /// Returns the index of the exchange that has just learned the body of a request.
    fn learn(&self, request: &HttpRequest) -> Option<usize> {
        if !self.learns_bodies || request.body.is_empty() {
            return None;
        }
        let mut progress = self.progress();
        let same = self.same_as(&request.method, &request.url, &[]);
        let free = same
            .into_iter()
            .find(|index| !progress.learned.contains_key(index))?;
        progress.learned.insert(free, request.body.clone());
        Some(free)
    }

    fn same_as(&self, method: &str, url: &str, body: &[u8]) -> Vec<usize> {
        let all = self.requests.iter().enumerate();
        all.filter(|(_, other)| other.method == method && other.url == url && other.body == body)
            .map(|(index, _)| index)
            .collect()
    }

    /// Names a request that is not in the recording, and similar ones that are.
    fn message(&self, request: &HttpRequest) -> String {
        let missing = line(&request.method, &request.url, &request.body);
        let with_url = self
            .requests
            .iter()
            .filter(|other| other.url == request.url);
        let mut candidates: Vec<String> = with_url
            .map(|other| line(&other.method, &other.url, &other.body))
            .collect();
        if candidates.is_empty() {
            let urls = self.requests.iter().map(|other| other.url.as_str());
            candidates = near(&request.url, urls)
                .into_iter()
                .map(str::to_owned)
                .collect();
        }
        candidates.dedup();
        candidates.truncate(3);
        match candidates.as_slice() {
            [] => format!(
                "the recording has no call {missing}; it has {} other calls",
                self.exchanges.len()
            ),
            near => format!(
                "the recording has no call {missing}; it has {}",
                near.join(", ")
            ),
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        // No panic can leave the progress half changed.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Replay {
    fn exchange<'a>(
        &'a self,
        outgoing: &'a Outgoing,
    ) -> BoxFuture<'a, Result<HttpResponse, ExchangeError>> {
        Box::pin(async { self.answer(outgoing.request()) })
    }
}

impl Exchange {
    fn of(request: &HttpRequest, result: &Result<HttpResponse, ExchangeError>) -> Option<Self> {
        let mut exchange = Self {
            method: request.method.clone(),
            url: masked(&request.url).into_owned(),
            body: Bytes::of(&masked_bytes(&request.body)),
            status: ok(),
            headers: Vec::new(),
            answer: Bytes::Empty,
            error: None,
        };
        match result {
            Ok(answer) => {
                exchange.status = answer.status;
                let headers = answer.headers.iter();
                let headers =
                    headers.map(|(name, value)| (name.clone(), masked(value).into_owned()));
                exchange.headers = headers.collect();
                exchange.answer = Bytes::of(&masked_bytes(&answer.body));
            }
            Err(failed) => {
                exchange.error = Some(match &failed.error {
                    HttpError::Timeout => RecordedError::Timeout,
                    HttpError::TooLarge => RecordedError::TooLarge,
                    HttpError::Failed(reason) => RecordedError::Failed(masked(reason).into_owned()),
                    HttpError::Denied(_) | HttpError::Limited(_) => return None,
                });
            }
        }
        Some(exchange)
    }

    fn result(&self) -> Result<HttpResponse, ExchangeError> {
        let error = match &self.error {
            None => {
                return Ok(HttpResponse {
                    status: self.status,
                    headers: self.headers.clone(),
                    body: self.answer.bytes(),
                });
            }
            Some(RecordedError::Timeout) => HttpError::Timeout,
            Some(RecordedError::TooLarge) => HttpError::TooLarge,
            Some(RecordedError::Failed(reason)) => HttpError::Failed(reason.clone()),
        };
        Err(ExchangeError::sent(error))
    }
}

impl Bytes {
    /// Makes text of UTF-8 bytes and base64 of others.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok("") => Self::Empty,
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64 {
                base64: STANDARD.encode(bytes),
            },
        }
    }

    /// Returns the bytes; none if the base64 is invalid.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64 { base64 } => STANDARD.decode(base64).unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::Empty
    }
}

/// Returns bytes as they are recorded: with masked URLs if they are text.
fn masked_bytes(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => masked(text).into_owned().into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

impl HttpRequest {
    /// Returns a request with URL and body as a recording holds them.
    fn compared(url: &str, body: &[u8]) -> Self {
        Self {
            url: masked(url).into_owned(),
            body: masked_bytes(body),
            ..Self::default()
        }
    }
}

/// Formats a request on one line, with the beginning of its body.
fn line(method: &str, url: &str, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let end = body.floor_char_boundary(400);
    match &body[..end] {
        "" => format!("`{method} {url}`"),
        part => format!("`{method} {url}` with the body `{part}`"),
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn is_get(method: &str) -> bool {
    method == "GET"
}

fn ok() -> u16 {
    200
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay() -> Replay {
        let lines = [
            r#"{"url":"https://x/a","answer":"one"}"#,
            r#"{"url":"https://x/a","status":404}"#,
            r#"{"method":"POST","url":"https://x/b","body":"{}","headers":[["k","v"]],"answer":{"base64":"/w=="}}"#,
            r#"{"url":"https://x/c","error":{"failed":"reset"}}"#,
            r#"{"url":"https://x/d","error":"timeout"}"#,
        ];
        Replay::new(
            lines
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    fn post(url: &str, body: &str) -> HttpRequest {
        HttpRequest {
            method: "POST".to_owned(),
            body: body.into(),
            ..HttpRequest::get(url)
        }
    }

    #[test]
    fn answers_come_in_order_and_the_last_stays() {
        let replay = replay();
        let get = |url: &str| replay.answer(&HttpRequest::get(url));
        assert_eq!(
            replay.answer(&post("https://x/b", "{}")).unwrap().body,
            [0xff]
        );
        assert_eq!(get("https://x/a").unwrap().body, b"one");
        assert_eq!(replay.unused().len(), 3);
        for _ in 0..2 {
            assert_eq!(get("https://x/a").unwrap().status, 404);
        }
        let failed = get("https://x/c").unwrap_err();
        assert_eq!(failed.error, HttpError::Failed("reset".to_owned()));
        assert!(failed.is_sent);
        assert_eq!(get("https://x/d").unwrap_err().error, HttpError::Timeout);
        assert!(replay.unused().is_empty() && replay.unmatched().is_empty());
    }

    #[test]
    fn a_call_that_was_not_recorded_names_near_ones() {
        let replay = replay();
        let message = |request: HttpRequest| replay.answer(&request).unwrap_err().to_string();
        assert_eq!(
            message(post("https://x/b", "{\"a\":1}")),
            "failed: the recording has no call `POST https://x/b` with the body `{\"a\":1}`; it has `POST https://x/b` with the \
             body `{}`"
        );
        let near = message(HttpRequest::get("https://x/e"));
        assert!(near.contains("it has https://x/a"), "{near}");
        assert_eq!(replay.unmatched().len(), 2);
    }

    #[test]
    fn tokens_in_urls_are_not_recorded() {
        let url = "https://x/f?sv=1&sig=aBc%2F";
        let answer = HttpResponse {
            status: 302,
            headers: vec![("location".to_owned(), "/g?token=t0k&a=1".to_owned())],
            body: br#"{"next":"https://x/h?X-Amz-Signature=00ff"}"#.to_vec(),
        };
        let body = "see https://x/?access_token=t0k";
        let exchange = Exchange::of(&post(url, body), &Ok(answer)).unwrap();
        let line = serde_json::to_string(&exchange).unwrap();
        for secret in ["aBc", "t0k", "00ff"] {
            assert!(!line.contains(secret), "{line}");
        }
        // It matches again, also for a URL with a new token.
        let replay = Replay::new(vec![exchange]);
        for url in [url, "https://x/f?sv=1&sig=other"] {
            assert_eq!(replay.answer(&post(url, body)).unwrap().status, 302);
        }
        let message = replay
            .answer(&post("https://x/f?sv=2&sig=aBc", body))
            .unwrap_err()
            .to_string();
        assert!(
            !message.contains("aBc") && !message.contains("t0k"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\n{\"url\":\"https://x/\",\"stauts\":1}\n").unwrap();
        let error = Replay::read(file.path()).unwrap_err().to_string();
        assert!(error.contains(":2: this is not a recorded call"), "{error}");
    }

    #[test]
    fn recorded_exchanges_are_read_back() {
        let request = post("https://x/{{secret:A}}", "\u{1}é");
        let answers = [
            Ok(HttpResponse {
                status: 201,
                headers: vec![("a".to_owned(), "b".to_owned())],
                body: vec![0xff],
            }),
            Err(ExchangeError::sent(HttpError::TooLarge)),
        ];
        for answer in answers {
            let exchange = Exchange::of(&request, &answer).unwrap();
            let line = serde_json::to_string(&exchange).unwrap();
            let read: Exchange = serde_json::from_str(&line).unwrap();
            assert_eq!(read, exchange);
            assert_eq!(read.result(), answer);
        }
        let denied = Err(ExchangeError::unsent(HttpError::Denied(String::new())));
        assert_eq!(Exchange::of(&request, &denied), None);
    }
}
