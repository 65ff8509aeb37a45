//! What alerts of a Sigma rule show.

use std::collections::BTreeMap;

use yagura_core::{AlertPolicy, FieldPath, Rule};
use yagura_rules::sigma::{SigmaSource, severity};

use super::mapped_table::{MappedTable, distinct};

/// Fields of a rule that go into its alerts' context, at most.
const MAX_CONTEXT: usize = 16;

/// What alerts of a rule over one table show, and where each event has it.
pub(super) struct AlertFields<'a> {
    mapped: &'a MappedTable<'a>,
    pub(super) alternatives: BTreeMap<FieldPath, Vec<FieldPath>>,
}

impl<'a> AlertFields<'a> {
    pub(super) fn new(mapped: &'a MappedTable<'a>) -> Self {
        Self {
            mapped,
            alternatives: BTreeMap::new(),
        }
    }

    /// Returns the path for a field that events have under any of these names.
    fn any_of(&mut self, names: Vec<FieldPath>) -> Option<FieldPath> {
        let first = names.first()?.clone();
        if names.len() > 1 {
            let known = self.alternatives.entry(first.clone()).or_default();
            *known = distinct(std::mem::take(known).into_iter().chain(names));
        }
        Some(first)
    }

    fn field(&mut self, name: &str) -> Option<FieldPath> {
        self.any_of(self.mapped.names(name))
    }

    /// Returns what an alert is about: of each list of the maps' keys the first field that an event has.
    fn key(&mut self) -> Vec<FieldPath> {
        let mapped = self.mapped;
        let width = mapped
            .maps
            .iter()
            .map(|map| map.key.len())
            .max()
            .unwrap_or(0);
        let keys = (0..width).map(|at| {
            let names = mapped.maps.iter().filter_map(|map| map.key.get(at));
            let names = names.flat_map(|names| names.iter().collect::<Vec<_>>());
            distinct(names.flat_map(|name| mapped.names(name)))
        });
        let keys: Vec<Vec<FieldPath>> = keys.collect();
        keys.into_iter()
            .filter_map(|names| self.any_of(names))
            .collect()
    }

    fn observables(&mut self) -> BTreeMap<String, Vec<FieldPath>> {
        let mut all: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
        for (kind, names) in self.mapped.maps.iter().flat_map(|map| &map.observables) {
            for name in names {
                if let Some(path) = self.field(name) {
                    let paths = all.entry(kind.clone()).or_default();
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
            }
        }
        all
    }

    pub(super) fn rule(&mut self, source: &SigmaSource, id: String, tested: &[FieldPath]) -> Rule {
        let sigma = &source.rule;
        let named: Vec<FieldPath> = sigma
            .fields
            .iter()
            .filter_map(|field| self.field(field))
            .collect();
        let mut context = distinct(named.into_iter().chain(tested.iter().cloned()));
        context.truncate(MAX_CONTEXT);
        Rule {
            fuel_per_event: None,
            partition_by: Vec::new(),
            state_for: None,
            correlation: None,
            id,
            title: title(&sigma.title),
            description: sigma.description.clone().unwrap_or_default(),
            severity: severity(sigma.level),
            tags: sigma.tags.clone(),
            references: sigma.references.clone(),
            table: self.mapped.table.to_owned(),
            class: String::new(),
            condition: None,
            columns: Vec::new(),
            optional: Vec::new(),
            plugin: None,
            config: toml::Table::new(),
            observables: self.observables(),
            context,
            alert: AlertPolicy {
                key: self.key(),
                ..AlertPolicy::default()
            },
        }
    }
}

/// Returns a title of Sigma's in our form: its braces are braces.
pub(super) fn title(sigma: &str) -> String {
    sigma.replace(['{', '}'], "|")
}
