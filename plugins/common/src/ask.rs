//! Asking outside services about observables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use yagura_sdk::http::{Request, Response};
use yagura_sdk::{Alert, PluginError, log};

/// What a service takes something for: one set of words for all, so that a reviewer's rules need not know them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Known to be good.
    Benign,
    /// Looked at, and nothing bad is known.
    Clean,
    /// Some hold it for bad.
    Suspicious,
    /// Known to be bad.
    Malicious,
}

impl Verdict {
    /// Returns the value of the attribute `SERVICE.verdict`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Clean => "clean",
            Self::Suspicious => "suspicious",
            Self::Malicious => "malicious",
        }
    }
}

/// Returns the observables of an alert of these kinds, each once, at most `limit`. Addresses that are not public are left out.
pub fn observables<'a>(alert: &'a Alert, kinds: &[&str], limit: usize) -> Vec<(&'a str, &'a str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (kind, value) in &alert.observables {
        let entry = (kind.as_str(), value.as_str());
        let is_asked = kinds.contains(&entry.0) && (entry.0 != "ip" || is_public(value));
        if !is_asked || value.is_empty() || found.contains(&entry) {
            continue;
        }
        if found.len() == limit {
            log::info(&format!(
                "only the first {limit} observables of the alert are asked about"
            ));
            break;
        }
        found.push(entry);
    }
    found
}

/// Sends a request about one observable. Nothing, where the service does not know it (404) or cannot know such a thing (400,
/// 422), so that one odd value costs no others their answer.
///
/// # Errors
/// What [`Response::failure`] says about other statuses, and what the host says.
pub fn answer_of(request: Request) -> Result<Option<Response>, PluginError> {
    let response = request.send()?;
    match response.status {
        404 => Ok(None),
        400 | 422 => {
            log::warn(&response.failure().to_string());
            Ok(None)
        }
        _ => response.success().map(Some),
    }
}

/// Says whether a text is an address that means the same to everybody: not one of a private, local, shared, documentation or
/// multicast network.
pub fn is_public(text: &str) -> bool {
    match text.parse() {
        Ok(IpAddr::V4(address)) => is_public_v4(address),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
        Err(_) => false,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    // 2000::/3 is all that is given out; of it 2001:db8::/32 is for documentation.
    first & 0xe000 == 0x2000 && !(first == 0x2001 && address.segments()[1] == 0x0db8)
}

#[cfg(test)]
mod tests {
    use yagura_sdk::Observable;
    use yagura_sdk::testing::alert;

    use super::*;

    #[test]
    fn only_public_addresses_leave_the_house() {
        for public in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(public), "{public}");
        }
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "fe80::1",
            "fc00::1",
            "::1",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "web1",
            "",
        ] {
            assert!(!is_public(inside), "{inside}");
        }
    }

    #[test]
    fn observables_are_asked_about_once_and_not_without_end() {
        let alert = alert()
            .observable(Observable::Ip, "10.0.0.1")
            .observable(Observable::Ip, "8.8.8.8")
            .observable(Observable::User, "alice")
            .observable(Observable::Ip, "8.8.8.8")
            .observable(Observable::Domain, "a.example")
            .observable(Observable::Domain, "b.example")
            .build();
        assert_eq!(
            observables(&alert, &["ip", "domain"], 2),
            [("ip", "8.8.8.8"), ("domain", "a.example")]
        );
    }
}
