//! What the crate needs from outside: notifiers, enrichers and reviewers.

use std::time::Duration;

use futures::future::BoxFuture;
use yagura_core::report::{Assessment, Attribute, Enriched, Report, ReportAlert};

/// Tells people about incidents.
pub trait Notify: Send + Sync {
    /// Sends or updates a report and returns its receipt, whatever finds it again.
    fn notify(&self, report: Report) -> BoxFuture<'_, Result<String, Failure>>;
}

/// Finds facts about alerts.
pub trait Enrich: Send + Sync {
    /// Returns facts about an alert; they take the place of those that were found before.
    fn enrich(&self, alert: ReportAlert) -> BoxFuture<'_, Result<Enriched, Failure>>;
}

/// Evaluates alerts.
pub trait Review: Send + Sync {
    /// Returns its assessment of an alert, if it has one.
    fn review(
        &self,
        alert: ReportAlert,
        attributes: Vec<Attribute>,
    ) -> BoxFuture<'_, Result<Option<Assessment>, Failure>>;
}

/// Why something outside did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Worth another try.
    #[error("{message}")]
    Retry {
        /// What happened, for a human.
        message: String,
        /// Not sooner than this, if the other side asked for it.
        after: Option<Duration>,
        /// The other side may have done it all the same.
        is_uncertain: bool,
    },
    /// Trying again would not help.
    #[error("{message}")]
    Permanent {
        /// What happened, for a human.
        message: String,
    },
}
