//! Which rules correlate which: names resolved, order found, fields asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use yagura_core::names::did_you_mean;
use yagura_core::references::{circle_of, in_order, members};
use yagura_core::rule::ReportMode;
use yagura_core::{Correlation, FieldPath, Rule};

/// What is wrong with a correlation among these rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct GraphError {
    /// Index of the correlation.
    pub rule: usize,
    /// Key inside `[rule]`.
    pub key: &'static str,
    /// What was found and what to write instead.
    pub message: String,
}

/// The rules of a run, and how findings flow among them.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Correlations in an order in which each comes after those that it joins.
    pub(crate) order: Vec<JoinedRules>,
    /// For each rule the paths that correlations ask of its findings.
    pub(crate) fields: Vec<Vec<FieldPath>>,
    /// For each rule the number of its watermark group: rules whose findings never meet are in different ones.
    pub(crate) watermark_group_of: Vec<usize>,
    /// For each rule the first of those that correlations join with it, through others too: they share one time.
    pub(crate) unit_of: Vec<usize>,
    /// For each watermark group its tables, in order of name.
    pub(crate) watermark_groups: Vec<Vec<String>>,
    /// For each rule whether its findings may change until no earlier event can come, even where all its events have.
    pub(crate) waits: Vec<bool>,
}

/// A correlation with its sources resolved.
#[derive(Debug, Clone)]
pub(crate) struct JoinedRules {
    /// Index of its rule.
    pub(crate) rule: usize,
    pub(crate) sources: Vec<JoinedRule>,
}

/// A rule whose findings a correlation joins.
#[derive(Debug, Clone)]
pub(crate) struct JoinedRule {
    /// Index of the rule.
    pub(crate) rule: usize,
    /// First place of its entry among the correlation's `rules`.
    pub(crate) entry: usize,
    /// Where the values of `by` are among a finding's fields.
    pub(crate) by: Vec<usize>,
    /// Where the measured values are.
    pub(crate) values: Vec<usize>,
}

impl Graph {
    /// Resolves the correlations among `rules`.
    ///
    /// # Errors
    /// [`GraphError`]: a name that no rule has, a circle, a field that a joined correlation does not have.
    pub fn new(rules: &[Arc<Rule>]) -> Result<Self, GraphError> {
        let mut graph = Self {
            fields: vec![Vec::new(); rules.len()],
            // Detectors with state evaluate events when the watermark has passed them.
            waits: rules
                .iter()
                .map(|rule| !rule.partition_by.is_empty())
                .collect(),
            ..Self::default()
        };
        let mut entries: Vec<Vec<(usize, usize)>> = vec![Vec::new(); rules.len()];
        for (index, rule) in rules.iter().enumerate() {
            if let Some(correlation) = &rule.correlation {
                entries[index] = resolve(rules, index, correlation)?;
            }
        }
        for rule in ordered(rules, &entries)? {
            let Some(correlation) = &rules[rule].correlation else {
                continue;
            };
            let mut sources: Vec<JoinedRule> = Vec::new();
            for (entry, source) in &entries[rule] {
                if sources.iter().any(|known| known.rule == *source) {
                    continue;
                }
                let mut at = |name: &str| graph.field_of(rules, rule, *source, correlation, name);
                let by = correlation.by.iter().map(|name| at(name));
                let by = by.collect::<Result<_, _>>()?;
                let values = correlation.kind.fields().into_iter().map(at);
                sources.push(JoinedRule {
                    rule: *source,
                    entry: *entry,
                    by,
                    values: values.collect::<Result<_, _>>()?,
                });
                // What is asked of a rule's events is known once all correlations have asked.
                for name in correlation.field_names() {
                    graph.ask(rules, *source, correlation, name);
                }
            }
            graph.waits[rule] = correlation.kind.is_final_only()
                || sources.iter().any(|source| graph.waits[source.rule])
                || rules[rule].alert.report == ReportMode::Final;
            graph.order.push(JoinedRules { rule, sources });
        }
        graph.find_watermark_groups(rules, &entries);
        Ok(graph)
    }

    /// Returns for each rule the paths that correlations ask of its findings, in the order of
    /// [`yagura_core::Finding::fields`].
    pub fn fields(&self) -> &[Vec<FieldPath>] {
        &self.fields
    }

