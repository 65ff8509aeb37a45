//! `yagura check`: what is wrong or suspicious about rules, before they run.

mod configuration;
mod correlations;
mod places;
mod sampled;
mod sources;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use yagura_core::diagnostic::{Code, Diagnostic, Key, Level};
use yagura_core::names::did_you_mean;
use yagura_core::{OrFault, Pack, TimeRange};
use yagura_host::Meter;
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest, is_shipped};
use yagura_lake::table::{OnProblem, Table, TableConfig};
use yagura_ocsf::Schema as Ocsf;
use yagura_plan::{
    PlanError, RuleSource, SigmaRules, lower_sigma, open_tables, predicate_of, syntax_error,
    unknown_class, unknown_source,
};
use yagura_rules::Predicate;
use yagura_rules::lint::{canonical, lints};
use yagura_rules::sigma::{self, Placeholders, SigmaSource, translate_bare, unused_detections};

use self::sampled::Sampled;
use super::block_on;
use crate::diagnostics::{self, sarif};
use crate::exit::{self, RULE};
use crate::output::{Shown, count as number};
use crate::ruleset::{RuleSet, Sources};
use yagura_service::config::Config;
use yagura_service::packs;

/// Check rules and sources: errors, unknown fields, conditions that never match
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// Policy to look over too [default: that of --config]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: DiagnosticFormat,
}

/// How diagnostics are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiagnosticFormat {
    /// For people, with the source line underlined
    Text,
    /// One JSON object a line
    Json,
    /// SARIF 2.1.0, for code-scanning tools
    Sarif,
}

const AFTER_HELP: &str = "\
With tables (--lake, --table or --config), fields are looked up in the tables and in a few hundred of their newest events, and
tests are compared with the types of the columns. Without, this is done for the tables whose columns are part of Yagura
(aws_cloudtrail); for others only the rule itself is checked. Rules that correlations join must be among those that are read.
Built plugins must have code for their rules. The sources of packs are read, and their expressions planned. With --config, packs
that `yagura run` would refuse are errors, too, and so are sources that do not exist.
Each result has a code; docs/contributors/diagnostics.md explains them all.
Exit code 0 without errors, 1 with warnings if --strict, 2 with errors.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let found = match checked(arguments) {
        Ok(found) => found,
        // For a program, a file that cannot be read is a result as others are.
        Err(error) => match diagnostics::of_error(&error) {
            Some(found) if arguments.format != DiagnosticFormat::Text => {
                print(arguments.format, &found.0)?;
                return Ok(exit::code(&error));
            }
            _ => return Err(error),
        },
    };
    print(arguments.format, &found.diagnostics)?;
    let count = |level| {
        let of_level = found.diagnostics.iter().filter(|one| one.level == level);
        of_level.count() as u64
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    if arguments.format == DiagnosticFormat::Text {
        let sources = match found.sources {
            0 => String::new(),
            sources => format!(", {}", number(sources as u64, "source", "sources")),
        };
        let policy = if found.has_policy {
            " and the policy"
        } else {
            ""
        };
        writeln!(
            Shown(io::stdout().lock()),
            "{}{sources}{policy}: {}, {}, {}",
            number(found.rules as u64, "rule", "rules"),
            number(errors, "error", "errors"),
            number(warnings, "warning", "warnings"),
            number(count(Level::Note), "note", "notes")
        )?;
    }
    Ok(if errors > 0 {
        RULE
    } else {
        u8::from(arguments.strict && warnings > 0)
    })
}

fn print(format: DiagnosticFormat, found: &[Diagnostic]) -> Result<()> {
    let mut out = Shown(io::stdout().lock());
    match format {
        DiagnosticFormat::Text => diagnostics::write(&mut out, found)?,
        DiagnosticFormat::Json => {
            for diagnostic in found {
                serde_json::to_writer(&mut out, diagnostic)?;
                writeln!(out)?;
            }
        }
        DiagnosticFormat::Sarif => sarif::write(&mut out, found)?,
    }
    Ok(())
}

/// What was found.
struct Checked {
    rules: usize,
    sources: usize,
    has_policy: bool,
    /// In order of file and line.
    diagnostics: Vec<Diagnostic>,
}

