//! Outgoing HTTP through the host, which checks the server of a request and fills in secrets.
//!
//! A secret is written as a placeholder that only the host can fill in: `{{secret:NAME}}` in the path and query of the URL, in
//! the value of a header or in the body; `{{basic:USER:NAME}}` in the value of a header. A plugin can reach a server if its
//! manifest requests it (`[plugin.request]`) and the operator grants it.
//!
//! Redirects of GET and HEAD are followed by the host.

use std::fmt::Display;

use crate::bindings::enricher::yagura::plugin::http as raw;
use crate::{Json, PluginError, json};

pub use crate::bindings::enricher::yagura::plugin::http::HttpError;

/// Starts a request of any method.
pub fn request(method: &str, url: impl Into<String>) -> Request {
    Request {
        raw: raw::Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            sign: None,
        },
    }
}

/// Starts a GET request.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// Starts a POST request.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// Starts a PUT request.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// Starts a PATCH request.
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// Returns a text as one segment of a path, or one value of a query: everything but letters, digits and `-._~` is escaped.
///
/// ```
/// assert_eq!(yagura_sdk::http::encode("a b/ü"), "a%20b%2F%C3%BC");
/// ```
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A request under construction.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Request {
    raw: raw::Request,
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.raw.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a parameter to the query, escaped. A placeholder of a secret must be in the URL itself.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.raw.url.contains('?') { '&' } else { '?' };
        let parameter = format!("{separator}{}={}", encode(name), encode(value));
        self.raw.url.push_str(&parameter);
        self
    }

    /// Sets the body to JSON: text, or a type that formats itself as JSON, like `serde_json::Value`.
    pub fn json(self, body: impl Display) -> Self {
        self.header("Content-Type", "application/json; charset=utf-8")
            .body(body.to_string())
    }

    /// Sets the body to a form: names and values, escaped.
    pub fn form<'f>(self, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.header("Content-Type", "application/x-www-form-urlencoded")
            .body(fields.join("&"))
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.raw.body = body.into();
        self
    }

    /// Lets the host sign the body: the header gets `prefix` and the HMAC-SHA256, in hexadecimal, of `before` and the body as it is
    /// sent. The key is the secret of this name.
    pub fn sign(mut self, header: &str, secret: &str, prefix: &str, before: &str) -> Self {
        self.raw.sign = Some(raw::Signature {
            header: header.to_owned(),
            secret: secret.to_owned(),
            prefix: prefix.to_owned(),
            before: before.to_owned(),
        });
        self
    }

    /// Sends the request. An answer with any status is `Ok`: see [`Response::success`].
    ///
    /// # Errors
    /// [`HttpError`], which becomes a [`PluginError`] by `?`.
    pub fn send(self) -> Result<Response, HttpError> {
        let what = format!("{} {}", self.raw.method, without_query(&self.raw.url));
        let answer = host::send(self.raw)?;
        Ok(Response {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
            what,
        })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Method and URL of the request, for messages.
    what: String,
}

