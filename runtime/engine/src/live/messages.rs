//! Messages about a table in a service, each of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use yagura_lake::OddTimes;
use yagura_lake::table::Table;
use yagura_plan::ConvertedValues;

use crate::calls::chain;

/// Messages for the next step, and what was reported before.
#[derive(Debug, Default)]
pub(super) struct TableMessages {
    messages: Vec<String>,
    /// Objects of 0 bytes that are there, and whether that was reported: a writer may have only begun them.
    empty: BTreeMap<String, bool>,
    /// Stray folders, and names that no object can have, which were reported.
    left_out: BTreeSet<String>,
    /// Events whose times are odd, since the service began.
    odd_times: OddTimes,
    /// Columns whose text is not UTF-8, which was reported.
    not_utf8: BTreeSet<String>,
}

impl TableMessages {
    pub(super) fn push(&mut self, message: String) {
        self.messages.push(message);
    }

    pub(super) fn extend(&mut self, messages: impl IntoIterator<Item = String>) {
        self.messages.extend(messages);
    }

    /// Returns and forgets the messages.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }

    /// Names the objects have 0 bytes: one that is still so at the second look is not being written.
    pub(super) fn note_empty(&mut self, names: Vec<String>) {
        let before = std::mem::take(&mut self.empty);
        for name in names {
            let mut was_said = before.get(&name).copied().unwrap_or_default();
            if before.contains_key(&name) && !was_said {
                self.messages
                    .push(format!("{name} has 0 bytes and is passed over"));
                was_said = true;
            }
            self.empty.insert(name, was_said);
        }
    }

    /// Names the objects are left out because of where they lie, each folder once, or of their names.
    pub(super) fn note_left_out(&mut self, strays: &[String], odd_names: &[String]) {
        let mut folders: BTreeMap<&str, u64> = BTreeMap::new();
        for name in strays {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            *folders.entry(folder).or_default() += 1;
        }
        let strays = folders.into_iter().map(|(folder, count)| {
            let what = match count {
                1 => "1 object in it is".to_owned(),
                count => format!("{count} objects in it are"),
            };
            let text = format!(
                "{folder} is a stray folder: {what} left out; move them to where the table's other objects lie, or remove the folder"
            );
            (folder, text)
        });
        let odd_names = odd_names.iter().map(|name| {
            let text = format!(
                "{name} is left out: its name has control characters, a folder that is empty, `.` or `..`, or bytes that are not UTF-8; rename it"
            );
            (name.as_str(), text)
        });
        let mut more = 0;
        let mut said = 0;
        for (name, text) in strays.chain(odd_names) {
            if self.left_out.contains(name) || self.left_out.len() >= MAX_REMEMBERED {
                continue;
            }
            // A message for each of thousands is read by nobody.
            if said < MAX_LEFT_OUT {
                self.messages.push(text);
                said += 1;
            } else {
                more += 1;
            }
            self.left_out.insert(name.to_owned());
        }
        if more > 0 {
            self.messages.push(format!(
                "{more} more stray folders or odd names are left out"
            ));
        }
    }

    /// Names the events have odd times: of the first, and each time that they are ten times as many.
    pub(super) fn note_odd_times(&mut self, table: &Table, more: OddTimes) {
        let counts = |odd: &OddTimes| [odd.without.count, odd.old.count, odd.future.count];
        let before = counts(&self.odd_times);
        self.odd_times.join(more);
        let kinds = [
            (
                &self.odd_times.without,
                format!(
                    "without a usable time in `{}`: no rule evaluates them",
                    table.time
                ),
            ),
            (
                &self.odd_times.old,
                "before 1990: their times are most likely wrong".to_owned(),
            ),
            (
                &self.odd_times.future,
                "ahead of the clock: they do not move time on, and the clock of their source is wrong".to_owned(),
            ),
        ];
        let grown = kinds
            .into_iter()
            .zip(before)
            .filter(|((odd, _), before)| odd.count.checked_ilog10() != before.checked_ilog10());
        let messages = grown.filter_map(|((odd, what), _)| {
            let (object, row, _) = odd.example.as_ref()?;
            let source = odd.source.as_ref().map(|source| format!(", of {source}"));
            Some(format!(
                "table `{}` has {} {what}; for instance row {row} of {object}{}",
                table.name,
                events(odd.count),
                source.unwrap_or_default()
            ))
        });
        self.messages.extend(messages.collect::<Vec<_>>());
    }

    /// Names the values rules see otherwise than they are stored: of text once a column, of lost values each time.
    pub(super) fn note_converted(&mut self, table: &Table, converted: &ConvertedValues) {
        let new = converted.not_utf8.iter();
        let new: BTreeMap<_, _> = new
            .filter(|(column, _)| self.not_utf8.insert((*column).clone()))
            .map(|(column, count)| (column.clone(), *count))
            .collect();
        let told = ConvertedValues {
            not_utf8: new,
            lost: converted.lost.clone(),
            too_large: converted.too_large.clone(),
        };
        self.messages.extend(told.messages(&table.name));
    }
}

/// So many stray folders and odd names are named at once.
const MAX_LEFT_OUT: usize = 10;
/// So many are remembered, so that each is named once.
const MAX_REMEMBERED: usize = 10_000;

/// Returns why something cannot be done now, the same text as long as it is the same reason: how long a request took is left
/// out.
pub(super) fn problem(error: &dyn std::error::Error) -> String {
    static DURATION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r" in [0-9.]+(ns|µs|ms|s)\b").ok());
    let text = chain(error);
    match &*DURATION {
        Some(duration) => duration.replace_all(&text, "").into_owned(),
        None => text,
    }
}

fn events(count: u64) -> String {
    match count {
        1 => "1 event".to_owned(),
        _ => format!("{count} events"),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::object_store::Error;

    use super::*;

    #[test]
    fn what_is_left_out_is_named_once_and_many_are_counted() {
        let mut notes = TableMessages::default();
        let strays = ["t/x=1/a", "t/x=1/b", "t/y/a"].map(str::to_owned);
        let odd = ["t/a\\tb".to_owned()];
        notes.note_left_out(&strays, &odd);
        let said = notes.take();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].starts_with("t/x=1 is a stray folder: 2 objects in it are left out"));
        assert!(said[2].starts_with("t/a\\tb is left out"), "{said:?}");
        notes.note_left_out(&strays, &odd);
        assert_eq!(notes.take(), [] as [String; 0]);
        let many: Vec<String> = (0..50).map(|at| format!("t/{at}/a")).collect();
        notes.note_left_out(&many, &[]);
        let said = notes.take();
        assert_eq!(said.len(), MAX_LEFT_OUT + 1);
        assert!(said[MAX_LEFT_OUT].starts_with("40 more"), "{said:?}");
    }

    #[test]
    fn one_reason_is_one_text_however_long_requests_take() {
        let failed = |after: &str| Error::Generic {
            store: "S3",
            source: format!("Error performing GET http://x/y in {after}, after 2 retries").into(),
        };
        let texts = ["586.418µs", "1.2s", "30ms"].map(|after| problem(&failed(after)));
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[1], texts[2]);
        assert_eq!(texts[0].matches("performing").count(), 1, "{}", texts[0]);
    }
}
