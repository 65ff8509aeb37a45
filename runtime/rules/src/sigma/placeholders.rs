//! Values of placeholders.

use std::collections::BTreeMap;

/// The values of placeholders, by name.
pub type Placeholders = BTreeMap<String, Vec<String>>;
