//! Answers calls from a recording.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use yagura_core::names::near;

use crate::error::HttpError;
use crate::exchange::{Bytes, Exchange, RecordingError};
use crate::request::{HttpRequest, HttpResponse};
use crate::transport::{ExchangeError, Outgoing, Transport};

/// Answers from a recording. Requests match by method, URL and body, in any order. Several answers to one request come in the
/// order of the recording; the last of them repeats. Nothing is sent and no secret is read. Masked parameters of URLs are not
/// compared, because a recording does not hold them.
#[derive(Debug)]
pub struct Replay {
    exchanges: Vec<Exchange>,
    /// The request of each exchange, as it is compared.
    requests: Vec<HttpRequest>,
    learns_bodies: bool,
    progress: Mutex<ReplayProgress>,
}

#[derive(Debug, Default)]
struct ReplayProgress {
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

    fn progress(&self) -> std::sync::MutexGuard<'_, ReplayProgress> {
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

/// Formats a request on one line, with the beginning of its body.
fn line(method: &str, url: &str, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let end = body.floor_char_boundary(400);
    match &body[..end] {
        "" => format!("`{method} {url}`"),
        part => format!("`{method} {url}` with the body `{part}`"),
    }
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
}
