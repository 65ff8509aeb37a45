//! Sigma's correlations: which rules they join, in which order they can be made, and what they ask.
//!
//! Old rules that count (`| count(FIELD) by FIELD > N`) are correlations too: what is left of their condition finds the
//! events, and the correlation takes the rule's name.

mod bounds;
mod chain;
mod condition;
mod field_name;
mod names;
mod problem;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rsigma_parser::value::TimespanUnit;
use rsigma_parser::{CorrelationCondition, CorrelationType, Timespan, WindowMode};
use yagura_core::correlation::any_order::AnyOrder;
use yagura_core::correlation::avg::Avg;
use yagura_core::correlation::distinct::Distinct;
use yagura_core::correlation::percentile::Percentile;
use yagura_core::correlation::sequence::Sequence;
use yagura_core::correlation::sum::Sum;
use yagura_core::correlation::{
    Correlation, CorrelationKind, KeyError, MeasuredField, Window, Windows, count,
};
use yagura_core::duration::NotADuration;
use yagura_core::references::{circle_of, in_order};
use yagura_core::{Severity, TimeSpan};

use super::load::{Load, SigmaCorrelation, SigmaCount, SigmaSource};
use bounds::{bounds, f64_of};
use chain::ChainNode;
pub use field_name::field_name;
use field_name::unique;
use names::RuleNames;
pub use problem::CorrelationProblem;
use source::CorrelationSource;
pub use source::Target;

/// The correlations of what was read, by themselves: tables and their fields are still to be found.
#[derive(Debug, Clone, Default)]
pub struct Correlations {
    /// Each after those that it refers to.
    pub joined: Vec<Joined>,
    /// Indexes of the detection rules that correlations refer to, and none with `generate: true`: they give no alerts.
    pub parts: BTreeSet<usize>,
}

/// A correlation with its references resolved.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Its id in a run.
    pub id: String,
    /// Its file.
    pub file: PathBuf,
    /// As Sigma has it.
    pub title: String,
    /// As Sigma has it, or empty.
    pub description: String,
    /// From its level.
    pub severity: Severity,
    /// As Sigma has them.
    pub tags: Vec<String>,
    /// As Sigma has them.
    pub references: Vec<String>,
    /// Whether correlations refer to it, and none with `generate: true`: it gives no alerts.
    pub is_part: bool,
    /// Index of the detection rule whose events it counts, where it is an aggregate of old Sigma.
    pub counts: Option<usize>,
    /// What it joins, each once.
    pub members: Vec<JoinedMember>,
    /// What it asks, without aliases; or what is wrong with it.
    pub correlation: Result<Correlation, CorrelationProblem>,
}

/// What a reference of a correlation leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Where it leads.
    pub target: Target,
    /// Its entry in `correlation.rules`.
    pub entry: String,
    /// The fields that the correlation reads: their names there, and Sigma's names of them in this rule.
    pub fields: BTreeMap<String, String>,
}

