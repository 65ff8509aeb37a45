//! The tests of sources: raw logs in, rows out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use yagura_core::{Fault, FaultKind, Grants, Pack, Timestamp};
use yagura_host::Host;
use yagura_lake::IngestReport;
use yagura_lake::ingest::SourceTable;
use yagura_service::sources::{OpenSource, RECORDS_AT_ONCE};
use yagura_sources::{SourceCase, rows_of};

use crate::compare::golden_differences;
use crate::outcome::Outcome;

/// Runs the cases of the pack's sources whose name contains `only`, and returns their outcomes, and what is odd about the sources, a
/// line each. `host` loads the plugins of sources. With `update`, files of expected rows are written anew.
///
/// # Errors
/// When a file cannot be read or written. A source that is wrong is an outcome.
pub async fn run(
    host: &Host,
    pack: &Pack,
    only: &str,
    update: bool,
) -> Result<(Vec<Outcome>, Vec<String>)> {
    let mut outcomes = Vec::new();
    let mut warnings = Vec::new();
    for file in &pack.sources {
        let tested = match OpenSource::of_pack(file, &pack.dir)
            .and_then(|source| TestedSource::open(source, host, only))
        {
            Ok(Some(tested)) => tested,
            Ok(None) => continue,
            Err(error) => {
                let name = file.file_stem().unwrap_or_default().to_string_lossy();
                outcomes.push(outcome(&name, "read the source", Err(error)));
                continue;
            }
        };
        let source = &tested.source.source;
        let name = &source.source.name;
        if source.tests.is_empty() {
            warnings.push(format!(
                "source `{name}` has no [[test]]: keep some raw logs beside {} and the rows that must come of them",
                file.display()
            ));
        }
        for case in &source.tests {
            let of_case = run_case(&tested, case, update, &mut warnings).await;
            outcomes.push(match of_case {
                Ok(done) => done,
                Err(error) => outcome(name, &case.name, Err(error)),
            });
        }
    }
    Ok((outcomes, warnings))
}

/// A source with what makes its rows.
struct TestedSource {
    source: OpenSource,
    table: SourceTable,
    /// The same with a plugin that gets one record a call; nothing where the source has no plugin.
    one_by_one: Option<SourceTable>,
}

impl TestedSource {
    /// Opens a source and its plugin, unless its name lacks `only`.
    fn open(source: OpenSource, host: &Host, only: &str) -> Result<Option<Self>> {
        if !source.source.source.name.contains(only) {
            return Ok(None);
        }
        let grants = Grants::without_bounds();
        let table = |at_once| source.table(|| Ok(host.clone()), &grants, at_once);
        let has_plugin = source.source.source.plugin.is_some();
        Ok(Some(Self {
            table: table(RECORDS_AT_ONCE)?,
            one_by_one: has_plugin.then(|| table(1)).transpose()?,
            source,
        }))
    }
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

/// Says where rows differ that came of the same records, together and one at a time.
fn different(together: &[Map<String, Value>], alone: &[Map<String, Value>]) -> String {
    let text = |row: Option<&Map<String, Value>>| match row {
        Some(row) => Value::Object(row.clone()).to_string(),
        None => "no row".to_owned(),
    };
    let rows = (0..together.len().max(alone.len())).map(|at| (together.get(at), alone.get(at)));
    let first = rows.into_iter().find(|(one, other)| one != other);
    let place = first.map_or_else(
        || "other lines are rejected".to_owned(),
        |(one, other)| {
            format!(
                "the first row that differs is {} together, and {} alone",
                text(one),
                text(other)
            )
        },
    );
    format!(
        "the plugin makes other events of lines that come one at a time: {place}; a line must not depend on others, so keep nothing between them"
    )
}

/// Returns a source that does not say when a row was ingested: each run of a test would say another time.
fn untimed(table: &SourceTable) -> SourceTable {
    SourceTable {
        processed_time: None,
        ..table.clone()
    }
}

async fn run_case(
    tested: &TestedSource,
    case: &SourceCase,
    update: bool,
    warnings: &mut Vec<String>,
) -> Result<Outcome> {
    let OpenSource {
        file,
        source,
        mapping,
        ..
    } = &tested.source;
    let name = &source.source.name;
    let dir = file.parent().unwrap_or(Path::new("."));
    let raw = [dir.join(&case.raw)];
    let written = case.written.as_deref();
    let written = written.map(str::parse::<Timestamp>).transpose();
    let written = written.with_context(|| format!("`written` of the case `{}`", case.name))?;
    let table = untimed(&tested.table);
    let (rows, report) = rows_of(source, table, &raw, written).await?;
    let mut lines = Vec::new();
    if let Some(table) = &tested.one_by_one {
        let (alone, of_alone) = rows_of(source, untimed(table), &raw, written).await?;
        if alone != rows || of_alone.rejected != report.rejected {
            lines.push(different(&rows, &alone));
        }
    }
    if let Some(first) = &report.counts.without_event.first {
        warnings.push(format!(
            "source `{name}`, case `{}`: the plugin finds no event in {} of the lines; the first: {first}",
            case.name, report.counts.without_event.count
        ));
    }
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
