//! What rules ask of tables that the tables do not have: fields, values of another type, columns that look alike.

use std::collections::BTreeMap;
use std::path::Path;

use yagura_core::FieldPath;
use yagura_core::diagnostic::{Code, Diagnostic, Level};
use yagura_lake::table::Table;
use yagura_ocsf::{Class, Schema as Ocsf};
use yagura_plan::{RuleSource, SigmaRules, condition_hints, fields_of, plain_type};
use yagura_rules::lint::misfits;

use super::RuleCheck;
use super::sampled::Sampled;
use crate::ruleset::RuleSet;

/// Returns the class of each rule for one, by the rule's id over each of the tables.
pub(super) fn classes_of(set: &RuleSet) -> BTreeMap<String, &'static Class> {
    let mut classes = BTreeMap::new();
    for source in set.written() {
        let Some(class) = Ocsf::shipped().class(&source.rule.class) else {
            continue;
        };
        for table in set.tables.iter().flatten() {
            classes.insert(format!("{}.{}", source.rule.id, table.name), class);
        }
    }
    classes
}

impl RuleCheck {
    /// Looks at the tables by themselves.
    pub(super) fn tables(&mut self, sampled: &Sampled) {
        for (name, (table, sample, _)) in &sampled.samples {
            let mut by_fold: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for field in table.schema().fields() {
                let names = by_fold.entry(field.name().to_lowercase()).or_default();
                names.push(field.name().clone());
            }
            for names in by_fold.into_values().filter(|names| names.len() > 1) {
                self.table(
                    table,
                    format!(
                        "table `{name}` has columns whose names differ in case only: `{}`; a rule reads the one that it names",
                        names.join("`, `")
                    ),
                );
            }
            for (object, reason) in &sample.unreadable {
                self.table(
                    table,
                    format!("{object} of table `{name}` cannot be read: {reason}"),
                );
            }
        }
    }

    fn table(&mut self, table: &Table, message: String) {
        let location = table.location.to_string();
        let odd = Diagnostic::warning(Code::InvalidTable, message);
        self.found.push(odd.in_file(Path::new(&location)));
    }

    /// Looks for fields of Sigma rules that their tables lack, and for tests that no value of a field can pass.
    pub(super) fn sigma_fields(&mut self, placed: &SigmaRules, sampled: &Sampled) {
        for source in &placed.rules {
            let rule = &source.rule;
            for field in placed.missing.get(&rule.id).into_iter().flatten() {
                let hint = sampled.hint(&rule.table, field);
                // A near name is likely what was meant; without one the table may just never have had such an event.
                let level = if hint.is_empty() {
                    Level::Note
                } else {
                    Level::Warning
                };
                let message = format!("names `{field}`, which table `{}` lacks{hint}", rule.table);
                self.add(&source.file, &rule.id, level, Code::UnknownField, message);
            }
            let (Some(predicate), Some((table, ..))) =
                (&source.predicate, sampled.samples.get(&rule.table))
            else {
                continue;
            };
            for (atom, data_type) in misfits(predicate, &table.schema()) {
                let message = format!(
                    "`{atom}`: in table `{}` the field is of type {}, and no value of it passes the test",
                    table.name,
                    plain_type(&data_type)
                );
                self.add(
                    &source.file,
                    &rule.id,
                    Level::Warning,
                    Code::TypeMismatch,
                    message,
                );
            }
            self.unseen(source, None, sampled);
        }
    }

    /// Looks at a rule with a `where`: what it compares, and what it names inside JSON. `class` is that of a rule for a class.
    pub(super) fn where_fields(
        &mut self,
        table: &Table,
        source: &RuleSource,
        class: Option<&Class>,
        sampled: &Sampled,
    ) {
        for what in condition_hints(table, source) {
            self.add(
                &source.file,
                &source.rule.id,
                Level::Warning,
                Code::TypeMismatch,
                format!("`where` {what}"),
            );
        }
        self.unseen(source, class, sampled);
    }

    /// Says which keys inside JSON a rule names, and none of the events that were looked at has. An attribute of the rule's class is
    /// NULL in a table that lacks it, and no mistake.
    fn unseen(&mut self, source: &RuleSource, class: Option<&Class>, sampled: &Sampled) {
        let rule = &source.rule;
        let Some((table, sample, paths)) = sampled.samples.get(&rule.table) else {
            return;
        };
        let Ok(fields) = fields_of(table, source) else {
            return;
        };
        let schema = table.schema();
        if sample.events == 0 {
            return;
        }
        let plain = |field: &FieldPath| field.segments().join(".");
        let may_be_seen = |field: &FieldPath| {
            let is_attribute = class.is_some_and(|class| class.attribute(&plain(field)).is_some());
            let is_inside = yagura_rules::resolve::find(&schema, field)
                .is_some_and(|found| !found.json.is_empty());
            // A number is a place in a list, whose members share a path.
            let is_indexed = field
                .segments()
                .iter()
                .any(|part| part.parse::<usize>().is_ok());
            is_attribute || !is_inside || is_indexed || paths.contains(&plain(field))
        };
        for field in fields {
            // Events of other makers have a field under other names.
            if field.all().iter().any(may_be_seen) {
                continue;
            }
            let name = field.first();
            let hints = field.all().iter();
            let mut hints = hints.map(|field| sampled.hint(&rule.table, &plain(field)));
            let hint = hints.find(|hint| !hint.is_empty()).unwrap_or_default();
            let level = if hint.is_empty() {
                Level::Note
            } else {
                Level::Warning
            };
            let message = format!(
                "names `{name}`, which none of the newest events of table `{}` has ({} looked at){hint}",
                table.name,
                crate::output::count(sample.events as u64, "event was", "events were")
            );
            self.add(&source.file, &rule.id, level, Code::UnknownField, message);
        }
    }
}
