//! What humans do with incidents. It works beside the service, which sees it within a second.

use sqlx::{AnyConnection, Row};
use yagura_core::Timestamp;
use yagura_core::report::IncidentStatus;

use super::rows::{IncidentRow, Word};
use super::{AlertStore, AlertStoreError, Write, deliveries, incidents, read};

/// Who acts: a name for the record.
pub type Who<'a> = &'a str;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Pruned {
    /// Incidents with all that belongs to them.
    pub incidents: u64,
    /// Alerts, those of incidents among them.
    pub alerts: u64,
    /// Records of calls.
    pub calls: u64,
}

impl AlertStore {
    /// Records that somebody works on an incident; its reports show that.
    ///
    /// # Errors
    /// [`AlertStoreError::NotNow`] where it is closed.
    pub async fn acknowledge(
        &self,
        id: &str,
        who: Who<'_>,
    ) -> Result<IncidentRow, AlertStoreError> {
        let (mut write, mut row) = self.incident_to_write(id).await?;
        if row.status == IncidentStatus::Closed {
            return Err(not_now(&row, "`yagura alerts reopen` opens it again"));
        }
        row.status = IncidentStatus::Acknowledged;
        row.assignee = Some(who.to_owned());
        self.finish(&mut write, &mut row, who, "acknowledged")
            .await?;
        write.commit().await?;
        Ok(row)
    }

    /// Closes an incident; its reports show that, and alerts that come later open a new one.
    ///
    /// # Errors
    /// [`AlertStoreError::NotNow`] where it is closed already.
    pub async fn close_incident(
        &self,
        id: &str,
        who: Who<'_>,
        reason: &str,
    ) -> Result<IncidentRow, AlertStoreError> {
        let (mut write, mut row) = self.incident_to_write(id).await?;
        if row.status == IncidentStatus::Closed {
            return Err(not_now(&row, "there is nothing to close"));
        }
        incidents::close(&mut row, who, reason);
        self.finish(&mut write, &mut row, who, &format!("closed: {reason}"))
            .await?;
        write.commit().await?;
        Ok(row)
    }

    /// Opens a closed incident again.
    ///
    /// # Errors
    /// [`AlertStoreError::NotNow`] where it is not closed.
    pub async fn reopen(&self, id: &str, who: Who<'_>) -> Result<IncidentRow, AlertStoreError> {
        let (mut write, mut row) = self.incident_to_write(id).await?;
        if row.status != IncidentStatus::Closed {
            return Err(not_now(&row, "there is nothing to reopen"));
        }
        incidents::reopen(&mut row);
        self.finish(&mut write, &mut row, who, "reopened").await?;
        write.commit().await?;
        Ok(row)
    }

    /// Makes dead letters due at once: those of an incident, of a notifier, or all. Returns how many.
    ///
    /// # Errors
    /// [`AlertStoreError::NoIncident`]
    pub async fn resend(
        &self,
        incident: Option<&str>,
        notifier: Option<&str>,
        who: Who<'_>,
    ) -> Result<u64, AlertStoreError> {
        let mut write = self.write().await?;
        let now = self.now();
        let incident = match incident {
            Some(id) => Some(read::resolve(&mut write, id).await?),
            None => None,
        };
        let fits = |row: &super::rows::DeliveryRow| {
            incident.as_ref().is_none_or(|id| *id == row.incident)
                && notifier.is_none_or(|name| name == row.notifier)
        };
        for row in deliveries::dead(&mut write).await? {
            if fits(&row) {
                let what = format!("sent again to {}", row.notifier);
                incidents::note(&mut write, &row.incident, now, who, &what).await?;
            }
        }
        let count = deliveries::resend(&mut write, incident.as_deref(), notifier, now).await?;
        write.commit().await?;
        Ok(count)
    }

