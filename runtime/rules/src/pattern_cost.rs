//! The cost of compiling the patterns of a rule, estimated before any of them is compiled.
//!
//! Whoever writes a rule decides what the host compiles, and `(\pL{100}){9}` is a short text with a long meaning. The size limit
//! of the library is one of a pattern by itself; here all patterns of a rule count together, and those of a table's rules. One
//! unit is about one state of an automaton: some 20 bytes and a third of a microsecond in all that is compiled of a pattern.

use std::collections::HashMap;
use std::convert::Infallible;

use regex::Regex;
use regex_syntax::ast::{self, Ast, ClassSetItem};
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;
use yagura_core::names::grouped;

use crate::predicate::{GlobPart, Predicate, Test};
use crate::prefilter::{TestError, values};

/// The maximum for all patterns of one rule.
pub const RULE: u64 = 1_000_000;

/// The maximum for all patterns of one table's Sigma rules, and for all of its rules in SQL.
pub const TABLE: u64 = 10_000_000;

/// Classes in one pattern that are still looked into: each is worth some microseconds before its cost is known.
const CLASSES: u64 = 2_000;

/// The cost of a class that is not looked into.
const CLASS: u64 = 2_000;

/// The cost of any character in UTF-8.
const ANY: u64 = 30;

/// The cost of some patterns together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatternCost {
    /// Of all of them.
    pub total: u64,
    /// The one that costs most, as a rule would write it, and its share.
    pub costliest: Option<(String, u64)>,
}

/// The patterns of a rule cost more than they may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its patterns cost {} units to compile, and {} is the maximum for one rule; `{}` costs {}: repeat classes of many characters \
     (`\\w`, `\\d`, `\\pL`) fewer times, write `[a-z0-9_]` for `\\w`, or make several rules of it",
    grouped(*.total), grouped(*.maximum), shortened(.pattern), grouped(*.share)
)]
pub struct TooCostly {
    /// The cost of all patterns that were added up; the rest was not looked at.
    pub total: u64,
    /// What it may be.
    pub maximum: u64,
    /// The pattern that costs most.
    pub pattern: String,
    /// Its share of the cost.
    pub share: u64,
}

impl PatternCost {
    /// Adds a pattern.
    pub fn add(&mut self, cost: u64, pattern: impl FnOnce() -> String) {
        self.total = self.total.saturating_add(cost);
        let known = self.costliest.as_ref().map_or(0, |(_, known)| *known);
        if cost > known {
            self.costliest = Some((pattern(), cost));
        }
    }

    /// Returns the cost, if it is not above the maximum.
    ///
    /// # Errors
    /// [`TooCostly`].
    pub fn within(&self, maximum: u64) -> Result<u64, TooCostly> {
        if self.total <= maximum {
            return Ok(self.total);
        }
        let (pattern, share) = self.costliest.clone().unwrap_or_default();
        Err(TooCostly {
            total: self.total,
            maximum,
            pattern,
            share,
        })
    }
}

/// Returns the cost of what the patterns of a predicate compile to; once it is above `maximum`, the rest is not looked at.
pub fn of_predicate(predicate: &Predicate, maximum: u64) -> PatternCost {
    let mut cost = PatternCost::default();
    let mut known: HashMap<&str, u64> = HashMap::new();
    predicate.atoms(&mut |atom| {
        if cost.total > maximum {
            return;
        }
        match &atom.test {
            // Each field has a copy.
            Test::Regex(pattern) => {
                let of_one = *known.entry(pattern).or_insert_with(|| of_regex(pattern));
                cost.add(of_one, || pattern.clone());
            }
            Test::Glob { parts, .. } => cost.add(of_glob(parts), || {
                let part = |part: &GlobPart| match part {
                    GlobPart::Literal(text) => text.clone(),
                    GlobPart::Any => "*".to_owned(),
                    GlobPart::One => "?".to_owned(),
                };
                parts.iter().map(part).collect()
            }),
            _ => {}
        }
    });
    cost
}

/// Returns the cost of a pattern with wildcards.
pub fn of_glob(parts: &[GlobPart]) -> u64 {
    let cost = |part: &GlobPart| match part {
        GlobPart::Literal(text) => text.len() as u64,
        GlobPart::Any | GlobPart::One => ANY,
    };
    parts.iter().map(cost).sum()
}

