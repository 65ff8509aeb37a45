//! Text read as an address or as a moment.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use ipnet::{IpNet, Ipv4Net};

use crate::number::Decimal;
use crate::predicate::MomentPart;

/// Length of the networks of IPv6 that stand for networks of IPv4.
const MAPPED: u8 = 96;

/// An address as it was written and, of an IPv6 address that stands for one of IPv4, that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    written: IpAddr,
    canonical: IpAddr,
}

impl Address {
    /// Reads an address: `10.1.2.3`, `fe80::1`, also with a zone (`fe80::1%eth0`) and in brackets (`[fe80::1]`). With a port
    /// behind it, it is the name of a service and not an address.
    pub(super) fn read(text: &str) -> Option<Self> {
        // Most texts are not addresses, and say so at once.
        let is_possible = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'[');
        if !text.bytes().next().is_some_and(is_possible) {
            return None;
        }
        let written = match text.parse() {
            Ok(address) => address,
            Err(_) => unusual(text)?,
        };
        Some(Self {
            written,
            canonical: written.to_canonical(),
        })
    }

    /// Returns it as it was written, and the address that it stands for.
    pub(super) fn both(self) -> [IpAddr; 2] {
        [self.written, self.canonical]
    }

    /// Says whether the network, which [`network`] made, holds the address.
    pub(super) fn is_in(&self, network: &IpNet) -> bool {
        network.contains(&self.canonical) || network.contains(&self.written)
    }
}

fn unusual(text: &str) -> Option<IpAddr> {
    let with_zone = |text: &str| -> Option<IpAddr> {
        let (address, zone) = text.split_once('%').unwrap_or((text, "zone"));
        let is_zone = !zone.is_empty() && !zone.contains(char::is_whitespace);
        address
            .parse::<Ipv6Addr>()
            .ok()
            .filter(|_| is_zone)
            .map(IpAddr::V6)
    };
    match text.strip_prefix('[') {
        Some(rest) => with_zone(rest.strip_suffix(']')?),
        None => with_zone(text),
    }
}

/// Returns a rule's network in one form: one of IPv6 that stands for one of IPv4 is that one.
pub(super) fn network(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(length) = v6.prefix_len().checked_sub(MAPPED)
        && let Some(address) = v6.network().to_ipv4_mapped()
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        return IpNet::V4(v4);
    }
    net
}

/// Reads a moment: RFC 3339 and its relatives with spaces, without seconds or without an offset (then UTC); a date; seconds
/// since 1970, or milli-, micro- or nanoseconds where seconds would lie beyond the year 5,138.
pub(super) fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Some(number) = Decimal::parse(text) {
        return since_1970(number.as_f64());
    }
    let date = text.get(..10)?;
    let date: String = date.replace('/', "-");
    let date = NaiveDate::parse_from_str(&date, "%Y-%m-%d").ok()?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(date.and_hms_opt(0, 0, 0)?.and_utc());
    }
    let rest = rest.strip_prefix(['T', 't', ' ', '_'])?.trim_start();
    let (time, behind) = match rest.find(|letter: char| !is_of_time(letter)) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let time = time.replace(',', ".");
    let naive = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&format!("{date} {time}"), format).ok())?;
    let offset = offset(behind.trim())?;
    naive.and_utc().checked_sub_signed(offset)
}

fn is_of_time(letter: char) -> bool {
    letter.is_ascii_digit() || matches!(letter, ':' | '.' | ',')
}

/// Reads what stands behind a time: nothing, a name of UTC, or `+02`, `+0200` or `+02:00`.
fn offset(text: &str) -> Option<TimeDelta> {
    if ["", "z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some(TimeDelta::zero());
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at_checked(2)?,
        _ => return None,
    };
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    TimeDelta::try_minutes(sign * (i64::from(hours) * 60 + i64::from(minutes)))
}

fn since_1970(number: f64) -> Option<DateTime<Utc>> {
    const LAST_SECOND: f64 = 1e11;
    let mut seconds = number;
    for _ in 0..3 {
        if seconds.abs() >= LAST_SECOND {
            seconds /= 1_000.0;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time outside of 64 bits saturates, and is not one"
    )]
    DateTime::from_timestamp(seconds.floor() as i64, 0)
}

