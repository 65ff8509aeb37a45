//! Decodes the encodings in which a server may return a secret, over a whole text in one pass.
//!
//! The decoders are written here, because they map each decoded byte to its range in the text and read over line breaks within an
//! escape; the crates for single encodings do neither.

use std::ops::Range;

/// Minimum run of characters that counts as base64: no secret fits into fewer.
const MIN_BASE64: usize = 8;

/// Minimum run of digits that counts as hexadecimal.
const MIN_HEX: usize = 12;

/// Maximum size of line breaks that are skipped within an escape, in bytes.
const MAX_BREAK: usize = 16;

/// Maximum length of the name of an entity, in bytes.
const MAX_NAME: usize = 8;

/// Decodes one kind of encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Escapes of single characters.
    Escapes(Escapes),
    /// Base64 in both alphabets, without the first characters of each run: a run may begin before the secret.
    Base64(usize),
    /// Hexadecimal, without the first digits of each run.
    Hex(usize),
}

/// Kinds of escapes that are decoded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Escapes {
    /// `%41` and `%u0041`.
    pub(super) percent: bool,
    /// `\u0041`, `\x41`, `\101`, `\n`, `\/`.
    pub(super) backslash: bool,
    /// `&#65;`, `&#x41;`, `&amp;`.
    pub(super) entity: bool,
    /// `=41`, and `=` at the end of a line.
    pub(super) quoted: bool,
    /// `+` for a space; only together with others.
    pub(super) plus: bool,
}

/// The character or byte that an escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escaped {
    Nothing,
    Byte(u8),
    Char(char),
}

impl Decoder {
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

impl Escapes {
    fn run(self, text: &[u8], mut emit: impl FnMut(u8, Range<usize>)) -> bool {
        let is_escape = |byte: u8| match byte {
            b'%' => self.percent,
            b'\\' => self.backslash,
            b'&' => self.entity,
            b'=' => self.quoted,
            b'+' => self.plus,
            _ => false,
        };
        let has_plus = !self.plus || text.contains(&b'+');
        if !has_plus || !text.iter().any(|byte| is_escape(*byte) && *byte != b'+') {
            return false;
        }
        let mut is_any = false;
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            let mut reader = EscapeReader { text, at: at + 1 };
            let escaped = match is_escape(*byte) {
                true => reader.escape(*byte),
                false => None,
            };
            let Some(escaped) = escaped else {
                emit(*byte, at..at + 1);
                at += 1;
                continue;
            };
            is_any |= *byte != b'+';
            let source = at..reader.at;
            at = reader.at;
            match escaped {
                Escaped::Nothing => {}
                Escaped::Byte(byte) => emit(byte, source),
                Escaped::Char(c) => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        emit(byte, source.clone());
                    }
                }
            }
        }
        is_any
    }
}

/// Reads an escape, and skips line breaks within it.
#[derive(Clone)]
struct EscapeReader<'a> {
    text: &'a [u8],
    at: usize,
}

