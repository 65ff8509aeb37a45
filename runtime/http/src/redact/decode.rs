//! Undoes the encodings in which a server may repeat a secret, over a whole text at once and in one pass.

use std::ops::Range;

/// Fewest characters in a row that are taken for base64: no secret fits into fewer.
const SHORTEST_BASE64: usize = 8;

/// Fewest digits in a row that are taken for hexadecimal.
const SHORTEST_HEX: usize = 12;

/// Most bytes of line breaks that are passed over in an escape.
const LONGEST_BREAK: usize = 16;

/// Longest name of an entity, in bytes.
const LONGEST_NAME: usize = 8;

/// Undoes one kind of encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Escapes of single characters.
    Escapes(Escapes),
    /// Base64 in both alphabets, from the so-many-th character of each run on: a run may begin before the secret does.
    Base64(usize),
    /// Hexadecimal, from the so-many-th digit of each run on.
    Hex(usize),
}

/// Kinds of escapes that are undone together.
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
    /// `+` for a blank; only together with others.
    pub(super) plus: bool,
}

/// What an escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Nothing,
    Byte(u8),
    Char(char),
}

impl Decoder {
    /// Returns the text without the encoding; nothing where nothing in it is encoded so.
    pub(super) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        self.run(text, |byte, _| decoded.push(byte))
            .then_some(decoded)
    }

    /// Returns where in the text each range of what [`Decoder::decode`] returns comes from; none of them is empty.
    pub(super) fn places(
        self,
        text: &[u8],
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        self.run(text, |_, place| places.push(place));
        let place = |range: Range<usize>| {
            let first = places.get(range.start)?;
            let last = places.get(range.end.checked_sub(1)?)?;
            Some(first.start..last.end)
        };
        ranges.filter_map(place).collect()
    }

    /// Hands out each byte with its place in the text, and says whether anything was encoded.
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
            let mut inside = Inside { text, at: at + 1 };
            let unit = match is_escape(*byte) {
                true => inside.escape(*byte),
                false => None,
            };
            let Some(unit) = unit else {
                emit(*byte, at..at + 1);
                at += 1;
                continue;
            };
            is_any |= *byte != b'+';
            let place = at..inside.at;
            at = inside.at;
            match unit {
                Unit::Nothing => {}
                Unit::Byte(byte) => emit(byte, place),
                Unit::Char(c) => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        emit(byte, place.clone());
                    }
                }
            }
        }
        is_any
    }
}

/// Reads on in an escape, over line breaks that stand in it.
#[derive(Clone)]
struct Inside<'a> {
    text: &'a [u8],
    at: usize,
}