/// Returns the cost of a regular expression; of one that is none, the length of its text.
pub fn of_regex(pattern: &str) -> u64 {
    let length = pattern.len() as u64;
    if length > RULE {
        return length;
    }
    let Ok(parsed) = ast::parse::Parser::new().parse(pattern) else {
        return length;
    };
    let classes = match ast::visit(&parsed, ClassCounter(0)) {
        Ok(classes) => classes,
        Err(never) => match never {},
    };
    if classes > CLASSES {
        return classes.saturating_mul(CLASS);
    }
    let mut translator = regex_syntax::hir::translate::Translator::new();
    match translator.translate(pattern, &parsed) {
        Ok(hir) => of_hir(&hir),
        Err(_) => length,
    }
}

/// Compiles a regular expression that does not cost more than [`RULE`].
///
/// # Errors
/// [`TestError`]: it is none, or is much larger than its estimate.
pub fn compiled(pattern: &str) -> Result<Regex, TestError> {
    values::regex(pattern)
}

/// Says whether a text is a regular expression, without compiling it.
pub fn is_regex(text: &str) -> bool {
    values::regex_syntax(text).is_ok()
}

/// Says whether finding every match in a text takes time in proportion to its length. Else a text of `n` characters can take
/// `n * n` steps: each search may look at all that follows before it takes a short match.
pub fn finds_all_in_linear_time(pattern: &str) -> bool {
    /// Bytes that a search may look beyond a match's beginning.
    const AHEAD: usize = 256;
    fn is_short(hir: &Hir) -> bool {
        let longest = hir.properties().maximum_len();
        longest.is_some_and(|longest| longest <= AHEAD)
    }
    /// Says whether every beginning of a match that is a match goes on as one: a repeated class such as `\s+` at the end.
    fn is_open(hir: &Hir) -> bool {
        match hir.kind() {
            HirKind::Capture(capture) => is_open(&capture.sub),
            HirKind::Concat(parts) => parts
                .split_last()
                .is_some_and(|(last, before)| is_short_together(before) && is_open(last)),
            HirKind::Repetition(repetition) => {
                let is_one = match repetition.sub.kind() {
                    HirKind::Class(_) => true,
                    HirKind::Literal(literal) => {
                        std::str::from_utf8(&literal.0).is_ok_and(|text| text.chars().count() == 1)
                    }
                    _ => false,
                };
                is_one && repetition.greedy && (repetition.min as usize) < AHEAD
            }
            _ => is_short(hir),
        }
    }
    fn is_short_together(parts: &[Hir]) -> bool {
        let longest = parts
            .iter()
            .map(|part| part.properties().maximum_len())
            .sum::<Option<usize>>();
        longest.is_some_and(|longest| longest <= AHEAD)
    }
    let parsed = regex_syntax::Parser::new().parse(pattern);
    parsed.is_ok_and(|hir| is_short(&hir) || is_open(&hir))
}

/// Counts the classes of an expression.
struct ClassCounter(u64);

impl ast::Visitor for ClassCounter {
    type Output = u64;
    type Err = Infallible;

    fn finish(self) -> Result<u64, Infallible> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        let is_class = matches!(
            ast,
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_)
        );
        self.0 += u64::from(is_class);
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        let is_class = matches!(item, ClassSetItem::Unicode(_) | ClassSetItem::Perl(_));
        self.0 += u64::from(is_class);
        Ok(())
    }
}

