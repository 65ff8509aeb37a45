//! The key that a diagnostic is about.

use std::fmt;

use serde::{Serialize, Serializer};

/// A path to a value: names of tables and keys, and indices of arrays. Written as `route[2].when.hours`, with indices from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(Vec<KeyPart>);

/// A step from a table or an array to a value in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPart {
    /// The value with this name in a table.
    Name(String),
    /// The element at this index, from zero, of an array.
    Index(usize),
}

impl Key {
    /// Returns a key at the top of a file.
    pub fn top(name: &str) -> Self {
        Self::default().name(name)
    }

    /// Reads a key as it is written: names joined by dots, with indices from one in brackets: `plugin[1].limits.time`. Names that
    /// hold dots themselves are added by [`Key::name`].
    pub fn written(text: &str) -> Self {
        let mut key = Self::default();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            key = key.name(pieces.next().unwrap_or_default());
            for piece in pieces {
                let number = piece
                    .strip_suffix(']')
                    .and_then(|n| n.parse::<usize>().ok());
                key = match number.and_then(|number| number.checked_sub(1)) {
                    Some(index) => key.index(index),
                    None => key.name(piece),
                };
            }
        }
        key
    }

    /// Returns the key `name` of the table that this key names.
    #[must_use]
    pub fn name(&self, name: &str) -> Self {
        self.with(KeyPart::Name(name.to_owned()))
    }

    /// Returns the element at `index`, from zero, of the array that this key names.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(KeyPart::Index(index))
    }

    /// Returns this key followed by the steps of another.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(&inner.0).cloned().collect())
    }

    /// Returns the steps, the outermost first.
    pub fn steps(&self) -> &[KeyPart] {
        &self.0
    }

    fn with(&self, step: KeyPart) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                KeyPart::Name(name) => {
                    if index > 0 {
                        f.write_str(".")?;
                    }
                    // A name with a dot of its own is not two names.
                    match name.is_empty() || name.contains(['.', '[', '"', ' ', '\n']) {
                        true => write!(f, "{name:?}")?,
                        false => f.write_str(name)?,
                    }
                }
                KeyPart::Index(place) => write!(f, "[{}]", place + 1)?,
            }
        }
        Ok(())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in [
            "rule",
            "rule.alert.window",
            "plugin[2].limits.time",
            "a[1][3].b",
        ] {
            assert_eq!(Key::written(text).to_string(), text);
        }
        let built = Key::top("plugin").index(1).name("limits").name("time");
        assert_eq!(Key::written("plugin[2].limits.time"), built);
    }

    #[test]
    fn a_name_with_a_dot_stays_one_name() {
        let key = Key::top("notifier").name("on.call").name("every");
        assert_eq!(key.to_string(), "notifier.\"on.call\".every");
    }
}