    /// Returns the rules that a correlation joins, through others too, down to those that read tables.
    pub fn joined(&self, rule: usize) -> Vec<usize> {
        let mut all = vec![rule];
        for node in self.order.iter().rev() {
            if all.contains(&node.rule) {
                all.extend(node.sources.iter().map(|source| source.rule));
            }
        }
        all.remove(0);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Notes that a correlation asks for a field of a rule that reads a table.
    fn ask(&mut self, rules: &[Arc<Rule>], source: usize, correlation: &Correlation, name: &str) {
        let rule = &rules[source];
        if rule.correlation.is_none()
            && let Some(path) = correlation.path_of(name, &rule.id)
            && !self.fields[source].contains(&path)
        {
            self.fields[source].push(path);
        }
    }

    /// Returns where a field will be among the source's.
    fn field_of(
        &mut self,
        rules: &[Arc<Rule>],
        rule: usize,
        source: usize,
        correlation: &Correlation,
        name: &str,
    ) -> Result<usize, GraphError> {
        let of = &rules[source];
        let wrong = |message| GraphError {
            rule,
            key: if correlation.by.iter().any(|by| by == name) {
                "correlation.by"
            } else {
                "correlation.field"
            },
            message,
        };
        let Some(path) = correlation.path_of(name, &of.id) else {
            return Err(wrong(format!("names `{name}`, which is not a path")));
        };
        let Some(joined) = &of.correlation else {
            self.ask(rules, source, correlation, name);
            let fields = &self.fields[source];
            return Ok(fields.iter().position(|known| *known == path).unwrap_or(0));
        };
        let text = path.to_string();
        let measures = joined.kind.measures().iter().copied();
        let known = joined.by.iter().map(String::as_str).chain(measures);
        let at = known.clone().position(|known| known == text);
        at.ok_or_else(|| {
            let names: Vec<&str> = known.collect();
            wrong(format!(
                "names `{text}`, which the correlation `{}` does not have: {}",
                of.id,
                match names.as_slice() {
                    [] => "it has no names, for it has no `by`".to_owned(),
                    _ => format!("it has {}; use one of these, or an alias", names.join(", ")),
                }
            ))
        })
    }

    fn find_watermark_groups(&mut self, rules: &[Arc<Rule>], entries: &[Vec<(usize, usize)>]) {
        let mut sets = DisjointSets((0..rules.len()).collect());
        for (index, entries) in entries.iter().enumerate() {
            for (_, source) in entries {
                sets.join(index, *source);
            }
        }
        self.unit_of = (0..rules.len()).map(|rule| sets.first(rule)).collect();
        // Rules of one table share its watermark group, and those that are joined with them.
        let mut first_of: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            if rule.correlation.is_none() {
                sets.join(*first_of.entry(&rule.table).or_insert(index), index);
            }
        }
        let mut number: BTreeMap<usize, usize> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let root = sets.first(index);
            let next = number.len();
            let watermark_group = *number.entry(root).or_insert(next);
            if watermark_group == self.watermark_groups.len() {
                self.watermark_groups.push(Vec::new());
            }
            self.watermark_group_of.push(watermark_group);
            let tables = &mut self.watermark_groups[watermark_group];
            if rule.correlation.is_none() && !tables.contains(&rule.table) {
                tables.push(rule.table.clone());
                tables.sort();
            }
        }
    }
}

