//! The one format of alerts and incidents: JSON with a schema, and OCSF for those who ask for it.

pub mod ocsf;

use crate::store;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yagura_core::report::{AlertLine, Assessment, Attribute, IncidentStatus, ReportAlert};
use yagura_core::{Alert, AlertState, Report, Severity, Timestamp};

/// An alert as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AlertRecord {
    /// By `yagura serve`: it has `alert`.
    Line(AlertLine),
    /// By `yagura run --format json`: the alert alone.
    Alert(Alert),
}

/// An incident as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentRecord {
    /// Of the incident.
    pub incident: String,
    /// Counts its reports, from one.
    pub revision: u32,
    /// Where the work on it is.
    pub status: IncidentStatus,
    /// One line.
    pub title: String,
    /// The most severe of its alerts, as reviewed.
    pub severity: Severity,
    /// Its report, in short lines of plain text.
    pub text: String,
    /// When this was reported, by the clock.
    pub time: Timestamp,
    /// How many alerts it has.
    pub alert_count: u64,
    /// The first ones.
    pub alerts: Vec<ReportAlert>,
    /// What enrichers found.
    pub attributes: Vec<Attribute>,
    /// What reviewers think.
    pub assessments: Vec<AssessmentRecord>,
}

/// What a reviewer thinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssessmentRecord {
    /// Name of the reviewer.
    pub reviewer: String,
    /// The assessment.
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// A line of this format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Record {
    /// An alert.
    Alert(AlertRecord),
    /// An incident: it has `incident`.
    Incident(IncidentRecord),
}

/// A line of `yagura alerts`: of lists, of one incident, of what was given up.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is there for its schema")]
enum OutputLine {
    /// An alert or an incident as it is reported.
    Record(Record),
    /// All of an incident: `show`.
    Whole(Box<store::StoredIncident>),
    /// An incident: `list`, `ack`, `close`, `reopen`.
    Incident(store::rows::IncidentRow),
    /// An alert and what became of it: `list --alerts`.
    Alert(Box<store::rows::AlertRow>),
    /// A report that was given up: `dead`.
    Delivery(store::rows::DeliveryRow),
}

/// Returns the JSON Schema of a line of this format, of the file of alerts or of `yagura alerts`.
pub fn schema() -> Schema {
    let mut schema = schema_for!(OutputLine);
    schema.insert(
        "title".to_owned(),
        "An alert or an incident of Yagura".into(),
    );
    schema
}

impl AlertRecord {
    /// Reads a line.
    ///
    /// # Errors
    /// What keeps it from being the form that it looks like.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_str(text)?;
        if value.get("alert").is_some() {
            serde_json::from_value(value).map(Self::Line)
        } else {
            serde_json::from_value(value).map(Self::Alert)
        }
    }

    /// Returns the line with the number `seq`; an alert alone is final.
    pub fn into_line(self, seq: i64) -> AlertLine {
        match self {
            Self::Line(line) => AlertLine { seq, ..line },
            Self::Alert(alert) => AlertLine {
                seq,
                state: AlertState::Final,
                reason: None,
                replaced_by: None,
                alert,
            },
        }
    }
}

impl From<&Report> for IncidentRecord {
    /// Leaves out what concerns one notifier only.
    fn from(report: &Report) -> Self {
        let assessments = report.assessments.iter().cloned();
        Self {
            incident: report.id.clone(),
            revision: report.revision,
            status: report.status,
            title: report.title.clone(),
            severity: report.severity,
            text: report.text.clone(),
            time: report.time,
            alert_count: report.alert_count,
            alerts: report.alerts.clone(),
            attributes: report.attributes.clone(),
            assessments: assessments
                .map(|(reviewer, assessment)| AssessmentRecord {
                    reviewer,
                    assessment,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
