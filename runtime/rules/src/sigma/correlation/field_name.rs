//! Names of fields.

use yagura_core::FieldPath;

/// Returns a field's name as a path that reads as this name: one that does not is quoted.
pub fn field_name(name: &str) -> String {
    match name.parse::<FieldPath>() {
        Ok(path) if path.to_string() == name => name.to_owned(),
        _ => FieldPath::new(vec![name.to_owned()])
            .map(|path| path.to_string())
            .unwrap_or_default(),
    }
}

/// Returns the names as paths, each once.
pub(super) fn unique(names: &[String]) -> Vec<String> {
    let mut unique = Vec::with_capacity(names.len());
    for name in names.iter().map(|name| field_name(name)) {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}
