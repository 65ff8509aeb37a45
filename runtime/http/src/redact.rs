//! Replaces secrets in answers and messages by their placeholders.
//!
//! A text is searched as it is, and decoded up to two times: each [`EncodingDecoder`] and each piece of compressed data gives another
//! text. In all of them letter case, white space, `=` and `+` are ignored, and a part of a secret counts if it identifies the
//! secret. A match is replaced in the original text.
//!
//! The time of a search grows linearly with the size of the text. A server that wants to leak a secret can encode it in a way
//! of its own; so a secret only goes to the hosts that its grant names.

mod decode;
mod error;
mod escapes;
mod unpack;
mod value;

use std::ops::Range;

use aho_corasick::AhoCorasick;

use decode::EncodingDecoder;
pub(crate) use error::Unsearchable;
use escapes::Escapes;
use unpack::{Allowance, unpack};
use value::{SecretValue, are_words, base64_inside, counting};

pub(crate) use value::{MIN_COUNTING, is_ignored};

/// How many encodings are decoded, one after the other.
const MAX_DEPTH: usize = 2;

/// Minimum length of a segment of a secret with slashes that is searched for by itself, in bytes.
const MIN_SEGMENT: usize = 12;

/// Minimum length of an encoded form of a secret that is searched for without decoding, in bytes.
const MIN_FORM: usize = 8;

/// Replaces a text that cannot be searched.
const NOT_SEARCHED: &str = "(left out: it cannot be searched for secrets)";

/// Finds secrets in all the forms in which servers repeat what they were sent.
pub(crate) struct Redactor {
    names: Vec<String>,
    values: Vec<SecretValue>,
    matcher: RedactMatcher,
    /// By the number of a pattern of `matcher`: what it stands for.
    patterns: Vec<RedactedForm>,
    decoders: Vec<EncodingDecoder>,
}

/// Finds all patterns in one pass.
enum RedactMatcher {
    /// There are no secrets.
    Empty,
    Patterns(AhoCorasick),
    TooMany,
}

/// What a pattern stands for.
#[derive(Debug, Clone, Copy)]
enum RedactedForm {
    /// An identifying part of the value with this number; more of the value may stand around it.
    PartOfValue(usize),
    /// A whole encoded form of the secret with this number.
    EncodedForm(usize),
}

/// An occurrence of a secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretMatch {
    range: Range<usize>,
    /// Number of the secret's name.
    name: usize,
}

impl Redactor {
    /// Makes a redactor of names and values.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut values = Vec::new();
        let mut forms: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut decoders = decoders();
        for (name, value) in secrets {
            let name = match names.iter().position(|known| known == name) {
                Some(known) => known,
                None => {
                    names.push(name.to_owned());
                    names.len() - 1
                }
            };
            for variant in variants(value) {
                for decoder in decoders_for(&variant) {
                    if !decoders.contains(&decoder) {
                        decoders.push(decoder);
                    }
                }
                let value = SecretValue::new(name, &variant);
                if !value.is_too_short() {
                    values.push(value);
                }
            }
            forms.extend(other_forms(value).map(|form| (name, form)));
        }
        let mut texts: Vec<&[u8]> = Vec::new();
        let mut patterns = Vec::new();
        for (number, value) in values.iter().enumerate() {
            for part in value.identifying_parts() {
                texts.push(part);
                patterns.push(RedactedForm::PartOfValue(number));
            }
        }
        for (name, form) in &forms {
            texts.push(form);
            patterns.push(RedactedForm::EncodedForm(*name));
        }
        let matcher = match AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&texts)
        {
            Ok(_) if texts.is_empty() => RedactMatcher::Empty,
            Ok(automaton) => RedactMatcher::Patterns(automaton),
            Err(_) => RedactMatcher::TooMany,
        };
        Self {
            names,
            values,
            matcher,
            patterns,
            decoders,
        }
    }

    /// Returns the bytes with placeholders.
    ///
    /// # Errors
    /// [`Unsearchable`]
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Unsearchable> {
        let mut allowance = Allowance::of(bytes.len());
        let matches = self.find(&bytes, 0, &mut allowance)?;
        if matches.is_empty() {
            return Ok(bytes);
        }
        let mut redacted = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for found in merged(matches) {
            redacted.extend_from_slice(&bytes[at..found.range.start]);
            redacted
                .extend_from_slice(format!("{{{{secret:{}}}}}", self.names[found.name]).as_bytes());
            at = found.range.end;
        }
        redacted.extend_from_slice(&bytes[at..]);
        Ok(redacted)
    }

    /// Returns the text with placeholders, or a note if the text cannot be searched.
    pub(crate) fn text(&self, text: String) -> String {
        match self.bytes(text.into_bytes()) {
            // A secret that is not UTF-8 may have split a character.
            Ok(bytes) => String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            Err(_) => NOT_SEARCHED.to_owned(),
        }
    }

    /// Returns all secrets in a text, in no order.
    fn find(
        &self,
        text: &[u8],
        depth: usize,
        allowance: &mut Allowance,
    ) -> Result<Vec<SecretMatch>, Unsearchable> {
        let automaton = match &self.matcher {
            RedactMatcher::Empty => return Ok(Vec::new()),
            RedactMatcher::TooMany => return Err(Unsearchable::TooMany),
            RedactMatcher::Patterns(automaton) => automaton,
        };
        let mut matches = self.scan(automaton, text);
        if depth == MAX_DEPTH {
            return Ok(matches);
        }
        for decoder in &self.decoders {
            let Some(decoded) = decoder.decode(text) else {
                continue;
            };
            let inner = merged(self.find(&decoded, depth + 1, allowance)?);
            if inner.is_empty() {
                continue;
            }
            let names = inner.iter().map(|found| found.name);
            let ranges = decoder.ranges(text, inner.iter().map(|found| found.range.clone()));
            let ranges = ranges.into_iter().zip(names);
            matches.extend(ranges.map(|(range, name)| SecretMatch { range, name }));
        }
        unpack(text, depth == 0, allowance, |allowance, range, unpacked| {
            let inner = self.find(&unpacked, depth + 1, allowance)?;
            let first = inner.into_iter().next();
            matches.extend(first.map(|found| SecretMatch { range, ..found }));
            Ok(())
        })?;
        Ok(matches)
    }

    /// Returns the secrets in a text without decoding it.
    fn scan(&self, automaton: &AhoCorasick, text: &[u8]) -> Vec<SecretMatch> {
        let counted = counting(text);
        let mut has_part = vec![false; self.values.len()];
        let mut forms: Vec<SecretMatch> = Vec::new();
        for found in automaton.find_overlapping_iter(&*counted) {
            match self.patterns[found.pattern().as_usize()] {
                RedactedForm::PartOfValue(value) => has_part[value] = true,
                RedactedForm::EncodedForm(name) => forms.push(SecretMatch {
                    range: found.range(),
                    name,
                }),
            }
        }
        let present = self
            .values
            .iter()
            .zip(has_part)
            .filter(|(_, has_part)| *has_part);
        let present: Vec<&SecretValue> = present.map(|(value, _)| value).collect();
        if forms.is_empty() && present.is_empty() {
            return forms;
        }
        // Positions in the text of the bytes that count.
        let positions: Vec<usize> = (0..text.len())
            .filter(|at| !is_ignored(text[*at]))
            .collect();
        let in_text = |range: Range<usize>| {
            let first = positions.get(range.start)?;
            let last = positions.get(range.end.checked_sub(1)?)?;
            Some(*first..*last + 1)
        };
        let mut matches: Vec<SecretMatch> = forms
            .into_iter()
            .filter_map(|form| {
                Some(SecretMatch {
                    range: in_text(form.range)?,
                    ..form
                })
            })
            .collect();
        for value in present {
            let ranges = value.find(&counted).into_iter().filter_map(in_text);
            matches.extend(ranges.map(|range| SecretMatch {
                range: value.widened(text, range),
                name: value.name,
            }));
        }
        matches
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Merges overlapping matches and sorts them. The longest match gives the name.
fn merged(mut matches: Vec<SecretMatch>) -> Vec<SecretMatch> {
    matches.sort_by(|a, b| {
        let order = a.range.start.cmp(&b.range.start);
        order.then(b.range.end.cmp(&a.range.end))
    });
    let mut merged: Vec<SecretMatch> = Vec::new();
    let mut longest = 0;
    for next in matches {
        match merged.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                if next.range.len() > longest {
                    longest = next.range.len();
                    last.name = next.name;
                }
                last.range.end = last.range.end.max(next.range.end);
            }
            _ => {
                longest = next.range.len();
                merged.push(next);
            }
        }
    }
    merged
}

