//! The keys of `[rule.correlation]` that its kind reads.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::Table;

use super::condition::Condition;
use crate::names::did_you_mean;

/// The keys that are left to read, and those that were asked for.
#[derive(Debug)]
pub struct CorrelationKeys {
    given: Table,
    asked: Vec<&'static str>,
}

/// What is wrong with a key of a correlation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    /// The key, inside `[rule.correlation]`.
    pub key: String,
    /// What was found and what to write instead, as its predicate.
    pub message: String,
}

/// `key `KEY` MESSAGE`, from which [`crate::source::SourceText`] finds the key's place.
impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key `{}` {}", self.key, self.message)
    }
}

impl std::error::Error for KeyError {}

impl KeyError {
    /// Returns what is wrong with a key.
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// Returns that a key is missing.
    pub fn missing(key: &str) -> Self {
        Self::new(key, format!("is missing{}", example(key)))
    }
}

impl CorrelationKeys {
    pub(super) fn new(given: Table) -> Self {
        Self {
            given,
            asked: Vec::new(),
        }
    }

    /// Takes a key that may be absent.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<T>, KeyError> {
        self.asked.push(key);
        let Some(value) = self.given.remove(key) else {
            return Ok(None);
        };
        value
            .try_into()
            .map(Some)
            .map_err(|error: toml::de::Error| KeyError::new(key, said(error.message())))
    }

    /// Takes a key that must be there.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<T, KeyError> {
        let value = self.optional(key)?;
        value.ok_or_else(|| KeyError::missing(key))
    }

    /// Takes `condition`, which must have a bound.
    pub(super) fn condition(&mut self) -> Result<Condition, KeyError> {
        let condition: Option<Condition> = self.optional("condition")?;
        let given = condition.filter(|condition| !condition.is_empty());
        given.ok_or_else(|| KeyError::missing("condition"))
    }

    /// Refuses the first key that the kind with this word did not ask for.
    pub(super) fn finish(self, word: &str) -> Result<(), KeyError> {
        let Some(key) = self.given.keys().next() else {
            return Ok(());
        };
        let near = did_you_mean(key, self.asked.iter().copied());
        let message = format!("is given, and `{word}` does not use it{near}");
        Err(KeyError::new(key, message))
    }
}

/// Words serde's messages as the predicate of a key.
fn said(message: &str) -> String {
    let message = message.trim();
    let types = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    match types.and_then(|types| types.split_once(", expected ")) {
        Some((found, expected)) => format!("is {found}: expected {expected}"),
        // A sentence about the value, which it quotes.
        None if message.starts_with('`') => message.to_owned(),
        None => format!("is wrong: {message}"),
    }
}

/// Returns what a key that is missing may be, for those that several kinds share.
fn example(key: &str) -> &'static str {
    match key {
        "within" => ": how long may it take, for instance `10m`?",
        "gap" => ": how long without a finding ends a session, for instance `10m`?",
        "condition" => ": what must the number be, for instance `{ gte = 10 }`?",
        "baseline" => ": how far back does the key's normal reach, for instance `7d`?",
        "field" => ": name the field that is measured",
        _ => "",
    }
}
