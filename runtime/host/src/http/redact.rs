//! Puts placeholders back where an answer or a message holds a secret.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use yagura_core::alert::hex;

/// Shortest form that is looked for, in bytes: shorter ones are in every text.
const SHORTEST: usize = 4;

/// Shortest segment of a secret with slashes that is looked for by itself, in bytes.
const SHORTEST_SEGMENT: usize = 12;

/// Finds secrets in all the forms in which servers repeat what they were sent: as they are, in base64, in hexadecimal,
/// percent-encoded, and as JSON and HTML escape them.
///
/// A server that means to give a secret away can hide it in a form of its own; that is why a secret goes only to the hosts
/// that its grant names.
#[derive(Debug)]
pub(crate) struct Redactor {
    forms: Forms,
    placeholders: Vec<String>,
}

#[derive(Debug)]
enum Forms {
    Nothing,
    Some(AhoCorasick),
    /// There are more than can be looked for, so nothing may pass.
    TooMany,
}

impl Redactor {
    /// Makes a redactor of names and values.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut placeholders = Vec::new();
        for (name, value) in secrets {
            for form in forms(value) {
                if form.len() >= SHORTEST && !patterns.contains(&form) {
                    patterns.push(form);
                    placeholders.push(format!("{{{{secret:{name}}}}}"));
                }
            }
        }
        let forms = match AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
        {
            Ok(_) if patterns.is_empty() => Forms::Nothing,
            Ok(forms) => Forms::Some(forms),
            Err(_) => Forms::TooMany,
        };
        Self {
            forms,
            placeholders,
        }
    }

    /// Returns the bytes with placeholders.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match &self.forms {
            Forms::Some(forms) if forms.is_match(&bytes) => {
                forms.replace_all_bytes(&bytes, &self.placeholders)
            }
            Forms::Nothing | Forms::Some(_) => bytes,
            Forms::TooMany => Vec::new(),
        }
    }

    /// Returns the text with placeholders.
    pub(crate) fn text(&self, text: String) -> String {
        match &self.forms {
            Forms::Some(forms) if forms.is_match(&text) => {
                // A secret that is not text may have cut a character in two.
                let bytes = forms.replace_all_bytes(text.as_bytes(), &self.placeholders);
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Forms::Nothing | Forms::Some(_) => text,
            Forms::TooMany => String::new(),
        }
    }
}

/// Returns every form of a secret.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    for offset in 0..3 {
        forms.extend(base64_inside(value, offset));
    }
    let digits = hex(value);
    forms.push(digits.to_ascii_uppercase().into_bytes());
    forms.push(digits.into_bytes());
    // As much as possible encoded, as little, and as little but the slash.
    for kept in ["", "-._~", "-._~/", "-._~!$&'()*+,;=:@/"] {
        let encoded: String = value
            .iter()
            .map(|byte| match kept.as_bytes().contains(byte) {
                true => char::from(*byte).to_string(),
                false => percent_encode(&[*byte], NON_ALPHANUMERIC).to_string(),
            })
            .collect();
        forms.push(lower_escapes(&encoded).into_bytes());
        forms.push(encoded.replace("%20", "+").into_bytes());
        forms.push(encoded.into_bytes());
    }
    if let Ok(text) = std::str::from_utf8(value) {
        let json = serde_json::Value::from(text).to_string();
        let json = &json[1..json.len() - 1];
        forms.push(json.replace('/', "\\/").into_bytes());
        let mut cautious = json.to_owned();
        for (from, to) in [
            ('<', "\\u003c"),
            ('>', "\\u003e"),
            ('&', "\\u0026"),
            ('\'', "\\u0027"),
        ] {
            cautious = cautious.replace(from, to);
        }
        forms.push(ascii_json(&cautious).into_bytes());
        forms.push(cautious.into_bytes());
        forms.push(ascii_json(json).into_bytes());
        forms.push(json.to_owned().into_bytes());
        let html = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        forms.push(
            html.replace('"', "&quot;")
                .replace('\'', "&#39;")
                .into_bytes(),
        );
        forms.push(html.into_bytes());
    }
    // A message may name the last part alone of one like Slack's `T…/B…/…`.
    if value.contains(&b'/') {
        let segments = value.split(|byte| *byte == b'/');
        forms.extend(
            segments
                .filter(|segment| segment.len() >= SHORTEST_SEGMENT)
                .map(<[u8]>::to_vec),
        );
    }
    forms
}