/// Returns the decoders that are tried on every text.
fn decoders() -> Vec<EncodingDecoder> {
    let together = Escapes {
        percent: true,
        backslash: true,
        entity: true,
        ..Escapes::default()
    };
    // Separate: a `=` before a secret is common, and together with two digits of the secret it looks like an escape.
    let quoted = Escapes {
        quoted: true,
        ..Escapes::default()
    };
    // Form data, where `+` is a space: this matters within compressed data.
    let form = Escapes {
        percent: true,
        plus: true,
        ..Escapes::default()
    };
    let escapes = [together, quoted, form].map(EncodingDecoder::Escapes);
    let base64 = (0..4).map(EncodingDecoder::Base64);
    let hex = (0..2).map(EncodingDecoder::Hex);
    escapes.into_iter().chain(base64).chain(hex).collect()
}

/// Returns the further decoders for a value that itself looks like escaped text: each kind of escape separately.
fn decoders_for(value: &[u8]) -> Vec<EncodingDecoder> {
    let none = Escapes::default();
    let kinds = [
        Escapes {
            percent: true,
            ..none
        },
        Escapes {
            backslash: true,
            ..none
        },
        Escapes {
            entity: true,
            ..none
        },
    ];
    let kinds = kinds.map(EncodingDecoder::Escapes);
    match kinds.iter().any(|kind| kind.decode(value).is_some()) {
        true => kinds.to_vec(),
        false => Vec::new(),
    }
}

/// Returns a value, and its lower and upper case if it has letters outside ASCII.
fn variants(value: &[u8]) -> Vec<Vec<u8>> {
    let mut variants = vec![value.to_vec()];
    if !value.is_ascii()
        && let Ok(text) = std::str::from_utf8(value)
    {
        for other in [text.to_lowercase(), text.to_uppercase()] {
            if other.as_bytes() != value {
                variants.push(other.into_bytes());
            }
        }
    }
    variants
}

/// Returns the further forms of a value that are searched for, reduced to the bytes that count.
fn other_forms(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let encoded = (0..3).flat_map(|offset| base64_inside(value, offset));
    // A message may contain only the last segment of a secret such as Slack's `T…/B…/…`. A server name is not a secret.
    let segments = value.split(|byte| *byte == b'/').filter(|segment| {
        (MIN_SEGMENT..value.len()).contains(&segment.len()) && !are_words(segment)
    });
    let segments: Vec<Vec<u8>> = segments.map(<[u8]>::to_vec).collect();
    encoded
        .chain(segments)
        .map(|form| counting(&form).into_owned())
        .filter(|form| form.len() >= MIN_FORM)
}

#[cfg(test)]
mod tests;
