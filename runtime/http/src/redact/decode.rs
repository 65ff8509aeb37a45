//! Decodes the encodings in which a server may return a secret, over a whole text in one pass.
//!
//! The decoders are written here, because they map each decoded byte to its range in the text and read over line breaks within an
//! escape; the crates for single encodings do neither.

use std::ops::Range;

use super::escapes::Escapes;

/// Minimum run of characters that counts as base64: no secret fits into fewer.
const MIN_BASE64: usize = 8;

/// Minimum run of digits that counts as hexadecimal.
const MIN_HEX: usize = 12;

/// Decodes one kind of encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncodingDecoder {
    /// Escapes of single characters.
    Escapes(Escapes),
    /// Base64 in both alphabets, without the first characters of each run: a run may begin before the secret.
    Base64(usize),
    /// Hexadecimal, without the first digits of each run.
    Hex(usize),
}

impl EncodingDecoder {
    /// Returns the decoded text; `None` if nothing in the text has this encoding.
    pub(super) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        self.run(text, |byte, _| decoded.push(byte))
            .then_some(decoded)
    }

    /// Returns the range in the text that each range of the decoded text comes from. Ranges must not be empty.
    pub(super) fn ranges(
        self,
        text: &[u8],
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> Vec<Range<usize>> {
        let mut sources: Vec<Range<usize>> = Vec::new();
        self.run(text, |_, source| sources.push(source));
        let source = |range: Range<usize>| {
            let first = sources.get(range.start)?;
            let last = sources.get(range.end.checked_sub(1)?)?;
            Some(first.start..last.end)
        };
        ranges.filter_map(source).collect()
    }

    /// Emits each decoded byte with its range in the text, and returns whether anything was encoded.
    fn run(self, text: &[u8], emit: impl FnMut(u8, Range<usize>)) -> bool {
        match self {
            Self::Escapes(escapes) => escapes.run(text, emit),
            Self::Base64(skipped) => base64(text, skipped, emit),
            Self::Hex(skipped) => hex(text, skipped, emit),
        }
    }
}

/// Returns whether a byte may stand between the characters of one encoded text.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}

/// Calls `each` with every run of at least `shortest` characters, and returns whether there was one.
fn runs(
    text: &[u8],
    shortest: usize,
    is_part: impl Fn(u8) -> bool,
    is_between: impl Fn(u8) -> bool,
    mut each: impl FnMut(Range<usize>),
) -> bool {
    let mut is_any = false;
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let mut count = 0;
        while let Some(byte) = text.get(at) {
            if is_part(*byte) {
                count += 1;
            } else if count == 0 || !is_between(*byte) {
                break;
            }
            at += 1;
        }
        if count >= shortest {
            is_any = true;
            each(start..at);
        }
        at = at.max(start + 1);
    }
    is_any
}

fn base64(text: &[u8], skipped: usize, mut emit: impl FnMut(u8, Range<usize>)) -> bool {
    let value = |byte: u8| -> Option<u32> {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        Some(value.into())
    };
    let is_part = |byte| value(byte).is_some();
    runs(text, MIN_BASE64, is_part, is_between, |run| {
        let (mut bits, mut buffer, mut from) = (0, 0_u32, run.start);
        let chars = run.filter_map(|at| Some((at, value(*text.get(at)?)?)));
        for (at, value) in chars.skip(skipped) {
            if bits == 0 {
                from = at;
            }
            buffer = ((buffer << 6) | value) & 0xffff;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                emit((buffer >> bits).to_le_bytes()[0], from..at + 1);
                from = at;
            }
        }
    })
}

fn hex(text: &[u8], skipped: usize, mut emit: impl FnMut(u8, Range<usize>)) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit();
    let is_between = |byte| is_between(byte) || matches!(byte, b':' | b'-' | b',');
    runs(text, MIN_HEX, is_part, is_between, |run| {
        let mut first: Option<(usize, u32)> = None;
        let digits = run.filter_map(|at| Some((at, char::from(*text.get(at)?).to_digit(16)?)));
        for (at, digit) in digits.skip(skipped) {
            match first.take() {
                None => first = Some((at, digit)),
                Some((from, high)) => emit(((high << 4) | digit).to_le_bytes()[0], from..at + 1),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escapes(text: &str) -> Option<String> {
        let all = Escapes {
            percent: true,
            backslash: true,
            entity: true,
            quoted: true,
            plus: false,
        };
        let decoded = EncodingDecoder::Escapes(all).decode(text.as_bytes());
        decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn escapes_of_each_kind_are_decoded_and_others_stay() {
        for (text, decoded) in [
            ("a%41%c3%A9%u00e9", "aAéé"),
            (r"\u0041\U0041\U00000041\u{e9}\x41\101", "AAAéAA"),
            (r"\ud83d\udc4d \ud83d!", "👍 !"),
            (r#"\n\/\\\"\q"#, "\n/\\\"\\q"),
            ("&lt;&#65;&#x41;&AMP;&Eacute;&lowbar;&nope;", "<AA&é_&nope;"),
            ("a=\r\nb=41=\nc= \n=c3=a9", "abAcé"),
            ("%4\r\n 1\\u00\n41&l\nt;", "AA<"),
        ] {
            assert_eq!(escapes(text).as_deref(), Some(decoded), "{text}");
        }
        for text in ["", "plain", "100% & more = \\", "&;&#;%zz=zz\\"] {
            assert_eq!(escapes(text), None, "{text}");
        }
    }

    #[test]
    fn runs_are_decoded_without_their_first_characters() {
        let decoded = |decoder: EncodingDecoder, text: &str| {
            let decoded = decoder.decode(text.as_bytes());
            decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        assert_eq!(
            decoded(EncodingDecoder::Base64(0), "c2Vj\r\ncmV0IHZhbHVl==").unwrap(),
            "secret value"
        );
        assert_eq!(
            decoded(EncodingDecoder::Base64(2), "xxc2VjcmV0").unwrap(),
            "secret"
        );
        assert_eq!(
            decoded(EncodingDecoder::Base64(0), "short, are, these"),
            None
        );
        assert_eq!(
            decoded(EncodingDecoder::Hex(1), "0:736563726574").unwrap(),
            "secret"
        );
        assert_eq!(
            decoded(EncodingDecoder::Hex(0), "73:65:63:72:65:74").unwrap(),
            "secret"
        );
    }

    #[test]
    fn each_byte_has_its_range_in_the_text() {
        let source = |decoder: EncodingDecoder, text: &str, range: Range<usize>| {
            let ranges = decoder.ranges(text.as_bytes(), std::iter::once(range));
            text[ranges[0].clone()].to_owned()
        };
        // `cret` of `secret value`.
        assert_eq!(
            source(EncodingDecoder::Base64(0), "<c2Vj\ncmV0IHZhbHVl>", 2..6),
            "Vj\ncmV0"
        );
        assert_eq!(
            source(EncodingDecoder::Hex(0), "73:65:63:72:65:74", 1..3),
            "65:63"
        );
        let percent = Escapes {
            percent: true,
            ..Escapes::default()
        };
        assert_eq!(
            source(EncodingDecoder::Escapes(percent), "a%42c", 1..2),
            "%42"
        );
        assert!(
            EncodingDecoder::Hex(0)
                .ranges(b"736563726574", std::iter::once(5..9))
                .is_empty()
        );
    }
}
