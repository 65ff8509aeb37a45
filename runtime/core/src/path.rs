//! Dotted paths into events: `response_elements.ConsoleLogin`, `"a.b".c`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A path of at least one segment, from a table's column down into nested values.
///
/// A segment with a dot, a quote or a space is written in double quotes, a quote inside doubled, as in SQL.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct FieldPath {
    segments: Vec<String>,
}

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a field path: {reason}")]
pub struct PathError {
    text: String,
    reason: &'static str,
}

impl FieldPath {
    /// Returns the path of these segments, or nothing for none.
    pub fn new(segments: Vec<String>) -> Option<Self> {
        (!segments.is_empty()).then_some(Self { segments })
    }

    /// Returns the segments, outermost first; never empty.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let wrong = |reason| PathError {
            text: text.to_owned(),
            reason,
        };
        let mut segments = Vec::new();
        let mut chars = text.chars().peekable();
        loop {
            let mut segment = String::new();
            if chars.next_if_eq(&'"').is_some() {
                loop {
                    match chars.next() {
                        Some('"') if chars.next_if_eq(&'"').is_some() => segment.push('"'),
                        Some('"') => break,
                        Some(c) => segment.push(c),
                        None => return Err(wrong("a quote is not closed")),
                    }
                }
                if !matches!(chars.peek(), None | Some('.')) {
                    return Err(wrong("a dot or the end must follow a closing quote"));
                }
            } else {
                while let Some(c) = chars.next_if(|c| *c != '.') {
                    if c == '"' {
                        return Err(wrong("a quote must open at the start of a segment"));
                    }
                    segment.push(c);
                }
            }
            if segment.is_empty() {
                return Err(wrong("a segment is empty"));
            }
            segments.push(segment);
            if chars.next().is_none() {
                return Ok(Self { segments });
            }
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            if segment.contains(['.', '"']) {
                write!(f, "\"{}\"", segment.replace('"', "\"\""))?;
            } else {
                f.write_str(segment)?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for FieldPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_round_trip() {
        for text in ["a", "a.b.c", "\"a.b\".c", "\"say \"\"x\"\"\".y"] {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
        assert_eq!(
            "\"a.b\".c".parse::<FieldPath>().unwrap().segments(),
            ["a.b", "c"]
        );
        for wrong in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "a\"b"] {
            assert!(wrong.parse::<FieldPath>().is_err(), "{wrong}");
        }
    }
}