/// Reads everything and looks it over.
fn checked(arguments: &Arguments) -> Result<Checked> {
    let (set, shipped, sampled) = block_on(async {
        // A policy can be looked over by itself.
        let set = match arguments.policy.is_some() && arguments.sources.are_none() {
            true => RuleSet::default(),
            false => arguments.sources.read().await?,
        };
        let shipped = match &set.tables {
            Some(_) => Vec::new(),
            None => shipped_tables(&set).await?,
        };
        let sampled = Sampled::of(set.tables.as_deref().unwrap_or_default()).await;
        Ok((set, shipped, sampled))
    })?;
    let placed = set
        .tables
        .as_ref()
        .map(|tables| lower_sigma(&set.sigma, tables));
    let tables = set.tables.as_ref().unwrap_or(&shipped);
    let mut check = RuleCheck::default();
    let config = arguments.sources.config.as_deref();
    let config = config.map(Config::read).transpose()?;
    let of_config = || config.as_ref()?.policy.as_ref();
    let policy = arguments.policy.as_ref().or_else(of_config);
    if let Some(file) = policy {
        check.policy(&set, file)?;
        if let Some(config) = &config {
            check.policy_plugins(config, file)?;
        }
    }
    if let Some(config) = &config {
        check.admitted(config)?;
    }
    check.together(&set, config.is_some());
    check.sigma(&set, placed.as_ref(), &sampled);
    check.own(&set, &shipped, &sampled);
    check.tables(&sampled);
    check.own_correlations(&set, tables, placed.as_ref());
    check.geolocation(&set);
    check.plugins(&set)?;
    check.sources(&set)?;
    if let (Some(config), Some(file)) = (&config, &arguments.sources.config) {
        check.configured_sources(&set, config, file);
    }
    check.duplicates();
    let mut diagnostics = places::placed(check.found, &set.sigma.load);
    diagnostics.sort();
    diagnostics.dedup();
    Ok(Checked {
        rules: check.rules,
        sources: check.sources,
        has_policy: policy.is_some(),
        diagnostics,
    })
}

/// Returns the tables that rules name and whose columns are part of Yagura, as a lake would hold them.
async fn shipped_tables(set: &RuleSet) -> Result<Vec<Arc<Table>>> {
    let names: BTreeSet<String> = set.own().map(|source| source.rule.table.clone()).collect();
    let dir = tempfile::tempdir()?;
    let event = dir.path().join("event.ndjson");
    std::fs::write(&event, "{\"eventTime\":\"2026-01-01T00:00:00Z\"}\n")?;
    let lake = Location::parse("memory://check", &BTreeMap::new())?;
    let mut tables = Vec::new();
    for name in names.into_iter().filter(|name| is_shipped(name)) {
        let options = IngestOptions::new(&name, lake.clone());
        ingest(options, std::slice::from_ref(&event), |_| {}).await?;
        tables.push(TableConfig {
            location: lake.join(&name),
            name,
            time: None,
            day_partition: None,
            time_unit: None,
            on_null_time: None,
            on_bad_file: OnProblem::Fail,
        });
    }
    Ok(open_tables(&tables, TimeRange::default()).await?)
}

/// Returns the rules that a pack's component has code for, or nothing where it is not built.
fn rules_of(pack: &Pack, name: &str) -> Result<Option<Vec<String>>> {
    let file = pack.dir.join(name);
    let manifest = pack
        .manifest
        .plugins
        .iter()
        .find(|plugin| plugin.file == name);
    let (true, Some(manifest)) = (file.exists(), manifest) else {
        return Ok(None);
    };
    let plugin = packs::host(Meter::Off)?
        .load_detector(&file, &manifest.limits)
        .or_fault()?;
    Ok(Some(plugin.rule_ids()?))
}

#[derive(Debug, Default)]
struct RuleCheck {
    rules: usize,
    sources: usize,
    found: Vec<Diagnostic>,
    /// Canonical form of each rule, with its id and file.
    forms: BTreeMap<String, Vec<(String, PathBuf)>>,
}

impl RuleCheck {
    fn add(&mut self, file: &Path, rule: &str, level: Level, code: Code, message: String) {
        let diagnostic = Diagnostic::new(level, code, message);
        self.found.push(diagnostic.in_file(file).of_rule(rule));
    }

    fn predicate(&mut self, file: &Path, rule: &str, predicate: &Predicate) {
        let lints = lints(predicate).into_iter();
        self.found
            .extend(lints.map(|lint| lint.in_file(file).of_rule(rule)));
    }

