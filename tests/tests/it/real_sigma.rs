//! SigmaHQ's real rules over real Windows events, beside the checkout: every rule runs or says why not, and what
//! matches is what `rsigma-eval` matches, rule by rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rsigma_eval::{CompiledRule, JsonEvent, compile_rule, evaluate_rule};
use serde_json::Value;
use yagura_core::diagnostic::Code;
use yagura_engine::{RunOptions, SigmaInput, correlations};
use yagura_lake::Location;
use yagura_lake::ingest::{IngestOptions, ingest};
use yagura_rules::pattern_cost;
use yagura_rules::sigma::{FieldMap, Load, Placeholders, Values, load_dir, translate_bare};
use yagura_tests::fixture::Fixture;
use yagura_tests::real_data;

/// Unpacks the rules that lie beside the checkout.
pub(crate) fn rules() -> (tempfile::TempDir, Load) {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(real_data::folder().join("sigma-rules.tar.gz"))
        .arg("-C")
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(unpacked.success());
    let load = load_dir(dir.path()).unwrap();
    (dir, load)
}

pub(crate) fn events(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(real_data::folder().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".ndjson.gz"))
        .collect();
    files.sort();
    files
}

/// An event and the rules that matched it.
pub(crate) struct Matched {
    pub(crate) raw: String,
    /// The events that an old rule counts are named as what is left of its condition.
    pub(crate) rules: BTreeSet<String>,
}

/// Ingests files, and returns their events with what the rules match, and the ids of the rules that ran.
pub(crate) async fn matched(
    load: &Load,
    map: &FieldMap,
    files: &[PathBuf],
) -> (Vec<Matched>, BTreeSet<String>) {
    let lake = tempfile::tempdir().unwrap();
    let to = Location::parse(lake.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    let report = ingest(IngestOptions::new("windows", to), files, |_| {})
        .await
        .unwrap();
    assert_eq!((report.rejected, report.without_time), (0, 0));
    let mut fixture = Fixture::over("windows", lake.path().join("windows").to_str().unwrap());
    fixture.input.sigma = SigmaInput {
        load: load.clone(),
        maps: vec![map.clone()],
    };
    let outcome = yagura_engine::run(fixture.input, &RunOptions::default(), |_, _| {})
        .await
        .unwrap();
    let mut rules: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
    for finding in &outcome.findings {
        for event in &finding.events {
            let id = &outcome.rules[finding.rule].id;
            rules
                .entry((event.object.to_string(), event.row))
                .or_default()
                .insert(id.strip_suffix("-events").unwrap_or(id).to_owned());
        }
    }
    let table = &outcome.tables[0].table;
    let mut matched = Vec::new();
    for file in &table.files {
        let name = table.location.name_of(&file.meta.location);
        let path = Path::new("/").join(file.meta.location.as_ref());
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
        let mut row = 0;
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let raw = cast(batch.column_by_name("raw").unwrap(), &DataType::Utf8).unwrap();
            for raw in raw.as_string::<i32>() {
                matched.push(Matched {
                    raw: raw.unwrap().to_owned(),
                    rules: rules.remove(&(name.clone(), row)).unwrap_or_default(),
                });
                row += 1;
            }
        }
    }
    assert!(rules.is_empty(), "every finding is of a row that is there");
    let ran = outcome.rules.iter().map(|rule| rule.id.clone()).collect();
    (matched, ran)
}

/// Gives a flat Windows event its fields under all names that rules have for them.
pub(crate) fn add_other_names(event: &mut Value) {
    for (sigma, own) in [
        ("ComputerName", "Computer"),
        ("Hostname", "Computer"),
        ("Provider_Name", "SourceName"),
        ("Source", "SourceName"),
    ] {
        if event.get(sigma).is_none() && event.get(own).is_some() {
            event[sigma] = event[own].clone();
        }
    }
}

/// One of the oracle's rules: where its events come from, and what it asks of them.
pub(crate) struct Oracle {
    pub(crate) id: String,
    compiled: CompiledRule,
    /// For each log source that it is about: what its events have, and their fields' other names.
    sources: Vec<OracleSource>,
}

