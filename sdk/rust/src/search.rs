//! Events by observable and time, through the host, which bounds rows and time.

use crate::bindings::enricher::yagura::plugin::search as raw;
use crate::state::HOUR;
use crate::{Alert, Batch, Observable, PluginError};

/// Starts a question to a table.
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

/// A question: which events of a table have this observable in this range of time?
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before `find`"]
pub struct Search {
    query: raw::Query,
}

impl Search {
    /// Asks for events with this observable.
    pub fn observable(self, kind: Observable, value: impl Into<String>) -> Self {
        self.observable_of(kind.name(), value)
    }

    /// Asks for events with this observable, its kind by name.
    pub fn observable_of(mut self, kind: &str, value: impl Into<String>) -> Self {
        self.query.observable = (kind.to_owned(), value.into());
        self
    }

    /// Asks for events from `from` to before `to`, in microseconds since 1970-01-01T00:00:00Z.
    pub fn between(mut self, from: i64, to: i64) -> Self {
        (self.query.from, self.query.to) = (from, to);
        self
    }

    /// Asks for events around an alert's: from so many hours before its first to so many after its last.
    pub fn around(self, alert: &Alert, before: i64, after: i64) -> Self {
        self.between(
            alert.first_time.saturating_sub(before.saturating_mul(HOUR)),
            alert.last_time.saturating_add(after.saturating_mul(HOUR)),
        )
    }

    /// Asks for these columns of the events.
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.query.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Asks for at most so many events; 100 if it is not said.
    pub fn limit(mut self, rows: u32) -> Self {
        self.query.limit = rows;
        self
    }

    /// Asks.
    ///
    /// # Errors
    /// [`PluginError::Config`] where there is no such table or no grant for it, [`PluginError::Retry`] when the time was not
    /// enough.
    pub fn find(self) -> Result<Found, PluginError> {
        let events = host::find(self.query)?;
        // Checked once, so that reading cannot fail.
        Batch::new(&events.schema, &events.batch)?;
        Ok(Found { events })
    }
}

/// Events that were found.
#[derive(Debug, Clone)]
pub struct Found {
    events: raw::Events,
}

impl Found {
    /// Returns the events, as a detector sees them: `found.batch().rows()`, `row.str("host")`.
    pub fn batch(&self) -> Batch<'_> {
        Batch::checked(&self.events.schema, &self.events.batch)
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.events.batch.rows as usize
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.batch.rows == 0
    }

    /// Says whether there are more than the limit let through.
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