/// Resolves what correlations refer to and brings each into our form.
///
/// A reference is an id, or a name: of a rule in the same file first, since names need only be unique to their correlation.
pub fn correlations(load: &Load) -> Correlations {
    let counts = load.rules.iter().enumerate().filter_map(|(index, source)| {
        let count = source.count.as_ref()?;
        Some(CorrelationSource::Count(index, source, count))
    });
    let sources: Vec<CorrelationSource<'_>> = counts
        .chain(load.correlations.iter().map(CorrelationSource::Correlation))
        .collect();
    let names = RuleNames::new(load, &sources);
    let resolved: Vec<Vec<Result<(String, Target), CorrelationProblem>>> = sources
        .iter()
        .map(|source| match source {
            CorrelationSource::Count(index, _, _) => {
                vec![Ok((String::new(), Target::Rule(*index)))]
            }
            CorrelationSource::Correlation(source) => condition::references(&source.rule)
                .into_iter()
                .map(|text| {
                    let target = names.find(&text, &source.file)?;
                    Ok((text, target))
                })
                .collect(),
        })
        .collect();
    let (mut silent, mut loud) = (BTreeSet::new(), BTreeSet::new());
    for (source, references) in sources.iter().zip(&resolved) {
        let list = if source.generates() {
            &mut loud
        } else {
            &mut silent
        };
        list.extend(references.iter().flatten().map(|(_, target)| *target));
    }
    silent.retain(|target| !loud.contains(target));
    let nodes = chain::nodes(&sources, &resolved, &names);
    let needs: Vec<Vec<usize>> = nodes.iter().map(|node| node.needs(&resolved)).collect();
    let order = in_order(&needs);
    let mut place_of = vec![usize::MAX; nodes.len()];
    let all: Vec<usize> = order
        .possible
        .iter()
        .chain(&order.circular)
        .copied()
        .collect();
    for (place, index) in all.iter().enumerate() {
        place_of[*index] = place;
    }
    let ids: Vec<String> = nodes.iter().map(|node| node.id(&sources)).collect();
    let mut joined = Vec::with_capacity(all.len());
    for index in all {
        let node = &nodes[index];
        let source = sources[node.source];
        let references: Result<Vec<(String, Target)>, CorrelationProblem> =
            resolved[node.source].iter().cloned().collect();
        let circle = order.circular.binary_search(&index).is_ok();
        let entry = |target: Target| match node.replaced.get(&target) {
            Some(other) => ids[*other].clone(),
            None => names.entry(target),
        };
        let asked = references.and_then(|references| {
            if circle {
                let circle = circle_of(index, &needs, &order);
                return Err(circular(index, &circle, &ids));
            }
            asked(source, node, references, &names, &entry)
        });
        let (correlation, mut members) = match asked {
            Ok((correlation, members)) => (Ok(correlation), members),
            Err(reason) => (Err(reason), Vec::new()),
        };
        for member in &mut members {
            let replaced = node.replaced.get(&member.target);
            if let Target::Correlation(index) = &mut member.target {
                *index = place_of[replaced.copied().unwrap_or(*index)];
            }
        }
        let is_part = node.by.is_some() || silent.contains(&Target::Correlation(index));
        let id = ids[index].clone();
        joined.push(described(source, id, is_part, members, correlation));
    }
    let parts = silent.iter().filter_map(|target| match target {
        Target::Rule(index) => Some(*index),
        Target::Correlation(_) => None,
    });
    Correlations {
        joined,
        parts: parts.collect(),
    }
}

fn circular(index: usize, circle: &[usize], ids: &[String]) -> CorrelationProblem {
    let ids = circle.iter().map(|index| ids[*index].clone()).collect();
    match circle.contains(&index) {
        true => CorrelationProblem::Circle(ids),
        false => CorrelationProblem::RefersToCircle(ids),
    }
}

fn described(
    source: CorrelationSource<'_>,
    id: String,
    is_part: bool,
    members: Vec<JoinedMember>,
    correlation: Result<Correlation, CorrelationProblem>,
) -> Joined {
    let (title, description, level, tags, references, counts) = match source {
        CorrelationSource::Correlation(SigmaCorrelation { rule, .. }) => (
            &rule.title,
            &rule.description,
            rule.level,
            &rule.tags,
            &rule.references,
            None,
        ),
        CorrelationSource::Count(index, SigmaSource { rule, .. }, _) => (
            &rule.title,
            &rule.description,
            rule.level,
            &rule.tags,
            &rule.references,
            Some(index),
        ),
    };
    Joined {
        id,
        file: source.file().to_owned(),
        title: title.clone(),
        description: description.clone().unwrap_or_default(),
        severity: severity(level),
        tags: tags.clone(),
        references: references.clone(),
        is_part,
        counts,
        members,
        correlation,
    }
}

/// Returns the severity for a level; a rule without one is of medium severity.
pub fn severity(level: Option<rsigma_parser::Level>) -> Severity {
    use rsigma_parser::Level;
    match level {
        Some(Level::Informational) => Severity::Info,
        Some(Level::Low) => Severity::Low,
        Some(Level::Medium) | None => Severity::Medium,
        Some(Level::High) => Severity::High,
        Some(Level::Critical) => Severity::Critical,
    }
}

