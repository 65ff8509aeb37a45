//! A file's text as rules, filters and correlations, and what is wrong with it.

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use chrono::NaiveDate;
use rsigma_parser::{
    ConditionExpr, CorrelationCondition, Level, SigmaCollection, parse_sigma_yaml,
};
use yagura_core::correlation::Condition;
use yagura_core::diagnostic::{Code, Diagnostic, Key, Span};
use yagura_core::names::{did_you_mean, slip_of};

use super::documents::{Document, documents, prepared, top_value, without_marks};
use super::identity;
use super::loaded::Load;
use super::sources::{SigmaCorrelation, SigmaCount, SigmaFilter, SigmaSource};
use super::spans::Spans;

/// Levels of brackets in a file, also in its text, and of what a condition is made of. The parser of YAML takes a time
/// that grows with the square of the first, that of conditions a stack that grows with the second; rules come with the
/// packs of others.
const BRACKETS: usize = 1_000;
const CONDITION: usize = 200;

/// What the parser of conditions needs for the longest that it reads (64 KiB), each `not` on the stack.
const STACK: usize = 256 * 1024 * 1024;

/// Reads the text of a file, which is for messages.
pub fn load_text(file: &Path, text: String) -> Load {
    if let Some(at) = deep_in_brackets(&text) {
        let message = format!("nests brackets deeper than {BRACKETS} levels");
        let deep = Diagnostic::error(Code::SigmaNesting, message).in_file(file);
        return Load {
            problems: vec![deep.with_span(Span::of(&text, at..at + 1))],
            ..Load::default()
        };
    }
    stacker::grow(STACK, || parse_text(file, &text))
}

/// Returns the place in bytes where more brackets are open than a rule has.
fn deep_in_brackets(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    text.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > BRACKETS
    })
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

fn parse_text(file: &Path, text: &str) -> Load {
    let mut load = Load::default();
    for document in documents(text) {
        load.extend(parse_document(file, document));
    }
    identity::identify_correlations(&mut load);
    let is_empty = load.rules.is_empty() && load.filters.is_empty() && load.correlations.is_empty();
    if is_empty && load.problems.is_empty() {
        let message = "holds no Sigma rule: a rule has `title`, `logsource` and `detection`";
        let empty = Diagnostic::error(Code::SigmaRule, message).in_file(file);
        load.problems.push(empty);
    }
    load
}

fn parse_document(file: &Path, document: Document) -> Load {
    let mut load = Load::default();
    let (text, count) = match without_count(&document.text) {
        Some((text, count)) => (Some(text), Some(count)),
        None => (None, None),
    };
    let place = DocumentPlace {
        file,
        document: &document,
    };
    let text = text.as_deref().unwrap_or(&document.text);
    let read = match parse_sigma_yaml(&prepared(text)) {
        Ok(read) => read,
        Err(error) => {
            load.problems.push(place.problem(&error.to_string()));
            return load;
        }
    };
    // A document is one rule, unless it is a collection of them. What is said beside a rule that was read did not stop it.
    let is_read = read.rules.len() + read.filters.len() + read.correlations.len() == 1;
    let mut read = read;
    for error in std::mem::take(&mut read.errors) {
        if is_read && is_harmless(&error) {
            load.notes.extend(place.note(&error, &mut read));
        } else {
            load.problems.push(place.problem(&error));
        }
    }
    if is_read {
        place.more_notes(&read, &mut load.notes);
    }
    add(place, read, count, &mut load);
    load
}

/// Adds what the parser read.
fn add(
    place: DocumentPlace<'_>,
    read: SigmaCollection,
    count: Option<SigmaCount>,
    load: &mut Load,
) {
    let file = || place.file.to_owned();
    let line = place.document.line;
    for mut rule in read.rules {
        unmark(&mut rule.title, &mut rule.description);
        if !place.fits(&rule.title, &rule.detection.conditions, load) {
            continue;
        }
        let count = count.clone().map(|count| SigmaCount {
            within: rule.detection.timeframe.clone(),
            ..count
        });
        load.rules.push(SigmaSource {
            content: identity::of_rule(&rule, count.as_ref()),
            count,
            rule,
            file: file(),
            line,
        });
    }
    for rule in read.filters {
        if place.fits(&rule.title, &rule.detection.conditions, load) {
            load.filters.push(SigmaFilter { rule, file: file() });
        }
    }
    for mut rule in read.correlations {
        unmark(&mut rule.title, &mut rule.description);
        let condition = match &rule.condition {
            CorrelationCondition::Extended(whole) => std::slice::from_ref(whole),
            CorrelationCondition::Threshold { .. } => &[],
        };
        if !place.fits(&rule.title, condition, load) {
            continue;
        }
        load.correlations.push(SigmaCorrelation {
            content: String::new(),
            has_condition: place.has_condition(),
            rule,
            file: file(),
            line,
        });
    }
}

