//! Decodes escapes of single characters: percent, backslash, HTML entities, quoted-printable and form data.

use std::ops::Range;

/// Maximum size of line breaks that are skipped within an escape, in bytes.
const MAX_BREAK: usize = 16;

/// Maximum length of the name of an entity, in bytes.
const MAX_NAME: usize = 8;

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

impl Escapes {
    /// Emits each decoded byte with its range in the text, and returns whether anything was encoded.
    pub(super) fn run(self, text: &[u8], mut emit: impl FnMut(u8, Range<usize>)) -> bool {
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
