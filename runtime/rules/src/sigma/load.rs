//! Sigma files from disk: rules, filters and correlations, and what is wrong with any of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rsigma_parser::ast::FilterRuleTarget;
use rsigma_parser::{CorrelationRule, FilterRule, SigmaRule, parse_sigma_yaml};

/// A rule and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaSource {
    /// The rule.
    pub rule: SigmaRule,
    /// Its file.
    pub file: PathBuf,
    /// How many events it wants, if its condition counts them.
    pub count: Option<Count>,
}

/// What `| count() by FIELD > N`, an aggregate of old Sigma, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The field that the events share; absent counts all.
    pub by: Option<String>,
    /// The least number of events.
    pub at_least: u64,
    /// The time they happen in, as the rule writes it.
    pub within: Option<String>,
}

/// A filter and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaFilter {
    /// The filter.
    pub rule: FilterRule,
    /// Its file.
    pub file: PathBuf,
}

/// A correlation and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaCorrelation {
    /// The correlation.
    pub rule: CorrelationRule,
    /// Its file.
    pub file: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line, from one, where it is known.
    pub line: Option<usize>,
    /// Dotted key, where it is known.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match &self.key {
            Some(key) => write!(f, ": `{key}` {}", self.message),
            None => write!(f, ": {}", self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Detection rules, in order of file.
    pub rules: Vec<SigmaSource>,
    /// Filters.
    pub filters: Vec<SigmaFilter>,
    /// Correlations.
    pub correlations: Vec<SigmaCorrelation>,
    /// Files that cannot be used.
    pub problems: Vec<Problem>,
}

impl Load {
    /// Returns the filters that are for a rule.
    pub fn filters_of(&self, rule: &SigmaRule) -> Vec<&SigmaFilter> {
        self.filters
            .iter()
            .filter(|filter| {
                let is_named = match &filter.rule.rules {
                    FilterRuleTarget::Any => true,
                    FilterRuleTarget::Specific(names) => names.iter().any(|name| {
                        [
                            rule.id.as_deref(),
                            rule.name.as_deref(),
                            Some(rule.title.as_str()),
                        ]
                        .contains(&Some(name))
                    }),
                };
                let covers = |filter: &Option<String>, rule: &Option<String>| match (filter, rule) {
                    (None, _) => true,
                    (Some(filter), Some(rule)) => filter.eq_ignore_ascii_case(rule),
                    (Some(_), None) => false,
                };
                is_named
                    && filter.rule.logsource.as_ref().is_none_or(|source| {
                        covers(&source.product, &rule.logsource.product)
                            && covers(&source.category, &rule.logsource.category)
                            && covers(&source.service, &rule.logsource.service)
                    })
            })
            .collect()
    }

    /// Adds what was read elsewhere. Of two rules with one id the first stays, and the other is a problem: they would be
    /// one rule to everyone who reads their alerts.
    pub fn append(&mut self, other: Self) {
        let mut ids: HashMap<String, PathBuf> = self
            .rules
            .iter()
            .filter_map(|source| Some((source.rule.id.clone()?, source.file.clone())))
            .collect();
        for source in other.rules {
            match source
                .rule
                .id
                .as_ref()
                .and_then(|id| Some((id, ids.get(id)?)))
            {
                Some((id, first)) => self.problems.push(Problem {
                    line: line_of(&fs::read_to_string(&source.file).unwrap_or_default(), id),
                    key: Some("id".into()),
                    message: format!("`{id}` is also the id of the rule in {}", first.display()),
                    file: source.file,
                }),
                None => {
                    if let Some(id) = &source.rule.id {
                        ids.insert(id.clone(), source.file.clone());
                    }
                    self.rules.push(source);
                }
            }
        }
        self.filters.extend(other.filters);
        self.correlations.extend(other.correlations);
        self.problems.extend(other.problems);
    }
}

/// Reads all `.yml` and `.yaml` files below a directory, or one file.
///
/// # Errors
/// The directory that cannot be listed. A file that cannot be read is one of the problems.
pub fn load_dir(path: &Path) -> std::io::Result<Load> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, &mut files)?;
    } else {
        fs::metadata(path)?;
        files.push(path.to_owned());
    }
    files.sort();
    let mut all = Load::default();
    for file in files {
        let load = load_file(&file);
        all.rules.extend(load.rules);
        all.filters.extend(load.filters);
        all.correlations.extend(load.correlations);
        all.problems.extend(load.problems);
    }
    let mut load = Load::default();
    load.append(all);
    Ok(load)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|ending| ending == "yml" || ending == "yaml")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads one file, which may hold several documents.
