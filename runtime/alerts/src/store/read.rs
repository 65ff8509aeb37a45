//! All that is kept of one incident, or of one alert.

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::AssertSqlSafe;
use yagura_core::Report;
use yagura_core::report::ReportAlert;

use super::columns::RowColumns;
use super::rows::{
    AlertRow, AssessmentRow, CallRow, DeliveryRow, DeliveryState, FactsRow, HistoryRow,
    IncidentKind, IncidentRow, RunRow,
};
use super::{AlertStore, AlertStoreError, alerts, calls, deliveries, incidents, rounds};

/// All that is kept of an incident.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StoredIncident {
    /// The incident.
    pub incident: IncidentRow,
    /// Its alerts in the order in which they came, at most as many as were asked for. Empty for a summary.
    pub alerts: Vec<AlertRow>,
    /// The incidents of a summary, in their order, at most as many as were asked for.
    pub summarised: Vec<IncidentRow>,
    /// What is due and what was sent, by notifier.
    pub deliveries: Vec<DeliveryRow>,
    /// What enrichers found, by alert and enricher.
    pub facts: Vec<FactsRow>,
    /// What reviewers think, by alert, in their order.
    pub assessments: Vec<AssessmentRow>,
    /// Runs of enrichers, done and to be done.
    pub runs: Vec<RunRow>,
    /// What was done with it, in order.
    pub history: Vec<HistoryRow>,
    /// The first 1,000 calls that plugins made for it.
    pub calls: Vec<CallRow>,
}

/// What became of an alert.
#[derive(Debug, Clone, Serialize)]
pub struct StoredAlert {
    /// The alert.
    pub alert: AlertRow,
    /// What its incident is made of, where it has one.
    pub kind: Option<IncidentKind>,
    /// Names of the notifiers that its incident is reported to, in order.
    pub notifiers: Vec<String>,
}

impl StoredIncident {
    /// Returns the report of it as it is now, for no notifier in particular.
    pub fn report(&self) -> Report {
        let row = &self.incident;
        let alerts = self.alerts.iter().map(|row| ReportAlert {
            state: row.state,
            alert: row.alert.clone(),
        });
        let found = self.facts.iter().flat_map(|facts| &facts.found.attributes);
        let assessments = self.assessments.iter();
        Report {
            id: row.id.clone(),
            revision: u32::try_from(row.revision).unwrap_or(u32::MAX),
            status: row.status,
            title: row.title.clone(),
            severity: row.severity,
            text: row.title.clone(),
            time: row.changed_at,
            alerts: alerts.collect(),
            alert_count: row.alerts,
            attributes: found.cloned().collect(),
            assessments: assessments
                .map(|of| (of.reviewer.clone(), of.assessment.clone()))
                .collect(),
            earlier: None,
            uncertain: false,
        }
    }
}

impl AlertStore {
    /// Returns all that is kept of an incident, by its id or a beginning of it that no other has, with at most so many
    /// alerts.
    ///
    /// # Errors
    /// [`AlertStoreError::NoIncident`] where there is none, or more than one.
    pub async fn incident(&self, id: &str, most: u32) -> Result<StoredIncident, AlertStoreError> {
        let mut connection = self.read().await?;
        let id = resolve(&mut connection, id).await?;
        let incident = incidents::get(&mut connection, &id).await?;
        let text = format!(
            "SELECT {} FROM alerts WHERE incident = $1 ORDER BY seq LIMIT $2",
            alerts::COLUMNS
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(id.clone())
            .bind(i64::from(most))
            .fetch_all(&mut *connection)
            .await?;
        let alerts = rows
            .iter()
            .map(alerts::from_row)
            .collect::<Result<_, _>>()?;
        let text = format!(
            "SELECT {} FROM incidents WHERE id IN (SELECT incident FROM deliveries WHERE summary = $1)
             ORDER BY seq LIMIT $2",
            incidents::COLUMNS
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(id.clone())
            .bind(i64::from(most))
            .fetch_all(&mut *connection)
            .await?;
        let summarised = rows
            .iter()
            .map(incidents::from_row)
            .collect::<Result<_, _>>()?;
        Ok(StoredIncident {
            alerts,
            summarised,
            deliveries: deliveries::of_incident(&mut connection, &id).await?,
            facts: rounds::facts_of_incident(&mut connection, &id).await?,
            assessments: rounds::assessments_of_incident(&mut connection, &id).await?,
            runs: rounds::runs_of_incident(&mut connection, &id).await?,
            history: history(&mut connection, &id).await?,
            calls: calls::of_incident(&mut connection, &id, 1_000).await?,
            incident,
        })
    }

    /// Returns what became of an alert, or nothing where it never came.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn alert(&self, id: &str) -> Result<Option<StoredAlert>, AlertStoreError> {
        let mut connection = self.read().await?;
        let Some(alert) = alerts::find(&mut connection, id).await? else {
            return Ok(None);
        };
        let mut record = StoredAlert {
            alert,
            kind: None,
            notifiers: Vec::new(),
        };
        if let Some(incident) = &record.alert.incident {
            record.kind = Some(incidents::get(&mut connection, incident).await?.kind);
            let all = deliveries::of_incident(&mut connection, incident).await?;
            // A canceled delivery is idle and has no revision due.
            let is_reported =
                |row: &DeliveryRow| row.due_revision > 0 || row.state != DeliveryState::Idle;
            record.notifiers = all
                .into_iter()
                .filter(is_reported)
                .map(|row| row.notifier)
                .collect();
        }
        Ok(Some(record))
    }
}

async fn history(
    connection: &mut sqlx::AnyConnection,
    incident: &str,
) -> Result<Vec<HistoryRow>, AlertStoreError> {
    let rows = sqlx::query("SELECT n, at, who, what FROM history WHERE incident = $1 ORDER BY n")
        .bind(incident.to_owned())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(HistoryRow {
                n: row.int("n")?,
                at: row.time("at")?,
                who: row.text("who")?,
                what: row.text("what")?,
            })
        })
        .collect()
}

/// Returns the id that a beginning of one stands for.
pub(super) async fn resolve(
    connection: &mut sqlx::AnyConnection,
    id: &str,
) -> Result<String, AlertStoreError> {
    let none = |near: String| AlertStoreError::NoIncident {
        id: id.to_owned(),
        near,
    };
    // Ids are hexadecimal; anything else would be a pattern.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(none(
            ": ids are hexadecimal, see `yagura alerts list`".to_owned(),
        ));
    }
    let rows = sqlx::query("SELECT id FROM incidents WHERE id LIKE $1 ORDER BY id LIMIT 4")
        .bind(format!("{}%", id.to_ascii_lowercase()))
        .fetch_all(connection)
        .await?;
    let mut ids = rows
        .iter()
        .map(|row| row.text("id"))
        .collect::<Result<Vec<_>, _>>()?;
    match ids.len() {
        0 => Err(none(": see `yagura alerts list`".to_owned())),
        1 => Ok(ids.remove(0)),
        _ => Err(none(format!(", it may be {}", ids.join(", ")))),
    }
}
