//! What a rule or a correlation says, as a hash.

use std::fmt::Write as _;

use rsigma_parser::{
    CorrelationCondition, CorrelationRule, Detection, DetectionItem, LogSource, SigmaRule,
    SigmaValue,
};
use serde::Serialize;

use super::documents::without_marks;
use super::loaded::Load;
use super::run_id::short_hash;
use super::sources::{SigmaCorrelation, SigmaCount};
use crate::sigma::lower::name_of;

/// Returns a hash of a rule's title, log source and detection. The order of keys, comments, layout and all else that a file
/// says are not in it.
pub(super) fn of_rule(rule: &SigmaRule, count: Option<&SigmaCount>) -> String {
    let mut text = String::new();
    line(&mut text, "title", &rule.title);
    source(&mut text, &rule.logsource);
    let mut names: Vec<&String> = rule.detection.named.keys().collect();
    names.sort_unstable();
    for name in names {
        if let Some(detection) = rule.detection.named.get(name) {
            line(&mut text, "detection", name);
            line(&mut text, "is", &written(detection));
        }
    }
    for condition in &rule.detection.condition_strings {
        let words: Vec<&str> = condition.split_whitespace().collect();
        line(&mut text, "condition", &words.join(" "));
    }
    line(
        &mut text,
        "timeframe",
        rule.detection.timeframe.as_deref().unwrap_or_default(),
    );
    if let Some(count) = count {
        line(&mut text, "count", count.field.as_deref().unwrap_or("*"));
        count.by.iter().for_each(|name| line(&mut text, "by", name));
        line(&mut text, "is", &in_json(&count.condition));
    }
    short_hash(&text)
}

/// Gives the correlations of one file their hashes. A name that a correlation refers to is that of a rule in the same file
/// first: the same words in two files are about two rules.
pub(super) fn identify_correlations(load: &mut Load) {
    let named = |load: &Load, of: &SigmaCorrelation| -> Vec<String> {
        let rules = load
            .rules
            .iter()
            .map(|source| (&source.rule.name, source.id()));
        let rules: Vec<(&Option<String>, String)> = rules.collect();
        let mut ids = Vec::new();
        for reference in &of.rule.rules {
            let mut found = rules
                .iter()
                .filter(|(name, _)| name.as_ref() == Some(reference));
            ids.extend(found.next().map(|(_, id)| id.clone()));
        }
        ids
    };
    let contents: Vec<String> = load
        .correlations
        .iter()
        .map(|source| of_correlation(&source.rule, &named(load, source)))
        .collect();
    for (source, content) in load.correlations.iter_mut().zip(contents) {
        source.content = content;
    }
}

/// Returns a hash of a correlation's title and what it asks, of rules with these ids in its file.
fn of_correlation(rule: &CorrelationRule, ids: &[String]) -> String {
    let mut text = String::new();
    line(&mut text, "title", &rule.title);
    line(&mut text, "type", rule.correlation_type.as_str());
    rule.rules
        .iter()
        .for_each(|name| line(&mut text, "rule", name));
    ids.iter().for_each(|id| line(&mut text, "id", id));
    rule.group_by
        .iter()
        .for_each(|name| line(&mut text, "by", name));
    line(&mut text, "timespan", &rule.timespan.original);
    line(&mut text, "window", rule.window.as_str());
    line(
        &mut text,
        "gap",
        rule.gap.as_ref().map_or("", |gap| &gap.original),
    );
    match &rule.condition {
        CorrelationCondition::Extended(condition) => {
            line(&mut text, "condition", &condition.to_string())
        }
        CorrelationCondition::Threshold {
            predicates,
            field,
            percentile,
        } => {
            for (operator, number) in predicates {
                line(&mut text, &in_json(operator), &number.to_string());
            }
            let fields = field.iter().flatten();
            fields.for_each(|name| line(&mut text, "field", name));
            if let Some(rank) = percentile {
                line(&mut text, "percentile", &rank.to_string());
            }
        }
    }
    let mut aliases = Vec::new();
    for alias in &rule.aliases {
        let of = |(rule, field): (&String, &String)| format!("{} {rule} {field}", alias.alias);
        aliases.extend(alias.mapping.iter().map(of));
    }
    aliases.sort_unstable();
    aliases
        .iter()
        .for_each(|alias| line(&mut text, "alias", alias));
    short_hash(&text)
}

fn source(text: &mut String, source: &LogSource) {
    for (key, value) in [
        ("product", &source.product),
        ("category", &source.category),
        ("service", &source.service),
    ] {
        line(text, key, value.as_deref().unwrap_or_default());
    }
}

/// Writes a line whose parts no other text can imitate.
fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{key} {}", in_json(value));
}

/// Returns it in JSON, whose names and escapes are fixed: what `{:?}` writes may change with a compiler or a library.
fn in_json(value: &(impl Serialize + ?Sized)) -> String {
    // Texts, numbers and structs of them are always written.
    serde_json::to_string(value).unwrap_or_default()
}

fn written(detection: &Detection) -> String {
    let all = |parts: &[Detection]| -> Vec<String> { parts.iter().map(written).collect() };
    match detection {
        Detection::AllOf(items) => {
            let mut items: Vec<String> = items.iter().map(item).collect();
            items.sort_unstable();
            format!("all {}", in_json(&items))
        }
        Detection::AnyOf(parts) => format!("any {}", in_json(&all(parts))),
        Detection::And(parts) => {
            let mut parts = all(parts);
            parts.sort_unstable();
            format!("all {}", in_json(&parts))
        }
        Detection::Keywords(values) => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("keywords {}", in_json(&values))
        }
        Detection::ArrayMatch {
            field,
            quantifier,
            body,
        } => format!("{quantifier} of {}", in_json(&(field, written(body)))),
        Detection::Conditional { named, condition } => {
            let mut parts: Vec<String> = named
                .iter()
                .map(|(name, part)| in_json(&(name, written(part))))
                .collect();
            parts.sort_unstable();
            format!("{condition} {}", in_json(&parts))
        }
    }
}

fn item(item: &DetectionItem) -> String {
    let modifiers: Vec<&str> = item.field.modifiers.iter().map(|of| name_of(*of)).collect();
    let values: Vec<String> = item.values.iter().map(value).collect();
    let field = item.field.name.as_deref().unwrap_or_default();
    in_json(&(field, modifiers, values))
}

fn value(value: &SigmaValue) -> String {
    match value {
        SigmaValue::String(text) => match without_marks(&text.original) {
            Some((number, true)) => number,
            Some((text, false)) => in_json(&text),
            None => in_json(&text.original),
        },
        other => other.to_string(),
    }
}
