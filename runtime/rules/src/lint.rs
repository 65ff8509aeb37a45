//! What is suspicious about a predicate by itself: parts that never match, and parts that are expensive.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use regex_syntax::hir::{Hir, HirKind};
use yagura_core::FieldPath;
use yagura_core::diagnostic::{Code, Diagnostic};

use crate::case_folding::fold;
use crate::predicate::{Atom, GlobPart, Number, NumberOp, Predicate, Test, TextOp};
use crate::prefilter::values::required_literals;
use crate::resolve::find;

/// Returns what is suspicious about a predicate, without file and rule.
pub fn lints(predicate: &Predicate) -> Vec<Diagnostic> {
    let mut lints = Vec::new();
    match predicate {
        Predicate::Always(false) => lints.push(never_matches("the tests of the rule")),
        Predicate::Always(true) => {
            lints.push(Diagnostic::warning(
                Code::AlwaysMatches,
                "it matches every event",
            ));
        }
        other => {
            contradictions(other, &mut lints);
            expensive(other, &mut lints);
            if !has_positive(other) {
                let message = "it only says what an event is not: it is evaluated for every batch, and matches most events";
                lints.push(Diagnostic::note(Code::Expensive, message));
            }
        }
    }
    lints.sort();
    lints.dedup();
    lints
}

/// Returns the tests that no value of their field's type can pass, with that type. Of lists, objects and JSON nothing is said:
/// their members have types of their own.
pub fn misfits<'a>(predicate: &'a Predicate, schema: &Schema) -> Vec<(&'a Atom, DataType)> {
    let mut found = Vec::new();
    predicate.atoms(&mut |atom| {
        if let Some(source) = find(schema, atom.names.first())
            && source.json.is_empty()
        {
            let data_type = match source.data_type {
                DataType::Dictionary(_, value) => *value,
                other => other,
            };
            if !can_pass(&atom.test, &data_type) {
                found.push((&**atom, data_type));
            }
        }
    });
    found
}

fn can_pass(test: &Test, data_type: &DataType) -> bool {
    let is_number = data_type.is_numeric();
    let is_truth = *data_type == DataType::Boolean;
    let is_time = matches!(
        data_type,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    );
    if !is_number && !is_truth && !is_time {
        return true;
    }
    match test {
        Test::Cidr(_) => false,
        Test::Number(..) => is_number,
        Test::Truth(_) => is_truth,
        Test::Moment(..) => !is_truth,
        Test::Text { value, .. } if data_type.is_integer() => {
            value.chars().all(|c| c.is_ascii_digit() || c == '-')
        }
        Test::Text { value, cased, .. } if is_truth => ["true", "false"].iter().any(|truth| {
            let value = if *cased {
                value.clone()
            } else {
                value.to_lowercase()
            };
            truth.contains(&value)
        }),
        Test::Glob { parts, .. } if data_type.is_integer() => parts.iter().all(|part| match part {
            GlobPart::Literal(text) => text.chars().all(|c| c.is_ascii_digit() || c == '-'),
            GlobPart::Any | GlobPart::One => true,
        }),
        _ => true,
    }
}

/// Returns a text that is equal for predicates that say the same in another order.
pub fn canonical(predicate: &Predicate) -> String {
    let sorted = |parts: &[Predicate]| {
        let mut parts: Vec<String> = parts.iter().map(canonical).collect();
        parts.sort_unstable();
        parts.dedup();
        parts.join(",")
    };
    match predicate {
        Predicate::Always(truth) => truth.to_string(),
        Predicate::Atom(atom) => format!("{atom:?}"),
        Predicate::Other(other) => other.key.clone(),
        Predicate::Not(inner) => format!("not({})", canonical(inner)),
        Predicate::All(parts) => format!("all({})", sorted(parts)),
        Predicate::Any(parts) => format!("any({})", sorted(parts)),
        Predicate::AtLeast(wanted, parts) => {
            let mut parts: Vec<String> = parts.iter().map(canonical).collect();
            parts.sort_unstable();
            format!("{wanted} of({})", parts.join(","))
        }
    }
}

/// Says whether some test must be passed for the predicate to be true.
fn has_positive(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Atom(_) | Predicate::Other(_) => true,
        Predicate::Always(truth) => !truth,
        Predicate::Not(_) => false,
        Predicate::All(parts) => parts.iter().any(has_positive),
        Predicate::Any(parts) | Predicate::AtLeast(_, parts) => parts.iter().all(has_positive),
    }
}

fn never_matches(tests: &str) -> Diagnostic {
    let message = format!("{tests} are never both true, unless the field is a list");
    Diagnostic::warning(Code::NeverMatches, message)
}

fn expense(message: String) -> Diagnostic {
    Diagnostic::warning(Code::Expensive, message)
}

