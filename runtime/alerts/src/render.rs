//! The text of a report: a title, and short lines of plain text that read well on a phone.
//!
//! The same story gives the same text. Values come from logs, which whoever writes them chooses: each stays in one line,
//! without signs that a terminal or a reader would act upon, and is cut when it is long.

use std::fmt::Write as _;

use yagura_core::report::{Assessment, Attribute, IncidentStatus, Verdict};
use yagura_core::shown::is_invisible;
use yagura_core::{Alert, AlertState, Report, Severity, Timestamp};

/// The longest title, in characters.
pub const TITLE: usize = 160;
/// The longest value in a line, in characters.
const VALUE: usize = 240;
/// Observables and entries of context that are written of one alert.
const FACTS: usize = 12;
/// Facts of enrichers that are written.
const ATTRIBUTES: usize = 60;

/// The content of a report: all that is known of an incident.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    /// What it is about.
    pub kind: StoryKind<'a>,
    /// Where the work on it is.
    pub status: IncidentStatus,
    /// The most severe of its alerts, as reviewed.
    pub severity: Severity,
    /// The first alerts, in the order in which they came up; at most [`Report::LISTED`] are written.
    pub alerts: &'a [StoryAlert<'a>],
    /// How many alerts there are.
    pub alert_count: u64,
    /// What enrichers found.
    pub attributes: &'a [Attribute],
    /// Names of reviewers and what they think.
    pub assessments: &'a [(String, Assessment)],
}

/// An alert of an incident.
#[derive(Debug, Clone, Copy)]
pub struct StoryAlert<'a> {
    /// What it has become.
    pub state: AlertState,
    /// Why it was withdrawn.
    pub reason: Option<&'a str>,
    /// The alert.
    pub alert: &'a Alert,
}

/// What an incident is about.
#[derive(Debug, Clone, Copy)]
pub enum StoryKind<'a> {
    /// Alerts that have something in common.
    Alerts,
    /// More alerts of one rule than are reported one by one.
    Flood {
        /// Id of the rule.
        rule: &'a str,
        /// Alerts by key, the most first.
        counts: &'a [(String, u64)],
        /// The keys that came last, the last first.
        newest: &'a [String],
    },
    /// More incidents than a notifier reports one by one.
    Summary {
        /// How many incidents.
        incidents: u64,
        /// Alerts by rule and key, the most first.
        counts: &'a [((String, String), u64)],
    },
}

/// Returns what an incident is about, in one line.
pub fn title(story: &Story<'_>) -> String {
    let title = match story.kind {
        StoryKind::Flood { rule, counts, .. } => {
            let numbers = format!(
                ": {}, {}",
                count(story.alert_count, "alert"),
                count(counts.len() as u64, "key")
            );
            let example = leading(story.alerts).map(|one| one.alert.title.as_str());
            let what = match example {
                Some(title) => format!("Flood of {rule}, such as \"{title}\""),
                None => format!("Flood of {rule}"),
            };
            // The numbers stay to be seen, however long the title is.
            return line(&what, TITLE - numbers.len()) + &numbers;
        }
        StoryKind::Summary { incidents, .. } => format!(
            "{} more, {}",
            count(incidents, "incident"),
            count(story.alert_count, "alert")
        ),
        StoryKind::Alerts => {
            let more = match story.alert_count {
                0 | 1 => String::new(),
                alerts => format!(" (+{} more)", alerts - 1),
            };
            let first = leading(story.alerts).map_or("Incident", |one| one.alert.title.as_str());
            // The count stays to be seen, however long the title is.
            return line(first, TITLE - more.len()) + &more;
        }
    };
    line(&title, TITLE)
}

