//! `luhn`: the check digit of card numbers (ISO/IEC 7812-1, annex B).

use crate::{Made, Prepared, Value};

#[derive(Debug)]
struct Luhn;

/// Prepares `luhn(text)`.
pub(crate) fn luhn(_: &[&str]) -> Made {
    Ok(Box::new(Luhn))
}

impl Prepared for Luhn {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let (mut sum, mut count) = (0_u32, 0_usize);
        for c in text.chars().rev() {
            let digit = match c {
                ' ' | '-' => continue,
                c => c.to_digit(10)?,
            };
            // Every second digit counts twice, as the sum of the digits of that.
            let value = match count % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            };
            // Only the last digit of the sum counts.
            sum = (sum + value) % 10;
            count += 1;
        }
        (count > 1).then_some(Value::Truth(sum == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_digit_is_seen() {
        fn truth(text: &str) -> Option<Value<'_>> {
            luhn(&[]).unwrap().value(text)
        }
        // Numbers that payment services publish for tests.
        for text in [
            "4242424242424242",
            "4111 1111 1111 1111",
            "3782-822463-10005",
            "79927398713",
        ] {
            assert_eq!(truth(text), Some(Value::Truth(true)), "{text}");
        }
        let number = "4242424242424242";
        for at in 0..number.len() {
            let mut wrong = number.as_bytes().to_vec();
            wrong[at] = b'0' + (wrong[at] - b'0' + 1) % 10;
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(truth(&wrong), Some(Value::Truth(false)), "{wrong}");
        }
        for text in ["", "0", "4242x", "٤٢", " - "] {
            assert_eq!(truth(text), None, "{text}");
        }
    }
}
