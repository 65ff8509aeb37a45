//! The rows of the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yagura_core::report::{AlertLine, AlertState, Assessment, Enriched, IncidentStatus, Verdict};
use yagura_core::{Alert, Severity, Timestamp};

/// Makes an enum that the store keeps as a word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

/// A value that the store keeps as a word.
pub(crate) trait Word: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.word() == word)
    }
}

impl Word for AlertState {
    const ALL: &'static [Self] = &[Self::Withdrawn, Self::Provisional, Self::Final];

    fn word(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Provisional => "provisional",
            Self::Final => "final",
        }
    }
}

impl Word for Verdict {
    const ALL: &'static [Self] = &[
        Self::Undecided,
        Self::Benign,
        Self::Suspicious,
        Self::Malicious,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Benign => "benign",
            Self::Suspicious => "suspicious",
            Self::Malicious => "malicious",
        }
    }
}

impl Word for IncidentStatus {
    const ALL: &'static [Self] = &[Self::Open, Self::Acknowledged, Self::Closed];

    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

words! {
    /// The outcome of an alert in triage.
    Outcome {
        /// It is part of an incident.
        Reported = "reported",
        /// A suppression fits it.
        Suppressed = "suppressed",
        /// It falls into a maintenance.
        Maintenance = "maintenance",
        /// Its rule is staged.
        Staged = "staged",
        /// A more severe alert silences it.
        Inhibited = "inhibited",
        /// It was withdrawn before triage had seen it.
        Unseen = "unseen",
    }
}

words! {
    /// What an incident is made of.
    IncidentKind {
        /// Alerts that share observables.
        Normal = "normal",
        /// Alerts of one rule that came in numbers.
        Flood = "flood",
        /// Incidents that a notifier's limit put together.
        Summary = "summary",
    }
}

words! {
    /// Where the delivery of an incident's reports to a notifier is.
    DeliveryState {
        /// There is nothing new to report.
        Idle = "idle",
        /// A report is sent once it is due.
        Due = "due",
        /// A report is being sent.
        Sending = "sending",
        /// Given up; `resend` tries again.
        Dead = "dead",
        /// Reported as a part of the notifier's summary.
        Summarised = "summarised",
    }
}

words! {
    /// Where a run of an enricher is.
    RunState {
        /// To be done once it is due.
        Waiting = "waiting",
        /// Being done.
        Running = "running",
        /// Done.
        Done = "done",
        /// Given up.
        Failed = "failed",
    }
}

/// An alert and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AlertRow {
    /// The line with which it came up.
    pub seq: i64,
    /// What it has become.
    pub state: AlertState,
    /// Its outcome in triage.
    pub outcome: Outcome,
    /// Why it is not reported.
    pub why: Option<String>,
    /// Because of whom it is not reported: a suppression's owner, the id of a more severe alert.
    pub silencer: Option<String>,
    /// Id of the incident that it is part of.
    pub incident: Option<String>,
    /// Why it was withdrawn.
    pub reason: Option<String>,
    /// Id of the alert that holds its first finding now.
    pub replaced_by: Option<String>,
    /// Its severity as reviewers assess it.
    pub assessed: Option<Severity>,
    /// Its verdict as reviewers assess it.
    pub verdict: Option<Verdict>,
    /// The alert as it came.
    pub alert: Alert,
    /// When it came up, by the clock.
    pub created_at: Timestamp,
    /// When it changed last, by the clock.
    pub changed_at: Timestamp,
}

impl AlertRow {
    /// Returns it as a line of alerts.
    pub fn line(&self) -> AlertLine {
        AlertLine {
            seq: self.seq,
            state: self.state,
            reason: self.reason.clone(),
            replaced_by: self.replaced_by.clone(),
            alert: self.alert.clone(),
        }
    }

