//! `yagura test`: recorded events against the alerts that are expected of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use yagura_authoring::build;
use yagura_authoring::schema;
use yagura_host::Meter;
use yagura_service::answering::{Network, read_policy};
use yagura_service::config::Config;
use yagura_service::{admission, packs};
use yagura_suite::answers::{self, AnswerOptions};
use yagura_suite::{Outcome, Suite, policy, sources};

use super::block_on;
use crate::exit::{FAILED, RULE};
use crate::output::{OutputFormat, number, printable};

/// Test packs and policies: recorded events must give the expected alerts
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directories of packs
    #[arg(required_unless_present = "policy", value_name = "PACK")]
    packs: Vec<PathBuf>,
    /// Test a policy: what becomes of the alerts of its [[test]]s
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Let enrichers and notifiers ask real servers, with the secrets and grants of this configuration, and keep the answers
    #[arg(long, value_name = "CONFIG")]
    record: Option<PathBuf>,
    /// Test only rules, sources, or plugins that answer alerts, whose id contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    rule: String,
    /// Write the files of expected alerts anew; read them before you commit them
    #[arg(long)]
    update: bool,
    /// Test the plugins as they are; without it those with a `source` are built first
    #[arg(long)]
    no_build: bool,
    /// Field map for Sigma rules, before those that are part of Yagura; may be given more than once
    #[arg(long, value_name = "FILE")]
    field_map: Vec<PathBuf>,
    /// Also write a report for CI in JUnit's form
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How to print the results
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
A case is a [[test]] in the rule's file, or a file of events in tests/RULE/: NAME.ndjson (as the source writes events, also
.json, .gz, .zst) or NAME.parquet, with the expected alerts in NAME.alerts.ndjson beside it. Of a rule that joins several tables
it is a folder NAME with such a file for each, TABLE.ndjson. A case whose name begins with `negative` and that has no file of
alerts expects none.

A case of an enricher, a reviewer or a notifier is tests/PLUGIN/NAME.json: the alert or the report, the answers of servers,
searches and lookup tables, and what the plugin must say. Nothing leaves the machine, but with --record.

A case of a source is a [[test]] in sources/NAME.toml: a file of raw logs, and the rows that must come of them.

Tests need no network, and give the same result everywhere: plugins have no clock, and fuel (about a Wasm instruction each)
stands for time. A rule with `fuel_per_event` fails when its plugin uses more. Exit code 0 if all passed, 1 if not or if there
is no case, 2 if a rule or pack is wrong.";

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let mut results = Vec::new();
    for dir in &arguments.packs {
        match build_and_test(arguments, dir) {
            Ok(result) => results.push(result),
            Err(error) => {
                // CI reads the reports, whatever it was that failed.
                if arguments.format == OutputFormat::Json || arguments.junit.is_some() {
                    results.push(PackResult::broken(dir, &error));
                }
                report(arguments, &results)?;
                return Err(error);
            }
        }
    }
    if let Some(file) = &arguments.policy {
        results.push(block_on(test_policy(file))?);
    }
    report(arguments, &results)?;
    let cases = || results.iter().flat_map(|result| &result.outcomes);
    if cases().next().is_none() {
        let mut err = crate::output::Shown(io::stderr().lock());
        writeln!(
            err,
            "error: there is nothing to test: {}",
            nothing(arguments)
        )?;
        return Ok(FAILED);
    }
    if cases().any(|outcome| outcome.wrong_rule) {
        return Ok(RULE);
    }
    Ok(if cases().all(|outcome| outcome.passed) {
        0
    } else {
        FAILED
    })
}

fn nothing(arguments: &Arguments) -> String {
    if arguments.rule.is_empty() {
        "write a [[test]] in a rule's file, record events in tests/RULE/NAME.ndjson, or write a case of an enricher, reviewer or notifier in tests/PLUGIN/NAME.json".to_owned()
    } else {
        format!("no rule whose id contains `{}` has a case", arguments.rule)
    }
}

fn build_and_test(arguments: &Arguments, dir: &Path) -> Result<PackResult> {
    if dir.is_file() {
        if arguments.update || arguments.record.is_some() {
            bail!(
                "{} is an archive, and its tests are not written: write those of its directory",
                dir.display()
            );
        }
        let mut unpacked = Vec::new();
        let directory = admission::directory(dir, &mut unpacked)?;
        let result = block_on(test(arguments, &directory))?;
        return Ok(PackResult {
            dir: dir.to_owned(),
            ..result
        });
    }
    schema::refresh(dir);
    if !arguments.no_build && dir.join("pack.toml").is_file() && build::has_sources(dir)? {
        build::build(dir)?;
    }
    block_on(test(arguments, dir))
}

