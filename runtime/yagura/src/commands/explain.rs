//! `yagura explain`: why a rule matches an event, or how near it comes to matching one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use yagura_core::names::did_you_mean;
use yagura_core::{Correlation, Rule, TimeRange, Timestamp};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_lake::table::{OnProblem, Table, TableConfig};
use yagura_plan::{
    Nearest, RuleSource, explain, lower_sigma, nearest, open_tables, sigma_correlations,
};
use yagura_rules::Explanation;
use yagura_rules::explain::Saw;
use yagura_sources::class_table;

use super::block_on;
use crate::output::{OutputFormat, Shown, printable};
use crate::ruleset::{RuleSet, Sources};

/// Show how a rule evaluates an event: the result of each test, and the value
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Id of the rule; may be left out where there is only one
    rule: Option<String>,
    #[command(flatten)]
    sources: Sources,
    /// Events to explain, one JSON object a line; `-` reads them from stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["lake", "config", "table"])]
    event: Option<PathBuf>,
    /// Only events from this time on (RFC 3339 or a date, UTC)
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Show every test of long lists, also those that are false
    #[arg(long)]
    all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
With --event each event of the file is explained, in order of time. With tables (--lake, --table or --config) the event that the rule
comes nearest to matching is looked for: the one that most of the rule's outermost parts are true of. Of a correlation the
rules are named whose findings it joins.";

/// An explanation as `--format json` prints it.
#[derive(Serialize)]
struct ExplainedEvent<'a> {
    rule: &'a str,
    title: &'a str,
    table: &'a str,
    object: &'a str,
    row: i64,
    matched: bool,
    parts_matched: usize,
    parts: usize,
    /// The code that decides on the events which the condition matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    explanation: &'a Explanation,
}

/// What `--format json` prints of a correlation.
#[derive(Serialize)]
struct CorrelationView<'a> {
    rule: &'a str,
    title: &'a str,
    correlation: &'a Correlation,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    block_on(arguments.run())
}

impl Arguments {
    async fn run(&self) -> Result<u8> {
        let mut set = self.sources.read().await?;
        if let Some(rule) = self.correlation(&set) {
            return self.print_correlation(&mut Shown(io::stdout().lock()), &rule, &set);
        }
        self.known(&set)?;
        let range = TimeRange::new(self.from, self.to)?;
        // The events become a table as all others do, so that they are read as in a run.
        let lake = tempfile::tempdir().context("cannot make a directory for the events")?;
        if let Some(file) = &self.event {
            set.tables = Some(vec![self.table_of(file, &set, lake.path()).await?]);
        }
        let Some(tables) = set.tables.clone() else {
            bail!(
                "there is no event to explain: give one with --event FILE, or tables with --lake or --table NAME=URL"
            );
        };
        let mut out = Shown(io::stdout().lock());
        let mut empty = BTreeSet::new();
        let mut nearest_first = Vec::new();
        let rules = self.rules(&set, &tables)?;
        for (source, table) in &rules {
            let found = if self.event.is_some() {
                explain(table, source).await?
            } else {
                let found = nearest(table, source, range).await?;
                found.into_iter().collect()
            };
            if found.is_empty() {
                empty.insert(table.name.as_str());
            }
            nearest_first.extend(found.into_iter().map(|one| (one, source, table)));
        }
        if self.event.is_none() {
            // A rule that several tables or log sources have is explained for each, the nearest event first.
            nearest_first
                .sort_by(|(a, ..), (b, ..)| (b.matched * a.parts).cmp(&(a.matched * b.parts)));
        }
        for (one, source, table) in &nearest_first {
            self.print(&mut out, source, table, one)?;
        }
        // One of several tables may have nothing in the range.
        if rules
            .iter()
            .all(|(_, table)| empty.contains(table.name.as_str()))
        {
            let names: Vec<&str> = empty.into_iter().collect();
            bail!("table `{}` has no events in the range", names.join("`, `"));
        }
        for name in empty {
            writeln!(out, "table `{name}` has no events in the range")?;
        }
        Ok(0)
    }