/// Not deeper than the parser lets groups nest.
fn of_hir(hir: &Hir) -> u64 {
    let of_all = |parts: &[Hir]| {
        let costs = parts.iter().map(of_hir);
        costs.fold(parts.len() as u64, u64::saturating_add)
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(class) => of_class(class),
        HirKind::Repetition(repetition) => {
            // Of `x{3,}` there are three copies, and one that goes on.
            let copies = repetition.max.unwrap_or(repetition.min.saturating_add(1));
            of_hir(&repetition.sub)
                .saturating_add(1)
                .saturating_mul(u64::from(copies))
        }
        HirKind::Capture(capture) => of_hir(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => of_all(parts),
    }
}

fn of_class(class: &Class) -> u64 {
    match class {
        Class::Bytes(class) => class.ranges().len() as u64,
        Class::Unicode(class) => {
            let ranges = class.ranges().iter();
            let sequences = ranges.flat_map(|range| Utf8Sequences::new(range.start(), range.end()));
            sequences.map(|sequence| sequence.len() as u64).sum()
        }
    }
}

/// Says that the patterns of a table's rules cost too much together, of one of the rules that cost most.
pub fn over_table(table: &str, cost: &PatternCost) -> String {
    let (pattern, share) = cost.costliest.clone().unwrap_or_default();
    format!(
        "the patterns of all rules over table `{table}` cost more than {} units to compile, and this rule is one of those that cost \
         most: its patterns cost {}, `{}` alone {}; repeat classes of many characters (`\\w`, `\\d`, `\\pL`) fewer times",
        grouped(TABLE),
        grouped(cost.total),
        shortened(&pattern),
        grouped(share)
    )
}

/// Returns the beginning of a pattern, for a message.
fn shortened(pattern: &str) -> String {
    const SHOWN: usize = 80;
    match pattern.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &pattern[..at]),
        None => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_repeated_costs_each_time() {
        let letters = of_regex(r"\pL");
        assert!((1_000..10_000).contains(&letters), "{letters}");
        let hundred = of_regex(r"\pL{100}");
        assert!(
            (100 * letters..101 * letters).contains(&hundred),
            "{hundred}"
        );
        assert!(of_regex(r"(\pL{100}){100}") >= 10_000 * letters);
        assert!(of_regex(r"((a{1000}){1000}){1000}") >= 1_000_000_000);
        assert!(of_regex("[a-z]{2,40}") < 100);
        assert!(of_regex(r"cmd\.exe /c (start|net user) [^ ]+") < 200);
        assert_eq!(of_regex("a("), 2);
    }

    #[test]
    fn the_estimate_follows_what_the_library_needs() {
        for pattern in [
            r"\pL{20}",
            r"\w{20}",
            r"[a-z]{500}",
            r"(?i)[a-z]{500}",
            r"(abc|def|ghi){200}",
            r".{300}",
            r"(?s).{300}",
            r"\d{1,200}",
        ] {
            let cost = usize::try_from(of_regex(pattern)).unwrap();
            let fits = |bytes| {
                let mut builder = regex::RegexBuilder::new(pattern);
                builder.size_limit(bytes).build().is_ok()
            };
            // An automaton has between two and a hundred bytes for each unit.
            assert!(!fits(2 * cost), "{pattern}: {cost}");
            assert!(fits(100 * cost + 2_000), "{pattern}: {cost}");
        }
    }

    #[test]
    fn the_estimate_itself_is_quick() {
        let started = Instant::now();
        for pattern in [
            r"\pL".repeat(200_000),
            r"(?i)\pL".repeat(200_000),
            r"[\pL\w]".repeat(200_000),
            "(a{1000}){1000}".repeat(50_000),
            "[a-z]".repeat(300_000),
            "a".repeat(5_000_000),
            "(".repeat(100_000),
        ] {
            let cost = of_regex(&pattern);
            assert!(cost > RULE || Regex::new(&pattern).is_err(), "{cost}");
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn patterns_of_a_rule_count_together_and_the_costliest_is_named() {
        let field = |name: &str| name.parse().unwrap();
        let atom = |name: &str, test: Test| {
            Predicate::atom(field(name), crate::predicate::FieldReading::Members, test)
        };
        let words = |times: usize| Test::Regex(format!(r"\w{{{times}}}"));
        let parts = vec![
            atom("a", words(100)),
            atom("b", words(100)),
            Predicate::not(atom("a", words(300))),
            atom("a", Test::glob(vec![GlobPart::One; 5], true)),
        ];
        let all = of_predicate(&Predicate::all(parts), u64::MAX);
        assert_eq!(
            all.total,
            2 * of_regex(r"\w{100}") + of_regex(r"\w{300}") + 5 * ANY
        );
        assert_eq!(all.within(all.total), Ok(all.total));
        let message = all.within(all.total - 1).unwrap_err().to_string();
        assert!(message.contains(r"`\w{300}` costs"), "{message}");
        assert!(message.contains(&grouped(all.total)), "{message}");
    }

    #[test]
    fn patterns_whose_matches_are_all_found_in_one_pass_are_known() {
        for linear in [
            r"\s+",
            r"[0-9]+",
            "a",
            r"foo\w*",
            r"\bfoo\w*",
            "(x+)",
            "[,;]",
            r"\d{1,3}\.\d{1,3}",
            "",
        ] {
            assert!(finds_all_in_linear_time(linear), "{linear}");
        }
        for other in [
            r".*[^A-Z]|[A-Z]",
            r"a(.*c)?",
            r"\d+x",
            "(.{0,100000}x|.)",
            r"\s+?",
            "(ab)+",
            "a(",
        ] {
            assert!(!finds_all_in_linear_time(other), "{other}");
        }
    }
}
