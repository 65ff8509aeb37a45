//! Search for events by observable and time. The host limits rows and time.

use crate::bindings::enricher::yagura::plugin::search as raw;
use crate::state::HOUR;
use crate::{Alert, Batch, Observable, PluginError};

/// Starts a search in a table.
pub fn table(name: impl Into<String>) -> Search {
    Search {
        query: raw::Query {
            table: name.into(),
            observable: (String::new(), String::new()),
            from: i64::MIN,
            to: i64::MAX,
            columns: Vec::new(),
            limit: 100,
        },
    }
}

/// A search for the events of a table with an observable in a time range.
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before `find`"]
pub struct Search {
    query: raw::Query,
}

impl Search {
    /// Searches for events with this observable.
    pub fn observable(self, kind: Observable, value: impl Into<String>) -> Self {
        self.observable_of(kind.name(), value)
    }

    /// Searches for events with this observable; its kind is a name.
    pub fn observable_of(mut self, kind: &str, value: impl Into<String>) -> Self {
        self.query.observable = (kind.to_owned(), value.into());
        self
    }

    /// Searches from `from` until before `to`, in microseconds since 1970-01-01T00:00:00Z.
    pub fn between(mut self, from: i64, to: i64) -> Self {
        (self.query.from, self.query.to) = (from, to);
        self
    }

    /// Searches around the events of an alert: from some hours before the first to some hours after the last.
    pub fn around(self, alert: &Alert, before: i64, after: i64) -> Self {
        self.between(
            alert.first_time.saturating_sub(before.saturating_mul(HOUR)),
            alert.last_time.saturating_add(after.saturating_mul(HOUR)),
        )
    }

    /// Selects columns.
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.query.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Limits the number of events; the default is 100.
    pub fn limit(mut self, rows: u32) -> Self {
        self.query.limit = rows;
        self
    }

    /// Runs the search.
    ///
    /// # Errors
    /// [`PluginError::Config`] if there is no such table or no grant for it, [`PluginError::Retry`] if the search took
    /// too long.
    pub fn find(self) -> Result<SearchResult, PluginError> {
        let events = host::find(self.query)?;
        // Checked once, so that reading cannot fail.
        Batch::new(&events.schema, &events.batch)?;
        Ok(SearchResult { events })
    }
}

/// The result of a search.
#[derive(Debug, Clone)]
pub struct SearchResult {
    events: raw::Events,
}

impl SearchResult {
    /// Returns the events as a batch, as in a detector: `found.batch().rows()`, `row.str("host")`.
    pub fn batch(&self) -> Batch<'_> {
        Batch::checked(&self.events.schema, &self.events.batch)
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.events.batch.rows as usize
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.batch.rows == 0
    }

    /// Returns whether there are more events than the limit.
    pub fn is_truncated(&self) -> bool {
        self.events.truncated
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::raw;
    use crate::PluginError;

    pub(super) fn find(query: raw::Query) -> Result<raw::Events, PluginError> {
        raw::find(&query)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) use crate::testing::host::find;
}
