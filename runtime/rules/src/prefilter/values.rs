//! The tests of one field, all at once against one value.
//!
//! Equality in hash tables; contains, starts and ends of all rules in one automaton for each treatment of case; regular
//! expressions and wildcards only where a literal that every match must hold was seen; numbers sorted.

mod error;
mod literals;
mod passed_tests;
mod readings;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};

pub use self::error::TestError;
pub(crate) use self::literals::Automata;
use self::literals::{Literals, PatternMeaning};
pub(crate) use self::passed_tests::{AtomId, PassedTests};
use self::readings::{Address, moment, network, part_of};
use crate::case_folding::{fold, fold_into};
use crate::number::Decimal;
use crate::predicate::{GlobPart, MomentPart, Number, NumberOp, Test, TextOp};

/// Bytes of one expression: more than [`crate::pattern_cost::RULE`], which refuses a rule before, lets it have.
const PATTERN_BYTES: usize = 128 << 20;

/// What the expressions of one field that have no guard may take together.
const SET_BYTES: usize = 1 << 30;

/// Returns the addresses as which networks are compared with a text.
pub(crate) fn addresses(text: &str) -> Option<[std::net::IpAddr; 2]> {
    Address::read(text).map(Address::both)
}

/// What kind of value a text was written from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Text,
    Number,
    Bool,
    /// An object as JSON: there, and text to a search, but no number.
    Nested,
    /// A list without members: there, and nothing more.
    Empty,
}

/// Compiles a rule's regular expression.
pub(crate) fn regex(pattern: &str) -> Result<Regex, TestError> {
    let mut builder = RegexBuilder::new(pattern);
    let compiled = builder.size_limit(PATTERN_BYTES).build();
    compiled.map_err(|error| match error {
        regex::Error::Syntax(text) => wrong_syntax(pattern, &text),
        other => TestError::Regex {
            pattern: pattern.to_owned(),
            reason: other.to_string(),
        },
    })
}

/// Reads a rule's regular expression without compiling it.
pub(crate) fn regex_syntax(pattern: &str) -> Result<(), TestError> {
    let parsed = regex_syntax::Parser::new().parse(pattern);
    parsed.map_err(|error| wrong_syntax(pattern, &error.to_string()))?;
    Ok(())
}

fn wrong_syntax(pattern: &str, text: &str) -> TestError {
    let mut lines = text.lines().rev();
    let reason = lines.find_map(|line| line.strip_prefix("error: "));
    TestError::Regex {
        pattern: pattern.to_owned(),
        reason: reason.unwrap_or("wrong syntax").to_owned(),
    }
}

/// An expression that is tried only on suspicion.
#[derive(Debug)]
struct SuspectedPattern {
    regex: Regex,
    atom: AtomId,
    /// Whether it reads the text with its case folded.
    folded: bool,
}

/// The tests of one field.
#[derive(Debug, Default)]
pub(crate) struct ValueEvaluator {
    exists: Vec<AtomId>,
    /// Atoms that every text passes.
    any_text: Vec<AtomId>,
    equal: HashMap<String, Vec<AtomId>>,
    equal_folded: HashMap<String, Vec<AtomId>>,
    exact: Literals,
    folded: Literals,
    guarded: Vec<SuspectedPattern>,
    /// Those without a guard: on the text as it is, and with its case folded.
    unguarded: Vec<(String, AtomId, bool)>,
    sets: [Option<(RegexSet, Vec<AtomId>)>; 2],
    numbers_equal: Vec<(Number, AtomId)>,
    numbers: Vec<(NumberOp, Number, AtomId)>,
    truths: Vec<(bool, AtomId)>,
    networks: Vec<(IpNet, AtomId)>,
    moments: Vec<(MomentPart, Number, AtomId)>,
    /// Without the automaton: every literal by itself, to measure what the automaton is worth.
    one_by_one: Option<Vec<(TextOp, String, bool, AtomId)>>,
    needs_folding: bool,
}

impl ValueEvaluator {
    /// Returns the evaluator of these tests; `automaton` false is for measurements only.
    pub(crate) fn new<'a>(
        tests: impl Iterator<Item = (AtomId, &'a Test)>,
        automaton: bool,
        automata: &mut Automata,
    ) -> Result<Self, TestError> {
        let mut evaluate = Self {
            one_by_one: (!automaton).then(Vec::new),
            ..Self::default()
        };
        for (atom, test) in tests {
            evaluate.add(atom, test)?;
        }
        evaluate.exact.build(automata)?;
        evaluate.folded.build(automata)?;
        evaluate.numbers_equal.sort();
        for (folded, set) in [false, true].into_iter().zip(&mut evaluate.sets) {
            let of_case = || {
                evaluate
                    .unguarded
                    .iter()
                    .filter(move |(_, _, f)| *f == folded)
            };
            if of_case().next().is_some() {
                // Each of them was held to the usual limit by itself: many rules together may be larger.
                let patterns = RegexSetBuilder::new(of_case().map(|(pattern, _, _)| pattern))
                    .size_limit(SET_BYTES)
                    .build()
                    .map_err(|error| TestError::Automaton(error.to_string()))?;
                *set = Some((patterns, of_case().map(|(_, atom, _)| *atom).collect()));
            }
        }
        evaluate.needs_folding = !evaluate.equal_folded.is_empty()
            || evaluate.folded.is_built()
            || evaluate.sets[1].is_some()
            || evaluate.guarded.iter().any(|expression| expression.folded)
            || evaluate.one_by_one.is_some();
        Ok(evaluate)
    }

