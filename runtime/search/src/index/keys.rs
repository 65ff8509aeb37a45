//! Under which keys an index has a value, and under which one it is looked for.
//!
//! A look-up only narrows what is read: every event that it leaves is compared again. So a value may have more keys than it
//! needs, and must have the key of each term that finds it.

use std::net::IpAddr;

use yagura_core::FieldPath;
use yagura_rules::addresses;
use yagura_rules::case_folding::fold;

use crate::kinds::Kind;
use crate::query::TermValue;

/// The kind of addresses of version 4 anywhere in the text of events, but those that a column of [`Kind::Ip`] has in the same block.
pub(crate) const ADDRESS: &str = "address in text";
/// The same of hashes, and [`Kind::Hash`].
pub(crate) const DIGEST: &str = "hash in text";

/// Bytes of a key. Of a longer one its start is kept, on either side.
const LONGEST: usize = 256;
/// How many hexadecimal digits a hash has that is looked for as a whole.
const HASH_DIGITS: [usize; 6] = [32, 40, 56, 64, 96, 128];

/// A value as it is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// A kind's name, [`ADDRESS`] or [`DIGEST`].
    pub(crate) kind: &'static str,
    pub(crate) value: String,
}

impl Key {
    fn new(kind: &'static str, value: &str) -> Self {
        let value = cut(value).to_owned();
        Self { kind, value }
    }
}