/// What events have, and their fields' other names.
type OracleSource = (Vec<(String, Values)>, Vec<(String, Vec<String>)>);

fn has(event: &Value, field: &str, values: &Values) -> bool {
    let found = &event[field];
    match values {
        Values::Number(number) => {
            let of_text = || found.as_str()?.parse().ok();
            found.as_i64().or_else(of_text) == Some(*number)
        }
        // Tools write names of channels as they like.
        Values::Text(text) => found
            .as_str()
            .is_some_and(|found| found.to_lowercase() == text.to_lowercase()),
        Values::Several(values) => values.iter().any(|value| has(event, field, value)),
    }
}

impl Oracle {
    pub(crate) fn matches(&self, event: &Value) -> bool {
        self.sources.iter().any(|(when, renamed)| {
            if !when.iter().all(|(field, values)| has(event, field, values)) {
                return false;
            }
            if renamed.is_empty() {
                return evaluate_rule(&self.compiled, &JsonEvent::borrow(event)).is_some();
            }
            let mut event = event.clone();
            let before = event.clone();
            for (sigma, own) in renamed {
                if let Some(value) = own.iter().find_map(|own| before.get(own)) {
                    event[sigma] = value.clone();
                }
            }
            evaluate_rule(&self.compiled, &JsonEvent::borrow(&event)).is_some()
        })
    }
}

/// Returns the oracle of the rules that ran, for events that are flat.
pub(crate) fn oracle(load: &Load, windows: &FieldMap, ran: &BTreeSet<String>) -> Vec<Oracle> {
    load.rules
        .iter()
        .filter_map(|source| {
            let id = source.rule.id.clone()?;
            ran.contains(id.as_str()).then_some(())?;
            let names = |name: &yagura_rules::sigma::Names| match name {
                yagura_rules::sigma::Names::One(name) => vec![name.clone()],
                yagura_rules::sigma::Names::Several(names) => names.clone(),
            };
            Some(Oracle {
                compiled: compile_rule(&source.rule).ok()?,
                sources: windows
                    .sources_of(&source.rule.logsource)
                    .into_iter()
                    .map(|of| {
                        let when = of.when.iter().map(|(field, values)| {
                            let field = if field == "Provider_Name" {
                                "SourceName"
                            } else {
                                field
                            };
                            (field.to_owned(), values.clone())
                        });
                        let renamed = of
                            .fields
                            .iter()
                            .map(|(sigma, own)| (sigma.clone(), names(own)));
                        (when.collect(), renamed.collect())
                    })
                    .collect(),
                id,
            })
        })
        .collect()
}

/// Of the rules whose log source has a field map, those that run; the others say why.
#[test]
#[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
fn every_real_rule_is_understood_or_says_why_not() {
    let (_dir, load) = rules();
    let maps = FieldMap::shipped().unwrap();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in &load.problems {
        let reason = if problem.message.contains("aggregates with") {
            "an aggregate of old Sigma"
        } else if problem.code == Code::SigmaCondition {
            "a condition of no Sigma"
        } else if problem.message.contains("is also the id") {
            "an id that another rule has"
        } else {
            panic!("{problem}");
        };
        assert!(problem.span.is_some(), "{problem}");
        *reasons.entry(reason).or_default() += 1;
    }
    let untimed: BTreeSet<String> = correlations(&load)
        .not_run
        .into_iter()
        .map(|not_run| {
            assert!(not_run.reason.contains("no `timeframe`"), "{not_run:?}");
            not_run.rule
        })
        .collect();
    let (mut runs, mut without_map) = (0, 0);
    for source in &load.rules {
        if maps
            .iter()
            .all(|map| map.sources_of(&source.rule.logsource).is_empty())
        {
            without_map += 1;
            continue;
        }
        match translate_bare(source, &[], &Placeholders::new()) {
            Ok(_) if untimed.contains(&source.id()) => {
                *reasons.entry("a count over no time").or_default() += 1;
            }
            Ok(_) => runs += 1,
            Err(error) => {
                assert!(
                    error.message.contains("placeholder"),
                    "{}: {error:?}",
                    source.rule.title
                );
                assert!(error.in_file(&source.file).line().is_some());
                *reasons
                    .entry("a place-holder that the operator has to fill")
                    .or_default() += 1;
            }
        }
    }
    let with_map: usize = runs + reasons.values().sum::<usize>();
    println!(
        "{runs} of {with_map} rules with a field map run, {without_map} have none; {reasons:?}"
    );
    // The rest: 0.6 % need other aggregates, count over no time or are broken, 0.7 % need values that only an operator has.
    assert!(
        runs * 1_000 >= with_map * 987,
        "{runs} of {with_map}: {reasons:?}"
    );
    assert!(without_map < 80, "{without_map}");
}