pub(super) fn part_of(part: MomentPart, time: &DateTime<Utc>) -> i64 {
    match part {
        MomentPart::Minute => time.minute().into(),
        MomentPart::Hour => time.hour().into(),
        MomentPart::Day => time.day().into(),
        MomentPart::Week => time.iso_week().week().into(),
        MomentPart::Month => time.month().into(),
        MomentPart::Year => time.year().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_networks_in_whatever_form() {
        let mapped = [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "::FFFF:a01:203",
            "0:0:0:0:0:ffff:10.1.2.3",
            "::ffff:10.1.2.3%eth0",
            "[::ffff:10.1.2.3]",
            "[::ffff:10.1.2.3%4]",
        ];
        let local = [
            "fe80::1",
            "FE80::1%eth0",
            "fe80::1%12",
            "[fe80::1]",
            "[fe80::1%en0]",
        ];
        let neither = [
            "",
            "-",
            "10.1.2",
            "10.1.2.3.4",
            "10.1.2.3%eth0",
            "fe80::1%",
            "fe80::1%a b",
            "[fe80::1",
            "fe80::1]",
            "[fe80::1]x",
            "[fe80::1]:443",
            "10.1.2.3:80",
            "10.1.2.3:x",
            "10.1.2.3/8",
            "010.1.2.3",
            "167838211",
            "bad",
            "[10.1.2.3]",
            "a:b",
            "%",
            "::ffff:10.1.2.3.4",
        ];
        let cases: [(&str, &[&str]); 9] = [
            ("10.0.0.0/8", &mapped),
            ("::ffff:10.0.0.0/104", &mapped),
            ("::ffff:0:0/96", &mapped),
            ("0.0.0.0/0", &mapped),
            ("10.1.2.3/32", &mapped),
            ("fe80::/10", &local),
            ("fe80::1/128", &local),
            ("11.0.0.0/8", &[]),
            ("2001:db8::/32", &[]),
        ];
        for (net, inside) in cases {
            let net = network(net.parse().unwrap());
            for text in mapped.iter().chain(&local).chain(&neither) {
                let is_in = Address::read(text).is_some_and(|address| address.is_in(&net));
                assert_eq!(is_in, inside.contains(text), "{text} in {net}");
            }
        }
        // All of IPv6 holds what was written as IPv6.
        let all = network("::/0".parse().unwrap());
        let is_in = |text| Address::read(text).unwrap().is_in(&all);
        assert!(is_in("::ffff:10.1.2.3") && is_in("fe80::1") && !is_in("10.1.2.3"));
    }

    #[test]
    fn moments_with_spaces_and_offsets_are_read() {
        let want = DateTime::from_timestamp(1_772_406_600, 0).unwrap();
        for text in [
            "2026-03-01T23:10:00Z",
            "2026-03-01t23:10:00z",
            "2026-03-01 23:10:00",
            "2026-03-01 23:10:00Z",
            "2026-03-01 23:10:00 UTC",
            "2026-03-01 23:10:00.000",
            "2026-03-01 23:10:00,000 +0000",
            "2026-03-01 23:10",
            "2026-03-01T23:10",
            "2026-03-01T23:10:00",
            "2026/03/01 23:10:00",
            "2026-03-02 01:10:00 +02:00",
            "2026-03-02 01:10:00+02",
            "2026-03-02T01:10:00+0200",
            "2026-03-01 18:10:00 -0500",
            " 2026-03-01 23:10:00 ",
            "1772406600",
            "1772406600.5",
            "1772406600000",
            "1772406600000000",
            "1772406600000000000",
        ] {
            let read = moment(text).map(|time| time.timestamp());
            assert_eq!(read, Some(want.timestamp()), "{text}");
        }
        assert_eq!(moment("2026-03-01").map(|time| time.hour()), Some(0));
        for text in [
            "",
            "soon",
            "2026-03-01 25:00:00",
            "2026-13-01 00:00",
            "2026-03-01 23:10:00 MEZ",
            "2026-03-01x23:10:00",
            "2026-03-01 23:10:00 +2",
            "größe 12:00:00",
            "2026-03-01 23:10:00 +0x00",
            "inf",
            "NaN",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
