//! A request as it came.

use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::pin::Pin;

use hyper::body::{Body, Incoming};
use serde_json::Value;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET`, `POST` …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Names and values of the query, unescaped.
    pub query: Vec<(String, String)>,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    pub(super) async fn read(request: hyper::Request<Incoming>) -> Result<Self, Error> {
        let (head, mut incoming) = request.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await
        {
            if let Ok(data) = frame.map_err(Error::other)?.into_data() {
                body.extend_from_slice(&data);
            }
        }
        let headers = head.headers.iter().map(|(name, value)| {
            let value = value
                .to_str()
                .map_err(|_| Error::from(ErrorKind::InvalidData))?;
            Ok((name.as_str().to_owned(), value.to_owned()))
        });
        Ok(Self {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: pairs(head.uri.query().unwrap_or_default()),
            headers: headers.collect::<Result<_, Error>>()?,
            body,
        })
    }

    /// Returns the first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// Returns a parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// Returns the body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the fields of a form.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// Returns method and path: `POST /v2/enqueue`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns the parts of the path.
    pub fn parts(&self) -> Vec<&str> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect()
    }
}

fn first<'a>(list: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut list = list.iter();
    list.find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        })
        .collect()
}

/// Undoes percent-encoding, and `+` for a space.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = (*byte == b'%').then(|| after.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None if *byte == b'+' => bytes.push(b' '),
            None => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
