//! What rules ask of tables that the tables do not have: fields, values of another type, columns that look alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use yagura_core::FieldPath;
use yagura_core::names::near;
use yagura_engine::{Placed, RuleSource, Sample, fields_of, oddities_of, plain_type};
use yagura_lake::table::Table;
use yagura_rules::lint::misfits;

use super::{Check, Level, Linted};

/// Near names that a message lists.
const MOST_NEAR: usize = 3;

/// Tables with some of their events.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    samples: BTreeMap<String, (Arc<Table>, Sample, BTreeSet<String>)>,
}

impl Sampled {
    /// Looks at some events of each table.
    pub(super) async fn of(tables: &[Arc<Table>]) -> Self {
        let mut samples = BTreeMap::new();
        for table in tables {
            let sample = Sample::of(table).await;
            let paths = sample.paths();
            samples.insert(table.name.clone(), (Arc::clone(table), sample, paths));
        }
        Self { samples }
    }

    /// Returns what a field of a table may be meant to be, `; did you mean …?`, or nothing where no name is near.
    pub(super) fn hint(&self, table: &str, field: &str) -> String {
        let Some((_, _, paths)) = self.samples.get(table) else {
            return String::new();
        };
        let near: Vec<String> = near_paths(field, paths)
            .into_iter()
            .map(|path| format!("`{path}`"))
            .collect();
        match near.is_empty() {
            true => String::new(),
            false => format!("; did you mean {}?", near.join(" or ")),
        }
    }
}

/// Returns the paths whose last name is near to the last one of `field`, wherever they lie: those that begin as `field` does
/// come first, since a rule rarely misspells a prefix and a name at once.
fn near_paths<'a>(field: &str, paths: &'a BTreeSet<String>) -> Vec<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(field);
    let names: BTreeSet<String> = paths.iter().map(|path| last(path)).collect();
    let shared = |path: &str| {
        let same = field.bytes().zip(path.bytes()).take_while(|(a, b)| a == b);
        same.count()
    };
    let mut found: Vec<&str> = Vec::new();
    for name in near(&wanted, names.iter().map(String::as_str)) {
        let mut of_name: Vec<&str> = paths
            .iter()
            .map(String::as_str)
            .filter(|path| last(path) == name && *path != field)
            .collect();
        of_name.sort_by_key(|path| (std::cmp::Reverse(shared(path)), path.len()));
        // Of equal names in many places one is enough to know what is meant.
        found.extend(of_name.into_iter().take(1));
    }
    found.truncate(MOST_NEAR);
    found
}

impl Check {
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
        self.found.push(Linted {
            file: table.location.to_string().into(),
            line: None,
            level: Level::Warning,
            check: "table",
            rule: None,
            key: None,
            message,
        });
    }

    /// Looks for fields of Sigma rules that their tables lack, and for tests that no value of a field can pass.
    pub(super) fn sigma_fields(&mut self, placed: &Placed, sampled: &Sampled) {
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
                self.add(&source.file, &rule.id, level, "field", message);
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
                self.add(&source.file, &rule.id, Level::Warning, "type", message);
            }
            self.unseen(source, sampled);
        }
    }

    /// Looks at a rule with a `where`: what it compares, and what it names inside JSON.
    pub(super) fn where_fields(&mut self, table: &Table, source: &RuleSource, sampled: &Sampled) {
        for what in oddities_of(table, source) {
            self.add(
                &source.file,
                &source.rule.id,
                Level::Warning,
                "type",
                format!("`where` {what}"),
            );
        }
        self.unseen(source, sampled);
    }

    /// Says which keys inside JSON a rule names, and none of the events that were looked at has.
    fn unseen(&mut self, source: &RuleSource, sampled: &Sampled) {
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
            let is_inside = yagura_rules::resolve::find(&schema, field)
                .is_some_and(|found| !found.json.is_empty());
            // A number is a place in a list, whose members share a path.
            let is_indexed = field
                .segments()
                .iter()
                .any(|part| part.parse::<usize>().is_ok());
            !is_inside || is_indexed || paths.contains(&plain(field))
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
                "names `{name}`, which none of the newest events of table `{}` has ({} were looked at){hint}",
                table.name,
                crate::output::count(sample.events as u64, "event", "events")
            );
            self.add(&source.file, &rule.id, level, "field", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_under_every_prefix() {
        let paths: BTreeSet<String> = [
            "Event.EventData.CommandLine",
            "Event.EventData.Image",
            "Event.System.Channel",
            "winlog.event_data.ParentImage",
            "unmapped.user.name",
            "host",
        ]
        .map(str::to_owned)
        .into();
        for (wrong, near) in [
            ("Imgae", "Event.EventData.Image"),
            ("Event.EventData.ComandLine", "Event.EventData.CommandLine"),
            ("EventData.CommandLine", "Event.EventData.CommandLine"),
            (
                "winlog.event_data.ParentImgae",
                "winlog.event_data.ParentImage",
            ),
            ("hots", "host"),
        ] {
            assert_eq!(near_paths(wrong, &paths).first(), Some(&near), "{wrong}");
        }
        assert!(near_paths("Zqx", &paths).is_empty());
    }
}
