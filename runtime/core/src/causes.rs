//! The causes of an error, each said once.
//!
//! Many errors repeat their cause in their own message, so that a chain of four says the last one four times. And object stores
//! answer in XML, of which a code and a message matter.

use std::error::Error;

/// Returns the message of an error and of each of its causes. What an error repeats of its cause is left out, and of an object
/// store's answer in XML its code and message remain.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        texts.push(shortened(&cause.to_string()));
        next = cause.source();
    }
    let mut lines: Vec<String> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let own = texts
            .get(at + 1)
            .map_or(text.as_str(), |cause| without(text, cause));
        if !own.is_empty() {
            lines.push(own.to_owned());
        }
    }
    lines
}

/// Returns a text without the cause that it ends with.
fn without<'a>(text: &'a str, cause: &str) -> &'a str {
    match text.strip_suffix(cause) {
        Some("") => "",
        Some(own) if own.ends_with(": ") || own.ends_with(" - ") => {
            own.trim_end_matches([' ', ':', '-'])
        }
        _ => text,
    }
}

/// Returns a text in which each answer of an object store in XML is its code and the first line of its message.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some((before, answer, after)) = answer(rest) {
        short.push_str(before);
        short.push_str(&answer);
        rest = after;
    }
    short.push_str(rest);
    short
}

/// Splits a text at its first answer in XML, which is shortened. `None` where there is none, or one that is cut short.
fn answer(text: &str) -> Option<(&str, String, &str)> {
    const END: &str = "</Error>";
    let element = text.find("<Error>")?;
    let end = element + text[element..].find(END)? + END.len();
    let body = &text[element..end];
    let code = value(body, "Code")?;
    let message = value(body, "Message").unwrap_or_default();
    let message = message.lines().next().unwrap_or_default().trim();
    let short = match message {
        "" => code.to_owned(),
        message => format!("{code}: {message}"),
    };
    let before = &text[..element];
    let start = before.find("<?xml").unwrap_or(element);
    let before = text[..start].trim_end_matches('\u{feff}');
    Some((before, short, &text[end..]))
}

/// Returns the text of the first element of this name.
fn value<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (value, _) = after.split_once(&format!("</{name}>"))?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Node {
        text: String,
        source: Option<Box<Node>>,
    }

    /// A chain in which each error repeats its cause.
    fn repeating(texts: &[&str]) -> Option<Box<Node>> {
        let (first, rest) = texts.split_first()?;
        let source = repeating(rest);
        let text = match &source {
            Some(source) => format!("{first}: {source}"),
            None => (*first).to_owned(),
        };
        Some(Box::new(Node { text, source }))
    }

    const XML: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ContainerNotFound</Code><Message>The \
        specified container does not exist.\nRequestId:1\nTime:2026-01-01T00:00:00Z</Message></Error>";

    #[test]
    fn each_cause_is_said_once_and_an_answer_is_its_code_and_message() {
        let answer = format!("Server returned 404 Not Found: {XML}");
        let error = repeating(&["cannot list the table", "Generic error", "listing", &answer]);
        assert_eq!(
            causes(error.as_deref().unwrap()),
            [
                "cannot list the table",
                "Generic error",
                "listing",
                "Server returned 404 Not Found: ContainerNotFound: The specified container does not exist.",
            ]
        );
    }

    #[test]
    fn an_error_that_only_repeats_its_cause_is_left_out() {
        let inner = repeating(&["disk full"]);
        let outer = Node {
            text: "disk full".to_owned(),
            source: inner,
        };
        assert_eq!(causes(&outer), ["disk full"]);
        // A name at the end is not a repeated cause.
        let named = Node {
            text: "cannot read disk full".to_owned(),
            source: repeating(&["disk full"]),
        };
        assert_eq!(causes(&named), ["cannot read disk full", "disk full"]);
    }

    #[test]
    fn what_is_not_an_answer_stays() {
        for text in [
            "a <Error> without end",
            "<Error><Kind>x</Kind></Error>",
            "plain",
        ] {
            assert_eq!(shortened(text), text);
        }
        let two =
            "<Error><Code>A</Code></Error>, <Error><Code>B</Code><Message>b</Message></Error>";
        assert_eq!(shortened(two), "A, B: b");
    }
}
