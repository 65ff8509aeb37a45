//! Lists of incidents and alerts.

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use yagura_core::report::{AlertState, IncidentStatus};
use yagura_core::{Severity, Timestamp};

use super::columns::{indexed, rank};
use super::rows::{AlertRow, DeliveryRow, IncidentKind, IncidentRow, Outcome, Word};
use super::{AlertStore, AlertStoreError, alerts, deliveries, incidents};

/// Which incidents are listed; what is left out is not looked at.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// One of these; none: any.
    pub status: Vec<IncidentStatus>,
    /// Of this kind.
    pub kind: Option<IncidentKind>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// With an alert of this rule.
    pub rule: Option<String>,
    /// With events since then.
    pub since: Option<Timestamp>,
    /// With an alert that has this kind and value among its observables.
    pub observable: Option<(String, String)>,
    /// At most so many, the latest; 100 where it is left out.
    pub limit: Option<u32>,
}

/// Which alerts are listed; what is left out is not looked at.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// In this state.
    pub state: Option<AlertState>,
    /// What became of them.
    pub outcome: Option<Outcome>,
    /// At least this severe, as reviewed.
    pub severity: Option<Severity>,
    /// Of this rule.
    pub rule: Option<String>,
    /// With events since then.
    pub since: Option<Timestamp>,
    /// With this kind and value among their observables.
    pub observable: Option<(String, String)>,
    /// Parts of this incident.
    pub incident: Option<String>,
    /// At most so many, the latest; 100 where it is left out.
    pub limit: Option<u32>,
}

impl AlertStore {
    /// Returns incidents, the one whose events are the latest first.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn incidents(
        &self,
        filter: &IncidentFilter,
    ) -> Result<Vec<IncidentRow>, AlertStoreError> {
        let mut list = Conditions::default();
        if !filter.status.is_empty() {
            let words = filter.status.iter().map(|status| status.word());
            list.any_of("status", words.collect());
        }
        if let Some(kind) = filter.kind {
            list.text("kind = ?", kind.word());
        }
        if let Some(severity) = filter.severity {
            list.int("severity >= ?", rank(severity));
        }
        if let Some(rule) = &filter.rule {
            list.text("id IN (SELECT incident FROM alerts WHERE rule = ?)", rule);
        }
        if let Some(since) = filter.since {
            list.int("last_time >= ?", since.micros());
        }
        if let Some((kind, value)) = &filter.observable {
            list.pair(
                "id IN (SELECT a.incident FROM alert_observables o JOIN alerts a ON a.id = o.alert
                    WHERE o.kind = ? AND o.value = ?)",
                kind,
                value,
            );
        }
        let order = "ORDER BY last_time DESC, seq DESC, id";
        let head = format!("SELECT {} FROM incidents", incidents::COLUMNS);
        list.fetch(self, &head, order, filter.limit, incidents::from_row)
            .await
    }

    /// Returns alerts, the one whose events are the latest first.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Vec<AlertRow>, AlertStoreError> {
        let mut list = Conditions::default();
        if let Some(state) = filter.state {
            list.text("state = ?", state.word());
        }
        if let Some(outcome) = filter.outcome {
            list.text("outcome = ?", outcome.word());
        }
        if let Some(severity) = filter.severity {
            list.int("COALESCE(assessed, severity) >= ?", rank(severity));
        }
        if let Some(rule) = &filter.rule {
            list.text("rule = ?", rule);
        }
        if let Some(since) = filter.since {
            list.int("last_time >= ?", since.micros());
        }
        if let Some((kind, value)) = &filter.observable {
            list.pair(
                "id IN (SELECT alert FROM alert_observables WHERE kind = ? AND value = ?)",
                kind,
                value,
            );
        }
        if let Some(incident) = &filter.incident {
            list.text("incident = ?", incident);
        }
        let order = "ORDER BY last_time DESC, seq DESC";
        let head = format!("SELECT {} FROM alerts", alerts::COLUMNS);
        list.fetch(self, &head, order, filter.limit, alerts::from_row)
            .await
    }

    /// Returns the dead letters: reports that were given up, oldest first.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn dead_letters(&self) -> Result<Vec<DeliveryRow>, AlertStoreError> {
        let mut connection = self.read().await?;
        deliveries::dead(&mut connection).await
    }
}

enum FilterValue {
    Int(i64),
    Text(String),
}

/// What rows must be like; `?` stands for a value and becomes a number.
#[derive(Default)]
struct Conditions {
    texts: Vec<String>,
    values: Vec<FilterValue>,
}

impl Conditions {
    fn push(&mut self, condition: &str, values: Vec<FilterValue>) {
        let mut text = String::new();
        let mut place = self.values.len();
        for part in condition.split_inclusive('?') {
            match part.strip_suffix('?') {
                Some(before) => {
                    place += 1;
                    text.push_str(&format!("{before}${place}"));
                }
                None => text.push_str(part),
            }
        }
        self.texts.push(text);
        self.values.extend(values);
    }

    fn int(&mut self, condition: &str, value: i64) {
        self.push(condition, vec![FilterValue::Int(value)]);
    }

    fn text(&mut self, condition: &str, value: &str) {
        self.push(condition, vec![FilterValue::Text(value.to_owned())]);
    }

    fn pair(&mut self, condition: &str, one: &str, other: &str) {
        let values = [one, other].map(|value| FilterValue::Text(indexed(value)));
        self.push(condition, values.into());
    }

    fn any_of(&mut self, column: &str, values: Vec<&str>) {
        let places = vec!["?"; values.len()].join(", ");
        let values = values
            .into_iter()
            .map(|value| FilterValue::Text(value.to_owned()));
        self.push(&format!("{column} IN ({places})"), values.collect());
    }

    async fn fetch<T>(
        mut self,
        store: &AlertStore,
        head: &str,
        order: &str,
        limit: Option<u32>,
        from_row: impl Fn(&AnyRow) -> Result<T, AlertStoreError>,
    ) -> Result<Vec<T>, AlertStoreError> {
        self.values
            .push(FilterValue::Int(i64::from(limit.unwrap_or(100))));
        let conditions = if self.texts.is_empty() {
            String::new()
        } else {
            format!("WHERE {}", self.texts.join(" AND "))
        };
        let text = format!("{head} {conditions} {order} LIMIT ${}", self.values.len());
        let mut query = sqlx::query(AssertSqlSafe(text));
        for value in self.values {
            query = match value {
                FilterValue::Int(value) => query.bind(value),
                FilterValue::Text(value) => query.bind(value),
            };
        }
        let mut connection = store.read().await?;
        let rows = query.fetch_all(&mut *connection).await?;
        rows.iter().map(from_row).collect()
    }
}
