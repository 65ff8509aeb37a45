//! Alerts and reports, as enrichers, reviewers and notifiers see them.

pub use crate::bindings::notifier::exports::yagura::plugin::notifying::{Report, Status};
use crate::{Alert, Observable, PluginError, Severity, Verdict};

impl Alert {
    /// Returns the alert's observables of a kind, in order.
    pub fn observables_of(&self, kind: Observable) -> impl Iterator<Item = &str> {
        let of_kind = move |(found, _): &&(String, String)| found == kind.name();
        self.observables
            .iter()
            .filter(of_kind)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the first context entry with this name.
    pub fn context(&self, name: &str) -> Option<&str> {
        let mut context = self.context.iter();
        context
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Report {
    /// Returns id and revision as one text: an idempotency key, for services that support one.
    pub fn revision_id(&self) -> String {
        format!("{}-{}", self.id, self.revision)
    }

    /// Returns whether this is the first report with this id, as far as is known.
    pub fn is_first(&self) -> bool {
        self.earlier.is_none()
    }
}

impl Severity {
    /// Returns the name in the contract: `critical`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Returns the severity of this name, or `None`.
    pub fn of(name: &str) -> Option<Self> {
        let all = [
            Self::Info,
            Self::Low,
            Self::Medium,
            Self::High,
            Self::Critical,
        ];
        all.into_iter().find(|severity| severity.name() == name)
    }
}

impl Verdict {
    /// Returns the name in the contract: `malicious`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Benign => "benign",
            Self::Suspicious => "suspicious",
            Self::Malicious => "malicious",
        }
    }

    /// Returns the verdict of this name, or `None`.
    pub fn of(name: &str) -> Option<Self> {
        let all = [
            Self::Undecided,
            Self::Benign,
            Self::Suspicious,
            Self::Malicious,
        ];
        all.into_iter().find(|verdict| verdict.name() == name)
    }
}

impl crate::AlertState {
    /// Returns the name in the contract: `final`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Final => "final",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Status {
    /// Returns the name in the contract: `acknowledged`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

/// Returns the opened plugin.
pub(crate) fn opened<T: ?Sized>(opened: &mut Option<Box<T>>) -> Result<&mut T, PluginError> {
    opened
        .as_deref_mut()
        .ok_or_else(|| PluginError::Data("the plugin was not opened".to_owned()))
}