/// Returns the start of a key that is kept.
fn cut(text: &str) -> &str {
    match text.char_indices().find(|(at, _)| *at >= LONGEST) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// Calls `each` with every key that a value of a kind has.
pub(crate) fn keys_of(kind: Kind, text: &str, each: &mut dyn FnMut(&str)) {
    let folded = fold(text);
    if is_nested(kind, &folded) {
        return;
    }
    let mut each = |key: &str| {
        if !key.is_empty() {
            each(cut(key));
        }
    };
    match kind {
        Kind::Ip => match addresses(text) {
            Some([written, canonical]) => {
                each(&written.to_string());
                if canonical != written {
                    each(&canonical.to_string());
                }
            }
            None => each(&folded),
        },
        Kind::Domain => each(folded.trim_end_matches('.')),
        Kind::Host => {
            each(&folded);
            if let Some((first, _)) = folded.split_once('.') {
                each(first);
            }
        }
        Kind::User => {
            each(&folded);
            if let Some((_, name)) = folded.rsplit_once('\\') {
                each(name);
            }
        }
        Kind::Process | Kind::File => {
            each(&folded);
            if let Some((_, name)) = folded.rsplit_once(['\\', '/']) {
                each(name);
            }
        }
        Kind::Hash => {
            each(&folded);
            keys_in(&folded, &mut |kind, key| {
                if kind == DIGEST {
                    each(key);
                }
            });
        }
        Kind::Mac => {
            let digits = digits_of(&folded);
            each(digits.as_deref().unwrap_or(&folded));
        }
        Kind::Port => each(&whole_number(text).unwrap_or_else(|| folded.clone().into_owned())),
        Kind::Email | Kind::Url => each(&folded),
    }
}

/// Returns the key of a term that asks for a value of a kind; nothing for what no index answers.
pub(crate) fn key_of(kind: Kind, value: &TermValue) -> Option<Key> {
    let (TermValue::Text(text) | TermValue::Phrase(text)) = value else {
        return None;
    };
    let folded = fold(text);
    if is_nested(kind, &folded) {
        return None;
    }
    let key = match kind {
        Kind::Ip => match addresses(text) {
            Some([written, canonical]) if written == canonical => written.to_string(),
            // It is also found where it is written in the other way.
            Some(_) => return None,
            None => folded.into_owned(),
        },
        Kind::Domain => folded.trim_end_matches('.').to_owned(),
        // A part of a hash is found in it.
        Kind::Hash if !is_hash(&folded) => return None,
        Kind::Mac => digits_of(&folded).unwrap_or_else(|| folded.into_owned()),
        Kind::Port => whole_number(text).unwrap_or_else(|| folded.into_owned()),
        _ => folded.into_owned(),
    };
    (!key.is_empty()).then(|| Key::new(kind.name(), &key))
}

/// Says whether a text may be an object or a list as it is written. An address of version 6 may stand in brackets.
fn is_nested(kind: Kind, text: &str) -> bool {
    text.starts_with('{') || (text.starts_with('[') && kind != Kind::Ip)
}

/// Returns the key of a term for a field that holds values of a kind; nothing where the field is of no kind.
pub(crate) fn key_of_field(
    path: &FieldPath,
    kinds: &[(Kind, Vec<FieldPath>)],
    value: &TermValue,
) -> Option<Key> {
    let (kind, _) = kinds.iter().find(|(_, fields)| fields.contains(path))?;
    key_of(*kind, value)
}

/// Calls `each` with the keys of addresses and hashes in a text of an event, and their kinds.
pub(crate) fn keys_in(text: &str, each: &mut dyn FnMut(&'static str, &str)) {
    let bytes = text.as_bytes();
    // Where the last four numbers with dots between them begin, how many there are, and where the last one ends.
    let (mut starts, mut numbers, mut end) = ([0; 4], 0, 0);
    let mut at = 0;
    while at < bytes.len() {
        if !is_of_word(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let (mut is_number, mut is_hex) = (true, true);
        while at < bytes.len() && is_of_word(bytes[at]) {
            is_number &= bytes[at].is_ascii_digit();
            is_hex &= bytes[at].is_ascii_hexdigit();
            at += 1;
        }
        if is_hex && HASH_DIGITS.contains(&(at - start)) {
            // Nearly all are written in lower case.
            let hash = &text[start..at];
            match hash.bytes().any(|byte| byte.is_ascii_uppercase()) {
                true => each(DIGEST, &hash.to_ascii_lowercase()),
                false => each(DIGEST, hash),
            }
        }
        if !is_number {
            numbers = 0;
            continue;
        }
        let goes_on = numbers > 0 && end + 1 == start && bytes[end] == b'.';
        numbers = if goes_on { numbers + 1 } else { 1 };
        starts = [starts[1], starts[2], starts[3], start];
        end = at;
        // An address has at most 15 bytes.
        if numbers >= 4 && end - starts[0] <= 15 {
            each(ADDRESS, &text[starts[0]..end]);
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns the keys under one of which a word stands that may be anywhere; nothing for one that is neither an address of version 4
/// nor a hash.
pub(crate) fn keys_of_word(word: &str) -> Option<[Key; 2]> {
    let folded = fold(word);
    let kinds = match word.parse() {
        Ok(IpAddr::V4(_)) => [ADDRESS, Kind::Ip.name()],
        _ if is_hash(&folded) => [DIGEST, Kind::Hash.name()],
        _ => return None,
    };
    Some(kinds.map(|kind| Key::new(kind, &folded)))
}

/// Says whether a text, with its case folded, is a hash as a whole.
pub(crate) fn is_hash(text: &str) -> bool {
    HASH_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the digits of a hardware address, however it is written.
fn digits_of(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    (digits.len() == 12).then_some(digits)
}

/// Returns a number as it is written where it is whole.
fn whole_number(text: &str) -> Option<String> {
    let number = yagura_rules::predicate::Number::parse(text.trim())?;
    number.as_i64().map(|whole| whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(kind: Kind, text: &str) -> Vec<String> {
        let mut keys = Vec::new();
        keys_of(kind, text, &mut |key| keys.push(key.to_owned()));
        keys
    }

    fn asked(kind: Kind, text: &str) -> Option<String> {
        key_of(kind, &TermValue::Text(text.to_owned())).map(|key| key.value)
    }

    #[test]
    fn a_value_has_the_key_of_each_term_that_finds_it() {
        for (kind, value, terms) in [
            (Kind::Ip, "192.0.2.1", vec!["192.0.2.1"]),
            (
                Kind::Ip,
                "2001:DB8::0:1",
                vec!["2001:db8::1", "2001:db8:0::1"],
            ),
            (Kind::Ip, "[2001:db8::1%eth0]", vec![]),
            (Kind::Ip, "::ffff:192.0.2.1", vec!["192.0.2.1"]),
            (Kind::Ip, "unknown", vec!["Unknown"]),
            (Kind::Domain, "A.example.", vec!["a.example", "A.EXAMPLE."]),
            (Kind::Host, "Web1.example", vec!["web1", "web1.example"]),
            (Kind::User, r"CORP\Kim", vec!["kim", r"corp\kim"]),
            (
                Kind::Process,
                r"C:\Windows\cmd.exe",
                vec!["CMD.exe", r"c:\windows\cmd.exe"],
            ),
            (Kind::File, r"/tmp/a\b", vec!["b"]),
            (
                Kind::Mac,
                "AA-BB-CC-00-11-22",
                vec!["aa:bb:cc:00:11:22", "aabb.cc00.1122"],
            ),
            (Kind::Port, "22.0", vec!["22", "0022"]),
            (Kind::Port, "ssh", vec!["SSH"]),
            (Kind::Email, "Kim@Example.org", vec!["kim@example.org"]),
        ] {
            let keys = keys(kind, value);
            for term in terms {
                let key = asked(kind, term).unwrap();
                assert!(
                    keys.contains(&key),
                    "{value} has {keys:?}, {term} asks {key}"
                );
            }
        }
        let hash = "0123456789abcdef".repeat(4);
        let of_sysmon = format!("MD5=00,SHA256={}", hash.to_uppercase());
        assert!(keys(Kind::Hash, &of_sysmon).contains(&asked(Kind::Hash, &hash).unwrap()));
        assert_eq!(asked(Kind::Hash, "abc"), None);
        assert_eq!(asked(Kind::Ip, "::ffff:192.0.2.1"), None);
        assert_eq!(
            key_of(Kind::Ip, &TermValue::Network("10.0.0.0/8".parse().unwrap())),
            None
        );
    }

    #[test]
    fn a_term_finds_the_value_that_it_is_itself() {
        let texts = [
            "a",
            "",
            "10.0.0.1",
            "::1",
            r"a\b\c",
            "a/b",
            "x.y.",
            "22",
            "2.5",
            "-0",
            "1e3",
            "é",
            "K",
            "{",
            "[a]",
            "aa:bb:cc:dd:ee:ff",
            &"é".repeat(200),
            &"0".repeat(64),
        ];
        for kind in Kind::ALL {
            for text in texts {
                if let Some(key) = asked(kind, text) {
                    let keys = keys(kind, text);
                    assert!(
                        keys.contains(&key),
                        "{} {text}: {key} {keys:?}",
                        kind.name()
                    );
                }
            }
        }
    }

    #[test]
    fn addresses_and_hashes_are_found_in_any_text() {
        let found = |text: &str| {
            let mut keys = Vec::new();
            keys_in(text, &mut |_, key| keys.push(key.to_owned()));
            keys
        };
        assert_eq!(
            found("from 192.0.2.1:443 to [198.51.100.7]"),
            ["192.0.2.1", "198.51.100.7"]
        );
        assert_eq!(found("1.2.3.4.5"), ["1.2.3.4", "2.3.4.5"]);
        assert_eq!(
            found("1.2.3 4.5 1..2.3.4 x1.2.3.4 1.2.3.4x 99999.1.2.3"),
            ["99999.1.2.3"]
        );
        assert_eq!(found("1.2.3.4"), ["1.2.3.4"]);
        assert_eq!(found(""), [""; 0]);
        let hash = "0123456789ABCDEF".repeat(2);
        assert_eq!(found(&format!("x={hash};")), [hash.to_lowercase()]);
        assert_eq!(found(&format!("x{hash}")), [""; 0]);
        let words =
            |word: &str| keys_of_word(word).map(|keys| keys.map(|key| (key.kind, key.value)));
        let both = |kinds: [&'static str; 2], value: &str| {
            Some(kinds.map(|kind| (kind, value.to_owned())))
        };
        assert_eq!(words(&hash), both([DIGEST, "hash"], &hash.to_lowercase()));
        assert_eq!(words("1.2.3.4"), both([ADDRESS, "ip"], "1.2.3.4"));
        assert!(
            ["1.2.3", "alice", "::1", "1.2.3.256"]
                .map(words)
                .iter()
                .all(Option::is_none)
        );
    }
}
