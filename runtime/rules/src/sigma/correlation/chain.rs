//! Correlations of correlations. What the outer one shares, each inner one has to be about.
//!
//! An inner correlation may be grouped otherwise: the specification's own example counts failed logins by `ComputerName`, and
//! joins them by `User`. A finding of it is about many users. Sigma says that the outer correlation uses its own `group-by`
//! only, so the inner one is made once more for it, grouped so, as a part that gives no alerts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::field_name::field_name;
use super::names::RuleNames;
use super::problem::CorrelationProblem;
use super::source::{CorrelationSource, Target};

/// A correlation as it is, or as a part of another that groups it otherwise.
#[derive(Debug, Clone)]
pub(super) struct ChainNode {
    /// Index of the source.
    pub(super) source: usize,
    /// The fields that it is grouped by in place of its own.
    pub(super) by: Option<Vec<String>>,
    /// The nodes that stand for correlations that it refers to.
    pub(super) replaced: BTreeMap<Target, usize>,
}

/// Targets of references, or what is wrong with them, of each source.
pub(super) type References = [Vec<Result<(String, Target), CorrelationProblem>>];

/// Parts of one correlation at most; only those that refer to themselves can come to so many.
const MOST: usize = 64;

impl ChainNode {
    /// Returns the nodes that it refers to.
    pub(super) fn needs(&self, resolved: &References) -> Vec<usize> {
        let targets = resolved[self.source].iter().flatten();
        targets
            .filter_map(|(_, target)| match (self.replaced.get(target), target) {
                (Some(other), _) => Some(*other),
                (None, Target::Correlation(index)) => Some(*index),
                (None, Target::Rule(_)) => None,
            })
            .collect()
    }

    /// Returns its id in a run.
    pub(super) fn id(&self, sources: &[CorrelationSource<'_>]) -> String {
        let id = sources[self.source].id();
        match &self.by {
            None => id,
            Some(by) => {
                // Ids are stored: the text must never change.
                let names: Vec<String> = by.iter().map(|name| json!(name).to_string()).collect();
                let hash = Sha256::digest(format!("[{}]", names.join(", ")).as_bytes());
                let hash: String = hash
                    .iter()
                    .take(3)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("{id}-regrouped-{hash}")
            }
        }
    }
}

/// Returns a node for each source, in order, and behind them the parts that are grouped as another wants them.
pub(super) fn nodes(
    sources: &[CorrelationSource<'_>],
    resolved: &References,
    names: &RuleNames<'_>,
) -> Vec<ChainNode> {
    let mut nodes: Vec<ChainNode> = (0..sources.len())
        .map(|source| ChainNode {
            source,
            by: None,
            replaced: BTreeMap::new(),
        })
        .collect();
    let mut parts: BTreeMap<(usize, Vec<String>), usize> = BTreeMap::new();
    let mut of_source = vec![0_usize; sources.len()];
    let mut at = 0;
    while at < nodes.len() {
        let node = nodes[at].clone();
        let source = sources[node.source];
        let by = node.by.as_deref().unwrap_or(source.by());
        let targets: BTreeSet<Target> = resolved[node.source]
            .iter()
            .flatten()
            .map(|(_, target)| *target)
            .collect();
        for target in targets {
            let Target::Correlation(inner) = target else {
                continue;
            };
            let wanted = own_names(source, by, target, &resolved[node.source], names);
            let has: BTreeSet<String> = sources[inner]
                .by()
                .iter()
                .map(|name| field_name(name))
                .collect();
            if wanted.iter().all(|name| has.contains(&field_name(name))) || of_source[inner] >= MOST
            {
                continue;
            }
            let known = parts.get(&(inner, wanted.clone())).copied();
            let part = known.unwrap_or_else(|| {
                of_source[inner] += 1;
                parts.insert((inner, wanted.clone()), nodes.len());
                nodes.push(ChainNode {
                    source: inner,
                    by: Some(wanted),
                    replaced: BTreeMap::new(),
                });
                nodes.len() - 1
            });
            nodes[at].replaced.insert(target, part);
        }
        at += 1;
    }
    nodes
}

/// Returns what a correlation's `group-by` is called in one that it refers to.
fn own_names(
    source: CorrelationSource<'_>,
    by: &[String],
    target: Target,
    references: &[Result<(String, Target), CorrelationProblem>],
    names: &RuleNames<'_>,
) -> Vec<String> {
    let CorrelationSource::Correlation(source) = source else {
        return by.to_vec();
    };
    let leads_there = |reference: &String| {
        let listed = references
            .iter()
            .flatten()
            .find(|(text, _)| text == reference);
        let found = listed.map(|(_, target)| *target);
        found.or_else(|| names.find(reference, &source.file).ok()) == Some(target)
    };
    by.iter()
        .map(|name| {
            let mut aliases = source.rule.aliases.iter();
            let alias = aliases.find(|alias| field_name(&alias.alias) == field_name(name));
            let mut own = alias.into_iter().flat_map(|alias| &alias.mapping);
            own.find(|(reference, _)| leads_there(reference))
                .map_or_else(|| name.clone(), |(_, own)| own.clone())
        })
        .collect()
}
