//! Lines that are not events, as they are kept beside a table: each with its place and the reason, as a line of JSON.
//!
//! ```text
//! {"file":"app.log","line":7,"column":1,"reason":"an event is a JSON object, which begins with `{`","text":"plain text"}
//! ```
//!
//! `text` is what stood there. Bytes that are not UTF-8 are U+FFFD in it; then `base64` holds the bytes themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// A line that is not an event.
#[derive(Debug, Serialize)]
struct Line<'l> {
    file: &'l str,
    /// From 1.
    line: u64,
    /// In bytes, from 1.
    column: u64,
    reason: &'l str,
    text: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Adds a line that is not an event, with its place, line and column, and the reason.
pub(crate) fn write(
    to: &mut Vec<u8>,
    file: &str,
    (line, column): (u64, u64),
    reason: &str,
    bytes: &[u8],
) {
    let text = String::from_utf8_lossy(bytes);
    let is_text = matches!(text, std::borrow::Cow::Borrowed(_));
    let kept = Line {
        file,
        line,
        column,
        reason,
        text: &text,
        base64: (!is_text).then(|| STANDARD.encode(bytes)),
    };
    // Texts and numbers always have a form as JSON.
    if serde_json::to_writer(&mut *to, &kept).is_ok() {
        to.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_with_its_place_and_every_byte() {
        let mut kept = Vec::new();
        write(&mut kept, "a\tb", (7, 3), "because", b"x\n\"y");
        write(&mut kept, "b", (1, 1), "because", b"caf\xe9");
        let kept = String::from_utf8(kept).unwrap();
        let lines: Vec<&str> = kept.lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"file":"a\tb","line":7,"column":3,"reason":"because","text":"x\n\"y"}"#,
                "{\"file\":\"b\",\"line\":1,\"column\":1,\"reason\":\"because\",\"text\":\"caf\u{fffd}\",\"base64\":\"Y2Fm6Q==\"}",
            ]
        );
    }
}
