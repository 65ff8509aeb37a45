//! Correlations of Sigma's as rules: which column each of the joined rules has for a field.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use yagura_core::correlation::Correlation;
use yagura_core::names::did_you_mean;
use yagura_core::rule::ReportMode;
use yagura_core::{AlertPolicy, FieldPath, Rule};
use yagura_rules::PluginType;
use yagura_rules::resolve::find;
use yagura_rules::sigma::{
    CorrelationProblem, FieldMap, Joined, JoinedMember, Load, SigmaSource, Target, field_name,
};

use super::alert::title;
use super::mapped_table::{MappedTable, distinct};
use super::rules::SigmaRules;
use crate::rule_source::{NotRun, RuleSource};

/// Where a detection rule runs.
pub(super) struct TableRule<'a> {
    /// Index among the lowered rules.
    pub(super) rule: usize,
    pub(super) source: &'a SigmaSource,
    pub(super) mapped: MappedTable<'a>,
}

/// Makes rules of the correlations by themselves, without their fields' places in tables, to be checked and listed
/// rather than run.
pub fn sigma_correlations(load: &Load) -> SigmaRules {
    let mut lowered = SigmaRules::default();
    for joined in &yagura_rules::sigma::correlations(load).joined {
        let made = joined.correlation.clone().map_err(JoinError::Read);
        match made.and_then(|correlation| rule(joined, correlation)) {
            Ok(rule) => lowered.rules.push(source(joined, rule)),
            Err(reason) => lowered.not_run.push(not_run(joined, &reason)),
        }
    }
    lowered
}

