//! The observables of hits, counted: what to search for next.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray};

use crate::kinds::Kind;

/// Different observables that are counted. Of further ones only their number is known.
const MAX_COUNTED: usize = 1_000_000;

/// The observables of hits, with the number of hits that have each.
#[derive(Debug, Default)]
pub struct Pivot {
    counts: HashMap<(Kind, String), u64>,
    /// Observables that were not counted, because too many different ones came before.
    pub not_counted: u64,
}

/// An observable and the number of hits that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedObservable {
    /// Its kind.
    pub kind: Kind,
    /// Its value.
    pub value: String,
    /// How many hits have it.
    pub count: u64,
}

impl Pivot {
    pub(crate) fn add(&mut self, kind: &str, value: &str, count: u64) {
        let Some(kind) = Kind::from_name(kind) else {
            return;
        };
        let key = (kind, value.to_owned());
        let is_full = self.counts.len() >= MAX_COUNTED;
        match self.counts.get_mut(&key) {
            Some(known) => *known += count,
            None if is_full => self.not_counted += count,
            None => {
                self.counts.insert(key, count);
            }
        }
    }

    /// Returns the `limit` most frequent observables of each kind, the most frequent first, and how many different ones each kind has.
    pub fn most_frequent(&self, limit: usize) -> Vec<(Kind, usize, Vec<CountedObservable>)> {
        let of_kind = |kind: Kind| {
            let mut all: Vec<(&String, u64)> = self
                .counts
                .iter()
                .filter(|((of, _), _)| *of == kind)
                .map(|((_, value), count)| (value, *count))
                .collect();
            all.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
            let most = all
                .iter()
                .take(limit)
                .map(|(value, count)| CountedObservable {
                    kind,
                    value: (*value).clone(),
                    count: *count,
                });
            (kind, all.len(), most.collect())
        };
        let kinds = Kind::ALL.into_iter().map(of_kind);
        kinds.filter(|(_, different, _)| *different > 0).collect()
    }
}

/// Calls `each` with every value of an array of texts; of a JSON list with each of its members.
pub(crate) fn values_of(texts: &ArrayRef, mut each: impl FnMut(String)) {
    for text in texts.as_string::<i32>().iter().flatten() {
        let list = text
            .starts_with('[')
            .then(|| serde_json::from_str::<Vec<serde_json::Value>>(text));
        match list {
            Some(Ok(members)) => members.into_iter().for_each(|member| match member {
                serde_json::Value::String(text) => each(text),
                serde_json::Value::Null => {}
                other => each(other.to_string()),
            }),
            _ if text.is_empty() => {}
            _ => each(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn members_of_lists_are_counted_one_by_one() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some("192.0.2.1"),
            None,
            Some(r#"["192.0.2.1", null, "192.0.2.2"]"#),
            Some(""),
            Some("[not json"),
        ]));
        let mut pivot = Pivot::default();
        values_of(&texts, |value| pivot.add("ip", &value, 1));
        pivot.add("user", "alice", 1);
        let most = pivot.most_frequent(2);
        let shown: Vec<_> = most
            .iter()
            .map(|(kind, different, values)| {
                let values = values.iter().map(|one| (one.value.as_str(), one.count));
                (kind.name(), *different, values.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("ip", 3, vec![("192.0.2.1", 2), ("192.0.2.2", 1)]),
                ("user", 1, vec![("alice", 1)])
            ]
        );
    }
}
