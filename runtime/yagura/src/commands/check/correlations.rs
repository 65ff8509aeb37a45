//! What is wrong with correlations: rules that are not there, fields that these do not have, circles.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use yagura_core::correlation::CorrelationKind;
use yagura_core::diagnostic::{Code, Diagnostic, Key, Level};
use yagura_core::names::did_you_mean;
use yagura_core::references::{circle_of, in_order, members};
use yagura_core::{Correlation, FieldPath, Rule};
use yagura_correlate::Geolocation;
use yagura_lake::table::Table;
use yagura_plan::{RuleSource, SigmaRules, sigma_correlations};
use yagura_rules::resolve::find;
use yagura_rules::sigma;

use super::RuleCheck;
use crate::ruleset::RuleSet;

impl RuleCheck {
    /// Looks at Sigma's correlations by themselves.
    pub(super) fn sigma_correlations(&mut self, set: &RuleSet) {
        let load = &set.sigma.load;
        self.rules += load.correlations.len();
        for wrong in sigma_correlations(load).not_run {
            self.add(
                &wrong.file,
                &wrong.rule,
                Level::Error,
                Code::CorrelationNotRunning,
                wrong.reason,
            );
        }
        for source in &load.correlations {
            let rule = &source.rule;
            let id = rule.id.as_ref().unwrap_or(&rule.title);
            let (has_id, has_level) = (rule.id.is_some(), rule.level.is_some());
            self.described(&source.file, id, has_id, has_level, &rule.tags);
        }
    }

    /// Looks at the packs' correlations: in the tables that were named or, without any, in those of Yagura.
    pub(super) fn own_correlations(
        &mut self,
        set: &RuleSet,
        tables: &[Arc<Table>],
        placed: Option<&SigmaRules>,
    ) {
        let own: Vec<RuleSource> = set.own().collect();
        let load = &set.sigma.load;
        let unplaced: BTreeSet<String> = sigma::correlations(load)
            .joined
            .into_iter()
            .map(|joined| joined.id)
            .chain(load.rules.iter().map(sigma::SigmaSource::events_id))
            .collect();
        let mut rules: Vec<&Rule> = own.iter().map(|source| &*source.rule).collect();
        let placed = placed.map_or(&[][..], |placed| &placed.rules);
        rules.extend(placed.iter().map(|source| &*source.rule));
        let mut needs: Vec<Vec<usize>> = vec![Vec::new(); rules.len()];
        for (index, source) in own.iter().enumerate() {
            let Some(correlation) = &source.rule.correlation else {
                continue;
            };
            for (place, entry) in correlation.rules.iter().enumerate() {
                let joined = members(entry, rules.iter().copied());
                if joined.is_empty() && !unplaced.contains(entry) {
                    let known = rules.iter().map(|rule| rule.id.as_str());
                    let near =
                        did_you_mean(entry, known.chain(unplaced.iter().map(String::as_str)));
                    let message = format!("names `{entry}`, and there is no such rule{near}");
                    let key = Key::top("rules").index(place);
                    self.wrong(
                        &source.file,
                        &source.rule.id,
                        Code::UnknownReference,
                        key,
                        message,
                    );
                }
                for member in &joined {
                    self.fields(source, correlation, rules[*member], tables);
                }
                needs[index].extend(joined);
            }
        }
        let order = in_order(&needs);
        for index in &order.circular {
            let Some(source) = own.get(*index) else {
                continue;
            };
            let circle: Vec<String> = circle_of(*index, &needs, &order)
                .into_iter()
                .map(|index| format!("`{}`", rules[index].id))
                .collect();
            let message = format!("lead back to themselves: {}", circle.join(" → "));
            let key = Key::top("rules");
            self.wrong(
                &source.file,
                &source.rule.id,
                Code::CircularCorrelation,
                key,
                message,
            );
        }
        if set.tables.is_some() {
            self.not_run(&own, &rules, &order.possible, tables, &unplaced);
        }
    }

