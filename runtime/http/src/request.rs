//! The request of a plugin and its answer, and the checks that need no server.

use yagura_core::capability::is_name;

use crate::error::HttpError;

/// A request as a plugin makes it: with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// Method, in upper case.
    pub method: String,
    /// URL.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// A header with a signature of the body.
    pub sign: Option<BodySignature>,
}

impl HttpRequest {
    /// Returns a GET request for a URL.
    pub fn get(url: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.to_owned(),
            ..Self::default()
        }
    }
}

/// A header with the HMAC-SHA256 of the body, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodySignature {
    /// Name of the header.
    pub header: String,
    /// Name of the secret that is the key.
    pub secret: String,
    /// The text before the signature in the value of the header, such as `sha256=`.
    pub prefix: String,
    /// The text that is signed in front of the body.
    pub before: String,
}

/// An answer as the plugin and the record of calls see it: with placeholders in place of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// Status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the first value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Maximum number of headers of a request, and their maximum total size in bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Headers that only the host sets: they frame the message, name the server, or would bring an answer in which secrets cannot
/// be found (compressed, or in parts).
const HOST_HEADERS: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "max-forwards",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-http-method-override",
];

impl HttpRequest {
    /// Checks method and headers, and brings header names to lower case.
    pub(crate) fn check(&mut self, max_body: usize) -> Result<(), HttpError> {
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        if !methods.contains(&self.method.as_str()) {
            return Err(denied(format!(
                "the method {:?} is not one of {}",
                cut(&self.method),
                methods.join(", ")
            )));
        }
        if self.body.len() > max_body {
            return Err(denied(format!(
                "the body has {} bytes; the maximum is {max_body}",
                self.body.len()
            )));
        }
        let sizes = self.headers.iter();
        let size: usize = sizes.map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
            return Err(denied(format!(
                "the request has {} headers of {size} bytes; the maximum is {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes",
                self.headers.len()
            )));
        }
        for (name, value) in &mut self.headers {
            check_header(name, value)?;
            name.make_ascii_lowercase();
        }
        if let Some(sign) = &mut self.sign {
            check_header(&sign.header, &sign.prefix)?;
            sign.header.make_ascii_lowercase();
            if !is_name(&sign.secret) {
                return Err(denied(format!(
                    "{:?} is not a name of a secret",
                    cut(&sign.secret)
                )));
            }
            if self.headers.iter().any(|(name, _)| *name == sign.header) {
                return Err(denied(format!(
                    "the header `{}` is set by the request, and `sign` would set it too",
                    sign.header
                )));
            }
        }
        Ok(())
    }

    /// Returns whether the method promises that the request changes nothing on the server.
    pub(crate) fn is_safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

fn check_header(name: &str, value: &str) -> Result<(), HttpError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(denied(format!("{:?} is not a header name", cut(name))));
    }
    let lower = name.to_ascii_lowercase();
    if HOST_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return Err(denied(format!(
            "the header `{lower}` is set by the host; remove it from the request"
        )));
    }
    match is_value(value.as_bytes()) {
        true => Ok(()),
        false => Err(denied(format!(
            "the value of the header `{lower}` has a line break or a control character"
        ))),
    }
}

/// Returns whether bytes can be the value of a header: no line break, no control character.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
}

fn denied(reason: String) -> HttpError {
    HttpError::Denied(reason)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<HttpRequest, HttpError> {
        let mut request = HttpRequest::get("https://x/");
        request.headers.push((name.to_owned(), value.to_owned()));
        request.check(10)?;
        Ok(request)
    }

    #[test]
    fn headers_stay_in_their_line_and_do_not_frame() {
        let request = check("X-Api-Key", "a b\té").unwrap();
        assert_eq!(request.headers[0].0, "x-api-key");
        for (name, value) in [
            ("", "v"),
            ("a b", "v"),
            ("a:b", "v"),
            ("a\r\nhost", "v"),
            ("é", "v"),
            ("a", "v\r\nhost: evil"),
            ("a", "v\nx"),
            ("a", "v\0"),
            ("Host", "evil"),
            ("Content-Length", "0"),
            ("TRANSFER-ENCODING", "chunked"),
            ("connection", "close"),
            ("Proxy-Authorization", "x"),
            ("proxy-anything", "x"),
            ("accept-encoding", "gzip"),
            ("range", "bytes=0-3"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(matches!(error, HttpError::Denied(_)), "{name}: {error}");
        }
    }

    #[test]
    fn sizes_and_methods_are_bounded() {
        let denied = |change: fn(&mut HttpRequest)| {
            let mut request = HttpRequest::get("https://x/");
            change(&mut request);
            request.check(10).unwrap_err().to_string()
        };
        assert!(denied(|r| r.method = "CONNECT".to_owned()).contains("\"CONNECT\""));
        assert!(denied(|r| r.method = "get".to_owned()).contains("\"get\""));
        assert!(denied(|r| r.body = vec![0; 11]).contains("11 bytes"));
        let many = denied(|r| r.headers = vec![("a".to_owned(), String::new()); 65]);
        assert!(many.contains("65 headers"), "{many}");
        let long = denied(|r| r.headers = vec![("a".to_owned(), "x".repeat(20_000))]);
        assert!(long.contains("20001 bytes"), "{long}");
        let sign = |header: &str, secret: &str| BodySignature {
            header: header.to_owned(),
            secret: secret.to_owned(),
            prefix: String::new(),
            before: String::new(),
        };
        let mut request = HttpRequest::get("https://x/");
        request.sign = Some(sign("Host", "A"));
        assert!(request.check(10).is_err());
        request.sign = Some(sign("x-signature", "A B"));
        assert!(request.check(10).is_err());
        request.sign = Some(sign("X-Signature", "A"));
        request.check(10).unwrap();
    }
}
