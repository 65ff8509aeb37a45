//! The findings of a detector.

use std::borrow::Cow;

use crate::batch::RowIndex;
use crate::{Finding, Severity};

/// The findings of one call, in order.
#[derive(Default)]
pub struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Adds a finding about one event. The builder that it returns can change the finding.
    pub fn row(&mut self, row: impl RowIndex) -> FindingBuilder<'_> {
        self.rows([row])
    }

    /// Adds a finding about several events of the batch, at least one.
    pub fn rows(&mut self, rows: impl IntoIterator<Item: RowIndex>) -> FindingBuilder<'_> {
        let rows = rows
            .into_iter()
            // A batch has at most `u32::MAX` rows; the host refuses a number outside the batch.
            .map(|row| u32::try_from(row.row_index()).unwrap_or(u32::MAX))
            .collect();
        self.push(rows)
    }

    /// Adds a finding from [`on_wake`](crate::Detector::on_wake) or
    /// [`on_watermark`](crate::Detector::on_watermark), which has no rows.
    pub fn at_watermark(&mut self) -> FindingBuilder<'_> {
        self.push(Vec::new())
    }

    /// Returns how many findings there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn push(&mut self, rows: Vec<u32>) -> FindingBuilder<'_> {
        let index = self.list.len();
        self.list.push(Finding {
            rows,
            title: None,
            severity: None,
            key: None,
            observables: Vec::new(),
            context: Vec::new(),
        });
        FindingBuilder {
            finding: &mut self.list[index],
        }
    }

    pub(crate) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

/// Changes one finding. Title, severity and key come from the rule unless they are set here.
pub struct FindingBuilder<'f> {
    finding: &'f mut Finding,
}

impl FindingBuilder<'_> {
    /// Replaces the rule's title.
    pub fn title(self, title: impl Into<String>) -> Self {
        self.finding.title = Some(title.into());
        self
    }

    /// Replaces the rule's severity.
    pub fn severity(self, severity: Severity) -> Self {
        self.finding.severity = Some(severity);
        self
    }

    /// Replaces the values of the rule's key columns: findings with the same key belong to the same alert.
    pub fn key(self, key: impl Into<String>) -> Self {
        self.finding.key = Some(key.into());
        self
    }

    /// Adds a observable; an absent or empty one is left out.
    pub fn observable(self, kind: Observable, value: impl OptionalText) -> Self {
        if let Some(value) = value.optional_text() {
            self.finding
                .observables
                .push((kind.name().to_owned(), value));
        }
        self
    }

    /// Adds a fact for the reader; an absent or empty one is left out.
    pub fn context(self, name: &str, value: impl OptionalText) -> Self {
        if let Some(value) = value.optional_text() {
            self.finding.context.push((name.to_owned(), value));
        }
        self
    }
}

/// The kinds of observables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observable {
    /// IP address.
    Ip,
    /// Domain name.
    Domain,
    /// User or other identity.
    User,
    /// Host or machine.
    Host,
    /// Hash of a file.
    Hash,
    /// URL.
    Url,
    /// Mail address.
    Email,
    /// Process.
    Process,
}

impl Observable {
    /// Returns the kind's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Domain => "domain",
            Self::User => "user",
            Self::Host => "host",
            Self::Hash => "hash",
            Self::Url => "url",
            Self::Email => "email",
            Self::Process => "process",
        }
    }
}

/// Text that may be absent, in the types that detectors have.
pub trait OptionalText {
    /// Returns the text, or `None` if it is absent or empty.
    fn optional_text(self) -> Option<String>;
}

macro_rules! optional_text {
    ($($text:ty),+) => {$(
        impl OptionalText for $text {
            fn optional_text(self) -> Option<String> {
                (!self.is_empty()).then(|| self.into())
            }
        }

        impl OptionalText for Option<$text> {
            fn optional_text(self) -> Option<String> {
                self.and_then(OptionalText::optional_text)
            }
        }
    )+};
}

optional_text!(&str, &String, String, Cow<'_, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_left_out() {
        let mut findings = Findings::default();
        findings
            .rows([2_usize, 5])
            .observable(Observable::Ip, Some("192.0.2.1"))
            .observable(Observable::User, None::<&str>)
            .context("empty", "")
            .context("port", 22.to_string());
        findings
            .row(0_u32)
            .title("t")
            .key("k")
            .severity(Severity::Low);
        let list = findings.into_list();
        assert_eq!(list[0].rows, [2, 5]);
        assert_eq!(
            list[0].observables,
            [("ip".to_owned(), "192.0.2.1".to_owned())]
        );
        assert_eq!(list[0].context, [("port".to_owned(), "22".to_owned())]);
        assert_eq!(
            (list[0].title.as_deref(), list[0].key.as_deref()),
            (None, None)
        );
        assert_eq!(list[1].title.as_deref(), Some("t"));
        assert_eq!(list[1].severity, Some(Severity::Low));
    }
}
