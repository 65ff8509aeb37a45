//! Correlations of Sigma's as rules: which column each of the joined rules has for a field.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use yagura_core::correlation::Correlation;
use yagura_core::names::did_you_mean;
use yagura_core::rule::Report;
use yagura_core::{AlertPolicy, FieldPath, Rule};
use yagura_rules::PluginType;
use yagura_rules::resolve::find;
use yagura_rules::sigma::{FieldMap, Joined, Load, Member, SigmaSource, Target, field_name};

use super::{Place, Placed, distinct, title};
use crate::plan::RuleSource;
use crate::run::NotRun;

/// Where a detection rule runs.
pub(super) struct Site<'a> {
    /// Index among the placed rules.
    pub(super) rule: usize,
    pub(super) source: &'a SigmaSource,
    pub(super) place: Place<'a>,
}

/// Makes rules of the correlations by themselves, without their fields' places in tables, to be checked and listed
/// rather than run.
pub fn correlations(load: &Load) -> Placed {
    let mut placed = Placed::default();
    for joined in &yagura_rules::sigma::correlations(load).joined {
        let made = joined.correlation.clone();
        match made.and_then(|correlation| rule(joined, correlation)) {
            Ok(rule) => placed.rules.push(source(joined, rule)),
            Err(reason) => placed.not_run.push(not_run(joined, reason)),
        }
    }
    placed
}

/// Adds the correlations to the detection rules, whose places are `sites`, and takes the alerts of their parts away.
pub(super) fn join(load: &Load, sites: &[Vec<Site<'_>>], placed: &mut Placed) {
    let all = yagura_rules::sigma::correlations(load);
    for site in all.parts.iter().flat_map(|index| &sites[*index]) {
        Arc::make_mut(&mut placed.rules[site.rule].rule)
            .alert
            .report = Report::None;
    }
    for joined in &all.joined {
        for member in &joined.members {
            let Target::Rule(index) = member.target else {
                continue;
            };
            for site in &sites[index] {
                for own in member.fields.values() {
                    let names = site.names(own);
                    if let Some(first) = names.first() {
                        let known = &mut placed.rules[site.rule].alternatives;
                        known.entry(first.clone()).or_insert(names);
                    }
                }
            }
        }
    }
    let mut joiner = Joiner {
        ids: placed
            .rules
            .iter()
            .map(|source| source.rule.id.clone())
            .collect(),
        sites,
        all: &all.joined,
        by: Vec::with_capacity(all.joined.len()),
    };
    for joined in &all.joined {
        match joiner.join(joined, placed) {
            Ok(rule) => {
                joiner.ids.insert(rule.id.clone());
                let by = rule.correlation.iter().flat_map(|of| of.by.clone());
                joiner.by.push(Some(by.collect()));
                placed.rules.push(source(joined, rule));
            }
            Err(reason) => {
                joiner.by.push(None);
                // That the rule does not run is told of its detection already.
                if joined.counts.is_none_or(|index| !sites[index].is_empty()) {
                    placed.not_run.push(not_run(joined, reason));
                }
            }
        }
    }
}

fn source(joined: &Joined, rule: Rule) -> RuleSource {
    RuleSource {
        rule: Arc::new(rule),
        file: joined.file.clone(),
        plugin: None,
        predicate: None,
        fields: Vec::new(),
        alternatives: Default::default(),
    }
}

fn not_run(joined: &Joined, reason: String) -> NotRun {
    NotRun {
        rule: joined.id.clone(),
        file: joined.file.clone(),
        reason: format!("it {reason}"),
    }
}

struct Joiner<'a> {
    /// Ids that are taken.
    ids: HashSet<String>,
    sites: &'a [Vec<Site<'a>>],
    all: &'a [Joined],
    /// What the correlations so far share, or nothing for one that does not run.
    by: Vec<Option<Vec<String>>>,
}

