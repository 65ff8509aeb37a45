//! `yagura coverage`: which ATT&CK techniques the rules look for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use yagura_core::references::members;
use yagura_core::{Correlation, Rule};
use yagura_lake::table::Table;
use yagura_plan::{RuleSource, lower_sigma};

use super::block_on;
use crate::output::table;
use crate::ruleset::Sources;

/// Show which ATT&CK techniques the rules detect, by their tags
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: CoverageFormat,
}

const AFTER_HELP: &str = "\
With tables (--lake, --table or --config) only rules count that can run over them; without, all rules do.
`--format navigator` prints a layer for the ATT&CK Navigator: https://mitre-attack.github.io/attack-navigator/";

/// How coverage is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CoverageFormat {
    /// A table for people.
    Text,
    /// One JSON object.
    Json,
    /// A layer of the ATT&CK Navigator.
    Navigator,
}

/// What the rules look for.
#[derive(Debug, Default, Serialize)]
struct Coverage {
    rules: usize,
    /// Rules that cannot run over the tables, where tables were named.
    rules_that_cannot_run: usize,
    techniques: BTreeMap<String, BTreeSet<String>>,
    tactics: BTreeMap<String, BTreeSet<String>>,
    rules_without_technique: BTreeSet<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let set = block_on(arguments.sources.read())?;
    let mut coverage = Coverage::default();
    match &set.tables {
        Some(tables) => {
            let placed = lower_sigma(&set.sigma, tables);
            let own: Vec<RuleSource> = set.own().collect();
            let runs = running(&own, &placed.rules, tables);
            for source in own.iter().filter(|source| runs.contains(&source.rule.id)) {
                coverage.add(&source.rule.id, &source.rule.title, &source.rule.tags);
            }
            // What only finds the events that an old rule counts is counted by that rule.
            let is_whole = |source: &&RuleSource| !placed.parts.contains(&source.rule.id);
            for source in placed.rules.iter().filter(is_whole) {
                coverage.add(&source.rule.id, &source.rule.title, &source.rule.tags);
            }
            coverage.rules_that_cannot_run = placed.not_run.len() + own.len() - runs.len();
        }
        None => {
            for source in set.own() {
                coverage.add(&source.rule.id, &source.rule.title, &source.rule.tags);
            }
            for source in &set.sigma.load.rules {
                let id = source.rule.id.as_deref().unwrap_or(&source.rule.title);
                coverage.add(id, &source.rule.title, &source.rule.tags);
            }
            for source in &set.sigma.load.correlations {
                let id = source.rule.id.as_deref().unwrap_or(&source.rule.title);
                coverage.add(id, &source.rule.title, &source.rule.tags);
            }
        }
    }
    let mut out = crate::output::Shown(io::stdout().lock());
    match arguments.format {
        CoverageFormat::Text => coverage.print(&mut out)?,
        CoverageFormat::Json => {
            serde_json::to_writer(&mut out, &coverage)?;
            writeln!(out)?;
        }
        CoverageFormat::Navigator => {
            serde_json::to_writer_pretty(&mut out, &coverage.layer())?;
            writeln!(out)?;
        }
    }
    Ok(0)
}

/// Returns the ids of the packs' rules that can run: their table is there or, for correlations, all that they join runs.
fn running(own: &[RuleSource], sigma: &[RuleSource], tables: &[Arc<Table>]) -> BTreeSet<String> {
    let has_table = |rule: &Rule| tables.iter().any(|table| table.name == rule.table);
    let mut runs: Vec<&Rule> = own
        .iter()
        .map(|source| &*source.rule)
        .filter(|rule| has_table(rule))
        .collect();
    let mut waiting: Vec<(&Rule, &Correlation)> = own
        .iter()
        .filter_map(|source| Some((&*source.rule, source.rule.correlation.as_ref()?)))
        .collect();
    let sigma = || sigma.iter().map(|source| &*source.rule);
    loop {
        let before = waiting.len();
        let mut still = Vec::new();
        for (rule, correlation) in waiting {
            let has = |entry: &String| {
                let known = runs.iter().copied().chain(sigma());
                !members(entry, known).is_empty()
            };
            match correlation.rules.iter().all(has) {
                true => runs.push(rule),
                false => still.push((rule, correlation)),
            }
        }
        waiting = still;
        if waiting.len() == before {
            return runs.into_iter().map(|rule| rule.id.clone()).collect();
        }
    }
}