impl Inside<'_> {
    /// Reads what follows the first byte of an escape; where it is none, nothing counts as read.
    fn escape(&mut self, first: u8) -> Option<Unit> {
        match first {
            b'%' => self.percent(),
            b'\\' => self.backslash(),
            b'&' => self.entity(),
            b'+' => Some(Unit::Byte(b' ')),
            _ => self.quoted(),
        }
    }

    fn next(&mut self) -> Option<u8> {
        let mut is_broken = false;
        let end = self.at.saturating_add(LONGEST_BREAK);
        while self.at < end {
            match self.text.get(self.at)? {
                b'\r' | b'\n' => is_broken = true,
                // Text of two bytes a character.
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

    /// Reads digits, at least one and at most so many.
    fn digits(&mut self, radix: u32, most: usize) -> Option<(u32, usize)> {
        let mut number = 0_u32;
        let mut count = 0;
        while count < most {
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

    /// Reads exactly so many hexadecimal digits.
    fn hex(&mut self, count: usize) -> Option<u32> {
        let (number, read) = self.digits(16, count)?;
        (read == count).then_some(number)
    }

    fn byte(&mut self) -> Option<Unit> {
        let byte = self.hex(2)?;
        Some(Unit::Byte(u8::try_from(byte).ok()?))
    }

    /// Reads four digits of UTF-16, and those of the other half where they are one half of a pair.
    fn utf16(&mut self, escape: u8) -> Option<Unit> {
        let first = self.hex(4)?;
        if let Some(c) = char::from_u32(first) {
            return Some(Unit::Char(c));
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
            return Some(Unit::Char(c));
        }
        Some(Unit::Nothing)
    }

    fn percent(&mut self) -> Option<Unit> {
        match self.skip(b'u') {
            true => self.utf16(b'%'),
            false => self.byte(),
        }
    }

    fn backslash(&mut self) -> Option<Unit> {
        let before = self.clone();
        match self.next()? {
            letter @ (b'u' | b'U') => {
                if self.skip(b'{') {
                    let (number, _) = self.digits(16, 8)?;
                    return match self.skip(b'}') {
                        true => char::from_u32(number).map(Unit::Char),
                        false => None,
                    };
                }
                let mut long = self.clone();
                if letter == b'U'
                    && let Some(c) = long.hex(8).and_then(char::from_u32)
                {
                    *self = long;
                    return Some(Unit::Char(c));
                }
                self.utf16(b'\\')
            }
            b'x' | b'X' => self.byte(),
            b'0'..=b'7' => {
                *self = before;
                let (number, _) = self.digits(8, 3)?;
                u8::try_from(number).ok().map(Unit::Byte)
            }
            b'n' | b'N' => Some(Unit::Byte(b'\n')),
            b'r' | b'R' => Some(Unit::Byte(b'\r')),
            b't' | b'T' => Some(Unit::Byte(b'\t')),
            b'b' | b'B' => Some(Unit::Byte(0x08)),
            b'f' | b'F' => Some(Unit::Byte(0x0c)),
            b'v' | b'V' => Some(Unit::Byte(0x0b)),
            byte @ (b'/' | b'\\' | b'"' | b'\'') => Some(Unit::Byte(byte)),
            _ => None,
        }
    }

    fn entity(&mut self) -> Option<Unit> {
        if self.skip(b'#') {
            let (number, _) = match self.skip(b'x') {
                true => self.digits(16, 8)?,
                false => self.digits(10, 8)?,
            };
            let _ = self.skip(b';');
            return char::from_u32(number).map(Unit::Char);
        }
        let mut name = [0; LONGEST_NAME];
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
        found.map(|(_, c)| Unit::Char(*c))
    }

    fn quoted(&mut self) -> Option<Unit> {
        // Blanks at the end of a line may have come on the way.
        let rest = self.text.get(self.at..)?;
        let blanks = rest
            .iter()
            .take(LONGEST_BREAK)
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        for line_break in [&b"\r\n"[..], b"\n", b"\r"] {
            if rest[blanks..].starts_with(line_break) {
                self.at += blanks + line_break.len();
                return Some(Unit::Nothing);
            }
        }
        self.byte()
    }
}

/// Says whether a byte may stand between the characters of one encoded text.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}

/// Hands each run of characters out that has at least so many of them.
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
    runs(text, SHORTEST_BASE64, is_part, is_between, |run| {
        let (mut bits, mut held, mut from) = (0, 0_u32, run.start);
        let chars = run.filter_map(|at| Some((at, value(*text.get(at)?)?)));
        for (at, value) in chars.skip(skipped) {
            if bits == 0 {
                from = at;
            }
            held = ((held << 6) | value) & 0xffff;
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                emit((held >> bits).to_le_bytes()[0], from..at + 1);
                from = at;
            }
        }
    })
}

fn hex(text: &[u8], skipped: usize, mut emit: impl FnMut(u8, Range<usize>)) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit();
    let is_between = |byte| is_between(byte) || matches!(byte, b':' | b'-' | b',');
    runs(text, SHORTEST_HEX, is_part, is_between, |run| {
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
    ("severe", '`'),
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
    fn escapes_of_each_kind_are_undone_and_others_stay() {
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
    fn runs_are_decoded_from_where_they_are_asked_to() {
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
    fn each_byte_has_its_place() {
        let place = |decoder: Decoder, text: &str, range: Range<usize>| {
            let places = decoder.places(text.as_bytes(), std::iter::once(range));
            text[places[0].clone()].to_owned()
        };
        // `cret` of `secret value`.
        assert_eq!(
            place(Decoder::Base64(0), "<c2Vj\ncmV0IHZhbHVl>", 2..6),
            "Vj\ncmV0"
        );
        assert_eq!(place(Decoder::Hex(0), "73:65:63:72:65:74", 1..3), "65:63");
        let percent = Escapes {
            percent: true,
            ..Escapes::default()
        };
        assert_eq!(place(Decoder::Escapes(percent), "a%42c", 1..2), "%42");
        assert!(
            Decoder::Hex(0)
                .places(b"736563726574", std::iter::once(5..9))
                .is_empty()
        );
    }
}