pub fn load_file(file: &Path) -> Load {
    let mut load = Load::default();
    let problem = |line, message: String| Problem {
        file: file.to_owned(),
        line,
        key: None,
        message,
    };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            load.problems
                .push(problem(None, format!("cannot be read: {error}")));
            return load;
        }
    };
    let (text, count) = match without_count(&text) {
        Some((text, count)) => (text, Some(count)),
        None => (text, None),
    };
    match parse_sigma_yaml(&text) {
        Err(error) => load
            .problems
            .push(parse_problem(file, &text, &error.to_string())),
        Ok(read) => {
            load.problems.extend(
                read.errors
                    .iter()
                    .map(|error| parse_problem(file, &text, error)),
            );
            let file = || file.to_owned();
            load.rules
                .extend(read.rules.into_iter().map(|rule| SigmaSource {
                    count: count.clone().map(|count| Count {
                        within: rule.detection.timeframe.clone(),
                        ..count
                    }),
                    rule,
                    file: file(),
                }));
            load.filters.extend(
                read.filters
                    .into_iter()
                    .map(|rule| SigmaFilter { rule, file: file() }),
            );
            load.correlations.extend(
                read.correlations
                    .into_iter()
                    .map(|rule| SigmaCorrelation { rule, file: file() }),
            );
            if load.rules.is_empty()
                && load.filters.is_empty()
                && load.correlations.is_empty()
                && load.problems.is_empty()
            {
                load.problems.push(problem(
                    None,
                    "holds no Sigma rule: a rule has `title`, `logsource` and `detection`".into(),
                ));
            }
        }
    }
    load
}

/// Takes the count of events off the condition of a rule, if that is its only aggregate and it is alone in its file.
fn without_count(text: &str) -> Option<(String, Count)> {
    let (at, line) = text
        .lines()
        .enumerate()
        .find(|(_, line)| line.trim_start().starts_with("condition:") && line.contains('|'))?;
    let (condition, aggregate) = line.split_once('|')?;
    let words: Vec<&str> = aggregate.split_whitespace().collect();
    let (by, operator, number) = match words.as_slice() {
        ["count()", operator, number] => (None, *operator, *number),
        ["count()", "by", field, operator, number] => {
            (Some((*field).to_owned()), *operator, *number)
        }
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let at_least = match operator {
        ">" => number.checked_add(1)?,
        ">=" => number,
        _ => return None,
    };
    if text.lines().skip(1).any(|line| line.trim_end() == "---") {
        return None;
    }
    let lines = text.lines().enumerate();
    let lines = lines.map(|(number, line)| if number == at { condition } else { line });
    let count = Count {
        by,
        at_least,
        within: None,
    };
    Some((lines.collect::<Vec<_>>().join("\n"), count))
}

/// Gives a parser's message its place: the line that it names, or the line of the word that it quotes.
fn parse_problem(file: &Path, text: &str, message: &str) -> Problem {
    let line_named = || {
        let (_, after) = message.split_once(" line ")?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    };
    let quoted = || {
        let from = message.find(['\'', '`'])? + 1;
        let to = from + message[from..].find(['\'', '`'])?;
        line_of(text, &message[from..to])
    };
    let is_condition = message.starts_with("Condition parse error");
    let condition = || line_of(text, "condition:");
    let aggregates = is_condition
        && text
            .lines()
            .any(|line| line.contains("condition:") && line.contains('|'));
    let message = if aggregates {
        "aggregates with `|`, which Sigma replaced by correlation rules: write one of type event_count or value_count".to_owned()
    } else {
        let first = message
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>();
        first.join(" ")
    };
    let line = if is_condition {
        condition()
    } else {
        line_named().or_else(quoted)
    };
    Problem {
        file: file.to_owned(),
        line,
        key: is_condition.then(|| "detection.condition".to_owned()),
        message,
    }
}

/// Returns the first line, from one, that holds `word`.
pub(crate) fn line_of(text: &str, word: &str) -> Option<usize> {
    (!word.is_empty())
        .then(|| text.lines().position(|line| line.contains(word)))
        .flatten()
        .map(|line| line + 1)
}

impl super::LowerError {
    /// Returns the error with its file and line.
    pub fn in_file(&self, file: &Path) -> Problem {
        let text = fs::read_to_string(file).unwrap_or_default();
        let last = self
            .key
            .split_once('.')
            .map_or(self.key.as_str(), |(_, item)| item);
        let line = line_of(&text, &format!("{last}:"));
        Problem {
            file: file.to_owned(),
            line: line.or_else(|| line_of(&text, last)),
            key: Some(format!("detection.{}", self.key)),
            message: self.message.clone(),
        }
    }
}
