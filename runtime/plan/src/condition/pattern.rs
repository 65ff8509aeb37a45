//! Patterns of `LIKE` and `ILIKE`: `%` is any text, `_` one character, and a backslash is a character like any other.
//!
//! A path of Windows is full of backslashes, so only a character that `ESCAPE` names takes `%` and `_` their meaning. Atoms
//! and expressions read a pattern here, so that both find the same.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use regex::Regex;
use yagura_rules::predicate::GlobPart;

/// Why a pattern of `LIKE` cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LikePatternError {
    /// Nothing follows the escape character at its end.
    #[error(
        "the pattern `{pattern}` of LIKE ends with its escape character `{escape}`; double it to mean the character itself"
    )]
    EscapeAtEnd {
        /// The pattern.
        pattern: String,
        /// Its escape character.
        escape: char,
    },
    /// It is longer than an expression can hold.
    #[error("`{0}` is a pattern of LIKE that is too long")]
    TooLong(String),
}

/// A pattern that is written out in the rule.
#[derive(Debug, Clone)]
pub(super) struct LikePattern {
    parts: Vec<GlobPart>,
    /// Whether upper and lower case are one.
    folded: bool,
    regex: Regex,
}

impl LikePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it: an escape character at its end, or more than an expression can hold.
    pub(super) fn new(
        pattern: &str,
        escape: Option<char>,
        folded: bool,
    ) -> Result<Self, LikePatternError> {
        let parts = pattern_parts(&fold(pattern, folded), escape.map(|c| fold_char(c, folded)))?;
        let regex = Regex::new(&regex_of(&parts))
            .map_err(|_| LikePatternError::TooLong(pattern.to_owned()))?;
        Ok(Self {
            parts,
            folded,
            regex,
        })
    }

    /// Returns whether the whole text fits the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(&fold(text, self.folded))
    }
}

impl PartialEq for LikePattern {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded && self.parts == other.parts
    }
}

impl Eq for LikePattern {}

impl Hash for LikePattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
        self.parts.hash(state);
    }
}

/// Splits a pattern into its pieces.
///
/// # Errors
/// An escape character that nothing follows.
pub(crate) fn pattern_parts(
    pattern: &str,
    escape: Option<char>,
) -> Result<Vec<GlobPart>, LikePatternError> {
    let mut parts: Vec<GlobPart> = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let literal = if Some(letter) == escape {
            Some(
                letters
                    .next()
                    .ok_or_else(|| LikePatternError::EscapeAtEnd {
                        pattern: pattern.to_owned(),
                        escape: letter,
                    })?,
            )
        } else {
            (!matches!(letter, '%' | '_')).then_some(letter)
        };
        match (literal, letter, parts.last_mut()) {
            (Some(literal), _, Some(GlobPart::Literal(text))) => text.push(literal),
            (Some(literal), _, _) => parts.push(GlobPart::Literal(literal.to_string())),
            (None, '%', Some(GlobPart::Any)) => {}
            (None, '%', _) => parts.push(GlobPart::Any),
            (None, _, _) => parts.push(GlobPart::One),
        }
    }
    Ok(parts)
}

