//! Numbers as rules and events write them, compared exactly at any size.
//!
//! A double holds some 15 digits. Serial numbers, hashes and addresses are longer, and two of them that differ in the last
//! digit are one double. So a number keeps its digits, and they decide where the doubles are equal.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Digits that every double keeps: two decimals of no more digits are two doubles, in the same order.
const EXACT_DIGITS: usize = 15;
/// Powers of ten between which that holds.
const EXACT_POWERS: std::ops::RangeInclusive<i64> = -290..=290;
/// Digits of the longest text that a double is written as.
const DOUBLE_DIGITS: usize = 17;

/// A number, exactly as it was written: `4688`, `4688.0` and `4.688e3` are one number.
#[derive(Clone)]
pub struct Number {
    /// The nearest double.
    float: f64,
    is_negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    /// The number is 0.DIGITS times ten to the power of this.
    power: i64,
    /// Whether the double says all.
    is_short: bool,
}

impl Number {
    /// Reads a decimal number with an optional sign, fraction and exponent; `inf`, `infinity` and `nan` are text.
    pub fn parse(text: &str) -> Option<Self> {
        let decimal = Decimal::parse(text)?;
        let mut digits: String = decimal.digits().map(char::from).collect();
        digits.truncate(digits.trim_end_matches('0').len());
        let is_zero = digits.is_empty();
        Some(Self {
            float: if is_zero { 0.0 } else { decimal.float },
            is_negative: decimal.is_negative && !is_zero,
            power: if is_zero { 0 } else { decimal.power },
            digits,
            is_short: decimal.is_short,
        })
    }

    /// Returns the number that a double is usually written as; nothing for infinities and NaN.
    pub fn from_f64(value: f64) -> Option<Self> {
        Self::parse(&value.to_string())
    }

    /// Returns the nearest double, which is infinite for a number that is too large.
    pub fn as_f64(&self) -> f64 {
        self.float
    }

    /// Returns the number if it is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        let places = usize::try_from(self.power).ok()?;
        if places > 19 || places < self.digits.len() {
            return None;
        }
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}0{:0<places$}", self.digits).parse().ok()
    }

    /// Compares the number that `text` writes with this one; nothing where the text is not a number.
    ///
    /// A text of 16 or 17 digits that is exactly how a double is written, with a point or an exponent, stands for that
    /// double: a column of doubles has lost what came after, and the rule's number is taken as the double it would be there.
    pub fn compare_text(&self, text: &str) -> Option<Ordering> {
        Some(self.compare(&Decimal::parse(text)?))
    }

    /// Compares a value with this number.
    pub(crate) fn compare(&self, value: &Decimal<'_>) -> Ordering {
        match value.float.partial_cmp(&self.float) {
            Some(Ordering::Equal) | None => {}
            Some(different) => return different,
        }
        if (value.is_short && self.is_short) || value.is_double() {
            return Ordering::Equal;
        }
        value.compare_digits(self)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        let text = value.unsigned_abs().to_string();
        let digits = text.trim_end_matches('0');
        #[expect(
            clippy::cast_precision_loss,
            reason = "the digits decide where the double is not exact"
        )]
        let float = value as f64;
        Self {
            float,
            is_negative: value < 0,
            digits: digits.to_owned(),
            power: if value == 0 {
                0
            } else {
                i64::try_from(text.len()).unwrap_or_default()
            },
            is_short: digits.len() <= EXACT_DIGITS,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.is_negative == other.is_negative
            && self.power == other.power
            && self.digits == other.digits
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.is_negative, self.power, &self.digits).hash(state);
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_negative, number.digits.is_empty()) {
            (_, true) => 0,
            (true, false) => -1,
            (false, false) => 1,
        };
        let size = || {
            let size = self.power.cmp(&other.power);
            let size = size.then_with(|| self.digits.cmp(&other.digits));
            if self.is_negative {
                size.reverse()
            } else {
                size
            }
        };
        sign(self).cmp(&sign(other)).then_with(size)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whole numbers and short fractions in full, others with an exponent.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: i64 = 60;
        let sign = if self.is_negative { "-" } else { "" };
        let digits = self.digits.as_str();
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        match self.power {
            _ if digits.is_empty() => f.write_str("0"),
            power if power >= count && power <= LONGEST => {
                let width = usize::try_from(power).unwrap_or_default();
                write!(f, "{sign}{digits:0<width$}")
            }
            power if power > 0 && power < count => {
                let (whole, fraction) = digits.split_at(usize::try_from(power).unwrap_or_default());
                write!(f, "{sign}{whole}.{fraction}")
            }
            power if (-5..=0).contains(&power) => {
                let width = usize::try_from(count - power).unwrap_or_default();
                write!(f, "{sign}0.{digits:0>width$}")
            }
            power => write!(f, "{sign}0.{digits}e{power}"),
        }
    }
}

