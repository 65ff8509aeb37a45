//! How much of one entry another contains.

use super::{Ask, Kind};

/// How much of what is asked for an entry contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// All of it.
    All,
    /// Some of it.
    Part,
    /// Nothing of it.
    Nothing,
}

/// Says how much of `ask` the entry `of` contains.
pub(super) fn cover(of: &Ask, ask: &Ask) -> Cover {
    if of.kind != ask.kind {
        return Cover::Nothing;
    }
    if of.entry == ask.entry {
        return Cover::All;
    }
    match (of.kind, of.entry.as_str(), ask.entry.as_str()) {
        (Kind::Http, of, ask) => servers(of, ask),
        (_, "*", _) => Cover::All,
        (_, _, "*") => Cover::Part,
        _ => Cover::Nothing,
    }
}

/// A server or servers: scheme, hosts and port.
struct Servers<'a> {
    scheme: &'a str,
    hosts: Hosts<'a>,
    port: u16,
}

/// Hosts.
enum Hosts<'a> {
    Any,
    Below(&'a str),
    Exactly(&'a str),
}

fn servers(of: &str, ask: &str) -> Cover {
    let (Some(of), Some(ask)) = (parse(of), parse(ask)) else {
        return Cover::Nothing;
    };
    if of.scheme != ask.scheme || of.port != ask.port {
        return Cover::Nothing;
    }
    match (of.hosts, ask.hosts) {
        (Hosts::Any, _) => Cover::All,
        (_, Hosts::Any) => Cover::Part,
        (Hosts::Exactly(of), Hosts::Exactly(ask)) if of.eq_ignore_ascii_case(ask) => Cover::All,
        (Hosts::Below(of), Hosts::Exactly(ask)) if is_below(ask, of) => Cover::All,
        (Hosts::Below(of), Hosts::Below(ask))
            if of.eq_ignore_ascii_case(ask) || is_below(ask, of) =>
        {
            Cover::All
        }
        (Hosts::Below(of), Hosts::Below(ask)) if is_below(of, ask) => Cover::Part,
        (Hosts::Exactly(of), Hosts::Below(ask)) if is_below(of, ask) => Cover::Part,
        _ => Cover::Nothing,
    }
}

fn parse(text: &str) -> Option<Servers<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an IPv6 address lie in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (rest, usual),
    };
    let hosts = match (host, host.strip_prefix("*.")) {
        ("*", _) => Hosts::Any,
        (_, Some(domain)) => Hosts::Below(domain),
        (host, None) => Hosts::Exactly(host),
    };
    Some(Servers {
        scheme,
        hosts,
        port,
    })
}

fn is_below(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    host.strip_suffix(&domain)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_contain_each_other_by_scheme_port_and_domain() {
        use Cover::{All, Nothing, Part};
        for (of, ask, expected) in [
            ("https://a.org", "https://a.org:443", All),
            ("https://A.org", "https://a.org", All),
            ("https://a.org", "http://a.org", Nothing),
            ("https://a.org", "https://a.org:8443", Nothing),
            ("https://*.a.org", "https://x.a.org", All),
            ("https://*.a.org", "https://a.org", Nothing),
            ("https://*.a.org", "https://xa.org", Nothing),
            ("https://*.a.org", "https://*.x.a.org", All),
            ("https://*.x.a.org", "https://*.a.org", Part),
            ("https://x.a.org", "https://*.a.org", Part),
            ("https://x.a.org", "https://*", Part),
            ("https://*", "https://x.a.org", All),
            ("https://[::1]:8080", "https://[::1]:8080", All),
            ("https://[::1]", "https://[::1]:443", All),
        ] {
            let ask_of = |entry: &str| Ask {
                kind: Kind::Http,
                entry: entry.to_owned(),
            };
            assert_eq!(cover(&ask_of(of), &ask_of(ask)), expected, "{of} {ask}");
        }
    }
}