impl Coverage {
    fn add(&mut self, id: &str, title: &str, tags: &[String]) {
        self.rules += 1;
        let name = if id == title {
            id.to_owned()
        } else {
            format!("{id} {title}")
        };
        let mut has_technique = false;
        for tag in tags {
            let Some(name_of) = tag
                .to_ascii_lowercase()
                .strip_prefix("attack.")
                .map(str::to_owned)
            else {
                continue;
            };
            if let Some(technique) = technique(&name_of) {
                has_technique = true;
                self.techniques
                    .entry(technique)
                    .or_default()
                    .insert(name.clone());
            } else if !is_group_or_software(&name_of) {
                let tactic = name_of.replace('_', "-");
                self.tactics.entry(tactic).or_default().insert(name.clone());
            }
        }
        if !has_technique {
            self.rules_without_technique.insert(name);
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        let mut tactics = table(["TACTIC", "RULES"]);
        for (tactic, rules) in &self.tactics {
            tactics.add_row([tactic.clone(), rules.len().to_string()]);
        }
        let mut techniques = table(["TECHNIQUE", "RULES", "FOR INSTANCE"]);
        for (technique, rules) in &self.techniques {
            let first = rules.iter().next().cloned().unwrap_or_default();
            techniques.add_row([
                technique.clone(),
                rules.len().to_string(),
                crate::output::cell(&first),
            ]);
        }
        if !self.tactics.is_empty() {
            writeln!(out, "{tactics}\n")?;
        }
        if !self.techniques.is_empty() {
            writeln!(out, "{techniques}\n")?;
        }
        let main: BTreeSet<&str> = self
            .techniques
            .keys()
            .map(|id| id.split('.').next().unwrap_or(id))
            .collect();
        writeln!(
            out,
            "{} rules look for {} techniques ({} with sub-techniques counted); {} name none",
            self.rules,
            main.len(),
            self.techniques.len(),
            self.rules_without_technique.len()
        )?;
        if self.rules_that_cannot_run > 0 {
            writeln!(
                out,
                "{} more cannot run over the tables; `yagura check` says why",
                self.rules_that_cannot_run
            )?;
        }
        Ok(())
    }

    fn layer(&self) -> serde_json::Value {
        let most = self
            .techniques
            .values()
            .map(BTreeSet::len)
            .max()
            .unwrap_or(1);
        let techniques: Vec<serde_json::Value> = self
            .techniques
            .iter()
            .map(|(technique, rules)| {
                serde_json::json!({
                    "techniqueID": technique,
                    "score": rules.len(),
                    "comment": rules.iter().cloned().collect::<Vec<_>>().join("\n"),
                    "enabled": true,
                    "showSubtechniques": technique.contains('.'),
                })
            })
            .collect();
        serde_json::json!({
            "name": "Yagura coverage",
            "versions": {"attack": "17", "navigator": "5.1.0", "layer": "4.5"},
            "domain": "enterprise-attack",
            "description": format!("Rules by technique: {} rules", self.rules),
            "sorting": 3,
            "hideDisabled": false,
            "techniques": techniques,
            "gradient": {"colors": ["#ffffff", "#66b1ff"], "minValue": 0, "maxValue": most},
            "legendItems": [],
            "metadata": [],
        })
    }
}

/// Returns the technique's id as ATT&CK writes it: `t1059.001` is `T1059.001`.
fn technique(tag: &str) -> Option<String> {
    let digits = tag.strip_prefix('t')?;
    let (main, sub) = digits
        .split_once('.')
        .map_or((digits, None), |(main, sub)| (main, Some(sub)));
    let are_digits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit())
    };
    (are_digits(main, 4) && sub.is_none_or(|sub| are_digits(sub, 3)))
        .then(|| tag.to_ascii_uppercase())
}

fn is_group_or_software(tag: &str) -> bool {
    tag.len() == 5
        && tag.starts_with(['g', 's', 'm', 'c'])
        && tag[1..].bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_techniques_tactics_and_others() {
        let mut coverage = Coverage::default();
        let tags = [
            "attack.T1059.001",
            "attack.execution",
            "attack.defense_evasion",
            "attack.g0016",
            "cve.2021-44228",
        ];
        coverage.add("a", "A", &tags.map(str::to_owned));
        coverage.add("b", "B", &["attack.t1059".to_owned()]);
        coverage.add("c", "C", &[]);
        assert_eq!(
            coverage.techniques.keys().collect::<Vec<_>>(),
            ["T1059", "T1059.001"]
        );
        assert_eq!(
            coverage.tactics.keys().collect::<Vec<_>>(),
            ["defense-evasion", "execution"]
        );
        assert_eq!(coverage.rules_without_technique.len(), 1);
        let layer = coverage.layer();
        assert_eq!(layer["techniques"][0]["techniqueID"], "T1059");
        assert_eq!(layer["versions"]["layer"], "4.5");
    }
}