/// Returns the text of an incident.
pub fn text(story: &Story<'_>) -> String {
    let mut text = String::new();
    header(story, &mut text);
    match story.kind {
        StoryKind::Alerts => {}
        StoryKind::Flood { counts, newest, .. } => {
            let counts = counts.iter().map(|(key, alerts)| (named(key), *alerts));
            tally(counts, &mut text);
            if !newest.is_empty() {
                let keys: Vec<String> = newest.iter().map(|key| named(key)).collect();
                push(
                    &mut text,
                    &line(&format!("The newest: {}", keys.join(", ")), VALUE),
                );
            }
        }
        StoryKind::Summary { counts, .. } => {
            let counts = counts
                .iter()
                .map(|((rule, key), alerts)| (format!("{rule}, {}", named(key)), *alerts));
            tally(counts, &mut text);
        }
    }
    // Of a flood or a summary the first alert is an example.
    let listed = match story.kind {
        StoryKind::Alerts => Report::LISTED,
        StoryKind::Flood { .. } => 1,
        StoryKind::Summary { .. } => 0,
    };
    for one in story.alerts.iter().take(listed) {
        alert(one, &mut text);
    }
    let unlisted = story.alert_count.saturating_sub(listed as u64);
    if matches!(story.kind, StoryKind::Alerts) && unlisted > 0 {
        push(
            &mut text,
            &format!("\n… and {}", count(unlisted, "more alert")),
        );
    }
    facts(story.attributes, &mut text);
    if !story.assessments.is_empty() {
        push(&mut text, "\nReview");
        for (reviewer, assessment) in story.assessments {
            let verdict = match assessment.verdict {
                Verdict::Undecided => "undecided",
                Verdict::Benign => "benign",
                Verdict::Suspicious => "suspicious",
                Verdict::Malicious => "malicious",
            };
            let text_line = format!(
                "{reviewer}: {}, {verdict}. {}",
                assessment.severity, assessment.reason
            );
            push(&mut text, &line(&text_line, VALUE));
        }
    }
    text
}

/// Returns a text as one line of at most `longest` characters, without signs that would be acted upon: line breaks,
/// control characters, and those that change the direction of writing.
pub fn line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    let mut words = text
        .split(|c: char| c.is_whitespace() || is_invisible(c))
        .filter(|word| !word.is_empty());
    if let Some(word) = words.next() {
        line.push_str(word);
    }
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    match line.char_indices().nth(longest) {
        None => line,
        Some(_) => {
            let kept = longest.saturating_sub(1);
            let end = line.char_indices().nth(kept).map_or(0, |(at, _)| at);
            line.truncate(end);
            line.push('…');
            line
        }
    }
}

/// Says how severe it is and what has become of it, which is what a phone shows.
fn header(story: &Story<'_>, text: &mut String) {
    let mut words = vec![story.severity.to_string().to_uppercase()];
    match story.status {
        IncidentStatus::Open => {}
        IncidentStatus::Acknowledged => words.push("acknowledged".to_owned()),
        IncidentStatus::Closed => words.push("closed".to_owned()),
    }
    let states = |state| story.alerts.iter().filter(|one| one.state == state).count() as u64;
    let listed = story.alerts.len() as u64;
    if let StoryKind::Alerts = story.kind {
        let withdrawn = states(AlertState::Withdrawn);
        if listed > 0 && withdrawn == listed {
            words.push("all withdrawn".to_owned());
        } else if states(AlertState::Provisional) > 0 {
            words.push("provisional, may still change".to_owned());
        } else if withdrawn > 0 {
            words.push(format!("final, {withdrawn} withdrawn"));
        } else if listed > 0 {
            words.push("final".to_owned());
        }
    }
    if story.alert_count > 1 {
        words.push(count(story.alert_count, "alert"));
    }
    if let StoryKind::Summary { incidents, .. } = story.kind {
        words.push(count(incidents, "incident"));
    }
    push(text, &words.join(" · "));
}

