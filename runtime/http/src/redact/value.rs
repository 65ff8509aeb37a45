//! A secret's value as it is looked for: which bytes of it count, and how much of it tells it.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Fewest bytes at the beginning or the end of a secret that tell it.
const SHORTEST_PART: usize = 8;

/// Fewest bytes of a secret that count: fewer could not be told from ordinary text in an answer.
pub(crate) const LEAST_COUNTING: usize = 6;

/// Says whether a byte counts neither in a secret nor in a text: it is put between the lines of a long text, stands for a blank, or
/// ends a line.
pub(crate) fn is_passed_over(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b | b'=' | b'+')
}

/// Returns the bytes of a text that count.
pub(super) fn counting(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().copied().any(is_passed_over) {
        return Cow::Borrowed(text);
    }
    let counting = text.iter().copied().filter(|byte| !is_passed_over(*byte));
    Cow::Owned(counting.collect())
}

/// A value of a secret. It has no `Debug`, which would print it.
pub(super) struct Value {
    /// Its place in the list of names.
    pub(super) name: usize,
    /// The bytes of it that count, in lower case.
    bytes: Vec<u8>,
    /// How many of them tell it, from the beginning and from the end.
    first: usize,
    last: usize,
    /// What does not count at its beginning and its end.
    lead: Vec<u8>,
    trail: Vec<u8>,
}

impl Value {
    pub(super) fn new(name: usize, value: &[u8]) -> Self {
        let bytes = counting(value).to_ascii_lowercase();
        let reversed: Vec<u8> = value.iter().rev().copied().collect();
        let part = |value: &[u8]| counting(&value[..telling_part(value)]).len().max(1);
        let not_counting = |bytes: &mut dyn Iterator<Item = u8>| -> Vec<u8> {
            bytes.take_while(|byte| is_passed_over(*byte)).collect()
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

    /// Says whether it has too few bytes that count to be told from ordinary text.
    pub(super) fn is_too_short(&self) -> bool {
        self.bytes.len() < LEAST_COUNTING
    }

    /// Returns what any text holds that holds a part of it which tells it.
    pub(super) fn marks(&self) -> Vec<&[u8]> {
        let mut marks = vec![&self.bytes[..self.first]];
        if self.first < self.bytes.len() || self.last < self.bytes.len() {
            marks.push(&self.bytes[self.bytes.len() - self.last..]);
        }
        marks
    }

    /// Finds all parts of it that tell it, in the bytes of a text that count: whole, from its beginning on, or up to its end.
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

    /// Returns a place with what belongs to the value around it and does not count.
    pub(super) fn widened(&self, text: &[u8], place: Range<usize>) -> Range<usize> {
        let has_lead = text[..place.start].ends_with(&self.lead);
        let has_trail = text[place.end..].starts_with(&self.trail);
        let start = if has_lead {
            place.start - self.lead.len()
        } else {
            place.start
        };
        let end = if has_trail {
            place.end + self.trail.len()
        } else {
            place.end
        };
        start..end
    }
}

/// Returns where at least `shortest` bytes of the beginning of `value` lie, by the algorithm of Knuth, Morris and Pratt: in a time that
/// grows with both lengths and no faster.
fn parts(value: &[u8], shortest: usize, text: impl Iterator<Item = u8>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // For each length of a beginning, the longest shorter one that it ends with.
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

/// Returns how many bytes of the beginning of a value tell it: eight that count, or up to half of the value where it begins as
/// many values and texts do, such as with `https://`, `github_pat_`, `-----BEGIN PRIVATE KEY-----` or a word.
fn telling_part(value: &[u8]) -> usize {
    let half = value.len().div_ceil(2);
    let head = common_head(value);
    // The place after so many bytes that count.
    let after = |start: usize| {
        let counting = (start..value.len()).filter(|at| !is_passed_over(value[*at]));
        let last = counting.take(SHORTEST_PART).last();
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

/// Says whether bytes may be words, such as the name of a server.
pub(super) fn are_words(bytes: &[u8]) -> bool {
    bytes.split(is_separator).all(is_word)
}

/// Says whether bytes may be a word: letters that are all small or all capital.
fn is_word(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_lowercase) || bytes.iter().all(u8::is_ascii_uppercase)
}

/// Returns what base64 makes of a value that follows `offset` other bytes, in both alphabets: only the characters that follow
/// from the value alone. Looked for beside what base64 hides, because letters whose case was changed cannot be decoded.
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
    fn as_much_of_a_value_as_tells_it() {
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
            let end = telling_part(value.as_bytes());
            assert_eq!(&value[..end], part, "{value}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSj\n-----END PRIVATE KEY-----";
        assert_eq!(
            &key[..telling_part(key.as_bytes())],
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIB"
        );
    }

    #[test]
    fn parts_are_found_with_all_that_follows_of_the_value() {
        let value = Value::new(0, b"K3y-value-0123456789");
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
        let value = Value::new(0, b"a1a1a1a1a1a1Z");
        assert_eq!(
            value.find(b"xa1a1a1a1a1a1a1a1Zx")[0],
            1..18,
            "each beginning of it in one piece"
        );
    }

    #[test]
    fn what_does_not_count_at_the_ends_is_taken_along() {
        let value = Value::new(0, b" abcd1234efgh==");
        let text = b"< abcd1234efgh==>";
        assert_eq!(value.widened(text, 2..14), 1..16);
        assert_eq!(value.widened(b"<abcd1234efgh>", 1..13), 1..13);
    }
}
