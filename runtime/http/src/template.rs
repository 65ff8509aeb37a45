//! Placeholders of secrets in what a plugin wants to send: found, named, filled in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use url::Url;
use yagura_core::capability::{Scheme, is_name};
use zeroize::Zeroizing;

use super::{HttpError, masked};

/// What begins a placeholder.
const SECRET: &[u8] = b"{{secret:";
const BASIC: &[u8] = b"{{basic:";

/// Longest placeholder, in bytes.
const LONGEST: usize = 400;

/// Longest URL, in bytes.
const LONGEST_URL: usize = 8192;

/// All but what no part of a URL gives a meaning to.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A secret may be several segments of a path, as those of Slack's webhooks are.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Text or bytes with places for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Secret(String),
    /// User and secret, for basic authentication.
    Basic(String, String),
}

impl Template {
    /// Finds the placeholders; `{{basic:…}}` is one only in the value of a header.
    ///
    /// # Errors
    /// [`HttpError::Denied`] with what begins like a placeholder and is none.
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
            let window = &rest[..rest.len().min(LONGEST)];
            let piece = window
                .windows(2)
                .position(|pair| pair == b"}}")
                .and_then(|end| Some((end + 2, piece(&window[..end])?)))
                .filter(|_| is_header || !is_basic);
            let Some((length, piece)) = piece else {
                return Err(no_placeholder(window, is_basic && !is_header));
            };
            if start > text_start {
                pieces.push(Piece::Bytes(bytes[text_start..start].to_vec()));
            }
            pieces.push(piece);
            at = start + length;
            text_start = at;
        }
        if text_start < bytes.len() {
            pieces.push(Piece::Bytes(bytes[text_start..].to_vec()));
        }
        Ok(Self(pieces))
    }

    /// Returns the names of the secrets, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Bytes(_) => None,
            Piece::Secret(name) | Piece::Basic(_, name) => Some(name.as_str()),
        })
    }

    /// Fills the secrets in.
    pub(crate) fn fill(&self, secret: impl Fn(&str) -> Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let mut filled = Zeroizing::new(Vec::new());
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => filled.extend_from_slice(bytes),
                Piece::Secret(name) => filled.extend_from_slice(&secret(name)),
                Piece::Basic(user, name) => {
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
fn piece(bytes: &[u8]) -> Option<Piece> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Some(name) = text.strip_prefix("{{secret:") {
        return is_name(name).then(|| Piece::Secret(name.to_owned()));
    }
    let (user, name) = text.strip_prefix("{{basic:")?.rsplit_once(':')?;
    let is_user = !user.contains([':', '{', '}']) && !user.chars().any(char::is_control);
    (is_user && is_name(name)).then(|| Piece::Basic(user.to_owned(), name.to_owned()))
}

fn no_placeholder(window: &[u8], is_misplaced: bool) -> HttpError {
    let end = window.iter().position(|byte| *byte == b'\n');
    let shown = String::from_utf8_lossy(&window[..end.unwrap_or(window.len()).min(60)]);
    let advice = match is_misplaced {
        true => "`{{basic:USER:NAME}}` may stand only in the value of a header",
        false => "write `{{secret:NAME}}`, or `{{basic:USER:NAME}}` in a header",
    };
    HttpError::Denied(format!("`{shown}` is not a placeholder: {advice}"))
}

/// Where a request goes, with places for secrets in path and query.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    /// In lower case, an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The URL as it may be shown: with placeholders.
    pub(crate) shown: String,
    /// With a mark in each place of a secret.
    marked: Url,
    marks: Marks,
}

