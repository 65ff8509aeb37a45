//! Sigma files from disk: rules, filters and correlations, and what is wrong with any of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use rsigma_parser::ast::FilterRuleTarget;
use rsigma_parser::{
    ConditionExpr, CorrelationCondition, CorrelationRule, FilterRule, SigmaRule, parse_sigma_yaml,
};
use yagura_core::correlation::Condition;

/// A rule and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaSource {
    /// The rule.
    pub rule: SigmaRule,
    /// Its file.
    pub file: PathBuf,
    /// What it counts, if its condition does.
    pub count: Option<Count>,
}

impl SigmaSource {
    /// Returns the rule's id in a run: its own, or its title as one.
    pub fn id(&self) -> String {
        run_id(self.rule.id.as_deref(), &self.rule.title)
    }

    /// Returns the id of what judges single events: the rule's, or that of the events that it counts.
    pub fn events_id(&self) -> String {
        let id = self.id();
        match self.count {
            Some(_) => format!("{id}-events"),
            None => id,
        }
    }
}

/// Returns an id in a run's form: Sigma's id, or the title as one.
pub(super) fn run_id(id: Option<&str>, title: &str) -> String {
    let text = id.unwrap_or(title);
    let mut id = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') {
            id.push(letter.to_ascii_lowercase());
        } else if !id.ends_with('-') {
            id.push('-');
        }
    }
    id.trim_matches('-').to_owned()
}

/// What `| count(FIELD) by FIELD > N`, an aggregate of old Sigma, asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The field whose different values count; absent counts events.
    pub field: Option<String>,
    /// The fields that the events share; none counts all.
    pub by: Vec<String>,
    /// What the number must be.
    pub condition: Condition,
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
        let own = self.rules.iter().map(|of| (&of.rule.id, &of.file));
        let joined = self.correlations.iter().map(|of| (&of.rule.id, &of.file));
        let mut ids: HashMap<String, PathBuf> = own
            .chain(joined)
            .filter_map(|(id, file)| Some((id.clone()?, file.clone())))
            .collect();
        let mut problems = Vec::new();
        let mut is_new = |id: &Option<String>, file: &Path| {
            let Some(id) = id else {
                return true;
            };
            match ids.entry(id.clone()) {
                Entry::Vacant(place) => {
                    place.insert(file.to_owned());
                    true
                }
                Entry::Occupied(first) => {
                    problems.push(Problem {
                        line: line_of(&fs::read_to_string(file).unwrap_or_default(), id),
                        key: Some("id".into()),
                        message: format!(
                            "`{id}` is also the id of the rule in {}",
                            first.get().display()
                        ),
                        file: file.to_owned(),
                    });
                    false
                }
            }
        };
        let rules = other.rules.into_iter();
        self.rules
            .extend(rules.filter(|source| is_new(&source.rule.id, &source.file)));
        let correlations = other.correlations.into_iter();
        self.correlations
            .extend(correlations.filter(|source| is_new(&source.rule.id, &source.file)));
        self.filters.extend(other.filters);
        self.problems.extend(problems);
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
    match fs::read_to_string(file) {
        Ok(text) => load_text(file, text),
        Err(error) => Load {
            problems: vec![Problem {
                file: file.to_owned(),
                line: None,
                key: None,
                message: format!("cannot be read: {error}"),
            }],
            ..Load::default()
        },
    }
}

/// Levels of brackets in a file, also in its text, and of what a condition is made of. The parser of YAML takes a time
/// that grows with the square of the first, that of conditions a stack that grows with the second; rules come with the
/// packs of others.
const BRACKETS: usize = 1_000;
const CONDITION: usize = 200;

/// What the parser of conditions needs for the longest that it reads (64 KiB), each `not` on the stack.
const STACK: usize = 256 * 1024 * 1024;

/// Reads the text of a file, which is for messages.
pub fn load_text(file: &Path, text: String) -> Load {
    if let Some(line) = deep_in_brackets(&text) {
        return Load {
            problems: vec![Problem {
                file: file.to_owned(),
                line: Some(line),
                key: None,
                message: format!("nests brackets deeper than {BRACKETS} levels"),
            }],
            ..Load::default()
        };
    }
    stacker::grow(STACK, || {
        let mut load = parse_text(file, text);
        let mut deep = Vec::new();
        let mut fits = |title: &str, conditions: &[ConditionExpr]| {
            let fits = conditions.iter().all(|whole| depth(whole) <= CONDITION);
            if !fits {
                deep.push(title.to_owned());
            }
            fits
        };
        load.rules
            .retain(|source| fits(&source.rule.title, &source.rule.detection.conditions));
        load.filters
            .retain(|source| fits(&source.rule.title, &source.rule.detection.conditions));
        load.correlations
            .retain(|source| match &source.rule.condition {
                CorrelationCondition::Extended(whole) => {
                    fits(&source.rule.title, std::slice::from_ref(whole))
                }
                CorrelationCondition::Threshold { .. } => true,
            });
        load.problems.extend(deep.into_iter().map(|title| Problem {
            file: file.to_owned(),
            line: None,
            key: None,
            message: format!("the condition of `{title}` is nested deeper than {CONDITION} levels"),
        }));
        load
    })
}

