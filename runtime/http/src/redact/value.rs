//! A secret's value as it is searched for: which bytes of it count, and which parts of it identify the secret.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Minimum number of bytes at the beginning or the end of a secret that identify it.
const MIN_PART: usize = 8;

/// Minimum number of counting bytes in a secret: with fewer, ordinary text in an answer would match.
pub(crate) const MIN_COUNTING: usize = 6;

/// Returns whether a byte is ignored in secrets and in texts: encodings put such bytes between the lines of a long text, for a
/// space, or at the end of a line.
pub(crate) fn is_ignored(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b | b'=' | b'+')
}

/// Returns the bytes of a text that count.
pub(super) fn counting(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().copied().any(is_ignored) {
        return Cow::Borrowed(text);
    }
    let counting = text.iter().copied().filter(|byte| !is_ignored(*byte));
    Cow::Owned(counting.collect())
}

/// A value of a secret. It has no `Debug`, which would print it.
pub(super) struct SecretValue {
    /// Number of its name.
    pub(super) name: usize,
    /// The bytes of it that count, in lower case.
    bytes: Vec<u8>,
    /// How many of them identify it, from the beginning and from the end.
    first: usize,
    last: usize,
    /// The ignored bytes at its beginning and its end.
    lead: Vec<u8>,
    trail: Vec<u8>,
}

impl SecretValue {
    pub(super) fn new(name: usize, value: &[u8]) -> Self {
        let bytes = counting(value).to_ascii_lowercase();
        let reversed: Vec<u8> = value.iter().rev().copied().collect();
        let part = |value: &[u8]| counting(&value[..identifying_part(value)]).len().max(1);
        let not_counting = |bytes: &mut dyn Iterator<Item = u8>| -> Vec<u8> {
            bytes.take_while(|byte| is_ignored(*byte)).collect()
        };
        let lead = not_counting(&mut value.iter().copied());
        let mut trail = not_counting(&mut reversed.iter().copied());
        trail.reverse();
        Self {
            name,
            first: part(value).min(bytes.len()),
            last: part(&reversed).min(bytes.len()),
            bytes,
            lead,
            trail,
        }
    }

    /// Returns whether it has too few counting bytes to differ from ordinary text.
    pub(super) fn is_too_short(&self) -> bool {
        self.bytes.len() < MIN_COUNTING
    }

    /// Returns the shortest parts that identify it: every text with such a part contains one of these.
    pub(super) fn identifying_parts(&self) -> Vec<&[u8]> {
        let mut parts = vec![&self.bytes[..self.first]];
        if self.first < self.bytes.len() || self.last < self.bytes.len() {
            parts.push(&self.bytes[self.bytes.len() - self.last..]);
        }
        parts
    }

    /// Finds all parts that identify it in the counting bytes of a text: the whole value, its beginning, or its end.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let size = text.len();
        let mut found = parts(&self.bytes, self.first, text.iter().copied());
        let reversed: Vec<u8> = self.bytes.iter().rev().copied().collect();
        let backwards = parts(&reversed, self.last, text.iter().rev().copied());
        found.extend(
            backwards
                .into_iter()
                .map(|range| size - range.end..size - range.start),
        );
        found
    }

    /// Extends a range by the ignored bytes around it that belong to the value.
    pub(super) fn widened(&self, text: &[u8], range: Range<usize>) -> Range<usize> {
        let has_lead = text[..range.start].ends_with(&self.lead);
        let has_trail = text[range.end..].starts_with(&self.trail);
        let start = if has_lead {
            range.start - self.lead.len()
        } else {
            range.start
        };
        let end = if has_trail {
            range.end + self.trail.len()
        } else {
            range.end
        };
        start..end
    }
}

/// Returns the ranges where at least the first `shortest` bytes of `value` stand, by the algorithm of Knuth, Morris and Pratt: in
/// linear time.
fn parts(value: &[u8], shortest: usize, text: impl Iterator<Item = u8>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // For each prefix, the length of the longest shorter prefix that it ends with.
    let mut shorter = vec![0_usize; value.len() + 1];
    let next = |shorter: &[usize], mut length: usize, byte: u8| {
        loop {
            if value.get(length) == Some(&byte) {
                return length + 1;
            }
            if length == 0 {
                return 0;
            }
            length = shorter[length];
        }
    };
    for end in 1..value.len() {
        shorter[end + 1] = next(&shorter, shorter[end], value[end]);
    }
    let mut length = 0;
    for (at, byte) in text.enumerate() {
        length = next(&shorter, length, byte.to_ascii_lowercase());
        if length < shortest || length == 0 {
            continue;
        }
        let range = at + 1 - length..at + 1;
        match found.last_mut() {
            Some(last) if range.start < last.end => last.end = range.end,
            _ => found.push(range),
        }
    }
    found
}