impl Target {
    /// Reads a URL with placeholders.
    ///
    /// # Errors
    /// [`HttpError::Denied`] with what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let mut marks = Marks::new()?;
        let marked = marks.mark(text)?;
        let url = Url::parse(&marked).map_err(|error| wrong_url(text, &error.to_string()))?;
        Self::new(text, url, marks)
    }

    /// Reads where an answer's `location` leads from here.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub(crate) fn follow(&self, location: &str) -> Result<Self, HttpError> {
        let mut marks = self.marks.clone();
        let marked = marks.mark(location)?;
        let url = self
            .marked
            .join(&marked)
            .map_err(|error| wrong_url(location, &error.to_string()))?;
        Self::new(location, url, marks)
    }

    fn new(text: &str, mut url: Url, marks: Marks) -> Result<Self, HttpError> {
        let Some(scheme) = Scheme::of(url.scheme()) else {
            return Err(wrong_url(
                text,
                "it begins with neither https:// nor http://",
            ));
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong_url(text, "it names no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong_url(
                text,
                "it has a user name: use the header `authorization` with `{{basic:USER:NAME}}`",
            ));
        }
        let host = host.to_owned();
        if marks.are_in(&host) || url.fragment().is_some_and(|part| marks.are_in(part)) {
            return Err(wrong_url(
                text,
                "a secret may stand only in its path and its query",
            ));
        }
        url.set_fragment(None);
        Ok(Self {
            scheme,
            host,
            port,
            shown: marks.shown(url.as_str()),
            marked: url,
            marks,
        })
    }

    /// Returns the names of the secrets that are in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let url = self.marked.as_str();
        self.marks
            .places
            .iter()
            .filter(move |(mark, _)| url.contains(mark.as_str()))
            .map(|(_, name)| name.as_str())
    }

    /// Fills the secrets in, percent-encoded; those in the path keep their slashes.
    ///
    /// # Errors
    /// [`HttpError::Failed`] when a secret makes another URL of it.
    pub(crate) fn fill(
        &self,
        secret: impl Fn(&str) -> Zeroizing<Vec<u8>>,
    ) -> Result<Url, HttpError> {
        let fill = |part: &str, set: &'static AsciiSet| {
            let mut part = part.to_owned();
            for (mark, name) in &self.marks.places {
                if part.contains(mark) {
                    let encoded = percent_encode(&secret(name), set).to_string();
                    part = part.replace(mark, &encoded);
                }
            }
            part
        };
        let mut url = self.marked.clone();
        url.set_path(&fill(self.marked.path(), PATH));
        if let Some(query) = self.marked.query() {
            url.set_query(Some(&fill(query, QUERY)));
        }
        match self.marks.are_in(url.as_str()) {
            false => Ok(url),
            true => Err(HttpError::Failed(format!(
                "cannot fill the secrets of {} in",
                self.shown
            ))),
        }
    }
}

/// Texts that stand for placeholders while a URL is taken apart. They are random, so that a plugin cannot write one.
#[derive(Debug, Clone)]
struct Marks {
    start: String,
    places: Vec<(String, String)>,
}

impl Marks {
    fn new() -> Result<Self, HttpError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| HttpError::Failed(format!("no random numbers: {error}")))?;
        let start = format!("y{}", yagura_core::alert::hex(&random));
        let places = Vec::new();
        Ok(Self { start, places })
    }

    /// Puts a mark in place of each placeholder.
    fn mark(&mut self, text: &str) -> Result<String, HttpError> {
        if text.len() > LONGEST_URL {
            let reason = format!("it has {} bytes, more than {LONGEST_URL}", text.len());
            return Err(wrong_url(&text[..text.floor_char_boundary(100)], &reason));
        }
        // The URL standard drops some of these, which could make a placeholder of what is none.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong_url(text, "it has a space or a control character"));
        }
        let mut marked = String::with_capacity(text.len());
        for piece in Template::parse(text.as_bytes(), false)?.0 {
            match piece {
                Piece::Bytes(bytes) => marked.push_str(&String::from_utf8_lossy(&bytes)),
                Piece::Secret(name) | Piece::Basic(_, name) => {
                    let mark = format!("{}n{}e", self.start, self.places.len());
                    marked.push_str(&mark);
                    self.places.push((mark, name));
                }
            }
        }
        Ok(marked)
    }

    fn shown(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for (mark, name) in &self.places {
            shown = shown.replace(mark, &format!("{{{{secret:{name}}}}}"));
        }
        shown
    }

    fn are_in(&self, text: &str) -> bool {
        text.to_ascii_lowercase().contains(&self.start)
    }
}

fn wrong_url(text: &str, reason: &str) -> HttpError {
    let text = masked(text);
    let end = text.floor_char_boundary(200);
    HttpError::Denied(format!("`{}` cannot be called: {reason}", &text[..end]))
}

/// Takes its meaning from what looks like a placeholder in data: whoever wrote a log line or answered a request must not
/// make a plugin send a secret. The length stays.
pub(crate) fn disarm(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(2).position(|pair| pair == b"{{") {
        let start = at + found;
        if bytes[start..].starts_with(SECRET) || bytes[start..].starts_with(BASIC) {
            bytes[start + 1] = b' ';
        }
        at = start + 1;
    }
}

/// As [`disarm`], of a text.
pub(crate) fn disarmed(text: &str) -> String {
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
    fn what_is_no_placeholder_is_named() {
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
            Target::parse("https://H.example/a/{{secret:A}}?q={{secret:B}}&x=%20#f").unwrap();
        assert_eq!((&*target.host, target.port), ("h.example", 443));
        assert_eq!(
            target.shown,
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
            denied(Target::parse(url));
        }
    }

    #[test]
    fn a_location_is_read_from_where_it_was_found() {
        let target = Target::parse("https://h.example/a/{{secret:A}}?q=1").unwrap();
        let next = target.follow("b?t={{secret:B}}").unwrap();
        assert_eq!(next.shown, "https://h.example/a/b?t={{secret:B}}");
        assert_eq!(next.names().collect::<Vec<_>>(), ["B"]);
        let same = target.follow("?q=2").unwrap();
        assert_eq!(same.shown, "https://h.example/a/{{secret:A}}?q=2");
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
            assert_eq!(Target::parse(url).unwrap().host, host, "{url}");
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
