//! Values of expressions as JSON of their column's type.

use std::net::IpAddr;

pub(crate) use yagura_core::json::write_text;
use yagura_core::json::{elements, members};
use yagura_formats::Zone;
use yagura_lake::ingest::time_of_text_in;

/// What a column's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Any text.
    Text,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A whole number in a range.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number.
    Float,
    /// A truth value.
    Boolean,
    /// A moment: milliseconds since 1970; a text that names no zone is in this one.
    Time(Zone),
    /// Any JSON.
    Json,
}

impl ValueKind {
    /// Adds the JSON of a value to `out`, and says whether the value is of this kind; nothing is added where it is not.
    pub(crate) fn write(self, text: &str, out: &mut String) -> bool {
        match self {
            Self::Text => write_text(text, out),
            Self::Ip => {
                let is_ip = text.trim().parse::<IpAddr>().is_ok();
                if is_ip {
                    write_text(text.trim(), out);
                }
                return is_ip;
            }
            Self::Integer { min, max } => match integer(text) {
                Some(number) if (min..=max).contains(&number) => out.push_str(&number.to_string()),
                _ => return false,
            },
            Self::Float => match text.trim().parse::<f64>() {
                // JSON knows neither NaN nor infinities.
                Ok(number) if number.is_finite() => out.push_str(&number.to_string()),
                _ => return false,
            },
            Self::Boolean => match text.trim() {
                text if text.eq_ignore_ascii_case("true") => out.push_str("true"),
                text if text.eq_ignore_ascii_case("false") => out.push_str("false"),
                _ => return false,
            },
            Self::Time(zone) => match time_of_text_in(text, zone) {
                Some(time) => out.push_str(&time.micros().div_euclid(1_000).to_string()),
                None => return false,
            },
            Self::Json => {
                if is_json(text) {
                    out.push_str(text);
                } else {
                    write_text(text, out);
                }
            }
        }
        true
    }

    /// Does the same for an array of such values: of a JSON array its elements, of anything else an array with that alone.
    pub(crate) fn write_array(self, text: &str, out: &mut String) -> bool {
        let start = out.len();
        let Some(elements) = text.starts_with('[').then(|| elements(text).ok()).flatten() else {
            out.push('[');
            let is_own = self.write(text, out);
            match is_own {
                true => out.push(']'),
                false => out.truncate(start),
            }
            return is_own;
        };
        out.push('[');
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let is_own = match self {
                Self::Json => {
                    out.push_str(element);
                    true
                }
                _ => self.write(&yagura_core::json::text_of(element), out),
            };
            if !is_own {
                out.truncate(start);
                return false;
            }
        }
        out.push(']');
        true
    }
}

/// Reads a whole number, which may be written with a fraction of zeros.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (whole, fraction) = text.split_once('.')?;
    fraction
        .bytes()
        .all(|digit| digit == b'0')
        .then(|| whole.parse().ok())?
}

fn is_json(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'{') => members(text).is_ok(),
        Some(b'[') => elements(text).is_ok(),
        _ => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> ValueKind {
        ValueKind::Time(Zone::utc())
    }

    const PORT: ValueKind = ValueKind::Integer {
        min: 0,
        max: 65_535,
    };

    #[test]
    fn a_value_is_written_as_its_kind_or_not_at_all() {
        for (kind, text, expected) in [
            (ValueKind::Text, "a\"b", Some(r#""a\"b""#)),
            (ValueKind::Text, "1", Some("\"1\"")),
            (ValueKind::Ip, "10.0.0.1", Some("\"10.0.0.1\"")),
            (ValueKind::Ip, "::1", Some("\"::1\"")),
            (ValueKind::Ip, "amazonaws.com", None),
            (PORT, "443", Some("443")),
            (PORT, "443.0", Some("443")),
            (PORT, "-", None),
            (PORT, "70000", None),
            (ValueKind::Float, "1.5", Some("1.5")),
            (ValueKind::Float, "NaN", None),
            (ValueKind::Boolean, "TRUE", Some("true")),
            (ValueKind::Boolean, "yes", None),
            (time(), "2026-01-02T03:04:05.678Z", Some("1767323045678")),
            (
                ValueKind::Time("Asia/Tokyo".parse().unwrap()),
                "2026-01-02 12:04:05.678",
                Some("1767323045678"),
            ),
            (time(), "1767323045", Some("1767323045000")),
            (time(), "never", None),
            (ValueKind::Json, r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            (ValueKind::Json, "{a", Some("\"{a\"")),
        ] {
            let mut out = String::new();
            assert_eq!(kind.write(text, &mut out), expected.is_some(), "{text}");
            assert_eq!(out, expected.unwrap_or_default(), "{text}");
        }
    }

    #[test]
    fn an_array_has_values_of_one_kind() {
        for (kind, text, expected) in [
            (ValueKind::Text, "a", Some("[\"a\"]")),
            (ValueKind::Text, r#"["a",1]"#, Some(r#"["a","1"]"#)),
            (ValueKind::Ip, r#"["10.0.0.1","x"]"#, None),
            (ValueKind::Json, r#"[{"a":1}]"#, Some(r#"[{"a":1}]"#)),
            (PORT, "x", None),
        ] {
            let mut out = "before".to_owned();
            assert_eq!(
                kind.write_array(text, &mut out),
                expected.is_some(),
                "{text}"
            );
            assert_eq!(
                out,
                format!("before{}", expected.unwrap_or_default()),
                "{text}"
            );
        }
    }
}
