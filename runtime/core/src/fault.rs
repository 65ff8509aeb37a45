//! Whose fault an error is, which decides the exit code of a command.

use std::error::Error;
use std::fmt;

/// An error in a rule, pack or plugin, and not in configuration or input: an author must mend it, not an operator.
///
/// It stands for the error that it holds: same message, same causes.
#[derive(Debug)]
pub struct RuleFault(Box<dyn Error + Send + Sync>);

impl RuleFault {
    /// Makes one of a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// Makes one of another error.
    pub fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for RuleFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Marks the errors of results.
pub trait OrRuleFault<T> {
    /// Turns the error into a [`RuleFault`].
    ///
    /// # Errors
    /// The same error, marked.
    fn or_rule_fault(self) -> Result<T, RuleFault>;
}

impl<T, E: Error + Send + Sync + 'static> OrRuleFault<T> for Result<T, E> {
    fn or_rule_fault(self) -> Result<T, RuleFault> {
        self.map_err(RuleFault::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_stands_for_the_error_that_it_holds() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the rule")]
        struct Unreadable(#[source] std::io::Error);
        let error = Unreadable(std::io::Error::other("disk"));
        let fault = Err::<(), _>(error).or_rule_fault().unwrap_err();
        assert_eq!(fault.to_string(), "cannot read the rule");
        assert_eq!(fault.source().unwrap().to_string(), "disk");
        assert_eq!(RuleFault::new("no rule").to_string(), "no rule");
        assert!(RuleFault::new("no rule").source().is_none());
    }
}
