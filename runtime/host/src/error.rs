//! The results of a call that failed, separated by what a caller can do about them.

use yagura_core::names::did_you_mean;

use crate::backtrace::{Frame, trace};
use crate::limit_exceeded::LimitExceeded;
use crate::text::readable;

/// Why a call of a plugin gave no answer. Messages name the call; plugin, rule and batch are known to the caller.
///
/// After any error but [`CallError::Guest`], [`CallError::UnknownRule`] and [`CallError::Misuse`] the instance is unusable: open a
/// new one.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin returned an error; its instance is still usable.
    #[error("the plugin answered: {0}")]
    Guest(PluginError),
    /// The component has no code for a rule of the pack.
    #[error("the component has no code for the rule `{rule}`{}; it has: {}", did_you_mean(.rule, .known.iter().map(String::as_str)), names(.known))]
    UnknownRule {
        /// The rule's id.
        rule: String,
        /// The rules that the component has code for.
        known: Vec<String>,
    },
    /// The plugin crashed.
    #[error(transparent)]
    Trap(Trap),
    /// The plugin used more than its limits allow.
    #[error(transparent)]
    Limit(LimitExceeded),
    /// The plugin's answer breaks the contract.
    #[error("the plugin's answer from `{call}` is invalid: {reason}")]
    Garbage {
        /// The function of the contract.
        call: &'static str,
        /// Why the answer is invalid.
        reason: String,
    },
    /// The host failed, not the plugin.
    #[error("the host failed in `{call}`")]
    Host {
        /// The function of the contract.
        call: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller broke the contract: a rule that was not opened, or columns that do not fit its schema.
    #[error("cannot call `{call}`: {reason}")]
    Misuse {
        /// The function of the contract.
        call: &'static str,
        /// What is wrong with the call.
        reason: String,
    },
    /// An earlier error made this instance unusable.
    #[error("this instance of the plugin failed earlier; open a new one")]
    Poisoned,
}

/// The error that a plugin returns. The text is the plugin's, at most 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The configuration or the rules are wrong.
    #[error("the configuration is wrong: {0}")]
    Config(String),
    /// These events cannot be evaluated.
    #[error("the events cannot be evaluated: {0}")]
    Data(String),
    /// Another attempt with the same input may succeed.
    #[error("try again: {0}")]
    Retry(String),
}

impl PluginError {
    pub(crate) fn config(text: &str) -> Self {
        Self::Config(readable(text))
    }

    pub(crate) fn data(text: &str) -> Self {
        Self::Data(readable(text))
    }

    pub(crate) fn retry(text: &str) -> Self {
        Self::Retry(readable(text))
    }
}

/// A crash of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plugin crashed in `{call}`: {reason}{}{}", after_colon(.last_error), trace(.backtrace))]
pub struct Trap {
    /// The function of the contract.
    pub call: &'static str,
    /// The reason that Wasm gives.
    pub reason: String,
    /// The log lines of this call at level error, joined on one line, such as the message of a panic.
    pub last_error: Option<String>,
    /// Where it crashed, innermost function first.
    pub backtrace: Vec<Frame>,
}

fn after_colon(last_error: &Option<String>) -> String {
    match last_error {
        Some(text) => format!(": {text}"),
        None => String::new(),
    }
}

fn names(known: &[String]) -> String {
    match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_rule_names_near_ones() {
        let error = CallError::UnknownRule {
            rule: "console-logn".to_owned(),
            known: vec!["console-login".to_owned(), "root-use".to_owned()],
        };
        assert_eq!(
            error.to_string(),
            "the component has no code for the rule `console-logn`; did you mean `console-login`?; it has: \
             console-login, root-use"
        );
    }
}