/// Returns what a correlation asks, and of what.
fn asked(
    source: CorrelationSource<'_>,
    node: &ChainNode,
    references: Vec<(String, Target)>,
    names: &RuleNames<'_>,
    entry: &dyn Fn(Target) -> String,
) -> Result<(Correlation, Vec<JoinedMember>), CorrelationProblem> {
    let mut members: Vec<JoinedMember> = Vec::new();
    for (_, target) in &references {
        if !members.iter().any(|member| member.target == *target) {
            members.push(JoinedMember {
                target: *target,
                entry: entry(*target),
                fields: BTreeMap::new(),
            });
        }
    }
    let entries = members.iter().map(|member| member.entry.clone()).collect();
    let by = node.by.as_deref().unwrap_or(source.by());
    let mut correlation = match source {
        CorrelationSource::Count(_, _, count) => {
            for name in by.iter().chain(&count.field) {
                let field = field_name(name);
                members[0].fields.insert(field, name.clone());
            }
            of_count(count, entries)?
        }
        CorrelationSource::Correlation(source) => {
            let all: Vec<String> = references
                .iter()
                .map(|(_, target)| entry(*target))
                .collect();
            let find = |text: &str| Ok(entry(names.find(text, &source.file)?));
            let correlation = of_correlation(source, entries, all, &references, find)?;
            fields(source, by, &references, names, &mut members)?;
            correlation
        }
    };
    correlation.by = unique(by);
    correlation.check()?;
    Ok((correlation, members))
}

fn of_count(count: &SigmaCount, rules: Vec<String>) -> Result<Correlation, CorrelationProblem> {
    let within = count.within.as_deref();
    let within = within.ok_or(CorrelationProblem::NoTimeframe)?;
    let within = Timespan::parse(within.trim())
        .map_err(|_| CorrelationProblem::Timeframe(within.to_owned()))?;
    let windows = Windows::Sliding {
        within: duration("within", &within)?,
    };
    let condition = count.condition;
    let kind: CorrelationKind = match &count.field {
        Some(field) => Distinct {
            field: Some(field_name(field)),
            fields: Vec::new(),
            approximate: false,
            windows,
            condition,
        }
        .into(),
        None => count::Count { windows, condition }.into(),
    };
    Ok(Correlation::new(kind, rules))
}

fn of_correlation(
    source: &SigmaCorrelation,
    entries: Vec<String>,
    all: Vec<String>,
    references: &[(String, Target)],
    find: impl Fn(&str) -> Result<String, CorrelationProblem>,
) -> Result<Correlation, CorrelationProblem> {
    let rule = &source.rule;
    let within = duration("within", &rule.timespan)?;
    let window = match rule.window {
        WindowMode::Sliding => Window::Sliding,
        WindowMode::Tumbling => Window::Tumbling,
        WindowMode::Session => Window::Session,
    };
    let gap = match &rule.gap {
        Some(gap) => Some(duration("gap", gap)?),
        None => None,
    };
    match rule.correlation_type {
        CorrelationType::Temporal => {
            only_slides("any-order", window, gap)?;
            let texts: Vec<&str> = references.iter().map(|(text, _)| text.as_str()).collect();
            let requires = condition::requires(source, &texts, &entries, find)?;
            let any_order = AnyOrder::requiring(&entries, within, requires);
            return Ok(Correlation::new(any_order, entries));
        }
        CorrelationType::TemporalOrdered => {
            only_slides("sequence", window, gap)?;
            condition::wants_all_in_order(source, all.len())?;
            let sequence = Sequence {
                within,
                step_within: None,
            };
            return Ok(Correlation::new(sequence, all));
        }
        _ => {}
    }
    let CorrelationCondition::Threshold {
        predicates,
        percentile,
        ..
    } = &rule.condition
    else {
        return Err(CorrelationProblem::NamesInCondition);
    };
    let condition = bounds(predicates);
    if condition.is_empty() {
        return Err(KeyError::missing("condition").into());
    }
    let windows = Windows::new(window, within, gap)?;
    let measured = measured(source);
    let field = || match measured {
        [one] => Ok(field_name(one)),
        [] => Err(CorrelationProblem::from(KeyError::missing("field"))),
        several => Err(CorrelationProblem::SeveralFields(several.len())),
    };
    let of_field = || -> Result<MeasuredField, CorrelationProblem> {
        Ok(MeasuredField {
            field: field()?,
            windows,
            condition,
        })
    };
    let kind: CorrelationKind = match rule.correlation_type {
        CorrelationType::ValueCount => Distinct {
            field: match measured {
                [_, _, ..] => None,
                _ => Some(field()?),
            },
            fields: match measured {
                [_, _, ..] => unique(measured),
                _ => Vec::new(),
            },
            approximate: false,
            windows,
            condition,
        }
        .into(),
        CorrelationType::ValueSum => Sum {
            measured: of_field()?,
        }
        .into(),
        CorrelationType::ValueAvg => Avg {
            measured: of_field()?,
        }
        .into(),
        CorrelationType::ValuePercentile | CorrelationType::ValueMedian => {
            let is_median = rule.correlation_type == CorrelationType::ValueMedian;
            let percentile = percentile.filter(|_| !is_median).unwrap_or(50);
            Percentile {
                measured: of_field()?,
                percentile: f64_of(percentile),
            }
            .into()
        }
        CorrelationType::EventCount
        | CorrelationType::Temporal
        | CorrelationType::TemporalOrdered => count::Count { windows, condition }.into(),
    };
    Ok(Correlation::new(kind, entries))
}

