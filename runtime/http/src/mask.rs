//! Masks tokens and passwords in URLs, for records, logs and messages.
//!
//! Placeholders keep the operator's secrets out of these texts. Some URLs carry a secret of their own: a server signs a URL
//! and answers or redirects with it (`sig`, `X-Amz-BodySignature`), or a plugin's configuration contains one.

use std::borrow::Cow;

/// Replaces a masked value.
const MASK: &str = "***";

/// Maximum length of a parameter name that is read, in bytes.
const MAX_NAME: usize = 48;

/// Names of parameters whose value is a secret, in lower case.
const SECRET_NAMES: [&str; 16] = [
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

/// Endings of further such names.
const SECRET_SUFFIXES: [&str; 7] = [
    "signature",
    "credential",
    "_token",
    "-token",
    "_secret",
    "-api-key",
    "password",
];

/// Names of parameters whose value is a secret only if it is long.
const SECRET_IF_LONG: [&str; 5] = ["key", "code", "auth", "session", "ticket"];

/// Minimum length of such a value, in bytes.
const LONG_VALUE: usize = 20;

/// Returns a text in which secret parameters of URLs are masked, and so are user names with passwords.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(offset) = memchr::memchr3(b'=', b':', b'%', &text.as_bytes()[at..]) {
        let start = at + offset;
        at = start + 1;
        let rest = &text[start..];
        let value = if let Some(value) = rest.strip_prefix('=') {
            parameter(&text[copied..start], value).map(|size| start + 1..start + 1 + size)
        } else if starts_with(rest, "%3d") {
            parameter(&text[copied..start], &rest[3..]).map(|size| start + 3..start + 3 + size)
        } else if let Some(address) = rest.strip_prefix("://") {
            user(address).map(|size| start + 3..start + 3 + size)
        } else {
            None
        };
        if let Some(value) = value {
            masked.push_str(&text[copied..value.start]);
            masked.push_str(MASK);
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

/// Returns the length of the value of a parameter, if it must be masked; its name is the end of `before`.
fn parameter(before: &str, after: &str) -> Option<usize> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name = before.bytes().rev().take(MAX_NAME);
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
    let is_secret = SECRET_NAMES.contains(&&*name)
        || SECRET_SUFFIXES.iter().any(|end| name.ends_with(end))
        || (SECRET_IF_LONG.contains(&&*name) && length >= LONG_VALUE);
    // A placeholder is not a secret.
    (is_secret && length > 0 && !after.starts_with("{{")).then_some(length)
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

/// Returns the length of the user name and password before the name of a server.
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
    fn secret_parameters_and_passwords_are_masked() {
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
