//! Lines of no format that is known.
//!
//! ```text
//! line = any text
//! ```
//!
//! The whole line is the member `message`. What reads it further is a source: a grok pattern, or functions in its expressions.

use serde_json::{Map, Value};

use crate::{Decode, Decoded, Wrong};

/// Reads any line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text;

impl Decode for Text {
    fn line(&mut self, line: &str) -> Result<Decoded, Wrong> {
        if line.trim().is_empty() {
            return Ok(Decoded::Nothing);
        }
        let message = Value::String(line.to_owned());
        Ok(Decoded::Event(Map::from_iter([(
            "message".to_owned(),
            message,
        )])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_text() {
        let Ok(Decoded::Event(event)) = Text.line(" a \"b\" ") else {
            panic!("a line is an event");
        };
        assert_eq!(
            Value::Object(event).to_string(),
            r#"{"message":" a \"b\" "}"#
        );
        assert_eq!(Text.line("  "), Ok(Decoded::Nothing));
    }
}