/// A number as a value writes it, without a copy of its digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    float: f64,
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Zeros at the beginning, of the whole and the fraction together.
    zeros: usize,
    /// The number is 0.DIGITS times ten to the power of this, DIGITS without zeros at the beginning.
    power: i64,
    is_short: bool,
    /// Written with a point or an exponent.
    is_pointed: bool,
}

impl<'a> Decimal<'a> {
    /// Reads a decimal number; nothing for any other text.
    #[inline]
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        // Most values are text: their first letter says so.
        match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => Self::parse_slowly(text),
            _ => None,
        }
    }

    fn parse_slowly(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (is_negative, rest) = match bytes.first() {
            Some(b'-') => (true, &bytes[1..]),
            Some(b'+') => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let digits_of = |bytes: &'a [u8]| {
            let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
            bytes.split_at(end.unwrap_or(bytes.len()))
        };
        let (whole, rest) = digits_of(rest);
        let (fraction, rest, has_point) = match rest {
            [b'.', rest @ ..] => {
                let (fraction, rest) = digits_of(rest);
                (fraction, rest, true)
            }
            rest => (&[][..], rest, false),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => None,
            [b'e' | b'E', rest @ ..] => Some(exponent(rest)?),
            _ => return None,
        };
        let is_pointed = has_point || exponent.is_some();
        let float = if !is_pointed && whole.len() <= EXACT_DIGITS {
            let size = whole
                .iter()
                .fold(0.0, |size, digit| size * 10.0 + f64::from(digit - b'0'));
            if is_negative { -size } else { size }
        } else {
            text.parse().ok()?
        };
        let zeros = whole
            .iter()
            .chain(fraction)
            .take_while(|digit| **digit == b'0')
            .count();
        let count = whole.len() + fraction.len() - zeros;
        let length = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let power = exponent
            .unwrap_or_default()
            .saturating_add(length(whole.len()))
            .saturating_sub(length(zeros));
        Some(Self {
            float,
            is_negative,
            whole,
            fraction,
            zeros,
            power,
            is_short: count == 0 || (count <= EXACT_DIGITS && EXACT_POWERS.contains(&power)),
            is_pointed,
        })
    }

    pub(crate) fn as_f64(&self) -> f64 {
        self.float
    }

    fn digits(&self) -> impl Iterator<Item = u8> + Clone + 'a {
        self.whole
            .iter()
            .chain(self.fraction)
            .skip(self.zeros)
            .copied()
    }

    /// Says whether the text is exactly how a double is written: a point or an exponent, and no more digits than needed.
    fn is_double(&self) -> bool {
        let count = self.whole.len() + self.fraction.len() - self.zeros;
        if !self.is_pointed || !self.float.is_finite() {
            return false;
        }
        let usual = Number::from_f64(self.float);
        count <= DOUBLE_DIGITS + self.trailing_zeros()
            && usual.is_some_and(|usual| self.compare_digits(&usual) == Ordering::Equal)
    }

    fn trailing_zeros(&self) -> usize {
        let backwards = self.fraction.iter().rev().chain(self.whole.iter().rev());
        backwards.take_while(|digit| **digit == b'0').count()
    }

    /// Compares digit by digit with a number of about the same size.
    fn compare_digits(&self, with: &Number) -> Ordering {
        let mut digits = self.digits().peekable();
        let is_zero = self.digits().all(|digit| digit == b'0');
        if is_zero || with.digits.is_empty() {
            let sign = |is_negative: bool, is_zero: bool| match (is_negative, is_zero) {
                (_, true) => 0,
                (true, false) => -1,
                (false, false) => 1,
            };
            return sign(self.is_negative, is_zero)
                .cmp(&sign(with.is_negative, with.digits.is_empty()));
        }
        if self.is_negative != with.is_negative {
            return with.is_negative.cmp(&self.is_negative);
        }
        let mut size = self.power.cmp(&with.power);
        let mut others = with.digits.bytes();
        while size == Ordering::Equal {
            size = match (digits.next(), others.next()) {
                (None, None) => break,
                (mine, other) => mine.unwrap_or(b'0').cmp(&other.unwrap_or(b'0')),
            };
        }
        if self.is_negative {
            size.reverse()
        } else {
            size
        }
    }
}