/// Adds the correlations to the detection rules, whose places are `table_rules`, and takes the alerts of their parts away.
pub(super) fn join(load: &Load, table_rules: &[Vec<TableRule<'_>>], lowered: &mut SigmaRules) {
    let all = yagura_rules::sigma::correlations(load);
    for table_rule in all.parts.iter().flat_map(|index| &table_rules[*index]) {
        Arc::make_mut(&mut lowered.rules[table_rule.rule].rule)
            .alert
            .report = ReportMode::None;
    }
    for joined in &all.joined {
        for member in &joined.members {
            let Target::Rule(index) = member.target else {
                continue;
            };
            for table_rule in &table_rules[index] {
                for own in member.fields.values() {
                    let names = table_rule.names(own);
                    if let Some(first) = names.first() {
                        let known = &mut lowered.rules[table_rule.rule].alternatives;
                        known.entry(first.clone()).or_insert(names);
                    }
                }
            }
        }
    }
    let mut joiner = Joiner {
        ids: lowered
            .rules
            .iter()
            .map(|source| source.rule.id.clone())
            .collect(),
        table_rules,
        all: &all.joined,
        by: Vec::with_capacity(all.joined.len()),
    };
    for joined in &all.joined {
        match joiner.join(joined, lowered) {
            Ok(rule) => {
                joiner.ids.insert(rule.id.clone());
                let by = rule.correlation.iter().flat_map(|of| of.by.clone());
                joiner.by.push(Some(by.collect()));
                lowered.rules.push(source(joined, rule));
            }
            Err(reason) => {
                joiner.by.push(None);
                // Its detection was reported already as one that does not run.
                if joined
                    .counts
                    .is_none_or(|index| !table_rules[index].is_empty())
                {
                    lowered.not_run.push(not_run(joined, &reason));
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

fn not_run(joined: &Joined, reason: &JoinError) -> NotRun {
    NotRun {
        rule: joined.id.clone(),
        file: joined.file.clone(),
        reason: format!("it {reason}"),
    }
}

/// Why a correlation does not run; each completes a sentence about the correlation.
#[derive(Debug, Clone, thiserror::Error)]
enum JoinError {
    /// It was wrong as it was read.
    #[error(transparent)]
    Read(#[from] CorrelationProblem),
    /// Its id is taken.
    #[error("has the id of another rule: give it one of its own")]
    DuplicateId,
    /// A rule that it joins does not run.
    #[error("refers to `{0}`, which does not run")]
    NotRunning(String),
    /// The table of a rule that it joins lacks a field.
    #[error("wants `{field}` of the rule `{entry}` ({file}), whose table `{table}` lacks it{hint}")]
    NoField {
        field: String,
        entry: String,
        file: String,
        table: String,
        /// `; did you mean …?` or nothing.
        hint: String,
    },
    /// A field of a rule that it joins has a type that findings cannot have.
    #[error(
        "wants `{field}` of the rule `{entry}` ({file}), which is `{path}` of table `{table}`: {reason}"
    )]
    FieldType {
        field: String,
        entry: String,
        file: String,
        path: FieldPath,
        table: String,
        reason: String,
    },
    /// A correlation that it joins does not have a field in its `group-by`.
    #[error("wants `{field}` of the correlation `{id}` ({file}), {has}{hint}")]
    NotGroupedBy {
        field: String,
        id: String,
        file: String,
        /// What that correlation has.
        has: String,
        hint: String,
    },
    /// The rule made of it is wrong.
    #[error("is wrong: {0}")]
    Wrong(String),
}

struct Joiner<'a> {
    /// Ids that are taken.
    ids: HashSet<String>,
    table_rules: &'a [Vec<TableRule<'a>>],
    all: &'a [Joined],
    /// What the correlations so far share, or `None` for one that does not run.
    by: Vec<Option<Vec<String>>>,
}

impl Joiner<'_> {
    fn join(&self, joined: &Joined, lowered: &mut SigmaRules) -> Result<Rule, JoinError> {
        let mut correlation = joined.correlation.clone().map_err(JoinError::Read)?;
        if self.ids.contains(&joined.id) {
            return Err(JoinError::DuplicateId);
        }
        let mut aliases: BTreeMap<String, BTreeMap<String, FieldPath>> = BTreeMap::new();
        for member in &joined.members {
            for (rule, name, path) in self.fields(joined, member, lowered)? {
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
        member: &'m JoinedMember,
        lowered: &mut SigmaRules,
    ) -> Result<Vec<(String, &'m str, FieldPath)>, JoinError> {
        let idle = || JoinError::NotRunning(member.entry.clone());
        let mut found = Vec::new();
        match member.target {
            Target::Rule(index) => {
                let table_rules = &self.table_rules[index];
                if table_rules.is_empty() {
                    return Err(idle());
                }
                let mut lacking = Vec::new();
                for table_rule in table_rules {
                    let rule = &lowered.rules[table_rule.rule].rule;
                    for (name, own) in &member.fields {
                        match table_rule.field(own, &member.entry) {
                            Ok(path) => found.push((rule.id.clone(), name.as_str(), path)),
                            Err(reason) => {
                                // A path that the table lacks has no value: such findings are left out.
                                let path =
                                    table_rule.absent_path(own).ok_or_else(|| reason.clone())?;
                                found.push((rule.id.clone(), name.as_str(), path.clone()));
                                lacking.push((table_rule, path, reason));
                            }
                        }
                    }
                }
                let lacks = |table_rule: &TableRule<'_>| {
                    lacking.iter().any(|(of, ..)| of.rule == table_rule.rule)
                };
                if table_rules.iter().all(lacks)
                    && let Some((_, _, reason)) = lacking.pop()
                {
                    return Err(reason);
                }
                for (table_rule, path, reason) in lacking {
                    let rule = Arc::make_mut(&mut lowered.rules[table_rule.rule].rule);
                    if !rule.optional.contains(&path) {
                        rule.optional.push(path);
                    }
                    lowered.notes.push(NotRun {
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

fn no_field_of(joined: &Joined, field: &str, by: &[String]) -> JoinError {
    let has = match by {
        [] => "which has no `group-by`".to_owned(),
        by => format!(
            "whose findings have their `group-by` only: {}",
            by.join(", ")
        ),
    };
    let near = did_you_mean(field, by.iter().map(String::as_str));
    JoinError::NotGroupedBy {
        field: field.to_owned(),
        id: joined.id.clone(),
        file: joined.file.display().to_string(),
        has,
        hint: near,
    }
}

impl TableRule<'_> {
    /// Returns all names under which the rule's events have a field of Sigma's.
    fn names(&self, name: &str) -> Vec<FieldPath> {
        let maps = self.mapped.maps.iter();
        let of =
            |map: &&FieldMap| map.names_of(name, &self.source.rule.logsource, self.mapped.schema);
        distinct(maps.flat_map(of))
    }

    /// Returns a path that the table lacks, named like a field of Sigma's.
    fn absent_path(&self, name: &str) -> Option<FieldPath> {
        let mut path = FieldPath::new(vec![name.to_owned()])?;
        while find(self.mapped.schema, &path).is_some() {
            path = FieldPath::new(vec![format!("{}'", path.segments()[0])])?;
        }
        Some(path)
    }

    /// Returns where a field of Sigma's is in the rule's events.
    fn field(&self, name: &str, entry: &str) -> Result<FieldPath, JoinError> {
        let path = self.names(name).into_iter().next();
        let schema = self.mapped.schema;
        let (field, entry) = (name.to_owned(), entry.to_owned());
        let table = self.mapped.table.to_owned();
        let file = self.source.file.display().to_string();
        let Some(path) = path else {
            let columns = schema.fields().iter().map(|field| field.name().as_str());
            return Err(JoinError::NoField {
                hint: did_you_mean(name, columns),
                field,
                entry,
                file,
                table,
            });
        };
        match find(schema, &path).map(|found| PluginType::of(&found.data_type)) {
            Some(Err(error)) => Err(JoinError::FieldType {
                reason: error.to_string(),
                field,
                entry,
                file,
                path,
                table,
            }),
            _ => Ok(path),
        }
    }
}

fn rule(joined: &Joined, correlation: Correlation) -> Result<Rule, JoinError> {
    let rule = Rule {
        id: joined.id.clone(),
        title: title(&joined.title),
        description: joined.description.clone(),
        severity: joined.severity,
        tags: joined.tags.clone(),
        references: joined.references.clone(),
        table: String::new(),
        class: String::new(),
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
                true => ReportMode::None,
                false => ReportMode::default(),
            },
            ..AlertPolicy::default()
        },
        fuel_per_event: None,
        correlation: Some(correlation),
    };
    match rule.problem() {
        Some(problem) => Err(JoinError::Wrong(problem.text())),
        None => Ok(rule),
    }
}