/// Returns the line, from one, where more brackets are open than a rule has.
fn deep_in_brackets(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let (at, _) = text.bytes().enumerate().find(|(_, byte)| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > BRACKETS
    })?;
    Some(
        text.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1,
    )
}

fn depth(condition: &ConditionExpr) -> usize {
    match condition {
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
            parts.iter().map(depth).max().unwrap_or(0) + 1
        }
        ConditionExpr::Not(part) => depth(part) + 1,
        ConditionExpr::Identifier(_) | ConditionExpr::Selector { .. } => 1,
    }
}

fn parse_text(file: &Path, text: String) -> Load {
    let mut load = Load::default();
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
                load.problems.push(Problem {
                    file: file(),
                    line: None,
                    key: None,
                    message: "holds no Sigma rule: a rule has `title`, `logsource` and `detection`"
                        .into(),
                });
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
    let count = count(aggregate)?;
    if text.lines().skip(1).any(|line| line.trim_end() == "---") {
        return None;
    }
    let lines = text.lines().enumerate();
    let lines = lines.map(|(number, line)| if number == at { condition } else { line });
    Some((lines.collect::<Vec<_>>().join("\n"), count))
}

/// Reads `count(FIELD) by FIELD, FIELD > N`; the time stands elsewhere in the rule.
fn count(text: &str) -> Option<Count> {
    let text = text.split(" #").next()?.trim().strip_prefix("count")?;
    let (field, rest) = text.trim_start().strip_prefix('(')?.split_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (by, operator, number) = match words.as_slice() {
        [operator, number] => (Vec::new(), *operator, *number),
        ["by", by @ .., operator, number] => {
            let by = by.join(" ");
            let names = by.split(',').map(|name| name.trim().to_owned());
            (names.collect(), *operator, *number)
        }
        _ => return None,
    };
    // Numbers of events, which a float holds as they are.
    let bound = Some(f64::from(number.parse::<u32>().ok()?));
    let mut condition = Condition::default();
    match operator {
        ">" => condition.gt = bound,
        ">=" => condition.gte = bound,
        "<" => condition.lt = bound,
        "<=" => condition.lte = bound,
        "=" | "==" => condition.eq = bound,
        _ => return None,
    }
    let field = field.trim();
    let is_field = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
    if !by.iter().all(|name| is_field(name)) || field.contains(char::is_whitespace) {
        return None;
    }
    Some(Count {
        field: Some(field.to_owned()).filter(|field| !field.is_empty()),
        by,
        condition,
        within: None,
    })
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
        "aggregates with `|`, of which only `count` is read; Sigma replaced it by correlation rules: write one, of type event_count, value_count or temporal".to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: String) -> Vec<String> {
        let load = load_text(Path::new("rule.yml"), text);
        assert!(
            load.problems.is_empty()
                == (load.rules.len() + load.filters.len() + load.correlations.len() > 0)
        );
        load.problems.iter().map(ToString::to_string).collect()
    }

    fn rule(value: &str, condition: &str) -> String {
        format!(
            "title: Deep\nlogsource:\n  product: x\ndetection:\n  sel:\n    a: {value}\n  condition: {condition}\n"
        )
    }

    #[test]
    fn deep_files_are_refused_in_no_time() {
        let most = |open: &str, close: &str| {
            rule(
                &format!("{}{}", open.repeat(200_000), close.repeat(200_000)),
                "sel",
            )
        };
        for text in [most("[", "]"), most("{a: ", "}"), most("[", "")] {
            assert_eq!(
                problems(text),
                ["rule.yml:6: nests brackets deeper than 1000 levels"]
            );
        }
        let brackets = format!("'{}'", "[".repeat(900));
        assert!(problems(rule(&brackets, "sel")).is_empty());
    }

    #[test]
    fn deep_conditions_are_refused_and_exhaust_no_stack() {
        let deep = format!("{}sel", "not ".repeat(10_000));
        let hidden = format!("\"{}sel\"", "n\\u006ft ".repeat(7_000));
        let want = ["rule.yml: the condition of `Deep` is nested deeper than 200 levels"];
        assert_eq!(problems(rule("b", &deep)), want);
        assert_eq!(problems(rule("b", &hidden)), want);
        assert_eq!(
            problems(format!(
                "title: Deep\nlogsource:\n  product: x\nfilter:\n  rules: any\n  sel:\n    a: b\n  condition: {deep}\n"
            )),
            want
        );
        assert_eq!(
            problems(format!(
                "title: Deep\ncorrelation:\n  type: temporal\n  rules: [sel]\n  group-by: [a]\n  timespan: 1m\n  condition: {deep}\n"
            )),
            want
        );
        let wide = vec!["sel"; 9_000].join(" or ");
        assert!(problems(rule("b", &wide)).is_empty());
        assert!(problems(rule("b", &format!("{}sel", "not ".repeat(150)))).is_empty());
    }
}
