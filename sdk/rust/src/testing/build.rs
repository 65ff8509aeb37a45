//! Alerts and reports for unit tests.

use crate::{
    Alert, AlertState, Assessment, Attribute, Observable, Report, Severity, Status, Verdict,
};

/// Starts an alert of a rule `test`: final, of medium severity, at 2026-01-02T03:04:05Z, without content.
pub fn alert() -> AlertBuilder {
    let time = 1_767_323_045_000_000;
    AlertBuilder {
        alert: Alert {
            state: AlertState::Final,
            id: "a1".to_owned(),
            rule: "test".to_owned(),
            title: "An alert".to_owned(),
            severity: Severity::Medium,
            key: "key".to_owned(),
            window_start: time,
            first_time: time,
            last_time: time,
            count: 1,
            observables: Vec::new(),
            context: Vec::new(),
            tags: Vec::new(),
        },
    }
}

/// An alert under construction.
#[derive(Debug, Clone)]
#[must_use]
pub struct AlertBuilder {
    alert: Alert,
}

impl AlertBuilder {
    /// Sets the rule.
    pub fn rule(mut self, rule: &str) -> Self {
        rule.clone_into(&mut self.alert.rule);
        self
    }

    /// Sets the title.
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.alert.title);
        self
    }

    /// Sets the state.
    pub fn state(mut self, state: AlertState) -> Self {
        self.alert.state = state;
        self
    }

    /// Sets the severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.alert.severity = severity;
        self
    }

    /// Sets the times of the first and the last event, in microseconds since 1970-01-01T00:00:00Z.
    pub fn times(mut self, first: i64, last: i64) -> Self {
        (self.alert.first_time, self.alert.last_time) = (first, last);
        self.alert.window_start = first;
        self
    }

    /// Adds an observable.
    pub fn observable(mut self, kind: Observable, value: &str) -> Self {
        let observable = (kind.name().to_owned(), value.to_owned());
        self.alert.observables.push(observable);
        self
    }

    /// Adds a context entry.
    pub fn context(mut self, name: &str, value: &str) -> Self {
        self.alert.context.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: &str) -> Self {
        self.alert.tags.push(tag.to_owned());
        self
    }

    /// Returns the alert.
    pub fn build(self) -> Alert {
        self.alert
    }
}

/// Starts the first report of an incident `inc-1`: open, of medium severity, at 2026-01-02T03:04:06Z, without alerts.
pub fn report() -> ReportBuilder {
    ReportBuilder {
        report: Report {
            id: "inc-1".to_owned(),
            revision: 1,
            status: Status::Open,
            title: "An incident".to_owned(),
            severity: Severity::Medium,
            text: "What happened.".to_owned(),
            time: 1_767_323_046_000_000,
            alerts: Vec::new(),
            alert_count: 0,
            attributes: Vec::new(),
            assessments: Vec::new(),
            earlier: None,
            uncertain: false,
        },
    }
}

/// A report under construction.
#[derive(Debug, Clone)]
#[must_use]
pub struct ReportBuilder {
    report: Report,
}

impl ReportBuilder {
    /// Sets the incident's id.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.report.id);
        self
    }

    /// Sets the revision.
    pub fn revision(mut self, revision: u32) -> Self {
        self.report.revision = revision;
        self
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Self {
        self.report.status = status;
        self
    }

    /// Sets the title.
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.report.title);
        self
    }

    /// Sets the text.
    pub fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.report.text);
        self
    }

    /// Sets the severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.report.severity = severity;
        self
    }

    /// Adds an alert, and counts it.
    pub fn alert(mut self, alert: AlertBuilder) -> Self {
        self.report.alerts.push(alert.build());
        self.report.alert_count += 1;
        self
    }

    /// Adds a fact.
    pub fn attribute(mut self, name: &str, value: &str, source: &str) -> Self {
        self.report.attributes.push(Attribute {
            name: name.to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
        });
        self
    }

    /// Adds an assessment.
    pub fn assessment(
        mut self,
        reviewer: &str,
        severity: Severity,
        verdict: Verdict,
        reason: &str,
    ) -> Self {
        let assessment = Assessment {
            severity,
            verdict,
            reason: reason.to_owned(),
        };
        self.report
            .assessments
            .push((reviewer.to_owned(), assessment));
        self
    }

    /// Sets the receipt of the earlier report.
    pub fn earlier(mut self, receipt: &str) -> Self {
        self.report.earlier = Some(receipt.to_owned());
        self
    }

    /// Marks an earlier attempt that ended without an answer.
    pub fn uncertain(mut self) -> Self {
        self.report.uncertain = true;
        self
    }

    /// Returns the report.
    pub fn build(self) -> Report {
        self.report
    }
}
