//! The one format of alerts and incidents: JSON with a schema, and OCSF for those who ask for it.

pub mod ocsf;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use yagura_core::report::{AlertLine, Attribute, IncidentStatus, Opinion, ReportAlert};
use yagura_core::{Alert, AlertState, Report, Severity, Timestamp};

/// An alert as it is written: by `yagura run --format json` without what comes before `alert`, by `yagura serve` with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertRecord {
    /// Counts the lines of a service, from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// What the alert has become; without it, it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AlertState>,
    /// Why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert that its first finding is part of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
}

/// An incident as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentRecord {
    /// Of the incident.
    pub incident: String,
    /// Counts what was said of it, from one.
    pub revision: u32,
    /// Where the work on it is.
    pub status: IncidentStatus,
    /// One line.
    pub title: String,
    /// The gravest of its alerts, as reviewed.
    pub severity: Severity,
    /// All there is to say, in short lines of plain text.
    pub text: String,
    /// When this was said, by the clock.
    pub time: Timestamp,
    /// How many alerts it has.
    pub alert_count: u64,
    /// The first ones.
    pub alerts: Vec<ReportAlert>,
    /// What enrichers found.
    pub attributes: Vec<Attribute>,
    /// What reviewers think.
    pub opinions: Vec<OpinionRecord>,
}

/// What a reviewer thinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpinionRecord {
    /// Name of the reviewer.
    pub reviewer: String,
    /// The opinion.
    #[serde(flatten)]
    pub opinion: Opinion,
}

/// A line of this format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Record {
    /// An alert: it has `id` and `rule`.
    Alert(AlertRecord),
    /// An incident: it has `incident`.
    Incident(IncidentRecord),
}

/// Returns the JSON Schema of a line of this format.
pub fn schema() -> Schema {
    let mut schema = schema_for!(Record);
    schema.insert(
        "title".to_owned(),
        "An alert or an incident of Yagura".into(),
    );
    schema
}

impl AlertRecord {
    /// Returns the line with the number `seq`.
    pub fn into_line(self, seq: i64) -> AlertLine {
        AlertLine {
            seq,
            state: self.state.unwrap_or(AlertState::Settled),
            reason: self.reason,
            replaced_by: self.replaced_by,
            alert: self.alert,
        }
    }
}

impl From<AlertLine> for AlertRecord {
    fn from(line: AlertLine) -> Self {
        Self {
            seq: Some(line.seq),
            state: Some(line.state),
            reason: line.reason,
            replaced_by: line.replaced_by,
            alert: line.alert,
        }
    }
}

impl From<Alert> for AlertRecord {
    fn from(alert: Alert) -> Self {
        Self {
            seq: None,
            state: None,
            reason: None,
            replaced_by: None,
            alert,
        }
    }
}

impl From<&Report> for IncidentRecord {
    /// Leaves out what concerns one notifier only.
    fn from(report: &Report) -> Self {
        let opinions = report.opinions.iter().cloned();
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
            opinions: opinions
                .map(|(reviewer, opinion)| OpinionRecord { reviewer, opinion })
                .collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
