//! Compares what a case gave with what it expects.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use yagura_core::Alert;
use yagura_core::case::InlineTest;
use yagura_engine::report::RuleCost;

/// The run of a rule over the events of a case.
pub(crate) struct RuleRun {
    pub(crate) matched: bool,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) cost: Option<RuleCost>,
    /// Of a correlation: the rules that it joins, with the number of their findings.
    pub(crate) joined: Vec<(String, usize)>,
    /// Findings that correlations skipped because they lack a value of `by`.
    pub(crate) without_key: u64,
    /// Findings that correlations skipped because they have no usable value of `field`.
    pub(crate) without_value: u64,
}

impl RuleRun {
    /// Returns where to look when a case gave no alert.
    pub(crate) fn hint(&self) -> String {
        if self.joined.is_empty() {
            return "`yagura explain` says which test fails".to_owned();
        }
        let joined = self.joined.iter();
        let counts: Vec<String> = joined
            .map(|(id, count)| format!("`{id}` {count}"))
            .collect();
        let mut hint = format!("findings of the rules that it joins: {}", counts.join(", "));
        for (count, lacks) in [
            (self.without_key, "lack a value of `by`"),
            (self.without_value, "have no usable value of `field`"),
        ] {
            if count > 0 {
                hint.push_str(&format!("; {count} of them {lacks}"));
            }
        }
        hint
    }
}

/// Returns the parts of an alert that do not depend on where its events were stored.
pub(crate) fn stable_view(alert: &Alert) -> Value {
    json!({
        "title": alert.title,
        "severity": alert.severity,
        "key": alert.key,
        "count": alert.count,
        "first_time": alert.first_time,
        "observables": alert.observables,
        "context": alert.context,
    })
}

/// Compares what a rule found with a `[[test]]`.
pub(crate) fn inline_differences(test: &InlineTest, found: &RuleRun) -> Vec<String> {
    match (test.matches, found.matched) {
        (true, false) if found.joined.is_empty() => {
            return vec!["expected a match, found none".to_owned()];
        }
        (true, false) => return vec![format!("expected a match, found none; {}", found.hint())],
        (false, true) => {
            let mut lines = vec!["expected no match, found:".to_owned()];
            lines.extend(
                found
                    .alerts
                    .iter()
                    .map(|alert| format!("  {}", stable_view(alert))),
            );
            return lines;
        }
        _ => {}
    }
    match (&test.alert, found.alerts.first()) {
        (None, _) => Vec::new(),
        (Some(expected), Some(alert)) => expected.differences(alert),
        (Some(_), None) => {
            vec!["expected an alert, found matches below the rule's `alert.threshold`".to_owned()]
        }
    }
}

/// Compares alerts or rows line by line and, where they differ, key by key.
pub(crate) fn golden_differences(
    golden: &Path,
    expected: Option<&str>,
    found: &str,
) -> Vec<String> {
    let Some(expected) = expected else {
        return vec![format!(
            "{} does not exist: write it with `--update`, and read what it holds",
            golden.display()
        )];
    };
    if expected == found {
        return Vec::new();
    }
    if let Some((line, _)) = (1..)
        .zip(expected.lines())
        .find(|(_, line)| serde_json::from_str::<Value>(line).is_err())
    {
        return vec![format!(
            "{}:{line} is not JSON: `--update` writes it anew",
            golden.display()
        )];
    }
    let mut lines = vec![format!("differs from {}:", golden.display())];
    let (expected, found) = (pretty(expected), pretty(found));
    for change in TextDiff::from_lines(&expected, &found).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => continue,
        };
        lines.push(format!("  {sign} {}", change.value().trim_end()));
    }
    if lines.len() == 1 {
        lines.push("  the same, written differently: `--update` writes it anew".to_owned());
    }
    lines
}

/// Spreads each alert over lines; what is not JSON stays as it is.
fn pretty(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let value: Result<Value, _> = serde_json::from_str(line);
        value
            .and_then(|value| serde_json::to_string_pretty(&value))
            .unwrap_or_else(|_| line.to_owned())
            + "\n"
    });
    lines.collect()
}

/// Returns how an answer differs from the expected one. Of an error a part of its message is enough.
pub(crate) fn answer_difference(expected: &Value, found: &Value) -> Result<Option<String>> {
    let part = |value: &Value| {
        value
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if let (Some(expected), Some(found)) = (part(expected), part(found))
        && found.contains(&expected)
    {
        return Ok(None);
    }
    if expected == found {
        return Ok(None);
    }
    let (expected, found) = (
        serde_json::to_string_pretty(expected)?,
        serde_json::to_string_pretty(found)?,
    );
    let diff = TextDiff::from_lines(&expected, &found);
    let lines = diff.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => "-",
            ChangeTag::Insert => "+",
            ChangeTag::Equal => " ",
        };
        format!("{sign} {}", change.value().trim_end_matches('\n'))
    });
    let lines: Vec<String> = lines.collect();
    Ok(Some(format!(
        "the answer is not the expected one (- expected, + found):\n{}",
        lines.join("\n")
    )))
}