    fn add(&mut self, atom: AtomId, test: &Test) -> Result<(), TestError> {
        match test {
            Test::Exists => self.exists.push(atom),
            Test::Text { op, value, cased } => {
                let value = &*of_case(value, *cased);
                let literals = if *cased {
                    &mut self.exact
                } else {
                    &mut self.folded
                };
                match op {
                    TextOp::Equals if *cased => {
                        self.equal.entry(value.to_owned()).or_default().push(atom);
                    }
                    TextOp::Equals => {
                        self.equal_folded
                            .entry(value.to_owned())
                            .or_default()
                            .push(atom);
                    }
                    // Every value contains, starts and ends with nothing.
                    _ if value.is_empty() => self.any_text.push(atom),
                    _ if self.one_by_one.is_some() => {
                        let all = self.one_by_one.get_or_insert_default();
                        all.push((*op, value.to_owned(), *cased, atom));
                    }
                    TextOp::Contains => {
                        literals.add(value.to_owned(), PatternMeaning::Contains(atom))
                    }
                    TextOp::StartsWith => {
                        literals.add(value.to_owned(), PatternMeaning::Starts(atom))
                    }
                    TextOp::EndsWith => literals.add(value.to_owned(), PatternMeaning::Ends(atom)),
                }
            }
            Test::Glob { parts, cased } => {
                let pattern = glob_pattern(parts, *cased);
                let literal = parts
                    .iter()
                    .filter_map(|part| match part {
                        GlobPart::Literal(text) => Some(text.as_str()),
                        GlobPart::Any | GlobPart::One => None,
                    })
                    .max_by_key(|text| text.len());
                match literal {
                    Some(literal) if self.one_by_one.is_none() => {
                        let guarded = self.guard(regex(&pattern)?, atom, !cased);
                        let literals = if *cased {
                            &mut self.exact
                        } else {
                            &mut self.folded
                        };
                        literals.add(of_case(literal, *cased).into_owned(), guarded);
                    }
                    _ => self.unguarded.push((pattern, atom, !cased)),
                }
            }
            Test::Regex(pattern) => {
                let compiled = regex(pattern)?;
                match required_literals(pattern) {
                    Some(literals) if self.one_by_one.is_none() => {
                        let guarded = self.guard(compiled, atom, false);
                        for literal in literals {
                            self.exact.add(literal, guarded);
                        }
                    }
                    _ => self.unguarded.push((pattern.clone(), atom, false)),
                }
            }
            Test::Number(NumberOp::Equal, value) => self.numbers_equal.push((value.clone(), atom)),
            Test::Number(op, value) => self.numbers.push((*op, value.clone(), atom)),
            Test::Truth(truth) => self.truths.push((*truth, atom)),
            Test::Cidr(net) => self.networks.push((network(*net), atom)),
            Test::Moment(part, value) => self.moments.push((*part, value.clone(), atom)),
            // Two fields: evaluated by rows.
            Test::Field { .. } => {}
        }
        Ok(())
    }

    fn guard(&mut self, regex: Regex, atom: AtomId, folded: bool) -> PatternMeaning {
        self.guarded.push(SuspectedPattern {
            regex,
            atom,
            folded,
        });
        PatternMeaning::Guards(u32::try_from(self.guarded.len() - 1).unwrap_or(u32::MAX))
    }