/// Returns what base64 makes of a secret that follows `offset` other bytes, in both alphabets: only the characters that
/// follow from the secret alone.
fn base64_inside(value: &[u8], offset: usize) -> [Vec<u8>; 2] {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(value);
    let first = (8 * offset).div_ceil(6);
    let last = 8 * bytes.len() / 6;
    [
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ]
    .map(|text| text.as_bytes()[first.min(last)..last].to_vec())
}

/// Writes the digits of percent-encoding in lower case.
fn lower_escapes(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    let mut digits = 0;
    for character in text.chars() {
        if character == '%' {
            digits = 3;
        }
        match digits {
            0 => lower.push(character),
            _ => {
                digits -= 1;
                lower.push(character.to_ascii_lowercase());
            }
        }
    }
    lower
}

/// Escapes what is not ASCII, as many JSON encoders do.
fn ascii_json(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const VALUE: &str = "s3cr/t+\"<ké> \u{7f}zz";

    fn redactor() -> Redactor {
        let secrets = [
            ("A", VALUE.as_bytes()),
            ("HOOK", b"T0000/B0000/abcdefghijkl"),
            ("LONG", b"s3cr/t+ and more"),
        ];
        Redactor::new(secrets.into_iter())
    }

    #[test]
    fn every_form_of_a_secret_is_found() {
        let json = serde_json::to_string(VALUE).unwrap();
        let json = json.trim_matches('"').to_owned();
        let percent = percent_encode(VALUE.as_bytes(), NON_ALPHANUMERIC).to_string();
        let form: String = url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect();
        for text in [
            VALUE.to_owned(),
            hex(VALUE.as_bytes()),
            hex(VALUE.as_bytes()).to_ascii_uppercase(),
            percent.clone(),
            percent.to_ascii_lowercase(),
            json.clone(),
            json.replace('/', "\\/"),
            json.replace('é', "\\u00e9"),
            json.replace('<', "\\u003c").replace('>', "\\u003e"),
        ] {
            let found = redactor().text(format!("<{text}>"));
            // Lower case is another secret, where letters are in the secret itself.
            assert_eq!(found, "<{{secret:A}}>", "{text}");
        }
        let found = redactor().text(form.clone());
        assert_eq!(found, "{{secret:A}}", "{form}");
    }

    #[test]
    fn base64_is_found_wherever_it_begins() {
        for before in ["", "u", "us", "use", "user:", "a longer user:"] {
            for after in ["", "!", "!!", " and more"] {
                let text = format!("{before}{VALUE}{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let found = redactor().text(encoded.clone());
                    assert!(found.contains("{{secret:A}}"), "{text}: {found}");
                    // What is left around it does not hold a byte of the secret.
                    let kept = found.len() - "{{secret:A}}".len();
                    let others = (before.len() + after.len()) * 8;
                    assert!(kept <= others.div_ceil(6) + 4, "{text}: {found}");
                }
            }
        }
    }

    #[test]
    fn the_longest_secret_wins_and_parts_of_a_path_are_found() {
        assert_eq!(
            redactor().text("x s3cr/t+ and more".to_owned()),
            "x {{secret:LONG}}"
        );
        assert_eq!(
            redactor().text("token abcdefghijkl of B0000".to_owned()),
            "token {{secret:HOOK}} of B0000"
        );
        let nothing = Redactor::new(std::iter::empty());
        assert_eq!(nothing.bytes(b"abc".to_vec()), b"abc");
    }
}
