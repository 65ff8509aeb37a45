//! Puts placeholders back where an answer or a message holds a secret.
//!
//! A text is searched as it is and, to a depth of two, as what it is an encoding of: each [`Decoder`] and each piece of
//! compressed data gives another text. In all of them letter case, white space, `=` and `+` make no difference, and a part of a
//! secret counts where it tells the secret. What is found is replaced where it came from.
//!
//! The time that this takes grows with the size of the text and no faster. A server that means to give a secret away can hide it
//! in a form of its own; that is why a secret goes only to the hosts that its grant names.

mod decode;
mod unpack;
mod value;

use std::ops::Range;

use aho_corasick::AhoCorasick;

use decode::{Decoder, Escapes};
use unpack::{Allowance, unpack};
use value::{Value, are_words, base64_inside, counting};

pub(super) use value::{LEAST_COUNTING, is_passed_over};

/// How many encodings are undone, one after the other.
const DEPTH: usize = 2;

/// Shortest segment of a secret with slashes that is looked for by itself, in bytes.
const SHORTEST_SEGMENT: usize = 12;

/// Shortest form of a secret that is looked for without decoding, in bytes.
const SHORTEST_FORM: usize = 8;

/// What stands in place of a text that cannot be searched.
const NOT_SEARCHED: &str = "(left out: it cannot be searched for secrets)";

/// Why an answer cannot be searched for secrets, and so does not reach the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsearchable {
    /// It unpacks to too much.
    #[error(
        "the answer holds compressed data that is too large to be searched for secrets; ask the server for an answer without compression"
    )]
    Packed,
    /// There are more secrets than can be looked for.
    #[error(
        "the secrets of the configuration are too many to be looked for in answers; take those out that are not used"
    )]
    TooMany,
}

/// Finds secrets in all the forms in which servers repeat what they were sent.
pub(crate) struct Redactor {
    names: Vec<String>,
    values: Vec<Value>,
    marks: Marks,
    /// What each mark is of, by its number.
    of: Vec<Mark>,
    decoders: Vec<Decoder>,
}

enum Marks {
    Nothing,
    Some(AhoCorasick),
    TooMany,
}

