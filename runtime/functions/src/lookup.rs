//! `map_value`: a table of values in an expression.

use std::collections::HashMap;

use crate::{Made, Prepared, Value};

#[derive(Debug)]
struct Table {
    values: HashMap<String, String>,
    default: Option<String>,
}

/// Prepares `map_value(value, key, result [, key, result …] [, default])`.
pub(crate) fn prepare(settings: &[&str]) -> Made {
    let mut pairs = settings.chunks_exact(2);
    let mut values = HashMap::new();
    for pair in &mut pairs {
        let [key, value] = pair else { continue };
        if values
            .insert((*key).to_owned(), (*value).to_owned())
            .is_some()
        {
            return Err(format!("the key '{key}' stands twice"));
        }
    }
    let default = pairs.remainder().first().map(|text| (*text).to_owned());
    Ok(Box::new(Table { values, default }))
}

impl Prepared for Table {
    fn value<'t>(&self, text: &'t str) -> Option<Value<'t>> {
        let found = self.values.get(text).or(self.default.as_ref())?;
        Some(Value::text(found.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_there_is_the_default() {
        let get = |settings: &[&str], text: &str| match prepare(settings).unwrap().value(text) {
            Some(Value::Text(text)) => Some(text.into_owned()),
            _ => None,
        };
        let settings = ["6", "TCP", "17", "UDP", "other"];
        assert_eq!(get(&settings, "17").as_deref(), Some("UDP"));
        assert_eq!(get(&settings, "1").as_deref(), Some("other"));
        assert_eq!(get(&settings[..4], "1"), None);
        assert_eq!(get(&settings[..2], "6").as_deref(), Some("TCP"));
        assert_eq!(
            prepare(&["a", "1", "a", "2"]).unwrap_err(),
            "the key 'a' stands twice"
        );
    }
}
