//! What was read from files, with one rule for each id.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rsigma_parser::SigmaRule;
use rsigma_parser::ast::FilterRuleTarget;
use yagura_core::diagnostic::{Code, Diagnostic, Key};

use super::place::span_in;
use super::sources::{SigmaCorrelation, SigmaFilter, SigmaSource};
use super::text::canonical_path;

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
    pub(super) fn extend(&mut self, other: Self) {
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