/// Takes marks out of what people read; in a document that is written in braces they may have come there.
fn unmark(title: &mut String, description: &mut Option<String>) {
    for text in std::iter::once(title).chain(description.as_mut()) {
        if let Some((clean, _)) = without_marks(text) {
            *text = clean;
        }
    }
}

/// Says whether a message of the parser's is about a part of a rule that it left out, and not about the rule.
fn is_harmless(message: &str) -> bool {
    [
        "invalid level",
        "invalid status",
        "invalid sigma-version",
        "related[",
        "'related'",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}

/// Where a document is.
#[derive(Debug, Clone, Copy)]
struct DocumentPlace<'a> {
    file: &'a Path,
    document: &'a Document,
}

impl DocumentPlace<'_> {
    /// Returns what is wrong with a part of a rule that runs all the same; nothing where the part could be read after all.
    fn note(&self, message: &str, read: &mut SigmaCollection) -> Option<Diagnostic> {
        let quoted = || message.split_once('\'')?.1.strip_suffix('\'');
        let (key, message) = if message.starts_with("invalid level") {
            let level = quoted().unwrap_or_default();
            if let Ok(level) = Level::from_str(&level.trim().to_ascii_lowercase()) {
                read.rules
                    .iter_mut()
                    .for_each(|rule| rule.level = Some(level));
                read.filters
                    .iter_mut()
                    .for_each(|rule| rule.level = Some(level));
                read.correlations
                    .iter_mut()
                    .for_each(|rule| rule.level = Some(level));
                return None;
            }
            let levels = ["informational", "low", "medium", "high", "critical"];
            let near = did_you_mean(level, levels);
            let message = format!(
                "is `{level}`, and must be informational, low, medium, high or critical{near}; the rule runs as medium"
            );
            ("level", message)
        } else if message.starts_with("invalid status") {
            let status = quoted().unwrap_or_default();
            let message = format!(
                "is `{status}`, and must be stable, test, experimental, deprecated or unsupported; the rule runs without it"
            );
            ("status", message)
        } else {
            let key = match message.starts_with("invalid sigma-version") {
                true => "sigma-version",
                false => "related",
            };
            (
                key,
                format!("cannot be read ({message}); the rule runs without it"),
            )
        };
        Some(self.at_key(key, message))
    }

    /// Says what the parser passes over: metadata that are no text, dates that are none, and keys that are nearly those of
    /// a rule.
    fn more_notes(&self, read: &SigmaCollection, notes: &mut Vec<Diagnostic>) {
        const KEYS: [&str; 24] = [
            "title",
            "id",
            "name",
            "related",
            "taxonomy",
            "status",
            "description",
            "license",
            "author",
            "references",
            "date",
            "modified",
            "logsource",
            "detection",
            "fields",
            "falsepositives",
            "level",
            "tags",
            "scope",
            "correlation",
            "filter",
            "generate",
            "sigma-version",
            "custom_attributes",
        ];
        let rules = read.rules.iter().map(|rule| {
            let texts = [rule.id.is_some(), rule.name.is_some(), rule.level.is_some()];
            (texts, [&rule.date, &rule.modified], &rule.custom_attributes)
        });
        let filters = read.filters.iter().map(|rule| {
            let texts = [rule.id.is_some(), rule.name.is_some(), rule.level.is_some()];
            (texts, [&rule.date, &rule.modified], &rule.custom_attributes)
        });
        let correlations = read.correlations.iter().map(|rule| {
            let texts = [rule.id.is_some(), rule.name.is_some(), rule.level.is_some()];
            (texts, [&rule.date, &rule.modified], &rule.custom_attributes)
        });
        for (texts, dates, attributes) in rules.chain(filters).chain(correlations) {
            for (key, is_text) in ["id", "name", "level"].into_iter().zip(texts) {
                let at_key = Some(Key::top(key));
                let is_told = notes.iter().any(|note| note.key == at_key);
                let is_there =
                    top_value(&self.document.text, key).is_some_and(|(_, value)| !value.is_empty());
                if !is_text && !is_told && is_there {
                    notes.push(self.at_key(key, "is not text; the rule runs without it".into()));
                }
            }
            for (key, date) in ["date", "modified"].into_iter().zip(dates) {
                if let Some(date) = date.as_deref().filter(|date| !is_date(date)) {
                    let message = format!(
                        "is `{date}`, and must be a date as 2026-03-01; the rule runs all the same"
                    );
                    notes.push(self.at_key(key, message));
                }
            }
            let mut names: Vec<&String> = attributes.keys().collect();
            names.sort_unstable();
            for name in names {
                let known = KEYS.into_iter();
                if let Some(known) = slip_of(name, known)
                    && top_value(&self.document.text, name).is_some()
                {
                    let message = format!(
                        "is not a key of a rule; did you mean `{known}`? The rule runs without it"
                    );
                    notes.push(self.at_key(name, message));
                }
            }
        }
    }

    /// Says whether conditions are nested no deeper than what evaluates them can bear.
    fn fits(&self, title: &str, conditions: &[ConditionExpr], load: &mut Load) -> bool {
        let fits = conditions.iter().all(|whole| depth(whole) <= CONDITION);
        if !fits {
            let spans = Spans::of(&self.document.text);
            let keys =
                ["detection", "filter", "correlation"].map(|top| Key::top(top).name("condition"));
            let range = keys.iter().find_map(|key| spans.range(key));
            let message =
                format!("the condition of `{title}` is nested deeper than {CONDITION} levels");
            load.problems
                .push(self.at(range, Diagnostic::error(Code::SigmaNesting, message)));
        }
        fits
    }

    fn at_key(&self, key: &str, message: String) -> Diagnostic {
        let key = Key::top(key);
        let range = Spans::of(&self.document.text).range(&key);
        self.at(
            range,
            Diagnostic::warning(Code::SigmaMetadata, message).at(key),
        )
    }

    /// Adds the file and the span of a range of the document or, without one, that of its first line.
    fn at(&self, range: Option<Range<usize>>, diagnostic: Diagnostic) -> Diagnostic {
        let span = match range {
            Some(range) => self.document.span(range),
            None => {
                let first = self.document.text.lines().next().unwrap_or_default();
                self.document.span(0..first.len())
            }
        };
        diagnostic.in_file(self.file).with_span(span)
    }

    /// Says whether a correlation has a condition of its own.
    fn has_condition(&self) -> bool {
        let spans = Spans::of(&self.document.text);
        let correlation = Key::top("correlation");
        // One that is written in another way counts as one that has.
        !spans.has(&correlation) || spans.has(&correlation.name("condition"))
    }

    /// Gives a parser's message its place: the line that it names, or the key that holds the word that it quotes, or the rule.
    fn problem(&self, message: &str) -> Diagnostic {
        let text = &self.document.text;
        let spans = Spans::of(text);
        let condition = Key::written("detection.condition");
        if message.starts_with("Condition parse error") {
            let written = text.lines();
            let aggregates = written
                .filter(|line| line.contains("condition:"))
                .any(|line| line.contains('|'));
            let message = match aggregates {
                true => "aggregates with `|`, of which only `count` is read; Sigma replaced it by correlation rules: write one, of type event_count, value_count or temporal".to_owned(),
                false => joined(message),
            };
            let wrong = Diagnostic::error(Code::SigmaCondition, message);
            return self.at(spans.range(&condition), wrong.at(condition));
        }
        if message.starts_with("YAML") {
            let is_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t');
            if let Some(line) = text.lines().position(is_tab) {
                let message = "a tab indents this line, and YAML takes spaces only: replace it";
                let wrong = Diagnostic::error(Code::YamlSyntax, message);
                return self.at(line_range(text, line + 1), wrong);
            }
            let named = || {
                let (_, after) = message.split_once(" line ")?;
                let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
                line_range(text, digits.parse().ok()?)
            };
            let wrong = Diagnostic::error(Code::YamlSyntax, joined(message));
            return self.at(named(), wrong);
        }
        let quoted = || {
            let from = message.find(['\'', '`'])? + 1;
            let to = from + message[from..].find(['\'', '`'])?;
            let word = message.get(from..to).filter(|word| !word.is_empty())?;
            spans.range(spans.holding(word)?)
        };
        self.at(
            quoted(),
            Diagnostic::error(Code::SigmaRule, joined(message)),
        )
    }
}

/// Returns a parser's message on one line.
fn joined(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" ")
}

/// Returns the range of bytes of a line, from one, without its end.
fn line_range(text: &str, line: usize) -> Option<Range<usize>> {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines
        .by_ref()
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let written = lines.next()?.trim_end();
    Some(before..before + written.len())
}

fn is_date(text: &str) -> bool {
    let mut formats = ["%Y-%m-%d", "%Y/%m/%d"].into_iter();
    formats.any(|format| NaiveDate::parse_from_str(text.trim(), format).is_ok())
}

/// Takes the count of events off the condition of a rule, if that is its only aggregate and it is alone in its document.
fn without_count(text: &str) -> Option<(String, SigmaCount)> {
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
fn count(text: &str) -> Option<SigmaCount> {
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
    Some(SigmaCount {
        field: Some(field.to_owned()).filter(|field| !field.is_empty()),
        by,
        condition,
        within: None,
    })
}
