//! `is_ip`, `ip_version`, `is_private_ip` and `cidr_contains`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{Made, Prepared, Value, Wrong};

/// Addresses that are not reached from the internet. Sources: RFC 1918 (private use), RFC 6598 (shared), RFC 1122 (loopback),
/// RFC 3927 (link-local), RFC 4291 (loopback and link-local of version 6), RFC 4193 (unique local).
pub(crate) const PRIVATE: &str = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, ::1/128, \
                                  fe80::/10, fc00::/7";

/// Reads an address. A zone such as `%eth0` is left out, and `::ffff:192.0.2.1` is an address of version 4.
fn address(text: &str) -> Option<IpAddr> {
    let plain = match text.split_once('%') {
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        _ => text,
    };
    plain.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[derive(Debug)]
struct IsIp;

/// Prepares `is_ip(text)`.
pub(crate) fn is_ip(_: &[&str]) -> Made {
    Ok(Box::new(IsIp))
}

impl Prepared for IsIp {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        Some(Value::Truth(address(text).is_some()))
    }
}

#[derive(Debug)]
struct Version;

/// Prepares `ip_version(text)`.
pub(crate) fn version(_: &[&str]) -> Made {
    Ok(Box::new(Version))
}

impl Prepared for Version {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let is_four = address(text)?.is_ipv4();
        Some(Value::Number(if is_four { 4 } else { 6 }))
    }
}

/// Networks, as ranges that are sorted and have no address in common.
#[derive(Debug)]
struct Networks {
    four: Vec<(Ipv4Addr, Ipv4Addr)>,
    six: Vec<(Ipv6Addr, Ipv6Addr)>,
}

/// Prepares `cidr_contains(networks, text)`.
pub(crate) fn cidr_contains(settings: &[&str]) -> Made {
    Ok(Box::new(Networks::parse(
        settings.first().copied().unwrap_or_default(),
    )?))
}

/// Prepares `is_private_ip(text)`.
pub(crate) fn is_private(_: &[&str]) -> Made {
    Ok(Box::new(Networks::parse(PRIVATE)?))
}

impl Networks {
    /// Reads networks and addresses with commas or blanks between them.
    fn parse(text: &str) -> Result<Self, Wrong> {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        let parts = text.split([',', ' ', '\t', '\n', '\r']);
        for part in parts.filter(|part| !part.is_empty()) {
            let network = part.parse::<IpNet>().ok();
            match network.or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(IpNet::V4(network)) => four.push(network),
                Some(IpNet::V6(network)) => six.push(network),
                None => {
                    return Err(format!(
                        "'{part}' is not a network; write networks as `10.0.0.0/8` or `2001:db8::/32`, with commas between them"
                    ));
                }
            }
        }
        if four.is_empty() && six.is_empty() {
            return Err("there is no network".to_owned());
        }
        let four = Ipv4Net::aggregate(&four).into_iter();
        let six = Ipv6Net::aggregate(&six).into_iter();
        let mut networks = Self {
            four: four.map(|net| (net.network(), net.broadcast())).collect(),
            six: six.map(|net| (net.network(), net.broadcast())).collect(),
        };
        networks.four.sort_unstable();
        networks.six.sort_unstable();
        Ok(networks)
    }
}

fn is_within<T: Ord>(ranges: &[(T, T)], address: &T) -> bool {
    let before = ranges.partition_point(|(first, _)| first <= address);
    let last = before.checked_sub(1).and_then(|last| ranges.get(last));
    last.is_some_and(|(_, last)| address <= last)
}

impl Prepared for Networks {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        Some(Value::Truth(match address(text)? {
            IpAddr::V4(address) => is_within(&self.four, &address),
            IpAddr::V6(address) => is_within(&self.six, &address),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(prepared: Made, text: &str) -> Option<bool> {
        prepared
            .unwrap()
            .value(text)
            .map(|value| value == Value::Truth(true))
    }

    #[test]
    fn an_address_is_in_one_of_the_networks_or_in_none() {
        let networks = "10.0.0.0/8,192.0.2.7 2001:db8::/32,  10.1.0.0/16";
        for (text, expected) in [
            ("10.255.255.255", Some(true)),
            ("11.0.0.0", Some(false)),
            ("9.255.255.255", Some(false)),
            ("192.0.2.7", Some(true)),
            ("192.0.2.8", Some(false)),
            ("2001:db8:ffff::1", Some(true)),
            ("2001:db9::", Some(false)),
            ("::ffff:10.0.0.1", Some(true)),
            ("2001:db8::1%eth0", Some(true)),
            ("10.0.0.1%eth0", None),
            ("10.0.0", None),
            ("010.0.0.1", None),
            ("10.0.0.1 ", None),
            ("", None),
        ] {
            assert_eq!(truth(cidr_contains(&[networks]), text), expected, "{text}");
        }
        assert_eq!(
            truth(cidr_contains(&["0.0.0.0/0"]), "255.255.255.255"),
            Some(true)
        );
        assert_eq!(truth(cidr_contains(&["::/0"]), "::"), Some(true));
        // The part behind the prefix is no matter.
        assert_eq!(
            truth(cidr_contains(&["10.9.9.9/8"]), "10.1.1.1"),
            Some(true)
        );
    }

    #[test]
    fn a_wrong_network_is_named() {
        for (networks, part) in [
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/8, x", "x"),
            (" ", "no network"),
        ] {
            let wrong = cidr_contains(&[networks]).unwrap_err();
            assert!(wrong.contains(part), "{wrong}");
        }
    }

    #[test]
    fn private_addresses_are_those_of_the_standards() {
        for text in [
            "10.1.2.3",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
        ] {
            assert_eq!(truth(is_private(&[]), text), Some(true), "{text}");
        }
        for text in ["::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"] {
            assert_eq!(truth(is_private(&[]), text), Some(true), "{text}");
        }
        for text in [
            "172.32.0.0",
            "192.0.2.1",
            "100.128.0.0",
            "2001:db8::1",
            "8.8.8.8",
        ] {
            assert_eq!(truth(is_private(&[]), text), Some(false), "{text}");
        }
        assert_eq!(truth(is_private(&[]), "localhost"), None);
    }
}
