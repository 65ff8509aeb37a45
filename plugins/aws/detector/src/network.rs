//! Address ranges.

use std::net::IpAddr;

/// How much of the internet a range takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Private, or too small to matter here.
    Limited,
    /// A large piece of the public internet: two such ranges are how a check for `0.0.0.0/0` is passed by.
    Wide,
    /// Everyone.
    World,
}

/// Returns the reach of an IPv4 or IPv6 range such as `0.0.0.0/0`; limited for what is not a range.
pub(crate) fn reach(cidr: &str) -> Reach {
    let Some((address, prefix)) = cidr.trim().split_once('/') else {
        return Reach::Limited;
    };
    let (Ok(address), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse::<u8>()) else {
        return Reach::Limited;
    };
    match address {
        _ if prefix == 0 => Reach::World,
        // 10.0.0.0/8 is the one private range of this size.
        IpAddr::V4(address) if prefix <= 8 && !(prefix == 8 && address.is_private()) => Reach::Wide,
        // Public IPv6 addresses lie in 2000::/3; fc00::/7 is private.
        IpAddr::V6(address) if prefix <= 16 && !(prefix >= 7 && address.is_unique_local()) => {
            Reach::Wide
        }
        _ => Reach::Limited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_and_its_halves_are_told_from_private_ranges() {
        assert_eq!(reach("0.0.0.0/0"), Reach::World);
        assert_eq!(reach("::/0"), Reach::World);
        for wide in [
            "128.0.0.0/1",
            "0.0.0.0/1",
            "8.0.0.0/7",
            "52.0.0.0/8",
            "2000::/3",
        ] {
            assert_eq!(reach(wide), Reach::Wide, "{wide}");
        }
        for limited in [
            "10.0.0.0/8",
            "198.51.100.0/24",
            "fd00::/8",
            "2001:db8::/32",
            "",
            "any",
            "1.2.3.4",
        ] {
            assert_eq!(reach(limited), Reach::Limited, "{limited}");
        }
    }
}
