//! Conditions of `temporal` and `temporal_ordered`: how many of the rules, or which.

use rsigma_parser::{
    ConditionExpr, CorrelationCondition, CorrelationRule, Quantifier, SelectorPattern,
};
use yagura_core::correlation::Expression;

use super::bounds::bounds;
use super::problem::{CorrelationProblem, MOST_COUNTED};
use crate::sigma::load::SigmaCorrelation;
use crate::sigma::selector::is_named;

/// Returns what a correlation refers to: its `rules` or, where it has none, the names in its condition.
pub(super) fn references(rule: &CorrelationRule) -> Vec<String> {
    fn names(condition: &ConditionExpr, found: &mut Vec<String>) {
        match condition {
            ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
                parts.iter().for_each(|part| names(part, found));
            }
            ConditionExpr::Not(inner) => names(inner, found),
            ConditionExpr::Identifier(name) if !found.contains(name) => found.push(name.clone()),
            ConditionExpr::Identifier(_) | ConditionExpr::Selector { .. } => {}
        }
    }
    let mut found = rule.rules.clone();
    if let (true, CorrelationCondition::Extended(condition)) = (found.is_empty(), &rule.condition) {
        names(condition, &mut found);
    }
    found
}

/// Returns which of the rules must have findings, over the places of their entries; nothing where all must.
///
/// A number is that of different rules. Without a condition it is all of them.
pub(super) fn requires(
    source: &SigmaCorrelation,
    texts: &[&str],
    entries: &[String],
    find: impl Fn(&str) -> Result<String, CorrelationProblem>,
) -> Result<Option<Expression>, CorrelationProblem> {
    match &source.rule.condition {
        CorrelationCondition::Threshold { .. } if !source.has_condition => Ok(None),
        CorrelationCondition::Threshold { predicates, .. } => {
            let bounds = bounds(predicates);
            let sizes: Vec<usize> = (1..=entries.len())
                .filter(|size| bounds.holds(*size as f64))
                .collect();
            counted(&sizes, entries.len())
        }
        CorrelationCondition::Extended(condition) => {
            let reader = ConditionReader {
                texts,
                entries,
                find,
            };
            reader.read(condition).map(Some)
        }
    }
}

/// Says what is wrong with a condition of rules in order, which wants them all.
pub(super) fn wants_all_in_order(
    source: &SigmaCorrelation,
    rules: usize,
) -> Result<(), CorrelationProblem> {
    match &source.rule.condition {
        CorrelationCondition::Threshold { predicates, .. } => {
            let bounds = bounds(predicates);
            let fewest = (1..=rules).find(|size| bounds.holds(*size as f64));
            if !source.has_condition || fewest == Some(rules) {
                return Ok(());
            }
            Err(CorrelationProblem::SomeInOrder { rules })
        }
        CorrelationCondition::Extended(condition) if is_conjunction(condition) => Ok(()),
        CorrelationCondition::Extended(_) => Err(CorrelationProblem::ExpressionInOrder),
    }
}

fn is_conjunction(condition: &ConditionExpr) -> bool {
    match condition {
        ConditionExpr::And(parts) => parts.iter().all(is_conjunction),
        ConditionExpr::Identifier(_) => true,
        ConditionExpr::Selector { quantifier, .. } => *quantifier == Quantifier::All,
        ConditionExpr::Or(_) | ConditionExpr::Not(_) => false,
    }
}

/// Returns that the number of different rules with findings, of `all`, is one of `sizes`.
fn counted(sizes: &[usize], all: usize) -> Result<Option<Expression>, CorrelationProblem> {
    let Some(fewest) = sizes.first().copied() else {
        return Err(CorrelationProblem::ImpossibleNumber { rules: all });
    };
    if fewest == all {
        return Ok(None);
    }
    let places: Vec<usize> = (0..all).collect();
    let has_no_upper_bound = sizes.len() == all + 1 - fewest;
    if has_no_upper_bound {
        return at_least(fewest, &places).map(Some);
    }
    if all > MOST_COUNTED {
        return Err(CorrelationProblem::TooMany { rules: all });
    }
    let exactly = |chosen: Vec<usize>| {
        let part = |place: usize| match chosen.contains(&place) {
            true => Expression::Rule(place),
            false => Expression::Not(Box::new(Expression::Rule(place))),
        };
        Expression::And((0..all).map(part).collect())
    };
    let chosen = sizes.iter().flat_map(|size| choices(*size, all));
    Ok(Some(Expression::Or(chosen.map(exactly).collect())))
}

