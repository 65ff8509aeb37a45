//! `windash`: a dash in a value stands for every character that Windows takes for one, and for `/`.

use rsigma_parser::SigmaString;
use rsigma_parser::value::{SpecialChar, StringPart};

use crate::predicate::TextOp;

/// All of them, which stand for each other.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];
/// Dashes of a value up to which each way to write it is a text of its own, which the search for literals takes at once.
pub(super) const MOST_WRITTEN: usize = 3;

/// A value with its dashes.
#[derive(Debug, PartialEq)]
pub(super) enum Dashed {
    /// Every way to write it.
    Few(Vec<SigmaString>),
    /// So many dashes that a pattern says it better ([`pattern`]).
    Many(usize),
}

/// Returns every way to write a value.
pub(super) fn variants(text: &SigmaString) -> Dashed {
    let count = text.parts.iter().map(|part| places(part).len()).sum();
    if count > MOST_WRITTEN {
        return Dashed::Many(count);
    }
    let mut variants = vec![SigmaString {
        parts: Vec::new(),
        original: text.original.clone(),
    }];
    for part in &text.parts {
        let written = match part {
            StringPart::Plain(text) => written(text, &places(part)),
            special @ StringPart::Special(_) => vec![special.clone()],
        };
        variants = variants
            .iter()
            .flat_map(|before| {
                written.iter().map(|part| {
                    let mut longer = before.clone();
                    longer.parts.push(part.clone());
                    longer
                })
            })
            .collect();
    }
    Dashed::Few(variants)
}

fn written(text: &str, places: &[usize]) -> Vec<StringPart> {
    let mut texts = vec![String::new()];
    for (at, letter) in text.char_indices() {
        if !places.contains(&at) {
            texts.iter_mut().for_each(|text| text.push(letter));
            continue;
        }
        texts = texts
            .iter()
            .flat_map(|before| DASHES.map(|dash| format!("{before}{dash}")))
            .collect();
    }
    texts.into_iter().map(StringPart::Plain).collect()
}

/// Returns where a piece of text has a dash: wherever one of the dashes is, and a `/` where it can begin an option, which
/// is before a word and not after one. So `http://a/b` has one, and `a/b` has none.
fn places(part: &StringPart) -> Vec<usize> {
    let StringPart::Plain(text) = part else {
        return Vec::new();
    };
    let is_of_word = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let is_dash = |(at, letter): &(usize, char)| match letter {
        '/' => {
            let behind = text[at + 1..].chars().next();
            !is_of_word(text[..*at].chars().next_back()) && is_of_word(behind)
        }
        other => DASHES.contains(other),
    };
    text.char_indices()
        .filter(is_dash)
        .map(|(at, _)| at)
        .collect()
}

/// Returns a regular expression for a value with many dashes, of which each way to write it would be too many texts.
pub(super) fn pattern(text: &SigmaString, op: TextOp, cased: bool, is_wide: bool) -> String {
    let mut pattern = String::from(if cased { "(?s)" } else { "(?si)" });
    if matches!(op, TextOp::Equals | TextOp::StartsWith) {
        pattern.push('^');
    }
    let dash: String = DASHES.map(|dash| regex::escape(&dash.to_string())).concat();
    for part in &text.parts {
        match part {
            StringPart::Special(SpecialChar::WildcardMulti) => pattern.push_str(".*"),
            StringPart::Special(SpecialChar::WildcardSingle) => pattern.push('.'),
            StringPart::Plain(text) => {
                let places = places(part);
                for (at, letter) in text.char_indices() {
                    if places.contains(&at) {
                        pattern.push('[');
                        pattern.push_str(&dash);
                        pattern.push(']');
                    } else {
                        pattern.push_str(&regex::escape(&letter.to_string()));
                    }
                    if is_wide {
                        pattern.push_str("\\x00");
                    }
                }
            }
        }
    }
    if matches!(op, TextOp::Equals | TextOp::EndsWith) {
        pattern.push('$');
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_stand_for_each_other_wherever_they_are() {
        let count = |text: &str| match variants(&SigmaString::new(text)) {
            Dashed::Few(texts) => texts.len(),
            Dashed::Many(count) => 1_000 + count,
        };
        for (text, want) in [
            ("", 1),
            ("enc", 1),
            (" -enc", 5),
            (" /enc", 5),
            (" –enc", 5),
            ("—a ―b", 25),
            ("/a", 5),
            ("*/a*", 5),
            ("a/b", 1),
            ("http://a/b", 5),
            ("/ a/", 1),
            ("a-b-c", 25),
            ("-a/b -c", 25),
            ("-a -b -c", 125),
            ("-a -b -c -d", 1_004),
            ("/a /b /c -d –e —f ―g", 1_007),
        ] {
            assert_eq!(count(text), want, "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_what_the_texts_would() {
        let long = SigmaString::new("-a /b *–c —?");
        let matches = |op, cased, text: &str| {
            crate::prefilter::values::regex(&pattern(&long, op, cased, false))
                .unwrap()
                .is_match(text)
        };
        for one in DASHES {
            for other in DASHES {
                let text = format!("{one}a {other}b x\n{one}c {other}!");
                assert!(matches(TextOp::Equals, true, &text), "{text}");
                assert!(
                    matches(TextOp::Equals, false, &text.to_uppercase()),
                    "{text}"
                );
                assert!(
                    !matches(TextOp::Equals, true, &text.to_uppercase()),
                    "{text}"
                );
                let inside = format!("x{text}x");
                assert!(matches(TextOp::Contains, true, &inside));
                assert!(!matches(TextOp::StartsWith, true, &inside));
                assert!(!matches(TextOp::EndsWith, true, &inside));
                assert!(matches(TextOp::StartsWith, true, &format!("{text}x")));
                assert!(matches(TextOp::EndsWith, true, &format!("x{text}")));
            }
        }
        assert!(!matches(TextOp::Contains, false, "+a /b –c —!"));
        let wide = pattern(&long, TextOp::Equals, true, true);
        let text: String = "-a -b ".chars().flat_map(|letter| [letter, '\0']).collect();
        let more: String = "/c /".chars().flat_map(|letter| [letter, '\0']).collect();
        let regex = crate::prefilter::values::regex(&wide).unwrap();
        assert!(regex.is_match(&format!("{text}{more}x")));
    }
}
