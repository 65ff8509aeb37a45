//! The format of a recording: one request with its answer or error per line.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::HttpError;
use crate::mask::masked;
use crate::request::{HttpRequest, HttpResponse};
use crate::transport::ExchangeError;

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

impl Exchange {
    /// Returns the exchange of a request; `None` for a request that the host refused.
    pub(crate) fn of(
        request: &HttpRequest,
        result: &Result<HttpResponse, ExchangeError>,
    ) -> Option<Self> {
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

    /// Returns the recorded answer or error.
    pub(crate) fn result(&self) -> Result<HttpResponse, ExchangeError> {
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
    pub(crate) fn compared(url: &str, body: &[u8]) -> Self {
        Self {
            url: masked(url).into_owned(),
            body: masked_bytes(body),
            ..Self::default()
        }
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

    fn post(url: &str, body: &str) -> HttpRequest {
        HttpRequest {
            method: "POST".to_owned(),
            body: body.into(),
            ..HttpRequest::get(url)
        }
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