    /// Adds to `found` every atom that the value passes.
    pub(crate) fn evaluate(&self, text: &str, kind: ValueKind, found: &mut PassedTests) {
        found.atoms.extend(&self.exists);
        if kind == ValueKind::Empty {
            return;
        }
        found.atoms.extend(&self.any_text);
        let mut lower = std::mem::take(&mut found.lower);
        if self.needs_folding {
            fold_into(text, &mut lower);
        }
        if !self.equal.is_empty()
            && let Some(atoms) = self.equal.get(text)
        {
            found.atoms.extend(atoms);
        }
        if !self.equal_folded.is_empty()
            && let Some(atoms) = self.equal_folded.get(&lower)
        {
            found.atoms.extend(atoms);
        }
        self.exact.search(text, found);
        self.folded.search(&lower, found);
        found.suspects.sort_unstable();
        found.suspects.dedup();
        for suspect in &found.suspects {
            let expression = &self.guarded[*suspect as usize];
            let haystack = if expression.folded {
                lower.as_str()
            } else {
                text
            };
            if expression.regex.is_match(haystack) {
                found.atoms.push(expression.atom);
            }
        }
        if let Some((set, atoms)) = &self.sets[1] {
            found
                .atoms
                .extend(set.matches(&lower).iter().map(|index| atoms[index]));
        }
        for (op, value, cased, atom) in self.one_by_one.iter().flatten() {
            if compare(*op, if *cased { text } else { &lower }, value) {
                found.atoms.push(*atom);
            }
        }
        found.lower = lower;
        if let Some((set, atoms)) = &self.sets[0] {
            found
                .atoms
                .extend(set.matches(text).iter().map(|index| atoms[index]));
        }
        self.evaluate_number(text, kind, found);
        if !self.truths.is_empty() && matches!(kind, ValueKind::Text | ValueKind::Bool) {
            let truth = match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Some(true),
                "false" | "0" | "no" => Some(false),
                _ => None,
            };
            let passed = self
                .truths
                .iter()
                .filter(|(wanted, _)| Some(*wanted) == truth);
            found.atoms.extend(passed.map(|(_, atom)| atom));
        }
        if !self.networks.is_empty()
            && let Some(address) = Address::read(text)
        {
            let inside = self.networks.iter().filter(|(net, _)| address.is_in(net));
            found.atoms.extend(inside.map(|(_, atom)| atom));
        }
        if !self.moments.is_empty()
            && let Some(time) = moment(text)
        {
            let equal = self
                .moments
                .iter()
                .filter(|(part, value, _)| value.as_i64() == Some(part_of(*part, &time)));
            found.atoms.extend(equal.map(|(_, _, atom)| atom));
        }
    }

    fn evaluate_number(&self, text: &str, kind: ValueKind, found: &mut PassedTests) {
        if (self.numbers_equal.is_empty() && self.numbers.is_empty())
            || !matches!(kind, ValueKind::Text | ValueKind::Number)
        {
            return;
        }
        let Some(value) = Decimal::parse(text) else {
            return;
        };
        let from = self
            .numbers_equal
            .partition_point(|(number, _)| number.as_f64() < value.as_f64());
        let equal = self.numbers_equal[from..]
            .iter()
            .take_while(|(number, _)| number.as_f64() <= value.as_f64())
            .filter(|(number, _)| number.compare(&value) == Ordering::Equal);
        found.atoms.extend(equal.map(|(_, atom)| atom));
        found.atoms.extend(
            self.numbers
                .iter()
                .filter(|(op, number, _)| op.holds(number.compare(&value)))
                .map(|(_, _, atom)| atom),
        );
    }
}

/// Compares two texts whose case was folded already where it does not matter.
pub(crate) fn compare(op: TextOp, text: &str, with: &str) -> bool {
    match op {
        TextOp::Equals => text == with,
        TextOp::Contains => text.contains(with),
        TextOp::StartsWith => text.starts_with(with),
        TextOp::EndsWith => text.ends_with(with),
    }
}

/// Returns a rule's text as values are compared with it.
fn of_case(text: &str, cased: bool) -> Cow<'_, str> {
    if cased {
        Cow::Borrowed(text)
    } else {
        fold(text)
    }
}

fn glob_pattern(parts: &[GlobPart], cased: bool) -> String {
    let mut pattern = String::from("(?s)^");
    for part in parts {
        match part {
            GlobPart::Literal(text) => {
                pattern.push_str(&regex::escape(&of_case(text, cased)));
            }
            GlobPart::Any => pattern.push_str(".*"),
            GlobPart::One => pattern.push('.'),
        }
    }
    pattern.push('$');
    pattern
}

/// Returns literals one of which every match begins or ends with; nothing where there are none worth looking for.
pub(crate) fn required_literals(pattern: &str) -> Option<Vec<String>> {
    const SHORTEST: usize = 3;
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    [ExtractKind::Prefix, ExtractKind::Suffix]
        .into_iter()
        .find_map(|kind| {
            let mut extractor = Extractor::new();
            extractor.kind(kind).limit_total(64);
            let found = extractor.extract(&hir);
            let literals = found.literals()?;
            let texts: Option<Vec<String>> = literals
                .iter()
                .map(|literal| String::from_utf8(literal.as_bytes().to_vec()).ok())
                .collect();
            texts.filter(|texts| {
                !texts.is_empty() && texts.iter().all(|text| text.len() >= SHORTEST)
            })
        })
}

#[cfg(test)]
mod tests;
