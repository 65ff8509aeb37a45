//! `base64_decode_text` and `hex_decode_text`.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::{Made, Prepared, Value, Wrong};

/// The maximum length of a text that is decoded, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Reads base 64 with or without padding, also where the last bits are not 0.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How bytes are text.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16Le,
}

impl Encoding {
    fn parse(settings: &[&str]) -> Result<Self, Wrong> {
        let Some(name) = settings.first() else {
            return Ok(Self::Utf8);
        };
        match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Self::Utf8),
            "utf-16le" | "utf16le" => Ok(Self::Utf16Le),
            _ => Err(format!(
                "'{name}' is not an encoding; write 'utf-8' or 'utf-16le'"
            )),
        }
    }

    fn text(self, bytes: Vec<u8>) -> Option<Value<'static>> {
        let text = match self {
            Self::Utf8 => String::from_utf8(bytes).ok()?,
            Self::Utf16Le => {
                let units = bytes.chunks_exact(2);
                if !units.remainder().is_empty() {
                    return None;
                }
                let units = units.map(|unit| match unit {
                    [low, high] => u16::from_le_bytes([*low, *high]),
                    _ => 0,
                });
                char::decode_utf16(units)
                    .collect::<Result<String, _>>()
                    .ok()?
            }
        };
        Some(Value::text(text))
    }
}

#[derive(Debug)]
struct Base64(Encoding);

/// Prepares `base64_decode_text(text [, encoding])`.
pub(crate) fn base64(settings: &[&str]) -> Made {
    Ok(Box::new(Base64(Encoding::parse(settings)?)))
}

impl Prepared for Base64 {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        if text.len() > MAX_BYTES {
            return None;
        }
        // The alphabet for URLs is read as the standard one; MIME breaks lines.
        let standard = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
        let standard = standard.map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        });
        let bytes = BASE64.decode(standard.collect::<Vec<u8>>()).ok()?;
        self.0.text(bytes)
    }
}

#[derive(Debug)]
struct Hex(Encoding);

/// Prepares `hex_decode_text(text [, encoding])`.
pub(crate) fn hex(settings: &[&str]) -> Made {
    Ok(Box::new(Hex(Encoding::parse(settings)?)))
}

impl Prepared for Hex {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let digits = digits.unwrap_or(text).chars();
        let digits = digits.filter(|c| !matches!(c, ' ' | ':' | '-'));
        let digits = digits.map(|c| u8::try_from(c.to_digit(16)?).ok());
        let digits = digits.collect::<Option<Vec<u8>>>()?;
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        let bytes = pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
        self.0.text(bytes.collect())
    }
}

#[derive(Debug)]
struct HexToInt;

/// Prepares `hex_to_int(text)`.
pub(crate) fn hex_to_int(_: &[&str]) -> Made {
    Ok(Box::new(HexToInt))
}

impl Prepared for HexToInt {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let digits = digits.unwrap_or(text);
        // The standard library would take a sign.
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = are_digits.then(|| i64::from_str_radix(digits, 16).ok())?;
        number.map(Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_a_number() {
        for (text, expected) in [
            ("0x3e7", Some(999)),
            (" FF ", Some(255)),
            ("0X0000000000000000000001", Some(1)),
            ("7fffffffffffffff", Some(i64::MAX)),
            ("8000000000000000", None),
            ("", None),
            ("0x", None),
            ("-1", None),
            ("+1", None),
            ("1g", None),
        ] {
            let found = hex_to_int(&[]).unwrap().value(text);
            assert_eq!(found, expected.map(Value::Number), "{text}");
        }
    }

    fn get(prepared: Made, text: &str) -> Option<String> {
        match prepared.unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn base_64_is_read_in_its_usual_forms() {
        for (text, expected) in [
            ("d2hvYW1p", Some("whoami")),
            ("d2hv\r\nYW1p", Some("whoami")),
            ("aGk=", Some("hi")),
            ("aGk", Some("hi")),
            ("Pz8_", Some("???")),
            ("Pz8/", Some("???")),
            ("", Some("")),
            ("aGk*", None),
            ("a", None),
            ("/w==", None),
        ] {
            assert_eq!(get(base64(&[]), text).as_deref(), expected, "{text}");
        }
        assert_eq!(
            get(base64(&["UTF-16LE"]), "aQBlAHgA").as_deref(),
            Some("iex")
        );
        assert_eq!(get(base64(&["utf-16le"]), "aQBl"), None);
        assert_eq!(get(base64(&[]), &"A".repeat(MAX_BYTES + 1)), None);
        assert!(
            base64(&["latin-1"])
                .unwrap_err()
                .contains("'latin-1' is not an encoding")
        );
    }

    #[test]
    fn hexadecimal_digits_are_read_in_pairs() {
        for (text, expected) in [
            ("77686f616d69", Some("whoami")),
            ("0x6869", Some("hi")),
            ("68 69", Some("hi")),
            ("68:69", Some("hi")),
            ("C3A4", Some("ä")),
            ("", Some("")),
            ("686", None),
            ("zz", None),
            ("ff", None),
        ] {
            assert_eq!(get(hex(&[]), text).as_deref(), expected, "{text}");
        }
        assert_eq!(get(hex(&["utf-16le"]), "6800 6900").as_deref(), Some("hi"));
    }
}
