//! Which cases a pack has: files below `tests/RULE/`, and `[[test]]` in the rules' own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use yagura_core::case::InlineTest;
use yagura_core::names::did_you_mean;
use yagura_core::rule::ReportMode;
use yagura_core::{Fault, Pack};

use crate::answers::is_folder_of_plugin;

/// What ends the name of a file of expected alerts.
const GOLDEN: &str = ".alerts.ndjson";

/// Forms of recorded events, as the ends of file names.
const FORMS: [&str; 6] = [
    ".ndjson",
    ".json",
    ".jsonl",
    ".ndjson.gz",
    ".ndjson.zst",
    ".parquet",
];

/// One case of one rule.
#[derive(Debug, Clone)]
pub struct Case {
    /// Id of the rule.
    pub rule: String,
    /// Its name, unique in the rule.
    pub name: String,
    /// Where it stands, for messages.
    pub place: PathBuf,
    /// The events as their source wrote them, or a Parquet file of the table.
    pub events: CaseEvents,
    /// What must come of them.
    pub expected: Expected,
}

/// The events of a case.
#[derive(Debug, Clone)]
pub enum CaseEvents {
    /// Of the rule's only table.
    File(PathBuf),
    /// Of the rule's only table, as lines of JSON.
    Inline(String),
    /// A folder with a file for each table.
    Folder(Vec<(String, PathBuf)>),
    /// For each table lines of JSON.
    InlineTables(Vec<(String, String)>),
}

/// What must come of a case.
#[derive(Debug, Clone)]
pub enum Expected {
    /// The alerts in this file, an object a line.
    Alerts(PathBuf),
    /// No alert.
    Nothing,
    /// What a `[[test]]` says.
    Inline(Box<InlineTest>),
}

impl Case {
    /// Says whether the rule must find something: a positive case.
    pub fn is_positive(&self) -> bool {
        match &self.expected {
            Expected::Alerts(_) => true,
            Expected::Nothing => false,
            Expected::Inline(test) => test.matches,
        }
    }
}

/// The cases of a pack, and what is odd about them.
#[derive(Debug, Default)]
pub struct Cases {
    /// In order of rule and name.
    pub cases: Vec<Case>,
    /// Rules without a positive or without a negative case, a line each.
    pub warnings: Vec<String>,
}

/// Collects the cases of a pack; `sigma` are the ids of its Sigma rules with their files.
///
/// # Errors
/// When a folder cannot be read, belongs to no rule, or holds a file that is no case's.
pub fn collect(pack: &Pack, sigma: &[(String, PathBuf)]) -> Result<Cases> {
    let mut cases = Vec::new();
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    // A Sigma rule's folder may also have the name of its file.
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for source in &pack.rules {
        let id = &source.rule.id;
        // A rule that is only a part of others is shown by their cases.
        if source.rule.alert.report != ReportMode::None {
            ids.insert(id);
        }
        folders.insert(id.clone(), id);
        for test in &source.tests {
            cases.push(Case {
                rule: id.clone(),
                name: test.name.clone(),
                place: source.file.clone(),
                events: match test.tables.is_empty() {
                    true => CaseEvents::Inline(test.ndjson()),
                    false => CaseEvents::InlineTables(
                        test.tables
                            .keys()
                            .map(|table| (table.clone(), test.ndjson_of(table)))
                            .collect(),
                    ),
                },
                expected: Expected::Inline(Box::new(test.clone())),
            });
        }
    }
    for (id, file) in sigma {
        ids.insert(id);
        folders.insert(id.clone(), id);
        if let Some(stem) = file.file_stem() {
            folders.insert(stem.to_string_lossy().into_owned(), id);
        }
    }
    let tests = pack.dir.join("tests");
    if tests.is_dir() {
        for folder in entries(&tests)? {
            let name = file_name(&folder);
            if !folder.is_dir() || name.starts_with(['.', '_']) {
                continue;
            }
            if !folders.contains_key(&name) && is_folder_of_plugin(pack, &name) {
                continue;
            }
            let Some(id) = folders.get(&name) else {
                let near = did_you_mean(&name, ids.iter().copied());
                return Err(Fault::rule(format!(
                    "{} is the folder of no rule: name it after a rule's id, or after a plugin's file without `.wasm`{near}",
                    folder.display()
                ))
                .into());
            };
            cases.extend(files_of(&folder, id)?);
        }
    }
    cases.sort_by(|a, b| (&a.rule, &a.name).cmp(&(&b.rule, &b.name)));
    if let Some(pair) = cases
        .windows(2)
        .find(|pair| (&pair[0].rule, &pair[0].name) == (&pair[1].rule, &pair[1].name))
    {
        return Err(Fault::rule(format!(
            "rule `{}` has two cases `{}`: in {} and {}",
            pair[0].rule,
            pair[0].name,
            pair[0].place.display(),
            pair[1].place.display()
        ))
        .into());
    }
    let warnings = warnings(&ids, &cases);
    Ok(Cases { cases, warnings })
}

