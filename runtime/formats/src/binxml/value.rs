//! Values of binary XML, as Windows writes them.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate};

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u8);

/// Set for arrays.
const ARRAY: u8 = 0x80;
const STRING: u8 = 0x01;
const ANSI_STRING: u8 = 0x02;

impl Kind {
    pub(super) const NULL: Self = Self(0);
    pub(super) const BINARY_XML: Self = Self(0x21);

    pub(super) fn new(byte: u8) -> Self {
        Self(byte)
    }

    pub(super) fn is_array(self) -> bool {
        self.0 & ARRAY != 0
    }

    /// Returns the values of an array, or the one value.
    pub(super) fn items(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let item = self.0 & !ARRAY;
        let size = match item {
            _ if !self.is_array() => bytes.len(),
            0x03 | 0x04 => 1,
            0x05 | 0x06 => 2,
            0x07 | 0x08 | 0x0b | 0x0d | 0x14 => 4,
            0x09 | 0x0a | 0x0c | 0x11 | 0x15 => 8,
            0x0f | 0x12 => 16,
            _ => bytes.len(),
        };
        let is_text = self.is_array() && [STRING, ANSI_STRING].contains(&item);
        let width = if item == STRING { 2 } else { 1 };
        let mut rest = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = match is_text {
                true => {
                    let mut letters = rest.chunks(width);
                    let end = letters.position(|letter| letter.iter().all(|byte| *byte == 0));
                    end.map_or(rest.len(), |end| end * width)
                }
                false => size.clamp(1, rest.len()),
            };
            let (found, behind) = rest.split_at_checked(end)?;
            // The NUL behind a text.
            let skipped = if is_text { width } else { 0 };
            rest = behind.get(skipped..).unwrap_or_default();
            Some(found)
        })
    }

    /// Writes one value. What has not the size of its type is written as hexadecimal digits.
    pub(super) fn write(self, bytes: &[u8], out: &mut String) {
        if self.written(bytes, out).is_none() {
            for byte in bytes {
                let _ = write!(out, "{byte:02X}");
            }
        }
    }

    fn written(self, bytes: &[u8], out: &mut String) -> Option<()> {
        // Writing to a string does not fail.
        let _ = match self.0 & !ARRAY {
            0x00 => Ok(()),
            STRING => {
                escape(&utf16(bytes), out);
                Ok(())
            }
            ANSI_STRING => {
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                escape(text.trim_end_matches('\0'), out);
                Ok(())
            }
            0x03 => write!(out, "{}", i8::from_le_bytes(bytes.try_into().ok()?)),
            0x04 => write!(out, "{}", u8::from_le_bytes(bytes.try_into().ok()?)),
            0x05 => write!(out, "{}", i16::from_le_bytes(bytes.try_into().ok()?)),
            0x06 => write!(out, "{}", u16::from_le_bytes(bytes.try_into().ok()?)),
            0x07 => write!(out, "{}", i32::from_le_bytes(bytes.try_into().ok()?)),
            0x08 => write!(out, "{}", u32::from_le_bytes(bytes.try_into().ok()?)),
            0x09 => write!(out, "{}", i64::from_le_bytes(bytes.try_into().ok()?)),
            0x0a => write!(out, "{}", u64::from_le_bytes(bytes.try_into().ok()?)),
            0x0b => write!(out, "{}", f32::from_le_bytes(bytes.try_into().ok()?)),
            0x0c => write!(out, "{}", f64::from_le_bytes(bytes.try_into().ok()?)),
            0x0d => write!(out, "{}", u32::from_le_bytes(bytes.try_into().ok()?) != 0),
            0x0f => guid(bytes, out)?,
            0x10 | 0x14 | 0x15 => match bytes.len() {
                4 => write!(out, "0x{:x}", u32::from_le_bytes(bytes.try_into().ok()?)),
                _ => write!(out, "0x{:x}", u64::from_le_bytes(bytes.try_into().ok()?)),
            },
            0x11 => {
                let ticks = u64::from_le_bytes(bytes.try_into().ok()?);
                out.push_str(&file_time(ticks)?);
                Ok(())
            }
            0x12 => system_time(bytes, out)?,
            0x13 => sid(bytes, out)?,
            _ => return None,
        };
        Some(())
    }
}

/// Decodes UTF-16, little endian, up to the zeros at its end. Half of a surrogate pair becomes U+FFFD.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0;
    let end = units
        .iter()
        .rposition(|unit| *unit != [0, 0])
        .map_or(0, |last| last + 1);
    let units = units.iter().take(end).map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units)
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Writes text so that it stands on one line of XML.
pub(super) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

type Written = std::fmt::Result;

fn guid(bytes: &[u8], out: &mut String) -> Option<Written> {
    let [a0, a1, a2, a3, b0, b1, c0, c1, d @ ..]: [u8; 16] = bytes.try_into().ok()?;
    let (a, b, c) = (
        u32::from_le_bytes([a0, a1, a2, a3]),
        u16::from_le_bytes([b0, b1]),
        u16::from_le_bytes([c0, c1]),
    );
    let [d0, d1, rest @ ..] = d;
    let rest = u64::from_be_bytes([0, 0, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]]);
    Some(write!(
        out,
        "{{{a:08X}-{b:04X}-{c:04X}-{d0:02X}{d1:02X}-{rest:012X}}}"
    ))
}

/// Writes a count of 100 nanoseconds since 1601 as RFC 3339.
fn file_time(ticks: u64) -> Option<String> {
    let seconds = i64::try_from(ticks / 10_000_000).ok()? - 11_644_473_600;
    let fraction = ticks % 10_000_000;
    // Up to the year 9999, as RFC 3339.
    let time = DateTime::from_timestamp_secs(seconds).filter(|_| seconds <= 253_402_300_799)?;
    Some(format!(
        "{}.{fraction:07}Z",
        time.format("%Y-%m-%dT%H:%M:%S")
    ))
}

fn system_time(bytes: &[u8], out: &mut String) -> Option<Written> {
    let units = bytes.as_chunks::<2>().0;
    let [year, month, _, day, hour, minute, second, milli] = units else {
        return None;
    };
    let number = |unit: &[u8; 2]| u32::from(u16::from_le_bytes(*unit));
    let day = NaiveDate::from_ymd_opt(
        i32::from(u16::from_le_bytes(*year)),
        number(month),
        number(day),
    )?;
    let time =
        day.and_hms_milli_opt(number(hour), number(minute), number(second), number(milli))?;
    Some(write!(out, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")))
}

fn sid(bytes: &[u8], out: &mut String) -> Option<Written> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [revision, count, authority @ ..] = *head;
    let parts = rest.as_chunks::<4>();
    if parts.0.len() != usize::from(count) || !parts.1.is_empty() {
        return None;
    }
    let [a, b, c, d, e, f] = authority;
    let authority = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let mut written = write!(out, "S-{revision}-{authority}");
    for part in parts.0 {
        written = written.and(write!(out, "-{}", u32::from_le_bytes(*part)));
    }
    Some(written)
}