/// What is found where a mark is.
#[derive(Debug, Clone, Copy)]
enum Mark {
    /// A part of a value, by its number, which may go on around the mark.
    Value(usize),
    /// All that is to be replaced, of the secret of this number.
    Form(usize),
}

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hit {
    place: Range<usize>,
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
                let value = Value::new(name, &variant);
                if !value.is_too_short() {
                    values.push(value);
                }
            }
            forms.extend(other_forms(value).map(|form| (name, form)));
        }
        let mut patterns: Vec<&[u8]> = Vec::new();
        let mut of = Vec::new();
        for (number, value) in values.iter().enumerate() {
            for mark in value.marks() {
                patterns.push(mark);
                of.push(Mark::Value(number));
            }
        }
        for (name, form) in &forms {
            patterns.push(form);
            of.push(Mark::Form(*name));
        }
        let marks = match AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&patterns)
        {
            Ok(_) if patterns.is_empty() => Marks::Nothing,
            Ok(marks) => Marks::Some(marks),
            Err(_) => Marks::TooMany,
        };
        Self {
            names,
            values,
            marks,
            of,
            decoders,
        }
    }

    /// Returns the bytes with placeholders.
    ///
    /// # Errors
    /// [`Unsearchable`]
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Unsearchable> {
        let mut allowance = Allowance::of(bytes.len());
        let hits = self.find(&bytes, 0, &mut allowance)?;
        if hits.is_empty() {
            return Ok(bytes);
        }
        let mut redacted = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for hit in merged(hits) {
            redacted.extend_from_slice(&bytes[at..hit.place.start]);
            redacted
                .extend_from_slice(format!("{{{{secret:{}}}}}", self.names[hit.name]).as_bytes());
            at = hit.place.end;
        }
        redacted.extend_from_slice(&bytes[at..]);
        Ok(redacted)
    }

    /// Returns the text with placeholders, or a note in place of one that cannot be searched.
    pub(crate) fn text(&self, text: String) -> String {
        match self.bytes(text.into_bytes()) {
            // A secret that is not text may have cut a character in two.
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
    ) -> Result<Vec<Hit>, Unsearchable> {
        let marks = match &self.marks {
            Marks::Nothing => return Ok(Vec::new()),
            Marks::TooMany => return Err(Unsearchable::TooMany),
            Marks::Some(marks) => marks,
        };
        let mut hits = self.scan(marks, text);
        if depth == DEPTH {
            return Ok(hits);
        }
        for decoder in &self.decoders {
            let Some(decoded) = decoder.decode(text) else {
                continue;
            };
            let inner = merged(self.find(&decoded, depth + 1, allowance)?);
            if inner.is_empty() {
                continue;
            }
            let names = inner.iter().map(|hit| hit.name);
            let places = decoder.places(text, inner.iter().map(|hit| hit.place.clone()));
            let places = places.into_iter().zip(names);
            hits.extend(places.map(|(place, name)| Hit { place, name }));
        }
        unpack(text, depth == 0, allowance, |allowance, place, unpacked| {
            let inner = self.find(&unpacked, depth + 1, allowance)?;
            let first = inner.into_iter().next();
            hits.extend(first.map(|hit| Hit { place, ..hit }));
            Ok(())
        })?;
        Ok(hits)
    }

    /// Returns the secrets that stand in a text as they are.
    fn scan(&self, marks: &AhoCorasick, text: &[u8]) -> Vec<Hit> {
        let counted = counting(text);
        let mut found = vec![false; self.values.len()];
        let mut hits: Vec<Hit> = Vec::new();
        for mark in marks.find_overlapping_iter(&*counted) {
            match self.of[mark.pattern().as_usize()] {
                Mark::Value(value) => found[value] = true,
                Mark::Form(name) => hits.push(Hit {
                    place: mark.range(),
                    name,
                }),
            }
        }
        let is_found = self.values.iter().zip(found).filter(|(_, found)| *found);
        let is_found: Vec<&Value> = is_found.map(|(value, _)| value).collect();
        if hits.is_empty() && is_found.is_empty() {
            return hits;
        }
        // Where the bytes that count stand in the text.
        let places: Vec<usize> = (0..text.len())
            .filter(|at| !is_passed_over(text[*at]))
            .collect();
        let place = |range: Range<usize>| {
            let first = places.get(range.start)?;
            let last = places.get(range.end.checked_sub(1)?)?;
            Some(*first..*last + 1)
        };
        let mut placed: Vec<Hit> = hits
            .into_iter()
            .filter_map(|hit| {
                Some(Hit {
                    place: place(hit.place)?,
                    ..hit
                })
            })
            .collect();
        for value in is_found {
            let ranges = value.find(&counted).into_iter().filter_map(place);
            placed.extend(ranges.map(|range| Hit {
                place: value.widened(text, range),
                name: value.name,
            }));
        }
        placed
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Joins hits that overlap, and brings them into order. The longest one names them.
fn merged(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by(|a, b| {
        let order = a.place.start.cmp(&b.place.start);
        order.then(b.place.end.cmp(&a.place.end))
    });
    let mut merged: Vec<Hit> = Vec::new();
    let mut longest = 0;
    for hit in hits {
        match merged.last_mut() {
            Some(last) if hit.place.start < last.place.end => {
                if hit.place.len() > longest {
                    longest = hit.place.len();
                    last.name = hit.name;
                }
                last.place.end = last.place.end.max(hit.place.end);
            }
            _ => {
                longest = hit.place.len();
                merged.push(hit);
            }
        }
    }
    merged
}

/// Returns the decoders that every text is given to.
fn decoders() -> Vec<Decoder> {
    let together = Escapes {
        percent: true,
        backslash: true,
        entity: true,
        ..Escapes::default()
    };
    // By itself: a `=` before a secret is common, and with two digits of it would be an escape.
    let quoted = Escapes {
        quoted: true,
        ..Escapes::default()
    };
    // Of a form, where `+` is a blank: in what is compressed it makes a difference.
    let form = Escapes {
        percent: true,
        plus: true,
        ..Escapes::default()
    };
    let escapes = [together, quoted, form].map(Decoder::Escapes);
    let base64 = (0..4).map(Decoder::Base64);
    let hex = (0..2).map(Decoder::Hex);
    escapes.into_iter().chain(base64).chain(hex).collect()
}

/// Returns the decoders that a value needs beside those: each kind of escapes by itself, for one that seems to hold escapes itself.
fn decoders_for(value: &[u8]) -> Vec<Decoder> {
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
    let kinds = kinds.map(Decoder::Escapes);
    match kinds.iter().any(|kind| kind.decode(value).is_some()) {
        true => kinds.to_vec(),
        false => Vec::new(),
    }
}

/// Returns a value, and where it has letters outside ASCII what it is in small and in capital letters.
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

/// Returns what else is looked for of a value, as far as it counts.
fn other_forms(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let encoded = (0..3).flat_map(|offset| base64_inside(value, offset));
    // A message may name the last part alone of one like Slack's `T…/B…/…`; the name of a server tells nothing.
    let segments = value.split(|byte| *byte == b'/').filter(|segment| {
        (SHORTEST_SEGMENT..value.len()).contains(&segment.len()) && !are_words(segment)
    });
    let segments: Vec<Vec<u8>> = segments.map(<[u8]>::to_vec).collect();
    encoded
        .chain(segments)
        .map(|form| counting(&form).into_owned())
        .filter(|form| form.len() >= SHORTEST_FORM)
}

#[cfg(test)]
mod tests;
