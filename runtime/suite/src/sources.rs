//! The tests of sources: raw logs in, rows out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;
use yagura_core::{Fault, FaultKind, OrFault, Pack, Timestamp};
use yagura_lake::IngestReport;
use yagura_sources::{Mapping, SourceCase, SourceFile, rows_of, source_table};

use crate::compare::golden_differences;
use crate::outcome::Outcome;

/// Runs the cases of the pack's sources whose name contains `only`, and returns their outcomes, and what is odd about the sources, a
/// line each. With `update`, files of expected rows are written anew.
///
/// # Errors
/// When a file cannot be read or written. A source that is wrong is an outcome.
pub async fn run(pack: &Pack, only: &str, update: bool) -> Result<(Vec<Outcome>, Vec<String>)> {
    let mut outcomes = Vec::new();
    let mut warnings = Vec::new();
    for file in &pack.sources {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let (source, mapping) = match open(file, &text) {
            Ok(opened) => opened,
            Err(error) => {
                let name = file.file_stem().unwrap_or_default().to_string_lossy();
                outcomes.push(outcome(&name, "read the source", Err(error)));
                continue;
            }
        };
        let name = &source.source.name;
        if !name.contains(only) {
            continue;
        }
        if source.tests.is_empty() {
            warnings.push(format!(
                "source `{name}` has no [[test]]: keep some raw logs beside {} and the rows that must come of them",
                file.display()
            ));
        }
        for case in &source.tests {
            let of_case = run_case(file, &source, &mapping, case, update, &mut warnings).await;
            outcomes.push(match of_case {
                Ok(done) => done,
                Err(error) => outcome(name, &case.name, Err(error)),
            });
        }
    }
    Ok((outcomes, warnings))
}

fn open(file: &Path, text: &str) -> Result<(SourceFile, Arc<Mapping>)> {
    let source = SourceFile::read(file, text).or_fault()?;
    let mapping = Mapping::new(file, text, &source).or_fault()?;
    Ok((source, Arc::new(mapping)))
}

/// Says which files were not read to their end.
fn not_whole(report: &IngestReport) -> Vec<String> {
    let torn = report
        .incomplete
        .iter()
        .map(|(file, line)| format!("{file}, line {line}: the last event is not complete"));
    let behind = report.trailing.iter().map(|(file, bytes)| {
        format!("{file}: {bytes} bytes behind the compressed data were not read")
    });
    torn.chain(behind).collect()
}

fn outcome(source: &str, case: &str, result: Result<Vec<String>>) -> Outcome {
    let (lines, wrong) = match result {
        Ok(lines) => (lines, false),
        Err(error) => {
            let is_wrong = Fault::kind(error.chain()) == FaultKind::Rule;
            (vec![format!("{error:#}")], is_wrong)
        }
    };
    Outcome {
        rule: format!("source {source}"),
        name: case.to_owned(),
        passed: lines.is_empty(),
        message: lines.join("\n"),
        wrong_rule: wrong,
        fuel_per_event: None,
        updated: None,
    }
}

async fn run_case(
    file: &Path,
    source: &SourceFile,
    mapping: &Arc<Mapping>,
    case: &SourceCase,
    update: bool,
    warnings: &mut Vec<String>,
) -> Result<Outcome> {
    let name = &source.source.name;
    let dir = file.parent().unwrap_or(Path::new("."));
    let table = source_table(source, Arc::clone(mapping));
    let written = case.written.as_deref();
    let written = written.map(str::parse::<Timestamp>).transpose();
    let written = written.with_context(|| format!("`written` of the case `{}`", case.name))?;
    let (rows, report) = rows_of(source, table, &[dir.join(&case.raw)], written).await?;
    let mut lines = Vec::new();
    let failed = report.failed.iter().map(ToString::to_string);
    lines.extend(failed);
    lines.extend(not_whole(&report));
    if report.rejected != case.rejected {
        lines.push(format!(
            "{} of {} lines are not events, and `rejected` says {}; write `rejected = {}` in this [[test]] if that is right:",
            report.rejected,
            report.rejected + report.events,
            case.rejected,
            report.rejected
        ));
        lines.extend(report.counts.bad_lines.iter().cloned());
    }
    if rows.is_empty() && lines.is_empty() {
        lines.push("there is no event in it".to_owned());
    }
    let mut text = String::new();
    let mut problems: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        text.push_str(&Value::Object(mapping.own_members(row)).to_string());
        text.push('\n');
        for problem in mapping.problems(row) {
            *problems.entry(problem.message).or_default() += 1;
        }
    }
    for (problem, count) in problems {
        let rows = if count == 1 { "row" } else { "rows" };
        warnings.push(format!(
            "source `{name}`, case `{}`, {count} {rows}: {problem}",
            case.name
        ));
    }
    for (column, tally) in &report.counts.unfit {
        if let Some(first) = &tally.first {
            warnings.push(format!(
                "source `{name}`, case `{}`: {} not fit `{column}`; the first: {first}",
                case.name,
                match tally.count {
                    1 => "1 value does".to_owned(),
                    many => format!("{many} values do"),
                }
            ));
        }
    }
    let golden = dir.join(&case.rows);
    let expected = fs::read_to_string(&golden).ok();
    let mut updated = None;
    if update && expected.as_ref() != Some(&text) {
        fs::write(&golden, &text).with_context(|| format!("cannot write {}", golden.display()))?;
        updated = Some(golden);
    } else {
        lines.extend(golden_differences(&golden, expected.as_deref(), &text));
    }
    Ok(Outcome {
        updated,
        ..outcome(name, &case.name, Ok(lines))
    })
}
