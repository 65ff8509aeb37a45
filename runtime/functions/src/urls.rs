//! `parse_url` and `parse_query`: parts of a URL, as the URL standard of WHATWG reads it.

use std::borrow::Cow;

use url::{Url, form_urlencoded};

use crate::{Made, Prepared, Value};

/// The parts that `parse_url` knows.
const PARTS: [&str; 8] = [
    "scheme", "user", "password", "host", "port", "path", "query", "fragment",
];

/// A host for URLs that begin with `/`, as access logs write them; no result shows it.
const NO_HOST: &str = "http://none.invalid";

/// Reads a URL, and says whether it begins with a scheme.
fn url(text: &str) -> Option<(Url, bool)> {
    match text.starts_with('/') {
        false => Some((Url::parse(text).ok()?, true)),
        // `//host/path` depends on the page that it stands on.
        true if text.starts_with("//") => None,
        true => Some((Url::parse(&format!("{NO_HOST}{text}")).ok()?, false)),
    }
}

#[derive(Debug)]
struct UrlPart(String);

/// Prepares `parse_url(text, part)`.
pub(crate) fn part(settings: &[&str]) -> Made {
    let name = settings.first().copied().unwrap_or_default();
    if !PARTS.contains(&name) {
        return Err(format!(
            "'{name}' is not a part of a URL; the parts are {}",
            PARTS.join(", ")
        ));
    }
    Ok(Box::new(UrlPart(name.to_owned())))
}

impl Prepared for UrlPart {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let (url, is_whole) = url(text)?;
        let part = match self.0.as_str() {
            "path" => Some(url.path().to_owned()),
            "query" => url.query().map(str::to_owned),
            "fragment" => url.fragment().map(str::to_owned),
            _ if !is_whole => None,
            "scheme" => Some(url.scheme().to_owned()),
            "user" => Some(url.username())
                .filter(|user| !user.is_empty())
                .map(str::to_owned),
            "password" => url.password().map(str::to_owned),
            "port" => url.port_or_known_default().map(|port| port.to_string()),
            // Without the brackets, an address of version 6 can be compared with others.
            "host" => url
                .host_str()
                .map(|host| host.trim_matches(['[', ']']).to_owned()),
            _ => None,
        };
        part.map(Value::text)
    }
}

#[derive(Debug)]
struct QueryKey(String);

/// Prepares `parse_query(text, key)`.
pub(crate) fn query(settings: &[&str]) -> Made {
    let key = settings.first().copied().unwrap_or_default();
    Ok(Box::new(QueryKey(key.to_owned())))
}

impl Prepared for QueryKey {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let query = match url(text) {
            Some((url, _)) => Cow::Owned(url.query()?.to_owned()),
            None => Cow::Borrowed(text.strip_prefix('?').unwrap_or(text)),
        };
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(key, _)| *key == self.0)?;
        Some(Value::text(value.into_owned()))
    }
}

#[derive(Debug)]
struct Basename;

/// Prepares `basename(path)`.
pub(crate) fn basename(_: &[&str]) -> Made {
    Ok(Box::new(Basename))
}

impl Prepared for Basename {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let is_separator = ['/', '\\'];
        let path = text.trim_end_matches(is_separator);
        let last = path.rsplit(is_separator).next()?;
        (!last.is_empty()).then(|| Value::text(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_path_is_found_on_every_system() {
        for (path, expected) in [
            (r"C:\Windows\System32\cmd.exe", Some("cmd.exe")),
            ("/usr/bin/curl", Some("curl")),
            (r"\\server\share/é x.txt", Some("é x.txt")),
            ("/var/log/", Some("log")),
            ("cmd.exe", Some("cmd.exe")),
            ("/", None),
            ("", None),
        ] {
            let found = basename(&[]).unwrap();
            assert_eq!(found.value(path), expected.map(Value::text), "{path}");
        }
    }

    fn get(prepared: Made, text: &str) -> Option<String> {
        match prepared.unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn parts_are_found() {
        let url = "HTTPS://ada:secret@EXAMPLE.com:8443/a%20b/../c?x=1&y=2#top";
        for (name, expected) in [
            ("scheme", Some("https")),
            ("user", Some("ada")),
            ("password", Some("secret")),
            ("host", Some("example.com")),
            ("port", Some("8443")),
            ("path", Some("/c")),
            ("query", Some("x=1&y=2")),
            ("fragment", Some("top")),
        ] {
            assert_eq!(get(part(&[name]), url).as_deref(), expected, "{name}");
        }
        assert_eq!(get(part(&["port"]), "http://a/").as_deref(), Some("80"));
        assert_eq!(get(part(&["port"]), "foo://a/"), None);
        assert_eq!(get(part(&["user"]), "http://a/"), None);
        assert_eq!(get(part(&["query"]), "http://a/?").as_deref(), Some(""));
        assert_eq!(
            get(part(&["host"]), "http://[2001:db8::1]/").as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(
            get(part(&["host"]), "http://0x7f.1/").as_deref(),
            Some("127.0.0.1")
        );
        assert_eq!(get(part(&["path"]), "/a/b?c=1").as_deref(), Some("/a/b"));
        assert_eq!(get(part(&["host"]), "/a/b?c=1"), None);
        for text in [
            "",
            "example.com/a",
            "//example.com/a",
            "http://",
            "http://a b/",
        ] {
            assert_eq!(get(part(&["path"]), text), None, "{text}");
        }
        assert!(
            part(&["hostname"])
                .unwrap_err()
                .contains("the parts are scheme, user")
        );
    }

    #[test]
    fn a_query_is_read_in_a_url_and_alone() {
        for (text, key, expected) in [
            ("http://a/b?x=1&y=a%20b+c&x=2", "y", Some("a b c")),
            ("http://a/b?x=1&x=2", "x", Some("1")),
            ("/b?x=1", "x", Some("1")),
            ("?x=1", "x", Some("1")),
            ("x=1&flag", "flag", Some("")),
            ("x=1", "y", None),
            ("http://a/b", "x", None),
            ("", "x", None),
            ("x=%ff", "x", Some("\u{fffd}")),
        ] {
            assert_eq!(get(query(&[key]), text).as_deref(), expected, "{text}");
        }
    }
}
