//! Patterns of servers and hosts, as manifests and grants write them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Without protection.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Returns its name as in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port that a URL of this scheme means when it names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Returns the scheme of that name, if it is one of these.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

/// One host, all below a domain, or all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `*`
    Any,
    /// `*.example.org`: all below `example.org`, and not itself.
    Below(String),
    /// `api.example.org`, an IPv4 address, or an IPv6 address in brackets.
    Exactly(String),
}

/// What is wrong with the pattern of a host or a server. The message continues a sentence of which the pattern is the subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerPatternError {
    /// A `*` stands behind the first part.
    #[error("may have a `*` only as its first part: `*.example.org`")]
    Star,
    /// Brackets hold something else than an IPv6 address.
    #[error("is not an IPv6 address in brackets")]
    Ipv6,
    /// A host has a colon, as an IPv6 address without brackets.
    #[error("names no host; an IPv6 address stands in brackets")]
    BareIpv6,
    /// A name of DNS cannot be this.
    #[error("names no host; one with other than ASCII letters is written in its `xn--` form")]
    NotAHost,
    /// A host ends in a number, and is no IPv4 address.
    #[error("is not an IPv4 address of four decimal numbers")]
    Ipv4,
    /// A server has no scheme.
    #[error("is not a server: write `https://` and its name")]
    NoScheme,
    /// A server has another scheme.
    #[error("is not a server: write `https://` (or `http://`) and its name")]
    OtherScheme,
    /// A server has a user name.
    #[error("has a user name: put credentials into a secret")]
    UserName,
    /// A server has a path, a query or a fragment.
    #[error("has a path: a server is only scheme, name and port")]
    HasPath,
    /// A port is not a number from 1 to 65535.
    #[error("has the port `{0}`: write a number to 65535")]
    Port(String),
}

impl HostPattern {
    /// Reads a host: a name, an address, `*.` and a domain, or `*`.
    ///
    /// # Errors
    /// [`ServerPatternError`].
    pub fn parse(text: &str) -> Result<Self, ServerPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (domain, is_below) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text, false),
        };
        if domain.contains('*') {
            return Err(ServerPatternError::Star);
        }
        if domain.starts_with('[') {
            return match bracketed(domain) {
                Some(address) if !is_below => Ok(Self::Exactly(format!("[{address}]"))),
                _ => Err(ServerPatternError::Ipv6),
            };
        }
        if domain.contains(':') {
            return Err(ServerPatternError::BareIpv6);
        }
        let domain = domain.to_ascii_lowercase();
        let labels: Vec<&str> = domain.split('.').collect();
        let is_label = |label: &&str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if domain.len() > 253 || !labels.iter().all(is_label) {
            return Err(ServerPatternError::NotAHost);
        }
        // What ends in a number is an address to every client, whatever it looks like.
        let last = labels.last().copied().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
        if is_number && (is_below || domain.parse::<Ipv4Addr>().is_err()) {
            return Err(ServerPatternError::Ipv4);
        }
        Ok(if is_below {
            Self::Below(domain)
        } else {
            Self::Exactly(domain)
        })
    }

    /// Says whether a host, in lower case as URLs are normalised, is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            // An IPv6 address has several forms, and not everybody writes the same one.
            Self::Exactly(name) => {
                name == host || (name.starts_with('[') && bracketed(name) == bracketed(host))
            }
            Self::Below(domain) => host
                .strip_suffix(domain.as_str())
                .and_then(|start| start.strip_suffix('.'))
                .is_some_and(|start| !start.is_empty()),
        }
    }

    /// Says whether every host that `other` means is meant.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (_, Self::Exactly(host)) => self.matches(host),
            (Self::Below(_), Self::Below(domain)) => self == other || self.matches(domain),
            (Self::Exactly(_), Self::Below(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Exactly(host) => f.write_str(host),
        }
    }
}

/// Reads an IPv6 address in brackets.
fn bracketed(host: &str) -> Option<Ipv6Addr> {
    let inside = host.strip_prefix('[')?.strip_suffix(']')?;
    inside.parse().ok()
}

/// A server or several: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerPattern {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Which hosts.
    pub host: HostPattern,
    /// Nothing for every port, which only `https://*` and `http://*` mean.
    pub port: Option<u16>,
}

