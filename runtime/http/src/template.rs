//! Placeholders of secrets in requests: found, listed by name, filled in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use url::Url;
use yagura_core::capability::{Scheme, is_name};
use zeroize::Zeroizing;

use crate::error::HttpError;
use crate::mask::masked;

/// The beginnings of placeholders.
const SECRET: &[u8] = b"{{secret:";
const BASIC: &[u8] = b"{{basic:";

/// Maximum length of a placeholder, in bytes.
const MAX_PLACEHOLDER: usize = 400;

/// Maximum length of a URL, in bytes.
const MAX_URL: usize = 8192;

/// Every character that has a meaning in some part of a URL, and all that are not ASCII.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// In a path, a secret may consist of several segments, as in Slack's webhooks.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Text or bytes with placeholders of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<TemplatePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Bytes(Vec<u8>),
    Secret(String),
    /// User and name of the secret, for basic authentication.
    Basic(String, String),
}

impl Template {
    /// Finds the placeholders; `{{basic:…}}` is one only in the value of a header.
    ///
    /// # Errors
    /// [`HttpError::Denied`] for text that begins like a placeholder but is not one.
    pub(crate) fn parse(bytes: &[u8], is_header: bool) -> Result<Self, HttpError> {
        let mut pieces = Vec::new();
        let mut text_start = 0;
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(2).position(|pair| pair == b"{{") {
            let start = at + found;
            let rest = &bytes[start..];
            let is_basic = rest.starts_with(BASIC);
            if !is_basic && !rest.starts_with(SECRET) {
                at = start + 1;
                continue;
            }
            let window = &rest[..rest.len().min(MAX_PLACEHOLDER)];
            let piece = window
                .windows(2)
                .position(|pair| pair == b"}}")
                .and_then(|end| Some((end + 2, piece(&window[..end])?)))
                .filter(|_| is_header || !is_basic);
            let Some((length, piece)) = piece else {
                return Err(invalid_placeholder(window, is_basic && !is_header));
            };
            if start > text_start {
                pieces.push(TemplatePart::Bytes(bytes[text_start..start].to_vec()));
            }
            pieces.push(piece);
            at = start + length;
            text_start = at;
        }
        if text_start < bytes.len() {
            pieces.push(TemplatePart::Bytes(bytes[text_start..].to_vec()));
        }
        Ok(Self(pieces))
    }

    /// Returns the names of the secrets, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            TemplatePart::Bytes(_) => None,
            TemplatePart::Secret(name) | TemplatePart::Basic(_, name) => Some(name.as_str()),
        })
    }

    /// Fills the secrets in.
    pub(crate) fn fill(&self, secret: impl Fn(&str) -> Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let mut filled = Zeroizing::new(Vec::new());
        for piece in &self.0 {
            match piece {
                TemplatePart::Bytes(bytes) => filled.extend_from_slice(bytes),
                TemplatePart::Secret(name) => filled.extend_from_slice(&secret(name)),
                TemplatePart::Basic(user, name) => {
                    let mut pair = Zeroizing::new(format!("{user}:").into_bytes());
                    pair.extend_from_slice(&secret(name));
                    let encoded = Zeroizing::new(STANDARD.encode(&*pair));
                    filled.extend_from_slice(encoded.as_bytes());
                }
            }
        }
        filled
    }
}

/// Reads a placeholder up to its closing braces.
fn piece(bytes: &[u8]) -> Option<TemplatePart> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Some(name) = text.strip_prefix("{{secret:") {
        return is_name(name).then(|| TemplatePart::Secret(name.to_owned()));
    }
    let (user, name) = text.strip_prefix("{{basic:")?.rsplit_once(':')?;
    let is_user = !user.contains([':', '{', '}']) && !user.chars().any(char::is_control);
    (is_user && is_name(name)).then(|| TemplatePart::Basic(user.to_owned(), name.to_owned()))
}

fn invalid_placeholder(window: &[u8], is_misplaced: bool) -> HttpError {
    let end = window.iter().position(|byte| *byte == b'\n');
    let shown = String::from_utf8_lossy(&window[..end.unwrap_or(window.len()).min(60)]);
    let advice = match is_misplaced {
        true => "`{{basic:USER:NAME}}` is allowed only in the value of a header",
        false => "write `{{secret:NAME}}`, or `{{basic:USER:NAME}}` in a header",
    };
    HttpError::Denied(format!("`{shown}` is not a placeholder: {advice}"))
}

/// The URL of a request, with placeholders of secrets in path and query.
#[derive(Debug, Clone)]
pub(crate) struct UrlTemplate {
    pub(crate) scheme: Scheme,
    /// In lower case, an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The URL with placeholders: safe to show.
    pub(crate) display_url: String,
    /// The URL with a marker in place of each placeholder.
    marked: Url,
    markers: Markers,
}