/// Rules in sets, each with the number of an earlier one of its set, or its own.
struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn first(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// Finds the rules that each entry of `rules` stands for, with the entry's place.
fn resolve(
    rules: &[Arc<Rule>],
    index: usize,
    correlation: &Correlation,
) -> Result<Vec<(usize, usize)>, GraphError> {
    let mut found = Vec::new();
    for (entry, name) in correlation.rules.iter().enumerate() {
        let named = members(name, rules.iter().map(Arc::as_ref));
        if named.is_empty() {
            let known = rules.iter().map(|rule| rule.id.as_str());
            return Err(GraphError {
                rule: index,
                key: "correlation.rules",
                message: format!(
                    "names `{name}`, and there is no such rule{}",
                    did_you_mean(name, known)
                ),
            });
        }
        found.extend(named.into_iter().map(|rule| (entry, rule)));
    }
    Ok(found)
}

/// Returns the rules, each after those that it joins.
fn ordered(rules: &[Arc<Rule>], entries: &[Vec<(usize, usize)>]) -> Result<Vec<usize>, GraphError> {
    let needs: Vec<Vec<usize>> = entries
        .iter()
        .map(|entries| entries.iter().map(|(_, rule)| *rule).collect())
        .collect();
    let order = in_order(&needs);
    let Some(first) = order.circular.first().copied() else {
        return Ok(order.possible);
    };
    let circle = circle_of(first, &needs, &order);
    let ids: Vec<&str> = circle.iter().map(|rule| rules[*rule].id.as_str()).collect();
    Err(GraphError {
        rule: circle.first().copied().unwrap_or(first),
        key: "correlation.rules",
        message: format!("goes in a circle: `{}`", ids.join("` joins `")),
    })
}

#[cfg(test)]
mod tests {
    use yagura_core::TimeSpan;
    use yagura_core::correlation::any_order::AnyOrder;
    use yagura_core::correlation::sequence::Sequence;

    use super::*;

    fn rule(id: &str, table: &str) -> Arc<Rule> {
        Arc::new(Rule {
            id: id.into(),
            table: table.into(),
            ..Rule::default()
        })
    }

    fn joins(id: &str, names: &[&str], by: &[&str]) -> Arc<Rule> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let any_order = AnyOrder::new(&names, TimeSpan::from_mins(60), None, None).unwrap();
        let mut correlation = Correlation::new(any_order, names);
        correlation.by = by.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(Rule {
            id: id.into(),
            correlation: Some(correlation),
            ..Rule::default()
        })
    }

    #[test]
    fn chains_come_in_order_and_ask_tables_for_their_fields() {
        let rules = [
            joins("top", &["mid", "c"], &["ip"]),
            joins("mid", &["a", "b"], &["ip", "user.name"]),
            rule("a", "t1"),
            rule("b.t2", "t2"),
            rule("b.t3", "t3"),
            rule("c", "t1"),
            rule("alone", "t4"),
        ];
        let graph = Graph::new(&rules).unwrap();
        let order: Vec<usize> = graph.order.iter().map(|joins| joins.rule).collect();
        assert_eq!(order, [1, 0]);
        let fields = |rule: usize| -> Vec<String> {
            graph.fields[rule].iter().map(ToString::to_string).collect()
        };
        assert_eq!(fields(2), ["ip", "user.name"]);
        assert_eq!(fields(3), ["ip", "user.name"]);
        assert_eq!(fields(5), ["ip"]);
        assert_eq!(graph.watermark_groups, [vec!["t1", "t2", "t3"], vec!["t4"]]);
        assert_eq!(graph.watermark_group_of, [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(graph.unit_of, [0, 0, 0, 0, 0, 0, 6]);
        assert_eq!(graph.joined(0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn findings_of_detectors_with_state_are_final_only() {
        let mut keeps_state = Rule::clone(&rule("a", "t1"));
        keeps_state.partition_by = vec!["user".parse().unwrap()];
        let rules = [
            Arc::new(keeps_state),
            rule("b", "t1"),
            joins("c", &["a", "b"], &[]),
            joins("d", &["b"], &[]),
        ];
        assert_eq!(
            Graph::new(&rules).unwrap().waits,
            [true, false, true, false]
        );
    }

    #[test]
    fn wrong_names_circles_and_missing_fields_are_errors() {
        let message = |rules: &[Arc<Rule>]| Graph::new(rules).unwrap_err().to_string();
        assert_eq!(
            message(&[
                joins("x", &["a", "bb"], &[]),
                rule("a", "t"),
                rule("bbb", "t")
            ]),
            "`correlation.rules` names `bb`, and there is no such rule; did you mean `bbb`?"
        );
        assert_eq!(
            message(&[joins("x", &["y"], &[]), joins("y", &["x"], &[])]),
            "`correlation.rules` goes in a circle: `x` joins `y` joins `x`"
        );
        let lacks = [
            joins("x", &["y", "a"], &["host"]),
            joins("y", &["a"], &["ip"]),
            rule("a", "t"),
        ];
        assert!(
            message(&lacks).contains(
                "names `host`, which the correlation `y` does not have: it has ip, count, value"
            ),
            "{}",
            message(&lacks)
        );
        let mut nothing = Rule::clone(&joins("y", &["a", "b"], &[]));
        if let Some(correlation) = &mut nothing.correlation {
            let sequence = Sequence {
                within: TimeSpan::from_mins(60),
                step_within: None,
            };
            correlation.kind = sequence.into();
        }
        let measures_nothing = [
            joins("x", &["y", "a"], &["count"]),
            Arc::new(nothing),
            rule("a", "t"),
            rule("b", "t"),
        ];
        assert!(
            message(&measures_nothing)
                .ends_with("does not have: it has no names, for it has no `by`"),
            "{}",
            message(&measures_nothing)
        );
    }
}