fn report(arguments: &Arguments, results: &[PackResult]) -> Result<()> {
    let mut out = crate::output::Shown(io::stdout().lock());
    for result in results {
        match arguments.format {
            OutputFormat::Json => result.print_json(&mut out)?,
            OutputFormat::Text => result.print_text(&mut out)?,
        }
    }
    // A pack that cannot be read has no cases to sum up.
    if arguments.format == OutputFormat::Text && !results.is_empty() {
        summary(&mut out, results)?;
    }
    if let Some(file) = &arguments.junit {
        fs::write(file, junit(results)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

async fn test(arguments: &Arguments, dir: &Path) -> Result<PackResult> {
    let suite = Suite::read(dir, &arguments.field_map, &arguments.rule).await?;
    let mut outcomes = suite.run(arguments.update).await?;
    let network = match &arguments.record {
        Some(file) => Some(Network::open(&Config::read(file)?)?),
        None => None,
    };
    let options = AnswerOptions {
        update: arguments.update,
        record: network.as_ref(),
    };
    let host = packs::host(Meter::Off)?;
    let (of_sources, odd) =
        sources::run(&host, &suite.pack, &arguments.rule, arguments.update).await?;
    outcomes.extend(of_sources);
    outcomes.extend(answers::run(&host, &suite.pack, &arguments.rule, &options).await?);
    Ok(PackResult {
        name: suite.pack.manifest.pack.name.clone(),
        dir: dir.to_owned(),
        outcomes,
        warnings: suite.cases.warnings.into_iter().chain(odd).collect(),
    })
}

/// Runs the cases of a policy.
async fn test_policy(file: &Path) -> Result<PackResult> {
    let (read, compiled) = read_policy(file, None, &mut io::stderr().lock())?;
    let dir = file.parent().unwrap_or(Path::new("."));
    Ok(PackResult {
        name: file.display().to_string(),
        dir: file.to_owned(),
        outcomes: policy::run(&read.policy.test, &compiled, dir).await?,
        warnings: Vec::new(),
    })
}

/// What came of the tests of one pack.
struct PackResult {
    name: String,
    dir: PathBuf,
    outcomes: Vec<Outcome>,
    warnings: Vec<String>,
}

/// A line of `--format json`.
#[derive(Serialize)]
struct Line<'a> {
    pack: &'a str,
    /// The pack's directory, as it was given.
    path: &'a Path,
    rule: &'a str,
    name: &'a str,
    passed: bool,
    message: &'a str,
    /// Absent where no plugin was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel_per_event: Option<u64>,
}

impl PackResult {
    /// What came of a pack that could not be tested at all.
    fn broken(dir: &Path, error: &anyhow::Error) -> Self {
        Self {
            name: dir.display().to_string(),
            dir: dir.to_owned(),
            outcomes: vec![Outcome {
                rule: "(pack)".to_owned(),
                name: "build and load".to_owned(),
                passed: false,
                message: format!("{error:#}"),
                wrong_rule: true,
                fuel_per_event: None,
                updated: None,
            }],
            warnings: Vec::new(),
        }
    }

    fn failed(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| !outcome.passed)
            .count()
    }

    fn print_json(&self, out: &mut impl Write) -> Result<()> {
        for outcome in &self.outcomes {
            let line = Line {
                pack: &self.name,
                path: &self.dir,
                rule: &outcome.rule,
                name: &outcome.name,
                passed: outcome.passed,
                message: &outcome.message,
                fuel_per_event: outcome.fuel_per_event,
            };
            serde_json::to_writer(&mut *out, &line)?;
            writeln!(out)?;
        }
        print_warnings(&self.warnings)
    }

    fn print_text(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "{}", self.name)?;
        let mut by_rule: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &self.outcomes {
            by_rule.entry(&outcome.rule).or_default().push(outcome);
        }
        for (rule, outcomes) in by_rule {
            let passed: Vec<String> = outcomes
                .iter()
                .filter(|outcome| outcome.passed)
                .map(|outcome| printable(&outcome.name))
                .collect();
            let fuel = outcomes.iter().filter_map(|outcome| outcome.fuel_per_event);
            let fuel = fuel.max().map_or_else(String::new, |fuel| {
                format!(" (at most {} fuel an event)", number(fuel))
            });
            if !passed.is_empty() {
                writeln!(out, "  ok    {rule}: {}{fuel}", passed.join(", "))?;
            }
            // What is wrong with a rule itself is said once, not for each of its cases.
            let mut failed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for outcome in outcomes.iter().filter(|outcome| !outcome.passed) {
                let names = failed.entry(&outcome.message).or_default();
                names.push(printable(&outcome.name));
            }
            for (message, names) in failed {
                writeln!(out, "  FAIL  {rule}: {}", names.join(", "))?;
                for line in message.lines() {
                    writeln!(out, "        {}", printable(line))?;
                }
            }
            for file in outcomes
                .iter()
                .filter_map(|outcome| outcome.updated.as_ref())
            {
                writeln!(out, "        wrote {}", file.display())?;
            }
        }
        out.flush()?;
        print_warnings(&self.warnings)
    }
}

fn print_warnings(warnings: &[String]) -> Result<()> {
    let mut err = crate::output::Shown(io::stderr().lock());
    for warning in warnings {
        writeln!(err, "warning: {warning}")?;
    }
    Ok(())
}

fn summary(out: &mut impl Write, results: &[PackResult]) -> Result<()> {
    let cases: usize = results.iter().map(|result| result.outcomes.len()).sum();
    let failed: usize = results.iter().map(PackResult::failed).sum();
    let warnings: usize = results.iter().map(|result| result.warnings.len()).sum();
    let count = |count: usize, one: &str| {
        let many = if count == 1 { "" } else { "s" };
        format!("{count} {one}{many}")
    };
    write!(
        out,
        "{}: {} passed, {failed} failed",
        count(cases, "case"),
        cases - failed
    )?;
    if warnings > 0 {
        write!(out, "; {}", count(warnings, "warning"))?;
    }
    writeln!(out)?;
    Ok(())
}

fn junit(results: &[PackResult]) -> Result<String> {
    let mut report = Report::new("yagura test");
    for result in results {
        let mut suite = TestSuite::new(result.name.as_str());
        for outcome in &result.outcomes {
            let status = if outcome.passed {
                TestCaseStatus::success()
            } else {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let first = outcome.message.lines().next().unwrap_or_default();
                status.set_message(first.to_owned());
                status.set_description(outcome.message.clone());
                status
            };
            let mut case = TestCase::new(outcome.name.as_str(), status);
            case.set_classname(format!("{}.{}", result.name, outcome.rule));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string().context("cannot write the JUnit report")
}