/// Returns how many bytes at the beginning of a value identify it: eight counting bytes, or up to half of the value if it begins
/// like many values and texts, such as with `https://`, `github_pat_`, `-----BEGIN PRIVATE KEY-----` or a word.
fn identifying_part(value: &[u8]) -> usize {
    let half = value.len().div_ceil(2);
    let head = common_head(value);
    // The end of the next `MIN_PART` counting bytes.
    let after = |start: usize| {
        let counting = (start..value.len()).filter(|at| !is_ignored(value[*at]));
        let last = counting.take(MIN_PART).last();
        last.map_or(value.len(), |last| last + 1)
    };
    let mut end = after(head.min(half));
    while end < half && is_word(&value[head..end]) {
        end += 1;
    }
    end.min(half).max(after(0))
}

/// Returns the length of the words with separators after them that a value begins with.
fn common_head(value: &[u8]) -> usize {
    let mut head = 0;
    loop {
        let rest = &value[head..];
        let word = rest.iter().take_while(|byte| !is_separator(byte)).count();
        let after = &rest[word..];
        let separators = after.iter().take_while(|byte| is_separator(byte)).count();
        if separators == 0 || !is_word(&rest[..word]) {
            return head;
        }
        head += word + separators;
    }
}

fn is_separator(byte: &u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

/// Returns whether bytes may be words, such as the name of a server.
pub(super) fn are_words(bytes: &[u8]) -> bool {
    bytes.split(is_separator).all(is_word)
}

/// Returns whether bytes may be a word: letters that are all lower or all upper case.
fn is_word(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_lowercase) || bytes.iter().all(u8::is_ascii_uppercase)
}

/// Returns the base64 text of a value after `offset` other bytes, in both alphabets, without the characters that depend on those.
/// It is searched for in addition to decoding, because base64 in another letter case cannot be decoded.
pub(super) fn base64_inside(value: &[u8], offset: usize) -> [Vec<u8>; 2] {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(value);
    let first = (8 * offset).div_ceil(6);
    let last = 8 * bytes.len() / 6;
    [
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ]
    .map(|text| text.as_bytes()[first.min(last)..last].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_identifies_a_value() {
        for (value, part) in [
            ("k3yk3y", "k3yk3y"),
            ("0123456789abcdef0123456789abcdef", "01234567"),
            (
                "https://hooks.example/T01/B02/x9y8z7w6v5u4t3s2",
                "https://hooks.example/T",
            ),
            (
                "github_pat_11ABCDEFG0aBcDeFgHiJkLmNoPqRsT",
                "github_pat_11ABCDEF",
            ),
            ("another-secret-of-the-operator", "another-secret-"),
            ("changeme1234", "changeme"),
            ("changemechangeme1234", "changemech"),
        ] {
            let end = identifying_part(value.as_bytes());
            assert_eq!(&value[..end], part, "{value}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSj\n-----END PRIVATE KEY-----";
        assert_eq!(
            &key[..identifying_part(key.as_bytes())],
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIB"
        );
    }

    #[test]
    fn parts_are_found_with_all_that_follows_of_the_value() {
        let value = SecretValue::new(0, b"K3y-value-0123456789");
        let find = |text: &str| {
            let found = value.find(text.as_bytes()).into_iter();
            let mut found: Vec<String> = found.map(|range| text[range].to_owned()).collect();
            found.dedup();
            found
        };
        assert_eq!(find("<K3Y-VALUE-0123>"), ["K3Y-VALUE-0123"]);
        assert_eq!(find("<lue-0123456789>"), ["lue-0123456789"]);
        assert_eq!(find("<k3y-val> <k3y-valu>"), ["k3y-valu"]);
        assert_eq!(find("k3y-k3y-value-0123456789"), ["k3y-value-0123456789"]);
        assert_eq!(find("<k3y-va> <456789>"), [""; 0]);
        // One that repeats itself.
        let value = SecretValue::new(0, b"a1a1a1a1a1a1Z");
        assert_eq!(
            value.find(b"xa1a1a1a1a1a1a1a1Zx")[0],
            1..18,
            "each beginning of it in one piece"
        );
    }

    #[test]
    fn ignored_bytes_at_the_ends_belong_to_the_match() {
        let value = SecretValue::new(0, b" abcd1234efgh==");
        let text = b"< abcd1234efgh==>";
        assert_eq!(value.widened(text, 2..14), 1..16);
        assert_eq!(value.widened(b"<abcd1234efgh>", 1..13), 1..13);
    }
}