impl UrlTemplate {
    /// Reads a URL with placeholders.
    ///
    /// # Errors
    /// [`HttpError::Denied`] with the reason.
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let mut markers = Markers::new()?;
        let marked = markers.insert(text)?;
        let url = Url::parse(&marked).map_err(|error| wrong_url(text, &error.to_string()))?;
        Self::new(text, url, markers)
    }

    /// Reads the `location` of an answer, relative to this URL.
    ///
    /// # Errors
    /// As [`UrlTemplate::parse`].
    pub(crate) fn follow(&self, location: &str) -> Result<Self, HttpError> {
        let mut markers = self.markers.clone();
        let marked = markers.insert(location)?;
        let url = self
            .marked
            .join(&marked)
            .map_err(|error| wrong_url(location, &error.to_string()))?;
        Self::new(location, url, markers)
    }

    fn new(text: &str, mut url: Url, markers: Markers) -> Result<Self, HttpError> {
        let Some(scheme) = Scheme::of(url.scheme()) else {
            return Err(wrong_url(text, "it must begin with https:// or http://"));
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong_url(text, "it has no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong_url(
                text,
                "it has a user name: use the header `authorization` with `{{basic:USER:NAME}}`",
            ));
        }
        let host = host.to_owned();
        if markers.are_in(&host) || url.fragment().is_some_and(|part| markers.are_in(part)) {
            return Err(wrong_url(
                text,
                "a secret is allowed only in its path and its query",
            ));
        }
        url.set_fragment(None);
        Ok(Self {
            scheme,
            host,
            port,
            display_url: markers.replaced_by_placeholders(url.as_str()),
            marked: url,
            markers,
        })
    }

    /// Returns the names of its secrets.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let url = self.marked.as_str();
        self.markers
            .secrets
            .iter()
            .filter(move |(marker, _)| url.contains(marker.as_str()))
            .map(|(_, name)| name.as_str())
    }

    /// Fills the secrets in, percent-encoded; those in the path keep their slashes.
    ///
    /// # Errors
    /// [`HttpError::Failed`] if a marker remains in the URL.
    pub(crate) fn fill(
        &self,
        secret: impl Fn(&str) -> Zeroizing<Vec<u8>>,
    ) -> Result<Url, HttpError> {
        let fill = |part: &str, set: &'static AsciiSet| {
            let mut part = part.to_owned();
            for (marker, name) in &self.markers.secrets {
                if part.contains(marker) {
                    let encoded = percent_encode(&secret(name), set).to_string();
                    part = part.replace(marker, &encoded);
                }
            }
            part
        };
        let mut url = self.marked.clone();
        url.set_path(&fill(self.marked.path(), PATH));
        if let Some(query) = self.marked.query() {
            url.set_query(Some(&fill(query, QUERY)));
        }
        match self.markers.are_in(url.as_str()) {
            false => Ok(url),
            true => Err(HttpError::Failed(format!(
                "cannot fill in the secrets of {}",
                self.display_url
            ))),
        }
    }
}

/// Markers that replace placeholders while a URL is parsed. They are random, so that a plugin cannot write one.
#[derive(Debug, Clone)]
struct Markers {
    /// The beginning of every marker.
    prefix: String,
    /// Markers, each with the name of its secret.
    secrets: Vec<(String, String)>,
}

impl Markers {
    fn new() -> Result<Self, HttpError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            HttpError::Failed(format!("the system has no random numbers: {error}"))
        })?;
        let prefix = format!("y{}", yagura_core::alert::hex(&random));
        let secrets = Vec::new();
        Ok(Self { prefix, secrets })
    }

    /// Replaces each placeholder by a marker.
    fn insert(&mut self, text: &str) -> Result<String, HttpError> {
        if text.len() > MAX_URL {
            let reason = format!("it has {} bytes; the maximum is {MAX_URL}", text.len());
            return Err(wrong_url(&text[..text.floor_char_boundary(100)], &reason));
        }
        // URL parsers remove some of these characters, which could form a placeholder.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong_url(text, "it has a space or a control character"));
        }
        let mut marked = String::with_capacity(text.len());
        for piece in Template::parse(text.as_bytes(), false)?.0 {
            match piece {
                TemplatePart::Bytes(bytes) => marked.push_str(&String::from_utf8_lossy(&bytes)),
                TemplatePart::Secret(name) | TemplatePart::Basic(_, name) => {
                    let marker = format!("{}n{}e", self.prefix, self.secrets.len());
                    marked.push_str(&marker);
                    self.secrets.push((marker, name));
                }
            }
        }
        Ok(marked)
    }

    fn replaced_by_placeholders(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for (marker, name) in &self.secrets {
            shown = shown.replace(marker, &format!("{{{{secret:{name}}}}}"));
        }
        shown
    }

    fn are_in(&self, text: &str) -> bool {
        text.to_ascii_lowercase().contains(&self.prefix)
    }
}

fn wrong_url(text: &str, reason: &str) -> HttpError {
    let text = masked(text);
    let end = text.floor_char_boundary(200);
    HttpError::Denied(format!("`{}` cannot be called: {reason}", &text[..end]))
}

