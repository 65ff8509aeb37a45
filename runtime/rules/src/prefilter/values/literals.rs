//! Literals of all rules in one search of a value.

use std::collections::HashMap;
use std::sync::Arc;

use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, MatchError, MatchKind, StartKind, dfa};
use memchr::memmem;

use super::error::TestError;
use super::passed_tests::{AtomId, PassedTests};

/// Literals, in bytes, whose automata may be tables of all transitions; these take some 256 times as much.
const TABLE_BYTES: usize = 250_000;
/// Literals that are searched for one by one.
const FEW: usize = 3;
/// Automata of a program: fields that are searched for the same literals share one.
#[derive(Debug)]
pub(crate) struct Automata {
    known: HashMap<Vec<String>, Arc<Automaton>>,
    /// What is left of [`TABLE_BYTES`].
    left: usize,
}

impl Default for Automata {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            left: TABLE_BYTES,
        }
    }
}

impl Automata {
    fn of(&mut self, texts: Vec<String>) -> Result<Arc<Automaton>, TestError> {
        if let Some(known) = self.known.get(&texts) {
            return Ok(Arc::clone(known));
        }
        // A table of all transitions is the fastest, and its size grows with the literals.
        let bytes: usize = texts.iter().map(String::len).sum();
        let literals = texts.iter().map(String::as_bytes);
        let automaton = Arc::new(if texts.len() <= FEW {
            let finders = texts
                .iter()
                .map(|text| memmem::Finder::new(text).into_owned());
            Automaton::Few(finders.collect())
        } else if bytes <= self.left {
            self.left -= bytes;
            Automaton::Table(
                dfa::Builder::new()
                    .match_kind(MatchKind::Standard)
                    .start_kind(StartKind::Unanchored)
                    .prefilter(false)
                    .build(literals)?,
            )
        } else {
            Automaton::Compact(
                contiguous::Builder::new()
                    .match_kind(MatchKind::Standard)
                    .prefilter(false)
                    .build(literals)?,
            )
        });
        self.known.insert(texts, Arc::clone(&automaton));
        Ok(automaton)
    }
}

/// What a pattern of an automaton means.
#[derive(Debug, Clone, Copy)]
pub(super) enum PatternMeaning {
    Contains(AtomId),
    Starts(AtomId),
    Ends(AtomId),
    /// The value may match this expression.
    Guards(u32),
}

/// An Aho-Corasick automaton in one of its forms.
#[derive(Debug)]
enum Automaton {
    /// A search for each, by vector instructions, which is faster as long as there are few.
    Few(Vec<memmem::Finder<'static>>),
    Table(dfa::DFA),
    Compact(contiguous::NFA),
}

/// Literals of all rules in one automaton.
#[derive(Debug, Default)]
pub(super) struct Literals {
    texts: HashMap<String, Vec<PatternMeaning>>,
    hits: Vec<Vec<PatternMeaning>>,
    automaton: Option<Arc<Automaton>>,
}

impl Literals {
    pub(super) fn add(&mut self, text: String, hit: PatternMeaning) {
        self.texts.entry(text).or_default().push(hit);
    }

    pub(super) fn build(&mut self, automata: &mut Automata) -> Result<(), TestError> {
        if self.texts.is_empty() {
            return Ok(());
        }
        let mut texts: Vec<(String, Vec<PatternMeaning>)> =
            std::mem::take(&mut self.texts).into_iter().collect();
        texts.sort_by(|a, b| a.0.cmp(&b.0));
        let (texts, hits): (Vec<String>, Vec<Vec<PatternMeaning>>) = texts.into_iter().unzip();
        self.automaton = Some(automata.of(texts)?);
        self.hits = hits;
        Ok(())
    }

    /// Says whether there is anything to search for.
    pub(super) fn is_built(&self) -> bool {
        self.automaton.is_some()
    }

    pub(super) fn search(&self, text: &str, found: &mut PassedTests) {
        let outcome = match self.automaton.as_deref() {
            None => Ok(()),
            Some(Automaton::Few(finders)) => {
                self.find_each(finders, text, found);
                Ok(())
            }
            Some(Automaton::Table(automaton)) => self.scan(automaton, text, found),
            Some(Automaton::Compact(automaton)) => self.scan(automaton, text, found),
        };
        // Automata of this kind can always search so.
        debug_assert!(outcome.is_ok(), "{outcome:?}");
    }

    fn find_each(&self, finders: &[memmem::Finder<'_>], text: &str, found: &mut PassedTests) {
        for (finder, hits) in finders.iter().zip(&self.hits) {
            if finder.find(text.as_bytes()).is_none() {
                continue;
            }
            for hit in hits {
                match *hit {
                    PatternMeaning::Contains(atom) => found.atom(atom),
                    PatternMeaning::Starts(atom)
                        if text.as_bytes().starts_with(finder.needle()) =>
                    {
                        found.atom(atom);
                    }
                    PatternMeaning::Ends(atom) if text.as_bytes().ends_with(finder.needle()) => {
                        found.atom(atom);
                    }
                    PatternMeaning::Starts(_) | PatternMeaning::Ends(_) => {}
                    PatternMeaning::Guards(expression) => found.suspects.push(expression),
                }
            }
        }
    }

    /// Goes through all matches, overlapping ones too: the search of the library, without what it checks at each byte.
    #[inline]
    fn scan(
        &self,
        automaton: &impl aho_corasick::automaton::Automaton,
        text: &str,
        found: &mut PassedTests,
    ) -> Result<(), MatchError> {
        let mut state = automaton.start_state(Anchored::No)?;
        for (at, byte) in text.bytes().enumerate() {
            state = automaton.next_state(Anchored::No, state, byte);
            if !automaton.is_special(state) || !automaton.is_match(state) {
                continue;
            }
            let end = at + 1;
            for index in 0..automaton.match_len(state) {
                let pattern = automaton.match_pattern(state, index);
                let is_start = end == automaton.pattern_len(pattern);
                for hit in &self.hits[pattern.as_usize()] {
                    match *hit {
                        PatternMeaning::Contains(atom) => found.atom(atom),
                        PatternMeaning::Starts(atom) if is_start => found.atom(atom),
                        PatternMeaning::Ends(atom) if end == text.len() => found.atom(atom),
                        PatternMeaning::Starts(_) | PatternMeaning::Ends(_) => {}
                        PatternMeaning::Guards(expression) => found.suspects.push(expression),
                    }
                }
            }
        }
        Ok(())
    }
}