    /// Notes correlations that cannot run because others do not, `order` of which each comes after those that it joins.
    fn not_run(
        &mut self,
        own: &[RuleSource],
        rules: &[&Rule],
        order: &[usize],
        tables: &[Arc<Table>],
        unplaced: &BTreeSet<String>,
    ) {
        let mut running = vec![false; rules.len()];
        for at in order.iter().copied() {
            let source = own.get(at);
            let joined = source.and_then(|source| source.rule.correlation.as_ref());
            let Some(((source, correlation), rule)) = source.zip(joined).zip(rules.get(at)) else {
                // What Sigma's rules became runs; a rule of a pack needs its table.
                running[at] =
                    source.is_none() || tables.iter().any(|table| table.name == rules[at].table);
                continue;
            };
            let mut silent = Vec::new();
            let mut is_wrong = false;
            for entry in &correlation.rules {
                let members = members(entry, rules.iter().copied());
                is_wrong |= members.is_empty() && !unplaced.contains(entry);
                if !members.iter().any(|member| running[*member]) {
                    silent.push(entry.as_str());
                }
            }
            running[at] = silent.is_empty();
            // A name that no rule has was told.
            if !silent.is_empty() && !is_wrong {
                let message = format!(
                    "cannot run: it joins rules that do not run: `{}`",
                    silent.join("`, `")
                );
                let (file, id) = (&source.file, &rule.id);
                self.add(file, id, Level::Note, Code::CorrelationNotRunning, message);
            }
        }
    }

    /// Checks that correlations that need a geolocation database have one.
    pub(super) fn geolocation(&mut self, set: &RuleSet) {
        for pack in &set.packs {
            for source in &pack.rules {
                let rule = &source.rule;
                let Some(correlation) = &rule.correlation else {
                    continue;
                };
                let CorrelationKind::Travel(travel) = &correlation.kind else {
                    continue;
                };
                if travel.coordinates.is_some() {
                    continue;
                }
                let own = travel.geoip.as_ref();
                let own = own.map(|file| yagura_service::packs::geolocation_of(&pack.dir, file));
                let is_own = own.is_some();
                let read = |file: &Path| Geolocation::read(file).map_err(anyhow::Error::from);
                let of_all = || set.geoip.as_deref().map(read);
                let Some(read) = own.or_else(of_all) else {
                    let message = "has neither `geoip` nor `latitude` and `longitude`: it runs only with a configuration that names a geolocation database with `geoip`".to_owned();
                    self.add(
                        &source.file,
                        &rule.id,
                        Level::Note,
                        Code::MissingGeolocation,
                        message,
                    );
                    continue;
                };
                if let Err(error) = read {
                    let of = match is_own {
                        true => "",
                        false => "takes that of the configuration: ",
                    };
                    let message = format!("{of}{error:#}");
                    let key = Key::top("geoip");
                    self.wrong(
                        &source.file,
                        &source.rule.id,
                        Code::MissingGeolocation,
                        key,
                        message,
                    );
                }
            }
        }
    }

    /// Looks whether a joined rule has the fields that the correlation reads.
    fn fields(
        &mut self,
        source: &RuleSource,
        correlation: &Correlation,
        member: &Rule,
        tables: &[Arc<Table>],
    ) {
        for name in correlation.field_names() {
            let Some(path) = correlation.path_of(name, &member.id) else {
                continue;
            };
            if let Some(message) = lacks(&path, member, tables) {
                let by = correlation.by.iter().position(|by| by == name);
                let key = match by {
                    Some(place) => Key::top("by").index(place),
                    None => Key::top("field"),
                };
                let message = format!("names `{name}`: {message}");
                self.wrong(
                    &source.file,
                    &source.rule.id,
                    Code::CorrelationField,
                    key,
                    message,
                );
            }
        }
    }

    /// Adds an error; the key is inside `[rule.correlation]`.
    fn wrong(&mut self, file: &Path, rule: &str, code: Code, key: Key, message: String) {
        let wrong = Diagnostic::error(code, message);
        let wrong = wrong.at(Key::written("rule.correlation").join(&key));
        self.found.push(wrong.in_file(file).of_rule(rule));
    }
}

/// Returns why a rule's findings do not have the field, if that is known.
fn lacks(path: &FieldPath, member: &Rule, tables: &[Arc<Table>]) -> Option<String> {
    let name = path.to_string();
    if let Some(joined) = &member.correlation {
        let measures = joined.kind.measures().iter().copied();
        let known = joined.by.iter().map(String::as_str).chain(measures);
        return (!known.clone().any(|known| known == name)).then(|| {
            format!(
                "the correlation `{}` has no `{name}`, only what is in its `by`{}{}",
                member.id,
                match joined.kind.measures() {
                    [] => "",
                    _ => " and what it measures",
                },
                did_you_mean(&name, known)
            )
        });
    }
    let table = tables.iter().find(|table| table.name == member.table)?;
    let schema = table.schema();
    // A plugin's findings may have it in their context.
    if member.plugin.is_some() || find(&schema, path).is_some() {
        return None;
    }
    let columns = schema.fields().iter().map(|field| field.name().as_str());
    Some(format!(
        "table `{}` of the rule `{}` has no `{name}`; another name is given in `correlation.aliases`{}",
        table.name,
        member.id,
        did_you_mean(&name, columns)
    ))
}
