//! Takes out of URLs what lets in whoever has the URL, for records, logs and messages.
//!
//! Placeholders keep the operator's secrets out of these. What is left are URLs that carry a secret of their own: one that
//! a server signs and answers or redirects to (`sig`, `X-Amz-Signature`), or one that stands in a plugin's configuration.

use std::borrow::Cow;

/// What stands in place of a value.
const HIDDEN: &str = "***";

/// Longest name of a parameter that is read, in bytes.
const LONGEST_NAME: usize = 48;

/// Names of parameters that let somebody in, in lower case.
const SECRET: [&str; 16] = [
    "sig",
    "sas",
    "token",
    "jwt",
    "hmac",
    "secret",
    "password",
    "passwd",
    "pwd",
    "apikey",
    "authtoken",
    "accesstoken",
    "access_key",
    "api-key",
    "api_key",
    "subscription-key",
];

/// What the names of others end with.
const SECRET_ENDS: [&str; 7] = [
    "signature",
    "credential",
    "_token",
    "-token",
    "_secret",
    "-api-key",
    "password",
];

/// Names of parameters that let somebody in where their value is a long one.
const PERHAPS: [&str; 5] = ["key", "code", "auth", "session", "ticket"];

/// Shortest value of these that is taken for a secret, in bytes.
const LONG_VALUE: usize = 20;

/// Returns a text in which the parameters of URLs that let somebody in have no value, and users of URLs no password.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'=', b':', b'%', &text.as_bytes()[at..]) {
        let place = at + found;
        at = place + 1;
        let rest = &text[place..];
        let value = if let Some(value) = rest.strip_prefix('=') {
            parameter(&text[copied..place], value).map(|size| place + 1..place + 1 + size)
        } else if starts_with(rest, "%3d") {
            parameter(&text[copied..place], &rest[3..]).map(|size| place + 3..place + 3 + size)
        } else if let Some(address) = rest.strip_prefix("://") {
            user(address).map(|size| place + 3..place + 3 + size)
        } else {
            None
        };
        if let Some(value) = value {
            masked.push_str(&text[copied..value.start]);
            masked.push_str(HIDDEN);
            copied = value.end;
            at = value.end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// Returns the length of the value of a parameter whose name ends `before`, if it is to be hidden.
fn parameter(before: &str, after: &str) -> Option<usize> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name = before.bytes().rev().take(LONGEST_NAME);
    let length = name.take_while(|byte| is_name(byte)).count();
    let (before, name) = before.split_at(before.len() - length);
    let name = match before.as_bytes().last()? {
        // `;` ends `&amp;`.
        b'?' | b'&' | b';' | b'#' => name,
        b'%' => without_prefix(name, &["26", "3f"])?,
        b'\\' => without_prefix(name, &["u0026", "u003f"])?,
        _ => return None,
    };
    let name = name.to_ascii_lowercase();
    let length = value(after);
    let is_hidden = SECRET.contains(&&*name)
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
        || (PERHAPS.contains(&&*name) && length >= LONG_VALUE);
    // A placeholder is no secret.
    (is_hidden && length > 0 && !after.starts_with("{{")).then_some(length)
}

fn without_prefix<'a>(name: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    let found = prefixes.iter().find(|prefix| starts_with(name, prefix))?;
    name.get(found.len()..)
}

fn starts_with(text: &str, prefix: &str) -> bool {
    let start = text.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Returns the length of the value of a parameter.
fn value(text: &str) -> usize {
    let is_end = |(at, c): &(usize, char)| {
        c.is_whitespace()
            || matches!(
                c,
                '&' | '#' | '"' | '\'' | '<' | '>' | '`' | '\\' | ',' | ';' | ')' | ']' | '}'
            )
            || starts_with(&text[*at..], "%26")
    };
    let end = text.char_indices().find(is_end);
    end.map_or(text.len(), |(at, _)| at)
}

/// Returns the length of a user and password that a server's name follows.
fn user(text: &str) -> Option<usize> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '<' | '>');
    let authority = text.find(is_end).map_or(text, |end| &text[..end]);
    let user = authority.rfind('@')?;
    authority[..user].contains(':').then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_somebody_in_has_no_value() {
        for (text, shown) in [
            (
                "https://a.example/b?sv=2024&sig=aB%2Bc%3D&se=1",
                "https://a.example/b?sv=2024&sig=***&se=1",
            ),
            (
                "see <https://a/x?X-Amz-Credential=AK%2F1&X-Amz-Signature=00ff>, and",
                "see <https://a/x?X-Amz-Credential=***&X-Amz-Signature=***>, and",
            ),
            (
                "{\"url\":\"https://a/?a=1\\u0026access_token=x.y-z\",\"n\":1}",
                "{\"url\":\"https://a/?a=1\\u0026access_token=***\",\"n\":1}",
            ),
            (
                "/next?a=1&amp;client_secret=x",
                "/next?a=1&amp;client_secret=***",
            ),
            (
                "https://a/?to=https%3A%2F%2Fb%2F%3FSIG%3Dabc%26x%3D1",
                "https://a/?to=https%3A%2F%2Fb%2F%3FSIG%3D***%26x%3D1",
            ),
            ("https://me:pass@a.example/", "https://***@a.example/"),
            (
                "https://a/?code=0123456789abcdef0123",
                "https://a/?code=***",
            ),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(masked(shown), shown, "once is enough");
        }
        for text in [
            "",
            "https://a/?key={{secret:TOKEN}}&sig={{secret:B}}",
            "https://a/?key=10.0.0.1&code=404&q=sig",
            "sig=abc, token=abc",
            "https://a.example:8443/?sig=&x=é",
            "a == b & c = d; e=f",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