/// Breaks everything in data that looks like a placeholder: the author of a log line or of an answer must not make a plugin
/// send a secret. The length stays the same.
pub fn disarm(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(2).position(|pair| pair == b"{{") {
        let start = at + found;
        if bytes[start..].starts_with(SECRET) || bytes[start..].starts_with(BASIC) {
            bytes[start + 1] = b' ';
        }
        at = start + 1;
    }
}

/// Does the same as [`disarm`] to a text.
pub fn disarmed(text: &str) -> String {
    match text.contains("{{") {
        true => text
            .replace("{{secret:", "{ secret:")
            .replace("{{basic:", "{ basic:"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(format!("<{name}/+ é>").into_bytes())
    }

    fn header(text: &str) -> String {
        let template = Template::parse(text.as_bytes(), true).unwrap();
        String::from_utf8(template.fill(secret).to_vec()).unwrap()
    }

    fn denied<T: std::fmt::Debug>(result: Result<T, HttpError>) -> String {
        match result {
            Err(HttpError::Denied(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn placeholders_are_filled_in_and_other_braces_stay() {
        assert_eq!(header("Bearer {{secret:A}}"), "Bearer <A/+ é>");
        assert_eq!(header("{{{secret:A}}} {{x}} {{"), "{<A/+ é>} {{x}} {{");
        let basic = header("Basic {{basic:me@x.org:A}}");
        assert_eq!(
            basic,
            format!("Basic {}", STANDARD.encode("me@x.org:<A/+ é>"))
        );
        let template = Template::parse(b"{{secret:A}}\xff{{secret:B}}", false).unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn invalid_placeholders_are_named() {
        let of = |text: &str, is_header| denied(Template::parse(text.as_bytes(), is_header));
        assert!(of("a {{secret:A B}}", true).contains("`{{secret:A B}}` is not"));
        assert!(of("{{secret:A", false).contains("`{{secret:A`"));
        assert!(of("{{basic:A}}", true).contains("`{{basic:A}}`"));
        assert!(of("{{basic:u:A}}", false).contains("only in the value of a header"));
        assert!(of("{{secret:{{secret:A}}}}", false).contains("is not a placeholder"));
    }

    #[test]
    fn a_url_is_filled_in_its_path_and_query_only() {
        let target =
            UrlTemplate::parse("https://H.example/a/{{secret:A}}?q={{secret:B}}&x=%20#f").unwrap();
        assert_eq!((&*target.host, target.port), ("h.example", 443));
        assert_eq!(
            target.display_url,
            "https://h.example/a/{{secret:A}}?q={{secret:B}}&x=%20"
        );
        assert_eq!(
            target.fill(secret).unwrap().as_str(),
            "https://h.example/a/%3CA/%2B%20%C3%A9%3E?q=%3CB%2F%2B%20%C3%A9%3E&x=%20"
        );
        for url in [
            "https://{{secret:A}}.example/",
            "https://u:{{secret:A}}@h.example/",
            "https://h.example:{{secret:A}}/",
            "https://h.example/#{{secret:A}}",
            "{{secret:A}}://h.example/",
            "https://user@h.example/",
            "file:///etc/passwd",
            "https://h.example/{{sec\nret:A}}",
            "/relative",
        ] {
            denied(UrlTemplate::parse(url));
        }
    }

    #[test]
    fn a_location_is_relative_to_its_url() {
        let target = UrlTemplate::parse("https://h.example/a/{{secret:A}}?q=1").unwrap();
        let next = target.follow("b?t={{secret:B}}").unwrap();
        assert_eq!(next.display_url, "https://h.example/a/b?t={{secret:B}}");
        assert_eq!(next.names().collect::<Vec<_>>(), ["B"]);
        let same = target.follow("?q=2").unwrap();
        assert_eq!(same.display_url, "https://h.example/a/{{secret:A}}?q=2");
        let other = target.follow("//evil.example/{{secret:A}}").unwrap();
        assert_eq!(other.host, "evil.example");
        assert_eq!(other.names().collect::<Vec<_>>(), ["A"]);
    }

    #[test]
    fn hosts_are_what_a_client_would_connect_to() {
        for (url, host) in [
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://[0:0:0:0:0:ffff:7f00:1]/", "[::ffff:7f00:1]"),
            ("http://%31%32%37.0.0.1/", "127.0.0.1"),
            ("http://１２７.0.0.1/", "127.0.0.1"),
        ] {
            assert_eq!(UrlTemplate::parse(url).unwrap().host, host, "{url}");
        }
    }

    #[test]
    fn data_cannot_carry_placeholders() {
        let text = "x {{secret:A}} {{{basic:u:A}} {{other}}";
        let safe = "x { secret:A}} {{ basic:u:A}} {{other}}";
        assert_eq!(disarmed(text), safe);
        let mut bytes = text.as_bytes().to_vec();
        disarm(&mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), safe);
        assert_eq!(Template::parse(safe.as_bytes(), true).unwrap().0.len(), 1);
    }
}
