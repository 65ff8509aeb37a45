//! What is wrong with a policy, and where it stands.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Something in a policy that is wrong, or looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}`{key}` {message}", place(.file.as_ref(), *.line))]
pub struct Problem {
    /// The file, where the policy was read from one.
    pub file: Option<PathBuf>,
    /// Line of the key, from one, where it is known.
    pub line: Option<usize>,
    /// The key.
    pub key: Key,
    /// Whether the policy can be used all the same.
    pub level: Level,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// How much is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, and does not do what its author meant.
    Warning,
}

/// A key of the policy: names, and places in arrays. Written as `route[2].when.hours`, places counted from one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Key(Vec<Step>);

/// A step from a table or an array to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Place(usize),
}

impl Problem {
    /// Returns a problem without which the policy could be used.
    pub(super) fn error(key: Key, message: impl Into<String>) -> Self {
        Self::new(Level::Error, key, message)
    }

    /// Returns a problem with which the policy can be used.
    pub(super) fn warning(key: Key, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, key, message)
    }

    fn new(level: Level, key: Key, message: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            key,
            level,
            message: message.into(),
        }
    }
}

impl Key {
    /// Returns a key of the file's top.
    pub(super) fn top(name: &str) -> Self {
        Self::default().name(name)
    }

    /// Returns the key `name` of the table that this key names.
    pub(super) fn name(&self, name: &str) -> Self {
        self.with(Step::Name(name.to_owned()))
    }

    /// Returns the element at `place`, from zero, of the array that this key names.
    pub(super) fn place(&self, place: usize) -> Self {
        self.with(Step::Place(place))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if index == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Place(place) => write!(f, "[{}]", place + 1)?,
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

fn place(file: Option<&PathBuf>, line: Option<usize>) -> String {
    let Some(file) = file else {
        return String::new();
    };
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: ", file.display())
}
