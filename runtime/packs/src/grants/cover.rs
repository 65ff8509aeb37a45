//! How much of one entry another contains.

use yagura_core::capability::ServerPattern;

use super::{CapabilityEntry, CapabilityKind};

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
pub(super) fn cover(of: &CapabilityEntry, ask: &CapabilityEntry) -> Cover {
    if of.kind != ask.kind {
        return Cover::Nothing;
    }
    if of.entry == ask.entry {
        return Cover::All;
    }
    match (of.kind, of.entry.as_str(), ask.entry.as_str()) {
        (CapabilityKind::Http, of, ask) => servers(of, ask),
        (_, "*", _) => Cover::All,
        (_, _, "*") => Cover::Part,
        _ => Cover::Nothing,
    }
}

fn servers(of: &str, ask: &str) -> Cover {
    let (Ok(of), Ok(ask)) = (ServerPattern::parse(of), ServerPattern::parse(ask)) else {
        return Cover::Nothing;
    };
    match (of.covers(&ask), ask.covers(&of)) {
        (true, _) => Cover::All,
        (_, true) => Cover::Part,
        _ => Cover::Nothing,
    }
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
            let ask_of = |entry: &str| CapabilityEntry {
                kind: CapabilityKind::Http,
                entry: entry.to_owned(),
            };
            assert_eq!(cover(&ask_of(of), &ask_of(ask)), expected, "{of} {ask}");
        }
    }
}
