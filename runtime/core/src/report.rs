//! What is said about alerts after they were found: facts, assessments, and the report of an incident.

use serde::{Deserialize, Serialize};

use crate::alert::Observable;
use crate::{Alert, Severity, Timestamp};

/// What an alert has become.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its condition does not hold any more.
    Withdrawn,
    /// Its condition holds in what has arrived.
    Provisional,
    /// Nothing that could change it is still to come.
    Final,
}

/// An alert that is new, has changed, or is withdrawn: a line of the file of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AlertLine {
    /// Counts the lines, from one.
    pub seq: i64,
    /// What the alert has become.
    pub state: AlertState,
    /// Why it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The alert that its first finding is part of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The alert.
    pub alert: Alert,
}

/// A fact about an alert that an enricher adds.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Attribute {
    /// What it is.
    pub name: String,
    /// Its value as text.
    pub value: String,
    /// Where it comes from, for a human: a service, a table, a list.
    pub source: String,
}

/// What an enricher answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Enriched {
    /// Facts about the alert.
    pub attributes: Vec<Attribute>,
    /// What came up and is worth searching for.
    pub observables: Vec<Observable>,
}

/// What a reviewer takes an alert for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It cannot be said.
    #[default]
    Undecided,
    /// Nothing bad has happened.
    Benign,
    /// Somebody should look.
    Suspicious,
    /// It is an attack.
    Malicious,
}

/// What a reviewer thinks of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Assessment {
    /// How severe the alert is.
    pub severity: Severity,
    /// What it is taken for.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: String,
}

/// Where the work on an incident is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum IncidentStatus {
    /// Nobody has taken it up.
    #[default]
    Open,
    /// Somebody works on it.
    Acknowledged,
    /// Done with, by a human or because its alerts were withdrawn.
    Closed,
}

/// An alert of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReportAlert {
    /// What it has become.
    pub state: AlertState,
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
}

/// What a notifier is asked to tell of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// Of the incident: the same id names the same ticket, message or thread.
    pub id: String,
    /// Counts what was said under this id, from one.
    pub revision: u32,
    /// Where the work on the incident is.
    pub status: IncidentStatus,
    /// One line.
    pub title: String,
    /// The most severe of its alerts, as reviewed.
    pub severity: Severity,
    /// All there is to say, in short lines of plain text.
    pub text: String,
    /// When the report was made, by the clock.
    pub time: Timestamp,
    /// The first ones, at most [`Report::LISTED`].
    pub alerts: Vec<ReportAlert>,
    /// How many alerts the incident has.
    pub alert_count: u64,
    /// What enrichers found.
    pub attributes: Vec<Attribute>,
    /// Names of reviewers and what they think.
    pub assessments: Vec<(String, Assessment)>,
    /// The receipt of the earlier report under this id.
    pub earlier: Option<String>,
    /// An earlier attempt ended without an answer, so the report may be there already.
    pub uncertain: bool,
}

impl Report {
    /// How many alerts a report lists.
    pub const LISTED: usize = 20;
}
