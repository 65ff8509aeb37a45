//! Values that a key had lately.

use serde::{Deserialize, Serialize};

use crate::output::OperatorOutput;

/// Values and when each was last seen, the longest ago first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RecentValues(Vec<(Box<str>, i64)>);

impl RecentValues {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what was last seen at `oldest` or before.
    pub(crate) fn forget(&mut self, oldest: i64) {
        let gone = self.0.partition_point(|(_, last)| *last <= oldest);
        self.0.drain(..gone);
    }

    /// Notes a value, and says whether it was known; above `most` the one seen longest ago is given up.
    pub(crate) fn note(
        &mut self,
        value: Box<str>,
        time: i64,
        most: usize,
        out: &mut OperatorOutput,
    ) -> bool {
        let known = self.0.iter().position(|(known, _)| *known == value);
        if let Some(at) = known {
            self.0.remove(at);
        }
        self.0.push((value, time));
        if self.0.len() > most {
            self.0.remove(0);
            out.capped += 1;
        }
        known.is_some()
    }

    /// Returns when the last value was seen.
    pub(crate) fn last(&self) -> Option<i64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// Memory behind it, about, in bytes.
    pub(crate) fn heap(&self) -> usize {
        let texts = self.0.iter().take(100).map(|(value, _)| value.len());
        self.0.capacity() * 24 + texts.sum::<usize>()
    }
}

/// Returns the values of a hit as one text, by which they differ; nothing if all are absent.
pub(crate) fn joined(values: &[Option<Box<str>>]) -> Option<Box<str>> {
    match values {
        [one] => one.clone(),
        _ if values.iter().all(Option::is_none) => None,
        _ => Some(yagura_core::key::join(values.iter().map(Option::as_deref)).into()),
    }
}
