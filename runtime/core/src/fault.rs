//! Who must mend an error, which decides the exit code of a command.

use std::error::Error;
use std::fmt;

/// Who must mend an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The author of a rule, pack or plugin.
    Rule,
    /// The operator: configuration, input, or what a service depends on.
    Input,
}

/// An error that knows who must mend it.
pub trait HasFault: Error + Send + Sync + 'static {
    /// Returns who must mend it.
    fn fault(&self) -> FaultKind;
}

/// An error with its kind of fault. It stands for the error that it holds: same message, same causes.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    error: Box<dyn Error + Send + Sync>,
}

impl Fault {
    /// Makes a fault of a rule, pack or plugin from a message.
    pub fn rule(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Rule,
            error: message.into().into(),
        }
    }

    /// Takes over an error that knows its kind.
    pub fn of(error: impl HasFault) -> Self {
        Self {
            kind: error.fault(),
            error: Box::new(error),
        }
    }

    /// Returns the kind of an error with its causes: that of the first that has one.
    pub fn kind<'a>(causes: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> FaultKind {
        let mut causes = causes.into_iter();
        let fault = causes.find_map(|cause| cause.downcast_ref::<Self>());
        fault.map_or(FaultKind::Input, |fault| fault.kind)
    }

    /// Returns the error that it holds.
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.error
    }

    /// Returns the error that it holds, if it is of this type.
    pub fn get<E: Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Results whose errors know their kind.
pub trait OrFault<T> {
    /// Turns the error into a [`Fault`].
    ///
    /// # Errors
    /// The same error, with its kind.
    fn or_fault(self) -> Result<T, Fault>;
}

impl<T, E: HasFault> OrFault<T> for Result<T, E> {
    fn or_fault(self) -> Result<T, Fault> {
        self.map_err(Fault::of)
    }
}

impl HasFault for crate::PackError {
    fn fault(&self) -> FaultKind {
        FaultKind::Rule
    }
}

impl HasFault for crate::Diagnostics {
    fn fault(&self) -> FaultKind {
        FaultKind::Rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the rule")]
    struct Unreadable(#[source] std::io::Error);

    impl HasFault for Unreadable {
        fn fault(&self) -> FaultKind {
            FaultKind::Rule
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Outer<E: Error + 'static>(#[source] E);

    fn kind(error: &(dyn Error + 'static)) -> FaultKind {
        Fault::kind([Some(error), error.source()].into_iter().flatten())
    }

    #[test]
    fn a_fault_stands_for_the_error_that_it_holds() {
        let error = Unreadable(std::io::Error::other("disk"));
        let fault = Err::<(), _>(error).or_fault().unwrap_err();
        assert_eq!(fault.to_string(), "cannot read the rule");
        assert_eq!(fault.source().unwrap().to_string(), "disk");
        assert!(fault.get::<Unreadable>().is_some());
        assert_eq!(kind(&Outer(fault)), FaultKind::Rule);
    }

    #[test]
    fn the_kind_is_that_of_a_cause_or_input() {
        assert_eq!(kind(&Outer(Fault::rule("no rule"))), FaultKind::Rule);
        assert_eq!(
            kind(&Outer(std::io::Error::other("disk"))),
            FaultKind::Input
        );
    }
}