impl Joiner<'_> {
    fn join(&self, joined: &Joined, placed: &mut Placed) -> Result<Rule, String> {
        let mut correlation = joined.correlation.clone()?;
        if self.ids.contains(&joined.id) {
            return Err("has the id of another rule: give it one of its own".to_owned());
        }
        let mut aliases: BTreeMap<String, BTreeMap<String, FieldPath>> = BTreeMap::new();
        for member in &joined.members {
            for (rule, name, path) in self.fields(joined, member, placed)? {
                if name.parse::<FieldPath>().ok().as_ref() != Some(&path) {
                    aliases
                        .entry(name.to_owned())
                        .or_default()
                        .insert(rule, path);
                }
            }
        }
        correlation.aliases = aliases;
        rule(joined, correlation)
    }

    /// Returns the paths of the fields in each rule that the member stands for: its id, the name and the path.
    fn fields<'m>(
        &self,
        joined: &Joined,
        member: &'m Member,
        placed: &mut Placed,
    ) -> Result<Vec<(String, &'m str, FieldPath)>, String> {
        let idle = || format!("refers to `{}`, which does not run", member.entry);
        let mut found = Vec::new();
        match member.target {
            Target::Rule(index) => {
                let sites = &self.sites[index];
                if sites.is_empty() {
                    return Err(idle());
                }
                let mut lacking = Vec::new();
                for site in sites {
                    let rule = &placed.rules[site.rule].rule;
                    for (name, own) in &member.fields {
                        match site.field(own, &member.entry) {
                            Ok(path) => found.push((rule.id.clone(), name.as_str(), path)),
                            Err(reason) => {
                                // A path that the table lacks has no value: such findings are left out.
                                let path = site.lacked(own).ok_or_else(|| reason.clone())?;
                                found.push((rule.id.clone(), name.as_str(), path.clone()));
                                lacking.push((site, path, reason));
                            }
                        }
                    }
                }
                let lacks = |site: &Site<'_>| lacking.iter().any(|(of, ..)| of.rule == site.rule);
                if sites.iter().all(lacks)
                    && let Some((_, _, reason)) = lacking.pop()
                {
                    return Err(reason);
                }
                for (site, path, reason) in lacking {
                    let rule = Arc::make_mut(&mut placed.rules[site.rule].rule);
                    if !rule.optional.contains(&path) {
                        rule.optional.push(path);
                    }
                    placed.notes.push(NotRun {
                        rule: joined.id.clone(),
                        file: joined.file.clone(),
                        reason: format!("it runs without the events of one table: it {reason}"),
                    });
                }
            }
            Target::Correlation(index) => {
                let by = self
                    .by
                    .get(index)
                    .and_then(Option::as_ref)
                    .ok_or_else(idle)?;
                for (name, own) in &member.fields {
                    let own = field_name(own);
                    let path = own.parse().ok().filter(|_| by.contains(&own));
                    let path = path.ok_or_else(|| no_field_of(&self.all[index], &own, by))?;
                    found.push((member.entry.clone(), name.as_str(), path));
                }
            }
        }
        Ok(found)
    }
}

fn no_field_of(joined: &Joined, field: &str, by: &[String]) -> String {
    let has = match by {
        [] => "which has no `group-by`".to_owned(),
        by => format!(
            "whose findings have their `group-by` only: {}",
            by.join(", ")
        ),
    };
    let near = did_you_mean(field, by.iter().map(String::as_str));
    format!(
        "wants `{field}` of the correlation `{}` ({}), {has}{near}",
        joined.id,
        joined.file.display()
    )
}

impl Site<'_> {
    /// Returns all names under which the rule's events have a field of Sigma's.
    fn names(&self, name: &str) -> Vec<FieldPath> {
        let maps = self.place.maps.iter();
        let of =
            |map: &&FieldMap| map.names_of(name, &self.source.rule.logsource, self.place.schema);
        distinct(maps.flat_map(of))
    }

    /// Returns a path that the table lacks, named like a field of Sigma's.
    fn lacked(&self, name: &str) -> Option<FieldPath> {
        let mut path = FieldPath::new(vec![name.to_owned()])?;
        while find(self.place.schema, &path).is_some() {
            path = FieldPath::new(vec![format!("{}'", path.segments()[0])])?;
        }
        Some(path)
    }

    /// Returns where a field of Sigma's is in the rule's events.
    fn field(&self, name: &str, entry: &str) -> Result<FieldPath, String> {
        let path = self.names(name).into_iter().next();
        let schema = self.place.schema;
        let (table, file) = (self.place.table, self.source.file.display());
        let Some(path) = path else {
            let columns = schema.fields().iter().map(|field| field.name().as_str());
            return Err(format!(
                "wants `{name}` of the rule `{entry}` ({file}), whose table `{table}` lacks it{}",
                did_you_mean(name, columns)
            ));
        };
        match find(schema, &path).map(|found| PluginType::of(&found.data_type)) {
            Some(Err(error)) => Err(format!(
                "wants `{name}` of the rule `{entry}` ({file}), which is `{path}` of table `{table}`: {error}"
            )),
            _ => Ok(path),
        }
    }
}

fn rule(joined: &Joined, correlation: Correlation) -> Result<Rule, String> {
    let rule = Rule {
        id: joined.id.clone(),
        title: title(&joined.title),
        description: joined.description.clone(),
        severity: joined.severity,
        tags: joined.tags.clone(),
        references: joined.references.clone(),
        table: String::new(),
        condition: None,
        columns: Vec::new(),
        optional: Vec::new(),
        plugin: None,
        partition_by: Vec::new(),
        state_for: None,
        config: toml::Table::new(),
        observables: BTreeMap::new(),
        context: Vec::new(),
        alert: AlertPolicy {
            window: (correlation.kind.length()).unwrap_or(AlertPolicy::default().window),
            report: match joined.is_part {
                true => Report::None,
                false => Report::default(),
            },
            ..AlertPolicy::default()
        },
        fuel_per_event: None,
        correlation: Some(correlation),
    };
    match rule.problem() {
        Some(problem) => Err(format!("is wrong: {}", problem.text())),
        None => Ok(rule),
    }
}