/// Reads an exponent; one that no number needs is as large as can be.
fn exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0_i64, |size, digit| {
        size.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Some(if is_negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference: a number as its sign and its digits, 400 before and 400 after the point.
    fn reference(text: &str) -> Option<(bool, Vec<u8>)> {
        const PLACES: i64 = 400;
        let (is_negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut places = vec![b'0'; usize::try_from(2 * PLACES).unwrap()];
        let first = PLACES - i64::try_from(whole.len()).unwrap() - exponent;
        for (digit, place) in digits.bytes().zip(first..) {
            match usize::try_from(place)
                .ok()
                .and_then(|place| places.get_mut(place))
            {
                Some(of) => *of = digit,
                None if digit == b'0' => {}
                None => panic!("{text} is too large for the reference"),
            }
        }
        let is_zero = places.iter().all(|digit| *digit == b'0');
        Some((is_negative && !is_zero, places))
    }

    fn compared(one: &str, other: &str) -> Ordering {
        let (one, other) = (reference(one).unwrap(), reference(other).unwrap());
        match (one.0, other.0) {
            (false, false) => one.1.cmp(&other.1),
            (true, true) => other.1.cmp(&one.1),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// A random sequence that is the same in each run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }

        fn digits(&mut self, count: u64) -> String {
            (0..count)
                .map(|_| char::from(b'0' + u8::try_from(self.below(10)).unwrap()))
                .collect()
        }

        /// One number in one of its spellings; numbers of one seed are near each other.
        fn spelling(&mut self, digits: &str) -> String {
            let mut digits = digits.to_owned();
            if self.below(3) == 0 {
                // Another last digit.
                digits.pop();
                digits.push_str(&self.digits(1));
            }
            let sign = ["", "", "", "-", "+"][usize::try_from(self.below(5)).unwrap()];
            let zeros = "0".repeat(usize::try_from(self.below(4)).unwrap());
            let tail = "0".repeat(usize::try_from(self.below(4)).unwrap());
            let length = digits.len();
            match self.below(5) {
                0 => format!("{sign}{digits}.{tail}"),
                1 => format!("{sign}{zeros}{digits}"),
                2 => format!("{sign}{zeros}.{digits}{tail}E+{length}"),
                3 => format!(
                    "{sign}{}.{}{tail}e{}",
                    &digits[..1],
                    &digits[1..],
                    length - 1
                ),
                _ => format!("{sign}{digits}{tail}e-{}", tail.len()),
            }
        }
    }

    #[test]
    fn numbers_in_all_spellings_compare_as_long_decimals_do() {
        let mut random = Random(7);
        let mut equal = 0;
        for round in 0..20_000 {
            let count = 1 + random.below(if round % 2 == 0 { 20 } else { 60 });
            let digits = random.digits(count);
            let (one, other) = (random.spelling(&digits), random.spelling(&digits));
            let want = compared(&one, &other);
            let number = Number::parse(&other).unwrap();
            assert_eq!(
                Number::parse(&one).unwrap().cmp(&number),
                want,
                "{one} and {other}"
            );
            assert_eq!(
                Number::parse(&one).unwrap() == number,
                want.is_eq(),
                "{one} and {other}"
            );
            let value = Decimal::parse(&one).unwrap();
            if !value.is_double() {
                assert_eq!(number.compare(&value), want, "{one} and {other}");
                assert_eq!(number.compare_text(&one), Some(want));
            }
            assert_eq!(Number::parse(&number.to_string()), Some(number), "{other}");
            equal += u32::from(want.is_eq());
        }
        assert!(equal > 2_000, "{equal}");
    }

    #[test]
    fn integers_are_exact_at_any_size() {
        let long = "1234567890123456789012345678901234567890";
        for (value, rule, want) in [
            (
                "1234567890123456789",
                "1234567890123456789",
                Ordering::Equal,
            ),
            ("1234567890123456788", "1234567890123456789", Ordering::Less),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            (
                "18446744073709551615",
                "18446744073709551614",
                Ordering::Greater,
            ),
            (
                "-9223372036854775809",
                "-9223372036854775808",
                Ordering::Less,
            ),
            (long, long, Ordering::Equal),
            (
                "1234567890123456789012345678901234567891",
                long,
                Ordering::Greater,
            ),
            ("4688.0", "4688", Ordering::Equal),
            ("+4688", "4688", Ordering::Equal),
            ("0004688", "4688.000", Ordering::Equal),
            ("4.688e3", "4688", Ordering::Equal),
            ("-0", "0", Ordering::Equal),
            ("0e999999999999999999999", "0", Ordering::Equal),
            ("1e999999999999999999999", long, Ordering::Greater),
            ("1e400", "2e400", Ordering::Less),
            ("-1e400", "1e400", Ordering::Less),
            ("1e-400", "2e-400", Ordering::Less),
            ("1e-400", "0", Ordering::Greater),
            (
                "12345678901234567890.5",
                "12345678901234567890",
                Ordering::Greater,
            ),
            ("0.1", "0.10", Ordering::Equal),
            ("0.30000000000000004", "0.3", Ordering::Greater),
        ] {
            let number = Number::parse(rule).unwrap();
            assert_eq!(number.compare_text(value), Some(want), "{value} and {rule}");
        }
    }

    /// Columns of doubles write the nearest one, and nothing else is written so.
    #[test]
    fn what_a_double_is_written_as_stands_for_it() {
        let rule = Number::parse("9007199254740993").unwrap();
        let of = |text| rule.compare_text(text).unwrap();
        assert_eq!(of("9007199254740992.0"), Ordering::Equal);
        assert_eq!(of("9.007199254740992e15"), Ordering::Equal);
        assert_eq!(of("9007199254740992"), Ordering::Less);
        assert_eq!(of("9007199254740992.5"), Ordering::Less);
        assert_eq!(of("9007199254740993.5"), Ordering::Greater);
        let long = Number::parse("0.1000000000000000055511151231257827").unwrap();
        assert_eq!(
            long.compare_text("0.1"),
            Some(Ordering::Equal),
            "both are the double 0.1"
        );
    }

    #[test]
    fn what_is_not_a_decimal_number_is_text() {
        for text in [
            "", "-", "+", ".", "-.", "e5", "1e", "1e+", "1e5.0", "inf", "-inf", "+inf", "infinity",
            "Infinity", "nan", "NaN", "-nan", "0x10", "1_000", "1,5", " 1", "1 ", "1.2.3", "--1",
            "10.1.2.3", "1f", "½", "١", "1e5x",
        ] {
            assert_eq!(Number::parse(text), None, "{text:?}");
            assert_eq!(Number::from(1).compare_text(text), None, "{text:?}");
        }
        assert_eq!(Number::from_f64(f64::INFINITY), None);
        assert_eq!(Number::from_f64(f64::NAN), None);
    }

    #[test]
    fn numbers_are_brought_to_other_types_where_they_fit() {
        for number in [0, 1, -1, 10, 4688, -1_000, i64::MAX, i64::MIN, 1 << 53] {
            let exact = Number::from(number);
            assert_eq!(exact.as_i64(), Some(number));
            assert_eq!(exact, Number::parse(&number.to_string()).unwrap());
            assert_eq!(exact.to_string(), number.to_string());
        }
        for text in [
            "0.5",
            "9223372036854775808",
            "-9223372036854775809",
            "1e30",
            "1e-3",
        ] {
            assert_eq!(Number::parse(text).unwrap().as_i64(), None, "{text}");
        }
        assert_eq!(Number::from_f64(2.5), Number::parse("2.50"));
        assert_eq!(Number::from_f64(-0.0), Some(Number::from(0)));
        for (text, shown) in [
            ("2.50", "2.5"),
            ("-0.05", "-0.05"),
            ("1e3", "1000"),
            ("1e100", "0.1e101"),
            ("1.5e-20", "0.15e-19"),
        ] {
            assert_eq!(Number::parse(text).unwrap().to_string(), shown);
        }
    }
}