/// Refuses windows of other kinds and gaps, which correlations of rules in an order or in any do not use.
fn only_slides(
    word: &str,
    window: Window,
    gap: Option<TimeSpan>,
) -> Result<(), CorrelationProblem> {
    let refuse = |key| {
        let message = format!("is given, and `{word}` does not use it");
        Err(KeyError::new(key, message).into())
    };
    match (window, gap) {
        (Window::Sliding, None) => Ok(()),
        (Window::Sliding, Some(_)) => refuse("gap"),
        _ => refuse("window"),
    }
}

/// Returns the fields that a correlation measures; those that count events measure none.
fn measured(source: &SigmaCorrelation) -> &[String] {
    let rule = &source.rule;
    let measures = !matches!(
        rule.correlation_type,
        CorrelationType::EventCount | CorrelationType::Temporal | CorrelationType::TemporalOrdered
    );
    match &rule.condition {
        CorrelationCondition::Threshold {
            field: Some(fields),
            ..
        } if measures => fields,
        _ => &[],
    }
}

/// Writes down what each of the members calls the fields that the correlation reads.
fn fields(
    source: &SigmaCorrelation,
    by: &[String],
    references: &[(String, Target)],
    names: &RuleNames<'_>,
    members: &mut [JoinedMember],
) -> Result<(), CorrelationProblem> {
    let rule = &source.rule;
    for name in by.iter().chain(measured(source)) {
        for member in &mut *members {
            member.fields.insert(field_name(name), name.clone());
        }
    }
    for alias in &rule.aliases {
        // In order, so that of several mistakes always the same is told.
        for (reference, own) in alias.mapping.iter().collect::<BTreeMap<_, _>>() {
            let listed = references.iter().find(|(text, _)| text == reference);
            let target = match listed {
                Some((_, target)) => *target,
                None => names.find(reference, &source.file)?,
            };
            let Some(member) = members.iter_mut().find(|member| member.target == target) else {
                return Err(CorrelationProblem::Alias {
                    alias: alias.alias.clone(),
                    reference: reference.clone(),
                });
            };
            if let Some(name) = member.fields.get_mut(&field_name(&alias.alias)) {
                name.clone_from(own);
            }
        }
    }
    Ok(())
}

/// Reads the time of a key in our form, which has no unit longer than a day: a month is 30 days, a year 365.
fn duration(key: &str, time: &Timespan) -> Result<TimeSpan, CorrelationProblem> {
    let days = |each: u64| format!("{}d", time.count.saturating_mul(each));
    let text = match time.unit {
        TimespanUnit::Second => format!("{}s", time.count),
        TimespanUnit::Minute => format!("{}m", time.count),
        TimespanUnit::Hour => format!("{}h", time.count),
        TimespanUnit::Day => days(1),
        TimespanUnit::Week => days(7),
        TimespanUnit::Month => days(30),
        TimespanUnit::Year => days(365),
    };
    text.parse()
        .map_err(|error: NotADuration| KeyError::new(key, error.to_string()).into())
}

#[cfg(test)]
mod tests;