    fn sigma(&mut self, set: &RuleSet, placed: Option<&SigmaRules>, sampled: &Sampled) {
        let load = &set.sigma.load;
        self.rules += load.rules.len();
        self.found.extend(load.problems.iter().cloned());
        self.found.extend(load.notes.iter().cloned());
        self.sigma_correlations(set);
        let mut placeholders = Placeholders::new();
        for map in &set.sigma.maps {
            for (name, values) in &map.placeholders {
                placeholders
                    .entry(name.clone())
                    .or_insert_with(|| values.clone());
            }
        }
        for source in &load.rules {
            let id = source
                .rule
                .id
                .clone()
                .unwrap_or_else(|| source.rule.title.clone());
            match translate_bare(source, &load.filters_of(&source.rule), &placeholders) {
                Err(error) => self
                    .found
                    .push(error.in_file(&source.file).of_rule(id.clone())),
                Ok(predicate) => {
                    self.predicate(&source.file, &id, &predicate);
                    let of = &source.rule.logsource;
                    let form = format!(
                        "{:?} {:?} {:?} {}",
                        of.product,
                        of.category,
                        of.service,
                        canonical(&predicate)
                    );
                    self.forms
                        .entry(form)
                        .or_default()
                        .push((id.clone(), source.file.clone()));
                }
            }
            self.metadata(source, &id);
        }
        let Some(placed) = placed else {
            for source in &load.rules {
                if let Some(message) = unknown_source(source, &set.sigma) {
                    let id = source.rule.id.as_ref().unwrap_or(&source.rule.title);
                    self.add(
                        &source.file,
                        id,
                        Level::Warning,
                        Code::UnknownTable,
                        message,
                    );
                }
            }
            return;
        };
        let joined: BTreeSet<String> = sigma::correlations(load)
            .joined
            .into_iter()
            .filter(|joined| joined.counts.is_none())
            .map(|joined| joined.id)
            .collect();
        for (table, message) in &placed.unread {
            self.add(
                Path::new(table),
                table,
                Level::Warning,
                Code::UnknownTable,
                message.clone(),
            );
        }
        for note in placed.notes.iter().filter(|note| !note.rule.is_empty()) {
            self.add(
                &note.file,
                &note.rule,
                Level::Warning,
                Code::CorrelationNotRunning,
                note.reason.clone(),
            );
        }
        for not_run in &placed.not_run {
            let known = load
                .problems
                .iter()
                .any(|problem| problem.file.as_ref() == Some(&not_run.file));
            let told = self.found.iter().any(|linted| {
                linted.level == Level::Error
                    && linted.rule.as_deref() == Some(not_run.rule.as_str())
            });
            if !known && !told {
                // Where a correlation lacks something, its parts are silent too.
                let code = match joined.contains(&not_run.rule) {
                    true => Code::CorrelationNotRunning,
                    false => Code::UnknownTable,
                };
                let message = format!("cannot run: {}", not_run.reason);
                self.add(&not_run.file, &not_run.rule, Level::Warning, code, message);
            }
        }
        self.sigma_fields(placed, sampled);
    }

    fn metadata(&mut self, source: &SigmaSource, id: &str) {
        let rule = &source.rule;
        let (has_id, has_level) = (rule.id.is_some(), rule.level.is_some());
        self.described(&source.file, id, has_id, has_level, &rule.tags);
        for name in unused_detections(rule) {
            let message = format!("the condition does not use the detection `{name}`");
            self.add(
                &source.file,
                id,
                Level::Warning,
                Code::UnusedDetection,
                message,
            );
        }
    }

    /// Checks the metadata of a Sigma rule.
    fn described(&mut self, file: &Path, id: &str, has_id: bool, has_level: bool, tags: &[String]) {
        let lacks = [
            (
                !has_id,
                "has no `id`: it is known by its title and content, and loses its history when one of them changes",
            ),
            (
                !has_level,
                "has no `level`: its alerts are of medium severity",
            ),
        ];
        for (lacks, message) in lacks {
            if lacks {
                self.add(file, id, Level::Note, Code::SigmaMetadata, message.into());
            }
        }
        if !tags
            .iter()
            .any(|tag| tag.to_ascii_lowercase().starts_with("attack."))
        {
            let message = "has no tag of ATT&CK: `yagura coverage` does not see it".into();
            self.add(file, id, Level::Note, Code::MissingAttackTag, message);
        }
    }