fn files_of(folder: &Path, rule: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut goldens = BTreeMap::new();
    for file in entries(folder)? {
        let name = file_name(&file);
        if name.starts_with(['.', '_']) {
            continue;
        }
        if let Some(stem) = name.strip_suffix(GOLDEN) {
            goldens.insert(stem.to_owned(), file);
            continue;
        }
        if file.is_dir() {
            cases.push(case(
                rule,
                &name,
                folder,
                CaseEvents::Folder(tables_of(&file)?),
                &file,
            ));
            continue;
        }
        let stem = FORMS.iter().filter_map(|form| name.strip_suffix(form));
        let Some(stem) = stem.min_by_key(|stem| stem.len()) else {
            return Err(Fault::rule(format!(
                "{} is not a case: recorded events end in {}, the alerts expected of them in {GOLDEN}",
                file.display(),
                FORMS.join(", ")
            ))
            .into());
        };
        cases.push(case(
            rule,
            stem,
            folder,
            CaseEvents::File(file.clone()),
            &file,
        ));
    }
    for case in &cases {
        goldens.remove(&case.name);
    }
    if let Some((stem, golden)) = goldens.pop_first() {
        return Err(Fault::rule(format!(
            "{} is what is expected of {stem}, and there are no events of this name beside it ({})",
            golden.display(),
            FORMS.join(", ")
        ))
        .into());
    }
    Ok(cases)
}

fn case(rule: &str, name: &str, folder: &Path, events: CaseEvents, place: &Path) -> Case {
    let golden = folder.join(format!("{name}{GOLDEN}"));
    let is_negative = name.starts_with("negative") && !golden.exists();
    Case {
        rule: rule.to_owned(),
        name: name.to_owned(),
        place: place.to_owned(),
        events,
        expected: if is_negative {
            Expected::Nothing
        } else {
            Expected::Alerts(golden)
        },
    }
}

/// Returns the tables of a case that is a folder: each file is named after its table.
fn tables_of(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut tables = Vec::new();
    for file in entries(folder)? {
        let name = file_name(&file);
        if name.starts_with(['.', '_']) {
            continue;
        }
        let stem = FORMS.iter().filter_map(|form| name.strip_suffix(form));
        let Some(table) = stem.min_by_key(|stem| stem.len()) else {
            return Err(Fault::rule(format!(
                "{} is not a log of a table: its name must be TABLE and one of {}",
                file.display(),
                FORMS.join(", ")
            ))
            .into());
        };
        tables.push((table.to_owned(), file.clone()));
    }
    if tables.is_empty() {
        return Err(Fault::rule(format!(
            "{} is a case without events: put a file for each table there, TABLE.ndjson",
            folder.display()
        ))
        .into());
    }
    Ok(tables)
}

fn warnings(ids: &BTreeSet<&str>, cases: &[Case]) -> Vec<String> {
    let mut warnings = Vec::new();
    for id in ids {
        let of_rule = || cases.iter().filter(|case| case.rule == *id);
        let positive = of_rule().any(Case::is_positive);
        let negative = of_rule().any(|case| !case.is_positive());
        let lacking = match (positive, negative) {
            (true, true) => continue,
            (false, false) => "no case",
            (true, false) => "no negative case",
            (false, true) => "no positive case",
        };
        warnings.push(format!("rule `{id}` has {lacking}"));
    }
    warnings
}

/// Returns the entries of a directory in order of name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_, _>>()
    };
    let mut entries = read().with_context(|| format!("cannot read {}", dir.display()))?;
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(dir: &Path, tests: &str) -> Pack {
        let write = |name: &str, text: &str| {
            let file = dir.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write(
            "pack.toml",
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n",
        );
        let rule =
            "[rule]\nid = \"a-rule\"\ntitle = \"t\"\ntable = \"x\"\nwhere = \"a = 1\"\n".to_owned();
        write("rules/a.toml", &(rule + tests));
        Pack::read(dir).unwrap()
    }

    #[test]
    fn files_and_inline_cases_are_found_and_what_is_missing_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let inline = "[[test]]\nname = \"one\"\nmatches = true\nevent = { a = 1 }\n";
        let read = pack(dir.path(), inline);
        let folder = dir.path().join("tests/a-rule");
        let found = collect(&read, &[]).unwrap();
        assert_eq!(found.warnings, ["rule `a-rule` has no negative case"]);
        fs::create_dir_all(&folder).unwrap();
        for file in [
            "negative.ndjson",
            "positive.ndjson.gz",
            "positive.alerts.ndjson",
            ".hidden",
        ] {
            fs::write(folder.join(file), "").unwrap();
        }
        let found = collect(&read, &[]).unwrap();
        let names: Vec<(&str, bool)> = found
            .cases
            .iter()
            .map(|case| (case.name.as_str(), case.is_positive()))
            .collect();
        assert_eq!(
            names,
            [("negative", false), ("one", true), ("positive", true)]
        );
        assert!(found.warnings.is_empty());

        fs::write(folder.join("one.ndjson"), "").unwrap();
        let twice = collect(&read, &[]).unwrap_err().to_string();
        assert!(twice.contains("two cases `one`"), "{twice}");
        fs::rename(folder.join("one.ndjson"), folder.join("notes.txt")).unwrap();
        let foreign = collect(&read, &[]).unwrap_err().to_string();
        assert!(foreign.contains("notes.txt is not a case"), "{foreign}");
        fs::rename(&folder, dir.path().join("tests/a-rul")).unwrap();
        let lost = collect(&read, &[]).unwrap_err().to_string();
        assert!(lost.contains("did you mean `a-rule`?"), "{lost}");
    }

    #[test]
    fn the_folder_of_a_sigma_rule_may_have_its_files_name() {
        let dir = tempfile::tempdir().unwrap();
        let read = pack(dir.path(), "");
        let folder = dir.path().join("tests/whoami");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("positive.json"), "{}").unwrap();
        let sigma = [("0d6a-1".to_owned(), PathBuf::from("rules/whoami.yml"))];
        let found = collect(&read, &sigma).unwrap();
        assert_eq!(found.cases[0].rule, "0d6a-1");
        assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    }
}