/// Returns whether a text fits a pattern that comes from the event, which is not worth compiling.
pub(super) fn matches_once(
    text: &str,
    pattern: &str,
    escape: Option<char>,
    folded: bool,
) -> Result<bool, LikePatternError> {
    let parts = pattern_parts(&fold(pattern, folded), escape.map(|c| fold_char(c, folded)))?;
    let text: Vec<char> = fold(text, folded).chars().collect();
    let mut wanted: Vec<PatternChar> = Vec::new();
    for part in &parts {
        match part {
            GlobPart::Literal(literal) => wanted.extend(literal.chars().map(PatternChar::This)),
            GlobPart::One => wanted.push(PatternChar::One),
            GlobPart::Any => wanted.push(PatternChar::Any),
        }
    }
    // The last `%` and where its text ends so far: the only place to come back to.
    let mut back: Option<(usize, usize)> = None;
    let (mut at, mut next) = (0, 0);
    while at < text.len() {
        match wanted.get(next) {
            Some(PatternChar::Any) => {
                back = Some((next, at));
                next += 1;
                continue;
            }
            Some(PatternChar::One) => {}
            Some(PatternChar::This(letter)) if *letter == text[at] => {}
            _ => {
                let Some((any, end)) = back else {
                    return Ok(false);
                };
                back = Some((any, end + 1));
                (at, next) = (end + 1, any + 1);
                continue;
            }
        }
        at += 1;
        next += 1;
    }
    Ok(wanted[next..].iter().all(|rest| *rest == PatternChar::Any))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PatternChar {
    This(char),
    One,
    Any,
}

fn regex_of(parts: &[GlobPart]) -> String {
    let mut pattern = String::from("(?s)^");
    for part in parts {
        match part {
            GlobPart::Literal(text) => pattern.push_str(&regex::escape(text)),
            GlobPart::Any => pattern.push_str(".*"),
            GlobPart::One => pattern.push('.'),
        }
    }
    pattern.push('$');
    pattern
}

/// Takes upper and lower case for one, as the prefilter does.
pub(crate) fn fold(text: &str, folded: bool) -> Cow<'_, str> {
    if folded {
        yagura_rules::case_folding::fold(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// Folds the escape character with the pattern.
pub(crate) fn fold_char(letter: char, folded: bool) -> char {
    let mut text = [0; 4];
    let text = letter.encode_utf8(&mut text);
    fold(text, folded).chars().next().unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pattern means, as plainly as it can be said.
    fn reference(text: &[char], pattern: &[char], escape: Option<char>) -> bool {
        match pattern {
            [] => text.is_empty(),
            [first, second, rest @ ..] if Some(*first) == escape => {
                text.first() == Some(second) && reference(&text[1..], rest, escape)
            }
            ['%', rest @ ..] => (0..=text.len()).any(|n| reference(&text[n..], rest, escape)),
            ['_', rest @ ..] => !text.is_empty() && reference(&text[1..], rest, escape),
            [letter, rest @ ..] => {
                text.first() == Some(letter) && reference(&text[1..], rest, escape)
            }
        }
    }

    #[test]
    fn a_pattern_means_what_it_says() {
        // A generator by itself, so that a failure can be seen again.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed >> 33).unwrap() % below
        };
        let letters = ['\\', '%', '_', 'a', 'B', '\n', 'é', '!', '.', '*'];
        let mut matched = 0;
        for _ in 0..20_000 {
            let mut some = |most: usize| -> Vec<char> {
                (0..random(most))
                    .map(|_| letters[random(letters.len())])
                    .collect()
            };
            let (text, pattern) = (some(7), some(7));
            for escape in [None, Some('\\'), Some('!'), Some('%')] {
                let (t, p): (String, String) = (text.iter().collect(), pattern.iter().collect());
                let Ok(compiled) = LikePattern::new(&p, escape, false) else {
                    assert!(matches_once(&t, &p, escape, false).is_err());
                    assert_eq!(pattern.last().copied(), escape, "{p:?}");
                    continue;
                };
                let wanted = reference(&text, &pattern, escape);
                matched += usize::from(wanted);
                assert_eq!(
                    compiled.matches(&t),
                    wanted,
                    "{t:?} LIKE {p:?} ESCAPE {escape:?}"
                );
                assert_eq!(
                    matches_once(&t, &p, escape, false).unwrap(),
                    wanted,
                    "{t:?} {p:?}"
                );
                let lower: Vec<char> = fold(&t, true).chars().collect();
                let small: Vec<char> = fold(&p, true).chars().collect();
                let folded = LikePattern::new(&p, escape, true).unwrap();
                assert_eq!(
                    folded.matches(&t),
                    reference(&lower, &small, escape),
                    "{t:?} {p:?}"
                );
            }
        }
        assert!(matched > 2_000, "{matched}");
    }
}