impl ServerPattern {
    /// Reads `https://host`, `https://host:port`, `https://*.domain` or `https://*`, or the same with `http`.
    ///
    /// # Errors
    /// [`ServerPatternError`].
    pub fn parse(text: &str) -> Result<Self, ServerPatternError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(ServerPatternError::NoScheme);
        };
        let Some(scheme) = Scheme::of(scheme) else {
            return Err(ServerPatternError::OtherScheme);
        };
        if rest.contains('@') {
            return Err(ServerPatternError::UserName);
        }
        if rest.contains(['/', '?', '#']) {
            return Err(ServerPatternError::HasPath);
        }
        let (host, port) = match rest.rsplit_once(':') {
            // Inside the brackets of an IPv6 address, a colon begins no port.
            Some((host, port)) if !port.ends_with(']') => {
                let port: u16 = port
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| ServerPatternError::Port(port.to_owned()))?;
                (host, Some(port))
            }
            _ => (rest, None),
        };
        let host = HostPattern::parse(host)?;
        let port = match (&host, port) {
            (HostPattern::Any, None) => None,
            (_, port) => Some(port.unwrap_or(scheme.default_port())),
        };
        Ok(Self { scheme, host, port })
    }

    /// Says whether a server is meant; `host` is in lower case, an IPv6 address in brackets.
    pub fn matches(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        self.scheme == scheme && self.port.is_none_or(|own| own == port) && self.host.matches(host)
    }

    /// Says whether every server that `other` means is meant.
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && (self.port.is_none() || self.port == other.port)
            && self.host.covers(&other.host)
    }
}

impl fmt::Display for ServerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        match self.port {
            Some(port) if port != self.scheme.default_port() => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// Says whether a text can name a secret or a directory: letters, digits, `_`, `-` and `.`, at most 100.
pub fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerPattern {
        ServerPattern::parse(text).unwrap_or_else(|reason| panic!("`{text}` {reason}"))
    }

    #[test]
    fn a_server_is_scheme_host_and_port() {
        let api = server("https://API.example.org");
        assert!(api.matches(Scheme::Https, "api.example.org", 443));
        assert!(!api.matches(Scheme::Http, "api.example.org", 443));
        assert!(!api.matches(Scheme::Https, "api.example.org", 8443));
        assert!(!api.matches(Scheme::Https, "xapi.example.org", 443));
        assert!(!api.matches(Scheme::Https, "api.example.org.", 443));
        let local = server("http://[::1]:8080");
        assert!(local.matches(Scheme::Http, "[::1]", 8080));
        assert_eq!(local.to_string(), "http://[::1]:8080");
        assert!(server("http://[0:0::1]").matches(Scheme::Http, "[::1]", 80));
        let mapped = server("http://[::ffff:127.0.0.1]");
        assert!(mapped.matches(Scheme::Http, "[::ffff:7f00:1]", 80));
        assert!(!mapped.matches(Scheme::Http, "127.0.0.1", 80));
    }

    #[test]
    fn a_star_stands_for_what_is_below_or_for_all() {
        let below = server("https://*.example.org");
        for host in ["a.example.org", "a.b.example.org"] {
            assert!(below.matches(Scheme::Https, host, 443), "{host}");
        }
        for host in [
            "example.org",
            ".example.org",
            "badexample.org",
            "a.example.org.evil.net",
        ] {
            assert!(!below.matches(Scheme::Https, host, 443), "{host}");
        }
        assert!(server("https://*").matches(Scheme::Https, "anything", 1));
        assert!(!server("https://*").matches(Scheme::Http, "anything", 80));
        assert!(!server("https://*:443").matches(Scheme::Https, "anything", 1));
    }

    #[test]
    fn covering_is_matching_every_one() {
        for (wide, narrow) in [
            ("https://*", "https://a.b:7"),
            ("https://*.b", "https://a.b"),
            ("https://*.b", "https://*.a.b"),
            ("https://*.b", "https://*.b"),
        ] {
            assert!(server(wide).covers(&server(narrow)), "{wide} {narrow}");
        }
        for (narrow, wide) in [
            ("https://a.b", "https://*.b"),
            ("https://*.a.b", "https://*.b"),
            ("https://*.b", "https://b"),
            ("https://*.b", "https://*"),
            ("https://a.b", "http://a.b"),
        ] {
            assert!(!server(narrow).covers(&server(wide)), "{narrow} {wide}");
        }
    }

    #[test]
    fn what_is_not_a_server_is_told() {
        for (text, part) in [
            ("api.example.org", "write `https://`"),
            ("ftp://a.b", "`http://`"),
            ("https://", "names no host"),
            ("https://a.b/", "has a path"),
            ("https://u:p@a.b", "user name"),
            ("https://a.b:0", "port `0`"),
            ("https://a.b:99999", "port `99999`"),
            ("https://a.*.b", "first part"),
            ("https://*b", "first part"),
            ("https://a b", "names no host"),
            ("https://bücher.example", "xn--"),
            ("https://2130706433", "IPv4"),
            ("https://127.1", "IPv4"),
            ("https://0x7f000001", "IPv4"),
            ("https://*.0.1", "IPv4"),
            ("https://[::1", "brackets"),
            ("https://[::1%25eth0]", "brackets"),
        ] {
            let reason = ServerPattern::parse(text).unwrap_err().to_string();
            assert!(reason.contains(part), "`{text}` {reason}");
        }
    }
}
