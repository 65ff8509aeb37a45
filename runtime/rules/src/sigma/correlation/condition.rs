//! Conditions of `temporal` and `temporal_ordered`: how many of the rules, or which.

use rsigma_parser::{
    ConditionExpr, CorrelationCondition, CorrelationRule, Quantifier, SelectorPattern,
};

use super::bounds;
use crate::sigma::load::SigmaCorrelation;
use crate::sigma::selector::is_named;

/// Rules that a condition on their number is written out for; it takes an `or` of all their choices.
const MOST_COUNTED: usize = 8;

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

/// Returns which of the rules must have findings, over their entries; nothing where all must.
///
/// A number is that of different rules. Without a condition it is all of them.
pub(super) fn expression(
    source: &SigmaCorrelation,
    texts: &[&str],
    entries: &[String],
    find: impl Fn(&str) -> Result<String, String>,
) -> Result<Option<String>, String> {
    match &source.rule.condition {
        CorrelationCondition::Threshold { .. } if !source.has_condition => Ok(None),
        CorrelationCondition::Threshold { predicates, .. } => {
            let bounds = bounds(predicates);
            let sizes: Vec<usize> = (1..=entries.len())
                .filter(|size| bounds.holds(*size as f64))
                .collect();
            counted(&sizes, entries)
        }
        CorrelationCondition::Extended(condition) => {
            let writer = Writer {
                texts,
                entries,
                find,
            };
            writer.write(condition).map(Some)
        }
    }
}

/// Says what is wrong with a condition of rules in order, which wants them all.
pub(super) fn wants_all_in_order(source: &SigmaCorrelation, rules: usize) -> Result<(), String> {
    match &source.rule.condition {
        CorrelationCondition::Threshold { predicates, .. } => {
            let bounds = bounds(predicates);
            let fewest = (1..=rules).find(|size| bounds.holds(*size as f64));
            if !source.has_condition || fewest == Some(rules) {
                return Ok(());
            }
            Err(format!(
                "wants a number of its {rules} rules in order, and `temporal_ordered` runs only with all of them: leave `condition` out, or use `temporal`"
            ))
        }
        CorrelationCondition::Extended(condition) if is_conjunction(condition) => Ok(()),
        CorrelationCondition::Extended(_) => Err(
            "has `or`, `not` or a number of rules in its condition, and `temporal_ordered` runs only with all of them in order: use `temporal`".to_owned(),
        ),
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

/// Writes that the number of different rules with findings is one of `sizes`.
fn counted(sizes: &[usize], entries: &[String]) -> Result<Option<String>, String> {
    let all = entries.len();
    let Some(fewest) = sizes.first().copied() else {
        return Err(format!(
            "wants a number of different rules that its {all} cannot have"
        ));
    };
    if fewest == all {
        return Ok(None);
    }
    let has_no_upper_bound = sizes.len() == all + 1 - fewest;
    if has_no_upper_bound {
        return at_least(fewest, entries).map(Some);
    }
    if all > MOST_COUNTED {
        return Err(too_many(all));
    }
    let exactly = sizes
        .iter()
        .flat_map(|size| choices(*size, all))
        .map(|chosen| {
            let words: Vec<String> = entries
                .iter()
                .enumerate()
                .map(|(place, entry)| match chosen.contains(&place) {
                    true => entry.clone(),
                    false => format!("not {entry}"),
                })
                .collect();
            words.join(" and ")
        });
    Ok(Some(exactly.collect::<Vec<_>>().join(" or ")))
}

fn too_many(rules: usize) -> String {
    format!(
        "wants a number of {rules} different rules, which is written out for {MOST_COUNTED} at most: correlate correlations of fewer"
    )
}

/// Writes that at least so many of the rules have findings.
fn at_least(number: usize, entries: &[String]) -> Result<String, String> {
    if number == 1 {
        return Ok(entries.join(" or "));
    }
    if number == entries.len() {
        return Ok(entries.join(" and "));
    }
    if number == 0 || number > entries.len() {
        return Err(format!(
            "wants {number} of {} rules, which says nothing",
            entries.len()
        ));
    }
    if entries.len() > MOST_COUNTED {
        return Err(too_many(entries.len()));
    }
    let words = choices(number, entries.len()).into_iter().map(|chosen| {
        let chosen: Vec<&str> = chosen
            .iter()
            .map(|place| entries[*place].as_str())
            .collect();
        chosen.join(" and ")
    });
    Ok(words.collect::<Vec<_>>().join(" or "))
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

/// Writes a condition over rules' names as one over their entries.
struct Writer<'a, Find> {
    /// The references as the correlation writes them.
    texts: &'a [&'a str],
    entries: &'a [String],
    find: Find,
}

impl<Find: Fn(&str) -> Result<String, String>> Writer<'_, Find> {
    fn write(&self, condition: &ConditionExpr) -> Result<String, String> {
        match condition {
            ConditionExpr::And(parts) => self.join(parts, " and "),
            ConditionExpr::Or(parts) => self.join(parts, " or "),
            ConditionExpr::Not(inner) => Ok(format!("not {}", self.part(inner)?)),
            ConditionExpr::Identifier(name) => {
                let entry = (self.find)(name)?;
                if self.entries.contains(&entry) {
                    return Ok(entry);
                }
                Err(format!(
                    "has `{name}` in its condition, which is not among its `rules`"
                ))
            }
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let mut chosen = Vec::new();
                for text in self.texts.iter().filter(|text| is_meant(pattern, text)) {
                    let entry = (self.find)(text)?;
                    if !chosen.contains(&entry) {
                        chosen.push(entry);
                    }
                }
                if chosen.is_empty() {
                    return Err(format!(
                        "has `{condition}` in its condition, and none of its `rules` is named so"
                    ));
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

    fn join(&self, parts: &[ConditionExpr], word: &str) -> Result<String, String> {
        let parts: Result<Vec<String>, String> = parts.iter().map(|part| self.part(part)).collect();
        Ok(parts?.join(word))
    }

    /// Writes a part of something larger: in parentheses, unless it is one word or a negated part.
    fn part(&self, condition: &ConditionExpr) -> Result<String, String> {
        let text = self.write(condition)?;
        let is_whole = matches!(condition, ConditionExpr::Not(_)) || !text.contains(' ');
        Ok(match is_whole {
            true => text,
            false => format!("({text})"),
        })
    }
}

fn is_meant(pattern: &SelectorPattern, text: &str) -> bool {
    matches!(pattern, SelectorPattern::Them) || is_named(pattern, text)
}