    /// Looks whether built components have code for the rules that name them.
    fn plugins(&mut self, set: &RuleSet) -> Result<()> {
        for pack in &set.packs {
            let mut known: BTreeMap<&str, Option<Vec<String>>> = BTreeMap::new();
            for source in &pack.rules {
                let Some(name) = source.rule.plugin.as_deref() else {
                    continue;
                };
                if !known.contains_key(name) {
                    known.insert(name, rules_of(pack, name)?);
                }
                let id = &source.rule.id;
                match known.get(name) {
                    Some(Some(ids)) if !ids.contains(id) => {
                        let hint = did_you_mean(id, ids.iter().map(String::as_str));
                        let message = format!(
                            "`{name}` has no code for this rule{hint}; it has code for: {}",
                            ids.join(", ")
                        );
                        self.add(
                            &source.file,
                            id,
                            Level::Error,
                            Code::PluginLacksRule,
                            message,
                        );
                    }
                    Some(None) => {
                        let message = format!(
                            "`{name}` is not built yet, so it was not looked at: `yagura build {}`",
                            pack.dir.display()
                        );
                        self.add(&source.file, id, Level::Note, Code::PluginNotBuilt, message);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn own(&mut self, set: &RuleSet, shipped: &[Arc<Table>], sampled: &Sampled) {
        for not_run in set.without_table() {
            let message = format!("cannot run: {}", not_run.reason);
            let (file, rule) = (&not_run.file, &not_run.rule);
            self.rules += 1;
            self.add(file, rule, Level::Note, Code::UnknownTable, message);
        }
        let classes = tables::classes_of(set);
        for source in set.own() {
            self.rules += 1;
            let id = source.rule.id.clone();
            if !source
                .rule
                .tags
                .iter()
                .any(|tag| tag.to_ascii_lowercase().starts_with("attack."))
            {
                let message = "has no tag of ATT&CK: `yagura coverage` does not see it".into();
                self.add(
                    &source.file,
                    &id,
                    Level::Note,
                    Code::MissingAttackTag,
                    message,
                );
            }
            if source.rule.correlation.is_some() {
                continue;
            }
            if !source.rule.class.is_empty() && Ocsf::shipped().class(&source.rule.class).is_none()
            {
                let wrong =
                    Diagnostic::error(Code::InvalidValue, unknown_class(&source.rule.class));
                let wrong = wrong.at(Key::written("rule.class"));
                self.found.push(wrong.in_file(&source.file).of_rule(id));
                continue;
            }
            if !source.rule.partition_by.is_empty() && source.rule.state_for.is_none() {
                let message = "keeps state and does not say for how long, so the state of a key ends 30 days after its last event: write `state_for = \"30d\"`, or less".into();
                self.add(
                    &source.file,
                    &id,
                    Level::Warning,
                    Code::StateWithoutEnd,
                    message,
                );
            }
            let is_shipped = |table: &&Arc<Table>| table.name == source.rule.table;
            let tables = match &set.tables {
                Some(tables) => Some(tables.as_slice()),
                None => shipped
                    .iter()
                    .any(|table| is_shipped(&table))
                    .then_some(shipped),
            };
            let Some(tables) = tables else {
                self.syntax(&source);
                // Without the table only the text can be compared.
                if let Some(condition) = &source.rule.condition {
                    let words: Vec<&str> = condition.split_whitespace().collect();
                    let plugin = source
                        .rule
                        .plugin
                        .as_deref()
                        .map(|_| id.as_str())
                        .unwrap_or_default();
                    let form = format!("{} {plugin} {}", source.rule.table, words.join(" "));
                    self.forms
                        .entry(form)
                        .or_default()
                        .push((id, source.file.clone()));
                }
                continue;
            };
            let Some(table) = tables.iter().find(|table| table.name == source.rule.table) else {
                let names = tables.iter().map(|table| table.name.as_str());
                let hint = did_you_mean(&source.rule.table, names);
                let message = format!(
                    "cannot run: there is no table `{}`{hint}",
                    source.rule.table
                );
                self.add(&source.file, &id, Level::Note, Code::UnknownTable, message);
                continue;
            };
            match predicate_of(table, &source) {
                Ok(predicate) => {
                    if source.rule.condition.is_some() {
                        self.predicate(&source.file, &id, &predicate);
                        self.where_fields(table, &source, classes.get(&id).copied(), sampled);
                    }
                    if source.rule.plugin.is_none() {
                        let form = format!("{} {}", table.name, canonical(&predicate));
                        self.forms
                            .entry(form)
                            .or_default()
                            .push((id, source.file.clone()));
                    }
                }
                Err(PlanError::Rule {
                    file,
                    rule,
                    key,
                    message,
                }) => {
                    let key = Key::top("rule").join(&Key::written(key));
                    let wrong = Diagnostic::error(Code::InvalidCondition, message).at(key);
                    self.found.push(wrong.in_file(&file).of_rule(rule));
                }
                Err(other) => self.add(
                    &source.file,
                    &id,
                    Level::Error,
                    Code::UnknownTable,
                    other.to_string(),
                ),
            }
        }
    }

    /// Checks the SQL of a condition whose table is not known.
    fn syntax(&mut self, source: &RuleSource) {
        let condition = source.rule.condition.as_deref().unwrap_or("true");
        if let Some(error) = syntax_error(condition) {
            let wrong = Diagnostic::error(Code::InvalidCondition, error.to_string());
            let wrong = wrong.at(Key::written("rule.where"));
            let wrong = wrong.in_file(&source.file).of_rule(source.rule.id.as_str());
            self.found.push(wrong);
        }
    }

    fn duplicates(&mut self) {
        let same = std::mem::take(&mut self.forms)
            .into_values()
            .filter(|rules| rules.len() > 1);
        for rules in same {
            let (first, first_file) = &rules[0];
            for (id, file) in &rules[1..] {
                let message = format!(
                    "asks the same of the same events as `{first}` in {}",
                    first_file.display()
                );
                self.add(file, id, Level::Warning, Code::DuplicateRule, message);
            }
        }
    }
}