/// Returns that at least so many of the rules at these places have findings.
fn at_least(number: usize, places: &[usize]) -> Result<Expression, CorrelationProblem> {
    let rules = |places: &[usize]| places.iter().copied().map(Expression::Rule).collect();
    if let [only] = places
        && number == 1
    {
        return Ok(Expression::Rule(*only));
    }
    if number == 1 {
        return Ok(Expression::Or(rules(places)));
    }
    if number == places.len() {
        return Ok(Expression::And(rules(places)));
    }
    if number == 0 || number > places.len() {
        return Err(CorrelationProblem::MeaninglessNumber {
            number,
            rules: places.len(),
        });
    }
    if places.len() > MOST_COUNTED {
        return Err(CorrelationProblem::TooMany {
            rules: places.len(),
        });
    }
    let chosen = choices(number, places.len()).into_iter().map(|chosen| {
        let chosen: Vec<usize> = chosen.into_iter().map(|at| places[at]).collect();
        Expression::And(rules(&chosen))
    });
    Ok(Expression::Or(chosen.collect()))
}

/// Returns every choice of `size` places among `all`, in order.
fn choices(size: usize, all: usize) -> Vec<Vec<usize>> {
    let mut choices: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..size {
        choices = choices
            .iter()
            .flat_map(|chosen| {
                let from = chosen.last().map_or(0, |last| last + 1);
                (from..all).map(move |place| {
                    let mut more = chosen.clone();
                    more.push(place);
                    more
                })
            })
            .collect();
    }
    choices
}

/// Reads a condition over rules' names as one over the places of their entries.
struct ConditionReader<'a, Find> {
    /// The references as the correlation writes them.
    texts: &'a [&'a str],
    entries: &'a [String],
    find: Find,
}

impl<Find: Fn(&str) -> Result<String, CorrelationProblem>> ConditionReader<'_, Find> {
    fn read(&self, condition: &ConditionExpr) -> Result<Expression, CorrelationProblem> {
        match condition {
            ConditionExpr::And(parts) => self.all(parts).map(Expression::And),
            ConditionExpr::Or(parts) => self.all(parts).map(Expression::Or),
            ConditionExpr::Not(inner) => Ok(Expression::Not(Box::new(self.read(inner)?))),
            ConditionExpr::Identifier(name) => {
                let place = self.place(name)?;
                place
                    .map(Expression::Rule)
                    .ok_or_else(|| CorrelationProblem::UnknownName(name.clone()))
            }
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let mut chosen = Vec::new();
                for text in self.texts.iter().filter(|text| is_meant(pattern, text)) {
                    let place = self.place(text)?;
                    chosen.extend(place.filter(|place| !chosen.contains(place)));
                }
                if chosen.is_empty() {
                    return Err(CorrelationProblem::NothingSelected(condition.to_string()));
                }
                let number = match quantifier {
                    Quantifier::Any => 1,
                    Quantifier::All => chosen.len(),
                    Quantifier::Count(number) => usize::try_from(*number).unwrap_or(usize::MAX),
                };
                at_least(number, &chosen)
            }
        }
    }

    fn all(&self, parts: &[ConditionExpr]) -> Result<Vec<Expression>, CorrelationProblem> {
        parts.iter().map(|part| self.read(part)).collect()
    }

    /// Returns the place of the entry that a reference means.
    fn place(&self, name: &str) -> Result<Option<usize>, CorrelationProblem> {
        let entry = (self.find)(name)?;
        Ok(self.entries.iter().position(|known| *known == entry))
    }
}

fn is_meant(pattern: &SelectorPattern, text: &str) -> bool {
    matches!(pattern, SelectorPattern::Them) || is_named(pattern, text)
}