#[test]
#[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
fn patterns_of_real_rules_cost_far_less_than_they_may() {
    let (_dir, load) = rules();
    assert!(load.rules.len() > 1_900, "{}", load.rules.len());
    let (mut total, mut most) = (0, (0, String::new()));
    for source in &load.rules {
        let Ok(predicate) = translate_bare(source, &[], &Placeholders::new()) else {
            continue;
        };
        let cost = pattern_cost::of_predicate(&predicate, u64::MAX);
        total += cost.total;
        most = most.max((cost.total, source.rule.title.clone()));
    }
    println!("all {total}; the most {most:?}");
    // A rule over two log sources has its patterns twice.
    assert!(4 * most.0 <= pattern_cost::RULE, "{most:?}");
    assert!(2 * total <= pattern_cost::TABLE, "{total}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real logs (../shared/data or YAGURA_TEST_DATA); `cargo xtask test-real` runs it"]
async fn matches_over_real_windows_events_are_those_of_rsigma() {
    let (_dir, load) = rules();
    let maps = FieldMap::shipped().unwrap();
    let windows = maps.iter().find(|map| map.name == "windows").unwrap();

    // Ours: the whole way, from files to findings.
    let (ours, ran) = matched(&load, windows, &events("windows-mordor")).await;
    let found: usize = ours.iter().map(|event| event.rules.len()).sum();
    assert!(found > 1_000, "{found} findings");

    // Theirs: event by event from its text.
    let oracle = oracle(&load, windows, &ran);
    assert!(oracle.len() > 1_400, "{} rules to compare", oracle.len());
    let mut differences: BTreeMap<String, (usize, usize, String)> = BTreeMap::new();
    let mut matches = 0;
    let mut seen = 0;
    for (number, Matched { raw, rules: mine }) in ours.into_iter().enumerate() {
        // One event in four, and every one that anything matched: all of them take two minutes.
        if number % 4 != 0 && mine.is_empty() && std::env::var_os("YAGURA_ALL_EVENTS").is_none() {
            continue;
        }
        seen += 1;
        let mut event: Value = serde_json::from_str(&raw).unwrap();
        if event.get("Computer").is_none() && event.get("Hostname").is_some() {
            event["Computer"] = event["Hostname"].clone();
        }
        add_other_names(&mut event);
        for rule in &oracle {
            let theirs = rule.matches(&event);
            matches += usize::from(theirs);
            if theirs != mine.contains(&rule.id) {
                let entry = differences
                    .entry(rule.id.clone())
                    .or_insert_with(|| (0, 0, raw.clone()));
                if theirs { entry.1 += 1 } else { entry.0 += 1 }
            }
        }
    }
    println!(
        "{} rules over {seen} events, {matches} matches",
        oracle.len()
    );
    let unexplained: Vec<String> = differences
        .iter()
        .map(|(rule, (only_ours, only_theirs, example))| {
            format!(
                "{rule}: {only_ours} only ours, {only_theirs} only theirs, as {}",
                &example[..example.len().min(1_500)]
            )
        })
        .collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
}
