//! The list of words that are not used.

use std::fs;
use std::path::Path;

use regex::{Regex, RegexBuilder};

/// What may stand between two words of one phrase: also a line break, with the marks of a comment or a string.
const GAP: &str = r"[\s#/!>\\]+";

pub(crate) struct List(Vec<Entry>);

struct Entry {
    expression: Regex,
    except: Vec<Regex>,
    instead: String,
}

/// A word that is on the list, at the place where it was found.
#[derive(Debug, PartialEq)]
pub(crate) struct Hit {
    pub line: usize,
    pub word: String,
    pub instead: String,
}

impl List {
    pub(crate) fn read(file: &Path) -> Self {
        Self::parse(&fs::read_to_string(file).unwrap())
    }

    fn parse(text: &str) -> Self {
        let table: toml::Table = text.parse().unwrap();
        let entries = table["word"].as_array().unwrap().iter();
        Self(entries.map(Entry::new).collect())
    }

    /// Returns the words of a text that are on the list, in order. Where two entries overlap, the earlier one counts.
    pub(crate) fn find(&self, text: &str) -> Vec<Hit> {
        let mut spans: Vec<(usize, usize, &Entry)> = Vec::new();
        for entry in &self.0 {
            let allowed: Vec<_> = entry
                .except
                .iter()
                .flat_map(|except| except.find_iter(text))
                .collect();
            for hit in entry.expression.find_iter(text) {
                let (start, end) = (hit.start(), hit.end());
                let is_allowed = allowed.iter().any(|a| a.start() <= start && end <= a.end());
                let is_found = spans.iter().any(|(s, e, _)| *s < end && start < *e);
                if !is_allowed && !is_found {
                    spans.push((start, end, entry));
                }
            }
        }
        spans.sort_by_key(|(start, ..)| *start);
        let hit = |(start, end, entry): (usize, usize, &Entry)| Hit {
            line: text[..start].matches('\n').count() + 1,
            word: text[start..end]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            instead: entry.instead.clone(),
        };
        spans.into_iter().map(hit).collect()
    }
}

impl Entry {
    fn new(entry: &toml::Value) -> Self {
        let except = entry.get("except").and_then(toml::Value::as_array);
        Self {
            expression: expression(entry["match"].as_str().unwrap()),
            except: except
                .into_iter()
                .flatten()
                .map(|except| expression(except.as_str().unwrap()))
                .collect(),
            instead: entry["use"].as_str().unwrap().to_owned(),
        }
    }
}

fn expression(text: &str) -> Regex {
    RegexBuilder::new(&text.replace(' ', GAP))
        .case_insensitive(true)
        .build()
        .unwrap()
}

#[test]
fn words_are_found_with_their_lines_and_exceptions_are_not() {
    let list = List::parse(
        "[[word]]\nmatch = '\\bjudg(e|ed) aside\\b'\nuse = \"background\"\n\
         [[word]]\nmatch = '\\bjudged?\\b'\nuse = \"evaluate\"\n\
         [[word]]\nmatch = '\\bis no\\b'\nexcept = ['\\bthere is no\\b']\nuse = \"is not a\"\n",
    );
    let text = "There is no rule.\nIt is no rule, and is\n/// judged\n/// aside. JUDGE it; prejudged is a word.";
    let found: Vec<_> = list
        .find(text)
        .into_iter()
        .map(|hit| (hit.line, hit.word, hit.instead))
        .collect();
    let expected = [
        (2, "is no", "is not a"),
        (3, "judged /// aside", "background"),
        (4, "JUDGE", "evaluate"),
    ];
    let expected =
        expected.map(|(line, word, instead)| (line, word.to_owned(), instead.to_owned()));
    assert_eq!(found, expected);
}

/// One sentence for each sense of the words that must be found, and others that must not.
#[test]
fn the_list_knows_the_senses_of_words() {
    let list = List::read(&super::root().join("tests/words.toml"));
    for wrong in [
        "The rule is judged aside.",
        "These events are set aside.",
        "Alerts are told once.",
        "It tells the operator nothing.",
        "A rule says nothing.",
        "An alert settles at the end.",
        "It is taken back.",
        "The desk groups alerts.",
        "A reviewer's opinion.",
        "The graver of both.",
        "A silent table holds up nothing.",
        "The rule rests.",
        "The fold takes findings.",
        "The state has the form 3.",
        "`port` is no number.",
        "A pack may not have links.",
        "It is to be read once.",
        "The most that a rule keeps.",
    ] {
        assert_eq!(list.find(wrong).len(), 1, "{wrong}");
    }
    for right in [
        "There is no rule.",
        "It is no longer there.",
        "Kinds are told apart by their field.",
        "The field tells the two log sources apart.",
        "Text is compared by simple case folding.",
        "The rest of the line is kept.",
        "The event may have been read before.",
        "The service desk gets a ticket.",
        "Most that match are false.",
    ] {
        assert_eq!(list.find(right), [], "{right}");
    }
}
