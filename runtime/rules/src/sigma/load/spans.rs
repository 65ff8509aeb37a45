//! Where the keys of a YAML document are, by the events of a parser.
//!
//! The parser of rules keeps no places, so a document that something is wrong with is read a second time, for its places only.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser};
use yagura_core::diagnostic::Key;

/// The keys of a document and their ranges in bytes of its text.
#[derive(Debug, Default)]
pub(super) struct Spans {
    entries: BTreeMap<Key, SpanEntry>,
    /// Keys in the order of the text.
    order: Vec<Key>,
}

#[derive(Debug)]
struct SpanEntry {
    /// Of the key's name or, in a list, of the element.
    name: Range<usize>,
    /// Of the value, where it is text on one line.
    value: Option<Range<usize>>,
    /// The value, where it is text.
    text: String,
}

/// A mapping or a list that is not closed yet.
#[derive(Debug)]
enum OpenContainer {
    Mapping {
        key: Key,
        /// The name whose value comes next.
        name: Option<(String, Range<usize>)>,
    },
    List {
        key: Key,
        next: usize,
    },
}

impl Spans {
    /// Reads a document, as far as it is YAML.
    pub(super) fn of(text: &str) -> Self {
        let starts = line_starts(text);
        let mut spans = Self::default();
        let mut open: Vec<OpenContainer> = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else {
                break;
            };
            let range = offset(text, &starts, span.start)..offset(text, &starts, span.end);
            match event {
                Event::Scalar(value, ..) => match open.last_mut() {
                    Some(OpenContainer::Mapping { name, .. }) if name.is_none() => {
                        *name = Some((value.into_owned(), range));
                    }
                    _ => spans.value(&mut open, range, Some(value.into_owned())),
                },
                Event::Alias(_) => spans.value(&mut open, range, None),
                Event::MappingStart(..) => {
                    let key = spans.container(&mut open, range);
                    open.push(OpenContainer::Mapping { key, name: None });
                }
                Event::SequenceStart(..) => {
                    let key = spans.container(&mut open, range);
                    open.push(OpenContainer::List { key, next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => _ = open.pop(),
                _ => {}
            }
        }
        spans
    }

    /// Says whether the document has a key.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Returns the range of a key's value or, where that is no short text, of its name.
    pub(super) fn range(&self, key: &Key) -> Option<Range<usize>> {
        let entry = self.entries.get(key)?;
        Some(entry.value.clone().unwrap_or_else(|| entry.name.clone()))
    }

    /// Returns the first key below `outer`, or that key itself, whose last step is `name`.
    pub(super) fn below(&self, outer: &Key, name: &str) -> Option<&Key> {
        let whole = outer.name(name);
        if let Some((key, _)) = self.entries.get_key_value(&whole) {
            return Some(key);
        }
        let last = Key::top(name);
        self.order.iter().find(|key| {
            key.steps().starts_with(outer.steps()) && key.steps().ends_with(last.steps())
        })
    }

    /// Returns the first key that holds a word, in its name or its text.
    pub(super) fn holding(&self, word: &str) -> Option<&Key> {
        let names = |key: &Key| match key.steps().last() {
            Some(yagura_core::diagnostic::KeyPart::Name(name)) => name.contains(word),
            _ => false,
        };
        self.order.iter().find(|key| {
            let text = self.entries.get(*key).map(|entry| entry.text.as_str());
            names(key) || text.is_some_and(|text| text.contains(word))
        })
    }

    /// Notes a mapping or a list, and returns its key.
    fn container(&mut self, open: &mut [OpenContainer], range: Range<usize>) -> Key {
        let Some((key, name)) = next(open, range) else {
            return Key::default();
        };
        self.add(key.clone(), name, None, String::new());
        key
    }

    fn value(&mut self, open: &mut [OpenContainer], range: Range<usize>, text: Option<String>) {
        let Some((key, name)) = next(open, range.clone()) else {
            return;
        };
        // A text over several lines, or one that is empty, is shown by its name.
        let is_short = text
            .as_ref()
            .is_some_and(|text| !text.contains('\n') && !range.is_empty());
        let value = is_short.then_some(range);
        self.add(key, name, value, text.unwrap_or_default());
    }

    fn add(&mut self, key: Key, name: Range<usize>, value: Option<Range<usize>>, text: String) {
        // Of equal keys, also those of further documents, the first one counts.
        if !self.entries.contains_key(&key) {
            self.order.push(key.clone());
            self.entries.insert(key, SpanEntry { name, value, text });
        }
    }
}

/// Returns the key of the value that begins, and the range of its name; nothing for a whole document, or for a name that is not
/// text.
fn next(open: &mut [OpenContainer], range: Range<usize>) -> Option<(Key, Range<usize>)> {
    match open.last_mut()? {
        OpenContainer::Mapping { key, name } => match name.take() {
            Some((text, of_name)) => Some((key.name(&text), of_name)),
            None => {
                *name = Some((String::new(), range));
                None
            }
        },
        OpenContainer::List { key, next } => {
            let element = key.index(*next);
            *next += 1;
            Some((element, range))
        }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(breaks).collect()
}

/// Returns the offset in bytes of a place that is given by line and column in characters.
fn offset(text: &str, starts: &[usize], at: Marker) -> usize {
    let Some(start) = starts.get(at.line().saturating_sub(1)) else {
        return text.len();
    };
    let mut characters = text[*start..].char_indices();
    let column = characters.nth(at.col()).map(|(column, _)| column);
    column.map_or(text.len(), |column| start + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "title: Größe\nid: 'a: b'\ndetection:\n  sel:\n    - CommandLine|contains:\n        - one\n        - \"two\"\n    - {a: b, \
                        Größe|re: x}\n  condition: |\n    sel\n";

    fn at(key: &Key) -> Option<&'static str> {
        Spans::of(RULE).range(key).map(|range| &RULE[range])
    }

    #[test]
    fn keys_lead_to_their_values() {
        let of = |key: &str| at(&Key::written(key));
        assert_eq!(of("title"), Some("Größe"));
        assert_eq!(of("id"), Some("'a: b'"));
        assert_eq!(of("detection.sel"), Some("sel"));
        assert_eq!(
            of("detection.sel[1].CommandLine|contains[2]"),
            Some("\"two\"")
        );
        assert_eq!(of("detection.sel[2].Größe|re"), Some("x"));
        assert_eq!(of("detection.condition"), Some("condition"));
        assert_eq!(of("level"), None);
    }

    #[test]
    fn a_key_is_found_below_another_and_by_a_word() {
        let spans = Spans::of(RULE);
        let sel = Key::written("detection.sel");
        let below = spans.below(&sel, "CommandLine|contains").unwrap();
        assert_eq!(below.to_string(), "detection.sel[1].CommandLine|contains");
        assert_eq!(spans.below(&sel, "condition"), None);
        assert_eq!(
            spans.holding("two").unwrap().to_string(),
            "detection.sel[1].CommandLine|contains[2]"
        );
        assert_eq!(
            spans.holding("|re").unwrap().to_string(),
            "detection.sel[2].Größe|re"
        );
    }

    #[test]
    fn what_is_no_yaml_is_read_as_far_as_it_is() {
        let spans = Spans::of("title: a\nid: [b\n");
        assert!(spans.has(&Key::top("title")));
        for text in [
            "",
            "- a\n- b\n",
            "? [a, b]\n: c\nd: e\n",
            "*x",
            "{a: {b: [}",
        ] {
            Spans::of(text);
        }
        assert!(Spans::of("? [a, b]\n: c\nd: e\n").has(&Key::top("d")));
    }
}