impl EscapeReader<'_> {
    /// Reads what follows the first byte of an escape; `None` if it is not an escape.
    fn escape(&mut self, first: u8) -> Option<Escaped> {
        match first {
            b'%' => self.percent(),
            b'\\' => self.backslash(),
            b'&' => self.entity(),
            b'+' => Some(Escaped::Byte(b' ')),
            _ => self.quoted(),
        }
    }

    fn next(&mut self) -> Option<u8> {
        let mut is_broken = false;
        let end = self.at.saturating_add(MAX_BREAK);
        while self.at < end {
            match self.text.get(self.at)? {
                b'\r' | b'\n' => is_broken = true,
                // UTF-16 text.
                0 => {}
                b' ' | b'\t' if is_broken => {}
                _ => break,
            }
            self.at += 1;
        }
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Reads a byte if it is this one, in any case.
    fn skip(&mut self, wanted: u8) -> bool {
        let mut ahead = self.clone();
        let is_next = ahead
            .next()
            .is_some_and(|byte| byte.eq_ignore_ascii_case(&wanted));
        if is_next {
            *self = ahead;
        }
        is_next
    }

    /// Reads at least one digit and at most `max`; returns their number and how many there were.
    fn digits(&mut self, radix: u32, max: usize) -> Option<(u32, usize)> {
        let mut number = 0_u32;
        let mut count = 0;
        while count < max {
            let mut ahead = self.clone();
            let digit = ahead
                .next()
                .and_then(|byte| char::from(byte).to_digit(radix));
            let Some(digit) = digit else { break };
            number = number.checked_mul(radix)?.checked_add(digit)?;
            count += 1;
            *self = ahead;
        }
        (count > 0).then_some((number, count))
    }

    /// Reads exactly `count` hexadecimal digits.
    fn hex(&mut self, count: usize) -> Option<u32> {
        let (number, read) = self.digits(16, count)?;
        (read == count).then_some(number)
    }

    fn byte(&mut self) -> Option<Escaped> {
        let byte = self.hex(2)?;
        Some(Escaped::Byte(u8::try_from(byte).ok()?))
    }

    /// Reads four digits of UTF-16, and the second half of a surrogate pair.
    fn utf16(&mut self, escape: u8) -> Option<Escaped> {
        let first = self.hex(4)?;
        if let Some(c) = char::from_u32(first) {
            return Some(Escaped::Char(c));
        }
        let mut ahead = self.clone();
        if ahead.skip(escape)
            && ahead.skip(b'u')
            && let Some(second) = ahead.hex(4)
            && let Some(low) = second.checked_sub(0xdc00)
            && let Some(high) = first.checked_sub(0xd800)
            && let Some(c) = char::from_u32(0x10000 + (high << 10) + low)
        {
            *self = ahead;
            return Some(Escaped::Char(c));
        }
        Some(Escaped::Nothing)
    }

    fn percent(&mut self) -> Option<Escaped> {
        match self.skip(b'u') {
            true => self.utf16(b'%'),
            false => self.byte(),
        }
    }

    fn backslash(&mut self) -> Option<Escaped> {
        let before = self.clone();
        match self.next()? {
            letter @ (b'u' | b'U') => {
                if self.skip(b'{') {
                    let (number, _) = self.digits(16, 8)?;
                    return match self.skip(b'}') {
                        true => char::from_u32(number).map(Escaped::Char),
                        false => None,
                    };
                }
                let mut long = self.clone();
                if letter == b'U'
                    && let Some(c) = long.hex(8).and_then(char::from_u32)
                {
                    *self = long;
                    return Some(Escaped::Char(c));
                }
                self.utf16(b'\\')
            }
            b'x' | b'X' => self.byte(),
            b'0'..=b'7' => {
                *self = before;
                let (number, _) = self.digits(8, 3)?;
                u8::try_from(number).ok().map(Escaped::Byte)
            }
            b'n' | b'N' => Some(Escaped::Byte(b'\n')),
            b'r' | b'R' => Some(Escaped::Byte(b'\r')),
            b't' | b'T' => Some(Escaped::Byte(b'\t')),
            b'b' | b'B' => Some(Escaped::Byte(0x08)),
            b'f' | b'F' => Some(Escaped::Byte(0x0c)),
            b'v' | b'V' => Some(Escaped::Byte(0x0b)),
            byte @ (b'/' | b'\\' | b'"' | b'\'') => Some(Escaped::Byte(byte)),
            _ => None,
        }
    }

    fn entity(&mut self) -> Option<Escaped> {
        if self.skip(b'#') {
            let (number, _) = match self.skip(b'x') {
                true => self.digits(16, 8)?,
                false => self.digits(10, 8)?,
            };
            let _ = self.skip(b';');
            return char::from_u32(number).map(Escaped::Char);
        }
        let mut name = [0; MAX_NAME];
        let mut length = 0;
        loop {
            match self.next()? {
                b';' => break,
                byte if byte.is_ascii_alphanumeric() => {
                    *name.get_mut(length)? = byte.to_ascii_lowercase();
                    length += 1;
                }
                _ => return None,
            }
        }
        let name = std::str::from_utf8(&name[..length]).ok()?;
        let found = ENTITIES.iter().find(|(known, _)| *known == name);
        found.map(|(_, c)| Escaped::Char(*c))
    }

    fn quoted(&mut self) -> Option<Escaped> {
        // A mail server may have added spaces at the end of a line.
        let rest = self.text.get(self.at..)?;
        let spaces = rest
            .iter()
            .take(MAX_BREAK)
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        for line_break in [&b"\r\n"[..], b"\n", b"\r"] {
            if rest[spaces..].starts_with(line_break) {
                self.at += spaces + line_break.len();
                return Some(Escaped::Nothing);
            }
        }
        self.byte()
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

/// Entities of HTML by name, in lower case: the punctuation of ASCII, and the letters of Latin-1.
const ENTITIES: [(&str, char); 83] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("tab", '\t'),
    ("newline", '\n'),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("hat", '^'),
    ("lowbar", '_'),
    ("underbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
    ("pound", '£'),
    ("yen", '¥'),
    ("sect", '§'),
    ("euro", '€'),
    ("copy", '©'),
    ("reg", '®'),
    ("deg", '°'),
    ("micro", 'µ'),
    ("para", '¶'),
    ("middot", '·'),
    ("iexcl", '¡'),
    ("iquest", '¿'),
    ("szlig", 'ß'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("atilde", 'ã'),
    ("auml", 'ä'),
    ("aring", 'å'),
    ("aelig", 'æ'),
    ("ccedil", 'ç'),
    ("egrave", 'è'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("igrave", 'ì'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("eth", 'ð'),
    ("ntilde", 'ñ'),
    ("ograve", 'ò'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("otilde", 'õ'),
    ("ouml", 'ö'),
    ("oslash", 'ø'),
    ("ugrave", 'ù'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("uuml", 'ü'),
    ("yacute", 'ý'),
    ("thorn", 'þ'),
];

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
        let decoded = Decoder::Escapes(all).decode(text.as_bytes());
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
        let decoded = |decoder: Decoder, text: &str| {
            let decoded = decoder.decode(text.as_bytes());
            decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        assert_eq!(
            decoded(Decoder::Base64(0), "c2Vj\r\ncmV0IHZhbHVl==").unwrap(),
            "secret value"
        );
        assert_eq!(decoded(Decoder::Base64(2), "xxc2VjcmV0").unwrap(), "secret");
        assert_eq!(decoded(Decoder::Base64(0), "short, are, these"), None);
        assert_eq!(
            decoded(Decoder::Hex(1), "0:736563726574").unwrap(),
            "secret"
        );
        assert_eq!(
            decoded(Decoder::Hex(0), "73:65:63:72:65:74").unwrap(),
            "secret"
        );
    }

    #[test]
    fn each_byte_has_its_range_in_the_text() {
        let source = |decoder: Decoder, text: &str, range: Range<usize>| {
            let ranges = decoder.ranges(text.as_bytes(), std::iter::once(range));
            text[ranges[0].clone()].to_owned()
        };
        // `cret` of `secret value`.
        assert_eq!(
            source(Decoder::Base64(0), "<c2Vj\ncmV0IHZhbHVl>", 2..6),
            "Vj\ncmV0"
        );
        assert_eq!(source(Decoder::Hex(0), "73:65:63:72:65:74", 1..3), "65:63");
        let percent = Escapes {
            percent: true,
            ..Escapes::default()
        };
        assert_eq!(source(Decoder::Escapes(percent), "a%42c", 1..2), "%42");
        assert!(
            Decoder::Hex(0)
                .ranges(b"736563726574", std::iter::once(5..9))
                .is_empty()
        );
    }
}