    /// Refuses an id that no rule has, whatever tables there are.
    fn known(&self, set: &RuleSet) -> Result<()> {
        let Some(id) = self.rule.as_deref() else {
            return Ok(());
        };
        let own = set.own().chain(set.written());
        let mut ids: BTreeSet<String> = own.map(|source| source.rule.id.clone()).collect();
        let load = &set.sigma.load;
        let joined = sigma_correlations(load).rules;
        ids.extend(joined.into_iter().map(|source| source.rule.id.clone()));
        for source in &load.rules {
            ids.extend([source.id(), source.events_id()]);
        }
        // A Sigma rule over several tables has an id for each: ID.TABLE.
        let is_part = |known: &String| {
            id.strip_prefix(known.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if ids.contains(id) || ids.iter().any(is_part) {
            return Ok(());
        }
        bail!(
            "no such rule: `{id}`{}",
            did_you_mean(id, ids.iter().map(String::as_str))
        );
    }

    /// Returns the rule that was asked for if it is a correlation, which evaluates no event by itself.
    fn correlation(&self, set: &RuleSet) -> Option<Arc<Rule>> {
        let id = self.rule.as_deref()?;
        let sigma = sigma_correlations(&set.sigma.load).rules;
        let mut all = set.own().chain(sigma).map(|source| source.rule);
        all.find(|rule| rule.id == id && rule.correlation.is_some())
    }

    fn print_correlation(&self, out: &mut impl Write, rule: &Rule, set: &RuleSet) -> Result<u8> {
        let Some(correlation) = &rule.correlation else {
            return Ok(0);
        };
        if self.format == OutputFormat::Json {
            let view = CorrelationView {
                rule: &rule.id,
                title: &rule.title,
                correlation,
            };
            serde_json::to_writer(&mut *out, &view)?;
            writeln!(out)?;
            return Ok(0);
        }
        let own = set.own().chain(sigma_correlations(&set.sigma.load).rules);
        let mut titles: BTreeMap<String, String> = own
            .map(|source| (source.rule.id.clone(), source.rule.title.clone()))
            .collect();
        for source in &set.sigma.load.rules {
            titles.insert(source.events_id(), source.rule.title.clone());
        }
        writeln!(out, "{} ({})", printable(&rule.title), rule.id)?;
        writeln!(
            out,
            "is a correlation ({}), which joins the findings of:",
            correlation.kind.word()
        )?;
        for id in &correlation.rules {
            let title = titles
                .get(id)
                .map_or("there is no such rule", String::as_str);
            writeln!(out, "  {id}   {}", printable(title))?;
        }
        writeln!(
            out,
            "It evaluates no event itself: explain one of these rules."
        )?;
        Ok(0)
    }

    /// Finds the rule, once for each table that it runs over.
    fn rules(&self, set: &RuleSet, tables: &[Arc<Table>]) -> Result<Vec<(RuleSource, Arc<Table>)>> {
        let placed = lower_sigma(&set.sigma, tables);
        // Correlations are no rules over events.
        let all: Vec<RuleSource> = set
            .own_over(tables)
            .into_iter()
            .chain(placed.rules)
            .filter(|source| source.rule.correlation.is_none())
            .collect();
        let is_meant = |source: &RuleSource| match &self.rule {
            None => true,
            Some(id) => {
                let rest = source.rule.id.strip_prefix(id.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        };
        let meant: Vec<RuleSource> = all
            .iter()
            .filter(|source| is_meant(source))
            .cloned()
            .collect();
        if self.rule.is_none() && all.len() > 1 {
            bail!(
                "there are {} rules: say which one to explain by its id",
                all.len()
            );
        }
        let mut rules = Vec::new();
        for source in meant {
            match tables.iter().find(|table| table.name == source.rule.table) {
                Some(table) => rules.push((source, Arc::clone(table))),
                None => bail!(
                    "rule `{}` is about the table `{}`, which is not there",
                    source.rule.id,
                    source.rule.table
                ),
            }
        }
        if rules.is_empty() {
            let wanted = self.rule.as_deref();
            if let Some(not_run) = placed
                .not_run
                .iter()
                .find(|not_run| wanted.is_none_or(|id| not_run.rule == id))
            {
                bail!("the rule cannot run over these events: {}", not_run.reason);
            }
            let id = wanted.unwrap_or_default();
            bail!(
                "no such rule: `{id}`{}",
                did_you_mean(id, all.iter().map(|source| source.rule.id.as_str()))
            );
        }
        Ok(rules)
    }

    async fn table_of(&self, file: &Path, set: &RuleSet, lake: &Path) -> Result<Arc<Table>> {
        // A rule of a pack names its table, whose columns may have names of their own; Sigma's find theirs.
        let own = set
            .own()
            .filter(|source| source.rule.correlation.is_none())
            .find(|source| self.rule.as_deref().is_none_or(|id| id == source.rule.id));
        let class = own.as_ref().map(|source| source.rule.class.clone());
        let class = class.unwrap_or_default();
        let name = match own {
            None => "events".to_owned(),
            Some(source) if class.is_empty() => source.rule.table.clone(),
            Some(_) => class.clone(),
        };
        let file = if file == Path::new("-") {
            let mut text = Vec::new();
            io::stdin()
                .read_to_end(&mut text)
                .context("cannot read events from stdin")?;
            let copy = lake.join("stdin.ndjson");
            std::fs::write(&copy, text).context("cannot keep the events from stdin")?;
            copy
        } else {
            file.to_owned()
        };
        let to = Location::parse(&lake.to_string_lossy(), &BTreeMap::new())?;
        let mut options = IngestOptions::new(&name, to.clone());
        options.source = class_table(&class);
        let report = ingest(options, std::slice::from_ref(&file), |_| {}).await?;
        if report.events == 0 {
            bail!("{} holds no events", file.display());
        }
        let config = TableConfig {
            location: to.join(&name),
            name,
            time: None,
            day_partition: None,
            // An event by itself may have no time.
            time_unit: None,
            on_null_time: Some(OnProblem::Skip),
            on_bad_file: OnProblem::Fail,
        };
        let mut tables = open_tables(&[config], TimeRange::default()).await?;
        tables.pop().context("the events make no table")
    }

    fn print(
        &self,
        out: &mut impl Write,
        source: &RuleSource,
        table: &Table,
        found: &Nearest,
    ) -> Result<()> {
        let rule = &source.rule;
        let object = if self.event.is_some() {
            ""
        } else {
            found.object.as_str()
        };
        if self.format == OutputFormat::Json {
            let view = ExplainedEvent {
                rule: &rule.id,
                title: &rule.title,
                table: &table.name,
                object,
                row: found.row,
                matched: found.explanation.matched,
                parts_matched: found.matched,
                parts: found.parts,
                code: rule.plugin.as_deref(),
                explanation: &found.explanation,
            };
            serde_json::to_writer(&mut *out, &view)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(out, "{} ({})", printable(&rule.title), rule.id)?;
        let place = if self.event.is_some() {
            format!("event {} in order of time", found.row + 1)
        } else {
            format!("row {} of {}", found.row, found.object)
        };
        let verdict = if found.explanation.matched {
            "matches"
        } else {
            "does not match"
        };
        writeln!(
            out,
            "{verdict} {place}: {} of {} outermost parts are true",
            found.matched, found.parts
        )?;
        self.tree(out, &found.explanation, 1)?;
        if let Some(code) = &rule.plugin {
            let then = match (found.explanation.matched, rule.partition_by.is_empty()) {
                (true, true) => "gets this event and decides on it",
                (true, false) => "gets this event, with what it remembers of its key, and decides",
                (false, _) => {
                    "decides on events that the condition matches, and does not get this one"
                }
            };
            writeln!(
                out,
                "  the code in `{code}` {then}; this explains the condition alone"
            )?;
        }
        writeln!(out)?;
        Ok(())
    }

    fn tree(&self, out: &mut impl Write, node: &Explanation, depth: usize) -> Result<()> {
        const SHOWN: usize = 6;
        let mark = if node.matched { "✓" } else { "✗" };
        let saw = match &node.saw {
            None => String::new(),
            Some(Saw::NoField) => "   (no such field)".to_owned(),
            Some(Saw::NoValue) => "   (no value)".to_owned(),
            Some(Saw::Fails(reason)) => format!("   (fails: {})", printable(reason)),
            Some(Saw::Value(value)) => {
                let mut short: String = value.chars().take(160).collect();
                if short.len() < value.len() {
                    short.push('…');
                }
                format!("   saw {}", printable(&format!("{short:?}")))
            }
        };
        writeln!(
            out,
            "{}{mark} {}{saw}",
            "  ".repeat(depth),
            printable(&node.text)
        )?;
        let mut left_out = 0;
        for (index, part) in node.parts.iter().enumerate() {
            if !self.all && !part.matched && part.parts.is_empty() && index >= SHOWN {
                left_out += 1;
                continue;
            }
            self.tree(out, part, depth + 1)?;
        }
        if left_out > 0 {
            writeln!(
                out,
                "{}✗ … and {left_out} more that are false (--all shows them)",
                "  ".repeat(depth + 1)
            )?;
        }
        Ok(())
    }
}