    /// Removes closed incidents that did not change since `before`, with their alerts, facts, assessments and deliveries. Also
    /// removes alerts that were not reported, and records of calls. With `open_too` also incidents that nobody closed. An
    /// incident with a report that is due, or with a dead letter, stays.
    ///
    /// # Errors
    /// [`AlertStoreError`]
    pub async fn prune(
        &self,
        before: Timestamp,
        open_too: bool,
    ) -> Result<Pruned, AlertStoreError> {
        let mut write = self.write().await?;
        let old = "SELECT id FROM incidents WHERE changed_at < $1 AND ($2 = 1 OR status = 'closed')
            AND id NOT IN (SELECT incident FROM deliveries WHERE state IN ('due', 'sending', 'dead'))
            AND id NOT IN (SELECT d.summary FROM deliveries d JOIN incidents i ON i.id = d.incident
                WHERE d.summary IS NOT NULL AND i.changed_at >= $1)
            AND id NOT IN (SELECT incident FROM alerts WHERE incident IS NOT NULL AND changed_at >= $1)";
        let rows = sqlx::query(old)
            .bind(before.micros())
            .bind(i64::from(open_too))
            .fetch_all(&mut *write)
            .await?;
        let mut pruned = Pruned::default();
        for row in &rows {
            let id: String = row.try_get("id")?;
            pruned.alerts +=
                remove_alerts(&mut write, "incident = $1", IncidentKey::Text(&id)).await?;
            for text in [
                "DELETE FROM incident_observables WHERE incident = $1",
                "DELETE FROM history WHERE incident = $1",
                "DELETE FROM calls WHERE subject = $1",
                "DELETE FROM deliveries WHERE incident = $1",
                "DELETE FROM incidents WHERE id = $1",
            ] {
                sqlx::query(text)
                    .bind(id.clone())
                    .execute(&mut *write)
                    .await?;
            }
            pruned.incidents += 1;
        }
        pruned.alerts += remove_alerts(
            &mut write,
            "incident IS NULL AND changed_at < $1",
            IncidentKey::Int(before.micros()),
        )
        .await?;
        pruned.calls = sqlx::query("DELETE FROM calls WHERE at < $1")
            .bind(before.micros())
            .execute(&mut *write)
            .await?
            .rows_affected();
        sqlx::query("DELETE FROM cache WHERE expires_at <= $1")
            .bind(self.now())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(pruned)
    }

    async fn incident_to_write(&self, id: &str) -> Result<(Write, IncidentRow), AlertStoreError> {
        let mut write = self.write().await?;
        let id = read::resolve(&mut write, id).await?;
        let row = incidents::get(&mut write, &id).await?;
        Ok((write, row))
    }

    async fn finish(
        &self,
        write: &mut Write,
        row: &mut IncidentRow,
        who: &str,
        what: &str,
    ) -> Result<(), AlertStoreError> {
        let now = self.now();
        incidents::change(write, row, now).await?;
        incidents::note(write, &row.id, now, who, what).await
    }
}

enum IncidentKey<'a> {
    Text(&'a str),
    Int(i64),
}

async fn remove_alerts(
    connection: &mut AnyConnection,
    which: &'static str,
    key: IncidentKey<'_>,
) -> Result<u64, AlertStoreError> {
    let of = |table: &str, column: &str| {
        sqlx::AssertSqlSafe(format!(
            "DELETE FROM {table} WHERE {column} IN (SELECT id FROM alerts WHERE {which})"
        ))
    };
    let mut count = 0;
    for text in [
        of("alert_observables", "alert"),
        of("runs", "alert"),
        of("rounds", "alert"),
        of("facts", "alert"),
        of("assessments", "alert"),
        of("calls", "subject"),
        of("alerts", "id"),
    ] {
        let query = sqlx::query(text);
        let query = match key {
            IncidentKey::Text(key) => query.bind(key.to_owned()),
            IncidentKey::Int(key) => query.bind(key),
        };
        count = query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(count)
}

fn not_now(row: &IncidentRow, hint: &'static str) -> AlertStoreError {
    AlertStoreError::NotNow {
        id: row.id.clone(),
        found: row.status.word().to_owned(),
        hint,
    }
}