    /// Returns how severe it is, as reviewed.
    pub fn severity(&self) -> Severity {
        self.assessed.unwrap_or(self.alert.severity)
    }
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IncidentRow {
    /// Its id, by which notifiers know it.
    pub id: String,
    /// The line that opened it; for a summary, that of its first incident.
    pub seq: i64,
    /// What it is made of.
    pub kind: IncidentKind,
    /// The rule of its first alert; none for a summary.
    pub rule: Option<String>,
    /// The notifier of a summary.
    pub notifier: Option<String>,
    /// Title of its first alert.
    pub title: String,
    /// The most severe of its alerts that were not withdrawn, as reviewed.
    pub severity: Severity,
    /// The worst verdict on its alerts.
    pub verdict: Verdict,
    /// Where the work on it is.
    pub status: IncidentStatus,
    /// Who took it up.
    pub assignee: Option<String>,
    /// Time of the first event of its alerts.
    pub first_time: Timestamp,
    /// Time of the last event of its alerts.
    pub last_time: Timestamp,
    /// How many alerts it has; for a summary, how many incidents.
    pub alerts: u64,
    /// How many of them were not withdrawn.
    pub live: u64,
    /// Counts its changes, from one.
    pub revision: i64,
    /// Who closed it; `triage` where its alerts were withdrawn.
    pub closed_by: Option<String>,
    /// Why it was closed.
    pub closed_reason: Option<String>,
    /// When it was opened, by the clock.
    pub opened_at: Timestamp,
    /// When it changed last, by the clock.
    pub changed_at: Timestamp,
}

/// Which revision of an incident is due to a notifier, and which was sent last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeliveryRow {
    /// Id of the incident.
    pub incident: String,
    /// Name of the notifier.
    pub notifier: String,
    /// Where it is.
    pub state: DeliveryState,
    /// The newest revision, which the notifier must get; zero where it must get none.
    pub due_revision: i64,
    /// The revision that was sent last, zero before the first.
    pub sent_revision: i64,
    /// What the notifier finds its report by.
    pub receipt: Option<String>,
    /// Attempts since the last report that arrived.
    pub attempts: i64,
    /// When it is due.
    pub due_at: Timestamp,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// An attempt ended without an answer.
    pub is_uncertain: bool,
    /// How the last attempt failed.
    pub error: Option<String>,
    /// Id of the summary that it is part of.
    pub summary: Option<String>,
    /// When its first report was sent within the notifier's limit.
    pub admitted_at: Option<Timestamp>,
    /// When the last report arrived.
    pub sent_at: Option<Timestamp>,
}

/// A run of an enricher over an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunRow {
    /// Id of the alert.
    pub alert: String,
    /// Name of the enricher.
    pub enricher: String,
    /// Microseconds after the alert came up.
    pub delay: i64,
    /// Where it is.
    pub state: RunState,
    /// When it is due.
    pub due_at: Timestamp,
    /// Attempts so far.
    pub attempts: i64,
    /// How the last attempt failed.
    pub error: Option<String>,
}

/// The facts that an enricher found about an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FactsRow {
    /// Id of the alert.
    pub alert: String,
    /// Name of the enricher.
    pub enricher: String,
    /// What it found when it last answered.
    pub found: Enriched,
    /// How it failed since.
    pub error: Option<String>,
}

/// The assessment of an alert by a reviewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AssessmentRow {
    /// Id of the alert.
    pub alert: String,
    /// Name of the reviewer.
    pub reviewer: String,
    /// The assessment.
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// Something that was done with an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HistoryRow {
    /// Counts within the incident, from one.
    pub n: i64,
    /// When, by the clock.
    pub at: Timestamp,
    /// Who: a human, `triage`, a notifier, `investigation`.
    pub who: String,
    /// What.
    pub what: String,
}

/// A call that a plugin made to a server, for the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CallRow {
    /// When, by the clock.
    pub at: Timestamp,
    /// The plugin.
    pub plugin: String,
    /// Id of the alert or incident that it was made for.
    pub subject: String,
    /// `GET` and the like.
    pub method: String,
    /// With placeholders where secrets are.
    pub url: String,
    /// What the server answered, if it did.
    pub status: Option<u16>,
    /// Bytes of the request's body.
    pub bytes_sent: u64,
    /// Bytes of the answer's body.
    pub bytes_received: u64,
    /// Microseconds that it took.
    pub micros: u64,
    /// The answer was a kept one.
    pub is_cached: bool,
    /// Why it was refused or failed.
    pub error: Option<String>,
}
