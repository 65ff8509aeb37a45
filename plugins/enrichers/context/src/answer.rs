//! Events that say the same, as one answer.

use yagura_sdk::time::rfc3339;
use yagura_sdk::{Batch, PluginError};

/// What events that say the same say.
pub(crate) struct Answer {
    /// Columns and values, of columns that have one.
    values: Vec<(String, String)>,
    count: usize,
    last: Option<i64>,
}

impl Answer {
    /// Returns the value in a column.
    pub(crate) fn value(&self, column: &str) -> Option<&str> {
        let mut values = self.values.iter();
        values
            .find(|(name, _)| name == column)
            .map(|(_, value)| value.as_str())
    }

    /// Returns one line: `hostname=mac-7 mac=00:11 (3 times, last 2026-01-02T03:04:05.000000Z)`. Where there were more events
    /// than came, the count is the least.
    pub(crate) fn text(&self, are_all: bool) -> String {
        let values = self
            .values
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let values = values.collect::<Vec<_>>().join(" ");
        let last = self.last.map(rfc3339);
        let least = if are_all { "" } else { "at least " };
        match (self.count, last) {
            (1, Some(last)) => format!("{values} ({last})"),
            (1, None) => values,
            (count, Some(last)) => format!("{values} ({least}{count} times, last {last})"),
            (count, None) => format!("{values} ({least}{count} times)"),
        }
    }
}

/// Draws events together that have the same values but for their time; the latest comes first.
pub(crate) fn answers(
    events: &Batch<'_>,
    columns: &[String],
    time: &str,
) -> Result<Vec<Answer>, PluginError> {
    let mut answers: Vec<Answer> = Vec::new();
    for event in events.rows() {
        let mut values = Vec::new();
        for column in columns.iter().filter(|column| *column != time) {
            if let Some(value) = event.display(column)?.filter(|value| !value.is_empty()) {
                values.push((column.clone(), value));
            }
        }
        if values.is_empty() {
            continue;
        }
        let at = event.time(time)?;
        match answers.iter_mut().find(|answer| answer.values == values) {
            Some(answer) => {
                answer.count += 1;
                answer.last = answer.last.max(at);
            }
            None => answers.push(Answer {
                values,
                count: 1,
                last: at,
            }),
        }
    }
    // Stable, so answers of one time stay in the order of their events.
    answers.sort_by_key(|answer| std::cmp::Reverse(answer.last));
    Ok(answers)
}
