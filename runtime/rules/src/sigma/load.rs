//! Sigma files from disk: rules, filters and correlations, and what is wrong with any of them.

mod documents;
mod files;
mod identity;
mod parse;
mod spans;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rsigma_parser::ast::FilterRuleTarget;
use rsigma_parser::{CorrelationRule, FilterRule, SigmaRule};
use yagura_core::correlation::Condition;
use yagura_core::diagnostic::{Code, Diagnostic, Key, Span};

use self::documents::documents;
pub(super) use self::documents::without_marks;
use self::files::{canonical_path, text_in};
pub use self::files::{load_dir, load_file};
pub use self::parse::load_text;
use self::spans::Spans;

/// A rule and where it was read.
#[derive(Debug, Clone)]
pub struct SigmaSource {
    /// The rule. Numbers that its type could not hold are texts, which the translation reads as numbers.
    pub rule: SigmaRule,
    /// Its file.
    pub file: PathBuf,
    /// What it counts, if its condition does.
    pub count: Option<SigmaCount>,
    /// The line, from one, on which it begins.
    pub line: usize,
    /// What it says, as a short hash: of its title, log source and detection.
    content: String,
}

impl SigmaSource {
    /// Returns the rule's id in a run: its own, or one made of its title and content.
    pub fn id(&self) -> String {
        identity::run_id(self.rule.id.as_deref(), &self.rule.title, &self.content)
    }

    /// Returns the id of what evaluates single events: the rule's, or that of the events that it counts.
    pub fn events_id(&self) -> String {
        let id = self.id();
        match self.count {
            Some(_) => format!("{id}-events"),
            None => id,
        }
    }
}

/// What `| count(FIELD) by FIELD > N`, an aggregate of old Sigma, asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SigmaCount {
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
    /// The line, from one, on which it begins.
    pub line: usize,
    /// Whether it has a condition of its own: the parser gives those without one `gte: 1`.
    pub has_condition: bool,
    /// What it says, as a short hash.
    content: String,
}

impl SigmaCorrelation {
    /// Returns the correlation's id in a run: its own, or one made of its title and content.
    pub fn id(&self) -> String {
        identity::run_id(self.rule.id.as_deref(), &self.rule.title, &self.content)
    }
}

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
    pub problems: Vec<Diagnostic>,
    /// What looks wrong with rules that run all the same.
    pub notes: Vec<Diagnostic>,
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

    /// Adds what was read elsewhere. A file that was read already, by another path, is left out. Of two rules with one id
    /// the first stays, and the other is a problem: they would be one rule to everyone who reads their alerts.
    pub fn append(&mut self, mut other: Self) {
        let known = self.files();
        if !known.is_empty() {
            let mut is_known = HashMap::new();
            let mut is_new = |file: &Path| {
                let is_known = is_known.entry(file.to_owned()).or_insert_with(|| {
                    canonical_path(file).is_some_and(|file| known.contains(&file))
                });
                !*is_known
            };
            other.rules.retain(|of| is_new(&of.file));
            other.filters.retain(|of| is_new(&of.file));
            other.correlations.retain(|of| is_new(&of.file));
            let mut is_news = |of: &Diagnostic| of.file.as_deref().is_none_or(&mut is_new);
            other.problems.retain(&mut is_news);
            other.notes.retain(&mut is_news);
        }
        let mut ids: BTreeMap<String, Taken> = BTreeMap::new();
        for source in &self.rules {
            let taken = Taken::by(&source.rule.id, &source.file, source.line);
            ids.insert(source.events_id(), taken.clone());
            ids.insert(source.id(), taken);
        }
        for source in &self.correlations {
            let taken = Taken::by(&source.rule.id, &source.file, source.line);
            ids.insert(source.id(), taken);
        }
        let problems = &mut self.problems;
        let mut is_new = |id: String, taken: Taken| {
            if let Some(first) = ids.get(&id) {
                problems.push(taken.after(first));
                return false;
            }
            // Over several tables a rule has ids such as `ID.TABLE`.
            let shorter = id
                .match_indices('.')
                .filter_map(|(dot, _)| ids.get(&id[..dot]));
            let below = format!("{id}.");
            let mut longer = ids
                .range(below.clone()..)
                .take_while(|(id, _)| id.starts_with(&below));
            if let Some(first) = shorter.chain(longer.next().map(|(_, taken)| taken)).next() {
                problems.push(taken.beside(&id, first));
                return false;
            }
            ids.insert(id, taken);
            true
        };
        for source in other.rules {
            let taken = Taken::by(&source.rule.id, &source.file, source.line);
            if is_new(source.id(), taken.clone())
                && (source.count.is_none() || is_new(source.events_id(), taken))
            {
                self.rules.push(source);
            }
        }
        for source in other.correlations {
            let taken = Taken::by(&source.rule.id, &source.file, source.line);
            if is_new(source.id(), taken) {
                self.correlations.push(source);
            }
        }
        self.filters.extend(other.filters);
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }

    /// Returns the files that were read, without links in their paths.
    fn files(&self) -> BTreeSet<PathBuf> {
        let rules = self.rules.iter().map(|of| &of.file);
        let filters = self.filters.iter().map(|of| &of.file);
        let correlations = self.correlations.iter().map(|of| &of.file);
        let problems = self.problems.iter().filter_map(|of| of.file.as_ref());
        let files: BTreeSet<&PathBuf> = rules
            .chain(filters)
            .chain(correlations)
            .chain(problems)
            .collect();
        files
            .into_iter()
            .filter_map(|file| canonical_path(file))
            .collect()
    }

    /// Adds what one file or one document holds.
    fn extend(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.filters.extend(other.filters);
        self.correlations.extend(other.correlations);
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }
}