/// Finds conjunctions that ask one field to be two things.
fn contradictions(predicate: &Predicate, lints: &mut Vec<Diagnostic>) {
    match predicate {
        Predicate::All(parts) => {
            let mut wholes: BTreeMap<&FieldPath, &Atom> = BTreeMap::new();
            for part in parts {
                let Predicate::Atom(atom) = part else {
                    continue;
                };
                if !says_the_whole(&atom.test) {
                    continue;
                }
                match wholes.get(atom.names.first()) {
                    Some(first) if !may_both(&first.test, &atom.test) => {
                        lints.push(never_matches(&format!("`{first}` and `{atom}`")));
                    }
                    Some(_) => {}
                    None => {
                        wholes.insert(atom.names.first(), atom);
                    }
                }
            }
            // The same test wanted and refused.
            for part in parts {
                if let Predicate::Not(refused) = part
                    && parts.contains(refused)
                {
                    lints.push(never_matches(&format!(
                        "`{}` and not that",
                        describe(refused)
                    )));
                }
            }
            parts.iter().for_each(|part| contradictions(part, lints));
        }
        Predicate::Any(parts) | Predicate::AtLeast(_, parts) => {
            parts.iter().for_each(|part| contradictions(part, lints));
        }
        Predicate::Not(inner) => contradictions(inner, lints),
        Predicate::Always(_) | Predicate::Atom(_) | Predicate::Other(_) => {}
    }
}

fn describe(predicate: &Predicate) -> String {
    match predicate {
        Predicate::Atom(atom) => atom.to_string(),
        Predicate::Other(other) => other.text.clone(),
        Predicate::Always(truth) => truth.to_string(),
        Predicate::Not(inner) => format!("not {}", describe(inner)),
        Predicate::All(parts) | Predicate::Any(parts) | Predicate::AtLeast(_, parts) => {
            format!("{} tests", parts.len())
        }
    }
}

fn says_the_whole(test: &Test) -> bool {
    matches!(
        test,
        Test::Text {
            op: TextOp::Equals,
            ..
        } | Test::Number(NumberOp::Equal, _)
    )
}

fn may_both(one: &Test, other: &Test) -> bool {
    let text = |test: &Test| match test {
        Test::Text { value, .. } => Some(fold(value).into_owned()),
        _ => None,
    };
    let number = |test: &Test| match test {
        Test::Number(_, number) => Some(number.clone()),
        Test::Text { value, .. } => Number::parse(value),
        _ => None,
    };
    match (text(one), text(other)) {
        (Some(one), Some(other)) => one == other,
        _ => number(one) == number(other),
    }
}

fn expensive(predicate: &Predicate, lints: &mut Vec<Diagnostic>) {
    predicate.atoms(&mut |atom| {
        match &atom.test {
            Test::Regex(pattern) => {
                if required_literals(pattern).is_none() {
                    lints.push(expense(format!(
                        "`{atom}` begins and ends with nothing fixed of three letters or more, and is tried on every value"
                    )));
                } else if let Ok(hir) = regex_syntax::parse(pattern)
                    && repeats_much(&hir)
                {
                    lints.push(expense(format!("`{atom}` holds large repetitions")));
                }
            }
            Test::Glob { parts, .. } => {
                let longest = parts.iter().map(|part| match part {
                    GlobPart::Literal(text) => text.len(),
                    GlobPart::Any | GlobPart::One => 0,
                });
                if longest.max().unwrap_or_default() < 3 {
                    lints.push(expense(format!(
                        "`{atom}` has no fixed part of three letters or more, and is tried on nearly every value"
                    )));
                }
            }
            _ => {}
        }
    });
}

fn repeats_much(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            repetition.min > 100
                || repetition.max.is_some_and(|max| max > 1_000)
                || repeats_much(&repetition.sub)
        }
        HirKind::Capture(capture) => repeats_much(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(repeats_much),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use yagura_core::diagnostic::Level;

    use super::*;
    use crate::predicate::FieldReading;

    /// The codes of a predicate's lints.
    fn codes(predicate: &Predicate) -> Vec<Code> {
        lints(predicate).iter().map(|lint| lint.code).collect()
    }

    fn atom(test: Test) -> Predicate {
        Predicate::atom("f".parse().unwrap(), FieldReading::Members, test)
    }

    fn equals(value: &str) -> Predicate {
        atom(Test::Text {
            op: TextOp::Equals,
            value: value.into(),
            cased: false,
        })
    }

    #[test]
    fn contradictions_and_costs_are_found() {
        let both = Predicate::All(vec![equals("a"), equals("b")]);
        assert_eq!(codes(&both), [Code::NeverMatches]);
        let refused = Predicate::All(vec![equals("a"), Predicate::not(equals("a"))]);
        assert_eq!(codes(&refused), [Code::NeverMatches]);
        let only_negations = lints(&Predicate::not(equals("a")));
        assert_eq!(only_negations.len(), 1);
        assert_eq!(only_negations[0].level, Level::Note);
        assert!(lints(&Predicate::All(vec![equals("a"), equals("a")])).is_empty());
        let schema = Schema::new(vec![arrow::datatypes::Field::new(
            "f",
            DataType::Int32,
            true,
        )]);
        let misfit = |test: Test| !misfits(&atom(test), &schema).is_empty();
        assert!(misfit(Test::Cidr("10.0.0.0/8".parse().unwrap())));
        assert!(misfit(Test::Truth(true)));
        assert!(!misfits(&equals("abc"), &schema).is_empty());
        assert!(misfits(&equals("-15"), &schema).is_empty());
        assert!(!misfit(Test::Exists));
        let text = Schema::new(vec![arrow::datatypes::Field::new(
            "f",
            DataType::Utf8,
            true,
        )]);
        assert!(misfits(&equals("abc"), &text).is_empty());
        let regex = |pattern: &str| codes(&atom(Test::Regex(pattern.into())));
        assert_eq!(regex("[a-z]+.*"), [Code::Expensive]);
        assert!(regex("mimikatz[0-9]+").is_empty());
    }
}
