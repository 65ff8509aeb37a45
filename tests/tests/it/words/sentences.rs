//! The sentences of a document in Markdown.

/// A sentence, with the line on which its paragraph begins.
#[derive(Debug, PartialEq)]
pub(crate) struct Sentence {
    pub line: usize,
    pub words: usize,
    pub text: String,
}

/// Returns the sentences of the paragraphs and list items of a document. Code, tables, headings and comments have none.
///
/// A piece of inline code counts as one word, a link as its text.
pub(crate) fn of_document(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    for (line, paragraph) in paragraphs(text) {
        for text in split(&plain(&paragraph)) {
            let words = text
                .split_whitespace()
                .filter(|word| word.contains(char::is_alphanumeric))
                .count();
            found.push(Sentence { line, words, text });
        }
    }
    found
}

/// Returns each paragraph and each list item as one line, with its first line's number.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    let mut fence: Option<String> = None;
    let mut comment = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(mark) = &fence {
            if line.starts_with(mark.as_str()) {
                fence = None;
            }
            continue;
        }
        if comment || line.starts_with("<!--") {
            comment = !line.contains("-->");
            open = false;
            continue;
        }
        if line.starts_with("```") || line.starts_with("~~~") {
            fence = Some(line[..3].to_owned());
            open = false;
            continue;
        }
        let line = line.strip_prefix('>').map_or(line, str::trim_start);
        let is_rule = !line.is_empty() && line.chars().all(|c| "-=*_ ".contains(c));
        if line.is_empty() || line.starts_with(['#', '|', '<']) || is_rule {
            open = false;
            continue;
        }
        let (line, is_item) = item(line);
        match found.last_mut() {
            Some((_, paragraph)) if open && !is_item => {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
            _ => found.push((number + 1, line.to_owned())),
        }
        open = true;
    }
    found
}

/// Returns a line without the mark of a list item, and whether it had one.
fn item(line: &str) -> (&str, bool) {
    for mark in ["- ", "* ", "+ "] {
        if let Some(rest) = line.strip_prefix(mark) {
            return (rest.trim_start(), true);
        }
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") ")) {
        Some(item) if rest.len() < line.len() => (item.trim_start(), true),
        _ => (line, false),
    }
}

/// Returns a paragraph with `code` in place of inline code, and the texts of links in place of links.
fn plain(paragraph: &str) -> String {
    let mut without_code = String::new();
    for (position, part) in paragraph.split('`').enumerate() {
        without_code.push_str(if position % 2 == 0 { part } else { "code" });
    }
    let mut plain = String::new();
    let mut rest = without_code.as_str();
    while let Some(at) = rest.find("](") {
        let (before, target) = rest.split_at(at);
        plain.push_str(before);
        rest = target.find(')').map_or("", |end| &target[end + 1..]);
    }
    plain.push_str(rest);
    plain.replace(['[', '*'], "")
}

/// Splits where a sentence ends: a full stop, `!` or `?`, then a space and no small letter, unless it is code.
fn split(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut sentences = Vec::new();
    let mut sentence: Vec<&str> = Vec::new();
    for (position, word) in words.iter().enumerate() {
        sentence.push(word);
        let bare = word.trim_end_matches([')', '"', '”', '’', '\'']);
        let is_short = ["e.g.", "i.e.", "cf.", "vs."].contains(&bare);
        let ends = bare.ends_with(['.', '!', '?']) && !is_short;
        let next = words.get(position + 1);
        let begins = next
            .is_none_or(|next| next.starts_with("code") || !next.starts_with(char::is_lowercase));
        if ends && begins {
            sentences.push(sentence.join(" "));
            sentence.clear();
        }
    }
    if !sentence.is_empty() {
        sentences.push(sentence.join(" "));
    }
    sentences
}

#[test]
fn sentences_are_counted_by_paragraph_and_item() {
    let text = "# A heading. With words\n\nOne two `three and four` five. [Six seven](a.md) eight\nnine. \
                `x` ten!\n\n```text\nno words. here\n```\n* an item\n  goes on. Its end\n* another\n\n\
                | a | table. |\n<!-- a comment\nof two lines -->\n1. first e.g. this\n";
    let found: Vec<_> = of_document(text)
        .into_iter()
        .map(|sentence| (sentence.line, sentence.words, sentence.text))
        .collect();
    let expected = [
        (3, 4, "One two code five."),
        (3, 4, "Six seven eight nine."),
        (3, 2, "code ten!"),
        (9, 4, "an item goes on."),
        (9, 2, "Its end"),
        (11, 1, "another"),
        (16, 3, "first e.g. this"),
    ];
    let expected = expected.map(|(line, words, text)| (line, words, text.to_owned()));
    assert_eq!(found, expected);
}