/// By whom an id is taken.
#[derive(Debug, Clone)]
struct Taken {
    /// The id as the rule has it, if it does.
    id: Option<String>,
    file: PathBuf,
    line: usize,
}

impl Taken {
    fn by(id: &Option<String>, file: &Path, line: usize) -> Self {
        Self {
            id: id.clone(),
            file: file.to_owned(),
            line,
        }
    }

    /// Returns what is wrong with a rule whose id is taken by another.
    fn after(&self, first: &Self) -> Diagnostic {
        let place = format!("{}:{}", first.file.display(), first.line);
        match &self.id {
            Some(id) => {
                let message = format!(
                    "`{id}` is also the id of the rule in {place}: give one of them another"
                );
                self.wrong(Code::DuplicateName, message).at(Key::top("id"))
            }
            None => self.wrong(
                Code::DuplicateRule,
                format!(
                    "the rule is the same as the one in {place}: title, log source and detection are equal; remove it, or give it an `id`"
                ),
            ),
        }
    }

    /// Returns what is wrong with a rule whose id and that of another are apart by a dot and more.
    fn beside(&self, id: &str, first: &Self) -> Diagnostic {
        let message = format!(
            "`{id}` is too near the id `{}` of the rule in {}:{}: over several tables a rule has ids such as `ID.TABLE`; give one of them another",
            first.id.as_deref().unwrap_or_default(),
            first.file.display(),
            first.line
        );
        self.wrong(Code::DuplicateName, message).at(Key::top("id"))
    }

    fn wrong(&self, code: Code, message: String) -> Diagnostic {
        let key = self.id.as_ref().map(|_| Key::top("id"));
        Diagnostic::error(code, message)
            .in_file(&self.file)
            .with_span(span_in(&self.file, self.line, key.as_ref()))
    }
}

/// Returns the span of a key of the document that begins on a line of a file, or that of the line.
///
/// The file is read again: rules keep no text, since few of them are wrong.
pub fn span_in(file: &Path, line: usize, key: Option<&Key>) -> Span {
    let text = text_in(file).unwrap_or_default();
    let of_key = || {
        let documents = documents(&text);
        let document = documents.iter().rev().find(|one| one.line <= line)?;
        let range = Spans::of(&document.text).range(key?)?;
        Some(document.span(range))
    };
    of_key()
        .or_else(|| Span::of_line(&text, line))
        .unwrap_or_else(|| Span::at_line(line))
}

impl super::LowerError {
    /// Returns the error with its file and its place.
    pub fn in_file(&self, file: &Path) -> Diagnostic {
        let mut key = Key::top("detection");
        let (name, item) = match self.key.split_once('.') {
            Some((name, item)) => (name, Some(item)),
            None => (self.key.as_str(), None),
        };
        key = key.name(name);
        let mut span = None;
        let line = self.line.unwrap_or(1);
        if let Ok(text) = text_in(file) {
            let documents = documents(&text);
            let document = documents.iter().rev().find(|one| one.line <= line);
            if let Some(document) = document {
                let spans = Spans::of(&document.text);
                let found = item.and_then(|item| spans.below(&key, item)).cloned();
                let range = spans.range(found.as_ref().unwrap_or(&key));
                span = range.map(|range| document.span(range));
            }
            span = span.or_else(|| Span::of_line(&text, line));
        }
        if let Some(item) = item {
            key = key.name(item);
        }
        Diagnostic::error(Code::SigmaDetection, self.message.clone())
            .at(key)
            .in_file(file)
            .with_span(span)
    }
}

#[cfg(test)]
mod tests;
