//! Lookup tables: files of the pack, and tables that the operator grants by name.

use std::borrow::Cow;

use crate::{Json, PluginError};

/// Returns the row under `key`; in a table of networks, the row of the network that contains the address `key`.
///
/// # Errors
/// [`PluginError::Config`] if there is no such table, or no grant for it.
pub fn get(table: &str, key: &str) -> Result<Option<Entry>, PluginError> {
    let row = host::get(table, key)?;
    Ok(row.map(|row| Entry { row }))
}

/// A row of a lookup table.
#[derive(Debug, Clone)]
pub struct Entry {
    row: String,
}

impl Entry {
    /// Returns the row.
    pub fn json(&self) -> Json<'_> {
        Json::new(&self.row)
    }

    /// Returns a column as text, or `None` if it is absent or empty.
    pub fn text(&self, column: &str) -> Option<Cow<'_, str>> {
        let text = self.json().get(column)?.text()?;
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::enricher::yagura::plugin::lookup as host;

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) use crate::testing::host::lookup as get;
}
