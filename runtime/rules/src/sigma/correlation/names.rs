//! What a reference of a correlation leads to: ids and names of rules and correlations.

use std::collections::HashMap;
use std::path::Path;

use yagura_core::names::did_you_mean;

use super::problem::CorrelationProblem;
use super::source::{CorrelationSource, Target};
use crate::sigma::load::Load;

/// Ids and names of what was read.
pub(super) struct RuleNames<'a> {
    load: &'a Load,
    sources: &'a [CorrelationSource<'a>],
    ids: HashMap<&'a str, Target>,
    names: HashMap<&'a str, Vec<(&'a Path, Target)>>,
}

impl<'a> RuleNames<'a> {
    pub(super) fn new(load: &'a Load, sources: &'a [CorrelationSource<'a>]) -> Self {
        let mut ids = HashMap::new();
        let mut names: HashMap<&str, Vec<(&Path, Target)>> = HashMap::new();
        let mut add = |id: &'a Option<String>, name: &'a Option<String>, file: &'a Path, target| {
            if let Some(id) = id {
                ids.entry(id.as_str()).or_insert(target);
            }
            if let Some(name) = name {
                names.entry(name.as_str()).or_default().push((file, target));
            }
        };
        for (index, source) in load.rules.iter().enumerate() {
            // The name of a rule that counts is that of its correlation.
            if source.count.is_none() {
                let rule = &source.rule;
                add(&rule.id, &rule.name, &source.file, Target::Rule(index));
            }
        }
        for (index, source) in sources.iter().enumerate() {
            let (id, name, file) = match source {
                CorrelationSource::Correlation(source) => {
                    (&source.rule.id, &source.rule.name, &source.file)
                }
                CorrelationSource::Count(_, source, _) => {
                    (&source.rule.id, &source.rule.name, &source.file)
                }
            };
            add(id, name, file, Target::Correlation(index));
        }
        Self {
            load,
            sources,
            ids,
            names,
        }
    }

    /// Finds the rule that a correlation in `file` refers to.
    pub(super) fn find(&self, reference: &str, file: &Path) -> Result<Target, CorrelationProblem> {
        if let Some(target) = self.ids.get(reference) {
            return Ok(*target);
        }
        let named = self.names.get(reference).map_or(&[][..], Vec::as_slice);
        let mut here = named.iter().filter(|(of, _)| *of == file);
        match (here.next(), here.next(), named) {
            (Some((_, target)), None, _) | (None, _, [(_, target)]) => Ok(*target),
            (None, _, []) => {
                let known = self.ids.keys().chain(self.names.keys()).copied();
                Err(CorrelationProblem::UnknownReference {
                    reference: reference.to_owned(),
                    did_you_mean: did_you_mean(reference, known),
                })
            }
            _ => Err(CorrelationProblem::AmbiguousReference {
                reference: reference.to_owned(),
                rules: named.len(),
            }),
        }
    }

    /// Returns the entry that stands for a rule in `correlation.rules`.
    pub(super) fn entry(&self, target: Target) -> String {
        match target {
            Target::Rule(index) => self.load.rules[index].events_id(),
            Target::Correlation(index) => self.sources[index].id(),
        }
    }
}
