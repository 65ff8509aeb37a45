//! Values of Avro in bytes, to JSON.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta};

use super::schema::{Logical, Schema, Type};
use crate::times::duration;

/// How deep values may lie in one another.
const DEEPEST: usize = 64;
/// The longest number that is written with its digits, in bytes.
const MOST_DECIMAL: usize = 128;
const DAY: i64 = 86_400;

/// Reads values one after another.
pub(super) struct Datum<'b> {
    bytes: &'b [u8],
    at: usize,
    /// How long the text of an event may be.
    most: usize,
    /// Whether a length was negative.
    pub(super) is_negative: bool,
}

type Step = Result<(), String>;

impl<'b> Datum<'b> {
    pub(super) fn new(bytes: &'b [u8], most: usize) -> Self {
        Self {
            bytes,
            at: 0,
            most,
            is_negative: false,
        }
    }

    /// Returns how many bytes were read.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], String> {
        let taken = self
            .at
            .checked_add(count)
            .and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| format!("needs {count} bytes more at byte {}", self.at))?;
        self.at += count;
        Ok(taken)
    }

    /// Reads a number of at most 64 bits.
    pub(super) fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let half = i64::try_from(number >> 1).unwrap_or_default();
                return Ok(if number & 1 == 0 { half } else { !half });
            }
        }
        Err(format!(
            "has a number of more than 64 bits before byte {}",
            self.at
        ))
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| {
            self.is_negative = true;
            format!("has the length {length} before byte {}", self.at)
        })
    }

    /// Reads bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    /// Appends the next value as the object of an event, and a line end.
    pub(super) fn event(&mut self, schema: &Schema, out: &mut Vec<u8>) -> Step {
        let start = out.len();
        let most = start.saturating_add(self.most);
        let before = std::mem::replace(&mut self.most, most);
        let read = self.value(schema, schema.root(), 0, out);
        self.most = before;
        read?;
        if out.get(start) != Some(&b'{') {
            out.splice(start..start, *b"{\"value\":");
            out.push(b'}');
        }
        out.push(b'\n');
        Ok(())
    }

    fn value(&mut self, schema: &Schema, at: usize, depth: usize, out: &mut Vec<u8>) -> Step {
        if depth > DEEPEST {
            return Err(format!("has more than {DEEPEST} values in one another"));
        }
        if out.len() > self.most {
            return Err("is longer than an event may be".to_owned());
        }
        match schema.get(at) {
            Type::Record(fields) => {
                out.push(b'{');
                for (number, (name, of)) in fields.iter().enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name.as_bytes());
                    out.push(b':');
                    self.value(schema, *of, depth + 1, out)?;
                }
                out.push(b'}');
            }
            Type::Union(branches) => {
                let branch = self.long()?;
                let of = usize::try_from(branch)
                    .ok()
                    .and_then(|branch| branches.get(branch));
                let of = *of
                    .ok_or_else(|| format!("has the type {branch} of {} types", branches.len()))?;
                self.value(schema, of, depth + 1, out)?;
            }
            Type::Array(of) => self.items(out, (b'[', b']'), |datum, out| {
                datum.value(schema, *of, depth + 1, out)
            })?,
            Type::Map(of) => self.items(out, (b'{', b'}'), |datum, out| {
                text(datum.bytes()?, out);
                out.push(b':');
                datum.value(schema, *of, depth + 1, out)
            })?,
            Type::Enum(names) => {
                let number = self.long()?;
                let name = usize::try_from(number)
                    .ok()
                    .and_then(|number| names.get(number));
                let name =
                    name.ok_or_else(|| format!("has the name {number} of {} names", names.len()))?;
                out.extend_from_slice(name.as_bytes());
            }
            Type::Logical(logical, plain) => self.logical(*logical, plain, out)?,
            plain => self.plain(plain, out)?,
        }
        Ok(())
    }

    fn plain(&mut self, of: &Type, out: &mut Vec<u8>) -> Step {
        match of {
            Type::Boolean => match self.take(1)?[0] {
                0 => out.extend_from_slice(b"false"),
                1 => out.extend_from_slice(b"true"),
                other => {
                    return Err(format!(
                        "has the truth value {other} before byte {}",
                        self.at
                    ));
                }
            },
            Type::Int => {
                let number = self.long()?;
                let number = i32::try_from(number).map_err(|_| format!("has the int {number}"))?;
                out.extend_from_slice(number.to_string().as_bytes());
            }
            Type::Long => out.extend_from_slice(self.long()?.to_string().as_bytes()),
            Type::Float => {
                let number = self
                    .take(4)?
                    .first_chunk()
                    .map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
                float(
                    number.is_finite(),
                    &format!("{number:?}"),
                    number.is_nan(),
                    number < 0.0,
                    out,
                );
            }
            Type::Double => {
                let number = self
                    .take(8)?
                    .first_chunk()
                    .map_or(0.0, |bytes| f64::from_le_bytes(*bytes));
                float(
                    number.is_finite(),
                    &format!("{number:?}"),
                    number.is_nan(),
                    number < 0.0,
                    out,
                );
            }
            Type::Bytes => hex(self.bytes()?, out),
            Type::Fixed(size) => hex(self.take(*size)?, out),
            Type::Text => text(self.bytes()?, out),
            _ => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    /// Reads the blocks of an array or a map.
    fn items(
        &mut self,
        out: &mut Vec<u8>,
        (open, close): (u8, u8),
        mut item: impl FnMut(&mut Self, &mut Vec<u8>) -> Step,
    ) -> Step {
        out.push(open);
        let start = out.len();
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // How many bytes the block has.
                self.length()?;
            }
            let count = count.unsigned_abs();
            if count > self.left() as u64 {
                return Err(format!("has {count} items in {} bytes", self.left()));
            }
            for _ in 0..count {
                if out.len() > start {
                    out.push(b',');
                }
                item(self, out)?;
            }
        }
        out.push(close);
        Ok(())
    }

    fn logical(&mut self, logical: Logical, plain: &Type, out: &mut Vec<u8>) -> Step {
        if let Logical::Decimal(scale) = logical {
            let bytes = match plain {
                Type::Fixed(size) => self.take(*size)?,
                _ => self.bytes()?,
            };
            match decimal(bytes, scale) {
                Some(digits) => out.extend_from_slice(digits.as_bytes()),
                None => hex(bytes, out),
            }
            return Ok(());
        }
        let written = match (logical, plain) {
            (Logical::Uuid | Logical::Duration, Type::Fixed(size)) => {
                of_bytes(logical, self.take(*size)?)
            }
            (_, Type::Int) => {
                let number = self.long()?;
                let number = i32::try_from(number).map_err(|_| format!("has the int {number}"))?;
                of_number(logical, i64::from(number)).ok_or(number.to_string())
            }
            _ => {
                let number = self.long()?;
                of_number(logical, number).ok_or(number.to_string())
            }
        };
        match written {
            Ok(written) => text(written.as_bytes(), out),
            // A time beyond all calendars stays a number.
            Err(number) => out.extend_from_slice(number.as_bytes()),
        }
        Ok(())
    }
}

