//! Text of plugins, made fit for logs, messages and terminals.

use yagura_core::shown::one_line;
use yagura_http::masked;

/// Maximum length of a plugin's text in a log line or a message, in bytes.
const MAX_TEXT: usize = 4096;

/// Returns a plugin's text on one line of at most 4 KiB, with escaped control characters and masked tokens in URLs.
pub(crate) fn readable(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    let mut readable = one_line(&masked(&text[..end]));
    if end < text.len() {
        readable.push_str(&format!("… ({} bytes)", text.len()));
    }
    readable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_cannot_control_a_terminal() {
        let long = "語".repeat(2000);
        let cut = readable(&long);
        assert_eq!(cut, format!("{}… (6000 bytes)", "語".repeat(1365)));
        assert_eq!(readable("a\u{1b}[2Jb:\r\nc\td"), "a\\u{1b}[2Jb: c d");
        assert_eq!(readable("a\u{202e}\u{2028}b"), "a\\u{202e}\\u{2028}b");
        assert_eq!(
            readable("GET https://a.example/x?sig=abc&n=1 failed"),
            "GET https://a.example/x?sig=***&n=1 failed"
        );
    }
}