fn alert(one: &StoryAlert<'_>, text: &mut String) {
    let alert = one.alert;
    push(text, &format!("\n{}", line(&alert.title, VALUE)));
    let state = match one.state {
        AlertState::Provisional => "provisional",
        AlertState::Final => "final",
        AlertState::Withdrawn => "withdrawn",
    };
    let reason = one.reason.map(|reason| format!(": {reason}"));
    let state = format!("{}, {state}{}", alert.severity, reason.unwrap_or_default());
    push(text, &line(&state, VALUE));
    if !alert.key.is_empty() {
        push(text, &line(&format!("Key: {}", alert.key), VALUE));
    }
    push(text, &format!("When: {}", when(alert)));
    let events = match alert.evidence.total {
        0 => String::new(),
        total if total == alert.count => String::new(),
        total => format!(" in {}", count(total, "event")),
    };
    push(text, &format!("Findings: {}{events}", alert.count));
    push(text, &line(&format!("Rule: {}", alert.rule), VALUE));
    let observables = alert.observables.iter();
    let observables = observables.map(|one| (one.kind.as_str(), one.value.as_str()));
    let context = alert.context.iter();
    let context = context.map(|entry| (entry.name.as_str(), entry.value.as_str()));
    let all: Vec<_> = observables.chain(context).collect();
    for (name, value) in all.iter().take(FACTS) {
        push(text, &line(&format!("{name}: {value}"), VALUE));
    }
    if all.len() > FACTS {
        push(text, &format!("… and {} more", all.len() - FACTS));
    }
}

/// Writes what enrichers found, by where they found it.
fn facts(attributes: &[Attribute], text: &mut String) {
    let mut sources: Vec<&str> = Vec::new();
    for attribute in attributes {
        if !sources.contains(&attribute.source.as_str()) {
            sources.push(&attribute.source);
        }
    }
    sources.sort_unstable();
    let mut left = ATTRIBUTES;
    for source in sources {
        let mut of_source: Vec<&Attribute> = attributes
            .iter()
            .filter(|attribute| attribute.source == source)
            .collect();
        of_source.sort();
        of_source.dedup();
        if left == 0 {
            continue;
        }
        push(text, &format!("\n{}", line(source, VALUE)));
        for attribute in of_source.iter().take(left) {
            let text_line = format!("{}: {}", attribute.name, attribute.value);
            push(text, &line(&text_line, VALUE));
        }
        if of_source.len() > left {
            push(text, &format!("… and {} more", of_source.len() - left));
        }
        left = left.saturating_sub(of_source.len());
    }
}

/// Writes how many alerts there are of each, as far as a report lists them.
fn tally(counts: impl ExactSizeIterator<Item = (String, u64)>, text: &mut String) {
    let total = counts.len();
    text.push('\n');
    for (name, alerts) in counts.take(Report::LISTED) {
        push(text, &format!("{alerts} × {}", line(&name, VALUE)));
    }
    if total > Report::LISTED {
        push(text, &format!("… and {} more", total - Report::LISTED));
    }
}

/// Returns the alert that names the incident: the most severe that was not withdrawn, the first of these.
fn leading<'a, 'b>(alerts: &'b [StoryAlert<'a>]) -> Option<&'b StoryAlert<'a>> {
    let rank = |one: &StoryAlert<'_>| (one.state != AlertState::Withdrawn, one.alert.severity);
    let mut best: Option<&StoryAlert<'_>> = None;
    for one in alerts {
        if best.is_none_or(|best| rank(one) > rank(best)) {
            best = Some(one);
        }
    }
    best
}

fn named(key: &str) -> String {
    if key.is_empty() {
        "without key".to_owned()
    } else {
        key.to_owned()
    }
}

/// Returns from when until when, to the second, in UTC.
fn when(alert: &Alert) -> String {
    let (first, last) = (seconds(alert.first_time), seconds(alert.last_time));
    let (day, time) = last.split_once(' ').unwrap_or(("", &last));
    if first == last {
        format!("{first} UTC")
    } else if first.starts_with(day) {
        format!("{first} to {time} UTC")
    } else {
        format!("{first} to {last} UTC")
    }
}

fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    let text = text.split('.').next().unwrap_or_default();
    text.replacen('T', " ", 1)
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn push(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests;