fn of_number(logical: Logical, number: i64) -> Option<String> {
    let moment = |units: i64| {
        let nanos = u32::try_from(number.rem_euclid(units) * (1_000_000_000 / units)).ok()?;
        DateTime::from_timestamp(number.div_euclid(units), nanos)
    };
    match logical {
        Logical::Date => {
            let day = DateTime::from_timestamp(number.checked_mul(DAY)?, 0)?;
            Some(day.format("%Y-%m-%d").to_string())
        }
        Logical::Time(units) => {
            let nanos = TimeDelta::nanoseconds(number.checked_mul(1_000_000_000 / units)?);
            let is_of_day = (TimeDelta::zero()..TimeDelta::seconds(DAY)).contains(&nanos);
            let time = NaiveTime::MIN.overflowing_add_signed(nanos).0;
            is_of_day.then(|| time.format("%H:%M:%S%.f").to_string())
        }
        Logical::Moment(units) => Some(moment(units)?.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        Logical::Local(units) => Some(
            moment(units)?
                .naive_utc()
                .format("%Y-%m-%dT%H:%M:%S%.f")
                .to_string(),
        ),
        _ => None,
    }
}

/// Returns what bytes stand for, as text.
fn of_bytes(logical: Logical, bytes: &[u8]) -> Result<String, String> {
    let digits: String = bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    if logical == Logical::Duration
        && let [months, days, milliseconds] = bytes.as_chunks::<4>().0
    {
        let [months, days, milliseconds] =
            [months, days, milliseconds].map(|bytes| u32::from_le_bytes(*bytes));
        return Ok(duration(months, days, milliseconds));
    }
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Vec<&str> = parts
        .into_iter()
        .filter_map(|part| digits.get(part))
        .collect();
    Ok(parts.join("-"))
}

fn float(is_finite: bool, digits: &str, is_nan: bool, is_negative: bool, out: &mut Vec<u8>) {
    let written = match (is_finite, is_nan, is_negative) {
        (true, ..) => digits,
        (_, true, _) => "\"NaN\"",
        (.., true) => "\"-Infinity\"",
        _ => "\"Infinity\"",
    };
    out.extend_from_slice(written.as_bytes());
}

/// Appends bytes as a JSON text. What of them is not UTF-8 stays so: who reads the line counts such texts.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'"');
}

/// Returns the digits of a number in two's complement, the highest byte first, with a point; nothing for one that is too long.
fn decimal(bytes: &[u8], scale: usize) -> Option<String> {
    if bytes.is_empty() || bytes.len() > MOST_DECIMAL {
        return None;
    }
    let is_negative = bytes[0] & 0x80 != 0;
    let mut number: Vec<u8> = match is_negative {
        false => bytes.to_vec(),
        true => bytes.iter().map(|byte| !byte).collect(),
    };
    if is_negative {
        // Two's complement is one more; the sign's byte keeps the carry from getting lost.
        for byte in number.iter_mut().rev() {
            let (sum, is_carried) = byte.overflowing_add(1);
            *byte = sum;
            if !is_carried {
                break;
            }
        }
    }
    let mut digits = Vec::new();
    while number.iter().any(|byte| *byte > 0) {
        let mut rest = 0_u32;
        for byte in &mut number {
            let all = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(all / 10).unwrap_or_default();
            rest = all % 10;
        }
        digits.push(char::from(b'0' + u8::try_from(rest).unwrap_or_default()));
    }
    while digits.len() <= scale {
        digits.push('0');
    }
    if scale > 0 {
        digits.insert(scale, '.');
    }
    if is_negative {
        digits.push('-');
    }
    Some(digits.into_iter().rev().collect())
}