impl Response {
    /// Returns the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as text, up to the first bytes that are not UTF-8.
    pub fn text(&self) -> &str {
        match str::from_utf8(&self.body) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&self.body[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// Returns the body as JSON.
    ///
    /// # Errors
    /// [`PluginError::Retry`] if it is not JSON: a proxy sometimes answers instead of the service.
    pub fn json(&self) -> Result<Json<'_>, PluginError> {
        let text = str::from_utf8(&self.body).ok();
        match text.filter(|text| json::is_valid(text)) {
            Some(text) => Ok(Json::new(text)),
            None => Err(PluginError::Retry(format!(
                "{} answered {} with what is no JSON: {}",
                self.what,
                self.status,
                self.excerpt()
            ))),
        }
    }

    /// Returns whether the status is a success, 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the answer if its status is a success.
    ///
    /// # Errors
    /// See [`Response::failure`].
    pub fn success(self) -> Result<Self, PluginError> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(self.failure())
        }
    }

    /// Returns the error for the status: [`PluginError::Retry`] for temporary failures (408, 425, 429 and 500 to 599),
    /// [`PluginError::Config`] for 401 and 403, which the operator must fix, and [`PluginError::Data`] for others.
    pub fn failure(&self) -> PluginError {
        let message = format!("{} answered {}: {}", self.what, self.status, self.excerpt());
        match self.status {
            408 | 425 | 429 | 500..=599 => PluginError::Retry(message),
            401 | 403 => PluginError::Config(message),
            _ => PluginError::Data(message),
        }
    }

    /// The start of the body on one line.
    fn excerpt(&self) -> String {
        let words: Vec<&str> = self.text().split_whitespace().collect();
        let line = words.join(" ");
        if line.is_empty() {
            return "nothing".to_owned();
        }
        match line.char_indices().nth(200) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

impl From<HttpError> for PluginError {
    /// A denial becomes [`PluginError::Config`], an answer that is too large [`PluginError::Data`], and all others
    /// [`PluginError::Retry`].
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(message) => Self::Config(message),
            HttpError::Limited(message) | HttpError::Failed(message) => Self::Retry(message),
            HttpError::Timeout => Self::Retry("the server did not answer in time".to_owned()),
            HttpError::TooLarge => {
                Self::Data("the answer is larger than the host allows".to_owned())
            }
        }
    }
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::raw;

    pub(super) fn send(request: raw::Request) -> Result<raw::Response, raw::HttpError> {
        raw::send(&request)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) use crate::testing::host::send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Host};

    #[test]
    fn a_status_says_who_must_act() {
        let kind = |status| {
            let host = Host::new().answers(
                "GET https://a.example/x?q=1",
                Answer::text(status, "why  \n not"),
            );
            let answer = get("https://a.example/x").query("q", "1").send().unwrap();
            drop(host);
            answer.success().map(|answer| answer.status)
        };
        assert_eq!(kind(204).unwrap(), 204);
        for status in [408, 425, 429, 500, 503] {
            assert!(
                matches!(kind(status), Err(PluginError::Retry(_))),
                "{status}"
            );
        }
        for status in [401, 403] {
            assert!(
                matches!(kind(status), Err(PluginError::Config(_))),
                "{status}"
            );
        }
        let Err(PluginError::Data(message)) = kind(404) else {
            panic!("404 is nobody's to retry")
        };
        assert_eq!(message, "GET https://a.example/x answered 404: why not");
    }

    #[test]
    fn an_answer_that_is_no_json_is_worth_another_try() {
        let _host = Host::new().answers(
            "POST https://a.example/",
            Answer::text(200, "<html>{\"ok\":true}"),
        );
        let answer = post("https://a.example/")
            .json(r#"{"a":1}"#)
            .send()
            .unwrap();
        let error = answer.json().unwrap_err();
        assert!(
            matches!(&error, PluginError::Retry(message) if message.contains("<html>")),
            "{error}"
        );
    }

    #[test]
    fn placeholders_stay_as_they_are_and_the_rest_is_escaped() {
        let host = Host::new().answers(
            "POST https://a.example/{{secret:path}}?a%26=%7B%20b",
            Answer::text(200, ""),
        );
        post("https://a.example/{{secret:path}}")
            .query("a&", "{ b")
            .form([("x y", "1&2"), ("z", "")])
            .sign("X-Sign", "key", "sha256=", "17:")
            .send()
            .unwrap();
        let request = &host.requests()[0];
        assert_eq!(request.body_text(), "x%20y=1%262&z=");
        let sign = request.signature().unwrap();
        assert_eq!(
            (sign.header.as_str(), sign.secret.as_str()),
            ("X-Sign", "key")
        );
        assert_eq!(
            (sign.prefix.as_str(), sign.before.as_str()),
            ("sha256=", "17:")
        );
    }
}
