//! Keys of several values as one text.

/// Joins values by `|`; a `|` or `\` inside a value is written after a `\`, so that no two keys meet. NULL is the empty
/// text.
pub fn join<'a>(values: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut key = String::new();
    for (index, value) in values.enumerate() {
        if index > 0 {
            key.push('|');
        }
        let value = value.unwrap_or_default();
        if !value.contains(['|', '\\']) {
            key.push_str(value);
            continue;
        }
        for c in value.chars() {
            if matches!(c, '|' | '\\') {
                key.push('\\');
            }
            key.push(c);
        }
    }
    key
}

/// Returns the values that [`join`] made a key of.
pub fn split(key: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut chars = key.chars();
    while let Some(c) = chars.next() {
        let last = values.len() - 1;
        match c {
            '|' => values.push(String::new()),
            '\\' => values[last].extend(chars.next()),
            c => values[last].push(c),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_columns_never_meet() {
        let key = |values: [Option<&str>; 2]| join(values.into_iter());
        assert_eq!(key([Some("a"), Some("b")]), "a|b");
        assert_ne!(key([Some("a|b"), Some("c")]), key([Some("a"), Some("b|c")]));
        assert_ne!(key([Some("a\\"), Some("b")]), key([Some("a"), Some("\\b")]));
        assert_eq!(key([None, Some("b")]), "|b");
    }

    #[test]
    fn a_key_splits_into_its_values() {
        for values in [["a", "b"], ["a|b", "\\"], ["", "|\\|"]] {
            assert_eq!(split(&join(values.into_iter().map(Some))), values);
        }
    }
}
