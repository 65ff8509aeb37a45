//! The string literals of a Rust source.

/// Returns a source with all but its string literals blanked, and its doc comments if these are asked for. Line breaks stay. The
/// module of its tests is left out.
pub(crate) fn literals(source: &str, with_doc_comments: bool) -> String {
    let code = source
        .split("\n#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default();
    let mut seen = String::with_capacity(code.len());
    let mut rest = code;
    while !rest.is_empty() {
        let (length, keep) = token(rest, with_doc_comments);
        let (token, after) = rest.split_at(length);
        if keep {
            seen.push_str(token);
        } else {
            seen.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    seen
}

/// Returns the length of the first token, in bytes, and whether it is kept.
fn token(text: &str, with_doc_comments: bool) -> (usize, bool) {
    let line = || text.find('\n').unwrap_or(text.len());
    if text.starts_with("///") || text.starts_with("//!") {
        return (line(), with_doc_comments && text.starts_with("///"));
    }
    if text.starts_with("//") {
        return (line(), false);
    }
    if text.starts_with("/*") {
        return (text.find("*/").map_or(text.len(), |end| end + 2), false);
    }
    if text.starts_with('"') {
        return (string(text), true);
    }
    let hashes = text.strip_prefix('r').map(|rest| {
        let quote = rest.trim_start_matches('#');
        (rest.len() - quote.len(), quote.starts_with('"'))
    });
    if let Some((hashes, true)) = hashes {
        let body = hashes + 2;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = text[body..].find(&close);
        return (end.map_or(text.len(), |end| body + end + close.len()), true);
    }
    // A character, not a lifetime.
    if let Some(rest) = text.strip_prefix('\'') {
        let end = match rest.strip_prefix('\\') {
            Some(escape) => escape
                .char_indices()
                .skip(1)
                .find(|(_, c)| *c == '\'')
                .map(|(at, _)| at + 3),
            None => rest
                .char_indices()
                .nth(1)
                .filter(|(_, c)| *c == '\'')
                .map(|(at, _)| at + 2),
        };
        return (end.unwrap_or(1), false);
    }
    // A whole word, so that an `r` at its end begins no raw string.
    let word = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let word = match word {
        Some(0) => text.chars().next().map_or(1, char::len_utf8),
        Some(end) => end,
        None => text.len(),
    };
    (word, false)
}

/// Returns the length of a string literal at the beginning of a text.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn literals_stay_and_everything_else_is_blank() {
    let source = "/// Help.\nfn a<'a>(x: &'a str) { // \"no\"\n    b(\"one \\\" two\", '\"', '\\'', r#\"raw \"three\"\"#, var\"x\");\n}\n\
                  #[cfg(test)]\nmod tests {\n    \"four\"\n}\n";
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let seen = literals(source, false);
    assert_eq!(words(&seen), "\"one \\\" two\" r#\"raw \"three\"\"# \"x\"");
    assert_eq!(seen.matches('\n').count(), 3);
    assert!(seen.lines().nth(2).unwrap().contains("two"));
    assert!(literals(source, true).starts_with("/// Help.\n"));
}
